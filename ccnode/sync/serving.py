"""All that a node with blocks serves, as one table of handlers.

Whether a peer was offered what its message makes use of is looked at here, once for all: if not, it is refused as by a
node that has no such thing (``peers/unoffered.py``).
"""

from collections.abc import Callable, Mapping
from typing import Any

from ccnode.chain.headers import HeaderChain
from ccnode.chain.ports import Worker
from ccnode.peers.misbehaviour import Misbehaviour
from ccnode.peers.peer import Peer
from ccnode.peers.unoffered import REFUSED, offered, refuse
from ccnode.sync.bloom_peers import BloomPeers
from ccnode.sync.serve_blocks import BlockServer, ServingRules, StoredBlocks
from ccnode.sync.serve_filters import FilterServer, StoredFilters
from ccnode.wire.bloom import FilterAdd, FilterClear, FilterLoad
from ccnode.wire.filters import GetCFCheckpt, GetCFHeaders, GetCFilters
from ccnode.wire.headers import GetBlocks
from ccnode.wire.inventory import GetData, MemPool
from ccnode.wire.message import Message

Handler = Callable[[Peer, Any], None]


class BlockServing:
    """Serves blocks; filters, too, where there is an index of them."""

    def __init__(
        self,
        chain: HeaderChain,
        blocks: StoredBlocks,
        worker: Worker,
        misbehaviour: Misbehaviour,
        *,
        rules: ServingRules,
        filters: StoredFilters | None = None,
    ) -> None:
        """
        :param worker: strips blocks of their witnesses, and matches them with filters.
        :param filters: what is served to peers to which COMPACT_FILTERS was offered.
        """
        self._misbehaviour = misbehaviour
        self._bloom = bloom = BloomPeers(misbehaviour, rules.target_reached)
        self._blocks = server = BlockServer(chain, blocks, worker, bloom, rules)
        handlers: dict[type[Any], Handler] = {
            GetData: server.wait_on_getdata,
            GetBlocks: server.on_getblocks,
            FilterLoad: bloom.on_filterload,
            FilterAdd: bloom.on_filteradd,
            FilterClear: bloom.on_filterclear,
            MemPool: bloom.on_mempool,
        }
        if filters is not None:
            filter_server = FilterServer(chain, filters)
            handlers[GetCFilters] = filter_server.wait_on_getcfilters
            handlers[GetCFHeaders] = filter_server.wait_on_getcfheaders
            handlers[GetCFCheckpt] = filter_server.wait_on_getcfcheckpt
        self.handlers: Mapping[type[Any], Handler] = {
            kind: self._if_offered(handler) if kind.command in REFUSED else handler
            for kind, handler in handlers.items()
        }

    def left(self, peer: Peer) -> None:
        """``peer`` is gone."""
        self._blocks.left(peer)
        self._bloom.left(peer)

    def _if_offered(self, handler: Handler) -> Handler:
        def guarded(peer: Peer, message: Message) -> None:
            if offered(peer, message.command):
                handler(peer, message)
            else:
                refuse(peer, message.command, self._misbehaviour)

        return guarded

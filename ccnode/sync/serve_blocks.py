"""Blocks for others: ``getdata`` and ``getblocks`` (Core: ``ProcessGetData``, ``ProcessGetBlockData``).

Who may have which block:

- one of the active chain, or one that was found valid once and is less than a month behind: older branches, which few
  nodes have, would tell this one from others;
- while the upload target leaves room, or it is recent: after that, who asks for an old block or a filtered one is
  disconnected;
- from a pruned node, the last 288 and two to spare: to ask for more is to be disconnected too, so that nobody finds out
  how far back a node prunes.

What a peer may not have, and what nobody has, is met with silence, but for transactions: those are listed in
``notfound``. There are none to be had, so all are. Kinds that we do not know are passed over.

The items of one request are answered in their order, transactions in a row together. Before each block the handler
waits until the peer has taken what it was sent, and nothing else that the peer says is read before the last: the send
buffer is the limit of what a peer can ask for, in memory as well as in work.

``getblocks`` is how clients older than headers-first find out about blocks, bcoin among them: they get an ``inv`` of up
to 500, ask for those, and when they ask for the last are told of the tip, which makes them ask for the next 500.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar, Protocol

from ccnode.chain.headers import HeaderChain
from ccnode.chain.merkle_block import filter_block
from ccnode.chain.params import MIN_BLOCKS_TO_KEEP
from ccnode.chain.ports import Worker
from ccnode.peers.peer import Peer
from ccnode.peers.permissions import Permission
from ccnode.sync.bloom_peers import BloomPeers, relays_transactions
from ccnode.wire.blocks import Block
from ccnode.wire.headers import GetBlocks
from ccnode.wire.inventory import GetData, Inv, InvItem, NotFound
from ccnode.wire.protocol import MAX_PROTOCOL_MESSAGE_LENGTH, InvType
from ccnode.wire.stripping import strip_block

log = logging.getLogger("ccnode.sync")

MAX_GETBLOCKS_INV = 500
"""Blocks in the answer to ``getblocks`` (``net_processing.cpp``)."""

HISTORICAL_BLOCK_AGE = 7 * 24 * 60 * 60
"""Seconds behind the best header at which a block counts as old (``HISTORICAL_BLOCK_AGE``)."""

DEPTH_BUFFER = 2
"""Blocks below that which it still serves: the peer may not have heard of the last ones."""

PRUNED_MARGIN_SECONDS = 3600
"""A pruned node does not announce what it may have pruned before the peer asks for it."""

_TRANSACTIONS = frozenset(map(int, (InvType.TX, InvType.WTX, InvType.WITNESS_TX)))
_WITHOUT_WITNESS = int(InvType.BLOCK)
_FILTERED = int(InvType.FILTERED_BLOCK)
_BLOCKS = frozenset({*map(int, (InvType.CMPCT_BLOCK, InvType.WITNESS_BLOCK)), _WITHOUT_WITNESS, _FILTERED})


class StoredBlocks(Protocol):
    """The blocks that the node has."""

    def have_data(self, entry: int) -> bool:
        """The block is stored."""
        ...

    def wait_read(self, entry: int) -> bytes | None:
        """The serialized block; None if it was pruned in the meantime. StorageError if it cannot be read."""
        ...


@dataclass(frozen=True, slots=True)
class ServingRules:
    """What the node offers, as far as blocks are concerned."""

    pruned: bool = False
    """It keeps recent blocks only, and offers NETWORK_LIMITED without NETWORK."""
    target_reached: Callable[[], bool] = lambda: False
    """Whether the upload target leaves nothing for old blocks."""


@dataclass(frozen=True, slots=True)
class RawTransaction:
    """``tx``: a transaction as bytes that need not be looked into."""

    raw: bytes

    command: ClassVar[str] = "tx"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        return self.raw


class BlockServer:
    """Answers requests for blocks. Its handlers wait."""

    def __init__(
        self,
        chain: HeaderChain,
        blocks: StoredBlocks,
        worker: Worker,
        bloom: BloomPeers,
        rules: ServingRules,
    ) -> None:
        self._chain = chain
        self._index = chain.index
        self._blocks = blocks
        self._worker = worker
        self._bloom = bloom
        self._rules = rules
        self._continuations: dict[int, bytes] = {}
        """By peer, the last block of the ``inv`` that answered its getblocks."""

    def left(self, peer: Peer) -> None:
        """``peer`` is gone."""
        self._continuations.pop(peer.id, None)

    # -- getblocks -----------------------------------------------------------------------------------------------

    def on_getblocks(self, peer: Peer, message: GetBlocks) -> None:
        """Tell of up to 500 blocks after the fork point, as far as the stop hash, which is left out."""
        index = self._index
        first = index.height(index.find_fork(message.locator)) + 1
        hashes: list[bytes] = []
        while len(hashes) < MAX_GETBLOCKS_INV:
            entry = index.active_at(first + len(hashes))
            if entry is None or index.hash(entry) == message.stop_hash or self._may_be_gone(entry):
                break
            hashes.append(index.hash(entry))
        if len(hashes) == MAX_GETBLOCKS_INV:
            self._continuations[peer.id] = hashes[-1]
        if hashes:
            peer.send(Inv.build([InvItem(InvType.BLOCK, block_hash) for block_hash in hashes]))

    def _may_be_gone(self, entry: int) -> bool:
        """Whether a pruned node may not have the block any more when it is asked for."""
        if not self._rules.pruned:
            return False
        kept = MIN_BLOCKS_TO_KEEP - PRUNED_MARGIN_SECONDS // self._chain.params.spacing
        return self._depth(entry) >= kept or not self._blocks.have_data(entry)

    def _depth(self, entry: int) -> int:
        """Blocks below the tip; negative above it."""
        return self._index.height(self._index.tip) - self._index.height(entry)

    # -- getdata -------------------------------------------------------------------------------------------------

    def wait_on_getdata(self, peer: Peer, message: GetData) -> None:
        """Answer all items; returns early if the peer goes."""
        start = 0
        for transactions, run in groupby(message.types(), _TRANSACTIONS.__contains__):
            kinds = list(run)
            items = message.part(start, start + len(kinds))
            start += len(kinds)
            if not transactions:
                self._wait_serve_all(peer, kinds, items)
            elif relays_transactions(peer):
                peer.send(NotFound(items.raw))

    def _wait_serve_all(self, peer: Peer, kinds: Sequence[int], items: GetData) -> None:
        """Send the blocks among ``items``, whose types are ``kinds``."""
        for position, kind in enumerate(kinds):
            peer.wait_drained()
            if peer.closing:
                return
            if kind in _BLOCKS:
                self._wait_serve(peer, kind, items.hash_at(position))

    def _wait_serve(self, peer: Peer, kind: int, block_hash: bytes) -> None:
        entry = self._index.find(block_hash)
        if entry is None or not self._may_have(peer, kind, entry) or not self._blocks.have_data(entry):
            return
        raw = self._blocks.wait_read(entry)
        if raw is None:
            peer.disconnect("the block it asked for was pruned meanwhile")
            return
        if kind == _FILTERED:
            self._wait_send_filtered(peer, raw)
        elif kind == _WITHOUT_WITNESS:
            peer.send(Block(self._worker.wait_run(strip_block, raw, self._chain.format.size)))
        else:
            # Whoever wants a compact block gets the whole, as Core gives it of blocks that are not recent.
            peer.send(Block(raw))
        if self._continuations.get(peer.id) == block_hash:
            del self._continuations[peer.id]
            peer.send(Inv.build([InvItem(InvType.BLOCK, self._index.hash(self._index.tip))]))

    def _may_have(self, peer: Peer, kind: int, entry: int) -> bool:
        """Apply the rules at the top, in Core's order."""
        index = self._index
        if not self._chain.is_servable(entry):
            log.debug("peer=%d asks for a block that is not for it", peer.id)
            return False
        old = index.time(index.best_header) - index.time(entry) > HISTORICAL_BLOCK_AGE or kind == _FILTERED
        if old and Permission.DOWNLOAD not in peer.permissions and self._rules.target_reached():
            peer.disconnect("historical block serving limit reached")
            return False
        too_deep = self._rules.pruned and self._depth(entry) > MIN_BLOCKS_TO_KEEP + DEPTH_BUFFER
        if too_deep and Permission.NO_BAN not in peer.permissions:
            peer.disconnect("Ignore block request below NODE_NETWORK_LIMITED threshold")
            return False
        return True

    def _wait_send_filtered(self, peer: Peer, raw: bytes) -> None:
        """The merkle block and the transactions that match; nothing without a filter."""
        bloom_filter = self._bloom.filter_of(peer)
        if bloom_filter is None:
            return
        filtered = self._worker.wait_run(filter_block, raw, self._chain.format.size, bloom_filter)
        self._bloom.replace(peer, filtered.bloom_filter)
        peer.send(filtered.merkle_block)
        for transaction in filtered.transactions:
            peer.send(RawTransaction(transaction))

"""Headers for others: ``getheaders`` answered, new blocks announced (Core: ``ProcessMessage``, ``SendMessages``).

While our tip has less work than the network's minimum, the answer is an empty ``headers``: we cannot vouch for such
a chain. A headers-only node announces nothing on Bitcoin networks, because a peer would ask it for the block; it does
so only when it is configured to offer NETWORK. A new block goes out as ``headers`` to peers that asked for that form
and can connect it, else as one ``inv`` of the tip; a peer that already has the block hears nothing.
"""

import logging
from collections.abc import Sequence

from ccnode.chain.headers import HeaderChain
from ccnode.chain.index import TipChanged
from ccnode.clock import Clock
from ccnode.peers.peer import Peer
from ccnode.peers.permissions import Permission
from ccnode.sync.state import MAX_ANNOUNCED, MAX_HEADERS, SyncPeer
from ccnode.wire.handshake import SendHeaders
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.inventory import Inv, InvItem
from ccnode.wire.protocol import SENDHEADERS_VERSION, InvType

log = logging.getLogger("ccnode.sync")


class HeaderServer:
    """Answers and announces; what each peer already has is in its `SyncPeer`."""

    def __init__(self, chain: HeaderChain, peers: dict[int, SyncPeer], clock: Clock, *, announces: bool) -> None:
        """:param announces: tell peers of new blocks (we offer NETWORK)."""
        self._chain = chain
        self._index = chain.index
        self._peers = peers
        self._clock = clock
        self._announces = announces

    def on_getheaders(self, peer: Peer, message: GetHeaders) -> None:
        """Up to 2000 headers after the fork point; always an answer, even an empty one."""
        index = self._index
        poor = index.chain_work(index.tip) < self._chain.params.minimum_chain_work
        if poor and Permission.DOWNLOAD not in peer.permissions:
            log.debug("peer=%d getheaders while below minimum chain work", peer.id)
            peer.send(self._message([]))
            return
        if message.locator:
            entries = index.headers_after(message.locator, message.stop_hash, MAX_HEADERS)
        else:
            only = index.find(message.stop_hash)
            if only is None or not self._chain.is_servable(only):
                return
            entries = [only]
        self._peers[peer.id].best_sent = entries[-1] if entries else index.tip
        peer.send(self._message(entries))

    def tip_changed(self, change: TipChanged) -> None:
        """Queue the newly connected blocks for every peer."""
        if not self._announces or self._chain.is_ibd(self._clock.now()):
            return
        connected = list(change.connected[-MAX_ANNOUNCED:])
        for state in self._peers.values():
            state.announce = (state.announce + connected)[-(MAX_ANNOUNCED + 1) :]
            state.peer.mark_dirty()

    def send_pass(self, state: SyncPeer) -> None:
        """Send what this peer is owed: ``sendheaders`` once, and announcements."""
        peer = state.peer
        if not state.sendheaders_sent and peer.common_version >= SENDHEADERS_VERSION and self._knows_enough(state):
            state.sendheaders_sent = True
            peer.send(SendHeaders())
        if state.announce:
            queued, state.announce = state.announce, []
            self._announce(state, queued)

    def _knows_enough(self, state: SyncPeer) -> bool:
        """The peer's best known chain has more than the minimum work."""
        best = state.best_known
        return best is not None and self._index.chain_work(best) > self._chain.params.minimum_chain_work

    def _announce(self, state: SyncPeer, queued: list[int]) -> None:
        index = self._index
        on_active = [entry for entry in queued if index.in_active(entry)]
        missing = [entry for entry in on_active if not self._peer_has(state, entry)]
        if not missing:
            return
        if state.peer.prefers_headers and self._can_connect(state, queued, missing):
            state.peer.send(self._message(missing))
            state.best_sent = missing[-1]
        else:
            state.peer.send(Inv.build([InvItem(InvType.BLOCK, index.hash(missing[-1]))]))

    def _can_connect(self, state: SyncPeer, queued: list[int], missing: list[int]) -> bool:
        """Few enough, nothing of it reorganised away, and the peer has the parent of the first."""
        if len(queued) > MAX_ANNOUNCED or not all(self._index.in_active(entry) for entry in queued):
            return False
        parent = self._index.parent(missing[0])
        return parent is not None and self._peer_has(state, parent)

    def _message(self, entries: Sequence[int]) -> Headers:
        params = self._chain.params
        headers = self._chain.headers_bytes(entries)
        return Headers.build(headers, params.header_format.size, params.headers_carry_tx_count)

    def _peer_has(self, state: SyncPeer, entry: int) -> bool:
        known = (state.best_known, state.best_sent)
        return any(each is not None and self._index.extends(each, entry) for each in known)

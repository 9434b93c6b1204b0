"""Peers that load bloom filters (BIP37, BIP111; Core: ``-peerbloomfilters``). Off by default.

A filter over its limits is misbehaviour, and so is adding to one that is not there. A link that carries no transactions
has no filter.

``mempool`` is for the same peers. There is no mempool, so there is nothing to answer; but asking for all of one when
the upload target is reached ends the connection.
"""

from collections.abc import Callable

from ccnode.chain.bloom import BloomFilter
from ccnode.peers.misbehaviour import Misbehaviour, Violation
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.peers.permissions import Permission
from ccnode.wire.bloom import FilterAdd, FilterClear, FilterLoad
from ccnode.wire.inventory import MemPool
from ccnode.wire.protocol import ServiceFlags


def relays_transactions(peer: Peer) -> bool:
    """Whether the link may carry transactions: a peer that wants none may still load a filter (Core: ``TxRelay``)."""
    may = peer.connection_type not in (ConnectionType.BLOCK_RELAY_ONLY, ConnectionType.FEELER)
    return may and (peer.relay or bool(peer.our_services & ServiceFlags.BLOOM))


class BloomPeers:
    """The filters of all peers. Its handlers are for peers to which filters were offered."""

    def __init__(self, misbehaviour: Misbehaviour, target_reached: Callable[[], bool]) -> None:
        """:param target_reached: whether the upload target is used up."""
        self._misbehaviour = misbehaviour
        self._target_reached = target_reached
        self._filters: dict[int, BloomFilter] = {}

    def filter_of(self, peer: Peer) -> BloomFilter | None:
        """The filter that the peer has loaded."""
        return self._filters.get(peer.id)

    def replace(self, peer: Peer, bloom_filter: BloomFilter) -> None:
        """The peer's filter has grown by what matched."""
        self._filters[peer.id] = bloom_filter

    def left(self, peer: Peer) -> None:
        """``peer`` is gone."""
        self._filters.pop(peer.id, None)

    def on_filterload(self, peer: Peer, message: FilterLoad) -> None:
        """Install a filter, or another."""
        if relays_transactions(peer):
            self.replace(peer, BloomFilter(message.data, message.hash_functions, message.tweak, message.flags))
            peer.relay = True

    def on_filteradd(self, peer: Peer, message: FilterAdd) -> None:
        """Add an element to the filter."""
        bloom_filter = self._filters.get(peer.id)
        if bloom_filter is not None:
            bloom_filter.insert(message.data)
        elif relays_transactions(peer):
            self._misbehaviour.report(peer, Violation.BAD_BLOOM_FILTER, "filteradd without a filter")

    def on_filterclear(self, peer: Peer, _message: FilterClear) -> None:
        """Forget the filter: everything matches again."""
        if relays_transactions(peer):
            self._filters.pop(peer.id, None)
            peer.relay = True

    def on_mempool(self, peer: Peer, _message: MemPool) -> None:
        """Nothing to tell."""
        exempt = Permission.MEMPOOL in peer.permissions or Permission.NO_BAN in peer.permissions
        if not exempt and self._target_reached():
            peer.disconnect("mempool, but the upload target is reached")

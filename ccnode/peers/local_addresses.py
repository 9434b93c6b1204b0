"""Our own addresses, and which of them a peer is told (Core: ``AddLocal``, ``GetLocalAddrForPeer``).

An address is ours because a person said so (``externalip``) or because we are bound to it. Where nobody said so, a
peer may have told us in its ``version`` how it sees us: it is told that one back, always if we know none, else every
other time. Who lies about it gets only its own lie back.

A peer is told the address of its own network first. An onion or I2P address is never told to peers of other networks,
nor another address to peers of those: that would show that both belong to one node.
"""

from collections.abc import Container
from dataclasses import replace
from typing import Final

from ccnode.peers.peer import Peer
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress

LOCAL_BIND: Final = 2
"""Score of an address that we are bound to (Core: ``net.h``)."""

LOCAL_MANUAL: Final = 4
"""Score of an address that a person gave."""

_PRIVACY_NETWORKS: Final = frozenset({Network.ONION, Network.I2P})


class LocalAddresses:
    """The addresses under which others reach this node."""

    def __init__(self, rng: Rng, *, port: int, networks: Container[Network]) -> None:
        """
        :param port: where we listen, for addresses that outbound peers tell us.
        :param networks: those on which what peers tell is believed.
        """
        self._rng = rng
        self._port = port
        self._networks = networks
        self._scores: dict[NetworkAddress, int] = {}

    def add(self, address: NetworkAddress, score: int) -> None:
        """``address`` is ours; one that strangers cannot reach is left out."""
        if address.is_routable():
            self._scores[address] = max(score, self._scores.get(address, 0))

    def scores(self) -> list[tuple[NetworkAddress, int]]:
        """All that are known, with their scores."""
        return list(self._scores.items())

    def for_peer(self, peer: Peer) -> NetworkAddress | None:
        """What ``peer`` is told, None if there is nothing to tell."""
        own = self._best_for(peer)
        reported = self._reported_by(peer)
        if reported is not None and (own is None or self._rng.getrandbits(1) == 0):
            return reported if peer.inbound else replace(reported, port=self._port if own is None else own.port)
        return own

    def _best_for(self, peer: Peer) -> NetworkAddress | None:
        network = peer.network
        tellable = [
            address
            for address in self._scores
            if address.network is network or not {address.network, network} & _PRIVACY_NETWORKS
        ]
        return max(tellable, key=lambda address: (address.network is network, self._scores[address]), default=None)

    def _reported_by(self, peer: Peer) -> NetworkAddress | None:
        """How ``peer`` sees us, if that is worth anything."""
        address = peer.address_local
        if LOCAL_MANUAL in self._scores.values() or address is None or peer.inbound_onion:
            return None
        believed = address.is_routable() and address.network in self._networks and peer.address.is_routable()
        return address if believed else None

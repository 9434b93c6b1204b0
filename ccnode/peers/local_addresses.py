"""Our own addresses, and which of them a peer is told (Core: ``AddLocal``, ``SeenLocal``, ``GetLocalAddrForPeer``).

Nobody can tell us for certain where others reach us, so what is said about it has a score: 1 for an address of the
machine's interfaces, 2 for one we are bound to, 3 for one that a gateway mapped to us, 4 for one that a person gave.
Said again by a source that is as good or better, it gains a point, and another for every inbound peer that dialed it.
An address has one port, the last that a good source gave.

A peer is told one address: that which it can reach most easily from its own network, and of several the one with the
highest score. What the peer told us in its ``version`` about how it sees us may be better than all we know. It is told
that back if we know nothing else, otherwise every other time, and rarely where we are sure. An outbound peer sees the
port we dialed from, so only the address counts. Who lies about it gets only its own lie back.

An onion or I2P address is never told to peers of other networks, nor another address to peers of those: that would
show that both belong to one node.

Without ``discover`` only a person is believed. Scores prove nothing: inbound peers are free to raise that of any
address that is in the table already.
"""

import logging
from collections.abc import Container
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Final

from ccnode.peers.peer import Peer
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress

log = logging.getLogger("ccnode.net")

LOCAL_INTERFACE: Final = 1
"""Score of an address of the machine (Core: ``LOCAL_IF`` in ``net.h``; the others likewise)."""

LOCAL_BIND: Final = 2
"""Score of an address that we are bound to."""

LOCAL_MAPPED: Final = 3
"""Score of an address that a gateway maps to us."""

LOCAL_MANUAL: Final = 4
"""Score of an address that a person gave."""

MAX_DISCOVERED: Final = 64
"""Addresses in the table beyond which only those that a person gives are added; a machine may have thousands."""

DOUBT_BITS: Final = 1
"""The peer is right once in two to this power, by chance, if it contradicts what we know."""

CONFIRMED_DOUBT_BITS: Final = 3
"""The same where our score is higher than a person's word alone."""

_PRIVACY_NETWORKS: Final = frozenset({Network.ONION, Network.I2P})


class Reachability(IntEnum):
    """How well an address of ours suits a peer, better ones higher (Core: ``CNetAddr::GetReachabilityFrom``)."""

    DEFAULT = 1
    TEREDO = 2
    IPV6_WEAK = 3
    """IPv6 through a tunnel, or from somewhere that may have none."""
    IPV4 = 4
    IPV6_STRONG = 5
    PRIVATE = 6
    """Within one overlay network."""


_TEREDO: Final = "teredo"
_TEREDO_PREFIX: Final = bytes.fromhex("20010000")  # RFC4380
_TUNNEL_PREFIXES: Final = (
    bytes.fromhex("2002"),  # RFC3964, 6to4
    bytes.fromhex("0064ff9b") + bytes(8),  # RFC6052, NAT64
    bytes(8) + bytes.fromhex("ffff0000"),  # RFC6145, SIIT
)

_ANYWHERE: Final = {
    _TEREDO: Reachability.TEREDO,
    Network.IPV6.value: Reachability.IPV6_WEAK,
    Network.IPV4.value: Reachability.IPV4,
}
_REACHABILITY: Final = {
    Network.IPV4.value: {Network.IPV4.value: Reachability.IPV4},
    Network.IPV6.value: {**_ANYWHERE, Network.IPV6.value: Reachability.IPV6_STRONG},
    Network.ONION.value: {Network.IPV4.value: Reachability.IPV4, Network.ONION.value: Reachability.PRIVATE},
    Network.I2P.value: {Network.I2P.value: Reachability.PRIVATE},
    Network.CJDNS.value: {Network.CJDNS.value: Reachability.PRIVATE},
    _TEREDO: _ANYWHERE,
    # a peer at a private address came through Tor, or does not mind
    Network.NOT_PUBLICLY_ROUTABLE.value: {**_ANYWHERE, Network.ONION.value: Reachability.PRIVATE},
}
"""Of whom, of ours; what is missing is `Reachability.DEFAULT`."""


@dataclass(slots=True)
class _Local:
    """One address of ours."""

    address: NetworkAddress
    source: int
    """The score it began with."""
    score: int


class LocalAddresses:
    """The addresses under which others reach this node. ``address in local`` asks for any port."""

    def __init__(self, rng: Rng, *, port: int, networks: Container[Network], discover: bool = True) -> None:
        """
        :param port: where we listen, for addresses that outbound peers tell us.
        :param networks: those we can connect to; an address of another one is not ours.
        :param discover: believe others than the person who runs the node.
        """
        self._rng = rng
        self._port = port
        self._networks = networks
        self._discover = discover
        self._table: dict[tuple[Network, bytes], _Local] = {}

    def add(self, address: NetworkAddress, score: int) -> bool:
        """``address`` is ours, says a source of this ``score``; whether the source is believed.

        An address that strangers cannot reach, or of a network that we cannot, is left out.
        """
        if Network.CJDNS in self._networks:
            address = address.as_cjdns()
        believed = score >= LOCAL_MANUAL or self._discover
        if not (believed and address.is_routable() and address.network in self._networks):
            return False
        known = self._table.get(_key(address))
        if known is None:
            if len(self._table) >= MAX_DISCOVERED and score < LOCAL_MANUAL:
                return False
            self._table[_key(address)] = _Local(address, score, score)
            log.info("others may reach us at %s (score %d)", address, score)
        elif score >= known.score:
            known.address, known.source, known.score = address, score, score + 1
        return True

    def remove(self, address: NetworkAddress, score: int) -> None:
        """The source of this ``score`` takes ``address`` back; one that a better source gave as well remains."""
        known = self._table.get(_key(address))
        if known is not None and known.source <= score:
            del self._table[_key(address)]
            log.info("%s is no longer ours", address)

    def seen_by(self, peer: Peer) -> None:
        """An inbound ``peer`` said in its version which address it dialed."""
        known = None if peer.address_local is None else self._table.get(_key(peer.address_local))
        if known is not None:
            known.score += 1

    def __contains__(self, address: object) -> bool:
        return isinstance(address, NetworkAddress) and _key(address) in self._table

    def scores(self) -> list[tuple[NetworkAddress, int]]:
        """All that are known, with their scores."""
        return [(local.address, local.score) for local in self._table.values()]

    def for_peer(self, peer: Peer) -> NetworkAddress | None:
        """What ``peer`` is told, None if there is nothing to tell."""
        own = self._best_for(peer)
        reported = self._reported_by(peer)
        if own is None:
            return reported if reported is None or peer.inbound else replace(reported, port=self._port)
        doubt = CONFIRMED_DOUBT_BITS if own.score > LOCAL_MANUAL else DOUBT_BITS
        if reported is None or self._rng.getrandbits(doubt):
            return own.address
        return reported if peer.inbound else replace(reported, port=own.address.port)

    def _best_for(self, peer: Peer) -> _Local | None:
        tellable = [local for local in self._table.values() if _may_be_told(local.address, peer)]
        return max(tellable, key=lambda local: (reachability(local.address, peer.address), local.score), default=None)

    def _reported_by(self, peer: Peer) -> NetworkAddress | None:
        """How ``peer`` sees us, if that is worth anything (Core: ``IsPeerAddrLocalGood``)."""
        address = peer.address_local
        if address is None or not self._discover or not _may_be_told(address, peer):
            return None
        believed = peer.address.is_routable() and address.is_routable() and address.network in self._networks
        return address if believed else None


def reachability(ours: NetworkAddress, theirs: NetworkAddress) -> Reachability:
    """How well a node at ``theirs`` reaches us at ``ours``, which is routable."""
    found = _REACHABILITY.get(_kind(theirs), {}).get(_kind(ours), Reachability.DEFAULT)
    if found is Reachability.IPV6_STRONG and ours.addr.startswith(_TUNNEL_PREFIXES):
        return Reachability.IPV6_WEAK
    return found


def _kind(address: NetworkAddress) -> str:
    if address.network is Network.IPV6 and address.addr.startswith(_TEREDO_PREFIX):
        return _TEREDO
    return address.reported_network().value


def _key(address: NetworkAddress) -> tuple[Network, bytes]:
    return address.network, address.addr


def _may_be_told(address: NetworkAddress, peer: Peer) -> bool:
    """Whether ``peer`` learns nothing from ``address`` about our part in another network."""
    return address.network is peer.network or not {address.network, peer.network} & _PRIVACY_NETWORKS

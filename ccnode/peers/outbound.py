"""What kind of connection to open next, and to whom (Core: ``CConnman::ThreadOpenConnections``).

A node is as safe as its outbound connections are diverse, so what opens next follows Core's order: anchors first, then
the eight full-relay and the two block-relay-only connections, and with those in place the occasional extra one that
keeps an attacker from settling in: one more full-relay peer when the tip has not moved for long, a block-relay-only
peer every few minutes, a feeler every two minutes that tests an address, a peer on a network that none is on.

A candidate is drawn from the address manager and has to pass the filters of `OutboundPolicy.candidate`: above all, no
two connections go into the same network group, which makes an attacker need addresses in as many groups as we have
slots. Feelers and address fetches are short and do not count; Tor, I2P and CJDNS have no groups that mean anything.

Automatic connections of all kinds share their slots, address fetches included: nothing is opened without a free one.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from types import MappingProxyType

from ccnode.clock import Clock
from ccnode.peers.addrman import AddrMan
from ccnode.peers.handshake import desirable_services
from ccnode.peers.peer import AUTOMATIC_OUTBOUND, ConnectionType, Peer
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.protocol import ServiceFlags

FULL_RELAY = 8
"""Automatic full-relay connections (Core: ``MAX_OUTBOUND_FULL_RELAY_CONNECTIONS``)."""

BLOCK_RELAY = 2
"""Block-relay-only connections (Core: ``MAX_BLOCK_RELAY_ONLY_CONNECTIONS``)."""

FEELERS = 1
"""Feelers at a time (Core: ``MAX_FEELER_CONNECTIONS``)."""

FEELER_INTERVAL = 120.0
EXTRA_BLOCK_RELAY_INTERVAL = 300.0
EXTRA_NETWORK_INTERVAL = 300.0
"""Mean wall seconds between such connections; the pauses are exponential, so nobody can foresee them."""

TRIES = 100
"""Draws from the address manager for one opening."""

RECENT_ATTEMPT = 600.0
"""Wall seconds after an attempt in which an address is avoided, until draw number `AVOID_RECENT`."""

AVOID_RECENT = 30
AVOID_BAD_PORTS = 50
"""The first draw, counted from 1, that may give an address on a well-known port of another service."""

MAX_ADDED_NODES = 24
"""With fewer ``addnode`` targets than this, automatic connections leave those to their own slots."""

# fmt: off
BAD_PORTS = frozenset((
    1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102, 103, 104, 109,
    110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512, 513, 514, 515, 526, 530,
    531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719, 1720, 1723, 2049, 3306, 3389, 3659,
    4045, 5060, 5061, 5432, 5900, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6697, 10080, 27017,
))
# fmt: on
"""Ports on which a Bitcoin node would be odd; dialing them helps those who use nodes to attack others (Core:
``IsBadPort``)."""

_GROUPLESS = frozenset({Network.ONION, Network.I2P, Network.CJDNS})
_IN_SLOTS = AUTOMATIC_OUTBOUND | {ConnectionType.FEELER}
_IN_GROUPS = frozenset({ConnectionType.OUTBOUND_FULL_RELAY, ConnectionType.BLOCK_RELAY_ONLY, ConnectionType.MANUAL})


def outbound_slots(max_connections: int) -> int:
    """How many of ``maxconnections`` are for automatic outbound connections; the rest is for inbound ones."""
    return min(FULL_RELAY + BLOCK_RELAY + FEELERS, max_connections)


def has_room(kind: ConnectionType, peers: Iterable[Peer], max_connections: int) -> bool:
    """Whether a person may open one more connection of a type (Core: ``CConnman::AddConnection``)."""
    kinds = Counter(peer.connection_type for peer in peers)
    full, block = _targets(max_connections)
    most = {ConnectionType.OUTBOUND_FULL_RELAY: full, ConnectionType.BLOCK_RELAY_ONLY: block}
    return kinds[kind] < most.get(kind, max_connections) and _slots_used(kinds) < outbound_slots(max_connections)


def _targets(max_connections: int) -> tuple[int, int]:
    """How many full-relay and how many block-relay-only connections there should be."""
    full = min(FULL_RELAY, max_connections)
    return full, min(BLOCK_RELAY, max_connections - full)


def _slots_used(kinds: Mapping[ConnectionType, int]) -> int:
    return sum(kinds[kind] for kind in _IN_SLOTS)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A block-relay-only peer of the last run."""

    address: NetworkAddress
    services: int
    """What it offered."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What to open next."""

    kind: ConnectionType
    network: Network | None = None
    """To this network only."""
    anchor: Anchor | None = None
    """To this address, known from the last run."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Whom to dial."""

    address: NetworkAddress
    count_failure: bool
    """A failure would be the address's own fault: we are connected to others."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """Whom we have connections with, as the filters see it."""

    connected: frozenset[bytes]
    """Their addresses."""
    dialing: frozenset[bytes]
    """Addresses of dials under way."""
    groups: frozenset[bytes]
    """Groups of lasting connections, and of dials that may become such."""

    def has(self, address: NetworkAddress) -> bool:
        """Whether this address, on any port, has a connection or may soon have one."""
        return address.addr in self.connected or address.addr in self.dialing


_NOBODY: Mapping[NetworkAddress, ConnectionType] = MappingProxyType({})


class OutboundPolicy:
    """Decides about automatic connections. Whether the network is on, and who is dialed already, is the dialer's."""

    def __init__(
        self,
        addrman: AddrMan,
        clock: Clock,
        rng: Rng,
        *,
        max_connections: int,
        networks: Collection[Network],
        limited_peers_suffice: Callable[[], bool],
        refuses: Callable[[NetworkAddress], bool],
        is_ours: Callable[[NetworkAddress], bool],
    ) -> None:
        """
        :param max_connections: ``maxconnections``, automatic and inbound ones together.
        :param networks: where automatic connections may go (``onlynet``); all reachable ones.
        :param limited_peers_suffice: see `Handshake`.
        :param refuses: whether an address is banned or discouraged.
        :param is_ours: whether others reach this node at an address.
        """
        self.full_relay, self.block_relay = _targets(max_connections)
        self.max_outbound = outbound_slots(max_connections)
        self.anchors: list[Anchor] = []
        """Block-relay-only peers of the last run, each used at most once."""
        self.added_nodes: Collection[str] = ()
        """The ``addnode`` targets, as a person wrote them."""
        self.stale_tip = False
        """The tip has not moved for long: one more full-relay peer may know a better one."""
        self._addrman = addrman
        self._clock = clock
        self._rng = rng
        self._max_connections = max_connections
        self._networks = frozenset(networks)
        self._limited_peers_suffice = limited_peers_suffice
        self._refuses = refuses
        self._is_ours = is_ours
        now = clock.now()
        self._next_feeler = now + self._pause(FEELER_INTERVAL)
        self._next_extra_block_relay = inf
        self._next_extra_network = now + self._pause(EXTRA_NETWORK_INTERVAL)

    def tip_is_fresh(self) -> None:
        """The tip came near the present: from now on extra block-relay-only peers look whether it is the best."""
        if self._next_extra_block_relay == inf:
            self._next_extra_block_relay = self._clock.now() + self._pause(EXTRA_BLOCK_RELAY_INTERVAL)

    def next_opening(
        self, peers: Sequence[Peer], dialing: Mapping[NetworkAddress, ConnectionType] = _NOBODY
    ) -> Opening | None:
        """What is to be opened now, given all connections and what is being dialed; None for nothing."""
        kinds = Counter([*(peer.connection_type for peer in peers), *dialing.values()])
        full = kinds[ConnectionType.OUTBOUND_FULL_RELAY]
        block = kinds[ConnectionType.BLOCK_RELAY_ONLY]
        if _slots_used(kinds) >= self.max_outbound:
            return None
        if self.anchors and block < self.block_relay:
            return Opening(ConnectionType.BLOCK_RELAY_ONLY, anchor=self.anchors.pop())
        if full < self.full_relay:
            return Opening(ConnectionType.OUTBOUND_FULL_RELAY)
        if block < self.block_relay:
            return Opening(ConnectionType.BLOCK_RELAY_ONLY)
        return self._extra(peers, full)

    def _extra(self, peers: Sequence[Peer], full: int) -> Opening | None:
        """One more than the targets, when its time has come."""
        now = self._clock.now()
        if self.stale_tip:
            return Opening(ConnectionType.OUTBOUND_FULL_RELAY)
        if now > self._next_extra_block_relay:
            self._next_extra_block_relay = now + self._pause(EXTRA_BLOCK_RELAY_INTERVAL)
            return Opening(ConnectionType.BLOCK_RELAY_ONLY)
        if now > self._next_feeler:
            self._next_feeler = now + self._pause(FEELER_INTERVAL)
            return Opening(ConnectionType.FEELER)
        if full == self.full_relay and now > self._next_extra_network:
            network = self._missing_network(peers)
            if network is not None:
                self._next_extra_network = now + self._pause(EXTRA_NETWORK_INTERVAL)
                return Opening(ConnectionType.OUTBOUND_FULL_RELAY, network=network)
        return None

    def _missing_network(self, peers: Sequence[Peer]) -> Network | None:
        """A network we know addresses of and have no lasting peer on."""
        lasting = (ConnectionType.OUTBOUND_FULL_RELAY, ConnectionType.MANUAL)
        present = {peer.address.network for peer in peers if peer.connection_type in lasting}
        missing = [network for network in sorted(self._networks, key=lambda n: n.value) if network not in present]
        self._rng.shuffle(missing)
        return next((network for network in missing if self._addrman.size(network)), None)

    # -- whom ----------------------------------------------------------------------------------------------------

    def candidate(
        self,
        opening: Opening,
        peers: Sequence[Peer],
        dialing: Mapping[NetworkAddress, ConnectionType] = _NOBODY,
    ) -> Candidate | None:
        """An address for ``opening`` that passes every filter, None if `TRIES` draws gave none."""
        self._addrman.resolve_collisions()
        lasting = [peer.address for peer in peers if peer.connection_type in _IN_GROUPS]
        groups = self._groups(lasting)
        private = sum(address.network in _GROUPLESS for address in lasting)
        count_failure = len(groups) + private >= min(self._max_connections - 1, 2)
        taken = _Taken(
            frozenset(peer.address.addr for peer in peers),
            frozenset(address.addr for address in dialing),
            groups | self._groups(address for address, kind in dialing.items() if kind in _IN_GROUPS),
        )
        if opening.anchor is not None:
            return Candidate(opening.anchor.address, False) if self._is_usable(opening.anchor, taken) else None
        for number in range(1, TRIES + 1):
            drawn = self._draw(opening, taken)
            if drawn is None or self._is_ours(drawn[0]):
                return None
            address, last_try = drawn
            if self._passes(opening.kind, address, last_try, number, taken):
                return Candidate(address, count_failure)
        return None

    def _groups(self, addresses: Iterable[NetworkAddress]) -> frozenset[bytes]:
        group = self._addrman.groups.group
        return frozenset(group(address) for address in addresses if address.network not in _GROUPLESS)

    def _is_usable(self, anchor: Anchor, taken: _Taken) -> bool:
        address = anchor.address
        return (
            address.network in self._networks
            and not self._is_ours(address)
            and self._offers_all(anchor.services)
            and self._addrman.groups.group(address) not in taken.groups
            and not taken.has(address)
            and not self._refuses(address)
        )

    def _draw(self, opening: Opening, taken: _Taken) -> tuple[NetworkAddress, int] | None:
        if opening.kind is not ConnectionType.FEELER:
            networks = self._networks if opening.network is None else (opening.network,)
            return self._addrman.select(networks=networks)
        contested = self._addrman.select_tried_collision()
        if contested is not None and contested[0].addr in taken.connected:
            self._addrman.good(contested[0])  # it is up: we are talking to it
            contested = None
        return contested or self._addrman.select(new_only=True, networks=self._networks)

    def _passes(self, kind: ConnectionType, address: NetworkAddress, last_try: int, number: int, taken: _Taken) -> bool:
        """Whether ``address``, the draw of this ``number`` counted from 1, is one to dial."""
        feeler = kind is ConnectionType.FEELER
        if taken.has(address) or self._refuses(address) or address.network not in self._networks:
            return False
        grouped = address.network not in _GROUPLESS
        if not feeler and grouped and self._addrman.groups.group(address) in taken.groups:
            return False
        if number < AVOID_RECENT and self._clock.now() - last_try < RECENT_ATTEMPT:
            return False
        on_internet = address.network in (Network.IPV4, Network.IPV6)
        if number < AVOID_BAD_PORTS and on_internet and address.port in BAD_PORTS:
            return False
        return not self._is_added(address) and self._offers_enough(address, feeler)

    def _is_added(self, address: NetworkAddress) -> bool:
        """Whether a person added it; without a port the target means all of them."""
        few = len(self.added_nodes) < MAX_ADDED_NODES
        return few and (str(address) in self.added_nodes or address.host in self.added_nodes)

    def _offers_enough(self, address: NetworkAddress, feeler: bool) -> bool:
        info = self._addrman.info(address)
        services = info.services if info is not None else 0
        if feeler:
            return bool(services & (ServiceFlags.NETWORK | ServiceFlags.NETWORK_LIMITED))
        return self._offers_all(services)

    def _offers_all(self, services: int) -> bool:
        return not desirable_services(services, self._limited_peers_suffice()) & ~ServiceFlags(services)

    def _pause(self, mean: float) -> float:
        return self._rng.expovariate(1 / mean)

"""Outbound connections: the peers a person asked for, and those the node finds itself.

Each configured target (``connect``, ``addnode``) has a greenlet that keeps it connected: dial, wait for the end of the
connection, pause, dial again. The pause doubles up to Core's cap for the kind of target and starts small again after a
connection that lasted. Automatic connections fill `FULL_RELAY` slots from the address manager, a few dials at a
time, one per network group. Addresses are always numeric when they reach the socket; names are looked up before.
"""

import logging
import socket
from collections.abc import Collection, Container, Sequence
from dataclasses import dataclass

import gevent
from gevent.event import Event

from ccnode.clock import Clock
from ccnode.network.connection import Connection
from ccnode.network.dns import HostResolver
from ccnode.network.hub import DeadlineExceeded, Supervisor, deadline, spawn
from ccnode.network.manager import ConnectionManager
from ccnode.peers.addrman import AddrMan
from ccnode.peers.peer import ConnectionType
from ccnode.wire.address import Network, NetworkAddress

log = logging.getLogger("ccnode.net")

FULL_RELAY = 8
"""Automatic outbound connections (Core: ``MAX_OUTBOUND_FULL_RELAY_CONNECTIONS``)."""

DRAWS = 100
"""Draws from the address manager for one automatic connection."""

DIALS_AT_ONCE = 4
"""Automatic dials under way at the same time; most addresses do not answer."""

FIRST_PAUSE = 0.5
"""Seconds before a failed target is dialed again the first time."""

CONNECT_LONGEST_PAUSE = 5.0
"""Seconds, for ``connect`` targets (Core's cap)."""

ADDNODE_LONGEST_PAUSE = 60.0
"""Seconds, for ``addnode`` targets (Core's cap)."""

LASTING = 60.0
"""A connection of at least so many seconds was a good one: the next pause starts small."""

LOOP_PAUSE = 0.5
"""Seconds between two looks at the automatic slots (Core's loop)."""

MAX_FAILURES = 32
"""Failed targets remembered for the advice to a node without peers."""


@dataclass(slots=True)
class Target:
    """A peer to keep connected."""

    text: str
    longest_pause: float
    wanted: bool = True
    task: gevent.Greenlet | None = None
    peer: Connection | None = None


class Dialer:
    """Makes outbound connections."""

    def __init__(
        self,
        manager: ConnectionManager,
        addrman: AddrMan,
        unwanted: Container[NetworkAddress],
        resolver: HostResolver,
        clock: Clock,
        *,
        timeout: float,
        automatic_slots: int,
        networks: Collection[Network] = (),
    ) -> None:
        """
        :param unwanted: addresses that are not dialed on our own account.
        :param timeout: seconds one connection attempt may take.
        :param automatic_slots: how many connections to make without being told; 0 for none.
        :param networks: make those to addresses of these networks only; empty for any (``onlynet``).
        """
        self._manager = manager
        self._addrman = addrman
        self._unwanted = unwanted
        self._resolver = resolver
        self._clock = clock
        self._timeout = timeout
        self._automatic_slots = automatic_slots
        self._networks = networks
        self._targets: dict[str, Target] = {}
        self._dialing: set[NetworkAddress] = set()
        self._stopping = Event()
        self._automatic: Supervisor | None = None
        self.failures: dict[str, str] = {}
        """Target to reason, the last `MAX_FAILURES` that failed."""
        self.attempts = 0

    # -- configured targets --------------------------------------------------------------------------------------

    def connect(self, targets: Sequence[str]) -> None:
        """Keep the ``connect`` targets of the configuration connected."""
        for text in targets:
            self._keep_target(text, CONNECT_LONGEST_PAUSE)

    @property
    def added_nodes(self) -> list[str]:
        """The targets that ``addnode`` added."""
        return [target.text for target in self._targets.values() if target.longest_pause == ADDNODE_LONGEST_PAUSE]

    def add_node(self, text: str) -> bool:
        """Keep ``text`` connected from now on; False if it already is a target."""
        if text in self._targets:
            return False
        self._keep_target(text, ADDNODE_LONGEST_PAUSE)
        return True

    def remove_node(self, text: str) -> bool:
        """Stop redialing ``text``; an open connection stays. False if it was not added."""
        target = self._targets.pop(text, None)
        if target is None:
            return False
        target.wanted = False
        if target.task is not None and target.peer is None:
            target.task.kill(block=False)
        return True

    def try_once(self, text: str) -> Connection | None:
        """One manual attempt; returns after it, with the connection if there is one."""
        return self._dial_text(text)

    def fetch_addresses(self, targets: Sequence[str]) -> None:
        """Ask each of the ``seednode`` targets for addresses once, if no addresses are known."""
        if not len(self._addrman):
            for text in targets:
                spawn(f"seednode {text}", self._dial_text, text, ConnectionType.ADDR_FETCH)

    def _keep_target(self, text: str, longest_pause: float) -> None:
        target = Target(text, longest_pause)
        self._targets[text] = target
        target.task = spawn(f"target {text}", self._keep, target)

    def _keep(self, target: Target) -> None:
        pause = FIRST_PAUSE
        while target.wanted and not self._stopping.is_set():
            began = self._clock.steady()
            if self._manager.network_active:
                target.peer = self._dial_text(target.text)
            if target.peer is not None:
                self._manager.wait_gone(target.peer)
                target.peer = None
                if self._clock.steady() - began >= LASTING:
                    pause = FIRST_PAUSE
            if self._stopping.wait(pause):
                return
            pause = min(pause * 2, target.longest_pause)

    def _dial_text(self, text: str, kind: ConnectionType = ConnectionType.MANUAL) -> Connection | None:
        try:
            addresses = self._resolver.addresses(text)
        except (OSError, ValueError) as error:
            self._failed(text, f"unknown name: {error}")
            return None
        for address in addresses:
            peer = self._dial(address, kind, text)
            if peer is not None:
                return peer
        return None

    # -- automatic connections -----------------------------------------------------------------------------------

    def start_automatic(self) -> None:
        """Begin to fill the automatic slots."""
        if self._automatic_slots:
            self._automatic = Supervisor("dialer", self._fill_slots)

    def automatic_count(self) -> int:
        """Automatic outbound connections, unfinished handshakes included."""
        kind = ConnectionType.OUTBOUND_FULL_RELAY
        return sum(peer.connection_type is kind for peer in self._manager.peers.values())

    def _fill_slots(self) -> None:
        while not self._stopping.wait(LOOP_PAUSE):
            while self._wants_another():
                address = self._candidate()
                if address is None:
                    break
                self._dialing.add(address)
                spawn(f"dial {address}", self._dial_automatic, address)

    def _wants_another(self) -> bool:
        busy = len(self._dialing)
        free = self._automatic_slots - self.automatic_count() - busy
        return self._manager.network_active and free > 0 and busy < DIALS_AT_ONCE

    def _candidate(self) -> NetworkAddress | None:
        """An address worth dialing, None if luck did not bring one."""
        for _ in range(DRAWS):
            chosen = self._addrman.select(networks=self._networks or None)
            if chosen is None:
                return None
            if not self._avoid(chosen[0]):
                return chosen[0]
        return None

    def _avoid(self, address: NetworkAddress) -> bool:
        """Not dialed: what we are connected to, its whole network group, and those nobody wants."""
        if address in self._unwanted or address.is_local():
            return True
        group = _group(address)
        taken = [peer.address for peer in self._manager.peers.values() if not peer.inbound]
        return any(_group(other) == group for other in (*taken, *self._dialing))

    def _dial_automatic(self, address: NetworkAddress) -> None:
        try:
            self._addrman.attempt(address)
            self._dial(address, ConnectionType.OUTBOUND_FULL_RELAY, None)
        finally:
            self._dialing.discard(address)

    # -- the connection itself -----------------------------------------------------------------------------------

    def _dial(self, address: NetworkAddress, kind: ConnectionType, name: str | None) -> Connection | None:
        if self._manager.is_connected_to(address):
            self._failed(name or str(address), "already connected")
            return None
        self.attempts += 1
        try:
            sock = connect(address, self._timeout)
        except (OSError, DeadlineExceeded) as error:
            self._failed(name or str(address), _reason(error))
            return None
        if self._stopping.is_set() or not self._manager.network_active:
            sock.close()
            return None
        return self._manager.add(sock, address, kind, name)

    def _failed(self, target: str, reason: str) -> None:
        log.debug("connection to %s failed: %s", target, reason)
        self.failures.pop(target, None)
        self.failures[target] = reason
        if len(self.failures) > MAX_FAILURES:
            del self.failures[next(iter(self.failures))]

    def close(self) -> None:
        """Stop dialing; connections are the manager's."""
        self._stopping.set()
        if self._automatic is not None:
            self._automatic.stop()
        tasks = [target.task for target in self._targets.values() if target.task is not None]
        gevent.killall(tasks, timeout=1.0)


def connect(address: NetworkAddress, timeout: float) -> socket.socket:
    """A TCP connection to a numeric address. OSError or DeadlineExceeded if there is none in ``timeout`` seconds."""
    if address.network not in (Network.IPV4, Network.IPV6, Network.CJDNS):
        raise OSError(f"{address.network.value} addresses are reached through a proxy, and none is configured")
    family = socket.AF_INET if address.network is Network.IPV4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        with deadline(timeout):
            sock.connect((address.host, address.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _reason(error: BaseException) -> str:
    if isinstance(error, DeadlineExceeded):
        return "no answer"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _group(address: NetworkAddress) -> bytes:
    """Addresses of one operator tend to share it: /16 of IPv4, /32 of IPv6, each address elsewhere."""
    if address.network is Network.IPV4:
        return b"4" + address.addr[:2]
    if address.network is Network.IPV6:
        return b"6" + address.addr[:4]
    return address.addr

"""Dialing, and the connections that a person asked for.

Each configured target (``connect``, ``addnode``) has a greenlet that keeps it connected: dial, wait for the end of the
connection, pause, dial again. The pause doubles up to Core's cap for the kind of target and starts small again after a
connection that lasted. Of the ``addnode`` targets only `ADDNODE_SLOTS` are connected at a time, the others wait their
turn. Names are looked up before they are dialed, or left to the proxy if there is one for names
(``routes.py``). Automatic connections are ``outbound.py``'s.
"""

import logging
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore, DummySemaphore

from ccnode.clock import Clock
from ccnode.network.connection import Connection
from ccnode.network.dns import HostResolver
from ccnode.network.hub import DeadlineExceeded, spawn
from ccnode.network.listener import address_of
from ccnode.network.manager import ConnectionManager
from ccnode.network.routes import Proxy, Routes, reason_of
from ccnode.network.socks5 import ProxyError
from ccnode.network.statistics import ALREADY_CONNECTED, UNKNOWN_NAME
from ccnode.peers.addrman import AddrMan
from ccnode.peers.peer import ConnectionType
from ccnode.rng import Rng
from ccnode.wire.address import NetworkAddress, split_host_port

log = logging.getLogger("ccnode.net")

FIRST_PAUSE = 0.5
"""Seconds before a failed target is dialed again the first time."""

CONNECT_LONGEST_PAUSE = 5.0
"""Seconds, for ``connect`` targets (Core's cap)."""

ADDNODE_LONGEST_PAUSE = 60.0
"""Seconds, for ``addnode`` targets (Core's cap)."""

ADDNODE_SLOTS = 8
"""``addnode`` targets that are dialed or connected at a time (Core: ``MAX_ADDNODE_CONNECTIONS``)."""

LASTING = 60.0
"""A connection of at least so many seconds was a good one: the next pause starts small."""

MAX_FAILURES = 32
"""Failed targets remembered for the advice to a node without peers."""


@dataclass(slots=True)
class Target:
    """A peer to keep connected."""

    text: str
    longest_pause: float
    slots: BoundedSemaphore | DummySemaphore
    wanted: bool = True
    task: gevent.Greenlet | None = None
    peer: Connection | None = None


class Dialer:
    """Makes outbound connections."""

    def __init__(
        self,
        manager: ConnectionManager,
        addrman: AddrMan,
        resolver: HostResolver,
        routes: Routes,
        clock: Clock,
        rng: Rng,
        *,
        timeout: float,
    ) -> None:
        """:param timeout: seconds one connection attempt may take, or the way to the proxy."""
        self._manager = manager
        self._addrman = addrman
        self._resolver = resolver
        self._routes = routes
        self._clock = clock
        self._rng = rng
        self._timeout = timeout
        self._targets: dict[str, Target] = {}
        self._addnode_slots = BoundedSemaphore(ADDNODE_SLOTS)
        self._stopping = Event()
        self.failures: dict[str, str] = {}
        """Target to reason, the last `MAX_FAILURES` that failed."""

    @property
    def attempts(self) -> int:
        """Dials since the start."""
        return self._manager.statistics.attempts.total()

    # -- configured targets --------------------------------------------------------------------------------------

    def connect(self, targets: Sequence[str]) -> None:
        """Keep the ``connect`` targets of the configuration connected."""
        for text in targets:
            self._keep_target(Target(text, CONNECT_LONGEST_PAUSE, DummySemaphore()))

    @property
    def added_nodes(self) -> list[str]:
        """The targets that ``addnode`` added."""
        return [target.text for target in self._targets.values() if target.slots is self._addnode_slots]

    def add_node(self, text: str) -> bool:
        """Keep ``text`` connected from now on; False if it already is a target."""
        if text in self._targets:
            return False
        self._keep_target(Target(text, ADDNODE_LONGEST_PAUSE, self._addnode_slots))
        return True

    def remove_node(self, text: str) -> bool:
        """Stop redialing ``text``; an open connection stays. False if ``addnode`` did not add it."""
        if text not in self.added_nodes:
            return False
        target = self._targets.pop(text)
        target.wanted = False
        if target.task is not None and target.peer is None:
            target.task.kill(block=False)
        return True

    def try_once(self, text: str, kind: ConnectionType = ConnectionType.MANUAL) -> Connection | None:
        """One attempt; returns after it, with the connection if there is one."""
        return self._dial_text(text, kind)

    def _keep_target(self, target: Target) -> None:
        self._targets[target.text] = target
        target.task = spawn(f"target {target.text}", self._keep, target)

    def _keep(self, target: Target) -> None:
        pause = FIRST_PAUSE
        while target.wanted and not self._stopping.is_set():
            with target.slots:
                lasted = self._connect_once(target)
            if lasted >= LASTING:
                pause = FIRST_PAUSE
            if self._stopping.wait(pause):
                return
            pause = min(pause * 2, target.longest_pause)

    def _connect_once(self, target: Target) -> float:
        """Dial, and return at the end of the connection, if there was one; how many seconds it lasted."""
        began = self._clock.steady()
        target.peer = self._dial_text(target.text, ConnectionType.MANUAL)
        if target.peer is None:
            return 0.0
        self._manager.wait_gone(target.peer)
        target.peer = None
        return self._clock.steady() - began

    def _dial_text(self, text: str, kind: ConnectionType) -> Connection | None:
        if not self._manager.network_active:
            return None
        if self._manager.is_connected_to_name(text):
            self._failed(text, kind, ALREADY_CONNECTED)
            return None
        proxy = self._routes.name_proxy
        if proxy is not None and not _is_address(text):
            return self._dial_name(proxy, text, kind)
        try:
            addresses = self._resolver.addresses(text)
        except (OSError, ValueError) as error:
            self._failed(text, kind, UNKNOWN_NAME, f"unknown name: {reason_of(error)}")
            return None
        for address in addresses:
            peer = self.dial(self._routes.locate(address), kind, text)
            if peer is not None:
                return peer
        return None

    # -- the connection itself -----------------------------------------------------------------------------------

    def dial(
        self, address: NetworkAddress, kind: ConnectionType, name: str | None = None, *, count_failure: bool = False
    ) -> Connection | None:
        """One attempt; the connection, or None with the reason in `failures`.

        The address manager hears of it, unless the proxy is to blame. ``count_failure``: a failure would be the
        address's own fault.
        """
        shown = name or str(address)
        if not self._manager.network_active:
            return None
        if self._manager.is_connected_to(address):
            self._failed(shown, kind, ALREADY_CONNECTED)
            return None
        self._manager.statistics.attempts[kind] += 1
        try:
            sock = self._routes.connect(address, self._timeout, self._rng)
        except (OSError, DeadlineExceeded) as error:
            self._failed(shown, kind, error)
            if not isinstance(error, ProxyError):
                self._addrman.attempt(address, count_failure)
            return None
        self._addrman.attempt(address, count_failure)
        return self._take_over(sock, address, kind, name)

    def _dial_name(self, proxy: Proxy, text: str, kind: ConnectionType) -> Connection | None:
        """One attempt at a name that the proxy is to look up; we never learn the address."""
        self._manager.statistics.attempts[kind] += 1
        try:
            host, port = split_host_port(text)
            sock = proxy.connect(host, port or self._resolver.default_port, self._timeout, self._rng)
        except (OSError, ValueError) as error:
            self._failed(text, kind, error)
            return None
        return self._take_over(sock, NetworkAddress.internal(text), kind, text)

    def _take_over(
        self, sock: socket.socket, address: NetworkAddress, kind: ConnectionType, name: str | None
    ) -> Connection | None:
        if self._stopping.is_set() or not self._manager.network_active:
            sock.close()
            return None
        peer = self._manager.add(sock, address, kind, name)
        if sock.family != socket.AF_UNIX:
            peer.bind = self._routes.locate(address_of(sock.getsockname()))
        return peer

    def _failed(self, target: str, kind: ConnectionType, why: str | Exception, reason: str | None = None) -> None:
        """Note it; ``reason`` is what to tell people, where ``why`` says too little."""
        self._manager.statistics.failed(kind, why)
        reason = reason or (why if isinstance(why, str) else reason_of(why))
        log.debug("connection to %s failed: %s", target, reason)
        self.failures.pop(target, None)
        self.failures[target] = reason
        if len(self.failures) > MAX_FAILURES:
            del self.failures[next(iter(self.failures))]

    def close(self) -> None:
        """Stop dialing; connections are the manager's."""
        self._stopping.set()
        tasks = [target.task for target in self._targets.values() if target.task is not None]
        gevent.killall(tasks, timeout=1.0)


def _is_address(text: str) -> bool:
    """Whether a target is anything but a name to look up."""
    try:
        NetworkAddress.parse(text)
    except ValueError:
        return False
    return True

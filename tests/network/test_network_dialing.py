"""Listening, dialing and names, on loopback and with fakes."""

import errno
import os
import random
import socket as native_socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gevent
import gevent.socket
import pytest

from ccnode.errors import ExitStatus, StartupError
from ccnode.network import dialer as dialer_module
from ccnode.network import dns as dns_module
from ccnode.network import listener as listener_module
from ccnode.network import routes as routes_module
from ccnode.network.dialer import Dialer
from ccnode.network.dns import HostResolver
from ccnode.network.hub import DeadlineExceeded
from ccnode.network.listener import LONG, Listener, bind
from ccnode.network.routes import Routes
from ccnode.network.socks5 import ProxyError
from ccnode.network.statistics import ConnectionStatistics
from ccnode.peers.peer import ConnectionType
from ccnode.rng import Rng
from ccnode.wire.address import NetworkAddress
from tests.support.clock import ManualClock
from tests.support.network import eventually

OUTBOUND = ConnectionType.OUTBOUND_FULL_RELAY


# -- listener ----------------------------------------------------------------------------------------------------------


def listening() -> gevent.socket.socket:
    sock = gevent.socket.socket(gevent.socket.AF_INET, gevent.socket.SOCK_STREAM)
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def test_accepted_sockets_come_with_both_addresses() -> None:
    taken: list[tuple[NetworkAddress, NetworkAddress]] = []
    listener = Listener(listening(), lambda sock, remote, local: (taken.append((remote, local)), sock.close()))
    client = gevent.socket.create_connection(("127.0.0.1", listener.address.port))
    eventually(lambda: taken)
    assert taken == [(NetworkAddress.parse(f"127.0.0.1:{client.getsockname()[1]}"), listener.address)]
    listener.close()
    with pytest.raises(OSError, match="refused"):
        gevent.socket.create_connection(("127.0.0.1", listener.address.port))
    client.close()


def test_accepting_that_takes_long_has_half_of_the_time() -> None:
    """Where each connection makes another one go, choosing whom takes the processor."""
    taken: list[gevent.socket.socket] = []

    def accepted(sock: gevent.socket.socket, _remote: NetworkAddress, _local: NetworkAddress) -> None:
        taken.append(sock)
        end = time.monotonic() + 5 * LONG
        while time.monotonic() < end:
            pass

    listener = Listener(listening(), accepted)
    began = time.monotonic()
    crowd = [gevent.socket.create_connection(("127.0.0.1", listener.address.port)) for _ in range(20)]
    eventually(lambda: len(taken) == len(crowd))
    assert time.monotonic() - began > (2 * len(crowd) - 1) * 5 * LONG
    listener.close()
    for sock in [*crowd, *taken]:
        sock.close()


class FullSocket:
    """A listening socket whose first two calls fail, if not told otherwise for want of a descriptor."""

    def __init__(self, sock: gevent.socket.socket, error: int = errno.EMFILE) -> None:
        self._sock = sock
        self._error = error
        self.refusals = 0

    def accept(self):
        if self.refusals < 2:
            self.refusals += 1
            raise OSError(self._error, os.strerror(self._error))
        return self._sock.accept()

    def __getattr__(self, name: str):
        return getattr(self._sock, name)


def test_without_descriptors_accepting_pauses_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener_module, "FULL_PAUSE", 0.05)
    sock = FullSocket(listening())
    taken: list[NetworkAddress] = []
    listener = Listener(sock, lambda s, remote, _local: (taken.append(remote), s.close()))  # type: ignore[arg-type]
    client = gevent.socket.create_connection(("127.0.0.1", listener.address.port))
    gevent.sleep(0.01)
    assert (sock.refusals, taken) == (1, [])
    eventually(lambda: taken)
    assert sock.refusals == 2
    listener.close()
    client.close()


def test_a_connection_that_is_gone_before_it_is_accepted_costs_no_pause() -> None:
    sock = FullSocket(listening(), errno.ECONNABORTED)
    taken: list[NetworkAddress] = []
    listener = Listener(sock, lambda s, remote, _local: (taken.append(remote), s.close()))  # type: ignore[arg-type]
    client = gevent.socket.create_connection(("127.0.0.1", listener.address.port))
    with gevent.Timeout(0.5):  # a restart of the loop would pause for a second
        while not taken:
            gevent.sleep(0.01)
    assert sock.refusals == 2
    listener.close()
    client.close()


class Masked:
    """A listening socket whose first caller seems to come from ``where``."""

    def __init__(self, sock: gevent.socket.socket, where: tuple[str, int, int, int]) -> None:
        self._sock = sock
        self._where: list[tuple[str, int, int, int]] = [where]

    def accept(self):
        sock, remote = self._sock.accept()
        return sock, self._where.pop() if self._where else remote

    def __getattr__(self, name: str):
        return getattr(self._sock, name)


@pytest.mark.parametrize("where", ["fd87:d87e:eb43::1", "fd6b:88c0:8724::1"])
def test_who_comes_from_where_ipv6_is_no_longer_used_is_closed_and_the_next_accepted(where: str) -> None:
    """Within a local network anybody can take such an address; a restart of the loop would pause."""
    taken: list[NetworkAddress] = []
    listener = Listener(
        Masked(listening(), (where, 7, 0, 0)),  # type: ignore[arg-type]
        lambda sock, remote, _local: (taken.append(remote), sock.close()),
    )
    with gevent.Timeout(0.5), gevent.socket.create_connection(("127.0.0.1", listener.address.port)) as odd:
        assert odd.recv(1) == b""
    with gevent.socket.create_connection(("127.0.0.1", listener.address.port)) as client, gevent.Timeout(0.5):
        while not taken:
            gevent.sleep(0.001)
        assert taken == [NetworkAddress.parse(f"127.0.0.1:{client.getsockname()[1]}")]
    listener.close()


def test_an_address_that_cannot_be_had_is_named() -> None:
    taken = native_socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    for address, words in ((f"127.0.0.1:{port}", "another program listens"), ("192.0.2.1:1", "has no address")):
        with pytest.raises(StartupError, match=words) as caught:
            bind(NetworkAddress.parse(address))
        assert caught.value.exit_status is ExitStatus.BIND
    taken.close()


# -- dialer ------------------------------------------------------------------------------------------------------------


class FakeLink:
    """What a manager makes of a socket."""

    def __init__(self, address: NetworkAddress, kind: ConnectionType, name: str) -> None:
        self.address = address
        self.name = name
        self.connection_type = kind
        self.inbound = False
        self.ended = gevent.event.Event()


class FakeManager:
    """Keeps what the dialer brings."""

    def __init__(self) -> None:
        self.peers: dict[int, FakeLink] = {}
        self.network_active = True
        self.statistics = ConnectionStatistics()

    def add(self, _sock, address: NetworkAddress, kind: ConnectionType, name: str | None) -> FakeLink:
        link = FakeLink(address, kind, name or str(address))
        self.peers[len(self.peers)] = link
        return link

    def is_connected_to(self, address: NetworkAddress) -> bool:
        return any(link.address == address for link in self.peers.values())

    def is_connected_to_name(self, name: str) -> bool:
        return any(link.name == name for link in self.peers.values())

    def wait_gone(self, link: FakeLink) -> None:
        link.ended.wait()
        self.peers = {number: other for number, other in self.peers.items() if other is not link}


class FakeBook:
    """An address manager that keeps what it is told."""

    def __init__(self, known: int = 0) -> None:
        self.known = known
        self.added: list[tuple[NetworkAddress, list]] = []
        self.attempts: list[tuple[NetworkAddress, bool]] = []

    def add(self, entries, source: NetworkAddress) -> int:
        self.added.append((source, list(entries)))
        return len(entries)

    def attempt(self, address: NetworkAddress, count_failure: bool) -> None:
        self.attempts.append((address, count_failure))

    def __len__(self) -> int:
        return self.known + len(self.added)


@dataclass(frozen=True)
class SwitchedRoutes(Routes):
    """Routes on which a test makes the connections."""

    switch: Callable[[NetworkAddress], gevent.socket.socket]

    def connect(self, address: NetworkAddress, _timeout: float, _rng: Rng):  # type: ignore[no-untyped-def]
        return self.switch(address)


class Switchboard:
    """A dialer whose connection attempts a test decides: ``answers[host]`` is an error, or how long it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(dialer_module, "FIRST_PAUSE", 0.002)
        self.dialed: list[str] = []
        self.answers: dict[str, OSError | float] = {}
        self.at_once = self.most_at_once = 0
        self.manager = FakeManager()
        self.book = FakeBook()
        self.resolver = HostResolver(18444, names=False)
        self.dialer = Dialer(
            self.manager,  # type: ignore[arg-type]
            self.book,  # type: ignore[arg-type]
            self.resolver,
            SwitchedRoutes(self._connect),
            ManualClock(),
            random.Random(1),
            timeout=1.0,
        )

    def _connect(self, address: NetworkAddress) -> gevent.socket.socket:
        self.dialed.append(str(address))
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        answer = self.answers.get(address.host, 0.001)
        gevent.sleep(answer if isinstance(answer, float) else 0.001)
        self.at_once -= 1
        if isinstance(answer, OSError):
            raise answer
        return gevent.socket.socket()

    def connected(self) -> list[str]:
        return [str(link.address) for link in self.manager.peers.values()]


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch) -> Iterator[Switchboard]:
    board = Switchboard(monkeypatch)
    yield board
    board.dialer.close()
    board.resolver.close()


def test_a_configured_target_is_kept_connected(board: Switchboard) -> None:
    board.dialer.connect(["127.0.0.1:1"])
    for _ in range(3):
        eventually(board.connected)
        [link] = board.manager.peers.values()
        assert link.connection_type is ConnectionType.MANUAL
        link.ended.set()
        dials = len(board.dialed)
        eventually(lambda dials=dials: len(board.dialed) > dials)


def test_the_pause_doubles_up_to_the_cap_of_its_kind(board: Switchboard, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    board.answers["127.0.0.1"] = OSError(errno.ECONNREFUSED, "Connection refused")
    monkeypatch.setattr(dialer_module, "FIRST_PAUSE", 0.5)
    stopping = board.dialer._stopping

    class Recorder:
        def wait(self, pause: float) -> bool:
            pauses.append(pause)
            gevent.sleep(0)
            return len(pauses) == 12

        def is_set(self) -> bool:
            return stopping.is_set()

        def set(self) -> None:
            stopping.set()

    monkeypatch.setattr(board.dialer, "_stopping", Recorder())
    board.dialer.connect(["127.0.0.1:1"])
    eventually(lambda: len(pauses) == 12)
    assert pauses[:5] == [0.5, 1.0, 2.0, 4.0, 5.0]
    assert set(pauses[5:]) == {5.0}
    pauses.clear()
    board.dialer.add_node("127.0.0.1:2")
    eventually(lambda: len(pauses) == 12)
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0, 60.0, 60.0]
    assert board.dialer.failures == {"127.0.0.1:1": "Connection refused", "127.0.0.1:2": "Connection refused"}


def test_added_nodes_come_and_go(board: Switchboard) -> None:
    assert board.dialer.add_node("127.0.0.1:5")
    assert not board.dialer.add_node("127.0.0.1:5")
    assert board.dialer.added_nodes == ["127.0.0.1:5"]
    eventually(lambda: board.connected() == ["127.0.0.1:5"])
    assert board.dialer.remove_node("127.0.0.1:5")
    assert not board.dialer.remove_node("127.0.0.1:5")
    assert board.connected() == ["127.0.0.1:5"], "the open connection stays"
    assert board.dialer.try_once("127.0.0.1:5") is None
    assert board.dialer.failures["127.0.0.1:5"] == "already connected"
    assert board.dialer.try_once("nowhere.example") is None
    assert "dns is off" in board.dialer.failures["nowhere.example"]


def test_only_eight_addnode_targets_are_connected_at_a_time(board: Switchboard) -> None:
    for port in range(1, 11):
        board.dialer.add_node(f"127.0.0.1:{port}")
    first = {f"127.0.0.1:{port}" for port in range(1, 9)}
    eventually(lambda: set(board.connected()) == first)
    gevent.sleep(0.05)
    assert set(board.dialed) == first, "the others wait"
    board.dialer.connect(["127.0.0.1:77"])
    assert board.dialer.try_once("127.0.0.1:78") is not None
    eventually(lambda: len(board.connected()) == 10)
    ended = next(link for link in board.manager.peers.values() if str(link.address) == "127.0.0.1:3")
    ended.ended.set()
    eventually(lambda: "127.0.0.1:9" in board.connected())
    board.dialer.remove_node("127.0.0.1:10")
    next(link for link in board.manager.peers.values() if str(link.address) == "127.0.0.1:4").ended.set()
    eventually(lambda: "127.0.0.1:3" in board.connected())
    assert "127.0.0.1:10" not in board.dialed


def test_a_connect_target_is_no_added_node(board: Switchboard) -> None:
    board.dialer.connect(["127.0.0.1:1"])
    assert board.dialer.added_nodes == []
    assert not board.dialer.remove_node("127.0.0.1:1")
    eventually(lambda: board.connected() == ["127.0.0.1:1"])


def test_with_the_network_off_nothing_is_dialed_or_looked_up(board: Switchboard) -> None:
    board.manager.network_active = False
    board.dialer.connect(["127.0.0.1:1"])
    board.dialer.add_node("127.0.0.1:2")
    assert board.dialer.try_once("nowhere.example") is None
    assert board.dialer.dial(NetworkAddress.parse("8.8.8.8:8333"), OUTBOUND) is None
    gevent.sleep(0.05)
    assert (board.dialed, board.dialer.failures, board.book.attempts) == ([], {}, [])
    board.manager.network_active = True
    eventually(lambda: len(board.connected()) == 2)


def test_a_target_is_connected_once_by_name_and_by_address(board: Switchboard) -> None:
    assert board.dialer.try_once("127.0.0.1:5") is not None
    assert board.dialer.try_once("127.0.0.1:5") is None, "by name"
    assert board.dialer.dial(NetworkAddress.parse("127.0.0.1:5"), OUTBOUND) is None, "by address and port"
    assert board.dialer.try_once("127.0.0.1:6") is not None, "a person may have two connections to one address"
    assert board.dialed == ["127.0.0.1:5", "127.0.0.1:6"]


def test_a_real_connection_and_its_failures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_module, "socket", gevent.socket)
    server = listening()
    address = NetworkAddress.parse(f"127.0.0.1:{server.getsockname()[1]}")
    routes = Routes()
    sock = routes.connect(address, 1.0, random.Random(1))
    sock.close()
    server.close()
    with pytest.raises(OSError, match="refused"):
        routes.connect(address, 1.0, random.Random(1))
    onion = NetworkAddress.parse("pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:8333")
    with pytest.raises(OSError, match="proxy"):
        routes.connect(onion, 1.0, random.Random(1))


def test_who_does_not_answer_is_given_up_after_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_module, "socket", gevent.socket)
    server = native_socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen(0)
    address = NetworkAddress.parse(f"127.0.0.1:{server.getsockname()[1]}")
    with server, native_socket.create_connection(server.getsockname()), pytest.raises(DeadlineExceeded):
        Routes().connect(address, 0.1, random.Random(1))  # nobody accepts, and the queue is full


def test_the_address_manager_hears_of_every_attempt(board: Switchboard) -> None:
    address = NetworkAddress.parse("127.0.0.1:5")
    board.answers["127.0.0.1"] = OSError(errno.ECONNREFUSED, "Connection refused")
    assert board.dialer.dial(address, OUTBOUND, count_failure=True) is None
    board.answers.clear()
    assert board.dialer.dial(address, OUTBOUND, count_failure=True) is not None
    assert board.dialer.dial(address, OUTBOUND, count_failure=True) is None, "connected already: that is no attempt"
    assert board.book.attempts == [(address, True)] * 2


def test_a_fault_of_the_proxy_is_not_held_against_the_address(board: Switchboard) -> None:
    board.answers["8.8.8.8"] = ProxyError("proxy 127.0.0.1:9050: Connection refused")
    assert board.dialer.dial(NetworkAddress.parse("8.8.8.8:8333"), OUTBOUND, count_failure=True) is None
    assert board.dialer.failures == {"8.8.8.8:8333": "proxy 127.0.0.1:9050: Connection refused"}
    assert board.book.attempts == []


# -- names ------------------------------------------------------------------------------------------------------------


def test_numeric_targets_need_no_resolver() -> None:
    resolver = HostResolver(8333, names=True)
    assert [str(address) for address in resolver.addresses("1.2.3.4")] == ["1.2.3.4:8333"]
    assert [str(address) for address in resolver.addresses("[::1]:5")] == ["[::1]:5"]
    assert "127.0.0.1:7" in [str(address) for address in resolver.addresses("localhost:7")]
    resolver.close()


def test_a_look_up_without_end_does_not_hold_up_the_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(dns_module, "_native_getaddrinfo", lambda _host, _port: answered.wait(30) and [])
    monkeypatch.setattr(dns_module, "CLOSE_SECONDS", 0.05)
    resolver = HostResolver(8333)
    question = gevent.spawn(resolver.addresses, "node.example")
    gevent.sleep(0.01)
    question.kill()
    with gevent.Timeout(5):
        resolver.close()
    answered.set()


@pytest.mark.parametrize("target", ["no-such-name.invalid", "two..dots"])
def test_an_unknown_name_is_a_reason_and_no_traceback(target: str, capsys: pytest.CaptureFixture[str]) -> None:
    resolver = HostResolver(8333)
    with pytest.raises((OSError, UnicodeError)):
        resolver.addresses(target)
    resolver.close()
    assert capsys.readouterr().err == ""

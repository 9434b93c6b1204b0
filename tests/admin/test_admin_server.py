"""The admin socket: real unix sockets, the server in greenlets, clients in threads of the operating system."""

import json
import os
import socket
import stat
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import gevent
import pytest
from gevent.event import Event

from ccnode.admin import server as server_module
from ccnode.admin.arguments import Arg, ArgType
from ccnode.admin.jsonrpc import Dispatcher
from ccnode.admin.registry import Registry
from ccnode.admin.server import AdminServer
from ccnode.clock import SystemClock
from ccnode.errors import ExitStatus, StartupError
from ccnode.network import hub

T = TypeVar("T")
registry = Registry()


@registry.command("echo", "t", args=[Arg("a", ArgType.ANY, "", default=None)], help="", result="")
def echo(node: object, a: object) -> object:
    return a


@registry.command("big", "t", args=[Arg("bytes", ArgType.INTEGER, "")], help="", result="")
def big(node: object, bytes: int) -> list[str]:  # noqa: A002
    return ["x" * 97] * (bytes // 100)


@registry.command("waitforgate", "t", help="", result="")
def wait_for_gate(node: types.SimpleNamespace) -> str:
    node.waiting.set()
    node.gate.wait()
    return "open"


@pytest.fixture
def context() -> types.SimpleNamespace:
    return types.SimpleNamespace(clock=SystemClock(), active_commands=[], gate=Event(), waiting=Event())


@pytest.fixture
def start(tmp_path: Path, context: types.SimpleNamespace) -> Iterator[Callable[..., AdminServer]]:
    """Starts servers on tmp_path/admin.sock; closes them, and checks that no greenlet or descriptor is left."""
    gevent.get_hub().threadpool.apply(int)  # its descriptors exist before the count
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    servers = []

    def start(**limits: float) -> AdminServer:
        server = AdminServer(tmp_path / "admin.sock", Dispatcher(registry, context).answer, **limits)
        server.start()
        servers.append(server)
        return server

    yield start
    context.gate.set()
    for server in servers:
        server.close()
        assert not server._clients
    if descriptors:
        gevent.sleep(0.001)
        assert len(os.listdir("/proc/self/fd")) <= descriptors


class Client:
    """A plain blocking client; use it through `outside`, in a thread."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(10)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def send(self, method: str, *params: object, ident: object = 1) -> None:
        request = {"jsonrpc": "2.0", "id": ident, "method": method, "params": list(params)}
        self.socket.sendall(json.dumps(request).encode() + b"\n")

    def read(self) -> dict[str, object]:
        reply: dict[str, object] = json.loads(self.file.readline())
        return reply

    def call(self, method: str, *params: object) -> object:
        self.send(method, *params)
        return self.read()["result"]

    def close(self) -> None:
        self.file.close()
        self.socket.close()


def outside(function: Callable[..., T], *args: object) -> T:
    """Run in a thread, so that the server's greenlets go on meanwhile."""
    result: T = gevent.get_hub().threadpool.apply(function, args)
    return result


def test_requests_are_answered_in_order(start: Callable[..., AdminServer]) -> None:
    server = start()

    def talk() -> list[object]:
        client = Client(server.path)
        for number in range(200):
            client.send("echo", number, ident=number)
        answers = [client.read() for _ in range(200)]
        client.close()
        return [(answer["id"], answer["result"]) for answer in answers]

    assert outside(talk) == [(number, number) for number in range(200)]


def test_a_waiting_client_does_not_hold_another(
    start: Callable[..., AdminServer], context: types.SimpleNamespace
) -> None:
    server = start()
    first = outside(Client, server.path)
    outside(first.send, "waitforgate")
    context.waiting.wait(5)
    second = outside(Client, server.path)
    assert outside(second.call, "echo", "through") == "through"
    assert [each.method for each in context.active_commands] == ["waitforgate"]
    context.gate.set()
    assert outside(first.read)["result"] == "open"
    first.close()
    second.close()


def test_garbage_is_answered_and_the_client_kept(start: Callable[..., AdminServer]) -> None:
    server = start()

    def talk() -> object:
        client = Client(server.path)
        client.socket.sendall(b"\x00garbage\xff\n\n  \n")
        assert client.read()["error"] == {"code": -32700, "message": "Parse error"}
        client.socket.sendall(b'{"jsonrpc":"2.0","method":"echo"}\n')  # a notification: no answer
        client.socket.sendall(b'[{"jsonrpc":"2.0","id":7,"method":"echo","params":["b"]}]\n')
        batch = json.loads(client.file.readline())
        result = client.call("echo", 3)
        client.close()
        return batch, result

    assert outside(talk) == ([{"jsonrpc": "2.0", "result": "b", "id": 7}], 3)


def test_a_request_may_come_in_pieces(start: Callable[..., AdminServer]) -> None:
    server = start()

    def talk() -> object:
        client = Client(server.path)
        for byte in b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["drip"]}\n':
            client.socket.sendall(bytes([byte]))
        result = client.read()["result"]
        client.close()
        return result

    assert outside(talk) == "drip"


@pytest.mark.parametrize("ending", [b"", b"\n"])
def test_a_line_over_the_limit_ends_the_client(start: Callable[..., AdminServer], ending: bytes) -> None:
    server = start(max_line=1000)

    def talk(size: int) -> tuple[object, bytes]:
        client = Client(server.path)
        shell = b'{"jsonrpc":"2.0","id":1,"method":"echo","params":["%s"]}'
        client.socket.sendall(shell % (b"x" * (size - len(shell) + 2)) + (ending if size > 1000 else b"\n"))
        reply = client.read()
        client.socket.shutdown(socket.SHUT_WR)
        rest = client.file.read()
        client.close()
        return reply.get("error"), rest

    assert outside(talk, 1000) == (None, b"")
    assert outside(talk, 1001) == ({"code": -32600, "message": "a request line is over 1000 bytes"}, b"")


def test_an_unfinished_line_is_not_run(start: Callable[..., AdminServer], context: types.SimpleNamespace) -> None:
    server = start()

    def talk() -> bytes:
        client = Client(server.path)
        client.socket.sendall(b'{"jsonrpc":"2.0","id":1,"method":"waitforgate"}')
        client.socket.shutdown(socket.SHUT_WR)
        rest = client.file.read()
        client.close()
        return rest

    assert outside(talk) == b""
    assert not context.waiting.is_set()


def test_a_client_that_does_not_read_is_closed(start: Callable[..., AdminServer]) -> None:
    server = start(send_seconds=0.05)
    stuck = outside(Client, server.path)
    outside(stuck.send, "big", 5_000_000)
    other = outside(Client, server.path)
    assert outside(other.call, "echo", 1) == 1
    with gevent.Timeout(5):
        while len(server._clients) > 1:
            gevent.sleep(0.01)
    assert len(outside(stuck.file.read)) < 5_000_000
    stuck.close()
    other.close()


def test_an_idle_client_is_closed(start: Callable[..., AdminServer]) -> None:
    server = start(idle_seconds=0.05)
    client = outside(Client, server.path)
    assert outside(client.file.read) == b""
    client.close()


def test_a_long_answer_lets_others_run(start: Callable[..., AdminServer], monkeypatch: pytest.MonkeyPatch) -> None:
    breaths = []
    monkeypatch.setattr(hub, "SLICE_SECONDS", -1.0)
    monkeypatch.setattr(hub, "breathe", lambda: breaths.append(1))
    client = outside(Client, start().path)
    assert len(outside(client.call, "big", 1_000_000)) == 10_000
    assert len(breaths) >= 10_000  # at least one for each element
    client.close()


def test_only_so_many_clients(start: Callable[..., AdminServer]) -> None:
    server = start(max_clients=2)
    clients = [outside(Client, server.path) for _ in range(2)]
    assert [outside(client.call, "echo", 1) for client in clients] == [1, 1]
    third = outside(Client, server.path)
    assert outside(third.read)["error"] == {"code": -32600, "message": "too many admin clients (2)"}
    assert outside(third.file.read) == b""
    clients.pop().close()
    third.close()
    with gevent.Timeout(5):
        while len(server._clients) > 1:
            gevent.sleep(0.001)
    fourth = outside(Client, server.path)
    assert outside(fourth.call, "echo", 4) == 4
    fourth.close()
    clients.pop().close()


def test_those_who_left_while_their_command_waits_make_room(
    start: Callable[..., AdminServer], context: types.SimpleNamespace
) -> None:
    server = start(max_clients=2)
    gone, quiet = (outside(Client, server.path) for _ in range(2))
    for client in (gone, quiet):
        outside(client.send, "waitforgate")
    with gevent.Timeout(5):
        while len(context.active_commands) < 2:
            gevent.sleep(0.001)
    gone.close()
    quiet.socket.shutdown(socket.SHUT_WR)  # it only says no more, and wants its answer
    newcomer = outside(Client, server.path)
    assert outside(newcomer.call, "echo", 1) == 1
    assert len(context.active_commands) == 1
    context.gate.set()
    assert outside(quiet.read)["result"] == "open"
    quiet.close()
    newcomer.close()


def test_the_file_is_private(start: Callable[..., AdminServer]) -> None:
    server = start()
    assert stat.S_IMODE(server.path.stat().st_mode) == 0o600


def test_another_user_is_refused(start: Callable[..., AdminServer], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "peer_uid", lambda connection: os.geteuid() + 1)
    server = start()
    client = outside(Client, server.path)
    assert outside(client.read)["error"] == {"code": -32600, "message": "not your node"}
    client.close()


@pytest.mark.skipif(not hasattr(socket, "SO_PEERCRED"), reason="this system has no SO_PEERCRED")
def test_credentials_are_read() -> None:
    ours, theirs = gevent.socket.socketpair(socket.AF_UNIX)
    assert server_module.peer_uid(ours) == os.geteuid()
    ours.close()
    theirs.close()


def test_a_stale_file_is_replaced(start: Callable[..., AdminServer], tmp_path: Path) -> None:
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    dead.bind(str(tmp_path / "admin.sock"))
    dead.close()
    client = outside(Client, start().path)
    assert outside(client.call, "echo", 1) == 1
    client.close()


def test_a_living_socket_stops_the_start(start: Callable[..., AdminServer], tmp_path: Path) -> None:
    server = start()
    with pytest.raises(StartupError, match="another node answers on") as error:
        start()
    assert error.value.exit_status is ExitStatus.LOCKED
    client = outside(Client, server.path)
    assert outside(client.call, "echo", 1) == 1
    client.close()


def test_another_file_is_not_removed(start: Callable[..., AdminServer], tmp_path: Path) -> None:
    (tmp_path / "admin.sock").write_text("mine")
    with pytest.raises(StartupError, match="is not a socket"):
        start()
    assert (tmp_path / "admin.sock").read_text() == "mine"


def test_a_path_that_cannot_be_used(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "admin.sock", tmp_path / ("x" * 200)):
        with pytest.raises(StartupError, match="cannot open the admin socket"):
            AdminServer(path, lambda line: iter(())).start()


def test_close_lets_the_answer_out_and_removes_the_file(
    start: Callable[..., AdminServer], context: types.SimpleNamespace
) -> None:
    server = start()
    busy, idle = outside(Client, server.path), outside(Client, server.path)
    outside(busy.send, "waitforgate")
    context.waiting.wait(5)
    gevent.spawn_later(0.02, context.gate.set)
    server.close()
    server.close()
    assert outside(busy.read)["result"] == "open"
    assert outside(busy.file.read) == b""
    assert outside(idle.file.read) == b""
    assert not server.path.exists()
    busy.close()
    idle.close()


def test_close_does_not_wait_for_ever(
    start: Callable[..., AdminServer], context: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "CLOSE_SECONDS", 0.05)
    server = start()
    client = outside(Client, server.path)
    outside(client.send, "waitforgate")
    context.waiting.wait(5)
    server.close()
    assert outside(client.file.read) == b""
    client.close()


def test_accept_survives_running_out_of_descriptors(
    start: Callable[..., AdminServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_ACCEPT_PAUSE_SECONDS", 0.001)
    failures = [OSError(24, "Too many open files"), OSError(23, "Too many open files in system")]
    accept = gevent.socket.socket.accept

    def failing(listener: gevent.socket.socket) -> object:
        if failures:
            raise failures.pop()
        return accept(listener)

    monkeypatch.setattr(gevent.socket.socket, "accept", failing)
    client = outside(Client, start().path)
    assert outside(client.call, "echo", 1) == 1
    assert not failures
    client.close()

"""Fifty clients at once on the admin socket, some of them up to no good: the node is unharmed and the others served."""

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from ccnode.admin.client import subscribe
from tests.support.process import NodeProcess
from tests.support.scripted import Link, wait_until

DECENT = 45
CALLS = 20
ROOM = 80_000_000
"""Bytes of memory by which the node may grow in all of this."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("crowd") / "node") as process:
        yield process


@pytest.fixture(scope="module")
def alone(node: NodeProcess) -> Callable[[], None]:
    """Waits until the node serves nobody but who asks: as at its start."""
    quiet = node.rpc("getnodestats")["greenlets"]
    return lambda: wait_until(lambda: node.rpc("getnodestats")["greenlets"] <= quiet) and None


def connect(node: NodeProcess) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.settimeout(30)
    sock.connect(str(node.socket))
    return sock


def request(method: str, *params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode() + b"\n"


def never_reads(node: NodeProcess, stop: threading.Event) -> None:
    """Asks for as much as it can send, and takes none of the answers."""
    with connect(node) as sock:
        sock.settimeout(0.2)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                sock.sendall(request("describe") * 100)


def sends_garbage(node: NodeProcess, stop: threading.Event) -> None:
    """And reads some of what the node says of it."""
    with connect(node) as sock:
        sock.settimeout(0.2)
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                sock.sendall(b"\x00\xff garbage\n[[[[{\n\n\n\n" * 100)
                sock.recv(1 << 20)


def sends_a_huge_line(node: NodeProcess, stop: threading.Event) -> None:
    """100 MB without an end, as often as there is time."""
    piece = b"x" * 1_000_000
    while not stop.is_set():
        with connect(node) as sock, contextlib.suppress(ConnectionError):
            for _ in range(100):
                sock.sendall(piece)
            raise AssertionError("the node took it all")


def sends_nothing_but_newlines(node: NodeProcess, stop: threading.Event) -> None:
    with connect(node) as sock:
        while not stop.is_set():
            sock.sendall(b"\n" * 1_000_000)


def listens_and_never_reads(node: NodeProcess, stop: threading.Event) -> None:
    with connect(node) as sock:
        sock.sendall(request("subscribe", ["message", "log", "peer"], {"level": "debug"}))
        stop.wait()


HOSTILE: list[Callable[[NodeProcess, threading.Event], None]] = [
    never_reads,
    sends_garbage,
    sends_a_huge_line,
    sends_nothing_but_newlines,
    listens_and_never_reads,
]


def test_fifty_clients_at_once(node: NodeProcess, alone: Callable[[], None]) -> None:
    node.rpc("logging", ["net"])
    before = node.rpc("getmemoryinfo")["rss"]
    stop = threading.Event()
    failures: list[BaseException] = []
    slowest = [0.0]

    def decent() -> None:
        try:
            with connect(node) as sock, sock.makefile("rb") as answers:
                for number in range(CALLS):
                    begun = time.monotonic()
                    sock.sendall(request("echo", number) + request("getblockcount"))
                    assert json.loads(answers.readline())["result"] == [number]
                    assert json.loads(answers.readline())["result"] == 0
                    slowest[0] = max(slowest[0], time.monotonic() - begun)
        except (OSError, AssertionError, ValueError) as error:
            failures.append(error)

    def hostile(behave: Callable[[NodeProcess, threading.Event], None]) -> None:
        try:
            _quietly(behave, node, stop)
        except AssertionError as error:
            failures.append(error)

    villains = [threading.Thread(target=hostile, args=(behave,)) for behave in HOSTILE]
    for thread in villains:
        thread.start()
    link = Link.connect(node.port)  # gives the subscriber something to miss
    link.handshake()
    clients = [threading.Thread(target=decent) for _ in range(DECENT)]
    for thread in clients:
        thread.start()
    for thread in clients:
        thread.join(60)
    stop.set()
    for thread in villains:
        thread.join(10)
    link.close()
    assert failures == []
    assert slowest[0] < 10
    assert node.rpc("getmemoryinfo")["rss"] < before + ROOM
    assert "Traceback" not in node.text()
    alone()


def test_the_crowd_leaves_nothing_behind(node: NodeProcess, alone: Callable[[], None]) -> None:
    for behave in HOSTILE[1:]:
        stop = threading.Event()
        thread = threading.Thread(target=_quietly, args=(behave, node, stop))
        thread.start()
        time.sleep(0.05)
        stop.set()
        thread.join(10)
    alone()


def _quietly(behave: Callable[[NodeProcess, threading.Event], None], node: NodeProcess, stop: threading.Event) -> None:
    with contextlib.suppress(OSError):
        behave(node, stop)


def test_who_comes_on_top_is_told(node: NodeProcess, alone: Callable[[], None]) -> None:
    alone()
    with contextlib.ExitStack() as stack:
        crowd = [stack.enter_context(connect(node)) for _ in range(64)]
        for sock in crowd:
            with contextlib.suppress(BrokenPipeError):  # then it was told why
                sock.sendall(request("uptime"))
            assert b'"result"' in (answer := sock.recv(1000)), answer
        late = stack.enter_context(connect(node))
        assert b"too many admin clients (64)" in late.recv(1000)


def test_those_who_left_while_they_waited_make_room(node: NodeProcess, alone: Callable[[], None]) -> None:
    alone()
    with contextlib.ExitStack() as stack:
        for _ in range(64):
            stack.enter_context(connect(node)).sendall(request("waitfornewblock"))
        wait_until(lambda: b"too many" in tried(node))
    assert len(node.rpc("getrpcinfo")["active_commands"]) == 1


def tried(node: NodeProcess) -> bytes:
    """What a further client hears."""
    with connect(node) as sock:
        with contextlib.suppress(BrokenPipeError):
            sock.sendall(request("uptime"))
        return sock.recv(1000)


def test_fifty_listeners_hear_the_same(node: NodeProcess, alone: Callable[[], None]) -> None:
    alone()
    streams = [subscribe(node.socket, ["ban"]) for _ in range(50)]
    node.rpc("setban", "9.9.9.0/24", "add")
    assert [next(events)["subnet"] for events in streams] == ["9.9.9.0/24"] * 50
    for events in streams:
        events.close()

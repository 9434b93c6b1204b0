"""Peers that break the rules, leave at the worst moment or do not answer: the node goes on with the honest ones.

The ordinary cases share one node, which is synchronised with one honest peer. After each fault that peer's chain grows,
and the node has to follow it and to be back at its one connection. Cases that wait for the node's 30 seconds of
patience are marked ``long``.
"""

import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccnode.wire.handshake import Verack, Version
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.serialize import compact_size
from tests.support.fakes import HeaderLine
from tests.support.hostile import (
    HEADER_FAULTS,
    Announcer,
    Dripper,
    Mute,
    Quitter,
    faulty_headers,
    frame,
)
from tests.support.process import NodeProcess
from tests.support.scripted import HeaderPeer, Link, version_message, wait_until

BATCH = 21
"""Headers of a batch with a fault."""

GROWTH = BATCH + 1
"""New headers of the honest chain after each case: more work than the valid part of such a batch can have."""

RESIDENT_GROWTH = 16_000_000
"""Bytes that all cases together may add to the node's memory."""


class Room:
    """A node and the honest peer it is synchronised with."""

    def __init__(self, node: NodeProcess, honest: Announcer) -> None:
        self.node = node
        self.honest = honest
        self.port = node.port

    def dial(self, *, handshake: bool = True) -> Link:
        link = Link.connect(self.port)
        if handshake:
            link.handshake()
        return link

    def assert_goes_on(self) -> None:
        """Only the honest peer is left, and what it announces is taken."""
        wait_until(lambda: self.node.rpc("getconnectioncount") == 1)
        self.honest.grow(GROWTH)
        tip = self.honest.tip_hash[::-1].hex()
        wait_until(lambda: self.node.rpc("getbestblockhash") == tip)

    def text_since(self, mark: int) -> str:
        return self.node.text()[mark:]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    line = HeaderLine().grow(50, spacing=1, start=int(time.time()) - 40_000)
    with (
        Announcer(line) as honest,
        NodeProcess(tmp_path_factory.mktemp("faults"), f"--connect={honest.target}") as node,
    ):
        wait_until(lambda: node.rpc("getblockcount") == line.height)
        before = node.rpc("getnodestats")
        yield Room(node, honest)
        after = node.rpc("getnodestats")
        assert after["greenlets"] <= before["greenlets"] + 2
        assert after["memory"]["resident"] - before["memory"]["resident"] < RESIDENT_GROWTH
        assert node.stop() == 0
        assert "Traceback" not in node.text(), node.text()


# -- leaving ----------------------------------------------------------------------------------------------------------

_HEADERS = frame("headers", Headers.build(HeaderLine().grow(2000).headers[1:]).encode())


def after_connecting(link: Link) -> None:
    """Nothing was said."""


def amid_the_first_frame_header(link: Link) -> None:
    link.send_raw(frame("version", version_message().encode())[:10])


def amid_the_version(link: Link) -> None:
    link.send_raw(frame("version", version_message().encode())[:50])


def after_version(link: Link) -> None:
    link.send(version_message())


def before_verack(link: Link) -> None:
    link.send(version_message())
    link.expect(Version)
    link.expect(Verack)


def after_handshake(link: Link) -> None:
    link.handshake()


def amid_a_frame_header(link: Link) -> None:
    link.handshake()
    link.send_raw(_HEADERS[:23])


def amid_a_small_payload(link: Link) -> None:
    link.handshake()
    link.send_raw(frame("ping", bytes(8))[:-1])


def amid_headers(link: Link) -> None:
    link.handshake()
    link.send_raw(_HEADERS[: len(_HEADERS) // 2])


def amid_the_last_header(link: Link) -> None:
    link.handshake()
    link.send_raw(_HEADERS[:-1])


def with_a_request_unanswered(link: Link) -> None:
    link.handshake()
    link.send(GetHeaders(()), *[Ping(i) for i in range(1000)])


STATES = [
    after_connecting,
    amid_the_first_frame_header,
    amid_the_version,
    after_version,
    before_verack,
    after_handshake,
    amid_a_frame_header,
    amid_a_small_payload,
    amid_headers,
    amid_the_last_header,
    with_a_request_unanswered,
]


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_peer_leaves_at_any_state(room: Room, state: Callable[[Link], None], reset: bool) -> None:
    for _ in range(3):
        link = room.dial(handshake=False)
        state(link)
        if reset:  # closing then discards what is unsent and answers with RST
            link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        link.close()
    room.assert_goes_on()


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_a_peer_ends_its_half_at_any_state(room: Room, state: Callable[[Link], None]) -> None:
    link = room.dial(handshake=False)
    state(link)
    link.sock.shutdown(socket.SHUT_WR)
    link.expect_close()
    link.close()
    room.assert_goes_on()


# -- breaking the framing ---------------------------------------------------------------------------------------------

FATAL = {
    "another magic": frame("ping", bytes(8), magic=b"\xf9\xbe\xb4\xd9"),
    "garbage": bytes(range(256)) * 64,
    "a length of 4 MB and one": frame("junk", b"")[:16] + (4_000_001).to_bytes(4, "little") + bytes(4),
    "a length of 4 GiB": frame("junk", b"")[:16] + b"\xff" * 4 + bytes(4),
    "2001 headers": frame("headers", compact_size(2001) + bytes(81) * 2001),
    "50,001 items": frame("inv", compact_size(50_001) + bytes(36) * 50_001),
    "a locator of 102": frame("getheaders", bytes(4) + compact_size(102) + bytes(32) * 103),
    "1001 addresses": frame("addr", compact_size(1001) + bytes(30) * 1001),
}

HARMLESS = {
    "a bad checksum": frame("ping", bytes(8), checksum=b"\1\2\3\4"),
    "a malformed command": frame("ping", bytes(8)).replace(b"ping\0", b"pi\0ng", 1),
    "a truncated list": frame("inv", b"\xfd\xff\xff" + bytes(100)),
    "a count of 2**64 - 1": frame("inv", b"\xff" * 9),
    "an unknown command": frame("whatever", bytes(1000)),
    "an empty message": frame("headers", b""),
    "4 MB in a command that has 8 bytes": frame("ping", bytes(3_999_999)),
    "a block nobody asked for": frame("block", bytes(2_000_000)),
}


@pytest.mark.parametrize("what", FATAL)
def test_a_peer_that_breaks_the_stream_or_a_limit_is_dropped(room: Room, what: str) -> None:
    with contextlib.closing(room.dial()) as link:
        with contextlib.suppress(OSError):  # it may be closed while we still send
            link.send_raw(FATAL[what])
        link.expect_close()
    room.assert_goes_on()


@pytest.mark.parametrize("what", HARMLESS)
def test_a_broken_message_costs_the_message_only(room: Room, what: str) -> None:
    with contextlib.closing(room.dial()) as link:
        link.send_raw(HARMLESS[what])
        link.send(Ping(77))
        while link.expect(Pong).nonce != 77:
            pass
    room.assert_goes_on()


@pytest.mark.parametrize("what", [*FATAL, *HARMLESS])
def test_nothing_of_it_matters_before_the_handshake(room: Room, what: str) -> None:
    with contextlib.closing(room.dial(handshake=False)) as link, contextlib.suppress(OSError):
        link.send_raw((FATAL | HARMLESS)[what])
    room.assert_goes_on()


# -- invalid headers --------------------------------------------------------------------------------------------------

PUNISHED = sorted(set(HEADER_FAULTS) - {"time-too-new"})
POSITIONS = {"first": 0, "middle": BATCH // 2, "last": BATCH - 1}
PLACED = [
    (fault, position)
    for fault in PUNISHED
    for position in POSITIONS
    if (fault, position) != ("non-continuous", "first")  # that is a header without its parent: see below
]


@pytest.mark.parametrize(("fault", "position"), PLACED)
def test_an_invalid_header_costs_an_inbound_peer_its_connection(room: Room, fault: str, position: str) -> None:
    headers = faulty_headers(room.honest.line, BATCH, POSITIONS[position], fault)
    mark = len(room.node.text())
    with contextlib.closing(room.dial()) as link:
        link.send(Headers.build(headers))
        link.expect_close()
    wait_until(lambda: fault in room.text_since(mark))
    height = room.node.rpc("getblockcount")
    checked_as_a_whole = fault in ("high-hash", "non-continuous")
    assert height == room.honest.line.height + (0 if checked_as_a_whole else POSITIONS[position])
    room.assert_goes_on()


@pytest.mark.parametrize("position", POSITIONS)
def test_a_header_from_the_future_is_refused_but_not_punished(room: Room, position: str) -> None:
    headers = faulty_headers(room.honest.line, BATCH, POSITIONS[position], "time-too-new")
    with contextlib.closing(room.dial()) as link:
        link.send(Headers.build(headers), Ping(5))
        assert link.expect(Pong).nonce == 5
        assert room.node.rpc("getblockcount") == room.honest.line.height + POSITIONS[position]
    room.assert_goes_on()


def test_headers_without_a_parent_wait_two_batches_deep(room: Room) -> None:
    line = room.honest.line.fork(0).grow(1, salt=7)
    with contextlib.closing(room.dial()) as link:
        for salt in range(6):
            orphans = line.fork(1).grow(5, salt=salt).headers[3:]
            link.send(Headers.build(orphans))
        link.send(Ping(5))
        assert link.expect(Pong).nonce == 5
        waiting = [peer["waiting_batches"] for peer in room.node.rpc("getheadersyncinfo")["peers"]]
        assert sorted(waiting) == [0, 2]
    room.assert_goes_on()


def test_a_peer_added_by_hand_stays_whatever_it_sends(tmp_path: Path) -> None:
    line = HeaderLine().grow(10)
    lies = [*line.headers[1:], *faulty_headers(line, 5, 2, "time-too-old")]
    with (
        HeaderPeer(lies, line.headers[0]) as liar,
        HeaderPeer(line.fork(10).grow(500).headers[1:], line.headers[0]) as honest,
        NodeProcess(tmp_path, f"--connect={liar.target}") as node,
    ):
        wait_until(lambda: "it stays, because it was added by hand" in node.text())
        assert node.rpc("getblockcount") == 12
        node.rpc("addnode", honest.target, "add")
        wait_until(lambda: node.rpc("getblockcount") == 510)
        assert node.rpc("getconnectioncount") == 2
        assert liar.connections == 1


# -- while synchronising ----------------------------------------------------------------------------------------------


def old_line() -> HeaderLine:
    """Years behind: the node asks one peer at a time."""
    return HeaderLine().grow(6500)


def test_a_leader_that_leaves_amid_its_answer_is_replaced_at_once(tmp_path: Path) -> None:
    line = old_line()
    with (
        Quitter(line.headers[1:], line.headers[0]) as quitter,
        HeaderPeer(line.headers[1:], line.headers[0]) as honest,
        NodeProcess(tmp_path, f"--addnode={quitter.target}") as node,
    ):
        wait_until(lambda: quitter.connections > 1)
        node.rpc("addnode", honest.target, "add")
        wait_until(lambda: node.rpc("getblockcount") == line.height, seconds=30)


@pytest.mark.parametrize("kind", [Mute, Dripper])
def test_a_leader_that_holds_us_up_is_replaced_when_it_goes(tmp_path: Path, kind: type[HeaderPeer]) -> None:
    line = old_line()
    with (
        kind(line.headers[1:], line.headers[0]) as hostile,
        HeaderPeer(line.headers[1:], line.headers[0]) as honest,
        NodeProcess(tmp_path, f"--connect={hostile.target}") as node,
    ):
        wait_until(lambda: hostile.requests)
        node.rpc("addnode", honest.target, "add")
        wait_until(lambda: node.rpc("getconnectioncount") == 2)
        assert not honest.requests, "one peer is asked at a time"
        node.rpc("disconnectnode", hostile.target)
        wait_until(lambda: node.rpc("getblockcount") == line.height)


@pytest.mark.long
@pytest.mark.parametrize("kind", [Mute, Dripper])
def test_a_leader_that_does_not_answer_is_replaced_after_thirty_seconds(tmp_path: Path, kind: type[HeaderPeer]) -> None:
    line = old_line()
    with (
        kind(line.headers[1:], line.headers[0]) as hostile,
        HeaderPeer(line.headers[1:], line.headers[0]) as honest,
        NodeProcess(tmp_path, f"--connect={hostile.target}") as node,
    ):
        wait_until(lambda: hostile.requests)
        began = time.monotonic()
        node.rpc("addnode", honest.target, "add")
        wait_until(lambda: node.rpc("getblockcount") == line.height, seconds=60)
        assert 25 < time.monotonic() - began < 45
        assert "no longer leads the headers sync: no answer to getheaders for 30 s" in node.text()
        assert honest.requests[0].locator == hostile.requests[0].locator, "the same question goes to the next"
        assert node.rpc("getconnectioncount") == 2, "the former leader stays"


@pytest.mark.long
def test_a_slow_leader_is_replaced_by_a_quicker_peer(tmp_path: Path) -> None:
    """Its answers come in time, but at a tenth of the rate that TRY_OTHERS_BELOW asks for."""
    line = HeaderLine().grow(40_000)

    class Slow(HeaderPeer):
        def handle(self, link: Link, message: object) -> None:
            if isinstance(message, GetHeaders):
                time.sleep(8.0)
            super().handle(link, message)

    with (
        Slow(line.headers[1:], line.headers[0]) as slow,
        HeaderPeer(line.headers[1:], line.headers[0]) as quick,
        NodeProcess(tmp_path, f"--connect={slow.target}") as node,
    ):
        wait_until(lambda: node.rpc("getconnectioncount") == 1)
        node.rpc("addnode", quick.target, "add")
        wait_until(lambda: node.rpc("getblockcount") == line.height, seconds=90)
        assert "it is slow" in node.text()
        assert len(slow.requests) < 10

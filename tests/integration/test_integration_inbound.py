"""A node's inbound side from outside: full slots, eviction, bans, permissions, misbehaviour."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ccnode.wire.inventory import GetData, InvItem
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.protocol import InvType
from tests.support.hostile import frame
from tests.support.process import NodeProcess
from tests.support.scripted import REGTEST_MAGIC, Closed, Link, wait_until

OUTBOUND = 11
"""Slots of ``maxconnections`` that are not inbound ones."""


@pytest.fixture
def links() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(port: int, links: ExitStack, source: str = "127.0.0.1", *, handshakes: bool = True) -> Link:
    link = Link(socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0)), REGTEST_MAGIC)
    links.callback(link.close)
    if handshakes:
        link.handshake()
    return link


def is_open(link: Link) -> bool:
    link.send(Ping(99))
    try:
        while link.expect(Pong, seconds=20).nonce != 99:
            pass
    except (Closed, OSError):
        return False
    return True


def is_refused(port: int, links: ExitStack, source: str = "127.0.0.1") -> bool:
    link = connect(port, links, source, handshakes=False)
    try:
        link.handshake()
    except (Closed, OSError):
        return True
    return False


def peers(node: NodeProcess) -> dict[int, dict[str, Any]]:
    return {info["id"]: info for info in node.rpc("getpeerinfo")}


def test_a_newcomer_takes_the_slot_of_the_newest_unprotected_peer(tmp_path: Path, links: ExitStack) -> None:
    slots = 30
    limits = [f"--maxconnections={slots + OUTBOUND}", "--whitelist=noban@127.0.0.9"]
    with NodeProcess(tmp_path, *limits) as node:
        port = node.port
        now = node.rpc("getblockheader", node.rpc("getblockhash", 0))["time"]
        crowd = []
        for i in range(slots):
            node.rpc("setmocktime", now + i)  # the newest is told by the second
            crowd.append(connect(port, links, "127.0.0.9" if i == slots - 1 else f"127.0.0.{10 + i}"))
            assert is_open(crowd[-1])
        assert len(peers(node)) == slots
        newcomer = connect(port, links, "127.0.0.77")
        wait_until(lambda: len(peers(node)) == slots)
        gone = set(range(slots)) - set(peers(node))
        assert len(gone) == 1
        assert gone != {slots - 1}  # it has the noban permission
        crowd[gone.pop()].expect_close(20)
        assert is_open(newcomer)
        node.rpc("setmocktime", 0)


def test_nobody_makes_room_for_a_stranger_among_friends(tmp_path: Path, links: ExitStack) -> None:
    with NodeProcess(tmp_path, f"--maxconnections={3 + OUTBOUND}", "--whitelist=noban@127.0.0.0/8") as node:
        port = node.port
        friends = [connect(port, links) for _ in range(3)]
        assert is_refused(port, links)
        assert all(map(is_open, friends))


def test_bans(tmp_path: Path, links: ExitStack) -> None:
    with NodeProcess(tmp_path, "--port=0") as node:
        port = node.port
        banned, other = connect(port, links, "127.0.0.2"), connect(port, links, "127.0.1.1")
        node.rpc("setban", "127.0.0.0/24", "add", 1000)
        banned.expect_close(20)
        assert is_refused(port, links, "127.0.0.3")
        assert is_open(other)
        listed = node.rpc("listbanned")
        assert [ban["address"] for ban in listed] == ["127.0.0.0/24"]

        node.kill()
        node.restart()
        port = node.port
        [again] = node.rpc("listbanned")
        assert {**again, "time_remaining": 0} == {**listed[0], "time_remaining": 0}
        assert is_refused(port, links, "127.0.0.4")

        node.rpc("setmocktime", again["banned_until"])
        assert is_open(connect(port, links, "127.0.0.4"))
        assert node.rpc("listbanned") == []
        node.rpc("setmocktime", 0)
        node.rpc("setban", "127.0.0.5", "add")
        node.rpc("clearbanned")
        assert is_open(connect(port, links, "127.0.0.5"))
        assert node.stop() == 0
        node.restart()
        assert node.rpc("listbanned") == []


def test_a_banned_friend_and_permissions(tmp_path: Path, links: ExitStack) -> None:
    whitelist = ["--whitelist=127.0.0.2", "--whitelist=addr,download@127.0.0.0/24", "--bantime=77"]
    with NodeProcess(tmp_path, *whitelist) as node:
        port = node.port
        node.rpc("setban", "127.0.0.0/24", "add")
        assert node.rpc("listbanned")[0]["ban_duration"] == 77
        assert is_open(connect(port, links, "127.0.0.2"))
        assert is_refused(port, links, "127.0.0.3")
        [info] = peers(node).values()
        assert info["permissions"] == ["noban", "relay", "mempool", "download", "addr"]


def test_whitebind_and_limits_per_address(tmp_path: Path, links: ExitStack) -> None:
    options = ["--bind=127.0.0.1:0", "--whitebind=noban@127.0.0.1:0", "--maxinboundperip=2"]
    with NodeProcess(tmp_path, *options) as node:
        plain, white = (int(text.rsplit(":", 1)[1]) for text in node.rpc("getnodestats")["listening"])
        for _ in range(2):
            connect(plain, links)
        assert is_refused(plain, links)
        assert is_open(connect(plain, links, "127.0.0.2"))
        assert is_open(connect(white, links))
        found = [info["permissions"] for info in peers(node).values()]
        assert found == [[], [], [], ["noban", "download"]]


def too_much_wanted() -> bytes:
    """A getdata one item over the limit."""
    item = GetData.build([InvItem(InvType.BLOCK, bytes(32))]).encode()[1:]
    return frame("getdata", b"\xfd" + (50_001).to_bytes(2, "little") + item * 50_001)


def test_misbehaviour_in_both_models(tmp_path: Path, links: ExitStack) -> None:
    with NodeProcess(tmp_path / "core") as node:
        link = connect(node.port, links)
        link.send_raw(too_much_wanted())
        link.expect_close(20)
        assert is_open(connect(node.port, links))  # a local address is not discouraged
    with NodeProcess(tmp_path / "classic", "--misbehavior=classic") as node:
        link = connect(node.port, links)
        for count in range(1, 5):
            link.send_raw(too_much_wanted())
            assert is_open(link)
            [info] = peers(node).values()
            assert info["misbehavior"] == {"score": 20 * count, "violations": {"oversize-list": count}}
        link.send_raw(too_much_wanted())
        link.expect_close(20)
        assert node.rpc("listbanned") == []  # nor banned


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("--whitelist=oops@1.2.3.4", "Invalid P2P permission: 'oops'"),
        ("--whitelist=noban@1.2.3.4/99", "Invalid netmask specified in -whitelist: '1.2.3.4/99'"),
        ("--whitebind=noban@127.0.0.1", "Need to specify a port with -whitebind: '127.0.0.1'"),
        ("--misbehavior=modern", "'misbehavior' wants core or classic, not 'modern'"),
    ],
)
def test_mistakes_in_options(tmp_path: Path, option: str, sentence: str) -> None:
    node = NodeProcess(tmp_path, option, wait=False)
    with node:
        assert node.process.wait(20) == 2
        assert sentence in node.text()
        assert "Traceback" not in node.text()

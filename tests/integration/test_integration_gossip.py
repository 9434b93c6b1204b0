"""Gossip from outside: what a node answers, relays and says of itself, on real sockets and a clock that we set."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, GetAddr, TimedAddress
from ccnode.wire.handshake import SendAddrV2, Verack, Version
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message
from tests.support.process import NodeProcess
from tests.support.scripted import HeaderPeer, Link, version_message, wait_until

Heard = list[TimedAddress]


@pytest.fixture
def links() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def connect(port: int, links: ExitStack, *, wants_addrv2: bool = True) -> Link:
    link = Link.connect(port)
    links.callback(link.close)
    link.send(version_message())
    link.expect(Version)
    if wants_addrv2:
        link.send(SendAddrV2())
    link.send(Verack())
    link.expect(Verack)
    return link


def settle(link: Link) -> Heard:
    """Addresses that came before the node's answer to a ping."""
    link.send(Ping(4711))
    heard: Heard = []
    while True:
        message = link.receive()
        if isinstance(message, (Addr, AddrV2)):
            heard += message.entries
        elif isinstance(message, Ping) and message.nonce is not None:
            link.send(Pong(message.nonce))
        elif isinstance(message, Pong) and message.nonce == 4711:
            return heard


def given(count: int, time: int, first: int = 20) -> tuple[TimedAddress, ...]:
    return tuple(
        TimedAddress(time, 9, NetworkAddress.parse(f"{first + i // 200}.{i % 200 + 1}.1.1:18444")) for i in range(count)
    )


def start_time(node: NodeProcess) -> int:
    """A time that the node's clock can be set to."""
    time: int = node.rpc("getblockheader", node.rpc("getblockhash", 0))["time"] + 1000
    node.rpc("setmocktime", time)
    return time


def peer_infos(node: NodeProcess) -> list[dict[str, Any]]:
    infos: list[dict[str, Any]] = node.rpc("getpeerinfo")
    return infos


def ask(link: Link) -> Heard:
    link.send(GetAddr())
    return settle(link)


def test_getaddr_is_answered_once_and_the_same_for_all(tmp_path: Path, links: ExitStack) -> None:
    with NodeProcess(tmp_path, "--bind=127.0.0.1:0", "--whitebind=addr@127.0.0.1:0") as node:
        plain, white = (int(text.rsplit(":", 1)[1]) for text in node.rpc("getnodestats")["listening"])
        time = start_time(node)
        friend = connect(white, links)
        friend.send(AddrV2(given(600, time - 3600)))
        settle(friend)
        known = node.rpc("getnodestats")["addresses"]
        assert known > 400

        first = connect(plain, links)
        answer = ask(first)
        assert len(answer) == known * 23 // 100
        assert ask(first) == []
        assert ask(connect(plain, links)) == answer
        assert ask(connect(plain, links, wants_addrv2=False)) == answer

        friend.send(AddrV2(given(600, time - 3600, first=40)))
        settle(friend)
        assert ask(connect(plain, links)) == answer
        assert ask(connect(white, links)) != answer
        node.rpc("setmocktime", time + 28 * 3600)
        assert len(ask(connect(plain, links))) > len(answer)


def test_an_address_reaches_two_peers_that_take_part(tmp_path: Path, links: ExitStack) -> None:
    with NodeProcess(tmp_path) as node:
        port = node.port
        time = start_time(node)
        crowd = [connect(port, links, wants_addrv2=i % 2 == 0) for i in range(8)]
        bystander = connect(port, links)
        for link in crowd:
            assert ask(link) == []
        source = connect(port, links)
        news = given(1, time)
        source.send(AddrV2(news))
        assert settle(source) == []
        wait_until(lambda: node.rpc("getnodestats")["addresses"] == 1)
        assert [settle(link) for link in crowd] == [[]] * 8
        node.rpc("setmocktime", time + 600)
        heard: list[Heard] = [[] for _ in crowd]

        def receivers() -> int:
            for so_far, link in zip(heard, crowd, strict=True):
                so_far += settle(link)
            return sum(map(bool, heard))

        wait_until(lambda: receivers() >= 2)
        assert receivers() == 2
        assert sorted(heard, key=len) == [[]] * 6 + [list(news)] * 2
        assert settle(bystander) == []
        assert settle(source) == []

        *_, beside, info = peer_infos(node)
        assert (info["addr_processed"], info["addr_rate_limited"], info["addr_relay_enabled"]) == (1, 0, True)
        assert (beside["addr_processed"], beside["addr_relay_enabled"]) == (0, False)
        source.send(AddrV2(given(1000, time, first=50)))
        settle(source)
        limited = peer_infos(node)[-1]
        assert (limited["addr_processed"], limited["addr_rate_limited"]) == (61, 940)


@pytest.mark.parametrize("kind", [Addr, AddrV2])
def test_more_than_a_thousand_end_the_connection(
    tmp_path: Path, links: ExitStack, kind: type[Addr] | type[AddrV2]
) -> None:
    with NodeProcess(tmp_path) as node:
        link = connect(node.port, links)
        link.send(kind(given(1001, start_time(node))))
        link.expect_close(20)
        assert node.rpc("getnodestats")["addresses"] == 0


class AddressListener(HeaderPeer):
    """A node that keeps what it hears about others, message by message."""

    def __init__(self, headers: Sequence[bytes], genesis: bytes) -> None:
        self.heard: list[Sequence[TimedAddress]] = []
        super().__init__(headers, genesis)

    def handle(self, link: Link, message: Message) -> None:
        if isinstance(message, (Addr, AddrV2)):
            self.heard.append(message.entries)


def test_our_address_comes_first(tmp_path: Path, links: ExitStack) -> None:
    with AddressListener([], bytes(80)) as target:
        options = ["--externalip=9.9.9.9", "--services=9", "--maxtipage=999999999", f"--addnode={target.target}"]
        with NodeProcess(tmp_path, *options) as node:
            [local] = node.rpc("getnetworkinfo")["localaddresses"]
            assert local == {"address": "9.9.9.9", "port": 18444, "score": 4}
            link = connect(node.port, links)
            [ours] = ask(link)
            assert str(ours.address) == "9.9.9.9:18444"
            assert ours.services == 9
            wait_until(lambda: target.heard)
            assert [entry.address for entry in target.heard[0]] == [ours.address]

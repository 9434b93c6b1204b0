"""A node's own addresses, seen from outside: who changes their scores, and whom it tells about them, and when."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, GetAddr, TimedAddress
from ccnode.wire.handshake import SendAddrV2, ServiceAddress, Verack, Version
from ccnode.wire.keepalive import Ping, Pong
from tests.support.process import NodeProcess
from tests.support.scripted import HeaderPeer, Link, version_message, wait_until

OURS = "9.9.9.9"
DAY = 24 * 3600
SERVING = ("--services=9", "--maxtipage=999999999", "--peertimeout=999999999")
Told = list[tuple[TimedAddress, ...]]


@pytest.fixture
def links() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def greet(link: Link, *, dialed: str | None = None, wants_addrv2: bool = True) -> Link:
    """The handshake of whoever connected; ``dialed`` is the address of ours that the version names."""
    version = version_message()
    if dialed is not None:
        version = replace(version, addr_recv=ServiceAddress(0, NetworkAddress.parse(dialed)))
    link.send(version)
    link.expect(Version)
    if wants_addrv2:
        link.send(SendAddrV2())
    link.send(Verack())
    link.expect(Verack)
    return link


def told(link: Link) -> Told:
    """The messages with addresses that came before the node's answer to a ping."""
    link.send(Ping(4711))
    heard: Told = []
    while True:
        message = link.receive()
        if isinstance(message, (Addr, AddrV2)):
            heard.append(tuple(message.entries))
        elif isinstance(message, Ping) and message.nonce is not None:
            link.send(Pong(message.nonce))
        elif isinstance(message, Pong) and message.nonce == 4711:
            return heard


def local(node: NodeProcess) -> list[dict[str, Any]]:
    addresses: list[dict[str, Any]] = node.rpc("getnetworkinfo")["localaddresses"]
    return addresses


def test_inbound_peers_raise_the_score_of_the_address_they_dialed(tmp_path: Path, links: ExitStack) -> None:
    with NodeProcess(tmp_path, f"--externalip={OURS}:1234") as node:
        assert local(node) == [{"address": OURS, "port": 1234, "score": 4}]
        for dialed in (f"{OURS}:1234", f"{OURS}:1", "8.8.8.8:1234", "127.0.0.1:1"):
            link = Link.connect(node.port)
            links.callback(link.close)
            greet(link, dialed=dialed)
        assert local(node) == [{"address": OURS, "port": 1234, "score": 6}]
        assert {info.get("addrlocal") for info in node.rpc("getpeerinfo")} >= {f"{OURS}:1234", "8.8.8.8:1234"}


def test_outbound_peers_do_not(tmp_path: Path) -> None:
    class Flatterer(HeaderPeer):
        def serve(self, link: Link) -> None:
            greet(link, dialed=f"{OURS}:1234")
            while True:
                self.handle(link, link.receive(seconds=600))

    with (
        Flatterer([], bytes(80)) as target,
        NodeProcess(tmp_path, f"--externalip={OURS}:1234", f"--addnode={target.target}") as node,
    ):
        wait_until(lambda: [info for info in node.rpc("getpeerinfo") if info.get("addrlocal") == f"{OURS}:1234"])
        assert local(node) == [{"address": OURS, "port": 1234, "score": 4}]


def test_an_external_address_of_no_use_is_said_to_be_one(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "--externalip=10.0.0.9", "--externalip=2a00::1", "--onlynet=ipv4") as node:
        assert local(node) == []
        for text in ("10.0.0.9", "2a00::1"):
            assert f"externalip {text} is told to nobody" in node.text()


@pytest.mark.parametrize("wants_addrv2", [False, True], ids=["addr", "addrv2"])
def test_our_address_is_told_first_and_alone_and_again_daily(
    tmp_path: Path, links: ExitStack, wants_addrv2: bool
) -> None:
    """Core: p2p_addr_selfannouncement."""
    with NodeProcess(tmp_path, f"--externalip={OURS}", *SERVING) as node:
        now = node.rpc("getblockheader", node.rpc("getblockhash", 0))["time"] + 1000
        node.rpc("setmocktime", now)
        for i in range(20):
            node.rpc("addpeeraddress", f"20.{i}.1.1", 18444)
        link = Link.connect(node.port)
        links.callback(link.close)
        greet(link, wants_addrv2=wants_addrv2)
        assert told(link) == []  # it does not take part in gossip yet
        link.send(GetAddr())
        first, *rest = told(link)
        ours = TimedAddress(now, 9, NetworkAddress.parse(f"{OURS}:18444"))
        assert first == (ours,)
        assert OURS not in {entry.address.host for message in rest for entry in message}
        again = 0
        for day in range(1, 11):
            node.rpc("setmocktime", now + day * DAY)
            told(link)  # queued by now
            node.rpc("setmocktime", now + day * DAY + 600)
            again += sum(entry.address == ours.address for message in told(link) for entry in message)
        assert 2 <= again <= 20


@pytest.mark.parametrize(
    "options",
    [("--nolisten", "--connect=0", *SERVING), SERVING[1:], SERVING[:1]],
    ids=["does not listen", "serves nothing", "still synchronises"],
)
def test_who_is_of_no_use_to_others_does_not_announce_itself(tmp_path: Path, options: tuple[str, ...]) -> None:
    class Curious(HeaderPeer):
        def serve(self, link: Link) -> None:
            greet(link)
            link.send(GetAddr())
            heard.append(told(link))

    heard: list[Told] = []
    arguments = [f"--externalip={OURS}", *options]
    with Curious([], bytes(80)) as target, NodeProcess(tmp_path, *arguments, f"--addnode={target.target}"):
        assert wait_until(lambda: heard) == [[]]

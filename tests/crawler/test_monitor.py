"""The monitor at real connections, and at a running node."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccnode.chain.announcements import MAX_BLOCKS_TO_ANNOUNCE, announced_blocks, announced_items
from ccnode.chain.formats import BITCOIN_FORMAT
from ccnode.chain.networks import REGTEST
from ccnode.wire.addresses import GetAddr
from ccnode.wire.factory import MessageFactory
from ccnode.wire.handshake import SendCmpct, SendHeaders
from ccnode.wire.headers import Headers
from ccnode.wire.inventory import Inv, InvItem
from ccnode.wire.message import Message
from ccnode.wire.protocol import InvType
from tests.support.data import ROOT
from tests.support.fakes import mined
from tests.support.process import NodeProcess
from tests.support.scripted import HeaderPeer, Link, wait_until

GENESIS_HASH = REGTEST.genesis_hash
GENESIS_TIME = 1_296_688_602
FACTORY = MessageFactory()


class Announcer(HeaderPeer):
    """A peer that announces what the test wants."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.got: list[Message] = []
        super().__init__([], REGTEST.genesis, host=host)

    def handle(self, link: Link, message: Message) -> None:
        self.got.append(message)
        super().handle(link, message)

    def announce(self, *messages: Message) -> None:
        self.links[-1].send(*messages)


class Running:
    """A monitor process, and its events as they come."""

    def __init__(self, out: Path, *arguments: str) -> None:
        command = [sys.executable, str(ROOT / "tools/monitor.py"), "--json", f"--out={out}", "--chain=regtest"]
        self.process = subprocess.Popen(
            [*command, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def expect(self, event: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            found: dict[str, Any] = json.loads(line)
            if found["event"] == event:
                return found
        raise AssertionError(self.process.communicate()[1])

    def stop(self) -> None:
        self.process.terminate()
        assert self.process.wait(20) == 0, self.process.communicate()[1]


@pytest.fixture
def peers() -> Iterator[list[Announcer]]:
    found = [Announcer(), Announcer()]
    yield found
    for peer in found:
        peer.close()


def summary(out: Path) -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "tools/monitor.py"), "--summary", f"--out={out}", "--chain=regtest"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert "By network" in shown.stdout
    return json.loads(done.stdout)


def test_blocks_and_transactions_of_two_peers(peers: list[Announcer], tmp_path: Path) -> None:
    one, two = peers
    (header,) = mined(GENESIS_HASH, GENESIS_TIME, 1)
    block = BITCOIN_FORMAT.hash(header)
    targets = [f"--peer={peer.target}" for peer in peers]
    running = Running(
        tmp_path, *targets, "--allow-unroutable", "--sample=1", "--settle=1.5", f"--datadir={tmp_path}", "--compact"
    )
    try:
        for _ in peers:
            running.expect("attached")
        wait_until(lambda: all(any(isinstance(m, SendHeaders) for m in peer.got) for peer in peers))
        one.announce(Headers.build([header]))
        first = running.expect("block")
        assert (first["hash"], first["first"], first["how"]) == (block[::-1].hex(), one.target, "headers")
        two.announce(Inv.build([InvItem(InvType.BLOCK, block), InvItem(InvType.WTX, b"\7" * 32)]))
        spread = running.expect("spread")
        assert (spread["attached"], spread["announced"]) == (2, 2)
        assert 0 < spread["p99"] < 1.5
    finally:
        running.stop()
    for peer in peers:
        assert any(isinstance(m, SendCmpct) and m.high_bandwidth for m in peer.got)
        assert not any(isinstance(m, GetAddr) for m in peer.got)
    told = summary(tmp_path)
    assert [(each["hash"], each["first"]) for each in told["blocks"]] == [(block[::-1].hex(), one.target)]
    assert [(group["name"], group["peers"]) for group in told["programs"]] == [("scripted 1", 2)]
    assert told["transactions"] == 1


def test_a_running_node_tells_what_its_peers_announce(peers: list[Announcer], tmp_path: Path) -> None:
    one, two = peers
    (header,) = mined(GENESIS_HASH, GENESIS_TIME, 1)
    block = BITCOIN_FORMAT.hash(header)
    with NodeProcess(tmp_path / "node", *[f"--connect={peer.target}" for peer in peers]) as node:
        wait_until(lambda: sum(bool(peer["version"]) for peer in node.rpc("getpeerinfo")) == 2)
        running = Running(tmp_path, "--node", f"--datadir={tmp_path / 'node'}", "--settle=1.5")
        try:
            for _ in peers:
                running.expect("attached")
            two.announce(Inv.build([InvItem(InvType.BLOCK, block)]))
            first = running.expect("block")
            assert (first["hash"], first["first"], first["how"]) == (block[::-1].hex(), two.target, "inv")
            one.announce(Headers.build([header]))
            assert running.expect("spread")["announced"] == 2
        finally:
            running.stop()


def test_without_census_and_peers_there_is_nobody_to_listen_to(tmp_path: Path) -> None:
    running = Running(tmp_path, f"--datadir={tmp_path}")
    _, errors = running.process.communicate(timeout=20)
    assert running.process.returncode != 0
    assert "name peers by --peer" in errors


def test_what_a_message_announces() -> None:
    headers = mined(GENESIS_HASH, GENESIS_TIME, MAX_BLOCKS_TO_ANNOUNCE + 1)
    hashes = BITCOIN_FORMAT.hashes(headers)

    def blocks(command: str, payload: bytes) -> list[bytes]:
        return announced_blocks(BITCOIN_FORMAT, FACTORY, command, payload)

    assert blocks("headers", Headers.build(headers[:8]).encode()) == hashes[:8]
    assert blocks("headers", Headers.build(headers).encode()) == []
    assert blocks("cmpctblock", headers[0] + bytes(10)) == hashes[:1]
    assert blocks("cmpctblock", headers[0]) == []
    items = [InvItem(InvType.TX, b"t" * 32), InvItem(InvType.BLOCK, b"b" * 32), InvItem(99, b"x" * 32)]
    inv = Inv.build(items).encode()
    assert blocks("inv", inv) == [b"b" * 32]
    assert announced_items(FACTORY, inv) == ([b"b" * 32], [b"t" * 32])
    assert blocks("ping", b"") == []

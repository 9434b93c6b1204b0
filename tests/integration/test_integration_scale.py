"""A full house, live: every slot of ``maxconnections`` taken by a real socket, and kept.

Most peers are scripted, a few are real nodes, of ours and of bcoin. Each form has a short and a long version: what
leaks shows in hundreds of connections as well, only less clearly.
"""

import os
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ccnode.peers.eviction import Candidate, Candidates
from tests.support.bcoin import Bcoin, find_modules
from tests.support.crowd import Crowd, Member
from tests.support.fakes import NETWORK_AND_WITNESS
from tests.support.process import NodeProcess
from tests.support.scripted import wait_until

MAX_CONNECTIONS = 136
INBOUND = 125
OUTBOUND = 10
"""The eleventh slot is for feelers."""

CROWDED = 30
"""Inbound peers in one network group; the others have one each."""

SECRETS = 300
"""Keys of netgroups that are tried to find out whom eviction may choose: the node's own is a secret."""

JITTER = 3
"""So many greenlets, files and timers come and go by themselves: dials, the sockets of commands, sweeps."""

GROWTH_BYTES = 3_000_000
"""Resident memory may go up and down by this much without a leak: 125 peers take 2 MB."""


@dataclass(frozen=True)
class Use:
    """What a node holds of things that can leak."""

    greenlets: int
    files: int
    timers: int
    resident: int

    @classmethod
    def of(cls, node: NodeProcess) -> "Use":
        stats = node.rpc("getnodestats")
        files = len(os.listdir(f"/proc/{node.process.pid}/fd"))
        return cls(stats["greenlets"], files, stats["timers"], stats["memory"]["resident"])

    def grew_from(self, before: "Use") -> list[str]:
        counted = ("greenlets", "files", "timers")
        grown = [name for name in counted if getattr(self, name) > getattr(before, name) + JITTER]
        return grown + ["resident"] * (self.resident > before.resident + GROWTH_BYTES)


class FullHouse:
    """A node with all its slots taken."""

    def __init__(self, folder: Path, stack: ExitStack, ping_seconds: int) -> None:
        bcoin = find_modules()
        self.crowd = stack.enter_context(Crowd())
        self.node = stack.enter_context(
            NodeProcess(
                folder / "node",
                *(f"--maxconnections={MAX_CONNECTIONS}", f"--pinginterval={ping_seconds}", "--allowunroutable"),
                *("--bind=127.0.0.1:0", "--dnsseed=0", f"--services={NETWORK_AND_WITNESS}"),
                automatic=True,
            )
        )
        self.port = self.node.port
        called = [self.crowd.listen(f"127.{group}.0.1") for group in range(240, 240 + OUTBOUND - 2)]
        ours = stack.enter_context(
            NodeProcess(folder / "called", "--bind=127.239.0.1:0", f"--services={NETWORK_AND_WITNESS}")
        )
        called += [ours.rpc("getnodestats")["listening"][0], stack.enter_context(Bcoin(bcoin)).target]
        for target in called:
            host, port = target.rsplit(":", 1)
            assert self.node.rpc("addpeeraddress", host, int(port))["success"]
        assert self.crowd.pump(60, lambda: self.count("out") == OUTBOUND), self.node.text()
        me = f"127.0.0.1:{self.port}"
        stack.enter_context(NodeProcess(folder / "caller", f"--connect={me}"))
        stack.enter_context(Bcoin(bcoin, only=(me,)))
        lonely = [f"127.{group}.0.1" for group in range(1, INBOUND - 2 - CROWDED + 1)]
        self.crowd.connect(self.port, lonely + [f"127.200.0.{host}" for host in range(1, CROWDED + 1)])
        assert self.crowd.pump(60, lambda: self.count("in") == INBOUND), self.node.text()

    def peers(self) -> list[dict[str, Any]]:
        """Those whose handshake is behind them."""
        return [peer for peer in self.node.rpc("getpeerinfo") if peer["version"]]

    def count(self, direction: str) -> int:
        info: int = self.node.rpc("getnetworkinfo")[f"connections_{direction}"]
        return info

    def possible_victims(self) -> set[int]:
        """Whom the next inbound connection may cost its place, whatever the node's secret is."""
        inbound = [peer for peer in self.peers() if peer["inbound"]]
        rng = Random(1)
        victims = set()
        for _ in range(SECRETS):
            keys: dict[str, int] = {}
            for peer in inbound:
                keys.setdefault(group_of(peer["addr"]), rng.getrandbits(64))
            candidates = Candidates(candidate(peer, keys[group_of(peer["addr"])]) for peer in inbound)
            victims.add(candidates.select_to_evict())
        return {victim for victim in victims if victim is not None}


def group_of(address: str) -> str:
    """The /16 of an IPv4 address."""
    return ".".join(address.split(".")[:2])


def candidate(peer: dict[str, Any], keyed_netgroup: int) -> Candidate:
    """A peer as ``getpeerinfo`` shows it, for eviction."""
    return Candidate(
        id=peer["id"],
        connected=peer["conntime"],
        keyed_netgroup=keyed_netgroup,
        min_ping=peer["minping"],
        last_block=peer["last_block"],
        last_transaction=peer["last_transaction"],
        relevant_services={"NETWORK", "WITNESS"} <= set(peer["servicesnames"]),
        relays_transactions=peer["relaytxes"],
        is_local=True,
    )


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as entered:
        yield entered


def hold(house: FullHouse, seconds: float, ping_seconds: int) -> list[Use]:
    """Pump; returns what the node held every few pings."""
    uses, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        house.crowd.pump(3 * ping_seconds)
        uses.append(Use.of(house.node))
        print(uses[-1], flush=True)
    return uses


@pytest.mark.parametrize(
    ("seconds", "ping_seconds"), [(9.0, 1), pytest.param(600.0, 5, marks=pytest.mark.long)], ids=["short", "long"]
)
def test_a_full_house_stays_and_leaks_nothing(
    tmp_path: Path, stack: ExitStack, seconds: float, ping_seconds: int
) -> None:
    house = FullHouse(tmp_path, stack, ping_seconds)
    ids = {peer["id"] for peer in house.peers()}
    pinged = {member: member.received["ping"] for member in house.crowd.members}
    uses = hold(house, seconds, ping_seconds)
    assert uses[-1].grew_from(uses[0]) == []
    peers = house.peers()
    assert {peer["id"] for peer in peers} == ids, house.node.text()
    assert sum(peer["inbound"] for peer in peers) == INBOUND
    assert {peer["subver"] for peer in peers if "ccnode" in peer["subver"] or "bcoin" in peer["subver"]} == {
        "/bcoin:v1.0.2/",
        house.node.rpc("getnetworkinfo")["subversion"],
    }
    assert all(peer["pingtime"] < 1 for peer in peers)
    fewest = min(member.received["ping"] - before for member, before in pinged.items())
    assert fewest >= 0.7 * seconds / ping_seconds


def test_the_next_inbound_peer_takes_the_place_that_the_rule_says(tmp_path: Path, stack: ExitStack) -> None:
    house = FullHouse(tmp_path, stack, ping_seconds=60)
    for newcomer in range(3):
        assert house.crowd.pump(20, lambda: all("minping" in peer for peer in house.peers()))
        possible = house.possible_victims()
        before = {peer["id"]: peer for peer in house.peers()}
        assert all(group_of(before[victim]["addr"]) == "127.200" for victim in possible)
        assert len(possible) < CROWDED / 3
        (member,) = house.crowd.connect(house.port, [f"127.201.0.{1 + newcomer}"])
        assert house.crowd.pump(20, lambda: house.count("in") == INBOUND)
        gone = before.keys() - {peer["id"] for peer in house.peers()}
        assert len(gone) == 1
        assert gone <= possible, house.node.text()
        assert member.open
        assert house.count("out") == OUTBOUND


def reset(member: Member) -> None:
    """End a connection without a goodbye."""
    member.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("cycles", [200, pytest.param(2000, marks=pytest.mark.long)])
def test_connections_that_come_and_go_leave_nothing_behind(tmp_path: Path, cycles: int) -> None:
    """They end in four ways: by the peer, by the node, with a reset, and before the handshake."""
    with NodeProcess(tmp_path) as node, Crowd() as crowd:
        port = node.port

        def come_and_go(count: int) -> None:
            sources = [f"127.{1 + i % 200}.0.1" for i in range(count // 4)]
            left, dropped, aborted = (crowd.connect(port, sources) for _ in range(3))
            silent = [crowd.connect_silently(port, source) for source in sources]
            for member in dropped:
                node.rpc("disconnectnode", member.address)
            assert crowd.pump(20, lambda: not any(member.open for member in dropped))
            for member in aborted:
                reset(member)
            for member in left + aborted + silent:
                crowd.drop(member)
            wait_until(lambda: node.rpc("getnodestats")["peers"] == 0)

        come_and_go(100)
        before = Use.of(node)
        for _ in range(cycles // 100):
            come_and_go(100)
        after = Use.of(node)
        print(before, after)
        assert after.grew_from(before) == []

"""A node that finds its peers itself: slots, types, anchors. All of it on loopback addresses, which a test allows."""

import contextlib
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode.chain.networks import REGTEST
from ccnode.wire.addresses import GetAddr
from ccnode.wire.handshake import Version
from tests.support.fakes import HeaderLine
from tests.support.process import NodeProcess
from tests.support.scripted import HeaderPeer, Link, wait_until

PEERS = 14
FULL, BLOCK = "outbound-full-relay", "block-relay-only"


class Neighbour(HeaderPeer):
    """A serving peer on an address of its own that notes what it was told."""

    def __init__(self, host: str) -> None:
        super().__init__([], REGTEST.genesis, host=host)
        self.greetings: list[Version] = []
        self.asked_for_addresses = 0

    def serve(self, link: Link) -> None:
        self.greetings.append(link.handshake())
        while True:
            message = link.receive(seconds=600)
            self.asked_for_addresses += isinstance(message, GetAddr)
            self.handle(link, message)


@pytest.fixture
def neighbours() -> Iterator[list[Neighbour]]:
    """Each in a /16 of its own."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Neighbour(f"127.{number}.0.1")) for number in range(1, PEERS + 1)]


def start(tmp_path: Path, *arguments: str) -> NodeProcess:
    return NodeProcess(
        tmp_path, "--allowunroutable", "--bind=127.0.0.1:0", "--dnsseed=0", "--debug=net", *arguments, automatic=True
    )


def meet(node: NodeProcess, neighbours: list[Neighbour]) -> None:
    """Tell the node of these addresses."""
    for neighbour in neighbours:
        host, port = neighbour.target.rsplit(":", 1)
        assert node.rpc("addpeeraddress", host, int(port))["success"]


def kinds(node: NodeProcess) -> Counter[str]:
    """Connections with their handshake done, by type."""
    return Counter(peer["connection_type"] for peer in node.rpc("getpeerinfo") if "verack" in peer["bytesrecv_per_msg"])


def test_full_relay_and_block_relay_slots_are_filled_and_anchors_come_first_next_time(
    neighbours: list[Neighbour], tmp_path: Path
) -> None:
    with start(tmp_path) as node:
        meet(node, neighbours)
        wait_until(lambda: kinds(node) == {FULL: 8, BLOCK: 2}, seconds=30)
        peers = node.rpc("getpeerinfo")
        assert len({peer["addr"].split(".")[1] for peer in peers}) == 10, "one per network group"
        anchors = {peer["addr"] for peer in peers if peer["connection_type"] == "block-relay-only"}
        by_target = {neighbour.target: neighbour for neighbour in neighbours}
        for peer in peers:
            wanted = 0 if peer["addr"] in anchors else 1
            wait_until(lambda peer=peer, wanted=wanted: by_target[peer["addr"]].asked_for_addresses == wanted)
            assert by_target[peer["addr"]].greetings[0].relay is False
        saved = node.rpc("getanchors")
        assert {anchor["address"] for anchor in saved["to_save"]} == anchors
        assert saved["loaded"] == []
        assert node.stop() == 0
        node.restart()
        wait_until(lambda: len(node.rpc("getanchors")["loaded"]) == 2)
        loaded = wait_until(
            lambda: (
                [a for a in node.rpc("getanchors")["loaded"] if a["outcome"] == "connected"][1:2]
                and node.rpc("getanchors")["loaded"]
            )
        )
        assert {anchor["address"] for anchor in loaded} == anchors
        assert {p["addr"] for p in node.rpc("getpeerinfo") if p["connection_type"] == "block-relay-only"} == anchors
        node.kill()
        node.restart()
        assert node.rpc("getanchors")["loaded"] == [], "anchors are used once"


def test_an_anchor_that_is_gone_is_said_to_be(neighbours: list[Neighbour], tmp_path: Path) -> None:
    with start(tmp_path, "--maxconnections=10") as node:
        meet(node, neighbours)
        wait_until(lambda: kinds(node)[BLOCK] == 2, seconds=30)
        assert node.stop() == 0
        automatic, node.arguments = node.arguments, (*node.arguments, "--connect=0")
        node.restart()
        assert node.rpc("getanchors") == {"loaded": [], "to_save": []}, "a node that chooses no peers leaves them alone"
        assert node.stop() == 0
        node.arguments = automatic
        for neighbour in neighbours:
            neighbour.close()
        node.restart()
        wait_until(
            lambda: [a["outcome"] for a in node.rpc("getanchors")["loaded"]] == ["did not answer"] * 2, seconds=30
        )


def test_a_feeler_tests_an_address_and_leaves(neighbours: list[Neighbour], tmp_path: Path) -> None:
    with start(tmp_path) as node:
        now = int(time.time())
        node.rpc("setmocktime", now)
        meet(node, neighbours[:11])
        wait_until(lambda: sum(kinds(node).values()) >= 10, seconds=30)
        tried = node.rpc("getaddrmaninfo")["all_networks"]["tried"]
        assert tried == 10
        node.rpc("setmocktime", now + 1100)  # under the time in which silent peers are dropped
        wait_until(lambda: node.rpc("getaddrmaninfo")["all_networks"]["tried"] == 11, seconds=30)
        wait_until(lambda: "feeler: the address answers" in node.text())
        wait_until(lambda: "feeler" not in {peer["connection_type"] for peer in node.rpc("getpeerinfo")})


def test_a_stale_tip_and_the_rotation_bring_one_more_peer_each_and_the_least_useful_go(
    neighbours: list[Neighbour], tmp_path: Path
) -> None:
    line = HeaderLine().grow(3)
    for neighbour in neighbours:
        neighbour.set_chain(line.headers[1:], line.headers[0])
    now = line.time + 600
    with start(tmp_path, f"--mocktime={now}") as node:
        meet(node, neighbours)
        wait_until(lambda: kinds(node) == {FULL: 8, BLOCK: 2}, seconds=30)
        wait_until(lambda: {peer["synced_headers"] for peer in node.rpc("getpeerinfo")} == {3})

        def minutes(count: int) -> None:
            """Time passes in steps that no connection is silent for too long in."""
            nonlocal now
            for _ in range(count):
                now += 60
                node.rpc("setmocktime", now)
                wait_until(lambda: all("pingwait" not in peer for peer in node.rpc("getpeerinfo")))

        minutes(30)
        node.rpc("mockscheduler", 45)
        time.sleep(1.2)  # two turns of the loop
        assert kinds(node)[FULL] == 8, "half an hour is not more than half an hour"
        minutes(11)
        node.rpc("mockscheduler", 45)
        wait_until(lambda: kinds(node)[FULL] == 9)
        minutes(1)
        node.rpc("mockscheduler", 45)
        wait_until(lambda: kinds(node)[FULL] == 8)

        minutes(40)  # five on average
        wait_until(lambda: kinds(node)[BLOCK] == 3)
        minutes(1)
        node.rpc("mockscheduler", 45)
        wait_until(lambda: kinds(node)[BLOCK] == 2)
        assert node.text().count("one outbound peer more than needed") >= 2


def test_a_peer_without_the_services_we_need_is_left(tmp_path: Path) -> None:
    class Poor(Neighbour):
        def serve(self, link: Link) -> None:
            link.handshake(services=0)

    with Poor("127.9.0.1") as poor, start(tmp_path) as node:
        meet(node, [poor])
        wait_until(lambda: "does not offer the services" in node.text(), seconds=30)

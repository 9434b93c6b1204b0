"""Two ccnode processes and nothing else: each synchronises from the other."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes import NETWORK_AND_WITNESS, HeaderLine
from tests.support.process import NodeProcess
from tests.support.scripted import wait_until

SERVES = f"--services={NETWORK_AND_WITNESS}"
HEADERS = 2100
"""More than one message holds."""
SPACING = 10
NOTICE_SECONDS = 1.0
WAIT_MS = 20_000


@pytest.fixture(scope="module")
def line() -> HeaderLine:
    """Regtest headers up to now; not to be changed: fork it."""
    return HeaderLine().grow(HEADERS, spacing=SPACING, start=int(time.time()) - HEADERS * SPACING)


@pytest.fixture
def nodes(line: HeaderLine, tmp_path: Path) -> Iterator[tuple[NodeProcess, NodeProcess]]:
    """The first was told all headers, the second dialed it and has them from there."""
    with ExitStack() as stack:
        first = stack.enter_context(NodeProcess(tmp_path / "first", SERVES))
        submit(first, line, 1)
        second = stack.enter_context(NodeProcess(tmp_path / "second", SERVES, f"--connect=127.0.0.1:{first.port}"))
        wait_for_tip(second, line)
        wait_until(lambda: received(first, "sendheaders"))
        yield first, second


def submit(node: NodeProcess, line: HeaderLine, start: int) -> None:
    """Tell the node the headers from a height on, as a miner would."""
    for raw in line.headers[start:]:
        node.rpc("submitheader", raw.hex())


def name_of(block_hash: bytes) -> str:
    return block_hash[::-1].hex()


def wait_for_tip(node: NodeProcess, line: HeaderLine) -> None:
    wanted = name_of(line.tip)
    assert node.rpc("waitforblock", wanted, WAIT_MS)["hash"] == wanted, node.text()


def only_peer(node: NodeProcess) -> dict[str, Any]:
    (peer,) = wait_until(lambda: node.rpc("getpeerinfo"))
    return peer


def received(node: NodeProcess, command: str) -> int:
    """Bytes of such messages from the only peer."""
    return only_peer(node)["bytesrecv_per_msg"].get(command, 0)


def seconds_until_noticed(at: NodeProcess, of: NodeProcess, line: HeaderLine) -> float:
    """Time from one node's word that it took a header to the other's having it as the tip."""
    line.grow(1, spacing=1)
    submit(of, line, line.height)
    taken = time.monotonic()
    wait_for_tip(at, line)
    return time.monotonic() - taken


def test_headers_are_synchronised(nodes: tuple[NodeProcess, NodeProcess], line: HeaderLine) -> None:
    first, second = nodes
    assert second.rpc("getblockcount") == HEADERS
    for height in (1, HEADERS // 2, HEADERS):
        assert second.rpc("getblockheader", name_of(line.hashes[height]), False) == line.headers[height].hex()
    assert only_peer(first)["inbound"]
    assert not only_peer(second)["inbound"]
    for one, other in (nodes, nodes[::-1]):
        assert only_peer(one)["subver"] == other.rpc("getnetworkinfo")["subversion"]
        assert only_peer(one)["servicesnames"] == ["NETWORK", "WITNESS"]
        assert not one.rpc("getblockchaininfo")["initialblockdownload"]


def test_new_headers_are_announced_both_ways_within_a_second(
    nodes: tuple[NodeProcess, NodeProcess], line: HeaderLine, record_property: Any
) -> None:
    """As headers to a peer that asked for that; the first node asks once an inv showed it what the second has."""
    first, second = nodes
    line = line.fork(HEADERS)
    for of, at in ((first, second), (second, first)):
        seconds = [seconds_until_noticed(at, of, line) for _ in range(3)]
        record_property("seconds_until_noticed", seconds)
        assert min(seconds) < NOTICE_SECONDS, seconds
    assert received(second, "inv") == 0
    wait_until(lambda: received(second, "sendheaders"))
    by_inv, by_headers = received(first, "inv"), received(first, "headers")
    seconds_until_noticed(first, second, line)
    assert received(first, "inv") == by_inv > 0
    assert received(first, "headers") > by_headers


@pytest.mark.parametrize(("depth", "by_inv"), [(2, False), (11, True)], ids=["a few blocks", "more than fit"])
def test_a_reorganisation_is_followed(
    nodes: tuple[NodeProcess, NodeProcess], line: HeaderLine, depth: int, by_inv: bool
) -> None:
    """A short branch is announced as headers; of a long one the tip is, by inv, and the rest is asked for."""
    first, second = nodes
    branch = line.fork(HEADERS - depth).grow(depth + 1, spacing=1, salt=1)
    submit(first, branch, HEADERS - depth + 1)
    wait_for_tip(second, branch)
    assert (received(second, "inv") > 0) is by_inv
    tips = {tip["hash"]: tip for tip in second.rpc("getchaintips")}
    assert tips[name_of(branch.tip)]["status"] == "active"
    assert set(tips) == {name_of(branch.tip), name_of(line.tip)}
    assert tips[name_of(line.tip)] == {
        "height": HEADERS,
        "hash": name_of(line.tip),
        "branchlen": depth,
        "status": "headers-only",
    }


def test_the_roles_are_reversed_after_a_restart(
    nodes: tuple[NodeProcess, NodeProcess], line: HeaderLine, tmp_path: Path
) -> None:
    """The second, which only listened to the first, goes on alone and is the source of the first afterwards."""
    first, second = nodes
    line = line.fork(HEADERS).grow(5, spacing=1)
    assert first.stop() == 0
    submit(second, line, HEADERS + 1)
    assert second.stop() == 0
    with (
        NodeProcess(tmp_path / "second", SERVES) as source,
        NodeProcess(tmp_path / "first", SERVES, f"--connect=127.0.0.1:{source.port}") as follower,
    ):
        assert source.rpc("getbestblockhash") == name_of(line.tip)
        wait_for_tip(follower, line)
        seconds_until_noticed(follower, source, line)
        seconds_until_noticed(source, follower, line)


def test_a_node_without_headers_to_vouch_for_is_no_source(line: HeaderLine, tmp_path: Path) -> None:
    """Below the network's minimum work a node answers with nothing, and goes on by itself."""
    below = line.fork(10)
    with (
        NodeProcess(tmp_path / "first", SERVES, f"--minimumchainwork={1 << 40:x}") as first,
        NodeProcess(tmp_path / "second", f"--connect=127.0.0.1:{first.port}") as second,
    ):
        submit(first, below, 1)
        wait_until(lambda: received(second, "headers") > 0)
        assert second.rpc("getblockcount") == 0
        assert first.rpc("getblockcount") == below.height

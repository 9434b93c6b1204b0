"""A live third-party peer: bcoin (npm) and ccnode, both ways round.

What ccnode says and understands is judged here by a program that knows nothing of it.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.bcoin import Bcoin, find_modules
from tests.support.fakes import NETWORK_AND_WITNESS, mined
from tests.support.process import NodeProcess
from tests.support.scripted import wait_until

BLOCKS = 300
USER_AGENT = "/bcoin:v1.0.2/"
PROTOCOL_VERSION = 70015
HEADER_FIELDS = (
    *("hash", "confirmations", "height", "version", "versionHex", "merkleroot", "time", "mediantime", "difficulty"),
    *("chainwork", "previousblockhash", "nextblockhash"),
)
NOTICE_SECONDS = 1.0
"""A new block is known to us so soon after bcoin has it."""
WAIT_MS = 20_000

MODULES = find_modules()
"""Without them the whole module is skipped."""


@pytest.fixture(scope="module")
def bcoin() -> Iterator[Bcoin]:
    """A bcoin with blocks; its chain grows from test to test."""
    with Bcoin(MODULES, mine=BLOCKS) as peer:
        yield peer


@pytest.fixture
def node(bcoin: Bcoin, tmp_path: Path) -> Iterator[NodeProcess]:
    """A new node that is connected to ``bcoin`` and has all its headers."""
    with NodeProcess(tmp_path, f"--connect={bcoin.target}") as process:
        wait_for_tip(process, bcoin.rpc("getbestblockhash"))
        yield process


def wait_for_tip(node: NodeProcess, block_hash: str) -> None:
    assert node.rpc("waitforblock", block_hash, WAIT_MS)["hash"] == block_hash, node.text()


def only_peer(node: NodeProcess) -> dict[str, Any]:
    (peer,) = wait_until(lambda: node.rpc("getpeerinfo"))
    return peer


def assert_same_chain(node: NodeProcess, bcoin: Bcoin) -> None:
    """Both have the same tip, and with it everything below, and see it the same way."""
    height = bcoin.rpc("getblockcount")
    assert node.rpc("getblockcount") == height
    for at in {0, 1, height // 2, height - 1, height}:
        block_hash = bcoin.rpc("getblockhash", at)
        assert node.rpc("getblockheader", block_hash, False) == bcoin.rpc("getblockheader", block_hash, False)
        ours, theirs = node.rpc("getblockheader", block_hash), bcoin.rpc("getblockheader", block_hash, True)
        assert {key: ours.get(key) for key in HEADER_FIELDS} == {key: theirs[key] for key in HEADER_FIELDS}


def seconds_until_noticed(node: NodeProcess, bcoin: Bcoin) -> float:
    """Time from bcoin's word that it mined a block to our having it as the tip."""
    block_hash = bcoin.mine()
    mined = time.monotonic()
    wait_for_tip(node, block_hash)
    return time.monotonic() - mined


def test_handshake_with_a_bcoin_we_dial(node: NodeProcess, bcoin: Bcoin) -> None:
    theirs = only_peer(node)
    assert theirs["subver"] == USER_AGENT
    assert theirs["version"] == PROTOCOL_VERSION
    assert theirs["servicesnames"] == ["NETWORK", "WITNESS"]
    assert theirs["connection_type"] == "manual"
    assert not theirs["inbound"]
    assert theirs["addr"] == bcoin.target
    assert abs(theirs["timeoffset"]) <= 2
    (ours,) = [peer for peer in bcoin.rpc("getpeerinfo") if peer["subver"] == node.rpc("getnetworkinfo")["subversion"]]
    assert ours["inbound"]
    assert ours["version"] == 70016
    assert int(ours["services"], 16) == 0
    assert not ours["relaytxes"]


def test_mined_headers_are_synchronised(node: NodeProcess, bcoin: Bcoin) -> None:
    assert node.rpc("getblockcount") >= BLOCKS
    assert_same_chain(node, bcoin)
    assert not node.rpc("getblockchaininfo")["initialblockdownload"]
    assert only_peer(node)["synced_headers"] == node.rpc("getblockcount")


def test_a_new_block_is_noticed_within_a_second(node: NodeProcess, bcoin: Bcoin, record_property: Any) -> None:
    seconds = [seconds_until_noticed(node, bcoin) for _ in range(3)]
    record_property("seconds_until_noticed", seconds)
    assert min(seconds) < NOTICE_SECONDS, seconds


def test_blocks_mined_in_a_row_are_all_noticed(node: NodeProcess, bcoin: Bcoin) -> None:
    wait_for_tip(node, bcoin.mine(50))
    assert_same_chain(node, bcoin)


def test_a_reorganisation_is_followed(node: NodeProcess, bcoin: Bcoin) -> None:
    old_tip = bcoin.mine(3)
    wait_for_tip(node, old_tip)
    height = node.rpc("getblockcount")
    bcoin.rpc("invalidateblock", node.rpc("getblockhash", height - 2))
    assert bcoin.rpc("getblockcount") == height - 3
    new_tip = bcoin.mine(4)
    wait_for_tip(node, new_tip)
    assert_same_chain(node, bcoin)
    tips = {tip["hash"]: tip for tip in node.rpc("getchaintips")}
    assert tips[old_tip]["height"] == height
    assert tips[old_tip]["branchlen"] == 3
    assert tips[old_tip]["status"] == "headers-only"
    assert node.rpc("getbestblockhash") == new_tip


def test_a_bcoin_without_blocks_answers_nothing_and_is_followed_all_the_same(tmp_path: Path) -> None:
    with Bcoin(MODULES) as peer, NodeProcess(tmp_path, f"--connect={peer.target}") as node:
        wait_until(lambda: only_peer(node)["bytessent_per_msg"].get("getheaders"))
        wait_for_tip(node, peer.mine())
        wait_for_tip(node, peer.mine(30))


def test_a_bcoin_that_comes_back_is_redialed(tmp_path: Path) -> None:
    with Bcoin(MODULES, mine=3) as peer, NodeProcess(tmp_path, f"--connect={peer.target}") as node:
        wait_until(lambda: node.rpc("getblockcount") == 3)
        peer.close()
        wait_until(lambda: node.rpc("getpeerinfo") == [])
        peer.restart(mine=5)
        wait_for_tip(node, peer.rpc("getbestblockhash"))
        assert only_peer(node)["id"] > 0
        assert_same_chain(node, peer)
        wait_for_tip(node, peer.mine())


def test_a_bcoin_that_dials_us_is_synchronised_from(tmp_path: Path) -> None:
    with (
        NodeProcess(tmp_path, f"--services={NETWORK_AND_WITNESS}") as node,
        Bcoin(MODULES, mine=BLOCKS, only=(f"127.0.0.1:{node.port}",)) as peer,
    ):
        wait_for_tip(node, peer.rpc("getbestblockhash"))
        assert_same_chain(node, peer)
        theirs = only_peer(node)
        assert theirs["inbound"]
        assert theirs["connection_type"] == "inbound"
        assert theirs["subver"] == USER_AGENT
        (ours,) = peer.rpc("getpeerinfo")
        assert not ours["inbound"]
        assert int(ours["services"], 16) == NETWORK_AND_WITNESS
        wait_for_tip(node, peer.mine())


def test_a_bcoin_that_dials_us_hears_of_our_headers(tmp_path: Path) -> None:
    """It asks for the block, which we do not have, and stays."""
    with (
        NodeProcess(tmp_path, f"--services={NETWORK_AND_WITNESS}") as node,
        Bcoin(MODULES, mine=1, only=(f"127.0.0.1:{node.port}",)) as peer,
    ):
        wait_for_tip(node, peer.rpc("getbestblockhash"))
        tip = node.rpc("getblockheader", node.rpc("getbestblockhash"))
        (header,) = mined(bytes.fromhex(tip["hash"])[::-1], tip["time"] + 1, 1)
        node.rpc("submitheader", header.hex())
        wait_until(lambda: only_peer(node)["bytesrecv_per_msg"].get("getdata"))
        assert only_peer(node)["bytessent_per_msg"]["inv"] > 0
        wait_for_tip(node, peer.mine(2))
        assert only_peer(node)["id"] == 0

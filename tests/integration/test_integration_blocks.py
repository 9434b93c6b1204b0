"""Whole blocks between live nodes: downloaded, validated, stored, reorganised and served."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from ccnode.chain.networks import MAINNET
from tests.chain.support_blocks import framed
from tests.support.bcoin import Bcoin, find_modules
from tests.support.block_peer import BlockPeer, LeavingPeer, LyingPeer, StallingPeer
from tests.support.chain_maker import OP_TRUE, SPACING, ChainMaker, outpoint, sha256d, transaction
from tests.support.data import read_xz
from tests.support.process import NodeProcess
from tests.support.scripted import wait_until

BLOCKS = "--sync=blocks"
SYNC_SECONDS = 60.0


def shown(block_hash: bytes) -> str:
    return block_hash[::-1].hex()


def wait_tip(node: NodeProcess, block_hash: bytes, seconds: float = SYNC_SECONDS) -> None:
    wait_until(lambda: node.rpc("getbestblockhash") == shown(block_hash), seconds)


def coins_hash(node: NodeProcess) -> str:
    """Of all unspent coins."""
    info: dict[str, Any] = node.rpc("gettxoutsetinfo", "muhash")
    return str(info["muhash"])


@pytest.fixture(scope="module")
def modules() -> Path:
    return find_modules()


@contextlib.contextmanager
def peers(*made: BlockPeer) -> Iterator[list[str]]:
    """Their addresses, as a node wants them to connect to."""
    with contextlib.ExitStack() as stack:
        for peer in made:
            stack.enter_context(peer)
        yield [f"--connect={peer.target}" for peer in made]


def grown(count: int, *, to_come: int = 0) -> ChainMaker:
    """A chain whose last block is an hour old, or will be: a node that has it is up to date, and tells others."""
    maker = ChainMaker(start=int(time.time()) - 3600 - (count + to_come) * SPACING)
    maker.extend(count)
    return maker


def submit(node: NodeProcess, blocks: Sequence[bytes]) -> None:
    """Blocks of a branch that is not the best yet are taken, too, but nothing is known of them."""
    answers = [node.rpc("submitblock", raw.hex()) for raw in blocks]
    assert set(answers) <= {None, "inconclusive"}
    assert answers[-1] is None


def test_blocks_are_downloaded_connected_and_kept(tmp_path: Path) -> None:
    maker = grown(300)
    with peers(BlockPeer(maker.blocks)) as connect, NodeProcess(tmp_path, BLOCKS, *connect) as node:
        wait_tip(node, maker.hash)
        info = node.rpc("getblockchaininfo")
        assert (info["blocks"], info["headers"], info["pruned"]) == (300, 300, False)
        assert node.rpc("getblock", shown(maker.hash), 0) == maker.blocks[-1].hex()
        before = coins_hash(node)
        assert node.stop() == 0
        node.restart()
        assert node.rpc("getbestblockhash") == shown(maker.hash)
        assert coins_hash(node) == before


def test_a_killed_node_recovers_by_itself(tmp_path: Path) -> None:
    maker = grown(300)
    with peers(BlockPeer(maker.blocks)) as connect, NodeProcess(tmp_path, BLOCKS, *connect) as node:
        wait_until(lambda: node.rpc("getblockcount") > 100)
        node.kill()
        node.restart()
        wait_tip(node, maker.hash)


def test_a_better_branch_is_followed(tmp_path: Path) -> None:
    trunk = grown(150, to_come=101)
    stale, better = trunk.clone(), trunk.clone()
    stale.extend(100)
    better.extend(101, spends=3, extra_nonce=1)
    with BlockPeer(stale.blocks) as peer, NodeProcess(tmp_path, BLOCKS, f"--connect={peer.target}") as node:
        wait_tip(node, stale.hash)
        on_stale = coins_hash(node)
        submit(node, better.blocks[150:])
        wait_tip(node, better.hash)
        assert coins_hash(node) != on_stale
        node.rpc("invalidateblock", shown(better.hash))
        assert node.rpc("getblockcount") == 250
        node.rpc("reconsiderblock", shown(better.hash))
        wait_tip(node, better.hash)
        tips = {tip["hash"]: tip["status"] for tip in node.rpc("getchaintips")}
        assert tips == {shown(better.hash): "active", shown(stale.hash): "valid-fork"}


def test_lying_and_leaving_peers_do_not_stop_the_sync(tmp_path: Path) -> None:
    maker = grown(600)
    liar = LyingPeer(maker.blocks)
    bad = liar, LeavingPeer(maker.blocks, after=20)
    with peers(BlockPeer(maker.blocks), *bad) as connect, NodeProcess(tmp_path, BLOCKS, *connect) as node:
        wait_tip(node, maker.hash)
        assert liar.asked


@pytest.mark.long
def test_a_stalling_peer_does_not_stop_the_sync(tmp_path: Path) -> None:
    """Within the window it is found out in two seconds; what it owes at the end of the chain, after half a minute."""
    maker = grown(2000)
    bad = StallingPeer(maker.blocks), LyingPeer(maker.blocks), LeavingPeer(maker.blocks, after=20)
    with peers(BlockPeer(maker.blocks), *bad) as connect, NodeProcess(tmp_path, BLOCKS, *connect) as node:
        wait_tip(node, maker.hash, 120)


def test_two_nodes(tmp_path: Path) -> None:
    maker = grown(400)
    with NodeProcess(tmp_path / "first", BLOCKS) as first:
        submit(first, maker.blocks)
        with NodeProcess(tmp_path / "second", BLOCKS, f"--connect=127.0.0.1:{first.port}") as second:
            wait_tip(second, maker.hash)
            submit(first, maker.extend(3))
            wait_tip(second, maker.hash)
            assert coins_hash(first) == coins_hash(second)


def test_blocks_from_bcoin(tmp_path: Path, modules: Path) -> None:
    """It mines with rules of its own: version bits, and a witness commitment from 432 on."""
    with (
        Bcoin(modules, mine=450) as bcoin,
        NodeProcess(
            tmp_path,
            BLOCKS,
            "--testactivationheight=segwit@432",
            "--testactivationheight=csv@432",
            f"--connect={bcoin.target}",
        ) as node,
    ):
        wait_until(lambda: node.rpc("getblockcount") == 450, SYNC_SECONDS)
        tip = bcoin.mine(3)
        wait_until(lambda: node.rpc("getbestblockhash") == tip, SYNC_SECONDS)


def test_bcoin_takes_all_blocks_from_us(tmp_path: Path, modules: Path) -> None:
    maker = grown(1200)
    with NodeProcess(tmp_path, BLOCKS) as node:
        submit(node, maker.blocks)
        with Bcoin(modules, only=(f"127.0.0.1:{node.port}",)) as bcoin:
            wait_until(lambda: bcoin.rpc("getblockcount") == 1200, SYNC_SECONDS)
            assert bcoin.rpc("getbestblockhash") == shown(maker.hash)
            submit(node, maker.extend(2))
            wait_until(lambda: bcoin.rpc("getbestblockhash") == shown(maker.hash), SYNC_SECONDS)


@pytest.mark.long
def test_five_thousand_blocks_from_bcoin_and_bad_peers_with_a_reorganisation(tmp_path: Path, modules: Path) -> None:
    trunk = grown(4900, to_come=101)
    maker, better = trunk.clone(), trunk.clone()
    maker.extend(100, spends=1)
    better.extend(101, spends=3, extra_nonce=1)
    with NodeProcess(tmp_path / "source", BLOCKS) as source:
        submit(source, maker.blocks)
        with Bcoin(modules, only=(f"127.0.0.1:{source.port}",)) as bcoin:
            wait_until(lambda: bcoin.rpc("getblockcount") == 5000, 600)
            bad = StallingPeer(maker.blocks), LyingPeer(maker.blocks), LeavingPeer(maker.blocks, after=100)
            good = f"--connect={bcoin.target}", f"--connect=127.0.0.1:{source.port}"
            with peers(*bad) as connect, NodeProcess(tmp_path / "node", BLOCKS, *good, *connect) as node:
                wait_until(lambda: node.rpc("getblockcount") > 2000, 300)
                submit(source, better.blocks[4900:])
                wait_tip(node, better.hash, 600)
                assert coins_hash(node) == coins_hash(source)


def test_the_largest_block_can_be_submitted_and_shown(tmp_path: Path) -> None:
    """Its four million bytes are nearly all witness of one input."""
    maker = grown(101)
    script = b"\x75" * 79 + OP_TRUE  # OP_DROP for each of its stack items
    program = b"\x00\x20" + sha256(script).digest()
    (point, value), *_ = maker.ready
    with NodeProcess(tmp_path, BLOCKS) as node:
        submit(node, maker.blocks)
        funding = transaction([(point, b"", 0xFFFFFFFF)], [(value // 90, program)] * 90)
        submit(node, [maker.block([funding])])
        inputs = [(outpoint(funding.txid, i), b"", 0xFFFFFFFF) for i in range(90)]
        stack = [bytes(520)] * 79 + [script]
        spend = transaction(inputs, [(value // 90, OP_TRUE)], witnesses=[stack] * 90)
        raw = maker.block([spend])
        assert len(raw) > 3_700_000
        submit(node, [raw])
        assert node.rpc("getblock", shown(maker.hash), 0) == raw.hex()


@pytest.mark.parametrize("name", ["main_000000_000438.dat.xz", "mainnet_alt_blocks_1_2016.dat.xz"])
def test_real_proof_of_work_under_mainnet_rules(tmp_path: Path, data_dir: Path, name: str) -> None:
    """The first 439 blocks of the main network, and another chain on its genesis up to its first retarget."""
    blocks = [raw for raw in framed(read_xz(data_dir / "blocks" / name)) if raw[:80] != MAINNET.genesis]
    arguments = "--minimumchainwork=0", "--maxtipage=2000000000"
    with (
        peers(BlockPeer(blocks, MAINNET)) as connect,
        NodeProcess(tmp_path, BLOCKS, *arguments, *connect, chain="mainnet") as node,
    ):
        wait_tip(node, sha256d(blocks[-1][:80]))
        assert node.rpc("getblockcount") == len(blocks)
        assert node.rpc("gettxoutsetinfo", "none")["height"] == len(blocks)

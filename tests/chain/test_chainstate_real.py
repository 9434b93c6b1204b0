"""Real chains, block by block, beside Bitcoin Core's own validation."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ccnode.chain.networks import MAINNET, REGTEST
from ccnode.chain.params import ChainParams
from ccnode.kernel.scripts import ScriptChecker
from ccnode.storage.block_records import read_records
from tests.support.chainstate import ChainRoom
from tests.support.clock import ManualClock
from tests.support.data import read_xz
from tests.support.kernel import KernelChain

EARLY_MAINNET = replace(MAINNET, minimum_chain_work=0, assumevalid=None)
NOW = 1_790_000_000.0


def framed(tmp_path: Path, source: Path) -> list[bytes]:
    path = tmp_path / "import.dat"
    path.write_bytes(read_xz(source))
    return [raw for _offset, raw in read_records(path, MAINNET.magic)]


@pytest.fixture
def scripts() -> Iterator[ScriptChecker]:
    checker = ScriptChecker(1)
    yield checker
    checker.close()


def same_as_kernel(tmp_path: Path, params: ChainParams, scripts: ScriptChecker, blocks: list[bytes]) -> ChainRoom:
    """Both get the blocks; after each, tips and verdicts are equal."""
    room = ChainRoom(tmp_path / "ours", params, scripts=scripts, clock=ManualClock(NOW))
    with KernelChain(tmp_path / "kernel", params.name) as kernel:
        for i, raw in enumerate(blocks):
            ours, theirs = room.submit(raw), kernel.process(raw)
            assert room.tip == theirs.tip, f"block {i}"
            assert (ours.verdict is None) == (theirs.verdict is None), f"block {i}"
            if ours.verdict is not None and theirs.verdict is not None:
                assert ours.verdict.result.name.replace("PARENT", "PREV") == theirs.verdict.result, f"block {i}"
                assert ours.verdict.reason == theirs.verdict.reason.partition(" (")[0], f"block {i}"
        for height in range(1, room.height + 1):
            n = room.chain.index.active_at(height)
            assert n is not None
            theirs_spent = [[(c.value, c.script) for c in coins] for coins in kernel.spent(height)]
            ours_spent = [
                [(int.from_bytes(coin[4:12], "little"), coin[12:]) for coin in coins]
                for coins in room.state.bodies.wait_undo(n)
            ]
            assert ours_spent == theirs_spent, f"height {height}"
    return room


def test_the_first_blocks_of_mainnet(data_dir: Path, tmp_path: Path, scripts: ScriptChecker) -> None:
    blocks = framed(tmp_path, data_dir / "blocks/main_000000_000438.dat.xz")[1:]
    room = same_as_kernel(tmp_path, EARLY_MAINNET, scripts, blocks)
    assert room.height == 438


def test_the_alternative_mainnet_chain(data_dir: Path, tmp_path: Path, scripts: ScriptChecker) -> None:
    blocks = framed(tmp_path, data_dir / "blocks/mainnet_alt_blocks_1_2016.dat.xz")
    room = same_as_kernel(tmp_path, EARLY_MAINNET, scripts, blocks)
    assert room.height == 2016


def test_floresta_regtest(data_dir: Path, tmp_path: Path, scripts: ScriptChecker) -> None:
    lines = read_xz(data_dir / "chains/floresta_regtest_0_150.hex.xz").decode().split()
    room = same_as_kernel(tmp_path, REGTEST, scripts, [bytes.fromhex(line) for line in lines[1:]])
    assert room.tip[::-1].hex().startswith("4ddf4a47b509")


def test_floresta_reorganisation(data_dir: Path, tmp_path: Path, scripts: ScriptChecker) -> None:
    first, second = json.loads(read_xz(data_dir / "chains/floresta_test_reorg.json.xz"))
    blocks = [bytes.fromhex(raw) for raw in first + second]
    room = same_as_kernel(tmp_path, REGTEST, scripts, blocks)
    assert room.height == 16
    assert room.tip[::-1].hex().startswith("4572ac40")
    assert ("down", 6) in room.moves


def test_premature_spends_stop_the_btcd_chain(data_dir: Path, tmp_path: Path, scripts: ScriptChecker) -> None:
    blocks = framed(tmp_path, data_dir / "chains/btcd_reorg_mainnetpow_0_4_3A_4A_5A.dat.xz")
    room = same_as_kernel(tmp_path, EARLY_MAINNET, scripts, blocks[1:])
    assert room.height == 1

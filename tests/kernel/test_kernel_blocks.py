"""The library's quick yes is the yes of our own rules, also for blocks broken on purpose."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ccnode.chain.block_rules import check_block
from ccnode.chain.networks import MAINNET
from ccnode.errors import DecodeError
from ccnode.kernel.blocks import BlockChecker
from ccnode.kernel.library import load_kernel
from ccnode.wire.parsing import parse_block
from tests.support.data import read_xz
from tests.support.kernel import kernel_block


@pytest.fixture(scope="module")
def checker() -> Iterator[BlockChecker]:
    checker = BlockChecker(load_kernel())
    yield checker
    checker.close()


@dataclass(frozen=True, slots=True)
class Tally:
    """How many blocks passed, were refused, and could not be read."""

    passed: int
    refused: int
    unreadable: int


def compare(checker: BlockChecker, blocks: list[bytes]) -> Tally:
    """Ours and theirs agree about each."""
    passed = refused = unreadable = 0
    for raw in blocks:
        try:
            block = parse_block(raw)
        except DecodeError:
            with pytest.raises(ValueError):
                kernel_block(raw)
            unreadable += 1
            continue
        verdict = check_block(block, MAINNET)
        assert checker.passes(block) == (verdict is None), verdict
        passed += verdict is None
        refused += verdict is not None
    return Tally(passed, refused, unreadable)


def test_real_blocks_with_a_byte_changed(checker: BlockChecker, data_dir: Path) -> None:
    """Nothing gets past the merkle root but what is not under it: the header and the witnesses."""
    raw = read_xz(data_dir / "blocks/main_757753.raw.xz")
    broken = [raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :] for at in range(0, len(raw), 97)]
    assert compare(checker, broken) == Tally(143, 206, 14)


def test_blocks_broken_by_cores_own_test(checker: BlockChecker, data_dir: Path) -> None:
    lines = read_xz(data_dir / "chains/core_feature_block_steps_000_082.jsonl.xz").splitlines()
    blocks = {raw for line in lines for raw in json.loads(line)["blocks"]}
    assert compare(checker, [bytes.fromhex(raw) for raw in sorted(blocks)]) == Tally(165, 20, 0)


def test_a_header_of_another_size(checker: BlockChecker, data_dir: Path) -> None:
    raw = read_xz(data_dir / "blocks/main_757753.raw.xz")
    longer = parse_block(raw[:80] + bytes(32) + raw[80:], 112, bytes(32))
    assert checker.passes(longer)
    assert not checker.passes(parse_block(raw[:40] + bytes(72) + raw[80:], 112, bytes(32)))

"""Whatever arrives in whatever order, our chain state and Bitcoin Core's make the same of it.

Histories are made up from a seed (`tests.support.block_fuzz`): blocks that are right, nearly right and wrong, branches,
blocks before their parents, forgeries under good headers. After every delivery the two agree on what can be read, on
the verdict on each block that was looked at, and on the tip; in the end on the coins. A history on which they differ is
shortened, and printed with what was wrong with each of its blocks.

To search longer:  CCNODE_FUZZ_SEED=1000 CCNODE_FUZZ_WORLDS=2000 pytest -m long tests/chain/test_differential.py -s
"""

from __future__ import annotations

import io
import os
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from time import perf_counter

import pytest

from ccnode.kernel.scripts import ScriptChecker
from tests.support.block_drafts import Node, first_node
from tests.support.block_fuzz import World, base_chain
from tests.support.data import read_xz
from tests.support.twins import FINE, Delivery, Disagreement, Twins, shrink

SEED = int(os.environ.get("CCNODE_FUZZ_SEED", "0"))
WORLDS = 10
YOUNG_WORLDS = 6
LONG_WORLDS = int(os.environ.get("CCNODE_FUZZ_WORLDS", "200"))
STEPS = 200

CORPORA = ["rbk_chainman_process_block", "bitcoinfuzz_kernel_block"]


@pytest.fixture(scope="module")
def scripts() -> Iterator[ScriptChecker]:
    checker = ScriptChecker(1)
    yield checker
    checker.close()


def tell(deliveries: Sequence[Delivery], found: Disagreement, where: str, scripts: ScriptChecker) -> None:
    """Fail with the shortest history that shows it."""
    left = shrink(deliveries, scripts)
    lines = [f"{each.note}\n    {each.raw[:5000].hex()}" for each in left[-6:]]
    pytest.fail(f"{where}: {found}\nshortened to {len(left)} deliveries, the last of them:\n" + "\n".join(lines))


def play(
    path: Path, seed: int, start: Node, base: Sequence[Delivery], scripts: ScriptChecker, reasons: Counter[str]
) -> int:
    """One world; returns how many blocks its deepest reorganisation disconnected."""
    given = list(base)
    with Twins(path, scripts) as twins:
        try:
            for delivery in base:
                assert twins.give(delivery) == FINE
            for delivery in World(seed, start, lambda: twins.tip).deliveries(STEPS):
                given.append(delivery)
                twins.give(delivery)
            twins.compare_coins(range(len(base), len(base) + STEPS))
        except Disagreement as found:
            tell(given, found, f"seed {seed}, delivery {len(given) - len(base)}", scripts)
        for reason, count in twins.reasons.items():
            reasons[reason.partition("(")[0]] += count  # one "bad-version" of many
        return twins.deepest


def play_all(tmp_path: Path, seeds: range, scripts: ScriptChecker, *, young: bool = False) -> tuple[Counter[str], int]:
    start, base = (first_node(), []) if young else base_chain()
    reasons: Counter[str] = Counter()
    begin = perf_counter()
    deepest = max(play(tmp_path / str(seed), seed, start, base, scripts, reasons) for seed in seeds)
    took = perf_counter() - begin
    total = sum(reasons.values())
    print(f"\nseeds {seeds.start} to {seeds.stop - 1}: {total} verdicts, {total / took:.0f} per second;", end=" ")
    print(f"deepest reorganisation: {deepest} blocks")
    print("\n".join(f"{count:7} {reason or 'fine'}" for reason, count in reasons.most_common()))
    return reasons, deepest


def test_histories(tmp_path: Path, scripts: ScriptChecker) -> None:
    reasons, deepest = play_all(tmp_path, range(SEED, SEED + WORLDS), scripts)
    assert len(reasons) >= 30, sorted(reasons)
    assert deepest >= 8


def test_histories_from_the_first_block(tmp_path: Path, scripts: ScriptChecker) -> None:
    """There are no coins to spend, but heights of one opcode, and less than eleven blocks to take a median of."""
    reasons, _deepest = play_all(tmp_path, range(SEED, SEED + YOUNG_WORLDS), scripts, young=True)
    assert len(reasons) >= 18, sorted(reasons)


@pytest.mark.long
def test_many_histories(tmp_path: Path, scripts: ScriptChecker) -> None:
    begin = SEED + WORLDS
    reasons, deepest = play_all(tmp_path, range(begin, begin + LONG_WORLDS), scripts)
    assert len(reasons) >= 30, sorted(reasons)
    assert deepest >= 8


@pytest.mark.parametrize("name", CORPORA)
def test_corpora(data_dir: Path, tmp_path: Path, scripts: ScriptChecker, name: str) -> None:
    """What others' fuzzers found worth keeping, all of it to one chain."""
    with tarfile.open(fileobj=io.BytesIO(read_xz(data_dir / f"fuzz/{name}.tar.xz"))) as tar:
        members = [(member.name, tar.extractfile(member)) for member in tar if member.isfile()]
    deliveries = [Delivery(file.read(), member) for member, file in members if file is not None]
    with Twins(tmp_path, scripts) as twins:
        for delivery in deliveries:
            try:
                twins.give(delivery)
            except Disagreement as found:
                pytest.fail(f"{delivery.note}: {found}")
        print(twins.reasons)
        assert sum(twins.reasons.values()) >= len(deliveries)

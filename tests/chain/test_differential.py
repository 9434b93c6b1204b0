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

from ccnode.chain import block_rules
from ccnode.chain.merkle import merkle_root
from ccnode.kernel.scripts import ScriptChecker
from ccnode.wire.parsing import ParsedBlock
from tests.support.block_drafts import Node, first_node
from tests.support.block_fuzz import World, base_chain
from tests.support.data import read_xz
from tests.support.twins import FINE, Delivery, Disagreement, Twins, shrink

SEED = int(os.environ.get("CCNODE_FUZZ_SEED", "0"))
WORLDS = 3
YOUNG_WORLDS = 2
LONG_WORLDS = int(os.environ.get("CCNODE_FUZZ_WORLDS", "100"))
STEPS = 200

CORPORA = ["rbk_chainman_process_block", "bitcoinfuzz_kernel_block"]


class OwnRules(ScriptChecker):
    """Never has the library's word that a block is right by itself: our rules judge every one."""

    def passes(self, block: ParsedBlock) -> bool:
        return False


@pytest.fixture(scope="module", params=[ScriptChecker, OwnRules], ids=["library", "own rules"])
def scripts(request: pytest.FixtureRequest) -> Iterator[ScriptChecker]:
    checker: ScriptChecker = request.param(1)
    yield checker
    checker.close()


def seeds(scripts: ScriptChecker, count: int, begin: int = 0) -> range:
    """Others for each way to judge."""
    begin += SEED + count * isinstance(scripts, OwnRules)
    return range(begin, begin + count)


def tell(
    base: Sequence[Delivery], deliveries: Sequence[Delivery], found: Disagreement, where: str, scripts: ScriptChecker
) -> None:
    """Fail with the shortest history that shows it."""
    left = shrink(base, deliveries, scripts)
    lines = [f"{each.note}\n    {each.raw[:5000].hex()}" for each in left[-6:]]
    after = f" after the base of {len(base)}" if base else ""
    pytest.fail(f"{where}: {found}\nshortened to {len(left)} deliveries{after}, the last of them:\n" + "\n".join(lines))


def play(
    path: Path, seed: int, start: Node, base: Sequence[Delivery], scripts: ScriptChecker, reasons: Counter[str]
) -> int:
    """One world; returns how many blocks its deepest reorganisation disconnected."""
    given: list[Delivery] = []
    with Twins(path, scripts, cache_bytes=1 if seed % 3 == 0 else 10_000_000) as twins:
        try:
            for delivery in base:
                assert twins.give(delivery) == FINE
            for delivery in World(seed, start, lambda: twins.tip).deliveries(STEPS):
                given.append(delivery)
                twins.give(delivery)
            twins.restart()
            twins.compare_coins(range(len(base), len(base) + STEPS))
        except Disagreement as found:
            tell(base, given, found, f"seed {seed}, delivery {len(given)}", scripts)
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
    reasons, deepest = play_all(tmp_path, seeds(scripts, WORLDS), scripts)
    assert len(reasons) >= 30, sorted(reasons)
    assert deepest >= 8


def test_histories_from_the_first_block(tmp_path: Path, scripts: ScriptChecker) -> None:
    """There are no coins to spend, but heights of one opcode, and less than eleven blocks to take a median of."""
    reasons, _deepest = play_all(tmp_path, seeds(scripts, YOUNG_WORLDS), scripts, young=True)
    assert len(reasons) >= 15, sorted(reasons)


def test_a_difference_is_found_and_shortened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If we did not know that a list of transactions can be doubled at its end."""
    monkeypatch.setattr(block_rules, "merkle_root", lambda hashes: (merkle_root(hashes)[0], False))
    with pytest.raises(pytest.fail.Exception, match=r"shortened to [1-4] deliveries"):
        play_all(tmp_path, range(100), OwnRules(1), young=True)


@pytest.mark.long
def test_many_histories(tmp_path: Path, scripts: ScriptChecker) -> None:
    reasons, deepest = play_all(tmp_path, seeds(scripts, LONG_WORLDS, 2 * WORLDS), scripts)
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

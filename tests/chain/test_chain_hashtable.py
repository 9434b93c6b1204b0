"""The table from hash to number, across generations."""

import pytest

from ccnode.chain import hashtable
from ccnode.chain.hashtable import HashTable


def hashes(first: int, count: int) -> list[bytes]:
    return [number.to_bytes(32, "big") for number in range(first, first + count)]


@pytest.fixture(autouse=True)
def _small_generations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashtable, "GENERATION", 10)


def test_finds_every_hash_in_whatever_generation() -> None:
    table = HashTable(hashes(0, 1)[0])
    for first in range(1, 100, 7):
        table.add(hashes(first, 7), first)
    assert [table.get(block_hash) for block_hash in hashes(0, 99)] == list(range(99))
    assert table.get(b"x" * 32) is None
    assert len(table._older) > 5


@pytest.mark.parametrize("known", [3, 30, 59])
def test_add_if_new_refuses_a_hash_of_any_generation_and_changes_nothing(known: int) -> None:
    table = HashTable(hashes(0, 1)[0])
    for first in range(1, 60, 5):
        table.add(hashes(first, 5), first)
    clash = [*hashes(100, 3), *hashes(known, 1)]
    assert not table.add_if_new(clash, 61)
    assert [table.get(block_hash) for block_hash in clash] == [None, None, None, known]
    assert table.add_if_new(hashes(100, 4), 61)
    assert [table.get(block_hash) for block_hash in hashes(100, 4)] == [61, 62, 63, 64]


def test_add_if_new_refuses_equal_hashes() -> None:
    table = HashTable(hashes(0, 1)[0])
    assert not table.add_if_new([*hashes(5, 2), *hashes(5, 1)], 1)
    assert table.get(hashes(5, 1)[0]) is None

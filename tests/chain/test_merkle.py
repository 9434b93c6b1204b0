"""Merkle roots, mutations and the witness commitment."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccnode.chain.merkle import commitment_position, merkle_root
from ccnode.wire.serialize import sha256d

LEAVES = [sha256d(bytes([n])) for n in range(40)]


def naive_root(hashes: list[bytes]) -> bytes:
    if len(hashes) == 1:
        return hashes[0]
    pairs = [(hashes[i], hashes[min(i + 1, len(hashes) - 1)]) for i in range(0, len(hashes), 2)]
    return naive_root([sha256d(a + b) for a, b in pairs])


@pytest.mark.parametrize("count", range(1, 40))
def test_root(count):
    assert merkle_root(LEAVES[:count]) == (naive_root(LEAVES[:count]), False)


def test_no_hashes():
    assert merkle_root([]) == (bytes(32), False)


def test_the_callers_list_is_left_alone():
    hashes = LEAVES[:3]
    merkle_root(hashes)
    assert hashes == LEAVES[:3]


@pytest.mark.parametrize("count", [3, 5, 6, 7, 9, 10, 11, 12, 20])
def test_repeating_the_end_keeps_the_root_and_is_noticed(count):
    """At each level of odd length the last subtree can be doubled."""
    found, width = 0, 1
    while width < count:
        if -(-count // width) % 2:
            begin = (count - 1) // width * width
            longer = LEAVES[:count] + LEAVES[begin:count]
            root, mutated = merkle_root(longer)
            if root == naive_root(LEAVES[:count]):
                assert mutated
                found += 1
        width *= 2
    assert found


@settings(max_examples=200)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_mutated_means_equal_neighbours(numbers):
    hashes = [LEAVES[n] for n in numbers]
    expected, level = False, hashes
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        expected |= any(len(pair) == 2 and pair[0] == pair[1] for pair in pairs)
        level = [sha256d(pair[0] + pair[-1]) for pair in pairs]
    assert merkle_root(hashes) == (level[0], expected)


def test_the_last_commitment_counts():
    good = bytes.fromhex("6a24aa21a9ed") + bytes(32)
    assert commitment_position([(0, good), (0, good + b"\1"), (0, good[:-1]), (0, b"")]) == 1
    assert commitment_position([(0, good[:-1]), (0, b"\x6a\x25" + good[2:] + b"\0")]) is None

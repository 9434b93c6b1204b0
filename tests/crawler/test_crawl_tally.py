"""Counting a great many ranges in little memory."""

from random import Random

import pytest

from ccnode.crawler.tally import Tally


def test_what_is_counted_is_never_told_too_low() -> None:
    rng, tally, true = Random(3), Tally(1024), dict[bytes, int]()
    for _ in range(5_000):
        thing = rng.randbytes(1)
        tally.add(thing)
        true[thing] = true.get(thing, 0) + 1
    assert all(tally[thing] >= count for thing, count in true.items())


def test_strangers_do_not_fill_a_range() -> None:
    """A tenth of the limit is what a hundred thousand others make of one that is empty, at the very most."""
    rng, tally = Random(4), Tally()
    for _ in range(100_000):
        tally.add(rng.randbytes(16))
    assert max(tally[rng.randbytes(16)] for _ in range(10_000)) < 8


def test_a_count_has_an_end() -> None:
    tally = Tally(2)
    for _ in range(65_535):
        tally.add(b"one")
    with pytest.raises(OverflowError):
        tally.add(b"one")

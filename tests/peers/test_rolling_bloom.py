"""The rolling Bloom filter: what it must remember, what it may get wrong."""

from ccnode.peers.rolling_bloom import CAPACITY, RollingBloom
from tests.support.fakes import seeded_rng


def things(start: int, stop: int) -> list[bytes]:
    return [b"thing %d" % i for i in range(start, stop)]


def test_the_last_things_are_remembered_always() -> None:
    bloom = RollingBloom(seeded_rng())
    assert b"thing 0" not in bloom
    for end in range(1000, 4 * CAPACITY, 1000):
        for thing in things(end - 1000, end):
            bloom.add(thing)
        assert all(thing in bloom for thing in things(max(0, end - CAPACITY), end))


def test_old_things_are_forgotten() -> None:
    bloom = RollingBloom(seeded_rng())
    for thing in things(0, 3 * CAPACITY):
        bloom.add(thing)
    assert sum(thing in bloom for thing in things(0, CAPACITY)) < CAPACITY / 200


def test_one_in_a_thousand_is_mistaken() -> None:
    bloom = RollingBloom(seeded_rng())
    for thing in things(0, 2 * CAPACITY):
        bloom.add(thing)
    assert sum(thing in bloom for thing in things(2 * CAPACITY, 2 * CAPACITY + 20_000)) <= 30


def test_adding_tells_what_is_new_and_renews_what_is_old() -> None:
    bloom = RollingBloom(seeded_rng())
    assert bloom.add(b"it")
    assert not bloom.add(b"it")
    for turn in range(3):
        for thing in things(turn * CAPACITY, (turn + 1) * CAPACITY):
            bloom.add(thing)
        assert not bloom.add(b"it")


def test_clearing_forgets_everything() -> None:
    bloom = RollingBloom(seeded_rng())
    bloom.add(b"it")
    bloom.clear()
    assert b"it" not in bloom
    bloom.add(b"it")
    assert b"it" in bloom

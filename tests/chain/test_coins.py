"""The coins: whatever is created, spent, taken back and flushed, they are what a plain dictionary would hold."""

import random
import sys
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.coins import OUTPOINT_SIZE, CoinChanges, CoinsCache, make_coin, read_coin
from ccnode.errors import StorageError

HASHES = [bytes([n]) * 32 for n in range(256)]


@cache
def outpoint(number: int) -> bytes:
    return random.Random(number).randbytes(32) + number.to_bytes(4, "little")


def coin(value: int = 1, height: int = 5, is_coinbase: bool = False) -> bytes:
    return make_coin(value, b"script", height, is_coinbase)


class Store:
    """A store of coins that counts what it is asked, and fails when told to."""

    def __init__(self) -> None:
        self.coins: dict[bytes, bytes] = {}
        self.best: bytes | None = None
        self.put = self.deleted = 0
        self.fetched: list[Sequence[bytes]] = []
        self.failing = False

    def get_many(self, outpoints: Sequence[bytes]) -> dict[bytes, bytes]:
        self.fetched.append(outpoints)
        return {key: self.coins[key] for key in outpoints if key in self.coins}

    def best_block(self) -> bytes | None:
        return self.best

    def commit(self, coins: CoinChanges, best_block: bytes, entries: Mapping[bytes, bytes] = {}) -> None:
        if self.failing:
            raise StorageError("the disk is full")
        order: list[bytes] = []
        for puts, deletes in coins.batches():
            assert puts == sorted(puts)
            assert deletes == sorted(deletes)
            keys = sorted([key for key, _ in puts] + deletes)
            assert not order or not keys or order[-1] < keys[0]
            order += keys
            self.coins.update(puts)
            self.put += len(puts)
            self.deleted += len(deletes)
            for key in deletes:
                self.coins.pop(key, None)
        self.best = best_block


class Worker:
    """Runs what it is given at once, and `meanwhile` once before it answers."""

    def __init__(self) -> None:
        self.meanwhile: Callable[[], None] | None = None

    def wait_run(self, function: Callable[..., Any], *args: Any) -> Any:
        result = function(*args)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        return result


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def worker() -> Worker:
    return Worker()


@pytest.fixture
def coins(store: Store, worker: Worker) -> CoinsCache:
    return CoinsCache(store, worker, 1 << 20, HASHES[0])


@given(st.integers(0, 21_000_000 * 10**8), st.binary(max_size=200), st.integers(0, (1 << 31) - 1), st.booleans())
def test_coins_read_as_they_were_made(value: int, script: bytes, height: int, is_coinbase: bool) -> None:
    assert read_coin(make_coin(value, script, height, is_coinbase)) == (value, script, height, is_coinbase)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["block", "undo", "flush"]),
            st.lists(st.integers(0, 30), max_size=8),
            st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=8),
        ),
        max_size=30,
    )
)
def test_any_history_leaves_what_a_dictionary_would_have(
    history: list[tuple[str, list[int], list[tuple[int, bool]]]],
) -> None:
    """Blocks create and spend, some spend what they created, coinbases overwrite; blocks are taken back; flushes."""
    store, model = Store(), dict[bytes, bytes]()
    coins = CoinsCache(store, Worker(), 1 << 20, HASHES[0])
    undos: list[tuple[list[bytes], dict[bytes, bytes]]] = []
    everything = [outpoint(number) for number in range(31)]
    for step, (kind, spends, creates) in enumerate(history):
        best = HASHES[step + 1]
        if kind == "flush":
            coins.wait_flush()
            assert store.coins == model
            assert store.best == coins.best_block
        elif kind == "undo":
            if undos:
                created, spent = undos.pop()
                coins.apply(created, spent, best)
                model.update(spent)
                for key in created:
                    model.pop(key, None)
        else:
            created_coins = {}
            for number, is_coinbase in creates:
                key = outpoint(number)
                if is_coinbase or key not in model:  # only a coinbase may overwrite
                    created_coins[key] = coin(step, step, is_coinbase)
            overwritten = model.keys() & created_coins.keys()
            model.update(created_coins)
            spent_keys = [key for key in map(outpoint, dict.fromkeys(spends)) if key in model]
            spent_coins = {key: model.pop(key) for key in spent_keys}
            coins.apply(spent_keys, created_coins, best)
            if overwritten:
                undos.clear()  # such a block has no way back
            else:
                undos.append((list(created_coins), spent_coins))
        assert coins.wait_fetch(everything) == model
    coins.wait_flush()
    assert store.coins == model
    assert coins.unflushed == 0


def test_what_comes_and_goes_between_flushes_never_reaches_the_store(coins: CoinsCache, store: Store) -> None:
    keys = [outpoint(number) for number in range(1000)]
    coins.apply([], {key: coin() for key in keys}, HASHES[1])
    coins.apply(keys[:900], {}, HASHES[2])
    coins.wait_flush()
    assert (store.put, store.deleted) == (100, 0)
    coins.apply(keys[900:], {}, HASHES[3])
    coins.wait_flush()
    assert (store.put, store.deleted) == (100, 100)


def test_a_spent_coin_that_comes_back_is_written_again(coins: CoinsCache, store: Store) -> None:
    """Spent after a flush, then the block is taken back: the store has it, so it is not fresh."""
    key = outpoint(1)
    coins.apply([], {key: coin()}, HASHES[1])
    coins.wait_flush()
    coins.apply([key], {}, HASHES[2])
    coins.apply([], {key: coin()}, HASHES[1])
    coins.apply([key], {}, HASHES[2])
    assert coins.wait_fetch([key]) == {}
    coins.wait_flush()
    assert store.coins == {}


def test_a_coinbase_that_overwrites_another_is_gone_once_spent(coins: CoinsCache, store: Store) -> None:
    """As blocks 91842 and 91880 did; the earlier one must not reappear from the store."""
    key = outpoint(1)
    coins.apply([], {key: coin(50, 91812, True)}, HASHES[1])
    coins.wait_flush()
    coins.apply([], {key: coin(50, 91842, True)}, HASHES[2])
    assert read_coin(coins.wait_fetch([key])[key])[2] == 91842
    coins.apply([key], {}, HASHES[3])
    assert coins.wait_fetch([key]) == {}
    coins.wait_flush()
    assert store.coins == {}


def test_only_what_is_not_in_memory_is_asked_of_the_store(coins: CoinsCache, store: Store) -> None:
    old, new, spent, unknown = (outpoint(number) for number in range(4))
    coins.apply([], {old: coin(), spent: coin()}, HASHES[1])
    coins.wait_flush()
    coins.apply([spent], {new: coin()}, HASHES[2])
    assert coins.wait_fetch([old, new, spent, unknown]) == {old: coin(), new: coin()}
    assert store.fetched == [[old, unknown]]
    assert coins.wait_fetch([new, spent]) == {new: coin()}
    assert len(store.fetched) == 1


def test_a_fetch_sees_what_changed_while_it_waited(coins: CoinsCache, worker: Worker) -> None:
    spent, created = outpoint(1), outpoint(2)
    coins.apply([], {spent: coin()}, HASHES[1])
    coins.wait_flush()
    worker.meanwhile = lambda: coins.apply([spent], {created: coin(7)}, HASHES[2])
    assert coins.wait_fetch([spent, created]) == {created: coin(7)}


def test_a_fetch_during_which_a_layer_was_flushed_asks_again(coins: CoinsCache, store: Store, worker: Worker) -> None:
    """Else it would return what it read before, though nothing in memory says any more that it was spent."""
    spent = outpoint(1)
    coins.apply([], {spent: coin()}, HASHES[1])
    coins.wait_flush()

    def spend_and_flush() -> None:
        coins.apply([spent], {}, HASHES[2])
        coins.wait_flush()

    worker.meanwhile = spend_and_flush
    assert coins.wait_fetch([spent]) == {}
    assert len(store.fetched) == 2


def test_changes_during_a_flush_are_kept_for_the_next(coins: CoinsCache, store: Store, worker: Worker) -> None:
    first, second = outpoint(1), outpoint(2)
    coins.apply([], {first: coin(1)}, HASHES[1])

    def meanwhile() -> None:
        assert coins.wait_fetch([first]) == {first: coin(1)}
        coins.apply([first], {second: coin(2)}, HASHES[2])
        assert coins.wait_fetch([first, second]) == {second: coin(2)}

    worker.meanwhile = meanwhile
    coins.wait_flush()
    assert (store.best, store.coins) == (HASHES[1], {first: coin(1)})
    assert coins.wait_fetch([first, second]) == {second: coin(2)}
    coins.wait_flush()
    assert (store.best, store.coins) == (HASHES[2], {second: coin(2)})


def test_after_a_failed_flush_coins_are_found_but_nothing_more_is_written(coins: CoinsCache, store: Store) -> None:
    coins.apply([], {outpoint(1): coin()}, HASHES[1])
    store.failing = True
    with pytest.raises(StorageError):
        coins.wait_flush()
    assert coins.wait_fetch([outpoint(1)]) == {outpoint(1): coin()}
    store.failing = False
    with pytest.raises(RuntimeError):
        coins.wait_flush()
    assert store.coins == {}


@pytest.mark.parametrize("count", [100, 6_000, 60_000])
def test_usage_is_what_python_takes(count: int, store: Store, worker: Worker) -> None:
    coins = CoinsCache(store, worker, 1 << 40, HASHES[0])
    rng = random.Random(count)
    _hoard = [{0: None} for _ in range(500)]  # what Python keeps of freed dicts would not be seen as taken again
    tracemalloc.start()
    try:
        before, used = tracemalloc.get_traced_memory()[0], coins.usage
        for block in range(10):
            created = {rng.randbytes(OUTPOINT_SIZE): coin(block) for _ in range(count // 10)}
            coins.apply([rng.randbytes(OUTPOINT_SIZE) for _ in range(count // 20)], created, HASHES[1])
            created.clear()
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken * 0.95 < coins.usage - used < taken * 1.2


def test_spending_what_is_fresh_gives_its_memory_back(coins: CoinsCache) -> None:
    keys = [outpoint(number) for number in range(100)]
    coins.apply([], {key: coin() for key in keys}, HASHES[1])
    tables = sum(map(sys.getsizeof, coins._dirty.fresh)) + sum(map(sys.getsizeof, coins._dirty.changed))
    coins.apply(keys, {}, HASHES[2])
    assert coins.usage == tables
    assert coins.unflushed == 0


def test_a_flush_is_due_at_the_limit(store: Store, worker: Worker) -> None:
    coins = CoinsCache(store, worker, 200_000, HASHES[0])
    number = 0
    while not coins.should_flush():
        coins.apply([], {outpoint(number): coin()}, HASHES[1])
        number += 1
    assert 200_000 <= coins.usage < 202_000
    layer = coins._dirty
    coins.wait_flush()
    assert not coins.should_flush()
    assert len(store.coins) == number
    assert len(layer) == 0  # its memory is free

"""The key-value stores, one suite for both: what was written is there, all of it or nothing, in order."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccnode.storage.key_value import MAX_KEY_SIZE, KeyValueStore, MemoryStore
from ccnode.storage.lmdb_store import LmdbStore

KEYS = st.binary(min_size=1, max_size=3)
PAIRS = st.dictionaries(KEYS, st.binary(max_size=5000), max_size=8)


@pytest.fixture(params=["memory", "lmdb"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], KeyValueStore]]:
    """Makes empty stores."""
    made: list[KeyValueStore] = []

    def store() -> KeyValueStore:
        made.append(MemoryStore() if request.param == "memory" else LmdbStore(tmp_path / str(len(made))))
        return made[-1]

    yield store
    for each in made:
        each.close()


@pytest.fixture
def store(make: Callable[[], KeyValueStore]) -> KeyValueStore:
    return make()


def test_a_new_store_is_empty(store: KeyValueStore) -> None:
    assert store.get_many([b"a"]) == {}
    assert store.get_many([]) == {}
    assert list(store.iterate()) == []


def test_what_exists_is_found(store: KeyValueStore) -> None:
    store.write_batch([(b"a", b"1"), (b"b", b""), (b"c", bytes(100_000))])
    assert store.get_many([b"c", b"nothing", b"b", b"a"]) == {b"a": b"1", b"b": b"", b"c": bytes(100_000)}


def test_a_later_write_replaces_and_deletes(store: KeyValueStore) -> None:
    store.write_batch([(b"a", b"1"), (b"b", b"2")])
    store.write_batch([(b"a", b"3")], [b"b", b"never there"])
    assert list(store.iterate()) == [(b"a", b"3")]


def test_pairs_come_in_the_order_of_their_keys(store: KeyValueStore) -> None:
    keys = [b"\xff", b"\x00", b"ab", b"a", b"b", b"a\x00"]
    store.write_batch([(key, key) for key in keys])
    assert [key for key, _ in store.iterate()] == sorted(keys)


def test_iteration_keeps_to_prefix_and_start(store: KeyValueStore) -> None:
    store.write_batch([(bytes([a, b]), b"") for a in range(3) for b in range(3)])
    assert [key for key, _ in store.iterate(b"\x01")] == [b"\x01\x00", b"\x01\x01", b"\x01\x02"]
    assert [key for key, _ in store.iterate(b"\x01", b"\x01\x01")] == [b"\x01\x01", b"\x01\x02"]
    assert [key for key, _ in store.iterate(b"\x01", b"\x00")] == [b"\x01\x00", b"\x01\x01", b"\x01\x02"]
    assert list(store.iterate(b"\x01", b"\x02")) == []


def test_iteration_goes_on_beside_writes(store: KeyValueStore) -> None:
    keys = [number.to_bytes(4, "big") for number in range(5000)]
    store.write_batch([(key, b"") for key in keys])
    seen = []
    for key, _ in store.iterate():
        seen.append(key)
        if key == keys[10]:
            store.write_batch([], [keys[5], keys[4000]])
    assert seen[:100] == keys[:100]
    assert seen[-1] == keys[-1]
    assert len(set(seen)) == len(seen) in (4999, 5000)


def test_a_write_of_several_batches_is_one(store: KeyValueStore) -> None:
    store.write_batch([(b"a", b"1"), (b"m", b"1")])
    store.write(lambda: [([(b"b", b"2")], [b"a"]), ([(b"n", b"3")], [b"m"])])
    assert dict(store.iterate()) == {b"b": b"2", b"n": b"3"}


def test_a_write_that_fails_midway_changes_nothing(store: KeyValueStore) -> None:
    store.write_batch([(b"a", b"1")])

    def batches() -> Iterator[tuple[list[tuple[bytes, bytes]], list[bytes]]]:
        yield [(b"b", b"2")], [b"a"]
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        store.write(batches)
    assert dict(store.iterate()) == {b"a": b"1"}
    store.write_batch([(b"c", b"3")])
    assert dict(store.iterate()) == {b"a": b"1", b"c": b"3"}


@pytest.mark.parametrize("size", [0, MAX_KEY_SIZE + 1])
def test_a_key_of_another_size_is_refused(store: KeyValueStore, size: int) -> None:
    store.write_batch([(b"k" * MAX_KEY_SIZE, b"")])
    with pytest.raises(ValueError):
        store.write_batch([(b"a", b""), (b"k" * size, b"")])
    assert [key for key, _ in store.iterate()] == [b"k" * MAX_KEY_SIZE]


def test_sync_and_a_second_close(store: KeyValueStore) -> None:
    store.write_batch([(b"a", b"1")])
    store.sync()
    store.close()
    store.close()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(st.lists(st.tuples(PAIRS, st.sets(KEYS, max_size=4)), max_size=8))
def test_any_history_leaves_what_a_dictionary_would_have(
    make: Callable[[], KeyValueStore], history: list[tuple[dict[bytes, bytes], set[bytes]]]
) -> None:
    store, model = make(), dict[bytes, bytes]()
    for pairs, deletes in history:
        deletes -= pairs.keys()
        store.write_batch(list(pairs.items()), list(deletes))
        model.update(pairs)
        for key in deletes:
            model.pop(key, None)
    assert list(store.iterate()) == sorted(model.items())
    assert store.get_many(model) == model
    store.close()

"""LMDB: the map grows, a lost write never harms, and what cannot go on says why."""

import os
import random
import resource
from pathlib import Path

import lmdb
import pytest

from ccnode.errors import StartupError, StorageError
from ccnode.storage.lmdb_store import LmdbStore, discard

PAGE = 4096
META_PAGES = 2


def pairs(seed: int, count: int) -> list[tuple[bytes, bytes]]:
    rng = random.Random(seed)
    return sorted((rng.randbytes(37), rng.randbytes(40)) for _ in range(count))


def content(path: Path) -> dict[bytes, bytes]:
    store = LmdbStore(path)
    found = dict(store.iterate())
    store.close()
    return found


def pages(image: bytes) -> list[bytes]:
    return [image[at : at + PAGE] for at in range(0, len(image), PAGE)]


def test_what_was_written_is_there_in_another_process_life(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.write_batch(pairs(1, 100))
    store.close()
    assert content(tmp_path) == dict(pairs(1, 100))


def test_the_map_grows_by_itself(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path, map_size=1 << 16)
    store.write_batch(pairs(1, 10))
    store.write_batch(pairs(2, 20_000))
    assert len(store.get_many([key for key, _ in pairs(2, 20_000)])) == 20_000
    store.close()
    assert content(tmp_path) == dict(pairs(1, 10) + pairs(2, 20_000))


def test_a_store_larger_than_the_map_it_began_with_opens(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.write_batch(pairs(1, 20_000))
    store.close()
    store = LmdbStore(tmp_path, map_size=1 << 16)
    store.write_batch(pairs(2, 1000))
    store.close()
    assert len(content(tmp_path)) == 21_000


def test_writes_are_durable_by_default(tmp_path: Path) -> None:
    """The flags on which everything below rests."""
    store = LmdbStore(tmp_path)
    flags = store._env.flags()
    store.close()
    assert flags["sync"]
    assert flags["metasync"]
    assert not flags["writemap"]
    assert not flags["map_async"]


@pytest.mark.parametrize("seed", range(8))
def test_a_power_loss_while_committing_leaves_the_state_before(tmp_path: Path, seed: int) -> None:
    """LMDB writes pages, syncs, writes the root, syncs. Before the first sync any of the pages may be lost."""
    before, after = images(tmp_path / "written", seed)
    changed = [n for n, page in enumerate(after) if n >= len(before) or before[n] != page]
    data = [n for n in changed if n >= META_PAGES]
    assert len(data) > 50
    assert len(changed) - len(data) == 1
    rng = random.Random(seed)
    kept = set(rng.sample(data, rng.randrange(len(data) + 1)))
    image = [after[n] if n in kept else page for n, page in enumerate(before)]
    image += [after[n] if n in kept else bytes(PAGE) for n in range(len(before), len(after))]
    assert content(restored(tmp_path / "lost", image)) == dict(pairs(seed, 2000))
    for n in data:
        if n < len(before):
            assert before[n] != b""  # pages that were free are written over, never those of the state before
    image = [*after[:META_PAGES], *after[META_PAGES:]]
    assert len(content(restored(tmp_path / "done", image))) > 2000


def test_without_sync_a_power_loss_would_ruin_it(tmp_path: Path) -> None:
    """Why the flags are what they are: were the root written before the pages, nothing would be left."""
    before, after = images(tmp_path / "written", 1)
    image = after[:META_PAGES] + before[META_PAGES:] + [bytes(PAGE)] * (len(after) - len(before))
    with pytest.raises(StorageError, match="--reindex"):
        content(restored(tmp_path / "lost", image))


def images(path: Path, seed: int) -> tuple[list[bytes], list[bytes]]:
    """The file's pages before and after a transaction that changes many of them."""
    store = LmdbStore(path)
    store.write_batch(pairs(seed, 2000))
    before = pages((path / "data.mdb").read_bytes())
    store.write_batch(pairs(seed + 100, 500), [key for key, _ in pairs(seed, 2000)[::10]])
    store.close()
    return before, pages((path / "data.mdb").read_bytes())


def restored(path: Path, image: list[bytes]) -> Path:
    path.mkdir()
    (path / "data.mdb").write_bytes(b"".join(image))
    return path


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StartupError, match="file/chainstate"):
        LmdbStore(tmp_path / "file" / "chainstate")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_directory_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises((StartupError, StorageError), match=str(tmp_path)):
        LmdbStore(tmp_path)


@pytest.mark.parametrize("garbage", [b"garbage" * 4096, bytes(8 * PAGE)])
def test_what_is_no_store_is_damage(tmp_path: Path, garbage: bytes) -> None:
    (tmp_path / "data.mdb").write_bytes(garbage)
    with pytest.raises(StorageError, match="--reindex"):
        LmdbStore(tmp_path)


def test_a_cut_file_is_damage_not_a_crash(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.write_batch(pairs(1, 20_000))
    store.close()
    file = tmp_path / "data.mdb"
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(StorageError, match="--reindex"):
        content(tmp_path)


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    store = LmdbStore(tmp_path)
    store.write_batch(pairs(1, 2000))
    size = (tmp_path / "data.mdb").stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10 * PAGE, hard))
    try:
        with pytest.raises(StorageError, match=f"cannot write to {tmp_path}: .*; free space"):
            store.write_batch(pairs(2, 2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert dict(store.iterate()) == dict(pairs(1, 2000))
    store.write_batch(pairs(3, 2000))  # there is space again
    store.close()
    assert content(tmp_path) == dict(pairs(1, 2000) + pairs(3, 2000))


def test_a_damaged_store_is_discarded(tmp_path: Path) -> None:
    """So that --reindex, which the message recommends, is a way out."""
    discard(tmp_path)
    (tmp_path / "data.mdb").write_bytes(b"garbage" * 4096)
    with pytest.raises(StorageError, match="--reindex"):
        LmdbStore(tmp_path)
    discard(tmp_path)
    assert content(tmp_path) == {}


def test_every_error_of_the_library_is_a_storage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LmdbStore(tmp_path)

    class Failing:
        def begin(self, **_: object) -> None:
            raise lmdb.DiskError("No space left on device")

        def sync(self, force: bool) -> None:
            raise lmdb.DiskError("No space left on device")

        def close(self) -> None: ...

    monkeypatch.setattr(store, "_env", Failing())
    for act in (
        lambda: store.get_many([b"a"]),
        lambda: store.write_batch([(b"a", b"")]),
        lambda: list(store.iterate()),
        store.sync,
    ):
        with pytest.raises(StorageError, match=r"No space left on device; free space"):
            act()

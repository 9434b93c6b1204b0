"""The chain state on disk: whatever ends the process or the machine, coins, blocks and undo data agree."""

import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ccnode.chain.coins import CoinChanges, make_coin
from ccnode.errors import StartupError, StorageError
from ccnode.storage import block_files, chainstate_store
from ccnode.storage.chainstate_store import ChainstateStore
from ccnode.storage.key_value import MemoryStore
from tests.support.data import ROOT
from tests.support.flushes import BLOCKS_PER_FLUSH, MAGIC, State, block

PROGRAM = ROOT / "tests/support/flushes.py"


def changes(created: dict[bytes, bytes], spent: tuple[bytes, ...] = ()) -> CoinChanges:
    layer = CoinChanges()
    layer.create(created)
    layer.spend(spent)
    return layer


def outpoint(number: int) -> bytes:
    return number.to_bytes(36, "big")


def coin(value: int) -> bytes:
    return make_coin(value, b"script", 1, False)


def test_a_new_store_has_nothing() -> None:
    store = ChainstateStore(MemoryStore(), MAGIC)
    assert store.best_block() is None
    assert store.get_many([outpoint(1)]) == {}
    assert list(store.coins()) == list(store.entries()) == []
    assert store.file_infos() == store.flags() == {}


def test_a_flush_is_read_back() -> None:
    store = ChainstateStore(MemoryStore(), MAGIC)
    store.commit(changes({outpoint(n): coin(n) for n in range(5)}), b"1" * 32, {b"h" * 32: b"record"})
    store.commit(changes({}, (outpoint(2),)), b"2" * 32)
    assert store.best_block() == b"2" * 32
    assert dict(store.coins()) == {outpoint(n): coin(n) for n in (0, 1, 3, 4)}
    assert [key for key, _ in store.coins(outpoint(3))] == [outpoint(3), outpoint(4)]
    assert store.get_many([outpoint(n) for n in (4, 2, 1)]) == {outpoint(1): coin(1), outpoint(4): coin(4)}
    assert dict(store.entries()) == {b"h" * 32: b"record"}


def test_flags_are_set_and_removed() -> None:
    store = ChainstateStore(MemoryStore(), MAGIC)
    store.set_flag("pruned", b"1")
    store.set_flag("reindexing", b"")
    assert store.flags() == {"pruned": b"1", "reindexing": b""}
    store.set_flag("reindexing", None)
    assert store.flags() == {"pruned": b"1"}


def test_the_store_of_another_network_is_refused() -> None:
    pairs = MemoryStore()
    ChainstateStore(pairs, MAGIC)
    ChainstateStore(pairs, MAGIC)
    with pytest.raises(StartupError, match="another network's"):
        ChainstateStore(pairs, b"\xf9\xbe\xb4\xd9")


def test_the_store_of_another_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = MemoryStore()
    ChainstateStore(pairs, MAGIC)
    monkeypatch.setattr(chainstate_store, "LAYOUT_VERSION", 2)
    with pytest.raises(StartupError, match="--reindex"):
        ChainstateStore(pairs, MAGIC)


def test_wiping_the_coins_leaves_blocks_and_flags(tmp_path: Path) -> None:
    state = State(tmp_path)
    state.connect(0)
    state.flush()
    state.store.set_flag("pruned", b"1")
    state.store.wipe_coins()
    assert state.store.best_block() is None
    assert list(state.store.coins()) == []
    assert len(list(state.store.entries())) == len(state.store.file_infos()) == 1
    assert state.store.flags() == {"pruned": b"1"}
    state.close()


def test_what_the_store_tells_of_was_synced_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state, events = State(tmp_path), []
    sync, write = state.files.sync, state.store._store.write
    monkeypatch.setattr(state.files, "sync", lambda: (events.append("files"), sync()))
    monkeypatch.setattr(state.store._store, "write", lambda batches: (events.append("store"), write(batches)))
    state.connect(0)
    state.flush()
    assert events == ["files", "store"]
    assert state.files.changed_infos() == {}
    state.close()


def test_a_flush_that_cannot_sync_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = State(tmp_path)
    state.connect(0)
    state.flush()
    state.connect(1)

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(block_files, "_fdatasync", fail)
    with pytest.raises(StorageError, match="Input/output error"):
        state.flush()
    state.close()
    monkeypatch.undo()
    again = State(tmp_path)
    assert again.check() == 0
    again.close()


def kill_while_flushing(directory: Path, rng: random.Random) -> int:
    """Start the program, kill it at some moment; returns the last block it said was flushed."""
    child = subprocess.Popen([sys.executable, str(PROGRAM), str(directory)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    for _ in range(rng.randrange(1, 8)):
        child.stdout.readline()
    time.sleep(rng.random() * 0.02)  # any moment within a flush
    child.kill()
    lines = child.stdout.read().split()
    child.wait()
    child.stdout.close()
    return int(lines[-1]) if lines else -1


def check_after_kill(directory: Path, said: int) -> None:
    state = State(directory)
    best = state.check()
    assert best >= said
    assert best % BLOCKS_PER_FLUSH == BLOCKS_PER_FLUSH - 1
    found = [raw for _, raw in state.files.scan()]
    assert found == [block(best + 1 + n) for n in range(len(found))]
    state.close()


def test_a_killed_process_leaves_a_state_that_agrees(tmp_path: Path) -> None:
    rng = random.Random(1)
    for _ in range(5):
        check_after_kill(tmp_path, kill_while_flushing(tmp_path, rng))


@pytest.mark.long
def test_a_hundred_kills_leave_states_that_agree(tmp_path: Path) -> None:
    rng = random.Random(2)
    for _ in range(100):
        check_after_kill(tmp_path, kill_while_flushing(tmp_path, rng))


@pytest.mark.parametrize("seed", range(6))
def test_what_was_not_synced_may_be_lost(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power loss: every file falls back to what was synced, or keeps some later pages and lost others."""
    rng, synced = random.Random(seed), dict[str, int]()
    sync = block_files.BlockFiles._sync

    def note(files: block_files.BlockFiles, path: Path) -> None:
        sync(files, path)
        synced[path.name] = path.stat().st_size

    monkeypatch.setattr(block_files.BlockFiles, "_sync", note)
    state = State(tmp_path / "alive")
    for n in range(rng.randrange(5, 40)):
        state.connect(n)
        if rng.random() < 0.3:
            state.flush()
    lost = tmp_path / "lost"
    shutil.copytree(tmp_path / "alive", lost)  # LMDB's own file is synced with every commit
    for path in (lost / "blocks").glob("*0*.dat"):
        data = bytearray(path.read_bytes())
        for page in range(synced.get(path.name, 0), len(data), 512):
            if rng.random() < 0.5:
                end = min(len(data), page + 512)
                data[page:end] = bytes(end - page)
        path.write_bytes(data[: rng.randrange(synced.get(path.name, 0), len(data) + 1)])
    again = State(lost)
    best = again.check()
    for _position, _raw in again.files.scan():
        pass  # whatever is found is compared with its header by the reader
    for n in range(best + 1, best + 6):
        again.connect(n)
    again.flush()
    again.close()
    last = State(lost)
    assert last.check() == best + 5
    last.close()
    state.close()


@pytest.mark.parametrize("size", [1000, 1150, 1300])
def test_a_full_disk_stops_with_a_sentence_and_the_last_state(tmp_path: Path, size: int) -> None:
    """On a real file system of ``size`` kB, in a mount namespace of its own."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("no mount namespaces here")
    mount = f"mount -t tmpfs -o size={size}k none {tmp_path} && exec {sys.executable} {PROGRAM} {tmp_path}"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", mount], capture_output=True, text=True, check=False)
    if "mount:" in done.stderr:
        pytest.skip(f"cannot mount: {done.stderr}")
    assert done.returncode == 0, done.stderr
    *flushed, sentence, best = done.stdout.splitlines()
    assert "No space left on device; free space" in sentence
    assert flushed[-1] == best

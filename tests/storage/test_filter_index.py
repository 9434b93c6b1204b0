"""The index of compact filters: what is kept, reorganisations, crashes, damage."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from ccnode.chain.block_filter import GENESIS_PREVIOUS, filter_hash, filter_header
from ccnode.errors import StartupError, StorageError
from ccnode.storage.filter_index import FILTERS_FILE, FilterIndex, NewFilter
from ccnode.storage.key_value import MemoryStore
from ccnode.storage.lmdb_store import LmdbStore

MAGIC = b"mgic"
ROOT = Path(__file__).parents[2]

Opener = Callable[[], FilterIndex]


def block(n: int, branch: str = "") -> bytes:
    return sha256(f"{n}{branch}".encode()).digest()


def new(n: int, branch: str = "", parent: bytes | None = None) -> NewFilter:
    """The filter of block ``n``; its size differs from that of its neighbours."""
    encoded = sha256(f"filter{n}{branch}".encode()).digest() * (1 + n % 3)
    return NewFilter(block(n, branch), parent or (block(n - 1, branch) if n else None), encoded)


def headers_of(filters: list[NewFilter]) -> list[bytes]:
    header, headers = GENESIS_PREVIOUS, []
    for each in filters:
        header = filter_header(filter_hash(each.encoded), header)
        headers.append(header)
    return headers


@pytest.fixture(params=["memory", "lmdb"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    memory = MemoryStore()
    return lambda: FilterIndex(tmp_path, memory if request.param == "memory" else LmdbStore(tmp_path), MAGIC)


def test_filters_and_headers_are_there_after_opening_again(opened: Opener) -> None:
    filters = [new(n) for n in range(10)]
    index = opened()
    assert index.best_block() is None
    index.append(filters[:4], block(3))
    index.append(filters[4:], block(9))
    for _ in range(2):
        hashes = [each.block_hash for each in filters]
        assert index.best_block() == block(9)
        assert index.filters(hashes[::-1]) == [each.encoded for each in filters[::-1]]
        records = index.records([*hashes, block(99)])
        assert [records[each].header for each in hashes] == headers_of(filters)
        assert [records[each].hash for each in hashes] == [filter_hash(each.encoded) for each in filters]
        assert len(records) == 10
        index.close()
        index = opened()
    index.close()


def test_what_lacks_lacks(opened: Opener) -> None:
    index = opened()
    index.append([new(0)], block(0))
    assert index.filters([block(0), block(1)]) is None
    assert index.filters([]) == []
    assert index.filters([block(0), block(0)]) == [new(0).encoded] * 2
    index.close()


def test_both_sides_of_a_fork_stay(opened: Opener) -> None:
    main = [new(n) for n in range(4)]
    other = [new(2, "b", block(1)), new(3, "b")]
    index = opened()
    index.append(main, block(3))
    index.append(other, block(3, "b"))
    assert index.best_block() == block(3, "b")
    hashes = [block(1), block(2, "b"), block(3, "b"), block(3)]
    headers = [index.records([each])[each].header for each in hashes]
    assert headers[:3] == headers_of([*main[:2], *other])[1:]
    assert headers[3] == headers_of(main)[3]
    index.append([], block(3))
    assert index.best_block() == block(3)
    index.close()


def test_what_an_interrupted_write_left_is_written_over(opened: Opener, tmp_path: Path) -> None:
    index = opened()
    index.append([new(0)], block(0))
    index.close()
    with (tmp_path / FILTERS_FILE).open("ab") as file:
        file.write(b"half a filter")
    index = opened()
    index.append([new(1)], block(1))
    assert index.filters([block(0), block(1)]) == [new(0).encoded, new(1).encoded]
    index.close()


def test_a_failed_write_changes_nothing(opened: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    index = opened()
    index.append([new(0)], block(0))
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", full)
        with pytest.raises(StorageError, match=r"cannot write to .*filters\.dat: No space left on device; free space"):
            index.append([new(1)], block(1))
    assert index.best_block() == block(0)
    index.append([new(1)], block(1))
    assert index.filters([block(1)]) == [new(1).encoded]
    index.close()


def test_a_damaged_filter_is_told(opened: Opener, tmp_path: Path) -> None:
    index = opened()
    index.append([new(0), new(1)], block(1))
    with (tmp_path / FILTERS_FILE).open("r+b") as file:
        file.seek(40)
        file.write(b"\0\0")
    assert index.filters([block(0)]) == [new(0).encoded]
    with pytest.raises(StorageError, match=r"filters\.dat is damaged; delete .*, and the index is built anew"):
        index.filters([block(1)])
    index.close()


def test_a_file_that_was_cut_is_told_at_the_start(opened: Opener, tmp_path: Path) -> None:
    index = opened()
    index.append([new(0)], block(0))
    index.close()
    os.truncate(tmp_path / FILTERS_FILE, 5)
    with pytest.raises(StartupError, match="is damaged; delete"):
        opened()


def test_another_networks_index_is_refused(tmp_path: Path) -> None:
    store = MemoryStore()
    FilterIndex(tmp_path, store, MAGIC).close()
    with pytest.raises(StartupError, match="another network"):
        FilterIndex(tmp_path, store, b"othr")


WRITER = """
import sys
from pathlib import Path
from tests.storage.test_filter_index import MAGIC, block, new
from ccnode.storage.filter_index import FilterIndex
from ccnode.storage.lmdb_store import LmdbStore
path = Path(sys.argv[1])
index = FilterIndex(path, LmdbStore(path), MAGIC)
n = 0
while True:
    index.append([new(i) for i in range(n, n + 7)], block(n + 6))
    n += 7
    print(n, flush=True)
"""


@pytest.mark.parametrize("writes", [1, 20])
def test_a_kill_costs_no_more_than_the_write_at_hand(tmp_path: Path, writes: int) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    with writer, writer.stdout:
        told = [int(writer.stdout.readline()) for _ in range(writes)][-1]
        writer.send_signal(signal.SIGKILL)
    index = FilterIndex(tmp_path, LmdbStore(tmp_path), MAGIC)
    best = index.best_block()
    count = next(n for n in range(told, told + 100_000) if best == block(n - 1))
    filters = [new(n) for n in range(count)]
    assert index.filters([each.block_hash for each in filters]) == [each.encoded for each in filters]
    index.append([new(count)], block(count))
    hashes = [block(n) for n in range(count + 1)]
    records = index.records(hashes)
    assert [records[each].header for each in hashes] == headers_of([*filters, new(count)])
    index.close()

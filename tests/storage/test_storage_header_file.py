"""The header file: what is appended comes back, whatever the process, the disk or a stray bit does to it."""

import errno
import logging
import os
import random
import re
import resource
import subprocess
import sys
from pathlib import Path
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.errors import ExitStatus, StartupError, StorageError
from ccnode.storage import header_file
from ccnode.storage.header_file import (
    CRC_SIZE,
    FILE_HEADER_SIZE,
    RESIDUE,
    SECTOR,
    HeaderFile,
    HeaderFileKind,
    salvage,
)
from tests.support.data import ROOT

SIZE = 80
RECORD = SIZE + CRC_SIZE
KIND = HeaderFileKind("regtest", b"\xfa\xbf\xb5\xda", "bitcoin", b"G" * SIZE, b"\x11" * 32)


def headers(count: int, seed: int = 1, size: int = SIZE) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(size) for _ in range(count)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "headers.dat"


def filled(path: Path, count: int, kind: HeaderFileKind = KIND) -> list[bytes]:
    """A closed file with the genesis and ``count`` headers; returns all of them."""
    more = headers(count, size=kind.header_size)
    file = HeaderFile.open(path, kind)
    file.append(more)
    file.close()
    return [kind.genesis, *more]


def content(path: Path, kind: HeaderFileKind = KIND) -> list[bytes]:
    file = HeaderFile.open(path, kind)
    data = b"".join(file.load())
    file.close()
    return [data[i : i + kind.header_size] for i in range(0, len(data), kind.header_size)]


def test_new_file_holds_the_genesis(path: Path) -> None:
    file = HeaderFile.open(path, KIND)
    assert len(file) == 1
    assert file.read(0, 1) == KIND.genesis
    assert path.stat().st_size == FILE_HEADER_SIZE + RECORD
    assert not path.with_name("headers.dat.new").exists()
    file.close()
    file.close()


def test_appended_headers_come_back_in_order_over_reopening(path: Path) -> None:
    first, second = headers(5, seed=1), headers(7, seed=2)
    file = HeaderFile.open(path, KIND)
    file.append(first)
    file.append([])
    file.sync()
    file.close()
    file = HeaderFile.open(path, KIND)
    file.append(second)
    assert len(file) == 13
    assert file.read(1, 12) == b"".join(first + second)
    assert file.read(6, 2) == b"".join(second[:2])
    assert file.read(13, 0) == b""
    file.close()
    assert content(path) == [KIND.genesis, *first, *second]


def test_load_yields_chunks_of_whole_headers(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = filled(path, 10)
    monkeypatch.setattr(header_file, "CHUNK_RECORDS", 4)
    file = HeaderFile.open(path, KIND)
    chunks = list(file.load())
    file.close()
    assert [len(chunk) // SIZE for chunk in chunks] == [4, 4, 3]
    assert b"".join(chunks) == b"".join(expected)


@pytest.mark.parametrize(("number", "count"), [(-1, 1), (0, -1), (0, 5), (4, 1)])
def test_reading_what_is_not_there_is_an_index_error(path: Path, number: int, count: int) -> None:
    filled(path, 3)
    file = HeaderFile.open(path, KIND)
    with pytest.raises(IndexError):
        file.read(number, count)
    file.close()


def test_header_of_another_size_is_refused_and_changes_nothing(path: Path) -> None:
    filled(path, 2)
    before = path.read_bytes()
    file = HeaderFile.open(path, KIND)
    with pytest.raises(ValueError, match="80 bytes"):
        file.append([b"a" * 80, b"a" * 81, b"a" * 79])
    file.close()
    assert path.read_bytes() == before


@given(st.binary(max_size=300), st.lists(st.binary(min_size=10, max_size=10), max_size=20))
def test_checksum_of_the_whole_file_is_the_residue(start: bytes, records: list[bytes]) -> None:
    data = start + crc32(start).to_bytes(4, "little")
    assert crc32(data) == RESIDUE
    data += header_file._records(records, 10)
    assert crc32(data) == RESIDUE
    assert header_file._strip(data[len(start) + 4 :], 10) == b"".join(records)


@given(st.lists(st.binary(min_size=10, max_size=10), min_size=1, max_size=20), st.data())
def test_one_changed_record_is_seen_behind_any_number_of_good_ones(records: list[bytes], data: st.DataObject) -> None:
    encoded = bytearray(header_file._records(records, 10))
    bit = data.draw(st.integers(0, len(encoded) * 8 - 1))
    encoded[bit // 8] ^= 1 << bit % 8
    assert crc32(encoded, RESIDUE) != RESIDUE


def test_whole_file_has_the_residue(path: Path) -> None:
    filled(path, 50)
    assert crc32(path.read_bytes()) == RESIDUE


def test_headers_of_another_format(path: Path) -> None:
    kind = HeaderFileKind("toy", b"toyy", "toy-101", bytes(101), bytes(32))
    assert content(path, kind) == [bytes(101)]
    path.unlink()
    assert filled(path, 9, kind) == content(path, kind)


def test_file_cut_anywhere_in_its_last_records_loses_only_those(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    expected = filled(path, 5)
    whole = path.read_bytes()
    for size in range(len(whole) - 3 * RECORD, len(whole)):
        path.write_bytes(whole[:size])
        caplog.clear()
        kept = (size - FILE_HEADER_SIZE) // RECORD
        assert content(path) == expected[:kept]
        torn = (size - FILE_HEADER_SIZE) % RECORD
        lines = [f"{path}: cut {torn} bytes that an interrupted write left after record {kept - 1}"] if torn else []
        assert [record.getMessage() for record in caplog.records] == lines
        assert content(path) == expected[:kept]


def test_writes_go_on_behind_a_cut_tail(path: Path) -> None:
    expected = filled(path, 3)
    with path.open("ab") as file:
        file.write(b"\0" * 100)
    more = headers(2, seed=9)
    file = HeaderFile.open(path, KIND)
    file.append(more)
    file.close()
    assert content(path) == expected + more


def test_unwritten_pages_at_the_end_are_a_torn_tail(path: Path) -> None:
    expected = filled(path, 100)
    size = path.stat().st_size
    os.truncate(path, FILE_HEADER_SIZE + 60 * RECORD + 11)
    os.truncate(path, size)  # now zeros, as a power failure leaves them
    assert content(path) == expected[:60]


def test_pages_that_a_power_failure_left_out_are_a_torn_tail(path: Path) -> None:
    """The system may write later pages before earlier ones."""
    expected = filled(path, 100)
    whole = bytearray(path.read_bytes())
    whole[4 * SECTOR : 5 * SECTOR] = bytes(SECTOR)
    path.write_bytes(whole)
    assert content(path) == expected[: (4 * SECTOR - FILE_HEADER_SIZE) // RECORD]
    whole[4 * SECTOR] = 1
    path.write_bytes(whole)
    with pytest.raises(StorageError, match="damaged at record"):
        HeaderFile.open(path, KIND)


def test_a_sector_of_which_only_the_old_part_was_written_is_a_torn_tail(path: Path) -> None:
    expected = filled(path, 100)
    whole = bytearray(path.read_bytes())
    synced = FILE_HEADER_SIZE + 10 * RECORD
    rest = -synced % SECTOR
    whole[synced : synced + rest] = bytes(rest)
    path.write_bytes(whole)
    assert content(path) == expected[:10]


def test_more_bad_records_than_a_write_leaves_are_damage(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(path, 20)
    monkeypatch.setattr(header_file, "TORN_RECORDS_MAX", 5)
    os.truncate(path, FILE_HEADER_SIZE + 10 * RECORD)
    os.truncate(path, FILE_HEADER_SIZE + 16 * RECORD)
    with pytest.raises(StorageError, match="damaged at record 10 "):
        HeaderFile.open(path, KIND)
    os.truncate(path, FILE_HEADER_SIZE + 15 * RECORD)
    assert len(content(path)) == 10


def test_flipped_bit_in_any_record_but_the_last_is_damage(path: Path) -> None:
    filled(path, 4)
    whole = path.read_bytes()
    rng = random.Random(5)
    for offset in range(FILE_HEADER_SIZE, len(whole) - RECORD):
        broken = bytearray(whole)
        broken[offset] ^= 1 << rng.randrange(8)
        path.write_bytes(broken)
        number = (offset - FILE_HEADER_SIZE) // RECORD
        message = (
            f"{path} is damaged at record {number} (byte {FILE_HEADER_SIZE + number * RECORD}); start once with "
            f"--reindex-headers to keep the {number} headers before it and fetch the rest again"
        )
        with pytest.raises(StorageError, match=f"^{re.escape(message)}$"):
            HeaderFile.open(path, KIND)
        assert path.read_bytes() == broken  # nothing is repaired behind the operator's back


def test_flipped_bit_in_the_last_record_cuts_it(path: Path) -> None:
    expected = filled(path, 4)
    whole = path.read_bytes()
    for offset in range(len(whole) - RECORD, len(whole)):
        broken = bytearray(whole)
        broken[offset] ^= 0x10
        path.write_bytes(broken)
        assert content(path) == expected[:-1]


def test_flipped_bit_in_the_file_header_is_damage(path: Path) -> None:
    filled(path, 1)
    whole = path.read_bytes()
    for bit in range(FILE_HEADER_SIZE * 8):
        broken = bytearray(whole)
        broken[bit // 8] ^= 1 << bit % 8
        path.write_bytes(broken)
        with pytest.raises(StorageError, match="file header is damaged; start once with --reindex-headers"):
            HeaderFile.open(path, KIND)
    for size in range(FILE_HEADER_SIZE):
        path.write_bytes(whole[:size])
        with pytest.raises(StorageError, match="file header is damaged"):
            HeaderFile.open(path, KIND)


def test_damage_that_appears_while_running_is_seen_by_read(path: Path) -> None:
    filled(path, 6)
    file = HeaderFile.open(path, KIND)
    with path.open("r+b") as other:
        other.seek(FILE_HEADER_SIZE + 3 * RECORD + 40)
        other.write(b"????")
    with pytest.raises(StorageError, match="damaged at record 3 "):
        file.read(1, 5)
    assert len(file.read(4, 3)) == 3 * SIZE
    os.truncate(path, FILE_HEADER_SIZE + 5 * RECORD)
    with pytest.raises(StorageError, match="damaged at record 5 "):
        file.read(4, 3)
    file.close()


def test_file_of_another_network_is_refused(path: Path) -> None:
    filled(path, 1)
    other = HeaderFileKind("signet", b"\x0a\x03\xcf\x40", "bitcoin", b"S" * SIZE, b"\x22" * 32)
    message = (
        f"{path} belongs to network regtest (magic fabfb5da, format bitcoin, 80-byte headers, genesis {'11' * 32}), "
        "not to signet; choose another datadir"
    )
    with pytest.raises(StartupError, match=f"^{re.escape(message)}$") as caught:
        HeaderFile.open(path, other)
    assert caught.value.exit_status is ExitStatus.DATADIR
    with pytest.raises(StartupError):
        salvage(path, other)


def test_file_of_a_later_version_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(header_file, "VERSION", 2)
    filled(path, 1)
    monkeypatch.undo()
    with pytest.raises(StartupError, match="file version 2; this program knows 1"):
        HeaderFile.open(path, KIND)


def test_unreadable_place_is_a_startup_error(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match=r"cannot open .*: No such file or directory") as caught:
        HeaderFile.open(tmp_path / "missing" / "headers.dat", KIND)
    assert caught.value.exit_status is ExitStatus.DATADIR


@pytest.mark.parametrize("fits", [0, 1, RECORD, RECORD + 1, 3 * RECORD - 1])
def test_full_disk_leaves_nothing_half_written(path: Path, monkeypatch: pytest.MonkeyPatch, fits: int) -> None:
    expected = filled(path, 2)
    before = path.read_bytes()
    real = os.pwrite

    def full(fd: int, data: bytes, offset: int) -> int:
        if fits == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(fd, data[:fits], offset)

    file = HeaderFile.open(path, KIND)
    monkeypatch.setattr(os, "pwrite", full)
    reason = f"{fits} of {3 * RECORD} bytes written; is the disk full?" if fits else "No space left on device"
    with pytest.raises(StorageError, match=f"^{re.escape(f'cannot write to {path}: {reason}')}$"):
        file.append(headers(3))
    assert path.read_bytes() == before
    assert len(file) == 3
    monkeypatch.undo()
    file.append(headers(3))
    file.close()
    assert content(path) == expected + headers(3)


def test_real_limit_on_the_file_size(path: Path) -> None:
    expected = filled(path, 2)
    file = HeaderFile.open(path, KIND)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        for room, reason in ((RECORD + 10, f"{RECORD + 10} of {3 * RECORD} bytes written"), (0, "File too large")):
            resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + room, hard))
            with pytest.raises(StorageError, match=reason):
                file.append(headers(3))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.close()
    assert content(path) == expected


CHILD = """
import random, sys
from pathlib import Path
from ccnode.storage.header_file import HeaderFile, HeaderFileKind
file = HeaderFile.open(Path(sys.argv[1]), HeaderFileKind("regtest", b"magi", "bitcoin", b"G" * 80, bytes(32)))
rng = random.Random(1)
while True:
    file.append([rng.randbytes(80) for _ in range(2000)])
    print(len(file), flush=True)
"""


@pytest.mark.parametrize("appends", [1, 5, 20])
def test_kill_loses_no_header_that_append_returned_for(path: Path, appends: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    reported = [int(child.stdout.readline()) for _ in range(appends)]
    child.kill()
    reported += [int(line) for line in child.communicate()[0].split()]
    file = HeaderFile.open(path, HeaderFileKind("regtest", b"magi", "bitcoin", b"G" * 80, bytes(32)))
    data = b"".join(file.load())
    file.close()
    assert len(data) // SIZE >= reported[-1]
    rng = random.Random(1)
    assert data == b"G" * 80 + b"".join(rng.randbytes(80) for _ in range(len(data) // SIZE - 1))


def test_failed_sync_is_a_storage_error(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    file = HeaderFile.open(path, KIND)
    monkeypatch.setattr(header_file, "_fdatasync", fail)
    with pytest.raises(StorageError, match=r"cannot sync .*: Input/output error"):
        file.sync()
    file.close()


def test_salvage_keeps_the_records_before_the_damage(path: Path) -> None:
    expected = filled(path, 9)
    whole = path.read_bytes()
    for number in range(1, 10):
        broken = bytearray(whole)
        broken[FILE_HEADER_SIZE + number * RECORD + 7] ^= 1
        path.write_bytes(broken)
        assert salvage(path, KIND) == number
        assert content(path) == expected[:number]
        assert path.with_name("headers.dat.bad").read_bytes() == broken


def test_salvage_of_a_sound_or_missing_file_loses_nothing(path: Path) -> None:
    assert salvage(path, KIND) == 0
    assert not path.exists()
    expected = filled(path, 3)
    assert salvage(path, KIND) == 4
    assert content(path) == expected


@pytest.mark.parametrize("offset", [3, FILE_HEADER_SIZE + 5])
def test_salvage_begins_anew_where_not_even_the_genesis_is_left(path: Path, offset: int) -> None:
    filled(path, 3)
    broken = bytearray(path.read_bytes())
    broken[offset] ^= 1
    path.write_bytes(broken)
    assert salvage(path, KIND) == 0
    assert path.with_name("headers.dat.bad").read_bytes() == broken
    assert content(path) == [KIND.genesis]


def test_tail_is_logged_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    filled(path, 1)
    os.truncate(path, path.stat().st_size - 1)
    with caplog.at_level(logging.WARNING, "ccnode.storage"):
        content(path)
        content(path)
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    "kind",
    [
        HeaderFileKind("n" * 33, b"magi", "bitcoin", bytes(80), bytes(32)),
        HeaderFileKind("n", b"magi", "f" * 17, bytes(80), bytes(32)),
        HeaderFileKind("n", b"mag", "bitcoin", bytes(80), bytes(32)),
        HeaderFileKind("n", b"magi", "bitcoin", bytes(80), bytes(31)),
    ],
)
def test_kind_that_does_not_fit_the_file_header(kind: HeaderFileKind) -> None:
    with pytest.raises(ValueError):
        kind.encode()

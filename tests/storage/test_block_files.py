"""Block and undo files: what was stored is read, what a crash left is sorted out, and damage is told."""

import os
import random
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ccnode.chain.ports import FilePosition
from ccnode.errors import StartupError, StorageError
from ccnode.storage import block_files
from ccnode.storage.block_files import BlockFiles
from ccnode.storage.block_records import FRAME, NO_XOR, read_records, xor
from ccnode.storage.file_info import FileInfo
from ccnode.wire.parsing import parse_block
from tests.support.data import read_xz

MAGIC = bytes.fromhex("f9beb4d9")
KEY = bytes(range(1, 9))


@pytest.fixture(scope="module")
def blocks(data_dir: Path) -> list[bytes]:
    """The first blocks of mainnet."""
    data, blocks = read_xz(data_dir / "blocks/main_000000_000438.dat.xz"), []
    position = 0
    while position < len(data):
        size = FRAME.unpack_from(data, position)[1]
        blocks.append(data[position + FRAME.size : position + FRAME.size + size])
        position += FRAME.size + size
    return blocks


@pytest.fixture(params=[True, False], ids=["obfuscated", "plain"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> BlockFiles:
    return BlockFiles(tmp_path, MAGIC, obfuscate=request.param, max_file_size=2000)


def made(seed: int, count: int) -> list[bytes]:
    rng = random.Random(seed)
    return [rng.randbytes(rng.randrange(90, 400)) for _ in range(count)]


def reopened(files: BlockFiles, infos: dict[int, FileInfo] | None = None) -> BlockFiles:
    files.close()
    return BlockFiles(files.directory, MAGIC, infos=infos, max_file_size=2000)


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """No file may become larger than ``size`` bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_blocks_and_undo_data_come_back(files: BlockFiles) -> None:
    stored = []
    for height, raw in enumerate(made(1, 40)):
        position = files.append(raw, height, 1000 + height)
        undo = raw[::-1] * 3
        stored.append((position, raw, raw[:32], files.append_undo(position.file, raw[:32], undo), undo))
    assert len(files.infos) > 4
    files.sync()
    for each in files, reopened(files, files.changed_infos()):
        for position, raw, block_hash, undo_position, undo in stored:
            assert each.read(position) == raw
            assert each.read_undo(undo_position, block_hash) == undo


def test_what_gathers_is_read_at_once_and_written_as_if_it_had_been_appended(files: BlockFiles, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "plain" / "xor.dat").write_bytes(files._key)
    plain = BlockFiles(tmp_path / "plain", MAGIC, max_file_size=2000)
    stored, gathered = [], 0
    for height, raw in enumerate(made(1, 40)):
        undo = raw[::-1]
        position = files.gather(raw, height, 1000 + height)
        gathered += position is not None
        position = position or files.append(raw, height, 1000 + height)
        undo_position = files.gather_undo(position.file, raw[:32], undo)
        assert undo_position is not None
        stored.append((position, raw, undo_position, undo))
        assert plain.append(raw, height, 1000 + height) == position
        assert plain.append_undo(position.file, raw[:32], undo) == undo_position
        assert all(files.read(at) == block for at, block, _undo_position, _undo in stored)
        assert all(files.read_undo(at, block[:32]) == undo for _at, block, at, undo in stored)
    assert gathered > 20
    assert files.has_gathered
    files.write_out()
    assert not files.has_gathered
    assert files.infos == plain.infos
    for number in range(len(files.infos)):
        assert files.blocks_path(number).read_bytes() == plain.blocks_path(number).read_bytes()
        assert files.undo_path(number).read_bytes() == plain.undo_path(number).read_bytes()


def test_what_gathers_is_bounded(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path, MAGIC)
    assert files.gather(bytes(100), 0, 0) is None  # there is no file yet
    files.append(bytes(100), 0, 0)
    assert files.gather_undo(0, bytes(32), bytes(block_files.GATHERED)) is None
    count = 0
    while files.gather(bytes(10_000), 1, 0) is not None:
        count += 1
    assert (count + 1) * 10_008 > block_files.GATHERED >= count * 10_008
    assert files.blocks_path(0).stat().st_size == 108
    files.append(bytes(10_000), 1, 0)
    assert not files.has_gathered
    assert files.blocks_path(0).stat().st_size == 108 + (count + 1) * 10_008


def test_a_full_disk_is_noticed_when_what_gathered_is_written(files: BlockFiles) -> None:
    files.append(bytes(100), 0, 0)
    assert files.gather(bytes(100), 1, 0) is not None
    with room_for(150), pytest.raises(StorageError, match=r"blk00000\.dat: .*; free space"):
        files.sync()


def test_the_layout_is_that_of_bitcoin_core(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path, MAGIC, obfuscate=False)
    first, second = made(1, 2)
    assert files.append(first, 0, 0) == FilePosition(0, 8)
    files.append(second, 1, 0)
    expected = b"".join(MAGIC + len(raw).to_bytes(4, "little") + raw for raw in (first, second))
    assert (tmp_path / "blk00000.dat").read_bytes() == expected
    assert not (tmp_path / "xor.dat").exists()


def test_a_new_directory_gets_a_key_and_keeps_it(tmp_path: Path) -> None:
    files = BlockFiles(tmp_path, MAGIC)
    key = (tmp_path / "xor.dat").read_bytes()
    raw = made(1, 1)[0]
    position = files.append(raw, 0, 0)
    assert (tmp_path / "blk00000.dat").read_bytes() == xor(FRAME.pack(MAGIC, len(raw)) + raw, key, 0)
    assert reopened(files).read(position) == raw
    assert (tmp_path / "xor.dat").read_bytes() == key


def test_a_directory_with_plain_files_stays_plain(tmp_path: Path) -> None:
    plain = BlockFiles(tmp_path, MAGIC, obfuscate=False)
    position = plain.append(made(1, 1)[0], 0, 0)
    assert reopened(plain).read(position) == made(1, 1)[0]
    assert not (tmp_path / "xor.dat").exists()


def test_a_key_of_another_size_is_refused(tmp_path: Path) -> None:
    (tmp_path / "xor.dat").write_bytes(b"short")
    with pytest.raises(
        StorageError, match=r"xor\.dat does not hold a key of 8 bytes; put the right one back, or delete"
    ):
        BlockFiles(tmp_path, MAGIC)


@pytest.mark.parametrize("infos_kept", [True, False])
def test_files_written_with_another_key_are_refused(files: BlockFiles, infos_kept: bool) -> None:
    for raw in made(1, 20):
        files.append(raw, 0, 0)
    (files.directory / "xor.dat").write_bytes(b"8 others")
    with pytest.raises(StorageError, match=r"xor\.dat is not the key"):
        reopened(files, files.changed_infos() if infos_kept else None)


def test_a_file_of_which_nothing_was_written_has_no_key(files: BlockFiles) -> None:
    files.blocks_path(0).write_bytes(bytes(1000))
    files.blocks_path(1).write_bytes(b"abc")
    assert list(reopened(files).scan()) == []
    files.blocks_path(1).write_bytes(b"abcd")
    with pytest.raises(StorageError, match="key"):
        reopened(files)


@pytest.mark.parametrize("undo", [True, False])
def test_a_file_that_lost_something_is_refused(files: BlockFiles, undo: bool) -> None:
    for raw in made(1, 20):
        position = files.append(raw, 0, 0)
        files.append_undo(position.file, raw[:32], raw)
    infos = files.changed_infos()
    path = files.undo_path(1) if undo else files.blocks_path(1)
    os.truncate(path, path.stat().st_size - 1)
    with pytest.raises(StorageError, match=f"{path} was cut: .* start once with --reindex"):
        reopened(files, infos)
    path.unlink()
    with pytest.raises(StorageError, match=f"{path} is missing; .* start once with --reindex"):
        reopened(files, infos)


@given(st.binary(max_size=50), st.binary(min_size=8, max_size=8), st.integers(0, 100))
def test_obfuscation_is_a_byte_of_the_key_per_byte_of_the_file(data: bytes, key: bytes, offset: int) -> None:
    assert xor(data, key, offset) == bytes(byte ^ key[(offset + i) % 8] for i, byte in enumerate(data))


def test_a_file_is_never_larger_than_allowed(files: BlockFiles) -> None:
    for height, raw in enumerate(made(1, 60)):
        files.append(raw, height, 0)
    sizes = [path.stat().st_size for path in sorted(files.directory.glob("blk*.dat"))]
    assert len(sizes) == len(files.infos)
    assert all(1500 < size <= 2000 for size in sizes[:-1])
    assert files.usage() == sum(sizes)


def test_a_block_larger_than_a_file_has_one_of_its_own(files: BlockFiles) -> None:
    positions = [files.append(raw, 0, 0) for raw in (bytes(100), bytes(5000), bytes(100))]
    assert positions == [FilePosition(0, 8), FilePosition(1, 8), FilePosition(2, 8)]


def test_infos_tell_heights_and_times(files: BlockFiles) -> None:
    for height, time in (5, 50), (3, 70), (9, 60):
        files.append(bytes(100), height, time)
    info = files.infos[0]
    assert (info.blocks, info.size) == (3, 3 * 108)
    assert (info.first_height, info.last_height, info.first_time, info.last_time) == (3, 9, 50, 70)
    assert FileInfo.decode(info.encode()) == info
    assert files.changed_infos() == {0: info}
    files.infos_stored()
    assert files.changed_infos() == {}
    with pytest.raises(StorageError, match="--reindex"):
        FileInfo.decode(info.encode()[1:])


# After a crash.


def test_blocks_after_the_last_flush_are_found_again(files: BlockFiles) -> None:
    raws = made(1, 30)
    positions = [files.append(raw, height, 0) for height, raw in enumerate(raws[:10])]
    flushed = files.changed_infos()
    positions += [files.append(raw, height, 0) for height, raw in enumerate(raws[10:])]
    again = reopened(files, flushed)
    found = list(again.scan())
    assert found == list(zip(positions, raws, strict=True))[10:]
    for height, (position, raw) in enumerate(found):
        again.adopt(position, len(raw), height, 0)
    assert [info.size for info in again.infos] == [info.size for info in files.infos]
    assert again.append(raws[0], 30, 0) == files.append(raws[0], 30, 0)


@pytest.mark.parametrize("lost", [1, 7, 8, 60, 100])
def test_a_torn_block_is_cut_off(files: BlockFiles, lost: int, caplog: pytest.LogCaptureFixture) -> None:
    raws = [raw[:100] for raw in made(1, 3)]
    for raw in raws:
        files.append(raw, 0, 0)
    path = files.blocks_path(0)
    os.truncate(path, path.stat().st_size - lost)
    assert [raw for _, raw in reopened(files).scan()] == raws[:2]
    assert path.stat().st_size == 2 * 108
    assert "interrupted write" in caplog.text


def test_what_a_power_loss_left_empty_does_not_hide_what_follows(blocks: list[bytes], tmp_path: Path) -> None:
    """Pages reach the disk in any order: a block may be zeros though a later one is there."""
    files = BlockFiles(tmp_path, MAGIC, obfuscate=False)
    positions = [files.append(raw, 0, 0) for raw in blocks[:5]]
    with files.blocks_path(0).open("r+b") as file:
        file.seek(positions[2].offset - 8)
        file.write(bytes(8 + len(blocks[2])))
    assert list(reopened(files).scan()) == [
        (position, raw) for i, (position, raw) in enumerate(zip(positions, blocks[:5], strict=True)) if i != 2
    ]


def test_undo_data_after_the_last_flush_is_written_over(files: BlockFiles) -> None:
    raw = bytes(100)
    files.append(raw, 0, 0)
    files.append_undo(0, b"a" * 32, b"first")
    flushed = files.changed_infos()
    lost = files.append_undo(0, b"b" * 32, b"a longer one that was lost")
    again = reopened(files, flushed)
    assert again.append_undo(0, b"c" * 32, b"new") == lost
    assert again.read_undo(lost, b"c" * 32) == b"new"


def test_all_files_are_read_for_a_reindex(files: BlockFiles) -> None:
    raws = made(1, 30)
    stored = [(files.append(raw, height, 0), raw) for height, raw in enumerate(raws)]
    files.append_undo(0, bytes(32), b"undo")
    os.unlink(files.blocks_path(1))  # it was pruned
    again = reopened(files)
    assert list(again.scan_all()) == [(position, raw) for position, raw in stored if position.file != 1]
    again.delete_undo()
    assert not list(files.directory.glob("rev*"))


def test_blocks_that_come_during_a_reindex_pass_over_what_is_not_read_yet(files: BlockFiles) -> None:
    stored = [(files.append(raw, height, 0), raw) for height, raw in enumerate(made(1, 30))]
    again = reopened(files)
    reading = again.scan_all()
    found = []
    while not found or found[-1][0].file < stored[-1][0].file:  # up to the first block of the last file
        found.append(next(reading))
        again.adopt(found[-1][0], len(found[-1][1]), 0, 0)
    late = again.append(bytes(100), 30, 0)
    assert late == FilePosition(stored[-1][0].file + 1, 8)
    found += reading
    assert found[: len(stored)] == stored
    for position, raw in found:
        again.adopt(position, len(raw), 0, 0)
    assert again.append(bytes(100), 31, 0) == FilePosition(late.file, 116)
    assert again.read(late) == bytes(100)


def test_a_sync_covers_every_file_blocks_first(files: BlockFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: dict[str, int] = {}

    def note(fd: int) -> None:
        path = os.readlink(f"/proc/self/fd/{fd}") if Path("/proc/self/fd").exists() else ""
        synced[Path(path).name] = os.fstat(fd).st_size

    monkeypatch.setattr(block_files, "_fdatasync", note)
    for height, raw in enumerate(made(1, 20)):
        position = files.append(raw, height, 0)
        files.append_undo(position.file, bytes(32), raw)
    files.sync()
    sizes = {path.name: path.stat().st_size for path in files.directory.glob("*0*.dat")}
    assert synced == sizes or not Path("/proc/self/fd").exists()
    blocks_and_undo = [name[:3] for name in synced if name in sizes]
    assert blocks_and_undo[-len(sizes) // 2 :] == ["rev"] * (len(sizes) // 2)
    synced.clear()
    files.sync()
    assert not synced


# Pruning.


def test_a_deleted_file_is_gone_with_its_undo_data(files: BlockFiles) -> None:
    for height, raw in enumerate(made(1, 30)):
        position = files.append(raw, height, 0)
        files.append_undo(position.file, raw[:32], raw)
    before = files.usage()
    with pytest.raises(ValueError):
        files.delete(0)
    files.mark_pruned(0)
    assert 0 in files.changed_infos()
    files.delete(0)
    assert not files.blocks_path(0).exists()
    assert not files.undo_path(0).exists()
    assert files.usage() < before
    with pytest.raises(StorageError, match="--reindex"):
        files.read(FilePosition(0, 8))
    next_file = files.append(bytes(1900), 30, 0).file
    assert next_file == len(files.infos) - 1 > 1


def test_a_crash_between_the_flush_and_the_deletion_leaves_nothing(files: BlockFiles) -> None:
    for height, raw in enumerate(made(1, 30)):
        files.append(raw, height, 0)
    files.mark_pruned(0)
    again = reopened(files, files.changed_infos())
    assert not files.blocks_path(0).exists()
    assert files.blocks_path(1).exists()
    assert again.usage() == files.usage()


# Damage and trouble.


@pytest.mark.parametrize("at", [0, 3, 5, 8, 20, 47, 48, 51])
def test_a_flipped_bit_in_undo_data_is_noticed(files: BlockFiles, at: int) -> None:
    files.append(bytes(100), 0, 0)
    position = files.append_undo(0, b"h" * 32, b"u" * 40)
    path = files.undo_path(0)
    data = bytearray(path.read_bytes())
    data[at] ^= 0x10
    path.write_bytes(data)
    with pytest.raises(StorageError, match=r"rev00000\.dat is damaged at byte 8; start once with --reindex"):
        files.read_undo(position, b"h" * 32)


def test_undo_data_of_another_block_is_refused(files: BlockFiles) -> None:
    files.append(bytes(100), 0, 0)
    position = files.append_undo(0, b"h" * 32, b"undo")
    with pytest.raises(StorageError, match="--reindex"):
        files.read_undo(position, b"i" * 32)


@pytest.mark.parametrize(
    "position", [FilePosition(0, 0), FilePosition(0, 9), FilePosition(0, 150), FilePosition(0, 1 << 40)]
)
def test_a_position_without_a_record_is_damage(files: BlockFiles, position: FilePosition) -> None:
    files.append(bytes(100), 0, 0)
    with pytest.raises(StorageError, match=r"blk00000\.dat is damaged .* --reindex"):
        files.read(position)


def test_a_missing_file_is_named(files: BlockFiles) -> None:
    with pytest.raises(StorageError, match=r"blk00007\.dat.*--reindex"):
        files.read(FilePosition(7, 8))
    with pytest.raises(StorageError, match=r"rev00007\.dat.*--reindex"):
        files.read_undo(FilePosition(7, 8), bytes(32))


def test_a_cut_record_is_damage(files: BlockFiles) -> None:
    position = files.append(bytes(100), 0, 0)
    os.truncate(files.blocks_path(0), 50)
    with pytest.raises(StorageError, match="--reindex"):
        files.read(position)


@pytest.mark.parametrize("room", [108, 110, 150, 215])
def test_a_full_disk_stops_and_loses_nothing(files: BlockFiles, room: int) -> None:
    first = files.append(bytes(100), 0, 0)
    with room_for(room), pytest.raises(StorageError, match=r"blk00000\.dat: .*; free space"):
        files.append(b"x" * 100, 1, 0)
    assert files.infos[0].blocks == 1
    assert files.read(first) == bytes(100)
    second = files.append(b"y" * 100, 1, 0)
    assert second == FilePosition(0, 116)
    assert files.read(second) == b"y" * 100
    with room_for(0), pytest.raises(StorageError, match=r"rev00000\.dat: .*; free space"):
        files.append_undo(0, bytes(32), b"undo")


def test_a_directory_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StartupError, match=r"file/blocks: .*permissions"):
        BlockFiles(tmp_path / "file" / "blocks", MAGIC)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_an_unwritable_directory_is_told_from_a_full_disk(files: BlockFiles) -> None:
    files.directory.chmod(0o500)
    with pytest.raises(StorageError, match="permissions"):
        files.append(bytes(100), 0, 0)


def test_a_failed_sync_is_told(files: BlockFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    files.append(bytes(100), 0, 0)

    def fail(fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(block_files, "_fdatasync", fail)
    with pytest.raises(StorageError, match="Input/output error; free space or repair"):
        files.sync()


# Files of others.


def test_a_file_of_real_blocks_is_imported(data_dir: Path, blocks: list[bytes], tmp_path: Path) -> None:
    path = tmp_path / "bootstrap.dat"
    path.write_bytes(read_xz(data_dir / "blocks/main_000000_000438.dat.xz"))
    files = BlockFiles(tmp_path / "blocks", MAGIC)
    assert list(files.import_file(path)) == blocks
    assert len(blocks) == 439


@pytest.mark.parametrize("key", [NO_XOR, KEY])
def test_an_obfuscated_file_is_imported(blocks: list[bytes], tmp_path: Path, key: bytes) -> None:
    """As Bitcoin Core leaves it: obfuscated, zeros up to what it allocated, its key beside it."""
    data = b"".join(FRAME.pack(MAGIC, len(raw)) + raw for raw in blocks)
    (tmp_path / "core").mkdir()
    (tmp_path / "core/xor.dat").write_bytes(key)
    (tmp_path / "core/blk00000.dat").write_bytes(xor(data + bytes(1 << 20), key, 0))
    files = BlockFiles(tmp_path / "blocks", MAGIC)
    assert list(files.import_file(tmp_path / "core/blk00000.dat")) == blocks


def test_an_import_survives_what_is_no_block(blocks: list[bytes], tmp_path: Path) -> None:
    rng = random.Random(1)

    def record(raw: bytes) -> bytes:
        return FRAME.pack(MAGIC, len(raw)) + raw

    pieces = [
        rng.randbytes(1000),
        record(blocks[0]),
        MAGIC + b"\xff\xff\xff\xff",  # a length no block has
        record(blocks[1]),
        FRAME.pack(MAGIC, 3_000_000),  # a length that reaches over blocks that follow
        record(blocks[2]),
        bytes(5000),
        record(blocks[3]),
        FRAME.pack(MAGIC, 200) + rng.randbytes(100),  # torn, and the next begins within its length
        record(blocks[4]),
        MAGIC[:3],
        record(blocks[5])[:-1],  # torn at the end
    ]
    path = tmp_path / "mixed.dat"
    path.write_bytes(b"".join(pieces))
    assert [raw for _, raw in read_records(path, MAGIC)] == blocks[:5]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.one_of(st.integers(0, 20), st.binary(max_size=30)), max_size=8), st.integers(0, 300))
def test_whole_blocks_are_found_between_any_garbage(
    blocks: list[bytes], tmp_path: Path, pieces: list[int | bytes], start: int
) -> None:
    data, expected = bytes(start), []
    for piece in pieces:
        if isinstance(piece, bytes):
            data += piece
        else:
            expected.append((len(data) + FRAME.size, blocks[piece]))
            data += FRAME.pack(MAGIC, len(blocks[piece])) + blocks[piece]
    path = tmp_path / "blocks.dat"
    path.write_bytes(xor(data, KEY, 0))
    assert list(read_records(path, MAGIC, KEY)) == expected
    assert list(read_records(path, MAGIC, KEY, start)) == expected


def test_records_larger_than_what_is_read_at_a_time(tmp_path: Path, data_dir: Path) -> None:
    raw = read_xz(data_dir / "blocks/main_413567.raw.xz")
    path = tmp_path / "blocks.dat"
    path.write_bytes(xor((FRAME.pack(MAGIC, len(raw)) + raw + bytes(17)) * 9, KEY, 0))
    found = [block for _, block in read_records(path, MAGIC, KEY)]
    assert found == [raw] * 9
    assert len(parse_block(found[-1])) == 1557


def test_a_missing_import_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere\.dat"):
        list(BlockFiles(tmp_path, MAGIC).import_file(tmp_path / "nowhere.dat"))

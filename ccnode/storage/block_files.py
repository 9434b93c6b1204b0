"""Blocks and their undo data in files: ``blocks/blk00000.dat``, ``rev00000.dat`` and on (Core: ``blockstorage.cpp``).

A block file is Bitcoin Core's: records of magic, length and block, one after another in order of arrival, up to 128
MiB a file. An undo file has the same number as the file of its blocks, but records of our own::

    magic, length           4 + 4 bytes
    undo data               length bytes
    crc32                   of the block's hash and the undo data, so that a record cannot pass for another's

Blocks need no checksum: header and merkle root are one. Both kinds may be obfuscated (`ccnode.storage.block_records`);
``xor.dat`` is made for a new directory and honoured where there is one.

A record survives the death of the process when `BlockFiles.append` returns, and a power loss after `BlockFiles.sync`.
Small records may gather in memory first, up to `GATHERED` bytes, for to hand each of them to a thread takes longer than
to check it: `BlockFiles.gather` touches no file, and `write_out` writes them in one go, as whatever follows them does.
If the process dies before that, it is as if those blocks had not come yet: they are fetched again.

The chain state's flush syncs first and then stores what it knows of each file, its `FileInfo`. So at a start the files
may hold more than the infos say: `BlockFiles.scan` finds blocks behind the last flush again and cuts what an
interrupted write left; undo data behind the last flush is simply overwritten, as those blocks are connected again.

Files are deleted after a flush has recorded that they will be, so a file that is marked as pruned and still there was
missed by a crash, and opening deletes it.

Everything here blocks, and is called on one thread; `BlockFiles.read` and `read_undo` may be called on any. `gather`
and `gather_undo` do not block: who hands all that changes something to that thread, and waits for it, may call them
himself in between.
"""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from errno import EACCES, ENOSPC, EPERM, EROFS
from pathlib import Path
from struct import Struct
from types import MappingProxyType
from typing import NoReturn
from zlib import crc32

from ccnode.chain.ports import FilePosition
from ccnode.errors import ExitStatus, StartupError, StorageError
from ccnode.storage.block_records import FRAME, MAX_BLOCK_SIZE, NO_XOR, XOR_KEY_SIZE, find_key, read_records, xor
from ccnode.storage.file_info import FileInfo
from ccnode.wire.protocol import BLOCK_HEADER_SIZE

log = logging.getLogger("ccnode.storage")

MAX_FILE_SIZE = 128 << 20
"""Bytes of a block file (Core: ``MAX_BLOCKFILE_SIZE``)."""

FAST_PRUNE_FILE_SIZE = 64 << 10
"""The same for tests of pruning (Core: ``fastprune``)."""

GATHERED = 256 << 10
"""Bytes of records kept in memory before they are written: forty blocks of 6 kB."""

_NOTHING: Mapping[int, bytes] = MappingProxyType({})
_CRC = Struct("<I")
_MAX_UNDO_SIZE = 1 << 30  # bytes; 130,000 inputs in a block, each of a coin with the largest script
_NAME = re.compile(r"blk(\d{5,})\.dat")

_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


class BlockFiles:
    """The files of one network. A `ccnode.chain.ports.BlockStore`.

    Files of which ``infos`` know nothing are not written to before `scan` is through: `append` begins another one.
    """

    def __init__(
        self,
        directory: Path,
        magic: bytes,
        *,
        infos: Mapping[int, FileInfo] | None = None,
        obfuscate: bool = True,
        max_file_size: int = MAX_FILE_SIZE,
        header_size: int = BLOCK_HEADER_SIZE,
    ) -> None:
        """``infos`` is what the last flush knew. ``obfuscate``: whether a new directory gets a key (``blocksxor``).

        Raises StartupError when the directory cannot be used, StorageError when something is missing.
        """
        self.directory = directory
        self._magic = magic
        self._max_file_size = max_file_size
        self._header_size = header_size
        self._fds: dict[Path, int] = {}
        self._unsynced: set[Path] = set()
        self._changed: set[int] = set()
        self._gathered: dict[Path, dict[int, bytes]] = {}  # by offset, one after another
        self._gathered_bytes = 0
        last = max(infos, default=-1) if infos else -1
        self.infos: list[FileInfo] = [(infos or {}).get(number, FileInfo()) for number in range(last + 1)]
        """What the files hold, by number."""
        try:
            directory.mkdir(parents=True, exist_ok=True)
            self._key = self._open_key(obfuscate)
            self._unread = max(self._numbers(), default=-1) > last
            self._check_key()
            self._check_files()
        except OSError as error:
            raise StartupError(
                f"cannot use {directory}: {error.strerror}; check its owner and permissions", ExitStatus.DATADIR
            ) from error

    # Writing.

    def append(self, raw: bytes, height: int, time: int) -> FilePosition:
        """Add a block; ``height`` and ``time`` are kept for pruning. Raises StorageError, and nothing has changed."""
        self.write_out()
        size = FRAME.size + len(raw)
        number = max(0, len(self.infos) - 1)
        if self._unread:
            number = max(number, *self._numbers()) + 1
            self._unread = False
        elif self._is_full(size):
            self._close(self.blocks_path(number))
            number += 1
        self._make_infos(number)
        offset = self.infos[number].size
        self._write(self.blocks_path(number), self._block_record(raw), offset)
        return self._note_block(number, offset, size, height, time)

    def append_undo(self, file: int, block_hash: bytes, undo: bytes) -> FilePosition:
        """Add the undo data of a block that is in block file ``file``. Raises StorageError."""
        self.write_out()
        record = self._undo_record(block_hash, undo)
        self._write(self.undo_path(file), record, self.infos[file].undo_size)
        return self._note_undo(file, len(record))

    def gather(self, raw: bytes, height: int, time: int) -> FilePosition | None:
        """Add a block in memory; None if that must be left to `append`."""
        record = self._block_record(raw)
        if self._unread or not self.infos or self._is_full(len(record)) or not self._has_room(record):
            return None
        number = len(self.infos) - 1
        offset = self.infos[number].size
        self._gather(self.blocks_path(number), record, offset)
        return self._note_block(number, offset, len(record), height, time)

    def gather_undo(self, file: int, block_hash: bytes, undo: bytes) -> FilePosition | None:
        """Add undo data in memory; None if that must be left to `append_undo`."""
        record = self._undo_record(block_hash, undo)
        if not self._has_room(record):
            return None
        self._gather(self.undo_path(file), record, self.infos[file].undo_size)
        return self._note_undo(file, len(record))

    @property
    def has_gathered(self) -> bool:
        """Whether there is something to write out."""
        return bool(self._gathered)

    def write_out(self) -> None:
        """Write what has gathered. Raises StorageError."""
        for path, records in self._gathered.items():
            self._write(path, b"".join(records.values()), next(iter(records)))
        self._gathered.clear()  # not before it can be read from the files
        self._gathered_bytes = 0

    def sync(self) -> None:
        """Force all that was appended onto the disk, blocks before undo data. Raises StorageError."""
        self.write_out()
        for path in sorted(self._unsynced):  # blk sorts before rev
            self._sync(path)
        if self._unsynced:
            self._sync_directory()
        self._unsynced.clear()

    def changed_infos(self) -> dict[int, FileInfo]:
        """What the next flush has to store."""
        return {number: self.infos[number] for number in sorted(self._changed)}

    def infos_stored(self) -> None:
        """What `changed_infos` gave has been stored."""
        self._changed.clear()

    def close(self) -> None:
        """Close all files; a second call does nothing."""
        for fd in self._fds.values():
            os.close(fd)
        self._fds.clear()

    # Reading.

    def read(self, position: FilePosition) -> bytes:
        """The block at ``position``; whether it is the right one, its hash tells. Raises StorageError."""
        path = self.blocks_path(position.file)
        return self._read(path, position.offset, 0, MAX_BLOCK_SIZE)

    def read_undo(self, position: FilePosition, block_hash: bytes) -> bytes:
        """The undo data at ``position``. Raises StorageError if it is not there, damaged or of another block."""
        path = self.undo_path(position.file)
        record = self._read(path, position.offset, _CRC.size, _MAX_UNDO_SIZE)
        undo = record[: -_CRC.size]
        if _CRC.unpack(record[-_CRC.size :])[0] != crc32(undo, crc32(block_hash)):
            self._damaged(path, position.offset)
        return undo

    def usage(self) -> int:
        """Bytes that all files take."""
        return sum(info.size + info.undo_size for info in self.infos if not info.pruned)

    # Recovery and pruning.

    def scan(self) -> Iterator[tuple[FilePosition, bytes]]:
        """The blocks behind what the infos tell of, in the order in which they were stored; a torn tail is cut.

        Whoever finds a block good takes it in with `adopt`; the others stay where they are, unused. Raises
        StorageError.
        """
        number = max(0, len(self.infos) - 1)
        while (path := self.blocks_path(number)).exists():
            start = self.infos[number].size if number < len(self.infos) else 0
            end = start
            for offset, raw in read_records(path, self._magic, self._key, start, self._header_size):
                end = offset + len(raw)
                yield FilePosition(number, offset), raw
            self._cut(path, end)
            number += 1
        self._unread = False

    def scan_all(self) -> Iterator[tuple[FilePosition, bytes]]:
        """Every block in the files, whatever is known of them: for a reindex, on an object without infos."""
        for number in self._numbers():
            path = self.blocks_path(number)
            for offset, raw in read_records(path, self._magic, self._key, 0, self._header_size):
                yield FilePosition(number, offset), raw

    def adopt(self, position: FilePosition, size: int, height: int, time: int) -> None:
        """Take in a block of ``size`` bytes that `scan` or `scan_all` found."""
        self._make_infos(position.file)
        self._note_block(position.file, position.offset - FRAME.size, FRAME.size + size, height, time)

    def delete_undo(self) -> None:
        """Delete all undo files, before a reindex writes new ones. Raises StorageError."""
        for number in self._numbers():
            self._remove(self.undo_path(number))

    def mark_pruned(self, number: int) -> None:
        """Note that a file is about to be deleted; after the next flush, `delete` does it."""
        self.infos[number] = FileInfo(pruned=True)
        self._changed.add(number)

    def delete(self, number: int) -> None:
        """Delete a pruned file and its undo file. Raises StorageError."""
        if not self.infos[number].pruned:
            raise ValueError(f"block file {number} is in use")
        self._unlink(number)

    def import_file(self, path: Path) -> Iterator[bytes]:
        """The blocks of somebody else's block file, obfuscated or not, in its order. Raises StorageError."""
        for _, raw in read_records(path, self._magic, find_key(path, self._magic), 0, self._header_size):
            yield raw

    def blocks_path(self, number: int) -> Path:
        """Where a block file is."""
        return self.directory / f"blk{number:05}.dat"

    def undo_path(self, number: int) -> Path:
        """Where an undo file is."""
        return self.directory / f"rev{number:05}.dat"

    def _make_infos(self, number: int) -> None:
        """Let there be an info of each file up to ``number``."""
        self.infos += [FileInfo()] * (number + 1 - len(self.infos))

    def _note_block(self, number: int, offset: int, size: int, height: int, time: int) -> FilePosition:
        """There is a record of ``size`` bytes at ``offset`` of a block file now."""
        self.infos[number] = self.infos[number].with_block(offset + size, height, time)
        self._changed.add(number)
        return FilePosition(number, offset + FRAME.size)

    def _note_undo(self, number: int, size: int) -> FilePosition:
        """There is a record of ``size`` bytes more in an undo file now."""
        info = self.infos[number]
        self.infos[number] = replace(info, undo_size=info.undo_size + size)
        self._changed.add(number)
        return FilePosition(number, info.undo_size + FRAME.size)

    def _numbers(self) -> list[int]:
        matches = (_NAME.fullmatch(path.name) for path in self.directory.iterdir())
        return sorted(int(match[1]) for match in matches if match)

    def _open_key(self, obfuscate: bool) -> bytes:
        path = self.directory / "xor.dat"
        if path.exists():
            key = path.read_bytes()
            if len(key) != XOR_KEY_SIZE:
                raise StorageError(f"{path} does not hold a key of {XOR_KEY_SIZE} bytes; {self._without_key()}")
            return key
        if not obfuscate or self._numbers():  # files without a key are plain
            return NO_XOR
        key = os.urandom(XOR_KEY_SIZE)
        self._write(path, key, 0, plain=True)
        self._sync(path)
        self._sync_directory()
        self._close(path)
        return key

    def _check_key(self) -> None:
        """Refuse files none of which can be read with the key. What is short or zero was never written whole."""
        nothing = bytes(len(self._magic))
        begins = (_first_bytes(self.blocks_path(number), len(nothing)) for number in self._numbers())
        written = [begin for begin in begins if begin != nothing and len(begin) == len(nothing)]
        if written and not any(xor(begin, self._key, 0) == self._magic for begin in written):
            raise StorageError(
                f"the block files in {self.directory} cannot be read: xor.dat is not the key they were written with, "
                f"or they are another network's; {self._without_key()}"
            )

    def _without_key(self) -> str:
        return "put the right one back, or delete it and all blk and rev files there and start once with --reindex"

    def _check_files(self) -> None:
        """All that the last flush knew of must be there, and what it marked as pruned must not."""
        for number, info in enumerate(self.infos):
            if info.pruned:
                self._unlink(number)
            elif info.blocks:
                self._check_size(self.blocks_path(number), info.size)
                self._check_size(self.undo_path(number), info.undo_size)

    def _check_size(self, path: Path, size: int) -> None:
        """Refuse a file that is shorter than at the last flush, or gone: what it should hold may be needed any time."""
        if not size:
            return
        try:
            found = path.stat().st_size
        except FileNotFoundError:
            raise StorageError(f"{path} is missing; put it back, or start once with --reindex") from None
        if found < size:
            raise StorageError(f"{path} was cut: {found} of {size} bytes are left; start once with --reindex")

    def _is_full(self, size: int) -> bool:
        """Whether a record of ``size`` bytes belongs in a new file."""
        return bool(self.infos and self.infos[-1].size and self.infos[-1].size + size > self._max_file_size)

    def _has_room(self, record: bytes) -> bool:
        return self._gathered_bytes + len(record) <= GATHERED

    def _gather(self, path: Path, record: bytes, offset: int) -> None:
        self._gathered.setdefault(path, {})[offset] = record
        self._gathered_bytes += len(record)

    def _block_record(self, raw: bytes) -> bytes:
        return FRAME.pack(self._magic, len(raw)) + raw

    def _undo_record(self, block_hash: bytes, undo: bytes) -> bytes:
        return FRAME.pack(self._magic, len(undo)) + undo + _CRC.pack(crc32(undo, crc32(block_hash)))

    def _write(self, path: Path, data: bytes, offset: int, *, plain: bool = False) -> None:
        try:
            written = os.pwrite(self._fd(path), data if plain else xor(data, self._key, offset), offset)
            if written < len(data):
                raise OSError(ENOSPC, os.strerror(ENOSPC))
        except OSError as error:
            raise _cannot_write(path, error) from error
        self._unsynced.add(path)

    def _fd(self, path: Path) -> int:
        fd = self._fds.get(path, -1)
        if fd < 0:
            fd = self._fds[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return fd

    def _close(self, path: Path) -> None:
        """Close a file to which nothing more is written for now."""
        if path in self._unsynced:
            self._sync(path)
            self._unsynced.discard(path)
        if path in self._fds:
            os.close(self._fds.pop(path))

    def _sync(self, path: Path) -> None:
        try:
            _fdatasync(self._fd(path))
        except OSError as error:
            raise _cannot_write(path, error) from error

    def _sync_directory(self) -> None:
        fd = os.open(self.directory, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _read(self, path: Path, offset: int, trailer: int, limit: int) -> bytes:
        """The content of the record at ``offset`` and ``trailer`` bytes after it."""
        record = self._gathered.get(path, _NOTHING).get(offset - FRAME.size)
        if record is not None:
            return record[FRAME.size :]
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                start = offset - FRAME.size
                frame = xor(os.pread(fd, FRAME.size, start), self._key, start) if start >= 0 else b""
                if len(frame) < FRAME.size:
                    self._damaged(path, offset)
                magic, size = FRAME.unpack(frame)
                if magic != self._magic or size > limit:
                    self._damaged(path, offset)
                data = os.pread(fd, size + trailer, offset)
            finally:
                os.close(fd)
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}; start once with --reindex") from error
        if len(data) < size + trailer:
            self._damaged(path, offset)
        return xor(data, self._key, offset)

    def _cut(self, path: Path, end: int) -> None:
        """Cut what follows the last block of a file."""
        try:
            excess = path.stat().st_size - end
            if excess > 0:
                log.warning("%s: cut %d bytes that an interrupted write left at its end", path, excess)
                os.truncate(path, end)
        except OSError as error:
            raise _cannot_write(path, error) from error

    def _unlink(self, number: int) -> None:
        for path in self.blocks_path(number), self.undo_path(number):
            self._remove(path)

    def _remove(self, path: Path) -> None:
        self._unsynced.discard(path)
        if path in self._fds:
            os.close(self._fds.pop(path))
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot delete {path}: {error.strerror}") from error

    def _damaged(self, path: Path, offset: int) -> NoReturn:
        raise StorageError(f"{path} is damaged at byte {offset}; start once with --reindex")


def _first_bytes(path: Path, count: int) -> bytes:
    with path.open("rb") as file:
        return file.read(count)


def _cannot_write(path: Path, error: OSError) -> StorageError:
    if error.errno in (EACCES, EPERM, EROFS):
        way_out = "check the owner and the permissions of the directory"
    else:
        way_out = "free space or repair the disk"
    return StorageError(f"cannot write to {path}: {error.strerror}; {way_out}, then start again")

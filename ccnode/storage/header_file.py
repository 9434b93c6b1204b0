"""The header file, ``blocks/headers.dat``: every header ever accepted, in order of arrival, forks included.

A header must survive ``kill -9`` before anyone acts on it, and nearly a million of them must be back in memory
within a second of the start. So the file is append-only with records of one size: number ``i`` is found by a
multiplication, a batch is one write, and nothing is ever changed in place::

    file header   magic text, version, network magic, network name, header format, header size, genesis hash, crc32
    record 0      the genesis header, crc32
    record 1      ...

The checksums carry a trick. Feed CRC-32 a message and then that message's own checksum (little endian), and its state
is always the same constant, the *residue*. The file header ends in its checksum, so a reader arrives at record 0 in
that state; each record's checksum is computed as if it began there, so a good record leaves the state as it found it.
A damaged record knocks the state off, and no good record brings it back. Hence one ``crc32`` call over any run of
whole records, at memory speed, yields the residue if and only if every one of them is intact (but for the 1 in 2**32
of any CRC); only after a mismatch are records looked at one by one.

What is found on opening:

- a **torn tail**, which an interrupted write leaves (part of a record, or bad records with none good after them), or a
  power failure (a sector of zeros, where the system did not write pages in their order): it is cut off, with a line in
  the log. The peers send those headers again;
- **damage** anywhere else: `StorageError` with the place and the way out, which is `salvage`;
- the file of **another network** or format: `StartupError`.

A write is in the operating system's hands when `HeaderFile.append` returns, which is enough against the death of the
process. Against a power failure the owner calls `HeaderFile.sync` on a worker, and does so before any other store
refers to the records. CRC-32 detects accidents; it does not protect against someone who edits the file on purpose.
"""

import contextlib
import logging
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import NoReturn
from zlib import crc32

from ccnode.errors import ExitStatus, StartupError, StorageError

log = logging.getLogger("ccnode.storage")

RESIDUE = 0x2144DF1C
"""State of CRC-32 after any message followed by its own checksum."""

CRC_SIZE = 4
"""Bytes of a checksum behind each header."""

MAGIC_TEXT = b"ccnode headers\r\n"
"""First bytes of the file; the line end shows up a transfer in text mode."""

VERSION = 1

CHUNK_RECORDS = 16_384
"""Records read at a time: about 1.4 MB, which stays in the processor's cache."""

SECTOR = 512
"""Bytes; what a disk writes at once is a multiple of them."""

TORN_RECORDS_MAX = 300_000
"""Bad records at the end that an interrupted write explains: what is written in a second, the longest time between
two syncs, at the best rate measured. More than that is damage."""

# magic text, version, network magic, network name, format name, header size, genesis hash
_FILE_HEADER = struct.Struct("<16sI4s32s16sI32s")
_CRC = struct.Struct("<I")
FILE_HEADER_SIZE = _FILE_HEADER.size + CRC_SIZE

_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


@dataclass(frozen=True, slots=True)
class HeaderFileKind:
    """What a header file holds. Two files of the same kind are interchangeable; of different kinds, never."""

    network: str
    """The network's name, at most 32 bytes of ASCII."""
    magic: bytes
    """The four bytes that start the network's messages."""
    format: str
    """The header format's name, at most 16 bytes of ASCII."""
    genesis: bytes
    """The genesis header, record 0; its length is the size of every header in the file."""
    genesis_hash: bytes
    """32 bytes, in wire order."""

    @property
    def header_size(self) -> int:
        """Bytes of one header."""
        return len(self.genesis)

    def encode(self) -> bytes:
        """The file header, ending in its checksum."""
        names = self.network.encode("ascii"), self.format.encode("ascii")
        if len(names[0]) > 32 or len(names[1]) > 16 or len(self.magic) != 4 or len(self.genesis_hash) != 32:
            raise ValueError(f"not representable in a header file: {self}")
        body = _FILE_HEADER.pack(MAGIC_TEXT, VERSION, self.magic, *names, self.header_size, self.genesis_hash)
        return body + _CRC.pack(crc32(body))


class HeaderFile:
    """An open header file. One process at a time: the data directory's lock sees to that.

    `append` and `read` are called from one thread; `sync` may run beside them on another.
    """

    def __init__(self, path: Path, fd: int, header_size: int) -> None:
        """Use `open`."""
        self.path = path
        self.header_size = header_size
        self._fd = fd
        self._record_size = header_size + CRC_SIZE
        self.on_append: Callable[[], None] = lambda: None
        """Called after every `append`, for whoever sees to the `sync` that has to follow. It must not switch."""
        self._count = max(0, os.fstat(fd).st_size - FILE_HEADER_SIZE) // self._record_size

    @classmethod
    def open(cls, path: Path, kind: HeaderFileKind) -> "HeaderFile":
        """Open the file, or create it with the genesis header in it; check every record and cut a torn tail.

        Raises `StartupError` for a file of another kind or one that cannot be opened, `StorageError` for damage.
        """
        try:
            if not path.exists():
                _write_atomically(path, [kind.encode(), _records([kind.genesis], kind.header_size)])
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except OSError as error:
            raise StartupError(f"cannot open {path}: {error.strerror}", ExitStatus.DATADIR) from error
        try:
            _check_kind(path, os.pread(fd, FILE_HEADER_SIZE, 0), kind)
            file = cls(path, fd, kind.header_size)
            file._recover()
        except BaseException:
            os.close(fd)
            raise
        return file

    def __len__(self) -> int:
        """Number of records."""
        return self._count

    def append(self, headers: Sequence[bytes]) -> None:
        """Write the headers behind the last record, with one write.

        On return they survive the death of the process. Raises `StorageError` when the system refuses or shortens
        the write (disk full); the file then holds what it held before. `ValueError` for a header of another size.
        """
        data = _records(headers, self.header_size)
        end = self._offset(self._count)
        try:
            written = os.pwrite(self._fd, data, end)
        except OSError as error:
            self._take_back(end, error.strerror or str(error))
        if written < len(data):
            self._take_back(end, f"{written} of {len(data)} bytes written; is the disk full?")
        self._count += len(headers)
        self.on_append()

    def read(self, number: int, count: int) -> bytes:
        """The headers of records ``number`` to ``number + count - 1``, concatenated, checked once more.

        Raises `IndexError` for records that do not exist, `StorageError` where the disk no longer holds what was
        written.
        """
        if number < 0 or count < 0 or number + count > self._count:
            raise IndexError(f"records {number} to {number + count - 1} of {self._count}")
        records = self._read_records(number, count)
        if crc32(records, RESIDUE) != RESIDUE:
            self._damaged(number + self._first_bad(records))
        return _strip(records, self.header_size)

    def load(self) -> Iterator[bytes]:
        """All headers from record 0 on, as concatenations of up to `CHUNK_RECORDS` of them."""
        for number in range(0, self._count, CHUNK_RECORDS):
            yield self.read(number, min(CHUNK_RECORDS, self._count - number))

    def sync(self) -> None:
        """Force what was appended onto the disk. Takes milliseconds: call it on a worker. Raises `StorageError`."""
        try:
            _fdatasync(self._fd)
        except OSError as error:
            raise StorageError(f"cannot sync {self.path}: {error.strerror}") from error

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _offset(self, number: int) -> int:
        return FILE_HEADER_SIZE + number * self._record_size

    def _take_back(self, end: int, reason: str) -> NoReturn:
        """Undo a failed write, so that nothing half-written stays."""
        with contextlib.suppress(OSError):  # if this fails too, the next start cuts the tail
            os.ftruncate(self._fd, end)
        raise StorageError(f"cannot write to {self.path}: {reason}")

    def _read_records(self, number: int, count: int) -> bytes:
        try:
            records = os.pread(self._fd, count * self._record_size, self._offset(number))
        except OSError as error:
            raise StorageError(f"cannot read {self.path}: {error.strerror}") from error
        if len(records) < count * self._record_size:
            self._damaged(number + len(records) // self._record_size)
        return records

    def _first_bad(self, records: bytes) -> int:
        """Index of the first record whose checksum is wrong; their number if all are right."""
        size = self._record_size
        for index in range(len(records) // size):
            if crc32(records[index * size : (index + 1) * size], RESIDUE) != RESIDUE:
                return index
        return len(records) // size

    def _good_prefix(self) -> int:
        """Number of records before the first bad one."""
        for number in range(0, self._count, CHUNK_RECORDS):
            records = self._read_records(number, min(CHUNK_RECORDS, self._count - number))
            if crc32(records, RESIDUE) != RESIDUE:
                return number + self._first_bad(records)
        return self._count

    def _any_good(self, start: int) -> bool:
        """Whether any record from ``start`` on has a right checksum."""
        size = self._record_size
        for number in range(start, self._count, CHUNK_RECORDS):
            records = self._read_records(number, min(CHUNK_RECORDS, self._count - number))
            for offset in range(0, len(records), size):
                if crc32(records[offset : offset + size], RESIDUE) == RESIDUE:
                    return True
        return False

    def _is_unwritten(self, number: int) -> bool:
        """Whether the record is zeros from its begin to the end of a sector, or a whole sector in it is."""
        begin, end = self._offset(number), -(-self._offset(number + 1) // SECTOR) * SECTOR
        try:
            found = os.pread(self._fd, end - begin, begin)
        except OSError as error:
            raise StorageError(f"cannot read {self.path}: {error.strerror}") from error
        head = -begin % SECTOR
        sectors = [found[at : at + SECTOR] for at in range(head, len(found), SECTOR)]
        return (head > 0 and not any(found[:head])) or bytes(SECTOR) in sectors

    def _recover(self) -> None:
        """Check all records; cut a torn tail, refuse damage."""
        good = self._good_prefix()
        bad = self._count - good
        if good == 0 or bad > TORN_RECORDS_MAX or (self._any_good(good + 1) and not self._is_unwritten(good)):
            self._damaged(good)
        end = self._offset(good)
        excess = os.fstat(self._fd).st_size - end
        if excess:
            log.warning("%s: cut %d bytes that an interrupted write left after record %d", self.path, excess, good - 1)
            os.ftruncate(self._fd, end)
            _fdatasync(self._fd)  # before anything is appended: what was cut must not come back in front of it
            self._count = good

    def _damaged(self, number: int) -> NoReturn:
        raise StorageError(
            f"{self.path} is damaged at record {number} (byte {self._offset(number)}); "
            f"start once with --reindex-headers to keep the {number} headers before it and fetch the rest again"
        )


def salvage(path: Path, kind: HeaderFileKind) -> int:
    """Rewrite a damaged file with the records before the first bad one; ``headers.dat.bad`` keeps the old content.

    Returns the number of records kept (0: even the file header is unusable, and the next `HeaderFile.open` begins
    anew). Killed at any instant, it can be run again. Raises `StartupError` for a file of another kind.
    """
    if not path.exists():
        return 0
    old = path.with_name(path.name + ".bad")
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            try:
                _check_kind(path, os.pread(fd, FILE_HEADER_SIZE, 0), kind)
            except StorageError:
                kept = 0
            else:
                kept = HeaderFile(path, fd, kind.header_size)._good_prefix()
            prefix = os.pread(fd, FILE_HEADER_SIZE + kept * (kind.header_size + CRC_SIZE), 0)
        finally:
            os.close(fd)
        old.unlink(missing_ok=True)
        os.link(path, old)
        if kept:
            _write_atomically(path, [prefix])
        else:
            path.unlink()
    except OSError as error:
        raise StorageError(f"cannot salvage {path}: {error.strerror}") from error
    log.warning("%s: kept %d records; the damaged file is now %s", path, kept, old.name)
    return kept


def _records(headers: Sequence[bytes], size: int) -> bytes:
    """Headers and checksums interleaved. 0.17 us per header of 80 bytes, 0.11 of it CRC-32."""
    count = len(headers)
    if set(map(len, headers)) - {size}:
        raise ValueError(f"every header of this file has {size} bytes")
    fields: list[bytes | int] = [0] * (2 * count)
    fields[::2] = headers
    fields[1::2] = map(crc32, headers, repeat(RESIDUE))
    return struct.pack("<" + f"{size}sI" * count, *fields)


def _strip(records: bytes, size: int) -> bytes:
    """The headers without their checksums: column by column, a quarter of the time of unpacking row by row."""
    rest = bytearray(records)
    for width in range(size + CRC_SIZE, size, -1):
        del rest[size::width]
    return bytes(rest)


def _check_kind(path: Path, found: bytes, kind: HeaderFileKind) -> None:
    """Raise unless the file header is whole (`StorageError`) and says the kind wanted (`StartupError`)."""
    if found == kind.encode():
        return
    if len(found) < FILE_HEADER_SIZE or not found.startswith(MAGIC_TEXT) or crc32(found) != RESIDUE:
        raise StorageError(
            f"{path}: the file header is damaged; start once with --reindex-headers to fetch all headers again"
        )
    _, version, magic, network, format_name, size, genesis_hash = _FILE_HEADER.unpack(found[:-CRC_SIZE])
    if version != VERSION:
        raise StartupError(f"{path} has file version {version}; this program knows {VERSION}", ExitStatus.DATADIR)
    names = network.rstrip(b"\0").decode("ascii"), format_name.rstrip(b"\0").decode("ascii")
    raise StartupError(
        f"{path} belongs to network {names[0]} (magic {magic.hex()}, format {names[1]}, {size}-byte headers, "
        f"genesis {genesis_hash[::-1].hex()}), not to {kind.network}; choose another datadir",
        ExitStatus.DATADIR,
    )


def _write_atomically(path: Path, parts: Sequence[bytes]) -> None:
    """The file appears with all of its content on the disk, or not at all."""
    new = path.with_name(path.name + ".new")
    with new.open("wb") as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

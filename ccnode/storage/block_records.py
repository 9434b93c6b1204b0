"""Finding blocks in a stream of records (Core: ``ChainstateManager::LoadExternalBlockFile``).

A block file is a row of records, each the network's magic, a length and a block. It need not be whole: an interrupted
write, zeros that were allocated and never filled, or garbage may stand between the records, and none of that must cost
the blocks behind it. So a reader looks for the magic byte by byte, takes what follows if its length can be that of a
block, and where the next record does not follow directly, only if it parses as one; else it goes on a byte after the
magic.

Since its version 28 Bitcoin Core obfuscates its files so that no virus scanner finds a "virus" that somebody put into
the chain: byte ``i`` of a file is XORed with byte ``i % 8`` of a key, which is in ``xor.dat`` beside the files.
"""

from collections.abc import Iterator
from pathlib import Path
from struct import Struct

from ccnode.errors import DecodeError, StorageError
from ccnode.wire.parsing import parse_block
from ccnode.wire.protocol import BLOCK_HEADER_SIZE

XOR_KEY_SIZE = 8
NO_XOR = bytes(XOR_KEY_SIZE)

FRAME = Struct("<4sI")
"""Before each block: magic, bytes of the block."""

MAX_BLOCK_SIZE = 4_000_000
"""Bytes of the largest block (Core: ``MAX_BLOCK_SERIALIZED_SIZE``)."""

_CHUNK = 1 << 22  # bytes read at a time


def xor(data: bytes, key: bytes, offset: int) -> bytes:
    """``data``, which is at ``offset`` of its file, obfuscated or revealed. Takes 2 ms for a megabyte."""
    if key == NO_XOR:
        return data
    size = len(data)
    start = offset % XOR_KEY_SIZE
    pad = (key * (size // XOR_KEY_SIZE + 2))[start : start + size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(pad, "little")).to_bytes(size, "little")


def read_records(
    path: Path, magic: bytes, key: bytes = NO_XOR, start: int = 0, header_size: int = BLOCK_HEADER_SIZE
) -> Iterator[tuple[int, bytes]]:
    """All blocks of a file from byte ``start`` on, each with the offset of its first byte. Raises StorageError.

    A block whose record is followed by another one is not looked at: it may be anything.
    """
    window = _Window(path, key, start)
    position = start
    try:
        while (position := window.find(magic, position)) >= 0:
            frame = window.read(position, FRAME.size)
            if len(frame) < FRAME.size:
                return
            size = FRAME.unpack(frame)[1]
            begin = position + FRAME.size
            if header_size < size <= MAX_BLOCK_SIZE:
                raw = window.read(begin, size)
                if len(raw) == size and (
                    window.read(begin + size, len(magic)) in (magic, b"") or _parses(raw, header_size)
                ):
                    yield begin, raw
                    position = begin + size
                    continue
            position += 1
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}; check the disk") from error
    finally:
        window.close()


def find_key(path: Path, magic: bytes) -> bytes:
    """The key to read a block file with: none if it begins with the magic, else what ``xor.dat`` beside it holds."""
    try:
        with path.open("rb") as file:
            if file.read(len(magic)) == magic:
                return NO_XOR
        key = path.with_name("xor.dat").read_bytes()
    except FileNotFoundError:
        return NO_XOR
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    return key if len(key) == XOR_KEY_SIZE else NO_XOR


def _parses(raw: bytes, header_size: int) -> bool:
    try:
        return len(parse_block(raw, header_size).raw) == len(raw)
    except DecodeError:
        return False


class _Window:
    """A part of the file in memory, revealed."""

    def __init__(self, path: Path, key: bytes, start: int) -> None:
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        self._key = key
        self._start = start
        self._data = b""

    def close(self) -> None:
        self._file.close()

    def find(self, magic: bytes, position: int) -> int:
        """Offset of the next magic from ``position`` on, -1 if there is none."""
        while True:
            data = self._from(position, len(magic))
            if len(data) < len(magic):
                return -1
            at = self._data.find(magic, position - self._start)
            if at >= 0:
                return self._start + at
            position = self._start + len(self._data) - len(magic) + 1

    def read(self, position: int, size: int) -> bytes:
        """Up to ``size`` bytes, fewer at the end of the file."""
        return self._from(position, size)

    def _from(self, position: int, size: int) -> bytes:
        at = position - self._start
        if at < 0 or at + size > len(self._data):
            self._file.seek(position)
            self._data = xor(self._file.read(max(size, _CHUNK)), self._key, position)
            self._start = position
            at = 0
        return self._data[at : at + size]

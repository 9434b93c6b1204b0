"""The primitive encodings every message is made of (Core: ``serialize.h``, ``streams.h``).

Integers are little-endian; the only big-endian things on the wire are TCP ports and raw IP bytes. A vector is a
CompactSize count followed by its items::

    n < 0xfd            n as one byte
    n < 0x10000         fd + u16
    n < 0x100000000     fe + u32
    otherwise           ff + u64

Two rules protect the reader. A number has one encoding only: a longer form of a small number is an error, otherwise
two different byte strings would mean the same transaction. And nothing is allocated because of a declared count: a
count is first compared with its limit and with the bytes that are really there, which `Reader.count` does in one place.

What this does not do: judge values. A parsed message may still be nonsense.
"""

from __future__ import annotations

from hashlib import sha256
from struct import Struct
from typing import Final

from ccnode.errors import DecodeError

MAX_SIZE: Final = 0x02000000
"""Largest length a CompactSize may declare, 32 MiB (``serialize.h`` MAX_SIZE)."""

HASH_SIZE: Final = 32
"""Bytes of a uint256. On the wire in internal order; people read it reversed."""

U16: Final = Struct("<H")
U32: Final = Struct("<I")
I32: Final = Struct("<i")
U64: Final = Struct("<Q")
I64: Final = Struct("<q")
PORT: Final = Struct(">H")

_FD_U16: Final = Struct("<BH")
_FE_U32: Final = Struct("<BI")
_FF_U64: Final = Struct("<BQ")


class OversizeError(DecodeError):
    """A vector, or a number that stands for work, is larger than its message allows.

    Apart from other decoding errors because Core punishes it: a truncated message is dropped, a list of 1,001
    addresses costs the sender the connection.
    """

    def __init__(self, command: str, count: int, limit: int) -> None:
        super().__init__(f"{command}: {count} where at most {limit} are allowed")
        self.command = command
        self.count = count
        self.limit = limit


def sha256d(data: bytes) -> bytes:
    """SHA-256 of SHA-256, 32 bytes in internal order."""
    return sha256(sha256(data).digest()).digest()


def compact_size(number: int) -> bytes:
    """The shortest CompactSize of ``number`` (0 .. 2**64 - 1)."""
    if number < 0xFD:
        return number.to_bytes(1, "little")
    if number <= 0xFFFF:
        return _FD_U16.pack(0xFD, number)
    if number <= 0xFFFFFFFF:
        return _FE_U32.pack(0xFE, number)
    return _FF_U64.pack(0xFF, number)


def var_bytes(data: bytes) -> bytes:
    """``data`` preceded by its length."""
    return compact_size(len(data)) + data


def hash_vector(hashes: tuple[bytes, ...]) -> bytes:
    """A count and that many 32-byte hashes."""
    return compact_size(len(hashes)) + b"".join(hashes)


class Reader:
    """Reads one payload from front to back. Every method raises `DecodeError` where the bytes run out.

    Bytes left over at the end are no error: a newer peer may append fields we do not know.
    """

    __slots__ = ("_end", "data", "position")

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position
        self._end = len(data)

    @property
    def remaining(self) -> int:
        """Bytes not read yet."""
        return self._end - self.position

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes."""
        start = self.position
        stop = start + size
        if stop > self._end:
            raise DecodeError(f"truncated: {size} bytes expected at offset {start}, {self._end - start} left")
        self.position = stop
        return self.data[start:stop]

    def skip(self, size: int) -> None:
        """Step over ``size`` bytes without copying them."""
        if size > self.remaining:
            raise DecodeError(f"truncated: {size} bytes expected at offset {self.position}, {self.remaining} left")
        self.position += size

    def _number(self, form: Struct) -> int:
        start = self.position
        stop = start + form.size
        if stop > self._end:
            raise DecodeError(f"truncated: {form.size} bytes expected at offset {start}, {self._end - start} left")
        self.position = stop
        value: int = form.unpack_from(self.data, start)[0]
        return value

    def u8(self) -> int:
        start = self.position
        if start >= self._end:
            raise DecodeError(f"truncated: a byte expected at offset {start}")
        self.position = start + 1
        return self.data[start]

    def u16(self) -> int:
        return self._number(U16)

    def u32(self) -> int:
        return self._number(U32)

    def i32(self) -> int:
        return self._number(I32)

    def u64(self) -> int:
        return self._number(U64)

    def i64(self) -> int:
        return self._number(I64)

    def port(self) -> int:
        """A big-endian TCP port."""
        return self._number(PORT)

    def boolean(self) -> bool:
        """One byte; anything but zero is true."""
        return self.u8() != 0

    def hash(self) -> bytes:
        """32 bytes in internal order."""
        return self.take(HASH_SIZE)

    def compact_number(self) -> int:
        """A CompactSize used as a plain number, 0 .. 2**64 - 1 (the services field of ``addrv2``)."""
        first = self.u8()
        if first < 0xFD:
            return first
        if first == 0xFD:
            value, least = self.u16(), 0xFD
        elif first == 0xFE:
            value, least = self.u32(), 0x10000
        else:
            value, least = self.u64(), 0x100000000
        if value < least:
            raise DecodeError(f"non-canonical CompactSize: {value} in {1 + (2 << (first - 0xFD))} bytes")
        return value

    def compact_size(self) -> int:
        """A CompactSize used as a length, at most `MAX_SIZE`."""
        value = self.compact_number()
        if value > MAX_SIZE:
            raise DecodeError(f"length {value} is over the maximum of {MAX_SIZE}")
        return value

    def count(self, item_size: int) -> int:
        """The count of a vector whose items take at least ``item_size`` bytes each.

        A count that the remaining bytes cannot hold is refused, so that a caller may allocate by it.
        """
        number = self.compact_size()
        if number * item_size > self.remaining:
            raise DecodeError(f"truncated: {number} items of {item_size} bytes declared, {self.remaining} bytes left")
        return number

    def limited_count(self, item_size: int, command: str, limit: int) -> int:
        """As `count`; more than ``limit`` items raise `OversizeError`.

        Core reads the whole vector before it counts, so a vector both too long and truncated is merely truncated.
        """
        number = self.count(item_size)
        if number > limit:
            raise OversizeError(command, number, limit)
        return number

    def var_bytes(self, limit: int = MAX_SIZE) -> bytes:
        """A byte string preceded by its length, at most ``limit`` bytes."""
        size = self.compact_size()
        if size > limit:
            raise DecodeError(f"string of {size} bytes, at most {limit} allowed")
        return self.take(size)

    def hashes(self, count: int) -> tuple[bytes, ...]:
        """``count`` hashes of 32 bytes."""
        data = self.take(count * HASH_SIZE)
        return tuple(data[i : i + HASH_SIZE] for i in range(0, len(data), HASH_SIZE))

"""Header formats: how many bytes a header has, what they mean, and which work they prove.

A network names its format; everything above works with raw header bytes and the four columns that the rules need
(version, previous hash, time, bits). Bitcoin's header has 80 bytes and is its own proof of work; another network may
have other sizes and another proof, by subclassing `HeaderFormat`.

Headers arrive two thousand at a time, so the functions here take whole batches. The one big cost is hashing (0.6
microseconds a header); the columns come out of one joined buffer, seen as 32-bit words, with strides (0.1). This asks
two things of a format: its size and the offsets of its integers are multiples of four, and the integers are
little-endian.
"""

import sys
from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from struct import Struct
from typing import NamedTuple

from ccnode.chain.pow import target_of


@dataclass(frozen=True, slots=True)
class Header:
    """One header, taken apart. Hashes are in internal byte order; a format without a merkle root leaves it empty."""

    version: int  # signed 32 bits
    prev: bytes
    merkle_root: bytes
    time: int  # Unix seconds, unsigned 32 bits
    bits: int
    nonce: int
    extra: bytes = b""  # what the format carries beyond Bitcoin's six fields, as on the wire


class Columns(NamedTuple):
    """The fields that the rules look at, one sequence per field, in batch order."""

    versions: list[int]
    prevs: list[bytes]
    times: list[int]
    bits: list[int]


class HeaderFormat(ABC):
    """A header layout with its hash and its proof of work. Instances have no state: they are values of a network."""

    name: str
    size: int  # bytes
    prev_offset = 4
    time_offset: int
    bits_offset: int

    @abstractmethod
    def parse(self, raw: bytes) -> Header:
        """The fields of one header. ``raw`` must have exactly `size` bytes, else ValueError."""

    @abstractmethod
    def serialize(self, header: Header) -> bytes:
        """The inverse of `parse`."""

    @abstractmethod
    def check_pow(
        self, headers: Sequence[bytes], hashes: Sequence[bytes], bits: Sequence[int], pow_limit: int
    ) -> int | None:
        """Index of the first header that does not prove the work its own bits ask for; None if all do."""

    def hash(self, raw: bytes) -> bytes:
        """The block hash in internal byte order: double SHA-256 of all header bytes."""
        return sha256(sha256(raw).digest()).digest()

    def hashes(self, headers: Sequence[bytes]) -> list[bytes]:
        """`hash` of every header."""
        digest = sha256
        return [digest(digest(raw).digest()).digest() for raw in headers]

    def columns(self, headers: Sequence[bytes]) -> Columns:
        """The columns of a batch of headers of `size` bytes each."""
        first, end = self.prev_offset, self.prev_offset + 32
        return self._columns(b"".join(headers), [raw[first:end] for raw in headers])

    def unpack_columns(self, joined: bytes) -> Columns:
        """The columns of headers that lie back to back. ValueError for a length that is no multiple of `size`."""
        if len(joined) % self.size:
            raise ValueError(f"{len(joined)} bytes are no whole number of {self.size}-byte headers")
        return self._columns(joined, [joined[i : i + 32] for i in range(self.prev_offset, len(joined), self.size)])

    def _columns(self, joined: bytes, prevs: list[bytes]) -> Columns:
        words = array("I", joined)
        if sys.byteorder == "big":
            words.byteswap()
        step = self.size // 4
        return Columns(
            versions=array("i", words[::step].tobytes()).tolist(),
            prevs=prevs,
            times=words[self.time_offset // 4 :: step].tolist(),
            bits=words[self.bits_offset // 4 :: step].tolist(),
        )


class BitcoinFormat(HeaderFormat):
    """Bitcoin's 80 bytes: version, previous hash, merkle root, time, bits, nonce; the hash itself is the proof."""

    name = "bitcoin"
    size = 80
    time_offset = 68
    bits_offset = 72

    _layout = Struct("<i32s32sIII")

    def parse(self, raw: bytes) -> Header:
        if len(raw) != self.size:
            raise ValueError(f"a header has {self.size} bytes, not {len(raw)}")
        return Header(*self._layout.unpack(raw))

    def serialize(self, header: Header) -> bytes:
        return self._layout.pack(
            header.version, header.prev, header.merkle_root, header.time, header.bits, header.nonce
        )

    def check_pow(
        self, headers: Sequence[bytes], hashes: Sequence[bytes], bits: Sequence[int], pow_limit: int
    ) -> int | None:
        highest = {b: _highest_hash(b, pow_limit) for b in set(bits)}
        if len(highest) == 1 and _clearly_below(hashes, highest[bits[0]]):
            return None
        # Reversed hashes compare like the numbers they stand for, at half the cost of making the numbers.
        return next((i for i, h in enumerate(hashes) if h[::-1] > highest[bits[i]]), None)


def _clearly_below(hashes: Sequence[bytes], highest: bytes) -> bool:
    """Whether all hashes are lower than ``highest`` (big-endian) in the first 64 bits that are not zero in all of them.

    False may also mean that it is not clear. 0.04 microseconds a hash, a third of comparing them one by one.
    """
    words = array("Q", b"".join(hashes))
    if sys.byteorder == "big":
        words.byteswap()
    for word in range(3, -1, -1):  # a hash is four little-endian words, the last the most significant
        limit = int.from_bytes(highest[24 - 8 * word : 32 - 8 * word], "big")
        greatest = max(words[word::4])
        if greatest or limit:
            return greatest < limit
    return False


def _highest_hash(bits: int, pow_limit: int) -> bytes:
    """The target as 32 big-endian bytes; empty, which every hash exceeds, where the bits are no target."""
    target = target_of(bits, pow_limit)
    return b"" if target is None else target.to_bytes(32, "big")


BITCOIN_FORMAT = BitcoinFormat()

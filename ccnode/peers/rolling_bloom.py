"""A set that remembers the last so many things in a fixed number of bytes, roughly (Core: ``CRollingBloomFilter``).

Two Bloom filters take turns: things enter the younger one, and when that has had its number, the older one is emptied
and becomes the younger. So the last `CAPACITY` things are always remembered, at most twice as many, and one question
in a thousand about something else is answered "yes". The hashes are keyed, so that nobody can choose things that
collide.
"""

from hashlib import blake2b
from struct import Struct
from typing import Final

from ccnode.rng import Rng

CAPACITY: Final = 5000
"""Things remembered for certain (Core: ``CRollingBloomFilter(5000, 0.001)`` of addresses)."""

_BYTES: Final = 10_240
"""Of one filter: 16 bits for each of its things, which with `_POSITIONS` makes one error in 2,000."""

_POSITIONS: Final = Struct("<11I")


class RollingBloom:
    """Remembers byte strings; 20 kB once there is something in it."""

    __slots__ = ("_count", "_key", "_older", "_younger")

    def __init__(self, rng: Rng) -> None:
        self._key = rng.getrandbits(128).to_bytes(16, "little")
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._younger: bytearray | None = None
        self._older: bytearray | None = None
        self._count = 0

    def add(self, thing: bytes) -> bool:
        """Remember ``thing``; whether it was new."""
        positions = self._positions(thing)
        if self._younger is not None and _has(self._younger, positions):
            return False
        is_new = self._older is None or not _has(self._older, positions)
        if self._younger is None or self._count == CAPACITY:
            self._older, self._younger = self._younger, bytearray(_BYTES)
            self._count = 0
        self._count += 1
        for position in positions:
            self._younger[position >> 3] |= 1 << (position & 7)
        return is_new

    def __contains__(self, thing: bytes) -> bool:
        if self._younger is None:
            return False
        positions = self._positions(thing)
        return _has(self._younger, positions) or (self._older is not None and _has(self._older, positions))

    def _positions(self, thing: bytes) -> list[int]:
        digest = blake2b(thing, digest_size=_POSITIONS.size, key=self._key).digest()
        return [number % (8 * _BYTES) for number in _POSITIONS.unpack(digest)]


def _has(filter_bytes: bytearray, positions: list[int]) -> bool:
    for position in positions:  # noqa: SIM110  # half the time of all() with a generator
        if not filter_bytes[position >> 3] >> (position & 7) & 1:
            return False
    return True

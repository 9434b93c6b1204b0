"""How often each of very many things was counted, in memory that does not grow.

There is a number for each of `SLOTS` slots, and whatever falls into the same slot, by its hash, is counted together. So
a count may be too great and is never too small. Nobody can aim at a slot from outside, for Python's hash of bytes is
keyed anew in every process; what chance does is small as long as the limit that a count is compared with is well above
``things / SLOTS``. With 200,000 hosts, that some host finds its sixteen places taken by strangers has odds of one in
10**10. A dictionary of the same took 100 bytes an address.
"""

from array import array
from typing import Final

SLOTS: Final = 1 << 18
"""Half a megabyte; a power of two."""


class Tally:
    """Counts, up to 65,535 each."""

    def __init__(self, slots: int = SLOTS) -> None:
        """:param slots: a power of two."""
        self._counts = array("H", bytes(slots * array("H").itemsize))
        self._mask = slots - 1

    def __getitem__(self, thing: bytes) -> int:
        """How often it was counted, or more."""
        return self._counts[hash(thing) & self._mask]

    def add(self, thing: bytes) -> None:
        """Count it once more. OverflowError past the greatest count."""
        self._counts[hash(thing) & self._mask] += 1

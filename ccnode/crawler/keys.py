"""The keys of a round's addresses, numbered in the order of arrival.

The first `FAST` of them, more than an honest network has ever had, are in a list and a dictionary: that is the
quickest, and takes 150 bytes an address. What is invented on top of them lies one behind the other in one piece of
memory, and is found through *indexes*: arrays of numbers with open addressing by the hash of the key, which nobody can
steer from outside, at most half full. That takes 40 bytes and a microsecond. An index never grows: there is a further
one when it is full, so nothing is ever hashed again, and no pause is long.
"""

from array import array
from collections.abc import Callable
from typing import Final

FAST: Final = (1 << 18) * 2 // 3
"""Keys in the dictionary: as many as fit into its table of 2**18 slots."""

INDEX: Final = 1 << 20
"""Keys in an index, which has twice as many slots: 8 MB."""


class KeyTable:
    """Keys by row, and rows by key. Keys are only ever added."""

    def __init__(self, fast: int = FAST, index: int = INDEX) -> None:
        """
        :param fast: keys in the dictionary.
        :param index: keys in an index, a power of two.
        """
        self._fast = fast
        self._keys: list[bytes] = []
        self._packed = PackedKeys(index)
        self._rows = _Rows(self._find_packed)
        self.find: Callable[[bytes], int | None] = self._rows.__getitem__
        """The row of a key. Without a function around it: it is called for every entry of every message."""

    def __len__(self) -> int:
        return len(self._keys) + len(self._packed)

    def __getitem__(self, row: int) -> bytes:
        return self._keys[row] if row < self._fast else self._packed[row - self._fast]

    def append(self, key: bytes) -> int:
        """Add a key that has no row yet; its row."""
        row = len(self._keys)
        if row == self._fast:
            return row + self._packed.append(key)
        self._rows[key] = row
        self._keys.append(key)
        return row

    def _find_packed(self, key: bytes) -> int | None:
        number = self._packed.find(key)
        return None if number is None else self._fast + number


class PackedKeys:
    """Keys by number and numbers by key, in little memory."""

    def __init__(self, index: int) -> None:
        self._index = index
        self._mask = 2 * index - 1
        self._bytes = bytearray()
        self._ends = array("I", [0])
        self._indexes: list[array[int]] = []

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:
        return bytes(self._bytes[self._ends[number] : self._ends[number + 1]])

    def append(self, key: bytes) -> int:
        """Add a key that has no number yet; its number."""
        number = len(self._ends) - 1
        self._bytes += key
        self._ends.append(len(self._bytes))
        if number % self._index == 0:
            self._indexes.append(array("I", bytes(2 * self._index * self._ends.itemsize)))
        index, slot = self._indexes[-1], hash(key) & self._mask
        while index[slot]:
            slot = (slot + 1) & self._mask
        index[slot] = number + 1
        return number

    def find(self, key: bytes) -> int | None:
        """The number of a key. A slot has one more than that, as an empty one has 0."""
        for index in self._indexes:
            slot = hash(key) & self._mask
            while after := index[slot]:
                if self._bytes[self._ends[after - 1] : self._ends[after]] == key:
                    return after - 1
                slot = (slot + 1) & self._mask
        return None


class _Rows(dict[bytes, "int | None"]):
    """A dictionary that asks elsewhere for what it has not."""

    def __init__(self, otherwise: Callable[[bytes], int | None]) -> None:
        super().__init__()
        self._otherwise = otherwise

    def __missing__(self, key: bytes) -> int | None:
        return self._otherwise(key)

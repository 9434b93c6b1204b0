"""The keys of a round's addresses, numbered in the order of arrival.

All keys lie one behind the other in one piece of memory. A dictionary finds the first `FAST` of them, more than an
honest network has ever had; an object and a dictionary's entry cost 130 bytes an address. What is invented on top of
them is found through *indexes*: arrays of row numbers with open addressing by the hash of the key, which nobody can
steer from outside, at most half full. That takes a dozen bytes and a microsecond. An index never grows: there is a
further one when it is full, so nothing is ever hashed again, and no pause is long.
"""

from array import array
from collections.abc import Callable
from typing import Final

FAST: Final = (1 << 18) * 2 // 3
"""Keys in the dictionary: as many as fit into its table of 2**18 slots."""

INDEX: Final = 1 << 20
"""Keys in an index, which has twice as many slots: 8 MB."""
_SLOT_SIZE: Final = array("I").itemsize


class KeyTable:
    """Keys by row, and rows by key. Keys are only ever added."""

    def __init__(self, fast: int = FAST, index: int = INDEX) -> None:
        """
        :param fast: keys in the dictionary, at least one.
        :param index: keys in an index, a power of two.
        """
        self._fast_size = fast
        self._index_size = index
        self._mask = 2 * index - 1
        self._bytes = bytearray()
        self._ends = array("I", [0])
        self._fast = _Fast(self._search)
        self._indexes: list[array[int]] = []
        self.find: Callable[[bytes], int | None] = self._fast.__getitem__
        """The row of a key. Without a function around it: it is called for every entry of every message."""

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> bytes:
        return bytes(self._bytes[self._ends[row] : self._ends[row + 1]])

    def append(self, key: bytes) -> None:
        """The next row has ``key``, which none has yet."""
        row = len(self)
        self._bytes += key
        self._ends.append(len(self._bytes))
        if row < self._fast_size:
            self._fast[key] = row
            return
        if (row - self._fast_size) % self._index_size == 0:
            self._indexes.append(array("I", bytes(_SLOT_SIZE * 2 * self._index_size)))
        index, slot = self._indexes[-1], hash(key) & self._mask
        while index[slot]:
            slot = (slot + 1) & self._mask
        index[slot] = row

    def _search(self, key: bytes) -> int | None:
        """The row of a key that is not in the dictionary. An empty slot is 0, the row of a key that is."""
        for index in self._indexes:
            slot = hash(key) & self._mask
            while row := index[slot]:
                if self._bytes[self._ends[row] : self._ends[row + 1]] == key:
                    return row
                slot = (slot + 1) & self._mask
        return None


class _Fast(dict[bytes, "int | None"]):
    """A dictionary that asks elsewhere for what it has not."""

    def __init__(self, otherwise: Callable[[bytes], int | None]) -> None:
        super().__init__()
        self._otherwise = otherwise

    def __missing__(self, key: bytes) -> int | None:
        return self._otherwise(key)

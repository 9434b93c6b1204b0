"""Undo data: the coins that a block spent, from which they come back when the block is disconnected.

One list per transaction after the coinbase, in block order, and in it one coin per input, in input order, coins created
in the same block included (Core: ``CBlockUndo``, in another encoding)::

    number of transactions          4 bytes, little endian
    per transaction, coins          4 bytes each
    per coin, its length            2 bytes each: a spendable script has at most 10,000 bytes
    the coins, one after another

Integrity is the file's business: `ccnode.storage.block_files` keeps a checksum with each record.
"""

import sys
from array import array
from collections.abc import Sequence
from itertools import chain

from ccnode.errors import StorageError


def encode_undo(spent: Sequence[Sequence[bytes]]) -> bytes:
    """The undo data of a block; ``spent`` has the coins of each transaction after the coinbase."""
    coins = list(chain.from_iterable(spent))
    counts = array("I", [len(spent), *map(len, spent)])
    lengths = array("H", map(len, coins))
    return b"".join((_little_endian(counts), _little_endian(lengths), *coins))


def decode_undo(undo: bytes) -> list[list[bytes]]:
    """What `encode_undo` was given. Raises StorageError where that cannot be."""
    number = int.from_bytes(undo[:4], "little")
    start = 4 + 4 * number
    counts = _column("I", undo, 4, start)
    end = start + 2 * sum(counts)
    lengths = _column("H", undo, start, end)
    if end + sum(lengths) != len(undo):
        raise StorageError("undo data is damaged; start once with --reindex")
    spent, at, position = [], 0, end
    for count in counts:
        coins = []
        for length in lengths[at : at + count]:
            coins.append(undo[position : position + length])
            position += length
        spent.append(coins)
        at += count
    return spent


def _column(code: str, data: bytes, start: int, end: int) -> "array[int]":
    if end > len(data):
        raise StorageError("undo data is damaged; start once with --reindex")
    column = array(code, data[start:end])
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _little_endian(column: "array[int]") -> bytes:
    if sys.byteorder == "big":
        column.byteswap()
    return column.tobytes()

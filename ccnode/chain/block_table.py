"""What is known of each block beyond its header: where its data is, and how far it was checked (Core:
``CBlockIndex``).

Entries are those of `ccnode.chain.index.HeaderIndex`; the table keeps 33 bytes for each in arrays, a million in 33 MB,
and grows only as far as the last block that was stored, so without blocks it is empty.

A block's data may come before its parent's. `BlockTable.chain_tx`, the number of transactions from the genesis to
the block, is 0 until the data of all its ancestors has been here: such a block cannot be connected yet. It stays when
the data is pruned; `BlockTable.have_data` does not.

Of two blocks with equal work the one that could be connected first wins, so blocks are numbered in the order in which
their data and that of all their ancestors was complete (`BlockTable.sequence`); a person's preference is a negative
number. A record on disk keeps the order; of a preference it keeps no more than that the block came before all others.

Changes gather in `BlockTable.dirty` until a flush takes them.
"""

from array import array
from collections.abc import Callable, Collection
from struct import Struct
from typing import Final

from ccnode.chain.ports import FilePosition
from ccnode.errors import StorageError

_HAVE_DATA: Final = 1
_HAVE_UNDO: Final = 2
_SCRIPTS_VALID: Final = 4

_NO_FILE: Final = 0xFFFFFFFF
_RECORD: Final = Struct("<BIIIIQQ")  # flags, transactions, file, data offset, undo offset, chain_tx, sequence
_GROWTH: Final = 4096  # entries


class BlockTable:
    """State per entry. An entry that the table has never heard of has no data and counts 0 everywhere."""

    def __init__(self) -> None:
        self.dirty: set[int] = set()
        """Entries that have changed since `take_records`."""
        self._next_sequence = 1
        self._flags = bytearray()
        self._tx_counts = array("I")
        self._files = array("I")
        self._offsets = array("I")
        self._undo_offsets = array("I")
        self._chain_tx = array("Q")
        self._sequences = array("q")

    def __len__(self) -> int:
        """Above the last entry that the table knows anything of."""
        return len(self._flags)

    def have_data(self, n: int) -> bool:
        """Whether the block can be read."""
        return self._has(n, _HAVE_DATA)

    def have_undo(self, n: int) -> bool:
        """Whether its undo data can be read: it was connected once."""
        return self._has(n, _HAVE_UNDO)

    def scripts_valid(self, n: int) -> bool:
        """Whether the block was found valid to the last rule (Core: ``BLOCK_VALID_SCRIPTS``)."""
        return self._has(n, _SCRIPTS_VALID)

    def tx_count(self, n: int) -> int:
        """Transactions in the block; 0 if its data was never here."""
        return self._tx_counts[n] if n < len(self._flags) else 0

    def chain_tx(self, n: int) -> int:
        """Transactions up to and including the block; 0 if the data of some ancestor was never here."""
        return self._chain_tx[n] if n < len(self._flags) else 0

    def sequence(self, n: int) -> int:
        """Its number in the order of linking, from 1 on; 0 before `link`; negative where a person prefers the block."""
        return self._sequences[n] if n < len(self._flags) else 0

    def data_position(self, n: int) -> FilePosition | None:
        """Where the block is; None if its data is not there."""
        return FilePosition(self._files[n], self._offsets[n]) if self.have_data(n) else None

    def undo_position(self, n: int) -> FilePosition | None:
        """Where its undo data is: in the undo file with the number of its block file; None if there is none."""
        return FilePosition(self._files[n], self._undo_offsets[n]) if self.have_undo(n) else None

    def add_data(self, n: int, position: FilePosition, tx_count: int) -> None:
        """The block was stored."""
        self._grow(n)
        self._flags[n] |= _HAVE_DATA
        self._files[n], self._offsets[n] = position.file, position.offset
        self._tx_counts[n] = tx_count
        self.dirty.add(n)

    def add_undo(self, n: int, offset: int) -> None:
        """Its undo data was stored, at ``offset`` of its undo file."""
        self._flags[n] |= _HAVE_UNDO
        self._undo_offsets[n] = offset
        self.dirty.add(n)

    def link(self, n: int, parent_chain_tx: int) -> None:
        """All ancestors' data has been here, with ``parent_chain_tx`` transactions; 0 for the genesis block."""
        self._chain_tx[n] = parent_chain_tx + self._tx_counts[n]
        if not self._sequences[n]:
            self._sequences[n] = self._next_sequence
            self._next_sequence += 1
        self.dirty.add(n)

    def set_scripts_valid(self, n: int, valid: bool = True) -> None:
        """The block was found valid, or that is to be found out again."""
        self._grow(n)
        self._flags[n] = self._flags[n] | _SCRIPTS_VALID if valid else self._flags[n] & ~_SCRIPTS_VALID
        self.dirty.add(n)

    def set_sequence(self, n: int, sequence: int) -> None:
        """Let the block come before or after others of equal work."""
        self._grow(n)
        self._sequences[n] = sequence
        self.dirty.add(n)

    def forget_files(self, numbers: Collection[int]) -> list[int]:
        """Block files are about to be deleted; returns the entries whose data goes with them."""
        gone = []
        for number in numbers:
            n = -1
            while (n := self._next_in_file(number, n + 1)) >= 0:
                self._flags[n] &= ~(_HAVE_DATA | _HAVE_UNDO)
                self._files[n] = _NO_FILE
                gone.append(n)
        self.dirty.update(gone)
        return gone

    def take_records(self, hash_of: Callable[[int], bytes]) -> dict[bytes, bytes]:
        """The records of all dirty entries by block hash, for a flush; they are clean from now on."""
        dirty, self.dirty = self.dirty, set()
        return {hash_of(n): self._encode(n) for n in dirty}

    def load(self, n: int, record: bytes) -> None:
        """Take an entry's state from its record. Raises StorageError for one that cannot be a record."""
        if len(record) != _RECORD.size:
            raise StorageError("a record of the block table is damaged; start once with --reindex")
        self._grow(n)
        (
            self._flags[n],
            self._tx_counts[n],
            self._files[n],
            self._offsets[n],
            self._undo_offsets[n],
            self._chain_tx[n],
            self._sequences[n],
        ) = _RECORD.unpack(record)
        self._next_sequence = max(self._next_sequence, self._sequences[n] + 1)

    def _encode(self, n: int) -> bytes:
        return _RECORD.pack(
            self._flags[n],
            self._tx_counts[n],
            self._files[n],
            self._offsets[n],
            self._undo_offsets[n],
            self._chain_tx[n],
            max(0, self._sequences[n]),
        )

    def _has(self, n: int, flag: int) -> bool:
        return n < len(self._flags) and self._flags[n] & flag != 0

    def _next_in_file(self, number: int, start: int) -> int:
        try:
            return self._files.index(number, start)
        except ValueError:
            return -1

    def _grow(self, n: int) -> None:
        missing = n + 1 - len(self._flags)
        if missing <= 0:
            return
        missing += _GROWTH
        self._flags.extend(bytes(missing))
        for column in self._tx_counts, self._offsets, self._undo_offsets, self._chain_tx, self._sequences:
            column.frombytes(bytes(missing * column.itemsize))
        self._files.extend(array("I", [_NO_FILE]) * missing)

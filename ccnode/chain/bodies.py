"""The bodies of blocks, and their undo data: in files, behind the worker, and the latest in memory.

A block that came in is connected soon, so it is kept as it was taken apart, up to `KEPT_BYTES`; any other is read again
from its file, and compared with its header there. `Bodies.prefetch` has that done for the next block while the current
one is being verified.

Small blocks and their undo data are not handed to the worker one by one; they gather in memory, until there are many or
`Bodies.wait_write_out` is called.
"""

from collections import OrderedDict
from typing import Final

from ccnode.chain.block_rules import is_mutated
from ccnode.chain.block_table import BlockTable
from ccnode.chain.index import HeaderIndex
from ccnode.chain.params import ChainParams
from ccnode.chain.ports import SMALL_BLOCK, BlockStore, FilePosition, Task, Worker
from ccnode.chain.preparation import PreparedBlock, reopen_block
from ccnode.chain.undo import decode_undo, encode_undo
from ccnode.errors import DecodeError, StorageError

KEPT_BYTES: Final = 8_000_000
"""Serialized bytes of blocks kept in memory. Taken apart they are five to eight times that."""


class Bodies:
    """What is stored of the blocks of one index."""

    def __init__(
        self, params: ChainParams, index: HeaderIndex, table: BlockTable, files: BlockStore, worker: Worker
    ) -> None:
        self._params = params
        self._index = index
        self._table = table
        self._files = files
        self._worker = worker
        self._kept: OrderedDict[int, PreparedBlock] = OrderedDict()
        self._kept_bytes = 0
        self._coming: dict[int, Task[PreparedBlock]] = {}

    def have(self, n: int) -> bool:
        """Whether the block of entry ``n`` is stored."""
        return self._table.have_data(n)

    def wait_append(self, n: int, prepared: PreparedBlock, position: FilePosition | None = None) -> None:
        """Store the block of entry ``n``; or note that it is stored at ``position``."""
        block = prepared.block
        height, time = self._index.height(n), self._index.time(n)
        if position is None:
            if len(block.raw) < SMALL_BLOCK:
                position = self._files.gather(block.raw, height, time)
            if position is None:
                position = self._worker.wait_run(self._files.append, block.raw, height, time)
        else:
            self._worker.wait_run(self._files.adopt, position, len(block.raw), height, time)
        self._table.add_data(n, position, len(block))
        self._keep(n, prepared)

    def wait_block(self, n: int) -> PreparedBlock:
        """The block of entry ``n``, whose data must be there. StorageError if the file has another or none."""
        coming = self._coming.pop(n, None)
        if coming is not None:
            return coming.wait()
        kept = self._kept.get(n)
        return kept if kept is not None else self._worker.wait_run(self._read, *self._wanted(n))

    def prefetch(self, n: int) -> None:
        """Have the block of entry ``n`` read, if it must be: it will be needed next."""
        if n not in self._kept and n not in self._coming and self._table.have_data(n):
            self._coming.clear()
            self._coming[n] = self._worker.start(self._read, *self._wanted(n))

    def forget(self, n: int) -> None:
        """The block of entry ``n`` need not be kept: it was connected."""
        prepared = self._kept.pop(n, None)
        if prepared is not None:
            self._kept_bytes -= len(prepared.block.raw)

    def start_undo(self, n: int, spent: list[list[bytes]]) -> Task[FilePosition] | None:
        """Begin to store the coins that the block of entry ``n`` spent; None if they are stored, or soon done with."""
        if self._table.have_undo(n) or self._is_small(n):
            return None
        position, block_hash = self._place(n)
        return self._worker.start(_append_undo, self._files, position.file, block_hash, spent)

    def wait_undo_stored(self, n: int, spent: list[list[bytes]], undo: Task[FilePosition] | None) -> None:
        """Have the undo data of entry ``n`` stored; ``undo`` is what `start_undo` gave."""
        if self._table.have_undo(n):
            return
        if undo is not None:
            stored = undo.wait()
        else:
            position, block_hash = self._place(n)
            record = position.file, block_hash, encode_undo(spent)
            stored = self._files.gather_undo(*record) or self._worker.wait_run(self._files.append_undo, *record)
        self._table.add_undo(n, stored.offset)

    @property
    def gathered(self) -> bool:
        """Whether something is stored in memory only."""
        return self._files.has_gathered

    def wait_write_out(self) -> None:
        """Have it written to the files."""
        self._worker.wait_run(self._files.write_out)

    def wait_undo(self, n: int) -> list[list[bytes]]:
        """The coins that the block of entry ``n`` spent. StorageError if they cannot be read."""
        block_hash, position = self._index.hash(n), self._table.undo_position(n)
        if position is None:
            raise StorageError(f"there are no undo data of block {block_hash[::-1].hex()}; start once with --reindex")
        return self._worker.wait_run(_read_undo, self._files, position, block_hash)

    def _keep(self, n: int, prepared: PreparedBlock) -> None:
        self.forget(n)  # from before it was pruned
        self._kept[n] = prepared
        self._kept_bytes += len(prepared.block.raw)
        while self._kept_bytes > KEPT_BYTES and len(self._kept) > 1:
            _n, oldest = self._kept.popitem(last=False)
            self._kept_bytes -= len(oldest.block.raw)

    def _is_small(self, n: int) -> bool:
        kept = self._kept.get(n)
        return kept is not None and len(kept.block.raw) < SMALL_BLOCK

    def _place(self, n: int) -> tuple[FilePosition, bytes]:
        block_hash, position = self._index.hash(n), self._table.data_position(n)
        if position is None:
            raise StorageError(f"block {block_hash[::-1].hex()} is not stored; start once with --reindex")
        return position, block_hash

    def _wanted(self, n: int) -> tuple[FilePosition, bytes, bool]:
        return *self._place(n), self._index.height(n) >= self._params.soft_forks.segwit

    def _read(self, position: FilePosition, block_hash: bytes, segwit: bool) -> PreparedBlock:
        """Runs on the worker. A witness that changed in the file must not pass for an invalid block either."""
        raw = self._files.read(position)
        name = block_hash[::-1].hex()
        try:
            prepared = reopen_block(raw, self._params)
        except DecodeError as error:
            raise StorageError(f"block {name} is damaged in its file ({error}); start once with --reindex") from error
        if prepared.block.hash != block_hash or is_mutated(prepared.block, check_witness=segwit):
            raise StorageError(f"block {name} is damaged in its file; start once with --reindex")
        return prepared


def _append_undo(files: BlockStore, file: int, block_hash: bytes, spent: list[list[bytes]]) -> FilePosition:
    return files.append_undo(file, block_hash, encode_undo(spent))


def _read_undo(files: BlockStore, position: FilePosition, block_hash: bytes) -> list[list[bytes]]:
    return decode_undo(files.read_undo(position, block_hash))

"""Stored blocks for those who serve and show them, read on a thread of their own.

What may be gone by the time it is read, because the node prunes, is None; anything else that cannot be read is a fault
of the store. That it is the right block is told by its header; what may have happened to the rest, whoever needs to
know finds out (as in Core, which serves the bytes as they are).
"""

from ccnode.chain.block_table import BlockTable
from ccnode.chain.formats import HeaderFormat
from ccnode.chain.headers import HeaderChain
from ccnode.chain.ports import BlockStore, FilePosition, Worker
from ccnode.chain.undo import decode_undo
from ccnode.errors import StorageError


class BlockReader:
    """A `ccnode.sync.serve_blocks.StoredBlocks`, and more of the kind."""

    def __init__(self, chain: HeaderChain, table: BlockTable, files: BlockStore, worker: Worker) -> None:
        self._index = chain.index
        self._format = chain.format
        self._table = table
        self._files = files
        self._worker = worker

    def have_data(self, entry: int) -> bool:
        """Whether the block is stored."""
        return self._table.have_data(entry)

    def wait_read(self, entry: int) -> bytes | None:
        """The serialized block; None if it is not stored, or not any more."""
        position = self._table.data_position(entry)
        if position is None:
            return None
        try:
            return self._worker.wait_run(_read, self._files, position, self._index.hash(entry), self._format)
        except StorageError:
            if self._table.have_data(entry):
                raise
            return None

    def wait_read_undo(self, entry: int) -> list[list[bytes]] | None:
        """The coins that each of its transactions after the coinbase spent; None as in `wait_read`."""
        position = self._table.undo_position(entry)
        if position is None:
            return None
        try:
            return self._worker.wait_run(_read_undo, self._files, position, self._index.hash(entry))
        except StorageError:
            if self._table.have_undo(entry):
                raise
            return None


def _read(files: BlockStore, position: FilePosition, block_hash: bytes, form: HeaderFormat) -> bytes:
    raw = files.read(position)
    if form.hash(raw[: form.size]) != block_hash:
        raise StorageError(f"block {block_hash[::-1].hex()} is damaged in its file; start once with --reindex")
    return raw


def _read_undo(files: BlockStore, position: FilePosition, block_hash: bytes) -> list[list[bytes]]:
    return decode_undo(files.read_undo(position, block_hash))

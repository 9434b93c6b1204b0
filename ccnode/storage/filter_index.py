"""Compact block filters on disk: ``indexes/blockfilter/basic/`` in the data directory (Core: ``blockfilterindex.cpp``).

The filters themselves stand one after another in ``filters.dat``, and a key-value store says where:

======  =================  ==========================================================
key     followed by        value
======  =================  ==========================================================
``b``   a block's hash     hash of the filter, filter header, offset and size
``B``                      hash of the last block that was indexed
``E``                      where in ``filters.dat`` the next filter goes
``N``                      the network's magic and this layout's version
======  =================  ==========================================================

A filter is a function of the block and what it spent, and its header of that and the parent's. So nothing is taken back
when the chain is reorganised: a stale block keeps its filter, and its replacement gets one beside it.

`FilterIndex.append` forces the filters onto the disk before the store refers to them; what a crash left behind the end
that the store knows is written over. The hash of a filter is compared whenever it is read.

Everything here blocks; it belongs on a worker.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from ccnode.chain.block_filter import GENESIS_PREVIOUS, filter_hash, filter_header
from ccnode.errors import ExitStatus, StartupError, StorageError
from ccnode.storage.key_value import KeyValueStore

LAYOUT_VERSION = 1

FILTERS_FILE = "filters.dat"

_RECORD = Struct("<32s32sQI")
_END = Struct("<Q")
_BLOCK, _BEST, _END_KEY, _NETWORK = b"b", b"B", b"E", b"N"

_fdatasync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync


@dataclass(frozen=True, slots=True)
class NewFilter:
    """A filter to be added. Hashes are block hashes in internal order."""

    block_hash: bytes
    parent: bytes | None
    """None for the genesis block."""
    encoded: bytes


@dataclass(frozen=True, slots=True)
class FilterRecord:
    """What the index knows of a block's filter."""

    hash: bytes
    header: bytes
    offset: int
    size: int


class FilterIndex:
    """The filters of one network, used by one thread at a time."""

    def __init__(self, directory: Path, store: KeyValueStore, magic: bytes) -> None:
        """Open the index, or begin one. ``store`` becomes its own. StartupError if it cannot be used."""
        self._store = store
        self._path = directory / FILTERS_FILE
        self._check_network(magic)
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StartupError(
                f"cannot use {self._path}: {error.strerror}; check its owner and permissions", ExitStatus.DATADIR
            ) from error
        end = store.get_many([_END_KEY]).get(_END_KEY)
        self._end: int = _END.unpack(end)[0] if end else 0
        if os.fstat(self._fd).st_size < self._end:
            os.close(self._fd)
            raise StartupError(self._damage(), ExitStatus.DAMAGED)

    def best_block(self) -> bytes | None:
        """Hash of the last block that was indexed: so are its ancestors. None for a new index."""
        return self._store.get_many([_BEST]).get(_BEST)

    def records(self, hashes: Sequence[bytes]) -> dict[bytes, FilterRecord]:
        """What is known of these blocks, by hash; those without a filter are left out."""
        found = self._store.get_many([_BLOCK + block_hash for block_hash in hashes])
        return {key[1:]: FilterRecord(*_RECORD.unpack(value)) for key, value in found.items()}

    def filters(self, hashes: Sequence[bytes]) -> list[bytes] | None:
        """The encoded filters of these blocks; None if one lacks. StorageError if a filter is damaged."""
        records = self.records(hashes)
        if len(records) < len(set(hashes)):
            return None
        return [self._read(records[block_hash]) for block_hash in hashes]

    def append(self, filters: Sequence[NewFilter], best_block: bytes) -> None:
        """Add filters, parents before children; afterwards ``best_block`` and its ancestors are indexed.

        StorageError if that fails: then the index is as it was.
        """
        parents = {new.parent for new in filters if new.parent is not None}
        headers = {block_hash: record.header for block_hash, record in self.records(sorted(parents)).items()}
        puts: list[tuple[bytes, bytes]] = []
        end = self._end
        for new in filters:
            hash_of_filter = filter_hash(new.encoded)
            previous = GENESIS_PREVIOUS if new.parent is None else headers[new.parent]
            headers[new.block_hash] = filter_header(hash_of_filter, previous)
            record = _RECORD.pack(hash_of_filter, headers[new.block_hash], end, len(new.encoded))
            puts.append((_BLOCK + new.block_hash, record))
            end += len(new.encoded)
        self._write(b"".join([new.encoded for new in filters]))
        self._store.write_batch([*puts, (_BEST, best_block), (_END_KEY, _END.pack(end))])
        self._end = end

    def close(self) -> None:
        """Close file and store."""
        os.close(self._fd)
        self._store.close()

    def _check_network(self, magic: bytes) -> None:
        kind = magic + bytes([LAYOUT_VERSION])
        found = self._store.get_many([_NETWORK]).get(_NETWORK)
        if found is None:
            self._store.write_batch([(_NETWORK, kind)])
        elif found != kind:
            raise StartupError(
                f"{self._path.parent} belongs to another network or version; delete it, and it is built anew",
                ExitStatus.DATADIR,
            )

    def _read(self, record: FilterRecord) -> bytes:
        try:
            encoded = os.pread(self._fd, record.size, record.offset)
        except OSError as error:
            raise StorageError(f"cannot read {self._path}: {error.strerror}") from error
        if filter_hash(encoded) != record.hash:
            raise StorageError(self._damage())
        return encoded

    def _write(self, data: bytes) -> None:
        view, offset = memoryview(data), self._end
        try:
            while view:
                count = os.pwrite(self._fd, view, offset)
                view, offset = view[count:], offset + count
            _fdatasync(self._fd)
        except OSError as error:
            raise StorageError(
                f"cannot write to {self._path}: {error.strerror}; free space, then start again"
            ) from error

    def _damage(self) -> str:
        return f"{self._path} is damaged; delete {self._path.parent}, and the index is built anew"

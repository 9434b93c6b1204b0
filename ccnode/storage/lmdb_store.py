"""A `ccnode.storage.key_value.KeyValueStore` in LMDB, a copy-on-write B+ tree in one file mapped into memory.

A write transaction puts changed pages in new places and then changes one of two root pages; so nothing has to be
repaired after a crash: whichever root is valid is the state, and the pages of the other are free. The flags are the
default, durable ones: data is synced before the root.

The map is address space, not memory. It begins at `MAP_SIZE` and doubles when a transaction does not fit, which then
begins again; that is allowed only while no reader is open, so `LmdbStore.iterate` reads in slices.

Pages carry no checksum. Of 30 stores with one page full of garbage 28 were refused when the page was come upon, 2 ended
the process in an assertion of the library; a bit that flips in a coin is found by the rules, or by the hash over all
coins. The file serves one kind of machine: page size and byte order are those of the machine that made it.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NoReturn

import lmdb

from ccnode.errors import ExitStatus, StartupError, StorageError
from ccnode.storage.key_value import Batches

MAP_SIZE = 1 << 30
"""Bytes of address space to begin with."""

_DAMAGE = (
    lmdb.CorruptedError,
    lmdb.PageNotFoundError,
    lmdb.InvalidError,
    lmdb.VersionMismatchError,
    lmdb.PanicError,
)
_UNWRITTEN_PAGES = 64  # at the end of a sound file; they are free, so nobody reads them. Up to 4 were seen
_SLICE = 1000  # pairs read at a time when iterating


class LmdbStore:
    """A directory with LMDB's two files. Used by one thread at a time."""

    flags: ClassVar[Mapping[str, bool]] = {"meminit": False}
    """How LMDB is opened: its defaults, but that pages need not be cleared before they are filled."""

    def __init__(self, path: Path, *, map_size: int = MAP_SIZE) -> None:
        """Open the store, or make it. Raises StartupError if the directory cannot be used, StorageError for damage."""
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            file = path / "data.mdb"
            size = file.stat().st_size if file.exists() else 0
            self._map_size = max(map_size, 2 * size)
            flags = {"readahead": size < _memory() // 2, **self.flags}
            self._env = lmdb.open(str(path), map_size=self._map_size, **flags)
            self._check_size(file)
        except OSError as error:
            raise StartupError(
                f"cannot use {path}: {error.strerror}; check its owner and permissions", ExitStatus.DATADIR
            ) from error
        except lmdb.Error as error:
            self._refuse("open", error)

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """See `KeyValueStore`."""
        try:
            with self._env.begin() as txn, txn.cursor() as cursor:
                return dict(cursor.getmulti(keys))
        except lmdb.Error as error:
            self._refuse("read", error)

    def write_batch(self, puts: Sequence[tuple[bytes, bytes]] = (), deletes: Sequence[bytes] = ()) -> None:
        """See `KeyValueStore`."""
        self.write(lambda: [(puts, deletes)])

    def write(self, batches: Batches) -> None:
        """See `KeyValueStore`."""
        try:
            while not self._try_write(batches):
                self._map_size *= 2
                self._env.set_mapsize(self._map_size)
        except lmdb.BadValsizeError as error:
            raise ValueError("a key that is empty or too long") from error
        except lmdb.Error as error:
            self._refuse("write to", error)

    def iterate(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """See `KeyValueStore`."""
        position = max(prefix, start)
        while True:
            pairs = self._slice(position)
            for key, value in pairs:
                if not key.startswith(prefix):
                    return
                yield key, value
            if len(pairs) < _SLICE:
                return
            position = pairs[-1][0] + b"\0"

    def sync(self) -> None:
        """See `KeyValueStore`."""
        try:
            self._env.sync(True)
        except lmdb.Error as error:
            self._refuse("sync", error)

    def close(self) -> None:
        """See `KeyValueStore`."""
        self._env.close()

    def _check_size(self, file: Path) -> None:
        """Refuse a file that was cut: to read beyond its end would kill the process.

        A sound file may be a little short, by pages that were taken and given back before they were written.
        """
        pages = self._env.info()["last_pgno"] + 1
        short = pages - file.stat().st_size // self._env.stat()["psize"]
        if short > _UNWRITTEN_PAGES:
            self._env.close()
            raise StorageError(f"{file} was cut: {short} of {pages} pages are missing; start once with --reindex")

    def _try_write(self, batches: Batches) -> bool:
        """Whether the batches fit into the map."""
        try:
            with self._env.begin(write=True) as txn, txn.cursor() as cursor:
                for puts, deletes in batches():
                    for key in deletes:
                        txn.delete(key)
                    cursor.putmulti(puts)
        except lmdb.MapFullError:
            return False
        return True

    def _slice(self, position: bytes) -> list[tuple[bytes, bytes]]:
        try:
            with self._env.begin() as txn, txn.cursor() as cursor:
                if not cursor.set_range(position):
                    return []
                return [pair for pair, _ in zip(cursor, range(_SLICE), strict=False)]
        except lmdb.Error as error:
            self._refuse("read", error)

    def _refuse(self, action: str, error: lmdb.Error) -> NoReturn:
        if isinstance(error, _DAMAGE):
            raise StorageError(f"{self.path} is damaged ({error}); start once with --reindex") from error
        way_out = "free space or repair the disk, then start again"
        raise StorageError(f"cannot {action} {self.path}: {error}; {way_out}") from error


def discard(path: Path) -> None:
    """Delete a store that nobody has open, sound or damaged, if it is there. Raises StorageError."""
    try:
        for name in "data.mdb", "lock.mdb":
            (path / name).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot delete {path}: {error.strerror}; check its owner and permissions") from error


def _memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

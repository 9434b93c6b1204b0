"""A `ccnode.storage.key_value.KeyValueStore` in LMDB, a copy-on-write B+ tree in one file mapped into memory.

A write transaction puts changed pages in new places and then changes one of two root pages; so nothing has to be
repaired after a crash: whichever root is valid is the state, and the pages of the other are free.

The flags are the default, durable ones: data is synced before the root. Without sync a power loss can bring the root to
the disk without its pages, and then nothing is left. Giving that up would buy little, and nothing where it matters,
which is a store that does not fit into memory. With 10 million coins, blocks that spend and create 5,000 anywhere among
them, and a flush of 400,000 changes (``tools/bench.py coins``, two processors, an SSD):

====================  ==============  ==============  ==================  ==================  ==============
flags                 a block's       the same,       flush, file in the  the same, file not  written to the
                      coins, file in  file not in     system's cache      in the cache, until disk
                      the cache       the cache                           it is on the disk
====================  ==============  ==============  ==================  ==================  ==============
default                        18 ms          352 ms               2.5 s              11.4 s          929 MB
default, read ahead            20 ms           33 ms               2.2 s               3.3 s          931 MB
nosync                         33 ms          269 ms               3.5 s              10.7 s          929 MB
writemap, nosync               22 ms          320 ms               2.7 s              27.9 s        1,406 MB
====================  ==============  ==============  ==================  ==================  ==============

What costs is the place of a coin, anywhere in the file: 70 us to read a page that is not in memory, and a page written
for nearly every change. So a large ``dbcache`` pays, and so does memory left to the system. To read ahead fetches the
whole file in passing, which is right while it fits into memory and wrong later; hence it is done up to half of that.

A transaction holds up to 512 MB of changed pages in memory (131,072 of them; then it writes some early), and LMDB keeps
that memory for the next one: with a large store this comes on top of ``dbcache``. On disk the file is two to three
times its content, 310 bytes per coin after flushes of 500,000, since old pages are free only after the transaction.

The map is address space, not memory. It begins at `MAP_SIZE` and doubles when a transaction does not fit, which then
begins again; that is allowed only while no reader is open, so `LmdbStore.iterate` reads in slices.

Pages carry no checksum. Of 30 stores with one page full of garbage 28 were refused when the page was come upon, 2 ended
the process in an assertion of the library; a bit that flips in a coin is found by the rules, or by the hash over all
coins. The file serves one kind of machine: page size and byte order are those of the machine that made it.
"""

import os
import shutil
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
_FULL = 1 << 20  # bytes free below which a failed write is the disk's fault: LMDB calls it an input/output error
_SLICE = 1000  # pairs read at a time when iterating


class LmdbStore:
    """A directory with LMDB's two files. Used by one thread at a time."""

    flags: ClassVar[Mapping[str, bool]] = {}
    """How LMDB is opened, where not by its defaults."""

    def __init__(self, path: Path, *, map_size: int = MAP_SIZE) -> None:
        """Open the store, or make it. Raises StartupError if the directory cannot be used, StorageError for damage."""
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True)
            _check_writable(path)
            self._env = self._open(map_size)
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

    def _open(self, map_size: int) -> lmdb.Environment:
        file = self.path / "data.mdb"
        size = file.stat().st_size if file.exists() else 0
        self._map_size = max(map_size, 2 * size)
        flags = {"readahead": size < _memory() // 2, **self.flags}
        env = lmdb.open(str(self.path), map_size=self._map_size, **flags)
        pages = env.info()["last_pgno"] + 1
        short = pages - size // env.stat()["psize"]
        if size and short > _UNWRITTEN_PAGES:  # to read beyond the end would kill the process
            env.close()
            raise StorageError(f"{file} was cut: {short} of {pages} pages are missing; start once with --reindex")
        return env

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
        reason = "the disk is full" if shutil.disk_usage(self.path).free < _FULL else str(error)
        way_out = "free space or repair the disk, then start again"
        raise StorageError(f"cannot {action} {self.path}: {reason}; {way_out}") from error


def discard(path: Path) -> None:
    """Delete a store that nobody has open, sound or damaged, if it is there. Raises StorageError."""
    try:
        for name in "data.mdb", "lock.mdb":
            (path / name).unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(f"cannot delete {path}: {error.strerror}; check its owner and permissions") from error


def _check_writable(path: Path) -> None:
    """OSError if the store's files cannot be written; what LMDB says of it cannot be told from other errors."""
    for name in "lock.mdb", "data.mdb":
        if name == "lock.mdb" or (path / name).exists():
            os.close(os.open(path / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644))


def _memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

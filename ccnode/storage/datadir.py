"""The data directory of one network: where its files are, and the lock that keeps a second node out.

::

    .lock            held as long as the node runs; holds the owner's process id
    .cookie          password of the RPC interface
    admin.sock       the admin socket
    debug.log        the log
    node.sqlite      addresses, marks on headers, state
    blocks/          headers.dat; later blocks

``blocks/`` alone may be copied to another node; everything else is made anew at the next start. Headers and database
each carry the name of their network and refuse to be opened for another.

The directory and its folders are made readable for their owner only. The lock (``flock``) is the operating system's:
it ends with the process however that dies, and it does not work on network file systems that do not support it.
"""

import fcntl
import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import Final

from ccnode.errors import ExitStatus, StartupError

SOCKET_PATH_MAX: Final = 100
"""Bytes. Unix sockets have room for 107 (Linux) or 103 (macOS)."""

PRIVATE: Final = 0o700


class DataDir:
    """A data directory that this process has locked. Call `close` when done."""

    def __init__(self, path: Path) -> None:
        """Make the directory if need be, and lock it.

        Raises `StartupError`: exit status `ExitStatus.LOCKED` if another node runs on it, `ExitStatus.DATADIR` if it
        cannot be made or written.
        """
        self.path = path.absolute()
        self.blocks = self.path / "blocks"
        self.headers = self.blocks / "headers.dat"
        self.database = self.path / "node.sqlite"
        self.cookie = self.path / ".cookie"
        self.debug_log = self.path / "debug.log"
        self.socket_pointer = self.path / "admin.sock.path"
        try:
            _make_private(self.blocks)
            self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._unusable(error) from error
        try:
            self._acquire()
            self.socket = self._place_socket()
        except OSError as error:
            os.close(self._lock)
            raise self._unusable(error) from error
        except StartupError:
            os.close(self._lock)
            raise

    def close(self) -> None:
        """Let go of the lock; a second call does nothing."""
        if self._lock >= 0:
            self.socket_pointer.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = -1

    def _acquire(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 20, 0).decode("ascii", "replace").strip()
            process = f" (process {owner})" if owner.isdecimal() else ""
            raise StartupError(
                f"Cannot obtain a lock on directory {self.path}. ccnode is probably already running{process}.",
                ExitStatus.LOCKED,
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _place_socket(self) -> Path:
        """Where the admin socket goes. A path too long for one goes elsewhere, and a pointer file says where."""
        place = self.path / "admin.sock"
        if len(os.fsencode(place)) <= SOCKET_PATH_MAX:
            self.socket_pointer.unlink(missing_ok=True)
            return place
        name = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        place = _runtime_dir() / f"{name}.sock"
        if len(os.fsencode(place)) > SOCKET_PATH_MAX:
            raise StartupError(f"no short enough path for the admin socket: {place}", ExitStatus.DATADIR)
        self.socket_pointer.write_text(f"{place}\n", encoding="utf-8")
        return place

    def _unusable(self, error: OSError) -> StartupError:
        where = error.filename or self.path
        return StartupError(
            f"the data directory {self.path} cannot be used: {where}: {error.strerror}", ExitStatus.DATADIR
        )


def _runtime_dir() -> Path:
    """A short directory of this user alone. In a shared one somebody else may have made ours first: then `OSError`."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    path = Path(base) / "ccnode" if base else Path(tempfile.gettempdir()) / f"ccnode-{os.getuid()}"
    _make_private(path)
    status = path.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise PermissionError(1, "is not a directory of this user alone", str(path))
    return path


def _make_private(path: Path) -> None:
    """Make a directory, and those above it that are missing, for their owner only."""
    missing = [directory for directory in (path, *path.parents) if not directory.exists()]
    for directory in reversed(missing):
        directory.mkdir(PRIVATE, exist_ok=True)
    if not path.is_dir():
        raise NotADirectoryError(20, "is not a directory", str(path))

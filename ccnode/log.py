"""Logging: categories as in Bitcoin Core, one line per record, and no way for a peer to fill the disk.

Every module logs through the standard library under ``ccnode.CATEGORY``. A line looks like Core's ``debug.log``::

    2026-11-22T08:00:00Z [net] peer=3 connected
    2026-11-22T08:00:01Z [storage:warning] ...

What a peer can do to a log, and what stands against it:

- *Forge lines* or drive a terminal with control characters: they are escaped as ``\\x0a``, in every record. A
  traceback takes several lines, each with the full prefix.
- *Fill the disk* with lines at info level or above, which are always on: each place in the source may write 1 MiB an
  hour to the file (Core: ``BCLog::LogRateLimiter``), then one line says that it is silenced, and one at the end of the
  hour how much was dropped. Detail that somebody asked for with ``debug`` is not limited. The file is rotated at a
  fixed size besides.
- *Learn from it*: addresses of peers go to the log only with ``logips``; that is up to those who write the lines.

Handlers use a native lock: under gevent's patch the standard one belongs to the hub, and a record from a native
thread could wait for it for ever. Worker code still must not log; this is for what it calls.
"""

import _thread
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Final, Protocol, TextIO

CATEGORIES: Final[Mapping[str, str]] = {
    "net": "messages and handshakes",
    "conn": "dialing, listening, accepting, evicting",
    "sync": "header synchronisation",
    "chain": "validation, tips, reorganisations",
    "addrman": "addresses of peers",
    "storage": "files and database",
    "rpc": "administration",
    "bench": "how long things take",
}

CORE_CATEGORIES: Final[Mapping[str, str | None]] = {
    "validation": "chain",
    "blockstorage": "storage",
    "coindb": "storage",
    "leveldb": "storage",
    "reindex": "storage",
    "http": "rpc",
    **dict.fromkeys(
        (
            "cmpctblock",
            "estimatefee",
            "i2p",
            "ipc",
            "kernel",
            "libevent",
            "lock",
            "mempool",
            "mempoolrej",
            "privatebroadcast",
            "proxy",
            "prune",
            "qt",
            "rand",
            "scan",
            "selectcoins",
            "tor",
            "txpackages",
            "txreconciliation",
            "walletdb",
            "zmq",
        )
    ),
}
"""Categories of Core by the name of ours; ``None``: accepted, nothing is logged there."""

TRACE: Final = 5
LEVELS: Final = {"trace": TRACE, "debug": 10, "info": 20, "warning": 30, "error": 40}

FILE_SIZE: Final = 10_000_000
"""Bytes after which ``debug.log`` becomes ``debug.log.1``."""

FILES_KEPT: Final = 3
"""``debug.log`` and its predecessors together."""

RATE_WINDOW: Final = 3600.0
"""Seconds (Core: ``RATELIMIT_WINDOW``)."""

RATE_BYTES: Final = 1024 * 1024
"""Bytes per source location in a window (Core: ``RATELIMIT_MAX_BYTES``)."""

_LEVEL_NAMES = {number: name for name, number in LEVELS.items()}
_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028", 0x2029: "\\u2029"}

root = logging.getLogger("ccnode")


class StatusLine(Protocol):
    """A live line at the bottom of the terminal that log lines must not tear."""

    def clear(self) -> None: ...

    def redraw(self) -> None: ...


def find_categories(name: str) -> tuple[str, ...]:
    """Our categories that a name of ours or Core's stands for; ``ValueError`` for an unknown name.

    ``all``, ``1`` and the empty name are every category, ``none`` and ``0`` are no category, as in Core.
    """
    if name in ("all", "1", ""):
        return tuple(CATEGORIES)
    if name in ("none", "0"):
        return ()
    if name in CATEGORIES:
        return (name,)
    if name not in CORE_CATEGORIES:
        raise ValueError(f"unknown log category {name!r}")
    ours = CORE_CATEGORIES[name]
    return () if ours is None else (ours,)


def category_levels(
    debug: Iterable[str] = (), debugexclude: Iterable[str] = (), loglevel: Iterable[str] = ()
) -> dict[str, int]:
    """The level of each category that the three options ask for, in this order: what ``loglevel`` says (info where
    it is silent), lowered by ``debug``, put back to info by ``debugexclude``."""
    levels = dict.fromkeys(CATEGORIES, logging.INFO)
    for text in sorted(loglevel, key=lambda text: ":" in text):  # the general level first
        name, _, level = text.rpartition(":")
        levels.update(dict.fromkeys(find_categories(name), LEVELS[level]))
    for name in debug:
        levels.update({category: min(levels[category], logging.DEBUG) for category in find_categories(name)})
    for name in debugexclude:
        levels.update(dict.fromkeys(find_categories(name), logging.INFO))
    return levels


def setup_logging(
    levels: Mapping[str, int],
    *,
    file: Path | None = None,
    console: TextIO | None = None,
    status: StatusLine | None = None,
) -> None:
    """Send the records of ccnode to a file, to a terminal, or both. A second call replaces the first.

    Raises ``OSError`` if the file cannot be opened.
    """
    # No line shows them, and looking up the thread leaves an object with every greenlet that logs: 1 kB of each peer.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    handlers: list[logging.Handler] = []
    if file is not None:
        handlers.append(FileHandler(file))
    if console is not None:
        handlers.append(ConsoleHandler(console, status))
    shutdown_logging()
    for handler in handlers:
        root.addHandler(handler)
    root.propagate = False
    root.setLevel(logging.INFO)
    for category, level in levels.items():
        logging.getLogger(f"ccnode.{category}").setLevel(level)


def shutdown_logging() -> None:
    """Close what `setup_logging` opened; every level is back to the standard library's default."""
    for handler in list(root.handlers):
        if isinstance(handler, _Handler):
            root.removeHandler(handler)
            handler.close()
    root.propagate = True
    for name in ("ccnode", *(f"ccnode.{category}" for category in CATEGORIES)):
        logging.getLogger(name).setLevel(logging.NOTSET)


def set_category(name: str, level: str) -> None:
    """Change what is logged while running. ``ValueError`` for an unknown category or level."""
    if level not in LEVELS:
        raise ValueError(f"unknown log level {level!r}")
    for category in find_categories(name):
        logging.getLogger(f"ccnode.{category}").setLevel(LEVELS[level])


def current_levels() -> dict[str, str]:
    """The level of each category by name, ``trace`` to ``error``."""
    levels = {category: logging.getLogger(f"ccnode.{category}").getEffectiveLevel() for category in CATEGORIES}
    return {category: level_name(level) for category, level in levels.items()}


def level_name(level: int) -> str:
    """``trace`` to ``error`` for a number of the standard library."""
    return _LEVEL_NAMES.get(level, str(level))


class LineFormatter(logging.Formatter):
    """``TIME [CATEGORY:LEVEL] MESSAGE``, without the level for info and debug, without category for ``ccnode``."""

    def format(self, record: logging.LogRecord) -> str:
        prefix = self._prefix(record)
        line = prefix + escape(record.getMessage())
        if record.exc_info and record.exc_info[0] is not None:
            lines = self.formatException(record.exc_info).splitlines()
            line = "\n".join([line, *(f"{prefix}| {escape(text)}" for text in lines)])
        return line

    @staticmethod
    def _prefix(record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(record.created))
        category = record.name.removeprefix("ccnode").removeprefix(".")
        quiet = record.levelno in (logging.DEBUG, logging.INFO)
        level = "" if quiet else _LEVEL_NAMES.get(record.levelno, record.levelname.lower())
        tag = ":".join(part for part in (category, level) if part)
        return f"{stamp} [{tag}] " if tag else f"{stamp} "


def escape(text: str) -> str:
    """``text`` with its control characters made visible: it stays on its line and drives no terminal."""
    return text.translate(_CONTROL)


class _Handler(logging.Handler):
    """What both handlers share: the native lock, the format, and that a full disk or a closed pipe is no error."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(LineFormatter())

    def createLock(self) -> None:
        self.lock = _thread.RLock()  # native, whatever is patched

    def emit(self, record: logging.LogRecord) -> None:
        with contextlib.suppress(OSError):
            self.write_record(record)

    def write_record(self, record: logging.LogRecord) -> None:
        raise NotImplementedError


class ConsoleHandler(_Handler):
    """Lines for a terminal."""

    def __init__(self, stream: TextIO, status: StatusLine | None = None) -> None:
        super().__init__()
        self._stream = stream
        self.status = status

    def write_record(self, record: logging.LogRecord) -> None:
        encoding = self._stream.encoding or "utf-8"
        line = self.format(record).encode(encoding, "backslashreplace").decode(encoding)
        if self.status is not None:
            self.status.clear()
        self._stream.write(line + "\n")
        self._stream.flush()
        if self.status is not None:
            self.status.redraw()


class RateLimit:
    """How much each place in the source has logged in the running hour. Bounded by the number of places."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._end = steady() + RATE_WINDOW
        self._used: dict[tuple[str, int], int] = {}

    def charge(self, place: tuple[str, int], size: int) -> bool | None:
        """Whether the place may log ``size`` bytes: yes, no, or (``None``) yes for the last time."""
        before = self._used.get(place, 0)
        self._used[place] = before + size
        if before > RATE_BYTES:
            return False
        return None if before + size > RATE_BYTES else True

    def expired(self) -> Iterator[tuple[tuple[str, int], int]]:
        """When the hour is over: the places silenced in it, with the bytes beyond the limit. Begins a new hour."""
        now = self._steady()
        if now >= self._end:
            used, self._used, self._end = self._used, {}, now + RATE_WINDOW
            yield from ((place, size - RATE_BYTES) for place, size in used.items() if size > RATE_BYTES)


class FileHandler(_Handler):
    """``debug.log``, rotated by size and limited in rate. Each line is one write, so that a crash loses none."""

    def __init__(self, path: Path, steady: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._path = path
        self._limit = RateLimit(steady)
        self._open()

    def _open(self) -> None:
        self._fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._size = os.fstat(self._fd).st_size

    def write_record(self, record: logging.LogRecord) -> None:
        if self._fd < 0:
            return
        for (pathname, number), dropped in self._limit.expired():
            self._note(record, f"Restarting logging from {Path(pathname).name}:{number}: {dropped} bytes were dropped")
        line = self._encode(record)
        allowed: bool | None = True
        if record.levelno >= logging.INFO:
            allowed = self._limit.charge((record.pathname, record.lineno), len(line))
        if allowed is not False:
            self._write(line)
        if allowed is None:
            self._note(
                record,
                f"Excessive logging from {Path(record.pathname).name}:{record.lineno}: more than {RATE_BYTES} bytes "
                f"within {RATE_WINDOW:.0f} s; nothing more from there until the time is over. Console unaffected",
            )

    def _encode(self, record: logging.LogRecord) -> bytes:
        return (self.format(record) + "\n").encode("utf-8", "backslashreplace")

    def _note(self, cause: logging.LogRecord, text: str) -> None:
        note = logging.LogRecord("ccnode", logging.WARNING, cause.pathname, cause.lineno, text, None, None)
        self._write(self._encode(note))

    def _write(self, line: bytes) -> None:
        if self._size and self._size + len(line) > FILE_SIZE:
            self._rotate()
        self._size += os.write(self._fd, line)

    def _rotate(self) -> None:
        os.close(self._fd)
        names = [self._path, *(self._path.with_name(f"{self._path.name}.{n}") for n in range(1, FILES_KEPT))]
        for old, new in reversed(list(pairwise(names))):
            with contextlib.suppress(FileNotFoundError):
                old.replace(new)
        self._open()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        super().close()

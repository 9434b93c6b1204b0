"""Looks at the node, again and again, from threads of their own: the screen never waits for an answer.

A look is the answers to a handful of commands. With thousands of peers the list of them costs the node milliseconds,
so between two looks there is a pause of many times what the last one took: a watcher takes a small share of the node's
time, however large the node is. Log lines come as events.
"""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Final

from ccnode.admin.client import Events
from ccnode.admin.shell.remote import Remote
from ccnode.errors import CcnodeError

SECONDS: Final = 1.0
"""The least time from one look to the next."""

REST: Final = 10
"""A pause is at least so many times as long as the look before it took."""

TIMEOUT: Final = 10.0
"""Seconds that the node has for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What the node answered at one moment."""

    time: float
    """Unix seconds here, where the answers arrived."""
    chain: str
    uptime: int
    """Seconds."""
    sync: Mapping[str, Any]
    """getheadersyncinfo."""
    stats: Mapping[str, Any]
    """getnodestats."""
    peers: Sequence[Mapping[str, Any]]
    """getpeerinfo."""


@dataclass(frozen=True, slots=True)
class Silence:
    """The node does not answer."""

    time: float
    reason: str


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of the node's log."""

    time: float
    level: str
    category: str
    text: str


News = Look | Silence | LogLine


def look(remote: Remote) -> Look:
    """Ask the node. CcnodeError if it does not answer."""
    info, uptime, sync, stats, peers = remote.call_all(
        "getblockchaininfo", "uptime", "getheadersyncinfo", "getnodestats", "getpeerinfo", timeout=TIMEOUT
    )
    return Look(time=time.time(), chain=info["chain"], uptime=uptime, sync=sync, stats=stats, peers=peers)


class Watcher:
    """Tells ``tell`` whatever is new, from its own threads, until it is stopped."""

    def __init__(self, remote: Remote, tell: Callable[[News], None]) -> None:
        self._remote = remote
        self._tell = tell
        self._stopping = threading.Event()
        self._log: Events | None = None

    def start(self) -> None:
        for run in (self._look, self._read_log):
            threading.Thread(target=run, name="watcher", daemon=True).start()

    def stop(self) -> None:
        """Nothing more is told. The threads end with the answer they wait for."""
        self._stopping.set()
        if self._log is not None:
            self._log.close()

    def _look(self) -> None:
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                news: News = look(self._remote)
            except CcnodeError as error:
                news = Silence(time.time(), str(error))
            took = time.monotonic() - began
            self._report(news)
            self._stopping.wait(max(SECONDS - took, REST * took))

    def _read_log(self) -> None:
        """The stream ends when the node goes away; then it is asked for again."""
        while not self._stopping.is_set():
            with suppress(CcnodeError):  # the looks say what there is to say about it
                self._log = self._remote.subscribe(["log"])
                if self._stopping.is_set():  # which `stop` did not know of
                    self._log.close()
                with closing(self._log) as events:
                    for event in events:
                        self._report(log_line(event))
            self._stopping.wait(SECONDS)

    def _report(self, news: News) -> None:
        if not self._stopping.is_set():
            self._tell(news)


def log_line(event: Mapping[str, Any]) -> LogLine:
    """The event of a log record, or of records lost, as a line."""
    if event["topic"] == "dropped":
        return LogLine(event["time"], "info", "", f"({event['count']} lines left out)")
    return LogLine(event["time"], event["level"], event["category"], event["message"])

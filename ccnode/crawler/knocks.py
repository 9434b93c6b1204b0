"""Dials under way, without a greenlet for each.

Half of the addresses of a round answer nothing, so at any moment nearly all of its sockets are dials that will fail in
five seconds. A greenlet that waits costs 14 kB and a third of a millisecond; a *knock* is a non-blocking socket, a
watcher of the event loop and a deadline, for a tenth of either. Whoever opens the door gets a greenlet then.

The loop only notes that a socket is ready. One greenlet, `Knocks.task`, tells the results, so that an error there is an
error of that greenlet and not lost in the loop.
"""

import _socket
import errno
import socket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Final

import gevent
from gevent.event import Event

from ccnode.clock import Clock
from ccnode.network.hub import DeadlineExceeded, breathe, spawn

WRITABLE: Final = 2
"""What the loop's watchers call it."""


@dataclass(slots=True, eq=False)
class Knock:
    """One dial."""

    row: int
    started: float
    """Unix time."""
    began: float
    """Steady time."""
    sock: Any = None
    watcher: Any = None


Answer = Callable[[Knock, socket.socket | OSError | DeadlineExceeded], None]


class Knocks:
    """All dials under way that need no proxy."""

    def __init__(self, clock: Clock, answer: Answer) -> None:
        """:param answer: told of every dial's end, with the connection or the error; it must not wait."""
        self._clock = clock
        self._answer = answer
        self._loop = gevent.get_hub().loop
        self._open: dict[int, Knock] = {}
        self._ready: deque[tuple[Knock, int]] = deque()
        self._deadlines: list[tuple[float, int, Knock]] = []
        self._wake = Event()
        self.task = spawn("knocks", self._run)

    def knock(self, row: int, family: int, target: tuple[str, int], timeout: float) -> None:
        """Dial; the answer comes later, and at the latest after ``timeout`` seconds."""
        now = self._clock.steady()
        knock = Knock(row, self._clock.now(), now)
        self._open[row] = knock
        heappush(self._deadlines, (now + timeout, row, knock))
        try:
            knock.sock = _socket.socket(family, socket.SOCK_STREAM)
            knock.sock.setblocking(False)
            error = knock.sock.connect_ex(target)
        except OSError as failure:  # no descriptor left
            error = failure.errno or errno.EMFILE
        if error == errno.EINPROGRESS:
            knock.watcher = self._loop.io(knock.sock.fileno(), WRITABLE)
            knock.watcher.start(self._note, knock)
        else:
            self._ready.append((knock, error))
            self._wake.set()

    def stop(self) -> list[int]:
        """Give up all dials; their rows."""
        self.task.kill()
        rows = list(self._open)
        for knock in list(self._open.values()):
            self._forget(knock)
            if knock.sock is not None:
                knock.sock.close()
        return rows

    def _note(self, knock: Knock) -> None:
        """Called by the loop: the connection stands, or has failed."""
        knock.watcher.stop()
        self._ready.append((knock, knock.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
        self._wake.set()

    def _run(self) -> None:
        while True:
            self._wake.wait(self._deadlines[0][0] - self._clock.steady() if self._deadlines else None)
            self._wake.clear()
            while self._ready:
                knock, error = self._ready.popleft()
                if self._open.get(knock.row) is knock:
                    self._tell(knock, error)
                    breathe()
            self._expire()

    def _tell(self, knock: Knock, error: int) -> None:
        self._forget(knock)
        if error:
            if knock.sock is not None:
                knock.sock.close()
            self._answer(knock, OSError(error, errno.errorcode.get(error, str(error)).lower()))
            return
        sock = socket.socket(fileno=knock.sock.detach())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._answer(knock, sock)

    def _expire(self) -> None:
        now = self._clock.steady()
        while self._deadlines and self._deadlines[0][0] <= now:
            _, row, knock = heappop(self._deadlines)
            if self._open.get(row) is knock:
                self._forget(knock)
                knock.sock.close()
                self._answer(knock, DeadlineExceeded())
                breathe()

    def _forget(self, knock: Knock) -> None:
        del self._open[knock.row]
        if knock.watcher is not None:
            knock.watcher.stop()
            knock.watcher.close()

"""The few helpers through which ccnode uses gevent's hub: fairness, deadlines, named tasks, and the hub's own lag.

gevent switches greenlets only when one blocks, and ``recv`` does not block while data is waiting: a flooding peer
would hold the hub for as long as it floods. So every loop that may run long calls `breathe`. It looks at how long the
*current turn of the event loop* has been running, whoever used it up, and past `TURN_SECONDS` it sleeps a tiny
positive time. ``gevent.sleep(0)`` would not do: it runs other ready callbacks without ever polling the sockets.

The turn is what counts, and not the time of each greenlet: where each may use 5 ms, sixty flooding peers make a turn of
300 ms, and where they share them, one of 10. The loop's own notion of now is no measure of it, because whoever starts
a timer moves it; a watcher notes when each turn begins.
"""

import logging
import time
from array import array
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, TypeVar
from weakref import WeakSet

import gevent
from gevent.event import Event

T = TypeVar("T")

log = logging.getLogger("ccnode.net")

TURN_SECONDS = 0.005
"""How long one turn of the event loop may run before whoever notices lets the others go on."""

SLICE_SECONDS = 0.002
"""How long `breathing` goes on before it looks whether the turn is over."""

_TINY_SLEEP = 1e-6

# Found once: `breathe` runs for every message, and takes 0.15 us instead of 0.25.
_wall_time = time.time
_get_hub = gevent.get_hub


class DeadlineExceeded(Exception):
    """A `deadline` passed. Unlike `gevent.Timeout` this is an ordinary exception."""


class _Turns:
    """Notes until when the present turn of the event loop may last, from when the loop had polled the sockets."""

    def __init__(self) -> None:
        self.ends = 0.0
        self._begin()
        loop = gevent.get_hub().loop
        self._watcher = loop.check(ref=False, priority=loop.MAXPRI)  # before any other watcher of its turn
        self._watcher.start(self._begin)

    def _begin(self) -> None:
        self.ends = time.monotonic() + TURN_SECONDS


@cache
def turns() -> _Turns:
    """One for the process: the node has one hub. A very tight loop compares ``turns().ends`` before `breathe`."""
    return _Turns()


def breathe() -> None:
    """Let other greenlets and sockets go on, if this turn of the event loop has run for over `TURN_SECONDS`."""
    if time.monotonic() > turns().ends:
        gevent.sleep(_TINY_SLEEP)


def breathing(items: Iterable[T]) -> Iterator[T]:
    """The items, with others running now and then in between. They must not change meanwhile: pass a copy.

    For many small steps. With `breathe` after each of them, somebody who fills every turn would leave one step to each:
    a list of twenty took a fifth of a second while headers came in. So at least `SLICE_SECONDS` are worked in a row.
    """
    begun = time.monotonic()
    for item in items:
        yield item
        if time.monotonic() - begun > SLICE_SECONDS:
            breathe()
            begun = time.monotonic()


@contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise `DeadlineExceeded` in the calling greenlet if the body is still waiting after ``seconds``."""
    timer = gevent.Timeout(seconds, DeadlineExceeded(f"no result after {seconds:g} s"))
    timer.start()
    try:
        yield
    finally:
        timer.close()


_spawned: WeakSet[gevent.Greenlet] = WeakSet()


def count_greenlets() -> int:
    """Greenlets that `spawn` started and that have not ended."""
    return sum(not task.dead for task in _spawned)


def spawn(name: str, function: Callable[..., Any], *args: Any) -> gevent.Greenlet:
    """Start ``function(*args)`` in a greenlet that carries ``name``; the caller owns it."""
    task = gevent.Greenlet(function, *args)
    task.name = name
    _spawned.add(task)
    task.start()
    return task


class Supervisor:
    """Runs an activity that must not end: restarts it with capped, doubling pauses and says so.

    For the listener, the dialer, DNS and the like. A fault in chain or storage is not restarted: it stops the node.
    """

    FIRST_PAUSE = 1.0
    LONGEST_PAUSE = 60.0

    def __init__(self, name: str, activity: Callable[[], None]) -> None:
        self.name = name
        self._activity = activity
        self._stopping = Event()
        self._task = spawn(name, self._run)

    def _run(self) -> None:
        pause = self.FIRST_PAUSE
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                self._activity()
                return
            except Exception:  # a named supervisor: whatever it was, it is logged and tried again
                if self._stopping.is_set():
                    return
                if time.monotonic() - started > self.LONGEST_PAUSE:
                    pause = self.FIRST_PAUSE
                log.exception("%s failed; it starts again in %g s", self.name, pause)
            self._stopping.wait(pause)
            pause = min(pause * 2, self.LONGEST_PAUSE)

    def stop(self, timeout: float = 2.0) -> None:
        """End the activity; the caller has already closed whatever it blocks on."""
        self._stopping.set()
        self._task.join(timeout)
        if not self._task.ready():
            self._task.kill(timeout=1.0)


class HubLag:
    """Measures how late the hub runs what is due: a greenlet that sleeps `PERIOD` and notes the excess.

    Keeps the last `SAMPLES` values (about a minute). A lag of milliseconds is normal; past 100 ms something holds
    the hub.
    """

    PERIOD = 0.02
    SAMPLES = 3000

    def __init__(self) -> None:
        self._samples = array("d", [0.0])
        self._next = 0
        self.worst = 0.0
        self._task = spawn("hub-lag", self._run)

    def _run(self) -> None:
        while True:
            expected = time.monotonic() + self.PERIOD
            gevent.sleep(self.PERIOD)
            lag = max(0.0, time.monotonic() - expected)
            self.worst = max(self.worst, lag)
            if len(self._samples) < self.SAMPLES:
                self._samples.append(lag)
            else:
                self._samples[self._next] = lag
                self._next = (self._next + 1) % self.SAMPLES

    def percentiles(self) -> dict[str, float]:
        """``p50``, ``p99`` and ``max`` of the last minute and ``worst`` since the start, in seconds."""
        ordered = sorted(self._samples)
        last = len(ordered) - 1
        return {
            "p50": ordered[last // 2],
            "p99": ordered[int(last * 0.99)],
            "max": ordered[last],
            "worst": self.worst,
        }

    def stop(self) -> None:
        self._task.kill(timeout=1.0)

"""One heap of due times per kind of clock drives everything periodic; no greenlet sleeps for a protocol interval.

Protocol timers follow the mockable wall clock, request timeouts the steady one, sweeps the scheduler's (see
``clock.py``). An entry is a key and an action; arming a key again moves it only to an earlier time, because the
action computes its next due time itself when it runs. What is periodic arms itself again first of all, so that a
failure does not end it. After the wall clock was set, `Timers.clock_was_set` makes every wall entry run once, in order
of its due time: time may have gone back, and an action re-arms itself from now.
"""

import heapq
import logging
from collections import deque
from collections.abc import Callable, Hashable
from enum import Enum
from math import inf

from gevent.event import Event

from ccnode.clock import Clock
from ccnode.network.hub import breathe

log = logging.getLogger("ccnode.net")

STALE_TOLERATED = 100
"""Entries of a heap that were armed anew for earlier, or disarmed, before they are looked for and thrown away."""

LONGEST_WAIT = 60.0
"""Seconds after which the loop looks at the clocks in any case."""


class Timeline(Enum):
    """Which clock a due time belongs to."""

    WALL = "wall"
    SCHEDULER = "scheduler"
    STEADY = "steady"


class Timers:
    """Runs armed actions when they are due, one after the other, in one greenlet."""

    def __init__(self, clock: Clock) -> None:
        self._now: dict[Timeline, Callable[[], float]] = {
            Timeline.WALL: clock.now,
            Timeline.SCHEDULER: clock.scheduler,
            Timeline.STEADY: clock.steady,
        }
        self._heaps: dict[Timeline, list[tuple[float, int, Hashable]]] = {timeline: [] for timeline in Timeline}
        self._armed: dict[tuple[Timeline, Hashable], tuple[float, Callable[[], None]]] = {}
        self._sequence = 0
        self._wake = Event()

    def __len__(self) -> int:
        return len(self._armed)

    def arm(self, timeline: Timeline, due: float, key: Hashable, action: Callable[[], None]) -> None:
        """Run ``action`` at ``due`` (seconds of that clock), unless ``key`` is armed for an earlier time."""
        if due == inf:
            return
        armed = self._armed.get((timeline, key))
        if armed is not None and armed[0] <= due:
            return
        self._armed[timeline, key] = (due, action)
        self._sequence += 1
        heap = self._heaps[timeline]
        heapq.heappush(heap, (due, self._sequence, key))
        if len(heap) > 2 * len(self._armed) + STALE_TOLERATED:
            heap[:] = [entry for entry in heap if self._is_live(timeline, entry)]
            heapq.heapify(heap)
        if heap[0][1] == self._sequence:  # it is now the earliest
            self._wake.set()

    def disarm(self, key: Hashable) -> None:
        """Forget ``key`` on every timeline."""
        for timeline in Timeline:
            self._armed.pop((timeline, key), None)

    def clock_was_set(self) -> None:
        """The mockable clocks were moved: everything on the wall clock runs once now."""
        heap = self._heaps[Timeline.WALL]
        live = sorted(entry for entry in heap if self._is_live(Timeline.WALL, entry))
        heap.clear()
        for _due, _sequence, key in live:
            _armed_for, action = self._armed.pop((Timeline.WALL, key))
            self.arm(Timeline.WALL, -inf, key, action)
        self._wake.set()

    def run(self) -> None:
        """The loop; the owner ends it by killing its greenlet between two actions."""
        while True:
            self.run_due()
            self._wake.wait(self._delay())
            self._wake.clear()

    def run_due(self) -> None:
        """Run whatever is due on any clock, each entry once: what an action arms anew waits for the next call."""
        for timeline, heap in self._heaps.items():
            now = self._now[timeline]()
            due: deque[tuple[float, int, Hashable]] = deque()
            while heap and heap[0][0] <= now:
                due.append(heapq.heappop(heap))
            try:
                while due:
                    entry = due.popleft()
                    if self._is_live(timeline, entry):
                        _due, action = self._armed.pop((timeline, entry[2]))
                        action()
                        breathe()
            finally:  # an action failed: the rest is still due
                for entry in due:
                    heapq.heappush(heap, entry)

    def _is_live(self, timeline: Timeline, entry: tuple[float, int, Hashable]) -> bool:
        armed = self._armed.get((timeline, entry[2]))
        return armed is not None and armed[0] == entry[0]

    def _delay(self) -> float:
        delay = LONGEST_WAIT
        for timeline, heap in self._heaps.items():
            while heap and not self._is_live(timeline, heap[0]):
                heapq.heappop(heap)
            if heap:
                delay = min(delay, heap[0][0] - self._now[timeline]())
        return max(0.0, delay)

"""A clock that jumps from event to event, and the heap of events to come: what every simulated world stands on."""

import heapq
import random
from collections.abc import Callable
from itertools import count
from typing import Any

from tests.support.clock import ManualClock


class Events:
    """Time, chance, and what is going to happen. Whatever is random comes from the one seed."""

    def __init__(self, seed: int, now: float) -> None:
        """:param now: Unix seconds at which it begins."""
        self.rng = random.Random(seed)
        self.clock = ManualClock(now)
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._order = count()
        self.happened = 0

    def after(self, seconds: float, action: Callable[..., object], *args: Any) -> None:
        """Call ``action`` with ``args`` when so much time has passed; what is due together happens in order."""
        heapq.heappush(self._heap, (self.clock.monotonic + seconds, next(self._order), action, args))

    def run(self, seconds: float, until: Callable[[], bool] | None = None) -> bool:
        """Let that much time pass, or less if ``until`` comes true after an event; returns whether it did."""
        clock, heap = self.clock, self._heap
        end = clock.monotonic + seconds
        while heap and heap[0][0] <= end:
            due, _, action, args = heapq.heappop(heap)
            if due > clock.monotonic:
                clock.wall += due - clock.monotonic
                clock.monotonic = due
            self.happened += 1
            action(*args)
            if until is not None and until():
                return True
        clock.advance(end - clock.monotonic)
        return until is not None and until()

    def wait(self, until: Callable[[], bool], limit: float, step: float = 5.0) -> float | None:
        """Run till ``until`` holds, looked at every ``step`` seconds; the seconds it took, None if more than ``limit``.

        For conditions that are dear, which `run` would ask after every event.
        """
        began = self.clock.monotonic
        while not until():
            if self.clock.monotonic - began >= limit:
                return None
            self.run(step)
        return self.clock.monotonic - began

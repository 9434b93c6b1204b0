"""How late the event loop runs what is due, for any recent span of time: whether a time-out was our own fault."""

import time
from bisect import bisect_left

import gevent

from ccnode.network.hub import spawn


class LagMeter:
    """The event loop's lag: how much later than asked a sleep ends. Remembers the worst of any recent time."""

    PERIOD = 0.05
    MEMORY = 300.0

    def __init__(self) -> None:
        # Ever smaller lags at ever later times: one that a later, greater one followed is never the worst again.
        self._times: list[float] = []
        self._lags: list[float] = []
        self.now = 0.0
        """The latest measurement, seconds."""
        self.worst = 0.0
        self._task = spawn("lag", self._run)

    def _run(self) -> None:
        while True:
            expected = time.monotonic() + self.PERIOD
            gevent.sleep(self.PERIOD)
            now = time.monotonic()
            self._note(now, max(0.0, now - expected))

    def _note(self, now: float, lag: float) -> None:
        self.now = lag
        self.worst = max(self.worst, lag)
        while self._lags and self._lags[-1] <= lag:
            self._lags.pop()
            self._times.pop()
        self._times.append(now)
        self._lags.append(lag)
        if self._times[0] < now - self.MEMORY:
            del self._times[0], self._lags[0]

    def worst_since(self, when: float) -> float:
        """The greatest lag that ended after ``when`` (steady seconds), of the last `MEMORY` seconds."""
        i = bisect_left(self._times, when)
        return self._lags[i] if i < len(self._lags) else 0.0

    def stop(self) -> None:
        self._task.kill(timeout=1.0)

"""Time, in the three kinds that Bitcoin Core keeps apart.

- ``now()``: wall time in Unix seconds. ``setmocktime`` replaces it. Every protocol timer, the two-hour rule and
  all address and ban times read this one. It may jump, also backwards.
- ``scheduler()``: steady seconds plus whatever ``mockscheduler`` added. Stale-tip checks, dumps, sweeps.
- ``steady()``: steady seconds, never mocked. Connect and request waits, rates, hub lag.

Deciding code receives a `Clock` and never imports ``time``.
"""

import time
from typing import Protocol


class Clock(Protocol):
    """What deciding code may know about time. All values are seconds."""

    def now(self) -> float:
        """Wall time, Unix seconds, mockable."""
        ...

    def scheduler(self) -> float:
        """Steady seconds plus the skipped ones."""
        ...

    def steady(self) -> float:
        """Steady seconds, never mocked."""
        ...


class SystemClock:
    """The operating system's clock, with the two knobs of Core's test RPCs."""

    def __init__(self) -> None:
        self._mock_time: float | None = None
        self._skipped = 0.0

    def now(self) -> float:
        return time.time() if self._mock_time is None else self._mock_time

    def scheduler(self) -> float:
        return time.monotonic() + self._skipped

    def steady(self) -> float:
        return time.monotonic()

    def set_mock_time(self, timestamp: float | None) -> None:
        """Freeze `now` at ``timestamp`` (Unix seconds); ``None`` lets it run again."""
        self._mock_time = timestamp

    def skip(self, seconds: float) -> None:
        """Move `scheduler` forward by ``seconds``."""
        self._skipped += seconds

"""The traffic of the last minutes, as the heights of bars."""

from collections import deque
from typing import Final

CELL_SECONDS: Final = 3.0
"""What one bar stands for."""

CELLS: Final = 300
"""Bars that are kept: a quarter of an hour."""


class Traffic:
    """Bytes per second, one figure for each stretch of `CELL_SECONDS`, made from totals seen now and then."""

    def __init__(self) -> None:
        self.rates: deque[float] = deque(maxlen=CELLS)
        """The newest last; it covers less than a whole stretch."""
        self.now: float | None = None
        """The rate between the last two totals."""
        self._last: tuple[float, int] | None = None
        self._cell = 0
        """The number of the newest stretch since 1970."""

    def add(self, time: float, total: int) -> None:
        """A total at a time, Unix seconds. A smaller one than before is that of a new run, and counts from there."""
        last, self._last = self._last, (time, total)
        if last is None or total < last[1] or time <= last[0]:
            self.now = None
            return
        rate = (total - last[1]) / (time - last[0])
        self.now = rate
        self._spread(rate, last[0], time)

    def _spread(self, rate: float, start: float, end: float) -> None:
        """Give each stretch between two times its share."""
        for cell in range(int(start // CELL_SECONDS), int(end // CELL_SECONDS) + 1):
            missing = cell - self._cell if self.rates else 1
            self.rates.extend([0.0] * min(missing, CELLS))
            self._cell = cell
            begin = max(start, cell * CELL_SECONDS)
            self.rates[-1] += rate * (min(end, (cell + 1) * CELL_SECONDS) - begin) / CELL_SECONDS

"""Whether our clock agrees with the network (Core: ``node/timeoffsets.h``).

A header up to two hours ahead of our clock is valid, so a clock that is wrong by more can cut a node off. Every peer
says in its version what time it is. Only what outbound peers say counts, as inbound ones are free to come and lie. If
the median of the last `MAX_OFFSETS` is off by more than `WARN_SECONDS`, a person is told. Nothing else follows: what
time it is, strangers do not decide.
"""

import logging
from collections import deque
from typing import Final

log = logging.getLogger("ccnode.net")

MAX_OFFSETS: Final = 50
"""Outbound peers remembered; the oldest are forgotten first (Core: ``MAX_SIZE``)."""

MIN_OFFSETS: Final = 5
"""Fewer say nothing."""

WARN_SECONDS: Final = 600
"""A median further off than this is warned about (Core: ``WARN_THRESHOLD``)."""

WARNING: Final = (
    f"This computer's clock is more than {WARN_SECONDS // 60} minutes off what the nodes we connected to say. A wrong "
    "clock can cut a node off from the network: please check date, time and time zone. The field timeoffset of "
    "getpeerinfo and getnetworkinfo has the figures."
)


class TimeOffsets:
    """Clocks of outbound peers minus ours, seconds."""

    def __init__(self) -> None:
        self._offsets: deque[int] = deque(maxlen=MAX_OFFSETS)
        self._warned = False

    def add(self, offset: int) -> None:
        """An outbound peer told its time."""
        self._offsets.append(offset)
        if self.out_of_sync and not self._warned:
            log.warning("%s", WARNING)
        self._warned = self.out_of_sync

    def median(self) -> int:
        """The middle one, the higher of two; 0 while there are too few."""
        if len(self._offsets) < MIN_OFFSETS:
            return 0
        return sorted(self._offsets)[len(self._offsets) // 2]

    @property
    def out_of_sync(self) -> bool:
        """Whether our clock, or those of most peers, are wrong."""
        return abs(self.median()) > WARN_SECONDS

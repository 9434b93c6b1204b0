"""How much the node may upload in a day (Core: ``-maxuploadtarget``, ``CConnman::OutboundTargetReached``).

Time is parted into cycles of `TIMEFRAME`; a cycle begins with the first byte sent after the one before has ended. The
target is soft: when it is reached, or when what is left of it is needed to relay one full block every ten minutes until
the cycle ends, the node no longer serves old blocks, which are the bulk of what others ask for. Everything else goes on
being sent. Peers with the download permission are served in any case; whoever serves blocks looks at that.

All of it reads the mockable clock.
"""

from typing import Final

from ccnode.clock import Clock

TIMEFRAME: Final = 86_400
"""Seconds of a cycle (Core: ``MAX_UPLOAD_TIMEFRAME``)."""

BLOCK_SECONDS: Final = 600
"""A new block is expected, and room kept for relaying it, once in so many seconds."""

MAX_BLOCK_SIZE: Final = 4_000_000
"""Bytes of the largest block (Core: ``MAX_BLOCK_SERIALIZED_SIZE``)."""


class UploadTarget:
    """The bytes sent in the present cycle, and what they mean for the target."""

    def __init__(self, target: int, clock: Clock) -> None:
        """:param target: bytes in a cycle; 0 for no limit."""
        self.target = target
        self._clock = clock
        self._cycle_start: int | None = None
        self._sent = 0

    def sent(self, count: int) -> None:
        """So many bytes went out just now."""
        now = int(self._clock.now())
        if self._cycle_start is None or self._cycle_start + TIMEFRAME < now:
            self._cycle_start = now
            self._sent = 0
        self._sent += count

    def reached(self, *, historical: bool) -> bool:
        """Whether to stop sending.

        :param historical: of blocks that are not new; they stop early enough to leave room for the new ones.
        """
        if not self.target:
            return False
        reserve = self.time_left() // BLOCK_SECONDS * MAX_BLOCK_SIZE if historical else 0
        return self._sent >= self.target - reserve

    def bytes_left(self) -> int:
        """Bytes of the target left in this cycle; 0 without a target, as in Core."""
        return max(0, self.target - self._sent)

    def time_left(self) -> int:
        """Seconds until the cycle ends; 0 without a target, as in Core."""
        if not self.target:
            return 0
        if self._cycle_start is None:
            return TIMEFRAME
        return max(0, self._cycle_start + TIMEFRAME - int(self._clock.now()))

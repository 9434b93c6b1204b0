"""What goes over the wire, counted: by message type for each peer, and over time for the node.

Of every message type a peer has one integer, a *tally*: the bytes in its lower `TALLY_SHIFT` bits, the messages above
them. So counting a message is one addition, and an idle peer pays for the second figure with no memory at all.

The node's bytes go into a ring of seconds, one for each direction (`Flow`). A rate is the sum of the last seconds that
are over, divided by their number; the running one would make it too small. Rates read the steady clock, so that moving
the wall clock does not bend them.
"""

from array import array
from collections.abc import Mapping
from typing import Final

from ccnode.clock import Clock
from ccnode.peers.upload_target import UploadTarget

TALLY_SHIFT: Final = 50
"""Bits for the bytes: a thousand terabytes of one message type from one peer."""

ONE_MESSAGE: Final = 1 << TALLY_SHIFT
"""A tally grows by this and the message's size, header included."""

_BYTES: Final = ONE_MESSAGE - 1

RATE_WINDOWS: Final[Mapping[str, int]] = {"1s": 1, "1m": 60, "1h": 3600}
"""The periods over which rates are shown, seconds."""

LONGEST_WINDOW: Final = max(RATE_WINDOWS.values())

_SLOTS: Final = LONGEST_WINDOW + 1  # and the running second


def tally_bytes(tallies: Mapping[str, int]) -> dict[str, int]:
    """Bytes by message type."""
    return {command: tally & _BYTES for command, tally in sorted(tallies.items())}


def tally_messages(tallies: Mapping[str, int]) -> dict[str, int]:
    """Messages by message type."""
    return {command: tally >> TALLY_SHIFT for command, tally in sorted(tallies.items())}


class Flow:
    """Bytes in one direction: how many in all, and how many in each second of the last hour."""

    __slots__ = ("_clock", "_ring", "_second", "_since", "total")

    def __init__(self, clock: Clock) -> None:
        self.total = 0
        self._clock = clock
        self._ring = array("Q", bytes(8 * _SLOTS))
        self._second = self._since = int(clock.steady())

    def add(self, count: int) -> None:
        """So many bytes just now."""
        self.total += count
        second = int(self._clock.steady())
        if second != self._second:
            self._turn_to(second)
        self._ring[second % _SLOTS] += count

    def rate(self, seconds: int) -> float:
        """Bytes per second over the last whole ``seconds`` (`LONGEST_WINDOW` at most), or since the start."""
        now = int(self._clock.steady())
        if now != self._second:
            self._turn_to(now)
        seconds = min(seconds, now - self._since)
        return sum(self._ring[second % _SLOTS] for second in range(now - seconds, now)) / seconds if seconds else 0.0

    def _turn_to(self, second: int) -> None:
        """Begin a new second; those without a byte since the last one are empty."""
        for skipped in range(max(self._second, second - _SLOTS) + 1, second + 1):
            self._ring[skipped % _SLOTS] = 0
        self._second = second


class Traffic:
    """All connections together."""

    __slots__ = ("received", "sent", "upload_target")

    def __init__(self, clock: Clock, upload_target: int = 0) -> None:
        """:param upload_target: bytes a day (``maxuploadtarget``); 0 for no limit."""
        self.received = Flow(clock)
        self.sent = Flow(clock)
        self.upload_target = UploadTarget(upload_target, clock)

    def note_sent(self, count: int) -> None:
        """The sockets took so many bytes."""
        self.sent.add(count)
        self.upload_target.sent(count)

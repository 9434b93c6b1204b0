"""What passes over a connection, for people to look at: the last messages of each peer, and a tap.

The record of a peer is a short queue of tuples without the payloads, so it is always there when somebody asks what a
peer said last, and costs a tenth of a microsecond per message. The tap shows messages as they pass, payloads too; while
nobody holds it, it costs one look.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

RECENT: Final = 50
"""Messages remembered of each peer, both directions together."""

Recent = deque[tuple[float, bool, str, int]]
"""`PassedMessage` without its name: a plain tuple is made in half the time."""


class PassedMessage(NamedTuple):
    """One message that went over a connection."""

    time: float
    """Unix seconds; of a received one, when its last bytes came."""
    sent: bool
    command: str
    """Empty if the bytes were no command name."""
    size: int
    """Bytes on the wire, header included."""


def recent_messages() -> Recent:
    """An empty record."""
    return deque(maxlen=RECENT)


class MessageTap:
    """Where every connection looks whether somebody wants to see what passes."""

    __slots__ = ("listener",)

    def __init__(self) -> None:
        self.listener: Callable[[int, PassedMessage, bytes], None] | None = None
        """Called with the peer's number, every message and its payload, in the middle of things: it must be quick."""

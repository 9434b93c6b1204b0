"""How long a peer may keep us waiting for a block (Core: ``SendMessages``, the part about block download).

A peer *stalls* if nobody can be asked for anything more because the window waits for a block that it owes. It gets two
seconds. If our own line is what is slow, that would drop one peer after the other; so each drop doubles the time, up
to 64 s, and each connected block brings it down again by 15 percent.

Apart from that, the oldest block a peer owes may take a block interval, and half an interval more for each other peer
that sends us blocks at the same time.

Near the end of the chain no window is full, and a peer that withholds a new block would hold us up for ten minutes. So
beyond Core's rules, who sent nothing for half a minute is *late* if another peer has nothing left to do: that one is
asked for what the late peer owes. The late one keeps its deadline, and is asked again only if nobody else is, until it
sends one of those blocks.

None of this helps against a peer that sends each block just in time.
"""

import logging
from math import floor

log = logging.getLogger("ccnode.sync")

STALLING_TIMEOUT = 2.0
"""Wall seconds (Core: ``BLOCK_STALLING_TIMEOUT_DEFAULT``)."""

MAX_STALLING_TIMEOUT = 64.0
"""Core: ``BLOCK_STALLING_TIMEOUT_MAX``."""

STALLING_DECAY = 0.85
"""What a connected block leaves of a raised timeout; in whole seconds, as in Core."""

DOWNLOAD_TIMEOUT_BASE = 1.0
DOWNLOAD_TIMEOUT_PER_PEER = 0.5
"""Block intervals that a block may take, and per other peer (Core: ``BLOCK_DOWNLOAD_TIMEOUT_BASE``, ``_PER_PEER``)."""

LATE_AFTER = 30.0
"""Wall seconds without a block after which others that have nothing to do take over what a peer owes."""


class StallingTimeout:
    """The time for stalling peers, which adapts."""

    def __init__(self) -> None:
        self.seconds = STALLING_TIMEOUT

    def dropped_one(self) -> None:
        """A peer was dropped for stalling."""
        self.seconds = min(2 * self.seconds, MAX_STALLING_TIMEOUT)
        log.debug("Increased stalling timeout temporarily to %d seconds", self.seconds)

    def block_connected(self) -> None:
        if self.seconds > STALLING_TIMEOUT:
            self.seconds = max(float(floor(self.seconds * STALLING_DECAY)), STALLING_TIMEOUT)
            log.debug("Decreased stalling timeout to %d seconds", self.seconds)


def download_timeout(spacing: float, other_sources: int) -> float:
    """Wall seconds for the oldest block a peer owes, while so many other peers owe us blocks too."""
    return spacing * (DOWNLOAD_TIMEOUT_BASE + DOWNLOAD_TIMEOUT_PER_PEER * other_sources)

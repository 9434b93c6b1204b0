"""A receive budget: peers together hold no more than so many bytes that came in and are not handled yet.

One peer may announce a message of 4 MB and send it as slowly as it likes; a thousand of them would cost 4 GB. So who
receives a large message first claims its announced size, and waits while that is not to be had; a peer that waits is
not read, and TCP tells it so. Claims are granted in order. Who has held one for `HOLD_SECONDS` while others wait is
disconnected, the longest holder first: slow senders hold up the others for a while, but not for good. Once the message
is *complete* it is our turn: a block may wait long for others to be connected, which is not its sender's fault.

What is taken off a socket ahead of its turn counts too, and may take only a half: it can wait for long, and nobody
depends on it. Small messages are not counted: they are bounded per peer, by what is read from a socket at once.

Inbound peers and the peers that we chose have a budget each, so that a crowd of strangers cannot stop the latter.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from gevent.event import Event

from ccnode.clock import Clock

RECEIVE_BUDGET = 32_000_000
"""Bytes, for each of the two: eight of the largest messages."""

HOLD_SECONDS = 20.0
"""Steady seconds a large message may take while others wait: 200 kB/s for the largest."""


@dataclass(slots=True, eq=False)
class Claim:
    """Part of a budget, wanted or held by one connection."""

    size: int
    drop: Callable[[str], None]
    """Ends that connection."""
    settled: Event = field(default_factory=Event)
    """Set when it is granted or given back."""
    granted_at: float = 0.0
    """Steady seconds."""
    complete: bool = False
    """The message has come, and is being handled."""


class ReceiveBudget:
    """Grants claims up to a total size."""

    def __init__(self, size: int, clock: Clock) -> None:
        """:param size: bytes; at least one of the largest messages."""
        self._size = size
        self._clock = clock
        self._held: dict[Claim, None] = {}
        self._waiting: deque[Claim] = deque()
        self.used = 0
        """Bytes."""

    def wait_granted(self, claim: Claim) -> None:
        """Return when ``claim`` is granted, or was given back by `release` meanwhile."""
        self._waiting.append(claim)
        self._grant()
        while not claim.settled.wait(HOLD_SECONDS):
            if self._waiting[0] is claim:
                self._drop_longest_holder()

    def release(self, claim: Claim) -> None:
        """Give ``claim`` back, granted or not; a second time does nothing."""
        if claim in self._held:
            del self._held[claim]
            self.give(claim.size)
        elif not claim.settled.is_set():
            self._waiting.remove(claim)
            claim.settled.set()
            self._grant()

    def take_spare(self, size: int) -> bool:
        """Use ``size`` bytes if they leave half of the budget free."""
        spare = self.used + size <= self._size // 2
        if spare:
            self.used += size
        return spare

    def give(self, size: int) -> None:
        """Take `take_spare` back."""
        self.used -= size
        self._grant()

    def _grant(self) -> None:
        while self._waiting and self.used + self._waiting[0].size <= self._size:
            claim = self._waiting.popleft()
            self.used += claim.size
            self._held[claim] = None
            claim.granted_at = self._clock.steady()
            claim.settled.set()

    def _drop_longest_holder(self) -> None:
        holder = next((claim for claim in self._held if not claim.complete), None)  # in the order of granting
        if holder is not None and self._clock.steady() - holder.granted_at >= HOLD_SECONDS:
            holder.drop("its large message holds up others")

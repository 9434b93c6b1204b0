"""What peers that are gone had done wrong: the last `REMEMBERED` of those that had done anything."""

from collections import deque
from dataclasses import dataclass
from typing import Final

from ccnode.clock import Clock
from ccnode.peers.peer import Peer

REMEMBERED: Final = 100


@dataclass(frozen=True, slots=True)
class Offender:
    """One peer that is gone."""

    peer_id: int
    address: str
    score: int
    violations: dict[str, int]
    gone: float
    """Unix seconds."""
    reason: str


class Offenders:
    """The list, oldest first."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.gone: deque[Offender] = deque(maxlen=REMEMBERED)

    def note(self, peer: Peer) -> None:
        """The connection of ``peer`` has ended."""
        if peer.violations:
            reason = peer.disconnect_reason or "connection ended"
            self.gone.append(
                Offender(peer.id, peer.name, peer.misbehaviour_score, dict(peer.violations), self._clock.now(), reason)
            )

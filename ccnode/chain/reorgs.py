"""The last reorganisations of the active chain, for people who ask what happened.

A reorganisation is a change of the tip by which headers left the active chain: a branch with more work came, or the
tip's own branch was marked invalid. Only the last `MAX_REORGS` since the start are remembered, and of each only its
entries, which stay in the index for ever: a peer that has the work for many reorganisations gets no memory for it.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ccnode.chain.headers import HeaderChain
from ccnode.chain.index import TipChanged
from ccnode.clock import Clock

MAX_REORGS: Final = 100


@dataclass(frozen=True, slots=True)
class Reorg:
    """One reorganisation; ``fork`` and the tips are entries of the index."""

    time: float  # Unix seconds, by our clock
    fork: int  # the last entry that both chains share
    old_tip: int
    new_tip: int
    disconnected: int  # headers that left the active chain
    connected: int  # headers that joined it


class ReorgHistory:
    """Remembers the reorganisations of ``chain`` from now on."""

    def __init__(self, chain: HeaderChain, clock: Clock) -> None:
        self._clock = clock
        self._reorgs: deque[Reorg] = deque(maxlen=MAX_REORGS)
        chain.subscribe(self._tip_changed)

    def latest(self, count: int = MAX_REORGS) -> Sequence[Reorg]:
        """Up to ``count`` of them, the newest first."""
        return list(reversed(self._reorgs))[:count]

    def _tip_changed(self, change: TipChanged) -> None:
        if not change.is_reorg:
            return
        gone, come = len(change.disconnected), len(change.connected)
        self._reorgs.append(Reorg(self._clock.now(), change.fork, change.old_tip, change.new_tip, gone, come))

"""How far the synchronisation is, in the words and figures a person wants to see.

Headers come first, and their progress is shown as long as they come; then that of the blocks, if they are wanted.
"""

from collections import deque
from dataclasses import dataclass, replace
from enum import Enum

from ccnode.chain.headers import HeaderChain
from ccnode.clock import Clock
from ccnode.sync.block_progress import BlockMeter, BlockProgress
from ccnode.sync.leader import Leadership
from ccnode.sync.state import SyncPeer

RATE_WINDOW = 10.0
"""Steady seconds over which the rate is taken."""


class Phase(Enum):
    """What the synchronisation is doing."""

    NO_PEERS = "waiting for peers"
    PRESYNC = "presynchronizing headers"
    HEADERS = "synchronizing headers"
    BLOCKS = "downloading blocks"
    CONNECT = "connecting blocks"
    IMPORT = "reading blocks from files"
    STALE = "peers have nothing newer"
    SYNCED = "synchronized"


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """One look at the synchronisation."""

    phase: Phase
    height: int
    """Of the best header; during presync of the best header *stored*; of the tip where blocks are downloaded."""
    best_time: int
    """Its time, Unix seconds."""
    percent: float
    """0 to 100: of the headers, by the time left and the block spacing; of the blocks as Core guesses it."""
    rate: float
    """Headers per second (in presync: headers looked at), or blocks."""
    eta: float | None
    """Seconds left at this rate, None if unknown."""
    presync_height: int | None
    """How far the low-work presync is, if there is one."""
    low_work: bool
    """The chain that peers showed has less work than the network's minimum and was not stored."""


class ProgressMeter:
    """Computes `SyncProgress`; keeps a few samples for the rate."""

    def __init__(
        self,
        chain: HeaderChain,
        peers: dict[int, SyncPeer],
        leadership: Leadership,
        clock: Clock,
        blocks: BlockMeter | None = None,
    ) -> None:
        self._blocks = blocks
        self._chain = chain
        self._peers = peers
        self._leadership = leadership
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()

    def progress(self) -> SyncProgress:
        """Of the headers, or of the blocks if it is those that we wait for."""
        headers = self._header_progress()
        blocks = None if self._blocks is None else self._blocks.progress()
        phase = None if blocks is None else _phase_of_blocks(blocks, headers.phase)
        if blocks is None or phase is None:
            return headers
        return replace(
            headers,
            phase=phase,
            height=blocks.height,
            best_time=blocks.time,
            percent=100.0 * blocks.fraction,
            rate=blocks.rate,
            eta=blocks.eta,
        )

    def verified(self) -> float:
        """Core's ``verificationprogress``, 0 to 1; of headers where they are all there is."""
        return min(1.0, self._header_progress().percent / 100) if self._blocks is None else self._blocks.fraction()

    def _header_progress(self) -> SyncProgress:
        index = self._chain.index
        best = index.best_header
        height, best_time = index.height(best), index.time(best)
        presync_height, presync_time = self._presync()
        phase = self._phase(presync_height)
        shown_height, shown_time = height, best_time
        if presync_height is not None:
            shown_height, shown_time = presync_height, presync_time
        left = max(0.0, self._clock.now() - shown_time) / self._chain.params.spacing
        rate = self._rate(shown_height)
        done = phase is Phase.SYNCED
        return SyncProgress(
            phase=phase,
            height=height,
            best_time=best_time,
            percent=100.0 if done else 100.0 * shown_height / max(1.0, shown_height + left),
            rate=rate,
            eta=left / rate if rate > 0 and not done else None,
            presync_height=presync_height,
            low_work=self._leadership.low_work_only,
        )

    def _presync(self) -> tuple[int | None, int]:
        syncs = [state.low_work for state in self._peers.values() if state.low_work is not None]
        if not syncs:
            return None, 0
        furthest = max(syncs, key=lambda sync: sync.presync_height)
        return furthest.presync_height, furthest.presync_time

    def _phase(self, presync_height: int | None) -> Phase:
        if not self._peers:
            return Phase.NO_PEERS
        if presync_height is not None:
            return Phase.PRESYNC
        if self._leadership.tip_is_recent():
            return Phase.SYNCED
        if self._leadership.leader is None and any(state.started for state in self._peers.values()):
            return Phase.STALE
        return Phase.HEADERS

    def _rate(self, height: int) -> float:
        now = self._clock.steady()
        samples = self._samples
        if samples and height < samples[-1][1]:  # another phase began, or a reorganisation
            samples.clear()
        samples.append((now, height))
        while samples[0][0] < now - RATE_WINDOW and len(samples) > 2:
            samples.popleft()
        (first_time, first_height), (last_time, last_height) = samples[0], samples[-1]
        return (last_height - first_height) / (last_time - first_time) if last_time > first_time else 0.0


def _phase_of_blocks(blocks: BlockProgress, headers: Phase) -> Phase | None:
    """What is done about blocks; None while headers are what matters."""
    if blocks.importing:
        return Phase.IMPORT
    if not blocks.behind:
        return None
    if headers in (Phase.SYNCED, Phase.STALE):
        return Phase.BLOCKS
    return Phase.CONNECT if headers is Phase.NO_PEERS and blocks.rate > 0 else None

"""How far the validation of blocks is (Core: ``GuessVerificationProgress``).

A block of today takes a thousand times as long as one of the first years. So the measure is the transactions validated
so far, against all there are by now: known up to some day for the networks that people use, and from there on estimated
by the rate of that day. For other networks it is the height against that of the best header.
"""

from collections import deque
from dataclasses import dataclass

from ccnode.chain.headers import HeaderChain
from ccnode.clock import Clock
from ccnode.sync.download import Blocks

RATE_WINDOW = 60.0
"""Steady seconds over which the rates are taken: blocks differ much in size."""

ABOUT_THERE = 6
"""After the initial download, so many blocks behind the best header are what a moment brings."""


@dataclass(frozen=True, slots=True)
class BlockProgress:
    """One look at the validation."""

    height: int
    """Of the last connected block."""
    time: int
    """Its time, Unix seconds."""
    fraction: float
    """0 to 1: Core's ``verificationprogress``."""
    rate: float
    """Blocks connected per second."""
    eta: float | None
    """Seconds left at the present speed, None if unknown."""
    behind: bool
    """Blocks of the best header's chain are missing, more than a new one or two."""
    importing: bool
    """Blocks are being read from files."""


class BlockMeter:
    """Computes `BlockProgress`; keeps samples for the rates."""

    def __init__(self, chain: HeaderChain, blocks: Blocks, clock: Clock) -> None:
        self._chain = chain
        self._blocks = blocks
        self._clock = clock
        self._samples: deque[tuple[float, int, float]] = deque()
        """(steady seconds, height, work done in the measure of `_done_and_total`)."""

    def fraction(self) -> float:
        """How far, from 0 to 1."""
        done, total = self._done_and_total()
        return min(1.0, done / total)

    def progress(self) -> BlockProgress:
        index = self._chain.index
        tip, height = index.tip, index.height(index.tip)
        done, total = self._done_and_total()
        block_rate, speed = self._rates(height, done)
        missing = index.height(index.best_header) - height
        return BlockProgress(
            height=height,
            time=index.time(tip),
            fraction=min(1.0, done / total),
            rate=block_rate,
            eta=max(0.0, total - done) / speed if speed > 0 else None,
            behind=missing > (0 if self._chain.is_ibd() else ABOUT_THERE),
            importing=self._blocks.importing,
        )

    def _done_and_total(self) -> tuple[float, float]:
        """Transactions, or blocks, that are validated, and that there are."""
        index, history = self._chain.index, self._chain.params.tx_history
        tip, best = index.tip, index.best_header
        done = self._blocks.chain_tx(tip)
        if history is None or not done:
            return index.height(tip) + 1, max(index.height(tip), index.height(best)) + 1
        now = self._clock.now()
        if done <= history.count:
            return done, history.count + max(0.0, now - history.time) * history.rate
        return done, done + max(0.0, now - index.time(tip)) * history.rate if tip != best else done

    def _rates(self, height: int, done: float) -> tuple[float, float]:
        """Blocks per second, and the measure's units per second."""
        now, samples = self._clock.steady(), self._samples
        if samples and height < samples[-1][1]:  # a reorganisation
            samples.clear()
        samples.append((now, height, done))
        while samples[0][0] < now - RATE_WINDOW and len(samples) > 2:
            samples.popleft()
        first, last = samples[0], samples[-1]
        seconds = last[0] - first[0]
        return ((last[1] - first[1]) / seconds, (last[2] - first[2]) / seconds) if seconds > 0 else (0.0, 0.0)

"""Version bits: soft forks that miners turn on by signals in header versions (BIP9; Core: ``versionbits.cpp``).

A version whose top three bits are 001 says by each of the other 29 whether its miner is ready for a deployment. Headers
are counted by whole periods, and a deployment goes one step at most from period to period: *defined*, until its start
time; *started*, while signals are counted; *locked in*, once a period had enough of them; *active* a period later, not
below a height of its own; *failed*, if the timeout comes first. Times are medians of the last eleven headers, and a
block's state follows from its ancestors alone, so all blocks of a period agree.

Every soft fork that Bitcoin has is decided, and their heights are settled numbers (`SoftForks`). What is left is a
dummy on regtest, by which programs that mine are tested; nothing depends on its state. The same counting warns of soft
forks that this version does not know: once miners turned one on, the node may take blocks for valid that others refuse.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from ccnode.chain.headers import HeaderChain
from ccnode.chain.params import Deployment

TOP_BITS: Final = 0x20000000
"""A version that signals begins with these three bits (``VERSIONBITS_TOP_BITS``)."""
TOP_MASK: Final = 0xE0000000
BITS: Final = 29
"""Bits that are left for signals."""


class State(Enum):
    """Of a deployment, as Core names it."""

    DEFINED = "defined"
    STARTED = "started"
    LOCKED_IN = "locked_in"
    ACTIVE = "active"
    FAILED = "failed"


COUNTED: Final = (State.STARTED, State.LOCKED_IN)
"""While miners are to signal."""


@dataclass(frozen=True, slots=True)
class Signals:
    """The signals for a deployment in a period, up to some block."""

    period: int  # blocks
    threshold: int
    blocks: tuple[bool, ...]  # which of those that have come signal, the period's first at the front

    @property
    def elapsed(self) -> int:
        """Blocks that have come."""
        return len(self.blocks)

    @property
    def count(self) -> int:
        """Those that signal."""
        return sum(self.blocks)

    @property
    def possible(self) -> bool:
        """Whether the period can still reach the threshold."""
        return self.period - self.threshold >= self.elapsed - self.count


class VersionBits:
    """The states of deployments along a chain. Periods are looked at once: what is found is kept."""

    def __init__(self, chain: HeaderChain) -> None:
        self._chain = chain
        self._index = chain.index
        self.deployments: Sequence[Deployment] = chain.params.deployments
        self._states: dict[tuple[Deployment, int], State] = {}
        self._counts: dict[tuple[int, int], tuple[int, ...]] = {}

    def state(self, deployment: Deployment, parent: int | None) -> State:
        """Of the block after ``parent``; the genesis has none."""
        return self._walk(deployment, parent, self._count, lambda: None)

    def since(self, deployment: Deployment, parent: int | None) -> int:
        """The height from which that state has held on this chain."""
        state = self.state(deployment, parent)
        if state is State.DEFINED or deployment.start_time < 0:
            return 0
        end = self._period_end(parent, deployment.period)
        assert end is not None  # else the state would be the first
        while (before := self._earlier(end, deployment.period)) is not None:
            if self.state(deployment, before) is not state:
                break
            end = before
        return self._index.height(end) + 1

    def signals(self, deployment: Deployment, entry: int) -> Signals:
        """In the period of ``entry``, up to it."""
        blocks = 1 + self._index.height(entry) % deployment.period
        masks = self._masks(entry, blocks)
        return Signals(
            deployment.period, deployment.threshold, tuple(bool(mask >> deployment.bit & 1) for mask in masks)
        )

    def block_version(self, parent: int | None) -> int:
        """The version of a block after ``parent`` that is ready for all that this node knows."""
        version = TOP_BITS
        for deployment in self.deployments:
            if self.state(deployment, parent) in COUNTED:
                version |= 1 << deployment.bit
        return version

    def unknown(self, tip: int, *, between: Callable[[], object] = lambda: None) -> list[int]:
        """Bits by which something that this node does not know is active after ``tip``.

        The first time this takes a good part of a second on a long chain: ``between`` is called again and again, to
        let others run.
        """
        signals = self._chain.params.unknown_signals
        if signals is None:
            return []
        found = []
        for bit in range(BITS):
            watched = Deployment("unknown", bit, period=signals.period, threshold=signals.threshold)
            if self._walk(watched, tip, self._count_unknown, between) is State.ACTIVE:
                found.append(bit)
        return found

    def _walk(
        self,
        deployment: Deployment,
        parent: int | None,
        count: Callable[[Deployment, int], int],
        between: Callable[[], object],
    ) -> State:
        """Back to a period whose state is known, and forward again."""
        if deployment.start_time < 0:
            return State.ACTIVE if deployment.start_time == Deployment.ALWAYS_ACTIVE else State.FAILED
        end = self._period_end(parent, deployment.period)
        unseen: list[int] = []
        while end is not None and (deployment, end) not in self._states:
            unseen.append(end)
            end = self._earlier(end, deployment.period)
        state = State.DEFINED if end is None else self._states[deployment, end]
        for end in reversed(unseen):
            state = self._next(deployment, state, end, count)
            self._states[deployment, end] = state
            between()
        return state

    def _next(self, deployment: Deployment, state: State, end: int, count: Callable[[Deployment, int], int]) -> State:
        """The state of the period after the one that ``end`` is the last block of, whose state is ``state``."""
        time = self._index.median_time_past(end)
        if state is State.DEFINED and time >= deployment.start_time:
            return State.STARTED
        if state is State.STARTED:
            if count(deployment, end) >= deployment.threshold:
                return State.LOCKED_IN
            return State.FAILED if time >= deployment.timeout else state
        if state is State.LOCKED_IN and self._index.height(end) + 1 >= deployment.min_activation_height:
            return State.ACTIVE
        return state

    def _count(self, deployment: Deployment, end: int) -> int:
        """Signals in the whole period that ends with ``end``."""
        return self._counts_of(end, deployment.period)[deployment.bit]

    def _count_unknown(self, watched: Deployment, end: int) -> int:
        """The same for a bit that may be a known deployment's.

        Known deployments' periods are these as well, so what is expected of a period's first block is of all.
        """
        signals = self._chain.params.unknown_signals
        first = self._index.height(end) + 1 - watched.period
        if signals is None or first < signals.from_height:
            return 0
        if self.block_version(self._earlier(end, watched.period)) >> watched.bit & 1:
            return 0
        return self._count(watched, end)

    def _counts_of(self, end: int, period: int) -> tuple[int, ...]:
        """For each bit, how many blocks signal by it in the period that ends with ``end``."""
        counts = self._counts.get((end, period))
        if counts is None:
            masks = [mask for mask in self._masks(end, period) if mask]
            counts = tuple(sum(mask >> bit & 1 for mask in masks) for bit in range(BITS))
            self._counts[end, period] = counts
        return counts

    def _masks(self, entry: int, count: int) -> list[int]:
        """What the last ``count`` blocks up to ``entry`` signal, by rising height; nothing below the first header."""
        index = self._index
        before = index.height(entry) - count
        entries = list(index.branch(index.ancestor(entry, max(before, index.base_height)), entry))
        if before < index.base_height:
            entries.insert(0, 0)
        versions = self._chain.format.columns(self._chain.headers_bytes(entries)).versions
        return [version & ~TOP_MASK if version & TOP_MASK == TOP_BITS else 0 for version in versions]

    def _period_end(self, parent: int | None, period: int) -> int | None:
        """The last block of the last whole period up to ``parent``; None if there is none that we know."""
        if parent is None:
            return None
        height = self._index.height(parent)
        height -= (height + 1) % period
        return self._index.ancestor(parent, height) if height >= self._index.base_height else None

    def _earlier(self, end: int, period: int) -> int | None:
        """The last block of the period before the one that ends with ``end``."""
        height = self._index.height(end) - period
        return self._index.ancestor(end, height) if height >= self._index.base_height else None

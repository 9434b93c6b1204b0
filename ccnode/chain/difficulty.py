"""Difficulty: which ``bits`` a header must carry, given the chain it extends. (Core: ``pow.cpp``; BIP94.)

Bitcoin keeps the target for a period of 2016 headers and then scales it by how long the period took, at most fourfold
either way. The period is measured from its first to its last header, 2015 gaps: an old slip that is consensus now, and
the root of the time-warp attack. The test networks bend this rule:

- *minimum difficulty* (testnet3, testnet4, regtest): a header dated more than twenty minutes after its parent may be
  mined at the limit; the next one returns to the bits of the last header that was not. Testnet3 retargets from the last
  header of a period, so that one lazy header there resets the difficulty of the whole network.
- *BIP94* (testnet4): retargets start from the first header of the period instead, which cures that; and the first
  header of a period may not be dated more than ten minutes before its parent, which ends the time warp.
- *no retargeting* (regtest): the bits of the genesis for ever.

A rule is a value of a network's parameters. It answers for a batch at a time (`required_bits`), because that is how
headers come: within a period the answer is one number for all. The batch's own earlier headers count as ancestors, by
their times and by the bits they were required to have; the answer for a header is therefore right provided that all
before it in the batch are.

`permitted_transition` is the weaker question that can be asked without ancestors: could ``new`` follow ``old`` here?
Low-work synchronisation uses it. It does not detect bits that are wrong but possible.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from ccnode.chain.pow import decode_compact, encode_compact

TIMEWARP_GRACE = 600
"""Seconds that the first header of a period may be dated before its parent (BIP94, ``MAX_TIMEWARP``)."""

RETARGET_FACTOR = 4
"""A retarget moves the target by at most this factor, either way."""


class ChainView(Protocol):
    """What a rule may ask about the ancestors of a header. Entries are numbers; a parent's is always lower."""

    def height(self, n: int, /) -> int: ...

    def time(self, n: int, /) -> int: ...

    def bits(self, n: int, /) -> int: ...

    def parent(self, n: int, /) -> int | None: ...

    def ancestor(self, n: int, height: int, /) -> int: ...

    def same_bits_since(self, n: int, /) -> int:
        """An ancestor of ``n``, or ``n``, such that it and all between carry the same bits: far back, if cheap."""
        ...


class DifficultyRule(Protocol):
    """How a network sets its bits."""

    @property
    def interval(self) -> int:
        """Headers per period."""
        ...

    def required_bits(self, chain: ChainView, parent: int, times: Sequence[int]) -> list[int]:
        """The bits that headers dated ``times``, each extending the one before and the first ``parent``, must have."""
        ...

    def permitted_transition(self, height: int, old_bits: int, new_bits: int) -> bool:
        """Whether a header at ``height`` may carry ``new_bits`` when its parent carries ``old_bits``."""
        ...

    def timewarp_heights(self, first: int, stop: int) -> range:
        """Heights in [first, stop) whose header may not be dated over `TIMEWARP_GRACE` before its parent."""
        ...


@dataclass(frozen=True, slots=True)
class BitcoinDifficulty:
    """Bitcoin's rule and its test network variants. The names are Core's ``Consensus::Params``."""

    pow_limit: int
    target_spacing: int = 600  # seconds
    target_timespan: int = 14 * 24 * 60 * 60  # seconds
    allow_min_difficulty_blocks: bool = False
    no_retargeting: bool = False
    enforce_bip94: bool = False

    @property
    def interval(self) -> int:
        """See `DifficultyRule`."""
        return self.target_timespan // self.target_spacing

    def required_bits(self, chain: ChainView, parent: int, times: Sequence[int]) -> list[int]:
        """See `DifficultyRule`. Goes period by period, and inside a period all at once where the network allows."""
        fill = self._fill_min_difficulty if self.allow_min_difficulty_blocks else self._fill_constant
        start = chain.height(parent) + 1
        required: list[int] = []
        while len(required) < len(times):
            height = start + len(required)
            if height % self.interval == 0:
                required.append(self._at_boundary(chain, parent, times, required))
            else:
                end_of_period = height + self.interval - height % self.interval - start
                fill(chain, parent, times, min(end_of_period, len(times)), required)
        return required

    def permitted_transition(self, height: int, old_bits: int, new_bits: int) -> bool:
        """See `DifficultyRule`. Anything goes where minimum-difficulty headers are allowed."""
        if self.allow_min_difficulty_blocks:
            return True
        if height % self.interval:
            return new_bits == old_bits
        quickest = self._scaled(old_bits, self.target_timespan // RETARGET_FACTOR)
        slowest = self._scaled(old_bits, self.target_timespan * RETARGET_FACTOR)
        return decode_compact(quickest)[0] <= decode_compact(new_bits)[0] <= decode_compact(slowest)[0]

    def timewarp_heights(self, first: int, stop: int) -> range:
        """See `DifficultyRule`: the period starts, under BIP94."""
        return range(first + -first % self.interval, stop, self.interval) if self.enforce_bip94 else range(0)

    def _at_boundary(self, chain: ChainView, parent: int, times: Sequence[int], required: list[int]) -> int:
        """The bits of the first header of a period: the retarget."""
        start = chain.height(parent) + 1
        last_bits = required[-1] if required else chain.bits(parent)
        if self.no_retargeting:
            return last_bits
        last_time = times[len(required) - 1] if required else chain.time(parent)
        first = len(required) - self.interval  # the old period's first header, as an index into the batch
        if first >= 0:
            first_time, first_bits = times[first], required[first]
        else:
            entry = chain.ancestor(parent, start + first)
            first_time, first_bits = chain.time(entry), chain.bits(entry)
        shortest, longest = self.target_timespan // RETARGET_FACTOR, self.target_timespan * RETARGET_FACTOR
        timespan = min(max(last_time - first_time, shortest), longest)
        return self._scaled(first_bits if self.enforce_bip94 else last_bits, timespan)

    # Each fill answers for the headers up to ``stop``, which are in one period with the last that has an answer.

    def _fill_constant(
        self, chain: ChainView, parent: int, _times: Sequence[int], stop: int, required: list[int]
    ) -> None:
        """Inside a period every header repeats its parent's bits."""
        bits = required[-1] if required else chain.bits(parent)
        required.extend([bits] * (stop - len(required)))

    def _fill_min_difficulty(
        self, chain: ChainView, parent: int, times: Sequence[int], stop: int, required: list[int]
    ) -> None:
        """Inside a period: the limit for a late header, else the bits of the last one that was not at the limit."""
        limit = encode_compact(self.pow_limit)
        normal = self._last_normal_bits(chain, parent, required)
        if normal == limit:  # always so on regtest
            required.extend([limit] * (stop - len(required)))
            return
        previous = times[len(required) - 1] if required else chain.time(parent)
        for time in times[len(required) : stop]:
            required.append(limit if time > previous + 2 * self.target_spacing else normal)
            previous = time

    def _last_normal_bits(self, chain: ChainView, parent: int, required: list[int]) -> int:
        """Bits of the last ancestor that either is not at the limit or begins a period."""
        limit = encode_compact(self.pow_limit)
        if required:  # a fill starts right after a boundary, unless it starts the batch
            return required[-1]
        entry: int | None = parent
        while entry is not None:
            bits = chain.bits(entry)
            oldest = chain.same_bits_since(entry)
            height = chain.height(entry)
            if bits != limit or chain.height(oldest) <= height - height % self.interval:
                return bits
            entry = chain.parent(oldest)
        return limit

    def _scaled(self, bits: int, timespan: int) -> int:
        """``bits`` after a period that took ``timespan`` seconds."""
        target = decode_compact(bits)[0] * timespan // self.target_timespan
        return encode_compact(min(target, self.pow_limit))

"""The rules for headers. (Core: ``AcceptBlockHeader``, ``CheckBlockHeader``, ``ContextualCheckBlockHeader``.)

In order:

1. the hash meets the header's own target, and that is within the network's limit (``high-hash``)
2. the header extends the one before it, and the first a known one (``prev-blk-not-found``) that is valid
   (``bad-prevblk``)
3. ``bits`` is what the difficulty rule asks for (``bad-diffbits``)
4. the time is after the median of the last eleven (``time-too-old``), which keeps it from being turned back; at the
   start of a BIP94 period not over ten minutes before the parent's (``time-timewarp-attack``); and at most two hours
   ahead of our clock (``time-too-new``), the one rule that time heals
5. the version is one that the soft forks active at that height allow (``bad-version(0x...)``)
6. the hash is the checkpoint's, where one is configured (``checkpoint mismatch``)

Headers come in batches, and nearly every batch is fine, so each rule looks at a whole batch at once, in bulk. A rule
answers with the first header that breaks it. It need only look *before* the earliest fault that an earlier rule has
found; what remains in the end is the first bad header and, of the rules it breaks, the first: the verdict that checking
one header after another would give.

What the rules do not protect against: a valid chain that is merely cheap. Before headers take up memory the caller
compares their work with `ccnode.chain.headers.HeaderChain.anti_dos_work_threshold`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ccnode.chain.difficulty import TIMEWARP_GRACE
from ccnode.chain.index import MEDIAN_TIME_SPAN, HeaderIndex
from ccnode.chain.params import ChainParams
from ccnode.chain.verdict import HeaderVerdict, ValidationResult

MAX_FUTURE_BLOCK_TIME = 2 * 60 * 60
"""Seconds that a header may be ahead of the local clock (Core: ``chain.h``)."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """New headers, each extending the one before and the first ``parent``, with what the rules need to know."""

    params: ChainParams
    index: HeaderIndex
    parent: int
    height: int  # of the first
    hashes: Sequence[bytes]
    versions: Sequence[int]
    times: Sequence[int]
    bits: Sequence[int]
    now: float  # local clock, Unix seconds


Rule = Callable[[Candidates, int], tuple[int, str] | None]


def first_fault(new: Candidates, known_fault: HeaderVerdict | None) -> HeaderVerdict | None:
    """The verdict on the first header that breaks a rule, given that of the rules that need no context."""
    fault = known_fault
    for rule in _RULES:
        found = rule(new, len(new.hashes) if fault is None else fault.index)
        if found is not None:
            position, reason = found
            result = ValidationResult.TIME_FUTURE if rule is _time_too_new else ValidationResult.INVALID_HEADER
            fault = HeaderVerdict(result, reason, position, new.hashes[position])
    return fault


# Each rule looks at the headers before ``end`` and answers with the first that breaks it, and the reject reason.


def _bad_bits(new: Candidates, end: int) -> tuple[int, str] | None:
    claimed = new.bits[:end]
    required = new.params.difficulty.required_bits(new.index, new.parent, new.times[:end])
    if required == claimed:
        return None
    return next(i for i in range(end) if required[i] != claimed[i]), "bad-diffbits"


def _time_too_old(new: Candidates, end: int) -> tuple[int, str] | None:
    """A time above all before it needs no median: that spares nearly all headers the sorting."""
    history = new.index.recent_times(new.parent)
    known = len(history)
    highest = max(history)
    history.extend(new.times[:end])
    for i, time in enumerate(new.times[:end]):
        if time > highest:
            highest = time
            continue
        window = sorted(history[max(0, known + i - MEDIAN_TIME_SPAN) : known + i])
        if time <= window[len(window) // 2]:
            return i, "time-too-old"
    return None


def _timewarp(new: Candidates, end: int) -> tuple[int, str] | None:
    for height in new.params.difficulty.timewarp_heights(new.height, new.height + end):
        i = height - new.height
        parent_time = new.times[i - 1] if i else new.index.time(new.parent)
        if new.times[i] < parent_time - TIMEWARP_GRACE:
            return i, "time-timewarp-attack"
    return None


def _time_too_new(new: Candidates, end: int) -> tuple[int, str] | None:
    latest = new.now + MAX_FUTURE_BLOCK_TIME
    if max(new.times[:end], default=0) <= latest:
        return None
    return next(i for i in range(end) if new.times[i] > latest), "time-too-new"


def _bad_version(new: Candidates, end: int) -> tuple[int, str] | None:
    """What is required rises with the height, so it is highest for the last header."""
    required = new.params.soft_forks.required_version
    highest = required(new.height + end - 1)
    if min(new.versions[:end], default=highest) >= highest:
        return None
    for i, version in enumerate(new.versions[:end]):
        if version < required(new.height + i):
            return i, f"bad-version(0x{version & 0xFFFFFFFF:08x})"
    return None


def _checkpoint_mismatch(new: Candidates, end: int) -> tuple[int, str] | None:
    for height, block_hash in sorted(new.params.checkpoints.items()):
        i = height - new.height
        if 0 <= i < end and new.hashes[i] != block_hash:
            return i, "checkpoint mismatch"
    return None


_RULES: tuple[Rule, ...] = (
    _bad_bits,
    _time_too_old,
    _timewarp,
    _time_too_new,
    _bad_version,
    _checkpoint_mismatch,
)

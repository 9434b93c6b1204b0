"""The header chain: the one way in for headers.

`HeaderChain.accept` takes a batch and does, in this order: drop what is known, check the rules, write the new headers
to the store, add them to the index, tell the subscribers. The store's ``append`` returns once the bytes would survive
the death of the process, so nobody ever sees a header that a restart could lose; if it fails, nothing has changed.

All headers before the first bad one are accepted: one bad header does not spoil the good ones before it.

A node that validates blocks calls `separate`: from then on the best header is one thing and the tip another, which
follows the blocks (`set_active`). Subscribers hear of the tip; those who look ahead ask for the best header as well.

Two thresholds guard the memory that headers take (Core: ``GetAntiDoSWorkThreshold``, ``IsInitialBlockDownload``). The
chain does not apply them itself, since it cannot know who vouches for a header; synchronisation asks before it accepts.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ccnode.chain.batch import HeaderBatch, check_batch
from ccnode.chain.formats import Header
from ccnode.chain.index import HeaderIndex, TipChanged
from ccnode.chain.loading import load_records
from ccnode.chain.params import ChainParams
from ccnode.chain.pow import block_proof
from ccnode.chain.rules import Candidates, first_fault
from ccnode.chain.verdict import HeaderVerdict, ValidationResult
from ccnode.clock import Clock
from ccnode.errors import StorageError

__all__ = [
    "AcceptResult",
    "ChainStart",
    "HeaderBatch",
    "HeaderChain",
    "HeaderStore",
    "HeaderVerdict",
    "TipChanged",
    "ValidationResult",
]

ANTI_DOS_BLOCKS = 144
"""Headers that start this many tip blocks' work below the tip are worth a look without further proof."""

DEFAULT_MAX_TIP_AGE = 24 * 60 * 60
"""Seconds since the tip's time after which the node believes that it is behind (Core: ``-maxtipage``)."""

STALE_RELAY_AGE_LIMIT = 30 * 24 * 60 * 60
"""Seconds; stale headers older than this are not shown to peers, who could tell nodes apart by them."""


class HeaderStore(Protocol):
    """Where header bytes live. Records are numbered like the entries of the index, from 0."""

    def append(self, headers: Sequence[bytes]) -> None:
        """Add records. They survive the death of the process once this returns; StorageError if they cannot."""
        ...

    def read(self, number: int, count: int) -> bytes:
        """``count`` headers from ``number`` on, back to back."""
        ...

    def load(self) -> Iterable[bytes]:
        """All headers in order, in pieces of whole headers back to back, with their integrity checked."""
        ...


@dataclass(frozen=True, slots=True)
class ChainStart:
    """A trusted header to start from instead of the genesis: what came before is neither known nor asked for.

    The first retarget needs the whole period before it, so ``height`` should begin a period.
    """

    header: bytes
    height: int
    chain_work: int  # including the header's own proof


@dataclass(frozen=True, slots=True)
class AcceptResult:
    """What became of a batch."""

    accepted: int  # headers that are new in the chain
    last: int | None  # entry of the last header that is in the chain now, new or not; None if not even the first is
    verdict: HeaderVerdict | None = None  # on the first bad header
    tip_change: TipChanged | None = None  # of the best header


class HeaderChain:
    """The validated headers of one network, in memory and in a store. Call `load` before anything else."""

    def __init__(
        self,
        params: ChainParams,
        store: HeaderStore,
        clock: Clock,
        *,
        start: ChainStart | None = None,
        max_tip_age: float = DEFAULT_MAX_TIP_AGE,
    ) -> None:
        """``max_tip_age`` is in seconds."""
        self.params = params
        self.format = params.header_format
        self._store = store
        self._clock = clock
        self._start = start.header if start else params.genesis
        self._max_tip_age = max_tip_age
        self._was_in_ibd = True
        self._subscribers: list[Callable[[TipChanged], None]] = []
        self.on_marks: Callable[[Sequence[bytes]], object] = lambda _marks: None
        """Given all invalid marks, as `load` wants them, whenever they change: to be stored. It must not block."""
        self.is_importing: Callable[[], bool] = lambda: False
        """Whether blocks are being read from files."""
        self._separate = False
        self._was_validated: Callable[[int], bool] = lambda _n: True
        bits, time = self._parse(self._start).bits, self._parse(self._start).time
        self.index = HeaderIndex(
            self.format.hash(self._start),
            time,
            bits,
            height=start.height if start else 0,
            chain_work=start.chain_work if start else block_proof(bits),
        )

    def load(self, invalid_marks: Iterable[bytes] = (), *, between: Callable[[], object] = lambda: None) -> None:
        """Fill the index from the store and mark the given hashes invalid. An empty store gets the first header.

        StorageError if the store begins with another header or holds one that extends no earlier one. Nobody is told of
        the tip that results. A million headers make as many new objects: suspend garbage collection meanwhile. They
        take seconds as well: ``between`` is called again and again, to let others run.
        """
        size = self.format.size
        empty = True
        for chunk in self._store.load():
            joined = bytes(chunk)
            if empty:
                if joined[:size] != self._start:
                    raise StorageError(f"the header store does not begin with the first header of {self.params.name}")
                joined = joined[size:]
                empty = False
            load_records(self.index, self.format, joined)
            between()
        if empty:
            self._store.append([self._start])
        for block_hash in invalid_marks:
            n = self.index.find(block_hash)
            if n:  # unknown ones are none of ours; entry 0 is trusted
                self.index.invalidate(n)

    # New headers

    def check_batch(self, headers: Sequence[bytes], *, hashes: Sequence[bytes] | None = None) -> HeaderBatch:
        """What can be checked without context: proof of work and continuity. Every header must have the right size.

        ``hashes``, if given, must be those of the headers.
        """
        return check_batch(self.format, self.params.pow_limit, headers, hashes)

    def accept(self, headers: Sequence[bytes] | HeaderBatch, *, hashes: Sequence[bytes] | None = None) -> AcceptResult:
        """Take in headers that follow one another; known ones are skipped. See the module's text for the order.

        What `check_batch` returned is not checked again; ``hashes`` of raw headers save hashing them. Raises
        StorageError, with nothing changed, if the headers cannot be stored.
        """
        batch = headers if isinstance(headers, HeaderBatch) else self.check_batch(headers, hashes=hashes)
        known = self._count_known(batch)
        last = self.index.find(batch.hashes[known - 1]) if known else None
        if last is not None and self.index.is_invalid(last):
            return self._cached_invalid(batch, known)
        if known == len(batch):
            return AcceptResult(0, last)
        parent = last if last is not None else self._parent_of_first(batch)
        if isinstance(parent, HeaderVerdict):
            return AcceptResult(0, None, parent)
        return self._accept_new(batch.after(known), parent, known)

    def _count_known(self, batch: HeaderBatch) -> int:
        """How many headers at the front are in the index; a known header's ancestors all are."""
        find = self.index.find
        end = len(batch) if batch.verdict is None else batch.verdict.index
        return bisect_left(batch.hashes, True, 0, end, key=lambda block_hash: find(block_hash) is None)

    def _cached_invalid(self, batch: HeaderBatch, known: int) -> AcceptResult:
        entries = [n for n in map(self.index.find, batch.hashes[:known]) if n is not None]
        i = bisect_left(entries, True, key=self.index.is_invalid)
        verdict = HeaderVerdict(ValidationResult.CACHED_INVALID, "duplicate-invalid", i, batch.hashes[i])
        return AcceptResult(0, entries[i - 1] if i else None, verdict)

    def _parent_of_first(self, batch: HeaderBatch) -> int | HeaderVerdict:
        """The entry that an unknown first header extends, or why it cannot; its proof of work comes before that."""
        if batch.verdict is not None and batch.verdict.index == 0:
            return batch.verdict
        parent = self.index.find(batch.columns.prevs[0])
        if parent is None:
            return HeaderVerdict(ValidationResult.MISSING_PARENT, "prev-blk-not-found", 0, batch.hashes[0])
        if self.index.is_invalid(parent):
            return HeaderVerdict(ValidationResult.INVALID_PARENT, "bad-prevblk", 0, batch.hashes[0])
        return parent

    def _accept_new(self, new: HeaderBatch, parent: int, skipped: int) -> AcceptResult:
        """Judge headers with a valid parent, and take in those before the first bad one."""
        candidates = self._candidates(new, parent)
        times, bits = candidates.times, candidates.bits
        fault = first_fault(candidates, new.verdict)
        count = len(new) if fault is None else fault.index
        change = None
        if count:
            self._store.append(new.headers[:count])
            change = self.index.add(parent, new.hashes[:count], times[:count], bits[:count])
            parent = len(self.index) - 1
            self._best_moved(change)
        if fault is not None:
            fault = replace(fault, index=fault.index + skipped)
        return AcceptResult(count, parent if count or skipped else None, fault, change)

    def judge_on(self, parent: int, header: bytes) -> HeaderVerdict | None:
        """What is wrong with a header in its place on ``parent``, its proof of work aside."""
        columns = self.format.columns([header])
        batch = HeaderBatch([header], [self.format.hash(header)], columns, None)
        return first_fault(self._candidates(batch, parent), None)

    def _candidates(self, new: HeaderBatch, parent: int) -> Candidates:
        versions, _, times, bits = new.columns
        return Candidates(
            params=self.params,
            index=self.index,
            parent=parent,
            height=self.index.height(parent) + 1,
            hashes=new.hashes,
            versions=versions,
            times=times,
            bits=bits,
            now=self._clock.now(),
        )

    # Marks and events

    def invalidate(self, n: int) -> TipChanged | None:
        """Mark an entry and thereby its descendants invalid; ValueError for the first header of the chain."""
        change = self.index.invalidate(n)
        self.on_marks(self.invalid_marks())
        self._best_moved(change)
        return change

    def reconsider(self, n: int) -> TipChanged | None:
        """Take back the invalid marks on an entry, its ancestors and its descendants."""
        change = self.index.reconsider(n)
        self.on_marks(self.invalid_marks())
        self._best_moved(change)
        return change

    def prefer(self, n: int) -> TipChanged | None:
        """Take an entry, among those with as much work, as if it had arrived first (Core: ``PreciousBlock``)."""
        change = self.index.prefer(n)
        self._best_moved(change)
        return change

    def invalid_marks(self) -> list[bytes]:
        """The hashes to hand to `load` next time."""
        return self.index.invalid_marks()

    def subscribe(self, callback: Callable[[TipChanged], None]) -> None:
        """Have ``callback`` called after every change of the tip, in the order of subscription. It must not block."""
        self._subscribers.append(callback)

    def _best_moved(self, change: TipChanged | None) -> None:
        if change is not None and not self._separate:
            self._tell(change)

    def _tell(self, change: TipChanged) -> None:
        for callback in self._subscribers:
            callback(change)

    # Blocks

    def separate(self, tip: int, was_validated: Callable[[int], bool]) -> None:
        """The active chain is that of validated blocks from now on, and ends in ``tip``; nobody is told.

        ``was_validated`` says whether a block was once found valid, scripts included: peers see only such.
        """
        self._separate, self._was_validated = True, was_validated
        self.index.separate(tip)

    def set_active(self, n: int) -> TipChanged | None:
        """Blocks were connected and disconnected such that ``n`` is the tip now."""
        change = self.index.set_active(n)
        if change is not None:
            self._tell(change)
        return change

    # Thresholds

    def anti_dos_work_threshold(self) -> int:
        """Chain work below which headers are not worth memory unless somebody vouches for them."""
        tip = self.index.tip
        near_tip = self.index.chain_work(tip) - ANTI_DOS_BLOCKS * block_proof(self.index.bits(tip))
        return max(self.params.minimum_chain_work, near_tip)

    def is_ibd(self, now: float | None = None) -> bool:
        """Whether the node is still catching up at wall time ``now``: by default the clock's.

        Once it is not, it never is again; but as long as blocks are read from files, it is in any case.
        """
        if self.is_importing():
            return True
        if self._was_in_ibd:
            now = self._clock.now() if now is None else now
            tip = self.index.tip
            enough_work = self.index.chain_work(tip) >= self.params.minimum_chain_work
            self._was_in_ibd = not (enough_work and self.index.time(tip) >= now - self._max_tip_age)
        return self._was_in_ibd

    def is_servable(self, n: int) -> bool:
        """Whether a peer may be shown the entry: it is active, or valid and at most a month behind the best header.

        Behind by its time as well as by its work, measured in time at the best header's difficulty (Core:
        ``BlockRequestAllowed``).
        """
        index, best = self.index, self.index.best_header
        if index.in_active(n):
            return True
        missing_work = index.chain_work(best) - index.chain_work(n)
        equivalent_time = missing_work * self.params.spacing // block_proof(index.bits(best))
        age = max(index.time(best) - index.time(n), equivalent_time)
        return age < STALE_RELAY_AGE_LIMIT and not index.is_invalid(n) and self._was_validated(n)

    # Header bytes

    def header_bytes(self, n: int) -> bytes:
        """The serialized header of an entry."""
        return self._store.read(n, 1)

    def header(self, n: int) -> Header:
        """The header of an entry, taken apart."""
        return self._parse(self.header_bytes(n))

    def headers_bytes(self, entries: Sequence[int]) -> list[bytes]:
        """The serialized headers of the entries, in their order; entries in sequence cost one read."""
        size = self.format.size
        headers: list[bytes] = []
        for first, count in _stretches(entries):
            joined = self._store.read(first, count)
            headers += [joined[i : i + size] for i in range(0, len(joined), size)]
        return headers

    def _parse(self, raw: bytes) -> Header:
        return self.format.parse(raw)


def _stretches(entries: Sequence[int]) -> Iterator[tuple[int, int]]:
    """``entries`` as (first, count) of consecutive numbers."""
    start = 0
    for i in range(1, len(entries) + 1):
        if i == len(entries) or entries[i] != entries[i - 1] + 1:
            yield entries[start], i - start
            start = i

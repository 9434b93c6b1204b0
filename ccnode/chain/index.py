"""The header index: every known header, as a tree in memory.

An entry is a number: headers are counted in the order of their arrival, which is also their record number in the
header file, so the bytes of a header need not be kept here. Per entry the index holds its hash (once, shared by the
table from hash to number and the list from number to hash), its time, and its place in the tree, which
`ccnode.chain.runs` compresses to almost nothing. A million headers cost 165 bytes each: the hash 80, the table and its
numbers 65, lists and arrays the rest.

Two chains through the tree have an array from height to entry each. The *best header* is the valid entry with the most
chain work; among equals the one that arrived first, unless a person prefers another. The *tip* ends the active chain.
As long as a header is all there is to a block, both are one; a node that validates blocks separates them, and moves the
tip itself (`separate`, `set_active`).

Branches are never dropped. An entry can be marked invalid by hand or by a failed block: then neither it nor its
descendants can be the best header, until the mark is taken back. Only the marked entries are remembered; descendants
inherit.

The index checks nothing: `ccnode.chain.headers` lets in what follows the rules. It protects memory only by being
compact; whoever adds headers must have seen enough work behind them (``anti_dos_work_threshold``).
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, groupby

from ccnode.chain.hashtable import HashTable
from ccnode.chain.runs import RunTable
from ccnode.chain.view import ChainView

MEDIAN_TIME_SPAN = 11
"""The median time past is taken over this many headers (Core: ``CBlockIndex::nMedianTimeSpan``)."""

MAX_HEADERS_RESULTS = 2000
"""Headers in one ``headers`` message."""

_LOCATOR_DENSE = 11  # locator entries before the steps begin to double


@dataclass(frozen=True, slots=True)
class TipChanged:
    """A chain has moved: ``disconnected`` left it and ``connected`` joined it, both by rising height."""

    old_tip: int
    new_tip: int
    fork: int  # the last entry that both chains share
    disconnected: Sequence[int]
    connected: Sequence[int]

    @property
    def is_reorg(self) -> bool:
        """Whether entries left the active chain."""
        return self.fork != self.old_tip


class HeaderIndex:
    """All known headers. Entry arguments must be numbers below ``len(index)``."""

    def __init__(self, first_hash: bytes, time: int, bits: int, *, height: int = 0, chain_work: int) -> None:
        """Start with entry 0, the genesis or a trusted later header; ``chain_work`` includes its own proof."""
        self._numbers = HashTable(first_hash)
        self._hashes = [first_hash]
        self._times = array("I", [time])
        self._runs = RunTable(bits, height, chain_work)
        self._base = height
        self._best = self._active = ChainView(height)
        self._leaves = {0}
        self._invalid: set[int] = set()
        self._preferred = 0

    # One entry

    def __len__(self) -> int:
        return len(self._hashes)

    def find(self, block_hash: bytes) -> int | None:
        """The entry with this hash (internal byte order)."""
        return self._numbers.get(block_hash)

    def hash(self, n: int) -> bytes:
        """The hash of an entry, in internal byte order."""
        return self._hashes[n]

    def height(self, n: int) -> int:
        """Distance from the genesis."""
        return self._runs.height(n)

    def parent(self, n: int) -> int | None:
        """The entry that ``n`` extends; None for entry 0."""
        return self._runs.parent(n)

    def bits(self, n: int) -> int:
        """The compact target in the header."""
        return self._runs.bits(n)

    def chain_work(self, n: int) -> int:
        """Expected number of hashes behind the chain that ends in ``n``."""
        return self._runs.chain_work(n)

    def same_bits_since(self, n: int) -> int:
        """An ancestor of ``n``, or ``n``, from which on all headers up to ``n`` carry the same bits."""
        return self._runs.start(n)

    def time(self, n: int) -> int:
        """The time in the header, Unix seconds."""
        return self._times[n]

    def recent_times(self, n: int, count: int = MEDIAN_TIME_SPAN) -> list[int]:
        """Times of the last ``count`` headers that end with ``n``, oldest first; fewer near the start of the chain."""
        times: list[int] = []
        for first, last in self._runs.stretches(n):
            first = max(first, last + 1 - (count - len(times)))
            times[:0] = self._times[first : last + 1]
            if len(times) == count:
                break
        return times

    def median_time_past(self, n: int) -> int:
        """The median of the last eleven times, Unix seconds; of an even number the later of the middle two."""
        times = sorted(self.recent_times(n))
        return times[len(times) // 2]

    # Branches

    @property
    def tip(self) -> int:
        """The end of the active chain."""
        return self._active.tip

    @property
    def best_header(self) -> int:
        """The valid header with the most work."""
        return self._best.tip

    @property
    def base_height(self) -> int:
        """The height of entry 0."""
        return self._base

    def active_at(self, height: int) -> int | None:
        """The entry of the active chain at ``height``; None above the tip or below the first entry."""
        return self._active.at(height)

    def in_active(self, n: int) -> bool:
        """Whether the entry is on the active chain."""
        return self._active.at(self.height(n)) == n

    def _in_best(self, n: int) -> bool:
        return self._best.at(self.height(n)) == n

    def ancestor(self, n: int, height: int) -> int:
        """The ancestor of ``n`` at ``height``; LookupError above ``n`` or below entry 0."""
        if not self._base <= height <= self.height(n):
            raise LookupError(f"entry {n} at height {self.height(n)} has no ancestor at height {height}")
        while not self._in_best(n):
            start = self._runs.start(n)
            distance = height - self.height(start)
            if distance >= 0:
                return start + distance
            n = self._runs.before(n)
        entry = self._best.at(height)
        assert entry is not None
        return entry

    def extends(self, n: int, ancestor: int) -> bool:
        """Whether ``ancestor`` is ``n`` or an ancestor of it."""
        height = self.height(ancestor)
        return height <= self.height(n) and self.ancestor(n, height) == ancestor

    def fork_point(self, a: int, b: int) -> int:
        """The last common ancestor."""
        if self._in_best(a):
            return min(a, self._last_in_best(b))
        if self._in_best(b):
            return min(b, self._last_in_best(a))
        while a != b:
            a, b = min(a, b), max(a, b)
            if self._runs.start(b) <= a:  # numbers in a run are consecutive, so a is in it and below b
                return a
            b = self._runs.before(b)
        return a

    def branch(self, ancestor: int, n: int) -> Sequence[int]:
        """The entries after ``ancestor`` up to its descendant ``n``, by rising height.

        A range, whatever its length, if they arrived in sequence; else an array.
        """
        count = self.height(n) - self.height(ancestor)
        first = n + 1 - count
        if count == 0 or self.ancestor(n, self.height(ancestor) + 1) == first:
            return range(first, n + 1)
        pieces: list[range] = []
        for start, last in self._runs.stretches(n):
            if last <= ancestor:
                break
            pieces.append(range(max(start, ancestor + 1), last + 1))
        return array("I", chain.from_iterable(reversed(pieces)))

    def tips(self) -> list[int]:
        """Entries without children, oldest first."""
        return sorted(self._leaves)

    # What peers ask

    def locator(self, n: int) -> list[bytes]:
        """Hashes that tell a peer which branch ``n`` ends: dense at first, then ever sparser, down to entry 0."""
        hashes: list[bytes] = []
        height, step = self.height(n), 1
        while True:
            n = self.ancestor(n, height)
            hashes.append(self._hashes[n])
            if height == self._base:
                return hashes
            height = max(height - step, self._base)
            if len(hashes) >= _LOCATOR_DENSE:
                step *= 2

    def find_fork(self, locator: Iterable[bytes]) -> int:
        """Where the sender of ``locator`` left the active chain, as far as the locator tells; entry 0 if it does not.

        An entry beyond the tip on the tip's own branch means the tip.
        """
        tip_height = self.height(self.tip)
        for block_hash in locator:
            n = self._numbers.get(block_hash)
            if n is None:
                continue
            if self.in_active(n):
                return n
            if self.height(n) > tip_height and self.ancestor(n, tip_height) == self.tip:
                return self.tip
        return 0

    def headers_after(self, locator: Sequence[bytes], stop: bytes, limit: int = MAX_HEADERS_RESULTS) -> Sequence[int]:
        """The answer to ``getheaders``: up to ``limit`` active entries after the fork point, ``stop`` being the last.

        An empty locator asks for the one header ``stop``; whether a stale one may be shown is the caller's question.
        """
        stop_entry = self._numbers.get(stop)
        if not locator:
            return [] if stop_entry is None else [stop_entry]
        first = self.height(self.find_fork(locator)) + 1
        end = first + limit
        if stop_entry is not None and self.in_active(stop_entry):
            stop_height = self.height(stop_entry)
            if stop_height >= first:
                end = min(end, stop_height + 1)
        return self._active.between(first, end)

    # Changes

    def add(self, parent: int, hashes: Sequence[bytes], times: Sequence[int], bits: Sequence[int]) -> TipChanged | None:
        """Add headers that follow one another, the first a child of ``parent``; none may be known yet."""
        if not hashes:
            return None
        self._numbers.add(hashes, len(self._hashes))
        return self._append(parent, hashes, times, bits)

    def add_if_new(self, parent: int, hashes: Sequence[bytes], times: Sequence[int], bits: Sequence[int]) -> bool:
        """`add`, provided that no hash is known and no two are equal; False, and nothing has changed, otherwise."""
        if not self._numbers.add_if_new(hashes, len(self._hashes)):
            return False
        self._append(parent, hashes, times, bits)
        return True

    def _append(
        self, parent: int, hashes: Sequence[bytes], times: Sequence[int], bits: Sequence[int]
    ) -> TipChanged | None:
        """The part of `add` that comes after the dictionary."""
        first = len(self._hashes)
        self._hashes.extend(hashes)
        self._times.extend(times)
        last = parent
        for run_bits, group in groupby(bits):
            self._runs.extend(last, run_bits, len(list(group)))
            last = len(self._runs) - 1
        self._leaves.discard(parent)
        self._leaves.add(last)
        if parent == self._best.tip:  # what nearly all headers do
            self._best.extend(range(first, last + 1))
            return TipChanged(parent, last, parent, range(0), range(first, last + 1))
        return self._move(self._best, last) if self.chain_work(last) > self.chain_work(self._best.tip) else None

    def is_invalid(self, n: int) -> bool:
        """Whether the entry or an ancestor of it is marked invalid."""
        return any(self.extends(n, mark) for mark in self._invalid)

    def invalid_marks(self) -> list[bytes]:
        """Hashes of the entries that are marked themselves, oldest first."""
        return [self._hashes[n] for n in sorted(self._invalid)]

    def invalidate(self, n: int) -> TipChanged | None:
        """Mark an entry; the best of what remains becomes the best header. ValueError for entry 0."""
        if n == 0:
            raise ValueError("the first header of the chain cannot be invalid")
        self._invalid.add(n)
        return self._reselect()

    def reconsider(self, n: int) -> TipChanged | None:
        """Take back the marks on an entry, its ancestors and its descendants."""
        self._invalid = {m for m in self._invalid if not (self.extends(n, m) or self.extends(m, n))}
        return self._reselect()

    def prefer(self, n: int) -> TipChanged | None:
        """Take an entry, among those with as much work, as if it had arrived first; until another is preferred."""
        if self.chain_work(n) < self.chain_work(self._best.tip):
            return None
        self._preferred = n
        return self._reselect()

    # The active chain of a node that validates blocks

    def separate(self, tip: int) -> None:
        """From now on the active chain is one of its own, which ends in ``tip`` and moves with `set_active` only."""
        self._active = ChainView(self._base, [0, *self.branch(0, tip)])

    def set_active(self, n: int) -> TipChanged | None:
        """Make ``n`` the tip of a separate active chain; None if it is already."""
        assert self._active is not self._best, "the active chain is that of the best header"
        return None if n == self._active.tip else self._move(self._active, n)

    # How the best header is found

    def _reselect(self) -> TipChanged | None:
        """Move to the best valid entry of all branches."""
        candidates = {self._last_valid(leaf) for leaf in self._leaves}
        best = max(candidates, key=lambda n: (self.chain_work(n), n == self._preferred, -n))
        return None if best == self._best.tip else self._move(self._best, best)

    def _last_valid(self, n: int) -> int:
        """The last entry on the branch of ``n`` that is not invalid."""
        for mark in self._invalid:
            if self.extends(n, mark):
                n = self._runs.parent(mark) or 0
        return n

    def _move(self, chain: ChainView, n: int) -> TipChanged:
        """Make ``n`` the end of ``chain``."""
        old = chain.tip
        fork = self.fork_point(old, n)
        disconnected, connected = self.branch(fork, old), self.branch(fork, n)
        chain.replace(self.height(fork), connected)
        return TipChanged(old, n, fork, disconnected, connected)

    def _last_in_best(self, n: int) -> int:
        """The last entry of the best header's chain on the branch of ``n``."""
        while not self._in_best(self._runs.start(n)):
            n = self._runs.before(n)
        start = self._runs.start(n)
        return start + bisect_left(range(start, n + 1), True, key=lambda entry: not self._in_best(entry)) - 1

"""The shape of the header tree, stored in runs.

Header chains are dull: almost every header extends the one that arrived before it and carries the same bits. Such
stretches are stored once, as a *run*: the number of the first entry, its parent, its height, the bits, and the chain
work before it. Height, parent, bits and work of any entry follow by arithmetic, after a binary search for its run.
Mainnet's first million headers are some five hundred runs; a network with minimum-difficulty headers has many more, at
about 60 bytes each, and stays well below what one record per header would take.

Entries are numbered in arrival order, and a parent arrives before its children: of two entries on one branch the
higher number is the descendant. Several searches here and in the index lean on that.
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterator

from ccnode.chain.pow import block_proof


class RunTable:
    """Parents, heights, bits and chain work of entries 0, 1, 2, ... Entries are only ever added."""

    def __init__(self, bits: int, height: int, chain_work: int) -> None:
        """Begin with entry 0, which has no parent; ``chain_work`` includes its own proof."""
        self._starts = array("I", [0])
        self._parents = array("I", [0])  # of the run's first entry; meaningless for run 0
        self._heights = array("I", [height])
        self._bits = array("I", [bits])
        self._works = [chain_work - block_proof(bits)]  # before the run's first entry
        self._count = 1

    def __len__(self) -> int:
        return self._count

    def extend(self, parent: int, bits: int, count: int) -> None:
        """Add ``count`` entries with equal bits, each the child of the one before, the first a child of ``parent``."""
        if parent != self._count - 1 or bits != self._bits[-1]:
            run = bisect_right(self._starts, parent) - 1
            distance = parent + 1 - self._starts[run]
            self._works.append(self._works[run] + distance * block_proof(self._bits[run]))
            self._heights.append(self._heights[run] + distance)
            self._starts.append(self._count)
            self._parents.append(parent)
            self._bits.append(bits)
        self._count += count

    def height(self, n: int) -> int:
        run = bisect_right(self._starts, n) - 1
        return self._heights[run] + n - self._starts[run]

    def bits(self, n: int) -> int:
        return self._bits[bisect_right(self._starts, n) - 1]

    def parent(self, n: int) -> int | None:
        """The parent's number; None for entry 0."""
        run = bisect_right(self._starts, n) - 1
        if n > self._starts[run]:
            return n - 1
        return self._parents[run] if run else None

    def chain_work(self, n: int) -> int:
        """Expected hashes behind the chain that ends in ``n``."""
        run = bisect_right(self._starts, n) - 1
        return self._works[run] + (n - self._starts[run] + 1) * block_proof(self._bits[run])

    def start(self, n: int) -> int:
        """The first entry of the run of ``n``: an ancestor of ``n``, with all between it and ``n`` in sequence."""
        return self._starts[bisect_right(self._starts, n) - 1]

    def before(self, n: int) -> int:
        """The parent of the first entry of the run of ``n``; 0 in the first run, which has none."""
        return self._parents[bisect_right(self._starts, n) - 1]

    def stretches(self, n: int) -> Iterator[tuple[int, int]]:
        """The branch that ends in ``n`` as (first, last) of consecutive entries, from ``n`` back to entry 0."""
        run = len(self._starts)
        while True:
            run = bisect_right(self._starts, n, 0, run) - 1
            yield self._starts[run], n
            if run == 0:
                return
            n = self._parents[run]

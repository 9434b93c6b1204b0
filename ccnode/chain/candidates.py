"""Which blocks could be the tip: those whose data, and that of all their ancestors, are here.

Blocks come in any order. One whose parent's data are missing waits (Core: ``m_blocks_unlinked``); when the parent is
*linked*, so is it, and it becomes a candidate for the tip if it has at least the tip's work. Among candidates the one
with the most work is the best, among equals the one that was linked first: later ones gain nothing by being as good. A
person may prefer another (``preciousblock``). (Core: ``setBlockIndexCandidates``, ``CBlockIndexWorkComparator``.)

Candidates are kept in a heap. What has become invalid, or was given another rank, is noticed when it comes to the top.
"""

from collections import deque
from heapq import heapify, heappop, heappush

from ccnode.chain.block_table import BlockTable
from ccnode.chain.index import HeaderIndex

_SLACK = 64  # candidates left in the heap until it is worth sorting them out

Rank = tuple[int, int, int]


class Candidates:
    """Linked blocks by rank. ``tip`` is the entry at which the coins are."""

    def __init__(self, index: HeaderIndex, table: BlockTable, tip: int) -> None:
        self._index = index
        self._table = table
        self._preferred = 0  # the last sequence that `prefer` gave away; 0 is that of the tip at the start
        self._preferred_work = 0
        self._heap: list[Rank] = []
        self._waiting: dict[int, list[int]] = {}
        for n in range(1, len(table)):
            if table.have_data(n) and not self.is_linked(n):
                self.link(n, tip)
        self._begin_at(tip)

    def _begin_at(self, tip: int) -> None:
        """Of blocks with as much work, the one that was the tip stays it."""
        work = self._index.chain_work(tip)
        for leaf in self._index.tips():
            n = self._last_linked(leaf)
            if n != tip and self._index.chain_work(n) == work and self._table.sequence(n) < 1:
                self._table.set_sequence(n, 1)
        if tip:
            self._table.set_sequence(tip, 0)
        self.add(tip, tip)
        self.collect(tip)

    def rank(self, n: int) -> Rank:
        """What is lower is better."""
        return -self._index.chain_work(n), self._table.sequence(n), n

    def is_linked(self, n: int) -> bool:
        """Whether the data of the block and of all its ancestors have been here."""
        return n == 0 or self._table.chain_tx(n) != 0

    def link(self, n: int, tip: int) -> list[int]:
        """A block's data came: link it, and all that waited for it, or let it wait. Returns what is linked now."""
        if not self.is_linked(self._parent(n)):
            self._wait(n)
            return []
        linked = []
        queue = deque([n])
        while queue:
            n = queue.popleft()
            self._table.link(n, self._table.chain_tx(self._parent(n)))
            self.add(n, tip)
            linked.append(n)
            queue.extend(self._waiting.pop(n, ()))
        return linked

    def add(self, n: int, tip: int) -> None:
        """Make a linked block a candidate, unless the tip is better."""
        if self.rank(n) <= self.rank(tip):
            heappush(self._heap, self.rank(n))

    def best(self, tip: int) -> int | None:
        """The best candidate that is better than the tip."""
        limit = self.rank(tip)
        heap = self._heap
        while heap and heap[0] < limit:
            n = heap[0][2]
            if heap[0] == self.rank(n) and not self._index.is_invalid(n):
                return n
            heappop(heap)
        return None

    def drop(self, n: int, missing: int, tip: int) -> None:
        """Candidate ``n`` cannot be reached: the data of its ancestor ``missing`` were pruned. Wait for them."""
        branch = self._index.branch(self._parent(missing), n)
        for descendant in branch[1:]:
            if self._table.have_data(descendant):
                self._wait(descendant)
        unreachable = set(branch)
        self._heap = [rank for rank in self._heap if rank[2] not in unreachable]
        heapify(self._heap)
        self.add(self._parent(missing), tip)  # as far as the branch is there

    def prefer(self, n: int, tip: int) -> None:
        """Rank a linked block above all others of its work, until another is preferred."""
        work = self._index.chain_work(tip)
        if work > self._preferred_work:
            self._preferred = 0
        self._preferred_work = work
        self._preferred -= 1
        self._table.set_sequence(n, self._preferred)
        self.add(n, tip)

    def forget_worse(self, tip: int) -> None:
        """The tip has more work now: forget what has less, from time to time."""
        if len(self._heap) > _SLACK:
            work = self._index.chain_work(tip)
            self._heap = [rank for rank in self._heap if -rank[0] >= work]
            heapify(self._heap)

    def collect(self, tip: int) -> None:
        """Look through all branches for candidates: at a start, and when marks of invalid blocks have changed."""
        for leaf in self._index.tips():
            n = self._last_linked(leaf)
            while n and self._index.is_invalid(n):
                n = self._parent(n)
            if n:
                self.add(n, tip)

    def _parent(self, n: int) -> int:
        return self._index.parent(n) or 0  # entry 0 is linked from the start

    def _wait(self, n: int) -> None:
        waiting = self._waiting.setdefault(self._parent(n), [])
        if n not in waiting:
            waiting.append(n)

    def _last_linked(self, leaf: int) -> int:
        """The last linked entry on the branch of ``leaf``: what follows an entry that is not linked is not either."""
        index = self._index
        low, high = index.base_height, index.height(leaf)
        while low < high:
            middle = (low + high + 1) // 2
            if self.is_linked(index.ancestor(leaf, middle)):
                low = middle
            else:
                high = middle - 1
        return index.ancestor(leaf, low)

"""The header index against a tree of dictionaries, and its particular rules."""

from array import array
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccnode.chain.index import HeaderIndex
from ccnode.chain.pow import block_proof

EASY, HARD = 0x207FFFFF, 0x203FFFFF  # proofs 2 and 4


def name(n):
    return n.to_bytes(32, "big")


def new_index(height=0, chain_work=2):
    return HeaderIndex(name(0), 1000, EASY, height=height, chain_work=chain_work)


def add(index, parent, count, bits=EASY, time=2000):
    """``count`` headers on ``parent``; returns the tip change and the last entry."""
    first = len(index)
    names = [name(n) for n in range(first, first + count)]
    change = index.add(parent, names, [time + i for i in range(count)], [bits] * count)
    return change, first + count - 1


class Tree:
    """What the index should say, from parent pointers only."""

    def __init__(self, height, work):
        self.parents, self.times, self.bits = [None], [1000], [EASY]
        self.base, self.work0 = height, work
        self.marks = set()
        self.active = None  # the tip, if the active chain is one of its own

    def add(self, parent, times, bits):
        for time, b in zip(times, bits, strict=True):
            self.parents.append(parent)
            self.times.append(time)
            self.bits.append(b)
            parent = len(self.parents) - 1

    def path(self, n):
        """The branch of ``n``, entry 0 first."""
        path = []
        while n is not None:
            path.append(n)
            n = self.parents[n]
        return path[::-1]

    def work(self, n):
        return self.work0 + sum(block_proof(self.bits[e]) for e in self.path(n)[1:])

    def invalid(self, n):
        return bool(self.marks & set(self.path(n)))

    def tip(self):
        return self.best_header() if self.active is None else self.active

    def best_header(self):
        valid = [n for n in range(len(self.parents)) if not self.invalid(n)]
        return max(valid, key=lambda n: (self.work(n), -n))


operation = st.one_of(
    st.tuples(
        st.just("add"),
        st.floats(0, 1, exclude_max=True),
        st.lists(st.sampled_from([EASY, HARD]), min_size=1, max_size=6),
    ),
    st.tuples(st.just("append"), st.lists(st.sampled_from([EASY, EASY, HARD]), min_size=1, max_size=20)),
    st.tuples(st.just("invalidate"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("reconsider"), st.floats(0, 1, exclude_max=True)),
    st.tuples(st.just("set_active"), st.floats(0, 1, exclude_max=True)),
)


@settings(max_examples=150)
@given(operations=st.lists(operation, max_size=12), base=st.sampled_from([0, 4032]), seed=st.integers(0, 99))
def test_index_agrees_with_the_tree(operations, base, seed):
    rng = Random(seed)
    index, tree = new_index(base, 1002), Tree(base, 1002)
    for op, *arguments in operations:
        moved = HeaderIndex.tip if op == "set_active" else HeaderIndex.best_header
        old_path = tree.path(moved.fget(index))
        change = apply(index, tree, op, arguments, rng)
        new_path = tree.path(moved.fget(index))
        if change is None:
            assert new_path == old_path
        else:
            shared = [a for a, b in zip(old_path, new_path, strict=False) if a == b]
            assert (change.old_tip, change.new_tip, change.fork) == (old_path[-1], new_path[-1], shared[-1])
            assert list(change.disconnected) == old_path[len(shared) :]
            assert list(change.connected) == new_path[len(shared) :]
            assert change.is_reorg == (len(old_path) > len(shared))
        check(index, tree, rng)


def apply(index, tree, op, arguments, rng):
    if op in ("add", "append"):
        *where, bits = arguments
        parent = int(where[0] * len(index)) if where else index.best_header
        if index.is_invalid(parent):
            return None
        first = len(index)
        times = [rng.randrange(1000, 9000) for _ in bits]
        tree.add(parent, times, bits)
        return index.add(parent, [name(first + i) for i in range(len(bits))], times, bits)
    n = int(arguments[0] * len(index))
    if op == "set_active":
        if tree.active is None:
            index.separate(index.tip)
        tree.active = n
        return index.set_active(n)
    if n == 0:
        return None
    if op == "invalidate":
        tree.marks.add(n)
        return index.invalidate(n)
    tree.marks = {m for m in tree.marks if m not in tree.path(n) and n not in tree.path(m)}
    return index.reconsider(n)


def check(index, tree, rng):
    count = len(tree.parents)
    assert len(index) == count
    assert (index.tip, index.best_header) == (tree.tip(), tree.best_header())
    active = tree.path(index.tip)
    assert [index.active_at(tree.base + i) for i in range(-1, len(active) + 1)] == [None, *active, None]
    assert index.tips() == sorted(set(range(count)) - set(tree.parents))
    for n in range(count):
        path = tree.path(n)
        assert index.find(name(n)) == n
        assert index.hash(n) == name(n)
        assert (index.parent(n), index.time(n), index.bits(n)) == (tree.parents[n], tree.times[n], tree.bits[n])
        assert index.height(n) == tree.base + len(path) - 1
        assert index.chain_work(n) == tree.work(n)
        assert index.in_active(n) == (n in active)
        assert index.is_invalid(n) == tree.invalid(n)
        times = [tree.times[e] for e in path[-11:]]
        assert index.recent_times(n) == times
        assert index.median_time_past(n) == sorted(times)[len(times) // 2]
        since = index.same_bits_since(n)
        assert since in path
        assert {tree.bits[e] for e in path[path.index(since) :]} == {tree.bits[n]}
    for _ in range(20):
        a, b = rng.randrange(count), rng.randrange(count)
        shared = [x for x, y in zip(tree.path(a), tree.path(b), strict=False) if x == y][-1]
        assert index.fork_point(a, b) == shared
        assert list(index.branch(shared, b)) == tree.path(b)[tree.path(b).index(shared) + 1 :]
        height = rng.randrange(len(tree.path(a)))
        assert index.ancestor(a, tree.base + height) == tree.path(a)[height]


def test_ancestors_that_do_not_exist():
    index = new_index(height=10)
    add(index, 0, 5)
    for n, height in ((5, 9), (5, 16), (2, 13)):
        with pytest.raises(LookupError):
            index.ancestor(n, height)


def test_no_header_no_change():
    assert new_index().add(0, [], [], []) is None


def test_first_seen_wins_a_tie():
    index = new_index()
    add(index, 0, 3)
    change, rival = add(index, 0, 3)
    assert change is None
    assert index.tip == 3
    change, _ = add(index, rival, 1)
    assert (change.old_tip, change.new_tip, change.fork) == (3, 7, 0)
    assert change.is_reorg


def test_work_counts_not_length():
    index = new_index()
    add(index, 0, 3)
    change, _ = add(index, 0, 2, bits=HARD)
    assert change.new_tip == 5
    assert index.active_at(3) is None


def test_a_tie_after_reconsidering_goes_to_the_first_seen():
    index = new_index()
    add(index, 0, 2)
    add(index, 0, 2)
    assert index.invalidate(1).new_tip == 4
    assert index.reconsider(2).new_tip == 2


def test_the_first_header_cannot_be_invalid():
    with pytest.raises(ValueError):
        new_index().invalidate(0)


def test_invalid_marks_are_the_marked_entries_only():
    index = new_index()
    add(index, 0, 9)
    index.invalidate(7)
    index.invalidate(5)
    assert index.invalid_marks() == [name(5), name(7)]
    assert index.tip == 4
    index.reconsider(9)
    assert index.invalid_marks() == []
    assert index.tip == 9


def test_connected_is_a_range_in_a_sync():
    change, _ = add(new_index(), 0, 2000)
    assert change.connected == range(1, 2001)
    assert not change.is_reorg


def heights(index, locator):
    return [index.height(index.find(h)) for h in locator]


@pytest.mark.parametrize(
    ("length", "expected"),
    [
        (0, [0]),
        (1, [1, 0]),
        (11, [*range(11, -1, -1)]),
        (12, [*range(12, 0, -1), 0]),
        (13, [*range(13, 1, -1), 0]),
        (100, [*range(100, 88, -1), 87, 83, 75, 59, 27, 0]),
    ],
)
def test_locators(length, expected):
    index = new_index()
    if length:
        add(index, 0, length)
    assert heights(index, index.locator(index.tip)) == expected


def test_locator_of_a_fork_leaves_it_for_the_active_chain():
    index = new_index()
    add(index, 0, 30)
    _, fork = add(index, 20, 4)
    assert index.locator(fork)[:5] == [name(n) for n in (34, 33, 32, 31, 20)]


def test_a_long_chain_has_a_short_locator():
    index = new_index()
    add(index, 0, 100_000)
    assert len(index.locator(index.tip)) == 12 + 15 + 1


def test_find_fork():
    index = new_index()
    add(index, 0, 30)
    _, fork = add(index, 20, 4)
    assert index.find_fork([]) == 0
    assert index.find_fork([b"\xee" * 32]) == 0
    assert index.find_fork([b"\xee" * 32, name(7)]) == 7
    assert index.find_fork(index.locator(fork)) == 20


def test_find_fork_beyond_the_tip_is_the_tip():
    """An entry that extends the active chain but is not part of it: its descendants were invalidated."""
    index = new_index()
    add(index, 0, 9)
    index.invalidate(6)
    assert index.tip == 5
    assert index.find_fork([name(9)]) == 5


def test_headers_after():
    index = new_index()
    add(index, 0, 30)
    _, fork = add(index, 20, 4)

    def after(*arguments):
        return list(index.headers_after(*arguments))

    nothing = bytes(32)[:-1] + b"\xff"
    assert after([name(10)], nothing) == list(range(11, 31))
    assert after([name(10)], nothing, 5) == list(range(11, 16))
    assert after([name(10)], name(13)) == [11, 12, 13]
    assert after([name(10)], name(13), 2) == [11, 12]
    assert after([name(10)], name(10)) == list(range(11, 31))  # a stop before the start stops nothing
    assert after([name(10)], name(fork)) == list(range(11, 31))
    assert after([name(30)], nothing) == []
    assert after([nothing], nothing) == list(range(1, 31))
    assert after([], name(12)) == [12]
    assert after([], name(fork)) == [fork]
    assert after([], nothing) == []
    assert isinstance(index.headers_after([name(10)], nothing), array)


def test_headers_after_a_trusted_start():
    index = new_index(height=2016)
    add(index, 0, 5)
    assert list(index.headers_after([name(2)], bytes(32))) == [3, 4, 5]
    assert list(index.headers_after([b"\xee" * 32], bytes(32))) == [1, 2, 3, 4, 5]


def test_add_if_new():
    index = new_index()
    add(index, 0, 5)
    index.add_if_new(5, [name(6), name(7)], [1, 2], [EASY, HARD])
    assert (len(index), index.tip, index.bits(7)) == (8, 7, HARD)
    for hashes in ([name(8), name(3), name(9)], [name(8), name(8)], [name(0)], [name(7)]):
        assert not index.add_if_new(7, hashes, [3] * len(hashes), [EASY] * len(hashes))
        assert (len(index), index.tip, index.find(name(8))) == (8, 7, None)
        assert [index.find(name(n)) for n in range(8)] == list(range(8))

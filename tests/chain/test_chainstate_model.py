"""Marks, preferences, crashes and blocks in any order, against a model: the tip is the best block that is good.

The model is a tree with three facts about each block: whether it is good, whether it was stored, and whether somebody
marked it. What the chain state has to find among branches that fail halfway, it looks up.
"""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode.chain import chainstate
from ccnode.wire.parsing import parse_block
from tests.support.chain_maker import ChainMaker
from tests.support.chainstate import ChainRoom

FIRST = ChainMaker().hash


class Model:
    """A chain state and the tree that it is given."""

    def __init__(self, directory: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.room = ChainRoom(directory, cache_bytes=self.rng.choice((1, 10**7)))
        self.makers = {FIRST: ChainMaker()}
        """By hash, the chain that ends in the block."""
        self.parents: dict[bytes, bytes] = {}
        self.bad: set[bytes] = set()
        self.known = {FIRST}
        self.stored = {FIRST}
        self.marked: set[bytes] = set()

    def branch(self, block: bytes) -> Iterator[bytes]:
        """The block and its ancestors."""
        while block != FIRST:
            yield block
            block = self.parents[block]
        yield FIRST

    def is_good(self, block: bytes) -> bool:
        return all(b in self.stored and b not in self.marked and b not in self.bad for b in self.branch(block))

    def check(self) -> None:
        room = self.room
        assert self.is_good(room.tip)
        assert room.height == max(maker.height for block, maker in self.makers.items() if self.is_good(block))

    def make(self) -> bytes:
        """A new block somewhere, which nobody knows yet."""
        highest = max(self.makers, key=lambda block: self.makers[block].height)
        parent = self.rng.choice([self.room.tip, highest, self.rng.choice([*self.makers])])
        maker = self.makers[parent].clone()
        bad = self.rng.random() < 0.12
        maker.block(fees=int(bad), extra_nonce=self.rng.getrandbits(40))
        self.makers[maker.hash], self.parents[maker.hash] = maker, parent
        if bad:
            self.bad.add(maker.hash)
        return maker.hash

    def store(self, block: bytes) -> None:
        """Its headers and the block, as far as they are taken; a few steps, or all that there are to go."""
        room = self.room
        for each in reversed([*self.branch(block)]):
            if each not in self.known:
                if room.chain.accept([self.makers[each].blocks[-1][:80]]).verdict is not None:
                    return
                self.known.add(each)
        room.state.wait_accept(self.makers[block].blocks[-1])
        if room.state.table.have_data(room.entry(block)):
            self.stored.add(block)
        if self.rng.random() < 0.5:
            for _ in range(self.rng.randrange(3)):
                room.state.wait_step()
        else:
            room.state.wait_activate()
            self.check()

    def mark(self, block: bytes) -> None:
        if block != FIRST:
            self.marked.add(block)
            self.room.state.wait_invalidate(self.room.entry(block))
            self.check()

    def unmark(self, block: bytes) -> None:
        self.marked -= set(self.branch(block))
        self.marked = {other for other in self.marked if block not in self.branch(other)}
        self.room.state.wait_reconsider(self.room.entry(block))
        self.check()

    def prefer(self, block: bytes) -> None:
        self.room.state.wait_activate()
        equal = self.makers[block].height == self.room.height
        self.room.state.wait_prefer(self.room.entry(block))
        self.check()
        assert not equal or not self.is_good(block) or self.room.tip == block

    def crash(self) -> None:
        if self.rng.random() < 0.5:
            self.room.state.wait_flush()
        self.room.crash()
        self.check()

    def step(self) -> None:
        rng = self.rng
        happens = rng.random()
        known = rng.choice(sorted(self.known))
        missing = sorted(self.makers.keys() - self.stored)
        if happens < 0.35:
            self.store(self.make())
        elif happens < 0.5:
            self.make()
        elif happens < 0.82:
            self.store(rng.choice(missing) if missing else self.make())
        elif happens < 0.86:
            self.mark(known)
        elif happens < 0.92:
            self.unmark(known)
        elif happens < 0.96:
            self.prefer(known)
        else:
            self.crash()


def play(directory: Path, seed: int) -> None:
    model = Model(directory, seed)
    for _ in range(120):
        model.step()
    model.room.state.wait_activate()
    model.check()
    blocks = [parse_block(raw) for raw in model.makers[model.room.tip].blocks]
    assert model.room.coins().keys() == {block.txids[0] + bytes(4) for block in blocks}
    model.room.files.close()


def test_the_tip_is_the_best_good_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks at a time, so that much happens in the middle of a reorganisation."""
    monkeypatch.setattr(chainstate, "LOOK_AHEAD", 2)
    for seed in range(10):
        play(tmp_path / str(seed), seed)


@pytest.mark.long
def test_the_tip_is_the_best_good_block_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chainstate, "LOOK_AHEAD", 2)
    for seed in range(1000, 1300):
        play(tmp_path / str(seed), seed)

"""A made-up history of one regtest chain: good blocks, bad blocks, branches, and the order in which they arrive.

A `World` is a function of its seed and of the tips that its listener reports. It asks for the tip because histories are
dull where nothing is built on what became of the last block.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from itertools import islice

from tests.support.block_drafts import UNLOCKED, BlockDraft, Node, draft_block, first_node
from tests.support.block_mutations import mutate
from tests.support.chain_maker import MATURITY
from tests.support.twins import HEADER_SIZE, Delivery

BASE = 112
"""Blocks of the common beginning: some coinbases can be spent then, and were."""

DEEPEST = 20


def base_chain(seed: int = 0) -> tuple[Node, list[Delivery]]:
    """A beginning without faults, for many worlds: its last block, and all of them."""
    rng = random.Random(seed)
    node, made = first_node(), []
    for height in range(1, BASE + 1):
        draft = draft_block(rng, node, UNLOCKED, most=6, outputs=12 if height <= MATURITY + 6 else 4)
        [raw], node = draft.finish()
        made.append(Delivery(raw, f"base {height}"))
    return node, made


class World:
    """What happens after ``start``. ``tip`` says where the chain is, after what was yielded last."""

    def __init__(self, seed: int, start: Node, tip: Callable[[], bytes]) -> None:
        self._rng = random.Random(seed)
        self._tip = tip
        self._nodes = {node.hash: node for node in start.ancestors()}
        self._recent = [start]
        self._late: list[tuple[int, Delivery]] = []
        self._old: list[Delivery] = []

    def deliveries(self, steps: int) -> Iterator[Delivery]:
        """Of ``steps`` things that happen, each with one delivery or many; what was held back comes in the end."""
        rng = self._rng
        for step in range(steps):
            happens = rng.random()
            if happens < 0.04:
                yield from self._branch()
            elif happens < 0.10 and self._old:
                yield rng.choice(self._old)
            else:
                yield from self._block(self._parent())
            due = [delivery for when, delivery in self._late if when <= step]
            self._late = [late for late in self._late if late[0] > step]
            yield from due
        yield from (delivery for _when, delivery in self._late)

    def _parent(self) -> Node:
        rng = self._rng
        tip = self._nodes[self._tip()]
        where = rng.random()
        if where < 0.75:
            return tip
        if where < 0.88:
            return rng.choice(self._recent[-8:])
        return next(islice(tip.ancestors(), rng.randrange(6), None), tip)

    def _block(self, parent: Node) -> Iterator[Delivery]:
        """One block, good or bad, now or later, its header before it or with it."""
        rng = self._rng
        late = rng.random() < 0.08
        step = 10**9 if rng.random() < 0.1 else rng.randrange(8)
        for delivery in self._write(parent, rng.choices([0, 1, 2], [50, 42, 8])[0]):
            if rng.random() < 0.08:
                yield _header(delivery)
            if late:
                self._late.append((step, delivery))
            else:
                yield delivery

    def _branch(self) -> Iterator[Delivery]:
        """A branch from below the tip that may become longer, or invalid on its way."""
        rng = self._rng
        depth = rng.choice([1, 1, 2, 2, 3, 4, 7, rng.randrange(1, DEEPEST + 1)])
        tip = self._nodes[self._tip()]
        node = next(islice(tip.ancestors(), depth, None), tip)
        bad = rng.randrange(3 * depth)
        made: list[Delivery] = []
        for i in range(max(tip.height - node.height + rng.choice([0, 1, 1, 1, 2]), 1)):
            made += self._write(node, int(i == bad))
            node = self._recent[-1]
        manner = rng.randrange(4)
        if manner:
            yield from map(_header, made)
        if manner == 2:
            made.reverse()
        if manner == 3:
            rng.shuffle(made)
        yield from made

    def _write(self, parent: Node, mutations: int) -> list[Delivery]:
        rng = self._rng
        draft = draft_block(rng, parent)
        names = [mutate(rng, draft) for _ in range(mutations)]
        raws, node = draft.finish()
        self._nodes[node.hash] = node
        self._recent.append(node)
        note = f"{self._place(draft)}: {', '.join(names) or 'nothing'}"
        made = [Delivery(raws[0], note), *(Delivery(raw, f"{note}, taken back") for raw in raws[1:])]
        self._old += made
        return made

    def _place(self, draft: BlockDraft) -> str:
        return f"height {draft.height} on {draft.parent.hash[::-1].hex()[-8:]}"


def _header(delivery: Delivery) -> Delivery:
    return Delivery(delivery.raw[:HEADER_SIZE].ljust(HEADER_SIZE, b"\0"), f"{delivery.note} (header)", is_header=True)

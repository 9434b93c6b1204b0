"""Peers of every kind, a chain with forks: the download completes, and only what a late peer owes is under way twice.

Time goes in steps of a tenth of a second. A peer answers for headers at once; for blocks, one after another, it takes
its time, or does worse things. At least one peer is honest and stays.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from ccnode.sync import download
from ccnode.sync.stalling import LATE_AFTER
from ccnode.wire.blocks import Block
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.inventory import GetData, InvItem, NotFound
from ccnode.wire.message import Message
from ccnode.wire.protocol import InvType, ServiceFlags
from tests.support.blocks import GOOD, MALFORMED, MUTATED, BlockRoom
from tests.support.fakes import NETWORK_AND_WITNESS, FakePeer, HeaderLine

STEP = 0.1
WINDOW = 48
LENGTH = 330
LIMITED_DEPTH = 288
PATIENCE = 3600.0
"""Simulated seconds in which everything must be done."""


class Kind(Enum):
    HONEST = "honest"
    SLOW = "gives a block in 1.5 seconds"
    STALLING = "gives no blocks"
    LEAVING = "goes after a few blocks"
    FORGING = "gives another body"
    MALFORMED = "gives what is no block"
    POOR = "says of every third block that it has not got it"
    LIMITED = "keeps recent blocks only"
    PUSHING = "sends blocks that nobody asked for"
    BEHIND = "has another, shorter chain"


SECONDS_PER_BLOCK = {Kind.SLOW: 1.5}


@dataclass(eq=False)
class Actor:
    """A peer and what it does."""

    peer: FakePeer
    kind: Kind
    line: HeaderLine
    rng: random.Random
    owes: list[bytes] = field(default_factory=list)
    given: int = 0
    owes_since: float = 0.0
    """Seconds; since when it has owed blocks and given none."""
    ready_at: float = 0.0

    def answer(self, now: float) -> list[Message]:
        """What it sends now."""
        messages: list[Message] = []
        for request in self.peer.take(GetHeaders):
            messages.append(Headers.build(self.line.after(request.locator)))
        if self.kind is Kind.PUSHING and self.rng.random() < 0.02:
            messages.append(self._block(self.rng.choice(self.line.hashes[1:]), GOOD))
        if self.owes and now >= self.ready_at and self.kind is not Kind.STALLING:
            self.ready_at = now + SECONDS_PER_BLOCK.get(self.kind, self.rng.uniform(0, 3 * STEP))
            messages.append(self._give(self.owes.pop(0)))
            self.given += 1
            self.owes_since = now
        return messages

    def _give(self, block_hash: bytes) -> Message:
        if self.kind is Kind.FORGING and self.rng.random() < 0.2:
            return self._block(block_hash, MUTATED)
        if self.kind is Kind.MALFORMED and self.rng.random() < 0.2:
            return self._block(block_hash, MALFORMED)
        has_it = self.kind is not Kind.LIMITED or self.line.height - self.line.places[block_hash] < LIMITED_DEPTH
        if not has_it or (self.kind is Kind.POOR and self.line.places[block_hash] % 3 == 0):
            return NotFound.build([InvItem(InvType.WITNESS_BLOCK, block_hash)])
        return self._block(block_hash, GOOD)

    def _block(self, block_hash: bytes, body: bytes) -> Block:
        return Block(self.line.headers[self.line.places[block_hash]] + body)


class World:
    """The room and its actors."""

    def __init__(self, kinds: Sequence[Kind], seed: int, lines: tuple[HeaderLine, HeaderLine, HeaderLine]) -> None:
        self.rng = random.Random(seed)
        self.main, self.behind, self.better = lines
        self.room = BlockRoom(now=self.main.time + 3600)
        self.actors: list[Actor] = []
        for kind in kinds:
            self.join(kind, self.behind if kind is Kind.BEHIND else self.main)

    def join(self, kind: Kind, line: HeaderLine) -> None:
        services = ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS if kind is Kind.LIMITED else NETWORK_AND_WITNESS
        actor = Actor(self.room.join(services=int(services)), kind, line, self.rng)
        plain_send = actor.peer.send

        def send(message: Message) -> None:
            if isinstance(message, GetData) and not actor.peer.closing:
                if not actor.owes:
                    actor.owes_since = self.room.clock.now()
                for item in message.items():
                    self.check(actor, item.hash)
                    actor.owes.append(item.hash)
            plain_send(message)

        actor.peer.send = send  # type: ignore[method-assign]
        self.actors.append(actor)
        self.room.give(actor.peer, line.headers[1:])

    def check(self, asked: Actor, block_hash: bytes) -> None:
        """Nobody who is still there owes this block already, but those who are late."""
        since = self.room.clock.now() - LATE_AFTER
        for actor in self.actors:
            gone = actor.peer.closing or actor.owes_since < since
            assert block_hash not in actor.owes or gone, f"{asked.kind} is asked as well as {actor.kind}"

    def run(self, until: Callable[[], bool]) -> None:
        end = self.room.clock.now() + PATIENCE
        while not until():
            assert self.room.clock.now() < end, f"height {self.room.height} of {self.main.height}"
            for actor in list(self.actors):
                for message in actor.answer(self.room.clock.now()):
                    if not actor.peer.closing:
                        self.room.deliver(actor.peer, message)
                if actor.peer.closing or (actor.kind is Kind.LEAVING and actor.given >= 20):
                    self.actors.remove(actor)
                    self.room.leave(actor.peer)
            self.room.later(STEP)


def some_lines() -> tuple[HeaderLine, HeaderLine, HeaderLine]:
    main = HeaderLine().grow(LENGTH, spacing=60)
    behind = main.fork(LENGTH - 60).grow(40, spacing=60, salt=1)
    better = main.fork(LENGTH - 20).grow(25, spacing=60, salt=2)
    return main, behind, better


LINES = some_lines()


@settings(max_examples=15, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(kinds=st.lists(st.sampled_from(Kind), min_size=1, max_size=7), seed=st.integers(0, 2**32))
def test_the_download_completes_and_no_block_is_under_way_twice(kinds: list[Kind], seed: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(download, "BLOCK_DOWNLOAD_WINDOW", WINDOW)
        world = World([*kinds, Kind.HONEST], seed, LINES)
        world.run(until=lambda: world.room.height >= LENGTH - 10)
        world.join(Kind.HONEST, world.better)  # a reorganisation of twenty blocks before the end is reached
        world.run(until=lambda: world.room.tip == world.better.tip)
        honest = [actor for actor in world.actors if actor.kind is Kind.HONEST]
        assert len(honest) == kinds.count(Kind.HONEST) + 2, "an honest peer was dropped"

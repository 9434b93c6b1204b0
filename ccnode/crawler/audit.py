"""Where a peer's chain ends: asked, not believed.

The height in a version message is a number that the peer likes to say. Here it is asked for headers instead, with a
locator that begins `DEPTH` blocks below our own tip, so that a peer that is up to date has some to send. They are few,
and each one proves its work; then the last of them is either in our chain, and its height is known, or it goes on
from our chain and is counted, or it belongs to a branch that left our chain below the locator's start.

What this needs is a chain of our own: the headers of a node's data directory. Without one nothing is verified. A peer
that is still catching up does not answer, and one whose tip is an entry of the locator answers with nothing: of
neither is anything known. Only the newest `WINDOW` hashes are kept; a branch that left earlier is judged as one that
is not ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ccnode.chain.batch import check_batch
from ccnode.chain.params import ChainParams
from ccnode.wire.headers import GetHeaders, Headers

DEPTH: Final = 6
"""Blocks below our tip at which the locator begins. Deeper reorganisations are not expected."""

WINDOW: Final = 5000
"""Hashes of our chain that are kept."""


@dataclass(frozen=True, slots=True)
class Tip:
    """What a peer's headers showed."""

    height: int
    hash: bytes
    ours: bool
    """Whether it lies in our chain or goes on from its end."""
    behind: int
    """Our height minus its."""


class TipAudit:
    """Judges answers to one locator."""

    def __init__(self, params: ChainParams, hashes: Sequence[bytes], height: int) -> None:
        """:param hashes: the last ones of our chain, lowest first, that of ``height`` at the end; not none."""
        self._params = params
        self.height = height
        first = height - len(hashes) + 1
        self._heights = {block_hash: first + i for i, block_hash in enumerate(hashes)}
        self._heights.setdefault(params.genesis_hash, 0)
        self._start = max(height - DEPTH, first)
        below = hashes[: self._start - first + 1]
        steps = (below[-(1 << i)] for i in range(len(below).bit_length()))
        self._locator = tuple(dict.fromkeys([*steps, params.genesis_hash]))

    def request(self) -> GetHeaders:
        """What to ask a peer."""
        return GetHeaders(self._locator)

    def judge(self, answer: Headers) -> Tip | None:
        """Where the peer's chain ends; None if its answer does not tell."""
        headers = answer.split()
        if not headers:
            only_genesis = len(self._locator) == 1
            return self._tip(0, self._params.genesis_hash, ours=True) if only_genesis else None
        batch = check_batch(self._params.header_format, self._params.pow_limit, headers)
        fork = self._heights.get(batch.columns.prevs[0])
        if batch.verdict is not None or fork is None:
            return None
        last = batch.hashes[-1]
        known = self._heights.get(last)
        if known is not None:
            return self._tip(known, last, ours=True)
        joined = max((self._heights.get(block_hash, fork) for block_hash in batch.hashes), default=fork)
        return self._tip(fork + len(headers), last, ours=joined >= self._start)

    def _tip(self, height: int, block_hash: bytes, *, ours: bool) -> Tip:
        return Tip(height, block_hash, ours, self.height - height)

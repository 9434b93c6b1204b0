"""Looking at blocks without changing anything: a block that is not mined yet, and blocks that were connected long ago.

`wait_test_block` judges what would be the next block (Core: ``TestBlockValidity``): miners ask before they spend work
on it, so proof of work is the one thing left out.

`wait_verify_chain` looks for damage on disk (Core: ``CVerifyDB``), from the tip downwards, by levels of which each
includes those before:

0. the blocks can be read from their files;
1. they obey the rules that need no context;
2. their undo data can be read;
3. they can be disconnected, and the coins are there that they made and those are not that they spent;
4. and connected again, scripts included.

What it takes back and connects again is a layer over the coins that is thrown away.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from ccnode.chain.block_rules import BlockContext, check_block
from ccnode.chain.bodies import Bodies
from ccnode.chain.coins import CoinsCache
from ccnode.chain.connect import BIP30_REPEATED, disconnect_block
from ccnode.chain.headers import HeaderChain
from ccnode.chain.params import ChainParams
from ccnode.chain.ports import Worker
from ccnode.chain.preparation import PreparedBlock
from ccnode.chain.tip import Fetch, Tip
from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.errors import StorageError
from ccnode.wire.parsing import ParsedBlock

log = logging.getLogger("ccnode.chain")

MAX_CHANGES = 1_000_000
"""Coins that a verification takes back in memory, some 250 MB; it goes no deeper then."""


class CoinsView:
    """Changes over coins that nobody else sees."""

    def __init__(self, wait_fetch: Fetch) -> None:
        self._wait_fetch = wait_fetch
        self._changes: dict[bytes, bytes | None] = {}

    def __len__(self) -> int:
        return len(self._changes)

    def wait_fetch(self, outpoints: Sequence[bytes]) -> dict[bytes, bytes]:
        """The coins among ``outpoints`` that exist."""
        changes = self._changes
        found = self._wait_fetch([outpoint for outpoint in outpoints if outpoint not in changes])
        found.update((outpoint, coin) for outpoint in outpoints if (coin := changes.get(outpoint)) is not None)
        return found

    def apply(self, spent: Iterable[bytes], created: Mapping[bytes, bytes]) -> None:
        """Remove and add coins."""
        self._changes.update(created)
        self._changes.update(dict.fromkeys(spent))


def wait_test_block(chain: HeaderChain, tip: Tip, coins: CoinsCache, prepared: PreparedBlock) -> BlockVerdict | None:
    """What would be wrong with a block on the tip; ``prepared`` without its proof of work."""
    header = prepared.block.header
    if chain.format.parse(header).prev != chain.index.hash(tip.entry):
        return BlockVerdict(ValidationResult.MISSING_PARENT, "inconclusive-not-best-prevblk")
    if prepared.verdict is not None:
        return prepared.verdict
    context = prepared.context
    assert context is not None, "the tip is a parent that is known"
    fault = chain.judge_on(tip.entry, header)
    if fault is not None:
        return BlockVerdict(fault.result, fault.reason)
    if prepared.contextual_verdict is not None:
        return prepared.contextual_verdict
    judged = tip.wait_judge(prepared, context, tip.entry, coins.wait_fetch)
    return judged if isinstance(judged, BlockVerdict) else None


def wait_verify_chain(
    chain: HeaderChain,
    tip: Tip,
    coins: CoinsCache,
    bodies: Bodies,
    worker: Worker,
    level: int,
    depth: int,
    interrupted: Callable[[], bool],
) -> bool:
    """Whether the last ``depth`` blocks (0: all that are stored) are as they should be; no if it was interrupted."""
    index = chain.index
    lowest = max(0, index.height(tip.entry) - depth) if depth else 0
    view = CoinsView(coins.wait_fetch)
    undone: list[int] = []
    n = tip.entry
    try:
        while index.height(n) > lowest and bodies.have(n) and len(view) < MAX_CHANGES:
            if interrupted():
                return False
            problem = _wait_look(chain, bodies, worker, view, n, level)
            if problem is not None:
                log.error("block %s: %s", index.hash(n)[::-1].hex(), problem)
                return False
            undone.append(n)
            n = index.parent(n) or 0
        if level >= 4:
            return _wait_connect_again(chain, tip, bodies, view, undone, interrupted)
    except StorageError as error:
        log.error("%s", error)
        return False
    return True


def _wait_look(chain: HeaderChain, bodies: Bodies, worker: Worker, view: CoinsView, n: int, level: int) -> str | None:
    """What is wrong with the block at the end of ``view``, up to level 3; it is taken back there."""
    block = bodies.wait_block(n).block
    if level >= 1 and (refused := worker.wait_run(_check, block, chain.params)) is not None:
        return f"{refused.reason} ({refused.detail})"
    if level < 2:
        return None
    spent = bodies.wait_undo(n)
    if level < 3:
        return None
    undone = worker.wait_run(disconnect_block, block, spent)
    expected = undone.removed
    if block.hash in BIP30_REPEATED:
        expected = {outpoint for outpoint in expected if outpoint[:32] != block.txids[0]}
    if len(view.wait_fetch(list(expected))) != len(expected):
        return "coins that it made are missing"
    if view.wait_fetch(list(undone.restored)):
        return "coins that it spent are there"
    view.apply(undone.removed, undone.restored)
    return None


def _check(block: ParsedBlock, params: ChainParams) -> BlockVerdict | None:
    return check_block(block, params, check_pow=True)


def _wait_connect_again(
    chain: HeaderChain,
    tip: Tip,
    bodies: Bodies,
    view: CoinsView,
    undone: Sequence[int],
    interrupted: Callable[[], bool],
) -> bool:
    """Connect blocks, the last of ``undone`` first, to ``view``."""
    index = chain.index
    for n in reversed(undone):
        if interrupted():
            return False
        prepared = bodies.wait_block(n)
        parent = index.parent(n) or 0
        context = BlockContext.build(chain.params, index, parent, index.time(n))
        judged = tip.wait_judge(prepared, context, parent, view.wait_fetch)
        if isinstance(judged, BlockVerdict):
            log.error("block %s: %s (%s)", index.hash(n)[::-1].hex(), judged.reason, judged.detail)
            return False
        view.apply(prepared.outer, judged.created)
    return True

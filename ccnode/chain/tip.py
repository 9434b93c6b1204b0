"""The coins' tip: the block that the coins are at, and the one step up or down from it.

`Tip.wait_connect` judges a block against the coins, verifies its scripts and stores its undo data, and only then
changes anything: coins, tip, table and subscribers move together, without a switch in between. `Tip.wait_disconnect`
takes the tip back with its undo data. Where to go is not decided here (`ccnode.chain.chainstate`).

What is on disk follows in flushes: one transaction holds the coins, the block they are at and the table as it is then.
Blocks connected since the last flush are connected again after a crash.
"""

import logging
from collections.abc import Callable, Sequence

from ccnode.chain.assumed import scripts_assumed_valid
from ccnode.chain.block_rules import BlockContext
from ccnode.chain.block_table import BlockTable
from ccnode.chain.bodies import Bodies
from ccnode.chain.coins import CoinsCache
from ccnode.chain.connect import (
    Connected,
    Disconnected,
    connect_block,
    created_outpoints,
    disconnect_block,
    lock_heights,
    may_overwrite,
)
from ccnode.chain.index import HeaderIndex
from ccnode.chain.params import ChainParams
from ccnode.chain.ports import ScriptVerifier, Worker
from ccnode.chain.preparation import PreparedBlock
from ccnode.chain.script_flags import block_script_flags
from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.errors import StorageError
from ccnode.wire.parsing import ParsedBlock

log = logging.getLogger("ccnode.chain")

Moved = Callable[[int, ParsedBlock, list[list[bytes]]], None]
Fetch = Callable[[Sequence[bytes]], dict[bytes, bytes]]

_SMALL_BLOCK = 20_000
"""Bytes; connecting one takes less time than handing it to a worker (0.1 ms, and its turn in the queue)."""


class Tip:
    """Where the coins are. ``coins`` and ``table`` must agree, as a flush leaves them."""

    def __init__(
        self,
        params: ChainParams,
        index: HeaderIndex,
        table: BlockTable,
        coins: CoinsCache,
        bodies: Bodies,
        worker: Worker,
        scripts: ScriptVerifier,
        sync_headers: Callable[[], None],
    ) -> None:
        """``sync_headers`` runs on the worker before each flush, because the table refers to headers.

        StorageError if the coins are at a block without a header.
        """
        entry = index.find(coins.best_block)
        if entry is None:
            name = coins.best_block[::-1].hex()
            raise StorageError(f"the coins are at block {name}, which has no header; start once with --reindex")
        self.entry = entry
        """The entry that the coins are at."""
        self.connected: list[Moved] = []
        """Called with entry, block and the coins it spent, when the coins have moved up to the entry."""
        self.disconnected: list[Moved] = []
        """The same, when they have moved down from it."""
        self._params = params
        self._index = index
        self._table = table
        self._coins = coins
        self._bodies = bodies
        self._worker = worker
        self._scripts = scripts
        self._sync_headers = sync_headers

    def wait_connect(self, n: int, then: int | None) -> BlockVerdict | None:
        """Connect entry ``n``, a child of the tip whose data are there; or say why not, with nothing changed.

        ``then`` is the entry that is connected next if all goes well: it is read from its file meanwhile.
        """
        prepared = self._bodies.wait_block(n)
        if then is not None:
            self._bodies.prefetch(then)
        block = prepared.block
        context = BlockContext.build(self._params, self._index, self.entry, self._index.time(n))
        judged = self._wait_spend(prepared, context, self.entry, self._coins.wait_fetch)
        if isinstance(judged, BlockVerdict):
            return judged
        undo = self._bodies.start_undo(n, judged.spent)  # written while scripts are verified
        if not scripts_assumed_valid(self._params, self._index, n):
            verdict = self._wait_verify(block, context, judged)
            if verdict is not None:
                return verdict
        self._bodies.wait_undo_stored(n, judged.spent, undo)
        self._coins.apply(prepared.outer, judged.created, block.hash)
        self.entry = n
        self._table.set_scripts_valid(n)
        self._bodies.forget(n)
        log.debug("connected block %s at height %d", block.hash[::-1].hex(), context.height)
        for callback in self.connected:
            callback(n, block, judged.spent)
        return None

    def wait_judge(
        self, prepared: PreparedBlock, context: BlockContext, parent: int, wait_fetch: Fetch
    ) -> Connected | BlockVerdict:
        """What a block on ``parent`` does to the coins that ``wait_fetch`` finds; or why it is refused."""
        judged = self._wait_spend(prepared, context, parent, wait_fetch)
        if isinstance(judged, BlockVerdict):
            return judged
        return self._wait_verify(prepared.block, context, judged) or judged

    def _wait_spend(
        self, prepared: PreparedBlock, context: BlockContext, parent: int, wait_fetch: Fetch
    ) -> Connected | BlockVerdict:
        """The same without scripts."""
        block = prepared.block
        coins = wait_fetch(prepared.outer)
        overwritten: dict[bytes, bytes] = {}
        if may_overwrite(self._params, self._index, parent, block.hash):
            overwritten = wait_fetch(_created(block))
        flags = block_script_flags(self._params, context.height, block.hash)
        heights = lock_heights(prepared.time_locked, coins)
        times = {
            height: self._index.median_time_past(self._index.ancestor(parent, height))
            for height in heights
            if height < context.height
        }
        job = connect_block, block, context, coins, flags, times, overwritten
        return connect_block(*job[1:]) if len(block.raw) < _SMALL_BLOCK else self._worker.wait_run(*job)

    def _wait_verify(self, block: ParsedBlock, context: BlockContext, judged: Connected) -> BlockVerdict | None:
        """What is wrong with a block's scripts."""
        flags = block_script_flags(self._params, context.height, block.hash)
        failure = self._scripts.wait_verify(block, judged.spent, flags)
        if failure is None:
            return None
        return BlockVerdict(ValidationResult.CONSENSUS, "block-script-verify-flag-failed", str(failure))

    def wait_disconnect(self) -> None:
        """Move the coins from the tip to its parent. StorageError if its data or undo data cannot be read."""
        n = self.entry
        parent = self._index.parent(n)
        assert parent is not None, "entry 0 is never disconnected"
        block = self._bodies.wait_block(n).block
        spent = self._bodies.wait_undo(n)
        undone: Disconnected = self._worker.wait_run(disconnect_block, block, spent)
        self._coins.apply(undone.removed, undone.restored, self._index.hash(parent))
        self.entry = parent
        log.debug("disconnected block %s at height %d", block.hash[::-1].hex(), self._index.height(n))
        for callback in self.disconnected:
            callback(n, block, spent)

    def wait_flush(self) -> None:
        """Write everything down. StorageError; nothing on disk has changed then, and the node has to stop."""
        log.debug("writing %d changes of coins, up to height %d", self._coins.unflushed, self._index.height(self.entry))
        self._worker.wait_run(self._sync_headers)
        self._coins.wait_flush(self._table.take_records(self._index.hash))
        log.debug("wrote the coins")


def _created(block: ParsedBlock) -> list[bytes]:
    pairs = zip(block.txids, block.outputs, strict=True)
    return [outpoint for txid, outputs in pairs for outpoint in created_outpoints(txid, outputs)]

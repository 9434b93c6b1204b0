"""The chain state: which blocks are stored, and which of them make the active chain. (Core: ``validation.cpp``.)

A block's way, in two halves:

`Chainstate.wait_store` (Core: ``AcceptBlock``): the header enters the chain, the block is checked in its place, and
stored. One that nobody asked for must be worth it: as much work as the tip, and not too far ahead of it.

`Chainstate.wait_activate` (Core: ``ActivateBestChain``): towards the best candidate, disconnect down to the fork and
connect up from there, one block at a time. After every block that has brought more work than the published tip has,
and after every failure, the best candidate is looked for again. A block that fails is marked invalid, all its
descendants with it.

The *tip* of the chain state is the block that the coins are at. The *published* tip is the active chain's in the header
index, which everybody else sees: it moves when the tip has come to something at least as good, and to less work only
where a block was marked by hand. So nobody sees the middle of a reorganisation.

All methods whose names begin with ``wait_``, but for `Chainstate.wait_prepare`, must be called from one greenlet, one
after another. What they find when they begin is theirs until they return: nobody else changes coins or table.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from ccnode.chain.block_rules import BlockContext, contextual_check_block
from ccnode.chain.block_table import BlockTable
from ccnode.chain.bodies import Bodies
from ccnode.chain.candidates import Candidates
from ccnode.chain.coins import CoinsCache, make_coin
from ccnode.chain.examination import wait_test_block, wait_verify_chain
from ccnode.chain.headers import HeaderChain
from ccnode.chain.params import MIN_BLOCKS_TO_KEEP
from ccnode.chain.ports import SMALL_BLOCK, BlockStore, FilePosition, ScriptVerifier, Worker
from ccnode.chain.preparation import PreparedBlock, prepare_block
from ccnode.chain.signet import SIGNET_FLAGS, signet_solution
from ccnode.chain.tip import Moved, Tip
from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.wire.parsing import ParsedBlock

log = logging.getLogger("ccnode.chain")

LOOK_AHEAD: Final = 32
"""Blocks of a branch that are connected before the best candidate is chosen again."""

Checked = Callable[[bytes, BlockVerdict | None, int | None], None]


def wait_is_signed(block: ParsedBlock, challenge: bytes, scripts: ScriptVerifier) -> bool:
    """Whether a signet's block brings a solution to the challenge (BIP325)."""
    solution = signet_solution(block, challenge) if len(block) else None
    if solution is None:
        return False
    coins = [make_coin(0, challenge, 0, False)]
    return scripts.wait_verify_transaction(solution.to_sign.encode(), coins, SIGNET_FLAGS) is None


@dataclass(frozen=True, slots=True)
class BlockResult:
    """What became of a block."""

    entry: int | None  # in the header index, if its header is in there
    new: bool  # stored now
    verdict: BlockVerdict | None = None  # why it was refused; None also for one that is merely not stored
    unlocked: int | None = None  # the best that can be connected because this is there: itself or a descendant


class Chainstate:
    """The validated blocks of one network. From now on the tip of ``chain`` is the last connected block."""

    def __init__(
        self,
        chain: HeaderChain,
        table: BlockTable,
        files: BlockStore,
        coins: CoinsCache,
        worker: Worker,
        scripts: ScriptVerifier,
        sync_headers: Callable[[], None] = lambda: None,
    ) -> None:
        """``coins`` and ``table`` must agree, as a flush leaves them; StorageError where they visibly do not.

        ``sync_headers`` forces the header store onto the disk. It runs on the worker, before every flush.
        """
        self.chain = chain
        self.table = table
        self.coins = coins
        self.bodies = Bodies(chain.params, chain.index, table, files, worker)
        self.tip = Tip(chain.params, chain.index, table, coins, self.bodies, worker, scripts, sync_headers)
        self._params = chain.params
        self._index = chain.index
        self._worker = worker
        self._scripts = scripts
        self.interrupted = False
        """Whether the node is to stop: what may take long ends early then, with nothing half done."""
        self._sources: dict[int, int] = {}
        self._checked: list[Checked] = []
        chain.separate(self.tip.entry, table.scripts_valid)
        self._candidates = Candidates(self._index, table, self.tip.entry)

    # Events. Subscribers are called at once, in the order of subscription, and must not wait.

    def on_block_checked(self, callback: Checked) -> None:
        """``callback(hash, verdict, source)``: a stored block was connected (verdict None), or cannot be.

        ``source`` is what `wait_store` was given for it. What that refuses, it answers with the verdict itself.
        """
        self._checked.append(callback)

    def on_connected(self, callback: Moved) -> None:
        """``callback(entry, block, spent)``: the coins are at this block now; the tip is published after that."""
        self.tip.connected.append(callback)

    def on_disconnected(self, callback: Moved) -> None:
        """``callback(entry, block, spent)``: the coins are at this block's parent now."""
        self.tip.disconnected.append(callback)

    def _tell_checked(self, block_hash: bytes, verdict: BlockVerdict | None, source: int | None) -> None:
        for callback in self._checked:
            callback(block_hash, verdict, source)

    # Storing

    def told_by_header(self, raw: bytes, *, requested: bool = True) -> BlockResult | None:
        """What becomes of a block into which nobody has to look, since its header says it; None of any other.

        Taking a block of 4 MB apart can cost a second and 80 MB of memory. So that much is spent only on one whose
        header took work, and which would be stored if it is fine.
        """
        form = self._params.header_format
        if len(raw) < form.size:
            return None
        header = raw[: form.size]
        n = self._index.find(form.hash(header))
        if n is None:
            refused = self.chain.check_batch([header]).verdict
            return None if refused is None else BlockResult(None, False, BlockVerdict(refused.result, refused.reason))
        if self._index.is_invalid(n):
            return BlockResult(n, False, BlockVerdict(ValidationResult.CACHED_INVALID, "duplicate-invalid"))
        return None if self._is_wanted(n, requested) else BlockResult(n, False)

    def wait_prepare(self, raw: bytes, worker: Worker | None = None) -> PreparedBlock:
        """Parse a block and check what can be checked before its turn. Raises `DecodeError`. For any greenlet.

        ``worker``: another than the chain state's, which others need.
        """
        arguments = (raw, self._params, self._scripts.passes, self._context_of(raw))
        if worker is None and len(raw) < SMALL_BLOCK:
            prepared = prepare_block(*arguments)
        else:
            prepared = (worker or self._worker).wait_run(prepare_block, *arguments)
        return prepared if self._params.signet_challenge is None else self._wait_signed(prepared)

    def _wait_signed(self, prepared: PreparedBlock) -> PreparedBlock:
        """The block with the verdict on its signature, which comes right after that on its proof of work.

        Nobody signed the first block.
        """
        if prepared.verdict is not None and prepared.verdict.result is ValidationResult.INVALID_HEADER:
            return prepared
        if prepared.block.hash == self._params.genesis_hash:
            return prepared
        assert self._params.signet_challenge is not None
        if wait_is_signed(prepared.block, self._params.signet_challenge, self._scripts):
            return prepared
        verdict = BlockVerdict(ValidationResult.CONSENSUS, "bad-signet-blksig", "signet block signature validation")
        return replace(prepared, verdict=verdict)

    def wait_accept(
        self, raw: bytes, *, requested: bool = True, source: int | None = None, min_pow_checked: bool = True
    ) -> BlockResult:
        """`wait_prepare` and `wait_store`."""
        prepared = self.wait_prepare(raw)
        return self.wait_store(prepared, requested=requested, source=source, min_pow_checked=min_pow_checked)

    def wait_store(
        self,
        prepared: PreparedBlock,
        *,
        requested: bool = True,
        source: int | None = None,
        min_pow_checked: bool = True,
        position: FilePosition | None = None,
    ) -> BlockResult:
        """Take in a block's header, and the block if it is fine and worth it.

        ``source`` is a number of the caller's, for `on_block_checked`. ``min_pow_checked``: whether the header, if it
        is new, has work enough to be worth memory (``anti_dos_work_threshold``). ``position``: where the block is, if
        it is in the block files already.
        """
        result = self._wait_store(prepared, requested, min_pow_checked, position)
        if result.new and result.entry is not None:
            if result.entry == 0:
                self.table.link(0, 0)
                return result
            if source is not None:
                self._sources[result.entry] = source
            linked = self._candidates.link(result.entry, self.tip.entry)
            result = replace(result, unlocked=min(linked, key=self._rank, default=None))
        return result

    def _wait_store(
        self, prepared: PreparedBlock, requested: bool, min_pow_checked: bool, position: FilePosition | None
    ) -> BlockResult:
        if prepared.verdict is not None:
            return BlockResult(None, False, prepared.verdict)
        n, refused = self._accept_header(prepared, min_pow_checked)
        if n is None or refused is not None:
            return BlockResult(n, False, refused)
        if not self._is_wanted(n, requested):
            return BlockResult(n, False)
        refused = self._wait_place(n, prepared) if n else None
        if refused is None:
            self.bodies.wait_append(n, prepared, position)
        elif refused.result is not ValidationResult.MUTATED:
            self._mark_invalid(n, refused)
        return BlockResult(n, refused is None, refused)

    def _accept_header(self, prepared: PreparedBlock, min_pow_checked: bool) -> tuple[int | None, BlockVerdict | None]:
        block = prepared.block
        n = self._index.find(block.hash)
        if n is not None and not self._index.is_invalid(n):
            return n, None
        if not min_pow_checked and n is None:
            parent = self._index.find(self._params.header_format.parse(block.header).prev)
            if parent is not None and not self._index.is_invalid(parent):
                return None, BlockVerdict(ValidationResult.HEADER_LOW_WORK, "too-little-chainwork")
        accepted = self.chain.accept([block.header], hashes=[block.hash])
        if accepted.verdict is None:
            return accepted.last, None
        return self._index.find(block.hash), BlockVerdict(accepted.verdict.result, accepted.verdict.reason)

    def _is_wanted(self, n: int, requested: bool) -> bool:
        return not self.table.have_data(n) and (requested or self._is_worth_storing(n))

    def _is_worth_storing(self, n: int) -> bool:
        """Whether a block is stored that was not asked for."""
        index, tip = self._index, self._index.tip
        return (
            not self.table.tx_count(n)  # else it was stored once, and pruned
            and index.chain_work(n) >= index.chain_work(tip)
            and index.height(n) <= index.height(tip) + MIN_BLOCKS_TO_KEEP
            and index.chain_work(n) >= self._params.minimum_chain_work
        )

    def _wait_place(self, n: int, prepared: PreparedBlock) -> BlockVerdict | None:
        """What is wrong with the block in its place."""
        if prepared.context is not None:
            return prepared.contextual_verdict
        context = self._context_of(prepared.block.header)
        assert context is not None, "a block whose header is in the chain has a parent there"
        return self._worker.wait_run(contextual_check_block, prepared.block, context)

    def _context_of(self, raw: bytes) -> BlockContext | None:
        """Where a block stands, if its parent is known; None also for bytes too short for a header."""
        form = self._params.header_format
        if len(raw) < form.size:
            return None
        header = form.parse(raw[: form.size])
        parent = self._index.find(header.prev)
        return None if parent is None else BlockContext.build(self._params, self._index, parent, header.time)

    # Activating

    def wait_activate(self) -> None:
        """Make the best candidate the tip, and publish it; or give up between two steps if `interrupted`."""
        while not self.interrupted and self.wait_step():
            pass

    def wait_step(self) -> bool:
        """A part of `wait_activate`: a few blocks up or down; False if nothing was left to do.

        Between steps blocks may be stored. The tip is not the published one if the step ended inside a reorganisation.
        """
        tip = self.tip
        if self._index.is_invalid(tip.entry):
            tip.wait_disconnect()
            if not self._index.is_invalid(tip.entry):
                self._candidates.collect(tip.entry)
            return True
        target = self._candidates.best(tip.entry)
        if target is not None:
            self._wait_towards(target)
        if target is None or self._rank(tip.entry) < self._rank(self._index.tip):
            self._publish()
        self._wait_flush_if_due()
        return target is not None

    def _wait_towards(self, target: int) -> None:
        """Disconnect to the fork, and connect until the tip is better than the published one, or a block fails.

        A few blocks at a time: then the best candidate is chosen again.
        """
        index, tip = self._index, self.tip
        fork = index.fork_point(tip.entry, target)
        path = index.branch(fork, target)[:LOOK_AHEAD]
        missing = next((n for n in path if not self.table.have_data(n)), None)
        if missing is not None:
            self._candidates.drop(target, missing, tip.entry)
            return
        for _ in range(LOOK_AHEAD):
            if tip.entry == fork:
                break
            if self.interrupted:
                return
            tip.wait_disconnect()
        else:
            return
        for n, then in zip(path, [*path[1:], None], strict=True):
            verdict = tip.wait_connect(n, then)
            if verdict is not None:
                self._mark_invalid(n, verdict)
                self._candidates.add(tip.entry, tip.entry)  # as far as the branch is good
            self._tell_checked(index.hash(n), verdict, self._sources.pop(n, None))
            if verdict is not None or self.interrupted or self._rank(tip.entry) < self._rank(index.tip):
                return

    def _rank(self, n: int) -> tuple[int, int, int]:
        return self._candidates.rank(n)

    def _publish(self) -> None:
        """Let everybody see the tip."""
        assert not self._index.is_invalid(self.tip.entry), "an invalid block would be the tip"
        if self.chain.set_active(self.tip.entry) is not None:
            self._candidates.add(self.tip.entry, self.tip.entry)  # to come back to, should a better branch fail
            self._candidates.forget_worse(self.tip.entry)

    def _mark_invalid(self, n: int, verdict: BlockVerdict) -> None:
        block_hash = self._index.hash(n)[::-1].hex()
        log.warning("Block validation error: %s (block %s)", verdict, block_hash)
        self.chain.invalidate(n)
        self._sources = {m: source for m, source in self._sources.items() if m == n or not self._index.is_invalid(m)}

    # By hand

    def wait_invalidate(self, n: int) -> None:
        """Mark an entry invalid, leave it if the tip is on it, and go to the best of the rest.

        ValueError for the first header of the chain.
        """
        self.chain.invalidate(n)
        self._candidates.collect(self.tip.entry)
        self.wait_activate()

    def wait_reconsider(self, n: int) -> None:
        """Take back the marks on an entry, its ancestors and descendants, and go to the best there is then."""
        self.chain.reconsider(n)
        self._candidates.collect(self.tip.entry)
        self.wait_activate()

    def wait_prefer(self, n: int) -> None:
        """Take an entry as if it had come before all others of its work (Core: ``PreciousBlock``)."""
        if self._index.chain_work(n) >= self._index.chain_work(self.tip.entry) and self._candidates.is_linked(n):
            self._candidates.prefer(n, self.tip.entry)
            self.wait_activate()

    # Flushing

    def wait_flush(self) -> None:
        """Write everything down. StorageError if that fails: the node has to stop then."""
        self.tip.wait_flush()

    def _wait_flush_if_due(self) -> None:
        if self.coins.should_flush():
            self.tip.wait_flush()

    # Looking again; nothing changes

    def wait_test(self, raw: bytes) -> BlockVerdict | None:
        """What would be wrong with a block on the tip, its proof of work aside. Raises `DecodeError`."""
        arguments = (raw, self._params, self._scripts.passes, self._context_of(raw), False)
        prepared = self._worker.wait_run(prepare_block, *arguments)
        return wait_test_block(self.chain, self.tip, self.coins, prepared)

    def wait_verify(self, level: int, depth: int) -> bool:
        """Check the last ``depth`` blocks again (0: all), as thoroughly as ``level`` from 0 to 4 says."""
        chain, tip, coins, bodies = self.chain, self.tip, self.coins, self.bodies
        return wait_verify_chain(chain, tip, coins, bodies, self._worker, level, depth, lambda: self.interrupted)

"""The scripts of a block, or of a transaction, verified on a few threads (Core: ``CCheckQueue``).

`ScriptChecker` lives on the hub. It cuts the work into *slices* and gives each to a thread of its pool; the library
lets go of the GIL while it verifies, so the hub runs on and the threads run beside each other. A slice is some 20 kB of
transactions, since a signature and its key take up a hundred bytes whatever the script: ten milliseconds where there
is one signature per input. That is a hundred times what handing it over costs, and short enough that a transaction
that a peer sent does not wait long behind a block: who waits for a free thread is served in order.

A small block whose scripts have few bytes is verified on the hub: to hand it over would take longer. What a script can
cost is bounded by its length, since it has no loops, and who checks a signature must have brought a key.

Only the rules of consensus ever reach the library. It says whether a script verifies and never why not.
"""

import os
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from itertools import chain
from typing import Final

import gevent
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from ccnode.chain.ports import SMALL_BLOCK, ScriptFailure
from ccnode.chain.script_flags import ALL_SCRIPT_FLAGS
from ccnode.kernel.blocks import BlockChecker
from ccnode.kernel.library import Kernel, load_kernel
from ccnode.kernel.script_cache import SIZE, ScriptCache
from ccnode.kernel.verification import SCRIPT_OFFSET, Loaded, Place, Span, bitcoin_form, verify_spans
from ccnode.wire.parsing import ParsedBlock
from ccnode.wire.serialize import sha256d

SLICE_BYTES: Final = 20_000
"""Bytes of transactions in a slice."""

LIGHT_SCRIPTS: Final = 250
"""Bytes of scripts and witnesses that are run, up to which a small block is verified on the hub: two signatures and
their keys, or as many inputs without any as there is room for. That takes less than half a millisecond; the worst that
can be made of it, by checking one signature over and over, takes 20."""

Slice = list[Span]


class ScriptChecker:
    """Verifies scripts on ``par`` threads. Raises `StartupError` where the library cannot be had."""

    def __init__(self, par: int, *, salt: bytes | None = None, cache_size: int = SIZE) -> None:
        self._kernel = load_kernel()
        self._blocks = BlockChecker(self._kernel)
        self._pool = ThreadPool(par)
        self._cache = ScriptCache(salt or os.urandom(32), cache_size)

    def close(self) -> None:
        """End the threads, after what they are doing."""
        self._pool.kill()
        self._blocks.close()

    def passes(self, block: ParsedBlock) -> bool:
        """Whether ``block`` is sure to pass `check_block`, proof of work aside. Blocking: for a worker thread."""
        return self._blocks.passes(block)

    def wait_verify(
        self, block: ParsedBlock, spent: Sequence[Sequence[bytes]], flags: int, script_cache_ok: bool = True
    ) -> ScriptFailure | None:
        """The first input of ``block`` whose script fails under ``flags``, or None.

        ``spent`` has the coins of each transaction after the coinbase, in the order of its inputs. A transaction that
        is known to verify is not verified again, unless ``script_cache_ok`` is false.
        """
        if [*map(len, spent)] != [*map(len, block.outpoints[1:])]:
            raise ValueError("the coins are not those that the block spends")
        flags &= ALL_SCRIPT_FLAGS
        known = self._known(block, flags) if script_cache_ok else frozenset()
        slices = [*cut(block.offsets, spent, known)]
        if not slices:
            return None
        if len(block.raw) < SMALL_BLOCK and _script_bytes(block, spent) <= LIGHT_SCRIPTS:
            failed = _verify_at_once(self._kernel, bitcoin_form(block), True, slices, flags)
            return None if failed is None else ScriptFailure(*failed)
        return self._wait_slices(bitcoin_form(block), slices, flags, is_block=True)

    def wait_verify_transaction(
        self, raw: bytes, spent_outputs: Sequence[bytes], flags: int, script_cache_ok: bool = True
    ) -> ScriptFailure | None:
        """The same of one transaction with its witness, which is remembered if it verifies."""
        if not spent_outputs:
            raise ValueError("a transaction that spends nothing has no scripts to verify")
        flags &= ALL_SCRIPT_FLAGS
        wtxid = sha256d(raw)
        if script_cache_ok and self._cache.knows(wtxid, flags):
            return None
        slices = [*cut((0, 0, len(raw)), [spent_outputs], ())]
        alone = [[span._replace(position=0) for span in spans] for spans in slices]
        failure = self._wait_slices(raw, alone, flags, is_block=False)
        if failure is None and script_cache_ok:
            self._cache.add(wtxid, flags)
        return failure

    def _known(self, block: ParsedBlock, flags: int) -> Collection[int]:
        if not len(self._cache):
            return ()
        return {position for position, wtxid in enumerate(block.wtxids) if self._cache.knows(wtxid, flags)}

    def _wait_slices(self, raw: bytes, slices: Sequence[Slice], flags: int, *, is_block: bool) -> ScriptFailure | None:
        if len(slices) <= 1:
            failed = self._pool.apply(_verify_at_once, (self._kernel, raw, is_block, slices, flags))
        else:
            # a greenlet of its own: who waits may be killed, and what the library holds is given back all the same
            failed = gevent.spawn(self._verify_slices, raw, slices, flags, is_block).get()
        return None if failed is None else ScriptFailure(*failed)

    def _verify_slices(self, raw: bytes, slices: Sequence[Slice], flags: int, is_block: bool) -> Place | None:
        loaded: Loaded = self._pool.apply(_load, (self._kernel, raw, is_block, _divided(slices), flags))
        running: deque[AsyncResult] = deque()
        failed: Place | None = None
        try:
            for spans in slices:
                while failed is None and running and running[0].ready():
                    failed = running.popleft().get()
                if failed is not None:
                    break
                running.append(self._pool.spawn(verify_spans, loaded, spans, flags))  # waits for a free thread
            while failed is None and running:
                failed = running.popleft().get()
            return failed
        finally:
            for result in running:
                result.wait()
            loaded.close()


def _script_bytes(block: ParsedBlock, spent: Sequence[Sequence[bytes]]) -> int:
    """Bytes of scripts and witnesses that run when ``block`` is verified, the coinbase's witness included."""
    outputs = sum(len(coin) - SCRIPT_OFFSET for coins in spent for coin in coins)
    inputs = sum(map(len, chain.from_iterable(block.script_sigs[1:])))
    return outputs + inputs + len(block.raw) - block.stripped_size


def _verify_at_once(kernel: Kernel, raw: bytes, is_block: bool, slices: Sequence[Slice], flags: int) -> Place | None:
    loaded = Loaded(kernel, raw, is_block=is_block)
    try:
        return verify_spans(loaded, [span for spans in slices for span in spans], flags)
    finally:
        loaded.close()


def _load(kernel: Kernel, raw: bytes, is_block: bool, divided: Sequence[Span], flags: int) -> Loaded:
    loaded = Loaded(kernel, raw, is_block=is_block)
    try:
        for span in divided:
            loaded.share(span.position, span.coins, flags)
    except ValueError:
        loaded.close()
        raise
    return loaded


def cut(offsets: Sequence[int], spent: Sequence[Sequence[bytes]], known: Collection[int]) -> Iterator[Slice]:
    """Slices of the transactions that ``spent`` is about: those from position 1 on, but not those in ``known``.

    ``offsets[i]`` and ``offsets[i + 1]`` are where the transaction at position ``i`` begins and ends.
    """
    spans: Slice = []
    room = SLICE_BYTES
    for position, coins in enumerate(spent, 1):
        if position in known:
            continue
        size = offsets[position + 1] - offsets[position]
        step = max(SLICE_BYTES * len(coins) // size, 1)  # inputs in as much of this transaction as makes a slice
        for first in range(0, len(coins), step):
            end = min(first + step, len(coins))
            spans.append(Span(position, coins, first, end))
            room -= size * (end - first) // len(coins)
            if room <= 0:
                yield spans
                spans, room = [], SLICE_BYTES
    if spans:
        yield spans


def _divided(slices: Sequence[Slice]) -> list[Span]:
    """The first span of every transaction that has more of them."""
    return [span for spans in slices for span in spans if span.first == 0 and span.end < len(span.coins)]

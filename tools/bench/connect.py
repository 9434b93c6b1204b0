"""Connecting a block full of spends: from its bytes to the new tip, beside Bitcoin Core's library doing the same.

Ours is the engine as the node runs it, with its worker threads and its stores on disk. The library keeps its databases
in memory and writes its block files, as ours are. In the same run, the stages are measured one by one on the hub, in
the order of a block's way, so that what the engine takes can be told from what the work takes.
"""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ccnode.chain.block_rules import BlockContext
from ccnode.chain.coins import CoinsCache
from ccnode.chain.connect import Connected, connect_block
from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import REGTEST
from ccnode.chain.preparation import prepare_block
from ccnode.chain.script_flags import block_script_flags
from ccnode.chain.undo import encode_undo
from ccnode.clock import SystemClock
from ccnode.engine.open import BlockOptions, OpenBlocks, open_blocks
from ccnode.runner import SWITCH_INTERVAL
from tests.support.chainstate import ImmediateWorker
from tests.support.fakes import MemoryHeaderStore
from tests.support.spends import P2TR, P2WPKH, P2WSH_OP_TRUE
from tools.bench.library import library_seconds, watched
from tools.bench.process import scratch
from tools.bench.report import Row, milliseconds, show, times
from tools.bench.spending import spending_chain

KINDS = {"P2WPKH": P2WPKH, "P2TR": P2TR, "OP_TRUE": P2WSH_OP_TRUE}
INPUTS, QUICK_INPUTS = 5_000, 200
GOALS = {1: "at most 1.5x", 2: "at most 2.5x"}
OP_TRUE_GOAL = "at most 4x"


def opened(folder: Path, par: int) -> tuple[OpenBlocks, HeaderChain]:
    clock = SystemClock()
    chain = HeaderChain(REGTEST, MemoryHeaderStore(), clock)
    chain.load()
    options = BlockOptions(par=par)
    blocks = open_blocks(options, chain, folder, clock, sync_headers=lambda: None, on_fault=sys.excepthook)
    blocks.start()
    return blocks, chain


def our_seconds(blocks: list[bytes], folder: Path, par: int) -> tuple[float, float]:
    """Wall seconds for the last block, and the longest that the hub was late meanwhile."""
    node, chain = opened(folder, par)
    for raw in blocks[:-1]:
        node.engine.wait_process(raw)
    with watched() as lateness:
        begun = time.perf_counter()
        result, _checked = node.engine.wait_process(blocks[-1])
        seconds = time.perf_counter() - begun
    height = chain.index.height(chain.index.tip)
    node.close()
    if height != len(blocks):
        raise RuntimeError(f"the block of the bench is refused: {result.verdict}")
    return seconds, lateness.worst


def stage_rows(blocks: list[bytes], folder: Path) -> list[Row]:
    """One after another, on this thread."""
    node, chain = opened(folder, 1)
    for raw in blocks[:-1]:
        node.engine.wait_process(raw)
    state = node.engine.state
    parent = chain.index.tip
    rows: list[Row] = []

    def timed(name: str, function: Callable[..., Any], *args: Any) -> Any:
        seconds = []
        for _ in range(5):
            begun = time.perf_counter()
            result = function(*args)
            seconds.append(time.perf_counter() - begun)
        rows.append(Row(f"    {name}", milliseconds(min(seconds)), "", ""))
        return result

    raw = blocks[-1]
    header = REGTEST.header_format.parse(raw[:80])
    context = BlockContext.build(REGTEST, chain.index, parent, header.time)
    prepared = timed("parse and check", prepare_block, raw, REGTEST, node.scripts.passes, context)
    coins = timed("fetch coins", state.coins.wait_fetch, prepared.outer)
    flags = block_script_flags(REGTEST, context.height, prepared.block.hash)
    judged: Connected = timed("connect", connect_block, prepared.block, context, coins, flags)
    timed("undo data", encode_undo, judged.spent)
    timed("verify scripts, one thread", node.scripts.wait_verify, prepared.block, judged.spent, flags)
    layer = CoinsCache(node.store, ImmediateWorker(), 1 << 30, b"")
    timed("change coins", layer.apply, prepared.outer, judged.created, prepared.block.hash)
    node.close()
    return rows


def measure(name: str, script: bytes, inputs: int, turns: int, folder: Path) -> list[Row]:
    blocks, _spends = spending_chain(script, inputs)
    rows: list[Row] = []
    for par in (1, 2):
        ours, theirs, lags = [], [], []
        for turn in range(turns):
            seconds, late = our_seconds(blocks, folder / f"{name}{par}{turn}", par)
            ours.append(seconds)
            lags.append(late)
            theirs.append(library_seconds(blocks, folder / f"{name}{par}{turn}kernel", par - 1))
        ratios = [mine / its for mine, its in zip(ours, theirs, strict=True)]
        goal = OP_TRUE_GOAL if name == "OP_TRUE" else GOALS[par]
        rows.append(Row(f"{name}, par {par}", milliseconds(min(ours)), times(ratios), goal))
        rows.append(Row(f"  the library, {par - 1} workers", milliseconds(min(theirs)), "", ""))
        rows.append(Row("  hub late at most", milliseconds(min(lags)), milliseconds(max(lags)), ""))
    return rows + stage_rows(blocks, folder / f"{name}stages")


def run(quick: bool) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    rows: list[Row] = []
    try:
        with scratch() as folder:
            for name, script in KINDS.items():
                rows += measure(name, script, QUICK_INPUTS if quick else INPUTS, 1 if quick else 5, folder)
    finally:
        sys.setswitchinterval(before)
    show("Connecting a block, from its bytes to the tip, and ratio to Bitcoin Core's library", rows)

"""Verification of scripts: blocks full of spends of one kind, on one thread and on two.

The floor is the library's own call for each script, in a loop on one thread with everything at hand. Bitcoin Core's
library also takes the whole block, as a second measure: it does more than scripts then, and none of it in Python.
"""

import ctypes
import sys
import time
from pathlib import Path

from ccnode.chain.script_flags import ALL_SCRIPT_FLAGS
from ccnode.kernel.library import load_kernel
from ccnode.kernel.scripts import ScriptChecker
from ccnode.kernel.verification import Loaded
from ccnode.runner import SWITCH_INTERVAL
from ccnode.wire.parsing import ParsedBlock
from tests.support.spends import OP_TRUE, P2PKH, P2TR, P2WPKH, block_of
from tools.bench.library import library_seconds, watched
from tools.bench.process import scratch
from tools.bench.report import Row, milliseconds, show, times
from tools.bench.spending import spending_chain

KINDS = {"P2WPKH": P2WPKH, "P2TR": P2TR, "P2PKH": P2PKH, "OP_TRUE": OP_TRUE}
INPUTS, QUICK_INPUTS = 5_000, 200
FLAGS = int(ALL_SCRIPT_FLAGS)
GOALS = {"OP_TRUE": "at most 8x"}
GOAL = "at most 1.3x"


def floor_seconds(block: ParsedBlock, spent: list[list[bytes]]) -> float:
    """The verifying calls alone."""
    kernel = load_kernel()
    loaded = Loaded(kernel, block.raw, is_block=True)
    status = ctypes.c_ubyte()
    calls = []
    for position, coins in enumerate(spent, 1):
        transaction = loaded.transaction(position, len(coins))
        data, flags = loaded.share(position, coins, FLAGS)
        for index, coin in enumerate(coins):
            script = kernel.script_pubkey_create(coin[12:], len(coin) - 12)
            value = int.from_bytes(coin[4:12], "little")
            calls.append((script, value, transaction, data, index, flags, ctypes.addressof(status)))
    verify = kernel.script_pubkey_verify
    begun = time.perf_counter()
    verdicts = [verify(*call) for call in calls]
    seconds = time.perf_counter() - begun
    for call in calls:
        kernel.script_pubkey_destroy(call[0])
    loaded.close()
    if not all(verdicts):
        raise RuntimeError("the scripts of the bench do not verify")
    return seconds


def checker_seconds(block: ParsedBlock, spent: list[list[bytes]], par: int) -> tuple[float, float]:
    """Wall seconds of `ScriptChecker` on ``par`` threads, and the longest that the hub was late meanwhile."""
    checker = ScriptChecker(par)
    with watched() as lateness:
        begun = time.perf_counter()
        failure = checker.wait_verify(block, spent, FLAGS)
        seconds = time.perf_counter() - begun
    checker.close()
    if failure is not None:
        raise RuntimeError(f"the scripts of the bench do not verify: {failure}")
    return seconds, lateness.worst


def measure(name: str, script: bytes, inputs: int, turns: int, folder: Path) -> list[Row]:
    blocks, spends = spending_chain(script, inputs)
    block, spent = block_of(spends)
    floors, ones, twos, lags, wholes, helped = [], [], [], [], [], []
    for turn in range(turns):
        floors.append(floor_seconds(block, spent))
        ones.append(checker_seconds(block, spent, 1)[0])
        seconds, lag = checker_seconds(block, spent, 2)
        twos.append(seconds)
        lags.append(lag)
        wholes.append(library_seconds(blocks, folder / f"{name}{turn}", 0))
        helped.append(library_seconds(blocks, folder / f"{name}{turn}helped", 1))

    def row(title: str, seconds: list[float], goal: str = "") -> Row:
        ratios = [each / floor for each, floor in zip(seconds, floors, strict=True)]
        return Row(title, f"{min(seconds) / inputs * 1e6:.1f} us", times(ratios), goal)

    return [
        row(f"{name}, one thread", ones, GOALS.get(name, GOAL)),
        row("  two threads", twos),
        row("  whole block in the library", wholes),
        row("  with one more thread", helped),
        Row("  hub late at most, two threads", milliseconds(min(lags)), milliseconds(max(lags)), "under 20 ms"),
    ]


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
    show("Scripts of a block: per input, and ratio to the library's calls alone", rows)

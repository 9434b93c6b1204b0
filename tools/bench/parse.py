"""Taking blocks apart, and the checks that need no coins, on real blocks in this process.

The figure to beat is python-bitcoinlib's: the same block as objects, and the txids, as every use needs them. The floor
is hashing: the txids alone, with the places of the transactions known beforehand.
"""

import lzma
import os
import time
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

from ccnode.chain.block_rules import BlockContext, check_block, contextual_check_block
from ccnode.chain.networks import MAINNET
from ccnode.wire.parsing import ParsedBlock, parse_block
from tools.bench.report import Row, milliseconds, show, times

DATA = Path(os.environ.get("CCNODE_TEST_DATA", Path(__file__).parents[2] / "../shared/data"))
BLOCKS = (413567, 481829, 540107, 831328)
"""By height: 1 MB from before segwit, one just after its begin, one mostly of witness, one of today's kind."""
QUICK = (482683,)
GOAL = 0.012
"""Seconds for block 413567."""

Work = Callable[[], object]


def run(quick: bool) -> None:
    for height in QUICK if quick else BLOCKS:
        path = DATA / f"blocks/main_{height:06}.raw.xz"
        if not path.is_file():
            print(f"\nNo {path}: this bench needs the test data; set CCNODE_TEST_DATA")
            return
        bench_block(height, lzma.decompress(path.read_bytes()), 1 if quick else 9)


def bench_block(height: int, raw: bytes, turns: int) -> None:
    """One table: every work in each turn, so that all see the same machine."""
    block = parse_block(raw)
    forks = MAINNET.soft_forks
    context = BlockContext(
        MAINNET, height, 2**31, 2**31, height >= forks.bip34, height >= forks.csv, height >= forks.segwit
    )
    works: dict[str, Work] = {
        "hashing (the floor)": lambda: _hash(block),
        "parse_block": lambda: parse_block(raw),
        "check_block": lambda: check_block(block, MAINNET, check_pow=True),
        "contextual_check_block": lambda: contextual_check_block(block, context),
        **_bitcoinlib(raw),
        **_kernel(raw),
    }
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(turns):
        for name, work in works.items():
            begun = time.perf_counter()
            work()
            seconds[name].append(time.perf_counter() - begun)
    rows = []
    for name, each in seconds.items():
        ratios = [a / b for a, b in zip(each, seconds["parse_block"], strict=True)]
        goal = f"goal {milliseconds(GOAL)}" if (height, name) == (413567, "parse_block") else ""
        rows.append(Row(name, f"{milliseconds(median(each))} (best {milliseconds(min(each))})", times(ratios), goal))
    inputs, outputs = (sum(map(len, column)) for column in (block.outpoints, block.outputs))
    size = f"{len(raw):,} bytes, {len(block):,} transactions, {inputs:,} inputs, {outputs:,} outputs"
    show(f"Block {height}: {size}", rows)


def _hash(block: ParsedBlock) -> None:
    raw, digest = block.raw, sha256
    for start, end in zip(block.offsets, block.offsets[1:], strict=False):
        digest(digest(raw[start:end]).digest()).digest()


def _bitcoinlib(raw: bytes) -> dict[str, Work]:
    try:
        from bitcoin.core import CBlock
    except ImportError:
        return {}
    return {"python-bitcoinlib": lambda: [tx.GetTxid() for tx in CBlock.deserialize(raw).vtx]}


def _kernel(raw: bytes) -> dict[str, Work]:
    try:
        import pbk
        from pbk.capi import bindings
    except ImportError:
        return {}
    params = pbk.ChainParameters(pbk.ChainType.MAINNET)

    def check() -> Any:
        consensus = bindings.btck_chain_parameters_get_consensus_params(params)
        block = pbk.Block._from_handle(bindings.btck_block_create(raw, len(raw)))
        return bindings.btck_block_check(block, consensus, pbk.BlockCheckFlags.ALL, pbk.BlockValidationState())

    return {"libbitcoinkernel, parse and check": check}

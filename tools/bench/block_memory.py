"""Memory of a node while it validates 10,000 blocks that leave half a million coins more, with a small ``dbcache``.

What a node has before the first block, it has anyway; what counts is what comes on top: ``dbcache``, and a constant for
blocks on their way and for the pages that a flush changes. LMDB keeps those until they are written, and then for the
next flush. They are the more the larger the store is, up to 512 MB in one of many gigabytes; with the half million
coins here there are some tens. A chain that leaves no coins shows what else grows with it: 0.3 kB per block, most of
that its header.

The store of coins is a file that is mapped into memory. Those pages are the system's, which takes them back when it
needs them; they are shown apart.
"""

import time
from pathlib import Path

from tools.bench.process import NodeProcess, own_bytes, resident_bytes, scratch
from tools.bench.report import Row, megabytes, show
from tools.bench.spent_chain import spent_chain
from tools.bench.sync_blocks import ChainServer, framed

BLOCKS, QUICK_BLOCKS = 10_000, 30
PARTS = 5
CACHES = (4, 64)
"""MiB."""
POLL = 0.05
CONSTANT = 100_000_000
"""Bytes beside ``dbcache``, for a store of this size."""


def measure(folder: Path, blocks: list[bytes], cache: int) -> list[Row]:
    """The most there was in each part of the chain."""
    with (
        ChainServer(blocks, framed(blocks)) as server,
        NodeProcess(folder, "--sync=blocks", "--printtoconsole=0", f"--dbcache={cache}") as node,
    ):
        pid = node.process.pid
        before = own_bytes(pid)
        rows = [Row(f"dbcache {cache} MiB, before the first block", megabytes(before))]
        node.rpc("addnode", server.target, "onetry")
        goal = f"at most {megabytes(cache * 2**20 + CONSTANT)}"
        for part in range(1, PARTS + 1):
            height, most = len(blocks) * part // PARTS, 0
            while node.rpc("getblockcount") < height:
                most = max(most, own_bytes(pid))
                time.sleep(POLL)
            most = max(most, own_bytes(pid))
            mapped = resident_bytes(pid)[0] - own_bytes(pid)
            rows.append(
                Row(f"  up to block {height:,}", f"+{megabytes(most - before)}", f"mapped {megabytes(mapped)}", goal)
            )
    return rows


def run(quick: bool) -> None:
    blocks = spent_chain(QUICK_BLOCKS if quick else BLOCKS, growing=True)
    rows: list[Row] = []
    with scratch() as folder:
        for cache in CACHES:
            rows += measure(folder / str(cache), blocks, cache)
    show("Memory while blocks are validated, its peak in each part of the chain", rows)

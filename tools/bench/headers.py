"""Header synchronisation over loopback: from one peer, validated and durable.

The floor is double SHA-256 alone over the same headers. Bitcoin Core 31.99 takes 3.6 to 4.8 times that floor to pull
200,000 regtest headers from a peer with prebuilt batches.
"""

import time
from hashlib import sha256
from statistics import median

from tools.bench.process import HeaderServer, NodeProcess, cpu_seconds, scratch
from tools.bench.regtest import split, wire_headers
from tools.bench.report import Row, show, times

SIZES = (10_000, 100_000, 200_000, 1_000_000)
QUICK_SIZES = (2_000, 10_000)
GOAL = 3.0
"""Times the floor."""


def hashing_seconds(headers: list[bytes]) -> float:
    """The floor."""
    begun = time.perf_counter()
    [sha256(sha256(header).digest()).digest() for header in headers]
    return time.perf_counter() - begun


def sync_seconds(server: HeaderServer, count: int) -> tuple[float, float]:
    """A fresh node takes ``count`` headers: wall seconds, and the node's processor seconds."""
    with scratch() as folder, NodeProcess(folder) as node:
        before = cpu_seconds(node.process.pid)
        server.expect(count)
        node.rpc("addnode", f"127.0.0.1:{server.port}", "onetry")
        wall = server.seconds()
        processor = cpu_seconds(node.process.pid) - before
        height = node.rpc("getblockcount")
        if height != count:
            raise RuntimeError(f"the node has {height} headers, not {count}")
        return wall, processor


def run(quick: bool) -> None:
    sizes = QUICK_SIZES if quick else SIZES
    headers = split(wire_headers(max(sizes)))
    rows = []
    with HeaderServer(max(sizes)) as server:
        for count in sizes:
            part = headers[:count]
            walls, ratios, processor_ratios = [], [], []
            for _ in range(1 if quick else 3 if count > 500_000 else 7):
                before = hashing_seconds(part)
                wall, processor = sync_seconds(server, count)
                floor = (before + hashing_seconds(part)) / 2
                walls.append(wall)
                ratios.append(wall / floor)
                processor_ratios.append(processor / floor)
            rate = f"{count / median(walls):,.0f} headers/s"
            rows.append(Row(f"{count:,} headers", rate, times(ratios), f"at most {GOAL:.0f}x"))
            if max(processor_ratios):
                rows.append(Row("  processor time of the node", "", times(processor_ratios)))
    show("Header sync over loopback; ratio to double SHA-256 of the same headers", rows)

"""Start-up with a long chain on disk: from the start of the process to the first answer of a command; and memory."""

import time
from pathlib import Path
from statistics import median

from ccnode.admin.client import NotRunning
from ccnode.storage.header_file import CRC_SIZE, HeaderFile, HeaderFileKind
from ccnode.wire.protocol import MAX_HEADERS_RESULTS
from tools.bench.process import NodeProcess, cpu_seconds, resident_bytes, scratch
from tools.bench.regtest import PARAMS, split, wire_headers
from tools.bench.report import Row, megabytes, show

HEADERS = 900_000
GOAL_SECONDS = 2.0
GOAL_BYTES = 300_000_000
LONGEST = 60.0
"""Seconds after which a start has failed."""


def store_headers(folder: Path, count: int) -> None:
    """A data directory's header file with ``count`` headers behind the genesis."""
    blocks = folder / PARAMS.data_subdir / "blocks"
    blocks.mkdir(parents=True)
    size = len(PARAMS.genesis)
    kind = HeaderFileKind(PARAMS.name, PARAMS.magic, PARAMS.header_format.name, PARAMS.genesis, PARAMS.genesis_hash)
    file = HeaderFile.open(blocks / "headers.dat", kind)
    assert size == file.header_size
    headers = split(wire_headers(count))
    for start in range(0, count, MAX_HEADERS_RESULTS):
        file.append(headers[start : start + MAX_HEADERS_RESULTS])
    file.close()


def start(folder: Path, count: int) -> tuple[float, float, int, int]:
    """Start a node: seconds to the first answer, by the clock and of the processor; bytes resident, now and at most."""
    begun = time.perf_counter()
    with NodeProcess(folder, wait=False) as node:
        height = None
        while height is None:
            try:
                height = node.rpc("getblockcount")
            except (NotRunning, OSError) as error:
                if time.perf_counter() - begun > LONGEST or node.process.poll() is not None:
                    raise RuntimeError(f"the node did not start:\n{node.text()}") from error
                time.sleep(0.002)
        seconds, processor = time.perf_counter() - begun, cpu_seconds(node.process.pid)
        if height != count:
            raise RuntimeError(f"the node has {height} headers, not {count}")
        resident, peak = resident_bytes(node.process.pid)
        node.stop()
        return seconds, processor, resident, peak


def run(quick: bool) -> None:
    count = 10_000 if quick else HEADERS
    turns: dict[int, list[tuple[float, float, int, int]]] = {0: [], count: []}
    with scratch() as folder:
        for size in turns:
            store_headers(folder / str(size), size)
        for _ in range(1 if quick else 5):
            for size, results in turns.items():
                results.append(start(folder / str(size), size))
    rows = []
    middle = {size: [median(column) for column in zip(*results, strict=True)] for size, results in turns.items()}
    for size, (seconds, processor, resident, peak) in middle.items():
        goal = f"under {GOAL_SECONDS:.0f} s, {megabytes(GOAL_BYTES)}" if size else ""
        figure = f"{seconds:.2f} s, processor {processor:.2f} s"
        rows.append(Row(f"{size:,} headers", figure, f"{megabytes(resident)}, peak {megabytes(peak)}", goal))
    each = (middle[count][2] - middle[0][2]) / count
    rows.append(Row("a header in memory", f"{each:.0f} bytes"))
    rows.append(Row("a header on disk", f"{len(PARAMS.genesis) + CRC_SIZE} bytes"))
    show("Start-up: from the start of the process to the answer of a command, and resident memory", rows)

"""The coins beyond their cache: a store of millions, blocks that spend anywhere in it, under several flags of LMDB.

Each variant runs in a process of its own. It fills a store with flushes of `FLUSH` coins; then come blocks that spend
and create `PER_BLOCK` coins each, anywhere, first with the file in the system's cache, then after the system was told
to forget it, which is what a machine sees whose memory the store does not fit into.
"""

import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tools.bench.report import Row, megabytes, milliseconds, show

COINS = 10_000_000
QUICK_COINS = 20_000
FLUSH = 500_000
PER_BLOCK = 5_000
BLOCKS = 40
COIN = bytes(12) + bytes.fromhex("0014") + bytes(20)

VARIANTS: dict[str, Mapping[str, bool]] = {
    "default flags": {"readahead": False},
    "default flags, read ahead": {"readahead": True},
    "nosync": {"readahead": False, "sync": False},
    "writemap, nosync": {"readahead": False, "writemap": True, "sync": False},
}


def outpoint(number: int) -> bytes:
    return sha256(number.to_bytes(8, "little")).digest() + bytes(4)


def numbers(seed: int, below: int, count: int) -> list[int]:
    """Numbers all over the store, none twice."""
    step = 7_368_787  # a prime: all numbers come before one comes again
    return [(seed + i) * step % below for i in range(count)]


class Direct:
    """A worker that is the caller."""

    def wait_run(self, function, *args):
        return function(*args)


class Observer(threading.Thread):
    """Beside the work: the longest pause of another thread, and the most memory in use that is not the file's."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.pause = 0.0
        self.memory = 0

    def run(self) -> None:
        while True:
            begun = time.perf_counter()
            time.sleep(0.001)
            self.pause = max(self.pause, time.perf_counter() - begun - 0.001)
            self.memory = max(self.memory, private_memory())


def private_memory() -> int:
    """Bytes of memory that no file backs; 0 where the system does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon")), 0)


def measure(folder: Path, flags: Mapping[str, bool], coins: int) -> dict[str, float]:
    """All figures of one variant, in seconds and bytes."""
    from ccnode.chain.coins import CoinsCache
    from ccnode.storage.chainstate_store import ChainstateStore
    from ccnode.storage.lmdb_store import LmdbStore

    class Variant(LmdbStore):
        pass

    Variant.flags = {**LmdbStore.flags, **flags}
    figures: dict[str, float] = {}

    @contextmanager
    def opened() -> Iterator[CoinsCache]:
        store = ChainstateStore(Variant(folder), bytes(4))
        yield CoinsCache(store, Direct(), 1 << 40, bytes(32))
        store.close()

    def work(cache: CoinsCache, seed: int) -> tuple[float, float]:
        """Seconds of the median fetch, and of the flush."""
        fetches = []
        observer.pause = 0.0
        for block in range(blocks):
            first = seed + block * per_block
            spent = [outpoint(number) for number in numbers(first, coins, per_block)]
            begun = time.perf_counter()
            found = cache.wait_fetch(spent)
            fetches.append(time.perf_counter() - begun)
            if len(found) != per_block:
                raise RuntimeError(f"{len(found)} coins found of {per_block}")
            cache.apply(spent, {outpoint(coins + first + i): COIN for i in range(per_block)}, bytes(32))
        figures["pause while fetching"], observer.pause = observer.pause, 0.0
        begun = time.perf_counter()
        cache.wait_flush()
        flush = time.perf_counter() - begun
        figures["pause while flushing"] = observer.pause
        return median(fetches), flush

    sys.setswitchinterval(0.0005)
    idle = private_memory()
    observer = Observer()
    observer.start()
    per_flush = min(FLUSH, coins // 4)
    per_block, blocks = (PER_BLOCK, BLOCKS) if coins > QUICK_COINS else (50, 4)
    flushes = []
    with opened() as cache:
        for first in range(0, coins, per_flush):
            cache.apply([], {outpoint(i): COIN for i in range(first, first + per_flush)}, bytes(32))
            figures["usage"] = cache.usage
            begun = time.perf_counter()
            cache.wait_flush()
            flushes.append(time.perf_counter() - begun)
    figures["fill"] = coins / sum(flushes)
    figures["first"], figures["last"] = flushes[0], flushes[-1]
    figures["disk"] = (folder / "data.mdb").stat().st_blocks * 512
    with opened() as cache:
        work(cache, 0)
        figures["warm fetch"], figures["warm flush"] = work(cache, blocks * per_block)
    forget(folder / "data.mdb")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_oublock
    with opened() as cache:
        figures["cold fetch"], figures["cold flush"] = work(cache, 2 * blocks * per_block)
        begun = time.perf_counter()
        os.sync()
        figures["settled"] = figures["cold flush"] + time.perf_counter() - begun
    figures["written"] = (resource.getrusage(resource.RUSAGE_SELF).ru_oublock - before) * 512
    figures["memory"] = observer.memory - idle
    return figures


def forget(path: Path) -> None:
    """Let the system drop what it has of a file in memory."""
    os.sync()
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def run(quick: bool) -> None:
    coins = QUICK_COINS if quick else COINS
    rows = []
    for name, flags in VARIANTS.items():
        with TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "tools.bench.coins", folder, json.dumps(flags), str(coins)]
            root = Path(__file__).resolve().parents[2]
            out = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True).stdout
        f = json.loads(out)
        rows.append(Row(name, f"{f['fill']:,.0f} coins/s filled", f"{megabytes(f['disk'])} on disk"))
        rows.append(Row("  flush, first and last", milliseconds(f["first"]), milliseconds(f["last"])))
        rows.append(
            Row("  a block's coins, warm and cold", milliseconds(f["warm fetch"]), milliseconds(f["cold fetch"]))
        )
        rows.append(Row("  flush, warm and cold", milliseconds(f["warm flush"]), milliseconds(f["cold flush"])))
        rows.append(
            Row("  cold flush until on the disk", milliseconds(f["settled"]), megabytes(f["written"]) + " written")
        )
        rows.append(
            Row(
                "  longest pause of a thread beside, fetching and flushing",
                milliseconds(f["pause while fetching"]),
                milliseconds(f["pause while flushing"]),
            )
        )
        rows.append(
            Row(
                "  memory of the changes, and of everything",
                megabytes(f["usage"]),
                megabytes(f["memory"]),
            )
        )
    show(f"Coins: a store of {coins:,}, blocks of {PER_BLOCK:,} spends anywhere in it", rows)


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), json.loads(sys.argv[2]), int(sys.argv[3]))))

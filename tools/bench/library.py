"""What benches of blocks share: Bitcoin Core's library at the same work, and how late the hub is meanwhile."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import gevent

from tests.support.kernel import KernelChain

_PERIOD = 0.001


class Lateness:
    """``worst``: the longest that the hub was late since `watched` began, in seconds."""

    def __init__(self) -> None:
        self.worst = 0.0

    def watch(self) -> None:
        while True:
            begun = time.perf_counter()
            gevent.sleep(_PERIOD)
            self.worst = max(self.worst, time.perf_counter() - begun - _PERIOD)


@contextmanager
def watched() -> Iterator[Lateness]:
    """How late the hub is in the body."""
    lateness = Lateness()
    watcher = gevent.spawn(lateness.watch)
    gevent.sleep(5 * _PERIOD)
    lateness.worst = 0.0
    try:
        yield lateness
    finally:
        watcher.kill()


def library_seconds(blocks: list[bytes], folder: Path, workers: int) -> float:
    """Wall seconds of the library for the last block, with so many threads beside its own."""
    with KernelChain(folder, worker_threads=workers) as chain:
        for raw in blocks[:-1]:
            chain.process(raw)
        begun = time.perf_counter()
        done = chain.process(blocks[-1])
        seconds = time.perf_counter() - begun
    if done.height != len(blocks):
        raise RuntimeError(f"the block of the bench is refused: {done.verdict}")
    return seconds

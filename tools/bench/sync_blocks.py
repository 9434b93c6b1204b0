"""Block download and validation over loopback, from one peer and from four, beside bcoin, which gets the same chain.

The node is a process as a user runs it, with its stores on disk; bcoin keeps its chain in memory. Time runs from the
first block that is asked for until the node's tip is the last one. In one more sync twenty peers ping the node: who
validates blocks must still answer.

bcoin is wanted where the tests look for it (``tests/integration/bcoin/README.md``); without it there is no comparison.
"""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

import pytest

from ccnode.wire.framing import V1Transport
from ccnode.wire.headers import GetBlocks
from ccnode.wire.inventory import GetData, Inv, InvItem
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message
from ccnode.wire.protocol import InvType
from tests.support.bcoin import Bcoin, find_modules
from tests.support.block_peer import BlockPeer
from tests.support.chain_maker import sha256d
from tests.support.scripted import REGTEST_MAGIC, Closed, Link
from tools.bench.process import NodeProcess, cpu_seconds, scratch
from tools.bench.report import Row, milliseconds, show
from tools.bench.spent_chain import spent_chain

PLAIN, SIGNED = 2_000, 60
QUICK = 30
MAX_INV = 500
PINGERS = 20
PING_PAUSE = 0.1
POLL = 0.05
SYNC_SECONDS = 300.0
GOAL = "at least 3x bcoin"
LAG_GOAL = "p99 under 50 ms"

Frames = dict[bytes, bytes]


def framed(blocks: Sequence[bytes]) -> Frames:
    """By hash, each block as a message."""
    frame = V1Transport(REGTEST_MAGIC).frame
    return {sha256d(raw[:80]): frame("block", raw) for raw in blocks}


class ChainServer(BlockPeer):
    """Serves a chain as fast as the socket takes it, to nodes that want headers first and to those that do not."""

    def __init__(self, blocks: Sequence[bytes], frames: Frames) -> None:
        self._frames = frames
        self._order = list(frames)
        self._heights = {block_hash: height for height, block_hash in enumerate(self._order, 1)}
        self._continue: dict[Link, bytes] = {}
        self.begun: float | None = None
        """When the first block was asked for."""
        super().__init__(blocks)

    def handle(self, link: Link, message: Message) -> None:
        if isinstance(message, GetBlocks):
            height = next((self._heights[known] for known in message.locator if known in self._heights), 0)
            self._tell(link, self._order[height : height + MAX_INV])
        elif isinstance(message, GetData):
            self.begun = self.begun or time.perf_counter()
            for item in message.items():
                link.send_raw(self._frames[item.hash])
                if item.hash == self._continue.get(link):
                    del self._continue[link]
                    self._tell(link, self._order[-1:])
        else:
            super().handle(link, message)

    def _tell(self, link: Link, hashes: Sequence[bytes]) -> None:
        link.send(Inv.build([InvItem(InvType.BLOCK, block_hash) for block_hash in hashes]))
        if len(hashes) == MAX_INV:
            self._continue[link] = hashes[-1]


class Pingers:
    """Peers that ping, one after another answer, until the end."""

    def __init__(self, port: int) -> None:
        self.seconds: list[float] = []
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ping, args=(port,)) for _ in range(PINGERS)]
        for thread in self._threads:
            thread.start()

    def _ping(self, port: int) -> None:
        link = Link.connect(port)
        link.handshake()
        while not self._ended.wait(PING_PAUSE):
            begun = time.perf_counter()
            link.send(Ping(1))
            try:
                link.expect(Pong, seconds=60)
            except Closed:
                raise RuntimeError("the node has thrown out a peer that did nothing but ping") from None
            self.seconds.append(time.perf_counter() - begun)
        link.close()

    def end(self) -> list[float]:
        """Seconds of all pings, in order of size."""
        self._ended.set()
        for thread in self._threads:
            thread.join()
        return sorted(self.seconds)


def finished(servers: Sequence[ChainServer], height: Callable[[], int], wanted: int) -> float:
    """Wait for the last block; seconds since the first was asked for."""
    give_up = time.monotonic() + SYNC_SECONDS
    while height() < wanted:
        if time.monotonic() > give_up:
            raise RuntimeError(f"no sync of {wanted} blocks within {SYNC_SECONDS:.0f} s")
        time.sleep(POLL)
    end = time.perf_counter()
    return end - min(server.begun for server in servers if server.begun is not None)


def bcoin_seconds(modules: Path, blocks: Sequence[bytes], frames: Frames) -> float:
    with ChainServer(blocks, frames) as server, Bcoin(modules, only=(server.target,)) as bcoin:
        return finished([server], lambda: bcoin.rpc("getblockcount"), len(blocks))


def our_seconds(folder: Path, blocks: Sequence[bytes], frames: Frames, peers: int) -> tuple[float, float]:
    """Of a sync from so many peers, and the node's processor seconds, its start included."""
    with synchronising(folder, blocks, frames, peers) as (node, servers):
        seconds = finished(servers, lambda: node.rpc("getblockcount"), len(blocks))
        return seconds, cpu_seconds(node.process.pid)


def our_lags(folder: Path, blocks: Sequence[bytes], frames: Frames) -> tuple[dict[str, float], list[float]]:
    """Lag of the event loop, and seconds of pings in order, while the node synchronises from four peers."""
    with synchronising(folder, blocks, frames, 4) as (node, servers):
        pingers = Pingers(node.port)
        finished(servers, lambda: node.rpc("getblockcount"), len(blocks))
        lag: dict[str, float] = node.rpc("getnodestats")["hub_lag"]
        return lag, pingers.end()


@contextmanager
def synchronising(
    folder: Path, blocks: Sequence[bytes], frames: Frames, peers: int
) -> Iterator[tuple[NodeProcess, list[ChainServer]]]:
    """A new node, and the peers from which it gets the blocks."""
    with ExitStack() as stack:
        servers = [stack.enter_context(ChainServer(blocks, frames)) for _ in range(peers)]
        connect = [f"--connect={server.target}" for server in servers]
        yield stack.enter_context(NodeProcess(folder, "--sync=blocks", "--printtoconsole=0", *connect)), servers


def measure(name: str, folder: Path, blocks: list[bytes], modules: Path | None, turns: int) -> list[Row]:
    size = sum(map(len, blocks))
    frames = framed(blocks)
    theirs: list[float] = []
    ours: dict[int, list[tuple[float, float]]] = {1: [], 4: []}
    for turn in range(turns):
        if modules is not None:
            theirs.append(bcoin_seconds(modules, blocks, frames))
        for peers, figures in ours.items():
            figures.append(our_seconds(folder / f"{name}{peers}{turn}", blocks, frames, peers))
    rows = [Row(f"{len(blocks):,} blocks {name}", f"{size / 1e6:.1f} MB")]
    if theirs:
        rows.append(Row("  bcoin, from one peer", _rate(size, theirs)))
    for peers, figures in ours.items():
        seconds = [wall for wall, _processor in figures]
        ratios = [its / mine for its, mine in zip(theirs, seconds, strict=True)] if theirs else []
        ratio = f"{median(ratios):.1f}x ({min(ratios):.1f} to {max(ratios):.1f})" if ratios else ""
        rows.append(Row(f"  from {peers} peer{'s' * (peers > 1)}", _rate(size, seconds), ratio, GOAL))
        rows.append(Row("    processor time", f"{median(processor for _wall, processor in figures):.1f} s"))
    lag, pings = our_lags(folder / f"{name} pinged", blocks, frames)
    ping = pings[int(0.99 * (len(pings) - 1))]
    rows.append(Row("  hub lag p99", milliseconds(lag["p99"]), f"worst {milliseconds(lag['worst'])}", LAG_GOAL))
    rows.append(Row(f"  ping p99, {PINGERS} peers", milliseconds(ping), f"worst {milliseconds(pings[-1])}", LAG_GOAL))
    return rows


def _rate(size: int, seconds: Sequence[float]) -> str:
    return f"{size / median(seconds) / 1e6:.2f} MB/s"


def run(quick: bool) -> None:
    try:
        modules = find_modules()
    except pytest.skip.Exception as skipped:
        print(skipped)
        modules = None
    with scratch() as folder:
        if quick:
            rows = measure("of plain spends", folder, spent_chain(QUICK, signatures=False), modules, 1)
        else:
            rows = measure("of plain spends", folder, spent_chain(PLAIN, signatures=False), modules, 3)
            rows += measure("with signatures", folder, spent_chain(SIGNED, signatures=True), modules, 3)
    show("Blocks downloaded and validated over loopback", rows)

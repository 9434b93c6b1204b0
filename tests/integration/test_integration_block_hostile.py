"""Peers that use blocks to keep the node busy, to fill its memory, or to leave it in the middle of something.

The machine that runs the tests may be busy with something else, so limits of time are wide, and what is tried may be
tried three times with a fresh node. The figures in each test were seen on a busy machine with two
processors.
"""

import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from ccnode.wire.blocks import Block
from ccnode.wire.filters import GetCFilters
from ccnode.wire.headers import GetBlocks, Headers
from ccnode.wire.inventory import GetData, InvItem
from ccnode.wire.protocol import InvType
from tests.support.block_peer import BlockPeer
from tests.support.chain_maker import (
    GENESIS_HASH,
    OP_TRUE,
    ChainMaker,
    compact_size,
    outpoint,
    sha256d,
    transaction,
    var_bytes,
)
from tests.support.hostile import Flooder, PingProbe, frame
from tests.support.process import NodeProcess
from tests.support.scripted import Closed, Link, wait_until

ATTEMPTS = 3
SPACING = 600
BODY = 3_990_000
"""Bytes of a body that is as large as a message may be."""

ANSWER_SECONDS = 0.25
LAG_SECONDS = 0.25
SUBMIT_SECONDS = 3.0
GROWTH_BYTES = 250_000_000
"""Eight messages that come in and one that is taken apart; those of three flooders took 120 MB."""

OPTIONS = ("--sync=blocks", "--blockfilterindex=1", "--peerblockfilters=1")


def grown() -> ChainMaker:
    """A chain of 122 blocks, the last an hour old and of 880 kB, the one before with 4,000 outputs."""
    maker = ChainMaker(start=int(time.time()) - 3600 - 122 * SPACING)
    maker.extend(120, spends=0)
    point, value = maker.ready.popleft()
    fan = transaction([(point, b"", 0xFFFFFFFF)], [(value // 4000, OP_TRUE)] * 3999)
    maker.block([fan])
    burnt = b"\x6a" + var_bytes(bytes(180))
    outputs = [(1000, OP_TRUE), (0, burnt)]
    maker.block([transaction([(outpoint(fan.txid, i), b"", 0xFFFFFFFF)], outputs) for i in range(3500)])
    return maker


_INPUT = bytes(32) + struct.pack("<I", 7) + b"\0" + b"\xff" * 4
_OUTPUT = struct.pack("<q", 1) + b"\0"


def witness_items(item: bytes) -> bytes:
    """A body of one transaction, whose witness is as many items as fit; the end is missing."""
    count = BODY // len(item)
    return (
        compact_size(1)
        + struct.pack("<I", 2)
        + b"\0\1\1"
        + _INPUT
        + b"\1"
        + _OUTPUT
        + compact_size(count)
        + item * count
    )


def outputs() -> bytes:
    """The same with outputs."""
    count = BODY // len(_OUTPUT)
    return compact_size(1) + struct.pack("<I", 2) + b"\1" + _INPUT + compact_size(count) + _OUTPUT * count


def transactions() -> bytes:
    """As many transactions as fit, of ten bytes each."""
    count = BODY // 10
    return compact_size(count) + (struct.pack("<I", 2) + bytes(6)) * count


BODIES: dict[str, Callable[[], bytes]] = {
    "empty witness items": lambda: witness_items(b"\0"),  # the slowest to parse: half a second
    "small witness items": lambda: witness_items(b"\2ab"),  # the largest in memory: 80 MB
    "outputs": outputs,
    "transactions": transactions,
}


class Persistent:
    """Sends a message, and after it was disconnected comes back and sends it again."""

    def __init__(self, port: int, message: bytes) -> None:
        self._port, self._message = port, message
        self.times = 0
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over:
            with suppress(Closed, OSError, TimeoutError):
                link = Link.connect(self._port)
                try:
                    link.handshake(services=0)
                    link.send_raw(self._message)
                    self.times += 1
                    link.expect_close()
                finally:
                    link.close()

    def close(self) -> None:
        self._over = True
        self._thread.join()


@contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[NodeProcess, ChainMaker]]:
    """A node that has the chain of `grown`, and the chain."""
    maker = grown()
    with BlockPeer(maker.blocks) as peer, NodeProcess(folder, *OPTIONS, *options) as node:
        node.rpc("addnode", peer.target, "onetry")
        wait_until(lambda: node.rpc("getblockcount") == maker.height, 60)
        wait_until(lambda: node.rpc("getindexinfo")["basic block filter index"]["synced"], 60)
        [connected] = node.rpc("getpeerinfo")
        node.rpc("disconnectnode", "", connected["id"])
        wait_until(lambda: not node.rpc("getpeerinfo"))
        yield node, maker
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 10
        assert "Traceback" not in node.text(), node.text()


def faults(node: NodeProcess, next_block: bytes, before: int) -> list[str]:
    """What an honest peer and the person at the node suffer."""
    with PingProbe(node.port) as probe:
        times = probe.measure(100)
    began = time.monotonic()
    assert node.rpc("submitblock", next_block.hex()) is None
    submit = time.monotonic() - began
    stats = node.rpc("getnodestats")
    measured = {
        "ping p99": (times[98], ANSWER_SECONDS),
        "lag p99": (stats["hub_lag"]["p99"], LAG_SECONDS),
        "submitblock": (submit, SUBMIT_SECONDS),
        "memory": (stats["memory"]["resident"] - before, GROWTH_BYTES),
    }
    print({name: value for name, (value, _) in measured.items()})
    return [f"{name} {value}, limit {limit}" for name, (value, limit) in measured.items() if value > limit]


def undisturbed(folder: Path, flood: Callable[[ExitStack, int, ChainMaker], Callable[[], bool]]) -> None:
    """A node stays within every limit; ``flood`` begins it and returns whether it is well under way."""
    found: list[str] = []
    for attempt in range(ATTEMPTS):
        with running(folder / str(attempt)) as (node, maker), ExitStack() as stack:
            before = node.rpc("getnodestats")["memory"]["resident"]
            under_way = flood(stack, node.port, maker)
            wait_until(under_way, 60)
            found = faults(node, maker.block(), before)
        if not found:
            return
    pytest.fail(f"{found}")


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.long] * (kind != "small witness items")) for kind in BODIES]
)
def test_bytes_that_are_no_block_are_not_worth_sending(tmp_path: Path, kind: str) -> None:
    """Under a header with work. Each costs its sender the connection; it comes back at once.

    Ping 10 to 20 ms, lag 30 to 90 ms, submitblock 0.1 to 0.8 s, memory 30 to 120 MB.
    """

    def flood(stack: ExitStack, port: int, maker: ChainMaker) -> Callable[[], bool]:
        message = frame("block", maker.clone().block(extra_nonce=1)[:80] + BODIES[kind]())
        senders = [Persistent(port, message) for _ in range(3)]
        for sender in senders:
            stack.callback(sender.close)
        return lambda: all(sender.times > 1 for sender in senders)

    undisturbed(tmp_path, flood)


FLOODS: dict[str, Callable[[ChainMaker], bytes]] = {
    "getdata of a large block": lambda maker: frame(
        "getdata", GetData.build([InvItem(InvType.WITNESS_BLOCK, maker.hash)] * 1000).encode()
    ),
    "the same without witness": lambda maker: frame(
        "getdata", GetData.build([InvItem(InvType.BLOCK, maker.hash)] * 1000).encode()
    ),
    "getblocks": lambda _: frame("getblocks", GetBlocks((GENESIS_HASH,)).encode()),
    "getcfilters": lambda maker: frame("getcfilters", GetCFilters(0, 1, maker.hash).encode()),
    "a block that we have": lambda maker: frame("block", maker.blocks[-1]),
}


@pytest.mark.parametrize("drains", [True, False])
@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=[pytest.mark.long] * (i > 0)) for i, kind in enumerate(FLOODS)]
)
def test_requests_without_end_are_answered_in_turns(tmp_path: Path, kind: str, drains: bool) -> None:
    """By ten peers that read the answers or do not. Ping 10 to 30 ms, lag 20 to 100 ms, memory 2 to 30 MB."""

    def flood(stack: ExitStack, port: int, maker: ChainMaker) -> Callable[[], bool]:
        flooders = [stack.enter_context(Flooder(port, FLOODS[kind](maker), drains=drains)) for _ in range(10)]
        return lambda: all(flooder.sent > 36_000 for flooder in flooders)

    undisturbed(tmp_path, flood)


@pytest.mark.long
def test_blocks_that_are_known_to_be_invalid_are_not_looked_at_again(tmp_path: Path) -> None:
    """An inbound peer is not punished for one, so it could go on for ever; the header is all that is looked at."""

    def flood(stack: ExitStack, port: int, maker: ChainMaker) -> Callable[[], bool]:
        bad = maker.clone().block(fees=1, extra_nonce=2)
        link = stack.enter_context(_link(port))
        link.send(Block(bad))
        link.expect_close(20)  # for this it is punished
        flooders = [stack.enter_context(Flooder(port, frame("block", bad[:80] + outputs()))) for _ in range(3)]
        return lambda: all(flooder.sent > 20_000_000 and flooder.connected for flooder in flooders)

    undisturbed(tmp_path, flood)


@contextmanager
def _link(port: int) -> Iterator[Link]:
    link = Link.connect(port)
    try:
        link.handshake()
        yield link
    finally:
        link.close()


def test_a_block_without_work_is_not_taken_apart(tmp_path: Path) -> None:
    with running(tmp_path) as (node, maker):
        header = bytearray(maker.clone().block()[:80])
        while sha256d(bytes(header))[31] < 0x80:
            header[76] += 1
        for body in (outputs(), b"\1"):
            with _link(node.port) as link:
                link.send_raw(frame("block", bytes(header) + body))
                link.expect_close()
        assert node.rpc("getblockcount") == maker.height


def test_peers_that_leave_while_their_blocks_wait_leave_nothing_behind(tmp_path: Path) -> None:
    """Each sends a block that takes long and goes, or sends half of one."""
    with running(tmp_path) as (node, maker):
        before = node.rpc("getnodestats")
        slow = frame("block", maker.clone().block(extra_nonce=3)[:80] + witness_items(b"\0"))
        for i in range(12):
            with _link(node.port) as link, suppress(OSError):
                link.send_raw(slow if i % 3 else slow[: len(slow) // 2])
        branch = maker.clone()
        with _link(node.port) as link:
            link.send(Headers.build([raw[:80] for raw in branch.extend(3, extra_nonce=4)]))
            asked = link.expect(GetData, 30)
            link.send(
                *(Block(raw) for raw in branch.blocks[-3:] if sha256d(raw[:80]) in {i.hash for i in asked.items()})
            )
            wait_until(lambda: node.rpc("getblockcount") == branch.height, 30)
        wait_until(lambda: not node.rpc("getpeerinfo"), 60)
        after = node.rpc("getnodestats")
        assert after["receive_budget_used"] == 0
        assert after["greenlets"] <= before["greenlets"] + 1


@pytest.mark.long
def test_a_stop_while_peers_flood_is_quick(tmp_path: Path) -> None:
    with running(tmp_path) as (node, maker), ExitStack() as stack:
        message = frame("block", maker.clone().block(extra_nonce=5)[:80] + witness_items(b"\0"))
        senders = [Persistent(node.port, message) for _ in range(6)]
        for sender in senders:
            stack.callback(sender.close)
        wait_until(lambda: sum(sender.times for sender in senders) > 6, 30)
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 10

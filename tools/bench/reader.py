"""A peer's reader at work: bytes in, messages handled. In this process, on a socket that always has data.

Everything but the system calls is the node's own: connection, transport, checksum, factory, dispatch, handler. Beside
it python-bitcoinlib's stream decoder reads the same bytes; it dispatches nothing. The floor is the checksum alone,
double SHA-256 of every payload.
"""

import io
import time
from collections.abc import Callable, Sequence
from hashlib import sha256
from statistics import median
from typing import Any

from ccnode.config import load_config
from ccnode.network.connection import Connection
from ccnode.node import Node
from ccnode.peers.peer import ConnectionType, HandshakeStage
from ccnode.wire.address import NetworkAddress
from ccnode.wire.framing import V1Transport
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message, Unknown
from ccnode.wire.protocol import InvType
from tools.bench.process import scratch
from tools.bench.regtest import PARAMS
from tools.bench.report import Row, milliseconds, show, times

MAGIC = PARAMS.magic
KNOWN_BLOCK = b"\1" + InvType.BLOCK.to_bytes(4, "little") + PARAMS.genesis_hash
UNKNOWN = "unknown commands, passed over"
SMALL_MESSAGES = 100_000
GOAL_PER_SECOND = 300_000
BLOCK_SIZE = 1_000_000
GOAL_BLOCK = 0.0015
"""Seconds."""


class Stream:
    """What a connection needs of a socket; it delivers ``data`` and then the end."""

    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)

    def recv(self, size: int) -> bytes:
        piece, self._data = self._data[:size], self._data[size:]
        return bytes(piece)

    def recv_into(self, buffer: memoryview) -> int:
        piece, self._data = self._data[: len(buffer)], self._data[len(buffer) :]
        buffer[: len(piece)] = piece
        return len(piece)

    def sendmsg(self, buffers: Sequence[bytes], *_flags: object) -> int:
        return sum(map(len, buffers))

    def send(self, data: bytes) -> int:
        return len(data)

    def shutdown(self, how: int) -> None:
        pass

    def close(self) -> None:
        pass


def read_all(node: Node, data: bytes) -> float:
    """Seconds that a handshaked peer's reader takes for ``data``."""
    sock: Any = Stream(data)
    peer = node.network.manager.add(sock, NetworkAddress.parse("127.0.0.1", 1), ConnectionType.MANUAL)
    return _timed(lambda: _finish(node, peer))


def _finish(node: Node, peer: Connection) -> None:
    peer.stage = HandshakeStage.ESTABLISHED
    peer.accept_large_messages()
    node.sync.joined(peer)
    node.network.manager.wait_gone(peer)
    if peer.disconnect_reason != "the peer closed the connection":
        raise RuntimeError(f"the connection ended early: {peer.disconnect_reason}")


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _frames(messages: Sequence[Message]) -> list[bytes]:
    transport = V1Transport(MAGIC)
    return [transport.frame(message.command, message.encode()) for message in messages]


def _checksums(payloads: Sequence[bytes]) -> None:
    for payload in payloads:
        sha256(sha256(payload).digest()).digest()


def _open_node(folder: str) -> Node:
    node = Node(
        load_config(["--chain=regtest", "--sync=headers", f"--datadir={folder}", "--connect=0", "--listen=0"]), PARAMS
    )
    node.open()
    return node


def _bitcoinlib(data: bytes, count: int) -> float | None:
    """Seconds that python-bitcoinlib takes to decode ``data``; None if it is not installed."""
    try:
        import bitcoin
        from bitcoin.messages import MsgSerializable
    except ImportError:
        return None
    bitcoin.SelectParams("regtest")
    stream = io.BytesIO(data)

    def decode() -> None:
        for _ in range(count):
            MsgSerializable.stream_deserialize(stream)

    return _timed(decode)


def _rate(count: int, seconds: Sequence[float]) -> str:
    return f"{count / median(seconds):,.0f}/s (best {count / min(seconds):,.0f})"


def run_framing(quick: bool) -> None:
    count = 2_000 if quick else SMALL_MESSAGES
    mixes: dict[str, list[Message]] = {
        "pong": [Pong(i) for i in range(count)],
        "inv of a known block": [Unknown("inv", KNOWN_BLOCK)] * count,
        UNKNOWN: [Unknown("news", bytes(8))] * count,
        "ping, each answered": [Ping(i) for i in range(count)],
    }
    rows = []
    with scratch() as folder:
        node = _open_node(str(folder))
        for name, messages in mixes.items():
            frames = _frames(messages)
            data = b"".join(frames)
            payloads = [message.encode() for message in messages]
            turns = []
            for _ in range(1 if quick else 7):
                floor = _timed(lambda payloads=payloads: _checksums(payloads))  # type: ignore[misc]
                theirs = None if name == UNKNOWN else _bitcoinlib(data, count)
                turns.append((floor, read_all(node, data), theirs))
            ratios = times([turn[1] / turn[0] for turn in turns])
            rows.append(Row(name, _rate(count, [turn[1] for turn in turns]), ratios, f"at least {GOAL_PER_SECOND:,}/s"))
            others = [turn[2] for turn in turns if turn[2] is not None]
            if others:
                rows.append(Row("  python-bitcoinlib, decoding only", _rate(count, others)))
        node.close()
    show("Small messages framed, decoded and dispatched by one reader; ratio to their checksums alone", rows)


def run_block(quick: bool) -> None:
    size = 20_000 if quick else BLOCK_SIZE
    payload = PARAMS.genesis + b"\1" + bytes(size - len(PARAMS.genesis) - 1)
    blocks = 3 if quick else 100
    frame = _frames([Unknown("block", payload)])[0]
    turns = []
    with scratch() as folder:
        node = _open_node(str(folder))
        for _ in range(1 if quick else 7):
            floor = _timed(lambda: _checksums([payload] * blocks)) / blocks
            turns.append((floor, read_all(node, frame * blocks) / blocks))
        node.close()
    middle = median(turn[1] for turn in turns)
    ratios = times([turn[1] / turn[0] for turn in turns])
    row = Row(f"block of {size:,} bytes", milliseconds(middle), ratios, f"under {GOAL_BLOCK * 1e3} ms")
    show("A block through a peer's reader; ratio to its checksum alone", [row])

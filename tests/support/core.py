"""What Bitcoin Core's functional tests do to a node, in a few words: blocks by hand, a peer that is in step, the log.

Core's tests send something, wait for the answer to a ping, and look at the state then: whatever a node does with a
message is done before it answers the next. They read ``debug.log`` for sentences where nothing else shows the reason.
"""

import contextlib
import itertools
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ccnode.errors import RpcError
from ccnode.wire.blocks import Block
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message
from tests.support.chain_maker import (
    BITS,
    OP_TRUE,
    TARGET,
    MadeTransaction,
    compact_size,
    merkle_root,
    outpoint,
    push_height,
    sha256d,
    transaction,
)
from tests.support.process import NodeProcess
from tests.support.scripted import Link, wait_until

COIN = 10**8


def shown(block_hash: bytes) -> str:
    return block_hash[::-1].hex()


@dataclass(frozen=True, slots=True)
class MadeBlock:
    """A solved block, with what a test wants to know of it."""

    header: bytes
    transactions: tuple[MadeTransaction, ...]

    @property
    def hash(self) -> bytes:
        return sha256d(self.header)

    @property
    def name(self) -> str:
        """The hash as RPCs show it."""
        return shown(self.hash)

    @property
    def time(self) -> int:
        return int.from_bytes(self.header[68:72], "little")

    @property
    def raw(self) -> bytes:
        return self.header + compact_size(len(self.transactions)) + b"".join(each.raw for each in self.transactions)

    @property
    def hex(self) -> str:
        return self.raw.hex()

    def coin(self, transaction_number: int = 0, index: int = 0) -> bytes:
        """The outpoint of an output."""
        return outpoint(self.transactions[transaction_number].txid, index)

    def with_body(self, *transactions: MadeTransaction) -> "MadeBlock":
        """Another body under the same header."""
        return MadeBlock(self.header, transactions)


def coinbase(
    height: int, *, value: int | None = None, script: bytes = OP_TRUE, locktime: int = 0, sequence: int = 0xFFFFFFFF
) -> MadeTransaction:
    """Core's ``create_coinbase``: no witness, the subsidy by default."""
    reward = 50 * COIN >> height // 150 if value is None else value
    script_sig = push_height(height) + b"\x00"
    return transaction([(bytes(32) + b"\xff" * 4, script_sig, sequence)], [(reward, script)], locktime=locktime)


def solve(header: bytes) -> bytes:
    """The header with a nonce that proves regtest's work."""
    for nonce in itertools.count():
        solved = header[:76] + struct.pack("<I", nonce)
        if int.from_bytes(sha256d(solved), "little") <= TARGET:
            return solved
    raise AssertionError


def make_block(
    prev: bytes,
    height: int,
    time: int,
    transactions: Sequence[MadeTransaction] = (),
    *,
    first: MadeTransaction | None = None,
    version: int = 4,
    root: bytes | None = None,
) -> MadeBlock:
    """Core's ``create_block``, solved. ``first``: the coinbase; ``root``: a merkle root of one's own."""
    every = (first or coinbase(height), *transactions)
    merkle = root or merkle_root([each.txid for each in every])
    return MadeBlock(solve(struct.pack("<I32s32sIII", version, prev, merkle, time, BITS, 0)), every)


def spend(coin: bytes, value: int, *, script_sig: bytes = b"", **how: Any) -> MadeTransaction:
    """A transaction of one input and one ``OP_TRUE`` output."""
    sequence = how.pop("sequence", 0xFFFFFFFF)
    return transaction([(coin, script_sig, sequence)], [(value, OP_TRUE)], **how)


class CoreNode(NodeProcess):
    """A regtest node with blocks, as Core's framework starts one: everything is logged."""

    def __init__(self, datadir: Path, *arguments: str, **how: Any) -> None:
        super().__init__(datadir, "--sync=blocks", "--debug=all", *arguments, **how)

    @property
    def log(self) -> str:
        return (self.folder / "debug.log").read_text()

    @contextlib.contextmanager
    def logs(self, *sentences: str, seconds: float = 5) -> Iterator[None]:
        """Core's ``assert_debug_log``."""
        before = len(self.log)
        yield
        for sentence in sentences:
            wait_until(lambda sentence=sentence: sentence in self.log[before:], seconds)

    def tip(self) -> tuple[bytes, int, int]:
        """Hash, height and time."""
        name = self.rpc("getbestblockhash")
        header = self.rpc("getblockheader", name)
        return bytes.fromhex(name)[::-1], header["height"], header["time"]

    def next_block(self, *transactions: MadeTransaction, **how: Any) -> MadeBlock:
        """A block on the tip, a second after it."""
        block_hash, height, time = self.tip()
        return make_block(block_hash, height + 1, how.pop("time", time + 1), transactions, **how)

    def generate(self, count: int, descriptor: str = "raw(51)") -> list[str]:
        return list(self.rpc("generatetodescriptor", count, descriptor))

    def refuses(self, code: int, words: str, method: str, *params: Any) -> None:
        """Core's ``assert_raises_rpc_error``."""
        with pytest.raises(RpcError) as caught:
            self.rpc(method, *params)
        assert caught.value.code == code, caught.value
        assert words in str(caught.value)

    def status(self, block: MadeBlock) -> str | None:
        """Of a tip that getchaintips lists."""
        return next((tip["status"] for tip in self.rpc("getchaintips") if tip["hash"] == block.name), None)

    def peer(self, **how: Any) -> "CorePeer":
        """An inbound peer, its handshake done."""
        peer = CorePeer.connect(self.port)
        peer.handshake(**how)
        peer.sync()
        return peer


class CorePeer(Link):
    """A peer that can wait until the node has dealt with what it sent (Core: ``P2PInterface``)."""

    def sync(self, seconds: float = 30) -> list[Message]:
        """Ping and wait for the pong; returns what came before it."""
        nonce = next(_nonces)
        self.send(Ping(nonce))
        seen: list[Message] = []
        while (message := self.receive(seconds)) != Pong(nonce):
            if isinstance(message, Ping) and message.nonce is not None:
                self.send(Pong(message.nonce))
            else:
                seen.append(message)
        return seen

    def give(self, *blocks: MadeBlock) -> list[Message]:
        """Send whole blocks; returns what the node said until it was done with them."""
        self.send(*(Block(block.raw) for block in blocks))
        return self.sync()

    def announce(self, *blocks: MadeBlock) -> list[Message]:
        """Send headers."""
        self.send(Headers.build([block.header for block in blocks]))
        return self.sync()

    def ask_headers(self, stop: bytes) -> list[bytes]:
        """What the node answers to a getheaders without a locator: the one header, or nothing."""
        self.send(GetHeaders(locator=(), stop_hash=stop))
        return [header for message in self.sync() if isinstance(message, Headers) for header in message.split()]


_nonces = itertools.count(1000)

"""Listening peers that serve whole blocks: honest ones, and those that stall, lie or leave."""

import threading
import time
from collections.abc import Sequence

from ccnode.chain.networks import REGTEST
from ccnode.chain.params import ChainParams
from ccnode.wire.blocks import Block
from ccnode.wire.inventory import GetData
from ccnode.wire.message import Message
from tests.support.chain_maker import sha256d
from tests.support.scripted import Closed, HeaderPeer, Link

HEADER_SIZE = 80


class BlockPeer(HeaderPeer):
    """Serves ``blocks``, the first of which extends the genesis."""

    def __init__(self, blocks: Sequence[bytes], params: ChainParams = REGTEST) -> None:
        self._params = params
        self._blocks = {sha256d(raw[:HEADER_SIZE]): raw for raw in blocks}
        self.asked: list[bytes] = []
        """Hashes of all blocks asked for, in order."""
        super().__init__([raw[:HEADER_SIZE] for raw in blocks], params.genesis, params.magic)

    def set_blocks(self, blocks: Sequence[bytes]) -> None:
        """Serve another chain from now on; blocks of the old one are still given."""
        self._blocks.update((sha256d(raw[:HEADER_SIZE]), raw) for raw in blocks)
        self.set_chain([raw[:HEADER_SIZE] for raw in blocks], self._params.genesis)

    def handle(self, link: Link, message: Message) -> None:
        if not isinstance(message, GetData):
            super().handle(link, message)
            return
        for item in message.items():
            self.asked.append(item.hash)
            self.give(link, self._blocks[item.hash])

    def give(self, link: Link, raw: bytes) -> None:
        """Answer for one block."""
        link.send(Block(raw))


class StallingPeer(BlockPeer):
    """Knows every header and never gives a block."""

    def give(self, link: Link, raw: bytes) -> None:
        pass


class LyingPeer(BlockPeer):
    """Gives blocks with a byte of the coinbase changed: the header is right, its merkle root is not theirs."""

    def give(self, link: Link, raw: bytes) -> None:
        link.send(Block(raw[:-5] + bytes([raw[-5] ^ 1]) + raw[-4:]))


class LeavingPeer(BlockPeer):
    """Gives so many blocks, then closes the connection, and will not have another."""

    def __init__(self, blocks: Sequence[bytes], after: int) -> None:
        self._left = after
        self._counting = threading.Lock()
        super().__init__(blocks)

    def give(self, link: Link, raw: bytes) -> None:
        with self._counting:
            self._left -= 1
            if self._left < 0:
                raise Closed
        super().give(link, raw)


class SlowPeer(BlockPeer):
    """Honest, and takes its time for each block."""

    def __init__(self, blocks: Sequence[bytes], seconds: float) -> None:
        self._seconds = seconds
        super().__init__(blocks)

    def give(self, link: Link, raw: bytes) -> None:
        time.sleep(self._seconds)
        super().give(link, raw)

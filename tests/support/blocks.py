"""Blocks without transactions, in memory, for tests of block download: a room like `SyncRoom` that wants them.

What a block is worth is told by its body, one of the constants: what a real one says by its transactions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ccnode.chain.headers import HeaderChain
from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.errors import DecodeError
from ccnode.peers.peer import ConnectionType
from ccnode.sync.download import BlockDownload
from ccnode.wire.blocks import Block
from ccnode.wire.inventory import GetData
from tests.support.fakes import NETWORK_AND_WITNESS, FakePeer, HeaderLine
from tests.support.sync import SyncRoom

GOOD = b"good"
MUTATED = b"mutated"
"""Not what the header commits to: refused at once, and the block may be fine."""
INVALID = b"invalid"
"""Found out only when it is connected."""
MALFORMED = b"malformed"

HEADER_SIZE = 80
STORED_AHEAD = 288
"""A block that was not asked for is stored at most so far above the tip (Core: ``MIN_BLOCKS_TO_KEEP``)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What `wait_submit` returns."""

    entry: int | None
    new: bool = False
    verdict: BlockVerdict | None = None


class MemoryBlocks:
    """Stores blocks, and connects those that have all their ancestors. Nothing waits, but `meanwhile` may act."""

    def __init__(self, chain: HeaderChain) -> None:
        self._chain = chain
        self._index = chain.index
        self.importing = False
        self.bodies: dict[int, bytes] = {0: GOOD}
        self.linked = {0}
        self._sources: dict[int, int | None] = {}
        self._callbacks: list[Callable[[bytes, BlockVerdict | None, int | None], None]] = []
        self.submitted: list[bytes] = []
        """Hashes of all blocks that were handed in."""
        self.meanwhile: Callable[[], None] = lambda: None
        """Runs where the real thing waits."""
        self.judging: int | None = None
        """A peer whose block is being judged."""
        chain.separate(0, lambda _entry: True)

    def have_data(self, entry: int) -> bool:
        return entry in self.bodies

    def have_chain(self, entry: int) -> bool:
        return entry in self.linked

    def chain_tx(self, entry: int) -> int:
        return self._index.height(entry) + 1 if entry in self.linked else 0

    def on_block_checked(self, callback: Callable[[bytes, BlockVerdict | None, int | None], None]) -> None:
        self._callbacks.append(callback)

    def unsettled(self, source: int) -> bool:
        return source == self.judging

    def wait_settled(self, source: int, timeout: float) -> None:
        self._run_meanwhile()
        self.judging = None

    def _run_meanwhile(self) -> None:
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()

    def wait_submit(
        self, raw: bytes, *, source: int | None = None, requested: bool = True, owed: bool = True
    ) -> Outcome:
        header, body = raw[:HEADER_SIZE], raw[HEADER_SIZE:]
        block_hash = self._chain.format.hash(header)
        self.submitted.append(block_hash)
        self._run_meanwhile()
        if body == MALFORMED:
            raise DecodeError("truncated")
        if body == MUTATED:
            return Outcome(
                self._index.find(block_hash), verdict=BlockVerdict(ValidationResult.MUTATED, "bad-txnmrklroot")
            )
        accepted = self._chain.accept([header])
        if accepted.verdict is not None:
            return Outcome(None, verdict=BlockVerdict(accepted.verdict.result, accepted.verdict.reason))
        entry = accepted.last
        assert entry is not None
        if entry in self.bodies or not (requested or self._is_wanted(entry)):
            return Outcome(entry)
        self.bodies[entry], self._sources[entry] = body, source
        self._link()
        self.activate()
        return Outcome(entry, new=True)

    def _is_wanted(self, entry: int) -> bool:
        index = self._index
        work, height = index.chain_work(entry), index.height(entry)
        enough = max(index.chain_work(index.tip), self._chain.params.minimum_chain_work)
        return work >= enough and height <= index.height(index.tip) + STORED_AHEAD

    def _link(self) -> None:
        for entry in sorted(self.bodies.keys() - self.linked):  # a parent has the lower number
            if self._index.parent(entry) in self.linked:
                self.linked.add(entry)

    def activate(self) -> None:
        """Move to the most work among the blocks that can be connected."""
        index = self._index
        while True:
            valid = [entry for entry in self.linked if not index.is_invalid(entry)]
            best = max(valid, key=lambda entry: (index.chain_work(entry), entry == index.tip, -entry))
            if best == index.tip:
                return
            for entry in index.branch(index.fork_point(best, index.tip), best):
                block_hash, source = index.hash(entry), self._sources.pop(entry, None)
                if self.bodies[entry] == INVALID:
                    self._chain.invalidate(entry)
                    self._tell(block_hash, BlockVerdict(ValidationResult.CONSENSUS, "bad-cb-amount"), source)
                    break
                self._tell(block_hash, None, source)
            else:
                self._chain.set_active(best)
                return

    def _tell(self, block_hash: bytes, verdict: BlockVerdict | None, source: int | None) -> None:
        for callback in self._callbacks:
            callback(block_hash, verdict, source)


class BlockRoom(SyncRoom):
    """Everything that block download needs."""

    blocks: MemoryBlocks

    def open_blocks(self) -> MemoryBlocks:
        self.blocks = MemoryBlocks(self.chain)
        return self.blocks

    @property
    def download(self) -> BlockDownload:
        download = self.sync._download
        assert download is not None
        return download

    # -- what happens --------------------------------------------------------------------------------------------

    def join_with(
        self,
        line: HeaderLine,
        connection_type: ConnectionType = ConnectionType.OUTBOUND_FULL_RELAY,
        *,
        services: int = NETWORK_AND_WITNESS,
    ) -> FakePeer:
        """A new peer that has shown all headers of ``line``."""
        peer = self.join(connection_type, services=services)
        self.serve(peer, line)
        if self.state(peer).best_known is None:  # it was not asked
            self.give(peer, line.headers[-2:])
        return peer

    def send_block(self, peer: FakePeer, header: bytes, body: bytes = GOOD) -> None:
        """``peer`` sends a block message."""
        self.deliver(peer, Block(header + body))

    def send_blocks(self, peer: FakePeer, line: HeaderLine, heights: list[int], body: bytes = GOOD) -> None:
        for height in heights:
            self.send_block(peer, line.headers[height], body)

    def connect(self, line: HeaderLine) -> None:
        """The headers and blocks of ``line`` are simply there."""
        self.load(line)
        for raw in line.headers[1:]:
            self.blocks.wait_submit(raw + GOOD)

    # -- what can be seen ----------------------------------------------------------------------------------------

    def requested(self, peer: FakePeer, line: HeaderLine) -> list[int]:
        """Heights in ``line`` of the blocks that ``peer`` was asked for since the last call."""
        return [line.places[item.hash] for message in peer.take(GetData) for item in message.items()]

    def request_types(self, peer: FakePeer) -> set[int]:
        return {kind for message in peer.take(GetData) for kind in message.types()}

    def owed(self, peer: FakePeer) -> list[int]:
        """Heights of what the peer owes us."""
        return list(self.sync.peer_info(peer.id).in_flight)


def room_at(line: HeaderLine, **more: Any) -> BlockRoom:
    """A node that has all blocks of ``line``, a minute after its last one."""
    room = BlockRoom(now=line.time + 60, **more)
    room.connect(line)
    return room

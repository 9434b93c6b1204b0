"""A node that serves blocks, without a node: headers in memory, blocks made of them, one peer who asks."""

from collections.abc import Callable
from dataclasses import dataclass, field

from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import REGTEST
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour
from ccnode.peers.peer import ConnectionType
from ccnode.sync.serve_blocks import ServingRules
from ccnode.sync.serve_filters import StoredFilters
from ccnode.sync.serving import BlockServing
from ccnode.wire.blocks import Block
from ccnode.wire.inventory import GetData, InvItem
from ccnode.wire.message import Message
from ccnode.wire.protocol import ServiceFlags
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.chainstate import ImmediateWorker
from tests.support.clock import ManualClock
from tests.support.fakes import HeaderLine, MemoryHeaderStore, established_peer

INBOUND = ConnectionType.INBOUND
OFFERED = int(ServiceFlags.NETWORK | ServiceFlags.WITNESS | ServiceFlags.BLOOM | ServiceFlags.COMPACT_FILTERS)


def body(n: int) -> tuple[Transaction, ...]:
    """Two transactions with witnesses, the second with a script of its own."""
    coinbase = Transaction(1, (TxIn(OutPoint(bytes(32), 0xFFFFFFFF), b"\1\1", 0, (bytes(32),)),), (), 0)
    spend = TxIn(OutPoint(b"\1" * 32, n), b"", 0, (b"signature",))
    return coinbase, Transaction(2, (spend,), (TxOut(5, b"\5" + f"mine{n % 10}".encode()),), 0)


@dataclass
class Shelf:
    """Blocks made of headers when they are asked for."""

    chain: HeaderChain
    missing: set[int] = field(default_factory=set)
    pruned_meanwhile: set[int] = field(default_factory=set)
    read: list[int] = field(default_factory=list)
    on_read: Callable[[], object] = lambda: None

    def have_data(self, entry: int) -> bool:
        return entry not in self.missing

    def wait_read(self, entry: int) -> bytes | None:
        self.read.append(entry)
        self.on_read()
        return None if entry in self.pruned_meanwhile else self.block(entry).raw

    def block(self, entry: int) -> Block:
        return Block.build(self.chain.header_bytes(entry), body(entry))


class Counter:
    """A node that has headers of a line, blocks for all of them, and one peer who asks."""

    def __init__(
        self,
        line: HeaderLine,
        *,
        pruned: bool = False,
        kind: ConnectionType = INBOUND,
        filters: StoredFilters | None = None,
    ) -> None:
        self.line = line
        self.clock = ManualClock(line.time + 600)
        self.chain = HeaderChain(REGTEST, MemoryHeaderStore(), self.clock)
        self.chain.load()
        self.chain.accept(line.headers[1:])
        self.valid: set[int] = set()
        self.chain.separate(self.chain.index.best_header, lambda n: n in self.valid)
        self.shelf = Shelf(self.chain)
        self.spent_upload = False
        self.discouragement = Discouragement()
        rules = ServingRules(pruned=pruned, target_reached=lambda: self.spent_upload)
        self.serving = BlockServing(
            self.chain, self.shelf, ImmediateWorker(), Misbehaviour(self.discouragement), rules=rules, filters=filters
        )
        self.newcomer(kind)

    def newcomer(self, kind: ConnectionType = INBOUND) -> None:
        """Another peer asks."""
        self.peer = established_peer(7, kind)
        self.peer.our_services = OFFERED

    def give(self, message: Message) -> list[Message]:
        """What the peer is answered."""
        self.serving.handlers[type(message)](self.peer, message)
        sent, self.peer.sent = self.peer.sent, []
        return sent

    def ask(self, kind: int, *hashes: bytes) -> list[Message]:
        return self.give(GetData.build([InvItem(kind, block_hash) for block_hash in hashes]))

    def entry(self, block_hash: bytes) -> int:
        entry = self.chain.index.find(block_hash)
        assert entry is not None
        return entry

    def block(self, block_hash: bytes) -> Block:
        return self.shelf.block(self.entry(block_hash))

    def grow(self, line: HeaderLine) -> None:
        """Time passes, and blocks are connected up to the end of ``line``."""
        self.clock.set_wall(line.time + 600)
        self.chain.accept(line.headers[1:])
        self.chain.set_active(self.entry(line.tip))

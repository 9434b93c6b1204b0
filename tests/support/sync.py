"""A `Synchronizer` on a chain in memory, with fake peers that a test answers for."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import REGTEST
from ccnode.chain.params import ChainParams
from ccnode.chain.pow import block_proof
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour
from ccnode.peers.peer import ConnectionType
from ccnode.sync.download import Blocks
from ccnode.sync.state import SyncPeer
from ccnode.sync.synchronizer import Synchronizer
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.inventory import Inv, InvItem
from ccnode.wire.message import Message
from ccnode.wire.protocol import InvType
from tests.support.clock import ManualClock
from tests.support.fakes import (
    GENESIS_TIME,
    NETWORK_AND_WITNESS,
    REGTEST_BITS,
    FakePeer,
    HeaderLine,
    MemoryHeaderStore,
    established_peer,
    seeded_rng,
)

HEADER_WORK = block_proof(REGTEST_BITS)
DAY = 86_400


def work_of(headers: int) -> int:
    """The chain work of a regtest chain of so many headers on the genesis."""
    return HEADER_WORK * (headers + 1)


def params_with(minimum_headers: int = 0, **changes: Any) -> ChainParams:
    """Regtest with the work of ``minimum_headers`` headers as the minimum."""
    work = work_of(minimum_headers) if minimum_headers else 0
    return replace(REGTEST, minimum_chain_work=work, **changes)


class SyncRoom:
    """Everything that header synchronisation needs, and shorthands for what happens to it."""

    def __init__(
        self, params: ChainParams = REGTEST, *, now: float = GENESIS_TIME + 60 * DAY, announces: bool = True
    ) -> None:
        self.clock = ManualClock(now)
        self.store = MemoryHeaderStore()
        self.chain = HeaderChain(params, self.store, self.clock)
        self.chain.load()
        self.index = self.chain.index
        self.discouragement = Discouragement()
        misbehaviour = Misbehaviour(self.discouragement)
        self.sync = Synchronizer(
            self.chain, misbehaviour, self.clock, seeded_rng(), announces=announces, blocks=self.open_blocks()
        )
        self.peers: list[FakePeer] = []

    def open_blocks(self) -> Blocks | None:
        """None: headers only."""
        return None

    # -- what happens --------------------------------------------------------------------------------------------

    def join(
        self,
        connection_type: ConnectionType = ConnectionType.OUTBOUND_FULL_RELAY,
        *,
        services: int = NETWORK_AND_WITNESS,
        version: int = 70016,
    ) -> FakePeer:
        """A new handshaked peer, whose first pass has run."""
        peer = established_peer(len(self.peers), connection_type, services=services, version=version)
        self.peers.append(peer)
        self.sync.joined(peer)
        self.run_passes()
        return peer

    def leave(self, peer: FakePeer) -> None:
        self.peers.remove(peer)
        self.sync.left(peer)
        self.run_passes()

    def deliver(self, peer: FakePeer, message: Message) -> None:
        """Handle a message as the connection manager does, passes included."""
        self.sync.handlers[type(message)](peer, message)
        self.run_passes()

    def run_passes(self) -> None:
        """The passes of dirty peers, until none is."""
        while dirty := [peer for peer in self.peers if peer.dirty and not peer.closing]:
            for peer in dirty:
                self.run_pass(peer)

    def run_pass(self, peer: FakePeer) -> tuple[float, float]:
        peer.dirty = False
        return self.sync.send_pass(peer, self.clock.now())

    def run_all(self) -> None:
        """Everybody's pass, as when all timers are due."""
        for peer in self.peers:
            peer.mark_dirty()
        self.run_passes()

    def later(self, seconds: float) -> None:
        """Time passes, and with it all timers."""
        self.clock.advance(seconds)
        self.run_all()

    def give(self, peer: FakePeer, headers: Sequence[bytes]) -> None:
        """``peer`` sends a headers message."""
        self.deliver(peer, Headers.build(headers))

    def announce(self, peer: FakePeer, *hashes: bytes) -> None:
        """``peer`` sends an inv of blocks."""
        self.deliver(peer, Inv.build([InvItem(InvType.BLOCK, block_hash) for block_hash in hashes]))

    def answer(self, peer: FakePeer, line: HeaderLine) -> bool:
        """``peer`` answers its last getheaders honestly; False if it was not asked."""
        requests = self.asked(peer)
        if requests:
            self.give(peer, line.after(requests[-1].locator))
        return bool(requests)

    def serve(self, peer: FakePeer, line: HeaderLine) -> int:
        """``peer`` answers until it is not asked any more; returns how often."""
        answers = 0
        while self.answer(peer, line):
            answers += 1
        return answers

    def load(self, line: HeaderLine) -> None:
        """The headers are simply there."""
        self.chain.accept(line.headers[1:])
        self.run_passes()

    # -- what can be seen ----------------------------------------------------------------------------------------

    def asked(self, peer: FakePeer) -> list[GetHeaders]:
        """The getheaders sent to ``peer`` since the last call."""
        return peer.take(GetHeaders)

    def state(self, peer: FakePeer) -> SyncPeer:
        """What the room remembers of the peer."""
        return self.sync._peers[peer.id]

    @property
    def height(self) -> int:
        return self.index.height(self.index.tip)

    @property
    def tip(self) -> bytes:
        return self.index.hash(self.index.tip)

    def leader(self) -> FakePeer | None:
        return next((peer for peer in self.peers if self.sync.peer_info(peer.id).leading), None)

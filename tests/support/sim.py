"""Many nodes in one process: real `Synchronizer` objects on a network in memory, under a clock that jumps.

Everything random comes from one seeded generator: latencies, which messages are lost with their connection, who
stalls, who lies, when blocks are found. A message is encoded by its sender and decoded by its receiver. Nothing sleeps;
the next event in the heap sets the clock, which all nodes share.
"""

import random
from collections.abc import Callable, Iterator
from itertools import count

from ccnode.chain.headers import HeaderChain
from ccnode.chain.params import ChainParams
from ccnode.peers.keepalive import Keepalive
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour
from ccnode.peers.peer import ConnectionType, HandshakeStage, Peer
from ccnode.sync.synchronizer import Synchronizer
from ccnode.wire.address import NetworkAddress
from ccnode.wire.factory import MessageFactory
from ccnode.wire.handshake import SendHeaders
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message
from ccnode.wire.protocol import PROTOCOL_VERSION
from tests.support.fakes import NETWORK_AND_WITNESS, MemoryHeaderStore, mined
from tests.support.sim_events import Events

RECONNECT = 30.0
"""Seconds until a lost outbound connection is made again."""


class World(Events):
    """The clock, the events to come, and everyone in it."""

    def __init__(self, seed: int, params: ChainParams, now: float) -> None:
        super().__init__(seed, now)
        self.params = params
        self.nodes: list[SimNode] = []
        self._peer_ids = count()

    def latency(self) -> float:
        """Seconds a message travels."""
        return 0.01 + self.rng.expovariate(10)

    def add(self, node: "SimNode") -> "SimNode":
        self.nodes.append(node)
        return node

    def connect(self, dialer: "SimNode", listener: "SimNode") -> None:
        """A connection, with the handshake behind it; lost ones are made again."""
        ends = [SimPeer(self, next(self._peer_ids), dialer, listener, ConnectionType.OUTBOUND_FULL_RELAY)]
        ends.append(SimPeer(self, next(self._peer_ids), listener, dialer, ConnectionType.INBOUND))
        ends[0].other, ends[1].other = ends[1], ends[0]
        for end in ends:
            end.owner.join(end)


class SimPeer(Peer):
    """One end of a connection: what ``owner`` knows of the node at the other end."""

    def __init__(self, world: World, peer_id: int, owner: "SimNode", to: "SimNode", kind: ConnectionType) -> None:
        address = NetworkAddress.parse(f"8.0.0.{to.number + 1}:8333")
        super().__init__(peer_id, address, kind, world.clock.now())
        self.world = world
        self.owner = owner
        self.to = to
        self.other: SimPeer = self
        self.stage = HandshakeStage.ESTABLISHED
        self.version = self.common_version = PROTOCOL_VERSION
        self.services = NETWORK_AND_WITNESS
        self.last_send = self.last_recv = world.clock.now()
        self._arrival = 0.0
        self.passes = 0

    def send(self, message: Message) -> None:
        if self.closing:
            return
        clock = self.world.clock
        self.last_send = clock.now()
        self._arrival = max(self._arrival, clock.steady() + self.world.latency())  # in order, as TCP delivers
        payload = message.encode()
        self.world.after(self._arrival - clock.steady(), lambda: self.other.arrive(message.command, payload))

    def arrive(self, command: str, payload: bytes) -> None:
        if not self.closing:
            self.last_recv = self.world.clock.now()
            self.owner.receive(self, MESSAGES.decode(command, payload))

    def mark_dirty(self) -> None:
        if not self.dirty:
            self.dirty = True
            self.world.after(0.0, lambda: self.owner.run_pass(self))

    def disconnect(self, reason: str) -> None:
        if self.closing:
            return
        self.disconnect_reason = reason
        self.world.after(0.0, lambda: self.owner.leave(self))
        self.world.after(self.world.latency(), lambda: self.other.disconnect("the peer closed the connection"))


MESSAGES = MessageFactory()


class SimNode:
    """An honest node."""

    honest = True

    def __init__(self, world: World) -> None:
        self.world = world
        self.number = len(world.nodes)
        self.chain = HeaderChain(world.params, MemoryHeaderStore(), world.clock)
        self.chain.load()
        self.discouraged = Discouragement()
        rng = random.Random(world.rng.getrandbits(64))
        self.sync = Synchronizer(self.chain, Misbehaviour(self.discouraged), world.clock, rng, announces=True)
        self.keepalive = Keepalive(world.clock, rng)
        self.peers: list[SimPeer] = []

    def join(self, peer: SimPeer) -> None:
        self.peers.append(peer)
        self.sync.joined(peer)
        peer.mark_dirty()

    def leave(self, peer: SimPeer) -> None:
        self.peers.remove(peer)
        self.sync.left(peer)
        if not peer.inbound and peer.address not in self.discouraged:
            self.world.after(RECONNECT, lambda: self.world.connect(self, peer.to))

    def receive(self, peer: SimPeer, message: Message) -> None:
        if isinstance(message, Ping):
            self.keepalive.on_ping(peer, message)
        elif isinstance(message, Pong):
            self.keepalive.on_pong(peer, message)
        elif isinstance(message, SendHeaders):
            peer.prefers_headers = True
        elif type(message) in self.sync.handlers:
            self.sync.handlers[type(message)](peer, message)

    def run_pass(self, peer: SimPeer) -> None:
        """As the connection manager does."""
        if peer.closing:
            return
        peer.dirty = False
        peer.passes += 1
        clock = self.world.clock
        wall = self.keepalive.send_pass(peer, clock.now())
        if peer.closing:
            return
        sync_wall, steady = self.sync.send_pass(peer, clock.now())
        due = min(wall - clock.now(), sync_wall - clock.now(), steady - clock.steady())
        if due < 1e9:
            number = peer.passes  # a later pass computes its own time
            self.world.after(max(due, 0.0) + 0.001, lambda: self.run_pass(peer) if peer.passes == number else None)

    # -- blocks --------------------------------------------------------------------------------------------------

    @property
    def tip(self) -> bytes:
        return self.chain.index.hash(self.chain.index.tip)

    @property
    def height(self) -> int:
        return self.chain.index.height(self.chain.index.tip)

    @property
    def work(self) -> int:
        return self.chain.index.chain_work(self.chain.index.tip)

    def find_blocks(self, number: int, *, on: int | None = None, salt: int = 0, spacing: float = 600) -> None:
        """Mine headers on an entry, by default the tip, and tell the peers."""
        index = self.chain.index
        parent = index.tip if on is None else on
        start = int(min(index.time(parent) + spacing, self.world.clock.now()))
        start = max(start, index.median_time_past(parent) + 1)
        headers = mined(index.hash(parent), start, number, int(spacing), salt or self.world.rng.getrandbits(64))
        result = self.chain.accept(headers)
        assert result.verdict is None, result.verdict


class SilentNode(SimNode):
    """Takes connections and requests and answers nothing but pings."""

    honest = False

    def receive(self, peer: SimPeer, message: Message) -> None:
        if isinstance(message, Ping):
            super().receive(peer, message)


class FickleNode(SimNode):
    """Answers now and then, slowly, and drops connections."""

    honest = False

    def receive(self, peer: SimPeer, message: Message) -> None:
        chance = self.world.rng.random()
        if chance < 0.1:
            peer.disconnect("no mood")
        elif chance < 0.6:
            self.world.after(self.world.rng.random() * 60, lambda: self._late(peer, message))

    def _late(self, peer: SimPeer, message: Message) -> None:
        if not peer.closing:
            super().receive(peer, message)


class LyingNode(SimNode):
    """Answers getheaders with something wrong: gaps, repetitions, bad bits, strangers' headers, a low-work chain."""

    honest = False

    def receive(self, peer: SimPeer, message: Message) -> None:
        if not isinstance(message, GetHeaders):
            super().receive(peer, message)
            return
        lie = self.world.rng.choice(LIES)
        peer.send(Headers.build(lie(self)))

    def _genuine(self, first: int, number: int) -> list[bytes]:
        index = self.chain.index
        heights = range(first, min(first + number, self.height + 1))
        entries = [entry for height in heights if (entry := index.active_at(height)) is not None]
        return self.chain.headers_bytes(entries)


def _nothing(_node: LyingNode) -> list[bytes]:
    return []


def _unconnected(node: LyingNode) -> list[bytes]:
    return mined(node.world.rng.getrandbits(256).to_bytes(32, "little"), 1_300_000_000, 20)


def _low_work(node: LyingNode) -> list[bytes]:
    genesis = node.world.params.genesis_hash
    return mined(genesis, 1_300_000_000, node.world.rng.choice([5, 2000]), 1, node.number + 1)


def _gap(node: LyingNode) -> list[bytes]:
    headers = node._genuine(1, 10)
    return headers[:3] + headers[5:]


def _repetition(node: LyingNode) -> list[bytes]:
    return node._genuine(node.world.rng.randrange(1, node.height + 2), 2000)


def _future(node: LyingNode) -> list[bytes]:
    return mined(node.tip, int(node.world.clock.now()) + 9000, 1)


LIES: list[Callable[[LyingNode], list[bytes]]] = [_nothing, _unconnected, _low_work, _gap, _repetition, _future]


def honest(world: World) -> Iterator[SimNode]:
    return (node for node in world.nodes if node.honest)


def agreed(world: World) -> bool:
    """All honest nodes have the most work that any of them has."""
    best = max(node.work for node in honest(world))
    return all(node.work == best for node in honest(world))

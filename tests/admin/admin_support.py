"""A small node for tests of commands: a real regtest chain and synchronisation, and a stand-in for the connections."""

import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ccnode.admin.commands import REGISTRY
from ccnode.admin.context import AdminContext
from ccnode.admin.events import EventStream
from ccnode.admin.offenders import Offenders
from ccnode.chain.formats import Header
from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import REGTEST
from ccnode.chain.params import ChainParams
from ccnode.chain.pow import meets_target
from ccnode.clock import SystemClock
from ccnode.network.routes import Routes
from ccnode.options import Config
from ccnode.peers.addrman import AddrMan
from ccnode.peers.bans import Ban, BanList
from ccnode.peers.gossip import AddressGossip
from ccnode.peers.local_addresses import LOCAL_BIND, LocalAddresses
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour
from ccnode.peers.netgroup import NetGroupManager
from ccnode.peers.peer import ConnectionType, HandshakeStage, Peer
from ccnode.peers.subnet import Subnet
from ccnode.peers.time_offsets import TimeOffsets
from ccnode.peers.traffic import Traffic
from ccnode.sync.synchronizer import Synchronizer
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.message import Message

GENESIS_TIME = 1296688602


class ListStore:
    """A header store in memory."""

    def __init__(self) -> None:
        self.headers: list[bytes] = []

    def append(self, headers: Sequence[bytes]) -> None:
        self.headers += headers

    def read(self, number: int, count: int) -> bytes:
        return b"".join(self.headers[number : number + count])

    def load(self) -> Iterator[bytes]:
        return iter(())


class FakePeer(Peer):
    """Keeps what is sent to it."""

    def __init__(self, peer_id: int, address: str, kind: ConnectionType, connected_at: float) -> None:
        super().__init__(peer_id, NetworkAddress.parse(address), kind, connected_at)
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        self.sent.append(message)

    def disconnect(self, reason: str) -> None:
        self.disconnect_reason = self.disconnect_reason or reason

    def mark_dirty(self) -> None:
        pass


class FakeConnections:
    """What the commands ask of the connections; keeps what was done."""

    def __init__(self, clock: SystemClock) -> None:
        self.peers: dict[int, Peer] = {}
        self.local_services = 1 << 3 | 1 << 0
        self.user_agent = "/ccnode:0.1.0(test)/"
        self.network_active = True
        self.routes = Routes()
        self.traffic = Traffic(clock, upload_target=50_000_000)
        self.traffic.note_sent(1000)
        self.traffic.received.add(2000)
        self.listening = [NetworkAddress.parse("127.0.0.1:18444"), NetworkAddress.parse("8.8.8.8:18444")]
        self.time_offsets = TimeOffsets()
        self.added_nodes: list[str] = []
        self.anchors = [(NetworkAddress.parse("8.1.1.1:8333"), "connected")]
        self.anchors_to_save = [NetworkAddress.parse("8.2.1.1:8333")]
        self.done: list[object] = []

    def open_connection(self, address: NetworkAddress, kind: ConnectionType) -> bool:
        self.done.append((str(address), kind.value))
        return address.port != 1

    def count(self, *, inbound: bool) -> int:
        return sum(peer.inbound is inbound for peer in self.peers.values())

    def set_network_active(self, active: bool) -> None:
        self.network_active = active

    def add_node(self, target: str) -> bool:
        if target in self.added_nodes:
            return False
        self.added_nodes.append(target)
        return True

    def remove_node(self, target: str) -> bool:
        if target not in self.added_nodes:
            return False
        self.added_nodes.remove(target)
        return True

    def try_once(self, target: str) -> None:
        self.done.append(("try", target))

    def disconnect_by_id(self, peer_id: int) -> bool:
        return self.peers.pop(peer_id, None) is not None

    def disconnect_by_address(self, address: str) -> bool:
        found = [peer.id for peer in self.peers.values() if str(peer.address) == address]
        return any(self.disconnect_by_id(peer_id) for peer_id in found)

    def ping_all(self) -> None:
        self.done.append("ping")


class NoStore:
    """Forgets bans."""

    def put(self, ban: Ban) -> None:
        pass

    def remove(self, subnets: Iterable[Subnet]) -> None:
        pass


class TestNode:
    """The node under test, and shortcuts to it."""

    __test__ = False

    def __init__(self, directory: Path, params: ChainParams = REGTEST) -> None:
        self.clock = SystemClock()
        self.clock.set_mock_time(GENESIS_TIME + 3600)
        self.store = ListStore()
        self.chain = HeaderChain(params, self.store, self.clock)
        self.chain.load()
        self.net = FakeConnections(self.clock)
        self.addrman = AddrMan(NetGroupManager(), self.clock, random.Random(7))
        self.bans = BanList(NoStore(), self.clock)
        self.gossip = AddressGossip(
            self.addrman,
            self.clock,
            random.Random(7),
            networks=set(Network),
            unwanted=(),
            local=LocalAddresses(random.Random(7), port=params.default_port, networks=set(Network)),
            services=self.net.local_services,
            listens=True,
            is_ibd=self.chain.is_ibd,
        )
        for address in self.net.listening:
            self.gossip.local.add(address, LOCAL_BIND)
        self.done: list[str] = []
        self.sync = Synchronizer(
            self.chain, Misbehaviour(Discouragement()), self.clock, random.Random(7), announces=False
        )
        (directory / "headers.dat").write_bytes(bytes(96))
        self.context = AdminContext(
            config=Config(datadir=directory),
            clock=self.clock,
            chain=self.chain,
            sync=self.sync,
            net=self.net,
            addrman=self.addrman,
            gossip=self.gossip,
            bans=self.bans,
            header_file=directory / "headers.dat",
            debug_log=directory / "debug.log",
            stop=lambda: self.done.append("stop"),
            wake_timers=lambda: self.done.append("wake"),
            wait_stored=lambda: self.done.append("stored"),
            events=EventStream(self.clock),
            offenders=Offenders(self.clock),
            stats=lambda: {"hub_lag": {"p99": 0.001}},
        )

    def call(self, method: str, *params: object, words: bool = False, **named: object) -> object:
        """Run a command as a request would."""
        return REGISTRY.call(self.context, method, {"args": list(params), **named}, words=words)

    def mine(self, count: int, parent: bytes | None = None, salt: int = 0) -> list[str]:
        """Extend the chain, or the branch that ends in ``parent`` (internal order); returns the hashes as text."""
        index = self.chain.index
        entry = index.tip if parent is None else index.find(parent)
        assert entry is not None
        headers = make_headers(index.hash(entry), index.time(entry), count, salt)
        assert self.chain.accept(headers).accepted == count
        return [self.chain.params.header_format.hash(raw)[::-1].hex() for raw in headers]

    def connect(self, address: str, kind: ConnectionType = ConnectionType.OUTBOUND_FULL_RELAY) -> FakePeer:
        """A new peer with its handshake done."""
        peer = FakePeer(len(self.net.peers), address, kind, self.clock.now())
        peer.stage = HandshakeStage.ESTABLISHED
        peer.services = 1
        self.net.peers[peer.id] = peer
        self.sync.joined(peer)
        return peer


def make_headers(parent: bytes, parent_time: int, count: int, salt: int = 0) -> list[bytes]:
    """Regtest headers with proof of work, one second apart, on ``parent``."""
    header_format = REGTEST.header_format
    headers = []
    for step in range(1, count + 1):
        nonce = 0
        while True:
            raw = header_format.serialize(
                Header(4, parent, salt.to_bytes(32, "little"), parent_time + step, 0x207FFFFF, nonce)
            )
            if meets_target(header_format.hash(raw), 0x207FFFFF, REGTEST.pow_limit):
                break
            nonce += 1
        headers.append(raw)
        parent = header_format.hash(raw)
    return headers

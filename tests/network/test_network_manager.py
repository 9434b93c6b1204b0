"""All connections: a message's trip to its handler, which must not wait, and back; passes; comings and goings."""

import contextlib
import logging
import re
from collections.abc import Iterable, Iterator, Sequence

import gevent
import pytest
from gevent.event import Event

from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import REGTEST
from ccnode.errors import StorageError
from ccnode.network.connection import Connection
from ccnode.network.hub import spawn
from ccnode.network.manager import EARLY_PAYLOAD, MAX_CLOSING, ConnectionManager, NetworkRooms
from ccnode.network.timers import Timers
from ccnode.peers.bans import Ban, BanList
from ccnode.peers.gossip import AddressGossip
from ccnode.peers.handshake import Handshake
from ccnode.peers.inbound import Entrance, InboundLimits, InboundPolicy
from ccnode.peers.keepalive import DEFAULT_PING_INTERVAL, TIMEOUT_INTERVAL, Keepalive
from ccnode.peers.local_addresses import LocalAddresses
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour
from ccnode.peers.netgroup import NetGroupManager
from ccnode.peers.peer import ConnectionType, Peer, PeerEvent
from ccnode.peers.permissions import Whitelist, names, parse_whitelist
from ccnode.peers.subnet import Subnet
from ccnode.peers.traffic import tally_bytes
from ccnode.sync.synchronizer import Synchronizer
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, GetAddr, TimedAddress
from ccnode.wire.blocks import Block
from ccnode.wire.factory import MESSAGE_TYPES, MessageFactory
from ccnode.wire.framing import V1Transport
from ccnode.wire.handshake import SendCmpct, ServiceAddress, Verack, Version
from ccnode.wire.headers import GetBlocks, GetHeaders, Headers
from ccnode.wire.inventory import GetData, Inv, InvItem
from ccnode.wire.keepalive import FeeFilter, Ping, Pong
from ccnode.wire.message import Message
from ccnode.wire.protocol import InvType
from ccnode.wire.serialize import compact_size
from tests.support.clock import ManualClock
from tests.support.fakes import HeaderLine, MemoryHeaderStore, seeded_rng
from tests.support.network import FarEnd, eventually, no_switch, pair

INBOUND = ConnectionType.INBOUND
OUTBOUND = ConnectionType.OUTBOUND_FULL_RELAY
ADDRESS = NetworkAddress.parse("8.8.8.8:8333")
LOCAL = NetworkAddress.parse("127.0.0.1:18444")
FRAMES = V1Transport(REGTEST.magic)


class Book:
    """An address manager that keeps what it is told."""

    def __init__(self) -> None:
        self.added: list[TimedAddress] = []
        self.told: list[tuple[object, ...]] = []

    def add(self, entries, source: NetworkAddress, time_penalty: int = 0) -> int:
        self.added += entries
        return len(entries)

    def get_addresses(self, max_addresses: int, max_pct: int) -> list[TimedAddress]:
        return self.added

    def set_services(self, address: NetworkAddress, services: int) -> None:
        self.told.append(("services", address, services))

    def good(self, address: NetworkAddress) -> None:
        self.told.append(("good", address))

    def connected(self, address: NetworkAddress) -> None:
        self.told.append(("connected", address))


class NoStore:
    """Forgets bans."""

    def put(self, ban: Ban) -> None:
        pass

    def remove(self, subnets: Iterable[Subnet]) -> None:
        pass


class Office:
    """A connection manager with real rooms; everything delivered is watched by the switch guard."""

    def __init__(self, *, max_inbound: int = 50, now: float | None = None, whitelisted: Sequence[str] = ()) -> None:
        self.line = HeaderLine().grow(50)
        self.clock = ManualClock(self.line.time + 600 if now is None else now)
        self.store = MemoryHeaderStore()
        self.chain = HeaderChain(REGTEST, self.store, self.clock)
        self.chain.load()
        self.discouragement = Discouragement()
        self.bans = BanList(NoStore(), self.clock)
        whitelist = Whitelist(map(parse_whitelist, whitelisted))
        misbehaviour = Misbehaviour(self.discouragement)
        rng = seeded_rng()
        self.sync = Synchronizer(self.chain, misbehaviour, self.clock, rng, announces=True)
        self.book = Book()
        self.faults: list[BaseException] = []
        self.gone: list[Peer] = []
        self.timers = Timers(self.clock)
        handshake = Handshake(
            services=9,
            user_agent="/ccnode:0.1.0/",
            clock=self.clock,
            rng=rng,
            our_height=lambda: 0,
            limited_peers_suffice=lambda: True,
        )
        networks = frozenset({Network.IPV4, Network.IPV6})
        gossip = AddressGossip(
            self.book,  # type: ignore[arg-type]
            self.clock,
            rng,
            networks=networks,
            unwanted=(),
            local=LocalAddresses(rng, port=REGTEST.default_port, networks=networks),
            services=9,
            listens=True,
            is_ibd=lambda: False,
        )
        self.manager = ConnectionManager(
            magic=REGTEST.magic,
            factory=MessageFactory(),
            rooms=NetworkRooms(
                handshake=handshake,
                keepalive=Keepalive(self.clock, rng),
                misbehaviour=misbehaviour,
                sync=self.sync,
                gossip=gossip,
                addrman=self.book,  # type: ignore[arg-type]
                inbound=InboundPolicy(
                    InboundLimits(total=max_inbound),
                    bans=self.bans,
                    discouragement=self.discouragement,
                    whitelist=whitelist,
                    netgroup=NetGroupManager().group,
                    is_desirable=handshake.is_desirable,
                    rng=rng,
                ),
                whitelist=whitelist,
            ),
            clock=self.clock,
            timers=self.timers,
            fatal=self.faults.append,
        )
        self.manager.on(PeerEvent.DISCONNECTED, self.gone.append)
        self._guard()
        self._loop = spawn("timers", self.timers.run)

    def _guard(self) -> None:
        """No handler and no pass may switch greenlets (but to take a breath between two of them)."""
        handlers = dict(self.manager._handlers)
        for key, handler in handlers.items():
            handlers[key] = guarded(key, handler)
        self.manager._handlers = handlers
        self.sync.send_pass = guarded("sync pass", self.sync.send_pass)  # type: ignore[method-assign]

    def connect(self, kind: ConnectionType = INBOUND, address: NetworkAddress = ADDRESS) -> tuple[Connection, FarEnd]:
        near, far = pair()
        if kind is INBOUND:
            before = set(self.manager.peers)
            self.manager.accept(near, address, LOCAL, Entrance(address=LOCAL))
            new = set(self.manager.peers) - before
            return self.manager.peers[new.pop()], FarEnd(far)
        return self.manager.add(near, address, kind), FarEnd(far)

    def handshake(self, kind: ConnectionType = INBOUND) -> tuple[Connection, FarEnd]:
        peer, far = self.connect(kind)
        far.send(version(self.clock))
        far.expect(Verack)
        far.send(Verack())
        eventually(lambda: peer.handshake_complete)
        return peer, far

    def close(self) -> None:
        self.manager.close()
        self._loop.kill()


def guarded(name: object, function):
    def run(*args):
        with no_switch(name):
            return function(*args)

    return run


def version(clock: ManualClock, **changes) -> Version:
    fields = {"version": 70016, "services": 9, "timestamp": int(clock.now()), "addr_recv": ServiceAddress(), "nonce": 3}
    return Version(**{**fields, **changes})


@pytest.fixture
def office() -> Iterator[Office]:
    office = Office()
    yield office
    office.close()


# -- a message's trip --------------------------------------------------------------------------------------------------


def samples(line: HeaderLine) -> list[Message]:
    """At least one message of every kind that somebody handles, and some that nobody does."""
    addresses = (TimedAddress(1_700_000_000, 9, ADDRESS),)
    return [
        Ping(1),
        Ping(None),
        Pong(1),
        Addr(addresses),
        AddrV2(addresses),
        GetAddr(),
        FeeFilter(1000),
        SendCmpct(True, 2),
        Version(70016, 9, 0),
        Verack(),
        GetHeaders((line.hashes[0],), bytes(32)),
        GetHeaders((), line.hashes[1]),
        GetBlocks((line.hashes[0],), bytes(32)),
        GetData.build((InvItem(InvType.BLOCK, line.hashes[1]),)),
        Inv.build((InvItem(InvType.BLOCK, b"\1" * 32),)),
        Headers.build(line.headers[1:21]),
        Headers.build(line.headers[31:]),
        Headers.build(line.headers[21:31]),
        Headers.build([]),
    ]


def test_no_handler_waits_and_unknown_messages_harm_nobody(office: Office) -> None:
    peer, far = office.handshake()
    far.send(*samples(office.line))
    for command in MESSAGE_TYPES:
        if command not in _ENDING:
            far.send_raw(command, b"")
    far.send_raw("nonsense", b"\0" * 100)
    far.send(Ping(77))
    while far.expect(Pong).nonce != 77:
        pass
    assert not peer.closing
    assert office.chain.index.height(office.chain.index.tip) == 50
    assert tally_bytes(peer.received_per_message)["*other*"] == 124


_ENDING = {
    *("filterload", "filteradd", "filterclear", "mempool", "getcfilters", "getcfheaders", "getcfcheckpt", "tx"),
    *("wtxidrelay", "sendaddrv2"),
}


@pytest.mark.parametrize("command", sorted(_ENDING))
def test_messages_that_end_the_connection(office: Office, command: str) -> None:
    peer, far = office.handshake()
    far.send_raw(command, b"")
    far.until_closed()
    eventually(lambda: office.gone == [peer])
    assert command in (peer.disconnect_reason or "")
    assert len(office.discouragement) == 0


@pytest.mark.parametrize(
    ("command", "count", "discouraged"),
    [("inv", 50_001, True), ("addr", 1001, True), ("headers", 2001, True), ("getdata", 50_001, True)],
)
def test_a_list_over_its_limit_is_misbehaviour(office: Office, command: str, count: int, discouraged: bool) -> None:
    peer, far = office.handshake()
    far.send_raw(command, compact_size(count) + bytes(36 * count if count > 2001 else 81 * count))
    far.until_closed()
    eventually(lambda: office.gone == [peer])
    assert (ADDRESS in office.discouragement) is discouraged


def test_before_the_handshake_nothing_leaks_and_nothing_is_punished(office: Office) -> None:
    peer, far = office.connect()
    far.send(*[message for message in samples(office.line) if not isinstance(message, (Version, Verack))])
    far.send_raw("inv", compact_size(50_001) + bytes(100))
    far.send_raw("wtxidrelay", b"")
    far.send(version(office.clock))
    assert [far.receive().command for _ in range(4)] == ["version", "wtxidrelay", "sendaddrv2", "verack"]
    far.send(Ping(5), Verack())
    assert {far.receive().command, far.receive().command} == {"ping", "getheaders"}
    assert not peer.closing
    assert not peer.wtxid_relay


def test_damaged_payloads_are_dropped(office: Office) -> None:
    peer, far = office.handshake()
    far.send_raw("headers", b"\xfd\x01")
    far.send_raw("ping", b"\1\2\3")
    frame = bytearray(far.transport.frame("ping", bytes(8)))
    frame[20] ^= 1
    far.sock.sendall(frame)
    far.send(Ping(9))
    assert far.expect(Pong).nonce == 9
    assert not peer.closing


def test_addresses_of_an_outbound_peer_reach_the_book(office: Office) -> None:
    peer, far = office.handshake(OUTBOUND)
    told = [("services", ADDRESS, 9), ("good", ADDRESS)]
    assert office.book.told == told
    far.expect(GetAddr)
    far.send(Addr((TimedAddress(int(office.clock.now()), 9, NetworkAddress.parse("9.9.9.9:8333")),)))
    eventually(lambda: len(office.book.added) == 1)
    peer.disconnect("enough")
    eventually(lambda: office.book.told == [*told, ("connected", ADDRESS)])


@pytest.mark.parametrize("kind", list(ConnectionType))
def test_what_the_book_hears_of_each_kind_of_connection(office: Office, kind: ConnectionType) -> None:
    """An outbound peer is good when its version comes; that it lived is told at the end of those that may be seen."""
    peer, far = office.connect(kind)
    if kind is not INBOUND:
        far.expect(Version)
    assert office.book.told == []
    far.send(version(office.clock))
    far.expect(Verack)
    at_version = [] if kind is INBOUND else [("services", ADDRESS, 9), ("good", ADDRESS)]
    assert office.book.told == at_version
    if kind is ConnectionType.FEELER:
        assert peer.disconnect_reason == "feeler: the address answers"
    else:
        far.send(Verack())
        eventually(lambda: peer.handshake_complete)
    peer.disconnect("enough")
    eventually(lambda: office.gone == [peer])
    shown = kind in (OUTBOUND, ConnectionType.MANUAL, ConnectionType.ADDR_FETCH)
    assert office.book.told == at_version + [("connected", ADDRESS)] * shown


def test_a_connection_without_verack_is_not_told_to_have_lived(office: Office) -> None:
    peer, far = office.connect(OUTBOUND)
    far.send(version(office.clock))
    far.expect(Verack)
    peer.disconnect("enough")
    eventually(lambda: office.gone == [peer])
    assert ("connected", ADDRESS) not in office.book.told


def test_the_book_hears_what_a_peer_offers_even_if_that_is_too_little(office: Office) -> None:
    peer, far = office.connect(OUTBOUND)
    far.send(version(office.clock, services=1))
    far.until_closed()
    assert "services" in (peer.disconnect_reason or "")
    assert office.book.told == [("services", ADDRESS, 1)]


# -- passes ------------------------------------------------------------------------------------------------------------


def test_timers_run_the_pass_of_a_peer(office: Office) -> None:
    peer, far = office.handshake()
    first = far.expect(Ping)
    far.send(Pong(first.nonce))
    eventually(lambda: peer.min_ping is not None)
    for step in (60.0, 60.0, 0.001):
        assert peer.ping_sent_at is None
        office.clock.set_wall(office.clock.now() + step)
        office.timers.clock_was_set()
        gevent.sleep(0.01)
    assert far.expect(Ping).nonce != first.nonce


def test_a_clock_that_stands_at_a_limit_costs_nothing(office: Office) -> None:
    peer, _ = office.handshake()
    passes = 0
    run = office.manager.run_pass

    def counting(which) -> None:
        nonlocal passes
        passes += 1
        run(which)

    office.manager.run_pass = counting  # type: ignore[method-assign]
    for limit in (60.0, 120.0, TIMEOUT_INTERVAL):
        office.clock.set_wall(peer.connected_at + limit)
        office.timers.clock_was_set()
        gevent.sleep(0.03)
    assert 3 <= passes < 12


def test_a_peer_marked_by_another_ones_message_gets_its_pass(office: Office) -> None:
    office.chain.accept(office.line.headers[1:])
    _, first = office.handshake()
    _, second = office.handshake()
    second.send_raw("sendheaders", b"")
    second.send(Headers.build(office.line.headers[50:]), Ping(1))
    while second.expect(Pong).nonce != 1:
        pass
    new = office.line.grow(1).headers[-1:]
    first.send(Headers.build(new))
    assert second.expect(Headers).split() == new


def test_a_peer_whose_handler_waits_gets_its_pass(office: Office) -> None:
    going_on = Event()
    office.manager._handlers = {**office.manager._handlers, "getdata": lambda _peer, _message: going_on.wait()}
    peer, far = office.handshake()
    far.expect(Ping)
    far.send(GetData.build((InvItem(InvType.BLOCK, office.line.tip),)), Ping(5))
    eventually(lambda: peer.recent_messages[-1][2] == "getdata")
    peer.ping_requested = True
    peer.ping_nonce = 0
    peer.mark_dirty()
    far.expect(Ping)
    assert "pong" not in peer.sent_per_message, "but nothing more of it is read"
    going_on.set()
    assert far.expect(Pong).nonce == 5


def test_a_handler_sends_as_its_peer_takes(office: Office) -> None:
    """Twenty messages of a megabyte: a peer that takes none of them is owed two at most, and others go on."""
    queued: list[int] = []

    def serve(peer: Connection, _message: GetData) -> None:
        for _ in range(20):
            peer.wait_drained()
            peer.send(Block(bytes(1_000_000)))
            queued.append(peer.send_queue_bytes)

    office.manager._handlers = {**office.manager._handlers, "getdata": serve}
    peer, far = office.handshake()
    far.send(GetData.build([InvItem(InvType.BLOCK, office.line.tip)] * 10_000), Ping(7))
    eventually(lambda: peer.send_queue_bytes > peer.max_send_buffer)
    assert office.manager.receive_budget_used < 100_000, "the request does not take up room while it is answered"
    _, other = office.handshake()
    other.send(Ping(8))
    assert other.expect(Pong).nonce == 8
    assert len(queued) < 5
    for _ in range(20):
        assert len(far.expect(Block).raw) == 1_000_000
    assert far.expect(Pong).nonce == 7
    assert max(queued) <= peer.max_send_buffer + 1_000_024


def test_a_storage_error_stops_the_node_wherever_it_happens(office: Office) -> None:
    peer, far = office.handshake()
    office.store.full = True
    far.send(Headers.build(office.line.headers[1:]))
    eventually(lambda: office.faults)
    assert isinstance(office.faults[0], StorageError)
    eventually(lambda: office.gone == [peer])

    other, _ = office.handshake()
    office.sync.send_pass = failing(StorageError("disk full"))  # type: ignore[method-assign]
    other.mark_dirty()
    eventually(lambda: len(office.faults) == 2)
    eventually(lambda: office.gone == [peer, other])


def test_a_defect_takes_down_its_peer_only(office: Office, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL)
    peer, _ = office.handshake()
    bystander, far = office.handshake()
    ordinary = office.sync.send_pass

    def defect(which: Peer, now: float):
        return ordinary(which, now) if which is bystander else failing(KeyError("oops"))(which, now)

    office.sync.send_pass = defect  # type: ignore[method-assign]
    peer.mark_dirty()
    eventually(lambda: office.gone == [peer])
    assert peer.disconnect_reason == "internal error"
    bystander.mark_dirty()
    far.send(Ping(3))
    while far.expect(Pong).nonce != 3:
        pass
    assert office.faults == []


def failing(error: Exception):
    def fail(*_args):
        raise error

    return fail


# -- comings and goings ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "level"), [(INBOUND, logging.DEBUG), (ConnectionType.MANUAL, logging.INFO)])
def test_strangers_come_and_go_without_filling_the_log(
    office: Office, caplog: pytest.LogCaptureFixture, kind: ConnectionType, level: int
) -> None:
    caplog.set_level(logging.DEBUG, "ccnode")
    peer, far = office.handshake(kind)
    far.close()
    eventually(lambda: office.gone == [peer])
    about = [record for record in caplog.records if re.match("peer=0 (dis)?connected", record.getMessage())]
    assert [record.levelno for record in about] == [level, level]
    assert all(record.levelno <= level for record in caplog.records)


def test_there_is_exactly_one_end(office: Office) -> None:
    ends = {
        "peer closes": lambda peer, far: far.close(),
        "we disconnect": lambda peer, far: peer.disconnect("enough"),
        "both": lambda peer, far: (far.close(), peer.disconnect("enough")),
        "bad bytes": lambda peer, far: far.sock.sendall(bytes(24)),
        "by command": lambda peer, far: office.manager.disconnect_by_id(peer.id),
        "by address": lambda peer, far: office.manager.disconnect_by_address(str(peer.address)),
        "killed": lambda peer, far: office.manager._tasks[peer.id].kill(block=False),
    }
    for name, end in ends.items():
        peer, far = office.handshake()
        end(peer, far)
        eventually(lambda: not office.manager.peers)
        gevent.sleep(0.01)
        assert office.gone.count(peer) == 1, name
        assert office.sync.peer_info(peer.id).synced_headers == -1
        far.close()
    assert len(office.timers) == 0


def test_bytes_of_ended_connections_still_count(office: Office) -> None:
    peer, far = office.handshake()
    eventually(lambda: peer.send_queue_bytes == 0)
    traffic, tallies = office.manager.traffic, office.manager.message_tallies
    sent, received = traffic.sent.total, traffic.received.total
    assert sent > 100
    assert received > 100
    versions = tallies(received=True)["version"]
    far.close()
    eventually(lambda: office.gone)
    assert traffic.sent.total >= sent
    assert traffic.received.total == received
    assert tallies(received=True)["version"] == versions > 0
    assert traffic.received.total == sum(tally_bytes(tallies(received=True)).values())
    assert traffic.sent.total == sum(tally_bytes(tallies(received=False)).values())


def test_inbound_connections_are_limited() -> None:
    office = Office(max_inbound=2)
    for _ in range(2):
        office.connect()
    near, far = pair()
    office.manager.accept(near, ADDRESS, LOCAL, Entrance(address=LOCAL))
    assert FarEnd(far).until_closed() == []
    assert office.manager.count(inbound=True) == 2
    counted = office.manager.statistics
    assert (counted.accepted, counted.evicted) == (2, 0)
    assert counted.refused == {"all slots are taken, and nobody can make room": 1}
    office.close()


def test_who_does_not_say_a_version_counts_as_a_failure(office: Office) -> None:
    for kind in (OUTBOUND, INBOUND):
        _, far = office.connect(kind)
        far.close()
    office.handshake(OUTBOUND)[1].close()
    eventually(lambda: len(office.gone) == 3)
    assert office.manager.statistics.failures == {(OUTBOUND, "ended before its version message"): 1}


def test_networking_can_be_switched_off_and_on(office: Office) -> None:
    office.handshake()
    office.manager.set_network_active(False)
    eventually(lambda: office.gone)
    near, far = pair()
    office.manager.accept(near, ADDRESS, LOCAL, Entrance(address=LOCAL))
    assert FarEnd(far).until_closed() == []
    office.manager.set_network_active(True)
    peer, _ = office.handshake()
    assert office.manager.is_connected_to(ADDRESS)
    assert not peer.closing


def test_who_answers_is_pinged_again_and_again(office: Office) -> None:
    peer, far = office.handshake()
    for _ in range(4):
        far.send(Pong(far.expect(Ping).nonce))
        eventually(lambda: peer.ping_sent_at is None)
        office.clock.set_wall(office.clock.now() + DEFAULT_PING_INTERVAL + 0.001)
        office.timers.run_due()


def test_a_ping_of_all_reaches_the_handshaked(office: Office) -> None:
    _, far = office.handshake()
    office.connect()
    first = far.expect(Ping)
    office.manager.ping_all()
    assert far.expect(Ping).nonce != first.nonce


def test_whatever_peers_do_every_count_comes_back_to_nothing() -> None:
    """Hundreds come, talk, stop in the middle, leave or are dropped in an order of chance, while the clock jumps."""
    rng = seeded_rng()
    office = Office(max_inbound=20)
    manager, far_ends = office.manager, []
    connected: list[Peer] = []
    manager.on(PeerEvent.CONNECTED, connected.append)
    scraps = [
        b"".join(FRAMES.frame(m.command, m.encode()) for m in (version(office.clock), Verack(), GetAddr())),
        FRAMES.frame("ping", bytes(8)),
        FRAMES.frame("block", bytes(4_000_000))[:30_000],
        FRAMES.frame("block", bytes(30_000))[:20_000],
        b"no message at all, but long enough for a head",
    ]

    def come() -> None:
        near, far = pair()
        address = NetworkAddress.parse(f"8.{rng.randrange(4)}.1.1:{rng.randrange(1, 9999)}")
        if rng.random() < 0.7:
            manager.accept(near, address, LOCAL, Entrance(address=LOCAL))
        else:
            manager.add(near, address, rng.choice([kind for kind in ConnectionType if kind is not INBOUND]))
        far.setblocking(False)
        far_ends.append(far)

    def talk() -> None:
        with contextlib.suppress(OSError):
            rng.choice(far_ends).send(rng.choice(scraps))

    def jump() -> None:
        office.clock.set_wall(office.clock.now() + rng.choice([-500, 1, 100, 1300]))
        office.timers.clock_was_set()

    come()
    for step in range(1500):
        rng.choice([come, talk, talk, talk, jump if step % 10 == 0 else talk])()
        if step % 5 == 0 and len(far_ends) > 1:
            far_ends.pop(rng.randrange(len(far_ends))).close()
        if step % 50 == 0:
            manager.drop(Subnet.parse("8.1.0.0/16"), "unwanted", spare_chosen=False)
        if step % 10 == 0:
            gevent.sleep(0.001)
        assert manager.count(inbound=True) == sum(peer.inbound for peer in manager.peers.values())
    manager.set_network_active(False)
    eventually(lambda: not manager.peers)
    assert sorted(peer.id for peer in office.gone) == [peer.id for peer in connected]
    assert (manager.count(inbound=True), manager.count(inbound=False), manager.receive_budget_used) == (0, 0, 0)
    assert len(office.timers) == 0
    manager.set_network_active(True)
    newcomers = [office.connect()[0] for _ in range(20)]  # slots, and room among those that are closing
    assert not any(peer.closing for peer in newcomers)
    assert office.faults == []
    office.close()


def test_closing_ends_everything(greenlet_count) -> None:
    before = greenlet_count()
    office = Office()
    far_ends = [office.handshake()[1] for _ in range(20)]
    office.close()
    assert not office.manager.peers
    assert len(office.gone) == 20
    for far in far_ends:
        far.close()
    assert greenlet_count() == before


# -- who may be here ---------------------------------------------------------------------------------------------------


def test_a_full_node_lets_a_newcomer_in_at_anothers_cost() -> None:
    office = Office(max_inbound=40)
    far_ends = []
    for i in range(40):
        office.clock.advance(1)
        far_ends.append(office.connect(address=NetworkAddress.parse(f"{20 + i}.1.1.1:1"))[1])
    newcomer, _far = office.connect()
    evicted = [peer for peer in office.manager.peers.values() if peer.closing]
    assert [peer.disconnect_reason for peer in evicted] == ["evicted for another inbound peer"]
    eventually(lambda: office.gone == evicted)
    assert office.manager.count(inbound=True) == 40
    assert not newcomer.closing
    office.close()


def test_a_banned_address_is_turned_away_and_a_ban_ends_its_connections() -> None:
    office = Office(whitelisted=["noban@8.8.8.0/24"])
    inbound, _ = office.connect()
    manual, _ = office.connect(ConnectionType.MANUAL)
    elsewhere, _ = office.connect(address=NetworkAddress.parse("9.9.9.9:1"))
    assert "noban" in names(inbound.permissions)
    office.manager.drop(Subnet.parse("8.8.0.0/16"), "banned", spare_chosen=True)
    assert not inbound.closing
    office.manager.drop(Subnet.parse("8.8.0.0/16"), "banned", spare_chosen=False)
    assert (inbound.disconnect_reason, manual.disconnect_reason) == ("banned", "banned")
    assert not elsewhere.closing
    office.bans.ban(Subnet.parse("9.0.0.0/8"))
    near, far = pair()
    office.manager.accept(near, NetworkAddress.parse("9.9.9.8:1"), LOCAL, Entrance(address=LOCAL))
    assert FarEnd(far).until_closed() == []
    office.close()


def test_permissions_of_manual_peers_need_the_word_out() -> None:
    office = Office(whitelisted=["relay@8.8.8.8", "addr,out@8.8.8.8"])
    assert names(office.connect(ConnectionType.MANUAL)[0].permissions) == ["addr"]
    assert names(office.connect(INBOUND)[0].permissions) == ["relay"]
    assert names(office.connect(OUTBOUND)[0].permissions) == []
    office.close()


def test_closing_connections_are_bounded(office: Office) -> None:
    for _ in range(MAX_CLOSING):
        office.connect(OUTBOUND)[0].disconnect("enough")
    near, far = pair()
    office.manager.accept(near, ADDRESS, LOCAL, Entrance(address=LOCAL))
    assert FarEnd(far).until_closed() == []
    eventually(lambda: len(office.gone) == MAX_CLOSING)
    office.connect()


def test_what_comes_out_of_turn_is_counted(office: Office) -> None:
    peer, far = office.connect()
    far.send(Ping(1))
    far.send(version(office.clock))
    far.send(Ping(1), version(office.clock))
    far.send(Verack(), version(office.clock), Ping(7))
    while far.expect(Pong).nonce != 7:
        pass
    assert peer.violations == {"before-version": 1, "before-verack": 1, "duplicate-version": 2}
    assert peer.misbehaviour_score == 4
    assert not peer.closing


def test_before_the_handshake_is_complete_messages_are_small(office: Office) -> None:
    peer, far = office.connect()
    far.send(version(office.clock))
    far.send_raw("nonsense", bytes(EARLY_PAYLOAD))
    far.expect(Verack)
    far.send_raw("nonsense", bytes(EARLY_PAYLOAD + 1))
    eventually(lambda: peer.closing)
    assert peer.disconnect_reason == "payload of 65537 bytes announced, at most 65536 allowed"
    peer, far = office.handshake()
    far.send_raw("nonsense", bytes(4_000_000))
    far.send(Ping(7))
    while far.expect(Pong).nonce != 7:
        pass
    assert not peer.closing

"""The handshake: every message in every stage, in both directions, and what is said to whom."""

from dataclasses import replace

import pytest

from ccnode.peers.handshake import TABLE, Handshake, desirable_services
from ccnode.peers.peer import ConnectionType, HandshakeStage
from ccnode.peers.permissions import Permission
from ccnode.wire.address import NetworkAddress
from ccnode.wire.factory import MESSAGE_TYPES
from ccnode.wire.handshake import (
    SendAddrV2,
    SendCmpct,
    SendHeaders,
    SendTxRcncl,
    ServiceAddress,
    Verack,
    Version,
    WtxidRelay,
)
from ccnode.wire.message import Unknown
from ccnode.wire.protocol import ServiceFlags
from tests.support.clock import ManualClock
from tests.support.fakes import FakePeer, seeded_rng

INBOUND = ConnectionType.INBOUND
OUTBOUND = ConnectionType.OUTBOUND_FULL_RELAY
FULL = int(ServiceFlags.NETWORK | ServiceFlags.WITNESS)
LIMITED = int(ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS)
NOW = 1_700_000_000

THEIR_VERSION = Version(
    version=70016,
    services=FULL,
    timestamp=NOW + 5,
    addr_recv=ServiceAddress(0, NetworkAddress.parse("1.2.3.4:8333")),
    nonce=99,
    user_agent=b"/theirs:1.0/<script>",
    start_height=800_000,
    relay=True,
)


class Desk:
    """A handshake with one peer, and who heard of it."""

    def __init__(
        self, kind: ConnectionType = OUTBOUND, *, near_tip: bool = False, address: str = "8.8.8.8:8333"
    ) -> None:
        self.near_tip = near_tip
        self.heard: list[str] = []
        self.handshake = Handshake(
            services=int(ServiceFlags.WITNESS),
            user_agent="/ccnode:0.1.0/",
            clock=ManualClock(NOW),
            rng=seeded_rng(),
            our_height=lambda: 123,
            limited_peers_suffice=lambda: self.near_tip,
        )
        self.handshake.notifies(
            lambda _: None, lambda _: self.heard.append("version"), lambda _: self.heard.append("complete")
        )
        self.peer = FakePeer(0, kind, address=address)
        self.handshake.start(self.peer)

    def receive(self, *messages) -> list[bool]:
        return [self.handshake.handle(self.peer, message) for message in messages]

    def at(self, stage: HandshakeStage) -> "Desk":
        """The same, with the handshake that far; what was said so far is forgotten."""
        if stage is not HandshakeStage.AWAITING_VERSION:
            self.receive(THEIR_VERSION)
        if stage is HandshakeStage.ESTABLISHED:
            self.receive(Verack())
        self.peer.sent.clear()
        self.heard.clear()
        return self


# -- every stage and every message -------------------------------------------------------------------------------------

SAMPLES = {
    "version": replace(THEIR_VERSION, services=FULL | 64),
    "sendcmpct": SendCmpct(True, 2),
    "sendtxrcncl": SendTxRcncl(1, 7),
}
FACTS = (
    ("wtxid_relay", "wtxidrelay"),
    ("wants_addrv2", "sendaddrv2"),
    ("prefers_headers", "sendheaders"),
    ("offers_compact_blocks", "sendcmpct"),
)
EXPECTED_FACTS = {
    HandshakeStage.AWAITING_VERSION: set(),
    HandshakeStage.AWAITING_VERACK: {"wtxidrelay", "sendaddrv2", "sendheaders", "sendcmpct"},
    HandshakeStage.ESTABLISHED: {"sendheaders", "sendcmpct"},
}
HANDSHAKE_COMMANDS = {"version", "verack", "wtxidrelay", "sendaddrv2", "sendtxrcncl", "sendheaders", "sendcmpct"}


@pytest.mark.parametrize("kind", [INBOUND, OUTBOUND])
@pytest.mark.parametrize("stage", list(HandshakeStage))
@pytest.mark.parametrize("command", [*MESSAGE_TYPES, "feature", "nonsense"])
def test_every_message_in_every_stage(command: str, stage: HandshakeStage, kind: ConnectionType) -> None:
    desk = Desk(kind).at(stage)
    kinds = {"verack": Verack, "wtxidrelay": WtxidRelay, "sendaddrv2": SendAddrV2, "sendheaders": SendHeaders}
    message = SAMPLES.get(command) or (kinds[command]() if command in kinds else Unknown(command, b""))
    [taken] = desk.receive(message)

    before = (stage, command)
    established = stage is HandshakeStage.ESTABLISHED
    assert taken is (not established or command in HANDSHAKE_COMMANDS - {"version"})
    assert desk.peer.closing is (established and command in ("wtxidrelay", "sendaddrv2"))
    advanced = {
        (HandshakeStage.AWAITING_VERSION, "version"): HandshakeStage.AWAITING_VERACK,
        (HandshakeStage.AWAITING_VERACK, "verack"): HandshakeStage.ESTABLISHED,
    }.get(before, stage)
    assert desk.peer.stage is advanced
    assert desk.heard == (["version"] if before == (HandshakeStage.AWAITING_VERSION, "version") else []) + (
        ["complete"] if before == (HandshakeStage.AWAITING_VERACK, "verack") else []
    )
    if before != (HandshakeStage.AWAITING_VERSION, "version"):
        assert desk.peer.sent == [], "nothing but a version is answered here"
    for fact, by in FACTS:
        assert getattr(desk.peer, fact) is (command == by and by in EXPECTED_FACTS[stage]), fact


def test_the_table_names_only_what_exists() -> None:
    assert {command for _, command in TABLE} == HANDSHAKE_COMMANDS
    assert MESSAGE_TYPES.keys() >= HANDSHAKE_COMMANDS


# -- what is said, in which order --------------------------------------------------------------------------------------

FEATURES = ["wtxidrelay", "sendaddrv2", "verack"]


@pytest.mark.parametrize(
    ("kind", "first", "then"),
    [
        (INBOUND, [], ["version", *FEATURES]),
        (OUTBOUND, ["version"], [*FEATURES, "getaddr"]),
        (ConnectionType.MANUAL, ["version"], [*FEATURES, "getaddr"]),
        (ConnectionType.ADDR_FETCH, ["version"], [*FEATURES, "getaddr"]),
        (ConnectionType.FEELER, ["version"], [*FEATURES, "getaddr"]),
        (ConnectionType.BLOCK_RELAY_ONLY, ["version"], FEATURES),
    ],
)
def test_the_sequence(kind: ConnectionType, first: list[str], then: list[str]) -> None:
    desk = Desk(kind)
    assert desk.peer.commands() == first
    desk.receive(THEIR_VERSION)
    assert desk.peer.commands() == then
    desk.receive(Verack())
    assert desk.peer.commands() == []
    assert desk.peer.handshake_complete
    assert desk.peer.dirty, "the periodic part begins"


@pytest.mark.parametrize(("version", "features"), [(70016, True), (70017, True), (70015, False), (31800, False)])
def test_features_are_for_peers_of_version_70016(version: int, features: bool) -> None:
    desk = Desk(INBOUND)
    desk.receive(replace(THEIR_VERSION, version=version))
    assert desk.peer.commands() == ["version", *(FEATURES if features else ["verack"])]
    assert desk.peer.common_version == min(70016, version)
    desk.receive(WtxidRelay(), SendAddrV2())
    assert desk.peer.wtxid_relay is features
    assert desk.peer.wants_addrv2 is True


def test_our_version_tells_nothing_about_our_address() -> None:
    [ours] = Desk(OUTBOUND).peer.take(Version)
    assert (ours.version, ours.services, ours.timestamp, ours.start_height) == (70016, 8, NOW, 123)
    assert ours.relay is False
    assert ours.addr_recv == ServiceAddress(0, NetworkAddress.parse("8.8.8.8:8333"))
    assert ours.addr_from == ServiceAddress(8)
    assert ours.nonce != 0
    assert ours.user_agent == b"/ccnode:0.1.0/"


@pytest.mark.parametrize("kind", list(ConnectionType))
def test_no_peer_is_asked_for_transactions(kind: ConnectionType) -> None:
    desk = Desk(kind)
    desk.receive(THEIR_VERSION)
    [ours] = desk.peer.take(Version)
    assert ours.relay is False


@pytest.mark.parametrize(
    ("kind", "permissions", "services", "offered"),
    [
        (INBOUND, Permission.BLOOM_FILTER, 8, 12),
        (INBOUND, Permission.NO_BAN, 8, 8),
        (INBOUND, Permission.BLOOM_FILTER, 0, 0),
        (OUTBOUND, Permission.BLOOM_FILTER, 8, 8),
    ],
)
def test_bloom_filters_are_offered_by_permission(
    kind: ConnectionType, permissions: Permission, services: int, offered: int
) -> None:
    desk = Desk(kind)
    desk.handshake.services = services
    peer = FakePeer(1, kind)
    peer.permissions = permissions
    desk.handshake.start(peer)
    desk.handshake.handle(peer, THEIR_VERSION)
    [version] = peer.take(Version)
    assert version.services == version.addr_from.services == peer.our_services == offered


def test_the_bytes_of_the_addresses_in_our_version() -> None:
    desk = Desk(INBOUND)
    desk.receive(THEIR_VERSION)
    [ours] = desk.peer.take(Version)
    payload = ours.encode()
    recv, sender = payload[20:46], payload[46:72]
    assert recv == bytes(8) + bytes(10) + b"\xff\xff" + bytes((8, 8, 8, 8)) + (8333).to_bytes(2, "big")
    assert sender == (8).to_bytes(8, "little") + bytes(16) + bytes(2), "our services, no address, port 0"


def test_every_connection_has_a_nonce_of_its_own() -> None:
    desk = Desk(INBOUND)
    nonces = set()
    for number in range(100):
        peer = FakePeer(number)
        desk.handshake.start(peer)
        [ours] = peer.take(Version)
        nonces.add(ours.nonce)
    assert len(nonces) == 100
    assert 0 not in nonces


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1:8333", "10.0.0.1:8333", "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:8333"],
)
def test_an_address_that_means_nothing_to_the_peer_is_not_told(address: str) -> None:
    [ours] = Desk(OUTBOUND, address=address).peer.take(Version)
    assert ours.addr_recv == ServiceAddress(0)


def test_the_address_of_a_proxy_of_ours_is_not_told_as_the_peers() -> None:
    desk = Desk(INBOUND)
    told = Handshake(
        services=0,
        user_agent="/ccnode:0.1.0/",
        clock=ManualClock(NOW),
        rng=seeded_rng(),
        our_height=lambda: 0,
        limited_peers_suffice=lambda: False,
        is_proxy=lambda address: address == desk.peer.address,
    )
    told.handle(desk.peer, THEIR_VERSION)
    [ours] = desk.peer.take(Version)
    assert ours.addr_recv == ServiceAddress()


def test_what_the_peer_says_is_kept() -> None:
    desk = Desk(OUTBOUND)
    desk.receive(THEIR_VERSION)
    peer = desk.peer
    assert (peer.version, peer.services, peer.start_height, peer.relay) == (70016, FULL, 800_000, True)
    assert peer.user_agent == "/theirs:1.0/script", "characters that are not safe to print are gone"
    assert peer.time_offset == 5
    assert str(peer.address_local) == "1.2.3.4:8333"


@pytest.mark.parametrize("kind", list(ConnectionType))
def test_clocks_of_outbound_peers_are_compared_with_ours(kind: ConnectionType) -> None:
    desk = Desk(kind)
    for number in range(5):
        peer = FakePeer(number, kind)
        desk.handshake.start(peer)
        desk.handshake.handle(peer, THEIR_VERSION)
        assert peer.time_offset == 5
    assert desk.handshake.time_offsets.median() == (0 if kind is INBOUND else 5)


def test_a_version_of_the_oldest_form_is_enough() -> None:
    desk = Desk(INBOUND)
    desk.receive(Version(31800, 0, NOW, ServiceAddress(), None, None, None, None, None))
    assert (desk.peer.user_agent, desk.peer.start_height, desk.peer.relay) == ("", -1, True)
    assert desk.peer.address_local is None
    assert not desk.peer.closing


def test_only_compact_blocks_of_version_2_count() -> None:
    desk = Desk(INBOUND).at(HandshakeStage.ESTABLISHED)
    desk.receive(SendCmpct(True, 1))
    assert not desk.peer.offers_compact_blocks
    desk.receive(SendCmpct(True, 2))
    assert desk.peer.compact_blocks_high_bandwidth
    desk.receive(SendCmpct(False, 2))
    assert desk.peer.offers_compact_blocks
    assert not desk.peer.compact_blocks_high_bandwidth


# -- who is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(ConnectionType))
def test_services_are_demanded_of_automatic_peers_only(kind: ConnectionType) -> None:
    desk = Desk(kind)
    desk.peer.sent.clear()
    desk.receive(replace(THEIR_VERSION, services=int(ServiceFlags.NETWORK)))
    demanding = kind in (OUTBOUND, ConnectionType.BLOCK_RELAY_ONLY, ConnectionType.ADDR_FETCH)
    assert desk.peer.closing is demanding
    if demanding:
        assert "services" in (desk.peer.disconnect_reason or "")
        assert desk.peer.sent == []
        assert desk.heard == []


@pytest.mark.parametrize(("near_tip", "accepted"), [(True, True), (False, False)])
def test_a_peer_of_recent_blocks_will_do_near_the_tip(near_tip: bool, accepted: bool) -> None:
    desk = Desk(OUTBOUND, near_tip=near_tip)
    desk.receive(replace(THEIR_VERSION, services=LIMITED))
    assert desk.peer.closing is not accepted


def test_desirable_services() -> None:
    assert desirable_services(FULL, False) == FULL
    assert desirable_services(FULL, True) == FULL
    assert desirable_services(LIMITED, True) == LIMITED
    assert desirable_services(LIMITED | FULL, False) == FULL
    assert desirable_services(0, True) == FULL


@pytest.mark.parametrize("kind", [INBOUND, OUTBOUND])
@pytest.mark.parametrize(("version", "refused"), [(31799, True), (31800, False), (-1, True)])
def test_obsolete_versions_are_refused(version: int, refused: bool, kind: ConnectionType) -> None:
    desk = Desk(kind)
    desk.peer.sent.clear()
    desk.receive(replace(THEIR_VERSION, version=version))
    assert desk.peer.closing is refused
    assert bool(desk.peer.sent) is not refused


def test_the_checks_on_version_come_in_cores_order() -> None:
    """What a peer offers is noted first; then services, version and nonce are looked at, and only then do we answer."""
    desk = Desk(OUTBOUND)
    [ours] = desk.peer.take(Version)
    seen: list[int] = []
    desk.handshake.notifies(lambda peer: seen.append(peer.services), lambda _: None, lambda _: None)
    faulty = replace(THEIR_VERSION, services=1, version=31799, nonce=ours.nonce)
    desk.receive(faulty)
    assert "services" in (desk.peer.disconnect_reason or "")
    inbound = FakePeer(1, INBOUND)
    desk.handshake.start(inbound)
    desk.handshake.handle(inbound, faulty)
    assert inbound.disconnect_reason == "obsolete protocol version 31799", "nothing is demanded of it but a version"
    assert seen == [1, 1]
    assert (desk.peer.version, inbound.version, inbound.sent) == (0, 0, []), "nothing is kept and nothing is said"


@pytest.mark.parametrize("kind", [kind for kind in ConnectionType if kind is not INBOUND])
def test_every_kind_of_outbound_connection_is_known_by_its_nonce(kind: ConnectionType) -> None:
    desk = Desk(kind)
    [ours] = desk.peer.take(Version)
    mirror = FakePeer(1, INBOUND)
    desk.handshake.start(mirror)
    desk.handshake.handle(mirror, ours)
    assert mirror.closing


def test_a_version_without_a_nonce_is_never_our_own() -> None:
    desk = Desk(INBOUND)
    desk.receive(replace(THEIR_VERSION, addr_from=None, nonce=None, user_agent=None, start_height=None, relay=None))
    assert not desk.peer.closing


def test_a_connection_to_ourselves_ends_before_we_say_anything() -> None:
    desk = Desk(OUTBOUND)
    [ours] = desk.peer.take(Version)
    mirror = FakePeer(1, INBOUND)
    desk.handshake.start(mirror)
    desk.handshake.handle(mirror, ours)
    assert mirror.disconnect_reason == "connected to ourselves"
    assert mirror.sent == []


def test_a_nonce_is_ours_until_the_verack_or_the_end() -> None:
    for end in ("verack", "gone"):
        desk = Desk(OUTBOUND)
        [ours] = desk.peer.take(Version)
        if end == "verack":
            desk.receive(THEIR_VERSION, Verack())
        else:
            desk.handshake.gone(desk.peer)
        other = FakePeer(1, INBOUND)
        desk.handshake.start(other)
        desk.handshake.handle(other, ours)
        assert not other.closing, end


def test_an_outbound_peer_that_repeats_our_nonce_is_not_suspected() -> None:
    desk = Desk(OUTBOUND)
    [ours] = desk.peer.take(Version)
    desk.receive(replace(THEIR_VERSION, nonce=ours.nonce))
    assert not desk.peer.closing

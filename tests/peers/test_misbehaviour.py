"""Violations and their consequences, in both models."""

import pytest

from ccnode.peers.bans import BanList
from ccnode.peers.misbehaviour import BAN_SCORE, Discouragement, Misbehaviour, Unwanted, Violation, out_of_turn
from ccnode.peers.peer import ConnectionType, HandshakeStage
from ccnode.peers.permissions import Permission
from ccnode.peers.subnet import Subnet
from ccnode.wire.address import NetworkAddress
from tests.support.clock import ManualClock
from tests.support.fakes import FakePeer

INBOUND, MANUAL = ConnectionType.INBOUND, ConnectionType.MANUAL


class Store:
    def put(self, ban) -> None: ...

    def remove(self, subnets) -> None: ...


class Court:
    def __init__(self, *, classic: bool) -> None:
        self.clock = ManualClock()
        self.discouragement = Discouragement()
        self.bans = BanList(Store(), self.clock, default_seconds=500)
        self.misbehaviour = Misbehaviour(self.discouragement, self.bans if classic else None)

    def punished(self, peer: FakePeer) -> tuple[bool, bool, bool]:
        return peer.closing, peer.address in self.discouragement, self.bans.is_banned(peer.address)


@pytest.fixture
def core() -> Court:
    return Court(classic=False)


@pytest.fixture
def classic() -> Court:
    return Court(classic=True)


PUNISHED_TODAY = {
    *("oversize-list", "non-continuous-headers", "high-hash"),
    *("time-too-old", "invalid-header", "invalid-parent"),
    *("missing-parent", "mutated-block", "invalid-block", "bad-bloom-filter"),
}


@pytest.mark.parametrize("violation", Violation)
def test_cores_model_punishes_at_once_or_never(core: Court, violation: Violation) -> None:
    peer = FakePeer(0, INBOUND)
    core.misbehaviour.report(peer, violation)
    due = violation.label in PUNISHED_TODAY
    assert core.punished(peer) == (due, due, False)
    assert peer.misbehaviour_score == violation.points
    assert peer.violations == {violation.label: 1}


@pytest.mark.parametrize("violation", Violation)
def test_the_classic_model_bans_at_a_hundred(classic: Court, violation: Violation) -> None:
    peer = FakePeer(0, INBOUND)
    needed = -(-BAN_SCORE // violation.points) if violation.points else 1000
    for _ in range(needed - 1):
        classic.misbehaviour.report(peer, violation)
    assert classic.punished(peer) == (False, False, False)
    classic.misbehaviour.report(peer, violation)
    assert classic.punished(peer) == ((True, False, True) if violation.points else (False, False, False))
    assert peer.violations == {violation.label: needed}


def test_different_violations_add_up(classic: Court) -> None:
    peer = FakePeer(0, INBOUND)
    for violation in (Violation.HIGH_HASH, Violation.OVERSIZE_LIST, Violation.OVERSIZE_LIST):
        classic.misbehaviour.report(peer, violation)
    assert (peer.misbehaviour_score, peer.closing) == (90, False)
    classic.misbehaviour.report(peer, Violation.UNCONNECTING_HEADERS, "ten of them")
    assert peer.disconnect_reason == "misbehaving: ten of them"
    [ban] = classic.bans.bans()
    assert (str(ban.subnet), ban.reason, ban.until - ban.created) == ("8.8.8.8/32", "misbehaving: ten of them", 500)
    assert not ban.manual


def test_the_points_are_those_of_the_classic_table() -> None:
    assert {violation.label: violation.points for violation in Violation} == {
        "duplicate-version": 1,
        "before-version": 1,
        "before-verack": 1,
        "bloom-not-offered": 100,
        "bad-bloom-filter": 100,
        "oversize-list": 20,
        "unconnecting-headers": 20,
        "non-continuous-headers": 20,
        "high-hash": 50,
        "time-too-old": 0,
        "invalid-header": 100,
        "invalid-parent": 100,
        "missing-parent": 10,
        "mutated-block": 100,
        "invalid-block": 100,
    }


@pytest.mark.parametrize("model", [False, True])
@pytest.mark.parametrize(
    ("kind", "permissions", "address", "dropped", "condemned"),
    [
        (INBOUND, Permission.NONE, "8.8.8.8:1", True, True),
        (INBOUND, Permission.ALL & ~Permission.NO_BAN, "8.8.8.8:1", True, True),
        (INBOUND, Permission.DOWNLOAD, "8.8.8.8:1", True, True),
        (ConnectionType.OUTBOUND_FULL_RELAY, Permission.NONE, "8.8.8.8:1", True, True),
        (INBOUND, Permission.NONE, "127.0.0.1:1", True, False),
        (INBOUND, Permission.NONE, "[::1]:1", True, False),
        (INBOUND, Permission.NONE, "10.0.0.1:1", True, True),
        (INBOUND, Permission.NO_BAN, "8.8.8.8:1", False, False),
        (MANUAL, Permission.NONE, "8.8.8.8:1", False, False),
    ],
)
def test_exemptions(
    model: bool, kind: ConnectionType, permissions: Permission, address: str, dropped: bool, condemned: bool
) -> None:
    court = Court(classic=model)
    peer = FakePeer(0, kind, address=address)
    peer.permissions = permissions
    court.misbehaviour.report(peer, Violation.INVALID_HEADER)
    assert court.punished(peer) == (dropped, condemned and not model, condemned and model)
    assert peer.misbehaviour_score == 100


@pytest.mark.parametrize(
    ("kind", "permissions", "why"),
    [(MANUAL, Permission.NONE, "was added by hand"), (INBOUND, Permission.NO_BAN, "has the noban permission")],
)
def test_who_is_spared_is_warned_about_once_per_crossing_of_the_limit(
    caplog: pytest.LogCaptureFixture, kind: ConnectionType, permissions: Permission, why: str
) -> None:
    court = Court(classic=True)
    peer = FakePeer(7, kind)
    peer.permissions = permissions
    for _ in range(3):
        court.misbehaviour.report(peer, Violation.INVALID_HEADER, "bad-diffbits")
    assert caplog.messages == [f"peer=7 misbehaving: bad-diffbits; it stays, because it {why}"]


@pytest.mark.parametrize("model", [False, True])
def test_who_was_dialed_by_a_name_that_a_proxy_looked_up_is_only_dropped(model: bool) -> None:
    court = Court(classic=model)
    peer = FakePeer(0, ConnectionType.ADDR_FETCH)
    peer.address = NetworkAddress.internal("seed.example")
    court.misbehaviour.report(peer, Violation.INVALID_HEADER)
    assert court.punished(peer) == (True, False, False)
    assert court.bans.bans() == []


def test_listeners_hear_of_a_discouraged_address(core: Court) -> None:
    heard: list[NetworkAddress] = []
    core.discouragement.on_add(heard.append)
    core.misbehaviour.report(FakePeer(0, INBOUND), Violation.HIGH_HASH)
    assert heard == [NetworkAddress.parse("8.8.8.8:8333")]


@pytest.mark.parametrize(
    ("stage", "command", "expected"),
    [
        (HandshakeStage.AWAITING_VERSION, "ping", Violation.BEFORE_VERSION),
        (HandshakeStage.AWAITING_VERACK, "ping", Violation.BEFORE_VERACK),
        (HandshakeStage.AWAITING_VERACK, "version", Violation.DUPLICATE_VERSION),
        (HandshakeStage.ESTABLISHED, "version", Violation.DUPLICATE_VERSION),
        (HandshakeStage.ESTABLISHED, "nonsense", None),
    ],
)
def test_out_of_turn(stage: HandshakeStage, command: str, expected: Violation | None) -> None:
    peer = FakePeer()
    peer.stage = stage
    assert out_of_turn(peer, command) is expected


def test_unwanted_is_who_is_discouraged_or_banned(core: Court) -> None:
    unwanted = Unwanted(core.discouragement, core.bans)
    core.discouragement.add(NetworkAddress.parse("8.8.8.8:1"))
    core.bans.ban(Subnet.parse("9.0.0.0/8"), 10)
    assert [NetworkAddress.parse(text) in unwanted for text in ("8.8.8.8:2", "8.8.8.9:1", "9.9.9.9:1")] == [
        *(True, False, True)
    ]
    core.clock.advance(10)
    assert NetworkAddress.parse("9.9.9.9:1") not in unwanted

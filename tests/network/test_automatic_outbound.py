"""What the policy decides is dialed, and extra peers are looked over, each on its clock."""

from collections.abc import Iterator, Mapping

import gevent
import pytest
from gevent.event import Event

from ccnode.network import outbound as outbound_module
from ccnode.network.outbound import DIALS_AT_ONCE, FEELER_JITTER, LOOP_PAUSE, AutomaticOutbound
from ccnode.network.timers import Timers
from ccnode.peers.outbound import Anchor, Candidate, Opening
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.sync.extra import CHECK_SECONDS, OutboundPeer
from ccnode.wire.address import NetworkAddress
from tests.support.clock import ManualClock
from tests.support.fakes import FakePeer, established_peer, seeded_rng
from tests.support.network import eventually

FULL = ConnectionType.OUTBOUND_FULL_RELAY
BLOCK = ConnectionType.BLOCK_RELAY_ONLY
FEELER = ConnectionType.FEELER


class Manager:
    """Connections without sockets."""

    def __init__(self) -> None:
        self.network_active = True
        self.peers: dict[int, Peer] = {}

    def handshaked_peers(self) -> Iterator[Peer]:
        return (peer for peer in self.peers.values() if peer.handshake_complete)


class Dialer:
    """Dials that end when a test says so."""

    def __init__(self) -> None:
        self.added_nodes = ["1.2.3.4"]
        self.dialed: list[tuple[str, ConnectionType, bool]] = []
        self.answer = Event()
        self.succeeds = True
        self.cut_short = 0

    def dial(self, address: NetworkAddress, kind: ConnectionType, *, count_failure: bool) -> FakePeer | None:
        self.dialed.append((address.host, kind, count_failure))
        try:
            self.answer.wait()
        except gevent.GreenletExit:
            self.cut_short += 1
            raise
        return FakePeer() if self.succeeds else None


class Policy:
    """Opens what a test lists."""

    full_relay = 8
    block_relay = 2

    def __init__(self) -> None:
        self.openings: list[Opening] = []
        self.anchors: list[Anchor] = []
        self.added_nodes: list[str] = []
        self.stale_tip = False
        self.fresh = 0
        self.candidates = 0
        self.usable = True

    def next_opening(self, _peers: object, _dialing: Mapping[NetworkAddress, ConnectionType]) -> Opening | None:
        if self.anchors:
            return Opening(BLOCK, anchor=self.anchors.pop())
        return self.openings.pop(0) if self.openings else None

    def candidate(self, opening: Opening, _peers: object, _dialing: object) -> Candidate | None:
        self.candidates += 1
        if opening.anchor is not None:
            return Candidate(opening.anchor.address, False) if self.usable else None
        return Candidate(NetworkAddress.parse(f"8.{self.candidates}.1.1:8333"), True) if self.usable else None

    def tip_is_fresh(self) -> None:
        self.fresh += 1


class Extra:
    """Judges as a test says."""

    def __init__(self) -> None:
        self.chosen: list[Peer] = []
        self.stale = False
        self.near_present = False
        self.looked = 0
        self.went = 0

    def one_too_many(self, _peers: list[OutboundPeer], full_relay: int, block_relay: int) -> list[Peer]:
        assert (full_relay, block_relay) == (8, 2)
        self.looked += 1
        return self.chosen

    def extra_peer_went(self) -> None:
        self.went += 1

    def check_tip(self) -> bool:
        return self.stale

    def tip_is_near_present(self) -> bool:
        return self.near_present


class Sync:
    """Nobody's chain."""

    def outbound_peers(self) -> list[OutboundPeer]:
        return []


class Room:
    """An `AutomaticOutbound` among fakes, whose loop turns a hundred times as fast."""

    def __init__(self) -> None:
        self.manager, self.dialer, self.policy, self.extra = Manager(), Dialer(), Policy(), Extra()
        self.clock = ManualClock()
        self.timers = Timers(self.clock)
        self.outbound = AutomaticOutbound(
            self.dialer,  # type: ignore[arg-type]
            self.manager,  # type: ignore[arg-type]
            self.policy,  # type: ignore[arg-type]
            self.extra,  # type: ignore[arg-type]
            Sync(),  # type: ignore[arg-type]
            self.timers,
            self.clock,
            seeded_rng(),
        )


@pytest.fixture
def room(monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    assert LOOP_PAUSE == 0.5
    monkeypatch.setattr(outbound_module, "LOOP_PAUSE", LOOP_PAUSE / 100)
    room = Room()
    yield room
    room.dialer.answer.set()
    room.outbound.close()


def test_a_few_dials_run_side_by_side(room: Room) -> None:
    room.policy.openings = [Opening(FULL)] * 10
    room.outbound.start([])
    eventually(lambda: len(room.dialer.dialed) == DIALS_AT_ONCE)
    gevent.sleep(0.05)
    assert len(room.dialer.dialed) == DIALS_AT_ONCE, "the others wait for an end"
    room.dialer.answer.set()
    eventually(lambda: len(room.dialer.dialed) == 10)
    assert {(kind, count_failure) for _, kind, count_failure in room.dialer.dialed} == {(FULL, True)}
    assert room.policy.added_nodes == ["1.2.3.4"]


def test_the_stop_ends_dials_under_way(room: Room) -> None:
    room.policy.openings = [Opening(FULL)] * DIALS_AT_ONCE
    room.outbound.start([])
    eventually(lambda: len(room.dialer.dialed) == DIALS_AT_ONCE)
    room.outbound.close()
    assert room.dialer.cut_short == DIALS_AT_ONCE


def test_nothing_is_opened_while_the_network_is_off(room: Room) -> None:
    room.manager.network_active = False
    room.policy.openings = [Opening(FULL)]
    room.outbound.start([])
    gevent.sleep(0.05)
    assert room.dialer.dialed == []
    room.manager.network_active = True
    eventually(lambda: room.dialer.dialed)


def test_a_search_without_a_result_ends_the_look(room: Room) -> None:
    room.policy.usable = False
    room.policy.openings = [Opening(FULL)] * 3
    assert not room.outbound._open_one()
    assert len(room.policy.openings) == 2


def test_a_feeler_waits_up_to_a_second_and_others_do_not(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr(outbound_module.gevent, "sleep", pauses.append)
    room.dialer.answer.set()
    for kind in [FULL, BLOCK] + [FEELER] * 200:
        room.outbound._dialing[NetworkAddress.parse("8.8.8.8:1")] = kind
        room.outbound._dial(Opening(kind), Candidate(NetworkAddress.parse("8.8.8.8:1"), True))
    assert len(pauses) == 200
    assert FEELER_JITTER == 1.0
    assert 0 <= min(pauses) < 0.1
    assert 0.9 < max(pauses) < 1.0


# -- anchors -----------------------------------------------------------------------------------------------------------

ANCHORS = [Anchor(NetworkAddress.parse(text), 9) for text in ("7.7.7.7:8333", "7.8.7.7:8333")]


def test_anchors_are_dialed_first_and_once_and_their_outcome_is_noted(room: Room) -> None:
    room.policy.openings = [Opening(FULL)]
    room.outbound.start(ANCHORS)
    assert [loaded.outcome for loaded in room.outbound.anchors] == ["waiting", "waiting"]
    room.dialer.answer.set()
    eventually(lambda: len(room.dialer.dialed) == 3)
    assert [host for host, kind, _ in room.dialer.dialed[:2] if kind is BLOCK] == ["7.8.7.7", "7.7.7.7"]
    eventually(lambda: [loaded.outcome for loaded in room.outbound.anchors] == ["connected", "connected"])


@pytest.mark.parametrize(("usable", "outcome"), [(True, "did not answer"), (False, "not usable")])
def test_an_anchor_that_does_not_come_about_is_given_up(room: Room, usable: bool, outcome: str) -> None:
    room.policy.usable = usable
    room.dialer.succeeds = False
    room.dialer.answer.set()
    room.outbound.start(ANCHORS)
    eventually(lambda: [loaded.outcome for loaded in room.outbound.anchors] == [outcome] * 2)
    gevent.sleep(0.05)
    assert len(room.dialer.dialed) == (2 if usable else 0)


def test_the_two_oldest_block_relay_only_peers_are_the_next_anchors(room: Room) -> None:
    kinds = [FULL, BLOCK, BLOCK, BLOCK, ConnectionType.MANUAL]
    peers = [established_peer(number, kind, services=1000 + number) for number, kind in enumerate(kinds)]
    unfinished = FakePeer(99, BLOCK)
    room.manager.peers = {peer.id: peer for peer in [unfinished, *peers]}
    assert room.outbound.anchors_to_save() == [Anchor(peer.address, peer.services) for peer in peers[1:3]]


# -- extra peers -------------------------------------------------------------------------------------------------------


def test_extra_peers_are_looked_over_every_45_seconds_of_the_scheduler(room: Room) -> None:
    room.outbound.start([])
    assert room.extra.looked == 1
    room.clock.set_wall(room.clock.now() + 86_400)
    room.timers.clock_was_set()
    room.timers.run_due()
    assert room.extra.looked == 1, "the wall clock is not asked"
    room.clock.skip(CHECK_SECONDS - 0.001)
    room.timers.run_due()
    assert room.extra.looked == 1
    room.clock.skip(0.001)
    room.timers.run_due()
    assert room.extra.looked == 2
    assert CHECK_SECONDS == 45


def test_a_stale_tip_opens_one_more_and_a_fresh_one_starts_the_rotation(room: Room) -> None:
    room.extra.stale = True
    room.outbound._check_extra()
    assert (room.policy.stale_tip, room.policy.fresh) == (True, 0)
    room.manager.network_active = False
    room.outbound._check_extra()
    assert not room.policy.stale_tip, "no tip moves while the network is off"
    room.manager.network_active = True
    room.extra.stale, room.extra.near_present = False, True
    room.outbound._check_extra()
    assert (room.policy.stale_tip, room.policy.fresh) == (False, 1)


def test_who_is_one_too_many_goes_and_only_a_full_relay_peer_ends_the_search(room: Room) -> None:
    block, full = established_peer(1, BLOCK), established_peer(2, FULL)
    room.extra.chosen = [block]
    room.outbound._check_extra()
    assert (block.closing, room.extra.went) == (True, 0)
    room.extra.chosen = [full]
    room.outbound._check_extra()
    assert (full.closing, room.extra.went) == (True, 1)

"""Who is asked for headers, when somebody else is, and what the progress says meanwhile."""

import pytest

from ccnode.chain.networks import REGTEST
from ccnode.peers.peer import ConnectionType
from ccnode.peers.permissions import Permission
from ccnode.sync.progress import Phase
from ccnode.sync.state import (
    ANSWER_PATIENCE,
    GETHEADERS_WINDOW,
    HEADERS_TIMEOUT_BASE,
    HEADERS_TIMEOUT_PER_HEADER,
    RATE_BATCHES,
    REST,
)
from ccnode.wire.headers import GetHeaders
from ccnode.wire.protocol import ServiceFlags
from tests.support.fakes import FakePeer, HeaderLine
from tests.support.sync import DAY, SyncRoom, params_with

INBOUND = ConnectionType.INBOUND
OUTBOUND = ConnectionType.OUTBOUND_FULL_RELAY
LIMITED = int(ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS)


def recent_room() -> tuple[SyncRoom, HeaderLine]:
    line = HeaderLine().grow(30)
    room = SyncRoom(now=line.time + 600)
    room.load(line)
    return room, line


# -- who is asked ------------------------------------------------------------------------------------------------------


def test_far_behind_one_peer_is_asked() -> None:
    room = SyncRoom()
    peers = [room.join() for _ in range(4)]
    room.run_all()
    assert [len(room.asked(peer)) for peer in peers] == [1, 0, 0, 0]
    assert room.leader() is peers[0]


def test_near_the_tip_everyone_is_asked_from_the_parent_of_our_best_header() -> None:
    room, line = recent_room()
    for kind in (OUTBOUND, INBOUND, ConnectionType.BLOCK_RELAY_ONLY, ConnectionType.MANUAL):
        peer = room.join(kind)
        [request] = room.asked(peer)
        assert request.locator[0] == line.hashes[29]
        assert request.locator[-1] == REGTEST.genesis_hash
    assert room.leader() is None


@pytest.mark.parametrize(
    ("kind", "services", "asked"),
    [
        (OUTBOUND, LIMITED, 1),
        (OUTBOUND, int(ServiceFlags.WITNESS), 0),
        (INBOUND, 0, 0),
        (ConnectionType.ADDR_FETCH, 9, 0),
        (ConnectionType.FEELER, 9, 0),
    ],
)
def test_only_peers_that_serve_blocks_are_asked(kind, services: int, asked: int) -> None:
    room, _ = recent_room()
    assert len(room.asked(room.join(kind, services=services))) == asked


@pytest.mark.parametrize(
    ("kind", "services", "permissions", "preferred"),
    [
        (OUTBOUND, 9, Permission.NONE, True),
        (OUTBOUND, LIMITED, Permission.NONE, True),
        (OUTBOUND, int(ServiceFlags.WITNESS), Permission.NONE, False),
        (ConnectionType.BLOCK_RELAY_ONLY, 9, Permission.NONE, True),
        (ConnectionType.MANUAL, 9, Permission.NONE, True),
        (ConnectionType.ADDR_FETCH, 9, Permission.NONE, False),
        (INBOUND, 9, Permission.NONE, False),
        (INBOUND, 9, Permission.NO_BAN, True),
        (INBOUND, 0, Permission.NO_BAN, False),
    ],
)
def test_who_is_preferred(kind, services: int, permissions: Permission, preferred: bool) -> None:
    room = SyncRoom()
    peer = newcomer(room, kind)
    peer.services, peer.permissions = services, permissions
    room.sync.joined(peer)
    assert room.state(peer).preferred is preferred


def test_a_preferred_peer_comes_before_the_others() -> None:
    room = SyncRoom()
    room.sync.joined(inbound := newcomer(room, INBOUND))
    room.sync.joined(outbound := newcomer(room, OUTBOUND))
    room.run_pass(inbound)
    room.run_pass(outbound)
    assert (len(room.asked(inbound)), len(room.asked(outbound))) == (0, 1)


def newcomer(room: SyncRoom, kind: ConnectionType) -> FakePeer:
    peer = FakePeer(100 + len(room.peers), kind)
    peer.services = 9
    room.peers.append(peer)
    return peer


def test_without_a_preferred_peer_any_will_do() -> None:
    room = SyncRoom()
    peer = room.join(INBOUND)
    assert room.leader() is peer


def test_a_peer_that_connects_after_all_preferred_ones_had_nothing_more_is_asked(long_line: HeaderLine) -> None:
    room = SyncRoom()
    outbound = room.join()
    room.give(outbound, [])
    inbound = room.join(INBOUND)
    assert room.leader() is inbound
    room.serve(inbound, long_line)
    assert room.height == long_line.height


def test_once_the_tip_is_recent_those_who_were_not_asked_are(long_line: HeaderLine) -> None:
    room = SyncRoom(now=long_line.time + 600)
    leader, second, third = room.join(), room.join(), room.join(INBOUND)
    room.serve(leader, long_line)
    assert room.height == long_line.height
    assert [len(room.asked(peer)) for peer in (leader, second, third)] == [0, 1, 1]


@pytest.mark.parametrize("minimum", [0, 5000], ids=["ordinary", "low-work"])
def test_a_leader_that_repeats_the_same_batch_is_replaced(long_line: HeaderLine, minimum: int) -> None:
    """However quickly: it brings nothing."""
    room = SyncRoom(params_with(minimum))
    first, second = room.join(), room.join()
    for _ in range(RATE_BATCHES + 1):
        room.clock.advance_steady(0.01)
        room.give(first, long_line.headers[1:2001])
        room.clock.advance_steady(0.01)
        room.run_all()
    assert room.leader() is second
    assert len(room.asked(second)) == 1


# -- the lead goes on --------------------------------------------------------------------------------------------------


def test_a_leader_that_leaves_is_replaced() -> None:
    room = SyncRoom()
    first, second = room.join(), room.join()
    room.leave(first)
    assert room.leader() is second
    assert len(room.asked(second)) == 1


def test_a_leader_that_does_not_answer_is_replaced_by_the_steady_clock(long_line: HeaderLine) -> None:
    room = SyncRoom()
    first, second, third = room.join(), room.join(), room.join()
    room.answer(first, long_line)
    locator = room.asked(first)[-1].locator
    room.clock.set_wall(room.clock.now() + 600)
    assert room.run_pass(first)[1] == room.clock.steady() + ANSWER_PATIENCE
    assert room.leader() is first
    room.clock.advance_steady(ANSWER_PATIENCE)
    room.run_all()
    assert room.leader() is second
    assert room.asked(second)[-1].locator == locator
    room.later(ANSWER_PATIENCE)
    assert room.leader() is third
    room.later(ANSWER_PATIENCE)
    assert room.leader() is first, "who waited longest comes first"
    assert not any(peer.closing for peer in room.peers)


def test_a_late_answer_is_welcome(long_line: HeaderLine) -> None:
    room = SyncRoom()
    first, second = room.join(), room.join()
    locator = room.asked(first)[-1].locator
    room.later(ANSWER_PATIENCE)
    assert room.leader() is second
    room.give(first, long_line.after(locator))
    assert room.height == 2000


def test_a_leader_that_nobody_can_replace_is_asked_again(long_line: HeaderLine) -> None:
    room = SyncRoom()
    peer = room.join()
    room.asked(peer)
    room.later(GETHEADERS_WINDOW)
    assert room.asked(peer) == []
    room.later(1)
    assert room.serve(peer, long_line)
    assert room.height == long_line.height


def test_a_successor_is_not_asked_for_what_only_a_presync_saw(long_line: HeaderLine) -> None:
    room = SyncRoom(params_with(5000, presync_period=100, presync_buffer=500))
    first, second = room.join(), room.join()
    room.answer(first, long_line)
    room.answer(first, long_line)
    room.later(ANSWER_PATIENCE)
    assert room.leader() is second
    [request] = room.asked(second)
    assert request.locator == (REGTEST.genesis_hash,)
    room.give(second, long_line.after(request.locator))
    room.serve(second, long_line)
    assert room.height == long_line.height


def test_who_takes_over_goes_on_with_its_own_presync(long_line: HeaderLine) -> None:
    room = SyncRoom(params_with(5000, presync_period=100, presync_buffer=500))
    first, second = room.join(), room.join()
    for _ in range(2):
        room.answer(first, long_line)
    room.later(ANSWER_PATIENCE)
    room.answer(second, long_line)
    room.later(ANSWER_PATIENCE)
    assert room.leader() is first
    assert room.asked(first)[-1].locator[0] == long_line.hashes[4000]


def deliver_at(room: SyncRoom, peer: FakePeer, line: HeaderLine, rate: float, batches: int) -> None:
    """Full batches from ``peer`` at so many headers per second, in time that passes for all."""
    for _ in range(batches):
        requests = room.asked(peer)
        assert requests
        room.clock.advance(2000 / rate)
        room.give(peer, line.after(requests[-1].locator))


def test_a_leader_below_a_quarter_of_a_rate_that_was_shown_is_replaced() -> None:
    line = HeaderLine().grow(20_100, spacing=60)
    for fraction, replaced in ((0.2, True), (0.3, False)):
        room = SyncRoom()
        quick = room.join()
        deliver_at(room, quick, line, 10_000, RATE_BATCHES)
        slow = room.join()
        room.later(ANSWER_PATIENCE)
        assert room.leader() is slow
        deliver_at(room, slow, line, fraction * 10_000, RATE_BATCHES)
        room.run_all()
        assert (room.leader() is quick) is replaced


def test_under_500_headers_a_second_a_peer_of_unknown_rate_gets_its_chance(long_line: HeaderLine) -> None:
    for rate, replaced in ((400, True), (600, False)):
        room = SyncRoom()
        first, second = room.join(), room.join()
        deliver_at(room, first, long_line, rate, RATE_BATCHES - 1)
        assert room.leader() is first
        deliver_at(room, first, long_line, rate, 1)
        assert room.sync.peer_info(first.id).rate == pytest.approx(rate)
        room.run_all()
        assert (room.leader() is second) is replaced


def test_a_slow_leader_stays_while_it_is_the_only_one(long_line: HeaderLine) -> None:
    room = SyncRoom()
    peer = room.join()
    deliver_at(room, peer, long_line, 70, RATE_BATCHES)
    room.serve(peer, long_line)
    assert room.height == long_line.height


def test_an_exhausted_peer_that_announces_something_leads_again() -> None:
    room = SyncRoom()
    first, second = room.join(), room.join()
    room.give(first, [])
    assert room.leader() is second
    room.announce(first, b"\1" * 32)
    room.later(ANSWER_PATIENCE)
    assert room.leader() is first


def test_with_an_old_tip_a_peer_that_had_nothing_more_is_asked_again_after_a_rest(long_line: HeaderLine) -> None:
    room = SyncRoom()
    peer = room.join()
    room.give(peer, [])
    assert room.leader() is None
    peer.take(GetHeaders)
    room.later(REST - 1)
    assert not peer.take(GetHeaders)
    room.later(2)
    assert room.leader() is peer
    room.serve(peer, long_line)
    assert room.height == long_line.height


def test_a_preferred_peer_takes_over_from_an_inbound_one_that_owes_an_answer() -> None:
    room = SyncRoom()
    mute = room.join(INBOUND)
    assert room.leader() is mute
    preferred = room.join()
    assert room.leader() is preferred
    assert not room.sync.peer_info(mute.id).leading
    room.join()
    assert room.leader() is preferred, "one preferred peer is as good as another"


# -- Core's deadline ---------------------------------------------------------------------------------------------------


def test_who_leads_for_15_minutes_without_end_is_dropped_if_another_preferred_peer_exists() -> None:
    for other_kind, dropped in ((OUTBOUND, True), (INBOUND, False)):
        room = SyncRoom()
        leader = room.join()
        expected = (room.clock.now() - room.index.time(0)) / 600
        due = room.clock.now() + HEADERS_TIMEOUT_BASE + HEADERS_TIMEOUT_PER_HEADER * expected
        assert room.run_pass(leader)[0] == pytest.approx(due)
        room.join(other_kind)
        room.clock.set_wall(due)
        room.run_all()
        assert not leader.closing
        room.clock.set_wall(due + 1)
        room.run_all()
        assert leader.closing is dropped, other_kind
        if not dropped:
            assert room.run_pass(leader)[0] > room.clock.now(), "a time that is past would be looked at without end"


def test_the_deadline_is_void_once_the_tip_is_recent(long_line: HeaderLine) -> None:
    room = SyncRoom(now=long_line.time + 3 * DAY)
    leader, _ = room.join(), room.join()
    room.give(leader, long_line.headers[1:2001])
    room.clock.set_wall(long_line.fork(2000).time + 3600)
    room.run_all()
    room.clock.set_wall(room.clock.now() + 2000 + 3600 * 20)
    room.run_all()
    assert not leader.closing


@pytest.mark.parametrize(("age", "asked"), [(DAY - 1, [1, 1]), (DAY, [1, 0])])
def test_a_best_header_of_less_than_a_day_is_recent(age: int, asked: list[int]) -> None:
    room, line = recent_room()
    room.clock.set_wall(line.time + age)
    assert [len(room.asked(room.join())) for _ in range(2)] == asked


# -- progress ----------------------------------------------------------------------------------------------------------


def test_the_phases_of_a_synchronisation(long_line: HeaderLine) -> None:
    room = SyncRoom(params_with(5000, presync_period=100, presync_buffer=500), now=long_line.time + 600)
    phases = [room.sync.progress().phase]
    peer = room.join()
    phases.append(room.sync.progress().phase)
    while room.answer(peer, long_line):
        phases.append(room.sync.progress().phase)
    seen = [phase for i, phase in enumerate(phases) if i == 0 or phase is not phases[i - 1]]
    assert seen == [Phase.NO_PEERS, Phase.HEADERS, Phase.PRESYNC, Phase.SYNCED]


def test_peers_without_anything_newer_are_a_phase_of_their_own() -> None:
    room = SyncRoom()
    room.give(room.join(), [])
    assert room.sync.progress().phase is Phase.STALE


def test_rate_and_time_left(long_line: HeaderLine) -> None:
    room = SyncRoom(now=long_line.time)
    peer = room.join()
    room.sync.progress()
    room.clock.advance(2)
    room.answer(peer, long_line)
    progress = room.sync.progress()
    assert (progress.height, progress.rate) == (2000, 1000)
    assert progress.eta == pytest.approx(4.1, abs=0.01)
    assert progress.percent == pytest.approx(100 * 2000 / 6100, abs=0.1)


def test_an_unknown_peer_has_no_sync_state() -> None:
    room = SyncRoom()
    assert room.sync.peer_info(77).synced_headers == -1
    peer = room.join()
    room.leave(peer)
    assert room.sync.peer_info(peer.id).synced_headers == -1
    assert room.sync.send_pass(peer, room.clock.now()) == (float("inf"), float("inf"))


def test_the_initial_download_ends_with_a_recent_tip_of_enough_work_and_never_begins_again() -> None:
    line = HeaderLine().grow(200)
    room = SyncRoom(params_with(100), now=line.time + DAY + 1)
    room.load(line)
    assert room.chain.is_ibd()
    room.clock.set_wall(line.time + DAY)
    assert not room.chain.is_ibd()
    room.clock.set_wall(line.time + 30 * DAY)
    assert not room.chain.is_ibd()

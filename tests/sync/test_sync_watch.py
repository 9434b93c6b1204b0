"""Outbound peers that do not keep up (Core: p2p_outbound_eviction.py), and extra peers."""

import pytest

from ccnode.peers.peer import ConnectionType
from ccnode.sync.extra import MINIMUM_CONNECT_TIME, STALE_CHECK_SECONDS, ExtraPeers, OutboundPeer
from ccnode.sync.watch import ANSWER_TIME, CHAIN_SYNC_TIMEOUT, MAX_PROTECTED
from ccnode.wire.address import NetworkAddress
from ccnode.wire.headers import GetHeaders
from tests.support.fakes import HeaderLine, established_peer
from tests.support.sync import SyncRoom

FULL = ConnectionType.OUTBOUND_FULL_RELAY
BLOCK = ConnectionType.BLOCK_RELAY_ONLY
MANUAL = ConnectionType.MANUAL
INBOUND = ConnectionType.INBOUND


def room_with_tip() -> tuple[SyncRoom, HeaderLine]:
    """A synchronised node, and the line it follows."""
    line = HeaderLine().grow(30)
    room = SyncRoom(now=line.time + 600)
    room.load(line)
    return room, line


@pytest.mark.parametrize("kind", [FULL, BLOCK])
def test_a_peer_that_stays_behind_is_asked_once_more_and_dropped(kind: ConnectionType) -> None:
    room, _line = room_with_tip()
    peer = room.join(kind)
    peer.take(GetHeaders)
    room.later(CHAIN_SYNC_TIMEOUT)
    assert not peer.take(GetHeaders)
    room.later(1)
    (question,) = peer.take(GetHeaders)
    parent = room.index.parent(room.index.tip)
    assert question.locator[0] == room.index.hash(parent)
    room.later(ANSWER_TIME)
    assert not peer.closing
    room.later(1)
    assert peer.closing


@pytest.mark.parametrize("kind", [MANUAL, INBOUND])
def test_manual_and_inbound_peers_are_not_judged(kind: ConnectionType) -> None:
    room, _line = room_with_tip()
    peer = room.join(kind)
    for _ in range(5):
        room.later(CHAIN_SYNC_TIMEOUT)
    assert not peer.closing


def test_who_shows_our_tip_in_time_stays() -> None:
    room, line = room_with_tip()
    peer = room.join(BLOCK)
    room.later(CHAIN_SYNC_TIMEOUT - 1)
    room.serve(peer, line)
    for _ in range(3):
        room.later(CHAIN_SYNC_TIMEOUT)
    assert not peer.closing


def test_reaching_the_remembered_tip_but_not_the_new_one_starts_another_period() -> None:
    room, line = room_with_tip()
    peer = room.join(BLOCK)
    room.later(CHAIN_SYNC_TIMEOUT - 10)
    ahead = line.fork(line.height).grow(1)
    room.load(ahead)
    room.serve(peer, line)
    room.later(CHAIN_SYNC_TIMEOUT - 10)
    assert not peer.take(GetHeaders)
    assert not peer.closing
    room.later(11)
    assert peer.take(GetHeaders)


def test_the_first_four_full_relay_peers_with_a_good_chain_are_protected() -> None:
    room, line = room_with_tip()
    peers = [room.join(FULL) for _ in range(MAX_PROTECTED + 1)]
    for peer in peers:
        room.serve(peer, line)
    room.load(line.fork(line.height).grow(1))
    for _ in range(3):
        room.later(CHAIN_SYNC_TIMEOUT)
    assert [peer.closing for peer in peers] == [False] * MAX_PROTECTED + [True]
    protected = [item.protected for item in room.sync.outbound_peers() if not item.peer.closing]
    assert protected == [True] * MAX_PROTECTED
    room.leave(peers[0])
    late = room.join(FULL)
    room.serve(late, line.fork(line.height).grow(1))
    assert [item.protected for item in room.sync.outbound_peers() if item.peer is late] == [True]


# -- extra peers -------------------------------------------------------------------------------------------------------


def test_the_tip_is_stale_after_three_intervals_and_judged_every_ten_minutes() -> None:
    room, line = room_with_tip()
    extra = ExtraPeers(room.chain, room.clock)
    assert not extra.check_tip()
    room.clock.advance(3 * 600)
    assert not extra.check_tip(), "exactly three intervals are not more than three"
    room.clock.advance(STALE_CHECK_SECONDS)
    assert not extra.check_tip(), "nor is ten minutes more than ten minutes"
    room.clock.advance(1)
    assert extra.check_tip()
    room.load(line.fork(line.height).grow(1))
    assert extra.check_tip(), "judged again only later"
    room.clock.advance(STALE_CHECK_SECONDS + 1)
    assert not extra.check_tip()


def test_an_extra_peer_that_went_ends_the_search_until_the_tip_is_judged_again() -> None:
    room, _line = room_with_tip()
    extra = ExtraPeers(room.chain, room.clock)
    room.clock.advance(3 * 600 + 1)
    assert extra.check_tip()
    extra.extra_peer_went()
    assert not extra.check_tip()
    room.clock.advance(STALE_CHECK_SECONDS + 1)
    assert extra.check_tip()


def outbound(
    number: int,
    kind: ConnectionType,
    announced: float = 0.0,
    *,
    useful: float = 0.0,
    protected: bool = False,
    in_flight: int = 0,
) -> OutboundPeer:
    peer = established_peer(number, kind)
    peer.connected_at = 0.0
    return OutboundPeer(peer, announced, last_useful=useful, protected=protected, in_flight=in_flight)


def too_many(room: SyncRoom, peers: list[OutboundPeer]) -> list[int]:
    chosen = ExtraPeers(room.chain, room.clock).one_too_many(peers, full_relay=2, block_relay=2)
    return [peer.id for peer in chosen]


def test_the_full_relay_peer_with_the_oldest_announcement_goes_and_of_equals_the_newest() -> None:
    room, _line = room_with_tip()
    assert too_many(room, [outbound(1, FULL, 5), outbound(2, FULL, 3)]) == []
    assert too_many(room, [outbound(1, FULL, 5), outbound(2, FULL, 3), outbound(3, FULL, 9)]) == [2]
    assert too_many(room, [outbound(1, FULL, 3), outbound(2, FULL, 3), outbound(3, FULL, 9)]) == [2]
    protected = outbound(2, FULL, 3, protected=True)
    assert too_many(room, [outbound(1, FULL, 5), protected, outbound(3, FULL, 9)]) == [1]


def test_the_only_lasting_peer_of_a_network_stays() -> None:
    room, _line = room_with_tip()
    v6 = outbound(2, FULL, 0)
    v6.peer.address = NetworkAddress.parse("[2a01:4f8::1]:8333")
    peers = [outbound(1, FULL, 5), v6, outbound(3, FULL, 9)]
    assert too_many(room, peers) == [1]
    second_v6 = outbound(4, MANUAL)
    second_v6.peer.address = NetworkAddress.parse("[2a01:4f9::1]:8333")
    assert too_many(room, [*peers, second_v6]) == [2]


def test_of_the_two_newest_block_relay_peers_the_less_useful_goes() -> None:
    room, _line = room_with_tip()
    peers = [outbound(number, BLOCK) for number in (1, 2, 3)]
    assert too_many(room, peers[:2]) == []
    assert too_many(room, peers) == [3]
    peers[2] = outbound(3, BLOCK, useful=7.0)
    assert too_many(room, peers) == [2]
    peers[1] = outbound(2, BLOCK, useful=8.0)
    assert too_many(room, peers) == [3]


@pytest.mark.parametrize("kind", [FULL, BLOCK])
def test_who_owes_us_a_block_is_no_extra_peer(kind: ConnectionType) -> None:
    room, _line = room_with_tip()
    peers = [outbound(number, kind) for number in (1, 2)]
    assert too_many(room, [*peers, outbound(3, kind, in_flight=1)]) == []


def test_while_a_block_is_on_its_way_the_tip_is_not_stale() -> None:
    room, _line = room_with_tip()
    on_their_way = [object()]
    extra = ExtraPeers(room.chain, room.clock, downloading=lambda: bool(on_their_way))
    room.clock.advance(3 * 600 + 1)
    assert not extra.check_tip()
    on_their_way.clear()
    room.clock.advance(STALE_CHECK_SECONDS + 1)
    assert extra.check_tip()


def test_nobody_goes_in_the_first_half_minute() -> None:
    room, _line = room_with_tip()
    peers = [outbound(number, kind) for number, kind in enumerate((FULL, FULL, FULL, BLOCK, BLOCK, BLOCK))]
    for item in peers:
        item.peer.connected_at = room.clock.now() - MINIMUM_CONNECT_TIME + 1
    assert too_many(room, peers) == []
    room.clock.advance(1)
    assert too_many(room, peers) == [5], "half a minute is enough for a block-relay-only peer"
    room.clock.advance(1)
    assert too_many(room, peers) == [5, 2]


def test_who_is_going_already_is_no_extra_peer() -> None:
    room, _line = room_with_tip()
    for kind in (FULL, BLOCK):
        peers = [outbound(number, kind) for number in (1, 2, 3)]
        peers[0].peer.disconnect("gone soon")
        assert too_many(room, peers) == []


def test_extra_block_relay_peers_start_when_the_tip_is_near_the_present() -> None:
    room, line = room_with_tip()
    extra = ExtraPeers(room.chain, room.clock)
    assert extra.tip_is_near_present()
    room.clock.set_wall(line.time + 20 * 600)
    assert not extra.tip_is_near_present()

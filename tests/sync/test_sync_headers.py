"""The steps of a headers message, and what an inv leads to."""

from dataclasses import replace

import pytest

from ccnode.chain.networks import REGTEST
from ccnode.errors import StorageError
from ccnode.peers.peer import ConnectionType
from ccnode.sync import headers as headers_module
from ccnode.sync.state import GETHEADERS_WINDOW, MAX_HEADERS, WAITING_BATCHES, WAITING_SECONDS
from ccnode.wire.headers import Headers
from ccnode.wire.inventory import Inv, InvItem
from ccnode.wire.protocol import InvType
from tests.support.fakes import GENESIS_TIME, REGTEST_BITS, FakePeer, HeaderLine, established_peer, mined
from tests.support.sync import DAY, SyncRoom, params_with

INBOUND = ConnectionType.INBOUND
MANUAL = ConnectionType.MANUAL
SMALL_PRESYNC = {"presync_period": 100, "presync_buffer": 500}


# -- step 1: nothing ---------------------------------------------------------------------------------------------------


def test_an_empty_message_ends_the_initial_synchronisation_with_a_peer() -> None:
    room = SyncRoom()
    first, second = room.join(), room.join()
    assert room.leader() is first
    room.give(first, [])
    assert room.leader() is second
    assert len(room.asked(second)) == 1
    room.give(second, [])
    assert room.leader() is None


def test_an_empty_message_cancels_a_low_work_synchronisation(long_line: HeaderLine) -> None:
    room = SyncRoom(params_with(5000, **SMALL_PRESYNC))
    peer = room.join(MANUAL)
    room.answer(peer, long_line)
    assert room.state(peer).low_work is not None
    assert not room.sync.progress().low_work
    room.give(peer, [])
    assert room.state(peer).low_work is None
    assert room.sync.peer_info(peer.id).presynced_headers == -1
    assert room.sync.progress().low_work, "its last batch was full, and that was its whole chain"


# -- step 2: proof of work and linkage ---------------------------------------------------------------------------------


def bad_pow(line: HeaderLine) -> list[bytes]:
    headers = line.headers[1:4]
    mainnet_bits = (0x1D00FFFF).to_bytes(4, "little")
    return [*headers, headers[-1][:72] + mainnet_bits + headers[-1][76:]]


def gap(line: HeaderLine) -> list[bytes]:
    return [line.headers[1], line.headers[3]]


@pytest.mark.parametrize("spoil", [bad_pow, gap])
def test_headers_without_work_or_with_a_gap_cost_the_connection(spoil, long_line: HeaderLine) -> None:
    room = SyncRoom()
    peer, other = room.join(), room.join()
    room.asked(peer)
    room.give(peer, spoil(long_line))
    assert peer.disconnect_reason is not None
    assert peer.disconnect_reason.startswith("misbehaving: headers message")
    assert peer.address in room.discouragement
    assert room.height == 0
    assert room.leader() is other


def test_a_manual_peer_stays_but_no_longer_leads(long_line: HeaderLine) -> None:
    room = SyncRoom()
    peer, other = room.join(MANUAL), room.join()
    room.give(peer, gap(long_line))
    assert not peer.closing
    assert room.leader() is other


# -- step 3: low-work synchronisation ----------------------------------------------------------------------------------


def test_a_chain_with_enough_work_passes_the_low_work_synchronisation(long_line: HeaderLine) -> None:
    room = SyncRoom(params_with(5000, **SMALL_PRESYNC))
    peer = room.join()
    for _ in range(2):
        room.answer(peer, long_line)
        assert room.height == 0
    assert room.sync.peer_info(peer.id).presynced_headers == 4000
    room.serve(peer, long_line)
    assert room.height == long_line.height
    assert not peer.closing
    assert room.state(peer).low_work is None
    assert room.state(peer).ready == []


def test_one_peer_leads_through_the_end_of_the_low_work_synchronisation(long_line: HeaderLine) -> None:
    room = SyncRoom(params_with(3000, **SMALL_PRESYNC))
    peer, other = room.join(), room.join()
    room.asked(other)
    while room.height < 4000:
        assert room.answer(peer, long_line)
        assert room.leader() is peer
    assert room.asked(other) == []


def test_released_headers_are_accepted_in_slices(long_line: HeaderLine) -> None:
    room = SyncRoom(params_with(6000, presync_period=100, presync_buffer=100_000))
    peer = room.join()
    heights = []
    room.run_passes = lambda: None  # type: ignore[method-assign]
    room.run_pass(peer)
    for _ in range(6):  # three batches have the work, and come twice
        room.answer(peer, long_line)
        heights.append(room.height)
    assert heights == [0] * 5 + [MAX_HEADERS]
    while peer.dirty:
        room.run_pass(peer)
        heights.append(room.height)
    assert heights[6:] == [4000, 6000, 6000]  # the last pass finds nothing left
    room.answer(peer, long_line)
    assert room.height == 6100


def test_a_chain_that_ends_below_the_minimum_hands_on_the_lead(long_line: HeaderLine) -> None:
    room = SyncRoom(params_with(10_000, **SMALL_PRESYNC))
    peer, other = room.join(MANUAL), room.join(MANUAL)
    room.serve(peer, long_line)
    assert room.height == 0
    assert room.state(peer).low_work is None
    assert room.leader() is other
    assert room.sync.progress().low_work
    room.serve(other, long_line)
    assert room.leader() is None


def test_a_low_work_synchronisation_that_fails_at_once_hands_on_the_lead(long_line: HeaderLine) -> None:
    room = SyncRoom(params_with(10_000, **SMALL_PRESYNC))
    room.chain.params = replace(room.chain.params, difficulty=NoTransition())
    peer, other = room.join(MANUAL), room.join(MANUAL)
    room.give(peer, different_bits(2000))
    assert room.state(peer).low_work is None
    assert room.leader() is other


class NoTransition:
    """Forbids every change of the bits."""

    def permitted_transition(self, height: int, old: int, new: int) -> bool:
        return False


def different_bits(number: int) -> list[bytes]:
    """A chain whose bits differ from the genesis's."""
    return mined(REGTEST.genesis_hash, GENESIS_TIME, number, bits=REGTEST_BITS - 1)


def test_low_work_synchronisations_are_few_but_preferred_peers_always_have_one(
    long_line: HeaderLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers_module, "MAX_LOW_WORK_SYNCS", 2)
    room = SyncRoom(params_with(10_000, **SMALL_PRESYNC))
    inbound = [room.join(INBOUND) for _ in range(4)]
    for peer in inbound:
        room.give(peer, long_line.headers[1:2001])
    assert [room.state(peer).low_work is not None for peer in inbound] == [True, True, False, False]
    outbound = room.join()
    room.give(outbound, long_line.headers[1:2001])
    assert room.state(outbound).low_work is not None


def test_a_leader_without_room_for_a_low_work_synchronisation_hands_on_the_lead(
    long_line: HeaderLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers_module, "MAX_LOW_WORK_SYNCS", 0)
    room = SyncRoom(params_with(10_000, **SMALL_PRESYNC))
    first, second = room.join(INBOUND), room.join(INBOUND)
    room.answer(first, long_line)
    assert room.leader() is second


def test_a_refused_header_ends_the_release_without_blaming_the_peer_for_the_rest() -> None:
    """Our clock is behind: the chain reaches further into the future than we accept."""
    line = HeaderLine().grow(6000)
    room = SyncRoom(params_with(5500, presync_period=100, presync_buffer=10), now=line.time)
    peer = room.join()
    presynced = False
    while room.answer(peer, line):
        presynced = presynced or room.state(peer).low_work is not None
        if presynced and room.height:
            room.clock.set_wall(line.time - 4000 * 600)  # the clock is put back while headers are released
    assert presynced
    assert not peer.closing
    assert peer.address not in room.discouragement


# -- step 4: the parent is unknown -------------------------------------------------------------------------------------


def test_an_unconnected_batch_waits_and_the_peer_is_asked_for_what_leads_there() -> None:
    line = HeaderLine().grow(20)
    room = SyncRoom()
    peer = room.join(INBOUND)
    room.give(peer, line.headers[1:6])
    room.asked(peer)
    room.give(peer, line.headers[11:21])
    assert not peer.closing
    assert room.height == 5
    [request] = room.asked(peer)
    assert request.locator[0] == line.hashes[5]
    assert room.sync.peer_info(peer.id).waiting_batches == 1
    room.give(peer, line.headers[6:11])
    assert room.height == 20, "the waiting batch followed"
    assert room.sync.peer_info(peer.id).waiting_batches == 0


def test_a_full_batch_that_waited_is_not_the_end_of_its_senders_chain(long_line: HeaderLine) -> None:
    room = SyncRoom(params_with(4500))
    room.chain.accept(long_line.headers[1:1001])
    first, second = room.join(), room.join()
    room.give(second, long_line.headers[2001:4001])
    assert room.sync.peer_info(second.id).waiting_batches == 1
    room.asked(second)
    room.chain.accept(long_line.headers[1001:2001])
    room.give(first, long_line.headers[1999:2001])
    assert room.sync.peer_info(second.id).waiting_batches == 0
    assert not second.closing
    assert long_line.hashes[4000] in [request.locator[0] for request in room.asked(second)]


def test_a_batch_may_wait_for_what_another_peer_brings() -> None:
    line = HeaderLine().grow(20)
    room = SyncRoom()
    early, other = room.join(INBOUND), room.join(INBOUND)
    room.give(early, line.headers[11:21])
    room.give(other, line.headers[1:11])
    assert room.height == 20
    assert room.sync.peer_info(early.id).synced_headers == 20


def test_two_batches_wait_per_peer_and_a_minute() -> None:
    line = HeaderLine().grow(40)
    room = SyncRoom()
    peer = room.join(INBOUND)
    for start in (10, 20, 30):
        room.give(peer, line.headers[start : start + 5])
    assert room.sync.peer_info(peer.id).waiting_batches == WAITING_BATCHES
    room.later(WAITING_SECONDS + 1)
    room.give(peer, line.headers[30:35])
    assert room.sync.peer_info(peer.id).waiting_batches == 1, "the expired ones made room"
    room.give(peer, line.headers[1:10])
    assert room.height == 9


def test_batches_of_few_peers_wait() -> None:
    line = HeaderLine().grow(20)
    room = SyncRoom()
    peers = [room.join(INBOUND) for _ in range(headers_module.MAX_WAITING_PEERS + 3)]
    for peer in peers:
        room.give(peer, line.headers[10:12])
    waiting = sum(room.sync.peer_info(peer.id).waiting_batches for peer in peers)
    assert waiting == headers_module.MAX_WAITING_PEERS
    room.leave(peers[0])
    room.give(peers[-1], line.headers[10:12])
    room.give(peers[-1], line.headers[10:12])
    assert room.sync.peer_info(peers[-1].id).waiting_batches == 1, "a peer that left makes room"


def test_unconnected_headers_are_never_punished_however_many() -> None:
    line = HeaderLine().grow(40)
    room = SyncRoom()
    peer = room.join()
    for height in range(10, 40):
        room.give(peer, [line.headers[height]])
    assert not peer.closing
    assert len(room.asked(peer)) == 1, "asked once in the window"
    assert peer.violations == {"unconnecting-headers": 3}, "every tenth in a row counts in the classic model"


# -- step 5: too little work -------------------------------------------------------------------------------------------


def test_a_short_low_work_chain_is_ignored() -> None:
    room = SyncRoom(params_with(500))
    peer = room.join(INBOUND)
    room.give(peer, HeaderLine().grow(100).headers[1:])
    assert (room.height, len(room.index)) == (0, 1)
    assert not peer.closing
    assert room.sync.progress().low_work


def test_known_headers_of_our_own_chain_are_no_low_work_chain() -> None:
    """They need no memory: after the start, peers repeat our chain to us."""
    line = HeaderLine().grow(300)
    room = SyncRoom(params_with(500))
    room.load(line)
    peer = room.join(INBOUND)
    room.give(peer, line.headers[250:301])
    assert room.sync.peer_info(peer.id).synced_headers == 300


def test_near_the_tip_144_blocks_of_work_are_demanded() -> None:
    line = HeaderLine().grow(300)
    room = SyncRoom()
    room.load(line)
    peer = room.join(INBOUND)
    for fork, length, taken in ((100, 50, False), (150, 5, False), (150, 6, True)):
        before = len(room.index)
        room.give(peer, line.fork(fork).grow(length, salt=fork + length).headers[fork + 1 :])
        assert (len(room.index) > before) is taken, (fork, length)
    assert not peer.closing


@pytest.mark.parametrize(
    ("kind", "dropped"),
    [
        (ConnectionType.OUTBOUND_FULL_RELAY, True),
        (ConnectionType.BLOCK_RELAY_ONLY, True),
        (ConnectionType.ADDR_FETCH, False),
        (MANUAL, False),
        (INBOUND, False),
    ],
)
def test_in_the_initial_download_an_automatic_peer_with_too_little_work_is_dropped(kind, dropped: bool) -> None:
    line = HeaderLine().grow(400)
    room = SyncRoom(params_with(500))
    room.load(line)
    peer = room.join(kind)
    room.give(peer, line.headers[300:401])
    assert peer.closing is dropped
    unknown = room.join(kind)
    room.give(unknown, HeaderLine().grow(100, salt=7).headers[1:])
    assert unknown.closing is dropped
    assert len(room.discouragement) == 0


def test_after_the_initial_download_nobody_is_dropped_for_little_work() -> None:
    line = HeaderLine().grow(600)
    room = SyncRoom(params_with(500), now=line.time + 600)
    room.load(line)
    assert not room.chain.is_ibd()
    peer = room.join()
    room.give(peer, line.headers[1:101])
    assert not peer.closing


# -- step 6: acceptance ------------------------------------------------------------------------------------------------


def test_a_full_batch_is_followed_up_from_its_end(long_line: HeaderLine) -> None:
    room = SyncRoom()
    peer = room.join()
    room.answer(peer, long_line)
    [request] = room.asked(peer)
    assert request.locator[0] == long_line.hashes[2000]
    assert request.stop_hash == bytes(32)
    room.give(peer, long_line.after(request.locator))
    room.serve(peer, long_line)
    assert room.height == long_line.height
    assert room.sync.peer_info(peer.id).synced_headers == long_line.height


def test_the_follow_up_leaves_before_the_batch_is_accepted(long_line: HeaderLine) -> None:
    room = SyncRoom()
    peer = room.join()
    room.asked(peer)
    room.store.full = True
    with pytest.raises(StorageError):
        room.give(peer, long_line.headers[1:2001])
    assert len(room.asked(peer)) == 1
    assert room.height == 0


def test_what_another_peer_already_gave_costs_nothing(long_line: HeaderLine) -> None:
    room = SyncRoom()
    first, second = room.join(), room.join()
    room.answer(first, long_line)
    stored = len(room.store.headers)
    room.asked(second)
    room.give(second, long_line.headers[1:2001])
    assert len(room.store.headers) == stored
    assert room.asked(second) == [], "the leader is being asked already"
    assert room.sync.peer_info(second.id).synced_headers == 2000


def future(line: HeaderLine, room: SyncRoom) -> list[bytes]:
    return line.fork(50).grow(1, start=int(room.clock.now()) + 7201).headers[51:]


def too_early(line: HeaderLine, room: SyncRoom) -> list[bytes]:
    return line.fork(50).grow(1, start=line.time - 3000).headers[51:]


def on_invalid_parent(line: HeaderLine, room: SyncRoom) -> list[bytes]:
    mark = room.index.find(line.hashes[50])
    assert mark is not None
    room.chain.invalidate(mark)
    return line.fork(50).grow(1, salt=3).headers[51:]


def known_invalid(line: HeaderLine, room: SyncRoom) -> list[bytes]:
    on_invalid_parent(line, room)
    return line.headers[50:51]


@pytest.mark.parametrize(
    ("make", "kind", "punished"),
    [
        (future, ConnectionType.OUTBOUND_FULL_RELAY, False),
        (future, INBOUND, False),
        (too_early, ConnectionType.OUTBOUND_FULL_RELAY, True),
        (too_early, INBOUND, True),
        (on_invalid_parent, INBOUND, True),
        (known_invalid, INBOUND, False),
        (known_invalid, ConnectionType.OUTBOUND_FULL_RELAY, True),
    ],
)
def test_what_a_refused_header_costs(make, kind, punished: bool) -> None:
    line = HeaderLine().grow(50)
    room = SyncRoom()
    room.load(line)
    peer = room.join(kind)
    room.give(peer, make(line, room))
    assert peer.closing is punished
    assert (peer.address in room.discouragement) is punished


def test_a_leader_whose_header_is_refused_hands_on_the_lead() -> None:
    line = HeaderLine().grow(50)
    room = SyncRoom()
    peer, other = room.join(), room.join()
    assert room.leader() is peer
    room.give(peer, [*line.headers[1:], *future(line, room)])
    assert room.height == 50, "the good headers before it are kept"
    assert not peer.closing
    assert room.leader() is other


def test_the_last_announcement_counts_only_with_more_work() -> None:
    line = HeaderLine().grow(10)
    room = SyncRoom()
    peer = room.join(INBOUND)
    room.give(peer, line.headers[1:])
    first = room.state(peer).last_announcement
    assert first == room.clock.now()
    room.later(100)
    room.give(peer, line.headers[1:])
    room.give(peer, line.fork(8).grow(2, salt=1).headers[9:])
    assert room.state(peer).last_announcement == first


# -- inv ---------------------------------------------------------------------------------------------------------------


def recent_room(length: int = 30) -> tuple[SyncRoom, HeaderLine]:
    """A room whose tip is ten minutes old."""
    line = HeaderLine().grow(length)
    room = SyncRoom(now=line.time + 600)
    room.load(line)
    return room, line


def test_an_unknown_block_makes_us_ask_for_headers_and_a_known_one_does_not() -> None:
    room, line = recent_room()
    peer = room.join(INBOUND)
    room.serve(peer, line)
    room.announce(peer, line.hashes[20], line.tip)
    assert room.asked(peer) == []
    assert room.sync.peer_info(peer.id).synced_headers == 30
    line = line.fork(30).grow(1)
    room.announce(peer, line.hashes[20], line.tip)
    [request] = room.asked(peer)
    assert request.locator[0] == line.hashes[30]


@pytest.mark.parametrize("wtxid_relay", [False, True])
def test_a_transaction_ends_the_connection(wtxid_relay: bool) -> None:
    """But not one that is named in the way that was not agreed on."""
    closing = {InvType.TX: not wtxid_relay, InvType.WTX: wtxid_relay, InvType.WITNESS_TX: True}
    for kind, ends in closing.items():
        room, line = recent_room()
        peer = room.join(INBOUND)
        peer.wtxid_relay = wtxid_relay
        room.deliver(peer, Inv.build([InvItem(InvType.BLOCK, line.tip), InvItem(kind, b"\1" * 32)]))
        assert peer.closing is ends


def test_unknown_kinds_are_passed_over() -> None:
    room, _ = recent_room()
    peer = room.join(INBOUND)
    room.asked(peer)
    room.deliver(peer, Inv.build([InvItem(77, b"\1" * 32), InvItem(InvType.FILTERED_BLOCK, b"\2" * 32)]))
    assert not peer.closing
    assert room.asked(peer) == []


def test_before_synchronisation_an_inv_adds_one_peer_per_block_and_one_request_per_peer() -> None:
    room = SyncRoom()
    leader, second, third = room.join(), room.join(), room.join()
    assert [len(room.asked(peer)) for peer in (leader, second, third)] == [1, 0, 0]
    room.announce(second, b"\1" * 32)
    room.announce(third, b"\1" * 32)
    assert [len(room.asked(peer)) for peer in (second, third)] == [1, 0]
    room.give(second, [])
    room.announce(second, b"\2" * 32)
    assert room.asked(second) == []
    room.announce(third, b"\2" * 32)
    assert len(room.asked(third)) == 1


# -- the two-minute window ---------------------------------------------------------------------------------------------


def ask_by_inv(room: SyncRoom, peer: FakePeer, number: int) -> int:
    room.announce(peer, number.to_bytes(32, "little"))
    return len(room.asked(peer))


def test_a_peer_is_asked_once_in_two_minutes_until_it_answers() -> None:
    room, line = recent_room()
    peer = room.join(INBOUND)
    room.serve(peer, line)
    assert ask_by_inv(room, peer, 1) == 1
    assert ask_by_inv(room, peer, 2) == 0
    room.clock.advance(GETHEADERS_WINDOW)
    assert ask_by_inv(room, peer, 3) == 0
    room.clock.advance(0.001)
    assert ask_by_inv(room, peer, 4) == 1
    room.give(peer, [])
    assert ask_by_inv(room, peer, 5) == 1
    room.give(peer, line.headers[30:31])
    assert ask_by_inv(room, peer, 6) == 1
    room.clock.set_wall(room.clock.now() - DAY)
    assert ask_by_inv(room, peer, 7) == 1, "a clock that went back does not silence us for a day"


def test_a_peer_that_had_nothing_new_may_have_kept_silent() -> None:
    room = SyncRoom()
    peer = room.join()
    assert len(room.asked(peer)) == 1
    assert ask_by_inv(room, peer, 1) == 1, "no answer came, and none was to be expected"
    assert ask_by_inv(room, peer, 2) == 0, "now one is"


def test_a_peer_that_has_more_owes_an_answer() -> None:
    room = SyncRoom()
    peer = established_peer(0, ConnectionType.OUTBOUND_FULL_RELAY)
    peer.start_height = 1
    room.peers.append(peer)
    room.sync.joined(peer)
    room.run_passes()
    assert len(room.asked(peer)) == 1
    assert ask_by_inv(room, peer, 1) == 0


def test_headers_of_2000_are_the_limit_of_the_message(long_line: HeaderLine) -> None:
    assert len(Headers.decode(Headers.build(long_line.headers[1:2001]).encode())) == MAX_HEADERS

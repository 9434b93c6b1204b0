"""Peers that keep us waiting for blocks (Core: p2p_ibd_stalling.py)."""

import pytest

from ccnode.peers.permissions import Permission
from ccnode.sync.stalling import LATE_AFTER, MAX_STALLING_TIMEOUT, STALLING_TIMEOUT, StallingTimeout, download_timeout
from ccnode.wire.inventory import InvItem, NotFound
from ccnode.wire.protocol import InvType
from tests.support.blocks import BlockRoom, room_at
from tests.support.fakes import FakePeer, HeaderLine

WINDOW = 1024


def fetch_all(room: BlockRoom, peer: FakePeer, line: HeaderLine) -> None:
    """``peer`` gives all it is asked for."""
    while asked := room.requested(peer, line):
        room.send_blocks(peer, line, asked)


def stalled(long_line: HeaderLine) -> tuple[BlockRoom, FakePeer, FakePeer]:
    """The window is full but for what the first peer owes."""
    room = BlockRoom()
    slow, quick = room.join_with(long_line), room.join_with(long_line)
    fetch_all(room, quick, long_line)
    return room, slow, quick


def test_who_holds_up_the_window_for_two_seconds_goes_and_others_give_it(long_line: HeaderLine) -> None:
    room, slow, quick = stalled(long_line)
    room.later(STALLING_TIMEOUT)
    assert not slow.closing
    room.later(0.1)
    assert slow.disconnect_reason == "it stalls the block download"
    assert room.requested(quick, long_line) == list(range(1, 17))
    assert room.download.stalling.seconds == 2 * STALLING_TIMEOUT


def test_its_pass_is_due_when_the_time_is_over(long_line: HeaderLine) -> None:
    room, slow, _quick = stalled(long_line)
    wall, _steady = room.run_pass(slow)
    assert wall == room.clock.now() + STALLING_TIMEOUT


def test_a_block_in_time_starts_the_wait_anew(long_line: HeaderLine) -> None:
    room, slow, _quick = stalled(long_line)
    for height in range(1, 6):
        room.later(1.5)
        room.send_block(slow, long_line.headers[height])
    assert not slow.closing
    assert room.height == 5


def test_a_full_window_blames_nobody_while_there_is_something_to_ask(long_line: HeaderLine) -> None:
    room = BlockRoom()
    slow, quick = room.join_with(long_line), room.join_with(long_line)
    room.requested(quick, long_line)
    room.later(60)
    assert not slow.closing
    assert not quick.closing


def test_near_the_end_of_the_chain_nobody_stalls() -> None:
    line = HeaderLine().grow(30)
    room = BlockRoom()
    slow, quick = room.join_with(line), room.join_with(line)
    fetch_all(room, quick, line)
    room.later(60)
    assert not slow.closing


def test_while_we_look_at_a_peers_block_its_silence_is_ours(long_line: HeaderLine) -> None:
    room, slow, quick = stalled(long_line)

    def a_long_check() -> None:
        room.later(700)
        assert not slow.closing
        assert not quick.closing

    room.blocks.meanwhile = a_long_check
    room.send_block(slow, long_line.headers[1])
    fetch_all(room, quick, long_line)
    room.later(STALLING_TIMEOUT)
    assert not slow.closing, "its time began anew when it was read again"
    room.later(0.1)
    assert slow.closing


def test_while_its_next_message_waits_for_a_verdict_its_silence_is_ours_too(long_line: HeaderLine) -> None:
    room, slow, _quick = stalled(long_line)
    room.blocks.judging = slow.id
    room.blocks.meanwhile = lambda: room.later(700)
    assert room.sync.owes_verdict(slow)
    room.sync.wait_verdict(slow)
    room.run_all()
    assert not room.sync.owes_verdict(slow)
    assert not slow.closing


def test_no_noban_permission_helps_who_stalls(long_line: HeaderLine) -> None:
    room, slow, _quick = stalled(long_line)
    slow.permissions = Permission.NO_BAN
    room.later(STALLING_TIMEOUT + 0.1)
    assert slow.closing


def test_the_time_doubles_to_64_seconds_and_shrinks_with_each_block() -> None:
    timeout = StallingTimeout()
    seen = []
    for _ in range(6):
        timeout.dropped_one()
        seen.append(timeout.seconds)
    assert seen == [4, 8, 16, 32, 64, MAX_STALLING_TIMEOUT]
    seen = []
    while timeout.seconds > STALLING_TIMEOUT:
        timeout.block_connected()
        seen.append(timeout.seconds)
    assert seen == [54, 45, 38, 32, 27, 22, 18, 15, 12, 10, 8, 6, 5, 4, 3, 2]


def test_connected_blocks_bring_the_time_down(long_line: HeaderLine) -> None:
    room, _slow, quick = stalled(long_line)
    room.later(STALLING_TIMEOUT + 0.1)
    assert room.download.stalling.seconds == 4
    room.send_blocks(quick, long_line, room.requested(quick, long_line))
    assert room.height >= WINDOW
    assert room.download.stalling.seconds == STALLING_TIMEOUT


@pytest.mark.parametrize("others", [0, 1, 3])
def test_a_block_may_take_an_interval_and_half_of_one_per_other_source(others: int, long_line: HeaderLine) -> None:
    room = BlockRoom()
    peer = room.join_with(long_line)
    companions = [room.join_with(long_line) for _ in range(others)]
    limit = 600 * (1 + 0.5 * others)
    assert download_timeout(600, others) == limit
    room.clock.advance(limit)
    room.run_pass(peer)
    assert not peer.closing
    room.clock.advance(0.1)
    room.run_pass(peer)
    assert peer.disconnect_reason == f"timeout downloading block {long_line.hashes[1][::-1].hex()}"
    assert not any(companion.closing for companion in companions)


def test_the_time_counts_from_the_last_block_it_gave() -> None:
    line = HeaderLine().grow(10)
    room = room_at(line)
    longer = line.fork(10).grow(2)
    peer = room.join_with(longer)
    room.requested(peer, longer)
    room.clock.advance(599)
    room.send_block(peer, longer.headers[11])
    room.clock.advance(600)
    room.run_pass(peer)
    assert not peer.closing
    room.clock.advance(1)
    room.run_pass(peer)
    assert peer.closing
    other = room.join_with(longer)
    assert room.requested(other, longer) == [12]


# -- late ------------------------------------------------------------------------------------------------------------


def late_at_the_tip() -> tuple[BlockRoom, HeaderLine, FakePeer, FakePeer]:
    """Two peers announced a new block, and the first was asked for it."""
    line = HeaderLine().grow(10)
    room = room_at(line)
    longer = line.fork(10).grow(1)
    slow, quick = room.join_with(longer), room.join_with(longer)
    assert room.requested(slow, longer) == [11]
    return room, longer, slow, quick


def test_what_a_late_peer_owes_is_asked_of_one_that_has_nothing_to_do() -> None:
    room, longer, slow, quick = late_at_the_tip()
    wall, _steady = room.run_pass(quick)
    assert wall == room.clock.now() + LATE_AFTER
    room.later(LATE_AFTER)
    assert not room.requested(quick, longer)
    room.later(0.1)
    assert room.requested(quick, longer) == [11]
    assert (room.owed(slow), room.owed(quick)) == ([], [11])
    assert not slow.closing
    room.send_block(slow, longer.headers[11])
    assert room.tip == longer.tip
    assert not room.owed(quick)


def test_who_has_not_got_the_block_takes_nothing_over() -> None:
    room, longer, poor, slow = late_at_the_tip()
    room.deliver(poor, NotFound.build([InvItem(InvType.WITNESS_BLOCK, longer.tip)]))
    assert room.owed(slow) == [11]
    room.later(2 * LATE_AFTER)
    assert room.owed(slow) == [11]
    assert not room.owed(poor)


def test_a_late_peer_keeps_its_deadline() -> None:
    room, longer, slow, quick = late_at_the_tip()
    room.later(LATE_AFTER + 0.1)
    room.send_block(quick, longer.headers[11])
    room.send_block(slow, longer.headers[5])  # an old block does not count
    room.clock.advance(600 - LATE_AFTER - 0.1)
    room.run_pass(slow)
    assert not slow.closing
    room.clock.advance(0.1)
    room.run_pass(slow)
    assert slow.disconnect_reason == "it owes us blocks for too long"


def test_a_block_makes_up_for_it() -> None:
    room, longer, slow, quick = late_at_the_tip()
    room.later(LATE_AFTER + 0.1)
    room.send_block(quick, longer.headers[11])
    room.send_block(slow, longer.headers[11])
    room.clock.advance(700)
    room.run_pass(slow)
    assert not slow.closing


def test_while_others_give_a_late_peer_is_not_asked(long_line: HeaderLine) -> None:
    line = long_line.fork(60)
    room = BlockRoom()
    slow, quick = room.join_with(line), room.join_with(line)
    assert room.requested(slow, line) == list(range(1, 17))
    fetch_all(room, quick, line)
    room.later(LATE_AFTER + 0.1)
    assert room.requested(quick, line) == list(range(1, 17))
    room.give(slow, long_line.headers[61:101])
    assert not room.requested(slow, long_line)
    room.leave(quick)
    room.run_all()
    assert room.requested(slow, long_line) == list(range(1, 17))

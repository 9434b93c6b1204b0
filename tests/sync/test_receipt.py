"""What becomes of a block message, and what it costs (Core: p2p_unrequested_blocks.py, p2p_mutated_blocks.py)."""

import logging

import pytest

from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.peers.misbehaviour import Violation
from ccnode.peers.peer import ConnectionType
from ccnode.peers.permissions import Permission
from tests.support.blocks import GOOD, INVALID, MALFORMED, MUTATED, BlockRoom, Outcome, room_at
from tests.support.fakes import FakePeer, HeaderLine, mined
from tests.support.sync import params_with

INBOUND = ConnectionType.INBOUND
FULL = ConnectionType.OUTBOUND_FULL_RELAY


def ten() -> tuple[BlockRoom, HeaderLine]:
    """A node with ten blocks, and their line."""
    line = HeaderLine().grow(10)
    return room_at(line), line


def is_discouraged(room: BlockRoom, peer: FakePeer) -> bool:
    return peer.closing and peer.address in room.discouragement


# -- what is taken ---------------------------------------------------------------------------------------------------


def test_a_requested_block_is_taken_and_noted() -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    peer = room.join_with(longer)
    room.clock.advance(5)
    room.send_block(peer, longer.headers[11])
    assert room.tip == longer.tip
    assert peer.last_block == room.clock.now()
    assert not room.owed(peer)


def test_a_block_whose_header_is_unknown_brings_its_header() -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    stranger = room.join(INBOUND)
    room.send_block(stranger, longer.headers[11])
    assert room.tip == longer.tip
    assert not stranger.closing


def test_a_block_that_we_have_is_not_looked_at_again() -> None:
    room, line = ten()
    room.blocks.submitted.clear()
    peer = room.join_with(line)
    room.send_block(peer, line.headers[7])
    room.send_block(peer, line.headers[0])
    assert not room.blocks.submitted
    assert not peer.closing
    assert peer.last_block == 0


def test_a_block_without_a_known_parent_is_misbehaviour() -> None:
    room, line = ten()
    peer = room.join(INBOUND)
    room.send_block(peer, line.fork(10).grow(2).headers[12])
    assert is_discouraged(room, peer)
    assert peer.violations == {Violation.MISSING_PARENT.label: 1}
    assert not room.blocks.submitted[10:]


def test_an_unrequested_block_of_little_work_is_ignored() -> None:
    line = HeaderLine().grow(200)
    room = room_at(line)
    peer = room.join(INBOUND)
    before = len(room.index)
    room.send_block(peer, line.fork(10).grow(1, salt=1).headers[11])
    assert len(room.index) == before
    assert not peer.closing
    low = line.fork(198).grow(1, salt=1)
    room.send_block(peer, low.headers[199])
    assert len(room.index) == before + 1, "its header is kept,"
    assert not room.blocks.have_data(before), "the block, of less work than our tip, is not"
    assert not peer.closing


def test_before_the_minimum_work_is_reached_a_pushed_block_is_ignored() -> None:
    room = BlockRoom(params_with(50))
    peer = room.join(INBOUND)
    room.send_block(peer, HeaderLine().grow(1).headers[1])
    assert not room.blocks.submitted
    assert not peer.closing


def test_a_block_may_come_from_another_than_was_asked() -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    asked, pusher = room.join_with(longer), room.join(INBOUND)
    assert room.owed(asked) == [11]
    room.send_block(pusher, longer.headers[11])
    assert room.tip == longer.tip
    assert not room.owed(asked)
    room.send_block(asked, longer.headers[11])
    assert not asked.closing


def test_blocks_may_come_before_their_parents() -> None:
    room, line = ten()
    longer = line.fork(10).grow(4)
    peer = room.join_with(longer)
    room.send_blocks(peer, longer, [13, 12, 14])
    assert room.height == 10
    room.send_blocks(peer, longer, [11])
    assert room.height == 14


# -- while it is looked at -------------------------------------------------------------------------------------------


def test_the_sender_is_asked_for_more_before_we_wait(long_line: HeaderLine) -> None:
    room = BlockRoom()
    peer = room.join_with(long_line)
    room.send_blocks(peer, long_line, [1, 2, 3])
    room.requested(peer, long_line)
    asked: list[int] = []
    room.blocks.meanwhile = lambda: asked.extend(room.requested(peer, long_line))
    room.send_block(peer, long_line.headers[4])
    assert asked == [17, 18, 19, 20]


def test_nobody_is_asked_for_a_block_that_is_being_looked_at() -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    peer = room.join_with(longer)
    seen: list[list[int]] = []

    def another_comes() -> None:
        other = room.join_with(longer)
        room.give(other, longer.headers[-1:])
        seen.append(room.requested(other, longer))

    room.blocks.meanwhile = another_comes
    room.send_block(peer, longer.headers[11])
    assert seen == [[]]
    assert room.tip == longer.tip


def test_a_block_that_turns_out_bad_is_asked_of_the_next(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    for body in (MUTATED, MALFORMED):
        room, line = ten()
        longer = line.fork(10).grow(1)
        liar, honest = room.join_with(longer), room.join_with(longer)
        assert room.owed(liar) == [11]
        room.send_block(liar, longer.headers[11], body)
        assert room.owed(honest) == [11]
        room.send_block(honest, longer.headers[11])
        assert room.tip == longer.tip


def test_if_the_handler_is_killed_the_block_is_not_lost() -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    dying, other = room.join_with(longer), room.join_with(longer)

    def die() -> None:
        raise KeyboardInterrupt

    room.blocks.meanwhile = die
    with pytest.raises(KeyboardInterrupt):
        room.send_block(dying, longer.headers[11])
    room.leave(dying)
    room.run_all()
    assert room.owed(other) == [11]


# -- what it costs ---------------------------------------------------------------------------------------------------


def test_a_mutated_block_costs_its_sender_and_keeps_the_real_one_from_nobody() -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    asked, forger = room.join_with(longer), room.join(INBOUND)
    room.send_block(forger, longer.headers[11], MUTATED)
    assert is_discouraged(room, forger)
    assert forger.violations == {Violation.MUTATED_BLOCK.label: 1}
    assert room.owed(asked) == [11], "its request stands"
    room.send_block(asked, longer.headers[11], GOOD)
    assert room.tip == longer.tip


@pytest.mark.parametrize("kind", [FULL, INBOUND])
def test_an_invalid_block_costs_its_sender_once(kind: ConnectionType) -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    peer = room.join(kind)
    room.send_block(peer, longer.headers[11], INVALID)
    assert is_discouraged(room, peer)
    assert peer.violations == {Violation.INVALID_BLOCK.label: 1}
    assert room.height == 10


def test_the_sender_answers_even_if_its_block_is_connected_much_later() -> None:
    room, line = ten()
    longer = line.fork(10).grow(2)
    liar, honest = room.join_with(longer), room.join(INBOUND)
    room.send_block(liar, longer.headers[12], INVALID)
    assert not liar.closing
    room.send_block(honest, longer.headers[11])
    assert is_discouraged(room, liar)
    assert not honest.closing


def test_a_sender_that_left_is_not_looked_for() -> None:
    room, line = ten()
    longer = line.fork(10).grow(2)
    liar, honest = room.join_with(longer), room.join(INBOUND)
    room.send_block(liar, longer.headers[12], INVALID)
    room.leave(liar)
    room.send_block(honest, longer.headers[11])
    assert room.height == 11
    assert not honest.closing


@pytest.mark.parametrize(("kind", "punished"), [(FULL, True), (INBOUND, False)])
def test_a_block_known_to_be_invalid_costs_only_peers_that_we_chose(kind: ConnectionType, punished: bool) -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    room.send_block(room.join(INBOUND), longer.headers[11], INVALID)
    peer = room.join(kind)
    room.send_block(peer, longer.headers[11])
    assert is_discouraged(room, peer) is punished


def test_a_block_on_an_invalid_one_costs_anybody() -> None:
    room, line = ten()
    longer = line.fork(10).grow(2)
    room.send_block(room.join(INBOUND), longer.headers[11], INVALID)
    peer = room.join(INBOUND)
    room.send_block(peer, longer.headers[12])
    assert is_discouraged(room, peer)
    assert peer.violations == {Violation.INVALID_PARENT.label: 1}


def test_a_block_from_the_future_costs_nothing() -> None:
    room, line = ten()
    peer = room.join(INBOUND)
    (early,) = mined(line.tip, int(room.clock.now()) + 7201, 1)
    room.send_block(peer, early)
    assert not peer.closing
    assert not peer.violations
    room.clock.advance(2)
    room.send_block(peer, early)
    assert room.height == 11


@pytest.mark.parametrize("result", ValidationResult)
def test_what_each_refusal_costs(result: ValidationResult, monkeypatch: pytest.MonkeyPatch) -> None:
    room, line = ten()
    refusal = Outcome(None, verdict=BlockVerdict(result, "some-reason"))
    monkeypatch.setattr(room.blocks, "wait_submit", lambda _raw, **_more: refusal)
    free = {ValidationResult.TIME_FUTURE, ValidationResult.HEADER_LOW_WORK}
    for kind in (FULL, INBOUND):
        peer = room.join(kind)
        room.send_block(peer, line.fork(10).grow(1).headers[11])
        spared = result in free or (result is ValidationResult.CACHED_INVALID and kind is INBOUND)
        assert is_discouraged(room, peer) is not spared


def test_what_is_no_block_is_dropped_and_its_sender_not_asked_again() -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    peer = room.join_with(longer)
    room.send_block(peer, longer.headers[11], MALFORMED)
    room.run_all()
    assert not peer.closing
    assert not room.owed(peer)


def test_a_friend_that_sends_forgeries_stays_and_is_not_asked_again() -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    peer = room.join_with(longer)
    peer.permissions = Permission.NO_BAN
    room.send_block(peer, longer.headers[11], MUTATED)
    room.run_all()
    assert not peer.closing
    assert not room.owed(peer)


def test_many_forgeries_that_nobody_asked_for_move_nothing() -> None:
    room, line = ten()
    longer = line.fork(10).grow(3)
    room.join_with(longer)
    forger = room.join(INBOUND)
    forger.permissions = Permission.NO_BAN
    before = room.download.in_flight.given_up
    for _ in range(100):
        room.send_block(forger, longer.headers[12], MALFORMED)
    assert room.download.in_flight.given_up == before
    assert not room.download.peers[forger.id].withheld


def test_bytes_that_are_no_block_cost_whoever_was_not_asked() -> None:
    room, line = ten()
    longer = line.fork(10).grow(1)
    asked, pusher = room.join_with(longer), room.join(INBOUND)
    room.send_block(pusher, longer.headers[11], MALFORMED)
    assert pusher.closing
    assert pusher.address not in room.discouragement
    room.send_block(asked, longer.headers[11], MALFORMED)
    assert not asked.closing, "Core drops it, and so do we; others are asked"

"""The daily upload target: cycles, what counts as reached, and the room kept for new blocks."""

import pytest

from ccnode.peers.upload_target import BLOCK_SECONDS, MAX_BLOCK_SIZE, TIMEFRAME, UploadTarget
from tests.support.clock import ManualClock

A_DAY_OF_BLOCKS = TIMEFRAME // BLOCK_SECONDS * MAX_BLOCK_SIZE  # 576,000,000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(1_700_000_000)


def test_without_a_target_nothing_is_reached(clock: ManualClock) -> None:
    upload = UploadTarget(0, clock)
    upload.sent(10**15)
    assert not upload.reached(historical=False)
    assert not upload.reached(historical=True)
    assert (upload.bytes_left(), upload.time_left()) == (0, 0)


def test_the_target_is_reached_with_its_last_byte(clock: ManualClock) -> None:
    upload = UploadTarget(1000, clock)
    upload.sent(999)
    assert not upload.reached(historical=False)
    upload.sent(1)
    assert upload.reached(historical=False)
    assert upload.bytes_left() == 0
    upload.sent(500)
    assert upload.bytes_left() == 0


def test_a_cycle_begins_with_its_first_byte_and_lasts_a_day(clock: ManualClock) -> None:
    upload = UploadTarget(1000, clock)
    assert upload.time_left() == TIMEFRAME
    clock.advance(5000)
    assert upload.time_left() == TIMEFRAME
    upload.sent(1000)
    clock.advance(TIMEFRAME - 1)
    assert (upload.time_left(), upload.reached(historical=False)) == (1, True)
    clock.advance(2)
    assert (upload.time_left(), upload.reached(historical=False)) == (0, True), "until something is sent"
    upload.sent(7)
    assert (upload.time_left(), upload.bytes_left()) == (TIMEFRAME, 993)
    assert not upload.reached(historical=False)


def test_the_second_at_the_end_of_a_cycle_belongs_to_it(clock: ManualClock) -> None:
    upload = UploadTarget(1000, clock)
    upload.sent(600)
    clock.advance(TIMEFRAME)
    upload.sent(600)
    assert upload.reached(historical=False)


def test_old_blocks_stop_while_there_is_room_for_new_ones(clock: ManualClock) -> None:
    upload = UploadTarget(A_DAY_OF_BLOCKS + 10 * MAX_BLOCK_SIZE, clock)
    upload.sent(10 * MAX_BLOCK_SIZE - 1)
    assert not upload.reached(historical=True)
    upload.sent(1)
    assert upload.reached(historical=True)
    assert not upload.reached(historical=False)


def test_the_room_shrinks_by_a_block_every_ten_minutes(clock: ManualClock) -> None:
    upload = UploadTarget(A_DAY_OF_BLOCKS, clock)
    upload.sent(MAX_BLOCK_SIZE)
    assert upload.reached(historical=True)
    clock.advance(BLOCK_SECONDS)
    assert upload.reached(historical=True), "143 whole slots are left, and just as many blocks"
    clock.advance(1)
    assert not upload.reached(historical=True), "142 whole slots are left"
    upload.sent(MAX_BLOCK_SIZE)
    assert upload.reached(historical=True)


def test_a_small_target_leaves_no_old_blocks_from_the_start(clock: ManualClock) -> None:
    upload = UploadTarget(A_DAY_OF_BLOCKS, clock)
    assert upload.reached(historical=True)
    assert not upload.reached(historical=False)

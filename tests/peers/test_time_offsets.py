"""Whether our clock agrees with the network (Core: its test timeoffsets_tests.cpp)."""

import logging

import pytest

from ccnode.peers.time_offsets import MAX_OFFSETS, WARN_SECONDS, TimeOffsets


def offsets(*seconds: int) -> TimeOffsets:
    collected = TimeOffsets()
    for offset in seconds:
        collected.add(offset)
    return collected


@pytest.mark.parametrize(
    ("seconds", "median"),
    [
        ((), 0),
        ((4000, 4000, 4000, 4000), 0),
        ((1, 2, 3, 4, 5), 3),
        ((9, -7, 3, 5, -1), 3),
        ((1, 2, 3, 4, 5, 6), 4),
        ((-(2**63), 2**62, 2**62, 0, 0), 0),
    ],
)
def test_the_median_needs_five_outbound_peers(seconds: tuple[int, ...], median: int) -> None:
    assert offsets(*seconds).median() == median


def test_the_last_fifty_count() -> None:
    collected = offsets(*[1] * MAX_OFFSETS)
    for _ in range(MAX_OFFSETS // 2):
        collected.add(2)
    assert collected.median() == 2
    for _ in range(MAX_OFFSETS // 2):
        collected.add(3)
    assert collected.median() == 3, "nothing is left of the first"


@pytest.mark.parametrize(("offset", "warned"), [(WARN_SECONDS, False), (WARN_SECONDS + 1, True)])
def test_more_than_ten_minutes_are_warned_about(offset: int, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    for sign in (1, -1):
        caplog.clear()
        assert offsets(*[sign * offset] * 5).out_of_sync is warned
        assert [record.levelno for record in caplog.records] == [logging.WARNING] * warned


def test_the_warning_is_logged_once_and_ends_with_its_cause(caplog: pytest.LogCaptureFixture) -> None:
    collected = offsets(*[5000] * 10)
    assert len(caplog.records) == 1
    for _ in range(11):
        collected.add(0)
    assert not collected.out_of_sync
    for _ in range(20):
        collected.add(5000)
    assert len(caplog.records) == 2

"""Counting what goes over the wire: tallies by message type, totals, and rates over windows of time."""

import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccnode.peers.traffic import LONGEST_WINDOW, ONE_MESSAGE, Flow, Traffic, tally_bytes, tally_messages
from tests.support.clock import ManualClock


def test_a_tally_is_bytes_and_messages_in_one_number() -> None:
    tallies = {"ping": 0, "inv": 0}
    for _ in range(3):
        tallies["ping"] += ONE_MESSAGE + 32
    tallies["inv"] += ONE_MESSAGE + 1_800_027
    assert tally_bytes(tallies) == {"inv": 1_800_027, "ping": 96}
    assert tally_messages(tallies) == {"inv": 1, "ping": 3}


def test_the_second_figure_of_a_tally_costs_no_memory() -> None:
    """An allocation of CPython is a multiple of 16 bytes."""
    packed, plain = 100 * (ONE_MESSAGE + 32), 100 * 32
    assert -(-sys.getsizeof(packed) // 16) == -(-sys.getsizeof(plain) // 16)


def test_rates_are_over_whole_seconds_that_are_past() -> None:
    clock = ManualClock()
    flow = Flow(clock)
    clock.advance(3600)
    flow.add(600)
    assert flow.rate(1) == 0.0, "the running second is not over"
    clock.advance(1)
    assert (flow.rate(1), flow.rate(60), flow.rate(3600)) == (600.0, 10.0, pytest.approx(1 / 6))
    clock.advance(1)
    assert (flow.rate(1), flow.rate(60)) == (0.0, 10.0)
    clock.advance(59)
    assert flow.rate(60) == 0.0
    assert flow.rate(3600) == pytest.approx(1 / 6)
    clock.advance(3540)
    assert flow.rate(3600) == 0.0
    assert flow.total == 600


def test_a_young_node_has_the_rate_of_its_life() -> None:
    clock = ManualClock()
    flow = Flow(clock)
    assert flow.rate(60) == 0.0
    flow.add(300)
    clock.advance(3)
    assert (flow.rate(60), flow.rate(3600)) == (100.0, 100.0)


def test_the_wall_clock_does_not_bend_rates() -> None:
    clock = ManualClock()
    flow = Flow(clock)
    flow.add(100)
    clock.set_wall(clock.now() + 10**6)
    flow.add(100)
    clock.advance(1)
    assert flow.rate(1) == 200.0


def test_the_upload_target_sees_what_is_sent_and_not_what_comes() -> None:
    traffic = Traffic(ManualClock(), upload_target=1000)
    traffic.received.add(5000)
    traffic.note_sent(300)
    assert traffic.upload_target.bytes_left() == 700
    assert (traffic.received.total, traffic.sent.total) == (5000, 300)


@settings(max_examples=60)
@given(
    events=st.lists(st.tuples(st.integers(0, 2 * LONGEST_WINDOW), st.integers(0, 10**9)), max_size=30),
    window=st.sampled_from([1, 60, 3600]),
)
def test_rates_agree_with_a_list_of_all_events(events: list[tuple[int, int]], window: int) -> None:
    clock = ManualClock()
    flow = Flow(clock)
    start = int(clock.steady())
    noted = []
    for pause, count in events:
        clock.advance(pause)
        flow.add(count)
        noted.append((int(clock.steady()), count))
        now = int(clock.steady())
        seconds = min(window, now - start)
        expected = sum(count for at, count in noted if now - seconds <= at < now)
        assert flow.rate(window) == (pytest.approx(expected / seconds) if seconds else 0.0)

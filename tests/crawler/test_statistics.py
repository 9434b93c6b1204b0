"""Statistics against what counting by hand, or drawing at random, says."""

import math
from itertools import pairwise, product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.crawler.history import Session
from ccnode.crawler.statistics import (
    Share,
    breakdown,
    chapman,
    client_of,
    growth,
    herfindahl,
    histogram,
    holding_half,
    nodes_estimate,
    percentile,
    percentiles,
    software_of,
    survival,
)

counts = st.lists(st.integers(1, 20), max_size=8)


@given(counts)
def test_herfindahl_is_the_chance_of_drawing_the_same_group_twice(sizes: list[int]) -> None:
    members = [group for group, size in enumerate(sizes) for _ in range(size)]
    pairs = list(product(members, members))
    expected = sum(a == b for a, b in pairs) / len(pairs) if pairs else 0.0
    assert herfindahl(sizes) == pytest.approx(expected)


@given(counts)
def test_no_fewer_groups_hold_half(sizes: list[int]) -> None:
    number = holding_half(sizes)
    largest = sorted(sizes, reverse=True)
    assert sum(largest[:number]) * 2 >= sum(sizes)
    assert number == 0 or sum(largest[: number - 1]) * 2 < sum(sizes)


def test_breakdown() -> None:
    found = breakdown(["b", "a", "c", "a", "b", "a"], top=2)
    assert found.top == (Share("a", 3, 0.5), Share("b", 2, 2 / 6))
    assert (found.total, found.groups, found.holding_half) == (6, 3, 1)
    empty = breakdown([])
    assert (empty.total, empty.groups, empty.herfindahl, empty.holding_half, empty.top) == (0, 0, 0.0, 0, ())


@given(st.lists(st.floats(-1e6, 1e6), min_size=1), st.floats(0, 100))
def test_percentile_has_that_share_on_either_side(values: list[float], percent: float) -> None:
    found = percentile(sorted(values), percent)
    below, above = sum(v < found for v in values), sum(v > found for v in values)
    assert below <= math.ceil((len(values) - 1) * percent / 100)
    assert above <= len(values) - 1 - math.floor((len(values) - 1) * percent / 100)


def test_percentiles() -> None:
    assert percentiles([4, 1, 3, 2], (0, 50, 100)) == (1, 2.5, 4)
    assert percentiles([], (50,)) == ()


@given(st.lists(st.integers(0, 30)), st.sets(st.integers(0, 30), min_size=1))
def test_histogram_counts_everything_once(values: list[int], edges: set[int]) -> None:
    bounds = [-1, *sorted(edges), 31]
    found = histogram(values, sorted(edges))
    assert found == [sum(low <= v < high for v in values) for low, high in pairwise(bounds)]


def test_chapman_by_hand() -> None:
    estimate = chapman(200, 150, 100)
    assert estimate.value == pytest.approx(201 * 151 / 101 - 1)
    assert 250 < estimate.low < estimate.value < estimate.high


@given(st.integers(0, 500), st.integers(0, 500), st.data())
def test_an_estimate_is_never_below_what_was_seen(first: int, second: int, data: st.DataObject) -> None:
    both = data.draw(st.integers(0, min(first, second)))
    estimate = chapman(first, second, both)
    assert first + second - both <= estimate.low <= estimate.value <= estimate.high


def test_sets_that_cannot_share_so_many() -> None:
    with pytest.raises(ValueError, match="cannot share 11"):
        chapman(10, 20, 11)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng, truth, held = Random(7), 400, 0
    for _ in range(400):
        first, second = ({n for n in range(truth) if rng.random() < share} for share in (0.5, 0.4))
        estimate = chapman(len(first), len(second), len(first & second))
        held += estimate.low <= truth <= estimate.high
    assert 0.92 <= held / 400 <= 0.98


def test_addresses_are_weighed_by_the_networks_of_their_node() -> None:
    assert nodes_estimate([]) == 0
    assert nodes_estimate([1, 2, 2, 3, 3, 3, 0]) == pytest.approx(4)


@given(st.lists(st.sets(st.integers(0, 9)), max_size=6), st.integers(1, 4))
def test_growth_against_its_definition(rounds: list[set[int]], window: int) -> None:
    steps = growth(rounds, window)
    for i, step in enumerate(steps):
        before = rounds[i - 1] if i else set()
        assert step.reached - step.joined == len(rounds[i] & before) == len(before) - step.left
        assert step.union == len({n for nodes in rounds[max(0, i - window + 1) : i + 1] for n in nodes})
        assert 0 <= step.churn <= 1
    assert len(steps) == len(rounds)


def test_churn() -> None:
    same, other = growth([{1, 2}, {1, 2}, {3}], 2)[1:]
    assert (same.churn, other.churn) == (0.0, 1.0)
    assert growth([set()], 1)[0].churn == 0.0


def test_survival_without_open_sessions_is_the_share_that_lasted() -> None:
    sessions = [Session(0, length, length + 1) for length in (1, 2, 2, 5, 9)]
    assert survival(sessions, (0, 1, 1.5, 2.5, 9, 10)) == pytest.approx([1, 1, 0.8, 0.4, 0.2, 0])


def test_survival_counts_open_sessions_as_long_as_they_were_watched() -> None:
    sessions = [Session(0, 1, 2), Session(0, 2), Session(0, 3, 4), Session(0, 9)]
    assert survival(sessions, (2, 4, 100)) == pytest.approx([3 / 4, 3 / 8, 3 / 8])
    assert survival([], (1,)) == [1.0]


@pytest.mark.parametrize(
    ("user_agent", "client", "software"),
    [
        ("/Satoshi:27.0.0/", "Satoshi:27.0.0", "Satoshi"),
        ("/Satoshi:27.0.0(a/b; c)/", "Satoshi:27.0.0", "Satoshi"),
        ("/btcwire:0.5.0/btcd:0.24.2/", "btcd:0.24.2", "btcd"),
        ("plain", "plain", "plain"),
        ("//", "(none)", "(none)"),
        ("", "(none)", "(none)"),
    ],
)
def test_what_a_user_agent_names(user_agent: str, client: str, software: str) -> None:
    assert client_of(user_agent) == client
    assert software_of(user_agent) == software

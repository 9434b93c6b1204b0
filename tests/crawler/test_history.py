"""The history of a node against a naive model that looks at all its visits at once."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from ccnode.crawler.history import (
    DAY,
    HOUR,
    LATEST_DOWN,
    LATEST_UP,
    MAX_GAP,
    SOONEST,
    WINDOWS,
    Change,
    Presence,
    Session,
    Standing,
    advance,
    presence,
)
from ccnode.crawler.outcome import Outcome, Visit
from ccnode.wire.address import NetworkAddress

HOST = NetworkAddress.parse("9.0.0.1:8333")
UP, BUSY, DOWN, SILENT, OURS = (
    Outcome.REACHABLE,
    Outcome.SLOTS_FULL,
    Outcome.TIMEOUT,
    Outcome.CAPPED,
    Outcome.LOCAL_ERROR,
)

Story = list[tuple[float, Outcome]]

stories = st.lists(
    st.tuples(
        st.sampled_from((1.0, 60.0, HOUR, 7.5 * HOUR, DAY, MAX_GAP, MAX_GAP + 1)),
        st.sampled_from((UP, UP, UP, BUSY, DOWN, SILENT, OURS)),
    ),
    max_size=25,
)


def told(steps: Story) -> Story:
    """Visits at absolute times, of steps from one to the next."""
    now, story = 1e9, []
    for step, outcome in steps:
        now += step
        story.append((now, outcome))
    return story


def live(story: Story) -> tuple[Standing, list[Session]]:
    standing, sessions = Standing(), []
    for started, outcome in story:
        news = advance(standing, Visit(address=HOST, outcome=outcome, started=started))
        if news.closed is not None:
            sessions.append(news.closed)
    return standing, sessions


def naive_sessions(story: Story) -> list[tuple[float, float, float | None]]:
    """Cut the visits that tell something where the node was down or unwatched; a piece begins with a success."""
    seen = [(when, presence(outcome)) for when, outcome in story if presence(outcome) is not None]
    sessions: list[tuple[float, float, float | None]] = []
    piece: list[float] = []
    for when, found in seen:
        if piece and when - piece[-1] > MAX_GAP:
            sessions.append((piece[0], piece[-1], piece[-1]))
            piece = []
        if found is Presence.UP or (piece and found is Presence.BUSY):
            piece.append(when)
        elif found is Presence.DOWN and piece:
            sessions.append((piece[0], piece[-1], when))
            piece = []
    return [*sessions, (piece[0], piece[-1], None)] if piece else sessions


@given(stories)
def test_sessions(steps: Story) -> None:
    story = told(steps)
    standing, closed = live(story)
    found = closed if standing.session is None else [*closed, standing.session]
    assert [(one.began, one.last, one.ended) for one in found] == naive_sessions(story)


@given(stories)
def test_reliability_is_a_mean_in_which_older_visits_count_less(steps: Story) -> None:
    story = told(steps)
    standing, _ = live(story)
    telling = [(when, outcome) for when, outcome in story if presence(outcome) is not None]
    first = next((i for i, (_, outcome) in enumerate(telling) if outcome is UP), None)
    if first is None:
        assert standing.windows == []
        return
    telling = telling[first:]
    last = telling[-1][0]
    assert [window.seconds for window in standing.windows] == list(WINDOWS)
    for window in standing.windows:
        ages = [math.exp((when - last) / window.seconds) for when, _ in telling]
        first_share = ages[0] * (1 - math.exp(-SOONEST / window.seconds))
        shares = [first_share, *(newer - older for older, newer in pairwise(ages))]
        mean = sum(share for share, (_, outcome) in zip(shares, telling, strict=True) if outcome is UP)
        count = sum(math.exp((when - last) / window.seconds) for when, _ in telling)
        assert math.isclose(window.reliability, mean, abs_tol=1e-9)
        assert math.isclose(window.count, count, abs_tol=1e-9)
        assert math.isclose(window.weight, sum(shares), abs_tol=1e-9)


@given(stories)
def test_failures_and_the_next_visit(steps: Story) -> None:
    story = told(steps)
    standing, _ = live(story)
    telling = [(when, outcome) for when, outcome in story if presence(outcome) is not None]
    if not telling:
        assert standing == Standing()
        return
    failures = 0
    for _, outcome in telling:
        failures = failures + 1 if outcome is DOWN else 0
    last, outcome = telling[-1]
    assert (standing.last_visited, standing.outcome, standing.failures) == (last, outcome, failures)
    assert standing.next_visit is not None
    pause = standing.next_visit - last
    assert SOONEST <= pause <= (LATEST_DOWN if outcome is DOWN else LATEST_UP)
    reached = [when for when, outcome in telling if outcome is UP]
    assert standing.first_reached == (reached[0] if reached else None)
    assert standing.last_reached == (reached[-1] if reached else None)


def test_what_has_been_up_for_long_is_left_alone_for_longer() -> None:
    pauses = []
    for hours in (0, 2, 8, 24, 240):
        standing, _ = live([(1e9 + hour * HOUR, UP) for hour in range(hours + 1)])
        assert standing.next_visit is not None
        assert standing.last_visited is not None
        pauses.append((standing.next_visit - standing.last_visited) / HOUR)
    assert pauses == [0.25, 0.5, 2, 6, 12]


def test_what_stays_down_is_looked_at_ever_less() -> None:
    standing, pauses = Standing(), []
    for number in range(12):
        advance(standing, Visit(address=HOST, outcome=DOWN, started=1e9 + number))
        assert standing.next_visit is not None
        pauses.append((standing.next_visit - 1e9 - number) / HOUR)
    assert pauses == [0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 168, 168]


def claims(started: float, **fields: object) -> Visit:
    return Visit(address=HOST, outcome=UP, started=started, **fields)  # type: ignore[arg-type]


def test_changes() -> None:
    standing = Standing()
    visits = [
        claims(1, version=70015, services=9, user_agent="/a:1/", start_height=100),
        claims(2, version=70015, services=9, user_agent="/a:1/", start_height=105),
        claims(3, version=70016, services=2**63, user_agent="/a:2/", start_height=90),
        claims(4),
        claims(5, start_height=90, tip_height=80),
    ]
    changes = [change for visit in visits for change in advance(standing, visit).changes]
    assert changes == [
        Change(3, "version", "70015", "70016"),
        Change(3, "services", "9", str(2**63)),
        Change(3, "user_agent", "/a:1/", "/a:2/"),
        Change(3, "height", "105", "90"),
        Change(5, "height", "90", "80"),
    ]
    assert (standing.version, standing.user_agent, standing.height) == (70016, "/a:2/", 80)


def test_every_outcome_means_something_or_nothing() -> None:
    nothing = {outcome for outcome in Outcome if presence(outcome) is None}
    assert nothing == {outcome for outcome in Outcome if not outcome.dialed} | {Outcome.LOCAL_ERROR}
    assert [outcome for outcome in Outcome if presence(outcome) is Presence.UP] == [Outcome.REACHABLE]

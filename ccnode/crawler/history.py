"""What a row of visits says about one node: sessions, reliability, changes, and when to look again.

Each visit finds the node up, busy (no slot was free for us) or down, or says nothing about it, because it was not
dialed or the fault was ours. From the first success on a node has a `Standing`, and `advance` carries it over a
visit. It is a function of the visits in order of time and of nothing else, so files of several vantage points are
merged by playing all visits again.

- **Sessions.** A session lasts from the first visit that found the node up to the last one before it was found down,
  or not looked at for `MAX_GAP`. The true one is longer at both ends, by up to one interval between visits each, and
  what came and went between two visits was never seen. A busy node is up; it only has no room.
- **Reliability** over the `WINDOWS` of the DNS seeders: the share of the time, a day ago counting less than now, for
  which visits got a handshake; each speaks for the time since the one before, the first for `SOONEST`. Time without
  visits counts as down, so that a node met once is not as good as one met for a month; ``weight`` is the share of the
  time that was observed. Busy is a failure here, for that is what a newcomer meets.
- **The next visit** is due after a quarter of the session so far, and after ever more of a failure: what has been up
  for long will likely be up for as long again.
"""

from dataclasses import dataclass, field
from enum import Enum
from math import exp
from typing import Final

from ccnode.crawler.outcome import Outcome, Visit

HOUR: Final = 3600
DAY: Final = 24 * HOUR
WINDOWS: Final = (2 * HOUR, 8 * HOUR, DAY, 7 * DAY, 30 * DAY)
"""Seconds."""

MAX_GAP: Final = 2 * DAY
"""Seconds without a visit that end a session: nobody knows what happened."""

SOONEST: Final = HOUR / 4
LATEST_UP: Final = DAY / 2
LATEST_DOWN: Final = 7 * DAY
UPTIME_SHARE: Final = 0.25
_MOST_DOUBLINGS: Final = 10


class Presence(Enum):
    """What a visit says about a node."""

    UP = "up"
    BUSY = "busy"
    DOWN = "down"


_SPECIAL: Final = {
    Outcome.REACHABLE: Presence.UP,
    Outcome.SLOTS_FULL: Presence.BUSY,
    Outcome.LOCAL_ERROR: None,
}


def presence(outcome: Outcome) -> Presence | None:
    """What an outcome says about the node; None: nothing."""
    return _SPECIAL.get(outcome, Presence.DOWN if outcome.dialed else None)


@dataclass(slots=True)
class Session:
    """A time during which a node was up. Unix seconds."""

    began: float
    last: float
    ended: float | None = None


@dataclass(slots=True)
class Window:
    """Reliability over one of the `WINDOWS`."""

    seconds: int
    reliability: float = 0.0
    """0 .. `weight`."""
    weight: float = 0.0
    """0 .. 1."""
    count: float = 0.0
    """Visits, older ones counting less."""

    def note(self, up: bool, elapsed: float) -> None:
        """One more visit, which speaks for the last ``elapsed`` seconds."""
        kept = exp(-elapsed / self.seconds)
        self.reliability = self.reliability * kept + (1 - kept) * up
        self.weight = self.weight * kept + 1 - kept
        self.count = self.count * kept + 1


@dataclass(frozen=True, slots=True)
class Change:
    """A node said something else than last time."""

    time: float
    field: str
    old: str
    new: str


@dataclass(slots=True)
class Standing:
    """A node as its visits so far show it."""

    last_visited: float | None = None
    outcome: Outcome | None = None
    failures: int = 0
    """Visits in a row that found it down."""
    next_visit: float | None = None
    first_reached: float | None = None
    last_reached: float | None = None
    version: int | None = None
    services: int | None = None
    user_agent: str | None = None
    height: int | None = None
    session: Session | None = None
    """The one under way."""
    windows: list[Window] = field(default_factory=list)
    """Empty before the node was reached."""

    def share(self, seconds: int) -> float:
        """The reliability over one of the `WINDOWS`, 0 .. 1."""
        return next((window.reliability for window in self.windows if window.seconds == seconds), 0.0)


@dataclass(slots=True)
class Advance:
    """What a visit added to the history."""

    closed: Session | None = None
    changes: list[Change] = field(default_factory=list)


def advance(standing: Standing, visit: Visit) -> Advance:
    """Carry a standing over a visit, in place. A visit that says nothing about the node changes nothing."""
    news = Advance()
    found = presence(visit.outcome)
    if found is None:
        return news
    now = visit.started
    before, standing.last_visited = standing.last_visited, now
    standing.outcome = visit.outcome
    if found is Presence.UP:
        news.changes = _claims(standing, visit)
        _reached(standing, now)
    for window in standing.windows:
        elapsed = max(0.0, now - before) if window.count and before is not None else SOONEST
        window.note(found is Presence.UP, elapsed)
    news.closed = _session(standing, found, now)
    standing.failures = standing.failures + 1 if found is Presence.DOWN else 0
    standing.next_visit = now + _pause(standing, found, now)
    return news


def _reached(standing: Standing, now: float) -> None:
    if standing.first_reached is None:
        standing.first_reached = now
        standing.windows = [Window(seconds) for seconds in WINDOWS]
    standing.last_reached = now


def _claims(standing: Standing, visit: Visit) -> list[Change]:
    """Take over what the peer says of itself; what of it is new. A height is news only where it falls."""
    changes = []
    for name in ("version", "services", "user_agent"):
        old, new = getattr(standing, name), getattr(visit, name)
        if new is not None and new != old:
            if old is not None:
                changes.append(Change(visit.started, name, str(old), str(new)))
            setattr(standing, name, new)
    height = visit.start_height if visit.tip_height is None else visit.tip_height
    if height is not None:
        if standing.height is not None and height < standing.height:
            changes.append(Change(visit.started, "height", str(standing.height), str(height)))
        standing.height = height
    return changes


def _session(standing: Standing, found: Presence, now: float) -> Session | None:
    """Bring the session up to date; the one that is over, if one is."""
    closed = None
    session = standing.session
    if session is not None and now - session.last > MAX_GAP:
        session.ended, closed, session = session.last, session, None
    if session is None:
        session = Session(now, now) if found is Presence.UP else None
    elif found is Presence.DOWN:
        session.ended, closed, session = now, session, None
    else:
        session.last = max(session.last, now)
    standing.session = session
    return closed


def _pause(standing: Standing, found: Presence, now: float) -> float:
    """Seconds until the next visit is worth while."""
    if found is Presence.DOWN:
        return min(SOONEST * 2.0 ** min(standing.failures - 1, _MOST_DOUBLINGS), LATEST_DOWN)
    up = 0.0 if standing.session is None else now - standing.session.began
    return min(max(UPTIME_SHARE * up, SOONEST), LATEST_UP)

"""How news spreads: who announced what how long after the first.

All times are relative to the first announcement that *reached us*: somebody knew before. What a peer announces has
travelled to us, so half of its round-trip time is in each figure, and so is the peer's own habit of waiting: Core
holds transactions back for seconds, at random, to hide where they come from, but blocks not at all.

**Who counts.** Only peers that were attached when the news came first: others may have had it before. Those that
never announced it count as not having it, so a percentile may have no value. News that less than `MIN_SHARE` of them
announced is left out of summaries: a stale block, one that somebody who catches up still announces, or an invention.

**Bounds.** Each piece of news is kept for `Propagation.settle` seconds, then handed out and remembered by its hash.
Beyond ``capacity`` pieces the oldest is handed out early, and no peer may be the first with more than `SHARE_OF_ONE` of
them: an inventor does not push out what is real.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Final

MIN_SHARE: Final = 0.5
SHARE_OF_ONE: Final = 0.25
PERCENTS: Final = (50, 90, 99)
REMEMBERED: Final = 100_000
"""Hashes of news that is over."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """A peer's first announcement of something."""

    peer: int
    delay: float
    """Seconds after the first of all."""
    how: str
    """The message's command."""


@dataclass(slots=True)
class News:
    """A block or a transaction, and who announced it."""

    hash: bytes
    first: float
    """Steady seconds."""
    listening: frozenset[int]
    """The peers that were attached then."""
    sightings: dict[int, Sighting] = field(default_factory=dict)

    @property
    def share(self) -> float:
        """Of the peers that were attached, those that announced it, 0 .. 1."""
        return len(self.sightings) / max(len(self.listening), 1)

    def delays(self) -> list[float]:
        """In ascending order."""
        return sorted(sighting.delay for sighting in self.sightings.values())

    def percentiles(self) -> tuple[float | None, ...]:
        """After how many seconds so many of a hundred attached peers had announced it, for each of `PERCENTS`."""
        return percentiles(self.delays(), len(self.listening))


def percentiles(ordered: Sequence[float], whole: int, percents: Iterable[float] = PERCENTS) -> tuple[float | None, ...]:
    """Of ``whole`` values, of which those that ``ordered`` lacks are beyond all; None where one of them is meant."""
    at = [max(ceil(whole * percent / 100), 1) - 1 for percent in percents]
    return tuple(ordered[i] if i < len(ordered) else None for i in at)


class Propagation:
    """Follows one kind of news."""

    def __init__(self, settle: float, capacity: int) -> None:
        """:param settle: seconds after its first announcement during which news is followed."""
        self.settle = settle
        self._capacity = capacity
        self._peers: frozenset[int] = frozenset()
        self._open: OrderedDict[bytes, News] = OrderedDict()
        self._over: OrderedDict[bytes, None] = OrderedDict()
        self._early: list[News] = []
        self._firsts: Counter[int] = Counter()

    def attached(self, peer: int) -> None:
        """From now on its announcements count."""
        self._peers |= {peer}

    def detached(self, peer: int) -> None:
        """It will announce nothing more."""
        self._peers -= {peer}

    def peers(self) -> set[int]:
        """Those that are attached, and those that open news may still name."""
        return set(self._peers).union(*(news.listening for news in self._open.values()))

    def seen(self, peer: int, item: bytes, now: float, how: str) -> bool:
        """``peer`` announces ``item`` at ``now`` (steady seconds); whether it is the first."""
        news = self._open.get(item)
        if news is not None:
            if peer in news.listening and peer not in news.sightings:
                news.sightings[peer] = Sighting(peer, now - news.first, how)
            return False
        if item in self._over or peer not in self._peers or self._firsts[peer] >= self._capacity * SHARE_OF_ONE:
            return False
        if len(self._open) >= self._capacity:
            self._close(next(iter(self._open)))
        self._firsts[peer] += 1
        self._open[item] = News(item, now, self._peers, {peer: Sighting(peer, 0.0, how)})
        return True

    def settled(self, now: float) -> list[News]:
        """The news that is over by ``now``, each once, in the order in which it came."""
        while self._open:
            item, news = next(iter(self._open.items()))
            if now - news.first < self.settle:
                break
            self._close(item)
        over, self._early = self._early, []
        return over

    def _close(self, item: bytes) -> None:
        news = self._open.pop(item)
        self._early.append(news)
        first = next(iter(news.sightings))
        self._firsts[first] -= 1
        if not self._firsts[first]:
            del self._firsts[first]
        self._over[item] = None
        if len(self._over) > REMEMBERED:
            self._over.popitem(last=False)

"""What the figures of a census mean: concentration, spread, estimates of what was not seen.

All functions are pure and take plain numbers; where they come from is up to `ccnode.crawler.archive`.

**Estimates.** A round never finds everybody. Two rounds that find nodes independently of each other tell how many
there are: if the second meets again half of what the first had met, the first had met half of all (capture and
recapture). The assumptions fail in known directions. Nodes that are easy to find are found by both, which makes the
estimate too low; nodes that came or went between the rounds are met by one alone, which makes it too high. So take
rounds close to each other, made from different places if possible, and read the interval as the error of chance
alone.

**Nodes, not addresses.** A node on IPv4 and on Tor is two addresses. `nodes_estimate` counts each address as 1/N if its
node advertises N networks, which is right on average if all N of it were reached.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, exp, floor, log, sqrt
from typing import Final, TypeVar

from ccnode.crawler.history import Session

T = TypeVar("T")

CONFIDENCE_95: Final = 1.959964
"""Standard deviations within which 95 % of a normal distribution lie."""


# -- spread ----------------------------------------------------------------------------------------------------------


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value below which ``percent`` (0 .. 100) of ``ordered`` lie, between neighbours in proportion.

    ``ordered`` is sorted and not empty.
    """
    at = (len(ordered) - 1) * percent / 100
    low, high = ordered[floor(at)], ordered[ceil(at)]
    return low + (high - low) * (at - floor(at))


def percentiles(values: Iterable[float], percents: Sequence[float]) -> tuple[float, ...]:
    """Several at once, of values in any order; nothing of no values."""
    ordered = sorted(values)
    return tuple(percentile(ordered, percent) for percent in percents) if ordered else ()


def histogram(values: Iterable[float], edges: Sequence[float]) -> list[int]:
    """How many values lie below the first of the ascending ``edges``, from each to the next, and above the last."""
    counts = [0] * (len(edges) + 1)
    for value in values:
        counts[sum(value >= edge for edge in edges)] += 1
    return counts


# -- concentration ---------------------------------------------------------------------------------------------------


def herfindahl(counts: Iterable[int]) -> float:
    """The Herfindahl-Hirschman index: the chance that two drawn at random, with replacement, are of one group.

    1 divided by it is how many groups of equal size would be as concentrated. 0 for nothing.
    """
    sizes = list(counts)
    total = sum(sizes)
    return sum(size * size for size in sizes) / (total * total) if total else 0.0


def holding_half(counts: Iterable[int]) -> int:
    """How few groups hold at least half of all."""
    sizes = sorted(counts, reverse=True)
    held, half = 0, sum(sizes) / 2
    for number, size in enumerate(sizes, 1):
        held += size
        if held >= half:
            return number
    return 0


@dataclass(frozen=True, slots=True)
class Share:
    """One group of a `Breakdown`."""

    name: str
    count: int
    share: float
    """Of all, 0 .. 1."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """A population by some property."""

    total: int
    groups: int
    herfindahl: float
    holding_half: int
    top: tuple[Share, ...]


def breakdown(names: Iterable[str], top: int = 10) -> Breakdown:
    """Count names; equal counts are ordered by name."""
    counts = Counter(names)
    total = sum(counts.values())
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    shares = tuple(Share(name, count, count / total) for name, count in ranked[:top])
    return Breakdown(total, len(counts), herfindahl(counts.values()), holding_half(counts.values()), shares)


# -- estimates -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number that was not counted."""

    value: float
    low: float
    high: float
    """Between these two it lies in 95 of 100 cases, as far as chance alone goes."""


def chapman(first: int, second: int, both: int) -> Estimate:
    """How many there are, of which one round found ``first``, another ``second``, and ``both`` were found by both.

    Chapman's estimator. The interval is log-normal in what neither found (Chao 1987), so it never falls below what was
    seen. Where the rounds have nothing in common, its upper end says nothing.
    """
    if not 0 <= both <= min(first, second):
        raise ValueError(f"two sets of {first} and {second} cannot share {both}")
    seen = first + second - both
    value = (first + 1) * (second + 1) / (both + 1) - 1
    unseen = value - seen
    if unseen <= 0:  # one contains the other
        return Estimate(float(seen), float(seen), float(seen))
    variance = (first + 1) * (second + 1) * (first - both) * (second - both) / ((both + 1) ** 2 * (both + 2))
    spread = exp(CONFIDENCE_95 * sqrt(log(1 + variance / (unseen * unseen))))
    return Estimate(value, seen + unseen / spread, seen + unseen * spread)


def nodes_estimate(networks: Iterable[int]) -> float:
    """How many nodes a number of addresses is, given on how many networks the node of each advertises itself."""
    return sum(1 / max(number, 1) for number in networks)


# -- over rounds -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Step:
    """What changed between a round and the one before."""

    reached: int
    joined: int
    left: int
    union: int
    """Reached in any round of the window that ends here."""

    @property
    def churn(self) -> float:
        """Those that came or went, of those seen in either round, 0 .. 1."""
        seen = self.reached + self.left
        return (self.joined + self.left) / seen if seen else 0.0


def growth(rounds: Sequence[Collection[T]], window: int) -> list[Step]:
    """Round after round, of the nodes each reached. The instant count misses who is down for a moment; the union over
    the last ``window`` rounds, this one included, counts who has left as well."""
    sets = [set(nodes) for nodes in rounds]
    steps = []
    for i, nodes in enumerate(sets):
        before: set[T] = sets[i - 1] if i else set()
        union = set[T]().union(*sets[max(0, i + 1 - window) : i + 1])
        steps.append(Step(len(nodes), len(nodes - before), len(before - nodes), len(union)))
    return steps


def survival(sessions: Iterable[Session], ages: Sequence[float]) -> list[float]:
    """The share of sessions that last at least so long, for each of the ascending ``ages`` in seconds.

    Kaplan and Meier's estimator: a session still under way counts as long as it was watched, and neither as ended nor
    as endless.
    """
    lengths = [(session.last - session.began, session.ended is not None) for session in sessions]
    deaths = Counter(length for length, over in lengths if over)
    leavers = Counter(length for length, _ in lengths)
    at_risk, share, curve = len(lengths), 1.0, []
    times = sorted(leavers)
    position = 0
    for age in ages:
        while position < len(times) and times[position] < age:
            time = times[position]
            share *= 1 - deaths[time] / at_risk
            at_risk -= leavers[time]
            position += 1
        curve.append(share)
    return curve


# -- names -----------------------------------------------------------------------------------------------------------

_UNKNOWN: Final = "(none)"
_COMMENT: Final = re.compile(r"\([^()]*\)")


def client_of(user_agent: str) -> str:
    """Software and version in a user agent (BIP14), without comments: ``Satoshi:27.0.0`` of ``/Satoshi:27.0.0(x)/``.

    What is built on something else stands behind it, so the last name counts.
    """
    parts = _COMMENT.sub("", user_agent).split("/")
    return next((part.strip() for part in reversed(parts) if part.strip()), _UNKNOWN)


def software_of(user_agent: str) -> str:
    """The same without the version."""
    return client_of(user_agent).partition(":")[0]

"""What the report says, read from a census file.

Everything is about one round, and about the complete one before it from the same vantage point. Of the reachable nodes
of these two there is one object each in memory, of all other addresses only counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ccnode.crawler.archive import Archive, NodeVisit, Round
from ccnode.crawler.outcome import Outcome
from ccnode.crawler.rows import COMPLETE
from ccnode.crawler.statistics import Step, growth, nodes_estimate
from ccnode.wire.address import Network, NetworkAddress

MAX_ROUNDS: Final = 60
"""Rounds in the charts over time: the latest ones."""
MAX_LOST: Final = 100
WINDOW: Final = 7
"""Rounds that are put together to count nodes that are down for a moment."""
HIDDEN_SECONDS: Final = 2 * 86_400
"""After a round, what is heard of nodes that nobody can reach belongs to it."""


@dataclass(frozen=True, slots=True)
class Tally:
    """A round in the charts over time."""

    round: Round
    networks: dict[Network, int]
    """Reachable nodes."""
    step: Step


@dataclass(frozen=True, slots=True)
class Lost:
    """A node of the round before that was not reached in this one."""

    address: NetworkAddress
    user_agent: str
    outcome: Outcome | None
    """None: nobody named it any more."""


@dataclass(slots=True, kw_only=True)
class Findings:
    """Everything the page says of one round."""

    chain: str
    round: Round
    previous: Round | None = None
    networks: dict[Network, dict[Outcome, int]]
    """How the addresses of each network ended."""
    reached: list[NodeVisit]
    before: list[NodeVisit] = field(default_factory=list)
    """The reachable nodes of the previous round."""
    lost: list[Lost] = field(default_factory=list)
    ages: Sequence[float]
    """Seconds since addresses were seen, by the word of who named them."""
    tallies: list[Tally]
    nodes: float | None
    """An estimate of how many nodes the reachable addresses are; None if it was not kept who named whom."""
    hidden: int | None
    """Addresses announced within a day and not reached; None if nobody listened."""

    @property
    def known(self) -> int:
        """All addresses of the round."""
        return sum(sum(counts.values()) for counts in self.networks.values())

    def count(self, *outcomes: Outcome) -> int:
        """Addresses that ended so."""
        return sum(counts.get(outcome, 0) for counts in self.networks.values() for outcome in outcomes)


def read_findings(archive: Archive, number: int | None = None) -> Findings:
    """Of the round with that number, or else of the latest finished one. StartupError if there is none."""
    this = archive.round(number)
    earlier = [one for one in archive.rounds() if one.status == COMPLETE and one.started < this.started]
    past = [one for one in earlier if one.vantage == this.vantage]
    reached = _reached(archive, this)
    findings = Findings(
        chain=archive.chain,
        round=this,
        networks=archive.outcomes(this.number),
        reached=reached,
        ages=archive.advert_ages(this.number),
        tallies=_tallies(archive, [*past, this][-MAX_ROUNDS:]),
        nodes=_nodes(archive, this, reached),
        hidden=_hidden(archive, this),
    )
    if past:
        findings.previous = past[-1]
        findings.before = _reached(archive, past[-1])
        findings.lost = _lost(archive, findings)
    return findings


def _reached(archive: Archive, one: Round) -> list[NodeVisit]:
    """Once each: of a node that was visited several times in a round the last visit counts."""
    return list({found.node: found for found in archive.visits(one.number)}.values())


def _tallies(archive: Archive, rounds: Sequence[Round]) -> list[Tally]:
    steps = growth([archive.reached(one.number) for one in rounds], WINDOW)
    return [Tally(one, _reachable_by_network(archive, one), step) for one, step in zip(rounds, steps, strict=True)]


def _reachable_by_network(archive: Archive, one: Round) -> dict[Network, int]:
    outcomes = archive.outcomes(one.number)
    return {network: counts.get(Outcome.REACHABLE, 0) for network, counts in outcomes.items()}


def _lost(archive: Archive, findings: Findings) -> list[Lost]:
    now = {found.node for found in findings.reached}
    missing = [found for found in findings.before if found.node not in now]
    missing.sort(key=lambda found: found.first_reached or 0.0)
    return [
        Lost(found.visit.address, found.visit.user_agent or "", _fate(archive, found.node, findings.round.number))
        for found in missing[:MAX_LOST]
    ]


def _fate(archive: Archive, node: int, number: int) -> Outcome | None:
    return next((outcome for one, outcome, _, _ in archive.fates(node) if one.number == number), None)


def _nodes(archive: Archive, this: Round, reached: Sequence[NodeVisit]) -> float | None:
    networks = archive.networks_advertised(this.number)
    return nodes_estimate(networks.get(found.node, 1) for found in reached) if networks else None


def _hidden(archive: Archive, this: Round) -> int | None:
    """What watching knew at the latest of its rounds that followed soon."""
    known = None
    for one in archive.rounds():
        if one.config.get("listened_at") and 0 <= one.started - this.started < HIDDEN_SECONDS:
            known = int(one.config["announced_unreachable"])
    return known

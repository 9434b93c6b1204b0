"""The ten questions, each a function from what was found to one labelled element.

An answer is one sentence with the figure in it, then the chart that it was read off. Where a census cannot answer,
the sentence says why: a figure that stands for nothing is worse than none.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from statistics import median
from time import gmtime, strftime
from typing import Final

from ccnode.crawler.archive import NodeVisit
from ccnode.crawler.outcome import Outcome
from ccnode.crawler.page import charts
from ccnode.crawler.page.charts import Figure, counted, number, share
from ccnode.crawler.page.findings import WINDOW, Findings, Tally
from ccnode.crawler.page.programs import program
from ccnode.crawler.statistics import chapman, herfindahl, histogram, holding_half, percentiles
from ccnode.wire.address import Network
from ccnode.wire.protocol import ServiceFlags

TOP: Final = 12
"""Bars in a chart."""
LATENCY_LIMITS: Final = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
LATENCY_LABELS: Final = ("10 ms", "20", "50", "100", "200", "500", "1 s", "2", "5", "more")
AGE_LIMITS: Final = (3600, 3 * 3600, 12 * 3600, 86_400, 3 * 86_400, 7 * 86_400, 30 * 86_400)
AGE_LABELS: Final = ("1 h", "3 h", "12 h", "1 d", "3 d", "7 d", "30 d", "older")
HEIGHT_LIMITS: Final = (0, 1, 2, 7, 145)
HEIGHT_LABELS: Final = ("ahead of us", "at our tip", "1 behind", "2–6 behind", "7–144 behind", "further behind")
"""Where each bin of a chart ends, and how it is called."""

NAMES: Final = {
    Network.IPV4: "IPv4",
    Network.IPV6: "IPv6",
    Network.ONION: "Tor",
    Network.I2P: "I2P",
    Network.CJDNS: "CJDNS",
}
"""In the order of the charts."""

SERVICES: Final = {
    ServiceFlags.NETWORK: "all blocks (NETWORK)",
    ServiceFlags.NETWORK_LIMITED: "recent blocks (LIMITED)",
    ServiceFlags.WITNESS: "witnesses (WITNESS)",
    ServiceFlags.P2P_V2: "encryption (P2P_V2)",
    ServiceFlags.COMPACT_FILTERS: "block filters (BIP157)",
}
FEATURES: Final = {
    "sendaddrv2": "Tor v3 gossip (BIP155)",
    "wtxidrelay": "wtxid relay (BIP339)",
    "sendcmpct": "compact blocks (BIP152)",
    "sendheaders": "header announcements",
    "feefilter": "fee filter (BIP133)",
    "sendtxrcncl": "reconciliation (BIP330)",
}

SYNCED_BEHIND: Final = 1
"""Blocks behind that say nothing: one may have been found during the visit."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One labelled element of the page."""

    question: str
    """Its ``data-question``."""
    heading: str
    sentence: str
    """HTML."""
    body: str = ""
    """HTML: charts and tables."""
    tile: tuple[str, str] | None = None
    """The figure in short, and what it is of, for the top of the page."""


def answers(findings: Findings) -> list[Answer]:
    """All ten, in the order of the page."""
    questions: tuple[Callable[[Findings], Answer], ...] = (
        *(_reachable, _versions, _changes, _lacking, _systems),
        *(_tor, _latency, _ages, _synced, _not_counted),
    )
    return [question(findings) for question in questions]


# -- who is there ----------------------------------------------------------------------------------------------------


def _reachable(findings: Findings) -> Answer:
    count, full = len(findings.reached), findings.count(Outcome.SLOTS_FULL)
    unknown = findings.count(Outcome.UNVISITED, Outcome.CAPPED, Outcome.NO_LANE, Outcome.LOCAL_ERROR)
    sentence = (
        f"<strong>{number(count)}</strong> of {number(findings.known)} known addresses completed a handshake. "
        f"{number(full)} more are nodes without a free slot, and of {number(unknown)} nothing is known, for reasons of "
        f"ours."
    )
    if findings.nodes is not None:
        sentence += f" Counting a node with several addresses once, they are about {number(findings.nodes)} nodes."
    sentence += f" {_estimate(findings)}"
    if findings.hidden is not None:
        sentence += f" {number(findings.hidden)} addresses more were announced within a day and could not be reached."
    tallies = findings.tallies
    series = {_name(network): [tally.networks.get(network, 0) for tally in tallies] for network in _drawn(findings)}
    figure = Figure("growth", "Reachable nodes by network, round by round", f"The latest round has {number(count)}.")
    body = charts.columns(figure, _when(tallies), series) if series else ""
    return Answer(
        "reachable",
        "How many nodes can be reached, and how sure is that?",
        sentence,
        body,
        (number(count), "reachable"),
    )


def _estimate(findings: Findings) -> str:
    """What two rounds together say of nodes that neither need have met."""
    now, before = {found.node for found in findings.reached}, {found.node for found in findings.before}
    if not now & before:
        return "A second round will say how many more there may be."
    estimate = chapman(len(before), len(now), len(now & before))
    if estimate.high - len(now | before) < 1:
        return "This round and the one before it found the same nodes, so nothing speaks for more."
    sentence = (
        f"This round and the one before it have {number(len(now & before))} in common: if both missed nodes by chance "
        f"alone, there are <strong>{number(estimate.low)} to {number(estimate.high)}</strong> (95 %); nodes that came "
        f"or went in between make that too high."
    )
    rounds = min(len(findings.tallies), WINDOW)
    if rounds > 2:
        sentence += f" The last {rounds} rounds together reached {number(findings.tallies[-1].step.union)}."
    return sentence


def _changes(findings: Findings) -> Answer:
    heading = "What has changed since the round before?"
    if findings.previous is None:
        return Answer("changes", heading, "This is the first round from here: nothing to compare it with.")
    now, before = ({found.node: found.visit for found in nodes} for nodes in (findings.reached, findings.before))
    both = [(before[node], now[node]) for node in now.keys() & before.keys()]
    agents = [(old.user_agent or "", new.user_agent or "") for old, new in both]
    moves = Counter((program(old), program(new)) for old, new in agents if old != new)
    services = sum(old.services != new.services for old, new in both)
    joined, left = len(now.keys() - before.keys()), len(before.keys() - now.keys())
    sentence = (
        f"Since {_minute(findings.previous.started)}: <strong>{counted(joined, 'node')}</strong> appeared, "
        f"<strong>{counted(left, 'node')}</strong> not reached any more, {number(moves.total())} with another user "
        f"agent, {number(services)} with other services."
    )
    tallies = findings.tallies[1:]
    figure = Figure("churn", "Nodes that appeared and left, round by round", "Against the round before.")
    series = {"appeared": [t.step.joined for t in tallies], "left": [t.step.left for t in tallies]}
    body = charts.lines(figure, _when(tallies), series) if len(tallies) > 1 else ""
    if moves:
        rows = [(f"{old} → {new}", number(count)) for (old, new), count in moves.most_common(6)]
        body += charts.table(("new version", "nodes"), rows)
    return Answer("changes", heading, sentence, body, (f"+{number(joined)} −{number(left)}", "since the round before"))


def _versions(findings: Findings) -> Answer:
    programs = Counter(program(found.visit.user_agent or "") for found in findings.reached)
    heading = "Which versions run?"
    if not programs:
        return _none("versions", heading)
    (first, most), *_ = programs.most_common(1)
    sentence = (
        f"The most frequent is <strong>{escape(first)}</strong> with {share(most, programs.total())}, of "
        f"{number(len(programs))} programs and main versions. A user agent is a claim."
    )
    figure = Figure("programs", "Reachable nodes by program and main version", f"{first} leads with {number(most)}.")
    return Answer("versions", heading, sentence, _ranking(figure, programs))


def _lacking(findings: Findings) -> Answer:
    heading = "How many still lack a feature?"
    nodes = [found.visit for found in findings.reached]
    if not nodes:
        return _none("lacking", heading)
    lacking = {name: sum(not (node.services or 0) & flag for node in nodes) for flag, name in SERVICES.items()}
    for command, name in FEATURES.items():
        lacking[name] = sum(not any(word.startswith(command) for word in node.features) for node in nodes)
    encryption = lacking[SERVICES[ServiceFlags.P2P_V2]]
    sentence = (
        f"<strong>{counted(encryption, 'node')}</strong> ({share(encryption, len(nodes))}) without the encrypted "
        f"transport. Services are what nodes claim; the others are messages that they sent during the visit."
    )
    rows = sorted(lacking.items(), key=lambda row: -row[1])
    figure = Figure("features", "Nodes that lack each feature", f"Of {number(len(nodes))} reachable nodes.")
    return Answer("lacking", heading, sentence, charts.bars(figure, rows, len(nodes)))


def _systems(findings: Findings) -> Answer:
    heading = "Which autonomous system holds most?"
    systems = Counter(f"AS{node.asn}" for node in findings.reached if node.asn)
    what, unit = "autonomous system", "systems"
    intro = ""
    if not systems:
        systems = Counter(filter(None, map(_range, findings.reached)))
        what, unit = "range", "ranges"
        intro = "The round had no asmap, so these are ranges of addresses (/16 of IPv4, /32 of IPv6). "
    if not systems:
        return Answer("systems", heading, "No node of the IP networks was reached.")
    (first, most), *_ = systems.most_common(1)
    total = systems.total()
    sentence = (
        f"{intro}<strong>{escape(first)}</strong> holds {number(most)} of {number(total)} nodes whose {what} is known "
        f"({share(most, total)}). {number(holding_half(systems.values()))} of {number(len(systems))} {unit} hold half "
        f"of them; the concentration (HHI, 1 if one held all) is {herfindahl(systems.values()):.3f}."
    )
    figure = Figure("systems-chart", f"Reachable nodes by {what}", f"{first} leads with {number(most)}.")
    body = _ranking(figure, systems)
    return Answer("systems", heading, sentence, body, (first, f"holds most: {share(most, total)}"))


def _range(found: NodeVisit) -> str | None:
    address = found.visit.address
    if address.network is Network.IPV4:
        return ".".join(address.host.split(".")[:2]) + ".0.0/16"
    return ":".join(address.host.split(":")[:2]) + "::/32" if address.network is Network.IPV6 else None


def _tor(findings: Findings) -> Answer:
    known = {network: sum(findings.networks[network].values()) for network in NAMES if network in findings.networks}
    reached = {network: findings.networks[network].get(Outcome.REACHABLE, 0) for network in known}
    on_tor, total = reached.get(Network.ONION, 0), len(findings.reached)
    sentence = (
        f"<strong>{number(on_tor)}</strong> reachable nodes have an onion address, {share(on_tor, total)} of all; "
        f"{number(known.get(Network.ONION, 0))} such addresses are known. A node in several networks counts in each."
    )
    if known.get(Network.ONION) and not on_tor:
        sentence += " None was reached: was the crawler given a proxy?"
    figure = Figure("networks", "Reachable nodes by network", f"{number(on_tor)} are on Tor.")
    body = charts.bars(figure, [(_name(network), reached[network]) for network in known], total)
    rows = [(_name(n), number(known[n]), number(reached[n]), share(reached[n], known[n])) for n in known]
    body += charts.table(("network", "known", "reachable", "of the known"), rows)
    return Answer("tor", "How many are on Tor?", sentence, body, (number(on_tor), "on Tor"))


# -- how well it works -----------------------------------------------------------------------------------------------


def _latency(findings: Findings) -> Answer:
    heading = "How far away are they?"
    times: dict[Network, list[float]] = {network: [] for network in NAMES}
    for visit in (found.visit for found in findings.reached):
        quickest = min(visit.ping_times, default=visit.tcp_rtt)
        if quickest is not None:
            times[visit.address.network].append(quickest)
    times = {network: values for network, values in times.items() if values}
    if not times:
        return _none("latency", heading)
    middle = median(time for values in times.values() for time in values)
    sentence = (
        f"The median node answers a ping after <strong>{_duration(middle)}</strong>, seen from this crawler; the "
        f"quickest of a node's answers counts."
    )
    series = {_name(network): histogram(times.get(network, ()), LATENCY_LIMITS) for network in _drawn(findings)}
    figure = Figure("latency-chart", "Reachable nodes by time to answer", f"The median is {_duration(middle)}.")
    rows = [
        (_name(network), number(len(values)), *map(_duration, percentiles(values, (10, 50, 90, 99))))
        for network, values in times.items()
    ]
    body = charts.columns(figure, LATENCY_LABELS, series)
    body += charts.table(("network", "nodes", "10 %", "median", "90 %", "99 %"), rows)
    return Answer("latency", heading, sentence, body, (_duration(middle), "median latency"))


def _synced(findings: Findings) -> Answer:
    heading = "Is the network in sync?"
    nodes = [found.visit for found in findings.reached]
    verified = [node for node in nodes if node.chain_ok is not None]
    if verified:
        strays = sum(not node.chain_ok for node in verified)
        behind = [node.headers_behind for node in verified if node.chain_ok and node.headers_behind is not None]
        how = "by the headers they served, checked against our own chain"
    else:
        heights = [node.start_height for node in nodes if node.start_height is not None]
        if not heights:
            return _none("synced", heading)
        tip, strays = median(heights), 0
        behind = [round(tip - height) for height in heights]
        how = "by what they claim, against the median claim; with a --datadir that has headers it would be verified"
    total = len(behind) + strays
    synced = sum(blocks <= SYNCED_BEHIND for blocks in behind)
    sentence = (
        f"<strong>{share(synced, total)}</strong> of {number(total)} nodes are at the tip or a block from it, {how}."
    )
    if verified:
        sentence += (
            f" {number(strays)} on a chain that is not ours, {number(len(nodes) - len(verified))} gave no answer."
        )
    bins = [*histogram(behind, HEIGHT_LIMITS), strays]
    figure = Figure("heights", "Nodes by distance from our tip", f"{share(synced, total)} are in sync.")
    body = charts.bars(figure, list(zip((*HEIGHT_LABELS, "another chain"), bins, strict=True)), total)
    return Answer("synced", heading, sentence, body, (share(synced, total), "in sync"))


def _ages(findings: Findings) -> Answer:
    heading = "How old are the addresses that nodes advertise?"
    if not findings.ages:
        return Answer("ages", heading, "No address of this round came with a time.")
    middle = median(findings.ages)
    sentence = (
        f"Half of {number(len(findings.ages))} addresses were seen at most <strong>{_duration(middle)}</strong> before "
        f"they were named, by the word of those who named them."
    )
    figure = Figure("ages-chart", "Known addresses by age", f"The median is {_duration(middle)}.")
    body = charts.columns(figure, AGE_LABELS, {"addresses": histogram(findings.ages, AGE_LIMITS)})
    return Answer("ages", heading, sentence, body)


def _not_counted(findings: Findings) -> Answer:
    counts = Counter({outcome: findings.count(outcome) for outcome in Outcome if outcome is not Outcome.REACHABLE})
    counts = +counts
    sentence = (
        f"<strong>{number(counts.total())}</strong> addresses were not counted, each for one reason; "
        f"<code>crawl.py show NODE</code> tells that of any node, with its history."
    )
    body = ""
    if counts:
        ranked = counts.most_common()
        figure = Figure("outcomes", "Addresses not counted, by reason", f"Most frequent: {ranked[0][0].value}.")
        body = charts.bars(figure, [(outcome.value, count) for outcome, count in ranked], findings.known)
        rows = [(outcome.value, number(count), outcome.sentence) for outcome, count in ranked]
        body += charts.table(("reason", "addresses", "which means"), rows)
    if findings.lost:
        rows = [(str(lost.address), _reason(lost.outcome), lost.user_agent) for lost in findings.lost]
        body += "<h3>Counted last time, not this time</h3>" + charts.table(("node", "reason", "it was"), rows)
    return Answer("not-counted", "Why was a node not counted?", sentence, body)


def _reason(outcome: Outcome | None) -> str:
    return "nobody named it any more" if outcome is None else outcome.value


# -- words and numbers -----------------------------------------------------------------------------------------------


def _none(question: str, heading: str) -> Answer:
    return Answer(question, heading, "No node was reached, so there is nothing to tell.")


def _ranking(figure: Figure, counts: Counter[str]) -> str:
    """The largest as bars, and what the others have together."""
    rows = counts.most_common(TOP)
    rest = len(counts) - len(rows)
    label = f"{number(rest)} other{'s' * (rest != 1)}"
    left = counts.total() - sum(count for _, count in rows)
    return charts.bars(figure, rows, counts.total(), (label, left) if rest else None)


def _drawn(findings: Findings) -> list[Network]:
    """The networks that have a colour, the same in all charts."""
    return [network for network in NAMES if any(tally.networks.get(network) for tally in findings.tallies)]


def _name(network: Network) -> str:
    return NAMES.get(network, network.value)


def _duration(seconds: float) -> str:
    for unit, size in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        if seconds >= 2 * size or (size == 1 and seconds >= 1):
            return f"{seconds / size:.1f} {unit}"
    return f"{1000 * seconds:.0f} ms"


def _when(tallies: Sequence[Tally]) -> list[str]:
    """Labels of rounds: days, and the time as well if there are several in a day."""
    days = [strftime("%d %b", gmtime(tally.round.started)) for tally in tallies]
    return days if len(set(days)) == len(days) else [_minute(tally.round.started) for tally in tallies]


def _minute(when: float) -> str:
    return strftime("%d %b %H:%M", gmtime(when))

"""``diff``: what changed from one round to another. ``show``: what became of one node in every round, and why.

Nodes are compared by address. One that changed its address left and joined; one on two networks is two. "Left" means
not reached in the second round, for the reason that is told: a node whose slots were full is still there.
"""

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, Final

from ccnode.crawler.archive import Archive, Round
from ccnode.crawler.files import add_file_options, census_file
from ccnode.crawler.history import DAY, HOUR, Session
from ccnode.crawler.outcome import Outcome, Visit
from ccnode.crawler.statistics import client_of
from ccnode.errors import ConfigError, ExitStatus, StartupError
from ccnode.wire.address import NetworkAddress, split_host_port
from ccnode.wire.protocol import service_names

LISTED: Final = 20
"""Lines of each list, unless more are asked for."""

Reached = Mapping[NetworkAddress, Visit]


@dataclass(frozen=True, slots=True)
class Difference:
    """From one round to another."""

    joined: Sequence[Visit]
    left: Sequence[tuple[Visit, Outcome | None]]
    """As last reached, and what became of it; None: nobody named it any more."""
    upgraded: Sequence[tuple[Visit, Visit]]
    """Another user agent than before."""
    services: Sequence[tuple[Visit, Visit]]
    stayed: int


def compare(before: Reached, after: Reached, fates: Mapping[NetworkAddress, Outcome]) -> Difference:
    """Compare what two rounds reached; ``fates`` is what became in the second of those that it did not reach."""
    both = [(visit, after[address]) for address, visit in before.items() if address in after]
    return Difference(
        joined=[visit for address, visit in after.items() if address not in before],
        left=[(visit, fates.get(address)) for address, visit in before.items() if address not in after],
        upgraded=[(old, new) for old, new in both if old.user_agent != new.user_agent],
        services=[(old, new) for old, new in both if old.services != new.services],
        stayed=len(both),
    )


# -- diff ------------------------------------------------------------------------------------------------------------


def diff(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="crawl.py diff", description="What changed from one round to another: the last two, if none is named."
    )
    parser.add_argument("rounds", nargs="*", metavar="ROUND", help="two rounds, by number, or FILE for its last one")
    parser.add_argument("--all", action="store_true", help=f"list every node, not {LISTED} of each kind")
    parser.add_argument("--json", action="store_true", help="as JSON, with every node")
    add_file_options(parser)
    options = parser.parse_args(arguments)
    if len(options.rounds) not in (0, 2):
        raise ConfigError("diff compares two rounds: name both, or none")
    sides = options.rounds or _last_two(census_file(options))
    (first, before), (second, after) = (_side(str(side), options) for side in sides)
    with Archive(second[0]) as archive:
        fates = _fates(archive, second[1].number, [address for address in before if address not in after])
    difference = compare(before, after, fates)
    if options.json:
        print(json.dumps(_difference_json(difference, first[1], second[1]), indent=1))
    else:
        _print_difference(difference, first[1], second[1], None if options.all else LISTED)
    return ExitStatus.OK


Side = tuple[Path, Round]


def _last_two(path: Path) -> list[int]:
    with Archive(path) as archive:
        finished = [one for one in archive.rounds() if one.is_census]
    same = [one.number for one in finished if one.vantage == finished[-1].vantage]
    if len(same) < 2:
        raise StartupError(f"{path} has fewer than two finished rounds of one vantage point", ExitStatus.DATADIR)
    return same[-2:]


def _side(text: str, options: argparse.Namespace) -> tuple[Side, dict[NetworkAddress, Visit]]:
    """A round by its number in the chosen file, or the last one of another file."""
    path, number = (census_file(options), int(text)) if text.isdecimal() else (Path(text), None)
    with Archive(path) as archive:
        found = archive.round(number)
        return (path, found), {one.visit.address: one.visit for one in archive.visits(found.number)}


def _fates(archive: Archive, number: int, addresses: Iterable[NetworkAddress]) -> dict[NetworkAddress, Outcome]:
    fates = {}
    for address in addresses:
        outcome = archive.outcome(number, address)
        if outcome is not None:
            fates[address] = outcome
    return fates


def _difference_json(difference: Difference, first: Round, second: Round) -> dict[str, Any]:
    return {
        "from": {"round": first.number, "started": first.started},
        "to": {"round": second.number, "started": second.started},
        "stayed": difference.stayed,
        "joined": [{"node": str(one.address), "user_agent": one.user_agent} for one in difference.joined],
        "left": [
            {"node": str(one.address), "user_agent": one.user_agent, "outcome": _name(outcome)}
            for one, outcome in difference.left
        ],
        "upgraded": [
            {"node": str(new.address), "from": old.user_agent, "to": new.user_agent} for old, new in difference.upgraded
        ],
        "services": [
            {"node": str(new.address), "from": old.services, "to": new.services} for old, new in difference.services
        ],
    }


def _print_difference(difference: Difference, first: Round, second: Round, most: int | None) -> None:
    print(f"From round {first.number}, {when(first.started)}, to round {second.number}, {when(second.started)}")
    reached = difference.stayed + len(difference.joined)
    before = difference.stayed + len(difference.left)
    print(f"reachable  {before} -> {reached}   stayed {difference.stayed}\n")
    _print_counts("joined", Counter(one.address.network.value for one in difference.joined))
    _print_counts("left", Counter(_name(outcome) for _, outcome in difference.left))
    moves = Counter((client_of(o.user_agent or ""), client_of(n.user_agent or "")) for o, n in difference.upgraded)
    _print_counts("changed software", Counter({f"{old} -> {new}": n for (old, new), n in moves.items()}))
    _print_counts("changed services", Counter(_flags(old, new) for old, new in difference.services))
    _print_nodes("joined", [(one, "") for one in difference.joined], most)
    _print_nodes("left", [(one, _name(outcome)) for one, outcome in difference.left], most)


def _print_counts(title: str, counts: Counter[str]) -> None:
    print(f"{title}  {counts.total()}")
    for name, count in counts.most_common(LISTED):
        print(f"  {count:>6}  {name}")


def _print_nodes(title: str, nodes: Sequence[tuple[Visit, str]], most: int | None) -> None:
    if nodes:
        print(f"\nnodes that {title}")
        for visit, note in nodes[:most]:
            print(f"  {visit.address}  {visit.user_agent or ''}  {note}".rstrip())
        if most is not None and len(nodes) > most:
            print(f"  and {len(nodes) - most} more (--all)")


def _flags(old: Visit, new: Visit) -> str:
    gone = set(service_names(old.services or 0)) - set(service_names(new.services or 0))
    come = set(service_names(new.services or 0)) - set(service_names(old.services or 0))
    return " ".join([*(f"+{name}" for name in sorted(come)), *(f"-{name}" for name in sorted(gone))])


def _name(outcome: Outcome | None) -> str:
    return "not heard of" if outcome is None else outcome.value


# -- show ------------------------------------------------------------------------------------------------------------


def show(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="crawl.py show", description="What is known about a node, and why a round did not count it."
    )
    parser.add_argument("node", metavar="ADDRESS[:PORT]", help="without a port: all nodes at the address")
    add_file_options(parser)
    options = parser.parse_args(arguments)
    try:
        address, port = NetworkAddress.parse(options.node), split_host_port(options.node)[1]
    except ValueError as error:
        raise ConfigError(str(error)) from error
    path = census_file(options)
    with Archive(path) as archive:
        wanted = [address, address.as_cjdns()] if port is not None else archive.at_host(address.host)
        nodes = {one: node for one in wanted if (node := archive.find(one)) is not None}
        for one, node in nodes.items():
            _print_node(archive, node, one)
    if not nodes:
        print(f"{options.node}: no round in {path} has heard of it")
    return ExitStatus.OK if nodes else ExitStatus.FAULT


RELIABILITY: Final = (
    "the share of that time for which visits got a handshake, and for which they speak at all;",
    "the latest counts most, and what nobody watched counts as down",
)


def _print_node(archive: Archive, node: int, address: NetworkAddress) -> None:
    standing = archive.standing(node)
    facts = [("node", str(address)), ("in the latest round", verdict(archive, node))]
    if standing.last_reached is not None:
        shares = (
            f"{_span(window.seconds)} {window.reliability:.0%} of {window.weight:.0%}" for window in standing.windows
        )
        facts += [
            ("software", standing.user_agent or ""),
            ("services", " ".join(service_names(standing.services or 0))),
            ("protocol version", str(standing.version)),
            ("height", "" if standing.height is None else str(standing.height)),
            ("reached", f"first {when(standing.first_reached)}, last {when(standing.last_reached)}"),
            ("reliability", ", ".join(shares)),
            *(("", line) for line in RELIABILITY),
        ]
    facts.append(("next visit due", when(standing.next_visit)))
    print(_aligned(facts), "", _aligned([HEADINGS, *_timeline(archive, node)]), "", sep="\n")
    for session in archive.sessions(node):
        print(_session_line(session))
    for _, change in archive.changes(node):
        print(f"{when(change.time)}  {change.field}: {change.old} -> {change.new}")


def verdict(archive: Archive, node: int) -> str:
    """Whether the latest finished round counted the node, and why if it did not, in a sentence."""
    finished = [one for one in archive.rounds() if one.is_census]
    if not finished:
        return "there is no finished round yet"
    latest = finished[-1].number
    known = [outcome for one, outcome, _, _ in archive.fates(node) if one.number == latest]
    if not known:
        return "not counted: nobody named it"
    outcome = known[0] or Outcome.UNVISITED
    visits = [one.visit for one in archive.visits_of(node) if one.round == latest]
    detail = f" ({visits[-1].detail})" if visits and visits[-1].detail else ""
    return f"{'counted' if outcome is Outcome.REACHABLE else 'not counted'}: {outcome.sentence}{detail}"


HEADINGS: Final = ("round", "when", "outcome", "detail", "ping", "height", "heard from")


def _timeline(archive: Archive, node: int) -> list[tuple[str, ...]]:
    """A row for each round that heard of the node, under the `HEADINGS`."""
    visits = {one.round: one.visit for one in archive.visits_of(node)}
    rows: list[tuple[str, ...]] = []
    for one, outcome, via, source in archive.fates(node):
        visit = visits.get(one.number)
        ping = f"{min(visit.ping_times) * 1000:.0f} ms" if visit is not None and visit.ping_times else ""
        rows.append(
            (
                str(one.number),
                when(one.started if visit is None else visit.started),
                "undecided" if outcome is None else outcome.value,
                "" if visit is None else visit.detail,
                ping,
                "" if visit is None else _height(visit),
                via if source is None else str(source),
            )
        )
    return rows


def _height(visit: Visit) -> str:
    if visit.tip_height is not None:
        return f"{visit.tip_height} verified"
    return "" if visit.start_height is None else f"{visit.start_height} claimed"


def _session_line(session: Session) -> str:
    end = "so far" if session.ended is None else f"found down {when(session.ended)}"
    return f"up from {when(session.began)} to {when(session.last)}, {_span(session.last - session.began)}, {end}"


# -- words -----------------------------------------------------------------------------------------------------------


def when(time: float | None) -> str:
    """A time as people read it, in UTC."""
    return "never" if time is None else datetime.fromtimestamp(time, timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _span(seconds: float) -> str:
    if seconds >= DAY:
        return f"{seconds / DAY:.0f} d"
    return f"{seconds / HOUR:.0f} h" if seconds >= HOUR else f"{seconds / 60:.0f} min"


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Lines of columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)

"""A census file as readers see it: report, export, comparisons. It may be read while a crawler writes it.

Nothing here writes, and a reader sees the file as it was when its query began. Visits come as `NodeVisit`, one after
the other, so that a round of any size takes no memory.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from ccnode.crawler.history import Change, Session, Standing
from ccnode.crawler.history_store import load_standing
from ccnode.crawler.outcome import SEED_SOURCE, Outcome, Visit
from ccnode.crawler.rows import REVISIT, VISIT_COLUMNS, read_visit, signed
from ccnode.errors import ExitStatus, StartupError
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import pack_address, unpack_address

_VISITS: Final = f"""
    SELECT v.round, n.id, n.key, s.key, a.via, v.asn, n.first_reached,
        {", ".join("v." + name for name in VISIT_COLUMNS)}
    FROM visits v JOIN nodes n ON n.id = v.node
    JOIN addresses a ON a.round = v.round AND a.node = v.node LEFT JOIN nodes s ON s.id = a.source
"""


@dataclass(frozen=True, slots=True)
class Round:
    """One row of the table ``rounds``."""

    number: int
    vantage: str
    started: float
    ended: float | None
    status: str
    config: Mapping[str, Any]

    @property
    def is_census(self) -> bool:
        """Whether it is over, and was not about some nodes only."""
        return self.ended is not None and self.status != REVISIT


@dataclass(frozen=True, slots=True)
class NodeVisit:
    """A visit, and what the file knows of its node."""

    round: int
    node: int
    asn: int | None
    first_reached: float | None
    """Unix seconds, in any round of the file."""
    visit: Visit


@dataclass(frozen=True, slots=True)
class Filter:
    """Which visits are wanted; what is None does not matter."""

    outcome: Outcome | None = Outcome.REACHABLE
    network: Network | None = None
    asn: int | None = None
    user_agent: str | None = None
    """Part of it, in any case."""
    services: int = 0
    """All of these bits."""
    transport: str | None = None

    def sql(self) -> tuple[str, list[Any]]:
        """A condition on the tables ``visits`` v and ``nodes`` n, and its values."""
        services = signed(self.services)
        terms: list[tuple[str, list[Any]]] = []
        if self.outcome is not None:
            terms.append(("v.outcome = ?", [self.outcome.value]))
        if self.network is not None:
            terms.append(("n.network = ?", [self.network.value]))
        if self.asn is not None:
            terms.append(("v.asn = ?", [self.asn]))
        if self.user_agent is not None:
            terms.append(("instr(lower(v.user_agent), ?)", [self.user_agent.lower()]))
        if services:
            terms.append(("v.services & ? = ?", [services, services]))
        if self.transport is not None:
            terms.append(("v.transport = ?", [self.transport]))
        return "".join(f" AND {term}" for term, _ in terms), [value for _, values in terms for value in values]


REACHED: Final = Filter()


@dataclass(frozen=True, slots=True)
class Advertiser:
    """How much of what a node was the first to name turned out to be there."""

    address: NetworkAddress
    named: int
    dialed: int
    found: int


class Archive:
    """An open census file; use it in ``with``."""

    def __init__(self, path: Path) -> None:
        """Open ``path`` for reading. Raises `StartupError`."""
        if not path.is_file():
            raise StartupError(f"there is no census file {path}", ExitStatus.DATADIR)
        try:
            self._connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
            row = self._connection.execute("SELECT value FROM state WHERE key = 'network'").fetchone()
            self._connection.execute("SELECT 1 FROM rounds LIMIT 1")
        except sqlite3.Error as error:
            raise StartupError(f"{path} is no census file: {error}", ExitStatus.DATADIR) from error
        self.path = path
        self.network: str = row[0]
        """The chain's name and its magic."""
        self.chain = self.network.partition(" ")[0]

    def __enter__(self) -> "Archive":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    # -- rounds --------------------------------------------------------------------------------------------------

    def rounds(self) -> list[Round]:
        """All of them, the earliest first."""
        query = "SELECT id, vantage, started, ended, status, config FROM rounds ORDER BY started, id"
        return [
            Round(number, vantage, started, ended, status, json.loads(config))
            for number, vantage, started, ended, status, config in self._connection.execute(query)
        ]

    def round(self, number: int | None = None) -> Round:
        """The round of that number; for None the latest finished one that is no revisit. Raises `StartupError`."""
        rounds = [one for one in self.rounds() if (one.is_census if number is None else one.number == number)]
        if not rounds:
            wanted = "no finished round" if number is None else f"no round {number}"
            raise StartupError(f"{self.path} has {wanted}", ExitStatus.DATADIR)
        return rounds[-1]

    def outcomes(self, number: int) -> dict[Network, dict[Outcome, int]]:
        """How many addresses of each network ended how, in one round. Those still undecided are left out."""
        query = """
            SELECT n.network, a.outcome, count(*) FROM addresses a JOIN nodes n ON n.id = a.node
            WHERE a.round = ? AND a.outcome NOT NULL GROUP BY n.network, a.outcome
        """
        counts: dict[Network, dict[Outcome, int]] = {}
        for network, outcome, count in self._connection.execute(query, [number]):
            counts.setdefault(Network(network), {})[Outcome(outcome)] = count
        return counts

    def visits(self, number: int, wanted: Filter = REACHED) -> Iterator[NodeVisit]:
        """The visits of a round, in the order in which they ended."""
        condition, values = wanted.sql()
        query = f"{_VISITS} WHERE v.round = ?{condition} ORDER BY v.id"
        return map(_node_visit, self._connection.execute(query, [number, *values]))

    def outcome(self, number: int, address: NetworkAddress) -> Outcome | None:
        """How an address ended in a round; None if it did not, or was not heard of."""
        query = "SELECT outcome FROM addresses WHERE round = ? AND node = (SELECT id FROM nodes WHERE key = ?)"
        row = self._connection.execute(query, [number, pack_address(address)]).fetchone()
        return None if row is None or row[0] is None else Outcome(row[0])

    def reached(self, number: int) -> set[int]:
        """The nodes that a round reached, by number."""
        query = "SELECT node FROM addresses WHERE round = ? AND outcome = 'reachable'"
        return {node for (node,) in self._connection.execute(query, [number])}

    def advert_ages(self, number: int) -> list[float]:
        """By how much what a round's addresses were said to be seen lay back when they were heard of, in seconds.

        An address counts once, with the claim by which it became known. Claims of the future are 0.
        """
        query = "SELECT max(0, heard - claimed_time) FROM addresses WHERE round = ? AND claimed_time > 0"
        return [age for (age,) in self._connection.execute(query, [number])]

    def advertisers(self, number: int, least: int = 1) -> list[Advertiser]:
        """Who was the first to name at least so many addresses of a round; who named most comes first."""
        query = """
            SELECT n.key, count(*),
                sum(a.outcome NOT IN ('unroutable', 'opted-out', 'capped', 'no-lane', 'unvisited')),
                sum(a.outcome IN ('reachable', 'slots-full', 'obsolete'))
            FROM addresses a JOIN nodes n ON n.id = a.source WHERE a.round = ?
            GROUP BY a.source HAVING count(*) >= ? ORDER BY count(*) DESC, n.id
        """
        rows = self._connection.execute(query, [number, least])
        return [Advertiser(unpack_address(row[0]), row[1], row[2] or 0, row[3] or 0) for row in rows]

    def adverts(self, number: int) -> Iterator[tuple[int, int, int]]:
        """Who named whom, and when that was last seen, by its word (Unix seconds); empty if it was not kept."""
        return iter(
            self._connection.execute("SELECT source, node, claimed_time FROM adverts WHERE round = ?", [number])
        )

    def advert_nodes(self, number: int) -> Iterator[tuple[int, NetworkAddress, Outcome | None]]:
        """Who named somebody or was named, if that was kept, and how each of them ended in the round."""
        query = """
            SELECT n.id, n.key, a.outcome FROM nodes n LEFT JOIN addresses a ON a.round = :round AND a.node = n.id
            WHERE n.id IN (SELECT source FROM adverts WHERE round = :round
                UNION SELECT node FROM adverts WHERE round = :round) ORDER BY n.id
        """
        for node, key, outcome in self._connection.execute(query, {"round": number}):
            yield node, unpack_address(key), None if outcome is None else Outcome(outcome)

    def networks_advertised(self, number: int) -> dict[int, int]:
        """On how many networks the addresses lie that each node named, if it was kept who named whom."""
        query = """
            SELECT d.source, count(DISTINCT n.network) FROM adverts d JOIN nodes n ON n.id = d.node
            WHERE d.round = ? GROUP BY d.source
        """
        return dict(self._connection.execute(query, [number]).fetchall())

    # -- nodes ---------------------------------------------------------------------------------------------------

    def find(self, address: NetworkAddress) -> int | None:
        """The number of a node."""
        row = self._connection.execute("SELECT id FROM nodes WHERE key = ?", [pack_address(address)]).fetchone()
        return None if row is None else int(row[0])

    def at_host(self, host: str) -> list[NetworkAddress]:
        """The nodes of an address, whatever their ports."""
        query = "SELECT key FROM nodes WHERE address = ? ORDER BY port"
        return [unpack_address(key) for (key,) in self._connection.execute(query, [host])]

    def fates(self, node: int) -> list[tuple[Round, Outcome | None, str, NetworkAddress | None]]:
        """What became of a node in each round that heard of it: the outcome, how it was heard of, and from whom."""
        rounds = {one.number: one for one in self.rounds()}
        # CROSS JOIN fixes the order: a search in each of a few rounds, not a scan of all addresses.
        query = """
            SELECT a.round, a.outcome, a.via, s.key
            FROM rounds r CROSS JOIN addresses a ON a.round = r.id AND a.node = ?
            LEFT JOIN nodes s ON s.id = a.source ORDER BY r.started, r.id
        """
        return [
            (
                rounds[number],
                None if outcome is None else Outcome(outcome),
                via,
                None if source is None else unpack_address(source),
            )
            for number, outcome, via, source in self._connection.execute(query, [node])
        ]

    def visits_of(self, node: int) -> list[NodeVisit]:
        """All visits to a node in order of time."""
        query = f"{_VISITS} WHERE v.node = ? ORDER BY v.started, v.id"
        return list(map(_node_visit, self._connection.execute(query, [node])))

    def sessions(self, node: int | None = None) -> Iterator[Session]:
        """The sessions of a node, or of all, in order of their beginning."""
        condition, values = ("", []) if node is None else (" WHERE node = ?", [node])
        query = f"SELECT began, last, ended FROM sessions{condition} ORDER BY began"
        return (Session(*row) for row in self._connection.execute(query, values))

    def up_since(self) -> dict[int, float]:
        """When the sessions under way began, by node; Unix seconds."""
        return dict(self._connection.execute("SELECT node, began FROM sessions WHERE ended IS NULL").fetchall())

    def standings(self) -> Iterator[tuple[NetworkAddress, Standing]]:
        """Every node that was reached once, as it is known by now."""
        nodes = self._connection.execute("SELECT id, key FROM nodes WHERE first_reached NOT NULL ORDER BY id")
        return ((unpack_address(key), load_standing(self._connection, node)) for node, key in nodes)

    def changes(self, node: int | None = None, since: float = 0.0) -> list[tuple[int, Change]]:
        """What nodes said differently than before, each with the node."""
        condition, values = ("", [since]) if node is None else (" AND node = ?", [since, node])
        query = f"SELECT node, time, field, old, new FROM changes WHERE time >= ?{condition} ORDER BY time, id"
        return [(node, Change(*row)) for node, *row in self._connection.execute(query, values)]

    def standing(self, node: int) -> Standing:
        """What is known of a node by now."""
        return load_standing(self._connection, node)


def _node_visit(row: tuple[Any, ...]) -> NodeVisit:
    number, node, key, source, via, asn, first_reached, *fields = row
    visit = read_visit(unpack_address(key), tuple(fields), SEED_SOURCE if source is None else source, via)
    return NodeVisit(number, node, asn, first_reached, visit)

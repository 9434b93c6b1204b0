"""The census file as the crawler at work sees it: a journal of one round at a time.

A round hears of addresses (`Store.learned`) and decides about them (`Store.record`). Both are written by the one
worker of ``ccnode.storage.database``, a batch in a transaction, and in this order: **what a visit heard is in the file
no later than the visit itself**. So a crawler that is killed at any instant has lost some visits, and with them
nothing but what those visits will hear again: `Store.resume` gives every address of the round and what was decided
about it, and those that are undecided are visited.

Memory is bounded. `learned` keeps what it is given for the next batch, and writes when there is a lot of it; `record`
writes at once. Both wait for the disk, and so does the next caller meanwhile: a slow disk slows the crawl down.

The history (``ccnode.crawler.history``) is reckoned in the same transactions, so it never lags behind the visits.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Connection
from typing import Any, Final

from gevent.lock import BoundedSemaphore
from sqlite_utils import Database as SqliteDatabase

from ccnode.clock import Clock
from ccnode.crawler.bulk import write_rows
from ccnode.crawler.history_store import close_stale_sessions, reckon
from ccnode.crawler.outcome import SEED_SOURCE, Outcome, Visit
from ccnode.crawler.rows import COMPLETE, REVISIT, RUNNING, VISIT_COLUMNS, signed, visit_row
from ccnode.crawler.schema import CENSUS
from ccnode.storage.database import Database
from ccnode.wire.addresses import PackedEntry, pack_address, unpack_address

BATCH: Final = 20_000
"""Addresses heard of that do not wait for a visit's end to be written; and rows that `Store.resume` reads at a time."""

CACHE_KIB: Final = 8_000
"""Of the file in memory. An index of a million addresses does not fit; ten times as much would hardly be quicker."""

_ADD_NODES: Final = (
    "INSERT INTO nodes (key, network, address, port, first_heard) VALUES {rows} ON CONFLICT (key) DO NOTHING"
)
_FIND_NODE: Final = "SELECT id FROM nodes WHERE key = ?"
# CROSS JOIN fixes the order: from each row to its node.
_HEAR: Final = """
    INSERT INTO addresses (round, node, source, via, heard, claimed_time)
    SELECT ?, n.id, ?, ?, ?, r.column2 FROM (VALUES {rows}) r CROSS JOIN nodes n ON n.key = r.column1 WHERE true
    ON CONFLICT (round, node) DO UPDATE SET source = excluded.source, via = excluded.via WHERE addresses.outcome IS NULL
"""
_DECIDE: Final = """
    INSERT INTO addresses (round, node, source, via, heard, claimed_time, outcome)
    SELECT ?, n.id, s.id, r.column3, ?, 0, r.column4
    FROM (VALUES {rows}) r CROSS JOIN nodes n ON n.key = r.column1 LEFT JOIN nodes s ON s.key = r.column2 WHERE true
    ON CONFLICT (round, node) DO UPDATE SET outcome = excluded.outcome, source = excluded.source, via = excluded.via
"""
_ADVERTISE: Final = """
    INSERT OR REPLACE INTO adverts (round, source, node, claimed_time, services)
    SELECT ?, ?, n.id, r.column2, r.column3 FROM (VALUES {rows}) r CROSS JOIN nodes n ON n.key = r.column1
"""
_VISIT: Final = f"INSERT INTO visits (round, node, asn, {', '.join(VISIT_COLUMNS)}) VALUES {{rows}}"


@dataclass(frozen=True, slots=True)
class Heard:
    """Addresses that one source named."""

    source: bytes | None
    via: str
    time: float
    entries: Sequence[PackedEntry]


Named = tuple[bytes, Sequence[PackedEntry]]
"""A source, and all that it named."""


@dataclass(frozen=True, slots=True)
class Known:
    """An address of an unfinished round."""

    key: bytes
    source: bytes | None
    """Who vouches for it: the key of another address; None for no peer."""
    via: str
    claimed_time: int
    """Unix seconds; 0: nobody said."""
    outcome: Outcome | None
    """None: still to be visited."""


@dataclass(frozen=True, slots=True)
class Revisit:
    """A node that was reached once, and when it should be looked at again."""

    key: bytes
    next_visit: float
    last_reached: float


class Store:
    """An open census file. At most one round is under way in it. Call `close` when done."""

    def __init__(
        self,
        path: Path,
        chain: str,
        clock: Clock,
        *,
        autonomous_system: Callable[[bytes], int] = lambda _key: 0,
    ) -> None:
        """Open or create ``path``. Raises `StartupError`.

        :param autonomous_system: the AS number of a packed address, 0 if unknown.
        """
        self._clock = clock
        self._as_of = autonomous_system
        self._database = Database(path, chain, _raise, CENSUS)
        self._database.call(_set_cache)
        self._one_at_a_time = BoundedSemaphore()
        self._heard: list[Heard] = []
        self._named: list[Named] = []
        self._count = 0
        self._round: int | None = None

    @property
    def round(self) -> int:
        """The number of the round under way."""
        if self._round is None:
            raise RuntimeError("no round was begun")
        return self._round

    # -- a round -------------------------------------------------------------------------------------------------

    def begin_round(self, config: Mapping[str, Any], vantage: str = "", status: str = RUNNING) -> int:
        """Begin a round, now; its number.

        :param config: what it is run with, as plain JSON.
        :param vantage: a name for the place, if files of several places are to be merged.
        :param status: `RUNNING`, or `REVISIT` for one that nobody will resume.
        """
        self._round = self._database.call(
            _begin, vantage, self._clock.now(), status, json.dumps(config, sort_keys=True)
        )
        return self._round

    def unfinished(self, since: float = 0.0) -> int | None:
        """The latest round, if it was cut off or stopped before every address had been visited.

        :param since: None also if it began before that, Unix seconds.
        """
        return self._database.call(_unfinished, since)

    def last_census(self) -> float | None:
        """When the latest complete round began, Unix seconds."""
        return self._database.call(_last_census)

    def resume(self, number: int) -> Iterator[Known]:
        """Go on with an unfinished round: every address it had heard of, in the order of hearing."""
        self._round = number
        self._database.call(_reopen, number)
        after = 0
        while rows := self._database.call(_known, number, after):
            after = rows[-1][0]
            for _, key, source, via, claimed_time, outcome in rows:
                decided = None if outcome is None else Outcome(outcome)
                yield Known(key, source, via, claimed_time, decided)

    def learned(self, source: bytes | str, entries: Sequence[PackedEntry], via: str = "gossip") -> None:
        """An address vouches for others. For those that the round knows, it does so instead of who did before.

        :param source: the key of an address that was learned before, or `SEED_SOURCE` for no peer.
        """
        key = None if isinstance(source, str) else source
        self._heard.append(Heard(key, via, self._clock.now(), entries))
        self._count_in(len(entries))

    def named(self, source: bytes, entries: Sequence[PackedEntry]) -> None:
        """An address named these, which were learned before. Kept for the graph of who named whom."""
        self._named.append((source, entries))
        self._count_in(len(entries))

    def record(self, visits: Sequence[Visit]) -> None:
        """Addresses have their outcomes, dialed or not. In the file when this returns, with all `learned` before."""
        self._write(visits)

    def flush(self) -> None:
        """Write what was learned."""
        self._write(())

    def finish_round(self, status: str = COMPLETE) -> dict[Outcome, int]:
        """The round is over; how many addresses had each outcome.

        :param status: `COMPLETE`, or in a word or two why it ended before.
        """
        self.flush()
        counts = self._database.call(_finish, self.round, self._clock.now(), status)
        self._round = None
        return {Outcome(name): count for name, count in counts if name is not None}

    def close(self) -> None:
        """Close the file. A round that was not finished can be resumed."""
        self._database.close()

    # -- earlier rounds ------------------------------------------------------------------------------------------

    def reached_since(self, when: float, limit: int) -> list[bytes]:
        """Keys of nodes reached at ``when`` or later, the most lately reached first: what a round may begin with."""
        return self._database.call(_reached_since, when, limit)

    def revisits(self, limit: int) -> list[Revisit]:
        """Nodes reached at least once, in the order in which their next visits are due."""
        return [Revisit(*row) for row in self._database.call(_revisits, limit)]

    # -- writing -------------------------------------------------------------------------------------------------

    def _count_in(self, entries: int) -> None:
        self._count += entries
        if self._count >= BATCH:
            self.flush()

    def _write(self, visits: Sequence[Visit]) -> None:
        with self._one_at_a_time:
            heard, self._heard, self._count = self._heard, [], 0
            named, self._named = self._named, []
            if heard or named or visits:
                asns = [self._as_of(pack_address(v.address)) if v.outcome.connected else 0 for v in visits]
                self._database.call(_write, self.round, heard, named, visits, asns, self._clock.now())


def _raise(error: BaseException) -> None:
    """What a job that nobody waits for failed with; there are none."""
    raise error


# On the database's worker.


def _set_cache(db: SqliteDatabase) -> None:
    db.conn.execute(f"PRAGMA cache_size = -{CACHE_KIB}")


def _begin(db: SqliteDatabase, vantage: str, started: float, status: str, config: str) -> int:
    values = vantage, started, status, config
    cursor = db.conn.execute("INSERT INTO rounds (vantage, started, status, config) VALUES (?, ?, ?, ?)", values)
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _last_census(db: SqliteDatabase) -> float | None:
    row = db.conn.execute("SELECT max(started) FROM rounds WHERE status = ?", [COMPLETE]).fetchone()
    return None if row[0] is None else float(row[0])


def _unfinished(db: SqliteDatabase, since: float) -> int | None:
    query = "SELECT id, status, started FROM rounds WHERE status != ? ORDER BY id DESC LIMIT 1"
    row = db.conn.execute(query, [REVISIT]).fetchone()
    return None if row is None or row[1] == COMPLETE or row[2] < since else int(row[0])


def _reopen(db: SqliteDatabase, number: int) -> None:
    # A round that was stopped gave all addresses an outcome; these were left, and may have their turn now.
    left = number, Outcome.UNVISITED.value, Outcome.CAPPED.value
    db.conn.execute("UPDATE addresses SET outcome = NULL WHERE round = ? AND outcome IN (?, ?)", left)
    db.conn.execute("UPDATE rounds SET ended = NULL, status = ? WHERE id = ?", [RUNNING, number])


def _known(db: SqliteDatabase, number: int, after: int) -> list[Any]:
    query = """
        SELECT a.id, n.key, s.key, a.via, a.claimed_time, a.outcome
        FROM addresses a JOIN nodes n ON n.id = a.node LEFT JOIN nodes s ON s.id = a.source
        WHERE a.id > ? AND +a.round = ? ORDER BY a.id LIMIT ?
    """
    return db.conn.execute(query, [after, number, BATCH]).fetchall()


def _finish(db: SqliteDatabase, number: int, ended: float, status: str) -> list[tuple[str | None, int]]:
    close_stale_sessions(db.conn, ended)
    db.conn.execute("UPDATE rounds SET ended = ?, status = ? WHERE id = ?", [ended, status, number])
    # Counted here: to group a million rows, SQLite would sort them first, and fill its cache once more with that.
    outcomes = db.conn.execute("SELECT outcome FROM addresses WHERE round = ?", [number])
    return list(Counter(outcome for (outcome,) in outcomes).items())


def _reached_since(db: SqliteDatabase, when: float, limit: int) -> list[bytes]:
    query = "SELECT key FROM nodes WHERE last_reached >= ? ORDER BY last_reached DESC, id LIMIT ?"
    return [key for (key,) in db.conn.execute(query, [when, limit])]


def _revisits(db: SqliteDatabase, limit: int) -> list[tuple[bytes, float, float]]:
    query = "SELECT key, next_visit, last_reached FROM nodes WHERE last_reached NOT NULL ORDER BY next_visit LIMIT ?"
    return db.conn.execute(query, [limit]).fetchall()


def _write(
    db: SqliteDatabase,
    number: int,
    heard: Sequence[Heard],
    named: Sequence[Named],
    visits: Sequence[Visit],
    asns: Sequence[int],
    now: float,
) -> None:
    connection = db.conn
    for one in heard:
        _write_heard(connection, number, one)
    for source, entries in named:
        _write_named(connection, number, source, entries)
    keys = [pack_address(visit.address) for visit in visits]
    write_rows(
        connection,
        _ADD_NODES,
        [node_row(key, visit.started or now) for key, visit in zip(keys, visits, strict=True)],
    )
    decided = [
        (key, None if visit.source == SEED_SOURCE else visit.source, visit.via, visit.outcome.value)
        for key, visit in zip(keys, visits, strict=True)
    ]
    write_rows(connection, _DECIDE, decided, first=(number, now))
    dialed = [
        (connection.execute(_FIND_NODE, [key]).fetchone()[0], visit, asn)
        for key, visit, asn in zip(keys, visits, asns, strict=True)
        if visit.outcome.dialed
    ]
    write_rows(connection, _VISIT, [(number, node, asn or None, *visit_row(visit)) for node, visit, asn in dialed])
    reckon(connection, ((node, visit) for node, visit, _ in dialed))


def _write_heard(connection: Connection, number: int, heard: Heard) -> None:
    source = None if heard.source is None else _number_of(connection, heard.source, heard.time)
    write_rows(connection, _ADD_NODES, [node_row(key, heard.time) for _, _, key in heard.entries])
    rows = [(key, seen) for seen, _, key in heard.entries]
    write_rows(connection, _HEAR, rows, first=(number, source, heard.via, heard.time))


def _write_named(connection: Connection, number: int, source: bytes, entries: Sequence[PackedEntry]) -> None:
    node = connection.execute(_FIND_NODE, [source]).fetchone()
    rows = [(key, seen, signed(services)) for seen, services, key in entries]
    write_rows(connection, _ADVERTISE, rows, first=(number, *node))


def _number_of(connection: Connection, key: bytes, now: float) -> int:
    """The number of a node, which gets one if it has none."""
    write_rows(connection, _ADD_NODES, [node_row(key, now)])
    return int(connection.execute(_FIND_NODE, [key]).fetchone()[0])


def node_row(key: bytes, heard: float) -> tuple[bytes, str, str, int, float]:
    """The first columns of the table ``nodes`` for a packed address."""
    address = unpack_address(key)
    return key, address.network.value, address.host, address.port, heard

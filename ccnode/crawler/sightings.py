"""The monitor's file: who was listened to, and when each announced which block. One SQLite file per chain.

Of a transaction only percentiles are kept, and of the latest `MOST_TRANSACTIONS` at that; blocks are kept with every
peer's delay. Times are Unix seconds, delays seconds after the first announcement of all.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import sqlite_utils

from ccnode.crawler.page.programs import program
from ccnode.crawler.propagation import MIN_SHARE, News, percentiles
from ccnode.errors import ExitStatus, StartupError
from ccnode.storage.database import Database, Schema

MOST_TRANSACTIONS: Final = 200_000

migrations: Final = sqlite_utils.Migrations("ccnode-monitor")
SCHEMA: Final = Schema(migrations, "what was heard of blocks and transactions is lost")

_TABLES: Final = """
CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT NOT NULL);

CREATE TABLE peers (
    id INTEGER PRIMARY KEY,          -- one connection
    address TEXT NOT NULL,
    network TEXT NOT NULL,
    user_agent TEXT NOT NULL,
    attached REAL NOT NULL,
    detached REAL                    -- NULL: still there, or the monitor was cut off
);

CREATE TABLE blocks (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL UNIQUE,       -- as people write it
    first_seen REAL NOT NULL
);

CREATE TABLE sightings (
    block INTEGER NOT NULL REFERENCES blocks (id),
    peer INTEGER NOT NULL REFERENCES peers (id),
    delay REAL,                      -- NULL: attached, and never announced it
    how TEXT,                        -- inv, headers, cmpctblock
    PRIMARY KEY (block, peer)
) WITHOUT ROWID;

CREATE TABLE transactions (
    id INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,              -- txid or wtxid, as it was announced
    first_seen REAL NOT NULL,
    attached INTEGER NOT NULL,       -- peers that could announce it
    announced INTEGER NOT NULL,      -- those that did
    p50 REAL, p90 REAL, p99 REAL     -- NULL: so many did not announce it
);
"""


@migrations(name="0001_sightings")
def _sightings(db: sqlite_utils.Database) -> None:
    for statement in _TABLES.split(";\n"):
        if statement.strip():
            db.execute(statement)


@dataclass(frozen=True, slots=True)
class Listened:
    """A peer that was listened to."""

    address: str
    network: str
    user_agent: str
    attached: float
    """Unix seconds."""


class SightingStore:
    """The file, open for writing. Call `close` when done."""

    def __init__(self, path: Path, chain: str) -> None:
        """Open or create ``path``. Raises `StartupError`."""
        self._database = Database(path, chain, _raise, SCHEMA)
        self._ids: dict[int, int] = {}
        self._gone: set[int] = set()

    def attached(self, peer: int, listened: Listened) -> None:
        """From now on ``peer`` stands for this connection."""
        self._ids[peer] = self._database.call(_add_peer, listened)

    def detached(self, peer: int, now: float) -> None:
        """The connection is over; its number may still occur in what is recorded."""
        self._gone.add(peer)
        self._database.call(_end_peer, self._ids[peer], now)

    def record(
        self, blocks: Sequence[tuple[News, float]], transactions: Sequence[tuple[News, float]], needed: set[int]
    ) -> None:
        """Write news that is over, each with the Unix time at which it came first.

        :param needed: peers that later news may name; of the others, those that are gone are forgotten.
        """
        block_rows = [(news, when, [self._ids[peer] for peer in news.listening]) for news, when in blocks]
        self._database.call(_record, block_rows, dict(self._ids), transactions)
        for peer in self._gone - needed:
            self._gone.discard(peer)
            del self._ids[peer]

    def close(self) -> None:
        """Close the file."""
        self._database.close()


def _raise(error: BaseException) -> None:
    """What a job that nobody waits for failed with; there are none."""
    raise error


# On the database's worker.


def _add_peer(db: sqlite_utils.Database, peer: Listened) -> int:
    values = peer.address, peer.network, peer.user_agent, peer.attached
    cursor = db.conn.execute("INSERT INTO peers (address, network, user_agent, attached) VALUES (?, ?, ?, ?)", values)
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _end_peer(db: sqlite_utils.Database, row: int, now: float) -> None:
    db.conn.execute("UPDATE peers SET detached = ? WHERE id = ?", [now, row])


def _record(
    db: sqlite_utils.Database,
    blocks: Sequence[tuple[News, float, list[int]]],
    ids: dict[int, int],
    transactions: Sequence[tuple[News, float]],
) -> None:
    for news, when, rows in blocks:
        cursor = db.conn.execute(
            "INSERT OR IGNORE INTO blocks (hash, first_seen) VALUES (?, ?)", [news.hash[::-1].hex(), when]
        )
        if cursor.rowcount:
            said = {ids[peer]: (sighting.delay, sighting.how) for peer, sighting in news.sightings.items()}
            values = [(cursor.lastrowid, row, *said.get(row, (None, None))) for row in rows]
            db.conn.executemany("INSERT INTO sightings VALUES (?, ?, ?, ?)", values)
    db.conn.executemany(
        "INSERT INTO transactions (hash, first_seen, attached, announced, p50, p90, p99) VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (news.hash[::-1].hex(), when, len(news.listening), len(news.sightings), *news.percentiles())
            for news, when in transactions
        ],
    )
    if transactions:
        db.conn.execute(
            "DELETE FROM transactions WHERE id <= (SELECT max(id) FROM transactions) - ?", [MOST_TRANSACTIONS]
        )


# -- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class BlockSpread:
    """How one block spread."""

    hash: str
    first_seen: float
    first: str
    """The address that announced it first."""
    attached: int
    announced: int
    percentiles: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class GroupSpread:
    """How all blocks together spread to peers of one group."""

    name: str
    peers: int
    attached: int
    """Pairs of a block and an attached peer."""
    announced: int
    percentiles: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """What a file says."""

    blocks: list[BlockSpread]
    """The latest first."""
    ignored: int
    """Blocks that too few announced."""
    networks: list[GroupSpread]
    programs: list[GroupSpread]
    transactions: int
    transaction_percentiles: tuple[float | None, ...]
    """Medians over the transactions."""


def summarize(path: Path) -> Summary:
    """Read a file. Raises `StartupError`."""
    if not path.is_file():
        raise StartupError(f"there is no file {path}", ExitStatus.CONFIG)
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            return _summarize(db)
    except sqlite3.Error as error:
        raise StartupError(f"cannot read {path}: {error}", ExitStatus.DATADIR) from error


def _summarize(db: sqlite3.Connection) -> Summary:
    blocks: list[BlockSpread] = []
    ignored = 0
    groups: dict[str, dict[str, list[float | None]]] = {"network": {}, "program": {}}
    members: dict[str, set[str]] = {}
    for block_hash, first_seen, rows in _blocks(db):
        delays = sorted(delay for _, _, _, delay in rows if delay is not None)
        if len(delays) < MIN_SHARE * len(rows):
            ignored += 1
            continue
        first = next(address for address, _, _, delay in rows if delay == 0)
        spread = percentiles(delays, len(rows))
        blocks.append(BlockSpread(block_hash, first_seen, first, len(rows), len(delays), spread))
        for address, network, user_agent, delay in rows:
            for kind, name in (("network", network), ("program", program(user_agent))):
                groups[kind].setdefault(name, []).append(delay)
                members.setdefault(name, set()).add(address)
    count, medians = _transactions(db)
    networks, programs = (_groups(groups[kind], members) for kind in ("network", "program"))
    return Summary(blocks, ignored, networks, programs, count, medians)


def _blocks(db: sqlite3.Connection) -> Iterator[tuple[str, float, list[Any]]]:
    query = """
        SELECT p.address, p.network, p.user_agent, s.delay FROM sightings s JOIN peers p ON p.id = s.peer
        WHERE s.block = ? ORDER BY s.delay
    """
    for number, block_hash, first_seen in db.execute(
        "SELECT id, hash, first_seen FROM blocks ORDER BY first_seen DESC"
    ):
        yield block_hash, first_seen, db.execute(query, [number]).fetchall()


def _groups(delays: dict[str, list[float | None]], members: dict[str, set[str]]) -> list[GroupSpread]:
    """Those with the most peers first."""
    found = []
    for name, values in delays.items():
        told = sorted(delay for delay in values if delay is not None)
        spread = percentiles(told, len(values))
        found.append(GroupSpread(name, len(members[name]), len(values), len(told), spread))
    return sorted(found, key=lambda group: (-group.peers, group.name))


def _transactions(db: sqlite3.Connection) -> tuple[int, tuple[float | None, ...]]:
    """How many that enough announced, and the median of each percentile."""
    rows = db.execute("SELECT p50, p90, p99 FROM transactions WHERE announced >= ? * attached", [MIN_SHARE]).fetchall()
    columns = zip(*rows, strict=True) if rows else ((), (), ())
    medians = [
        percentiles(sorted(value for value in column if value is not None), len(rows), [50])[0] for column in columns
    ]
    return len(rows), tuple(medians)

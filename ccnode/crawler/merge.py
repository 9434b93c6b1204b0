"""``merge``: the census files of several vantage points, or of the parts of a split round, put into one.

Rounds are told apart by vantage point and start; one that is there already is not added again, so a merge can be
repeated after every round. The nodes' histories are not added up but made anew, of all visits in order of time:
they are what one crawler would have written that had made all the visits.

It is one transaction: a merge that is interrupted has changed nothing.
"""

import argparse
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlite_utils import Database as SqliteDatabase

from ccnode.crawler.archive import Archive
from ccnode.crawler.history_store import clear, close_stale_sessions, reckon
from ccnode.crawler.outcome import Visit
from ccnode.crawler.rows import VISIT_COLUMNS, read_visit
from ccnode.crawler.schema import CENSUS
from ccnode.crawler.words import counted
from ccnode.errors import ConfigError, ExitStatus
from ccnode.storage.database import Database
from ccnode.wire.addresses import unpack_address

_NODE: Final = "(SELECT id FROM nodes WHERE key = ?)"
_FIELDS: Final = (*VISIT_COLUMNS, "asn")
_QUALIFIED: Final = ", ".join(f"v.{name}" for name in _FIELDS)

_COPIES: Final = (
    (
        "SELECT s.key, n.key, a.via, a.heard, a.claimed_time, a.outcome FROM addresses a "
        "JOIN nodes n ON n.id = a.node LEFT JOIN nodes s ON s.id = a.source WHERE a.round = ? ORDER BY a.id",
        "INSERT INTO addresses (round, source, node, via, heard, claimed_time, outcome) "
        f"VALUES (?, {_NODE}, {_NODE}, ?, ?, ?, ?)",
    ),
    (
        f"SELECT n.key, {_QUALIFIED} FROM visits v JOIN nodes n ON n.id = v.node WHERE v.round = ? ORDER BY v.id",
        f"INSERT INTO visits (round, node, {', '.join(_FIELDS)}) VALUES (?, {_NODE}, {', '.join('?' * len(_FIELDS))})",
    ),
    (
        "SELECT s.key, n.key, d.claimed_time, d.services FROM adverts d "
        "JOIN nodes s ON s.id = d.source JOIN nodes n ON n.id = d.node WHERE d.round = ?",
        f"INSERT INTO adverts (round, source, node, claimed_time, services) VALUES (?, {_NODE}, {_NODE}, ?, ?)",
    ),
)
"""What a round consists of: how its rows are read from one file, and written to another."""

_NODES: Final = """
    SELECT key, network, address, port, first_heard FROM nodes WHERE id IN (
        SELECT node FROM addresses WHERE round = :round UNION SELECT source FROM addresses WHERE round = :round
        UNION SELECT node FROM visits WHERE round = :round
        UNION SELECT source FROM adverts WHERE round = :round UNION SELECT node FROM adverts WHERE round = :round)
    ORDER BY id
"""
_ADD_NODE: Final = """
    INSERT INTO nodes (key, network, address, port, first_heard) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (key) DO UPDATE SET first_heard = min(first_heard, excluded.first_heard)
"""


def merge_files(target: Path, sources: Sequence[Path]) -> int:
    """Add the finished rounds of ``sources`` to ``target``, which need not exist; how many there were to add.

    Raises `StartupError` where a file is none, or `ConfigError` where they are of different chains.
    """
    networks = set()
    for path in sources:
        with Archive(path) as archive:
            networks.add(archive.network)
    if len(networks) != 1:
        raise ConfigError(f"the files are of different chains: {', '.join(sorted(networks))}")
    database = Database(target, networks.pop(), _raise, CENSUS)
    try:
        return database.call(_merge, list(sources))
    finally:
        database.close()


def _raise(error: BaseException) -> None:
    raise error


def _merge(db: SqliteDatabase, sources: Sequence[Path]) -> int:
    """On the database's worker."""
    added = 0
    for path in sources:
        source = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        try:
            added += sum(_copy_round(source, db.conn, row) for row in source.execute(_ROUNDS).fetchall())
        finally:
            source.close()
    if added:
        clear(db.conn)
        reckon(db.conn, _all_visits(db.conn))
        close_stale_sessions(db.conn, db.conn.execute("SELECT max(ended) FROM rounds").fetchone()[0])
    return added


_ROUNDS: Final = "SELECT id, vantage, started, ended, status, config FROM rounds WHERE ended NOT NULL ORDER BY started"


def _copy_round(source: sqlite3.Connection, target: sqlite3.Connection, row: tuple[Any, ...]) -> bool:
    """False if it is there already."""
    old, vantage, started, *rest = row
    if target.execute("SELECT 1 FROM rounds WHERE (vantage, started) = (?, ?)", [vantage, started]).fetchone():
        return False
    fields = "vantage, started, ended, status, config"
    cursor = target.execute(f"INSERT INTO rounds ({fields}) VALUES (?, ?, ?, ?, ?)", [vantage, started, *rest])
    new = cursor.lastrowid
    target.executemany(_ADD_NODE, source.execute(_NODES, {"round": old}))
    for read, write in _COPIES:
        target.executemany(write, ((new, *values) for values in source.execute(read, [old])))
    return True


def _all_visits(connection: sqlite3.Connection) -> Iterator[tuple[int, Visit]]:
    query = f"SELECT n.id, n.key, {_QUALIFIED} FROM visits v JOIN nodes n ON n.id = v.node ORDER BY v.started, v.id"
    for node, key, *fields, _asn in connection.execute(query):
        yield node, read_visit(unpack_address(key), tuple(fields))


def merge(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="crawl.py merge", description="Put the rounds of several census files into one, and make histories anew."
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="census files of one chain")
    parser.add_argument("--into", type=Path, required=True, metavar="FILE", help="a new census file, or one to add to")
    options = parser.parse_args(arguments)
    if options.into.resolve() in [path.resolve() for path in options.files]:
        raise ConfigError(f"{options.into} cannot be merged into itself")
    added = merge_files(options.into, options.files)
    print(f"{counted(added, 'round')} added to {options.into}")
    return ExitStatus.OK

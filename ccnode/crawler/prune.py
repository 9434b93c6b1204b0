"""``prune``: forget old rounds, and keep what they taught.

A file grows by every round. What is forgotten is who was where in those rounds: their visits, addresses and adverts,
and the addresses that nobody ever reached and no later round has heard of, which are most. What is kept is the history
that the visits made (``ccnode.crawler.history``): when a node was first and last reached, its sessions, its changes.

`merge` makes histories anew from visits, so keep a copy of the file if it is to be merged.
"""

import argparse
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from sqlite_utils import Database as SqliteDatabase

from ccnode.crawler.archive import Archive
from ccnode.crawler.files import add_file_options, census_file
from ccnode.crawler.schema import CENSUS
from ccnode.crawler.words import counted
from ccnode.errors import ConfigError, ExitStatus, StorageError
from ccnode.storage.database import Database

_OLD: Final = """
    CREATE TEMP TABLE old AS
    WITH numbered AS (
        SELECT vantage, started, row_number() OVER (PARTITION BY vantage ORDER BY started DESC) AS place
        FROM rounds WHERE ended NOT NULL AND status != 'revisit'
    )
    SELECT r.id AS round FROM rounds r JOIN numbered n ON n.vantage = r.vantage AND n.place = ?
    WHERE r.started < n.started
"""
"""Rounds before the last that is kept, each vantage point for itself; the revisits among them as well."""

_FORGET: Final = (
    *(f"DELETE FROM {table} WHERE round IN (SELECT round FROM old)" for table in ("adverts", "visits", "addresses")),
    "DELETE FROM rounds WHERE id IN (SELECT round FROM old)",
    """
    DELETE FROM nodes WHERE first_reached IS NULL AND id NOT IN (
        SELECT node FROM addresses UNION SELECT source FROM addresses WHERE source NOT NULL
        UNION SELECT node FROM visits UNION SELECT source FROM adverts UNION SELECT node FROM adverts)
    """,
    "DROP TABLE old",
)


def prune_file(path: Path, keep: int) -> int:
    """Forget all but the last ``keep`` finished rounds of each vantage point; how many were forgotten.

    Raises `StartupError` where there is no such file or another program writes it, `StorageError` where writing fails.
    """
    with Archive(path) as archive:
        network = archive.network
    database = Database(path, network, _raise, CENSUS)
    try:
        forgotten = database.call(_prune, keep)
    finally:
        database.close()
    if forgotten:
        _shrink(path)
    return forgotten


def _raise(error: BaseException) -> None:
    raise error


def _prune(db: SqliteDatabase, keep: int) -> int:
    """On the database's worker."""
    db.conn.execute(_OLD, [keep])
    count: int = db.conn.execute("SELECT count(*) FROM old").fetchone()[0]
    for statement in _FORGET:
        db.conn.execute(statement)
    return count


def _shrink(path: Path) -> None:
    """Give the disk back what is not needed any more; takes as much again meanwhile."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        try:
            connection.execute("VACUUM")
        except sqlite3.Error as error:
            raise StorageError(f"{path}: pruned, but not made smaller: {error}") from error


def prune(arguments: Sequence[str]) -> int:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="crawl.py prune", description="Forget old rounds; the history of nodes that were reached is kept."
    )
    parser.add_argument("--keep", type=int, required=True, metavar="N", help="finished rounds of each vantage point")
    add_file_options(parser)
    options = parser.parse_args(arguments)
    if options.keep < 1:
        raise ConfigError("keep must be at least 1")
    path = census_file(options)
    before = path.stat().st_size if path.is_file() else 0
    forgotten = prune_file(path, options.keep)
    after = path.stat().st_size
    print(f"{counted(forgotten, 'round')} forgotten; {path}: {before / 1e6:.1f} MB, now {after / 1e6:.1f}")
    return ExitStatus.OK

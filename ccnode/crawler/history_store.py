"""Standings in the database: read before a visit is reckoned in, written after. Runs on the database's worker."""

from collections.abc import Iterable
from sqlite3 import Connection
from typing import Any, Final

from ccnode.crawler.history import MAX_GAP, Session, Standing, Window, advance, presence
from ccnode.crawler.outcome import Outcome, Visit
from ccnode.crawler.rows import signed, unsigned

_COLUMNS: Final = (
    "last_visited", "outcome", "failures", "next_visit", "first_reached", "last_reached", "version", "services",
    "user_agent", "height",
)  # fmt: skip
"""Of the table ``nodes``; the first fields of a `Standing`, in this order."""

_LOAD: Final = f"SELECT {', '.join(_COLUMNS)} FROM nodes WHERE id = ?"
_SAVE: Final = f"UPDATE nodes SET {', '.join(f'{name} = ?' for name in _COLUMNS)} WHERE id = ?"
_OPEN_SESSION: Final = "SELECT began, last FROM sessions WHERE node = ? AND ended IS NULL"
_WINDOWS: Final = "SELECT window, reliability, weight, count FROM reliability WHERE node = ? ORDER BY window"


def reckon(connection: Connection, visits: Iterable[tuple[int, Visit]]) -> None:
    """Add visits, each with its node's number, to the history; those of one node in order of time."""
    for node, visit in visits:
        if presence(visit.outcome) is not None:
            standing = load_standing(connection, node)
            news = advance(standing, visit)
            _save(connection, node, standing)
            if news.closed is not None:
                _save_session(connection, node, news.closed)
            for change in news.changes:
                values = node, change.time, change.field, change.old, change.new
                connection.execute("INSERT INTO changes (node, time, field, old, new) VALUES (?, ?, ?, ?, ?)", values)


def load_standing(connection: Connection, node: int) -> Standing:
    """The standing of a node that is in the table ``nodes``."""
    row: tuple[Any, ...] = connection.execute(_LOAD, [node]).fetchone()
    standing = Standing(*row)
    standing.outcome = None if row[1] is None else Outcome(row[1])
    standing.services = unsigned(standing.services)
    if standing.first_reached is not None:
        session = connection.execute(_OPEN_SESSION, [node]).fetchone()
        standing.session = None if session is None else Session(*session)
        standing.windows = [Window(*window) for window in connection.execute(_WINDOWS, [node])]
    return standing


def close_stale_sessions(connection: Connection, now: float) -> None:
    """End the sessions of nodes that nobody has visited for too long."""
    connection.execute("UPDATE sessions SET ended = last WHERE ended IS NULL AND last < ?", [now - MAX_GAP])


def clear(connection: Connection) -> None:
    """Forget all history, so that the visits can be reckoned in again."""
    for table in ("sessions", "reliability", "changes"):
        connection.execute(f"DELETE FROM {table}")
    for name in _COLUMNS:
        connection.execute(f"UPDATE nodes SET {name} = {0 if name == 'failures' else 'NULL'}")


def _save(connection: Connection, node: int, standing: Standing) -> None:
    outcome = None if standing.outcome is None else standing.outcome.value
    times = standing.first_reached, standing.last_reached
    claims = standing.version, signed(standing.services), standing.user_agent, standing.height
    values = standing.last_visited, outcome, standing.failures, standing.next_visit, *times, *claims, node
    connection.execute(_SAVE, values)
    if standing.session is not None:
        _save_session(connection, node, standing.session)
    if standing.windows:
        connection.executemany(
            "INSERT OR REPLACE INTO reliability VALUES (?, ?, ?, ?, ?)",
            [(node, w.seconds, w.reliability, w.weight, w.count) for w in standing.windows],
        )


def _save_session(connection: Connection, node: int, session: Session) -> None:
    values = node, session.began, session.last, session.ended
    connection.execute("INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?)", values)

"""Small facts in the database: functions for `Database.call` and `Database.post`."""

from collections.abc import Iterable

from sqlite_utils import Database


def get_state(db: Database, key: str) -> str | None:
    """A fact about the node that outlives it, ``None`` if it was never set."""
    row = db.execute("SELECT value FROM state WHERE key = ?", [key]).fetchone()
    return None if row is None else row[0]


def set_state(db: Database, key: str, value: str | None) -> None:
    """Set a fact; ``None`` forgets it."""
    if value is None:
        db.execute("DELETE FROM state WHERE key = ?", [key])
    else:
        db.execute(
            "INSERT INTO state VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value", [key, value]
        )


def load_invalid_headers(db: Database) -> list[bytes]:
    """Hashes (wire order) of the headers marked invalid by themselves; their descendants are not listed."""
    return [row[0] for row in db.execute("SELECT hash FROM invalid_headers ORDER BY rowid")]


def replace_invalid_headers(db: Database, hashes: Iterable[bytes]) -> None:
    """Remember exactly these marks."""
    db.execute("DELETE FROM invalid_headers")
    db.conn.executemany("INSERT INTO invalid_headers VALUES (?)", [(block_hash,) for block_hash in hashes])

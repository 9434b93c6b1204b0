"""The database: a function is a transaction, in order, on the worker; what survives, and what is refused."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
import sqlite_utils

from ccnode.errors import ExitStatus, StartupError, StorageError
from ccnode.storage import database as module
from ccnode.storage.database import NODE, Database, Schema
from ccnode.storage.state import get_state, load_invalid_headers, replace_invalid_headers, set_state
from tests.support.data import ROOT

TABLES = {"state", "invalid_headers", "addrman", "bans", "_sqlite_migrations"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.sqlite"


@pytest.fixture
def faults() -> list[BaseException]:
    return []


@pytest.fixture
def db(path: Path, faults: list[BaseException]) -> Iterator[Database]:
    database = Database(path, "regtest", faults.append)
    yield database
    database.close()


def fail(db: sqlite_utils.Database, error: Exception) -> None:
    set_state(db, "half", "done")
    raise error


def bad_sql(db: sqlite_utils.Database) -> None:
    set_state(db, "half", "done")
    db.execute("INSERT INTO nowhere VALUES (1)")


def test_new_database_has_its_tables(path: Path, db: Database) -> None:
    db.close()
    tables = sqlite_utils.Database(path)
    assert set(tables.table_names()) == TABLES
    assert tables["addrman"].pks == ["network", "addr", "port"]
    assert tables.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_call_returns_what_the_function_returns(db: Database) -> None:
    assert db.call(get_state, "tip") is None
    db.call(set_state, "tip", "a")
    db.call(set_state, "tip", "b")
    assert db.call(get_state, "tip") == "b"
    db.call(set_state, "tip", None)
    assert db.call(get_state, "tip") is None


def test_functions_run_on_one_other_thread(db: Database) -> None:
    threads = {db.call(lambda _: threading.get_ident()) for _ in range(5)}
    assert len(threads) == 1
    assert threads != {threading.get_ident()}


def test_only_the_caller_waits(db: Database) -> None:
    """While one greenlet is in `call`, another runs: it is what lets the worker's function end."""
    release = threading.Event()
    started = threading.Event()

    def slow(_: Any) -> str:
        started.set()
        assert release.wait(10)
        return "done"

    task = gevent.spawn(db.call, slow)
    while not started.is_set():
        gevent.sleep(0.001)
    release.set()
    assert task.get(timeout=10) == "done"


def test_posts_and_calls_keep_their_order(db: Database) -> None:
    seen: list[int] = []
    for number in range(50):
        db.post(lambda _, n=number: seen.append(n))
    db.call(lambda _: seen.append(50))
    assert seen == list(range(51))


def test_post_does_not_switch(db: Database) -> None:
    others: list[int] = []
    gevent.spawn(others.append, 1)
    for _ in range(100):
        db.post(get_state, "x")
    assert not others
    db.call(get_state, "x")
    assert others


def test_close_finishes_what_was_posted(path: Path, faults: list[BaseException]) -> None:
    db = Database(path, "regtest", faults.append)
    for number in range(20):
        db.post(set_state, f"key{number}", "x")
    db.close()
    db.close()
    assert not path.with_name("node.sqlite-wal").exists()
    assert sqlite3.connect(path).execute("SELECT count(*) FROM state WHERE key LIKE 'key%'").fetchone() == (20,)
    with pytest.raises(RuntimeError, match="is closed"):
        db.call(get_state, "x")


def test_errors_of_sqlite_undo_the_transaction(path: Path, db: Database, faults: list[BaseException]) -> None:
    with pytest.raises(StorageError) as caught:
        db.call(bad_sql)
    assert str(caught.value) == f"{path}: no such table: nowhere"
    assert db.call(get_state, "half") is None
    db.post(bad_sql)
    db.post(set_state, "after", "yes")
    assert db.call(get_state, "half") is None
    assert db.call(get_state, "after") == "yes"
    assert [str(fault) for fault in faults] == [f"{path}: no such table: nowhere"]


def test_other_errors_undo_the_transaction_and_reach_the_caller(
    db: Database, faults: list[BaseException], capfd: pytest.CaptureFixture[str]
) -> None:
    refused = StorageError("refused")
    with pytest.raises(StorageError) as caught:
        db.call(fail, refused)
    assert caught.value is refused
    assert capfd.readouterr().err == ""
    defect = KeyError("defect")
    with pytest.raises(KeyError):
        db.call(fail, defect)
    db.post(fail, defect)
    assert db.call(get_state, "half") is None
    assert faults == [defect]
    assert "KeyError: 'defect'" in capfd.readouterr().err  # where it was, for whoever has to find it


def test_full_disk_is_a_storage_error(path: Path, db: Database) -> None:
    def fill(sqlite: sqlite_utils.Database) -> None:
        sqlite.execute("INSERT INTO state VALUES ('big', ?)", ["x" * 1_000_000])

    db.call(lambda sqlite: None)
    db._worker.apply(lambda: db._db.execute("PRAGMA max_page_count = 20"))
    with pytest.raises(StorageError, match="database or disk is full"):
        db.call(fill)
    db.call(set_state, "small", "fits")
    assert db.call(get_state, "small") == "fits"


def test_marks_of_invalid_headers(path: Path, db: Database) -> None:
    hashes = [bytes([n]) * 32 for n in range(5)]
    assert db.call(load_invalid_headers) == []
    db.call(replace_invalid_headers, hashes)
    assert db.call(load_invalid_headers) == hashes
    db.call(replace_invalid_headers, hashes[3:])
    db.close()
    again = Database(path, "regtest", print)
    assert again.call(load_invalid_headers) == hashes[3:]
    again.close()


def test_database_of_another_network_is_refused(path: Path, db: Database) -> None:
    db.close()
    with pytest.raises(StartupError) as caught:
        Database(path, "signet", print)
    assert str(caught.value) == f"{path} belongs to network regtest, not to signet; choose another datadir"
    assert caught.value.exit_status is ExitStatus.DATADIR


def test_database_of_a_later_version_is_refused(path: Path, db: Database) -> None:
    db.close()
    with sqlite3.connect(path) as connection:
        connection.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('ccnode', '0099_later', '')"
        )
    connection.close()
    with pytest.raises(StartupError) as caught:
        Database(path, "regtest", print)
    assert str(caught.value) == (
        f"{path} was written by a later version of ccnode (step 0099_later); use that version, or another datadir"
    )


def test_schema_step_is_applied_once_and_whole(path: Path, db: Database) -> None:
    db.call(set_state, "kept", "yes")
    db.close()
    steps = sqlite_utils.Migrations("ccnode")
    for step in NODE.migrations.pending(sqlite_utils.Database(memory=True)):
        steps(name=step.name)(step.fn)

    @steps(name="9999_fails")
    def _(db: sqlite_utils.Database) -> None:
        db["half"].create({"a": int})
        if not allowed:
            raise sqlite3.DatabaseError("interrupted")

    schema = Schema(steps, "nothing is lost")
    allowed = False
    with pytest.raises(StartupError, match=r"interrupted.*\(nothing is lost\)"):
        Database(path, "regtest", print, schema)
    assert set(sqlite_utils.Database(path).table_names()) == TABLES
    allowed = True
    for _ in range(2):
        database = Database(path, "regtest", print, schema)
        assert database.call(get_state, "kept") == "yes"
        database.close()
    assert "half" in sqlite_utils.Database(path).table_names()


def test_damaged_file_is_refused_with_a_way_out(path: Path, db: Database) -> None:
    db.call(lambda sqlite: [set_state(sqlite, f"key{n}", "x" * 500) for n in range(500)])
    db.close()
    sound = path.read_bytes()
    for broken in (b"not a database " * 1000, sound[:8192] + b"\xff" * 8192 + sound[16384:], sound[:-20000]):
        path.write_bytes(broken)
        with pytest.raises(StartupError) as caught:
            Database(path, "regtest", print)
        assert caught.value.exit_status is ExitStatus.DAMAGED
        assert str(caught.value).startswith(f"{path} is damaged (")
        assert "move it away to start with an empty one" in str(caught.value)
        assert path.read_bytes() == broken


def test_place_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(StartupError) as caught:
        Database(tmp_path / "none" / "node.sqlite", "regtest", print)
    assert str(caught.value) == f"cannot open {tmp_path}/none/node.sqlite: unable to open database file"
    assert caught.value.exit_status is ExitStatus.DATADIR


def test_file_locked_by_another_program(path: Path, db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    db.close()
    monkeypatch.setattr(module, "BUSY_SECONDS", 0.0)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StartupError, match="cannot open .*: database is locked"):  # noqa: RUF043
        Database(path, "regtest", print)
    other.close()


CHILD = """
import sys
from ccnode.storage.database import Database
from ccnode.storage.state import set_state
from pathlib import Path
db = Database(Path(sys.argv[1]), "regtest", print)
number = 0
while True:
    db.call(lambda sqlite: [set_state(sqlite, f"{part}", str(number)) for part in ("one", "two")])
    print(number, flush=True)
    number += 1
"""


@pytest.mark.parametrize("commits", [1, 7, 40])
def test_kill_loses_no_finished_transaction_and_leaves_none_half_done(path: Path, commits: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert child.stdout is not None
    reported = [int(child.stdout.readline()) for _ in range(commits)][-1]
    child.send_signal(signal.SIGKILL)
    rest = child.communicate()[0].split()
    reported = int(rest[-1]) if rest else reported
    db = Database(path, "regtest", print)
    one, two = db.call(get_state, "one"), db.call(get_state, "two")
    db.close()
    assert one == two
    assert int(one or -1) >= reported

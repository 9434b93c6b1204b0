"""The node's SQLite database, ``node.sqlite``: addresses, bans, marks on headers, and small facts about the node.

SQLite blocks the thread that calls it, and under gevent one thread is the whole node. A connection also does not know
greenlets: a switch in the middle of a transaction would let another greenlet's statements join it. So one worker
thread owns the one connection, and the unit of work is a *function*: `Database.call` and `Database.post` run
``function(db, ...)`` on the worker, from ``BEGIN IMMEDIATE`` to ``COMMIT``, all of it or none. Functions run in the
order in which they were handed in. They take and return plain values, they do not log, and they know nothing of the
node's objects.

The journal is a write-ahead log with ``synchronous=NORMAL``: the death of the process at any instant loses no finished
transaction, a power failure may lose the last ones, and neither damages the file. The database is checked when it is
opened. There is no chain state in here: whoever deletes the file loses known addresses, bans and marks, not headers.

The schema is built by named steps that are recorded in the database. A step that a release has shipped is never
edited; a change is a new step. Another database that is kept in the same way brings a `Schema` of its own, in which
there is a table ``state`` as well.
"""

import sqlite3
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

import gevent
import sqlite_utils
from gevent.event import AsyncResult
from gevent.threadpool import ThreadPool

from ccnode.errors import CcnodeError, ExitStatus, StartupError, StorageError

T = TypeVar("T")

BUSY_SECONDS: Final = 1.0
"""How long to wait for a lock that another program holds. Only this process is meant to write."""

migrations: Final = sqlite_utils.Migrations("ccnode")


@dataclass(frozen=True, slots=True)
class Schema:
    """What a database is for."""

    migrations: sqlite_utils.Migrations
    loss: str
    """What is lost without the file: tells people what moving a damaged one away costs."""
    place: str = "datadir"
    """What people call the directory, if they are to choose another."""


NODE: Final = Schema(migrations, "known addresses, bans and marks on headers are lost, headers are not")


@migrations(name="0001_first_tables")
def _first_tables(db: sqlite_utils.Database) -> None:
    db["state"].create({"key": str, "value": str}, pk="key", not_null={"value"})  # type: ignore[union-attr]
    db["invalid_headers"].create({"hash": bytes}, pk="hash")  # type: ignore[union-attr]
    columns = {
        "network": str,
        "addr": bytes,
        "port": int,
        "services": int,
        "last_seen": int,
        "last_try": int,
        "last_success": int,
        "attempts": int,
        "source": str,
    }
    db["addresses"].create(columns, pk=("network", "addr", "port"), not_null=set(columns))  # type: ignore[union-attr]


@migrations(name="0002_address_manager")
def _address_manager(db: sqlite_utils.Database) -> None:
    columns = {
        "network": str,
        "addr": bytes,
        "port": int,
        "source_network": str,
        "source_addr": bytes,
        "source_port": int,
        "services": int,
        "time": int,
        "last_success": int,
        "last_try": int,
        "attempts": int,
        "in_tried": int,
        "slots": bytes,
    }
    db["addrman"].create(columns, pk=("network", "addr", "port"), not_null=set(columns))  # type: ignore[union-attr]
    # Who told us is not known any more in a form that names a group; each address stands for itself.
    db.execute(
        "INSERT INTO addrman SELECT network, addr, port, network, addr, port, services, last_seen, last_success, "
        "last_try, attempts, last_success > 0, x'' FROM addresses"
    )
    db["addresses"].drop()


@migrations(name="0003_bans")
def _bans(db: sqlite_utils.Database) -> None:
    columns = {"network": str, "base": bytes, "prefix": int, "created": int, "until": int, "reason": str}
    db["bans"].create(columns, pk=("network", "base", "prefix"), not_null=set(columns))  # type: ignore[union-attr]


class Database:
    """An open database and its worker. Call `close` when done."""

    def __init__(
        self, path: Path, network: str, on_fault: Callable[[BaseException], None], schema: Schema = NODE
    ) -> None:
        """Open or create ``path``, bring its schema up to date and check that it belongs to ``network``.

        ``network`` is any text that tells networks apart. ``on_fault`` hears of a `post` that failed; it must not wait.
        Raises `StartupError`.
        """
        self.path = path
        self._on_fault = on_fault
        self._schema = schema
        self._jobs: deque[tuple[Callable[[], Any], AsyncResult | None]] = deque()
        self._pump: gevent.Greenlet | None = None
        self._closed = False
        self._worker = ThreadPool(1)
        self._db: sqlite_utils.Database  # of the worker alone
        problem = self._worker.apply(self._open, (network,))
        if problem is not None:
            self._worker.kill()
            raise problem

    def call(self, function: Callable[..., T], *args: object) -> T:
        """Run ``function(db, *args)`` as one transaction; wait for its result.

        Only the calling greenlet waits. What the function raises undoes the transaction and is raised here; errors
        of SQLite become `StorageError`.
        """
        result = AsyncResult()
        self._submit(lambda: function(self._db, *args), result)
        outcome = result.get()
        if isinstance(outcome, CcnodeError):
            raise outcome
        return outcome  # type: ignore[no-any-return]

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Run ``function(db, *args)`` as one transaction, later and in order; never waits and never switches."""
        self._submit(lambda: function(self._db, *args), None)

    def wait(self) -> None:
        """Wait until all that was handed in before is committed."""
        self.call(lambda _db: None)

    def close(self) -> None:
        """Finish what was handed in, then close the file; a second call does nothing."""
        if self._pump is not None:
            self._pump.join()
        if not self._closed:
            self._closed = True
            self._worker.apply(self._close)
            self._worker.kill()

    def _submit(self, job: Callable[[], Any], result: AsyncResult | None) -> None:
        if self._closed:
            raise RuntimeError(f"{self.path} is closed")
        self._jobs.append((job, result))
        if self._pump is None or self._pump.dead:
            self._pump = gevent.spawn(self._drain)
            self._pump.name = "database"

    def _drain(self) -> None:
        """Hand jobs to the worker, one after the other. The pool's own queue would make `post` wait when it is full."""
        while self._jobs:
            job, result = self._jobs.popleft()
            outcome = self._worker.spawn(self._transaction, job)
            outcome.wait()
            if result is not None:
                result(outcome)  # takes over value or exception
            elif isinstance(outcome.value, CcnodeError):
                self._on_fault(outcome.value)
            elif outcome.exception is not None:
                self._on_fault(outcome.exception)

    # The rest runs on the worker.

    def _open(self, network: str) -> StartupError | None:
        """Returned, not raised: the pool prints what a job raises."""
        connection = None
        try:
            connection = sqlite3.connect(self.path, timeout=BUSY_SECONDS, isolation_level=None)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            verdict = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            self._db = sqlite_utils.Database(connection, execute_plugins=False)
            self._migrate(network)
        except (sqlite3.Error, StartupError) as error:
            if connection is not None:
                connection.close()
            return error if isinstance(error, StartupError) else self._cannot_open(error)
        return None

    def _cannot_open(self, error: sqlite3.Error) -> StartupError:
        if isinstance(error, sqlite3.OperationalError):  # locked, no such directory, read-only
            return StartupError(f"cannot open {self.path}: {error}", ExitStatus.DATADIR)
        return StartupError(
            f"{self.path} is damaged ({error}); move it away to start with an empty one ({self._schema.loss})",
            ExitStatus.DAMAGED,
        )

    def _migrate(self, network: str) -> None:
        migrations = self._schema.migrations
        known = {step.name for step in migrations.pending(sqlite_utils.Database(memory=True, execute_plugins=False))}
        newer = {step.name for step in migrations.applied(self._db)} - known
        if newer:
            raise StartupError(
                f"{self.path} was written by a later version of ccnode (step {max(newer)}); "
                f"use that version, or another {self._schema.place}",
                ExitStatus.DATADIR,
            )
        migrations.apply(self._db)
        with self._db.atomic():
            self._db.execute("INSERT OR IGNORE INTO state VALUES ('network', ?)", [network])
            (found,) = self._db.execute("SELECT value FROM state WHERE key = 'network'").fetchone()
        if found != network:
            raise StartupError(
                f"{self.path} belongs to network {found}, not to {network}; choose another {self._schema.place}",
                ExitStatus.DATADIR,
            )

    def _transaction(self, job: Callable[[], T]) -> T | CcnodeError:
        """Errors that are meant are returned; a defect is raised, so that the pool prints where it was."""
        connection = self._db.conn
        try:
            connection.execute("BEGIN IMMEDIATE")
            try:
                value = job()
            except BaseException:
                connection.rollback()
                raise
            connection.commit()
        except sqlite3.Error as error:
            connection.rollback()  # where it was the commit that failed
            return StorageError(f"{self.path}: {error}")
        except CcnodeError as error:
            return error
        return value

    def _close(self) -> None:
        self._db.conn.close()

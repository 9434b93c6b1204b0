"""Old rounds are forgotten, and what they taught is kept."""

from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest

from ccnode.crawler.archive import Archive
from ccnode.crawler.outcome import SEED_SOURCE, Outcome, Visit
from ccnode.crawler.prune import prune, prune_file
from ccnode.crawler.rows import REVISIT
from ccnode.crawler.store import Store
from ccnode.errors import ConfigError, ExitStatus, StartupError
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import pack_address
from tests.support.clock import ManualClock

NOW = 1_700_000_000.0
A, B, GONE, LATE = (NetworkAddress.parse(f"9.0.0.{n}:8333") for n in range(1, 5))


def add_round(store: Store, clock: ManualClock, found: dict[NetworkAddress, Outcome], vantage: str, status: str) -> int:
    number = store.begin_round({}, vantage, status if status == REVISIT else "running")
    entries = [(0, 9, pack_address(address)) for address in found]
    store.learned(SEED_SOURCE, entries, "seed")
    store.named(pack_address(A), entries)
    visits = [
        Visit(address=address, outcome=outcome, started=clock.now(), attempts=1, user_agent=f"/{number}/")
        for address, outcome in found.items()
    ]
    store.record(visits)
    store.finish_round(status)
    clock.advance(43_200)
    return number


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Rounds 1, 3, 5 of one place, with revisits 2 and 4 in between, and round 6 of another."""
    clock = ManualClock(NOW)
    store = Store(tmp_path / "main.sqlite", "main", clock)
    first = {A: Outcome.REACHABLE, B: Outcome.REACHABLE, GONE: Outcome.TIMEOUT}
    add_round(store, clock, first, "", "complete")
    add_round(store, clock, {A: Outcome.REACHABLE}, "", REVISIT)
    add_round(store, clock, {A: Outcome.REACHABLE, B: Outcome.TIMEOUT}, "", "stopped")
    add_round(store, clock, {A: Outcome.REACHABLE}, "", REVISIT)
    add_round(store, clock, {A: Outcome.REACHABLE, LATE: Outcome.REFUSED}, "", "complete")
    add_round(store, clock, {A: Outcome.REACHABLE}, "elsewhere", "complete")
    store.close()
    return tmp_path / "main.sqlite"


@pytest.mark.parametrize(
    ("keep", "left"), [(1, [5, 6]), (2, [3, 4, 5, 6]), (3, [1, 2, 3, 4, 5, 6]), (9, [1, 2, 3, 4, 5, 6])]
)
def test_the_last_rounds_of_each_place_are_kept(path: Path, keep: int, left: list[int]) -> None:
    assert prune_file(path, keep) == 6 - len(left)
    with closing(connect(path)) as database:
        for table in ("addresses", "visits", "adverts"):
            assert [n for (n,) in database.execute(f"SELECT DISTINCT round FROM {table} ORDER BY round")] == left
    with Archive(path) as archive:
        assert [one.number for one in archive.rounds()] == left
        assert prune_file(path, keep) == 0


def test_the_history_of_nodes_stays(path: Path) -> None:
    with Archive(path) as archive:
        before = {one: archive.standing(archive.find(one) or 0) for one in (A, B)}
        sessions, changes = list(archive.sessions()), archive.changes()
    prune_file(path, 1)
    with Archive(path) as archive:
        assert {one: archive.standing(archive.find(one) or 0) for one in (A, B)} == before
        assert (list(archive.sessions()), archive.changes()) == (sessions, changes)
        assert archive.find(GONE) is None
        assert archive.find(LATE) is not None
        assert len(changes) >= 4


def test_the_next_round_goes_on(path: Path) -> None:
    prune_file(path, 1)
    clock = ManualClock(NOW + 7 * 86_400)
    store = Store(path, "main", clock)
    assert store.reached_since(NOW, 10) == [pack_address(A), pack_address(B)]
    number = add_round(store, clock, {B: Outcome.REACHABLE, GONE: Outcome.REACHABLE}, "", "complete")
    store.close()
    with Archive(path) as archive:
        assert archive.round().number == number
        assert len(list(archive.visits(number))) == 2


def test_the_command_tells_what_it_did(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert prune(["--keep=1", "--file", str(path)]) == ExitStatus.OK
    assert capsys.readouterr().out.startswith(f"4 rounds forgotten; {path}: ")
    with pytest.raises(ConfigError, match="keep must be at least 1"):
        prune(["--keep=0", "--file", str(path)])


def test_a_file_that_is_being_written_is_left_alone(path: Path) -> None:
    with closing(connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StartupError, match="locked"):
            prune_file(path, 1)
        other.execute("ROLLBACK")
    with Archive(path) as archive:
        assert len(archive.rounds()) == 6

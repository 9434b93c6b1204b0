"""The address manager on disk: what a restart, another asmap, an older schema and `kill -9` leave of it."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlite_utils

from ccnode.peers import addrman as addrman_module
from ccnode.peers.addrman import AddrMan
from ccnode.peers.addrman_entry import AddrRecord
from ccnode.peers.asmap import Asmap
from ccnode.peers.netgroup import NetGroupManager
from ccnode.storage.addrman_store import AddrManStore
from ccnode.storage.database import NODE, Database, Schema
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress
from tests.support.clock import ManualClock
from tests.support.data import ROOT

NOW = 1_700_000_000
SOURCE = NetworkAddress.parse("250.1.1.1", 8333)
SEED = NetworkAddress(Network.INTERNAL, bytes(range(10)), 0)

Open = Callable[..., tuple[AddrManStore, AddrMan]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "node.sqlite"


@pytest.fixture
def opened(path: Path) -> Iterator[Open]:
    """Opens the database and the manager in it; what was open before is closed first."""
    databases: list[Database] = []

    def reopen(groups: NetGroupManager | None = None, **options: Any) -> tuple[AddrManStore, AddrMan]:
        if databases:
            databases.pop().close()
        databases.append(Database(path, "regtest", pytest.fail))
        store = AddrManStore(databases[0])
        return store, store.open(groups or NetGroupManager(), ManualClock(NOW), random.Random(), **options)

    yield reopen
    databases[0].close()


def address(number: int) -> NetworkAddress:
    return NetworkAddress(Network.IPV4, bytes((20 + number % 60, number // 60 % 250, number // 15000, 1)), 8333)


def entry(where: NetworkAddress, time: int = NOW - 100, services: int = 9) -> TimedAddress:
    return TimedAddress(time, services, where)


def content(addrman: AddrMan) -> list[tuple[int, int, AddrRecord]]:
    """Every slot of both tables, and who is in it."""
    return [(b, p, AddrRecord.of(i)) for tried in (True, False) for b, p, i in addrman.positions(tried)]


def test_everything_survives_a_restart(opened: Open) -> None:
    store, addrman = opened()
    onion = NetworkAddress(Network.ONION, bytes(range(32)), 1)
    addrman.add([entry(address(number)) for number in range(200)], SOURCE)
    addrman.add([entry(onion, services=2**64 - 1)], SEED)
    for number in range(100):
        addrman.add([entry(address(0), NOW - 50 + number)], address(number))
    for number in range(0, 200, 5):
        addrman.good(address(number))
        addrman.attempt(address(number + 1))
    before, key = content(addrman), addrman.key
    store.flush()
    _, again = opened()
    assert content(again) == before
    assert again.key == key
    assert again.take_changes() == ([], [])
    assert again.info(onion).source == SEED  # type: ignore[union-attr]


def test_only_changes_are_written(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    store, addrman = opened()
    addrman.add([entry(address(number)) for number in range(50)], SOURCE)
    store.flush()
    posted: list[tuple[object, ...]] = []
    monkeypatch.setattr(store._database, "post", lambda _function, *args: posted.append(args))
    store.flush()
    assert posted == []
    addrman.attempt(address(3))
    addrman._clear_new(addrman.info(address(4)).slots[0])  # type: ignore[union-attr]
    store.flush()
    ((rows, gone),) = posted
    assert [row[:3] for row in rows] == [("ipv4", address(3).addr, 8333)]  # type: ignore[attr-defined]
    assert gone == [("ipv4", address(4).addr, 8333)]


def test_many_changes_are_written_without_a_timer(opened: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(addrman_module, "WRITE_BEHIND", 20)
    _, addrman = opened()
    addrman.add([entry(address(number)) for number in range(30)], SOURCE)
    assert len(addrman) > 20
    assert len(opened()[1]) == len(addrman)


def test_what_is_gone_stays_gone(opened: Open) -> None:
    store, addrman = opened()
    addrman.add([entry(address(1)), entry(address(2))], SOURCE)
    store.flush()
    addrman._clear_new(addrman.info(address(1)).slots[0])  # type: ignore[union-attr]
    store.flush()
    assert [info.address for _, _, info in opened()[1].positions(False)] == [address(2)]


def test_another_asmap_places_all_anew(opened: Open, data_dir: Path) -> None:
    store, addrman = opened()
    addrman.add([entry(NetworkAddress(Network.IPV4, bytes((250, n, 1, 1)), 8333)) for n in range(40)], SOURCE)
    addrman.good(NetworkAddress(Network.IPV4, bytes((250, 1, 1, 1)), 8333))
    store.flush()
    known, key = len(addrman), addrman.key
    mapped = NetGroupManager(Asmap((data_dir / "vectors/core/asmap.raw").read_bytes()))
    store, again = opened(mapped)
    assert again.key == key
    assert 20 < len(again) < known
    assert len({bucket for bucket, _, _ in again.positions(False)}) == 1  # one AS now, told by one AS
    store.flush()
    before = content(again)
    assert content(opened(mapped)[1]) == before


def test_unroutable_addresses_go_when_no_longer_allowed(opened: Open) -> None:
    store, addrman = opened(allow_unroutable=True)
    addrman.add([entry(NetworkAddress.parse("127.0.0.1", 8333)), entry(address(1))], SOURCE)
    store.flush()
    store, addrman = opened()
    assert len(addrman) == 1
    store.flush()
    assert len(opened(allow_unroutable=True)[1]) == 1


def test_rows_of_nobody_are_passed_over(opened: Open, path: Path) -> None:
    store, addrman = opened()
    addrman.add([entry(address(1)), entry(address(2)), entry(address(3))], SOURCE)
    store.flush()
    opened()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE addrman SET addr = x'0102' WHERE rowid = 1")
        db.execute("UPDATE addrman SET source_network = 'carrier pigeon', slots = x'ffffff' WHERE rowid = 2")
        db.execute("UPDATE addrman SET network = 'carrier pigeon' WHERE rowid = 3")
        db.execute("UPDATE state SET value = 'no hex' WHERE key = 'addrman_key'")
    _, again = opened()
    (_, _, info), *more = again.positions(False)
    assert not more
    assert info.source == info.address


def test_the_older_table_is_taken_over(path: Path, opened: Open) -> None:
    first = sqlite_utils.Migrations("ccnode")
    for step in NODE.migrations.pending(sqlite_utils.Database(memory=True)):
        if step.name in ("0001_first_tables", "0003_bans"):
            first(name=step.name)(step.fn)
    Database(path, "regtest", pytest.fail, Schema(first, "nothing is lost")).close()
    with sqlite3.connect(path) as db:
        for number in range(20):
            row = ("ipv4", address(number).addr, 8333, -1, NOW - 500, NOW - 30, NOW - 30 if number < 5 else 0, 2, "x")
            db.execute("INSERT INTO addresses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
    store, addrman = opened()
    assert (addrman.size(in_new=True), addrman.size(in_new=False)) == (15, 5)
    info = addrman.info(address(1))
    assert info is not None
    assert (info.services, info.time, info.last_success, info.attempts) == (2**64 - 1, NOW - 500, NOW - 30, 2)
    before = content(addrman)
    store.flush()
    assert content(opened()[1]) == before
    assert "addresses" not in sqlite_utils.Database(path).table_names()


CHILD = """
import random, sys
from pathlib import Path
from ccnode.peers.netgroup import NetGroupManager
from ccnode.storage.addrman_store import AddrManStore
from ccnode.storage.database import Database
from tests.storage.test_addrman_store import SOURCE, NOW, address, entry
from tests.support.clock import ManualClock

database = Database(Path(sys.argv[1]), "regtest", sys.exit)
store = AddrManStore(database)
addrman = store.open(NetGroupManager(), ManualClock(NOW), random.Random(1))
for number in range(100_000):
    addrman.add([entry(address(number % 15000))], address(number // 7 % 300))
    addrman.good(address(number * 7919 % 15000))
    if number % 50 == 49:
        store.flush()
        database.call(lambda db: None)  # all before it is in the file
        print(number + 1, len(addrman), addrman.size(in_new=False), flush=True)
"""


def test_kill_loses_no_more_than_the_flush_interval(path: Path, opened: Open) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path)], stdout=subprocess.PIPE, env=environment, text=True
    ) as child:
        assert child.stdout is not None
        lines = [child.stdout.readline() for _ in range(15)]
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.readlines()
    flushed, known, tried = map(int, [line for line in lines if line.endswith("\n")][-1].split())
    assert flushed >= 750
    _, addrman = opened()
    assert known <= len(addrman) <= known + 50  # at most one more flush was under way
    assert tried <= addrman.size(in_new=False) <= tried + 50
    assert addrman.take_changes() == ([], [])  # no half-written move: every row found its slots
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_key_that_is_given_replaces_the_stored_one(opened: Open) -> None:
    """``test=addrman``: whoever reads the tables knows where an address must be."""
    key = b"\1" + bytes(31)
    store, addrman = opened()
    addrman.add([entry(address(7))], SOURCE)
    store.flush()
    _, placed_anew = opened(key=key)
    expected = AddrMan(NetGroupManager(), ManualClock(NOW), random.Random(), key=key)
    expected.add([entry(address(7))], SOURCE)
    assert placed_anew.find(address(7)) == expected.find(address(7)) != addrman.find(address(7))
    assert opened()[1].key == key

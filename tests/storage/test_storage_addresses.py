"""The address table: what is remembered, what is chosen, what goes when it is full."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode.peers.addressbook import AddressBook
from ccnode.storage import addresses as module
from ccnode.storage.addresses import AddressTable
from ccnode.storage.database import Database
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress

NOW = 1_700_000_000
DAY = 86_400


class FixedClock:
    def __init__(self) -> None:
        self.time = float(NOW)

    def now(self) -> float:
        return self.time

    scheduler = steady = now


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "node.sqlite", "regtest", pytest.fail)
    yield database
    database.close()


@pytest.fixture
def table(database: Database, clock: FixedClock) -> AddressTable:
    return AddressTable(database, clock, random.Random(1))


def address(number: int, port: int = 8333) -> NetworkAddress:
    return NetworkAddress(Network.IPV4, number.to_bytes(4, "big"), port)


def entry(number: int, time: int = NOW - DAY, services: int = 9) -> TimedAddress:
    return TimedAddress(time, services, address(number))


def test_it_is_an_address_book(table: AddressTable) -> None:
    book: AddressBook = table
    assert len(book) == 0
    assert book.select(lambda _: False) is None


def test_add_counts_what_is_new_and_keeps_the_latest(table: AddressTable) -> None:
    assert table.add([entry(1), entry(2), entry(1)], "seed") == 2
    assert table.add([entry(1, NOW - 5, services=1), entry(2, NOW - 2 * DAY, services=64)], "peer") == 0
    first, second = table.info(address(1)), table.info(address(2))
    assert first is not None
    assert second is not None
    assert (first.last_seen, first.services, first.source) == (NOW - 5, 9, "seed")
    assert (second.last_seen, second.services) == (NOW - DAY, 73)
    assert len(table) == 2


def test_attempt_and_good_are_noted(table: AddressTable, clock: FixedClock) -> None:
    table.add([entry(1)], "seed")
    table.attempt(address(1))
    table.attempt(address(1))
    info = table.info(address(1))
    assert info is not None
    assert (info.attempts, info.last_try, info.last_success) == (2, NOW, 0)
    clock.time += 10
    table.good(address(1), 1033)
    assert (info.attempts, info.last_try, info.last_success, info.last_seen) == (0, NOW + 10, NOW + 10, NOW + 10)
    assert info.services == 1033
    table.attempt(address(9))
    table.good(address(9), 9)
    assert len(table) == 1


def test_table_survives_a_restart(table: AddressTable, database: Database, clock: FixedClock) -> None:
    onion = NetworkAddress(Network.ONION, bytes(range(32)), 1)
    table.add([entry(1), entry(2, services=2**64 - 1), TimedAddress(NOW, 9, onion)], "seed")
    table.flush()
    table.attempt(address(1))
    table.good(onion, 2**63)
    table.flush()
    table.flush()
    again = AddressTable(database, clock, random.Random(2))
    again.load()
    assert len(again) == 3
    for known in (address(1), address(2), onion):
        assert again.info(known) == table.info(known)
    assert again.counts() == {
        "ipv4": {"new": 2, "tried": 0, "total": 2},
        "onion": {"new": 0, "tried": 1, "total": 1},
    }


def test_rows_that_are_no_address_are_not_loaded(table: AddressTable, database: Database) -> None:
    for network, size in (("ipv4", 5), ("marsnet", 4), ("internal", 10)):
        row = (network, bytes(size), 1, 9, NOW, 0, 0, 0, "x")
        database.call(module._write_rows, [row], [])
    table.load()
    assert len(table) == 0


def test_changes_are_written_without_being_asked_before_there_are_many(
    table: AddressTable, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "FLUSH_ROWS", 10)
    table.add([entry(n) for n in range(1, 26)], "seed")
    assert len(database.call(module._load_rows)) == 20
    table.flush()
    assert len(database.call(module._load_rows)) == 25


def test_select_honours_what_is_to_be_avoided(table: AddressTable) -> None:
    table.add([entry(n) for n in range(1, 200)], "seed")
    assert {table.select(lambda a: a != address(77)) for _ in range(5)} == {address(77)}
    assert table.select(lambda _: True) is None


def test_half_of_the_choices_have_answered_before(table: AddressTable, clock: FixedClock) -> None:
    table.add([entry(n) for n in range(1, 1001)], "seed")
    table.good(address(1), 9)
    clock.time += DAY
    answered = sum(table.select() == address(1) for _ in range(1000))
    assert 430 < answered < 570


def test_failures_and_recent_attempts_make_a_choice_unlikely(table: AddressTable, clock: FixedClock) -> None:
    table.add([entry(1), entry(2), entry(3)], "seed")
    for _ in range(8):
        table.attempt(address(1))
    clock.time += module.RECENTLY
    table.attempt(address(2))
    chosen = Counter(table.select() for _ in range(1000))
    assert chosen[address(3)] > 900
    assert chosen[address(1)] > chosen[address(2)]
    clock.time += module.RECENTLY
    chosen = Counter(table.select() for _ in range(1000))
    assert 1000 * 0.66 / 1.7 * 0.8 < chosen[address(2)] < 1000 * 0.66 / 1.7 * 1.2


def test_lone_address_is_found_however_often_it_failed(table: AddressTable) -> None:
    table.add([entry(1)], "seed")
    for _ in range(50):
        table.attempt(address(1))
    assert table.select() == address(1)


def test_full_table_stays_full_and_keeps_what_answered(
    table: AddressTable, database: Database, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_MAX", 100)
    table.add([entry(n, NOW - 20 * DAY) for n in range(1, 101)], "seed")
    for number in range(1, 31):
        table.good(address(number), 9)
    clock.time += DAY
    assert table.add([entry(n, NOW + DAY) for n in range(1001, 1501)], "flood") == 500
    assert len(table) == 100
    assert all(table.info(address(number)) for number in range(1, 31))
    table.flush()
    rows = database.call(module._load_rows)
    assert len(rows) == 100
    assert {int.from_bytes(row[1], "big") for row in rows} == {
        number for number in (*range(1, 101), *range(1001, 1501)) if table.info(address(number))
    }


def test_hopeless_and_stale_addresses_go_first(table: AddressTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_MAX", 50)
    monkeypatch.setattr(module, "EVICTION_DRAWS", 500)  # as good as sorting
    table.add([entry(n, NOW - n * 3600) for n in range(1, 51)], "seed")
    for _ in range(module.FRUITLESS_ATTEMPTS):
        table.attempt(address(1))
    table.add([entry(101)], "seed")
    assert table.info(address(1)) is None
    table.add([entry(102)], "seed")
    assert table.info(address(50)) is None
    assert len(table) == 50


def test_table_of_answering_addresses_makes_room_too(table: AddressTable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ROWS_MAX", 10)
    table.add([entry(n) for n in range(10)], "seed")
    for number in range(10):
        table.good(address(number), 9)
    table.add([entry(99)], "seed")
    assert len(table) == 10
    assert table.info(address(99)) is not None


def test_sample_leaves_out_the_hopeless(table: AddressTable) -> None:
    table.add([entry(1), entry(2), entry(3), entry(4, NOW - 31 * DAY)], "seed")
    for _ in range(module.FRUITLESS_ATTEMPTS):
        table.attempt(address(3))
    assert {known for known, _ in table.sample(10)} == {address(1), address(2)}
    assert len(table.sample(1)) == 1


def test_random_use_keeps_table_and_database_alike(
    table: AddressTable, database: Database, clock: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROWS_MAX", 40)
    monkeypatch.setattr(module, "FLUSH_ROWS", 7)
    rng = random.Random(3)
    for _ in range(2000):
        number = rng.randrange(100)
        action = rng.randrange(4)
        if action == 0:
            table.add([entry(number, NOW - rng.randrange(DAY))], "seed")
        elif action == 1:
            table.attempt(address(number))
        elif action == 2:
            table.good(address(number), rng.getrandbits(64))
        else:
            chosen = table.select()
            assert chosen is None or table.info(chosen)
        clock.time += rng.randrange(100)
    table.flush()
    again = AddressTable(database, clock, random.Random(4))
    again.load()
    assert len(again) == len(table) == 40
    assert all(again.info(address(number)) == table.info(address(number)) for number in range(100))
    assert len(table._answered) + len(table._silent) == 40

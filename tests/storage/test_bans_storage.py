"""Bans outlive the process."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ccnode.peers.bans import MANUAL, Ban, BanList, BanStore
from ccnode.peers.subnet import Subnet
from ccnode.storage.bans import BanTable
from ccnode.storage.database import Database
from ccnode.wire.address import NetworkAddress
from tests.support.clock import ManualClock

NOW = 1_700_000_000
ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"


@pytest.fixture
def opened(tmp_path: Path):
    """Opens the database; what was open before is closed first."""
    databases: list[Database] = []

    def reopen() -> BanTable:
        if databases:
            databases.pop().close()
        databases.append(Database(tmp_path / "node.sqlite", "regtest", pytest.fail))
        return BanTable(databases[0])

    yield reopen
    databases[0].close()


def ban(text: str, created: int = NOW, until: int = NOW + 100, reason: str = MANUAL) -> Ban:
    return Ban(Subnet.parse(text), created, until, reason)


def test_what_was_put_is_there_after_a_restart(opened: Callable[[], BanTable]) -> None:
    store: BanStore = opened()
    bans = [
        ban("10.0.0.0/8"),
        ban("2a00::/19", NOW + 1, 2**62),
        ban(ONION, NOW + 2, reason="misbehaving: high-hash"),
        Ban(Subnet.single(NetworkAddress.parse("fc00::1", cjdns=True)), NOW + 3, NOW + 9, MANUAL),
    ]
    for entry in reversed(bans):
        store.put(entry)
    assert opened().load() == bans


def test_the_last_put_of_a_subnet_counts_and_what_is_removed_is_gone(opened: Callable[[], BanTable]) -> None:
    store = opened()
    for entry in (ban("8.8.8.8"), ban("8.8.8.8", until=NOW + 5), ban("9.9.9.9"), ban("9.9.9.9/8")):
        store.put(entry)
    store.remove([Subnet.parse("9.9.9.9"), Subnet.parse("1.1.1.1")])
    found = opened().load()
    assert sorted(str(entry.subnet) for entry in found) == ["8.8.8.8/32", "9.0.0.0/8"]
    assert {entry.until for entry in found} == {NOW + 5, NOW + 100}


def test_a_list_continues_where_it_was(opened: Callable[[], BanTable]) -> None:
    clock = ManualClock(NOW)
    first = BanList(opened(), clock)
    for text, seconds in (("8.8.0.0/16", 100), ("9.9.9.9", 10), ("7.7.7.7", 100)):
        first.ban(Subnet.parse(text), seconds)
    first.unban(Subnet.parse("7.7.7.7"))
    clock.advance(50)
    table = opened()
    second = BanList(table, clock, bans=table.load())
    assert [str(entry.subnet) for entry in second.bans()] == ["8.8.0.0/16"]
    assert [str(entry.subnet) for entry in opened().load()] == ["8.8.0.0/16"]

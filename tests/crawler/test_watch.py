"""Watching: nodes are looked at again when they are due, and their history tells of it."""

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ccnode.chain.networks import REGTEST
from ccnode.crawler.announced import FRESH_SECONDS, MOST_ENTRIES, OF_ONE_PEER, Announcements
from ccnode.crawler.archive import Archive
from ccnode.crawler.outcome import Outcome, Visit
from ccnode.crawler.rows import REVISIT
from ccnode.crawler.store import Store
from ccnode.networks import network_params
from ccnode.options import Config
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import Addr, GetAddr, TimedAddress, pack_address, unpack_address
from ccnode.wire.message import Message
from tests.support.clock import ManualClock
from tests.support.data import ROOT
from tests.support.scripted import HeaderPeer, Link
from tools.bench.crawl import crawler_arguments
from tools.bench.internet import InternetProcess
from tools.bench.universe import Kind

HOUR = 3600.0
NOW = 1_700_000_000.0


@pytest.fixture(scope="module")
def internet() -> Iterator[InternetProcess]:
    with InternetProcess(60, "hostile", pace=0.05) as found:
        yield found


def write_past(out: Path, keys: list[bytes], age: float) -> None:
    """A census ``age`` seconds ago that reached these nodes."""
    params = network_params(Config())
    out.mkdir()
    store = Store(out / f"{params.name}.sqlite", f"{params.name} {params.magic.hex()}", ManualClock(time.time() - age))
    store.begin_round({})
    store.learned("seed", [(0, 0, key) for key in keys], "seed")
    started = time.time() - age
    store.record(
        [
            Visit(
                address=unpack_address(key),
                outcome=Outcome.REACHABLE,
                started=started,
                attempts=1,
                user_agent="/old:1/",
            )
            for key in keys
        ]
    )
    store.finish_round()
    store.close()


class Announcer(HeaderPeer):
    """A node that announces addresses to whoever asks for some."""

    news: Sequence[bytes] = ()

    def __init__(self, magic: bytes) -> None:
        super().__init__([], REGTEST.genesis, magic)

    def handle(self, link: Link, message: Message) -> None:
        if isinstance(message, GetAddr):
            now = int(time.time())
            link.send(Addr(tuple(TimedAddress(now, 1, unpack_address(key)) for key in self.news)))
        super().handle(link, message)


def watch(out: Path, arguments: list[str]) -> list[dict]:
    """The events of a watch."""
    command = [sys.executable, str(ROOT / "tools/crawl.py"), "watch", "--json", f"--out={out}", *arguments]
    process = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert process.returncode == 0, process.stderr
    return [json.loads(line) for line in process.stdout.splitlines()]


def test_nodes_that_are_due_are_visited_and_the_census_stays_what_it_was(
    internet: InternetProcess, tmp_path: Path
) -> None:
    universe, out = internet.universe, tmp_path / "out"
    good, gone = universe.keys(Kind.GOOD)[:3], universe.keys(Kind.REFUSED)[0]
    write_past(out, [*good, gone], HOUR)
    asked = internet.report().asked
    (lap,) = watch(out, [*crawler_arguments(universe), f"--datadir={tmp_path / 'node'}", "--max-time=4"])
    assert (lap["event"], lap["due"], lap["up"], lap["down"]) == ("lap", 4, 3, 1)
    assert internet.report().asked == asked  # no addresses are asked for in a lap
    with Archive(out / "mainnet.sqlite") as archive:
        census, revisit = archive.rounds()
        assert (census.is_census, revisit.is_census, revisit.status) == (True, False, REVISIT)
        assert archive.round().number == census.number
        node = archive.find(unpack_address(gone))
        assert node is not None
        assert [outcome for _, outcome, _, _ in archive.fates(node)] == [Outcome.REACHABLE, Outcome.REFUSED]
        (session,) = archive.sessions(node)
        assert session.ended is not None
        agents = {change.field for _, change in archive.changes()}
        assert "user_agent" in agents


def test_listening_asks_for_addresses_at_so_many_nodes(internet: InternetProcess, tmp_path: Path) -> None:
    universe, out = internet.universe, tmp_path / "out"
    write_past(out, universe.keys(Kind.GOOD)[:20], 0.0)  # nobody is due
    asked = internet.report().asked
    arguments = [*crawler_arguments(universe), f"--datadir={tmp_path / 'node'}", "--max-time=4", "--listen=3"]
    assert watch(out, arguments) == []
    assert 2 <= internet.report().asked - asked <= 3  # two may draw the same node, which one of them then leaves


def test_what_is_announced_is_counted_and_visited(internet: InternetProcess, tmp_path: Path) -> None:
    universe, out = internet.universe, tmp_path / "out"
    unknown, gone = universe.keys(Kind.GOOD)[-1], universe.keys(Kind.REFUSED)[-1]
    with Announcer(magic=network_params(Config()).magic) as announcer:
        write_past(out, [pack_address(NetworkAddress.parse(announcer.target))], 0.0)
        announcer.news = [unknown, gone]
        arguments = [*crawler_arguments(universe), f"--datadir={tmp_path / 'node'}"]
        events = watch(out, [*arguments, "--max-time=6", "--listen=1", "--every=1"])
    (lap,) = [event for event in events if event["new"]]
    assert (lap["due"], lap["new"], lap["up"], lap["down"], lap["announced"]) == (0, 2, 1, 1, 2)


def test_without_a_census_of_today_there_is_one_first(internet: InternetProcess, tmp_path: Path) -> None:
    universe, out = internet.universe, tmp_path / "out"
    write_past(out, universe.keys(Kind.GOOD)[:3], 30 * HOUR)
    arguments = [*crawler_arguments(universe), f"--datadir={tmp_path / 'node'}"]
    command = [sys.executable, str(ROOT / "tools/crawl.py"), "watch", "--json", f"--out={out}", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] in ("progress", "end")
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(20) == 0
    finally:
        process.kill()
    (status,) = sqlite3.connect(out / "mainnet.sqlite").execute("SELECT status FROM rounds WHERE id = 2").fetchone()
    assert status == "stopped"


# -- what is announced -----------------------------------------------------------------------------------------------


def key(number: int) -> bytes:
    return pack_address(NetworkAddress(Network.IPV4, (0x05000000 + number).to_bytes(4, "big"), 8333))


PEER, OTHER = key(1), key(2)


def entries(*numbers: int, seen: float = NOW) -> list[tuple[int, int, bytes]]:
    return [(int(seen), 0, key(number)) for number in numbers]


def test_announcements_are_counted_once_and_told_as_new_once() -> None:
    heard = Announcements()
    assert heard.note(PEER, entries(10, 11), NOW) == [key(10), key(11)]
    assert heard.note(OTHER, entries(11, 12), NOW) == [key(12)]
    assert len(heard) == 3
    assert heard.unreachable([key(10), key(10), key(99)]) == 2


def test_answers_and_old_news_and_oneself_are_no_announcements() -> None:
    heard = Announcements()
    heard.note(PEER, entries(*range(10, 10 + MOST_ENTRIES + 1)), NOW)
    heard.note(PEER, entries(10, seen=NOW - FRESH_SECONDS - 1), NOW)
    heard.note(PEER, entries(10, seen=NOW + FRESH_SECONDS + 1), NOW)
    heard.note(PEER, entries(1), NOW)
    assert len(heard) == 0


def test_a_day_later_an_announcement_is_forgotten() -> None:
    heard = Announcements()
    heard.note(PEER, entries(10), NOW)
    heard.note(PEER, entries(11, seen=NOW + 80_000), NOW + 80_000)
    heard.note(PEER, entries(12, seen=NOW + 86_401), NOW + 86_401)
    assert heard.unreachable([]) == 2


def test_one_peer_cannot_invent_a_network() -> None:
    heard = Announcements()
    for number in range(10, 10 + OF_ONE_PEER + 100, 10):
        heard.note(PEER, entries(*range(number, number + 10)), NOW)
    assert len(heard) == OF_ONE_PEER
    assert heard.note(OTHER, entries(OF_ONE_PEER + 50), NOW)


def test_memory_is_bounded() -> None:
    heard = Announcements(capacity=100)
    for number in range(10, 510):
        heard.note(PEER, entries(number), NOW)
    assert len(heard) == 100
    assert heard.unreachable([key(509)]) == 99

"""The census file: what is in it after a round, and what survives when the crawler is killed."""

import math
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from random import Random

import pytest
import sqlite_utils

from ccnode.crawler.archive import Archive, Filter
from ccnode.crawler.history import SOONEST, WINDOWS
from ccnode.crawler.outcome import SEED_SOURCE, Collected, Outcome, Visit
from ccnode.crawler.rows import VISIT_COLUMNS, read_visit, visit_row
from ccnode.crawler.store import Known, Store
from ccnode.errors import StartupError
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import pack_address
from tests.support.clock import ManualClock
from tests.support.data import ROOT

NOW = 1_700_000_000.0
SEED, A, B, C = (NetworkAddress.parse(text) for text in ("9.0.0.1:8333", "9.0.0.2:8333", "[2a00::1]:8333", "9.1.1.1:1"))
ONION = NetworkAddress(Network.ONION, bytes(range(32)), 8333)

FULL = Visit(
    address=A,
    outcome=Outcome.REACHABLE,
    detail="some words",
    started=NOW + 0.25,
    attempts=2,
    lag=0.125,
    source=pack_address(SEED),
    via="gossip",
    connect_time=0.1,
    handshake_time=0.2,
    ping_times=(0.1, 0.125),
    tcp_rtt=0.0625,
    transport="v1",
    version=70016,
    services=2**63 + 1033,
    user_agent="/Satoshi:27.0.0/",
    start_height=870_000,
    relay=True,
    time_offset=-3,
    address_local=B,
    features=frozenset({"wtxidrelay", "sendcmpct(2,low)"}),
    tip_height=870_001,
    tip_hash=bytes(range(32)),
    chain_ok=True,
    headers_behind=-1,
    collected=Collected.COMPLETE,
    adverts_count=1001,
    addr_messages=2,
    bytes_received=30_000,
    bytes_sent=400,
)


def entry(address: NetworkAddress, seen: int = 0) -> tuple[int, int, bytes]:
    return seen, 1, pack_address(address)


def visit(address: NetworkAddress, outcome: Outcome, started: float = NOW) -> Visit:
    return Visit(address=address, outcome=outcome, started=started, attempts=1)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "main.sqlite"


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def store(path: Path, clock: ManualClock) -> Iterator[Store]:
    store = Store(path, "main f9beb4d9", clock, autonomous_system=lambda key: key[15])
    yield store
    store.close()


def test_every_field_of_a_visit_has_its_column(path: Path, store: Store) -> None:
    columns = set(sqlite_utils.Database(path)["visits"].columns_dict)
    assert columns == {*VISIT_COLUMNS, "id", "round", "node", "asn"}
    assert set(VISIT_COLUMNS) == {field.name for field in fields(Visit)} - {"address", "source", "via"}


@pytest.mark.parametrize(
    "one",
    [
        FULL,
        Visit(address=ONION, outcome=Outcome.TIMEOUT),
        replace(
            FULL, relay=False, chain_ok=False, address_local=ONION, services=0, ping_times=(), features=frozenset()
        ),
    ],
)
def test_a_visit_comes_back_as_it_was(one: Visit) -> None:
    assert read_visit(one.address, visit_row(one), one.source, one.via) == one


def test_a_round(path: Path, store: Store, clock: ManualClock) -> None:
    number = store.begin_round({"rate": 5}, vantage="here")
    store.learned(SEED_SOURCE, [entry(SEED)], "seed")
    for source, named in ((SEED, [entry(A, int(NOW) - 60), entry(B), entry(C)]), (A, [entry(B), entry(ONION)])):
        store.learned(pack_address(source), named)
        store.named(pack_address(source), named)
    store.record([FULL, visit(SEED, Outcome.SLOTS_FULL)])
    store.record([visit(B, Outcome.TIMEOUT), Visit(address=ONION, outcome=Outcome.CAPPED, source=pack_address(A))])
    store.record([replace(visit(C, Outcome.REFUSED), source=pack_address(SEED))])
    clock.advance(10)
    counts = {
        Outcome.REACHABLE: 1,
        Outcome.SLOTS_FULL: 1,
        Outcome.TIMEOUT: 1,
        Outcome.CAPPED: 1,
        Outcome.REFUSED: 1,
    }
    assert store.finish_round() == counts
    with Archive(path) as archive:
        (found,) = archive.rounds()
        assert (found.number, found.vantage, found.status, found.config) == (number, "here", "complete", {"rate": 5})
        assert (found.started, found.ended) == (NOW, NOW + 10)
        assert (archive.chain, archive.network) == ("main", "main f9beb4d9")
        outcomes = archive.outcomes(number)
        assert outcomes[Network.ONION] == {Outcome.CAPPED: 1}
        assert sum((Counter(each) for each in outcomes.values()), Counter()) == counts
        (reached,) = archive.visits(number)
        assert (reached.visit, reached.asn, reached.first_reached) == (FULL, 2, FULL.started)
        everything = [one.visit.outcome for one in archive.visits(number, Filter(outcome=None))]
        assert everything == [Outcome.REACHABLE, Outcome.SLOTS_FULL, Outcome.TIMEOUT, Outcome.REFUSED]
        assert archive.advert_ages(number) == [60 + NOW - int(NOW)]
        (first, second) = archive.advertisers(number)
        assert (first.address, first.named, first.dialed, first.found) == (SEED, 2, 2, 1)
        assert (second.address, second.named, second.dialed) == (A, 1, 0)
        names = {node: address for node, address, _ in archive.advert_nodes(number)}
        edges = {(names[source], names[node]) for source, node, _ in archive.adverts(number)}
        assert edges == {(SEED, A), (SEED, B), (SEED, C), (A, B), (A, ONION)}
        assert {names[node]: count for node, count in archive.networks_advertised(number).items()} == {SEED: 2, A: 2}


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(), 3),
        (Filter(network=Network.IPV6), 1),
        (Filter(asn=2), 1),
        (Filter(user_agent="SATOSHI:27"), 1),
        (Filter(services=2**63 + 8), 1),
        (Filter(services=1), 2),
        (Filter(transport="v2"), 0),
        (Filter(outcome=Outcome.TIMEOUT), 1),
    ],
)
def test_filters(path: Path, store: Store, wanted: Filter, found: int) -> None:
    number = store.begin_round({})
    plain = replace(FULL, user_agent="/x:1/", services=1)
    other = replace(plain, address=B, services=None, user_agent=None)
    store.record([FULL, replace(plain, address=C), other, visit(ONION, Outcome.TIMEOUT)])
    store.finish_round()
    with Archive(path) as archive:
        assert len(list(archive.visits(number, wanted))) == found


def test_what_is_learned_comes_into_the_file_with_the_next_visit(path: Path, store: Store) -> None:
    number = store.begin_round({})
    store.learned(SEED_SOURCE, [entry(A)], "dns")
    with Archive(path) as archive:
        assert archive.find(A) is None
        store.record([visit(B, Outcome.REFUSED)])
        assert archive.find(A) is not None
        assert archive.outcomes(number) == {Network.IPV6: {Outcome.REFUSED: 1}}


def test_an_unfinished_round_is_resumed_where_it_was(path: Path, store: Store, clock: ManualClock) -> None:
    assert store.unfinished() is None
    number = store.begin_round({})
    store.learned(SEED_SOURCE, [entry(SEED)], "seed")
    store.learned(pack_address(SEED), [entry(B, 7), entry(A)])
    store.record([visit(SEED, Outcome.TIMEOUT)])
    store.close()
    again = Store(path, "main f9beb4d9", clock)
    assert again.unfinished() == number
    known = list(again.resume(number))
    seed = pack_address(SEED)
    assert known == [
        Known(seed, None, "gossip", 0, Outcome.TIMEOUT),
        Known(pack_address(B), seed, "gossip", 7, None),
        Known(pack_address(A), seed, "gossip", 0, None),
    ]
    again.record([visit(A, Outcome.UNVISITED), visit(B, Outcome.REACHABLE)])
    again.finish_round("stopped")
    assert again.unfinished() == number
    assert [one.outcome for one in again.resume(number)] == [Outcome.TIMEOUT, Outcome.REACHABLE, None]
    again.record([visit(A, Outcome.REFUSED)])
    again.finish_round()
    assert again.unfinished() is None
    again.close()


def test_who_pays_for_an_address_may_change_until_it_has_its_outcome(store: Store) -> None:
    number = store.begin_round({})
    store.learned(SEED_SOURCE, [entry(SEED), entry(C)], "seed")
    store.learned(pack_address(SEED), [entry(A, 5), entry(B)])
    store.record([replace(visit(B, Outcome.REFUSED), source=pack_address(SEED))])
    store.learned(pack_address(C), [entry(A, 9), entry(B)])
    store.flush()
    seed, other = pack_address(SEED), pack_address(C)
    assert [(one.key, one.source, one.claimed_time) for one in store.resume(number)][2:] == [
        (pack_address(A), other, 5),
        (pack_address(B), seed, 0),
    ]


def test_what_a_stopped_round_left_has_its_turn_when_it_goes_on(store: Store) -> None:
    number = store.begin_round({})
    left = Outcome.CAPPED, Outcome.UNVISITED, Outcome.UNROUTABLE, Outcome.TIMEOUT
    store.record([visit(address, outcome) for address, outcome in zip((SEED, A, B, C), left, strict=True)])
    store.finish_round("stopped")
    assert [one.outcome for one in store.resume(number)] == [None, None, Outcome.UNROUTABLE, Outcome.TIMEOUT]


def test_rounds_add_to_the_history(path: Path, store: Store, clock: ManualClock) -> None:
    first = store.begin_round({})
    store.learned(SEED_SOURCE, [entry(SEED)], "seed")
    store.record([FULL, visit(C, Outcome.TIMEOUT)])
    store.finish_round()
    assert store.reached_since(NOW, 10) == [pack_address(A)]
    assert store.reached_since(NOW + 1, 10) == []
    clock.advance(3600)
    second = store.begin_round({})
    later = replace(FULL, started=NOW + 3600, user_agent="/Satoshi:28.0.0/", services=1)
    store.record([later, visit(C, Outcome.TIMEOUT, NOW + 3600)])
    store.finish_round()
    (revisit,) = store.revisits(10)
    assert revisit.key == pack_address(A)
    assert revisit.next_visit == NOW + 3600 + 900
    with Archive(path) as archive:
        node = archive.find(A)
        assert node is not None
        assert [(one.round, one.visit) for one in archive.visits_of(node)] == [(first, FULL), (second, later)]
        changes = [(change.field, change.old, change.new) for _, change in archive.changes(node)]
        assert changes == [
            ("services", str(2**63 + 1033), "1"),
            ("user_agent", "/Satoshi:27.0.0/", "/Satoshi:28.0.0/"),
        ]
        (session,) = archive.sessions()
        assert (session.began, session.last, session.ended) == (NOW + 0.25, NOW + 3600, None)
        observed = NOW + 3600 - FULL.started + SOONEST
        shares = [1 - math.exp(-observed / seconds) for seconds in WINDOWS]
        assert [window.reliability for window in archive.standing(node).windows] == pytest.approx(shares)
        fates = [(one.number, outcome, via, source) for one, outcome, via, source in archive.fates(node)]
        assert fates == [(first, Outcome.REACHABLE, "gossip", SEED), (second, Outcome.REACHABLE, "gossip", SEED)]


def test_a_file_of_another_kind_is_refused(tmp_path: Path, clock: ManualClock) -> None:
    with pytest.raises(StartupError, match="there is no census file"):
        Archive(tmp_path / "none.sqlite")
    other = tmp_path / "other.sqlite"
    other.write_bytes(b"not a database" * 100)
    with pytest.raises(StartupError, match="is no census file"):
        Archive(other)
    Store(tmp_path / "main.sqlite", "main", clock).close()
    with pytest.raises(
        StartupError, match="belongs to network main, not to signet; choose another directory with --out"
    ):
        Store(tmp_path / "main.sqlite", "signet", clock)
    with Archive(tmp_path / "main.sqlite") as archive:
        assert archive.rounds() == []
        with pytest.raises(StartupError, match="no finished round"):
            archive.round()
        with pytest.raises(StartupError, match="no round 3"):
            archive.round(3)


ROUND_SCRIPT = """
import sys
from pathlib import Path
from tests.crawler.test_store import play
play(Path(sys.argv[1]))
"""
"""A process that resumes the file's round, or begins one, and prints a line for each batch that is in the file."""

ADDRESSES = 3000
FANOUT = 7
BATCH = 20


def address_of(number: int) -> NetworkAddress:
    return NetworkAddress(Network.IPV4, (0x09000000 + number).to_bytes(4, "big"), 8333)


def outcome_of(number: int) -> Outcome:
    return tuple(Outcome)[Random(number).randrange(5, len(Outcome))]


def play(path: Path) -> None:
    """A round in an invented network: address n names those from FANOUT * n + 1 on. Ends as the real one does."""
    store = Store(path, "main", ManualClock(NOW))
    number = store.unfinished()
    with Archive(path) as archive:
        is_complete = number is None and bool(archive.rounds())
    if is_complete:  # before it could be killed
        store.close()
        return
    known: dict[bytes, Outcome | None] = {}
    if number is None:
        store.begin_round({})
        known[pack_address(address_of(0))] = None
        store.learned(SEED_SOURCE, [entry(address_of(0))], "seed")
    else:
        known = {one.key: one.outcome for one in store.resume(number)} or {pack_address(address_of(0)): None}
    numbers = {pack_address(address_of(n)): n for n in range(ADDRESSES)}
    todo = [numbers[key] for key, outcome in known.items() if outcome is None]
    batch = []
    while todo:
        n = todo.pop(0)
        named = range(n * FANOUT + 1, min(ADDRESSES, n * FANOUT + 1 + FANOUT))
        new = [m for m in named if pack_address(address_of(m)) not in known]
        known.update((pack_address(address_of(m)), None) for m in new)
        todo += new
        store.learned(pack_address(address_of(n)), [entry(address_of(m)) for m in named])
        parent = SEED_SOURCE if n == 0 else pack_address(address_of((n - 1) // FANOUT))
        batch.append(replace(visit(address_of(n), outcome_of(n), NOW + n), source=parent))
        if len(batch) == BATCH:
            store.record(batch)
            batch.clear()
            print("batch", flush=True)
    store.record(batch)
    store.finish_round()
    store.close()


TABLES = ("addresses", "visits", "sessions", "reliability", "changes", "adverts")


def content(path: Path) -> dict[str, object]:
    """What a file says, without numbers that depend on the order in which things were written."""
    db = sqlite_utils.Database(path)
    query = """
        SELECT n.key, n.failures, n.next_visit, n.last_reached, a.outcome, s.key, v.started, v.outcome
        FROM nodes n JOIN addresses a ON a.node = n.id LEFT JOIN nodes s ON s.id = a.source
        LEFT JOIN visits v ON v.node = n.id ORDER BY n.key, v.started
    """
    counts = {table: db[table].count for table in TABLES}
    return {"rows": list(db.execute(query)), "counts": counts, "status": list(db.execute("SELECT status FROM rounds"))}


def killed_and_resumed(path: Path, rng: Random, kills: int) -> int:
    """Play a round in processes that are killed after some batches each; how many were."""
    killed = 0
    command = [sys.executable, "-c", ROUND_SCRIPT, str(path)]
    while True:
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            if killed < kills:
                for _ in range(rng.randrange(1, ADDRESSES // BATCH // kills)):
                    process.stdout.readline()
                os.kill(process.pid, signal.SIGKILL)
                killed += 1
            else:
                process.stdout.read()
                assert process.wait() == 0
                return killed


@pytest.mark.parametrize("kills", [4, pytest.param(40, marks=pytest.mark.long)])
def test_a_killed_round_ends_like_an_undisturbed_one(tmp_path: Path, kills: int) -> None:
    play(tmp_path / "undisturbed.sqlite")
    assert killed_and_resumed(tmp_path / "killed.sqlite", Random(kills), kills) == kills
    assert content(tmp_path / "killed.sqlite") == content(tmp_path / "undisturbed.sqlite")

"""What a round owes its sink, whatever the moment at which it ends."""

import socket
from collections.abc import Sequence
from random import Random
from typing import Any

import gevent
import pytest

from ccnode.clock import SystemClock
from ccnode.crawler import census
from ccnode.crawler.census import Census, End, Limits
from ccnode.crawler.conversation import Events
from ccnode.crawler.frontier import Frontier
from ccnode.crawler.guard import Guard, OptOuts
from ccnode.crawler.outcome import Outcome, Visit
from ccnode.crawler.table import AddressTable
from ccnode.crawler.visit import PATIENCE
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import PackedEntry, pack_address

ADDRESSES = 16


class Dials:
    """A visitor that is never let in."""

    patience = PATIENCE

    def needs_proxy(self, _address: NetworkAddress) -> bool:
        return False


class SlowSink:
    """Takes its time over each portion."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.visits: list[Visit] = []
        self.largest = 0

    def learned(self, _source: bytes | str, _entries: Sequence[PackedEntry]) -> None:
        pass

    def named(self, _source: bytes, _entries: Sequence[PackedEntry]) -> None:
        pass

    def record(self, visits: Sequence[Visit]) -> None:
        visits = list(visits)
        gevent.sleep(self.seconds)
        self.visits += visits
        self.largest = max(self.largest, len(visits))


def closed_ports(count: int) -> list[NetworkAddress]:
    """At which nobody listens."""
    sockets = [socket.socket() for _ in range(count)]
    for sock in sockets:
        sock.bind(("127.0.0.1", 0))
    ports = [sock.getsockname()[1] for sock in sockets]
    for sock in sockets:
        sock.close()
    return [NetworkAddress.parse(f"127.0.0.1:{port}") for port in ports]


def run(sink: SlowSink, **limits: Any) -> tuple[End, list[NetworkAddress]]:
    clock, addresses = SystemClock(), closed_ports(ADDRESSES)
    lanes = {Network.IPV4: 4}
    frontier = Frontier(
        AddressTable(), Guard(lanes, OptOuts(), allow_unroutable=True), Random(1), clock.now, lanes=lanes
    )
    frontier.seed(map(pack_address, addresses))
    visitor: Any = Dials()
    return Census(frontier, visitor, sink, Limits(**limits), clock).run(), addresses


def test_each_visit_is_handed_over_once_though_the_round_ends_while_some_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "BATCH_SECONDS", 0.01)
    monkeypatch.setattr(census, "PORTION", 3)
    sink = SlowSink(0.05)
    end, addresses = run(sink, rate=200.0)
    assert end is End.COMPLETE
    assert sorted(map(str, addresses)) == sorted(str(visit.address) for visit in sink.visits)
    assert {visit.outcome for visit in sink.visits} == {Outcome.REFUSED}
    assert sink.largest == 3


def test_a_slow_sink_slows_the_round_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "BATCH_SECONDS", 0.01)
    monkeypatch.setattr(census, "UNWRITTEN", 2)
    sink = SlowSink(0.05)
    run(sink)
    assert len(sink.visits) == ADDRESSES
    assert sink.largest <= 3 + 4  # the limit, and what was being dialed


class Hearsay:
    """A visitor to a network in memory, all of whose nodes name some of the same addresses."""

    def __init__(self, nodes: dict[NetworkAddress, list[PackedEntry]], rng: Random) -> None:
        self.nodes = nodes
        self.rng = rng

    def needs_proxy(self, _address: NetworkAddress) -> bool:
        return True

    def visit(self, address: NetworkAddress, events: Events, *, ask_addresses: bool) -> Visit:
        gevent.sleep(self.rng.random() / 50)
        events.dialed()
        if address not in self.nodes:
            return Visit(address=address, outcome=Outcome.TIMEOUT, started=1.0, attempts=1)
        events.handshaked()
        events.addresses(self.nodes[address])
        return Visit(address=address, outcome=Outcome.REACHABLE, started=1.0, attempts=1)


class Journal:
    """Keeps who vouches for what, as a census file does."""

    def __init__(self) -> None:
        self.sources: dict[bytes, bytes | str] = {}
        self.moves = 0

    def learned(self, source: bytes | str, entries: Sequence[PackedEntry]) -> None:
        gevent.sleep(0.01)
        for _, _, key in entries:
            self.moves += key in self.sources
            self.sources[key] = source

    def record(self, visits: Sequence[Visit]) -> None:
        gevent.sleep(0.001)
        for visit in visits:
            if visit.outcome.dialed and visit.source != "seed":
                assert self.sources[pack_address(visit.address)] == visit.source


def test_who_pays_for_a_visit_is_told_before_the_visit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(census, "BATCH_SECONDS", 0.005)
    rng, clock, lanes = Random(7), SystemClock(), {Network.IPV4: 50}
    everybody = [NetworkAddress(Network.IPV4, bytes((11, n >> 8, n & 255, 1)), 8333) for n in range(3_000)]
    nodes = {
        address: [(0, 9, pack_address(named)) for named in rng.sample(everybody, 250)]
        for address in rng.sample(everybody, 60)
    }
    frontier = Frontier(AddressTable(), Guard(lanes, OptOuts()), rng, clock.now, lanes=lanes)
    frontier.seed([pack_address(address) for address in nodes][:2])
    visitor: Any = Hearsay(nodes, rng)
    journal: Any = Journal()
    assert Census(frontier, visitor, journal, Limits(rate=1e5), clock).run() is End.COMPLETE
    assert journal.moves > 10

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

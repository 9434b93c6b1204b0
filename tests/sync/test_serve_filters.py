"""Compact filters for light clients: ranges, limits, stale blocks, what ends the connection."""

from collections.abc import Sequence

import pytest

from ccnode.chain.block_filter import GENESIS_PREVIOUS, filter_hash, filter_header
from ccnode.wire.filters import (
    CFCheckpt,
    CFHeaders,
    CFilter,
    GetCFCheckpt,
    GetCFHeaders,
    GetCFilters,
)
from ccnode.wire.message import Message
from ccnode.wire.protocol import ServiceFlags
from tests.support.fakes import FakePeer, HeaderLine
from tests.support.serving import Counter


def encoded(block_hash: bytes) -> bytes:
    return b"\1" + block_hash[:5]


class Index:
    """Filters of all blocks of lines, but those that are not indexed yet."""

    def __init__(self, *lines: HeaderLine) -> None:
        self.headers: dict[bytes, bytes] = {}
        for line in lines:
            header = GENESIS_PREVIOUS
            for block_hash in line.hashes:
                self.headers[block_hash] = header = filter_header(filter_hash(encoded(block_hash)), header)
        self.lacks: set[bytes] = set()
        self.reads: list[int] = []

    def _has(self, hashes: Sequence[bytes]) -> bool:
        return self.lacks.isdisjoint(hashes) and self.headers.keys() >= set(hashes)

    def wait_filters(self, hashes: Sequence[bytes]) -> list[bytes] | None:
        self.reads.append(len(hashes))
        return [encoded(each) for each in hashes] if self._has(hashes) else None

    def wait_hashes(self, hashes: Sequence[bytes]) -> list[bytes] | None:
        return [filter_hash(encoded(each)) for each in hashes] if self._has(hashes) else None

    def wait_headers(self, hashes: Sequence[bytes]) -> list[bytes] | None:
        return [self.headers[each] for each in hashes] if self._has(hashes) else None


class Desk(Counter):
    """A `Counter` that has filters as well."""

    def __init__(self, line: HeaderLine, *others: HeaderLine) -> None:
        self.filters = Index(line, *others)
        super().__init__(line, filters=self.filters)


@pytest.fixture(scope="module")
def line() -> HeaderLine:
    return HeaderLine().grow(3100)


@pytest.fixture
def desk(line: HeaderLine) -> Desk:
    return Desk(line)


def test_filters_of_a_range(desk: Desk) -> None:
    line = desk.line
    for start, stop in ((0, 0), (0, 3), (5, 9), (3100, 3100), (2101, 3100)):
        sent = desk.give(GetCFilters(0, start, line.hashes[stop]))
        assert sent == [CFilter(0, name, encoded(name)) for name in line.hashes[start : stop + 1]]


def test_filters_are_read_as_the_peer_takes_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[int] = []
    monkeypatch.setattr(FakePeer, "wait_drained", lambda peer: waits.append(len(peer.sent)))
    desk.give(GetCFilters(0, 1, desk.line.hashes[50]))
    assert desk.filters.reads == [20, 20, 10]
    assert waits == [0, 20, 40]
    monkeypatch.setattr(FakePeer, "wait_drained", lambda peer: peer.disconnect("gone"))
    desk.give(GetCFilters(0, 1, desk.line.hashes[50]))
    assert desk.filters.reads == [20, 20, 10]


def test_filter_hashes_of_a_range_and_the_header_before(desk: Desk) -> None:
    line = desk.line
    for start, stop in ((0, 0), (1, 1), (0, 1999), (1101, 3100)):
        [answer] = desk.give(GetCFHeaders(0, start, line.hashes[stop]))
        assert isinstance(answer, CFHeaders)
        previous = desk.filters.headers[line.hashes[start - 1]] if start else GENESIS_PREVIOUS
        assert (answer.filter_type, answer.stop_hash) == (0, line.hashes[stop])
        assert answer.previous_filter_header == previous
        for each in answer.filter_hashes:
            previous = filter_header(each, previous)
        assert previous == desk.filters.headers[line.hashes[stop]]
        assert len(answer.filter_hashes) == stop + 1 - start


@pytest.mark.parametrize(("stop", "heights"), [(3100, (1000, 2000, 3000)), (3000, (1000, 2000, 3000)), (999, ())])
def test_headers_at_every_thousandth_block(desk: Desk, stop: int, heights: tuple[int, ...]) -> None:
    line = desk.line
    headers = tuple(desk.filters.headers[line.hashes[height]] for height in heights)
    assert desk.give(GetCFCheckpt(0, line.hashes[stop])) == [CFCheckpt(0, line.hashes[stop], headers)]


def bad_requests(line: HeaderLine) -> list[Message]:
    tip, unknown = line.tip, b"\1" * 32
    return [
        *(GetCFilters(1, 1, tip), GetCFHeaders(1, 1, tip), GetCFCheckpt(1, tip)),
        *(GetCFilters(0, 1, unknown), GetCFHeaders(0, 1, unknown), GetCFCheckpt(0, unknown)),
        *(GetCFilters(0, 3101, tip), GetCFHeaders(0, 6, line.hashes[5])),
        *(GetCFilters(0, 2100, tip), GetCFHeaders(0, 1100, tip), GetCFilters(0, 0xFFFFFFFF, tip)),
    ]


def test_what_may_not_be_asked_ends_the_connection(desk: Desk) -> None:
    for message in bad_requests(desk.line):
        desk.newcomer()
        assert desk.give(message) == []
        assert desk.peer.closing, message


def test_what_was_not_offered_ends_the_connection(desk: Desk) -> None:
    for message in (
        GetCFilters(0, 1, desk.line.tip),
        GetCFHeaders(0, 1, desk.line.tip),
        GetCFCheckpt(0, desk.line.tip),
    ):
        desk.newcomer()
        desk.peer.our_services = int(ServiceFlags.BLOOM | ServiceFlags.NETWORK)
        assert desk.give(message) == []
        assert (desk.peer.disconnect_reason or "").startswith(f"{message.command}, but ")


def test_what_is_not_indexed_yet_is_met_with_silence(desk: Desk) -> None:
    line = desk.line
    desk.filters.lacks = {line.hashes[3000]}
    assert desk.give(GetCFilters(0, 2999, line.hashes[3001])) == []
    assert desk.filters.reads == []
    assert desk.give(GetCFHeaders(0, 2999, line.hashes[3001])) == []
    assert desk.give(GetCFHeaders(0, 3001, line.hashes[3001])) == []
    assert desk.give(GetCFCheckpt(0, line.tip)) == []
    assert not desk.peer.closing


def test_stale_blocks_have_filters_while_they_are_shown() -> None:
    line = HeaderLine().grow(60)
    stale = line.fork(50).grow(5, salt=1)
    desk = Desk(line, stale)
    desk.chain.accept(stale.headers[51:])
    desk.valid.add(desk.entry(stale.tip))
    sent = desk.give(GetCFilters(0, 50, stale.tip))
    assert sent == [CFilter(0, name, encoded(name)) for name in stale.hashes[50:]]
    [answer] = desk.give(GetCFHeaders(0, 52, stale.tip))
    assert isinstance(answer, CFHeaders)
    assert answer.previous_filter_header == desk.filters.headers[stale.hashes[51]]
    desk.valid.clear()
    assert desk.give(GetCFCheckpt(0, stale.tip)) == []
    assert desk.peer.closing

"""Misbehaviour, messages that were not wanted, lists that are too long, and addresses taken from peers."""

import pytest

from ccnode.peers import misbehaviour as misbehaviour_module
from ccnode.peers.addressbook import FUTURE_CLAIM, OLDEST_CLAIM, STALE_CLAIM, AddressIntake
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour, Violation
from ccnode.peers.peer import ConnectionType
from ccnode.peers.unoffered import REFUSED, oversize, refuse
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, TimedAddress
from ccnode.wire.factory import MESSAGE_TYPES, MessageFactory
from ccnode.wire.serialize import OversizeError, compact_size
from tests.support.clock import ManualClock
from tests.support.fakes import FakePeer

NOW = 1_700_000_000


def judge() -> tuple[Misbehaviour, Discouragement]:
    discouragement = Discouragement()
    return Misbehaviour(discouragement), discouragement


# -- misbehaviour ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "address", "dropped", "discouraged"),
    [
        (ConnectionType.INBOUND, "8.8.8.8:1", True, True),
        (ConnectionType.OUTBOUND_FULL_RELAY, "8.8.8.8:1", True, True),
        (ConnectionType.INBOUND, "127.0.0.1:1", True, False),
        (ConnectionType.INBOUND, "[::1]:1", True, False),
        (ConnectionType.MANUAL, "8.8.8.8:1", False, False),
    ],
)
def test_one_offence(kind: ConnectionType, address: str, dropped: bool, discouraged: bool) -> None:
    misbehaviour, discouragement = judge()
    peer = FakePeer(0, kind, address=address)
    misbehaviour.report(peer, Violation.HIGH_HASH, "did it")
    assert peer.disconnect_reason == ("misbehaving: did it" if dropped else None)
    assert (peer.address in discouragement) is discouraged


def test_discouragement_is_by_address_whatever_the_port() -> None:
    _, discouragement = judge()
    discouragement.add(NetworkAddress.parse("8.8.8.8:1"))
    assert NetworkAddress.parse("8.8.8.8:2") in discouragement
    assert NetworkAddress.parse("8.8.8.9:1") not in discouragement


def test_the_oldest_discouraged_address_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(misbehaviour_module, "MAX_DISCOURAGED", 3)
    _, discouragement = judge()
    addresses = [NetworkAddress.parse(f"8.8.8.{i}:1") for i in range(4)]
    for address in (*addresses[:3], addresses[0], addresses[3]):
        discouragement.add(address)
    assert [address in discouragement for address in addresses] == [True, False, True, True]
    assert len(discouragement) == 3


# -- not offered, too long ---------------------------------------------------------------------------------------------


def test_what_we_do_not_offer_ends_the_connection() -> None:
    for command in REFUSED:
        peer = FakePeer()
        refuse(peer, command, judge()[0])
        assert (peer.disconnect_reason or "").startswith(f"{command}, but ")


@pytest.mark.parametrize(
    ("command", "count", "size", "discouraged"),
    [
        ("addr", 1001, 30, True),
        ("addrv2", 1001, 30, True),
        ("inv", 50_001, 36, True),
        ("getdata", 50_001, 36, True),
        ("headers", 2001, 81, True),
        ("getheaders", 102, 32, False),
        ("getblocks", 102, 32, False),
    ],
)
def test_a_list_over_its_limit(command: str, count: int, size: int, discouraged: bool) -> None:
    start = b"\0" * 4 if command in ("getheaders", "getblocks") else b""
    payload = start + compact_size(count) + bytes(size * count + 32)
    with pytest.raises(OversizeError) as caught:
        MessageFactory().decode(command, payload)
    misbehaviour, discouragement = judge()
    peer = FakePeer(0, ConnectionType.INBOUND)
    oversize(peer, caught.value, misbehaviour)
    assert peer.closing
    assert (peer.address in discouragement) is discouraged


def test_every_refused_message_is_one_that_exists() -> None:
    refused = {"filterload", "filteradd", "filterclear", "mempool", "getcfilters", "getcfheaders", "getcfcheckpt", "tx"}
    assert set(REFUSED) == refused
    assert refused <= MESSAGE_TYPES.keys()


# -- addresses ---------------------------------------------------------------------------------------------------------


class Book:
    """An address manager that keeps what it is given."""

    def __init__(self) -> None:
        self.added: list[TimedAddress] = []
        self.sources: list[NetworkAddress] = []

    def add(self, entries, source: NetworkAddress, time_penalty: int) -> int:
        assert time_penalty == 7200
        self.added += entries
        self.sources.append(source)
        return len(entries)


def intake() -> tuple[AddressIntake, Book]:
    book = Book()
    return AddressIntake(book, ManualClock(NOW)), book  # type: ignore[arg-type]


def entries(count: int, *, services: int = 9, time: int = NOW, first: str = "8.8") -> tuple[TimedAddress, ...]:
    return tuple(
        TimedAddress(time, services, NetworkAddress.parse(f"{first}.{i // 250}.{i % 250 + 1}:8333"))
        for i in range(count)
    )


def test_only_asked_peers_are_listened_to() -> None:
    for kind in ConnectionType:
        taker, book = intake()
        peer = FakePeer(0, kind)
        taker.on_addresses(peer, Addr(entries(5)))
        assert book.added == []
        taker.expect_from(peer)
        taker.on_addresses(peer, Addr(entries(5)))
        asked = kind not in (ConnectionType.INBOUND, ConnectionType.BLOCK_RELAY_ONLY)
        assert len(book.added) == (5 if asked else 0), kind


def test_one_answer_of_a_thousand_is_all_a_peer_can_give() -> None:
    taker, book = intake()
    peer = FakePeer()
    taker.expect_from(peer)
    taker.on_addresses(peer, Addr(entries(1)))
    taker.on_addresses(peer, AddrV2(entries(1000)))
    taker.on_addresses(peer, Addr(entries(1000)))
    assert len(book.added) == 1000
    assert book.sources == [peer.address] * 2
    taker.left(peer)
    taker.on_addresses(peer, Addr(entries(10)))
    assert len(book.added) == 1000


def test_addresses_without_the_chain_are_left_out() -> None:
    taker, book = intake()
    peer = FakePeer()
    taker.expect_from(peer)
    taker.on_addresses(peer, Addr((*entries(2, services=8), *entries(4, services=1024))))
    assert len(book.added) == 4


@pytest.mark.parametrize(
    ("claimed", "stored"),
    [
        (NOW - 100, NOW - 100),
        (NOW + FUTURE_CLAIM, NOW + FUTURE_CLAIM),
        (NOW + FUTURE_CLAIM + 1, NOW - STALE_CLAIM),
        (OLDEST_CLAIM, NOW - STALE_CLAIM),
        (0, NOW - STALE_CLAIM),
    ],
)
def test_the_time_is_made_plausible(claimed: int, stored: int) -> None:
    taker, book = intake()
    peer = FakePeer()
    taker.expect_from(peer)
    taker.on_addresses(peer, Addr(entries(1, time=claimed)))
    assert [entry.time for entry in book.added] == [stored]


@pytest.mark.parametrize(("count", "done"), [(1, False), (2, True)])
def test_a_peer_that_was_only_to_give_addresses_is_done(count: int, done: bool) -> None:
    taker, _ = intake()
    peer = FakePeer(0, ConnectionType.ADDR_FETCH)
    taker.expect_from(peer)
    taker.on_addresses(peer, Addr(entries(count)))
    assert peer.closing is done


def test_unwanted_addresses_are_left_out() -> None:
    book = Book()
    given = entries(5)
    taker = AddressIntake(book, ManualClock(NOW), {given[1].address, given[3].address})  # type: ignore[arg-type]
    peer = FakePeer()
    taker.expect_from(peer)
    taker.on_addresses(peer, Addr(given))
    assert book.added == [given[0], given[2], given[4]]

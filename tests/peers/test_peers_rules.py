"""Misbehaviour, messages that were not wanted, and lists that are too long."""

import pytest

from ccnode.peers import misbehaviour as misbehaviour_module
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour, Violation
from ccnode.peers.peer import ConnectionType
from ccnode.peers.permissions import Permission
from ccnode.peers.unoffered import REFUSED, oversize, refuse
from ccnode.wire.address import NetworkAddress
from ccnode.wire.factory import MESSAGE_TYPES, MessageFactory
from ccnode.wire.protocol import ServiceFlags
from ccnode.wire.serialize import OversizeError, compact_size
from tests.support.fakes import FakePeer


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
    ("command", "words", "ends"),
    [
        ("mempool", Permission.MEMPOOL, False),
        ("mempool", Permission.NO_BAN, False),
        ("mempool", Permission.DOWNLOAD, True),
        ("tx", Permission.RELAY, False),
        ("tx", Permission.FORCE_RELAY, False),
        ("tx", Permission.NO_BAN, True),
        ("filterload", Permission.ALL, True),
        ("getcfilters", Permission.ALL, True),
    ],
)
def test_who_may_ask_for_it_is_met_with_silence(command: str, words: Permission, ends: bool) -> None:
    peer = FakePeer(0, ConnectionType.INBOUND)
    peer.permissions = words
    refuse(peer, command, judge()[0])
    assert peer.closing is ends


@pytest.mark.parametrize(("version", "points"), [(70010, 0), (70011, 100), (70016, 100)])
def test_bloom_messages_are_a_fault_of_peers_that_could_know_better(version: int, points: int) -> None:
    """BIP111 came with version 70011; the connection ends in any case."""
    for command in ("filterload", "filteradd", "filterclear"):
        peer = FakePeer(0, ConnectionType.INBOUND)
        peer.common_version = version
        refuse(peer, command, judge()[0])
        assert peer.closing
        assert peer.misbehaviour_score == points


def test_too_many_addresses_of_a_block_relay_only_peer_are_ignored() -> None:
    for command in ("addr", "addrv2"):
        peer = FakePeer(0, ConnectionType.BLOCK_RELAY_ONLY)
        oversize(peer, OversizeError(command, 1001, 1000), judge()[0])
        assert not peer.closing
        assert peer.violations == {}


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


@pytest.mark.parametrize(
    ("payload", "command"),
    [
        (compact_size(36_001) + bytes(36_010), "filterload"),
        (compact_size(1) + b"\0" + (51).to_bytes(4, "little") + bytes(5), "filterload"),
        (compact_size(521) + bytes(521), "filteradd"),
    ],
)
@pytest.mark.parametrize("services", [0, int(ServiceFlags.BLOOM)])
def test_a_filter_over_its_limits_is_a_fault_where_filters_are_offered(
    payload: bytes, command: str, services: int
) -> None:
    with pytest.raises(OversizeError) as caught:
        MessageFactory().decode(command, payload)
    misbehaviour, discouragement = judge()
    peer = FakePeer(0, ConnectionType.INBOUND)
    peer.our_services = services
    oversize(peer, caught.value, misbehaviour)
    assert peer.closing
    assert (peer.address in discouragement) is bool(services)
    assert (peer.disconnect_reason or "").startswith(f"{command}, but ") is not bool(services)


def test_every_refused_message_is_one_that_exists() -> None:
    refused = {"filterload", "filteradd", "filterclear", "mempool", "getcfilters", "getcfheaders", "getcfcheckpt", "tx"}
    assert set(REFUSED) == refused
    assert refused <= MESSAGE_TYPES.keys()

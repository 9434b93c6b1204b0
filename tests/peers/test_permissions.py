"""Permissions: the words, the ranges they apply to, Core's sentences about mistakes."""

import pytest

from ccnode.peers.permissions import (
    Direction,
    Permission,
    Whitelist,
    implicit,
    names,
    parse_whitebind,
    parse_whitelist,
)
from ccnode.wire.address import NetworkAddress

IMPLICIT = implicit(relay=True, force_relay=False)
HERE = NetworkAddress.parse("127.0.0.1:5")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("bloom@1.2.3.4", ["bloomfilter"]),
        ("bloomfilter@1.2.3.4", ["bloomfilter"]),
        ("relay@1.2.3.4", ["relay"]),
        ("forcerelay@1.2.3.4", ["forcerelay", "relay"]),
        ("noban@1.2.3.4", ["noban", "download"]),
        ("mempool,addr@1.2.3.4", ["mempool", "addr"]),
        ("all@1.2.3.4", ["bloomfilter", "noban", "forcerelay", "relay", "mempool", "download", "addr"]),
        (",,noban,,@1.2.3.4/16", ["noban", "download"]),
        ("@1.2.3.4", []),
    ],
)
def test_the_words(text: str, expected: list[str]) -> None:
    assert names(parse_whitelist(text).permissions) == expected


def test_the_bits_are_cores() -> None:
    bits = {permission: permission.value for permission in Permission if permission.value.bit_count() == 1}
    assert sorted(bits.values()) == [2, 8, 32, 64, 128, 1 << 31]
    assert Permission.FORCE_RELAY.value == 4 + 8
    assert Permission.NO_BAN.value == 16 + 64
    assert Permission.ALL.value == 2 + 4 + 8 + 16 + 32 + 64 + 128


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("oopsie@127.0.0.1", "Invalid P2P permission: 'oopsie'"),
        ("noban@127.0.0.1:230", "Invalid netmask specified in -whitelist: '127.0.0.1:230'"),
        ("noban@", "Invalid netmask specified in -whitelist: ''"),
        ("in,out@1.2.3.4", "Only direction was set, no permissions: 'in,out@1.2.3.4'"),
    ],
)
def test_mistakes_in_whitelist(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_whitelist(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("oopsie@127.0.0.1:1", "Invalid P2P permission: 'oopsie'"),
        ("noban@127.0.0.1", "Need to specify a port with -whitebind: '127.0.0.1'"),
        ("noban@elsewhere:1", "Cannot resolve -whitebind address: 'elsewhere:1'"),
        ("", "Cannot resolve -whitebind address: ''"),
        ("noban,out@1.2.3.4:1", 'whitebind may only be used for incoming connections ("out" was passed)'),
    ],
)
def test_mistakes_in_whitebind(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_whitebind(text)
    assert str(caught.value) == sentence


def test_whitebind() -> None:
    entry = parse_whitebind("noban,in@127.0.0.1:8333")
    assert (entry.address, names(entry.permissions)) == (NetworkAddress.parse("127.0.0.1:8333"), ["noban", "download"])


@pytest.mark.parametrize(
    ("text", "inbound", "manual"),
    [
        ("noban@127.0.0.0/8", True, False),
        ("noban,in@127.0.0.0/8", True, False),
        ("noban,out@127.0.0.0/8", False, True),
        ("noban,in,out@127.0.0.0/8", True, True),
        ("noban,in,out@128.0.0.0/8", False, False),
    ],
)
def test_directions(text: str, inbound: bool, manual: bool) -> None:
    whitelist = Whitelist([parse_whitelist(text)])
    assert (Permission.NO_BAN in whitelist.permissions(HERE, Direction.INBOUND)) is inbound
    assert (Permission.NO_BAN in whitelist.permissions(HERE, Direction.MANUAL)) is manual


def test_an_entry_without_words() -> None:
    whitelist = Whitelist([parse_whitelist("127.0.0.1")], IMPLICIT)
    assert names(whitelist.permissions(HERE, Direction.INBOUND)) == ["noban", "relay", "mempool", "download"]
    assert names(implicit(relay=False, force_relay=False)) == ["noban", "mempool", "download"]
    assert names(implicit(relay=False, force_relay=True)) == ["noban", "forcerelay", "relay", "mempool", "download"]


def test_entries_add_up_and_the_stand_in_goes() -> None:
    entries = [parse_whitelist("127.0.0.1"), parse_whitelist("addr@127.0.0.0/8"), parse_whitelist("bloom@10.0.0.1")]
    granted = Whitelist(entries, IMPLICIT).permissions(HERE, Direction.INBOUND)
    assert granted == IMPLICIT | Permission.ADDR
    assert Whitelist().permissions(HERE, Direction.INBOUND) is Permission.NONE

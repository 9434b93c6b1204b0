"""Core's ``peers.dat``: a real old one, and newer formats written here."""

import random
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.peers.addrman import AddrMan
from ccnode.peers.addrman_entry import AddrRecord
from ccnode.peers.addrman_tables import Placement
from ccnode.peers.netgroup import NetGroupManager
from ccnode.storage import peers_dat as module
from ccnode.storage.peers_dat import read_peers_dat
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.serialize import compact_size, sha256d, var_bytes
from tests.support.clock import ManualClock

MAGIC = bytes.fromhex("f9beb4d9")
NOW = 1_700_000_000
IP = NetworkAddress.parse("1.2.3.4:8333")
ONION = NetworkAddress(Network.ONION, bytes(range(32)), 8333)
SEED = NetworkAddress(Network.INTERNAL, bytes(range(10)), 0)


def disk_address(address: NetworkAddress) -> bytes:
    if address.network is Network.INTERNAL:
        return b"\x02" + var_bytes(address.to_v1())
    network_id, addr = address.to_bip155()
    return bytes((network_id,)) + var_bytes(addr)


def disk_entry(address: bytes, source: bytes, services: int = 1033, port: int = 8333, version: int = 1 << 29) -> bytes:
    head = struct.pack("<II", version | 220000, NOW) + compact_size(services)
    return head + address + port.to_bytes(2, "big") + source + struct.pack("<qi", NOW - 5, 2)


def file(new: list[bytes], tried: list[bytes], file_format: int = 4, oldest: int = 4, magic: bytes = MAGIC) -> bytes:
    head = magic + bytes((file_format, 32 + oldest)) + bytes(32)
    counts = struct.pack("<iii", len(new), len(tried), 1024 ^ 1 << 30)
    content = head + counts + b"".join(new + tried) + bytes(4 * 1024) + bytes(32)
    return content + sha256d(content)


def signed(content: bytes) -> bytes:
    return content + sha256d(content)


def test_a_real_old_file(data_dir: Path) -> None:
    """Of 2015, format 1. Its own buckets show that our placement is Core's."""
    data = (data_dir / "addrs/nbitcoin_peers.dat").read_bytes()
    records = list(read_peers_dat(data, MAGIC))
    assert len(records) == 98 + 16
    assert sum(record.in_tried for record in records) == 16
    assert records[0].address == NetworkAddress.parse("67.180.227.209:8333")
    assert records[0].source == NetworkAddress.parse("178.18.90.41", 0)
    placement, groups = Placement(data[6:38], NetGroupManager()), NetGroupManager()
    position = 38 + 12 + 114 * 62
    for bucket in range(1024):
        (count,) = struct.unpack_from("<i", data, position)
        for number in struct.unpack_from(f"<{count}i", data, position + 4):
            record = records[number]
            assert placement.new_slot(record.address, groups.group(record.source)) // 64 == bucket
        position += 4 + 4 * count
    assert position == len(data) - 32
    addrman = AddrMan(groups, ManualClock(records[0].time), random.Random(1), key=data[6:38])
    merged = [addrman.merge(record) for record in records]
    assert all(merged)
    assert addrman.size(in_new=False) == 16


def test_the_newest_format() -> None:
    entries = [
        disk_entry(disk_address(IP), disk_address(SEED)),
        disk_entry(b"\x09" + var_bytes(bytes(40)), disk_address(IP)),
    ]
    tried = [disk_entry(disk_address(ONION), b"\x09" + var_bytes(b""), services=2**64 - 1)]
    old_style = struct.pack("<II", 220000, NOW) + struct.pack("<Q", 9) + IP.to_v1() + (8333).to_bytes(2, "big")
    old_style += disk_address(IP) + struct.pack("<qi", -1, -1)
    records = list(read_peers_dat(file([*entries, old_style], tried), MAGIC))
    source = NetworkAddress(Network.IPV4, IP.addr, 0)
    assert records == [
        AddrRecord(IP, SEED, 1033, NOW, NOW - 5, attempts=2),
        AddrRecord(IP, source, 9, NOW, 0),
        AddrRecord(ONION, ONION, 2**64 - 1, NOW, NOW - 5, attempts=2, in_tried=True),
    ]


def test_a_later_format_that_says_it_can_be_read() -> None:
    assert list(read_peers_dat(file([], [], file_format=9, oldest=4), MAGIC)) == []


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "magic"),
        (file([], [], magic=bytes(4)), "magic"),
        (file([], [])[:-1] + b"\0", "checksum"),
        (file([], [], file_format=9, oldest=5), "later Bitcoin Core"),
        (signed(MAGIC + b"\x04\x05"), "no format"),
        (signed(MAGIC + b"\x04\x24" + bytes(32) + struct.pack("<iii", -1, 0, 0)), "more than there can be"),
        (signed(MAGIC + b"\x04\x24" + bytes(32) + struct.pack("<iii", 0, 16385, 0)), "more than there can be"),
        (signed(MAGIC + b"\x04\x24" + bytes(32) + struct.pack("<iii", 1, 0, 0)), "truncated"),
        (file([disk_entry(disk_address(IP), disk_address(IP), version=1 << 30)], []), "version"),
        (file([disk_entry(b"\x01" + var_bytes(bytes(5)), disk_address(IP))], []), "5 bytes"),
    ],
)
def test_what_is_no_peers_dat(data: bytes, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        list(read_peers_dat(data, MAGIC))


def test_too_large_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_FILE_SIZE", 10)
    with pytest.raises(ValueError, match="too many"):
        list(read_peers_dat(bytes(11), MAGIC))


@given(st.binary(max_size=300), st.integers(0, 4), st.integers(0, 5))
def test_damage_is_an_error_and_nothing_else(rest: bytes, file_format: int, new: int) -> None:
    head = MAGIC + bytes((file_format, 36)) + bytes(32) + struct.pack("<iii", new, 0, 0)
    try:
        records = list(read_peers_dat(signed(head + rest), MAGIC))
    except ValueError:
        return
    assert len(records) <= new

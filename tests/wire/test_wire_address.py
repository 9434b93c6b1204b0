"""Network addresses: text, v1 and BIP155 forms, and what is routable."""

import json
from ipaddress import ip_address

import pytest
from hypothesis import given, settings

from ccnode.errors import DecodeError
from ccnode.wire.address import IPV4_IN_IPV6, Network, NetworkAddress, split_host_port
from tests.support.data import read_xz
from tests.wire.wire_strategies import v1_address, v2_address

ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"
ONION_KEY = bytes.fromhex("79bcc625184b05194975c28b66b66b0469f7f6556fb1ac3189a79b40dda32f1f")
I2P = "ukeu3k5oycgaauneqgtnvselmt4yemvoilkln7jpvamvfx7dnkdq.b32.i2p"
I2P_HASH = bytes.fromhex("a2894dabaec08c0051a481a6dac88b64f98232ae42d4b6fd2fa81952dfe36a87")
quick = settings(max_examples=100)

TEXTS = {
    "1.2.3.4:8333": (Network.IPV4, bytes([1, 2, 3, 4]), 8333),
    "[2001:470::1]:1": (Network.IPV6, bytes.fromhex("20010470000000000000000000000001"), 1),
    "[::1]:8333": (Network.IPV6, bytes(15) + b"\1", 8333),
    f"{ONION}:8333": (Network.ONION, ONION_KEY, 8333),
    f"{I2P}:0": (Network.I2P, I2P_HASH, 0),
    "[fc00:1:2:3:4:5:6:7]:65535": (Network.CJDNS, bytes.fromhex("fc000001000200030004000500060007"), 65535),
}


@pytest.mark.parametrize(("text", "fields"), TEXTS.items())
def test_text_both_ways(text, fields):
    address = NetworkAddress.parse(text, cjdns=True)
    assert (address.network, address.addr, address.port) == fields
    assert str(address) == text
    assert NetworkAddress.parse(address.host, fields[2], cjdns=True) == address


def test_ports_default():
    assert NetworkAddress.parse("1.2.3.4", 8333).port == 8333
    assert (
        NetworkAddress.parse("::1", 8333) == NetworkAddress.parse("[::1]:8333") == NetworkAddress.parse("[::1]", 8333)
    )
    assert NetworkAddress.parse(ONION.upper(), 8333) == NetworkAddress(Network.ONION, ONION_KEY, 8333)
    assert NetworkAddress.parse(I2P, 8333).port == 0
    assert NetworkAddress.parse(f"{I2P}:8333").port == 8333


def test_mapped_ipv4_is_ipv4_and_fc00_is_what_you_say():
    assert NetworkAddress.parse("[::ffff:1.2.3.4]:5") == NetworkAddress.parse("1.2.3.4:5")
    assert NetworkAddress.parse("fc00::1").network is Network.IPV6
    assert NetworkAddress.parse("fc00::1", cjdns=True).network is Network.CJDNS
    assert NetworkAddress.parse("fd00::1", cjdns=True).network is Network.IPV6


BAD_TEXTS = [
    "",
    "example.com",
    "example.com:8333",
    "1.2.3",
    "1.2.3.4:",
    "1.2.3.4:65536",
    "1.2.3.4:-1",
    "1.2.3.4:x",
    "1.2.3.4:٣",
    "[1.2.3.4]:8333",
    "[::1",
    "::1]:8333",
    "[::1]8333",
    "fe80::1%eth0",
    "fd87:d87e:eb43::1",
    "[fd6b:88c0:8724::1]:1",
    "expyuzz4wqqyqhjn.onion",
    ONION.replace("pg6", "pg7"),
    "0" + ONION[1:],
    "é" + ONION[1:],
    I2P.replace("ukeu", "uke1"),
    I2P[1:],
    I2P[8:],
    ".onion",
    ".b32.i2p",
]


@pytest.mark.parametrize("text", BAD_TEXTS)
def test_bad_text_is_a_value_error_with_a_sentence(text):
    with pytest.raises(ValueError) as caught:
        NetworkAddress.parse(text, 1)
    assert type(caught.value) is ValueError
    assert len(str(caught.value)) > 15


def test_split_host_port():
    assert split_host_port("a.b:1") == ("a.b", 1)
    assert split_host_port("a.b") == ("a.b", None)
    assert split_host_port("1:2:3") == ("1:2:3", None)
    assert split_host_port("[1::2]:3") == ("1::2", 3)
    assert split_host_port("[1::2]") == ("1::2", None)
    assert split_host_port("x:0") == ("x", 0)


@quick
@given(v2_address)
def test_every_address_reads_its_own_text(address):
    again = NetworkAddress.parse(str(address), cjdns=True)
    assert again == address
    assert hash(again) == hash(address)


@quick
@given(v2_address)
def test_bip155_round_trip(address):
    assert NetworkAddress.from_bip155(*address.to_bip155(), address.port) == address


@quick
@given(v1_address)
def test_v1_round_trip(address):
    assert NetworkAddress.from_v1(address.to_v1(), address.port) == address


def test_v1_form():
    assert NetworkAddress.parse("1.2.3.4").to_v1().hex() == "00000000000000000000ffff01020304"
    for text in (ONION, I2P):
        assert NetworkAddress.parse(text).to_v1() == bytes(16)
        assert not NetworkAddress.parse(text).is_v1_compatible()
    onioncat = NetworkAddress.from_v1(bytes.fromhex("fd87d87eeb43") + bytes(10), 1)
    assert onioncat.addr == bytes(16)
    assert not onioncat.is_valid()
    internal = NetworkAddress.from_v1(bytes.fromhex("fd6b88c08724") + bytes(range(10)), 1)
    assert internal.network is Network.INTERNAL
    assert internal.to_v1() == bytes.fromhex("fd6b88c08724") + bytes(range(10))
    assert str(internal) == "aaaqeayeaudaocaj.internal:1"
    assert not internal.is_valid()
    with pytest.raises(ValueError):
        internal.to_bip155()


def test_bip155_skips_and_errors():
    for network_id, addr in [
        (3, bytes(10)),
        (0, b""),
        (7, bytes(16)),
        (2, bytes(10) + b"\xff\xff\1\2\3\4"),
        (2, bytes.fromhex("fd87d87eeb43") + bytes(10)),
        (2, bytes.fromhex("fd6b88c08724") + bytes(10)),
    ]:
        assert NetworkAddress.from_bip155(network_id, addr, 1) is None
    for network_id, size in [(1, 3), (1, 16), (2, 4), (4, 33), (5, 31), (6, 15)]:
        with pytest.raises(DecodeError):
            NetworkAddress.from_bip155(network_id, bytes(size), 1)


# First and last address of what strangers cannot reach.
UNROUTABLE_RANGES = [
    ("0.0.0.0", "0.255.255.255"),
    ("10.0.0.0", "10.255.255.255"),
    ("100.64.0.0", "100.127.255.255"),
    ("127.0.0.0", "127.255.255.255"),
    ("169.254.0.0", "169.254.255.255"),
    ("172.16.0.0", "172.31.255.255"),
    ("192.0.2.0", "192.0.2.255"),
    ("192.168.0.0", "192.168.255.255"),
    ("198.18.0.0", "198.19.255.255"),
    ("198.51.100.0", "198.51.100.255"),
    ("203.0.113.0", "203.0.113.255"),
    ("255.255.255.255", "255.255.255.255"),
    ("::", "::1"),
    ("2001:10::", "2001:2f:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
    ("fe80::", "fe80::ffff:ffff:ffff:ffff"),
]


@pytest.mark.parametrize(("first", "last"), UNROUTABLE_RANGES)
def test_the_borders_of_every_unroutable_range(first, last):
    first_ip, last_ip = ip_address(first), ip_address(last)

    def routable(ip) -> bool:
        return NetworkAddress.from_v1(ip.packed if ip.version == 6 else IPV4_IN_IPV6 + ip.packed, 1).is_routable()

    assert not routable(first_ip)
    assert not routable(last_ip)
    if int(first_ip):
        assert routable(first_ip - 1)
    if int(last_ip) != 2**32 - 1:
        assert routable(last_ip + 1)


@pytest.mark.parametrize("text", ["8.8.8.8", "2001:470::1", "2002::1", "64:ff9b::1", "2001::1", ONION, I2P])
def test_routable(text):
    address = NetworkAddress.parse(text)
    assert address.is_valid()
    assert address.is_routable()
    assert address.reported_network() is address.network


@pytest.mark.parametrize("text", ["10.0.0.1", "127.0.0.1", "fe80::1", "fc00::1", "::1"])
def test_valid_but_unroutable(text):
    address = NetworkAddress.parse(text)
    assert address.is_valid()
    assert address.reported_network().value == "not_publicly_routable"


INVALID = ["0.0.0.0", "255.255.255.255", "::", "2001:db8::1", "2001:db8:ffff::"]


@pytest.mark.parametrize("text", INVALID)
def test_invalid(text):
    address = NetworkAddress.parse(text)
    assert not address.is_valid()
    assert not address.is_routable()


def test_cjdns_needs_its_prefix():
    assert NetworkAddress.parse("fc00::1", cjdns=True).is_routable()
    assert not NetworkAddress(Network.CJDNS, bytes(16), 1).is_valid()


def test_local():
    assert all(NetworkAddress.parse(text).is_local() for text in ("127.0.0.1", "127.255.0.1", "0.1.1.1", "::1"))
    assert not any(NetworkAddress.parse(text).is_local() for text in ("128.0.0.1", "::2", "10.0.0.1", ONION))


@pytest.mark.parametrize("name", ["main_2026-02", "signet_2026-02", "test_2026-02", "main_2025-09-03"])
def test_cores_seed_lists(data_dir, name):
    seen = set()
    for line in read_xz(data_dir / f"addrs/core_nodes_{name}.txt.xz").decode().splitlines():
        text = line.split("#")[0].strip()
        if not text:
            continue
        address = NetworkAddress.parse(text, cjdns=True)
        assert str(address) == text
        assert address.is_routable()
        assert NetworkAddress.from_bip155(*address.to_bip155(), address.port) == address
        seen.add(address.network)
    assert seen >= {Network.IPV4, Network.IPV6, Network.ONION, Network.I2P}


def test_a_bitnodes_snapshot(data_dir):
    counts = dict.fromkeys(Network, 0)
    for host, port, *_ in json.loads(read_xz(data_dir / "addrs/bitnodes_1663113591.json.xz")):
        address = NetworkAddress.parse(host, port)
        assert address.host == host
        counts[address.network] += 1
    assert (counts[Network.IPV4], counts[Network.IPV6], counts[Network.ONION]) == (5880, 1105, 7425)

"""Ranges of addresses: ways to write one, what is in it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.peers.subnet import Subnet, masked
from ccnode.wire.address import Network, NetworkAddress

ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"
I2P = "ukeu3k5oycgaauneqgtnvselmt4yemvoilkln7jpvamvfx7dnkdq.b32.i2p"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("192.0.2.77", "192.0.2.77/32"),
        ("192.0.2.77/24", "192.0.2.0/24"),
        ("192.0.2.77/255.255.255.0", "192.0.2.0/24"),
        ("10.1.2.3/0", "0.0.0.0/0"),
        ("10.1.2.3/0.0.0.0", "0.0.0.0/0"),
        ("10.1.2.3/255.255.255.255", "10.1.2.3/32"),
        ("10.255.255.255/9", "10.128.0.0/9"),
        ("::ffff:10.0.0.1/8", "10.0.0.0/8"),
        ("2a00::ff/19", "2a00::/19"),
        ("2a00::ff/ffff:ff00::", "2a00::/24"),
        ("[2a00::1]", "2a00::1/128"),
        (ONION, ONION),
        (I2P, I2P),
    ],
)
def test_ways_to_write_a_range(text: str, shown: str) -> None:
    subnet = Subnet.parse(text)
    assert str(subnet) == shown
    assert Subnet.parse(shown) == subnet


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "localhost",
        "192.0.2.1/",
        "192.0.2.1/33",
        "192.0.2.1/-1",
        "192.0.2.1/ 8",
        "192.0.2.1/255.0.255.0",
        "192.0.2.1/0.0.0.255",
        "192.0.2.1/ffff::",
        "192.0.2.1:8333",
        "[2a00::1]:8333",
        "2a00::/129",
        "::ffff:10.0.0.1/100",
        "0.0.0.0",
        "::",
        ONION + "/8",
        "192.0.2.1/24/24",
    ],
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError):
        Subnet.parse(text)


def test_a_range_does_not_cross_networks() -> None:
    everything = Subnet.parse("::/0")
    assert NetworkAddress.parse("2a00::1") in everything
    assert NetworkAddress.parse("8.8.8.8") not in everything
    assert NetworkAddress.parse("fc00::1", cjdns=True) not in everything
    assert NetworkAddress.parse("fc00::1") in everything


def test_a_range_in_fc00_means_private_ipv6_and_cjdns() -> None:
    cjdns, private = NetworkAddress.parse("fc00::1", cjdns=True), NetworkAddress.parse("fc00::1")
    assert Subnet.single(cjdns) == Subnet.single(private) == Subnet.parse("fc00::1")
    for text in ("fc00::/8", "fc00::1"):
        assert cjdns in Subnet.parse(text)
        assert private in Subnet.parse(text)
    assert cjdns not in Subnet.parse("fc00::2")
    assert NetworkAddress.parse("8.8.8.8") not in Subnet.parse("fc00::/8")


@given(st.binary(min_size=4, max_size=4), st.binary(min_size=4, max_size=4), st.integers(0, 32))
def test_membership_is_a_common_prefix(one: bytes, other: bytes, prefix: int) -> None:
    def bits(addr: bytes) -> str:
        return f"{int.from_bytes(addr, 'big'):032b}"[:prefix]

    subnet = Subnet(Network.IPV4, masked(one, prefix), prefix)
    assert NetworkAddress(Network.IPV4, one, 0) in subnet
    assert (NetworkAddress(Network.IPV4, other, 5) in subnet) is (bits(one) == bits(other))


def test_a_single_address_has_no_port() -> None:
    subnet = Subnet.single(NetworkAddress.parse("8.8.8.8:1"))
    assert NetworkAddress.parse("8.8.8.8:2") in subnet
    assert NetworkAddress.parse("8.8.8.9:1") not in subnet

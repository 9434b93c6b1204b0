"""Net groups: one line of Core's table each."""

from pathlib import Path

import pytest

from ccnode.peers.asmap import Asmap
from ccnode.peers.netgroup import NetGroupManager, linked_ipv4
from ccnode.wire.address import Network, NetworkAddress

ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"


@pytest.mark.parametrize(
    ("text", "group"),
    [
        ("1.2.3.4", "010102"),
        ("127.0.0.1", "00"),
        ("::1", "00"),
        ("10.1.2.3", "00"),
        ("0.0.0.0", "00"),
        ("fd00::1", "00"),
        ("::ffff:1.2.3.4", "010102"),
        ("64:ff9b::102:304", "010102"),
        ("::ffff:0:102:304", "010102"),
        ("2002:102:304:9999:9999:9999:9999:9999", "010102"),
        ("2001:0:9999:9999:9999:9999:fefd:fcfb", "010102"),
        ("2001:470:abcd:9999::9", "0220010470af"),
        ("2001:2001:9999:9999:9999:9999:9999:9999", "0220012001"),
        (ONION, "037f"),
        ("ukeu3k5oycgaauneqgtnvselmt4yemvoilkln7jpvamvfx7dnkdq.b32.i2p:0", "04af"),
    ],
)
def test_groups_are_core_s(text: str, group: str) -> None:
    address = NetworkAddress.parse(text, 8333)
    assert NetGroupManager().group(address) == bytes.fromhex(group)


def test_a_network_of_unroutable_addresses_can_be_parted_by_prefix() -> None:
    groups = NetGroupManager(group_unroutable=True)
    assert groups.group(NetworkAddress.parse("127.5.0.1", 1)) == bytes.fromhex("017f05")
    assert groups.group(NetworkAddress.parse("10.1.2.3", 1)) == bytes.fromhex("010a01")
    assert groups.group(NetworkAddress.parse("8.8.8.8", 1)) == NetGroupManager().group(
        NetworkAddress.parse("8.8.8.8", 1)
    )
    assert groups.checksum != NetGroupManager().checksum


def test_cjdns_skips_the_byte_that_all_share() -> None:
    address = NetworkAddress.parse("fc12:3456:789a::1", 8333, cjdns=True)
    assert NetGroupManager().group(address) == bytes.fromhex("05fc1f")


def test_internal_addresses_are_groups_of_their_own() -> None:
    assert NetGroupManager().group(NetworkAddress(Network.INTERNAL, bytes(range(10)), 0)) == b"\6" + bytes(range(10))


def test_the_port_does_not_matter() -> None:
    groups = NetGroupManager()
    assert groups.group(NetworkAddress.parse("8.8.8.8:1")) == groups.group(NetworkAddress.parse("8.8.8.8:2"))


def test_with_an_asmap_the_as_is_the_group(data_dir: Path) -> None:
    groups = NetGroupManager(Asmap((data_dir / "vectors/core/asmap.raw").read_bytes()))
    plain = NetGroupManager()
    assert groups.checksum != plain.checksum == b""
    for text in ("250.1.2.3", "250.255.0.1", "2002:fa01:203::1"):
        assert groups.group(NetworkAddress.parse(text)) == bytes.fromhex("02e8030000")
    for text in ("1.2.3.4", "127.0.0.1", ONION, "2001:470::1"):  # not on the map, or not mapped at all
        assert groups.group(NetworkAddress.parse(text, 1)) == plain.group(NetworkAddress.parse(text, 1))
        assert groups.mapped_as(NetworkAddress.parse(text, 1)) == 0


def test_linked_ipv4() -> None:
    assert linked_ipv4(NetworkAddress.parse(ONION, 1)) is None
    assert linked_ipv4(NetworkAddress.parse("2a00::1")) is None
    assert linked_ipv4(NetworkAddress.parse("2001:0:9999::fefd:fcfb")) == bytes((1, 2, 3, 4))

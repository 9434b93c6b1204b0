"""Net groups: addresses that one party may well hold together (Core: ``netgroup.cpp``).

Addresses are cheap by the block: whoever has one of a /16 has many. So whatever limits strangers (the address
manager's buckets, one outbound connection per group, the choice of whom to evict) counts groups, not addresses. A
group is a /16 of IPv4, a /32 of IPv6 (a /36 of he.net's tunnels, which it hands out freely), and one sixteenth of the
addresses of Tor, I2P and CJDNS, where an address is nothing but a key: there the group protects hardly at all. IPv6
that carries IPv4 (6to4, Teredo, SIIT, NAT64) belongs to the IPv4 address's group. With an asmap, every IPv4 and IPv6
address that it knows has the group of its autonomous system.

A group is bytes: the class of the network, then what tells groups of that class apart. They go into keyed hashes as
they are, so that they must be Core's to the bit where Core's tables are read.
"""

from typing import Final

from ccnode.peers.asmap import Asmap
from ccnode.wire.address import IPV4_IN_IPV6, Network, NetworkAddress

UNROUTABLE_GROUP: Final = b"\0"
"""Of all that strangers cannot reach, this machine included."""

_CLASSES: Final = {
    Network.IPV4: b"\1",
    Network.IPV6: b"\2",
    Network.ONION: b"\3",
    Network.I2P: b"\4",
    Network.CJDNS: b"\5",
    Network.INTERNAL: b"\6",
}
_AS_CLASS: Final = _CLASSES[Network.IPV6]
"""IPv4 and IPv6 of one AS are one group."""

_HE_NET: Final = bytes.fromhex("20010470")
_NAT64: Final = bytes.fromhex("0064ff9b") + bytes(8)  # RFC6052
_SIIT: Final = bytes(8) + bytes.fromhex("ffff0000")  # RFC6145
_SIX_TO_FOUR: Final = bytes.fromhex("2002")  # RFC3964
_TEREDO: Final = bytes.fromhex("20010000")  # RFC4380, which writes the address inverted


class NetGroupManager:
    """Groups of addresses, by prefix or by autonomous system."""

    def __init__(self, asmap: Asmap | None = None, *, group_unroutable: bool = False) -> None:
        """
        :param group_unroutable: part addresses of private networks and of this machine by prefix as well, for networks
            that consist of them; otherwise they are all one group.
        """
        self.asmap = asmap
        self._group_unroutable = group_unroutable

    @property
    def checksum(self) -> bytes:
        """Changes whenever groups do: the asmap's checksum, empty without one."""
        suffix = b"unroutable" if self._group_unroutable else b""
        return suffix if self.asmap is None else self.asmap.checksum + suffix

    def mapped_as(self, address: NetworkAddress) -> int:
        """The AS number of a routable IPv4 or IPv6 address, 0 if it has none or there is no asmap."""
        mappable = self.asmap is not None and address.network in (Network.IPV4, Network.IPV6)
        return self._lookup(address, linked_ipv4(address)) if mappable and address.is_routable() else 0

    def group(self, address: NetworkAddress) -> bytes:
        """The group that ``address`` belongs to; its port does not matter."""
        network, addr = address.network, address.addr
        if network is Network.INTERNAL:
            return _CLASSES[network] + addr
        if not address.is_routable() and not self._group_unroutable:
            return UNROUTABLE_GROUP
        linked = linked_ipv4(address)
        if self.asmap is not None and network in (Network.IPV4, Network.IPV6):
            asn = self._lookup(address, linked)
            if asn:
                return _AS_CLASS + asn.to_bytes(4, "little")
        if linked is not None:
            return _CLASSES[Network.IPV4] + linked[:2]
        if network in (Network.ONION, Network.I2P):
            return _CLASSES[network] + _prefix(addr, 4)
        if network is Network.CJDNS:
            return _CLASSES[network] + _prefix(addr, 12)  # the first 8 bits are the same for all
        return _CLASSES[network] + _prefix(addr, 36 if addr.startswith(_HE_NET) else 32)

    def _lookup(self, address: NetworkAddress, linked: bytes | None) -> int:
        assert self.asmap is not None
        return self.asmap.lookup(address.addr if linked is None else IPV4_IN_IPV6 + linked)


def linked_ipv4(address: NetworkAddress) -> bytes | None:
    """The IPv4 address that a routable address is or carries (Core: ``GetLinkedIPv4``), None if there is none."""
    addr = address.addr
    if address.network is Network.IPV4:
        return addr
    if address.network is not Network.IPV6:
        return None
    if addr.startswith((_NAT64, _SIIT)):
        return addr[12:]
    if addr.startswith(_SIX_TO_FOUR):
        return addr[2:6]
    if addr.startswith(_TEREDO):
        return bytes(byte ^ 0xFF for byte in addr[12:])
    return None


def _prefix(addr: bytes, bits: int) -> bytes:
    """The first ``bits`` of an address; the rest of a byte begun is filled with ones."""
    whole, rest = divmod(bits, 8)
    if not rest:
        return addr[:whole]
    return addr[:whole] + bytes((addr[whole] | 0xFF >> rest,))

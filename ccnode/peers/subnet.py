"""A range of addresses: what a ban and a permission apply to (Core: ``CSubNet``, ``LookupSubNet``).

Three ways to write one: ``192.0.2.0/24`` and ``2001:db8::/32`` with a prefix length, ``192.0.2.0/255.255.255.0`` with a
netmask, and a single address, which is all there is for onion and I2P: their addresses are keys, neighbours
have nothing in common. Bits of the address behind the prefix are dropped, so that two ways to write the same range
are equal. A range never crosses networks: ``::/0`` contains no IPv4 address, and no CJDNS one. What is written within
fc00::/8 means the machine's kind of fc00::/8, be it private IPv6 or CJDNS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from ccnode.wire.address import CJDNS_FIRST_BYTE, Network, NetworkAddress, split_host_port

_WITH_PREFIX: Final = (Network.IPV4, Network.IPV6)


@dataclass(frozen=True, slots=True)
class Subnet:
    """The addresses of ``network`` whose first ``prefix`` bits are those of ``base``; hashable."""

    network: Network
    base: bytes
    """The lowest address in the range."""
    prefix: int
    """Bits, from 0 (the whole network) to the length of an address (one address)."""

    @classmethod
    def single(cls, address: NetworkAddress) -> Subnet:
        """The range that contains ``address`` alone, whatever the port."""
        network = Network.IPV6 if address.network is Network.CJDNS else address.network
        return cls(network, address.addr, 8 * len(address.addr))

    @classmethod
    def parse(cls, text: str) -> Subnet:
        """Read any of the text forms. `ValueError` with a sentence for people."""
        host, slash, width = text.partition("/")
        if split_host_port(host)[1] is not None:
            raise ValueError(f"{text!r} has a port, and a range has none")
        address = NetworkAddress.parse(host)
        if not slash:
            if not address.is_valid():
                raise ValueError(f"{text!r} is nobody's address")
            return cls.single(address)
        if address.network not in _WITH_PREFIX:
            raise ValueError(f"{text!r}: only IPv4 and IPv6 addresses have ranges")
        prefix = _parse_width(width, address)
        return cls(address.network, masked(address.addr, prefix), prefix)

    @property
    def address(self) -> NetworkAddress:
        """The lowest address in the range, without a port."""
        return NetworkAddress(self.network, self.base, 0)

    def __contains__(self, address: NetworkAddress) -> bool:
        if address.network is Network.CJDNS and self.base[0] == CJDNS_FIRST_BYTE:
            address = replace(address, network=Network.IPV6)
        return address.network is self.network and masked(address.addr, self.prefix) == self.base

    def __str__(self) -> str:
        host = self.address.host
        return f"{host}/{self.prefix}" if self.network in _WITH_PREFIX else host


def masked(addr: bytes, prefix: int) -> bytes:
    """``addr`` with all bits behind the first ``prefix`` cleared."""
    behind = 8 * len(addr) - prefix
    return (int.from_bytes(addr, "big") >> behind << behind).to_bytes(len(addr), "big")


def _parse_width(width: str, address: NetworkAddress) -> int:
    """The bits that a prefix length or a netmask leaves to the range that ``address`` is in."""
    bits = 8 * len(address.addr)
    if width.isascii() and width.isdigit() and int(width) <= bits:
        return int(width)
    try:
        mask = NetworkAddress.parse(width)
    except ValueError:
        raise ValueError(f"{width!r} is neither a prefix length (0 to {bits}) nor a netmask") from None
    prefix = int.from_bytes(mask.addr, "big").bit_count()
    if mask.network is not address.network or masked(b"\xff" * len(mask.addr), prefix) != mask.addr:
        raise ValueError(f"{width!r} is no netmask: ones come first, then zeros")
    return prefix

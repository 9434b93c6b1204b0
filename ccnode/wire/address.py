"""Network addresses: where a node can be reached, on which of five networks (Core: ``netaddress.{h,cpp}``).

An address is a network, its raw bytes and a port, and has three forms:

- text, as Core's configuration and RPC know it: ``1.2.3.4:8333``, ``[2001:470::1]:8333``, ``....onion:8333``,
  ``....b32.i2p:0``, ``[fc00::1]:8333``;
- the 16 bytes of ``version`` and ``addr``: IPv6, with IPv4 under ``::ffff:0:0/96``. Tor v3 and I2P do not fit and
  become zeros; the prefix that once carried Tor v2 means nothing any more and reads as ``::``, which is not valid;
- a network id and bytes of a length that the id fixes (BIP155, ``addrv2``). An IPv6 address there must not hide an
  IPv4 or Tor v2 one, otherwise one node would have two addresses.

CJDNS lives in fc00::/8, which on the internet is private IPv6: which of the two an address means depends on whether
we are on CJDNS, so parsing asks, and `as_cjdns` converts.

`NetworkAddress.is_routable` keeps private, documentation and benchmark ranges out of gossip. It proves nothing: an
address is a claim until a connection to it worked. There is no DNS here; a host name is not an address.
"""

from __future__ import annotations

from base64 import b32decode, b32encode
from binascii import Error as Base32Error
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha3_256, sha256
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final

from ccnode.errors import DecodeError


class Network(Enum):
    """The networks by the names of Core's RPC. The last two only describe; nobody connects to them."""

    IPV4 = "ipv4"
    IPV6 = "ipv6"
    ONION = "onion"
    I2P = "i2p"
    CJDNS = "cjdns"
    INTERNAL = "internal"
    """A stand-in for a name not resolved yet; never on the wire."""
    NOT_PUBLICLY_ROUTABLE = "not_publicly_routable"

    __hash__ = object.__hash__  # that of Enum is computed in Python, and every address is looked up several times


IPV4_IN_IPV6: Final = bytes(10) + b"\xff\xff"
ONIONCAT_PREFIX: Final = bytes.fromhex("fd87d87eeb43")
INTERNAL_PREFIX: Final = bytes.fromhex("fd6b88c08724")
INTERNAL_SIZE: Final = 10
CJDNS_FIRST_BYTE: Final = 0xFC
UNSPECIFIED: Final = bytes(16)

ADDRESS_SIZES: Final = {Network.IPV4: 4, Network.IPV6: 16, Network.ONION: 32, Network.I2P: 32, Network.CJDNS: 16}
"""Bytes of an address."""

BIP155_IDS: Final = {Network.IPV4: 1, Network.IPV6: 2, Network.ONION: 4, Network.I2P: 5, Network.CJDNS: 6}
_NETWORK_OF_ID: Final = {number: network for network, number in BIP155_IDS.items()}
MAX_ADDRV2_SIZE: Final = 512
"""Bytes of an address of a network yet unknown (BIP155)."""

_ONION_SUFFIX: Final = ".onion"
_I2P_SUFFIX: Final = ".b32.i2p"
_ONION_VERSION: Final = b"\x03"
_I2P_BASE32_LENGTH: Final = 52
I2P_SAM31_PORT: Final = 0
"""I2P has no ports under SAM 3.1."""


def _v4(*ranges: str) -> tuple[tuple[int, int], ...]:
    networks = [IPv4Network(text) for text in ranges]
    return tuple((int(net.network_address), int(net.netmask)) for net in networks)


def _v6(*ranges: str) -> tuple[tuple[int, int], ...]:
    networks = [IPv6Network(text) for text in ranges]
    return tuple((int(net.network_address), int(net.netmask)) for net in networks)


_V4_LOCAL: Final = _v4("0.0.0.0/8", "127.0.0.0/8")
_V4_UNROUTABLE: Final = _v4(
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # RFC1918 private
    "198.18.0.0/15",  # RFC2544 benchmarks
    "169.254.0.0/16",  # RFC3927 link-local
    "100.64.0.0/10",  # RFC6598 carrier-grade NAT
    "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",  # RFC5737 documentation
)  # fmt: skip
_V6_DOCUMENTATION: Final = _v6("2001:db8::/32")  # RFC3849
_V6_UNROUTABLE: Final = _v6(
    "fe80::/64",  # RFC4862 link-local
    "fc00::/7",  # RFC4193 unique local
    "2001:10::/28",  # RFC4843 ORCHID
    "2001:20::/28",  # RFC7343 ORCHIDv2
)


_V4_SUSPECTS: Final = frozenset(base >> 24 for base, _ in _V4_UNROUTABLE)
"""First bytes of addresses in those ranges, none of which is wider than one. Others need no closer look."""


def _in(number: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    return any(number & mask == base for base, mask in ranges)


@dataclass(frozen=True, slots=True)
class NetworkAddress:
    """An address and a port, hashable. Build one with `parse`, `from_v1` or `from_bip155`.

    ``addr`` has the length `ADDRESS_SIZES` gives (10 for internal ones); ``port`` is 0 .. 65535.
    """

    network: Network
    addr: bytes
    port: int

    @classmethod
    def parse(cls, text: str, default_port: int = 0, cjdns: bool = False) -> NetworkAddress:
        """Read any of the text forms; the port may be left out, an IPv6 address with a port needs brackets.

        I2P's default port is always 0. With ``cjdns``, fc00::/8 means CJDNS, otherwise private IPv6. Raises
        `ValueError` with a sentence for people.
        """
        host, port = split_host_port(text)
        if host.lower().endswith(_ONION_SUFFIX):
            return cls(Network.ONION, _parse_onion(host), default_port if port is None else port)
        if host.lower().endswith(_I2P_SUFFIX):
            return cls(Network.I2P, _parse_i2p(host), I2P_SAM31_PORT if port is None else port)
        try:
            ip = ip_address(host)
        except ValueError:
            raise ValueError(f"{text!r} is no IPv4, IPv6, .onion or .b32.i2p address") from None
        if isinstance(ip, IPv6Address) and ip.scope_id is not None:
            raise ValueError(f"{text!r} has a zone (%{ip.scope_id}), which nobody else could use")
        packed = ip.packed
        if packed.startswith((ONIONCAT_PREFIX, INTERNAL_PREFIX)):
            raise ValueError(f"{text!r} is in a range reserved for addresses that are no longer IPv6")
        port = default_port if port is None else port
        if len(packed) == 4:
            return cls(Network.IPV4, packed, port)
        address = cls.from_v1(packed, port)
        return address.as_cjdns() if cjdns else address

    @classmethod
    def from_v1(cls, addr: bytes, port: int) -> NetworkAddress:
        """From the 16 bytes of ``version`` and ``addr``. An OnionCat address reads as ``::``, which is not valid."""
        if addr.startswith(IPV4_IN_IPV6):
            return cls(Network.IPV4, addr[12:], port)
        if addr.startswith(ONIONCAT_PREFIX):
            return cls(Network.IPV6, UNSPECIFIED, port)
        if addr.startswith(INTERNAL_PREFIX):
            return cls(Network.INTERNAL, addr[6:], port)
        return cls(Network.IPV6, addr, port)

    @classmethod
    def from_bip155(cls, network_id: int, addr: bytes, port: int) -> NetworkAddress | None:
        """From the fields of ``addrv2``.

        ``None`` for what is to be skipped: networks we do not know (Tor v2 is one) and IPv6 that hides another
        network. Raises `DecodeError` for a wrong length on a network we know.
        """
        network = _NETWORK_OF_ID.get(network_id)
        if network is None:
            return None
        if len(addr) != ADDRESS_SIZES[network]:
            raise DecodeError(f"{network.value} address of {len(addr)} bytes, {ADDRESS_SIZES[network]} expected")
        if network is Network.IPV6 and addr.startswith((IPV4_IN_IPV6, ONIONCAT_PREFIX, INTERNAL_PREFIX)):
            return None
        return cls(network, addr, port)

    @classmethod
    def internal(cls, name: str) -> NetworkAddress:
        """What stands for a host name where an address is wanted (Core: CNetAddr::SetInternal)."""
        return cls(Network.INTERNAL, sha256(name.encode()).digest()[:INTERNAL_SIZE], 0)

    def to_v1(self) -> bytes:
        """The 16-byte form; zeros where the network has none."""
        if self.network is Network.IPV4:
            return IPV4_IN_IPV6 + self.addr
        if self.network is Network.INTERNAL:
            return INTERNAL_PREFIX + self.addr
        return self.addr if self.network is Network.IPV6 else UNSPECIFIED

    def to_bip155(self) -> tuple[int, bytes]:
        """Network id and bytes for ``addrv2``. `ValueError` for an internal address, which never leaves the node."""
        if self.network not in BIP155_IDS:
            raise ValueError(f"{self} has no form on the wire")
        return BIP155_IDS[self.network], self.addr

    def is_v1_compatible(self) -> bool:
        """Whether ``addr`` can carry it (Core: IsAddrV1Compatible)."""
        return self.network in (Network.IPV4, Network.IPV6, Network.INTERNAL)

    def as_cjdns(self) -> NetworkAddress:
        """As a CJDNS address if it lies in fc00::/8, otherwise unchanged (Core: MaybeFlipIPv6toCJDNS)."""
        if self.network is Network.IPV6 and self.addr[0] == CJDNS_FIRST_BYTE:
            return replace(self, network=Network.CJDNS)
        return self

    def is_valid(self) -> bool:
        """Whether it can be an address of anybody at all."""
        if self.network is Network.IPV4:
            return self.addr not in (bytes(4), b"\xff\xff\xff\xff")
        if self.network is Network.IPV6:
            return self.addr != UNSPECIFIED and not _in(int.from_bytes(self.addr, "big"), _V6_DOCUMENTATION)
        if self.network is Network.CJDNS:
            return self.addr[0] == CJDNS_FIRST_BYTE
        return self.network in ADDRESS_SIZES

    def is_local(self) -> bool:
        """Whether it means the machine itself: 127.0.0.0/8, 0.0.0.0/8, ::1."""
        if self.network is Network.IPV4:
            return self.addr[0] in (0, 127)
        return self.network is Network.IPV6 and self.addr == b"\0" * 15 + b"\1"

    def is_routable(self) -> bool:
        """Whether strangers could reach it, and it may be gossiped."""
        if not self.is_valid() or self.is_local():
            return False
        if self.network is Network.IPV4:
            return self.addr[0] not in _V4_SUSPECTS or not _in(int.from_bytes(self.addr, "big"), _V4_UNROUTABLE)
        if self.network is Network.IPV6:
            return not _in(int.from_bytes(self.addr, "big"), _V6_UNROUTABLE)
        return True

    def reported_network(self) -> Network:
        """The network as RPC reports it: `Network.NOT_PUBLICLY_ROUTABLE` for what is not routable."""
        if self.network is Network.INTERNAL or self.is_routable():
            return self.network
        return Network.NOT_PUBLICLY_ROUTABLE

    @property
    def host(self) -> str:
        """The address without port and brackets."""
        if self.network is Network.IPV4:
            return str(IPv4Address(self.addr))
        if self.network in (Network.IPV6, Network.CJDNS):
            return str(IPv6Address(self.addr))
        if self.network is Network.ONION:
            return _base32(self.addr + _onion_checksum(self.addr) + _ONION_VERSION) + _ONION_SUFFIX
        if self.network is Network.I2P:
            return _base32(self.addr) + _I2P_SUFFIX
        return _base32(self.addr) + ".internal"

    def __str__(self) -> str:
        if self.network in (Network.IPV6, Network.CJDNS):
            return f"[{self.host}]:{self.port}"
        return f"{self.host}:{self.port}"


def split_host_port(text: str) -> tuple[str, int | None]:
    """Part ``host``, ``host:port``, ``[host]:port`` and bare IPv6 (Core: SplitHostPort).

    Raises `ValueError` if what follows the colon is no port of 1 .. 65535 (0 for I2P is accepted as well).
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or (":" in host and not bracketed):
        host, port = text, ""
        bracketed = text.startswith("[") and text.endswith("]")
    elif not (port.isascii() and port.isdigit() and int(port) <= 0xFFFF):
        raise ValueError(f"{text!r}: {port!r} is no port number (0 to 65535)")
    if bracketed:
        host = host[1:-1]
        if ":" not in host:
            raise ValueError(f"{text!r}: only IPv6 addresses are written in brackets")
    return host, int(port) if port else None


def _base32(data: bytes) -> str:
    return b32encode(data).decode("ascii").lower().rstrip("=")


def _onion_checksum(public_key: bytes) -> bytes:
    return sha3_256(b".onion checksum" + public_key + _ONION_VERSION).digest()[:2]


def _parse_onion(host: str) -> bytes:
    """The public key in a Tor v3 name (rend-spec-v3): base32 of key, checksum and version."""
    try:
        data = b32decode(host[: -len(_ONION_SUFFIX)].upper())
    except (Base32Error, ValueError):
        raise ValueError(f"{host!r} is no onion address: not base32") from None
    if len(data) != 35:
        raise ValueError(f"{host!r} is no onion address: a version 3 name has 56 characters before .onion")
    public_key = data[:32]
    if data[32:] != _onion_checksum(public_key) + _ONION_VERSION:
        raise ValueError(f"{host!r} is no onion address: wrong checksum or version (mistyped?)")
    return public_key


def _parse_i2p(host: str) -> bytes:
    """The hash in an I2P base32 name, which has no checksum."""
    name = host[: -len(_I2P_SUFFIX)]
    try:
        data = b32decode(name.upper() + "====")
    except (Base32Error, ValueError):
        raise ValueError(f"{host!r} is no I2P address: not base32") from None
    if len(name) != _I2P_BASE32_LENGTH:
        raise ValueError(f"{host!r} is no I2P address: 52 characters belong before .b32.i2p")
    return data

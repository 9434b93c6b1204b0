"""What is said to a gateway that is to let others in: PCP (RFC 6887) and NAT-PMP (RFC 6886), without I/O.

Both are one UDP packet to port 5351 and one back. A gateway that is asked for a mapping hands connections to an outer
port on to us for some time, and with lifetime 0 it no longer does. PCP tells the outer address and port in one answer.
NAT-PMP, which is older, needs a question for each, and its gateways answer PCP with "unsupported version".

Whoever can send us packets in the gateway's name can make us tell others a wrong address. PCP's nonce, which comes
back in the answer, keeps out those who cannot see ours. Nothing here, not even the gateway, is more than a claim.

A gateway counts seconds since it forgot its mappings. We need not look: the message that renews one makes it anew.

There is a package for NAT-PMP, which does not serve: it knows no PCP, takes a packet for the answer without looking at
operation or length, and needs netifaces, which nobody keeps up.
"""

from dataclasses import dataclass
from struct import Struct
from typing import Final, Protocol, TypeVar

from ccnode.wire.address import Network, NetworkAddress

GATEWAY_PORT: Final = 5351
"""UDP."""

MAX_PACKET: Final = 1100
"""Bytes; the longest that PCP allows (RFC 6887, section 7)."""

NONCE_SIZE: Final = 12

_NAT_PMP: Final = 0
_PCP: Final = 2
_UNSUPPORTED_VERSION: Final = 1
_OP_ADDRESS: Final = 0
_PCP_OP_MAP: Final = 1
_NAT_PMP_OP_MAP_TCP: Final = 2
_ANSWER: Final = 0x80
_TCP: Final = 6
_ANY: Final = bytes(4)

_PCP_REQUEST: Final = Struct(">BBxxI16s")
"""Version, operation, lifetime, our inner address."""
_PCP_RESPONSE: Final = Struct(">BBxBII12x")
"""Version, operation, result, lifetime, epoch."""
_PCP_MAP: Final = Struct(">12sB3xHH16s")
"""Nonce, protocol, inner port, outer port, outer address."""
_NAT_PMP_HEAD: Final = Struct(">BBHI")
"""Version, operation, result, epoch."""
_NAT_PMP_MAP: Final = Struct(">HHI")
"""Inner port, outer port, lifetime."""
_NAT_PMP_MAP_REQUEST: Final = Struct(">BBxxHHI")

_PCP_REASONS: Final = {
    2: "it does not let us",
    7: "it has no connection",
    8: "it has no room for a mapping",
    10: "it gives us no more mappings",
    11: "it cannot give us an outer address",
    12: "there is another gateway before it",
}
_NAT_PMP_REASONS: Final = {2: "it does not let us", 3: "it has no connection", 4: "it has no room for a mapping"}


class GatewayRefusal(OSError):
    """The gateway said no; the text says why."""


class UnsupportedVersion(GatewayRefusal):
    """The gateway does not speak this protocol."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """Connections to ``external`` reach us for ``lifetime`` seconds from now on."""

    external: NetworkAddress
    lifetime: int


A = TypeVar("A", covariant=True)


class Request(Protocol[A]):
    """One question to a gateway."""

    def encode(self) -> bytes: ...

    def answer(self, packet: bytes) -> A | None:
        """What ``packet`` answers, None if it is no answer to this. `GatewayRefusal` if it is a no."""
        ...


@dataclass(frozen=True, slots=True)
class PcpMap:
    """Ask for a mapping of our TCP ``port``, renew it, or with ``lifetime`` 0 end it."""

    client: NetworkAddress
    """Our inner address, as the gateway sees it."""
    port: int
    lifetime: int
    nonce: bytes
    """The same for everything about one mapping."""
    wish: NetworkAddress | None = None
    """The outer address and port we would like; otherwise any address and our own port."""

    def encode(self) -> bytes:
        wish = self.wish or NetworkAddress(Network.IPV4, _ANY, self.port)
        head = _PCP_REQUEST.pack(_PCP, _PCP_OP_MAP, self.lifetime, self.client.to_v1())
        return head + _PCP_MAP.pack(self.nonce, _TCP, self.port, wish.port, wish.to_v1())

    def answer(self, packet: bytes) -> Mapping | None:
        if _is_refusal_of_version(packet):
            raise UnsupportedVersion("it does not speak PCP")
        if len(packet) < _PCP_RESPONSE.size + _PCP_MAP.size:
            return None
        version, operation, result, lifetime, _epoch = _PCP_RESPONSE.unpack_from(packet)
        nonce, protocol, inner, outer, address = _PCP_MAP.unpack_from(packet, _PCP_RESPONSE.size)
        if (version, operation) != (_PCP, _ANSWER | _PCP_OP_MAP):
            return None
        if (nonce, protocol, inner) != (self.nonce, _TCP, self.port):
            return None
        if result:
            raise GatewayRefusal(_PCP_REASONS.get(result, f"PCP result {result}"))
        return Mapping(NetworkAddress.from_v1(address, outer), lifetime)


@dataclass(frozen=True, slots=True)
class NatPmpAddress:
    """Ask for the gateway's outer IPv4 address."""

    def encode(self) -> bytes:
        return bytes((_NAT_PMP, _OP_ADDRESS))

    def answer(self, packet: bytes) -> bytes | None:
        """The four bytes of the address."""
        rest = _nat_pmp_answer(packet, _OP_ADDRESS, 4)
        return None if rest is None else rest[:4]


@dataclass(frozen=True, slots=True)
class NatPmpMap:
    """Ask for a mapping of our TCP ``port``, renew it, or with ``lifetime`` 0 end it."""

    port: int
    lifetime: int
    wish: int = 0
    """The outer port we would like; 0 where the mapping is to end (RFC 6886, section 3.4)."""

    def encode(self) -> bytes:
        return _NAT_PMP_MAP_REQUEST.pack(_NAT_PMP, _NAT_PMP_OP_MAP_TCP, self.port, self.wish, self.lifetime)

    def answer(self, packet: bytes) -> tuple[int, int] | None:
        """Outer port and lifetime in seconds."""
        rest = _nat_pmp_answer(packet, _NAT_PMP_OP_MAP_TCP, _NAT_PMP_MAP.size)
        if rest is None:
            return None
        inner, outer, lifetime = _NAT_PMP_MAP.unpack_from(rest)
        return (outer, lifetime) if inner == self.port else None


def _nat_pmp_answer(packet: bytes, operation: int, size: int) -> bytes | None:
    """What follows the head of an answer to ``operation``, at least ``size`` bytes. A refusal may be shorter."""
    if len(packet) < _NAT_PMP_HEAD.size:
        return None
    version, answered, result, _epoch = _NAT_PMP_HEAD.unpack_from(packet)
    if (version, answered) != (_NAT_PMP, _ANSWER | operation):
        return None
    if result:
        raise GatewayRefusal(_NAT_PMP_REASONS.get(result, f"NAT-PMP result {result}"))
    rest = packet[_NAT_PMP_HEAD.size :]
    return rest if len(rest) >= size else None


def _is_refusal_of_version(packet: bytes) -> bool:
    """Of PCP: by a gateway of NAT-PMP, in its own format, or by one of another version of PCP."""
    if len(packet) < _NAT_PMP_HEAD.size or not packet[1] & _ANSWER:
        return False
    result = int.from_bytes(packet[2:4], "big") if packet[0] == _NAT_PMP else packet[3]
    return result == _UNSUPPORTED_VERSION

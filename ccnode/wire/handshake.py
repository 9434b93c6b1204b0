"""Messages that open a link and agree on its features.

Order on the wire: each side sends ``version``; after receiving the other's, its feature messages (`WtxidRelay`,
`SendAddrV2`, `SendTxRcncl`), which are legal only before ``verack``; then ``verack``. `SendHeaders` and `SendCmpct`
follow later. Nothing in ``version`` is trustworthy: version and services are claims, time is a peer's clock, the
addresses are what it likes to say. The nonce serves one purpose, to notice a connection to ourselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from string import ascii_letters, digits
from struct import Struct
from typing import ClassVar, Final

from ccnode.wire.address import UNSPECIFIED, Network, NetworkAddress
from ccnode.wire.message import SMALL_PAYLOAD, Empty
from ccnode.wire.protocol import MAX_SUBVERSION_LENGTH
from ccnode.wire.serialize import I32, PORT, U64, Reader, var_bytes

_VERSION_HEAD: Final = Struct("<iQq")
_SENDTXRCNCL: Final = Struct("<IQ")
_SENDCMPCT: Final = Struct("<BQ")
_SAFE_CHARS: Final = frozenset((ascii_letters + digits + " .,;-_/:?@()").encode())

NOWHERE: Final = NetworkAddress(Network.IPV6, UNSPECIFIED, 0)
"""The address to send where none is known, or none should be told."""


@dataclass(frozen=True, slots=True)
class ServiceAddress:
    """Services and address as ``version`` carries them: 26 bytes, no time."""

    services: int = 0
    address: NetworkAddress = NOWHERE

    def encode(self) -> bytes:
        return U64.pack(self.services) + self.address.to_v1() + PORT.pack(self.address.port)

    @classmethod
    def read(cls, reader: Reader) -> ServiceAddress:
        services = reader.u64()
        addr = reader.take(16)
        return cls(services, NetworkAddress.from_v1(addr, reader.port()))


@dataclass(frozen=True, slots=True)
class Version:
    """``version``, the first message of either side.

    The fields from ``addr_from`` on were added over the years and may be missing, each only with all after it:
    ``None`` means that the payload ended before (``addr_from`` and ``nonce`` come together).
    """

    version: int
    """Protocol version, i32."""
    services: int
    """`ServiceFlags` and bits without a name, u64."""
    timestamp: int
    """Unix seconds, i64; negative times read as 0."""
    addr_recv: ServiceAddress = ServiceAddress()
    """Who the sender thinks he talks to."""
    addr_from: ServiceAddress | None = ServiceAddress()
    """Who he says he is; meaningless today."""
    nonce: int | None = 0
    """u64."""
    user_agent: bytes | None = b""
    """At most 256 bytes, anything at all: show `clean_user_agent`."""
    start_height: int | None = 0
    """Height of the sender's tip, i32."""
    relay: bool | None = True
    """Whether transactions may be announced at once (BIP37); missing means yes."""

    command: ClassVar[str] = "version"
    max_payload: ClassVar[int] = SMALL_PAYLOAD

    @property
    def relays_transactions(self) -> bool:
        """``relay`` with its default applied."""
        return self.relay is not False

    @property
    def clean_user_agent(self) -> str:
        """The user agent reduced to characters that are safe to print (Core: SanitizeString)."""
        return bytes(byte for byte in self.user_agent or b"" if byte in _SAFE_CHARS).decode("ascii")

    def encode(self) -> bytes:
        parts = [_VERSION_HEAD.pack(self.version, self.services, self.timestamp), self.addr_recv.encode()]
        if self.addr_from is None or self.nonce is None:
            return b"".join(parts)
        parts += self.addr_from.encode(), U64.pack(self.nonce)
        if self.user_agent is None:
            return b"".join(parts)
        parts.append(var_bytes(self.user_agent))
        if self.start_height is None:
            return b"".join(parts)
        parts.append(I32.pack(self.start_height))
        if self.relay is not None:
            parts.append(b"\1" if self.relay else b"\0")
        return b"".join(parts)

    @classmethod
    def decode(cls, payload: bytes) -> Version:
        reader = Reader(payload)
        version, services, timestamp = reader.i32(), reader.u64(), max(0, reader.i64())
        addr_recv = ServiceAddress.read(reader)
        addr_from, nonce = (ServiceAddress.read(reader), reader.u64()) if reader.remaining else (None, None)
        user_agent = reader.var_bytes(MAX_SUBVERSION_LENGTH) if reader.remaining else None
        start_height = reader.i32() if reader.remaining else None
        relay = reader.boolean() if reader.remaining else None
        return cls(version, services, timestamp, addr_recv, addr_from, nonce, user_agent, start_height, relay)


@dataclass(frozen=True, slots=True)
class Verack(Empty):
    """The other side's ``version`` is accepted; ends the handshake."""

    command: ClassVar[str] = "verack"


@dataclass(frozen=True, slots=True)
class WtxidRelay(Empty):
    """Announce transactions by wtxid on this link (BIP339)."""

    command: ClassVar[str] = "wtxidrelay"


@dataclass(frozen=True, slots=True)
class SendAddrV2(Empty):
    """Send ``addrv2`` instead of ``addr`` (BIP155)."""

    command: ClassVar[str] = "sendaddrv2"


@dataclass(frozen=True, slots=True)
class SendTxRcncl:
    """Offer to reconcile transaction sets (BIP330)."""

    version: int
    """u32, at least 1."""
    salt: int
    """u64, half of the salt for short ids."""

    command: ClassVar[str] = "sendtxrcncl"
    max_payload: ClassVar[int] = SMALL_PAYLOAD

    def encode(self) -> bytes:
        return _SENDTXRCNCL.pack(self.version, self.salt)

    @classmethod
    def decode(cls, payload: bytes) -> SendTxRcncl:
        reader = Reader(payload)
        return cls(reader.u32(), reader.u64())


@dataclass(frozen=True, slots=True)
class SendHeaders(Empty):
    """Announce new blocks with ``headers`` instead of ``inv`` (BIP130)."""

    command: ClassVar[str] = "sendheaders"


@dataclass(frozen=True, slots=True)
class SendCmpct:
    """Compact blocks are understood, and whether they should come unasked (BIP152)."""

    high_bandwidth: bool
    version: int
    """u64; only 2, with witnesses, is in use."""

    command: ClassVar[str] = "sendcmpct"
    max_payload: ClassVar[int] = SMALL_PAYLOAD

    def encode(self) -> bytes:
        return _SENDCMPCT.pack(self.high_bandwidth, self.version)

    @classmethod
    def decode(cls, payload: bytes) -> SendCmpct:
        reader = Reader(payload)
        return cls(reader.boolean(), reader.u64())

"""``addr``, ``addrv2`` and ``getaddr``: nodes telling each other about nodes.

``addr`` holds IPv4 and IPv6 only; ``addrv2`` (BIP155) names the network of each entry, so that an entry of a network
invented later can be stepped over. Both hold at most 1,000 entries; more is punished, not merely ignored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final

from ccnode.wire.address import MAX_ADDRV2_SIZE, NetworkAddress
from ccnode.wire.message import Empty
from ccnode.wire.protocol import MAX_ADDR_TO_SEND, MAX_PROTOCOL_MESSAGE_LENGTH
from ccnode.wire.serialize import PORT, U32, Reader, compact_size, var_bytes

_ENTRY_HEAD: Final = Struct("<IQ16s")
_ENTRY_SIZE: Final = _ENTRY_HEAD.size + PORT.size
_ENTRY_V2_MIN_SIZE: Final = 4 + 1 + 1 + 1 + 2


@dataclass(frozen=True, slots=True)
class TimedAddress:
    """An address as gossip carries it (Core: CAddress)."""

    time: int
    """When it was last seen, Unix seconds, u32; a claim, to be clamped."""
    services: int
    """`ServiceFlags`, u64; a claim."""
    address: NetworkAddress


@dataclass(frozen=True, slots=True)
class Addr:
    """``addr``: entries of 30 bytes. Addresses without a 16-byte form are written as zeros: leave them out."""

    entries: tuple[TimedAddress, ...]

    command: ClassVar[str] = "addr"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def __len__(self) -> int:
        return len(self.entries)

    def encode(self) -> bytes:
        parts = [compact_size(len(self.entries))]
        for entry in self.entries:
            parts.append(_ENTRY_HEAD.pack(entry.time, entry.services, entry.address.to_v1()))
            parts.append(PORT.pack(entry.address.port))
        return b"".join(parts)

    @classmethod
    def decode(cls, payload: bytes) -> Addr:
        reader = Reader(payload)
        count = reader.limited_count(_ENTRY_SIZE, cls.command, MAX_ADDR_TO_SEND)
        return cls(tuple(_read_entry(reader) for _ in range(count)))


def _read_entry(reader: Reader) -> TimedAddress:
    time, services, addr = _ENTRY_HEAD.unpack(reader.take(_ENTRY_HEAD.size))
    return TimedAddress(time, services, NetworkAddress.from_v1(addr, reader.port()))


@dataclass(frozen=True, slots=True)
class AddrV2:
    """``addrv2`` (BIP155). ``skipped`` counts the entries received that name no address we could use."""

    entries: tuple[TimedAddress, ...]
    skipped: int = 0

    command: ClassVar[str] = "addrv2"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def __len__(self) -> int:
        """Entries that were on the wire."""
        return len(self.entries) + self.skipped

    def encode(self) -> bytes:
        parts = [compact_size(len(self.entries))]
        for entry in self.entries:
            network_id, addr = entry.address.to_bip155()
            parts += U32.pack(entry.time), compact_size(entry.services), bytes((network_id,)), var_bytes(addr)
            parts.append(PORT.pack(entry.address.port))
        return b"".join(parts)

    @classmethod
    def decode(cls, payload: bytes) -> AddrV2:
        reader = Reader(payload)
        count = reader.limited_count(_ENTRY_V2_MIN_SIZE, cls.command, MAX_ADDR_TO_SEND)
        entries = tuple(_readable(_read_entry_v2(reader) for _ in range(count)))
        return cls(entries, count - len(entries))


def _readable(entries: Iterable[TimedAddress | None]) -> Iterable[TimedAddress]:
    return (entry for entry in entries if entry is not None)


def _read_entry_v2(reader: Reader) -> TimedAddress | None:
    time, services, network_id = reader.u32(), reader.compact_number(), reader.u8()
    addr = reader.var_bytes(MAX_ADDRV2_SIZE)
    address = NetworkAddress.from_bip155(network_id, addr, reader.port())
    return None if address is None else TimedAddress(time, services, address)


@dataclass(frozen=True, slots=True)
class GetAddr(Empty):
    """Tell me about nodes. Answered once per inbound link."""

    command: ClassVar[str] = "getaddr"

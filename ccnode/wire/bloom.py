"""Bloom filters that a light client loads into its peer (BIP37). Off by default: they cost work and leak addresses.

A filter over its limits is punished, therefore `OversizeError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final

from ccnode.wire.message import Empty
from ccnode.wire.protocol import MAX_PROTOCOL_MESSAGE_LENGTH
from ccnode.wire.serialize import OversizeError, Reader, var_bytes

MAX_BLOOM_FILTER_SIZE: Final = 36_000
"""Bytes (``common/bloom.h``)."""
MAX_HASH_FUNCS: Final = 50
"""Hash functions (``common/bloom.h``)."""
MAX_SCRIPT_ELEMENT_SIZE: Final = 520
"""Bytes of a data element (``script/script.h``)."""

_TAIL: Final = Struct("<IIB")


@dataclass(frozen=True, slots=True)
class FilterLoad:
    """``filterload``: relay only what matches."""

    data: bytes
    """The bit field, at most 36,000 bytes; empty matches everything."""
    hash_functions: int
    """u32, at most 50."""
    tweak: int
    """u32, added to the seed of every hash function."""
    flags: int
    """0 none, 1 all, 2 pubkey only: which matched outputs are added to the filter."""

    command: ClassVar[str] = "filterload"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        return var_bytes(self.data) + _TAIL.pack(self.hash_functions, self.tweak, self.flags)

    @classmethod
    def decode(cls, payload: bytes) -> FilterLoad:
        reader = Reader(payload)
        data = reader.take(reader.limited_count(1, cls.command, MAX_BLOOM_FILTER_SIZE))
        hash_functions = reader.u32()
        if hash_functions > MAX_HASH_FUNCS:
            raise OversizeError(cls.command, hash_functions, MAX_HASH_FUNCS)
        return cls(data, hash_functions, reader.u32(), reader.u8())


@dataclass(frozen=True, slots=True)
class FilterAdd:
    """``filteradd``: put ``data`` (at most 520 bytes) into the filter."""

    data: bytes

    command: ClassVar[str] = "filteradd"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        return var_bytes(self.data)

    @classmethod
    def decode(cls, payload: bytes) -> FilterAdd:
        reader = Reader(payload)
        return cls(reader.take(reader.limited_count(1, cls.command, MAX_SCRIPT_ELEMENT_SIZE)))


@dataclass(frozen=True, slots=True)
class FilterClear(Empty):
    """``filterclear``: relay everything again."""

    command: ClassVar[str] = "filterclear"

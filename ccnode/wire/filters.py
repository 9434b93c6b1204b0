"""Compact block filters (BIP157): what a light client fetches to find out by itself which blocks concern it.

Three questions and their answers: the filters of a range of blocks, the hashes of filters in a chain of headers, and
such headers at every 1000th block. The only filter type in use is 0, *basic*.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct
from typing import ClassVar, Final, TypeVar

from ccnode.wire.message import SMALL_PAYLOAD
from ccnode.wire.protocol import MAX_PROTOCOL_MESSAGE_LENGTH
from ccnode.wire.serialize import HASH_SIZE, Reader, hash_vector, var_bytes

BASIC_FILTER: Final = 0
MAX_GETCFILTERS_SIZE: Final = 1000
"""Blocks one ``getcfilters`` may ask for (``net_processing.cpp``)."""
MAX_GETCFHEADERS_SIZE: Final = 2000
"""Blocks one ``getcfheaders`` may ask for, hence hashes in ``cfheaders`` (``net_processing.cpp``)."""
CFCHECKPT_INTERVAL: Final = 1000
"""Blocks from one checkpoint to the next (``index/blockfilterindex.h``)."""

_RANGE: Final = Struct("<BI32s")

F = TypeVar("F", bound="_RangeRequest")


@dataclass(frozen=True, slots=True)
class _RangeRequest:
    filter_type: int
    start_height: int
    """u32."""
    stop_hash: bytes
    """Hash of the last block of the range."""

    command: ClassVar[str]
    max_payload: ClassVar[int] = SMALL_PAYLOAD

    def encode(self) -> bytes:
        return _RANGE.pack(self.filter_type, self.start_height, self.stop_hash)

    @classmethod
    def decode(cls: type[F], payload: bytes) -> F:
        return cls(*_RANGE.unpack(Reader(payload).take(_RANGE.size)))


@dataclass(frozen=True, slots=True)
class GetCFilters(_RangeRequest):
    """``getcfilters``: the filters of up to 1000 blocks, answered by one `CFilter` each."""

    command: ClassVar[str] = "getcfilters"


@dataclass(frozen=True, slots=True)
class GetCFHeaders(_RangeRequest):
    """``getcfheaders``: the filter hashes of up to 2000 blocks."""

    command: ClassVar[str] = "getcfheaders"


@dataclass(frozen=True, slots=True)
class GetCFCheckpt:
    """``getcfcheckpt``: the filter headers at every 1000th block up to ``stop_hash``."""

    filter_type: int
    stop_hash: bytes

    command: ClassVar[str] = "getcfcheckpt"
    max_payload: ClassVar[int] = SMALL_PAYLOAD

    def encode(self) -> bytes:
        return bytes((self.filter_type,)) + self.stop_hash

    @classmethod
    def decode(cls, payload: bytes) -> GetCFCheckpt:
        reader = Reader(payload)
        return cls(reader.u8(), reader.hash())


@dataclass(frozen=True, slots=True)
class CFilter:
    """``cfilter``: the filter of one block, as BIP158 encodes it."""

    filter_type: int
    block_hash: bytes
    filter: bytes

    command: ClassVar[str] = "cfilter"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        return bytes((self.filter_type,)) + self.block_hash + var_bytes(self.filter)

    @classmethod
    def decode(cls, payload: bytes) -> CFilter:
        reader = Reader(payload)
        return cls(reader.u8(), reader.hash(), reader.var_bytes())


@dataclass(frozen=True, slots=True)
class CFHeaders:
    """``cfheaders``: a filter header and the hashes that continue it, at most 2000."""

    filter_type: int
    stop_hash: bytes
    previous_filter_header: bytes
    filter_hashes: tuple[bytes, ...]

    command: ClassVar[str] = "cfheaders"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        head = bytes((self.filter_type,)) + self.stop_hash + self.previous_filter_header
        return head + hash_vector(self.filter_hashes)

    @classmethod
    def decode(cls, payload: bytes) -> CFHeaders:
        reader = Reader(payload)
        filter_type, stop_hash, previous = reader.u8(), reader.hash(), reader.hash()
        count = reader.limited_count(HASH_SIZE, cls.command, MAX_GETCFHEADERS_SIZE)
        return cls(filter_type, stop_hash, previous, reader.hashes(count))


@dataclass(frozen=True, slots=True)
class CFCheckpt:
    """``cfcheckpt``: filter headers at heights 1000, 2000, ..."""

    filter_type: int
    stop_hash: bytes
    filter_headers: tuple[bytes, ...]

    command: ClassVar[str] = "cfcheckpt"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        return bytes((self.filter_type,)) + self.stop_hash + hash_vector(self.filter_headers)

    @classmethod
    def decode(cls, payload: bytes) -> CFCheckpt:
        reader = Reader(payload)
        return cls(reader.u8(), reader.hash(), reader.hashes(reader.count(HASH_SIZE)))

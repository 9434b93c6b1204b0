"""``ping``, ``pong`` and ``feefilter``: small news on a quiet link.

A ping carries a nonce since BIP31 and its pong returns it; without a nonce (peers up to version 60000) there is no
pong. A pong whose payload is too short to hold a nonce is not an error to Core: it cancels the outstanding ping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ccnode.errors import DecodeError
from ccnode.wire.message import SMALL_PAYLOAD
from ccnode.wire.serialize import I64, U64, Reader


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? ``nonce`` is a u64, ``None`` in the form before BIP31, which has no payload."""

    nonce: int | None

    command: ClassVar[str] = "ping"
    max_payload: ClassVar[int] = SMALL_PAYLOAD

    def encode(self) -> bytes:
        return b"" if self.nonce is None else U64.pack(self.nonce)

    @classmethod
    def decode(cls, payload: bytes) -> Ping:
        if len(payload) >= 8:
            return cls(U64.unpack_from(payload)[0])
        if payload:
            raise DecodeError(f"truncated: a nonce of 8 bytes expected, {len(payload)} left")
        return cls(None)


@dataclass(frozen=True, slots=True)
class Pong:
    """Yes. ``nonce`` is the ping's (u64), ``None`` if the payload was shorter than a nonce."""

    nonce: int | None

    command: ClassVar[str] = "pong"
    max_payload: ClassVar[int] = SMALL_PAYLOAD

    def encode(self) -> bytes:
        return b"" if self.nonce is None else U64.pack(self.nonce)

    @classmethod
    def decode(cls, payload: bytes) -> Pong:
        return cls(U64.unpack_from(payload)[0] if len(payload) >= 8 else None)


@dataclass(frozen=True, slots=True)
class FeeFilter:
    """Do not announce transactions that pay less (BIP133). ``feerate`` is satoshi per 1000 vbytes, i64."""

    feerate: int

    command: ClassVar[str] = "feefilter"
    max_payload: ClassVar[int] = SMALL_PAYLOAD

    def encode(self) -> bytes:
        return I64.pack(self.feerate)

    @classmethod
    def decode(cls, payload: bytes) -> FeeFilter:
        return cls(Reader(payload).i64())

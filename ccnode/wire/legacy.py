"""Messages of the past that old peers still send: read for those who watch, never acted on.

``reject`` (BIP61) told why something was refused; Core stopped sending it in 0.20. ``alert`` carried signed warnings;
its key is public knowledge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final

from ccnode.wire.message import SMALL_PAYLOAD
from ccnode.wire.protocol import MAX_PROTOCOL_MESSAGE_LENGTH
from ccnode.wire.serialize import HASH_SIZE, Reader, var_bytes

MAX_REJECTED_COMMAND_LENGTH: Final = 12
"""Bytes (Core 0.19, ``net_processing.cpp``)."""
MAX_REJECT_MESSAGE_LENGTH: Final = 111
"""Bytes of reason (Core 0.19, ``net_processing.h``)."""


@dataclass(frozen=True, slots=True)
class Reject:
    """``reject``."""

    message: bytes
    """Command of the message refused, at most 12 bytes."""
    code: int
    """0x01 malformed, 0x10 invalid, 0x11 obsolete, 0x12 duplicate, 0x40 nonstandard, 0x41 dust, 0x42 fee,
    0x43 checkpoint."""
    reason: bytes
    """At most 111 bytes, not safe to print."""
    hash: bytes | None = None
    """Block or transaction refused, where it was one."""

    command: ClassVar[str] = "reject"
    max_payload: ClassVar[int] = SMALL_PAYLOAD

    def encode(self) -> bytes:
        return var_bytes(self.message) + bytes((self.code,)) + var_bytes(self.reason) + (self.hash or b"")

    @classmethod
    def decode(cls, payload: bytes) -> Reject:
        reader = Reader(payload)
        message, code = reader.var_bytes(MAX_REJECTED_COMMAND_LENGTH), reader.u8()
        reason = reader.var_bytes(MAX_REJECT_MESSAGE_LENGTH)
        return cls(message, code, reason, reader.hash() if reader.remaining >= HASH_SIZE else None)


@dataclass(frozen=True, slots=True)
class Alert:
    """``alert``: a serialized warning and its signature, neither looked into."""

    alert: bytes
    signature: bytes

    command: ClassVar[str] = "alert"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        return var_bytes(self.alert) + var_bytes(self.signature)

    @classmethod
    def decode(cls, payload: bytes) -> Alert:
        reader = Reader(payload)
        return cls(reader.var_bytes(), reader.var_bytes())

"""What every message has in common.

A message is a frozen dataclass that knows its command, how to write its payload and how to read it::

    Ping(nonce=7).encode()      -> b"\\x07\\0\\0\\0\\0\\0\\0\\0"
    Ping.decode(payload)        -> Ping(nonce=7)

`decode` raises `DecodeError` for a payload that does not follow the format, `OversizeError` for a list that is longer
than the protocol allows, and ignores bytes after the last field it knows. ``max_payload`` is the most bytes such a
message may reasonably have, checked before anything is read; where a list has a limit of its own whose excess is
punished, ``max_payload`` leaves room to see the excess.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, TypeVar

from ccnode.wire.protocol import MAX_PROTOCOL_MESSAGE_LENGTH

SMALL_PAYLOAD: Final = 1000
"""Bytes allowed in messages that are empty or of a fixed size: those plus room for fields to come."""

E = TypeVar("E", bound="Empty")


class Message(Protocol):
    """Anything that can be sent."""

    @property
    def command(self) -> str:
        """At most twelve printable ASCII characters."""
        ...

    def encode(self) -> bytes:
        """The payload."""
        ...


class MessageType(Protocol):
    """The class of a message."""

    @property
    def command(self) -> str: ...

    @property
    def max_payload(self) -> int:
        """Bytes."""
        ...

    def decode(self, payload: bytes) -> Message: ...


@dataclass(frozen=True, slots=True)
class Empty:
    """Base of the messages whose command says everything."""

    max_payload: ClassVar[int] = SMALL_PAYLOAD

    def encode(self) -> bytes:
        return b""

    @classmethod
    def decode(cls: type[E], payload: bytes) -> E:
        return cls()


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message of a command we do not know, kept as it came. Never an error: it may be newer than we are."""

    command: str
    payload: bytes

    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        return self.payload

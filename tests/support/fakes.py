"""Peers, stores and chains in memory, for tests of the deciding rooms."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from struct import Struct
from typing import TypeVar

from ccnode.chain.formats import BITCOIN_FORMAT
from ccnode.chain.networks import REGTEST
from ccnode.errors import StorageError
from ccnode.peers.peer import ConnectionType, HandshakeStage, Peer
from ccnode.wire.address import NetworkAddress
from ccnode.wire.message import Message
from ccnode.wire.protocol import PROTOCOL_VERSION, ServiceFlags

NETWORK_AND_WITNESS = int(ServiceFlags.NETWORK | ServiceFlags.WITNESS)
REGTEST_BITS = 0x207FFFFF
GENESIS_TIME = 1_296_688_602
MAX_HEADERS = 2000

M = TypeVar("M", bound=Message)

_HEADER = Struct("<i32s32sIII")


def seeded_rng(seed: int = 1) -> random.Random:
    return random.Random(seed)


class FakePeer(Peer):
    """Keeps what was sent to it."""

    def __init__(
        self,
        peer_id: int = 0,
        connection_type: ConnectionType = ConnectionType.OUTBOUND_FULL_RELAY,
        *,
        address: str = "8.8.8.8:8333",
        connected_at: float = 1_700_000_000.0,
    ) -> None:
        super().__init__(peer_id, NetworkAddress.parse(address), connection_type, connected_at)
        self.sent: list[Message] = []

    def send(self, message: Message) -> None:
        if not self.closing:
            self.sent.append(message)

    def mark_dirty(self) -> None:
        self.dirty = True

    def disconnect(self, reason: str) -> None:
        if self.disconnect_reason is None:
            self.disconnect_reason = reason

    def take(self, kind: type[M]) -> list[M]:
        """The messages of a type sent since the last call, which are forgotten."""
        taken = [message for message in self.sent if isinstance(message, kind)]
        self.sent = [message for message in self.sent if not isinstance(message, kind)]
        return taken

    def commands(self) -> list[str]:
        """What was sent since the last call, which is forgotten."""
        sent, self.sent = self.sent, []
        return [message.command for message in sent]


def established_peer(
    peer_id: int = 0,
    connection_type: ConnectionType = ConnectionType.OUTBOUND_FULL_RELAY,
    *,
    services: int = NETWORK_AND_WITNESS,
    version: int = PROTOCOL_VERSION,
) -> FakePeer:
    """A peer whose handshake is over."""
    peer = FakePeer(peer_id, connection_type, address=f"8.{peer_id // 256}.{peer_id % 256}.8:8333")
    peer.stage = HandshakeStage.ESTABLISHED
    peer.version = version
    peer.common_version = min(version, PROTOCOL_VERSION)
    peer.services = services
    return peer


class MemoryHeaderStore:
    """A header store in a list; ``full`` makes writing fail."""

    def __init__(self, headers: Sequence[bytes] = ()) -> None:
        self.headers = list(headers)
        self.full = False

    def append(self, headers: Sequence[bytes]) -> None:
        if self.full:
            raise StorageError("no space left on device")
        self.headers += headers

    def read(self, number: int, count: int) -> bytes:
        return b"".join(self.headers[number : number + count])

    def load(self) -> Iterable[bytes]:
        if self.headers:
            yield b"".join(self.headers)


@dataclass
class HeaderLine:
    """Consecutive headers from a genesis on, number 0, as a peer may hold them."""

    headers: list[bytes] = field(default_factory=lambda: [REGTEST.genesis])
    hashes: list[bytes] = field(default_factory=lambda: [REGTEST.genesis_hash])

    def __post_init__(self) -> None:
        self.places = {block_hash: height for height, block_hash in enumerate(self.hashes)}

    @property
    def height(self) -> int:
        return len(self.headers) - 1

    @property
    def tip(self) -> bytes:
        return self.hashes[-1]

    @property
    def time(self) -> int:
        """Of the tip."""
        return int.from_bytes(self.headers[-1][68:72], "little")

    def grow(self, number: int, *, spacing: int = 600, salt: int = 0, start: int | None = None) -> "HeaderLine":
        """Mine ``number`` more on regtest's terms, in place; ``start`` is the time of the first."""
        time = self.time + spacing if start is None else start
        for raw in mined(self.tip, time, number, spacing, salt):
            block_hash = BITCOIN_FORMAT.hash(raw)
            self.places[block_hash] = len(self.headers)
            self.headers.append(raw)
            self.hashes.append(block_hash)
        return self

    def fork(self, height: int) -> "HeaderLine":
        """Another line with the same headers up to ``height``."""
        return HeaderLine(self.headers[: height + 1], self.hashes[: height + 1])

    def after(self, locator: Sequence[bytes], limit: int = MAX_HEADERS) -> list[bytes]:
        """What an honest holder of this line answers to a ``getheaders``."""
        height = next((self.places[block_hash] for block_hash in locator if block_hash in self.places), 0)
        return self.headers[height + 1 : height + 1 + limit]


def mined(
    prev: bytes, time: int, number: int, spacing: int = 600, salt: int = 0, bits: int = REGTEST_BITS
) -> list[bytes]:
    """Headers on top of the one with hash ``prev``, the first at ``time``; ``bits`` about regtest's."""
    root = salt.to_bytes(32, "little")
    hash_of = BITCOIN_FORMAT.hash
    headers = []
    for i in range(number):
        for nonce in count():
            raw = _HEADER.pack(4, prev, root, time + i * spacing, bits, nonce)
            block_hash = hash_of(raw)
            if block_hash[31] < 0x7F:
                break
        headers.append(raw)
        prev = block_hash
    return headers

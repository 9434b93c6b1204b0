"""What gossip remembers about one peer: its tokens, what it knows, what waits for it. All of it is bounded."""

from dataclasses import dataclass, field
from typing import Final

from ccnode.peers.peer import Peer
from ccnode.peers.rolling_bloom import RollingBloom
from ccnode.rng import Rng
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import TimedAddress
from ccnode.wire.protocol import MAX_ADDR_TO_SEND

TOKENS_PER_SECOND: Final = 0.1
"""Addresses per second taken from a peer in the long run (Core: ``MAX_ADDR_RATE_PER_SECOND``)."""

MAX_TOKENS: Final = 1000.0
"""Tokens that time alone can bring (Core: ``MAX_ADDR_PROCESSING_TOKEN_BUCKET``)."""

FIRST_TOKENS: Final = 1.0
"""For the peer's announcement of itself."""


@dataclass(slots=True)
class GossipPeer:
    """One peer that takes part in gossip. Times are Unix seconds, 0 where there was nothing yet."""

    peer: Peer
    known: RollingBloom
    lot: int
    """A secret number of 64 bits that draws it as a receiver."""
    tokens_at: float
    """When the tokens were counted last."""
    tokens: float = FIRST_TOKENS
    getaddr_outstanding: bool = False
    """We asked it, and the end of its answer has not come."""
    getaddr_received: bool = False
    processed: int = 0
    rate_limited: int = 0
    queue: list[TimedAddress] = field(default_factory=list)
    next_send: float = 0.0
    next_self_announcement: float = 0.0

    def take_tokens(self, wanted: int, now: float) -> int:
        """Pay for ``wanted`` addresses; returns for how many the tokens lasted."""
        if self.tokens < MAX_TOKENS:
            self.tokens = min(MAX_TOKENS, self.tokens + max(0.0, now - self.tokens_at) * TOKENS_PER_SECOND)
        self.tokens_at = now
        paid = min(wanted, int(self.tokens))
        self.tokens -= paid
        return paid

    def can_be_told(self, address: NetworkAddress) -> bool:
        """Whether there is a message for it that carries ``address``."""
        return address.is_valid() and (self.peer.wants_addrv2 or address.is_v1_compatible())

    def push(self, entry: TimedAddress, rng: Rng) -> bool:
        """Queue ``entry`` unless the peer knows it; whether it did. In a full queue it replaces one at random."""
        if not self.can_be_told(entry.address) or address_key(entry.address) in self.known:
            return False
        if len(self.queue) >= MAX_ADDR_TO_SEND:
            self.queue[rng.randrange(0, len(self.queue))] = entry
        else:
            self.queue.append(entry)
        return True

    def take_queue(self) -> list[TimedAddress]:
        """Empty the queue; returns what of it is still news to the peer, which knows it from now on."""
        news = [entry for entry in self.queue if self.known.add(address_key(entry.address))]
        self.queue.clear()
        return news


def address_key(address: NetworkAddress) -> bytes:
    """Bytes that no other address and port have."""
    return b"%s %d %s" % (address.network.value.encode(), address.port, address.addr)

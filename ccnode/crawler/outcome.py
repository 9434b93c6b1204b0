"""How a visit to an address may end, and what it taught: the contract between all parts of the crawler.

Every address that a round hears of ends in exactly one `Outcome`. Most crawlers keep one bit, reachable or not, and so
count a node whose slots are full as one that is down, and a peer of another network as a black hole. Here whoever
reads a census can tell a fault of the address from a fault of ours, and a refusal of the crawler's own guards from
both.

Reachable means one thing: both sides have sent ``version`` and ``verack``. Whether the peer then answered ``getaddr``
is apart (`Collected`), for many good nodes do not.

A `Visit` keeps what the peer *claims* (its version message) apart from what was *verified* (the headers it served).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, unique

from ccnode.wire.address import NetworkAddress

SEED_SOURCE = "seed"
"""`Visit.source` of an address that no peer vouched for: it came from a person, DNS or an earlier round."""


@unique
class Outcome(Enum):
    """What became of an address. The value is its name in files; ``sentence`` tells it to people."""

    sentence: str

    def __new__(cls, value: str, sentence: str = "") -> Outcome:
        outcome = object.__new__(cls)
        outcome._value_ = value
        outcome.sentence = sentence
        return outcome

    __hash__ = object.__hash__  # that of Enum is computed in Python

    # Never dialed.
    UNROUTABLE = "unroutable", "strangers cannot reach such an address, so it was not dialed"
    OPTED_OUT = "opted-out", "its operator asked not to be visited"
    CAPPED = "capped", "its source or its netgroup had named too many others already"
    NO_LANE = "no-lane", "its network cannot be reached from here"
    UNVISITED = "unvisited", "the round ended before its turn came"

    # Dialed, not connected.
    TIMEOUT = "timeout", "nothing answered the dial in time"
    REFUSED = "refused", "the host is up, and nobody listens on the port"
    NO_ROUTE = "no-route", "a router on the way said that there is no way"
    PROXY_FAILED = "proxy-failed", "the proxy could not connect us"
    LOCAL_ERROR = "local-error", "the fault was this machine's, also when tried again"

    # Connected, no handshake.
    SLOTS_FULL = "slots-full", "the connection was taken and closed before one byte: no slot was free"
    SILENT = "silent", "connected, and not one byte came"
    TARPIT = "tarpit", "bytes came, too slowly to become a message in time"
    WRONG_MAGIC = "wrong-magic", "a node of another network"
    NOT_BITCOIN = "not-bitcoin", "what came is not this protocol"
    MALFORMED = "malformed", "a message did not follow its format"
    OVERSIZE = "oversize", "a message was announced that is larger than any may be"
    OBSOLETE = "obsolete", "its protocol version is too low"
    SELF = "self", "we had dialed ourselves"
    NO_VERACK = "no-verack", "its version came, its verack did not"
    CLOSED = "closed", "it closed the connection during the handshake"

    REACHABLE = "reachable", "both sides completed the handshake"

    @property
    def dialed(self) -> bool:
        """Whether a connection was tried."""
        return self not in _NEVER_DIALED

    @property
    def connected(self) -> bool:
        """Whether somebody accepted the connection."""
        return self.dialed and self not in _NEVER_CONNECTED


_NEVER_DIALED = frozenset({Outcome.UNROUTABLE, Outcome.OPTED_OUT, Outcome.CAPPED, Outcome.NO_LANE, Outcome.UNVISITED})
_NEVER_CONNECTED = frozenset(
    {Outcome.TIMEOUT, Outcome.REFUSED, Outcome.NO_ROUTE, Outcome.PROXY_FAILED, Outcome.LOCAL_ERROR}
)


@unique
class Collected(Enum):
    """Why the collection of addresses ended: no message says that a list is complete."""

    COMPLETE = "complete"
    """An answer of more than the peer's own address came, and the peer's pause after it."""
    SELF_ONLY = "self-only"
    """The peer announced itself and gave nothing else until the deadline."""
    DEADLINE = "deadline"
    """Nothing came until the deadline."""
    CLOSED = "closed"
    """The peer closed the connection first, or broke the protocol."""
    LIMIT = "limit"
    """We had enough: the visit's limit of addresses or bytes."""
    NOT_ASKED = "not-asked"
    """No ``getaddr`` was sent: no handshake, or asking was not wanted."""

    __hash__ = object.__hash__


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Everything that one visit to one address taught. Times are in seconds; None: not learned."""

    address: NetworkAddress
    outcome: Outcome
    detail: str = ""
    """A few words more, such as the network of a wrong magic or the system's error."""
    started: float = 0.0
    """Unix time of the first dial; 0 if there was none."""
    attempts: int = 0
    """Dials. More than one: our own lag had spoilt the earlier ones."""
    lag: float = 0.0
    """The worst lag of our own event loop during the dial."""
    source: bytes | str = SEED_SOURCE
    """Who vouched for the address first: the packed key of a node (``ccnode.crawler.table``), or `SEED_SOURCE`."""
    via: str = "gossip"
    """How we heard of it: ``dns``, ``seed``, ``gossip`` or ``stored``."""

    connect_time: float | None = None
    """From the dial to the connection."""
    handshake_time: float | None = None
    """From the connection to the peer's verack."""
    ping_times: tuple[float, ...] = ()
    """From each ping to its pong."""
    tcp_rtt: float | None = None
    """The system's smoothed round-trip time, at the end of the visit."""
    transport: str = "v1"

    # Claimed in the version message.
    version: int | None = None
    services: int | None = None
    user_agent: str | None = None
    """Only characters that are safe to print."""
    start_height: int | None = None
    relay: bool | None = None
    time_offset: int | None = None
    """The peer's clock minus ours."""
    address_local: NetworkAddress | None = None
    """Our own address as the peer sees it."""
    features: frozenset[str] = frozenset()
    """Messages that announce a feature, as ``wtxidrelay`` or ``sendcmpct(2,low)``."""

    # Verified by the headers it served.
    tip_height: int | None = None
    """Height, in our chain, of the last header that it served after our locator."""
    tip_hash: bytes | None = None
    chain_ok: bool | None = None
    """Whether its headers belong to our chain. None: it did not say."""
    headers_behind: int | None = None
    """Our best height minus ``tip_height``; negative if it knows more."""

    collected: Collected = Collected.NOT_ASKED
    adverts_count: int = 0
    """Entries in its addr messages, its own included."""
    addr_messages: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0

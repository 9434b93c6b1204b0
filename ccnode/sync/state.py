"""What header synchronisation remembers about each peer, and the figures it goes by."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ccnode.chain.batch import HeaderBatch
from ccnode.peers.peer import Peer
from ccnode.sync.presync import LowWorkSync

MAX_HEADERS = 2000
"""Headers in one message; a batch of this size means: there may be more (Core: ``MAX_HEADERS_RESULTS``)."""

GETHEADERS_WINDOW = 120.0
"""Wall seconds in which a peer is not asked a second time (Core: ``HEADERS_RESPONSE_TIME``)."""

ANSWER_PATIENCE = 30.0
"""Steady seconds after which an unanswered request of the sync peer goes to the next peer as well."""

SLOW_FRACTION = 0.25
"""A sync peer that delivers at under this fraction of the rate others showed is replaced."""

TRY_OTHERS_BELOW = 500.0
"""Headers per second under which the lead goes to a peer that has not shown its rate yet."""

REST = 600.0
"""Steady seconds before a peer that had nothing more for us is asked again, while our tip is old."""

LOOK_AGAIN = 5.0
"""Seconds after which a leader that nobody can replace is judged again."""

RATE_BATCHES = 3
"""Full batches a peer must have delivered before its rate is judged."""

UNCONNECTING_TOLERATED = 10
"""Every so many headers messages in a row whose parent is unknown count as misbehaviour (Core, before v28)."""

WAITING_BATCHES = 2
"""Batches per peer that may wait for their parent."""

WAITING_SECONDS = 60.0
"""Steady seconds such a batch waits."""

RECENT_TIP = 86_400.0
"""A best header younger than this (wall seconds) counts as synchronised: everyone is asked (Core: 24 h)."""

HEADERS_TIMEOUT_BASE = 900.0
HEADERS_TIMEOUT_PER_HEADER = 0.001
"""Wall seconds the only sync peer gets for the whole chain: 15 min + 1 ms per expected header (Core)."""

MAX_LOW_WORK_SYNCS = 16
"""Low-work synchronisations at once, up to 0.8 MB each; a preferred peer may always have one."""

MAX_WAITING_PEERS = 16
"""Peers that may have batches waiting at once, up to 1.2 MB each: headers of the real chain cost a peer nothing."""

MAX_INV_BLOCKS = 500
"""The last so many blocks of an inv are looked up: more at once were never announced (Core: 500 after getblocks)."""

MAX_ANNOUNCED = 8
"""Blocks announced to a peer at once (Core: ``MAX_BLOCKS_TO_ANNOUNCE``)."""


@dataclass(slots=True)
class WaitingBatch:
    """Headers whose proof of work is checked but whose parent is not known yet."""

    expires: float
    batch: HeaderBatch


@dataclass(slots=True)
class SyncPeer:
    """The sync state of one handshaked peer. Entries are numbers of the header index, ``None`` where unknown."""

    peer: Peer
    preferred: bool
    """Outbound or trusted, and serving blocks: a candidate for the initial synchronisation."""
    serves: bool
    """Offers NETWORK or NETWORK_LIMITED."""

    started: bool = False
    """A getheaders of the initial kind went to it."""
    leading: bool = False
    """It is the peer whose full batches are followed up at once while the chain is far behind."""
    asked_at: float | None = None
    """Wall time of the unanswered getheaders."""
    asked_steady: float | None = None
    locator: Sequence[bytes] = ()
    """What it was asked with last."""
    deadline: float | None = None
    """Wall time by which the initial synchronisation from it must be done."""
    rests_until: float = 0.0
    """Steady time until which it need not lead again, as it had nothing more for us; 0 once it announces something."""
    gave_up_at: float = 0.0
    """Steady time at which it was last replaced as leader."""

    best_known: int | None = None
    """The most-work entry it is known to have."""
    last_unknown: bytes | None = None
    """The hash it announced last that we did not have."""
    unconnecting: int = 0
    """Headers messages in a row that did not connect to anything known."""
    best_sent: int | None = None
    """The best header we sent it."""
    last_announcement: float = 0.0
    inv_asked: bool = False
    """An inv made us ask it before synchronisation with it began."""
    sendheaders_sent: bool = False

    catch_up_by: float | None = None
    """Wall time by which it must have caught up with `catch_up_with` (see ``watch.py``)."""
    catch_up_with: int | None = None
    asked_to_catch_up: bool = False

    low_work: LowWorkSync | None = None
    ready: list[bytes] = field(default_factory=list)
    """Headers that proved their work and are not accepted yet."""
    continue_after: bytes | None = None
    """The hash to ask on from when all of them are."""
    waiting: list[WaitingBatch] = field(default_factory=list)
    announce: list[int] = field(default_factory=list)

    recent: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=RATE_BATCHES))
    """(headers that we lacked, steady seconds from request to answer) of its last full batches."""

    def rate(self) -> float | None:
        """Headers per second over its last full batches, or None before it delivered enough of them."""
        if len(self.recent) < RATE_BATCHES:
            return None
        return sum(count for count, _ in self.recent) / max(1e-6, sum(seconds for _, seconds in self.recent))

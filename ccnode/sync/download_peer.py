"""What block download remembers about each peer, and the figures it goes by."""

from dataclasses import dataclass, field

from ccnode.sync.state import SyncPeer
from ccnode.wire.protocol import ServiceFlags

MAX_BLOCKS_IN_TRANSIT_PER_PEER = 16
"""Blocks that a peer is asked for and has not sent yet (Core's name)."""

REFILL_AT = 12
"""It is asked for more once at most so many are left: four to a message cost a quarter of one to a message."""

BLOCK_DOWNLOAD_WINDOW = 1024
"""A peer is asked for blocks at most so far beyond the last one up to which we have all of its chain (Core's name)."""

LIMITED_PEER_DEPTH = 286
"""Blocks below its best that a peer of recent blocks is not asked for: it keeps 288, and two more may come (Core)."""

MAX_WITHHELD = 64
"""Blocks that a peer may be asked for in vain before we do without it."""


@dataclass(slots=True, eq=False)
class DownloadPeer:
    """The download state of one handshaked peer. Entries are numbers of the header index, times wall seconds."""

    sync: SyncPeer
    """What header synchronisation knows of it: above all its best header."""

    in_flight: dict[int, None] = field(default_factory=dict)
    """What it was asked for, oldest request first. Only `InFlight` changes it."""
    since: float = 0.0
    """When the wait for the oldest of them began."""
    stalling_since: float | None = None
    """Since when the window of others has waited for it, if it does."""
    late_with: set[int] = field(default_factory=set)
    """What it owed when others were asked in its place; empty again once it has sent one of these blocks."""
    delivering: int = 0
    """Blocks of its that are being looked at. Meanwhile it is not read, so its silence is ours."""

    common: int | None = None
    """The last entry of its chain up to which we have all blocks."""
    walked: int | None = None
    """The last entry of its chain up to which there is nothing to ask it for, unless a request failed since."""
    walked_at: int = -1
    """How many had failed then (`InFlight.given_up`)."""
    at_window_end: bool = False
    """It has more for us, beyond the window."""
    withheld: set[int] = field(default_factory=set)
    """Blocks that it was asked for and did not give, or gave in a form that is of no use."""

    @property
    def limited(self) -> bool:
        """It serves recent blocks only (BIP159)."""
        kinds = self.sync.peer.services & (ServiceFlags.NETWORK | ServiceFlags.NETWORK_LIMITED)
        return kinds == ServiceFlags.NETWORK_LIMITED

    @property
    def witness(self) -> bool:
        """It serves blocks with their witnesses (BIP144)."""
        return bool(self.sync.peer.services & ServiceFlags.WITNESS)

"""Which block was asked of whom: one peer per block.

A request ends when its block is there, when the peer is gone, or when it failed in some other way; then the block is
somebody else's to give. A block that came as asked for and is being looked at has *landed*: nobody owes it any more,
and still nobody is asked for it, for its data will be there in a moment, or it will be known why not.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from ccnode.sync.download_peer import DownloadPeer


class InFlight:
    """All requests for blocks."""

    def __init__(self) -> None:
        self._owners: dict[int, DownloadPeer] = {}
        self._landed: set[int] = set()
        self.sources = 0
        """Peers that owe us a block."""
        self.given_up = 0
        """How many requests came to nothing: what was passed over because of them is to be looked at again."""

    def __len__(self) -> int:
        """Blocks that are owed to us."""
        return len(self._owners)

    def __contains__(self, entry: int) -> bool:
        """Whether the block was asked for, and it is not known yet what becomes of it."""
        return entry in self._owners or entry in self._landed

    def owner(self, entry: int) -> DownloadPeer | None:
        """Who owes us the block."""
        return self._owners.get(entry)

    def add(self, peer: DownloadPeer, entry: int, now: float) -> None:
        """``peer`` is asked for a block that nobody is asked for."""
        assert entry not in self._owners, "a block is asked of one peer at a time"
        self._owners[entry] = peer
        if not peer.in_flight:
            peer.since = now
            self.sources += 1
        peer.in_flight[entry] = None

    def remove(self, entry: int, now: float) -> DownloadPeer | None:
        """The request for this block is over; returns whose it was."""
        self._landed.discard(entry)
        owner = self._owners.pop(entry, None)
        if owner is None:
            return None
        if next(iter(owner.in_flight)) == entry:
            owner.since = max(owner.since, now)
        del owner.in_flight[entry]
        owner.stalling_since = None
        if not owner.in_flight:
            self.sources -= 1
        return owner

    def give_up(self, peer: DownloadPeer) -> bool:
        """The peer will not give what it owes; False if that is nothing."""
        if not peer.in_flight:
            return False
        for entry in peer.in_flight:
            del self._owners[entry]
        peer.in_flight.clear()
        peer.stalling_since = None
        self.sources -= 1
        self.given_up += 1
        return True

    @contextmanager
    def landing(self, peer: DownloadPeer, entry: int | None) -> Iterator[None]:
        """In the body a block is looked at that ``peer`` sent: ``entry`` if it was owed, None if it was not.

        Unless `remove` is called for it there, the request came to nothing.
        """
        if entry is not None:
            self._landed.add(entry)
        peer.delivering += 1
        try:
            yield
        finally:
            peer.delivering -= 1
            if entry in self._landed:
                self._landed.discard(entry)
                self.given_up += 1

"""An estimate of the nodes that nobody can reach, from the addresses that they announce.

A node behind a home router cannot be visited, but it tells its peers its own address once a day or so, and they pass
it on: in a message of few entries, with a time of just now. Such messages reach whoever stays connected to a few dozen
nodes (Grundmann and others, *On the estimation of the number of unreachable peers in the Bitcoin P2P network by
observation of peer announcements*, 2021). What was announced within a day and could not be reached is the estimate.

It is a lower bound of a kind: relay is by chance, and a part of the announcements never comes by. And it is no proof:
anybody may announce anything, so what one peer alone names does not count beyond `OF_ONE_PEER` a day.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterable
from typing import Final

from ccnode.wire.addresses import PackedEntry

DAY: Final = 86_400.0
MOST_ENTRIES: Final = 10
"""Of a message that is relayed; longer ones are answers (Core: ``ProcessMessage``, "addr")."""
FRESH_SECONDS: Final = 600
"""How far the claimed time may be from now, as Core demands of what it relays."""

OF_ONE_PEER: Final = 20_000
CAPACITY: Final = 500_000
"""Addresses kept; beyond it the oldest are forgotten early."""


class Announcements:
    """The addresses announced within a day."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._heard: OrderedDict[bytes, float] = OrderedDict()
        self._of_peer: dict[bytes, tuple[float, int]] = {}

    def __len__(self) -> int:
        return len(self._heard)

    def note(self, peer: bytes, entries: Collection[PackedEntry], now: float) -> list[bytes]:
        """The node with the packed key ``peer`` sent these entries, at ``now`` (Unix seconds); which keys are new."""
        new: list[bytes] = []
        if len(entries) > MOST_ENTRIES:
            return new
        for seen, _services, key in entries:
            if abs(seen - now) <= FRESH_SECONDS and key != peer and self._has_room(peer, key, now):
                if key not in self._heard:
                    new.append(key)
                self._heard[key] = now
                self._heard.move_to_end(key)
        self._forget(now)
        return new

    def _has_room(self, peer: bytes, key: bytes, now: float) -> bool:
        """Whether ``peer`` may add an address that nobody else has named."""
        if key in self._heard:
            return True
        since, count = self._of_peer.get(peer, (now, 0))
        if now - since > DAY:
            since, count = now, 0
        self._of_peer[peer] = since, count + 1
        return count < OF_ONE_PEER

    def _forget(self, now: float) -> None:
        while self._heard:
            key, when = next(iter(self._heard.items()))
            if when >= now - DAY and len(self._heard) <= self._capacity:
                break
            del self._heard[key]
        if len(self._of_peer) > len(self._heard) + 1000:
            self._of_peer = {peer: count for peer, count in self._of_peer.items() if now - count[0] <= DAY}

    def unreachable(self, reached: Iterable[bytes]) -> int:
        """How many of them are not among the packed keys of nodes that were reached."""
        return len(self._heard) - sum(key in self._heard for key in set(reached))

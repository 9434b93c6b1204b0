"""Answers to ``getaddr``: a part of what we know, the same part all day (Core: ``CConnman::GetAddresses``).

Whoever could ask again and again, from many addresses, would soon have everything we know, and from the changes see
whom we are connected to. So an answer holds at most `MAX_PERCENT` of all addresses, and is kept for about a day for
everyone who comes over the same network to the same address of ours. One answer for all would show that our
addresses on two networks are one node's.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

from ccnode.clock import Clock
from ccnode.peers.addrman import AddrMan
from ccnode.peers.peer import Peer
from ccnode.peers.permissions import Permission
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress
from ccnode.wire.protocol import MAX_ADDR_TO_SEND

MAX_PERCENT: Final = 23
"""Part of all addresses in one answer (Core: ``MAX_PCT_ADDR_TO_SEND``)."""

LIFETIME: Final = 21 * 3600.0
LIFETIME_SPREAD: Final = 6 * 3600.0
"""Seconds that an answer is kept, and the most that chance adds."""

MAX_ANSWERS: Final = 64
"""Answers kept, of 1,000 entries each: a machine may have a whole prefix of addresses to be reached at."""


@dataclass(frozen=True, slots=True)
class _Answer:
    entries: Sequence[TimedAddress]
    expires: float


class GetAddrAnswers:
    """What peers are told about other nodes when they ask."""

    def __init__(self, addrman: AddrMan, clock: Clock, rng: Rng, unwanted: Container[NetworkAddress]) -> None:
        self._addrman = addrman
        self._clock = clock
        self._rng = rng
        self._unwanted = unwanted
        self._answers: dict[tuple[Network, NetworkAddress | None], _Answer] = {}

    def for_peer(self, peer: Peer) -> Sequence[TimedAddress]:
        """At most `MAX_ADDR_TO_SEND` entries; always new ones for a peer with the ``addr`` permission."""
        if Permission.ADDR in peer.permissions:
            return self._select()
        key = (peer.network, peer.bind)
        now = self._clock.now()
        answer = self._answers.get(key)
        if answer is None or answer.expires < now:
            answer = _Answer(self._select(), now + LIFETIME + self._rng.random() * LIFETIME_SPREAD)
            self._answers.pop(key, None)
            if len(self._answers) >= MAX_ANSWERS:
                del self._answers[next(iter(self._answers))]
            self._answers[key] = answer
        return answer.entries

    def _select(self) -> Sequence[TimedAddress]:
        entries = self._addrman.get_addresses(MAX_ADDR_TO_SEND, MAX_PERCENT)
        return [entry for entry in entries if entry.address not in self._unwanted]

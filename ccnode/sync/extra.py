"""When an extra outbound peer is worth having, and which one goes again (Core: ``CheckForStaleTipAndEvictPeers``).

If the tip has not moved for three block intervals, one more full-relay connection is allowed: all our peers may be
on the wrong side of a partition. Whoever announced a new block last the longest ago is dropped afterwards, so that a
useful newcomer stays. Block-relay-only peers rotate in the same way: an extra one every few minutes, and the newer of
the two newest goes, unless it gave us a block more recently than the other. Nobody goes who owes us a block.
"""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from ccnode.chain.headers import HeaderChain
from ccnode.chain.index import TipChanged
from ccnode.clock import Clock
from ccnode.peers.peer import ConnectionType, Peer

log = logging.getLogger("ccnode.sync")

CHECK_SECONDS = 45.0
"""Scheduler seconds between two looks (Core: ``EXTRA_PEER_CHECK_INTERVAL``)."""

STALE_CHECK_SECONDS = 600.0
"""Wall seconds between two judgements of the tip (Core: ``STALE_CHECK_INTERVAL``)."""

STALE_SPACINGS = 3
"""Block intervals without a new tip that make it stale."""

FRESH_SPACINGS = 20
"""A tip younger than so many block intervals ends the initial synchronisation (Core: ``CanDirectFetch``)."""

MINIMUM_CONNECT_TIME = 30.0
"""Wall seconds a peer has before it can be an extra one too many (Core: ``MINIMUM_CONNECT_TIME``).

A full-relay peer must have been there for longer, a block-relay-only one for so long.
"""


@dataclass(frozen=True, slots=True)
class OutboundPeer:
    """What is asked of an outbound peer here."""

    peer: Peer
    last_announcement: float
    """Wall time at which it last gave us a header of a new best chain; 0 for never."""
    last_useful: float
    """Wall time of its last new block; where only headers are wanted, of its last new header."""
    protected: bool
    in_flight: int
    """Blocks that it owes us."""


class ExtraPeers:
    """Judges the tip, and names the outbound peers that are too many."""

    def __init__(self, chain: HeaderChain, clock: Clock, downloading: Callable[[], bool] = lambda: False) -> None:
        """:param downloading: whether any block is on its way: then the tip is about to move."""
        self._chain = chain
        self._clock = clock
        self._downloading = downloading
        self._last_tip_change = clock.now()
        self._next_stale_check = 0.0
        self.stale = False
        chain.subscribe(self._tip_changed)

    def _tip_changed(self, _change: TipChanged) -> None:
        self._last_tip_change = self._clock.now()

    def check_tip(self) -> bool:
        """Whether the tip counts as stale; judged anew every `STALE_CHECK_SECONDS`."""
        now = self._clock.now()
        if now > self._next_stale_check:
            self._next_stale_check = now + STALE_CHECK_SECONDS
            unmoved = self._last_tip_change < now - STALE_SPACINGS * self._chain.params.spacing
            self.stale = unmoved and not self._downloading()
            if self.stale:
                minutes = (now - self._last_tip_change) / 60
                log.info("the tip has not moved for %.0f minutes; trying one more outbound peer", minutes)
        return self.stale

    def extra_peer_went(self) -> None:
        """The extra full-relay peer has served its purpose, until the tip is judged again."""
        self.stale = False

    def tip_is_near_present(self) -> bool:
        """Whether blocks can be expected to follow one another as they are found."""
        return is_near_present(self._chain, self._clock)

    def one_too_many(self, peers: Iterable[OutboundPeer], full_relay: int, block_relay: int) -> list[Peer]:
        """The peers to disconnect now, at most one of each kind, given how many of each there should be."""
        everyone = [item for item in peers if not item.peer.closing]
        chosen = [self._extra_block_relay(everyone, block_relay), self._extra_full_relay(everyone, full_relay)]
        return [peer for peer in chosen if peer is not None]

    def _extra_block_relay(self, everyone: list[OutboundPeer], target: int) -> Peer | None:
        kind = ConnectionType.BLOCK_RELAY_ONLY
        peers = sorted((item for item in everyone if item.peer.connection_type is kind), key=lambda item: item.peer.id)
        if len(peers) <= target or len(peers) < 2:
            return None
        newest, second = peers[-1], peers[-2]
        chosen = second if newest.last_useful > second.last_useful else newest
        lasted = self._clock.now() - chosen.peer.connected_at >= MINIMUM_CONNECT_TIME
        return chosen.peer if lasted and not chosen.in_flight else None

    def _extra_full_relay(self, everyone: list[OutboundPeer], target: int) -> Peer | None:
        kind = ConnectionType.OUTBOUND_FULL_RELAY
        full = [item for item in everyone if item.peer.connection_type is kind]
        if len(full) <= target:
            return None
        lasting = [
            item.peer.address.network
            for item in everyone
            if item.peer.connection_type in (kind, ConnectionType.MANUAL) and item.peer.handshake_complete
        ]
        choice = [item for item in full if not item.protected and lasting.count(item.peer.address.network) != 1]
        if not choice:
            return None
        worst = min(choice, key=lambda item: (item.last_announcement, -item.peer.id))
        lasted = self._clock.now() - worst.peer.connected_at > MINIMUM_CONNECT_TIME
        return worst.peer if lasted and not worst.in_flight else None


def is_near_present(chain: HeaderChain, clock: Clock) -> bool:
    """Whether the tip is young enough for new blocks to be fetched as they are announced (Core: ``CanDirectFetch``)."""
    index = chain.index
    return index.time(index.tip) > clock.now() - FRESH_SPACINGS * chain.params.spacing

"""Keeps the automatic outbound connections: what `peers.outbound` decides is dialed here, a few at a time.

A loop looks every half second whether something is to be opened. Dials run side by side, since most addresses do not
answer. Every 45 seconds of the scheduler's clock the extra peers are looked over (``sync/extra.py``): who is one too
many goes, and a stale tip lets the policy open one more.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass

import gevent
from gevent.event import Event
from gevent.pool import Group

from ccnode.clock import Clock
from ccnode.network.dialer import Dialer
from ccnode.network.hub import Supervisor, spawn
from ccnode.network.manager import ConnectionManager
from ccnode.network.timers import Timeline, Timers
from ccnode.peers.outbound import Anchor, Candidate, Opening, OutboundPolicy
from ccnode.peers.peer import ConnectionType
from ccnode.rng import Rng
from ccnode.sync.extra import CHECK_SECONDS, ExtraPeers
from ccnode.sync.synchronizer import Synchronizer
from ccnode.wire.address import NetworkAddress

log = logging.getLogger("ccnode.conn")

DIALS_AT_ONCE = 4
"""Automatic dials under way at the same time."""

LOOP_PAUSE = 0.5
"""Steady seconds between two looks (Core's loop)."""

CLOSE_SECONDS = 1.0
"""How long the end of the node waits for dials under way."""

FEELER_JITTER = 1.0
"""Feelers wait up to so many seconds before they dial, so that their rhythm tells nothing."""


@dataclass(slots=True)
class LoadedAnchor:
    """A block-relay-only peer of the last run, and what became of it in this one."""

    anchor: Anchor
    outcome: str = "waiting"


class AutomaticOutbound:
    """Opens automatic connections, and closes those that are too many."""

    def __init__(
        self,
        dialer: Dialer,
        manager: ConnectionManager,
        policy: OutboundPolicy,
        extra: ExtraPeers,
        sync: Synchronizer,
        timers: Timers,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._dialer = dialer
        self._manager = manager
        self._policy = policy
        self._extra = extra
        self._sync = sync
        self._timers = timers
        self._clock = clock
        self._rng = rng
        self._dialing: dict[NetworkAddress, ConnectionType] = {}
        self._dials = Group()
        self._stopping = Event()
        self._supervisor: Supervisor | None = None
        self.anchors: list[LoadedAnchor] = []

    def start(self, anchors: Iterable[Anchor]) -> None:
        """Begin to open connections, to ``anchors`` first: block-relay-only peers of the last run."""
        self._policy.anchors = list(anchors)
        self.anchors = [LoadedAnchor(anchor) for anchor in self._policy.anchors]
        self._supervisor = Supervisor("outbound", self._run)
        self._check_extra()

    def anchors_to_save(self) -> list[Anchor]:
        """The block-relay-only peers of this moment, for the next start."""
        peers = [
            peer for peer in self._manager.handshaked_peers() if peer.connection_type is ConnectionType.BLOCK_RELAY_ONLY
        ]
        return [Anchor(peer.address, peer.services) for peer in peers[: self._policy.block_relay]]

    def close(self) -> None:
        """Stop opening, dials under way included; connections are the manager's."""
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.stop()
        self._dials.kill(timeout=CLOSE_SECONDS)

    # -- opening -------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._stopping.wait(LOOP_PAUSE):
            while self._manager.network_active and len(self._dialing) < DIALS_AT_ONCE and self._open_one():
                pass

    def _open_one(self) -> bool:
        """Begin one dial; False if nothing is to be opened, or nobody is worth it."""
        peers = list(self._manager.peers.values())
        self._policy.added_nodes = self._dialer.added_nodes
        opening = self._policy.next_opening(peers, self._dialing)
        if opening is None:
            return False
        candidate = self._policy.candidate(opening, peers, self._dialing)
        if candidate is None:
            self._note_anchor(opening.anchor, "not usable")
            return opening.anchor is not None
        self._dialing[candidate.address] = opening.kind
        self._dials.add(spawn(f"dial {candidate.address}", self._dial, opening, candidate))
        return True

    def _dial(self, opening: Opening, candidate: Candidate) -> None:
        try:
            if opening.kind is ConnectionType.FEELER:
                gevent.sleep(self._rng.random() * FEELER_JITTER)
            peer = self._dialer.dial(candidate.address, opening.kind, count_failure=candidate.count_failure)
            self._note_anchor(opening.anchor, "connected" if peer is not None else "did not answer")
        finally:
            del self._dialing[candidate.address]

    def _note_anchor(self, anchor: Anchor | None, outcome: str) -> None:
        for loaded in self.anchors:
            if loaded.anchor == anchor:
                loaded.outcome = outcome
                log.info("anchor of the last run: %s", outcome)

    # -- closing -------------------------------------------------------------------------------------------------

    def _check_extra(self) -> None:
        """Core's ``CheckForStaleTipAndEvictPeers``."""
        due = self._clock.scheduler() + CHECK_SECONDS
        self._timers.arm(Timeline.SCHEDULER, due, "extra peers", self._check_extra)
        for peer in self._extra.one_too_many(
            self._sync.outbound_peers(), self._policy.full_relay, self._policy.block_relay
        ):
            if peer.connection_type is ConnectionType.OUTBOUND_FULL_RELAY:
                self._extra.extra_peer_went()
            peer.disconnect("one outbound peer more than needed")
        self._policy.stale_tip = self._manager.network_active and self._extra.check_tip()
        if self._extra.tip_is_near_present():
            self._policy.tip_is_fresh()

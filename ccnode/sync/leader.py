"""Who is asked for headers, and when (Core: ``SendMessages``, the part that starts headers synchronisation).

While our best header is older than a day one peer at a time, the *leader*, is asked for everything that follows:
many would only send the same 80 bytes many times. It should be *preferred* (we chose it, and it serves blocks); if
there is no preferred peer, any that serves blocks will do. Once the best header is recent, every serving peer is
asked on connecting.

A leader must not hold us up. Core disconnects one that is not done after 15 minutes and a millisecond per expected
header, if another preferred peer exists; that is kept. Beyond it the lead goes to the next peer

- when a request stays unanswered for `ANSWER_PATIENCE` seconds of the steady clock;
- when it delivers at under `SLOW_FRACTION` of the rate that another connected peer showed, or at under
  `TRY_OTHERS_BELOW` while there is a peer that has shown no rate yet;
- when it has nothing more to give although the tip is not recent: somebody else may know more. It rests for `REST`
  seconds, then it may be asked again.

A leader that is not preferred makes room for the first preferred peer that comes while it owes an answer.

The former leader stays connected, and its late answer is as welcome as any: the first answer wins.
"""

import logging
from collections.abc import Callable, Sequence
from math import inf

from ccnode.chain.headers import HeaderChain
from ccnode.clock import Clock
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.peers.permissions import Permission
from ccnode.sync.state import (
    ANSWER_PATIENCE,
    HEADERS_TIMEOUT_BASE,
    HEADERS_TIMEOUT_PER_HEADER,
    LOOK_AGAIN,
    RECENT_TIP,
    REST,
    SLOW_FRACTION,
    TRY_OTHERS_BELOW,
    SyncPeer,
)
from ccnode.wire.protocol import ServiceFlags

log = logging.getLogger("ccnode.sync")

Ask = Callable[[SyncPeer, Sequence[bytes]], bool]


class Leadership:
    """Chooses and replaces the peer that leads the initial synchronisation."""

    def __init__(self, chain: HeaderChain, peers: dict[int, SyncPeer], clock: Clock) -> None:
        self._chain = chain
        self._index = chain.index
        self._peers = peers
        self._clock = clock
        self.leader: SyncPeer | None = None
        self.low_work_only = False
        """The last leader's whole chain had less work than we require."""
        self._ask: Ask = lambda _state, _locator: False

    def asks_through(self, ask: Ask) -> None:
        """Set how a getheaders is sent (`HeaderSync.ask`)."""
        self._ask = ask

    def joined(self, peer: Peer) -> SyncPeer:
        """Start to keep track of a handshaked peer."""
        serves = bool(peer.services & (ServiceFlags.NETWORK | ServiceFlags.NETWORK_LIMITED))
        serves = serves and peer.connection_type not in (ConnectionType.ADDR_FETCH, ConnectionType.FEELER)
        chosen = not peer.inbound or Permission.NO_BAN in peer.permissions
        state = SyncPeer(peer, preferred=serves and chosen, serves=serves)
        self._peers[peer.id] = state
        return state

    def left(self, peer: Peer) -> None:
        """The peer is gone; if it led, the next one takes over."""
        state = self._peers.pop(peer.id, None)
        if state is not None and state is self.leader:
            self.leader = None
            self._choose_next()

    def finished(self, state: SyncPeer, *, low_work: bool = False) -> None:
        """The peer has no more headers for us."""
        if state is self.leader:
            state.leading = False
            state.deadline = None
            state.rests_until = self._clock.steady() + REST
            state.peer.mark_dirty()
            self.leader = None
            self.low_work_only = low_work
            if self.tip_is_recent():
                self._ask_everybody()
            else:
                self._choose_next()

    def tip_is_recent(self) -> bool:
        """Our best header is under a day old: the initial synchronisation is over."""
        return self._index.time(self._index.best_header) > self._clock.now() - RECENT_TIP

    # -- the periodic part ---------------------------------------------------------------------------------------

    def send_pass(self, state: SyncPeer, now: float) -> tuple[float, float]:
        """What this peer is owed now. Returns when to look again: (wall seconds, steady seconds)."""
        if not state.started and state.serves and self._may_start(state):
            self._start(state, now)
        if state is not self.leader:
            return inf, self._check_rest(state)
        wall_due = self._check_deadline(state, now)
        return wall_due, self._check_patience(state)

    def _may_start(self, state: SyncPeer) -> bool:
        if self.tip_is_recent():
            return True
        if self.leader is not None:
            return state.preferred and self._is_makeshift(self.leader)
        return state.preferred or not any(other.preferred and not self._rests(other) for other in self._peers.values())

    @staticmethod
    def _is_makeshift(leader: SyncPeer) -> bool:
        """It leads because there was no better peer, and owes us an answer: a preferred peer need not wait for it."""
        return not leader.preferred and leader.asked_at is not None

    def _rests(self, state: SyncPeer) -> bool:
        return state.rests_until > self._clock.steady()

    def _check_rest(self, state: SyncPeer) -> float:
        """With an old tip, ask again somebody who had nothing more a while ago; returns the steady time to look."""
        if not state.rests_until or self.tip_is_recent():
            return inf
        if self._rests(state):
            return state.rests_until
        if self.leader is None:
            self._choose_next()
        return inf

    def _start(self, state: SyncPeer, now: float) -> None:
        """Ask from the parent of our best header on, so that even a peer with the same chain answers something."""
        best = self._index.best_header
        parent = self._index.parent(best)
        start = best if parent is None else parent
        if not self._ask(state, self._index.locator(start)):
            return
        state.started = True
        if not self.tip_is_recent():
            self._lead(state, now)
        height = self._index.height(start)
        log.log(
            state.peer.log_level,
            "peer=%d initial getheaders from height %d (peer says %d)",
            state.peer.id,
            height,
            state.peer.start_height,
        )

    def _lead(self, state: SyncPeer, now: float) -> None:
        best_time = self._index.time(self._index.best_header)
        expected = max(0.0, now - best_time) / self._chain.params.spacing
        if self.leader is not None:
            self.leader.leading = False
            self.leader.deadline = None
        state.leading = True
        state.rests_until = 0.0
        state.deadline = now + HEADERS_TIMEOUT_BASE + HEADERS_TIMEOUT_PER_HEADER * expected
        self.leader = state

    def _check_deadline(self, state: SyncPeer, now: float) -> float:
        """Core's rule for the only sync peer, while another preferred one could take over; returns the next look."""
        if self.tip_is_recent():
            state.deadline = None
        if state.deadline is None:
            return inf
        if now <= state.deadline:
            return state.deadline
        if any(other.preferred for other in self._peers.values() if other is not state):
            if Permission.NO_BAN in state.peer.permissions:
                self.finished(state)
                return inf
            state.peer.disconnect("timeout downloading headers")
        return now + LOOK_AGAIN

    def _check_patience(self, state: SyncPeer) -> float:
        """Replace a leader that does not answer or is slow; returns the steady time of the next look."""
        if state.asked_steady is None:
            return inf
        steady = self._clock.steady()
        due = state.asked_steady + ANSWER_PATIENCE
        if steady >= due:
            why = f"no answer to getheaders for {steady - state.asked_steady:.0f} s"
        elif self._is_slow(state):
            why = "it is slow"
        else:
            return due
        successor = self._successor(state)
        if successor is None:
            self._ask(state, self._locator_for(state))
            return max(due, steady + LOOK_AGAIN)
        log.info("peer=%d no longer leads the headers sync: %s", state.peer.id, why)
        state.gave_up_at = steady
        # What a low-work synchronisation got to is no header of ours, and of no use to anybody else.
        self._take_over(successor, state.locator if state.low_work is None else ())
        return inf

    def _is_slow(self, state: SyncPeer) -> bool:
        rate = state.rate()
        if rate is None:
            return False
        shown = [other.rate() for other in self._candidates(state)]
        untried = rate < TRY_OTHERS_BELOW and None in shown
        return untried or rate < SLOW_FRACTION * max((other for other in shown if other is not None), default=0.0)

    def _choose_next(self) -> None:
        """Somebody else leads on from our best header, if there is anybody."""
        successor = self._successor(None)
        if successor is not None:
            self._take_over(successor)

    def _ask_everybody(self) -> None:
        """The initial synchronisation is over: whoever did not show its chain to the end is asked on its next pass."""
        for state in self._peers.values():
            if not self._rests(state):
                state.started = False
                state.peer.mark_dirty()

    def _take_over(self, state: SyncPeer, locator: Sequence[bytes] = ()) -> None:
        """``state`` leads, from where the last leader was asked with ``locator``, else from where we are with it."""
        now = self._clock.now()
        state.asked_at = None
        state.started = True
        self._lead(state, now)
        self._ask(state, locator if locator and state.low_work is None else self._locator_for(state))
        log.info(
            "peer=%d leads the headers sync from height %d", state.peer.id, self._index.height(self._index.best_header)
        )

    def _locator_for(self, state: SyncPeer) -> Sequence[bytes]:
        """Where to go on with a peer: in its low-work synchronisation, or from our best header."""
        return self._index.locator(self._index.best_header) if state.low_work is None else state.low_work.locator()

    def _successor(self, leader: SyncPeer | None) -> SyncPeer | None:
        """Who waited longest since leading, preferred peers first."""
        candidates = self._candidates(leader)
        if any(state.preferred for state in candidates):
            candidates = [state for state in candidates if state.preferred]
        return min(candidates, key=lambda state: (state.gave_up_at, state.peer.id), default=None)

    def _candidates(self, leader: SyncPeer | None) -> list[SyncPeer]:
        return [
            state
            for state in self._peers.values()
            if state.serves and state is not leader and not self._rests(state) and not state.peer.closing
        ]

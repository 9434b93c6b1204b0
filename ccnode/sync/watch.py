"""Outbound peers that do not keep up with our chain make room for others (Core: ``ConsiderEviction``).

We chose our outbound peers; one that stays behind is useless at best, and part of a partition at worst. A peer whose
best known header has less work than our tip gets `CHAIN_SYNC_TIMEOUT` to catch up with the tip of that moment, then is
asked once more, and `ANSWER_TIME` later it is disconnected. Reaching the remembered tip, but not the present one,
starts another period.

The first `MAX_PROTECTED` full-relay peers that show a chain as good as ours are exempt: whoever could feed us a longer
chain only for a while must not be able to shake off all honest peers by it.
"""

import logging
from collections.abc import Callable, Sequence
from math import inf

from ccnode.chain.headers import HeaderChain
from ccnode.peers.peer import ConnectionType
from ccnode.sync.state import SyncPeer

log = logging.getLogger("ccnode.sync")

CHAIN_SYNC_TIMEOUT = 1200.0
"""Wall seconds to catch up (Core: ``CHAIN_SYNC_TIMEOUT``)."""

ANSWER_TIME = 120.0
"""Wall seconds to answer the last question (Core: ``HEADERS_RESPONSE_TIME``)."""

MAX_PROTECTED = 4
"""Full-relay peers exempt from this rule (Core: ``MAX_OUTBOUND_PEERS_TO_PROTECT_FROM_DISCONNECT``)."""

WATCHED = frozenset({ConnectionType.OUTBOUND_FULL_RELAY, ConnectionType.BLOCK_RELAY_ONLY})
"""The types whose peer is there for its chain, and goes if that is of no use."""


class ChainSyncWatch:
    """Watches the outbound peers; its state per peer is in `SyncPeer`."""

    def __init__(self, chain: HeaderChain, ask: Callable[[SyncPeer, Sequence[bytes]], bool]) -> None:
        self._index = chain.index
        self._ask = ask
        self._protected: set[int] = set()

    def left(self, peer_id: int) -> None:
        self._protected.discard(peer_id)

    def is_protected(self, peer_id: int) -> bool:
        """Whether the peer is one of those that showed a good chain first."""
        return peer_id in self._protected

    def showed_chain(self, state: SyncPeer) -> None:
        """The peer's best known header may have changed: it may earn protection."""
        full_relay = state.peer.connection_type is ConnectionType.OUTBOUND_FULL_RELAY
        if full_relay and len(self._protected) < MAX_PROTECTED and self._keeps_up(state, self._index.tip):
            self._protected.add(state.peer.id)

    def send_pass(self, state: SyncPeer, now: float) -> float:
        """Judge the peer; returns the wall time to look again."""
        peer = state.peer
        if peer.connection_type not in WATCHED or not state.started or peer.id in self._protected:
            return inf
        if self._keeps_up(state, self._index.tip):
            state.catch_up_by, state.catch_up_with = None, None
            return inf
        behind_remembered = state.catch_up_with is None or not self._keeps_up(state, state.catch_up_with)
        if state.catch_up_by is None or not behind_remembered:
            state.catch_up_by = now + CHAIN_SYNC_TIMEOUT
            state.catch_up_with = self._index.tip
            state.asked_to_catch_up = False
        elif now > state.catch_up_by:
            if state.asked_to_catch_up:
                peer.disconnect("its chain stays behind ours")
                return inf
            self._ask_last(state, now)
        return state.catch_up_by

    def _ask_last(self, state: SyncPeer, now: float) -> None:
        assert state.catch_up_with is not None
        parent = self._index.parent(state.catch_up_with)
        self._ask(state, self._index.locator(state.catch_up_with if parent is None else parent))
        state.asked_to_catch_up = True
        state.catch_up_by = now + ANSWER_TIME
        log.info("peer=%d is behind our chain; asked for the last time", state.peer.id)

    def _keeps_up(self, state: SyncPeer, entry: int) -> bool:
        best = state.best_known
        return best is not None and self._index.chain_work(best) >= self._index.chain_work(entry)

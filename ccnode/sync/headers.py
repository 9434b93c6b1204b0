"""Header synchronisation: what happens to a ``headers`` or ``inv`` message (Core: ``ProcessHeadersMessage``).

Headers are taken first from one peer, the *leader* (``leader.py`` decides who), and later from everybody. A batch
goes through these steps, in Core's order:

1. empty: the peer has nothing more for us;
2. each header meets its own target and continues the one before, else the peer misbehaves;
3. a low-work synchronisation with this peer swallows it (``presync.py``), or gives back headers that proved work;
4. the parent is unknown: the batch waits a while for it, and the peer is asked what leads there;
5. the chain it claims has too little work to be worth memory: a full batch starts a low-work synchronisation,
   any other is ignored;
6. the headers are validated and stored, and the peer is asked for what follows a full batch.

The request for what follows leaves before step 6: the hashes are known and the peer can work while we do. Batches
that repeat what another peer already gave cost a dictionary look-up per header and nothing else.

This protects memory against cheap low-work headers, not against a majority of the work, and not against peers that
all withhold the best chain.
"""

import logging
from collections.abc import Callable, Sequence

from ccnode.chain.batch import HIGH_HASH, NON_CONTINUOUS, HeaderBatch
from ccnode.chain.headers import HeaderChain
from ccnode.chain.verdict import HeaderVerdict, ValidationResult
from ccnode.clock import Clock
from ccnode.peers.misbehaviour import Misbehaviour, Violation
from ccnode.peers.peer import Peer
from ccnode.peers.permissions import Permission
from ccnode.rng import Rng
from ccnode.sync.leader import Leadership
from ccnode.sync.presync import LowWorkPhase, LowWorkSync
from ccnode.sync.state import (
    GETHEADERS_WINDOW,
    MAX_HEADERS,
    MAX_INV_BLOCKS,
    MAX_LOW_WORK_SYNCS,
    MAX_WAITING_PEERS,
    UNCONNECTING_TOLERATED,
    WAITING_BATCHES,
    WAITING_SECONDS,
    SyncPeer,
    WaitingBatch,
)
from ccnode.sync.watch import WATCHED
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.inventory import Inv
from ccnode.wire.protocol import InvType

log = logging.getLogger("ccnode.sync")

_PUNISHED = frozenset(
    {ValidationResult.INVALID_HEADER, ValidationResult.INVALID_PARENT, ValidationResult.MISSING_PARENT}
)

_BLOCK = int(InvType.BLOCK)  # plain numbers: a list may hold 50,000 to compare
_TRANSACTIONS = {
    False: frozenset(map(int, (InvType.TX, InvType.WITNESS_TX))),
    True: frozenset(map(int, (InvType.WTX, InvType.WITNESS_TX))),
}
"""Inventory types that announce a transaction, by whether BIP339 was agreed on; the other kind of id says nothing."""


_VIOLATIONS = {
    NON_CONTINUOUS: Violation.NON_CONTINUOUS_HEADERS,
    HIGH_HASH: Violation.HIGH_HASH,
    "time-too-old": Violation.TIME_TOO_OLD,
    "bad-prevblk": Violation.INVALID_PARENT,
    "prev-blk-not-found": Violation.INVALID_PARENT,
}
"""Reject reason -> violation; all other reasons are an invalid header's."""


class HeaderSync:
    """Receives headers from all peers. Its handlers never wait."""

    def __init__(
        self,
        chain: HeaderChain,
        peers: dict[int, SyncPeer],
        leadership: Leadership,
        misbehaviour: Misbehaviour,
        clock: Clock,
        rng: Rng,
    ) -> None:
        self._chain = chain
        self._index = chain.index
        self._peers = peers
        self._leadership = leadership
        self._misbehaviour = misbehaviour
        self._clock = clock
        self._rng = rng
        self._announced: Callable[[SyncPeer, int], None] = lambda _state, _last: None
        self._last_inv_hash: bytes | None = None
        self._waiting: set[int] = set()
        """Ids of peers that have batches waiting for their parent."""

    def tells_of(self, announced: Callable[[SyncPeer, int], None]) -> None:
        """Set who hears of the last entry of each message of valid headers, and whose it was."""
        self._announced = announced

    # -- handlers ------------------------------------------------------------------------------------------------

    def on_headers(self, peer: Peer, message: Headers) -> None:
        state = self._peers[peer.id]
        headers = message.split()
        if not headers:
            self._nothing_more(state)
            return
        batch = self._chain.check_batch(headers)
        if batch.verdict is not None:
            self._report(peer, f"headers message: {batch.verdict.reason}", batch.verdict)
            self._leadership.finished(state)
            return
        self.release(state, len(state.ready))
        full = len(headers) == MAX_HEADERS
        if state.low_work is None or not self._feed_low_work(state, batch, full):
            self._connect(state, batch, full)
        self._connect_waiting()

    def on_inv(self, peer: Peer, message: Inv) -> None:
        """Blocks are never downloaded by inv: the last unknown one may make us ask for headers, once."""
        state = self._peers[peer.id]
        kinds = message.types()
        tells_of_transactions = not _TRANSACTIONS[peer.wtxid_relay].isdisjoint(kinds)
        if tells_of_transactions and Permission.RELAY not in peer.permissions:
            peer.disconnect("announced a transaction although we said relay=false")
            return
        places = [i for i, kind in enumerate(kinds) if kind == _BLOCK][-MAX_INV_BLOCKS:]
        announced = None
        for place in reversed(places):
            block_hash = message.hash_at(place)
            entry = self._index.find(block_hash)
            if entry is None:
                announced = block_hash
                break
            if place == places[-1]:
                self._note_has(state, entry)
        if announced is None:
            return
        nothing_to_say = self._had_nothing_to_say(state)
        state.last_unknown = announced
        state.rests_until = 0.0
        if not state.started:
            if state.inv_asked or announced == self._last_inv_hash:
                return
            state.inv_asked = True
            self._last_inv_hash = announced
        if nothing_to_say:
            self._answered(state)
        self.ask(state, self._index.locator(self._index.best_header))

    def look_up_announced(self, state: SyncPeer) -> None:
        """The header of what the peer announced may have come from another (Core: ``ProcessBlockAvailability``)."""
        if state.last_unknown is not None:
            entry = self._index.find(state.last_unknown)
            if entry is not None:
                self._note_has(state, entry)

    # -- asking --------------------------------------------------------------------------------------------------

    def ask(self, state: SyncPeer, locator: Sequence[bytes]) -> bool:
        """Send getheaders, unless the peer was asked in the last `GETHEADERS_WINDOW` and has not answered."""
        now = self._clock.now()
        if state.asked_at is not None and 0 <= now - state.asked_at <= GETHEADERS_WINDOW:
            return False
        state.asked_at = now
        state.asked_steady = self._clock.steady()
        state.locator = locator
        state.peer.mark_dirty()
        state.peer.send(GetHeaders(tuple(locator)))
        return True

    # -- the steps of a batch ------------------------------------------------------------------------------------

    def _nothing_more(self, state: SyncPeer) -> None:
        in_presync = state.low_work is not None and state.low_work.phase is LowWorkPhase.PRESYNC
        state.low_work = None
        self._answered(state)
        self._leadership.finished(state, low_work=in_presync)

    def _feed_low_work(self, state: SyncPeer, batch: HeaderBatch, full: bool) -> bool:
        """Give the batch to the low-work synchronisation; False if it is to be treated the ordinary way.

        That is so after a failure: it may be an announcement that has nothing to do with the synchronisation.
        """
        low_work = state.low_work
        assert low_work is not None
        result = low_work.process(batch.headers, batch.hashes, full)
        if result.success:
            self._answered(state, len(batch) if full else None)
        elif full:
            self._answered(state, 0)
        if result.request_more:
            self.ask(state, low_work.locator())
        if low_work.phase is LowWorkPhase.FINAL:
            state.low_work = None
            if low_work.abort_reason:
                log.log(
                    state.peer.log_level,
                    "peer=%d low-work headers sync ended: %s",
                    state.peer.id,
                    low_work.abort_reason,
                )
            if result.success and full:
                state.continue_after = batch.hashes[-1]
        if result.success:
            if low_work.abort_reason:  # the chain ended before it had the work
                self._leadership.finished(state, low_work=True)
                self._end_of_chain(state, low_work.work)
            state.ready += result.ready
            self.release(state, MAX_HEADERS)
        return result.success

    def release(self, state: SyncPeer, limit: int) -> None:
        """Accept up to ``limit`` headers that proved their work; the rest waits for the peer's next pass.

        The end of a low-work synchronisation frees a whole buffer, more than a handler may take at once. Only when all
        of it is accepted is the peer asked for what follows: its answer must not find the buffer full.
        """
        while state.ready and limit > 0:
            headers, state.ready = state.ready[:MAX_HEADERS], state.ready[MAX_HEADERS:]
            limit -= len(headers)
            awaited = state.asked_at is not None or state.continue_after is not None
            more_follows = bool(state.ready or state.low_work or awaited)
            self._accept(state, self._chain.check_batch(headers), more_follows=more_follows)
        if state.ready:
            state.peer.mark_dirty()
        elif state.continue_after is not None:
            last, state.continue_after = state.continue_after, None
            self.ask(state, [last, *self._index.locator(self._index.best_header)])

    def _connect(self, state: SyncPeer, batch: HeaderBatch, full: bool) -> None:
        """Steps 4 to 6 for headers whose proof of work and linkage were checked."""
        parent = self._index.find(batch.columns.prevs[0])
        if parent is None:
            self._wait_for_parent(state, batch)
            return
        state.unconnecting = 0
        self._answered(state, self._new_in(batch) if full else None)
        if Permission.NO_BAN not in state.peer.permissions and not self._has_enough_work(batch, parent):
            self._refuse_low_work(state, batch, parent, full)
            return
        if full:
            self._ask_for_more(state, batch, parent)
        self._accept(state, batch, more_follows=full)

    def _wait_for_parent(self, state: SyncPeer, batch: HeaderBatch) -> None:
        """Keep the batch for a while and ask what leads to it."""
        peer = state.peer
        log.debug("peer=%d %d headers do not connect yet", peer.id, len(batch))
        state.unconnecting += 1
        if state.unconnecting % UNCONNECTING_TOLERATED == 0:
            self._misbehaviour.report(peer, Violation.UNCONNECTING_HEADERS)
        state.last_unknown = batch.hashes[-1]
        state.rests_until = 0.0
        steady = self._clock.steady()
        state.waiting = [held for held in state.waiting if held.expires > steady]
        room = state.peer.id in self._waiting or len(self._waiting) < MAX_WAITING_PEERS
        if room and len(state.waiting) < WAITING_BATCHES:
            state.waiting.append(WaitingBatch(steady + WAITING_SECONDS, batch))
            self._waiting.add(state.peer.id)
        self.ask(state, self._index.locator(self._index.best_header))

    def _connect_waiting(self) -> None:
        """Take up batches whose parent has become known; drop the expired."""
        steady = self._clock.steady()
        for peer_id in list(self._waiting):
            state = self._peers.get(peer_id)
            waiting = state.waiting if state is not None else []
            ready = [held for held in waiting if self._index.find(held.batch.columns.prevs[0]) is not None]
            waiting[:] = [held for held in waiting if held not in ready and held.expires > steady]
            if not waiting:
                self._waiting.discard(peer_id)
            if state is not None:
                for held in ready:
                    self._connect(state, held.batch, full=len(held.batch) == MAX_HEADERS)

    def _has_enough_work(self, batch: HeaderBatch, parent: int) -> bool:
        last = self._index.find(batch.hashes[-1])
        if last is not None and self._index.in_active(last):
            return True
        return self._index.chain_work(parent) + batch.work >= self._chain.anti_dos_work_threshold()

    def _refuse_low_work(self, state: SyncPeer, batch: HeaderBatch, parent: int, full: bool) -> None:
        """Too little work to store: a full batch may still lead to more."""
        if not full:
            log.log(
                state.peer.log_level,
                "peer=%d Ignoring low-work chain (height=%d)",
                state.peer.id,
                self._index.height(parent) + len(batch),
            )
            self._leadership.finished(state, low_work=True)
            self._end_of_chain(state, self._index.chain_work(parent) + batch.work)
            return
        running = sum(other.low_work is not None for other in self._peers.values())
        if running >= MAX_LOW_WORK_SYNCS and not state.preferred:
            log.debug("peer=%d no room for another low-work headers sync", state.peer.id)
            self._leadership.finished(state, low_work=True)
            return
        index = self._index
        state.low_work = LowWorkSync(
            self._chain.params,
            self._rng,
            start_hash=index.hash(parent),
            start_height=index.height(parent),
            start_bits=index.bits(parent),
            start_work=index.chain_work(parent),
            start_mtp=index.median_time_past(parent),
            start_locator=index.locator(parent),
            minimum_work=self._chain.anti_dos_work_threshold(),
            now=self._clock.now(),
        )
        log.log(
            state.peer.log_level, "peer=%d low-work headers sync from height %d", state.peer.id, index.height(parent)
        )
        if not self._feed_low_work(state, batch, full):
            self._leadership.finished(state)

    def _ask_for_more(self, state: SyncPeer, batch: HeaderBatch, parent: int) -> None:
        """A full batch has more behind it. Who repeats what others gave is asked only when the others are done."""
        best = self._index.best_header
        last = self._index.find(batch.hashes[-1])
        if last is None:
            self.ask(state, [batch.hashes[-1], *self._index.locator(parent)])
        elif state.leading or self._leadership.leader is None:
            follows = self._index.ancestor(best, self._index.height(last)) == last
            self.ask(state, self._index.locator(best if follows else last))

    def _accept(self, state: SyncPeer, batch: HeaderBatch, *, more_follows: bool) -> None:
        best_work = self._index.chain_work(self._index.best_header)
        result = self._chain.accept(batch)
        if result.verdict is not None:
            state.ready, state.low_work, state.continue_after = [], None, None  # all of it would only lack its parent
            self._judge(state.peer, result.verdict)
        if result.last is not None:
            self._note_has(state, result.last)
            if result.accepted and self._index.chain_work(result.last) > best_work:
                state.last_announcement = state.peer.last_header = self._clock.now()
                state.peer.mark_dirty()
                log.debug("Synchronizing blockheaders, height: %d", self._index.height(result.last))
            if result.verdict is None:
                self._announced(state, result.last)
        if result.verdict is not None or not more_follows:  # what follows a refused header is of no use either
            self._leadership.finished(state)
        if result.verdict is None and not more_follows and state.best_known is not None:
            self._end_of_chain(state, self._index.chain_work(state.best_known))

    def _end_of_chain(self, state: SyncPeer, work: int) -> None:
        """The peer showed its whole chain. If that cannot end the initial download, it makes room for another peer."""
        too_little = work < self._chain.params.minimum_chain_work and self._chain.is_ibd()
        if too_little and state.peer.connection_type in WATCHED:
            state.peer.disconnect("its chain has less work than the network's minimum")

    def _judge(self, peer: Peer, verdict: HeaderVerdict) -> None:
        log.log(peer.log_level, "peer=%d header %s, %s", peer.id, verdict.hash[::-1].hex(), verdict.reason)
        if verdict.result in _PUNISHED:
            self._report(peer, f"invalid header: {verdict.reason}", verdict)
        elif verdict.result is ValidationResult.CACHED_INVALID and not peer.inbound:
            self._report(peer, "header known to be invalid", verdict)

    def _report(self, peer: Peer, detail: str, verdict: HeaderVerdict) -> None:
        self._misbehaviour.report(peer, _VIOLATIONS.get(verdict.reason, Violation.INVALID_HEADER), detail)

    # -- notes about a peer --------------------------------------------------------------------------------------

    def _answered(self, state: SyncPeer, full_batch: int | None = None) -> None:
        """The outstanding request counts as answered. A full batch tells the peer's rate, by what it brought.

        Else a leader could send the same batch again and again, and be the quickest of all.
        """
        if full_batch is not None and state.asked_steady is not None:
            state.recent.append((full_batch, self._clock.steady() - state.asked_steady))
        state.asked_at = state.asked_steady = None

    def _new_in(self, batch: HeaderBatch) -> int:
        """How many headers a full batch brings, for its sender's rate: none if even the last is known, else all."""
        return 0 if self._index.find(batch.hashes[-1]) is not None else len(batch)

    def _had_nothing_to_say(self, state: SyncPeer) -> bool:
        """As far as we know the peer has nothing that we lack. Then silence is an answer, and bcoin's only one.

        Without this the next block of such a peer would wait for the end of `GETHEADERS_WINDOW`, as it does in Core.
        """
        announced = state.last_unknown is not None and self._index.find(state.last_unknown) is None
        has_more = state.peer.start_height > self._index.height(self._index.best_header)
        return state.low_work is None and not announced and not has_more

    def _note_has(self, state: SyncPeer, entry: int) -> None:
        index, best = self._index, state.best_known
        if best is None or (entry != best and index.chain_work(entry) >= index.chain_work(best)):
            state.best_known = entry
            state.peer.mark_dirty()
        if state.last_unknown is not None and index.find(state.last_unknown) is not None:
            state.last_unknown = None

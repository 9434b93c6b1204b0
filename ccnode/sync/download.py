"""Block download: who is asked for which block (Core: ``FindNextBlocksToDownload``, ``HeadersDirectFetchBlocks``).

Headers come first, so it is known which blocks are worth having: those of a chain whose header has at least our tip's
work and the network's minimum. Each peer is asked along the chain that *it* is known to have, oldest first, for what
we lack and nobody else was asked for, up to sixteen blocks at a time and within a moving window: at most 1024 beyond
the last block up to which we have all of its chain. Blocks arrive in any order and are stored as they come; the window
bounds how far they can be ahead.

If the window cannot move because of one peer, that peer stalls; who is late makes room for others (``stalling.py``).
What a peer owes when it goes is asked of the next. So nobody is asked for a block that another still owes.

During the initial download only peers that we chose are asked, and of those none that keeps recent blocks only;
others if there is nobody else. Afterwards anybody will do, and a new block is asked of whoever announces it, at once.

A peer is asked for blocks with witnesses if it offers them; one that does not is asked for nothing from segwit on.

This protects the disk by the work that headers must show, and the download against peers that give nothing. It does
not find a chain that all peers withhold.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from typing import Protocol

from ccnode.chain.headers import HeaderChain
from ccnode.chain.index import TipChanged
from ccnode.chain.verdict import BlockVerdict
from ccnode.clock import Clock
from ccnode.peers.peer import Peer
from ccnode.sync.download_peer import (
    BLOCK_DOWNLOAD_WINDOW,
    LIMITED_PEER_DEPTH,
    MAX_BLOCKS_IN_TRANSIT_PER_PEER,
    MAX_WITHHELD,
    REFILL_AT,
    DownloadPeer,
)
from ccnode.sync.extra import is_near_present
from ccnode.sync.in_flight import InFlight
from ccnode.sync.stalling import LATE_AFTER, StallingTimeout, download_timeout
from ccnode.sync.state import SyncPeer
from ccnode.wire.inventory import GetData, InvItem, NotFound
from ccnode.wire.protocol import InvType

log = logging.getLogger("ccnode.sync")

MAX_NOTFOUND = 5016
"""Longer lists of things that a peer does not have are not read (Core: 5000 transactions and 16 blocks)."""

IMPORT_LOOK = 5.0
"""Wall seconds between two looks whether the import of blocks from files is over."""

_BLOCK_TYPES = frozenset({InvType.BLOCK, InvType.WITNESS_BLOCK})


class Submitted(Protocol):
    """What became of a block that was handed in."""

    @property
    def entry(self) -> int | None:
        """Its entry in the header index, if its header is there now."""
        ...

    @property
    def new(self) -> bool:
        """Its data was stored by this."""
        ...

    @property
    def verdict(self) -> BlockVerdict | None:
        """Why it was refused; None too for a block that is known or not wanted."""
        ...


class Blocks(Protocol):
    """The blocks we have, and the way in for more."""

    @property
    def importing(self) -> bool:
        """Blocks are being read from files, and none are wanted from peers."""
        ...

    def have_data(self, entry: int) -> bool:
        """The block is stored."""
        ...

    def have_chain(self, entry: int) -> bool:
        """The block and all its ancestors are stored, or were before they were pruned."""
        ...

    def chain_tx(self, entry: int) -> int:
        """Transactions up to and in the block; 0 where an ancestor's block is missing."""
        ...

    def wait_submit(
        self, raw: bytes, *, source: int | None = None, requested: bool = True, owed: bool = True
    ) -> Submitted:
        """Check and store a block; returns before it is connected.

        ``source`` is the peer that sent it. A block that was not requested is stored only if it may soon be of use.
        Blocks that are not ``owed``, that is asked of this very peer, are looked at one at a time.
        Raises `DecodeError` if the bytes are no block.
        """
        ...

    def unsettled(self, source: int) -> bool:
        """Whether a block that this peer sent is still to be judged, other than one that waits for its ancestors."""
        ...

    def wait_settled(self, source: int, timeout: float) -> None:
        """Wait until nothing that this peer sent is unsettled, at most ``timeout`` seconds."""
        ...

    def on_block_checked(self, callback: Callable[[bytes, BlockVerdict | None, int | None], None]) -> None:
        """Have ``callback`` told of each block that was connected or found invalid: hash, verdict, source."""
        ...


class BlockDownload:
    """Asks peers for blocks. Its methods never wait."""

    def __init__(self, chain: HeaderChain, blocks: Blocks, clock: Clock) -> None:
        self._chain = chain
        self._index = chain.index
        self._blocks = blocks
        self._clock = clock
        self.peers: dict[int, DownloadPeer] = {}
        self.in_flight = InFlight()
        self.stalling = StallingTimeout()
        self._was_in_ibd = True
        chain.subscribe(self._tip_changed)

    def joined(self, state: SyncPeer) -> None:
        """A peer completed its handshake."""
        self.peers[state.peer.id] = DownloadPeer(state)

    def left(self, peer: Peer) -> None:
        """The peer is gone; what it owed is asked of others."""
        state = self.peers.pop(peer.id, None)
        if state is not None and self.in_flight.give_up(state):
            self._look_again()

    # -- the periodic part ---------------------------------------------------------------------------------------

    def send_pass(self, peer: Peer, now: float) -> float:
        """Drop a peer that keeps us waiting, else ask it for more; returns the wall time to look again."""
        state = self.peers[peer.id]
        reason = self._overdue(state, now)
        if reason is not None:
            peer.disconnect(reason)
            self.in_flight.give_up(state)
            self._look_again()
            return inf
        due = now + IMPORT_LOOK if self._blocks.importing else self.fill(state, now)
        if state.stalling_since is not None:
            due = min(due, state.stalling_since + self.stalling.seconds)
        return min(due, self._deadline(state))

    def fill(self, state: DownloadPeer, now: float) -> float:
        """Ask for as many blocks as the peer may owe us, if it is one to ask and has any for us.

        Returns the wall time to look again, if it is to be asked for nothing because of what others owe.
        """
        if len(state.in_flight) > REFILL_AT or not self._may_ask(state, now):
            return inf
        best = state.sync.best_known
        if best is None or not self._is_worth_having(best):
            return inf
        room = MAX_BLOCKS_IN_TRANSIT_PER_PEER - len(state.in_flight)
        wanted, due = self._next_blocks(state, best, room), inf
        if not wanted and not state.in_flight:
            due = self._look_who_is_late(state, best, now)
            wanted = self._next_blocks(state, best, room) if due <= now else []
        if wanted:
            self._ask(state, wanted, now)
            return inf
        return due

    def _overdue(self, state: DownloadPeer, now: float) -> str | None:
        """Why the peer has to go, if it has."""
        if state.stalling_since is not None and now > state.stalling_since + self.stalling.seconds:
            self.stalling.dropped_one()
            return "it stalls the block download"
        if now > self._deadline(state):
            if not state.in_flight:
                return "it owes us blocks for too long"
            block_hash = self._index.hash(next(iter(state.in_flight)))
            return f"timeout downloading block {block_hash[::-1].hex()}"
        return None

    def _deadline(self, state: DownloadPeer) -> float:
        if state.delivering or not (state.in_flight or state.late_with):
            return inf
        others = self.in_flight.sources - bool(state.in_flight)
        return state.since + download_timeout(self._chain.params.spacing, others)

    def _may_ask(self, state: DownloadPeer, now: float) -> bool:
        if not state.sync.serves or state.sync.peer.closing or self._blocks.importing:
            return False
        if state.late_with and self.in_flight:
            return False
        if not self._chain.is_ibd(now):
            return True
        if state.limited:
            return False
        return state.sync.preferred or not self.in_flight or not any(p.sync.preferred for p in self.peers.values())

    def _is_worth_having(self, entry: int) -> bool:
        work = self._index.chain_work(entry)
        return work >= self._index.chain_work(self._index.tip) and work >= self._chain.params.minimum_chain_work

    # -- which blocks --------------------------------------------------------------------------------------------

    def _next_blocks(self, state: DownloadPeer, best: int, room: int) -> list[int]:
        """What to ask a peer for whose chain ends in ``best``: up to ``room`` entries, lowest first."""
        index = self._index
        common = self._update_common(state, best)
        window_end = index.height(common) + BLOCK_DOWNLOAD_WINDOW
        last = index.ancestor(best, min(index.height(best), window_end))
        walked = self._walked(state, best, common)
        state.at_window_end = last != best
        if index.height(walked) >= index.height(last):
            return []
        some_invalid = index.is_invalid(best)
        wanted: list[int] = []
        for height, entry in enumerate(index.branch(walked, last), index.height(walked) + 1):
            if (some_invalid and index.is_invalid(entry)) or not self._can_give(state, height):
                state.at_window_end = False
                break
            if self._lacks(entry) and self._would_be_asked(state, best, entry):
                if len(wanted) == room:
                    break
                wanted.append(entry)
            walked = entry
        state.walked, state.walked_at = walked, self.in_flight.given_up
        return wanted

    def _update_common(self, state: DownloadPeer, best: int) -> int:
        """The last entry of the peer's chain up to which we have all blocks."""
        index = self._index
        fork = index.fork_point(best, index.tip)
        common = state.common
        if common is None or index.chain_work(fork) > index.chain_work(common) or not index.extends(best, common):
            common = fork
        height, best_height = index.height(common), index.height(best)
        while height < best_height:
            height += 1
            following = index.ancestor(best, height)
            if not self._blocks.have_chain(following):
                break
            common = following
        state.common = common
        return common

    def _walked(self, state: DownloadPeer, best: int, common: int) -> int:
        """Where to go on looking for blocks to ask for."""
        walked = state.walked
        if walked is None or state.walked_at != self.in_flight.given_up or not self._index.extends(best, walked):
            return common
        return walked if self._index.height(walked) > self._index.height(common) else common

    def _lacks(self, entry: int) -> bool:
        """We neither have the block, nor is it on its way. A pruned block of our chain is not lacking."""
        return not (entry in self.in_flight or self._blocks.have_data(entry) or self._index.in_active(entry))

    def _can_give(self, state: DownloadPeer, height: int) -> bool:
        """A block without its witness is of no use from segwit on."""
        return state.witness or height < self._chain.params.soft_forks.segwit

    def _would_be_asked(self, state: DownloadPeer, best: int, entry: int) -> bool:
        """The peer is likely to have the block, and has not withheld it before."""
        too_old = state.limited and self._index.height(best) - self._index.height(entry) >= LIMITED_PEER_DEPTH
        return not too_old and entry not in state.withheld

    def _look_who_is_late(self, state: DownloadPeer, best: int, now: float) -> float:
        """The peer has nothing to do because another owes the first block that is missing: does that one stall?

        Returns the wall time at which it is late. If it is already, what it owes is to be had again.
        """
        index, common = self._index, state.common
        assert common is not None
        window_end = index.height(common) + BLOCK_DOWNLOAD_WINDOW
        for entry in index.branch(common, index.ancestor(best, min(index.height(best), window_end))):
            if entry in self.in_flight:
                break
        else:
            return inf
        owner = self.in_flight.owner(entry)
        if owner is None or owner.delivering:  # it is in our hands
            return now + LATE_AFTER
        if state.at_window_end and owner.stalling_since is None and self._lacks(index.ancestor(best, window_end + 1)):
            owner.stalling_since = now
            log.debug("Stall started peer=%d", owner.sync.peer.id)
            owner.sync.peer.mark_dirty()
        late_at = owner.since + LATE_AFTER
        can_give = self._can_give(state, index.height(entry)) and self._would_be_asked(state, best, entry)
        if now > late_at and can_give:
            log.debug("peer=%d is late; others are asked for what it owes", owner.sync.peer.id)
            owner.late_with.update(owner.in_flight)
            self.in_flight.give_up(owner)
            self._look_again()
            return now
        return late_at if late_at >= now else now + LATE_AFTER

    # -- asking --------------------------------------------------------------------------------------------------

    def _ask(self, state: DownloadPeer, entries: Iterable[int], now: float) -> None:
        kind = InvType.WITNESS_BLOCK if state.witness else InvType.BLOCK
        items = []
        for entry in entries:
            self.in_flight.add(state, entry, now)
            items.append(InvItem(kind, self._index.hash(entry)))
        state.sync.peer.send(GetData.build(items))
        state.sync.peer.mark_dirty()  # so that its pass arms the timer

    def announced(self, sync: SyncPeer, last: int) -> None:
        """The peer sent headers up to ``last``: near the present their blocks are asked of it, whoever it is."""
        index, state = self._index, self.peers[sync.peer.id]
        if not sync.serves or state.late_with or self._blocks.importing:
            return
        if not is_near_present(self._chain, self._clock):
            return
        if index.is_invalid(last) or index.chain_work(last) < index.chain_work(index.tip):
            return
        missing: list[int] = []
        entry: int | None = last
        while entry is not None and not index.in_active(entry) and len(missing) <= MAX_BLOCKS_IN_TRANSIT_PER_PEER:
            if self._lacks(entry) and entry not in state.withheld and self._can_give(state, index.height(entry)):
                missing.append(entry)
            entry = index.parent(entry)
        if entry is None or not index.in_active(entry):  # a large reorganisation is left to the parallel download
            return
        room = MAX_BLOCKS_IN_TRANSIT_PER_PEER - len(state.in_flight)
        if missing and room > 0:
            self._ask(state, missing[::-1][:room], self._clock.now())

    def request(self, peer_id: int, entry: int) -> str | None:
        """Ask one peer for one block, for a person; returns why that cannot be, in Core's words (``FetchBlock``)."""
        if self._blocks.importing:
            return "Loading blocks ..."
        state = self.peers.get(peer_id)
        if state is None or state.sync.peer.closing:
            return "Peer does not exist"
        if not state.witness:
            return "Pre-SegWit peer"
        if entry in state.in_flight:
            return "Already requested from this peer"
        now = self._clock.now()
        self.in_flight.remove(entry, now)
        self._ask(state, [entry], now)
        return None

    @contextmanager
    def unread(self, state: DownloadPeer, owed: int | None = None) -> Iterator[None]:
        """In the body the peer is not read, so it is not its fault if nothing comes.

        :param owed: a block that it owed and has sent; see `InFlight.landing`.
        """
        state.stalling_since = None
        with self.in_flight.landing(state, owed):
            yield
        state.since = max(state.since, self._clock.now())
        state.sync.peer.mark_dirty()

    # -- what becomes of requests --------------------------------------------------------------------------------

    def stored(self, entry: int, now: float) -> None:
        """The block's data is there: no request for it stands, and windows may have moved."""
        self.in_flight.remove(entry, now)
        for state in self.peers.values():
            if state.at_window_end:
                state.sync.peer.mark_dirty()
        if not self.in_flight and self._chain.is_ibd(now):  # those that are asked if nobody else is
            self._look_again()

    def failed(self, state: DownloadPeer, entry: int) -> None:
        """The peer owed a block and does not give it, or not in a form that is of use: others are asked."""
        state.withheld.add(entry)
        if len(state.withheld) > MAX_WITHHELD:
            state.sync.peer.disconnect("it does not give the blocks it announced")
        self.in_flight.given_up += 1
        self._look_again()

    def on_notfound(self, peer: Peer, message: NotFound) -> None:
        """Core never says so of a block; others do, and so save us the wait."""
        state = self.peers[peer.id]
        if not state.in_flight or len(message) > MAX_NOTFOUND:
            return
        for item in message.items():
            entry = self._index.find(item.hash) if item.type in _BLOCK_TYPES else None
            if entry is not None and entry in state.in_flight:
                self.in_flight.remove(entry, self._clock.now())
                self.failed(state, entry)

    def _tip_changed(self, change: TipChanged) -> None:
        for _ in change.connected:
            self.stalling.block_connected()
        ibd = self._chain.is_ibd()
        if change.is_reorg or ibd is not self._was_in_ibd:
            self._was_in_ibd = ibd
            self.in_flight.given_up += 1
            self._look_again()

    def _look_again(self) -> None:
        """Something is to be had again: everybody may be asked for it."""
        for state in self.peers.values():
            state.sync.peer.mark_dirty()

    # -- for people ----------------------------------------------------------------------------------------------

    def heights_in_flight(self, peer_id: int) -> Sequence[int]:
        """Of the blocks that a peer owes, in the order of the requests."""
        state = self.peers.get(peer_id)
        return [] if state is None else [self._index.height(entry) for entry in state.in_flight]

    def common_height(self, peer_id: int) -> int:
        """Up to which we have all blocks of the peer's chain; -1 where unknown."""
        state = self.peers.get(peer_id)
        if state is None or state.sync.best_known is None:
            return -1
        return self._index.height(self._update_common(state, state.sync.best_known))

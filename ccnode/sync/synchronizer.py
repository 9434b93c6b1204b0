"""The sync room's front door: handlers by message type, peers coming and going, the periodic pass."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any, Protocol

from ccnode.chain.headers import AcceptResult, HeaderChain
from ccnode.clock import Clock
from ccnode.peers.misbehaviour import Misbehaviour
from ccnode.peers.peer import Peer
from ccnode.rng import Rng
from ccnode.sync.block_progress import BlockMeter
from ccnode.sync.download import BlockDownload, Blocks
from ccnode.sync.extra import OutboundPeer
from ccnode.sync.headers import HeaderSync
from ccnode.sync.leader import Leadership
from ccnode.sync.progress import ProgressMeter, SyncProgress
from ccnode.sync.receipt import BlockReceipt
from ccnode.sync.serve import HeaderServer
from ccnode.sync.state import MAX_HEADERS, SyncPeer
from ccnode.sync.watch import ChainSyncWatch
from ccnode.wire.blocks import Block
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.inventory import Inv, NotFound
from ccnode.wire.message import Message

VERDICT_SECONDS = 30.0
"""Longest wait of a peer's next message for the verdict on its blocks, while a thousand others are connected first."""


@dataclass(frozen=True, slots=True)
class PeerSyncInfo:
    """What ``getpeerinfo`` and ``getheadersyncinfo`` tell of a peer; heights are -1 where unknown."""

    best_known: int | None
    """The entry of the best header that the peer is known to have."""
    synced_headers: int
    presynced_headers: int
    ahead: bool
    """It showed or announced something that is not in our chain, at least not yet."""
    leading: bool
    rate: float | None
    """Headers per second over its last full batches."""
    waiting_batches: int
    asked_seconds_ago: float | None
    synced_blocks: int
    """Up to which we have all blocks of its chain."""
    in_flight: Sequence[int]
    """Heights of the blocks that it owes us, in the order of the requests."""


class Serving(Protocol):
    """What serves blocks to peers."""

    @property
    def handlers(self) -> Mapping[type[Message], Callable[[Peer, Any], None]]:
        """By the type of the request."""
        ...

    def left(self, peer: Peer) -> None:
        """``peer`` is gone."""
        ...


@dataclass(frozen=True, slots=True)
class WaitingHeaders:
    """Headers of a peer that wait for their parent; hashes are in internal order."""

    peer_id: int
    parent: bytes
    first: bytes
    count: int
    seconds_left: float
    """Until they are forgotten; 0 or less once that is due."""


_UNKNOWN = PeerSyncInfo(None, -1, -1, False, False, None, 0, None, -1, ())


class Synchronizer:
    """The synchronisation of headers, and of blocks if they are wanted."""

    def __init__(
        self,
        chain: HeaderChain,
        misbehaviour: Misbehaviour,
        clock: Clock,
        rng: Rng,
        *,
        announces: bool,
        blocks: Blocks | None = None,
        serving: Serving | None = None,
    ) -> None:
        """:param blocks: where blocks go; None for headers only."""
        self._chain = chain
        self._clock = clock
        self._peers: dict[int, SyncPeer] = {}
        self._leadership = Leadership(chain, self._peers, clock)
        self._headers = HeaderSync(chain, self._peers, self._leadership, misbehaviour, clock, rng)
        self._leadership.asks_through(self._headers.ask)
        self._watch = ChainSyncWatch(chain, self._headers.ask)
        self._server = HeaderServer(chain, self._peers, clock, announces=announces)
        block_meter = None if blocks is None else BlockMeter(chain, blocks, clock)
        self._meter = ProgressMeter(chain, self._peers, self._leadership, clock, block_meter)
        self._serving = serving
        self.handlers: dict[type[Message], Callable[[Peer, Any], None]] = {
            Headers: self._headers.on_headers,
            Inv: self._headers.on_inv,
            GetHeaders: self._server.on_getheaders,
            **(serving.handlers if serving is not None else {}),
        }
        self._blocks = blocks
        self._download = None if blocks is None else self._open_download(blocks, misbehaviour)
        chain.subscribe(self._server.tip_changed)

    def _open_download(self, blocks: Blocks, misbehaviour: Misbehaviour) -> BlockDownload:
        download = BlockDownload(self._chain, blocks, self._clock)
        receipt = BlockReceipt(self._chain, blocks, download, misbehaviour, self._clock)
        self._headers.tells_of(download.announced)
        self.handlers[Block] = receipt.wait_on_block
        self.handlers[NotFound] = download.on_notfound
        return download

    def joined(self, peer: Peer) -> None:
        """``peer`` completed its handshake."""
        state = self._leadership.joined(peer)
        if self._download is not None:
            self._download.joined(state)
        peer.mark_dirty()

    def left(self, peer: Peer) -> None:
        """``peer`` is gone."""
        self._leadership.left(peer)
        self._watch.left(peer.id)
        if self._download is not None:
            self._download.left(peer)
        if self._serving is not None:
            self._serving.left(peer)

    def send_pass(self, peer: Peer, now: float) -> tuple[float, float]:
        """Send what a handshaked peer is owed; returns when to look again: (wall seconds, steady seconds)."""
        state = self._peers.get(peer.id)
        if state is None:
            return inf, inf
        if state.ready:
            self._headers.release(state, MAX_HEADERS)
        self._watch.showed_chain(state)
        wall, steady = self._leadership.send_pass(state, now)
        self._server.send_pass(state)
        wall = min(wall, self._watch.send_pass(state, now))
        if self._download is not None and not peer.closing:
            self._headers.look_up_announced(state)
            wall = min(wall, self._download.send_pass(peer, now))
        return wall, steady

    def owes_verdict(self, peer: Peer) -> bool:
        """Whether a block that ``peer`` sent is still being judged."""
        return self._blocks is not None and self._blocks.unsettled(peer.id)

    def wait_verdict(self, peer: Peer) -> None:
        """Wait for that, within reason: what the peer says next may depend on it, and comes after it in Core."""
        if self._blocks is not None and self._download is not None:
            with self._download.unread(self._download.peers[peer.id]):
                self._blocks.wait_settled(peer.id, VERDICT_SECONDS)

    def outbound_peers(self) -> list[OutboundPeer]:
        """The handshaked outbound peers, as ``extra.py`` judges them."""
        return [
            OutboundPeer(
                state.peer,
                last_announcement=state.last_announcement,
                last_useful=state.peer.last_header if self._download is None else state.peer.last_block,
                protected=self._watch.is_protected(peer_id),
                in_flight=len(self._heights_in_flight(peer_id)),
            )
            for peer_id, state in self._peers.items()
            if not state.peer.inbound
        ]

    def downloading(self) -> bool:
        """Whether a peer owes us a block."""
        return self._download is not None and bool(self._download.in_flight)

    def request_block(self, peer_id: int, entry: int) -> str | None:
        """Have a peer asked for one block; returns why that cannot be, in Core's words."""
        return "Block download is off" if self._download is None else self._download.request(peer_id, entry)

    def _heights_in_flight(self, peer_id: int) -> Sequence[int]:
        return () if self._download is None else self._download.heights_in_flight(peer_id)

    def submit_header(self, header: bytes) -> AcceptResult:
        """Take one header from a person or a miner, by the rules for everybody's."""
        return self._chain.accept([header])

    def progress(self) -> SyncProgress:
        return self._meter.progress()

    def verified(self) -> float:
        """How far validation is, from 0 to 1."""
        return self._meter.verified()

    def waiting(self) -> list[WaitingHeaders]:
        """All headers that wait for their parent."""
        now = self._clock.steady()
        return [
            WaitingHeaders(
                peer_id, held.batch.columns.prevs[0], held.batch.hashes[0], len(held.batch), held.expires - now
            )
            for peer_id, state in self._peers.items()
            for held in state.waiting
        ]

    def peer_info(self, peer_id: int) -> PeerSyncInfo:
        state = self._peers.get(peer_id)
        if state is None:
            return _UNKNOWN
        best, low_work, asked = state.best_known, state.low_work, state.asked_steady
        return PeerSyncInfo(
            best_known=best,
            synced_headers=-1 if best is None else self._chain.index.height(best),
            presynced_headers=-1 if low_work is None else low_work.presync_height,
            ahead=low_work is not None or bool(state.waiting or state.ready) or self._is_unknown(state.last_unknown),
            leading=state.leading,
            rate=state.rate(),
            waiting_batches=len(state.waiting),
            asked_seconds_ago=None if asked is None else self._clock.steady() - asked,
            synced_blocks=-1 if self._download is None else self._download.common_height(peer_id),
            in_flight=self._heights_in_flight(peer_id),
        )

    def _is_unknown(self, announced: bytes | None) -> bool:
        return announced is not None and self._chain.index.find(announced) is None

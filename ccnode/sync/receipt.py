"""What happens to a ``block`` message (Core: ``ProcessMessage``, ``ProcessBlock``, ``MaybePunishNodeForBlock``).

First what costs nothing to find out: a block without a known parent is misbehaviour, for headers came first; one that
extends too little work is ignored, as its header would be; one that we have is not looked at again. What is left is
handed in. The handler waits for the answer, and meanwhile the peer is not read: a peer that sends blocks faster than
they can be checked fills its own pipe. Before it waits, the peer is asked for more, so that its line is not idle.

A forged body under a real header must not keep the real block away: only the sender's own request ends with what it
sent, and whoever else was asked may still give the block. The sender is not asked for it again.

A block is refused at once, or stored and found invalid when its turn comes; either way the sender answers for it, if
it is still there. It does not answer for a clock that differs, or for little work. A block that was marked invalid
before costs only peers that we chose: to others we may never have said so.

A payload that is no block is dropped, as any message that cannot be read; but to find that out may take us a second,
and then a sender who was not asked for it goes as well.
"""

import logging

from ccnode.chain.headers import HeaderChain
from ccnode.chain.pow import block_proof
from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.clock import Clock
from ccnode.errors import DecodeError
from ccnode.peers.misbehaviour import Misbehaviour, Violation
from ccnode.peers.peer import Peer
from ccnode.sync.download import BlockDownload, Blocks, Submitted
from ccnode.wire.blocks import Block

log = logging.getLogger("ccnode.sync")

_VIOLATIONS = {
    ValidationResult.CONSENSUS: Violation.INVALID_BLOCK,
    ValidationResult.MUTATED: Violation.MUTATED_BLOCK,
    ValidationResult.INVALID_HEADER: Violation.INVALID_HEADER,
    ValidationResult.CACHED_INVALID: Violation.INVALID_BLOCK,
    ValidationResult.INVALID_PARENT: Violation.INVALID_PARENT,
    ValidationResult.MISSING_PARENT: Violation.MISSING_PARENT,
}
"""What is held against the sender; the other results are nobody's fault."""


class BlockReceipt:
    """Receives blocks from all peers."""

    def __init__(
        self, chain: HeaderChain, blocks: Blocks, download: BlockDownload, misbehaviour: Misbehaviour, clock: Clock
    ) -> None:
        self._chain = chain
        self._index = chain.index
        self._blocks = blocks
        self._download = download
        self._misbehaviour = misbehaviour
        self._clock = clock
        blocks.on_block_checked(self._block_checked)

    def wait_on_block(self, peer: Peer, message: Block) -> None:
        """Take a block in. Waits until it is stored or refused."""
        if self._blocks.importing:
            return
        block_hash = self._chain.format.hash(message.header)
        entry = self._index.find(block_hash)
        if entry is None:
            if self._may_be_new(peer, message, block_hash):
                self._wait_take(peer, message.raw, block_hash, requested=False)
            return
        in_flight, state = self._download.in_flight, self._download.peers[peer.id]
        requested, owed = entry in in_flight, entry in state.in_flight
        if entry in state.late_with:
            state.late_with.clear()
        if owed:
            in_flight.remove(entry, self._clock.now())
        if not self._blocks.have_data(entry) or self._index.is_invalid(entry):
            self._wait_take(peer, message.raw, block_hash, requested=requested, owed=entry if owed else None)

    def _may_be_new(self, peer: Peer, message: Block, block_hash: bytes) -> bool:
        """Whether a block with an unknown header is worth a look."""
        header = self._chain.format.parse(message.header)
        parent = self._index.find(header.prev)
        if parent is None:
            log.debug("peer=%d AcceptBlock FAILED (prev-blk-not-found)", peer.id)
            self._misbehaviour.report(peer, Violation.MISSING_PARENT, "block: prev-blk-not-found")
            return False
        work = self._index.chain_work(parent) + block_proof(header.bits)
        if work < self._chain.anti_dos_work_threshold():
            log.debug("peer=%d block %s has too little work, ignored", peer.id, block_hash[::-1].hex())
            return False
        return True

    def _wait_take(
        self, peer: Peer, raw: bytes, block_hash: bytes, *, requested: bool, owed: int | None = None
    ) -> None:
        """Hand a block in, and draw the conclusions.

        :param requested: somebody was asked for it.
        :param owed: its entry if ``peer`` was.
        """
        download, state = self._download, self._download.peers[peer.id]
        with download.unread(state, owed):
            download.fill(state, self._clock.now())
            result = self._wait_submit(peer, raw, block_hash, requested=requested, owed=owed is not None)
            now, entry = self._clock.now(), self._index.find(block_hash)
            if entry is not None and self._blocks.have_data(entry):
                download.stored(entry, now)
            elif owed is not None:
                download.failed(state, owed)
        if result is not None and result.new:
            peer.last_block = now
        if result is not None and result.verdict is not None:
            self._judge(peer, block_hash, result.verdict)

    def _wait_submit(
        self, peer: Peer, raw: bytes, block_hash: bytes, *, requested: bool, owed: bool
    ) -> Submitted | None:
        """What became of the block; None if the bytes are none."""
        try:
            return self._blocks.wait_submit(raw, source=peer.id, requested=requested, owed=owed)
        except DecodeError as error:
            log.debug("peer=%d block %s dropped: %s", peer.id, block_hash[::-1].hex(), error)
            if not owed:
                peer.disconnect("a block that nobody asked it for, and that cannot be read")
            return None

    def _block_checked(self, block_hash: bytes, verdict: BlockVerdict | None, source: int | None) -> None:
        """A stored block was connected, or cannot be."""
        state = None if source is None else self._download.peers.get(source)
        if verdict is not None and state is not None:
            self._judge(state.sync.peer, block_hash, verdict)

    def _judge(self, peer: Peer, block_hash: bytes, verdict: BlockVerdict) -> None:
        mutated = "Block mutated: " if verdict.result is ValidationResult.MUTATED else ""
        log.log(peer.log_level, "peer=%d block %s, %s%s", peer.id, block_hash[::-1].hex(), mutated, verdict)
        violation = _VIOLATIONS.get(verdict.result)
        known_before = verdict.result is ValidationResult.CACHED_INVALID
        if violation is not None and not (known_before and peer.inbound):
            self._misbehaviour.report(peer, violation, f"block: {verdict.reason}")

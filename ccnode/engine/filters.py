"""The index of compact block filters, kept up to date in the background (Core: ``BaseIndex``, ``BlockFilterIndex``).

One greenlet follows the active chain: from the last block that is indexed to the tip, through stale blocks where the
chain was reorganised. Blocks and what they spent are read from the files and taken apart on a thread, one at a time, so
that others get their turns; a block that was connected just now is still there in parts, which saves most of the
work. Filters are written in batches while the index is behind, and singly at the tip. A crash costs the batch at hand.

The node must have the blocks: to turn the index on when they are pruned is an error, and while it is behind they must
not be pruned (`BlockFilters.height`).
"""

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import gevent
from gevent.event import Event

from ccnode.chain.block_filter import encode_filter, filter_scripts
from ccnode.chain.genesis import genesis_block
from ccnode.chain.headers import HeaderChain
from ccnode.chain.index import TipChanged
from ccnode.chain.ports import Worker
from ccnode.engine.workers import ThreadWorker
from ccnode.errors import CcnodeError, StorageError
from ccnode.storage.filter_index import FilterIndex, NewFilter
from ccnode.storage.lmdb_store import LmdbStore
from ccnode.wire.parsing import ParsedBlock, parse_block

log = logging.getLogger("ccnode.engine")

BATCH_BLOCKS = 200
"""Filters written at once, at most: on mainnet 4 MB of them."""

BATCH_SECONDS = 2.0
"""After which a batch is written, however small."""

KEPT_BLOCKS = 8
"""Blocks kept since they were connected, if the index is right behind them. In parts a large one takes 10 MB."""

_COIN_HEAD = 12  # bytes of a coin before its script


class BlockBodies(Protocol):
    """Where the blocks are: `ccnode.engine.block_reader.BlockReader`."""

    def wait_read(self, entry: int) -> bytes | None:
        """The serialized block; None if it is not stored, or not any more."""
        ...

    def wait_read_undo(self, entry: int) -> Sequence[Sequence[bytes]] | None:
        """The coins that it spent; None as above."""
        ...


class BlockFilters:
    """Follows the chain, and answers what is asked of the index: a `ccnode.sync.serve_filters.StoredFilters`."""

    def __init__(
        self,
        chain: HeaderChain,
        index: FilterIndex,
        bodies: BlockBodies,
        worker: Worker,
        on_fault: Callable[[BaseException], None],
        on_close: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :param index: used on ``worker`` only, which need not be that of the chain state.
        :param on_fault: hears of what ends the indexing; it must not wait.
        :param on_close: called when the index is closed.
        """
        self._chain = chain
        self._entries = chain.index
        self._index = index
        self._bodies = bodies
        self._worker = worker
        self._on_fault = on_fault
        self._on_close = on_close
        self._best: int | None = None
        self._kept: dict[int, tuple[ParsedBlock, Sequence[Sequence[bytes]]]] = {}
        self._wake = Event()
        self._stopping = False
        self._task: gevent.Greenlet | None = None

    def start(self) -> None:
        """Begin to follow the chain."""
        best = self._worker.wait_run(self._index.best_block)
        self._best = None if best is None else self._entries.find(best)
        self._chain.subscribe(self._tip_changed)
        self._task = gevent.spawn(self._run)
        self._task.name = "block filters"
        self._task.link_exception(lambda task: self._on_fault(task.exception))

    def close(self) -> None:
        """Write what is made, and close the index."""
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            self._task.join()
        self._worker.wait_run(self._index.close)
        self._on_close()

    @property
    def height(self) -> int:
        """Of the last block that is indexed; -1 before the first. Blocks above it must not be pruned."""
        return -1 if self._best is None else self._entries.height(self._best)

    @property
    def synced(self) -> bool:
        """Whether that is the tip."""
        return self._best == self._entries.tip

    # -- what is in the index ------------------------------------------------------------------------------------

    def wait_filter(self, entry: int) -> tuple[bytes, bytes] | None:
        """The encoded filter of a block and its filter header; None if it has not been indexed."""
        hashes = [self._entries.hash(entry)]
        filters, headers = self.wait_filters(hashes), self.wait_headers(hashes)
        return (filters[0], headers[0]) if filters and headers else None

    def wait_filters(self, hashes: Sequence[bytes]) -> list[bytes] | None:
        """The encoded filters of blocks by their hashes; None if one lacks."""
        return self._worker.wait_run(self._index.filters, hashes)

    def wait_hashes(self, hashes: Sequence[bytes]) -> list[bytes] | None:
        """The same for the hashes of filters."""
        records = self._worker.wait_run(self._index.records, hashes)
        return [records[each].hash for each in hashes] if records.keys() >= set(hashes) else None

    def wait_headers(self, hashes: Sequence[bytes]) -> list[bytes] | None:
        """The same for filter headers."""
        records = self._worker.wait_run(self._index.records, hashes)
        return [records[each].header for each in hashes] if records.keys() >= set(hashes) else None

    # -- how it grows --------------------------------------------------------------------------------------------

    def connected(self, entry: int, block: ParsedBlock, spent: Sequence[Sequence[bytes]]) -> None:
        """A block joined the chain; never waits. To be told is not necessary, but quicker."""
        if len(self._kept) < KEPT_BLOCKS and self._entries.height(entry) <= self.height + KEPT_BLOCKS:
            self._kept[entry] = block, spent

    def _tip_changed(self, _change: TipChanged) -> None:
        self._wake.set()

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._wake.clear()
                entries = self._next_entries()
                if entries:
                    self._wait_index(entries)
                else:  # after blocks were only disconnected, the tip is behind
                    self._best = self._entries.tip
                    self._kept.clear()
                    self._wake.wait()
        except CcnodeError as error:
            self._on_fault(error)

    def _next_entries(self) -> Sequence[int]:
        """The blocks to be indexed next, parents before children; none at the tip."""
        index, tip = self._entries, self._entries.tip
        if self._best is None:
            return [0, *index.branch(0, tip)[: BATCH_BLOCKS - 1]]
        return index.branch(index.fork_point(self._best, tip), tip)[:BATCH_BLOCKS]

    def _wait_index(self, entries: Sequence[int]) -> None:
        """Index these blocks, or those of them that time and a stop allow."""
        hash_of, parent_of = self._entries.hash, self._entries.parent
        known = self._worker.wait_run(self._index.records, [hash_of(n) for n in entries])
        due = time.monotonic() + BATCH_SECONDS
        made: list[NewFilter] = []
        last = entries[0]
        for last in entries:
            if hash_of(last) not in known:
                parent = parent_of(last)
                made.append(
                    NewFilter(hash_of(last), None if parent is None else hash_of(parent), self._wait_make(last))
                )
            if self._stopping or time.monotonic() > due:
                break
        self._worker.wait_run(self._index.append, made, hash_of(last))
        self._best = last

    def _wait_make(self, entry: int) -> bytes:
        """The filter of a block."""
        kept = self._kept.pop(entry, None)
        if kept is not None:
            return self._worker.wait_run(_filter_of, *kept)
        raw = self._bodies.wait_read(entry)
        spent = self._bodies.wait_read_undo(entry) if entry else []
        if entry == 0 and raw is None:
            raw = genesis_block(self._chain.params)
            if raw is None:  # a network of one's own, whose genesis is a header and nothing else
                return encode_filter(self._entries.hash(0), ())
        if raw is None or spent is None:
            height = self._entries.height(entry)
            raise StorageError(
                f"blockfilterindex needs the block at height {height}, which was pruned: "
                "start without blockfilterindex, or once with --reindex"
            )
        return self._worker.wait_run(_filter_of_raw, raw, self._chain.format.size, self._entries.hash(entry), spent)


def open_block_filters(
    folder: Path, chain: HeaderChain, bodies: BlockBodies, on_fault: Callable[[BaseException], None]
) -> BlockFilters:
    """The index in the data directory ``folder``, with a thread of its own.

    Raises StartupError or StorageError if it cannot be used.
    """
    worker = ThreadWorker()
    try:
        index = worker.wait_run(_open_index, folder / "indexes" / "blockfilter" / "basic", chain.params.magic)
    except CcnodeError:
        worker.close()
        raise
    return BlockFilters(chain, index, bodies, worker, on_fault, worker.close)


def _open_index(directory: Path, magic: bytes) -> FilterIndex:
    return FilterIndex(directory, LmdbStore(directory / "index"), magic)


def _filter_of(block: ParsedBlock, spent: Sequence[Sequence[bytes]]) -> bytes:
    scripts = (coin[_COIN_HEAD:] for coins in spent for coin in coins)
    return encode_filter(block.hash, filter_scripts(block.outputs, scripts))


def _filter_of_raw(raw: bytes, header_size: int, block_hash: bytes, spent: Sequence[Sequence[bytes]]) -> bytes:
    return _filter_of(parse_block(raw, header_size, block_hash), spent)

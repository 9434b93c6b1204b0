"""The chain state's greenlet: everything that changes the chain passes through its inbox.

A block that somebody submits is parsed and checked on the worker at once, even while another block is being connected,
and stored when the greenlet comes to it. `BlockEngine.wait_submit` returns then: the next block can be on its way while
this one is connected. Connecting goes a step at a time, with stores in between. What it says comes by
`Chainstate.on_block_checked`. So that blocks do not pile up, `wait_submit` also waits while `PENDING_BYTES` of blocks
that could be connected are not.

Taking a block apart is where a stranger could make us work for nothing. So a look at the header comes first, and those
who were not asked for their blocks share one place, on a thread beside that of the chain: however many they are,
blocks that were asked for are parsed and connected meanwhile.

Whoever needs coins and tip to agree hands in a *job*: it runs in the greenlet, when no reorganisation is half done.

If the chain state fails (a full disk, a damaged file), the greenlet ends, ``on_fault`` is told, and whoever waits gets
a StorageError: the node stops then. What is on disk stays as the last flush left it.
"""

import logging
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

import gevent
from gevent.event import AsyncResult, Event
from gevent.lock import BoundedSemaphore

from ccnode.chain.chainstate import BlockResult, Chainstate
from ccnode.chain.ports import FilePosition, Worker
from ccnode.chain.preparation import PreparedBlock
from ccnode.chain.verdict import BlockVerdict
from ccnode.clock import Clock
from ccnode.engine.pruning import Pruner
from ccnode.errors import CcnodeError, StorageError

T = TypeVar("T")

log = logging.getLogger("ccnode.chain")

PENDING_BYTES: Final = 8_000_000
"""Serialized bytes of blocks that are stored, can be connected, and are not yet, above which submitters wait."""

PREPARING: Final = 4
"""Blocks that are held in memory, taken apart, until it is their turn to be stored; of those that were not asked of
their senders there is one more. The worst one has 80 MB."""

FLUSH_SECONDS: Final = 600.0
"""Between flushes when nothing forces one: what a crash costs is to connect the blocks since then again."""

QUIET_SECONDS: Final = 0.1
"""Without anything to do, after which small blocks that gathered in memory are written to their files."""


@dataclass(frozen=True, slots=True)
class _Pending:
    """A block that was stored, and its turn to be connected has not come; or that of the last one it made way for."""

    size: int
    source: int | None


class BlockEngine:
    """Runs a chain state. Call `start`, and `wait_close` when done."""

    def __init__(
        self,
        state: Chainstate,
        clock: Clock,
        on_fault: Callable[[BaseException], None],
        spare_worker: Worker | None = None,
    ) -> None:
        """
        :param on_fault: is told once, and must not wait.
        :param spare_worker: takes apart what was not asked of its sender; None: the chain state's.
        """
        self.state = state
        self._spare_worker = spare_worker
        self._clock = clock
        self._on_fault = on_fault
        self._stores: deque[Callable[[], object]] = deque()
        self._jobs: deque[Callable[[], object]] = deque()
        self._wake = Event()
        self._changed = Event()
        self.pruner: Pruner | None = None
        self.importing = False
        """Blocks are read from files; what peers send is not wanted meanwhile."""
        self.reindexing = False
        """They are our own files, so none can be written."""
        self._preparing = BoundedSemaphore(PREPARING)
        self._preparing_unasked = BoundedSemaphore(1)
        self._pending: dict[bytes, _Pending] = {}
        """By the hash of the best block that can be connected because of it."""
        self._pending_bytes = 0
        self._sources: Counter[int] = Counter()
        self._verdicts: dict[bytes, BlockVerdict | None] = {}
        self._watched: Counter[bytes] = Counter()
        self._stopping = False
        self._fault: CcnodeError | None = None
        self._flushed_at = clock.steady()
        self._greenlet: gevent.Greenlet | None = None
        state.on_block_checked(self._on_block_checked)

    def start(self) -> None:
        """Begin: the first thing it does is to go on where the last run ended."""
        self._greenlet = gevent.spawn(self._run)
        self._greenlet.name = "chain"
        self._greenlet.link_exception(lambda greenlet: self._on_fault(greenlet.exception))

    # Submitting

    def wait_submit(
        self,
        raw: bytes,
        *,
        source: int | None = None,
        requested: bool = True,
        owed: bool = True,
        min_pow_checked: bool = True,
        position: FilePosition | None = None,
    ) -> BlockResult:
        """Check and store a block. Raises `DecodeError` if it is none; see `Chainstate.wait_store` for the rest.

        ``source`` is a number of the caller's: `unsettled` and `Chainstate.on_block_checked` speak of it. ``owed``:
        whether the block was asked of this source, and not only of somebody.
        """
        if source is not None:
            self._sources[source] += 1
        try:
            result = self._wait_stored(raw, source, requested, owed, min_pow_checked, position)
        finally:
            self._settle(source)
        self._wait_until(lambda: self._pending_bytes <= PENDING_BYTES)
        return result

    def wait_process(self, raw: bytes) -> tuple[BlockResult, bool]:
        """Submit a block and wait until it is connected, refused, or turns out not to be the best.

        And so for blocks that waited for it. The result has the verdict of connecting it as well; the second value says
        whether it was looked at.
        """
        block_hash = self._hash(raw)
        self._watched[block_hash] += 1
        try:
            result = self._wait_stored(raw)
            if result.new and self.state.bodies.gathered:  # nobody else may have it, and we are to say that we do
                self._wait_in(self._stores, self.state.bodies.wait_write_out)
            if result.unlocked is not None:
                last = self.state.chain.index.hash(result.unlocked)
                self._wait_until(lambda: last not in self._pending)
            if block_hash not in self._verdicts:
                return result, result.verdict is not None
            return replace(result, verdict=self._verdicts[block_hash]), True
        finally:
            self._watched[block_hash] -= 1
            if not self._watched[block_hash]:
                del self._watched[block_hash]
                self._verdicts.pop(block_hash, None)

    def _hash(self, raw: bytes) -> bytes:
        form = self.state.chain.params.header_format
        return form.hash(raw[: form.size]) if len(raw) >= form.size else b""

    def _wait_stored(
        self,
        raw: bytes,
        source: int | None = None,
        requested: bool = True,
        owed: bool = True,
        min_pow_checked: bool = True,
        position: FilePosition | None = None,
    ) -> BlockResult:
        if position is None:
            self._wait_until(lambda: not self.reindexing)
        told = self.state.told_by_header(raw, requested=requested)
        if told is not None:
            return told
        with self._preparing if owed else self._preparing_unasked:
            self._check_alive()
            prepared = self.state.wait_prepare(raw, None if owed else self._spare_worker)
            store = partial(
                self._store,
                prepared,
                requested=requested,
                source=source,
                min_pow_checked=min_pow_checked,
                position=position,
            )
            return self._wait_in(self._stores, store)

    def _store(self, prepared: PreparedBlock, *, source: int | None, **how: Any) -> BlockResult:
        """In the greenlet."""
        result = self.state.wait_store(prepared, source=source, **how)
        if result.unlocked is not None:
            size = len(prepared.block.raw)
            self._pending[self.state.chain.index.hash(result.unlocked)] = _Pending(size, source)
            self._pending_bytes += size
            if source is not None:
                self._sources[source] += 1
        return result

    def import_done(self) -> None:
        """Blocks are wanted from everybody again."""
        self.importing = self.reindexing = False
        self._tell_waiting()

    @property
    def is_writing(self) -> bool:
        """Whether a flush is under way: it may take long, and to break it off loses what was done since the last."""
        return self._fault is None and self.state.coins.is_flushing

    @property
    def pending_bytes(self) -> int:
        """Size of the blocks that are stored and can be connected, but are not yet."""
        return self._pending_bytes

    # What has been submitted and is not judged

    def unsettled(self, source: int) -> bool:
        """Whether a block that ``source`` submitted is still to be judged. One that must wait for others is judged."""
        return source in self._sources

    def wait_settled(self, source: int, timeout: float) -> None:
        """Wait until nothing of ``source`` is unsettled, at most ``timeout`` seconds."""
        with gevent.Timeout(timeout, False):
            self._wait_until(lambda: source not in self._sources)

    def _on_block_checked(self, block_hash: bytes, verdict: BlockVerdict | None, source: int | None) -> None:
        if block_hash in self._watched:
            self._verdicts[block_hash] = verdict
        pending = self._pending.pop(block_hash, None)
        if pending is not None:
            self._pending_bytes -= pending.size
            self._settle(pending.source)

    def _settle(self, source: int | None) -> None:
        if source is not None:
            self._sources[source] -= 1
            if not self._sources[source]:
                del self._sources[source]
        self._tell_waiting()

    def _settle_all(self) -> None:
        """There is nothing to connect: what is pending is on branches that lost."""
        lost, self._pending, self._pending_bytes = self._pending, {}, 0
        for pending in lost.values():
            self._settle(pending.source)

    # Jobs

    def wait_do(self, job: Callable[[], T]) -> T:
        """Run ``job()`` in the greenlet, when the coins are at the published tip. It may call the chain state."""
        return self._wait_in(self._jobs, job)

    def wait_store_arrived(self) -> None:
        """For a long job that changes nothing: store the blocks that have come meanwhile. They are not connected."""
        self._run_all(self._stores)

    def _wait_in(self, queue: deque[Callable[[], object]], job: Callable[[], T]) -> T:
        self._check_alive()
        result: AsyncResult = AsyncResult()

        def run() -> None:
            try:
                result.set(job())
            except StorageError as error:
                result.set_exception(error)
                raise
            except (CcnodeError, ValueError, LookupError) as error:
                result.set_exception(error)

        queue.append(run)
        self._wake.set()
        self._wait_until(result.ready)
        return result.get()  # type: ignore[no-any-return]

    def _wait_until(self, condition: Callable[[], bool]) -> None:
        while not condition():
            self._check_alive()
            self._changed.wait()

    def _tell_waiting(self) -> None:
        changed, self._changed = self._changed, Event()
        changed.set()

    def _check_alive(self) -> None:
        if self._fault is not None:
            raise StorageError(str(self._fault))
        if self._stopping:
            raise StorageError("the node is stopping")

    # The greenlet

    def _run(self) -> None:
        try:
            while not self._stopping:
                self._work()
            self.state.wait_flush()
        except CcnodeError as error:
            self._fault = error
            self._on_fault(error)
        finally:
            self._stopping = True
            self._tell_waiting()

    def _work(self) -> None:
        """One turn: everything that is to be stored, everything that was asked for, and one step of activation."""
        self._run_all(self._stores)
        state = self.state
        if state.tip.entry == state.chain.index.tip:
            self._run_all(self._jobs)
        moved = not state.interrupted and state.wait_step()  # a step that is broken off is no step, and never switches
        if self.pruner is not None:
            self.pruner.wait_prune()
        if moved:
            return
        self._settle_all()
        left = self._flushed_at + FLUSH_SECONDS - self._clock.steady()
        if left <= 0:
            self._flushed_at = self._clock.steady()
            if state.coins.unflushed or state.table.dirty:
                state.wait_flush()
        elif not (self._stores or self._jobs or self._stopping):
            if not state.bodies.gathered:
                self._wake.wait(left)
            elif not self._wake.wait(QUIET_SECONDS):
                state.bodies.wait_write_out()
            self._wake.clear()

    def _run_all(self, queue: deque[Callable[[], object]]) -> None:
        for _ in range(len(queue)):
            queue.popleft()()
            self._tell_waiting()

    def interrupt(self) -> None:
        """The node is to stop: jobs that take long end early. Somebody may wait for one before `wait_close` comes."""
        self.state.interrupted = True

    def wait_close(self) -> None:
        """End the greenlet after the step it is at, with a flush; a second call does nothing."""
        self.interrupt()
        self._stopping = True
        self._wake.set()
        if self._greenlet is not None:
            self._greenlet.join()

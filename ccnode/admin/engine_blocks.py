"""The block engine as the commands see it: a `ccnode.admin.block_access.BlockAccess`.

What needs coins and tip to agree is done as a job of the chain's greenlet. Reading blocks disturbs nobody: it happens
on a thread of its own. A scan of all coins is such a job too, because the coins must not be written meanwhile; blocks
that come in the meantime are stored and wait.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.block_access import FilterAnswer, IndexState, Submitted, Visit
from ccnode.chain.block_table import BlockTable
from ccnode.chain.genesis import genesis_block
from ccnode.chain.ports import Worker
from ccnode.chain.verdict import BlockVerdict
from ccnode.engine.block_reader import BlockReader
from ccnode.engine.engine import BlockEngine
from ccnode.engine.filters import BlockFilters
from ccnode.errors import RpcError
from ccnode.storage.chainstate_store import ChainstateStore
from ccnode.wire.parsing import ParsedBlock, parse_block

SLICE: Final = 2000
"""Coins that are shown at once: 20 ms of work where they are hashed."""

FILTER_INDEX: Final = "basic block filter index"


class EngineBlocks:
    """Blocks and coins of a running engine."""

    def __init__(
        self,
        engine: BlockEngine,
        store: ChainstateStore,
        reader: BlockReader,
        *,
        chain_worker: Worker,
        file_worker: Worker,
        cache_bytes: int,
        disk_usage: Callable[[], int],
        coins_disk_usage: Callable[[], int],
        fetch: Callable[[int, int], str | None],
        prune_target: int | None = None,
        wait_prune: Callable[[int], None] = lambda _height: None,
        filters: BlockFilters | None = None,
    ) -> None:
        """``chain_worker`` is the one that owns ``store``. ``fetch(entry, peer)`` asks a peer for a block."""
        self.prune_target = prune_target
        self.coins_cache_bytes = cache_bytes
        self._engine = engine
        self._state = engine.state
        self._chain = engine.state.chain
        self._store = store
        self._reader = reader
        self._chain_worker = chain_worker
        self._file_worker = file_worker
        self._disk_usage = disk_usage
        self._coins_disk_usage = coins_disk_usage
        self._fetch = fetch
        self._prune = wait_prune
        self._filters = filters

    @property
    def table(self) -> BlockTable:
        """See `BlockAccess`."""
        return self._state.table

    @property
    def disk_usage(self) -> int:
        """See `BlockAccess`."""
        return self._disk_usage()

    @property
    def coins_disk_usage(self) -> int:
        """See `BlockAccess`."""
        return self._coins_disk_usage()

    @property
    def interrupted(self) -> bool:
        """See `BlockAccess`."""
        return self._state.interrupted

    # Reading

    def have_data(self, n: int) -> bool:
        """See `BlockAccess`."""
        return self.table.have_data(n) or (n == 0 and genesis_block(self._chain.params) is not None)

    def wait_block(self, n: int) -> ParsedBlock:
        """See `BlockAccess`."""
        raw = self._reader.wait_read(n)
        if raw is None and n == 0:
            raw = genesis_block(self._chain.params)
        if raw is None:
            raise LookupError(f"block {n} is not stored")
        return self.wait_parse(raw)

    def wait_parse(self, raw: bytes) -> ParsedBlock:
        """See `BlockAccess`."""
        form = self._chain.params.header_format
        return self._file_worker.wait_run(parse_block, raw, form.size, form.hash(raw[: form.size]))

    def wait_undo(self, n: int) -> Sequence[Sequence[bytes]]:
        """See `BlockAccess`."""
        spent = self._reader.wait_read_undo(n)
        if spent is None:
            raise LookupError(f"the undo data of block {n} is not stored")
        return spent

    def wait_coins(self, outpoints: Sequence[bytes]) -> tuple[bytes, Mapping[bytes, bytes]]:
        """See `BlockAccess`."""
        coins = self._state.coins
        return self._engine.wait_do(lambda: (coins.best_block, coins.wait_fetch(outpoints)))

    def wait_scan(self, visit: Visit) -> bytes:
        """See `BlockAccess`."""
        return self._engine.wait_do(lambda: self._wait_scan(visit))

    def _wait_scan(self, visit: Visit) -> bytes:
        """In the chain's greenlet."""
        self._state.wait_flush()
        start: bytes | None = b""
        while start is not None:
            if self.interrupted:
                raise RpcError(rpc_errors.MISC_ERROR, "the node is stopping")
            start = self._chain_worker.wait_run(_show, self._store, start, visit)
            self._engine.wait_store_arrived()
        return self._state.coins.best_block

    # Taking in

    def wait_process(self, raw: bytes) -> Submitted:
        """See `BlockAccess`."""
        result, checked = self._engine.wait_process(raw)
        return Submitted(result.new, checked, result.verdict)

    def wait_test(self, raw: bytes) -> BlockVerdict | None:
        """See `BlockAccess`."""
        return self._engine.wait_do(lambda: self._state.wait_test(raw))

    # By hand

    def wait_invalidate(self, n: int) -> None:
        """See `BlockAccess`."""
        self._engine.wait_do(lambda: self._state.wait_invalidate(n))

    def wait_reconsider(self, n: int) -> None:
        """See `BlockAccess`."""
        self._engine.wait_do(lambda: self._state.wait_reconsider(n))

    def wait_prefer(self, n: int) -> None:
        """See `BlockAccess`."""
        self._engine.wait_do(lambda: self._state.wait_prefer(n))

    def wait_verify(self, level: int, depth: int) -> bool:
        """See `BlockAccess`."""
        return self._engine.wait_do(lambda: self._state.wait_verify(level, depth))

    def wait_prune(self, height: int) -> None:
        """See `BlockAccess`."""
        self._prune(height)

    def fetch(self, n: int, peer_id: int) -> str | None:
        """See `BlockAccess`."""
        return self._fetch(n, peer_id)

    # Indexes

    def wait_filter(self, n: int) -> FilterAnswer | None:
        """See `BlockAccess`."""
        found = None if self._filters is None else self._filters.wait_filter(n)
        return None if found is None else FilterAnswer(*found)

    def indexes(self) -> Mapping[str, IndexState]:
        """See `BlockAccess`."""
        filters = self._filters
        return {} if filters is None else {FILTER_INDEX: IndexState(filters.synced, max(0, filters.height))}


def _show(store: ChainstateStore, start: bytes, visit: Visit) -> bytes | None:
    """On the worker: show a slice of the coins; where the next begins, None if there is none or nobody wants it."""
    coins = list(islice(store.coins(start), SLICE))
    if not visit(coins) or len(coins) < SLICE:
        return None
    return coins[-1][0] + b"\0"

"""`TestNode` with blocks: a real engine on stores in memory and in a temporary directory; scripts are all fine."""

from pathlib import Path

import gevent
from admin_support import TestNode

from ccnode.admin.engine_blocks import EngineBlocks
from ccnode.chain.networks import REGTEST
from ccnode.chain.params import ChainParams
from ccnode.engine.block_reader import BlockReader
from ccnode.engine.engine import BlockEngine
from ccnode.engine.filters import BlockFilters
from ccnode.engine.recovery import wait_load_chainstate
from ccnode.storage.block_files import BlockFiles
from ccnode.storage.chainstate_store import ChainstateStore
from ccnode.storage.filter_index import FilterIndex
from ccnode.storage.key_value import MemoryStore
from tests.support.chainstate import ImmediateWorker, TrustingScripts

NOW = 1_700_000_000
RAW_DESCRIPTOR = "raw(51)"
CACHE = 10_000_000


class BlockNode(TestNode):
    """A node with blocks, and a miner. Call `close` when done."""

    __test__ = False

    def __init__(self, directory: Path, params: ChainParams = REGTEST, *, prune_target: int | None = None) -> None:
        super().__init__(directory, params)
        self.clock.set_mock_time(NOW)
        worker = ImmediateWorker()
        self.coins_store = ChainstateStore(MemoryStore(), params.magic)
        self.files = BlockFiles(directory, params.magic, infos={})
        self.scripts = TrustingScripts()
        self.state = wait_load_chainstate(
            self.chain, self.coins_store, self.files, worker, self.scripts, cache_bytes=CACHE
        )
        self.faults: list[BaseException] = []
        self.engine = BlockEngine(self.state, self.clock, self.faults.append)
        self.engine.start()
        self.fetched: list[tuple[int, int]] = []
        self.pruned: list[int] = []
        self.filters: BlockFilters | None = None
        self._directory, self._worker, self._prune_target = directory, worker, prune_target
        self._reader = BlockReader(self.chain, self.state.table, self.files, worker)
        self._set_blocks()

    def _set_blocks(self) -> None:
        self.context.blocks = EngineBlocks(
            self.engine,
            self.coins_store,
            self._reader,
            chain_worker=self._worker,
            file_worker=self._worker,
            cache_bytes=CACHE,
            disk_usage=lambda: 1000,
            coins_disk_usage=lambda: 2000,
            fetch=self._fetch,
            prune_target=self._prune_target,
            wait_prune=self.pruned.append,
            filters=self.filters,
        )

    def keep_filters(self) -> None:
        """Keep an index of filters from now on."""
        index = FilterIndex(self._directory, MemoryStore(), self.chain.params.magic)
        self.filters = BlockFilters(self.chain, index, self._reader, self._worker, self.faults.append)
        self.filters.start()
        self._set_blocks()

    def wait_for_filters(self) -> None:
        assert self.filters is not None
        with gevent.Timeout(5):
            while not self.filters.synced:
                gevent.sleep(0.001)

    def _fetch(self, n: int, peer_id: int) -> str | None:
        self.fetched.append((n, peer_id))
        return None if peer_id in self.net.peers else "Peer does not exist"

    def generate(self, count: int, descriptor: str = RAW_DESCRIPTOR) -> list[str]:
        hashes = self.call("generatetodescriptor", count, descriptor)
        assert isinstance(hashes, list)
        return hashes

    def close(self) -> None:
        if self.filters is not None:
            self.filters.close()
        self.engine.wait_close()
        self.files.close()
        assert not self.faults

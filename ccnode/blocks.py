"""The block side of a node, wired in one place: stores, chain state, what takes blocks in and what serves them.

A node that knows headers only never imports this, nor the libraries that come with it.
"""

from collections.abc import Callable
from pathlib import Path

from ccnode.admin.engine_blocks import EngineBlocks
from ccnode.admin.figures import BlockFigures
from ccnode.chain.headers import HeaderChain
from ccnode.chain.verdict import BlockVerdict
from ccnode.clock import Clock
from ccnode.engine.block_reader import BlockReader
from ccnode.engine.engine import BlockEngine
from ccnode.engine.filters import BlockFilters, open_block_filters
from ccnode.engine.open import MEBIBYTE, BlockOptions, open_blocks
from ccnode.errors import CcnodeError
from ccnode.options import Config
from ccnode.peers.misbehaviour import Misbehaviour
from ccnode.preflight import check_space, folder_size
from ccnode.storage.block_files import FAST_PRUNE_FILE_SIZE, MAX_FILE_SIZE
from ccnode.sync.download import Submitted
from ccnode.sync.serve_blocks import ServingRules
from ccnode.sync.serving import BlockServing
from ccnode.wire.protocol import ServiceFlags


class BlockSide:
    """Blocks from the disk to the peers."""

    def __init__(
        self,
        config: Config,
        chain: HeaderChain,
        folder: Path,
        clock: Clock,
        *,
        sync_headers: Callable[[], None],
        on_fault: Callable[[BaseException], None],
    ) -> None:
        """Open what is in ``folder``. StartupError or StorageError if it cannot be used, or if there is no room."""
        check_space(config, chain.params, folder)
        self._config = config
        self._chain = chain
        self._folder = folder
        options = BlockOptions(
            dbcache=config.dbcache,
            par=config.par,
            prune=config.prune,
            max_file_size=FAST_PRUNE_FILE_SIZE if config.fastprune else MAX_FILE_SIZE,
            reindex=config.reindex,
            reindex_chainstate=config.reindex_chainstate,
            loadblock=config.loadblock,
        )
        self._parts = open_blocks(options, chain, folder, clock, sync_headers=sync_headers, on_fault=on_fault)
        self.engine = self._parts.engine
        self.intake = Intake(self.engine)
        chain.is_importing = lambda: self.engine.importing
        self._reader = BlockReader(chain, self.engine.state.table, self._parts.files, self._parts.reader)
        self.figures = BlockFigures(
            pending_bytes=lambda: self.engine.pending_bytes,
            coins_cache_bytes=lambda: self.engine.state.coins.usage,
            blocks_disk_bytes=self._parts.files.usage,
            coins_disk_bytes=self._coins_size,
        )
        self.figures.listen(self.engine.state)
        self._filters: BlockFilters | None = None
        if config.blockfilterindex:
            self._filters = self._open_filters(on_fault)

    def _open_filters(self, on_fault: Callable[[BaseException], None]) -> BlockFilters:
        try:
            filters = open_block_filters(self._folder, self._chain, self._reader, on_fault)
        except CcnodeError:
            self._parts.close()
            raise
        self.engine.state.on_connected(filters.connected)
        self._parts.pruner.locks.append(lambda: filters.height)
        return filters

    @property
    def services(self) -> ServiceFlags:
        """What the node can do for others."""
        config = self._config
        services = ServiceFlags.WITNESS | ServiceFlags.NETWORK_LIMITED
        if not config.prune:
            services |= ServiceFlags.NETWORK
        if config.peerbloomfilters:
            services |= ServiceFlags.BLOOM
        if config.peerblockfilters:
            services |= ServiceFlags.COMPACT_FILTERS
        return services

    def serving(self, misbehaviour: Misbehaviour, target_reached: Callable[[], bool]) -> BlockServing:
        """What answers peers; ``target_reached`` says whether old blocks are too much for the upload target."""
        return BlockServing(
            self._chain,
            self._reader,
            self._parts.reader,
            misbehaviour,
            rules=ServingRules(pruned=bool(self._config.prune), target_reached=target_reached),
            filters=self._filters if self._config.peerblockfilters else None,
        )

    def for_commands(self, fetch: Callable[[int, int], str | None]) -> EngineBlocks:
        """What the admin commands ask; ``fetch(entry, peer)`` asks a peer for a block."""
        parts, pruner = self._parts, self._parts.pruner
        return EngineBlocks(
            self.engine,
            parts.store,
            self._reader,
            chain_worker=parts.worker,
            file_worker=parts.reader,
            cache_bytes=self._config.dbcache * MEBIBYTE,
            disk_usage=parts.files.usage,
            coins_disk_usage=self._coins_size,
            fetch=fetch,
            prune_target=parts.prune_target,
            wait_prune=lambda height: self.engine.wait_do(lambda: pruner.wait_prune_to(height)),
            filters=self._filters,
        )

    def _coins_size(self) -> int:
        return folder_size(self._folder / "chainstate")

    @property
    def is_writing(self) -> bool:
        """Whether the engine is writing the coins."""
        return self.engine.is_writing

    def start(self) -> None:
        """Go on where the last run ended."""
        self._parts.start()
        if self._filters is not None:
            self._filters.start()

    def close(self) -> None:
        """Write everything down and let go of it."""
        if self._filters is not None:
            self._filters.close()
        self._parts.close()


class Intake:
    """The engine as the download sees it: a `ccnode.sync.download.Blocks`."""

    def __init__(self, engine: BlockEngine) -> None:
        self._engine = engine
        self._table = engine.state.table

    @property
    def importing(self) -> bool:
        return self._engine.importing

    def have_data(self, entry: int) -> bool:
        return self._table.have_data(entry)

    def have_chain(self, entry: int) -> bool:
        return self._table.chain_tx(entry) > 0

    def chain_tx(self, entry: int) -> int:
        return self._table.chain_tx(entry)

    def wait_submit(
        self, raw: bytes, *, source: int | None = None, requested: bool = True, owed: bool = True
    ) -> Submitted:
        return self._engine.wait_submit(raw, source=source, requested=requested, owed=owed)

    def unsettled(self, source: int) -> bool:
        return self._engine.unsettled(source)

    def wait_settled(self, source: int, timeout: float) -> None:
        self._engine.wait_settled(source, timeout)

    def on_block_checked(self, callback: Callable[[bytes, BlockVerdict | None, int | None], None]) -> None:
        self._engine.state.on_block_checked(callback)

"""Everything of a node's blocks, opened and put together: `open_blocks`.

The data directory has ``chainstate/`` (the coins and what has to agree with them) and ``blocks/`` (block and undo
files). Opening ends where the last run's flush ended; `OpenBlocks.start` goes on from there.

``reindex`` forgets everything but the block files and reads those; ``reindex_chainstate`` forgets only the coins and
connects all blocks again. Both are noted in the store first, so that one that was interrupted begins again at the next
start, whether or not it is asked for.
"""

import logging
import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import gevent

from ccnode.chain.chainstate import Chainstate
from ccnode.chain.genesis import genesis_block
from ccnode.chain.headers import HeaderChain
from ccnode.chain.preparation import reopen_block
from ccnode.clock import Clock
from ccnode.engine.engine import BlockEngine
from ccnode.engine.importing import Importer
from ccnode.engine.pruning import Pruner
from ccnode.engine.recovery import wait_load_chainstate
from ccnode.engine.workers import ThreadWorker
from ccnode.errors import CcnodeError
from ccnode.kernel.scripts import ScriptChecker
from ccnode.storage.block_files import MAX_FILE_SIZE, BlockFiles
from ccnode.storage.chainstate_store import ChainstateStore
from ccnode.storage.lmdb_store import LmdbStore, discard

log = logging.getLogger("ccnode.chain")

MEBIBYTE: Final = 1 << 20
MAX_SCRIPT_THREADS: Final = 16
"""More threads than that do not help (Core: ``MAX_SCRIPTCHECK_THREADS``, besides the main one)."""

PRUNE_BY_HAND: Final = 1
"""The value of ``prune`` that deletes nothing until told."""

_REINDEX: Final = "reindex"
_REINDEX_CHAINSTATE: Final = "reindex-chainstate"


@dataclass(frozen=True, slots=True)
class BlockOptions:
    """What a person chose; the names are the options'."""

    dbcache: int = 450  # MiB
    par: int = 0
    prune: int = 0  # MiB
    max_file_size: int = MAX_FILE_SIZE  # bytes of a block file
    reindex: bool = False
    reindex_chainstate: bool = False
    loadblock: Sequence[Path] = ()


def script_threads(par: int) -> int:
    """How many threads verify scripts: ``par``, or with 0 and below that many fewer than there are cores."""
    threads = par if par > 0 else (os.cpu_count() or 1) + par
    return min(max(threads, 1), MAX_SCRIPT_THREADS)


class OpenBlocks:
    """The parts, and their life. What is not the engine's may be asked beside it."""

    def __init__(self, options: BlockOptions, chain: HeaderChain, clock: Clock) -> None:
        self._options = options
        self._chain = chain
        self._clock = clock
        self._closing = ExitStack()
        self._importing: gevent.Greenlet | None = None
        self.engine: BlockEngine
        self.pruner: Pruner
        self.store: ChainstateStore
        self.files: BlockFiles
        self.scripts: ScriptChecker
        self.worker: ThreadWorker
        """The one that store and files belong to."""
        self.reader: ThreadWorker
        """Another for those who only read blocks (`ccnode.engine.block_reader`), or bring what nobody asked for."""

    def open(
        self, folder: Path, *, sync_headers: Callable[[], None], on_fault: Callable[[BaseException], None]
    ) -> None:
        """See `open_blocks`."""
        with ExitStack() as opened:
            self.scripts = ScriptChecker(script_threads(self._options.par))
            opened.callback(self.scripts.close)
            self.reader = ThreadWorker()
            opened.callback(self.reader.close)
            self.worker = ThreadWorker()
            opened.callback(self.worker.close)
            self.store, reindexing = self.worker.wait_run(_open_store, folder, self._chain.params.magic, self._options)
            opened.callback(self.worker.wait_run, self.store.close)
            self.files = self.worker.wait_run(
                _open_files, folder, self._chain, self.store, self._options.max_file_size, reindexing
            )
            opened.callback(self.worker.wait_run, self.files.close)
            state = wait_load_chainstate(
                self._chain,
                self.store,
                self.files,
                self.worker,
                self.scripts,
                cache_bytes=self._options.dbcache * MEBIBYTE,
                sync_headers=sync_headers,
                look_behind=not reindexing,
            )
            self.engine = BlockEngine(state, self._clock, on_fault, self.reader)
            self.engine.reindexing = reindexing
            self.engine.importing = reindexing or bool(self._options.loadblock)
            if not reindexing:
                self._wait_store_genesis(state)
            self.pruner = self.engine.pruner = Pruner(state, self.files, self.worker, self.prune_target)
            opened.callback(self.engine.wait_close)
            self._on_fault = on_fault
            self._closing = opened.pop_all()

    @property
    def prune_target(self) -> int | None:
        """Bytes of block and undo files to keep; 0: pruned by hand only; None: all are kept."""
        prune = self._options.prune
        if not prune:
            return None
        return 0 if prune == PRUNE_BY_HAND else prune * MEBIBYTE

    def start(self) -> None:
        """Go on where the last run ended, and read the files that were asked for."""
        self.engine.start()
        if self.engine.importing:
            self._importing = gevent.spawn(self._import)
            self._importing.name = "import"
            self._importing.link_exception(lambda greenlet: self._on_fault(greenlet.exception))

    def close(self) -> None:
        """Flush and close everything, the engine first; a second call does nothing."""
        if self._importing is not None:
            self._importing.kill()
            self._importing = None
        self._closing.close()

    def _import(self) -> None:
        importer = Importer(self.engine, self._chain, self.reader)
        try:
            if self.engine.reindexing:
                importer.wait_reindex(self.files)
                self.engine.reindexing = False
                self.engine.wait_do(lambda: self._wait_store_genesis(self.engine.state))
                self.engine.wait_do(self.engine.state.wait_flush)
                self.worker.wait_run(self.store.set_flag, _REINDEX, None)
            for path in self._options.loadblock:
                importer.wait_load(self.files, path)
            self.engine.import_done()
        except CcnodeError as error:
            self._on_fault(error)

    def _wait_store_genesis(self, state: Chainstate) -> None:
        """The first block is stored like all others, but nobody sends it."""
        raw = genesis_block(self._chain.params)
        if raw is not None and not state.table.have_data(0):
            state.wait_store(reopen_block(raw, self._chain.params))


def open_blocks(
    options: BlockOptions,
    chain: HeaderChain,
    folder: Path,
    clock: Clock,
    *,
    sync_headers: Callable[[], None],
    on_fault: Callable[[BaseException], None],
) -> OpenBlocks:
    """Open everything below the data directory ``folder``; ``chain`` must be loaded, and nobody subscribed to it yet.

    ``sync_headers`` forces the header file onto the disk, and is called on a thread; ``on_fault`` is told when the
    chain state fails. Raises StartupError or StorageError, with nothing left open.
    """
    blocks = OpenBlocks(options, chain, clock)
    blocks.open(folder, sync_headers=sync_headers, on_fault=on_fault)
    return blocks


def _open_store(folder: Path, magic: bytes, options: BlockOptions) -> tuple[ChainstateStore, bool]:
    """The store, after forgetting what is to be built anew; and whether the block files are to be read for that."""
    path = folder / "chainstate"
    if not options.reindex:
        store = ChainstateStore(LmdbStore(path), magic)
        flags = store.flags()
        if _REINDEX not in flags:
            if options.reindex_chainstate or _REINDEX_CHAINSTATE in flags:
                _forget_coins(store)
            return store, False
        store.close()
    log.info("the block files are read again, and every block in them is connected again")
    discard(path)  # it may be the damaged part
    store = ChainstateStore(LmdbStore(path), magic)
    store.set_flag(_REINDEX, b"1")
    return store, True


def _forget_coins(store: ChainstateStore) -> None:
    log.info("every block on disk is connected again")
    store.set_flag(_REINDEX_CHAINSTATE, b"1")
    store.wipe_coins()
    store.set_flag(_REINDEX_CHAINSTATE, None)


def _open_files(
    folder: Path, chain: HeaderChain, store: ChainstateStore, max_file_size: int, reindexing: bool
) -> BlockFiles:
    infos = {} if reindexing else store.file_infos()
    files = BlockFiles(
        folder / "blocks",
        chain.params.magic,
        infos=infos,
        max_file_size=max_file_size,
        header_size=chain.format.size,
    )
    if reindexing:
        files.delete_undo()
    return files

"""The chain state as the last flush left it, and what came after.

Coins, best block, block table and file infos were written in one transaction, so they agree whenever the process died.
Block files may hold more: blocks that were stored after that flush. They are found again and taken in, and then the
chain state goes on from where the coins are, as if they had just come. Nothing is ever rolled back: should the coins be
on a branch that lost meanwhile, the first activation leaves it like any other.
"""

import logging
from collections.abc import Callable

from ccnode.chain.block_rules import is_mutated
from ccnode.chain.block_table import BlockTable
from ccnode.chain.chainstate import Chainstate
from ccnode.chain.coins import CoinsCache
from ccnode.chain.headers import HeaderChain
from ccnode.chain.index import HeaderIndex
from ccnode.chain.params import ChainParams
from ccnode.chain.ports import ScriptVerifier, Worker
from ccnode.errors import DecodeError, StorageError
from ccnode.storage.block_files import BlockFiles
from ccnode.storage.chainstate_store import ChainstateStore
from ccnode.wire.parsing import ParsedBlock, parse_block

log = logging.getLogger("ccnode.chain")


def wait_load_chainstate(
    chain: HeaderChain,
    store: ChainstateStore,
    files: BlockFiles,
    worker: Worker,
    scripts: ScriptVerifier,
    *,
    cache_bytes: int,
    sync_headers: Callable[[], None] = lambda: None,
    look_behind: bool = True,
) -> Chainstate:
    """Read the table, look for blocks behind the last flush, and be where the coins are. Nothing is connected yet.

    ``chain`` must be loaded. ``look_behind``: whether to look for those blocks; not if all files are read anyway.
    Raises StorageError if what is on disk does not fit together.
    """
    store.files = files
    table = worker.wait_run(_load_table, chain.index, store)
    if look_behind:
        found, strange = worker.wait_run(_adopt_blocks, chain.params, chain.index, table, files)
        if found:
            log.info("found %d blocks that were stored after the last flush", found)
        if strange:
            log.warning("the block files have %d blocks without a header; --reindex would take them in", strange)
    best = worker.wait_run(store.best_block) or chain.index.hash(0)
    coins = CoinsCache(store, worker, cache_bytes, best)
    return Chainstate(chain, table, files, coins, worker, scripts, sync_headers)


def _load_table(index: HeaderIndex, store: ChainstateStore) -> BlockTable:
    table = BlockTable()
    for block_hash, record in store.entries():
        n = index.find(block_hash)
        if n is None:
            raise StorageError(f"block {block_hash[::-1].hex()} has no header any more; start once with --reindex")
        table.load(n, record)
    return table


def _adopt_blocks(params: ChainParams, index: HeaderIndex, table: BlockTable, files: BlockFiles) -> tuple[int, int]:
    """Take in blocks that were stored after the last flush. They were checked before they were stored.

    Returns how many were taken in, and how many are damaged or have no header.
    """
    count = strange = 0
    for position, raw in files.scan():
        block = _parse(params, raw)
        n = None if block is None else index.find(block.hash)
        if n is None or block is None or is_mutated(block, index.height(n) >= params.soft_forks.segwit):
            strange += 1
            continue
        files.adopt(position, len(raw), index.height(n), index.time(n))
        if not table.have_data(n):
            table.add_data(n, position, len(block))
            count += 1
    return count, strange


def _parse(params: ChainParams, raw: bytes) -> ParsedBlock | None:
    form = params.header_format
    try:
        return parse_block(raw, form.size, form.hash(raw[: form.size]))
    except (DecodeError, ValueError):
        return None

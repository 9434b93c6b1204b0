"""Commands about blocks and what is in them (Core: ``rpc/blockchain.cpp``)."""

from collections.abc import Sequence
from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.block_access import BlockAccess, require_blocks
from ccnode.admin.commands.common import BLOCKHASH, display_hash, find_block
from ccnode.admin.commands.headers import HEADER_FIELDS, header_members
from ccnode.admin.context import AdminContext
from ccnode.admin.jsonrpc import Rows
from ccnode.admin.registry import Arg, ArgType, command
from ccnode.chain.params import MIN_BLOCKS_TO_KEEP
from ccnode.chain.transaction_text import transaction_members
from ccnode.errors import RpcError, StorageError
from ccnode.network.hub import breathing
from ccnode.wire.parsing import ParsedBlock

MONTH: Final = 30 * 24 * 60 * 60
"""Seconds that getchaintxstats goes back where nobody says how far."""

DEFAULT_CHECK_LEVEL: Final = 3
DEFAULT_CHECK_BLOCKS: Final = 6
FIRST_TIME: Final = 1_000_000_000
"""A number above this is a time and not a height (``pruneblockchain``)."""
TIMESTAMP_WINDOW: Final = 2 * 60 * 60
"""Seconds that the times of blocks may be off."""

SHOW_HEX, SHOW_TXIDS, SHOW_DETAILS, SHOW_PREVOUTS = range(4)

TRANSACTION: Final = """{
    "txid": "hex",
    "hash": "hex",                   wtxid
    "version": n,
    "size": n,                       bytes
    "vsize": n,
    "weight": n,
    "locktime": n,
    "vin": [{
      "coinbase": "hex",             of a coinbase, in place of the next three
      "txid": "hex",
      "vout": n,
      "scriptSig": {"asm": "str", "hex": "hex"},
      "txinwitness": ["hex", ...],   if it has a witness
      "prevout": {                   if asked for and known
        "generated": true|false,     by a coinbase
        "height": n,
        "value": n,
        "scriptPubKey": {...}
      },
      "sequence": n
    }, ...],
    "vout": [{
      "value": n,                    coins
      "n": n,
      "scriptPubKey": {
        "asm": "str",
        "desc": "str",               a descriptor that means this script
        "hex": "hex",
        "address": "str",            if there is one
        "type": "str"
      }
    }, ...],
    "fee": n,                        coins, if what is spent is known
    "hex": "hex"
  }"""


def read_block(context: AdminContext, entry: int) -> ParsedBlock:
    """A block that a person asks for. Raises `RpcError` if it is not there."""
    blocks = require_blocks(context.blocks)
    _check_data(blocks, entry)
    try:
        return blocks.wait_block(entry)
    except LookupError:  # pruned just now
        raise RpcError(rpc_errors.MISC_ERROR, "Block not found on disk") from None


def _check_data(blocks: BlockAccess, entry: int) -> None:
    if not blocks.have_data(entry):
        if _was_pruned(blocks, entry):
            raise RpcError(rpc_errors.MISC_ERROR, "Block not available (pruned data)")
        raise RpcError(rpc_errors.MISC_ERROR, "Block not available (not fully downloaded)")


def _was_pruned(blocks: BlockAccess, entry: int) -> bool:
    return blocks.prune_target is not None and blocks.table.tx_count(entry) > 0 and not blocks.have_data(entry)


def read_undo(context: AdminContext, entry: int) -> Sequence[Sequence[bytes]] | None:
    """What a block spent, per transaction after the coinbase; None if that is not known."""
    blocks = require_blocks(context.blocks)
    if not blocks.table.have_undo(entry):
        return None
    try:
        return blocks.wait_undo(entry)
    except (LookupError, StorageError):
        text = "Undo data expected but can't be read. This could be due to disk corruption or a conflict with a pruning"
        raise RpcError(rpc_errors.INTERNAL_ERROR, f"{text} event.") from None


@command(
    "getblock",
    "blockchain",
    args=[
        BLOCKHASH,
        Arg(
            "verbosity",
            ArgType.VERBOSITY,
            "0: hex; 1: an object; 2: with the transactions; 3: and what they spend",
            default=SHOW_TXIDS,
            aliases=("verbose",),
        ),
    ],
    help="Returns a block.",
    result=f"""{HEADER_FIELDS[:-2]},
  "strippedsize": n,                 bytes without witnesses
  "size": n,                         bytes
  "weight": n,
  "coinbase_tx": {{
    "version": n,
    "locktime": n,
    "sequence": n,
    "coinbase": "hex",
    "witness": "hex"                 if it has one
  }},
  "tx": ["hex", ...]                 txids; with verbosity 2 and 3:
  "tx": [{TRANSACTION}, ...]
}}
or "hex"    (string) the serialized block""",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09 2",
)
def get_block(context: AdminContext, blockhash: bytes, verbosity: int) -> dict[str, object] | str:
    require_blocks(context.blocks)
    entry = find_block(context, blockhash)
    block = read_block(context, entry)
    if verbosity <= SHOW_HEX:
        return block.raw.hex()
    return {
        **header_members(context, entry, block.header),
        "strippedsize": block.stripped_size,
        "size": len(block.raw),
        "weight": block.weight,
        "coinbase_tx": _coinbase_members(block),
        "tx": _transactions(context, entry, block, verbosity),
    }


def _coinbase_members(block: ParsedBlock) -> dict[str, object]:
    members: dict[str, object] = {
        "version": block.versions[0],
        "locktime": block.locktimes[0],
        "sequence": block.sequences[0][0],
        "coinbase": block.script_sigs[0][0].hex(),
    }
    witness = block.witnesses[0]
    if witness is not None and witness[0]:
        members["witness"] = witness[0][0].hex()
    return members


def _transactions(context: AdminContext, entry: int, block: ParsedBlock, verbosity: int) -> Sequence[object]:
    if verbosity == SHOW_TXIDS:
        return [display_hash(txid) for txid in block.txids]
    spent = read_undo(context, entry)
    prefixes = context.chain.params.prefixes

    def row(i: int) -> object:
        coins = None if spent is None or i == 0 else spent[i - 1]
        prevouts = verbosity >= SHOW_PREVOUTS
        return transaction_members(block, i, prefixes, spent=coins, prevouts=prevouts, pace=breathing)

    return Rows(len(block), row)


@command(
    "getblockfrompeer",
    "blockchain",
    changes=True,
    args=[
        BLOCKHASH,
        Arg("peer_id", ArgType.INTEGER, "The peer, by its number in getpeerinfo", completion="peer_id"),
    ],
    help="Asks a peer for a block whose header is known. The block is stored when it comes.\n"
    "A peer that does not answer is disconnected.",
    result="{}",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09 0",
)
def get_block_from_peer(context: AdminContext, blockhash: bytes, peer_id: int) -> dict[str, object]:
    blocks = require_blocks(context.blocks)
    index = context.chain.index
    entry = index.find(blockhash)
    if entry is None:
        raise RpcError(rpc_errors.MISC_ERROR, "Block header missing")
    if blocks.prune_target is not None and index.height(entry) > index.height(index.tip):
        text = "In prune mode, only blocks that the node has already synced previously can be fetched from a peer"
        raise RpcError(rpc_errors.MISC_ERROR, text)
    if blocks.have_data(entry):
        raise RpcError(rpc_errors.MISC_ERROR, "Block already downloaded")
    refused = blocks.fetch(entry, peer_id)
    if refused is not None:
        raise RpcError(rpc_errors.MISC_ERROR, refused)
    return {}


@command(
    "getchaintxstats",
    "blockchain",
    args=[
        Arg("nblocks", ArgType.INTEGER, "Over so many blocks (else: those of a month)", default=None),
        Arg(
            "blockhash",
            ArgType.HASH,
            "The last of them (else: the tip)",
            default=None,
            completion="blockhash",
        ),
    ],
    help="Returns how many transactions the chain has, and how many came per second in its last blocks.",
    result="""{
  "time": n,                         of the last block, Unix seconds
  "txcount": n,                      in the whole chain, if known
  "window_final_block_hash": "hex",
  "window_final_block_height": n,
  "window_block_count": n,
  "window_interval": n,              seconds, if there are blocks in the window
  "window_tx_count": n,              if known
  "txrate": n                        per second
}""",
    example="2016",
)
def get_chain_tx_stats(context: AdminContext, nblocks: int | None, blockhash: bytes | None) -> dict[str, object]:
    blocks, index = require_blocks(context.blocks), context.chain.index
    last = index.tip if blockhash is None else find_block(context, blockhash)
    if not index.in_active(last):
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Block is not in main chain")
    height = index.height(last)
    if nblocks is None:
        nblocks = max(0, min(MONTH // context.chain.params.spacing, height - 1))
    elif nblocks < 0 or (nblocks > 0 and nblocks >= height):
        text = "Invalid block count: should be between 0 and the block's height - 1"
        raise RpcError(rpc_errors.INVALID_PARAMETER, text)
    first = index.ancestor(last, height - nblocks)
    total, before = (_transactions_up_to(blocks, entry) for entry in (last, first))
    stats: dict[str, object] = {"time": index.time(last)}
    if total:
        stats["txcount"] = total
    stats["window_final_block_hash"] = display_hash(index.hash(last))
    stats["window_final_block_height"] = height
    stats["window_block_count"] = nblocks
    if nblocks > 0:
        interval = index.median_time_past(last) - index.median_time_past(first)
        stats["window_interval"] = interval
        if total and before:
            stats["window_tx_count"] = total - before
            if interval > 0:
                stats["txrate"] = (total - before) / interval
    return stats


def _transactions_up_to(blocks: BlockAccess, entry: int) -> int:
    """Of the chain that ends in ``entry``; 0 if not all of it has been here. The first block has one."""
    count = blocks.table.chain_tx(entry)
    return count + int(not blocks.table.tx_count(0)) if count or entry == 0 else 0


@command(
    "pruneblockchain",
    "blockchain",
    changes=True,
    args=[Arg("height", ArgType.INTEGER, "The height, or a time in Unix seconds, up to which blocks may go")],
    help="Deletes old block files. A time means blocks at least two hours older. The last 288 blocks are always kept.",
    result="n    (numeric) height of the last block that is gone, -1 if there is none",
    example="1000",
)
def prune_blockchain(context: AdminContext, height: int) -> int:
    blocks = require_blocks(context.blocks)
    index = context.chain.index
    if blocks.prune_target is None:
        raise RpcError(rpc_errors.MISC_ERROR, "Cannot prune blocks because node is not in prune mode.")
    if height < 0:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Negative block height.")
    if height > FIRST_TIME:
        found = _earliest_at_least(context, height - TIMESTAMP_WINDOW)
        if found is None:
            text = "Could not find block with at least the specified timestamp."
            raise RpcError(rpc_errors.INVALID_PARAMETER, text)
        height = found
    tip_height = index.height(index.tip)
    if tip_height < context.chain.params.prune_after_height:
        raise RpcError(rpc_errors.MISC_ERROR, "Blockchain is too short for pruning.")
    if height > tip_height:
        text = "Blockchain is shorter than the attempted prune height."
        raise RpcError(rpc_errors.INVALID_PARAMETER, text)
    blocks.wait_prune(min(height, tip_height - MIN_BLOCKS_TO_KEEP))
    pruned = prune_height(context)
    return -1 if pruned is None else pruned


def _earliest_at_least(context: AdminContext, time: int) -> int | None:
    """The lowest height at which this or an earlier block has at least this time."""
    index = context.chain.index
    for height in breathing(range(index.base_height, index.height(index.tip) + 1)):
        if index.time(index.ancestor(index.tip, height)) >= time:
            return height
    return None


def prune_height(context: AdminContext) -> int | None:
    """Height of the last block of the active chain without data or undo data, the genesis aside; None: all are here."""
    blocks, index = require_blocks(context.blocks), context.chain.index
    table = blocks.table
    low, high = index.base_height, index.height(index.tip)
    for height in breathing(range(high, low, -1)):
        entry = index.ancestor(index.tip, height)
        if not (table.have_data(entry) and table.have_undo(entry)):
            return height
    return None


@command(
    "verifychain",
    "blockchain",
    args=[
        Arg(
            "checklevel",
            ArgType.INTEGER,
            "How thoroughly, 0 to 4",
            default=DEFAULT_CHECK_LEVEL,
        ),
        Arg("nblocks", ArgType.INTEGER, "How many of the last blocks; 0: all", default=DEFAULT_CHECK_BLOCKS),
    ],
    help="Checks the last blocks and the coins once more.\n"
    "Level 0: the blocks can be read; 1: they are valid by themselves; 2: their undo data can be read; 3: they can be\n"
    "disconnected; 4: and connected again.",
    result="true|false    (boolean) whether all is well; if not, the log says what is wrong",
    example="4 100",
)
def verify_chain(context: AdminContext, checklevel: int, nblocks: int) -> bool:
    return require_blocks(context.blocks).wait_verify(max(0, min(checklevel, 4)), nblocks)


@command(
    "getblockfilter",
    "blockchain",
    args=[BLOCKHASH, Arg("filtertype", ArgType.STRING, "The type of filter", default="basic", completion=("basic",))],
    help="Returns the compact filter of a block (BIP157), from the index that blockfilterindex keeps.",
    result="""{
  "filter": "hex",
  "header": "hex"                    chains the filter to those before
}""",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09",
)
def get_block_filter(context: AdminContext, blockhash: bytes, filtertype: str) -> dict[str, object]:
    blocks = require_blocks(context.blocks)
    if filtertype != "basic":
        raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, "Unknown filtertype")
    if "basic block filter index" not in blocks.indexes():
        raise RpcError(rpc_errors.MISC_ERROR, f"Index is not enabled for filtertype {filtertype}")
    entry = find_block(context, blockhash)
    found = blocks.wait_filter(entry)
    if found is None:
        if not blocks.table.scripts_valid(entry):
            raise RpcError(
                rpc_errors.INVALID_ADDRESS_OR_KEY, "Filter not found. Block was not connected to active chain."
            )
        raise RpcError(
            rpc_errors.MISC_ERROR, "Filter not found. Block filters are still in the process of being indexed."
        )
    return {"filter": found.filter.hex(), "header": display_hash(found.header)}

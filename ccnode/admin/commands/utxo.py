"""Commands about the coins (Core: ``rpc/blockchain.cpp``)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.block_access import require_blocks
from ccnode.admin.commands.common import display_hash
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import Arg, ArgType, command
from ccnode.chain.coins import read_coin
from ccnode.chain.descriptors import DescriptorError, parse_descriptor
from ccnode.chain.script_text import infer_descriptor, script_members
from ccnode.chain.transaction_text import amount
from ccnode.chain.utxo_stats import UtxoHash, UtxoSummary
from ccnode.errors import RpcError
from ccnode.wire.serialize import U32

MAX_OUTPUT_INDEX: Final = 0xFFFFFFFF

Pair = tuple[bytes, bytes]


@command(
    "gettxout",
    "blockchain",
    args=[
        Arg("txid", ArgType.HASH, "The transaction"),
        Arg("n", ArgType.INTEGER, "Which of its outputs"),
        Arg("include_mempool", ArgType.BOOLEAN, "Taken for Core's sake: there are no transactions in memory", True),
    ],
    help="Returns an unspent transaction output.",
    result="""{
  "bestblock": "hex",
  "confirmations": n,
  "value": n,                        coins
  "scriptPubKey": {
    "asm": "str",
    "desc": "str",
    "hex": "hex",
    "address": "str",                if there is one
    "type": "str"
  },
  "coinbase": true|false
}
or null, if it does not exist or is spent""",
    example="4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b 0",
)
def get_tx_out(context: AdminContext, txid: bytes, n: int, include_mempool: bool) -> dict[str, object] | None:
    blocks, index = require_blocks(context.blocks), context.chain.index
    if not 0 <= n <= MAX_OUTPUT_INDEX:
        raise RpcError(rpc_errors.MISC_ERROR, "JSON integer out of range")
    outpoint = txid + U32.pack(n)
    best_block, coins = blocks.wait_coins([outpoint])
    coin, entry = coins.get(outpoint), index.find(best_block)
    if coin is None or entry is None:
        return None
    value, script, height, is_coinbase = read_coin(coin)
    return {
        "bestblock": display_hash(best_block),
        "confirmations": index.height(entry) - height + 1,
        "value": amount(value),
        "scriptPubKey": script_members(script, context.chain.params.prefixes),
        "coinbase": is_coinbase,
    }


@command(
    "gettxoutsetinfo",
    "blockchain",
    args=[
        Arg(
            "hash_type",
            ArgType.STRING,
            "The hash to make of them: hash_serialized_3, muhash or none",
            default=UtxoHash.SERIALIZED.value,
            completion=tuple(kind.value for kind in UtxoHash),
        ),
        Arg("hash_or_height", ArgType.ANY, "Refused: only the present coins can be looked at", default=None),
        Arg("use_index", ArgType.BOOLEAN, "Taken for Core's sake: there is no such index", default=True),
    ],
    help="Returns figures about the set of unspent outputs. All of them are read, which takes its time.",
    result="""{
  "height": n,
  "bestblock": "hex",
  "txouts": n,
  "bogosize": n,                     a measure of the size that depends on no database
  "hash_serialized_3": "hex",        if asked for
  "muhash": "hex",                   if asked for
  "total_amount": n,                 coins
  "transactions": n,                 that have unspent outputs
  "disk_size": n                     bytes
}""",
    example="muhash",
)
def get_tx_out_set_info(
    context: AdminContext, hash_type: str, hash_or_height: object, use_index: bool
) -> dict[str, object]:
    blocks, index = require_blocks(context.blocks), context.chain.index
    try:
        kind = UtxoHash(hash_type)
    except ValueError:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"'{hash_type}' is not a valid hash_type") from None
    if hash_or_height is not None:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Querying specific block heights requires coinstatsindex")
    summary = UtxoSummary(kind)

    def visit(coins: Sequence[Pair]) -> bool:
        summary.add(coins)
        return True

    best_block = blocks.wait_scan(visit)
    stats = summary.finish()
    entry = index.find(best_block)
    return {
        "height": 0 if entry is None else index.height(entry),
        "bestblock": display_hash(best_block),
        "txouts": stats.coins,
        "bogosize": stats.bogosize,
        **({} if stats.hash is None else {hash_type: display_hash(stats.hash)}),
        "total_amount": amount(stats.total),
        "transactions": stats.transactions,
        "disk_size": blocks.coins_disk_usage,
    }


@dataclass(slots=True)
class Scan:
    """A scan of all coins for some scripts; one at a time."""

    scripts: frozenset[bytes]
    found: list[Pair] = field(default_factory=list)
    coins: int = 0
    progress: int = 0  # per cent
    aborted: bool = False

    def visit(self, coins: Sequence[Pair]) -> bool:
        """Look through some more."""
        self.coins += len(coins)
        self.found += [pair for pair in coins if pair[1][12:] in self.scripts]
        if coins:
            self.progress = int.from_bytes(coins[-1][0][:2], "big") * 100 // 65536  # txids are evenly spread
        return not self.aborted


@command(
    "scantxoutset",
    "blockchain",
    args=[
        Arg("action", ArgType.STRING, "start, abort or status", completion=("start", "abort", "status")),
        Arg("scanobjects", ArgType.ARRAY, 'For "start": descriptors, or objects with "desc"', default=None),
    ],
    help="Looks through all unspent outputs for those with certain scripts.\n"
    "A descriptor is addr(ADDRESS) or raw(HEX), with its checksum after # or not. start answers when all are seen.",
    result="""{
  "success": true|false,             false if it was aborted
  "txouts": n,                       that were looked at
  "height": n,
  "bestblock": "hex",
  "unspents": [{
    "txid": "hex",
    "vout": n,
    "scriptPubKey": "hex",
    "desc": "str",
    "amount": n,                     coins
    "coinbase": true|false,
    "height": n,
    "blockhash": "hex",
    "confirmations": n
  }, ...],
  "total_amount": n
}
or, to "status", {"progress": n} in per cent, null if nothing is going on; to "abort", whether there was something""",
    example="start '[\"raw(76a91411b366edfc0a8b66feebae5c2e25a7b6a5d1cf3188ac)#fm24fxxy\"]'",
)
def scan_tx_out_set(context: AdminContext, action: str, scanobjects: list[object] | None) -> object:
    require_blocks(context.blocks)
    running = context.scan
    if action == "status":
        return None if running is None else {"progress": running.progress}
    if action == "abort":
        if running is not None:
            running.aborted = True
        return running is not None
    if action != "start":
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"Invalid action '{action}'")
    if running is not None:
        text = 'Scan already in progress, use action "abort" or "status"'
        raise RpcError(rpc_errors.INVALID_PARAMETER, text)
    if scanobjects is None:
        raise RpcError(rpc_errors.MISC_ERROR, "scanobjects argument is required for the start action")
    scan = context.scan = Scan(frozenset(_script(context, each) for each in scanobjects))
    try:
        best_block = require_blocks(context.blocks).wait_scan(scan.visit)
    finally:
        context.scan = None
    return _scanned(context, scan, best_block)


def _script(context: AdminContext, wanted: object) -> bytes:
    if isinstance(wanted, dict):
        wanted = wanted.get("desc")
        if wanted is None:
            raise RpcError(rpc_errors.INVALID_PARAMETER, "Descriptor needs to be provided in scan object")
    if not isinstance(wanted, str):
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Scan object needs to be either a string or an object")
    try:
        return parse_descriptor(wanted, context.chain.params.prefixes)
    except DescriptorError as error:
        raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, str(error)) from error


def _scanned(context: AdminContext, scan: Scan, best_block: bytes) -> dict[str, object]:
    index, prefixes = context.chain.index, context.chain.params.prefixes
    tip = index.find(best_block)
    if tip is None:
        raise RpcError(rpc_errors.INTERNAL_ERROR, "the coins are at an unknown block")
    unspents: list[dict[str, object]] = []
    total = 0
    for outpoint, coin in scan.found:
        value, script, height, is_coinbase = read_coin(coin)
        total += value
        unspents.append(
            {
                "txid": display_hash(outpoint[:32]),
                "vout": U32.unpack_from(outpoint, 32)[0],
                "scriptPubKey": script.hex(),
                "desc": infer_descriptor(script, prefixes),
                "amount": amount(value),
                "coinbase": is_coinbase,
                "height": height,
                "blockhash": display_hash(index.hash(index.ancestor(tip, height))),
                "confirmations": index.height(tip) - height + 1,
            }
        )
    return {
        "success": not scan.aborted,
        "txouts": scan.coins,
        "height": index.height(tip),
        "bestblock": display_hash(best_block),
        "unspents": unspents,
        "total_amount": amount(total),
    }

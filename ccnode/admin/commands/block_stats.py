"""getblockstats: figures about one block (Core: ``rpc/blockchain.cpp``)."""

from collections.abc import Sequence
from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.arguments import json_type
from ccnode.admin.block_access import require_blocks
from ccnode.admin.commands.blocks import read_block
from ccnode.admin.commands.common import display_hash, named_block
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import Arg, ArgType, command
from ccnode.chain.coins import read_coin
from ccnode.chain.money import subsidy
from ccnode.chain.script import is_unspendable
from ccnode.errors import RpcError, StorageError
from ccnode.network.hub import breathing
from ccnode.wire.parsing import ParsedBlock
from ccnode.wire.serialize import compact_size
from ccnode.wire.transaction import WITNESS_SCALE_FACTOR

COIN_OVERHEAD: Final = 36 + 4
"""Bytes that Core counts for a coin besides its output: outpoint, height with coinbase flag."""

BIP30_REPEATS: Final = frozenset(
    bytes.fromhex(text)[::-1]
    for text in (
        "00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec",  # mainnet 91,842
        "00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721",  # mainnet 91,880
    )
)
"""Blocks whose coinbase overwrote an earlier one, and added no coin."""

_PERCENTILES: Final = ((1, 10), (1, 4), (1, 2), (3, 4), (9, 10))


@command(
    "getblockstats",
    "blockchain",
    args=[
        Arg("hash_or_height", ArgType.ANY, "The block's hash, or its height on the active chain"),
        Arg("stats", ArgType.ARRAY, "Names of the figures that are wanted (else: all)", default=None),
    ],
    help="Returns figures about a block. Amounts are in satoshi, the coinbase counts for little.",
    result="""{
  "avgfee": n,
  "avgfeerate": n,                   satoshi per virtual byte
  "avgtxsize": n,
  "blockhash": "hex",
  "feerate_percentiles": [n, n, n, n, n],   at 10, 25, 50, 75 and 90 percent of the weight
  "height": n,
  "ins": n,                          inputs, without the coinbase's
  "maxfee": n,
  "maxfeerate": n,
  "maxtxsize": n,
  "medianfee": n,
  "mediantime": n,
  "mediantxsize": n,
  "minfee": n,
  "minfeerate": n,
  "mintxsize": n,
  "outs": n,
  "subsidy": n,
  "swtotal_size": n,                 of transactions with a witness
  "swtotal_weight": n,
  "swtxs": n,
  "time": n,
  "total_out": n,                    without the coinbase's
  "total_size": n,
  "total_weight": n,
  "totalfee": n,
  "txs": n,                          with the coinbase
  "utxo_increase": n,
  "utxo_size_inc": n,
  "utxo_increase_actual": n,         without outputs that can never be spent
  "utxo_size_inc_actual": n
}""",
    example='1000 \'["minfeerate","avgfeerate"]\'',
)
def get_block_stats(context: AdminContext, hash_or_height: object, stats: list[object] | None) -> dict[str, object]:
    require_blocks(context.blocks)
    entry = named_block(context, hash_or_height)
    wanted = _wanted(stats)
    block = read_block(context, entry)
    found = _stats(context, entry, block, _spent(context, entry))
    if not wanted:
        return found
    for name in wanted:
        if name not in found:
            raise RpcError(rpc_errors.INVALID_PARAMETER, f"Invalid selected statistic '{name}'")
    return {name: found[name] for name in sorted(wanted)}


def _wanted(stats: list[object] | None) -> set[str]:
    wanted = set()
    for name in stats or ():
        if not isinstance(name, str):
            text = f"JSON value of type {json_type(name)} is not of expected type string"
            raise RpcError(rpc_errors.TYPE_ERROR, text)
        wanted.add(name)
    return wanted


def _spent(context: AdminContext, entry: int) -> Sequence[Sequence[bytes]]:
    """What a block spent; the genesis block has no undo data and spent nothing."""
    blocks = require_blocks(context.blocks)
    if context.chain.index.height(entry) == 0:
        return ()
    if not blocks.table.have_undo(entry):
        if blocks.prune_target is not None and blocks.table.tx_count(entry) and not blocks.have_data(entry):
            raise RpcError(rpc_errors.MISC_ERROR, "Undo data not available (pruned data)")
        raise RpcError(rpc_errors.MISC_ERROR, "Undo data not available")
    try:
        return blocks.wait_undo(entry)
    except (LookupError, StorageError):
        raise RpcError(rpc_errors.MISC_ERROR, "Can't read undo data from disk") from None


def _stats(
    context: AdminContext, entry: int, block: ParsedBlock, spent: Sequence[Sequence[bytes]]
) -> dict[str, object]:
    index, params = context.chain.index, context.chain.params
    height = index.height(entry)
    overwrites = height == 0 or block.hash in BIP30_REPEATS
    fees, rates, sizes, weights, with_witness = [], [], [], [], []
    outputs = inputs = total_out = unspent = size_change = actual_size_change = 0
    for i in breathing(range(len(block))):
        outputs += len(block.outputs[i])
        for _value, script in block.outputs[i]:
            size = _coin_size(script)
            size_change += size
            if not is_unspendable(script) and not (overwrites and (i == 0 or height == 0)):
                unspent += 1
                actual_size_change += size
        if i == 0:
            continue
        paid = sum(value for value, _script in block.outputs[i])
        inputs += len(block.outpoints[i])
        total_out += paid
        size = block.offsets[i + 1] - block.offsets[i]
        weight = (WITNESS_SCALE_FACTOR - 1) * block.stripped_sizes[i] + size
        coins = [read_coin(coin) for coin in spent[i - 1]]
        freed = sum(_coin_size(coin[1]) for coin in coins)
        size_change -= freed
        actual_size_change -= freed
        fee = sum(coin[0] for coin in coins) - paid
        fees.append(fee)
        rates.append((fee * WITNESS_SCALE_FACTOR // weight, weight))
        sizes.append(size)
        weights.append(weight)
        if block.witnesses[i] is not None:
            with_witness.append((size, weight))
    others, weight = len(block) - 1, sum(weights)
    only_rates = [rate for rate, _weight in rates]
    return {
        "avgfee": sum(fees) // others if others else 0,
        "avgfeerate": sum(fees) * WITNESS_SCALE_FACTOR // weight if weight else 0,
        "avgtxsize": sum(sizes) // others if others else 0,
        "blockhash": display_hash(block.hash),
        "feerate_percentiles": percentiles(rates, weight),
        "height": height,
        "ins": inputs,
        "maxfee": max(fees, default=0),
        "maxfeerate": max(only_rates, default=0),
        "maxtxsize": max(sizes, default=0),
        "medianfee": truncated_median(fees),
        "mediantime": index.median_time_past(entry),
        "mediantxsize": truncated_median(sizes),
        "minfee": min(fees, default=0),
        "minfeerate": min(only_rates, default=0),
        "mintxsize": min(sizes, default=0),
        "outs": outputs,
        "subsidy": subsidy(height, params.subsidy_halving_interval),
        "swtotal_size": sum(size for size, _weight in with_witness),
        "swtotal_weight": sum(weight for _size, weight in with_witness),
        "swtxs": len(with_witness),
        "time": index.time(entry),
        "total_out": total_out,
        "total_size": sum(sizes),
        "total_weight": weight,
        "totalfee": sum(fees),
        "txs": len(block),
        "utxo_increase": outputs - inputs,
        "utxo_size_inc": size_change,
        "utxo_increase_actual": unspent - inputs,
        "utxo_size_inc_actual": actual_size_change,
    }


def _coin_size(script: bytes) -> int:
    """Bytes of an output and what belongs to its coin."""
    return 8 + len(compact_size(len(script))) + len(script) + COIN_OVERHEAD


def truncated_median(numbers: Sequence[int]) -> int:
    """The median; of the middle two the mean, rounded towards zero as Core's integers are."""
    if not numbers:
        return 0
    ordered, middle = sorted(numbers), len(numbers) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) // 2


def percentiles(rates: Sequence[tuple[int, int]], total_weight: int) -> list[int]:
    """The fee rates at certain shares of the weight, of pairs of rate and weight."""
    if not rates:
        return [0] * len(_PERCENTILES)
    found: list[int] = []
    passed = 0
    ordered = sorted(rates)
    for rate, weight in ordered:
        passed += weight
        while len(found) < len(_PERCENTILES):
            numerator, denominator = _PERCENTILES[len(found)]
            if passed * denominator < total_weight * numerator:
                break
            found.append(rate)
    return found + [ordered[-1][0]] * (len(_PERCENTILES) - len(found))

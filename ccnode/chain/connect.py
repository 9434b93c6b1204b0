"""What a block does to the coins, and how that is taken back. (Core: ``ConnectBlock``, ``DisconnectBlock``.)

`connect_block` is handed the coins that the block's inputs spend and checks, transaction by transaction:

1. no output overwrites a coin that exists (``bad-txns-BIP30``), which the caller looks up where it can happen
   (`may_overwrite`)
2. every input's coin exists, created earlier in the block or before it (``bad-txns-inputs-missingorspent``)
3. coinbases are 100 blocks deep before they are spent (``bad-txns-premature-spend-of-coinbase``)
4. amounts: what comes in is in range and covers what goes out (``bad-txns-inputvalues-outofrange``,
   ``bad-txns-in-belowout``, ``bad-txns-accumulated-fee-outofrange``)
5. relative locks have run out (``bad-txns-nonfinal``, BIP68)
6. the signature operations so far do not cost too much (``bad-blk-sigops``)

and in the end that the coinbase takes no more than subsidy and fees (``bad-cb-amount``). Scripts come after that, and
elsewhere (`ccnode.chain.chainstate`).

Both functions are pure: they run on a worker, on values that nobody changes. Every output is a coin from the moment its
transaction is passed, and what is spent is taken out again; so what is left in the end are the coins that the block
adds. Outputs that can never be spent, and the genesis block's, are never coins.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from struct import Struct
from typing import Final

from ccnode.chain.block_rules import MAX_BLOCK_SIGOPS_COST, BlockContext
from ccnode.chain.index import HeaderIndex
from ccnode.chain.money import MAX_MONEY, subsidy
from ccnode.chain.params import ChainParams
from ccnode.chain.script import MAX_SCRIPT_SIZE, count_sigops, input_sigop_cost, legacy_sigops
from ccnode.chain.script_flags import ScriptFlag
from ccnode.chain.transaction_rules import (
    SEQUENCE_LOCKTIME_DISABLE_FLAG,
    SEQUENCE_LOCKTIME_TYPE_FLAG,
    sequence_locks,
    sequence_locks_passed,
)
from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.errors import StorageError
from ccnode.wire.parsing import ParsedBlock
from ccnode.wire.transaction import WITNESS_SCALE_FACTOR

COINBASE_MATURITY: Final = 100
"""Blocks on top of a coinbase before it can be spent (``consensus/consensus.h``)."""

BIP34_IMPLIES_BIP30_LIMIT: Final = 1_983_702
"""From this height on, coinbases of before BIP34 exist that begin with that height (``validation.cpp``)."""

BIP30_REPEATS: Final[Mapping[int, bytes]] = {
    91_842: bytes.fromhex("00000000000a4d0a398161ffc163c503763b1f4360639393e0e4c8e300e0caec")[::-1],
    91_880: bytes.fromhex("00000000000743f190a18c5577a3c2d2a1f610ae9601ac046a38084ccb7cd721")[::-1],
}
"""The two blocks of mainnet whose coinbase repeats an earlier one, which is lost by that."""

BIP30_REPEATED: Final = frozenset(
    {
        bytes.fromhex("00000000000271a2dc26e7667f8419f2e15416dc6955e5a6c6cdf3f2574dd08e")[::-1],  # 91,722
        bytes.fromhex("00000000000af0aed4792b1acee3d966af36cf5def14935db8de83d6f9306f2f")[::-1],  # 91,812
    }
)
"""The blocks whose coinbase they repeat."""

_P2SH, _WITNESS = int(ScriptFlag.P2SH), int(ScriptFlag.WITNESS)
_head: Final = Struct("<Iq")
_OP_RETURN: Final = b"\x6a"
_INDEXES: Final = tuple(i.to_bytes(4, "little") for i in range(256))
_SCRIPT: Final = 12  # offset of the script in a coin
_KEY_HASH_SIZE, _SCRIPT_HASH_SIZE = _SCRIPT + 22, _SCRIPT + 34
_KEY_HASH_START, _SCRIPT_HASH_START, _TAPROOT_START = b"\x00\x14", b"\x00\x20", b"\x51\x20"
_COUNTED_SIZES: Final = frozenset({_KEY_HASH_SIZE, _SCRIPT + 23, _SCRIPT_HASH_SIZE})
"""Of coins with P2WPKH, P2SH and P2WSH scripts: no others make their spender's witness or scriptSig count.

P2TR scripts are as long as P2WSH scripts, and count nothing here.
"""

NO_TIMES: Final[Mapping[int, int]] = {}


@dataclass(frozen=True, slots=True)
class Connected:
    """What a block does to the coins."""

    spent: list[list[bytes]]
    """Per transaction after the coinbase, the coins of its inputs: what undo data and script checks need."""
    created: dict[bytes, bytes]
    """By outpoint, the coins that are there after the block and were not before."""
    fees: int
    """Satoshi."""
    sigop_cost: int


@dataclass(frozen=True, slots=True)
class Disconnected:
    """What taking a block back does to the coins."""

    removed: set[bytes]
    restored: dict[bytes, bytes]


def connect_block(
    block: ParsedBlock,
    context: BlockContext,
    coins: Mapping[bytes, bytes],
    flags: int,
    median_times: Mapping[int, int] = NO_TIMES,
    overwritten: Iterable[bytes] = (),
) -> Connected | BlockVerdict:
    """Judge a block that passed `ccnode.chain.block_rules`, all but its scripts.

    ``coins`` are those among the block's outpoints that exist, and no others. ``median_times`` has, for every height in
    `time_locked_heights`, the median time past of the block before. ``overwritten`` are outputs of the block that exist
    already, where that matters.
    """
    if overwritten:
        return _refused("bad-txns-BIP30", "tried to overwrite transaction")
    spent, created, fees, fault = _pass_coins(block, context, coins, median_times)
    sigop_cost = _sigop_cost(block, spent, flags)
    if sigop_cost > MAX_BLOCK_SIGOPS_COST:  # those before the fault: the earlier transaction decides
        return _refused("bad-blk-sigops", "too many sigops")
    if fault is not None:
        reason, detail = fault
        return _refused(reason, f"{detail} in transaction {block.txids[len(spent) + 1][::-1].hex()}")
    taken = sum(value for value, _script in block.outputs[0])
    reward = subsidy(context.height, context.params.subsidy_halving_interval) + fees
    if taken > reward:
        return _refused("bad-cb-amount", f"coinbase pays too much (actual={taken} vs limit={reward})")
    return Connected(spent, created, fees, sigop_cost)


def _pass_coins(
    block: ParsedBlock, context: BlockContext, coins: Mapping[bytes, bytes], median_times: Mapping[int, int]
) -> tuple[list[list[bytes]], dict[bytes, bytes], int, tuple[str, str] | None]:
    """Coins spent per transaction, the coins left, fees, and what is wrong with the transaction after those, if any."""
    height, csv = context.height, context.csv
    newest_mature = height - COINBASE_MATURITY
    left = dict(coins)
    take, read_head = left.pop, _head.unpack_from
    fees = 0
    spent: list[list[bytes]] = []
    _create(left, block.txids[0], block.outputs[0], height << 1 | 1)
    columns = zip(block.txids, block.outpoints, block.outputs, block.versions, block.sequences, strict=True)
    next(columns)
    for txid, outpoints, outputs, version, sequences in columns:
        try:
            taken = [take(outpoint) for outpoint in outpoints]
        except KeyError:
            return spent, left, fees, ("bad-txns-inputs-missingorspent", "inputs missing/spent")
        value_in = 0
        for coin in taken:
            code, value = read_head(coin)
            if code & 1 and code >> 1 > newest_mature:
                depth = height - (code >> 1)
                return spent, left, fees, ("bad-txns-premature-spend-of-coinbase", f"a coinbase at depth {depth}")
            value_in += value
        if value_in > MAX_MONEY:
            return spent, left, fees, ("bad-txns-inputvalues-outofrange", f"value in {value_in}")
        fee = value_in - _create(left, txid, outputs, height << 1)
        if fee < 0:
            return spent, left, fees, ("bad-txns-in-belowout", f"value in {value_in} lacks {-fee}")
        fees += fee
        if fees > MAX_MONEY:
            return spent, left, fees, ("bad-txns-accumulated-fee-outofrange", f"fees of {fees}")
        if csv and version >= 2 and min(sequences) < SEQUENCE_LOCKTIME_DISABLE_FLAG:
            heights = [read_head(coin)[0] >> 1 for coin in taken]
            locks = sequence_locks(version, sequences, heights, _median_time_past(context, median_times))
            if not sequence_locks_passed(locks, height, context.median_time_past):
                return spent, left, fees, ("bad-txns-nonfinal", "a relative lock has not run out")
        spent.append(taken)
    return spent, left, fees, None


def _create(coins: dict[bytes, bytes], txid: bytes, outputs: Sequence[tuple[int, bytes]], code: int) -> int:
    """Add a transaction's outputs as coins; returns what they are worth together."""
    total = 0
    for index, (value, script) in enumerate(outputs):
        total += value
        if script[:1] != _OP_RETURN and len(script) <= MAX_SCRIPT_SIZE:
            key = txid + (_INDEXES[index] if index < 256 else index.to_bytes(4, "little"))
            coins[key] = _head.pack(code, value) + script
    return total


def _median_time_past(context: BlockContext, median_times: Mapping[int, int]) -> Callable[[int], int]:
    """By height; that of the parent is the time from which a coin of this same block counts."""
    parent = context.height - 1

    def at(height: int) -> int:
        return context.median_time_past if height == parent else median_times[height]

    return at


def _sigop_cost(block: ParsedBlock, spent: Sequence[Sequence[bytes]], flags: int) -> int:
    """Of the coinbase and of the transactions whose coins are given (Core: ``GetTransactionSigOpCost``)."""
    p2sh, segwit = bool(flags & _P2SH), bool(flags & _WITNESS)
    count = len(spent) + 1
    script_sigs, outputs = chain.from_iterable(block.script_sigs[:count]), chain.from_iterable(block.outputs[:count])
    cost = WITNESS_SCALE_FACTOR * legacy_sigops(script_sigs, outputs)
    for i, coins in enumerate(spent, 1):
        witnesses = block.witnesses[i]
        for j, coin in enumerate(coins):
            size = len(coin)
            if size not in _COUNTED_SIZES or coin.startswith(_TAPROOT_START, _SCRIPT):
                continue
            witness = witnesses[j] if witnesses else ()
            if segwit and size == _KEY_HASH_SIZE and coin.startswith(_KEY_HASH_START, _SCRIPT):
                cost += 1
            elif segwit and size == _SCRIPT_HASH_SIZE and coin.startswith(_SCRIPT_HASH_START, _SCRIPT):
                cost += count_sigops(witness[-1], accurate=True) if witness else 0
            else:
                script_sig = block.script_sigs[i][j]
                cost += input_sigop_cost(script_sig, coin[_SCRIPT:], witness, p2sh=p2sh, segwit=segwit)
    return cost


def disconnect_block(block: ParsedBlock, spent: Sequence[Sequence[bytes]]) -> Disconnected:
    """Take a block back; ``spent`` is what `Connected` had, from its undo data. StorageError if it does not fit."""
    inputs = block.outpoints[1:]
    if [len(outpoints) for outpoints in inputs] != [len(coins) for coins in spent]:
        raise StorageError(f"undo data of block {block.hash[::-1].hex()} do not fit it; start once with --reindex")
    removed: set[bytes] = set()
    for txid, outputs in zip(block.txids, block.outputs, strict=True):
        removed.update(created_outpoints(txid, outputs))
    restored: dict[bytes, bytes] = {}
    for outpoints, coins in zip(inputs, spent, strict=True):
        for outpoint, coin in zip(outpoints, coins, strict=True):
            if outpoint in removed:
                removed.discard(outpoint)  # spent in the block itself, so it is not there
            else:
                restored[outpoint] = coin
    return Disconnected(removed, restored)


def created_outpoints(txid: bytes, outputs: Sequence[tuple[int, bytes]]) -> list[bytes]:
    """The outpoints of a transaction's outputs that can be spent."""
    return [
        txid + index.to_bytes(4, "little")
        for index, (_value, script) in enumerate(outputs)
        if script[:1] != _OP_RETURN and len(script) <= MAX_SCRIPT_SIZE
    ]


def outer_outpoints(block: ParsedBlock) -> list[bytes]:
    """What the block spends that was there before it: the coins to fetch."""
    own = set(block.txids)
    return [outpoint for outpoints in block.outpoints[1:] for outpoint in outpoints if outpoint[:32] not in own]


def time_locked_outpoints(block: ParsedBlock) -> list[bytes]:
    """The outpoints among the inputs that are locked by time relative to their coin (BIP68)."""
    found = []
    for version, outpoints, sequences in zip(block.versions, block.outpoints, block.sequences, strict=True):
        if version >= 2 and min(sequences) < SEQUENCE_LOCKTIME_DISABLE_FLAG:
            found += [
                outpoint
                for outpoint, sequence in zip(outpoints, sequences, strict=True)
                if not sequence & SEQUENCE_LOCKTIME_DISABLE_FLAG and sequence & SEQUENCE_LOCKTIME_TYPE_FLAG
            ]
    return found


def lock_heights(outpoints: Iterable[bytes], coins: Mapping[bytes, bytes]) -> set[int]:
    """The heights whose median time past `connect_block` will ask for, given `time_locked_outpoints`."""
    return {max((_head.unpack_from(coins[outpoint])[0] >> 1) - 1, 0) for outpoint in outpoints if outpoint in coins}


def may_overwrite(params: ChainParams, index: HeaderIndex, parent: int, block_hash: bytes) -> bool:
    """Whether a block on ``parent`` could repeat a transaction whose outputs exist, and must not (BIP30).

    Since BIP34 a coinbase begins with its height and cannot repeat one that does too; other transactions repeat only
    if what they spend is repeated. So no block can where the rule holds from block 1 on, nor on the known chain above
    the rule's height, until heights come that coinbases of before BIP34 happen to begin with.
    """
    height = index.height(parent) + 1
    if height >= BIP34_IMPLIES_BIP30_LIMIT:
        return True
    if BIP30_REPEATS.get(height) == block_hash:
        return False
    bip34 = params.soft_forks.bip34
    if bip34 <= 1:
        return False
    if height <= bip34 or params.bip34_hash is None:
        return True
    return index.hash(index.ancestor(parent, bip34)) != params.bip34_hash


def _refused(reason: str, detail: str) -> BlockVerdict:
    return BlockVerdict(ValidationResult.CONSENSUS, reason, detail)

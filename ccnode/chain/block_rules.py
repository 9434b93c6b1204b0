"""The rules for blocks that need no coins. (Core: ``CheckBlock``, ``ContextualCheckBlock``, ``IsBlockMutated``.)

By itself, in this order:

1. the header's proof of work (``high-hash``); the header chain asks for it as well, so it is checked on request
2. the transactions are those that the header commits to (``bad-txnmrklroot``, ``bad-txns-duplicate``)
3. at least one, and not more than fit (``bad-blk-length``)
4. the first is a coinbase, the others are not (``bad-cb-missing``, ``bad-cb-multiple``)
5. each is well-formed (`ccnode.chain.transaction_rules`)
6. at most 20,000 legacy signature operations (``bad-blk-sigops``)

In its place in the chain:

1. all transactions are final (``bad-txns-nonfinal``)
2. the coinbase begins with the height (``bad-cb-height``, BIP34), which makes it unique
3. the witnesses are those that the coinbase commits to (``bad-witness-nonce-size``, ``bad-witness-merkle-match``), or
   there are none (``unexpected-witness``)
4. the weight (``bad-blk-weight``), last, because before 3 somebody could have padded a good block with witness

A block's hash covers its header only. So whoever sends other transactions under a good header must not spoil it: a
verdict `MUTATED`, and any other of the first list, never marks the header invalid. `is_mutated` asks for nothing else:
a block that passed once needs no more when it is read again.

The block signature of a signet (BIP325, `ccnode.chain.signet`) belongs between 1 and 2 of the first list; checking it
runs a script, so the caller does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Final

from ccnode.chain.index import HeaderIndex
from ccnode.chain.merkle import commitment_position, merkle_root, witness_commitment, witness_merkle_root
from ccnode.chain.params import ChainParams
from ccnode.chain.script import legacy_sigops, push_number
from ccnode.chain.transaction_rules import MAX_BLOCK_WEIGHT, check_transaction, is_final
from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.wire.parsing import ParsedBlock
from ccnode.wire.transaction import WITNESS_SCALE_FACTOR

MAX_BLOCK_SIGOPS_COST: Final = 80_000
"""Per block; a legacy or P2SH signature operation costs four, one in a witness one (``consensus/consensus.h``)."""
_AMBIGUOUS_SIZE: Final = 64
"""Bytes of a transaction that can pass for an inner node of the merkle tree."""


@dataclass(frozen=True, slots=True)
class BlockContext:
    """Where a block stands, as far as the rules ask."""

    params: ChainParams
    height: int
    time: int  # the header's, Unix seconds
    median_time_past: int  # of the parent, Unix seconds
    bip34: bool  # which soft forks hold for this block
    csv: bool
    segwit: bool

    @classmethod
    def build(cls, params: ChainParams, index: HeaderIndex, parent: int, time: int) -> BlockContext:
        """The context of a block with this header time on the entry ``parent``."""
        height = index.height(parent) + 1
        forks = params.soft_forks
        return cls(
            params=params,
            height=height,
            time=time,
            median_time_past=index.median_time_past(parent),
            bip34=height >= forks.bip34,
            csv=height >= forks.csv,
            segwit=height >= forks.segwit,
        )


def check_block(
    block: ParsedBlock,
    params: ChainParams,
    *,
    check_pow: bool = False,
    passes: Callable[[ParsedBlock], bool] | None = None,
) -> BlockVerdict | None:
    """What is wrong with a block by itself; None if nothing. ``check_pow``: the proof of work as well.

    ``passes`` is a quicker way to a yes: where it says so, nothing but proof of work and size is looked at here.
    """
    if check_pow and not _proves_work(block, params):
        return BlockVerdict(ValidationResult.INVALID_HEADER, "high-hash", "proof of work failed")
    most = MAX_BLOCK_WEIGHT // WITNESS_SCALE_FACTOR
    fits = 1 <= len(block) <= most and block.stripped_size <= most
    if passes is not None and fits and passes(block):
        return None
    if verdict := check_merkle_root(block):
        return verdict
    if not fits:
        return _refused("bad-blk-length", "size limits failed")
    if not block.is_coinbase(0):
        return _refused("bad-cb-missing", "first tx is not coinbase")
    if any(block.is_coinbase(i) for i in range(1, len(block))):
        return _refused("bad-cb-multiple", "more than one coinbase")
    columns = zip(block.outpoints, block.script_sigs, block.outputs, block.stripped_sizes, strict=True)
    for i, (outpoints, script_sigs, outputs, stripped_size) in enumerate(columns):
        if reason := check_transaction(outpoints, script_sigs, outputs, stripped_size):
            return _refused(reason, f"Transaction check failed (tx hash {block.txids[i][::-1].hex()})")
    sigops = legacy_sigops(chain.from_iterable(block.script_sigs), chain.from_iterable(block.outputs))
    if sigops * WITNESS_SCALE_FACTOR > MAX_BLOCK_SIGOPS_COST:
        return _refused("bad-blk-sigops", "out-of-bounds SigOpCount")
    return None


def contextual_check_block(block: ParsedBlock, context: BlockContext) -> BlockVerdict | None:
    """What is wrong with a block in its place; None if nothing. It must have passed `check_block`."""
    cutoff = context.median_time_past if context.csv else context.time
    for locktime, sequences in zip(block.locktimes, block.sequences, strict=True):
        if not is_final(locktime, sequences, context.height, cutoff):
            return _refused("bad-txns-nonfinal", "non-final transaction")
    if context.bip34 and not block.script_sigs[0][0].startswith(push_number(context.height)):
        return _refused("bad-cb-height", "block height mismatch in coinbase")
    if verdict := _check_witness(block, context.segwit):
        return verdict
    if block.weight > MAX_BLOCK_WEIGHT:
        return _refused("bad-blk-weight", "ContextualCheckBlock : weight limit failed")
    return None


def is_mutated(block: ParsedBlock, check_witness: bool) -> BlockVerdict | None:
    """Whether these are other transactions or witnesses than the header's; None if not.

    ``check_witness``: whether segwit holds for the block; where it does not, any witness is one too many. A block
    without a coinbase may have been cut at an inner level of its merkle tree, where nodes pass for transactions of 64
    bytes.
    """
    if verdict := check_merkle_root(block):
        return verdict
    if not block.txids or not block.is_coinbase(0):
        if _AMBIGUOUS_SIZE in block.stripped_sizes:
            return _mutated("bad-txns-size", "a transaction of 64 bytes in a block without coinbase")
        return None
    return _check_witness(block, check_witness)


def check_merkle_root(block: ParsedBlock) -> BlockVerdict | None:
    """Whether the transactions, but for their witnesses, are those that the header commits to."""
    root, mutated = merkle_root(block.txids)
    if root != block.merkle_root:
        return _mutated("bad-txnmrklroot", "hashMerkleRoot mismatch")
    return _mutated("bad-txns-duplicate", "duplicate transaction") if mutated else None


def _proves_work(block: ParsedBlock, params: ChainParams) -> bool:
    form = params.header_format
    bits = form.columns([block.header]).bits
    return form.check_pow([block.header], [block.hash], bits, params.pow_limit) is None


def _check_witness(block: ParsedBlock, segwit: bool) -> BlockVerdict | None:
    position = commitment_position(block.outputs[0]) if segwit else None
    if position is None:
        if any(block.witnesses):
            return _mutated("unexpected-witness", "CheckWitnessMalleation : unexpected witness data found")
        return None
    witness = block.witnesses[0]
    if witness is None or len(witness[0]) != 1 or len(witness[0][0]) != 32:
        return _mutated("bad-witness-nonce-size", "CheckWitnessMalleation : invalid witness reserved value size")
    expected = witness_commitment(witness_merkle_root(block.wtxids), witness[0][0])
    if block.outputs[0][position][1][6:38] != expected:
        return _mutated("bad-witness-merkle-match", "CheckWitnessMalleation : witness merkle commitment mismatch")
    return None


def _refused(reason: str, detail: str) -> BlockVerdict:
    return BlockVerdict(ValidationResult.CONSENSUS, reason, detail)


def _mutated(reason: str, detail: str) -> BlockVerdict:
    return BlockVerdict(ValidationResult.MUTATED, reason, detail)

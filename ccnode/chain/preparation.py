"""What can be done with a block before its turn: parsing, and every check that needs no coins.

These are the same whatever happens to the chain meanwhile, so they run on the worker while an earlier block is still
being connected. A block's place in the chain is given by its parent, which never changes; where the parent is known
early enough, the rules that depend on it (`contextual_check_block`) run here as well.

Two more things are found here, because it takes a loop over all inputs: which coins to fetch, and which inputs are
locked by time.

A declared number of transactions that no valid block has room for is refused before anything is taken apart: 4 MB of
"transactions" of ten bytes would be 400,000 of them, 1.6 seconds and 180 MB. What gets past that takes at most a
quarter of the time and half of the memory.
"""

from collections.abc import Callable
from dataclasses import dataclass

from ccnode.chain.block_rules import BlockContext, check_block, contextual_check_block
from ccnode.chain.connect import outer_outpoints, time_locked_outpoints
from ccnode.chain.params import ChainParams
from ccnode.chain.transaction_rules import MAX_BLOCK_WEIGHT
from ccnode.chain.verdict import BlockVerdict
from ccnode.errors import DecodeError
from ccnode.wire.parsing import ParsedBlock, parse_block
from ccnode.wire.serialize import Reader
from ccnode.wire.transaction import WITNESS_SCALE_FACTOR

_SMALLEST_TRANSACTION = 60
"""Bytes of one that passes the rules: one input, one output, no scripts."""

MAX_TRANSACTIONS = MAX_BLOCK_WEIGHT // (WITNESS_SCALE_FACTOR * _SMALLEST_TRANSACTION)
"""In a valid block."""


@dataclass(frozen=True, slots=True)
class PreparedBlock:
    """A block, taken apart and looked at."""

    block: ParsedBlock
    outer: list[bytes]
    """The outpoints that it spends and did not create itself."""
    time_locked: list[bytes]
    """Those of its inputs that are locked by time relative to their coin."""
    verdict: BlockVerdict | None = None
    """What is wrong with the block by itself."""
    context: BlockContext | None = None
    """Its place in the chain, if that was known."""
    contextual_verdict: BlockVerdict | None = None
    """What is wrong with the block in its place."""


def prepare_block(
    raw: bytes,
    params: ChainParams,
    passes: Callable[[ParsedBlock], bool] | None = None,
    context: BlockContext | None = None,
    check_pow: bool = True,
) -> PreparedBlock:
    """Parse and check a block; ``passes`` is that of `check_block`. Raises `DecodeError` if it is none."""
    if Reader(raw, params.header_format.size).compact_size() > MAX_TRANSACTIONS:
        raise DecodeError("more transactions than a block has room for")
    block = _parse(raw, params)
    verdict = check_block(block, params, check_pow=check_pow, passes=passes)
    if verdict is not None:
        return PreparedBlock(block, [], [], verdict)
    contextual_verdict = None if context is None else contextual_check_block(block, context)
    return PreparedBlock(block, outer_outpoints(block), time_locked_outpoints(block), None, context, contextual_verdict)


def reopen_block(raw: bytes, params: ChainParams) -> PreparedBlock:
    """Parse a block that was checked before it was stored."""
    block = _parse(raw, params)
    return PreparedBlock(block, outer_outpoints(block), time_locked_outpoints(block))


def _parse(raw: bytes, params: ChainParams) -> ParsedBlock:
    form = params.header_format
    return parse_block(raw, form.size, form.hash(raw[: form.size]))

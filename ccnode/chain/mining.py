"""Blocks of our own: what a miner may put on top of the tip, and the search for a nonce (Core: ``node/miner.cpp``).

A `BlockTemplate` says what consensus asks of the next block: height, time, bits, subsidy, whether witnesses are to be
committed to. `build_block` puts a coinbase and transactions under a header, and `Grind` looks for a nonce. That takes
two attempts on regtest, and is not meant for networks where it takes more.

The coinbase is what Core makes, byte by byte: the height in its scriptSig, with a zero where that alone is too short, a
sequence below the final one with the height before as locktime (so that BIP54 would not refuse it), the reward in the
first output, and the witness commitment in the second.

There is no memory pool, so a template has no transactions but those somebody hands in, and no fees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from ccnode.chain.formats import Header
from ccnode.chain.index import HeaderIndex
from ccnode.chain.merkle import (
    WITNESS_COMMITMENT_HEADER,
    commitment_position,
    merkle_root,
    witness_commitment,
    witness_merkle_root,
)
from ccnode.chain.money import subsidy
from ccnode.chain.params import ChainParams
from ccnode.chain.script import OP_0, push_number
from ccnode.chain.version_bits import TOP_BITS
from ccnode.wire.blocks import Block
from ccnode.wire.parsing import ParsedBlock
from ccnode.wire.serialize import compact_size
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut

MAX_TIMEWARP: Final = 600
"""Seconds that the first block of a period may be before its parent (BIP94)."""
MAX_NONCE: Final = 0xFFFFFFFF
MIN_SCRIPT_SIG: Final = 2
"""Bytes of a coinbase's scriptSig (``bad-cb-length``)."""

_NULL_OUTPOINT: Final = OutPoint(bytes(32), 0xFFFFFFFF)
_SEQUENCE: Final = 0xFFFFFFFE
_RESERVED: Final = bytes(32)
"""The value in the coinbase's witness."""
_COINBASE_VERSION: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTemplate:
    """What the block after ``parent`` has to be."""

    params: ChainParams
    parent: int  # entry
    prev: bytes
    height: int
    version: int
    min_time: int  # Unix seconds; the earliest that is valid
    time: int
    bits: int
    reward: int  # satoshi, without fees
    segwit: bool


def block_template(params: ChainParams, index: HeaderIndex, now: float, version: int = TOP_BITS) -> BlockTemplate:
    """The template for a block on top of the active tip at wall time ``now``; by default it signals nothing."""
    parent = index.tip
    height = index.height(parent) + 1
    min_time = index.median_time_past(parent) + 1
    if height % params.difficulty.interval == 0:  # asked of miners everywhere, demanded where BIP94 holds
        min_time = max(min_time, index.time(parent) - MAX_TIMEWARP)
    time = max(min_time, int(now))
    return BlockTemplate(
        params=params,
        parent=parent,
        prev=index.hash(parent),
        height=height,
        version=version,
        min_time=min_time,
        time=time,
        bits=params.difficulty.required_bits(index, parent, [time])[0],
        reward=subsidy(height, params.subsidy_halving_interval),
        segwit=height >= params.soft_forks.segwit,
    )


def commitment_script(wtxids: Sequence[bytes]) -> bytes:
    """The output script that commits to these wtxids of a block; the first, the coinbase's, does not matter."""
    return WITNESS_COMMITMENT_HEADER + witness_commitment(witness_merkle_root(wtxids), _RESERVED)


def build_block(template: BlockTemplate, script: bytes, transactions: Sequence[ParsedBlock] = ()) -> Block:
    """A block that pays its reward to ``script``, complete but for the nonce.

    Each of the ``transactions`` has been read as a block of one (`ccnode.chain.transaction_text.read_transaction`).
    """
    coinbase = _coinbase(template, script, [each.wtxids[0] for each in transactions])
    merkle = merkle_root([coinbase.txid, *(each.txids[0] for each in transactions)])[0]
    header = template.params.header_format.serialize(
        Header(template.version, template.prev, merkle, template.time, template.bits, nonce=0)
    )
    count, others = compact_size(1 + len(transactions)), (each.transaction(0) for each in transactions)
    return Block(b"".join((header, count, coinbase.encode(), *others)), len(header))


def _coinbase(template: BlockTemplate, script: bytes, wtxids: Sequence[bytes]) -> Transaction:
    """The first transaction of a block whose others have these ``wtxids``."""
    outputs = [TxOut(template.reward, script)]
    witness: tuple[bytes, ...] = ()
    if template.segwit:
        outputs.append(TxOut(0, commitment_script([b"", *wtxids])))
        witness = (_RESERVED,)
    script_sig = push_number(template.height)
    if len(script_sig) < MIN_SCRIPT_SIG:
        script_sig += bytes((OP_0,))
    return Transaction(
        version=_COINBASE_VERSION,
        vin=(TxIn(_NULL_OUTPOINT, script_sig, _SEQUENCE, witness),),
        vout=tuple(outputs),
        locktime=template.height - 1,
    )


def with_commitment_witness(block: ParsedBlock, params: ChainParams, height: int) -> bytes:
    """The serialized block, with the witness that its commitment needs where its coinbase has none.

    Miners may leave it out of what they submit (Core: ``UpdateUncommittedBlockStructures``).
    """
    if height < params.soft_forks.segwit or not len(block) or not block.is_coinbase(0):
        return block.raw
    if block.witnesses[0] is not None or commitment_position(block.outputs[0]) is None:
        return block.raw
    coinbase = Transaction.decode(block.transaction(0))
    coinbase = replace(coinbase, vin=(replace(coinbase.vin[0], witness=(_RESERVED,)),))
    return block.raw[: block.offsets[0]] + coinbase.encode() + block.raw[block.offsets[1] :]


class Grind:
    """The search for a nonce that makes a block valid; `step` again and again until it found one or gave up."""

    def __init__(self, block: Block, params: ChainParams, tries: int) -> None:
        """``tries``: how many nonces at most."""
        self.tries = tries
        self.found: Block | None = None
        self._block = block
        self._params = params
        self._header = params.header_format.parse(block.header)

    @property
    def exhausted(self) -> bool:
        """Whether all nonces were tried; another time would give new ones."""
        return self._header.nonce == MAX_NONCE

    def step(self, count: int = 1000) -> bool:
        """Try up to ``count`` nonces; whether the search is over."""
        form, limit = self._params.header_format, self._params.pow_limit
        for _ in range(count):
            if not self.tries or self.exhausted:
                return True
            raw = form.serialize(self._header)
            if form.check_pow([raw], [form.hash(raw)], [self._header.bits], limit) is None:
                self.found = Block(raw + self._block.raw[form.size :], form.size)
                return True
            self.tries -= 1
            self._header = replace(self._header, nonce=self._header.nonce + 1)
        return False

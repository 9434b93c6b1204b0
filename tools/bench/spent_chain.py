"""Regtest chains of blocks with spends in them, made once and kept.

They begin with `SEGWIT_HEIGHT` small blocks that give coins to spend; their version bits activate segwit in nodes that
wait for miners to signal it. After them a chain without signatures has spends of ``OP_TRUE``, a hundred to a block. In
one with signatures, every `PERIOD` th block spends `SIGNED` P2WPKH outputs as well, as many as a busy block of the main
network; in between they are handed out. Times lie in the past: a node that gets such a chain is in initial download.
"""

import os
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.chain_maker import ChainMaker, MadeTransaction
from tests.support.spends import FINAL, P2WPKH, sign
from tools.bench.regtest import cache_folder

SEGWIT_HEIGHT = 432
"""Where bcoin has segwit on regtest, if blocks signal it."""

SIGNALLING = 0x20000003
START = 1_400_000_000
"""Unix seconds: bcoin goes by the time to tell whether P2SH holds, and segwit needs that."""

PERIOD, SIGNED = 20, 2_000
PLAIN = 50
"""Transactions of two inputs and two outputs in every block, once there are coins enough."""


def spent_chain(blocks: int, *, signatures: bool = False, growing: bool = False) -> list[bytes]:
    """A chain with so many blocks above the first `SEGWIT_HEIGHT`; the first is at height 1.

    ``growing``: every transaction makes two coins of one, not of two.
    """
    path = cache_folder() / f"blocks-{'signed' if signatures else 'plain'}{'-growing' * growing}-{blocks}.bin"
    if not path.exists():
        _keep(path, _made(blocks, signatures, 1 if growing else 2))
    data = path.read_bytes()
    found, position = [], 0
    while position < len(data):
        begin = position + 4
        position = begin + int.from_bytes(data[position:begin], "little")
        found.append(data[begin:position])
    return found


def _keep(path: Path, blocks: Iterable[bytes]) -> None:
    new = path.with_suffix(f".{os.getpid()}")
    new.write_bytes(b"".join(len(raw).to_bytes(4, "little") + raw for raw in blocks))
    new.replace(path)


def _made(blocks: int, signatures: bool, inputs: int) -> list[bytes]:
    maker = ChainMaker(start=START)
    block = partial(maker.block, version=SIGNALLING)
    for _ in range(SEGWIT_HEIGHT):
        block(_spends(maker, 1, 1, 4))
    handed_out: MadeTransaction | None = None
    for number in range(blocks):
        transactions = _spends(maker, PLAIN, inputs, 2)
        if signatures and number % PERIOD == 0:
            handed_out = _hand_out(maker)
            transactions.append(handed_out)
        elif handed_out is not None:
            transactions += _signed(handed_out)
            handed_out = None
        block(transactions)
    return maker.blocks


def _spends(maker: ChainMaker, count: int, inputs: int, outputs: int) -> list[MadeTransaction]:
    made = (maker.spend(inputs, outputs) for _ in range(count))
    return [transaction for transaction in made if transaction is not None]


def _hand_out(maker: ChainMaker) -> MadeTransaction:
    """A transaction with all the outputs that need signatures."""
    point, value = maker.ready.popleft()
    money = TxIn(OutPoint(point[:32], int.from_bytes(point[32:], "little")), b"", FINAL)
    return _finished(Transaction(2, (money,), (TxOut(value // SIGNED, P2WPKH),) * SIGNED, 0))


def _signed(source: MadeTransaction) -> list[MadeTransaction]:
    """Transactions that spend all outputs of ``source``, two each."""
    coins = [TxOut(value, script) for value, script in source.outputs]
    made = []
    for first in range(0, len(coins), 2):
        vin = tuple(TxIn(OutPoint(source.txid, first + n), b"", FINAL) for n in range(2))
        value = coins[first].value
        made.append(_finished(sign(Transaction(2, vin, (TxOut(value, P2WPKH),) * 2, 0), coins[first : first + 2])))
    return made


def _finished(transaction: Transaction) -> MadeTransaction:
    outputs = tuple((txout.value, txout.script_pubkey) for txout in transaction.vout)
    return MadeTransaction(transaction.encode(), transaction.txid, transaction.wtxid, outputs)

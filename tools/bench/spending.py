"""A regtest chain that ends in one block full of spends, as Bitcoin Core's library accepts it."""

from hashlib import sha256

from ccnode.chain.merkle import merkle_root, witness_commitment, witness_merkle_root
from ccnode.chain.networks import REGTEST
from ccnode.chain.script import push_number
from ccnode.wire.serialize import sha256d
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut, encode_transactions
from tests.support.spends import FINAL, OP_TRUE, VALUE, Spend, make_coin, sign

MATURE = 101
"""Blocks until the first coinbase may be spent."""

SUBSIDY = 50 * 100_000_000
RESERVED = bytes(32)
_BITS = bytes.fromhex("ffff7f20")
_LIMIT = 0x7FFFFF << 232


def spending_chain(script: bytes, inputs: int) -> tuple[list[bytes], list[Spend]]:
    """Blocks from height 1; the last has spends of ``inputs`` outputs with ``script``, two each. And those spends."""
    blocks: list[bytes] = []
    coinbases: list[Transaction] = []
    for _ in range(MATURE):
        coinbases.append(_append(blocks, []))
    money = TxIn(OutPoint(coinbases[0].txid, 0), b"", FINAL)
    spread = Transaction(2, (money,), tuple(TxOut(VALUE, script) for _ in range(inputs)), 0)
    _append(blocks, [spread])
    spends = [_spend_two(spread, first) for first in range(0, inputs, 2)]
    _append(blocks, [each.transaction for each in spends])
    return blocks, spends


def _spend_two(source: Transaction, first: int) -> Spend:
    spent = list(source.vout[first : first + 2])
    vin = tuple(TxIn(OutPoint(source.txid, first + n), b"", FINAL) for n in range(len(spent)))
    transaction = sign(Transaction(2, vin, (TxOut(1, OP_TRUE), TxOut(1, OP_TRUE)), 0), spent)
    return Spend(transaction, [make_coin(txout.value, txout.script_pubkey, 1, False) for txout in spent])


def _append(blocks: list[bytes], transactions: list[Transaction]) -> Transaction:
    """Mine a block with ``transactions``; returns its coinbase."""
    height = len(blocks) + 1
    null = TxIn(OutPoint(bytes(32), FINAL), push_number(height) + b"\x00", FINAL, (RESERVED,))
    root = witness_merkle_root([RESERVED, *(transaction.wtxid for transaction in transactions)])
    commitment = bytes.fromhex("6a24aa21a9ed") + witness_commitment(root, RESERVED)
    coinbase = Transaction(2, (null,), (TxOut(SUBSIDY, OP_TRUE), TxOut(0, commitment)), 0)
    body = (coinbase, *transactions)
    previous = sha256d(blocks[-1][:80]) if blocks else REGTEST.genesis_hash
    time = int.from_bytes(REGTEST.genesis[68:72], "little") + height
    header = (4).to_bytes(4, "little") + previous + merkle_root([transaction.txid for transaction in body])[0]
    header += time.to_bytes(4, "little") + _BITS
    nonce = 0
    while int.from_bytes(sha256(sha256(header + nonce.to_bytes(4, "little")).digest()).digest(), "little") > _LIMIT:
        nonce += 1
    blocks.append(header + nonce.to_bytes(4, "little") + encode_transactions(body))
    return coinbase

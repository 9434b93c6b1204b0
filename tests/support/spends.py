"""Transactions and blocks that spend made-up coins with valid scripts, for tests and benches of verification."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import new as new_hash
from hashlib import sha256
from struct import pack
from typing import Final

from ccnode.chain.coins import make_coin
from ccnode.wire.parsing import ParsedBlock, parse_block
from ccnode.wire.serialize import compact_size
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.signing import SIGHASH_ALL, Signer, legacy_digest, segwit_digests, taproot_digests

SIGNER = Signer()
KEY_HASH = new_hash("ripemd160", sha256(SIGNER.public).digest()).digest()
P2PKH = b"\x76\xa9\x14" + KEY_HASH + b"\x88\xac"
P2WPKH = b"\x00\x14" + KEY_HASH
P2TR = b"\x51\x20" + SIGNER.public_x
OP_TRUE = b"\x51"
P2WSH_OP_TRUE = b"\x00\x20" + sha256(OP_TRUE).digest()

FINAL = 0xFFFFFFFF
VALUE = 1_000
"""Satoshi of a made-up coin. No two coins of a transaction have the same."""

Way = Callable[[TxIn, bytes, bytes, Callable[[], bytes]], TxIn]
"""To satisfy a script: from the input, and its digests for segwit, taproot and before, to the input that is signed."""


@dataclass(frozen=True, slots=True)
class Spend:
    """A signed transaction and the coins it spends."""

    transaction: Transaction
    coins: list[bytes]

    @property
    def raw(self) -> bytes:
        return self.transaction.encode()


def spend(scripts: Sequence[bytes], outputs: int = 1, salt: int = 0) -> Spend:
    """Spends one coin with each of ``scripts``, which are those above. ``salt`` makes it another transaction."""
    spent = [TxOut(VALUE + index, script) for index, script in enumerate(scripts)]
    vin = tuple(TxIn(OutPoint(sha256(pack("<I", salt)).digest(), index), b"", FINAL) for index in range(len(scripts)))
    unsigned = Transaction(2, vin, tuple(TxOut(1, OP_TRUE) for _ in range(outputs)), 0)
    return Spend(sign(unsigned, spent), [make_coin(txout.value, txout.script_pubkey, 1, False) for txout in spent])


def sign(unsigned: Transaction, spent: list[TxOut], ways: Mapping[bytes, Way] | None = None) -> Transaction:
    """Sign every input with `SIGNER`. ``ways`` are those to satisfy other scripts than those above."""
    ways = WAYS if ways is None else {**WAYS, **ways}
    values = [txout.value for txout in spent]
    segwit = segwit_digests(unsigned, [P2PKH] * len(spent), values)
    taproot = taproot_digests(unsigned, spent)
    vin = []
    for index, (txin, txout) in enumerate(zip(unsigned.vin, spent, strict=True)):
        way = ways[txout.script_pubkey]
        vin.append(way(txin, segwit[index], taproot[index], lambda at=index: legacy_digest(unsigned, at, P2PKH)))
    return replace(unsigned, vin=tuple(vin))


def key_hash(txin: TxIn, segwit: bytes, taproot: bytes, legacy: Callable[[], bytes]) -> TxIn:
    """The `Way` of P2WPKH."""
    return replace(txin, witness=(SIGNER.ecdsa(segwit) + bytes((SIGHASH_ALL,)), SIGNER.public))


def _legacy_key_hash(txin: TxIn, segwit: bytes, taproot: bytes, legacy: Callable[[], bytes]) -> TxIn:
    signature = SIGNER.ecdsa(legacy()) + bytes((SIGHASH_ALL,))
    return replace(txin, script_sig=bytes((len(signature),)) + signature + bytes((33,)) + SIGNER.public)


WAYS: Final[Mapping[bytes, Way]] = {
    P2PKH: _legacy_key_hash,
    P2WPKH: key_hash,
    P2TR: lambda txin, segwit, taproot, legacy: replace(txin, witness=(SIGNER.schnorr(taproot),)),
    P2WSH_OP_TRUE: lambda txin, segwit, taproot, legacy: replace(txin, witness=(OP_TRUE,)),
    OP_TRUE: lambda txin, segwit, taproot, legacy: txin,
}


def block_of(spends: Sequence[Spend], header_size: int = 80) -> tuple[ParsedBlock, list[list[bytes]]]:
    """A block with these transactions, of which nothing but the scripts is valid, and the coins it spends."""
    null = TxIn(OutPoint(bytes(32), FINAL), b"\x00\x00", FINAL)
    transactions = [Transaction(1, (null,), (TxOut(0, OP_TRUE),), 0), *(each.transaction for each in spends)]
    raw = bytes(header_size) + compact_size(len(transactions)) + b"".join(tx.encode() for tx in transactions)
    return parse_block(raw, header_size, bytes(32)), [each.coins for each in spends]

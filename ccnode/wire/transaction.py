"""Transactions as they are serialized (BIP144; Core: ``primitives/transaction.h``).

::

    version u32 | vin | vout | locktime u32                              without witness
    version u32 | 00 | 01 | vin | vout | witness per input | locktime    with

A transaction without inputs cannot be told from the marker ``00`` by its first byte: what follows an empty ``vin`` is
a flag, and flag 0 is then the empty ``vout``. A witness form in which every witness is empty, and any flag bit but the
lowest, are errors, so that a transaction has exactly one encoding.

The txid hashes the form without witness and the wtxid the full form: a witness can be changed without changing the
txid. Parsing judges nothing else; the rules about values, counts and scripts are consensus, and not here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from struct import Struct
from typing import ClassVar, Final

from ccnode.errors import DecodeError
from ccnode.wire.protocol import MAX_PROTOCOL_MESSAGE_LENGTH
from ccnode.wire.serialize import I64, U32, Reader, compact_size, sha256d, var_bytes

WITNESS_SCALE_FACTOR: Final = 4
"""Weight units per byte outside the witness (``consensus/consensus.h``)."""
MIN_TRANSACTION_SIZE: Final = 10
"""Bytes of the smallest serialization: two empty vectors."""

_OUTPOINT: Final = Struct("<32sI")
_MIN_INPUT_SIZE: Final = _OUTPOINT.size + 1 + 4
_MIN_OUTPUT_SIZE: Final = 8 + 1
_NULL_INDEX: Final = 0xFFFFFFFF
_WITNESS_FLAG: Final = 1


@dataclass(frozen=True, slots=True)
class OutPoint:
    """An output of an earlier transaction. Null (zero hash, index 2**32 - 1) in a coinbase."""

    txid: bytes
    index: int

    def is_null(self) -> bool:
        return self.index == _NULL_INDEX and not any(self.txid)

    def encode(self) -> bytes:
        return _OUTPOINT.pack(self.txid, self.index)

    @classmethod
    def read(cls, reader: Reader) -> OutPoint:
        return cls(*_OUTPOINT.unpack(reader.take(_OUTPOINT.size)))


@dataclass(frozen=True, slots=True)
class TxIn:
    """An input; ``witness`` is its stack, empty where there is none."""

    prevout: OutPoint
    script_sig: bytes
    sequence: int
    witness: tuple[bytes, ...] = ()

    def encode(self) -> bytes:
        """Without the witness, which stands elsewhere."""
        return self.prevout.encode() + var_bytes(self.script_sig) + U32.pack(self.sequence)

    @classmethod
    def read(cls, reader: Reader) -> TxIn:
        return cls(OutPoint.read(reader), reader.var_bytes(), reader.u32())


@dataclass(frozen=True, slots=True)
class TxOut:
    """An output: ``value`` in satoshi (i64; its range is consensus)."""

    value: int
    script_pubkey: bytes

    def encode(self) -> bytes:
        return I64.pack(self.value) + var_bytes(self.script_pubkey)

    @classmethod
    def read(cls, reader: Reader) -> TxOut:
        return cls(reader.i64(), reader.var_bytes())


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction. ``version`` and ``locktime`` are u32."""

    version: int
    vin: tuple[TxIn, ...]
    vout: tuple[TxOut, ...]
    locktime: int

    def has_witness(self) -> bool:
        return any(txin.witness for txin in self.vin)

    def is_coinbase(self) -> bool:
        return len(self.vin) == 1 and self.vin[0].prevout.is_null()

    def without_witness(self) -> Transaction:
        """As peers get it that asked by plain MSG_TX."""
        return replace(self, vin=tuple(replace(txin, witness=()) for txin in self.vin))

    def encode(self, with_witness: bool = True) -> bytes:
        """The one encoding; ``with_witness=False`` leaves the witness out."""
        witness = with_witness and self.has_witness()
        parts = [U32.pack(self.version)]
        if witness:
            parts.append(bytes((0, _WITNESS_FLAG)))
        parts.append(compact_size(len(self.vin)))
        parts += [txin.encode() for txin in self.vin]
        parts.append(compact_size(len(self.vout)))
        parts += [txout.encode() for txout in self.vout]
        if witness:
            parts += [_encode_witness(txin.witness) for txin in self.vin]
        parts.append(U32.pack(self.locktime))
        return b"".join(parts)

    @classmethod
    def decode(cls, data: bytes) -> Transaction:
        """Raises `DecodeError`. Bytes after the transaction are ignored."""
        return cls.read(Reader(data))

    @classmethod
    def read(cls, reader: Reader) -> Transaction:
        version = reader.u32()
        vin = _read_inputs(reader)
        flags = 0
        if vin:
            vout = _read_outputs(reader)
        elif flags := reader.u8():
            vin, vout = _read_inputs(reader), _read_outputs(reader)
        else:
            vout = ()
        if flags & _WITNESS_FLAG:
            vin = tuple(replace(txin, witness=_read_witness(reader)) for txin in vin)
            if not any(txin.witness for txin in vin):
                raise DecodeError("superfluous witness record")
        if flags & ~_WITNESS_FLAG:
            raise DecodeError(f"unknown transaction flags {flags:#04x}")
        return cls(version, vin, vout, reader.u32())

    @property
    def txid(self) -> bytes:
        """32 bytes in internal order, hashed anew each time."""
        return sha256d(self.encode(with_witness=False))

    @property
    def wtxid(self) -> bytes:
        """32 bytes in internal order, equal to the txid if there is no witness."""
        return sha256d(self.encode())

    @property
    def weight(self) -> int:
        """Weight units (BIP141): three times the size without witness plus the full size."""
        return (WITNESS_SCALE_FACTOR - 1) * len(self.encode(with_witness=False)) + len(self.encode())


def _read_inputs(reader: Reader) -> tuple[TxIn, ...]:
    return tuple([TxIn.read(reader) for _ in range(reader.count(_MIN_INPUT_SIZE))])


def _read_outputs(reader: Reader) -> tuple[TxOut, ...]:
    return tuple([TxOut.read(reader) for _ in range(reader.count(_MIN_OUTPUT_SIZE))])


def _encode_witness(stack: tuple[bytes, ...]) -> bytes:
    return compact_size(len(stack)) + b"".join([var_bytes(item) for item in stack])


def _read_witness(reader: Reader) -> tuple[bytes, ...]:
    return tuple([reader.var_bytes() for _ in range(reader.count(1))])


def read_transactions(reader: Reader) -> tuple[Transaction, ...]:
    """A count and that many transactions."""
    return tuple([Transaction.read(reader) for _ in range(reader.count(MIN_TRANSACTION_SIZE))])


def encode_transactions(transactions: tuple[Transaction, ...]) -> bytes:
    """A count and the transactions with their witnesses."""
    return compact_size(len(transactions)) + b"".join([tx.encode() for tx in transactions])


@dataclass(frozen=True, slots=True)
class Tx:
    """``tx``: one transaction, with its witness if it has one."""

    transaction: Transaction

    command: ClassVar[str] = "tx"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        return self.transaction.encode()

    @classmethod
    def decode(cls, payload: bytes) -> Tx:
        return cls(Transaction.decode(payload))

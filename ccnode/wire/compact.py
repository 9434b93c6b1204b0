"""Compact blocks (BIP152): a block told in 6-byte short ids, for peers that hold most of its transactions.

``cmpctblock`` gives short ids and, in full, the transactions the receiver cannot have (the coinbase at least);
``getblocktxn`` asks for those still missing by their index in the block, ``blocktxn`` brings them. Indexes travel as
differences: each is the distance from the one before, minus one. Here they are absolute.

A short id is SipHash-2-4 of the wtxid, cut to 48 bits, under a key made of header and nonce; computing it, and
finding out whether the indexes cover the block without a gap, is the receiver's work.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from ccnode.errors import DecodeError
from ccnode.wire.protocol import BLOCK_HEADER_SIZE, MAX_PROTOCOL_MESSAGE_LENGTH
from ccnode.wire.serialize import U64, Reader, compact_size
from ccnode.wire.transaction import MIN_TRANSACTION_SIZE, Transaction, encode_transactions, read_transactions

SHORT_ID_SIZE: Final = 6
"""Bytes of a short id."""
MAX_INDEX: Final = 0xFFFF
"""Largest index of a transaction in its block, and most transactions of a compact block: indexes are u16."""


@dataclass(frozen=True, slots=True)
class PrefilledTransaction:
    """A transaction sent in full, and its place in the block."""

    index: int
    transaction: Transaction


@dataclass(frozen=True, slots=True)
class CmpctBlock:
    """``cmpctblock``."""

    header: bytes
    nonce: int
    """u64, part of the key of the short ids."""
    short_ids: tuple[int, ...]
    """48-bit numbers, in the order of the block."""
    prefilled: tuple[PrefilledTransaction, ...]
    """In ascending order. An index may lie beyond the end of the block: that is for the receiver to punish."""

    command: ClassVar[str] = "cmpctblock"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    @property
    def tx_count(self) -> int:
        """Transactions in the block."""
        return len(self.short_ids) + len(self.prefilled)

    def encode(self) -> bytes:
        parts = [self.header, U64.pack(self.nonce), compact_size(len(self.short_ids))]
        parts += [short_id.to_bytes(SHORT_ID_SIZE, "little") for short_id in self.short_ids]
        parts.append(compact_size(len(self.prefilled)))
        steps = _differences(entry.index for entry in self.prefilled)
        for step, entry in zip(steps, self.prefilled, strict=True):
            parts += compact_size(step), entry.transaction.encode()
        return b"".join(parts)

    @classmethod
    def decode(cls, payload: bytes, header_size: int = BLOCK_HEADER_SIZE) -> CmpctBlock:
        reader = Reader(payload)
        header, nonce = reader.take(header_size), reader.u64()
        short_id_count = _within_block(reader.count(SHORT_ID_SIZE))
        short_ids = tuple([int.from_bytes(reader.take(SHORT_ID_SIZE), "little") for _ in range(short_id_count)])
        prefilled_count = reader.count(1 + MIN_TRANSACTION_SIZE)
        _within_block(short_id_count + prefilled_count)
        return cls(header, nonce, short_ids, tuple(_read_prefilled(reader, prefilled_count)))


def _within_block(tx_count: int) -> int:
    if tx_count > MAX_INDEX:
        raise DecodeError(f"cmpctblock: {tx_count} transactions, at most {MAX_INDEX}")
    return tx_count


def _differences(indexes: Iterable[int]) -> Iterator[int]:
    last = -1
    for index in indexes:
        yield index - last - 1
        last = index


def _read_prefilled(reader: Reader, count: int) -> Iterator[PrefilledTransaction]:
    index = -1
    for _ in range(count):
        step = reader.compact_size()
        if step > MAX_INDEX:
            raise DecodeError(f"cmpctblock: index step of {step}, at most {MAX_INDEX}")
        index += step + 1
        yield PrefilledTransaction(index, Transaction.read(reader))


@dataclass(frozen=True, slots=True)
class GetBlockTxn:
    """``getblocktxn``: the transactions at these ascending indexes (u16) of a block."""

    block_hash: bytes
    indexes: tuple[int, ...]

    command: ClassVar[str] = "getblocktxn"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        steps = b"".join([compact_size(step) for step in _differences(self.indexes)])
        return self.block_hash + compact_size(len(self.indexes)) + steps

    @classmethod
    def decode(cls, payload: bytes) -> GetBlockTxn:
        reader = Reader(payload)
        return cls(reader.hash(), tuple(_read_indexes(reader)))


def _read_indexes(reader: Reader) -> Iterator[int]:
    index = -1
    for _ in range(reader.count(1)):
        index += reader.compact_size() + 1
        if index > MAX_INDEX:
            raise DecodeError(f"getblocktxn: index {index}, at most {MAX_INDEX}")
        yield index


@dataclass(frozen=True, slots=True)
class BlockTxn:
    """``blocktxn``: the transactions asked for, in that order."""

    block_hash: bytes
    transactions: tuple[Transaction, ...]

    command: ClassVar[str] = "blocktxn"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        return self.block_hash + encode_transactions(self.transactions)

    @classmethod
    def decode(cls, payload: bytes) -> BlockTxn:
        reader = Reader(payload)
        return cls(reader.hash(), read_transactions(reader))

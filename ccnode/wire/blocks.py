"""``block`` and ``merkleblock``.

A block is a header, a count and the transactions. The message keeps the bytes: they are what is hashed, stored and
passed on, and most readers want the header only. `Block.transactions` parses, and only then a malformed transaction
shows; whoever validates takes the block apart with `ccnode.wire.parsing`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ccnode.errors import DecodeError
from ccnode.wire.parsing import parse_block
from ccnode.wire.protocol import BLOCK_HEADER_SIZE, MAX_PROTOCOL_MESSAGE_LENGTH
from ccnode.wire.serialize import HASH_SIZE, U32, Reader, hash_vector, sha256d, var_bytes
from ccnode.wire.transaction import Transaction, encode_transactions, read_transactions


@dataclass(frozen=True, slots=True)
class Block:
    """``block``: ``raw`` is the serialized block, with bytes after its end if the peer sent any."""

    raw: bytes
    header_size: int = BLOCK_HEADER_SIZE

    command: ClassVar[str] = "block"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    @property
    def header(self) -> bytes:
        return self.raw[: self.header_size]

    @property
    def hash(self) -> bytes:
        """SHA256d of the header, internal order."""
        return sha256d(self.header)

    @classmethod
    def build(cls, header: bytes, transactions: tuple[Transaction, ...]) -> Block:
        return cls(header + encode_transactions(transactions), len(header))

    def transactions(self) -> tuple[Transaction, ...]:
        """Parsed anew each time. Raises `DecodeError`."""
        return read_transactions(Reader(self.raw, self.header_size))

    def weight(self) -> int:
        """Weight units (BIP141) of the block without bytes after its end. Raises `DecodeError`."""
        return parse_block(self.raw, self.header_size).weight

    def encode(self) -> bytes:
        return self.raw

    @classmethod
    def decode(cls, payload: bytes, header_size: int = BLOCK_HEADER_SIZE) -> Block:
        if len(payload) <= header_size:
            raise DecodeError(f"truncated: a block of {len(payload)} bytes, its header alone has {header_size}")
        return cls(payload, header_size)


@dataclass(frozen=True, slots=True)
class MerkleBlock:
    """``merkleblock`` (BIP37): a header and the branch of the merkle tree that proves the matching transactions."""

    header: bytes
    total_transactions: int
    """In the block, u32."""
    hashes: tuple[bytes, ...]
    """In depth-first order."""
    flags: bytes
    """A bit per node visited, lowest bit first, padded to whole bytes."""

    command: ClassVar[str] = "merkleblock"
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def encode(self) -> bytes:
        return self.header + U32.pack(self.total_transactions) + hash_vector(self.hashes) + var_bytes(self.flags)

    @classmethod
    def decode(cls, payload: bytes, header_size: int = BLOCK_HEADER_SIZE) -> MerkleBlock:
        reader = Reader(payload)
        header, total = reader.take(header_size), reader.u32()
        hashes = reader.hashes(reader.count(HASH_SIZE))
        return cls(header, total, hashes, reader.var_bytes())

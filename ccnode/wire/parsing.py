"""Whole blocks, taken apart at once: the columns that validation reads.

`ccnode.wire.transaction` says what the bytes mean, one object per field. A block of a megabyte has ten thousand inputs
and outputs, and as objects they take a quarter of a second. Here a block becomes a handful of lists instead, one entry
per transaction: the txids, the outpoints spent (36 bytes, as on the wire: the very keys the coins are stored under),
the outputs as plain pairs. Both read the same language: what one refuses, the other refuses.

How it is quick (the block at height 413567, 1 MB, 1,557 transactions, 8,468 inputs and outputs, takes 8 ms; creating an
object per field takes 100): the length of nearly every script is a single byte, which is read in place; no bound is
checked at each step, because a slice beyond the end is merely short and the number of fixed size that follows every
slice then cannot be read; and nothing is allocated for a declared count.

The txid hashes the transaction without its witness, so that is joined again from the bytes around marker and witness.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from itertools import repeat
from struct import Struct
from struct import error as StructError
from typing import Final

from ccnode.errors import DecodeError
from ccnode.wire.protocol import BLOCK_HEADER_SIZE
from ccnode.wire.serialize import I64, MAX_SIZE, U16, U32, U64, sha256d
from ccnode.wire.transaction import WITNESS_SCALE_FACTOR

NULL_OUTPOINT: Final = bytes(32) + b"\xff" * 4
"""What a coinbase spends."""

_WITNESS_FLAG: Final = 1
_WIDE: Final[Sequence[tuple[Struct, int]]] = ((U16, 0xFD), (U32, 0x10000), (U64, 0x100000000))
"""The longer forms of a CompactSize, and the least number of each."""
_read_u32: Final = U32.unpack_from
_read_i64: Final = I64.unpack_from


class ParsedBlock:
    """A block in columns: ``txids[i]``, ``outputs[i]`` and so on are of transaction ``i``. Nobody changes it."""

    __slots__ = (
        "hash",
        "header_size",
        "locktimes",
        "offsets",
        "outpoints",
        "outputs",
        "raw",
        "script_sigs",
        "sequences",
        "stripped_size",
        "stripped_sizes",
        "txids",
        "versions",
        "witnesses",
        "wtxids",
    )

    raw: bytes
    """The block, with nothing after its end."""
    header_size: int
    hash: bytes
    """32 bytes in internal order."""
    stripped_size: int
    """Bytes of the block without any witness."""

    def __init__(self) -> None:
        self.offsets: list[int] = []
        """Where each transaction begins in ``raw``, and one more: where the last ends."""
        self.txids: list[bytes] = []
        self.wtxids: list[bytes] = []
        """Equal to the txid where there is no witness; the coinbase's is what it is, not the commitment's zero."""
        self.versions: list[int] = []  # u32
        self.locktimes: list[int] = []  # u32
        self.outpoints: list[list[bytes]] = []
        """Per transaction and input: 36 bytes."""
        self.script_sigs: list[list[bytes]] = []
        self.sequences: list[list[int]] = []  # u32
        self.outputs: list[list[tuple[int, bytes]]] = []
        """Per transaction and output: value in satoshi (i64, unchecked) and scriptPubKey."""
        self.witnesses: list[list[tuple[bytes, ...]] | None] = []
        """None for a transaction without, else a stack per input."""
        self.stripped_sizes: list[int] = []
        """Bytes of each transaction without its witness."""

    def __len__(self) -> int:
        """Number of transactions."""
        return len(self.txids)

    @property
    def header(self) -> bytes:
        return self.raw[: self.header_size]

    @property
    def merkle_root(self) -> bytes:
        """What the header claims: after version and previous hash in every format."""
        return self.raw[36:68]

    @property
    def weight(self) -> int:
        """Weight units (BIP141): three times the size without witness plus the full size."""
        return (WITNESS_SCALE_FACTOR - 1) * self.stripped_size + len(self.raw)

    def transaction(self, i: int) -> bytes:
        """Transaction ``i`` as serialized, with its witness."""
        return self.raw[self.offsets[i] : self.offsets[i + 1]]

    def is_coinbase(self, i: int) -> bool:
        """Whether transaction ``i`` has a coinbase's one null input."""
        return self.outpoints[i] == [NULL_OUTPOINT]


def parse_block(raw: bytes, header_size: int = BLOCK_HEADER_SIZE, block_hash: bytes | None = None) -> ParsedBlock:
    """Take a serialized block apart; bytes after its end are cut off. Raises `DecodeError`.

    ``block_hash`` is for header formats whose hash is another than the double SHA-256 of the header.
    """
    block = ParsedBlock()
    try:
        count, first = _compact_size(raw, header_size)
        end = _parse_transactions(block, raw, first, count)
    except (IndexError, StructError):
        raise DecodeError(f"truncated: {len(raw)} bytes are not the whole block") from None
    block.raw = raw if end == len(raw) else raw[:end]
    block.header_size = header_size
    block.hash = sha256d(raw[:header_size]) if block_hash is None else block_hash
    block.stripped_size = first + sum(block.stripped_sizes)
    return block


def _parse_transactions(block: ParsedBlock, raw: bytes, position: int, count: int) -> int:
    """Fill the columns with ``count`` transactions that begin at ``position``; returns where they end."""
    digest = sha256
    block.offsets.append(position)
    for _ in repeat(None, count):
        start, vin = position, position + 4
        witness = None
        if raw[vin]:
            outpoints, script_sigs, sequences, position = _parse_inputs(raw, vin)
            outputs, position = _parse_outputs(raw, position)
        elif raw[vin + 1] == _WITNESS_FLAG:
            vin += 2
            outpoints, script_sigs, sequences, position = _parse_inputs(raw, vin)
            outputs, vout_end = _parse_outputs(raw, position)
            witness, position = _parse_witness(raw, vout_end, len(outpoints))
        elif raw[vin + 1] == 0:  # no input, and then no output either
            outpoints, script_sigs, sequences, outputs, position = [], [], [], [], vin + 2
        else:
            raise DecodeError(f"unknown transaction flags {raw[vin + 1]:#04x}")
        block.locktimes.append(_read_u32(raw, position)[0])
        position += 4
        txid = wtxid = digest(digest(raw[start:position]).digest()).digest()
        stripped_size = position - start
        if witness is not None:
            stripped = raw[start : start + 4] + raw[vin:vout_end] + raw[position - 4 : position]
            txid = digest(digest(stripped).digest()).digest()
            stripped_size = len(stripped)
        block.offsets.append(position)
        block.txids.append(txid)
        block.wtxids.append(wtxid)
        block.versions.append(_read_u32(raw, start)[0])
        block.outpoints.append(outpoints)
        block.script_sigs.append(script_sigs)
        block.sequences.append(sequences)
        block.outputs.append(outputs)
        block.witnesses.append(witness)
        block.stripped_sizes.append(stripped_size)
    return position


def _parse_inputs(raw: bytes, position: int) -> tuple[list[bytes], list[bytes], list[int], int]:
    """Outpoints, scriptSigs and sequences of a vector of inputs, and where it ends."""
    read_u32 = _read_u32
    outpoints, scripts, sequences = [], [], []
    count = raw[position]
    position += 1
    if count >= 0xFD:
        count, position = _compact_size(raw, position - 1)
    for _ in repeat(None, count):
        script = position + 36
        size = raw[script]
        if size < 0xFD:
            script += 1
        else:
            size, script = _compact_size(raw, script)
        end = script + size
        outpoints.append(raw[position : position + 36])
        scripts.append(raw[script:end])
        sequences.append(read_u32(raw, end)[0])
        position = end + 4
    return outpoints, scripts, sequences, position


def _parse_outputs(raw: bytes, position: int) -> tuple[list[tuple[int, bytes]], int]:
    """Values and scripts of a vector of outputs, and where it ends."""
    read_i64 = _read_i64
    outputs = []
    count = raw[position]
    position += 1
    if count >= 0xFD:
        count, position = _compact_size(raw, position - 1)
    for _ in repeat(None, count):
        script = position + 8
        size = raw[script]
        if size < 0xFD:
            script += 1
        else:
            size, script = _compact_size(raw, script)
        end = script + size
        outputs.append((read_i64(raw, position)[0], raw[script:end]))
        position = end
    return outputs, position


def _parse_witness(raw: bytes, position: int, inputs: int) -> tuple[list[tuple[bytes, ...]], int]:
    """A stack per input, and where the last ends."""
    stacks: list[tuple[bytes, ...]] = []
    for _ in repeat(None, inputs):
        count = raw[position]
        position += 1
        if count >= 0xFD:
            count, position = _compact_size(raw, position - 1)
        stack = []
        for _ in repeat(None, count):
            size = raw[position]
            position += 1
            if size >= 0xFD:
                size, position = _compact_size(raw, position - 1)
            stack.append(raw[position : position + size])
            position += size
        stacks.append(tuple(stack))
    if not any(stacks):
        raise DecodeError("superfluous witness record")
    return stacks, position


def _compact_size(raw: bytes, position: int) -> tuple[int, int]:
    """The length at ``position``, of any width, and where it ends. IndexError or struct.error beyond the end."""
    first = raw[position]
    position += 1
    if first < 0xFD:
        return first, position
    form, least = _WIDE[first - 0xFD]
    value: int = form.unpack_from(raw, position)[0]
    if value < least:
        raise DecodeError(f"non-canonical CompactSize: {value} in {1 + form.size} bytes")
    if value > MAX_SIZE:
        raise DecodeError(f"length {value} is over the maximum of {MAX_SIZE}")
    return value, position + form.size

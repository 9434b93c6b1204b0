"""Transactions as people see them, and as they write them in hex (Core: ``core_io.cpp``).

The members of a decoded transaction come from the columns of a `ParsedBlock`, so that a whole block is shown without an
object per field. A transaction by itself is read as a block of one.

Hex from a person may mean two things where there are no inputs: the marker of the form with witness looks like an empty
list of inputs. Both readings are tried, and the one whose scripts make sense is taken.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from ccnode.chain.coins import read_coin
from ccnode.chain.money import COIN
from ccnode.chain.params import AddressPrefixes
from ccnode.chain.script import MAX_SCRIPT_SIZE
from ccnode.chain.script_text import has_valid_ops, script_asm, script_members
from ccnode.errors import DecodeError
from ccnode.wire.parsing import ParsedBlock, parse_block
from ccnode.wire.serialize import U32, Reader, sha256d
from ccnode.wire.transaction import WITNESS_SCALE_FACTOR, TxOut

_MIN_OUTPUT_SIZE: Final = 9


def amount(value: int) -> float:
    """Satoshi as coins: what JSON shows of the nearest double are the eight decimals, and no other digits."""
    return value / COIN


def read_transaction(raw: bytes) -> ParsedBlock:
    """A transaction as a block of one, without a header. Raises `DecodeError`, for bytes after the end too."""
    block = parse_block(b"\x01" + raw, header_size=0, block_hash=b"")
    if len(block.raw) != 1 + len(raw):
        raise DecodeError(f"{1 + len(raw) - len(block.raw)} bytes after the end of the transaction")
    return block


def decode_transaction(raw: bytes, *, with_witness: bool = True, without: bool = True) -> ParsedBlock | None:
    """What a person's bytes mean, in the form with witness or in that without; None if nothing (``DecodeTx``)."""
    extended = _attempt(read_transaction, raw) if with_witness else None
    if extended is not None and _is_sane(extended):
        return extended
    plain = _attempt(_read_plain, raw) if without else None
    if plain is not None and _is_sane(plain):
        return plain
    return plain if extended is None else extended


def _attempt(read: Callable[[bytes], ParsedBlock], raw: bytes) -> ParsedBlock | None:
    try:
        return read(raw)
    except DecodeError:
        return None


def _read_plain(raw: bytes) -> ParsedBlock:
    """A transaction in the form without witness, where an empty list of inputs is just that."""
    if raw[4:5] != b"\0":
        block = read_transaction(raw)
        if block.witnesses[0] is not None:
            raise DecodeError("a transaction with a witness")
        return block
    reader = Reader(raw, 5)
    outputs = [TxOut.read(reader) for _ in range(reader.count(_MIN_OUTPUT_SIZE))]
    locktime = reader.u32()
    if reader.remaining:
        raise DecodeError(f"{reader.remaining} bytes after the end of the transaction")
    block = ParsedBlock()
    block.raw, block.header_size, block.hash, block.offsets = b"\x01" + raw, 0, b"", [1, 1 + len(raw)]
    block.txids = block.wtxids = [sha256d(raw)]
    block.versions, block.locktimes = [U32.unpack_from(raw)[0]], [locktime]
    block.outpoints, block.script_sigs, block.sequences, block.witnesses = [[]], [[]], [[]], [None]
    block.outputs = [[(output.value, output.script_pubkey) for output in outputs]]
    block.stripped_sizes, block.stripped_size = [len(raw)], 1 + len(raw)
    return block


def _is_sane(block: ParsedBlock) -> bool:
    """Whether all scripts can be read, and are not too long (Core: ``CheckTxScriptsSanity``)."""
    scripts = [script for _value, script in block.outputs[0]]
    if not block.is_coinbase(0):
        scripts += block.script_sigs[0]
    return all(len(script) <= MAX_SCRIPT_SIZE and has_valid_ops(script) for script in scripts)


Pace = Callable[[Iterable[Any]], Iterable[Any]]
"""Gives back what it is given, and may let others run in between: a transaction can have thirty thousand outputs."""


def transaction_members(
    block: ParsedBlock,
    i: int,
    prefixes: AddressPrefixes,
    *,
    spent: Sequence[bytes] | None = None,
    prevouts: bool = False,
    with_hex: bool = True,
    pace: Pace = iter,
) -> dict[str, object]:
    """What RPCs tell of transaction ``i`` (Core: ``TxToUniv``).

    ``spent`` are the coins that it spends, in input order: then the fee is told, with ``prevouts`` the coins as well.
    """
    raw = block.transaction(i)
    weight = (WITNESS_SCALE_FACTOR - 1) * block.stripped_sizes[i] + len(raw)
    members: dict[str, object] = {
        "txid": block.txids[i][::-1].hex(),
        "hash": block.wtxids[i][::-1].hex(),
        "version": block.versions[i],
        "size": len(raw),
        "vsize": -(-weight // WITNESS_SCALE_FACTOR),
        "weight": weight,
        "locktime": block.locktimes[i],
        "vin": _inputs(block, i, prefixes, spent if prevouts else None, pace),
        "vout": [
            {"value": amount(value), "n": n, "scriptPubKey": script_members(script, prefixes)}
            for n, (value, script) in enumerate(pace(block.outputs[i]))
        ],
    }
    if spent is not None:
        total_in = sum(read_coin(coin)[0] for coin in spent)
        members["fee"] = amount(total_in - sum(value for value, _script in block.outputs[i]))
    if with_hex:
        members["hex"] = raw.hex()
    return members


def _inputs(
    block: ParsedBlock, i: int, prefixes: AddressPrefixes, spent: Sequence[bytes] | None, pace: Pace
) -> list[dict[str, object]]:
    is_coinbase, witness = block.is_coinbase(i), block.witnesses[i]
    inputs = []
    columns = zip(block.outpoints[i], block.script_sigs[i], block.sequences[i], strict=True)
    for n, (outpoint, script_sig, sequence) in enumerate(pace(columns)):
        shown: dict[str, object]
        if is_coinbase:
            shown = {"coinbase": script_sig.hex()}
        else:
            shown = {
                "txid": outpoint[31::-1].hex(),
                "vout": U32.unpack_from(outpoint, 32)[0],
                "scriptSig": {"asm": script_asm(script_sig, signatures=True), "hex": script_sig.hex()},
            }
        if witness is not None and witness[n]:
            shown["txinwitness"] = [item.hex() for item in witness[n]]
        if spent is not None:
            shown["prevout"] = _prevout(spent[n], prefixes)
        shown["sequence"] = sequence
        inputs.append(shown)
    return inputs


def _prevout(coin: bytes, prefixes: AddressPrefixes) -> dict[str, object]:
    value, script, height, is_coinbase = read_coin(coin)
    return {
        "generated": is_coinbase,
        "height": height,
        "value": amount(value),
        "scriptPubKey": script_members(script, prefixes),
    }

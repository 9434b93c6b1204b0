"""Commands about single transactions, scripts and addresses (Core: ``rpc/rawtransaction.cpp``)."""

import re
from decimal import Decimal
from typing import Final, TypeGuard

from ccnode.admin import rpc_errors
from ccnode.admin.arguments import json_type, members_of, parse_hash
from ccnode.admin.block_access import require_blocks
from ccnode.admin.commands.blocks import TRANSACTION, read_block, read_undo
from ccnode.admin.commands.common import display_hash, hex_bytes, parse_hex
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import Arg, ArgType, command
from ccnode.chain.addresses import AddressError, decode_address, encode_address, script_hash_script
from ccnode.chain.hash160 import hash160
from ccnode.chain.money import money_range
from ccnode.chain.script import OP_RETURN, push, witness_program
from ccnode.chain.script_text import (
    OutputType,
    can_be_wrapped,
    output_type,
    script_members,
    segwit_form,
    witness_members,
)
from ccnode.chain.transaction_text import decode_transaction, transaction_members
from ccnode.errors import RpcError
from ccnode.network.hub import breathing
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut

MAX_SEQUENCE: Final = 0xFFFFFFFF
MAX_SEQUENCE_NONFINAL: Final = MAX_SEQUENCE - 1
"""Lets a locktime count."""
MAX_BIP125_SEQUENCE: Final = MAX_SEQUENCE - 2
"""The highest that says that the transaction may be replaced."""
MAX_LOCKTIME: Final = 0xFFFFFFFF

DEFAULT_VERSION: Final = 2
_STANDARD_VERSIONS: Final = range(1, 4)

_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?")
"""A number as JSON writes it; Python would read spaces, underscores and other scripts' digits as well."""
_DECIMALS: Final = 8
_MAX_NUMBER: Final = 28
"""Characters of an amount: as many digits as `Decimal` keeps."""


@command(
    "getrawtransaction",
    "rawtransactions",
    args=[
        Arg("txid", ArgType.HASH, "The transaction"),
        Arg(
            "verbosity",
            ArgType.VERBOSITY,
            "0: the bytes in hex; 1: an object; 2: with fee and what is spent",
            default=0,
            aliases=("verbose",),
        ),
        Arg("blockhash", ArgType.HASH, "The block that holds it", default=None, completion="blockhash"),
    ],
    help="Returns a transaction of a block. Without a block none is found: the node keeps no index of transactions.",
    result=f"""{{
  "in_active_chain": true|false,
  ...                                {TRANSACTION}
  "blockhash": "hex",
  "confirmations": n,
  "time": n,
  "blocktime": n
}}
or "hex"    (string) the serialized transaction""",
    example="0e3e2357... 1 00000000839a8e66...",
)
def get_raw_transaction(
    context: AdminContext, txid: bytes, verbosity: int, blockhash: bytes | None
) -> dict[str, object] | str:
    require_blocks(context.blocks)
    index = context.chain.index
    if txid == context.chain.header(0).merkle_root and index.base_height == 0:
        text = "The genesis block coinbase is not considered an ordinary transaction and cannot be retrieved"
        raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, text)
    if blockhash is None:
        text = "No such mempool transaction. Use -txindex or provide a block hash to enable blockchain transaction "
        raise _not_found(text + "queries")
    entry = index.find(blockhash)
    if entry is None:
        raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, "Block hash not found")
    if not require_blocks(context.blocks).have_data(entry):
        raise RpcError(rpc_errors.MISC_ERROR, "Block not available")
    block = read_block(context, entry)
    if txid not in block.txids:
        raise _not_found("No such transaction found in the provided block")
    position = block.txids.index(txid)
    if verbosity <= 0:
        return block.transaction(position).hex()
    spent = read_undo(context, entry) if verbosity > 1 and position > 0 else None
    active = index.in_active(entry)
    members = transaction_members(
        block,
        position,
        context.chain.params.prefixes,
        spent=None if spent is None else spent[position - 1],
        prevouts=True,
        pace=breathing,
    )
    return {"in_active_chain": active, **members, "blockhash": display_hash(blockhash), **_depth(context, entry)}


def _not_found(text: str) -> RpcError:
    return RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, f"{text}. Use gettransaction for wallet transactions.")


def _depth(context: AdminContext, entry: int) -> dict[str, object]:
    index = context.chain.index
    if not index.in_active(entry):
        return {"confirmations": 0}
    time = index.time(entry)
    return {"confirmations": index.height(index.tip) - index.height(entry) + 1, "time": time, "blocktime": time}


@command(
    "decoderawtransaction",
    "rawtransactions",
    args=[
        Arg("hexstring", ArgType.STRING, "The serialized transaction, in hex"),
        Arg(
            "iswitness",
            ArgType.BOOLEAN,
            "true: read it in the form with witness; false: in the form without; else what makes sense is taken",
            default=None,
        ),
    ],
    help="Returns what a serialized transaction says.",
    result=TRANSACTION,
    example="0200000001...",
)
def decode_raw_transaction(context: AdminContext, hexstring: str, iswitness: bool | None) -> dict[str, object]:
    raw = hex_bytes(hexstring) or b""
    block = decode_transaction(raw, with_witness=iswitness is not False, without=iswitness is not True)
    if block is None:
        raise RpcError(rpc_errors.DESERIALIZATION_ERROR, "TX decode failed")
    return transaction_members(block, 0, context.chain.params.prefixes, with_hex=False, pace=breathing)


@command(
    "decodescript",
    "rawtransactions",
    args=[Arg("hexstring", ArgType.STRING, "The script, in hex; may be empty")],
    help="Returns what a script says, and the addresses by which one could pay to its hash.",
    result="""{
  "asm": "str",
  "desc": "str",
  "address": "str",                  if there is one
  "type": "str",
  "p2sh": "str",                     the address that pays to its hash, if that makes sense
  "segwit": {                        the witness program that asks for the same, if there is one
    "asm": "str",
    "desc": "str",
    "hex": "hex",
    "address": "str",
    "type": "str",
    "p2sh-segwit": "str"             the address that pays to the hash of the program
  }
}""",
    example="76a91411b366edfc0a8b66feebae5c2e25a7b6a5d1cf3188ac",
)
def decode_script(context: AdminContext, hexstring: str) -> dict[str, object]:
    script = parse_hex("argument", hexstring) if hexstring else b""
    prefixes = context.chain.params.prefixes
    members = script_members(script, prefixes, with_hex=False)
    if can_be_wrapped(script):
        members["p2sh"] = encode_address(script_hash_script(hash160(script)), prefixes)
        program = segwit_form(script)
        if program is not None:
            nested = encode_address(script_hash_script(hash160(program)), prefixes)
            members["segwit"] = {**witness_members(script, program, prefixes), "p2sh-segwit": nested}
    return members


@command(
    "createrawtransaction",
    "rawtransactions",
    args=[
        Arg("inputs", ArgType.ARRAY, 'What it spends: {"txid": "hex", "vout": n, "sequence": n}, ...'),
        Arg("outputs", ArgType.JSON, 'Where it pays: {"address": amount, ...} or an array of such; "data": "hex" too'),
        Arg("locktime", ArgType.INTEGER, "Height or time before which no block may hold it", default=0),
        Arg("replaceable", ArgType.BOOLEAN, "Its inputs say that it may be replaced (BIP125)", default=True),
        Arg("version", ArgType.INTEGER, "1, 2 or 3", default=DEFAULT_VERSION),
    ],
    help="Returns an unsigned transaction. Nothing is sent, and what it spends is not looked for.",
    result='"hex"    (string) the serialized transaction',
    example='\'[{"txid": "hex", "vout": 0}]\' \'[{"bcrt1q...": 0.01}]\'',
)
def create_raw_transaction(
    context: AdminContext, inputs: list[object], outputs: object, locktime: int, replaceable: bool, version: int
) -> str:
    if not 0 <= locktime <= MAX_LOCKTIME:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Invalid parameter, locktime out of range")
    if version not in _STANDARD_VERSIONS:
        first, last = _STANDARD_VERSIONS[0], _STANDARD_VERSIONS[-1]
        text = f"Invalid parameter, version out of range({first}~{last})"
        raise RpcError(rpc_errors.INVALID_PARAMETER, text)
    sequence = MAX_BIP125_SEQUENCE if replaceable else MAX_SEQUENCE_NONFINAL if locktime else MAX_SEQUENCE
    vin = tuple(_input(each, sequence) for each in inputs)
    vout = _outputs(context, outputs)
    if replaceable and vin and all(each.sequence > MAX_BIP125_SEQUENCE for each in vin):
        text = "Invalid parameter combination: Sequence number(s) contradict replaceable option"
        raise RpcError(rpc_errors.INVALID_PARAMETER, text)
    return Transaction(version, vin, vout, locktime).encode().hex()


def _input(given: object, sequence: int) -> TxIn:
    if not isinstance(given, dict):
        raise RpcError(rpc_errors.TYPE_ERROR, f"JSON value of type {json_type(given)} is not of expected type object")
    txid = given.get("txid")
    if not isinstance(txid, str):
        raise RpcError(rpc_errors.TYPE_ERROR, f"JSON value of type {json_type(txid)} is not of expected type string")
    outpoint = parse_hash("txid", txid)
    index = given.get("vout")
    if not _is_integer(index):
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Invalid parameter, missing vout key")
    if index < 0:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Invalid parameter, vout cannot be negative")
    if index > MAX_SEQUENCE:
        raise RpcError(rpc_errors.MISC_ERROR, "JSON integer out of range")
    wanted = given.get("sequence")
    if _is_integer(wanted):
        if not 0 <= wanted <= MAX_SEQUENCE:
            text = "Invalid parameter, sequence number is out of range"
            raise RpcError(rpc_errors.INVALID_PARAMETER, text)
        sequence = wanted
    return TxIn(OutPoint(outpoint, index), b"", sequence)


def _is_integer(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _outputs(context: AdminContext, given: object) -> tuple[TxOut, ...]:
    """Destinations and amounts, from an object or an array of objects with one member each."""
    pairs: list[tuple[str, object]] = []
    if isinstance(given, dict):
        pairs = members_of(given)
    elif isinstance(given, list):
        for each in given:
            if not isinstance(each, dict):
                text = "Invalid parameter, key-value pair not an object as expected"
                raise RpcError(rpc_errors.INVALID_PARAMETER, text)
            if len(each) != 1:
                text = "Invalid parameter, key-value pair must contain exactly one key"
                raise RpcError(rpc_errors.INVALID_PARAMETER, text)
            pairs += each.items()
    elif given is None:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Invalid parameter, output argument must be non-null")
    else:
        raise RpcError(rpc_errors.TYPE_ERROR, f"JSON value of type {json_type(given)} is not of expected type array")
    found: list[TxOut] = []
    scripts: set[bytes] = set()
    for name, value in pairs:
        if name == "data":
            if b"" in scripts:
                raise RpcError(rpc_errors.INVALID_PARAMETER, "Invalid parameter, duplicate key: data")
            scripts.add(b"")
            found.append(TxOut(0, bytes((OP_RETURN,)) + push(_data(value))))
            continue
        try:
            script = decode_address(name, context.chain.params.prefixes)
        except AddressError:
            raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, f"Invalid Bitcoin address: {name}") from None
        if script in scripts:
            raise RpcError(rpc_errors.INVALID_PARAMETER, f"Invalid parameter, duplicated address: {name}")
        scripts.add(script)
        found.append(TxOut(parse_amount(value), script))
    return tuple(found)


def _data(value: object) -> bytes:
    text = str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return parse_hex("Data", text)


def parse_amount(value: object) -> int:
    """Coins, as a number or a string of one, in satoshi (Core: ``AmountFromValue``). Raises `RpcError` -3."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise RpcError(rpc_errors.TYPE_ERROR, "Amount is not a number or string")
    text = str(value)
    if len(text) > _MAX_NUMBER or not _NUMBER.fullmatch(text):
        raise RpcError(rpc_errors.TYPE_ERROR, "Invalid amount")
    satoshi = Decimal(text).scaleb(_DECIMALS)
    if satoshi != satoshi.to_integral_value():
        raise RpcError(rpc_errors.TYPE_ERROR, "Invalid amount")
    if not money_range(int(satoshi)):
        raise RpcError(rpc_errors.TYPE_ERROR, "Amount out of range")
    return int(satoshi)


@command(
    "validateaddress",
    "util",
    args=[Arg("address", ArgType.STRING, "The address")],
    help="Returns whether a text is an address of this network, and what it stands for.",
    result="""{
  "isvalid": true|false,
  "address": "str",                  the following only if it is valid
  "scriptPubKey": "hex",
  "isscript": true|false,
  "iswitness": true|false,
  "witness_version": n,
  "witness_program": "hex",
  "error_locations": [n, ...],       the following only if it is not
  "error": "str"
}""",
    example="1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa",
)
def validate_address(context: AdminContext, address: str) -> dict[str, object]:
    prefixes = context.chain.params.prefixes
    try:
        script = decode_address(address, prefixes)
    except AddressError as error:
        return {"isvalid": False, "error_locations": error.places, "error": str(error)}
    witness = witness_program(script)
    kind = output_type(script)
    found: dict[str, object] = {
        "isvalid": True,
        "address": encode_address(script, prefixes),
        "scriptPubKey": script.hex(),
    }
    if kind is not OutputType.WITNESS_UNKNOWN:
        found["isscript"] = kind not in (OutputType.PUBKEYHASH, OutputType.WITNESS_V0_KEYHASH)
    found["iswitness"] = witness is not None
    if witness is not None:
        found |= {"witness_version": witness[0], "witness_program": witness[1].hex()}
    return found

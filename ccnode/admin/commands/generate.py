"""Commands that make blocks at once, for networks without work to speak of (Core: ``rpc/mining.cpp``)."""

from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.arguments import HASH_DIGITS, json_type
from ccnode.admin.block_access import require_blocks
from ccnode.admin.commands.common import display_hash, hex_bytes, next_template
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import HIDDEN, Arg, ArgType, command
from ccnode.chain.addresses import AddressError, decode_address
from ccnode.chain.descriptors import DescriptorError, parse_descriptor
from ccnode.chain.mining import Grind, build_block
from ccnode.chain.transaction_text import decode_transaction
from ccnode.errors import RpcError
from ccnode.network.hub import breathe, breathing
from ccnode.wire.blocks import Block
from ccnode.wire.parsing import ParsedBlock

DEFAULT_MAX_TRIES: Final = 1_000_000
"""Nonces that one command tries."""

_MAX_TRIES: Final = Arg("maxtries", ArgType.INTEGER, "How many nonces to try at most", default=DEFAULT_MAX_TRIES)
_HASHES: Final = '["hex", ...]    (json array) the hashes of the blocks'


@command(
    "generatetoaddress",
    HIDDEN,
    changes=True,
    args=[
        Arg("nblocks", ArgType.INTEGER, "How many blocks"),
        Arg("address", ArgType.STRING, "Who gets the reward"),
        _MAX_TRIES,
    ],
    help="Mines blocks on top of the tip.",
    result=_HASHES,
    example="11 bcrt1q...",
)
def generate_to_address(context: AdminContext, nblocks: int, address: str, maxtries: int) -> list[str]:
    require_blocks(context.blocks)
    try:
        script = decode_address(address, context.chain.params.prefixes)
    except AddressError:
        raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, "Error: Invalid address") from None
    return _generate(context, nblocks, script, maxtries)


@command(
    "generatetodescriptor",
    HIDDEN,
    changes=True,
    args=[
        Arg("num_blocks", ArgType.INTEGER, "How many blocks"),
        Arg("descriptor", ArgType.STRING, "Who gets the reward: addr(ADDRESS) or raw(HEX)"),
        _MAX_TRIES,
    ],
    help="Mines blocks on top of the tip.",
    result=_HASHES,
    example='11 "raw(51)"',
)
def generate_to_descriptor(context: AdminContext, num_blocks: int, descriptor: str, maxtries: int) -> list[str]:
    require_blocks(context.blocks)
    try:
        script = parse_descriptor(descriptor, context.chain.params.prefixes)
    except DescriptorError as error:
        raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, str(error)) from error
    return _generate(context, num_blocks, script, maxtries)


def _generate(context: AdminContext, count: int, script: bytes, tries: int) -> list[str]:
    blocks = require_blocks(context.blocks)
    if tries < 0:
        raise RpcError(rpc_errors.MISC_ERROR, "JSON integer out of range")
    chain = context.chain
    hashes: list[str] = []
    while len(hashes) < count and not blocks.interrupted:
        breathe()
        template = next_template(context)
        grind = _ground(context, build_block(template, script), tries)
        tries = grind.tries
        if grind.found is None:
            if grind.exhausted:
                continue
            break
        submitted = blocks.wait_process(grind.found.raw)
        if submitted.verdict is not None:
            raise RpcError(rpc_errors.INTERNAL_ERROR, "ProcessNewBlock, block not accepted")
        hashes.append(display_hash(chain.params.header_format.hash(grind.found.header)))
    return hashes


def _ground(context: AdminContext, block: Block, tries: int) -> Grind:
    grind = Grind(block, context.chain.params, tries)
    while not grind.step():
        breathe()
    return grind


@command(
    "generateblock",
    HIDDEN,
    changes=True,
    args=[
        Arg("output", ArgType.STRING, "Who gets the reward: an address or a descriptor"),
        Arg("transactions", ArgType.ARRAY, "Serialized transactions in hex, in the order of the block"),
        Arg("submit", ArgType.BOOLEAN, "false: return the block and do not take it in", default=True),
    ],
    help="Mines a block with certain transactions on top of the tip. Their fees are not collected.",
    result="""{
  "hash": "hex",
  "hex": "hex"                       the block, if it was not to be taken in
}""",
    example='"raw(51)" \'["0200000001..."]\'',
)
def generate_block(context: AdminContext, output: str, transactions: list[object], submit: bool) -> dict[str, object]:
    blocks, chain = require_blocks(context.blocks), context.chain
    script = _reward_script(context, output)
    included = [_transaction(each) for each in breathing(transactions)]
    template = next_template(context)
    block = build_block(template, script, included)
    verdict = blocks.wait_test(block.raw)
    if verdict is not None:
        reason = f"{verdict.reason}, {verdict.detail}" if verdict.detail else verdict.reason
        raise RpcError(rpc_errors.VERIFY_ERROR, f"TestBlockValidity failed: {reason}")
    found = _ground(context, block, DEFAULT_MAX_TRIES).found
    if found is None:
        raise RpcError(rpc_errors.MISC_ERROR, "Failed to make block.")
    answer: dict[str, object] = {"hash": display_hash(chain.params.header_format.hash(found.header))}
    if not submit:
        return {**answer, "hex": found.raw.hex()}
    if blocks.wait_process(found.raw).verdict is not None:
        raise RpcError(rpc_errors.INTERNAL_ERROR, "ProcessNewBlock, block not accepted")
    return answer


def _reward_script(context: AdminContext, output: str) -> bytes:
    prefixes = context.chain.params.prefixes
    try:
        return parse_descriptor(output, prefixes)
    except DescriptorError:
        try:
            return decode_address(output, prefixes)
        except AddressError:
            text = "Error: Invalid address or descriptor"
            raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, text) from None


def _transaction(given: object) -> ParsedBlock:
    """A transaction in hex, as a block of one."""
    if not isinstance(given, str):
        raise RpcError(rpc_errors.TYPE_ERROR, f"JSON value of type {json_type(given)} is not of expected type string")
    raw = hex_bytes(given) or b""
    if len(given) == HASH_DIGITS and raw:
        raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, f"Transaction {given} not in mempool.")
    block = decode_transaction(raw)
    if block is None or not block.outpoints[0]:
        text = f"Transaction decode failed for {given}. Make sure the tx has at least one input."
        raise RpcError(rpc_errors.DESERIALIZATION_ERROR, text)
    return block

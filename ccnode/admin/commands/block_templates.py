"""Commands by which other programs mine (BIP22, BIP23, BIP145; Core: ``rpc/mining.cpp``).

There is no memory pool: a template asks for a coinbase and nothing else.
"""

from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.arguments import parse_hash
from ccnode.admin.block_access import BlockAccess, require_blocks
from ccnode.admin.commands.common import display_hash, hex64, hex_bytes, next_template
from ccnode.admin.context import LONGEST_WAIT, AdminContext
from ccnode.admin.registry import Arg, ArgType, command
from ccnode.chain.block_rules import MAX_BLOCK_SIGOPS_COST
from ccnode.chain.mining import BlockTemplate, commitment_script, with_commitment_witness
from ccnode.chain.pow import decode_compact
from ccnode.chain.transaction_rules import MAX_BLOCK_WEIGHT
from ccnode.chain.version_bits import COUNTED, State
from ccnode.errors import DecodeError, RpcError
from ccnode.wire.parsing import ParsedBlock
from ccnode.wire.transaction import WITNESS_SCALE_FACTOR

MAX_BLOCK_SIZE: Final = 4_000_000
"""Bytes of a block with witnesses (``MAX_BLOCK_SERIALIZED_SIZE``)."""

_UPDATES: Final = "0"
"""What Core appends to a longpollid: how often its memory pool changed."""


@command(
    "getblocktemplate",
    "mining",
    args=[
        Arg(
            "template_request",
            ArgType.OBJECT,
            "What is wanted; see above",
        )
    ],
    help="Returns what a block on top of the tip has to be, or, to a proposal, what is wrong with it.\n"
    'The request has "rules" with "segwit", on signets "signet" too, and perhaps a "longpollid" of an earlier answer:\n'
    'then a new tip is waited for. A proposal is {"mode": "proposal", "data": "hex"}.',
    result="""{
  "capabilities": ["proposal"],
  "version": n,
  "rules": ["str", ...],
  "vbavailable": {"name": n, ...},   deployments that are signalled for, with their bits (BIP9)
  "vbrequired": 0,
  "previousblockhash": "hex",
  "transactions": [],                there is no memory pool
  "coinbaseaux": {},
  "coinbasevalue": n,                satoshi
  "longpollid": "str",
  "target": "hex",
  "mintime": n,                      Unix seconds
  "mutable": ["time", "transactions", "prevblock"],
  "noncerange": "00000000ffffffff",
  "sigoplimit": n,
  "sizelimit": n,
  "weightlimit": n,                  with segwit
  "curtime": n,
  "bits": "hex",
  "height": n,
  "signet_challenge": "hex",         on signets only
  "default_witness_commitment": "hex"    the script of the commitment of a block without transactions, with segwit
}
or, to a proposal, null if it is fine, else the reason""",
    example='\'{"rules": ["segwit"]}\'',
)
def get_block_template(context: AdminContext, template_request: dict[str, object]) -> dict[str, object] | str | None:
    blocks = require_blocks(context.blocks)
    mode = template_request.get("mode")
    if mode not in (None, "template", "proposal"):
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Invalid mode")
    if mode == "proposal":
        return _judge(context, blocks, template_request.get("data"))
    _check_ready(context)
    if template_request.get("longpollid") is not None:
        _wait_for_change(context, template_request["longpollid"])
    _check_rules(context, template_request.get("rules"))
    return _template_members(context, next_template(context))


def _judge(context: AdminContext, blocks: BlockAccess, data: object) -> str | None:
    """What is wrong with a proposed block; None if nothing."""
    if not isinstance(data, str):
        raise RpcError(rpc_errors.TYPE_ERROR, "Missing data String key for proposal")
    block = _decode(blocks, data)
    index, table = context.chain.index, blocks.table
    entry = index.find(block.hash)
    if entry is not None:
        if table.scripts_valid(entry) and not index.is_invalid(entry):
            return "duplicate"
        return "duplicate-invalid" if index.is_invalid(entry) else "duplicate-inconclusive"
    verdict = blocks.wait_test(block.raw)
    return None if verdict is None else verdict.reason


def _decode(blocks: BlockAccess, text: str) -> ParsedBlock:
    """A block of hex; -22 if it is none."""
    try:
        return blocks.wait_parse(hex_bytes(text) or b"")
    except DecodeError:
        raise RpcError(rpc_errors.DESERIALIZATION_ERROR, "Block decode failed") from None


def _check_ready(context: AdminContext) -> None:
    """Whether mining makes sense; test networks start from nothing."""
    if context.chain.params.core_name != "main":
        return
    if not context.net.peers:
        raise RpcError(rpc_errors.CLIENT_NOT_CONNECTED, "ccnode is not connected!")
    if context.chain.is_ibd():
        text = "ccnode is in initial sync and waiting for blocks..."
        raise RpcError(rpc_errors.CLIENT_IN_INITIAL_DOWNLOAD, text)


def _wait_for_change(context: AdminContext, longpollid: object) -> None:
    """Return once the tip is another than ``longpollid`` says, or than the present one if that says nothing."""
    index = context.chain.index
    watched = index.hash(index.tip)
    if isinstance(longpollid, str):
        watched = parse_hash("longpollid", longpollid[:64])
    context.tip_watch.wait_until(lambda: index.hash(index.tip) != watched, LONGEST_WAIT, context.clock.steady)


def _check_rules(context: AdminContext, rules: object) -> None:
    given = {rule for rule in rules if isinstance(rule, str)} if isinstance(rules, list) else set()
    if context.chain.params.signet_challenge is not None and "signet" not in given:
        wanted = '(call with {"rules": ["segwit", "signet"]})'
        text = f"getblocktemplate must be called with the signet rule set {wanted}"
        raise RpcError(rpc_errors.INVALID_PARAMETER, text)
    if "segwit" not in given:
        text = 'getblocktemplate must be called with the segwit rule set (call with {"rules": ["segwit"]})'
        raise RpcError(rpc_errors.INVALID_PARAMETER, text)


def _template_members(context: AdminContext, template: BlockTemplate) -> dict[str, object]:
    challenge = template.params.signet_challenge
    scale = 1 if template.segwit else WITNESS_SCALE_FACTOR
    rules = ["csv", *(["!segwit"] if template.segwit else []), *([] if challenge is None else ["!signet"])]
    states = {each: context.version_bits.state(each, template.parent) for each in template.params.deployments}
    rules += [each.name for each, state in states.items() if state is State.ACTIVE]
    signalled = {each.name: each.bit for each, state in states.items() if state in COUNTED}
    return {
        "capabilities": ["proposal"],
        "version": template.version,
        "rules": rules,
        "vbavailable": signalled,
        "vbrequired": 0,
        "previousblockhash": display_hash(template.prev),
        "transactions": [],
        "coinbaseaux": {},
        "coinbasevalue": template.reward,
        "longpollid": display_hash(template.prev) + _UPDATES,
        "target": hex64(decode_compact(template.bits)[0]),
        "mintime": template.min_time,
        "mutable": ["time", "transactions", "prevblock"],
        "noncerange": "00000000ffffffff",
        "sigoplimit": MAX_BLOCK_SIGOPS_COST // scale,
        "sizelimit": MAX_BLOCK_SIZE // scale,
        **({"weightlimit": MAX_BLOCK_WEIGHT} if template.segwit else {}),
        "curtime": template.time,
        "bits": f"{template.bits:08x}",
        "height": template.height,
        **({} if challenge is None else {"signet_challenge": challenge.hex()}),
        **({"default_witness_commitment": commitment_script([b""]).hex()} if template.segwit else {}),
    }


@command(
    "submitblock",
    "mining",
    changes=True,
    args=[
        Arg("hexdata", ArgType.STRING, "The serialized block, in hex"),
        Arg("dummy", ArgType.STRING, "Not looked at (BIP22)", default=None),
    ],
    help="Takes in a block, as if a peer had sent it on request.",
    result='null if it was accepted, else "str"    (string) "duplicate", "inconclusive", or the reason (BIP22)',
    example="0100000000000000...",
)
def submit_block(context: AdminContext, hexdata: str, dummy: str | None) -> str | None:
    blocks, chain = require_blocks(context.blocks), context.chain
    block = _decode(blocks, hexdata)
    parent = chain.index.find(chain.params.header_format.parse(block.header).prev)
    raw = block.raw
    if parent is not None:
        raw = with_commitment_witness(block, chain.params, chain.index.height(parent) + 1)
    submitted = blocks.wait_process(raw)
    if submitted.verdict is not None:
        return submitted.verdict.reason
    if not submitted.new:
        return "duplicate"
    return None if submitted.checked else "inconclusive"

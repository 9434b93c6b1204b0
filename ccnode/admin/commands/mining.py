"""Commands of miners that need no blocks (Core: ``rpc/mining.cpp``)."""

from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.commands.common import NO_COINS, display_hash, hex_bytes, warnings, work_of
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import Arg, ArgType, command
from ccnode.errors import RpcError
from ccnode.network.hub import breathing

RESERVED_WEIGHT: Final = 8000
"""Weight units of a block that Core leaves to header and coinbase (``DEFAULT_BLOCK_RESERVED_WEIGHT``)."""


@command(
    "getmininginfo",
    "mining",
    help="Returns what a miner wants to know of the chain. There are no transactions to mine.",
    result="""{
  "blocks": n,                       height of the tip
  "currentblocktx": 0,               transactions of the last template but its coinbase, once there was a template
  "currentblockweight": n,           its weight, with what is set aside for header and coinbase
  "bits": "hex",
  "difficulty": n,
  "target": "hex",
  "networkhashps": n,                as getnetworkhashps has it
  "pooledtx": 0,
  "blockmintxfee": 0,
  "chain": "str",                    network: main, test, testnet4, signet, regtest or a name of one's own
  "signet_challenge": "hex",         on signets only
  "next": {                          the next block, if its time were now
    "height": n,
    "bits": "hex",
    "difficulty": n,
    "target": "hex"
  },
  "warnings": ["str", ...]
}""",
)
def get_mining_info(context: AdminContext) -> dict[str, object]:
    index, params = context.chain.index, context.chain.params
    tip = index.tip
    height = index.height(tip)
    time = max(index.median_time_past(tip) + 1, int(context.clock.now()))
    next_bits = params.difficulty.required_bits(index, tip, [time])[0]
    last_template = {"currentblocktx": 0, "currentblockweight": RESERVED_WEIGHT} if context.template_made else {}
    info: dict[str, object] = {
        "blocks": height,
        **last_template,
        **work_of(index.bits(tip)),
        "networkhashps": get_network_hash_ps(context, 120, -1),
        "pooledtx": 0,
        "blockmintxfee": NO_COINS,
        "chain": params.core_name,
    }
    if params.signet_challenge is not None:
        info["signet_challenge"] = params.signet_challenge.hex()
    return {**info, "next": {"height": height + 1, **work_of(next_bits)}, "warnings": warnings(context)}


@command(
    "getnetworkhashps",
    "mining",
    args=[
        Arg("nblocks", ArgType.INTEGER, "Over so many headers; -1: those since the last retarget", default=120),
        Arg("height", ArgType.INTEGER, "At this height; -1: at the tip", default=-1, completion="height"),
    ],
    help="Returns the hashes per second behind the last headers, estimated from their difficulty and their times.",
    result="n    (numeric) hashes per second",
    example="2016",
)
def get_network_hash_ps(context: AdminContext, nblocks: int, height: int) -> float:
    index = context.chain.index
    if nblocks < -1 or nblocks == 0:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Invalid nblocks. Must be a positive number or -1.")
    last = index.tip if height == -1 else index.active_at(height)
    if last is None:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Block does not exist at specified height")
    height = index.height(last)
    if nblocks == -1:
        nblocks = height % context.chain.params.difficulty.interval + 1
    first = index.ancestor(last, max(index.base_height, height - nblocks))
    earliest = latest = index.time(last)
    for at in breathing(range(index.height(first), height)):
        time = index.time(index.ancestor(last, at))
        earliest, latest = min(earliest, time), max(latest, time)
    if earliest == latest:
        return 0
    return (index.chain_work(last) - index.chain_work(first)) / (latest - earliest)


@command(
    "submitheader",
    "mining",
    changes=True,
    args=[Arg("hexdata", ArgType.STRING, "The serialized header, in hex; what follows it is not looked at")],
    help="Takes a header as a candidate for the tip, by the same rules as one from a peer. Throws if it is invalid.",
    result="null",
    example="0100000000000000...",
)
def submit_header(context: AdminContext, hexdata: str) -> None:
    header_format = context.chain.params.header_format
    raw = hex_bytes(hexdata) or b""
    if len(raw) < header_format.size:
        raise RpcError(rpc_errors.DESERIALIZATION_ERROR, "Block header decode failed")
    raw = raw[: header_format.size]
    parent = header_format.parse(raw).prev
    if context.chain.index.find(parent) is None:  # said before the work is looked at
        raise RpcError(rpc_errors.VERIFY_ERROR, f"Must submit previous header ({display_hash(parent)}) first")
    verdict = context.sync.submit_header(raw).verdict
    if verdict is not None:
        raise RpcError(rpc_errors.VERIFY_ERROR, verdict.reason)

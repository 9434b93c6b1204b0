"""Commands about single headers and ranges of them (Core: ``rpc/blockchain.cpp``)."""

from collections.abc import Iterator, Sequence
from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.commands.common import BLOCKHASH, display_hash, find_block, hex64, work_of
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import Arg, ArgType, command
from ccnode.errors import RpcError
from ccnode.network.hub import breathing

MAX_RANGE: Final = 10_000
"""Headers that one ``getblockheaders`` returns."""

_AT_ONCE: Final = 100
"""Headers read from the store in one go."""

HEADER_FIELDS: Final = """{
  "hash": "hex",
  "confirmations": n,                -1 off the active chain
  "height": n,
  "version": n,
  "versionHex": "hex",
  "merkleroot": "hex",
  "time": n,                         Unix seconds
  "mediantime": n,                   Unix seconds
  "nonce": n,
  "bits": "hex",
  "target": "hex",
  "difficulty": n,
  "chainwork": "hex",
  "nTx": n,                          transactions; 0 if the block was never here
  "previousblockhash": "hex",        if there is one
  "nextblockhash": "hex"             if there is one on the active chain
}"""


@command(
    "getblockhash",
    "blockchain",
    args=[Arg("height", ArgType.INTEGER, "The height", completion="height")],
    help="Returns the hash of the block of the active chain at a height.",
    result='"hex"    (string) the block hash',
    example="1000",
)
def get_block_hash(context: AdminContext, height: int) -> str:
    entry = context.chain.index.active_at(height)
    if entry is None:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Block height out of range")
    return display_hash(context.chain.index.hash(entry))


@command(
    "getblockheader",
    "blockchain",
    args=[BLOCKHASH, Arg("verbose", ArgType.BOOLEAN, "true for an object, false for the bytes in hex", default=True)],
    help="Returns a block header.",
    result=f"""{HEADER_FIELDS}
or "hex"    (string) the serialized header""",
    example="00000000c937983704a73af28acdec37b049d214adbda81d7e2a3dd146f6ed09 false",
)
def get_block_header(context: AdminContext, blockhash: bytes, verbose: bool) -> dict[str, object] | str:
    entry = find_block(context, blockhash)
    raw = context.chain.header_bytes(entry)
    return header_members(context, entry, raw) if verbose else raw.hex()


def header_members(context: AdminContext, entry: int, raw: bytes) -> dict[str, object]:
    """A header as people see it."""
    index = context.chain.index
    header, height = context.chain.format.parse(raw), index.height(entry)
    active = index.in_active(entry)
    shown: dict[str, object] = {
        "hash": display_hash(index.hash(entry)),
        "confirmations": index.height(index.tip) - height + 1 if active else -1,
        "height": height,
        "version": header.version,
        "versionHex": f"{header.version & 0xFFFFFFFF:08x}",
        "merkleroot": display_hash(header.merkle_root),
        "time": header.time,
        "mediantime": index.median_time_past(entry),
        "nonce": header.nonce,
        **work_of(header.bits),
        "chainwork": hex64(index.chain_work(entry)),
        "nTx": 0 if context.blocks is None else context.blocks.table.tx_count(entry) or int(height == 0),
    }
    if index.parent(entry) is not None:
        shown["previousblockhash"] = display_hash(header.prev)
    following = index.active_at(height + 1) if active else None
    if following is not None:
        shown["nextblockhash"] = display_hash(index.hash(following))
    return shown


@command(
    "getblockheaders",
    "blockchain",
    args=[
        Arg("start", ArgType.INTEGER, "The height of the first", completion="height"),
        Arg("count", ArgType.INTEGER, f"How many at most, 1 to {MAX_RANGE}", default=1),
        Arg("verbose", ArgType.BOOLEAN, "true for objects, false for the bytes in hex", default=True),
        Arg("step", ArgType.INTEGER, "Heights from one to the next, for samples of a long stretch", default=1),
    ],
    help="Returns headers of the active chain by rising height, up to the tip. Not Core's.",
    result=f"""[{HEADER_FIELDS}, ...]
or ["hex", ...]    (json array) the serialized headers""",
    example="0 100",
)
def get_block_headers(context: AdminContext, start: int, count: int, verbose: bool, step: int) -> list[object]:
    index = context.chain.index
    if index.active_at(start) is None:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Block height out of range")
    if not 1 <= count <= MAX_RANGE:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"count must be 1 to {MAX_RANGE}")
    if step < 1:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "step must be positive")
    heights = range(start, index.height(index.tip) + 1, step)[:count]
    entries = [entry for entry in map(index.active_at, heights) if entry is not None]
    found = breathing(_stored(context, entries))
    return [header_members(context, entry, raw) if verbose else raw.hex() for entry, raw in found]


def _stored(context: AdminContext, entries: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """The entries with their bytes."""
    for at in range(0, len(entries), _AT_ONCE):
        some = entries[at : at + _AT_ONCE]
        yield from zip(some, context.chain.headers_bytes(some), strict=True)

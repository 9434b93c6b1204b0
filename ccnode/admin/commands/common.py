"""What several modules of commands share: how values look in JSON, and loops that let others run."""

from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.arguments import Arg, ArgType
from ccnode.admin.context import AdminContext
from ccnode.chain.pow import decode_compact, difficulty
from ccnode.errors import RpcError
from ccnode.peers.time_offsets import WARNING

BLOCKHASH: Final = Arg("blockhash", ArgType.HASH, "The block hash", completion="blockhash")

NO_COINS: Final = 0.0
"""A fee rate of a node that relays no transactions."""


def display_hash(raw: bytes) -> str:
    """A hash as people write it: hex, most significant byte first."""
    return raw[::-1].hex()


def hex64(number: int) -> str:
    """A 256-bit number as 64 hex digits."""
    return f"{number:064x}"


def work_of(bits: int) -> dict[str, object]:
    """What a header's bits mean, as the members that Core shows together."""
    return {"bits": f"{bits:08x}", "target": hex64(decode_compact(bits)[0]), "difficulty": difficulty(bits)}


def warnings(context: AdminContext) -> list[str]:
    """What a person should know, on the chain and the network alike."""
    low_work = "The chain that peers show has less work than this network's minimum; it is not stored."
    found = {low_work: context.sync.progress().low_work, WARNING: context.net.time_offsets.out_of_sync}
    return [text for text, applies in found.items() if applies]


def find_block(context: AdminContext, block_hash: bytes) -> int:
    """The entry of a header by its hash. Raises `RpcError` -5."""
    entry = context.chain.index.find(block_hash)
    if entry is None:
        raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, "Block not found")
    return entry

"""What several modules of commands share: how values look in JSON, and loops that let others run."""

from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.arguments import HASH_DIGITS, Arg, ArgType, json_type, parse_hash
from ccnode.admin.context import AdminContext
from ccnode.chain.mining import BlockTemplate, block_template
from ccnode.chain.pow import decode_compact, difficulty
from ccnode.errors import RpcError
from ccnode.network.hub import breathe
from ccnode.peers.time_offsets import WARNING

BLOCKHASH: Final = Arg("blockhash", ArgType.HASH, "The block hash", completion="blockhash")

_HEX_DIGITS: Final = frozenset("0123456789abcdefABCDEF")

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
    texts = [text for text, applies in found.items() if applies]
    if not context.chain.is_ibd():
        bits = context.version_bits.unknown(context.chain.index.tip, between=breathe)
        texts += [f"Unknown new rules activated (versionbit {bit})" for bit in bits]
    return texts


def next_template(context: AdminContext) -> BlockTemplate:
    """For a block on top of the tip, at this time, ready for what this node knows."""
    chain, context.template_made = context.chain, True
    version = context.version_bits.block_version(chain.index.tip)
    if context.config.blockversion is not None and chain.params.mockable:
        version = context.config.blockversion
    return block_template(chain.params, chain.index, context.clock.now(), version)


def hex_bytes(text: str) -> bytes | None:
    """What hex digits say; None for other text and for none (Core's ``IsHex``; Python's reader passes over spaces)."""
    is_hex = text and len(text) % 2 == 0 and _HEX_DIGITS.issuperset(text)
    return bytes.fromhex(text) if is_hex else None


def parse_hex(name: str, text: str) -> bytes:
    """`hex_bytes`; raises `RpcError` -8 (Core's ``ParseHexV``)."""
    raw = hex_bytes(text)
    if raw is None:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"{name} must be hexadecimal string (not '{text}')")
    return raw


def named_block(context: AdminContext, value: object) -> int:
    """The entry of a block named by its hash, or by its height on the active chain. Raises `RpcError`."""
    index = context.chain.index
    if isinstance(value, str):
        if value.removeprefix("-").isdecimal() and len(value) < HASH_DIGITS:  # a word of a command line
            value = int(value)
        else:
            return find_block(context, parse_hash("hash_or_height", value))
    if isinstance(value, bool) or not isinstance(value, int):
        raise RpcError(rpc_errors.TYPE_ERROR, f"JSON value of type {json_type(value)} is not of expected type number")
    if value < 0:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"Target block height {value} is negative")
    entry = index.active_at(value)
    if entry is None:
        tip = index.height(index.tip)
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"Target block height {value} after current tip {tip}")
    return entry


def find_block(context: AdminContext, block_hash: bytes) -> int:
    """The entry of a header by its hash. Raises `RpcError` -5."""
    entry = context.chain.index.find(block_hash)
    if entry is None:
        raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, "Block not found")
    return entry

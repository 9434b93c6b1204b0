"""What several modules of commands share: how values look in JSON, and loops that let others run."""

from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from ccnode.admin import rpc_errors
from ccnode.admin.context import AdminContext
from ccnode.errors import RpcError
from ccnode.network.hub import breathe

T = TypeVar("T")

NO_COINS: Final = 0.0
"""A fee rate of a node that relays no transactions."""


def display_hash(raw: bytes) -> str:
    """A hash as people write it: hex, most significant byte first."""
    return raw[::-1].hex()


def hex64(number: int) -> str:
    """A 256-bit number as 64 hex digits."""
    return f"{number:064x}"


def breathing(items: Iterable[T]) -> Iterator[T]:
    """The items, letting others run in between. ``items`` must not change meanwhile: pass a copy."""
    for item in items:
        yield item
        breathe()


def find_block(context: AdminContext, block_hash: bytes) -> int:
    """The entry of a header by its hash. Raises `RpcError` -5."""
    entry = context.chain.index.find(block_hash)
    if entry is None:
        raise RpcError(rpc_errors.INVALID_ADDRESS_OR_KEY, "Block not found")
    return entry

"""What the admin commands ask of a node that has blocks.

The composition root brings it, as `AdminContext.blocks`; on a node of headers there is none, and commands that need
blocks say so (`require_blocks`). Methods that begin with ``wait_`` let others run.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ccnode.admin import rpc_errors
from ccnode.errors import RpcError

if TYPE_CHECKING:  # a node of headers loads none of these
    from ccnode.chain.block_table import BlockTable
    from ccnode.chain.verdict import BlockVerdict
    from ccnode.wire.parsing import ParsedBlock

Visit = Callable[[Sequence[tuple[bytes, bytes]]], bool]
"""Takes some coins, by rising outpoint, on a thread of its own; whether it wants more."""


@dataclass(frozen=True, slots=True)
class Submitted:
    """What became of a block that was handed in."""

    new: bool
    """It was not known before."""
    checked: bool
    """It was connected or refused, and not just stored for later."""
    verdict: "BlockVerdict | None" = None
    """Why it was refused."""


@dataclass(frozen=True, slots=True)
class FilterAnswer:
    """A compact filter (BIP158) and the header that chains it to those before (BIP157)."""

    filter: bytes
    header: bytes


@dataclass(frozen=True, slots=True)
class IndexState:
    """How far an index is."""

    synced: bool
    height: int


class BlockAccess(Protocol):
    """Blocks, coins, and what moves the chain. Entries are those of the header index."""

    @property
    def table(self) -> "BlockTable":
        """What is known of each block."""
        ...

    @property
    def prune_target(self) -> int | None:
        """Bytes of block files to keep; 0: pruned only when told; None: all are kept."""
        ...

    @property
    def disk_usage(self) -> int:
        """Bytes of block and undo files."""
        ...

    @property
    def coins_disk_usage(self) -> int:
        """Bytes of the store of coins."""
        ...

    @property
    def coins_cache_bytes(self) -> int:
        """Most bytes that changed coins take in memory."""
        ...

    @property
    def interrupted(self) -> bool:
        """Whether the node is stopping: no block is connected any more."""
        ...

    def have_data(self, n: int) -> bool:
        """Whether the block can be read; the first always can."""
        ...

    def wait_block(self, n: int) -> "ParsedBlock":
        """The block of an entry that has data. LookupError if it is gone."""
        ...

    def wait_parse(self, raw: bytes) -> "ParsedBlock":
        """Take apart a block that somebody brings. Raises `DecodeError`."""
        ...

    def wait_undo(self, n: int) -> Sequence[Sequence[bytes]]:
        """The coins that each of its transactions after the coinbase spent; it must have undo data. LookupError."""
        ...

    def wait_coins(self, outpoints: Sequence[bytes]) -> tuple[bytes, Mapping[bytes, bytes]]:
        """The coins among ``outpoints`` that exist, and the hash of the block they are at."""
        ...

    def wait_scan(self, visit: Visit) -> bytes:
        """Show all coins as of one block to ``visit``; returns that block's hash."""
        ...

    def wait_process(self, raw: bytes) -> Submitted:
        """Take in a block that was asked for, and connect what can be connected. Raises `DecodeError`."""
        ...

    def wait_test(self, raw: bytes) -> "BlockVerdict | None":
        """Whether this would be a valid block on top of the tip, but for its proof of work. Raises `DecodeError`."""
        ...

    def wait_invalidate(self, n: int) -> None:
        """Mark an entry invalid for good, and leave it."""
        ...

    def wait_reconsider(self, n: int) -> None:
        """Take back the marks on an entry, its ancestors and its descendants, and go where most work is."""
        ...

    def wait_prefer(self, n: int) -> None:
        """Treat a block as if it had come before others with as much work."""
        ...

    def wait_verify(self, level: int, depth: int) -> bool:
        """Check the last ``depth`` blocks again (0: all), as thoroughly as ``level`` from 0 to 4 says."""
        ...

    def wait_prune(self, height: int) -> None:
        """Delete the block files that hold no block above ``height``."""
        ...

    def fetch(self, n: int, peer_id: int) -> str | None:
        """Ask a peer for a block; why that cannot be, or None."""
        ...

    def wait_filter(self, n: int) -> FilterAnswer | None:
        """The basic filter of a block; None if there is none, or not yet."""
        ...

    def indexes(self) -> Mapping[str, IndexState]:
        """The indexes that are kept, by Core's names."""
        ...


def require_blocks(blocks: BlockAccess | None) -> BlockAccess:
    """Raises `RpcError` on a node of headers."""
    if blocks is None:
        raise RpcError(rpc_errors.MISC_ERROR, "This node has headers only; start it with sync=blocks to have blocks")
    return blocks

"""What is known of each block file, and which of them pruning may delete (Core: ``CBlockFileInfo``,
``BlockManager::FindFilesToPrune``).

Pruning deletes whole files, a block file together with its undo file, the oldest first, until what remains fits the
target. Blocks are stored as they arrive, so a file spans many heights. It may go only if its highest block is buried
deep enough: the last 288 blocks are what a pruned node promises to serve (BIP159) and what a reorganisation may need.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from struct import Struct

from ccnode.chain.params import MIN_BLOCKS_TO_KEEP
from ccnode.errors import StorageError

PRUNE_BUFFER = 17 << 20
"""Bytes by which files may grow between two looks: what Core allocates at a time for blocks and for undo data."""

_RECORD = Struct("<IQQIIIIB")


@dataclass(frozen=True, slots=True)
class FileInfo:
    """One block file and its undo file."""

    blocks: int = 0
    size: int = 0
    """Bytes of the block file: where the next record begins."""
    undo_size: int = 0
    """Bytes of the undo file."""
    first_height: int = 0
    last_height: int = 0
    """The lowest and the highest block in it, of whatever chain."""
    first_time: int = 0
    last_time: int = 0
    """The earliest and the latest time in the headers of its blocks."""
    pruned: bool = False
    """Whether the files have been deleted."""

    def with_block(self, end: int, height: int, time: int) -> "FileInfo":
        """After a block was added whose record ends at byte ``end``."""
        if not self.blocks:
            return replace(
                self, blocks=1, size=end, first_height=height, last_height=height, first_time=time, last_time=time
            )
        return replace(
            self,
            blocks=self.blocks + 1,
            size=end,
            first_height=min(self.first_height, height),
            last_height=max(self.last_height, height),
            first_time=min(self.first_time, time),
            last_time=max(self.last_time, time),
        )

    def encode(self) -> bytes:
        """As stored."""
        return _RECORD.pack(
            self.blocks,
            self.size,
            self.undo_size,
            self.first_height,
            self.last_height,
            self.first_time,
            self.last_time,
            self.pruned,
        )

    @classmethod
    def decode(cls, record: bytes) -> "FileInfo":
        """Raises StorageError for a record that cannot be one."""
        if len(record) != _RECORD.size:
            raise StorageError("a record about a block file is damaged; start once with --reindex")
        blocks, size, undo_size, first, last, earliest, latest, pruned = _RECORD.unpack(record)
        return cls(blocks, size, undo_size, first, last, earliest, latest, bool(pruned))


def prune_limit(tip_height: int, prune_after_height: int) -> int:
    """The highest block that may be deleted, -1 if none may: ``prune_after_height`` is the network's."""
    if tip_height <= prune_after_height:
        return -1
    return max(-1, tip_height - MIN_BLOCKS_TO_KEEP)


def files_to_prune(
    infos: Sequence[FileInfo],
    *,
    target_bytes: int,
    tip_height: int,
    prune_after_height: int = 0,
    blocks_to_come: int = 0,
) -> list[int]:
    """Numbers of the files to delete so that all of them together fit ``target_bytes``.

    The last file is being written and stays. ``blocks_to_come``: while the chain is far from complete (headers above
    the tip), a tenth of the target more is freed, since every pruning needs a flush.
    """
    limit = prune_limit(tip_height, prune_after_height)
    usage = sum(info.size + info.undo_size for info in infos if not info.pruned)
    room = PRUNE_BUFFER
    if blocks_to_come > MIN_BLOCKS_TO_KEEP and usage + room >= target_bytes:
        room += target_bytes // 10
    chosen = []
    for number, info in enumerate(infos[:-1]):
        if usage + room < target_bytes:
            break
        if info.pruned or not info.blocks or info.last_height > limit:
            continue
        chosen.append(number)
        usage -= info.size + info.undo_size
    return chosen


def files_up_to(infos: Sequence[FileInfo], height: int, *, tip_height: int, prune_after_height: int = 0) -> list[int]:
    """Numbers of the files whose blocks are all at or below ``height`` and may be deleted (``pruneblockchain``)."""
    limit = min(height, prune_limit(tip_height, prune_after_height))
    return [
        number
        for number, info in enumerate(infos[:-1])
        if info.blocks and not info.pruned and info.last_height <= limit
    ]

"""Deleting block files to keep within ``prune`` MiB, or by hand (``pruneblockchain``).

Which files may go is decided in `ccnode.storage.file_info`. The order is what makes it safe: the files are marked and
their blocks forgotten in memory, a flush writes that down together with coins that no longer need them, and only then
they are deleted. Killed in between, the next start deletes what is marked.
"""

import logging
from collections.abc import Callable, Sequence

from ccnode.chain.chainstate import Chainstate
from ccnode.chain.ports import Worker
from ccnode.storage.block_files import BlockFiles
from ccnode.storage.file_info import files_to_prune, files_up_to

log = logging.getLogger("ccnode.storage")


class Pruner:
    """Called in the chain state's greenlet."""

    def __init__(self, state: Chainstate, files: BlockFiles, worker: Worker, target_bytes: int | None) -> None:
        """``target_bytes``: of block and undo files; 0 to prune by hand only, None never to prune."""
        self.target_bytes = target_bytes
        self.locks: list[Callable[[], int]] = []
        """Each tells a height: blocks above it, and the last 288 up to it, are still needed."""
        self._state = state
        self._files = files
        self._worker = worker
        self._looked_at = -1  # files there were when `wait_prune` last looked

    def wait_prune(self) -> None:
        """Delete what is over the target, whenever a new file was begun."""
        if not self.target_bytes or len(self._files.infos) == self._looked_at:
            return
        self._looked_at = len(self._files.infos)
        index = self._state.chain.index
        self._wait_delete(
            files_to_prune(
                self._files.infos,
                target_bytes=self.target_bytes,
                tip_height=self._height(),
                prune_after_height=self._state.chain.params.prune_after_height,
                blocks_to_come=index.height(index.best_header) - index.height(index.tip),
            )
        )

    def wait_prune_to(self, height: int) -> None:
        """Delete the files that hold no block above ``height``."""
        self._wait_delete(files_up_to(self._files.infos, height, tip_height=self._height()))

    def _height(self) -> int:
        index = self._state.chain.index
        return min([index.height(index.tip), *(lock() for lock in self.locks)])

    def _wait_delete(self, numbers: Sequence[int]) -> None:
        if not numbers:
            return
        log.debug("deleting block files %s", ", ".join(map(str, numbers)))
        self._worker.wait_run(_mark, self._files, numbers)
        self._state.table.forget_files(numbers)
        self._state.wait_flush()
        self._worker.wait_run(_delete, self._files, numbers)
        log.debug("deleted %d block files", len(numbers))


def _mark(files: BlockFiles, numbers: Sequence[int]) -> None:
    for number in numbers:
        files.mark_pruned(number)


def _delete(files: BlockFiles, numbers: Sequence[int]) -> None:
    for number in numbers:
        files.delete(number)

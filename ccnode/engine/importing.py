"""Blocks from files: our own after ``reindex``, somebody else's with ``loadblock``.

Files hold blocks in the order in which they came, which is not that of the chain. So a file is read once, and each
block whose parent's header is known is stored; a block can wait for its parent's data like any other. Where headers
were missing, a second reading takes in all headers first, parents before children, and a third stores what was left.

Every block is checked like one from a peer: the files may be Core's, or somebody's.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import gevent

from ccnode.chain.headers import HeaderChain
from ccnode.chain.ports import FilePosition, Worker
from ccnode.engine.engine import BlockEngine
from ccnode.errors import DecodeError
from ccnode.storage.block_files import BlockFiles

log = logging.getLogger("ccnode.chain")

Record = tuple[FilePosition | None, bytes]
Records = Callable[[], Iterator[Record]]
"""Begins to read: each block, and where it is if that is in our own files."""

_TINY_SLEEP: Final = 1e-6  # seconds; others go on, sockets included
_AT_A_TIME: Final = 16  # blocks read in one job, so that no job takes long


class Importer:
    """Feeds an engine from files. Runs in a greenlet of its own."""

    def __init__(self, engine: BlockEngine, chain: HeaderChain, worker: Worker) -> None:
        self._engine = engine
        self._chain = chain
        self._worker = worker

    def wait_reindex(self, files: BlockFiles) -> None:
        """Take in every block of our own files, where it is."""
        self._wait_import("the block files", files.scan_all)

    def wait_load(self, files: BlockFiles, path: Path) -> None:
        """Copy the blocks of somebody else's file."""
        self._wait_import(str(path), lambda: ((None, raw) for raw in files.import_file(path)))

    def _wait_import(self, name: str, records: Records) -> None:
        stored, orphans = self._wait_store(records)
        if orphans:
            self._wait_headers(records)
            more, orphans = self._wait_store(records)
            stored += more
        log.info("%s: %d blocks taken in", name, stored)
        if orphans:
            log.warning("%s: %d blocks belong to no chain that is known", name, orphans)

    def _wait_store(self, records: Records) -> tuple[int, int]:
        """Store what can be; how many were new, and how many have no parent."""
        stored = orphans = 0
        for position, raw in self._wait_records(records):
            header = raw[: self._chain.format.size]
            n = self._chain.index.find(self._chain.format.hash(header))
            if n is not None and self._engine.state.table.have_data(n):
                continue
            if n is None and self._chain.index.find(self._chain.format.parse(header).prev) is None:
                orphans += 1
                continue
            try:
                stored += self._engine.wait_submit(raw, position=position).new
            except DecodeError as error:
                log.warning("a block cannot be read: %s", error)
        return stored, orphans

    def _wait_headers(self, records: Records) -> None:
        """Take in all headers that lead somewhere."""
        chain = self._chain
        waiting: dict[bytes, list[bytes]] = {}
        for _position, raw in self._wait_records(records):
            header = raw[: chain.format.size]
            waiting.setdefault(chain.format.parse(header).prev, []).append(header)
        known = [prev for prev in waiting if chain.index.find(prev) is not None]
        while known:
            gevent.sleep(_TINY_SLEEP)
            for header in waiting.pop(known.pop(), ()):
                block_hash = chain.format.hash(header)
                if chain.accept([header], hashes=[block_hash]).verdict is None:
                    known.append(block_hash)

    def _wait_records(self, records: Records) -> Iterator[Record]:
        reading = self._worker.wait_run(records)
        while batch := self._worker.wait_run(_next, reading):
            yield from batch


def _next(reading: Iterator[Record]) -> Sequence[Record]:
    return list(islice(reading, _AT_A_TIME))

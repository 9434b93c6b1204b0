"""A process that connects made blocks on real stores, over and over, until somebody kills it.

``python feeder.py FOLDER HEIGHT``: the chain grows to ``HEIGHT`` with a reorganisation every twenty blocks, coins are
flushed and old files pruned all the time. Headers are kept in a file beside, as the node keeps them. It prints a line
when it has opened its stores, and another when it is done.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import REGTEST
from ccnode.clock import SystemClock
from ccnode.engine.open import BlockOptions, OpenBlocks, open_blocks
from tests.support.chain_maker import ChainMaker

PARAMS = replace(REGTEST, prune_after_height=100)
FILE_SIZE = 20_000
PRUNE_BYTES = 200_000
CACHE_BYTES = 30_000


class HeaderLog:
    """A header store: a file of headers, of which a killed process may leave half a one."""

    def __init__(self, path: Path) -> None:
        whole = path.read_bytes() if path.exists() else b""
        self.headers = [whole[i : i + 80] for i in range(0, len(whole) - len(whole) % 80, 80)]
        self._file = path.open("r+b" if path.exists() else "w+b", buffering=0)
        self._file.truncate(80 * len(self.headers))
        self._file.seek(0, 2)

    def append(self, headers: Sequence[bytes]) -> None:
        self._file.write(b"".join(headers))
        self.headers += headers

    def read(self, number: int, count: int) -> bytes:
        return b"".join(self.headers[number : number + count])

    def load(self) -> Iterable[bytes]:
        if self.headers:
            yield b"".join(self.headers)


def made_blocks(height: int) -> list[bytes]:
    """All blocks, losing branches too, in the order in which they come. Always the same."""
    maker = ChainMaker()
    blocks = maker.extend(110, spends=0)
    while maker.height < height:
        losing = maker.clone()
        blocks += losing.extend(4, extra_nonce=1)
        blocks += maker.extend(20)
    return blocks


def open_room(folder: Path) -> tuple[OpenBlocks, HeaderChain]:
    """Small files and a small cache, so that everything happens often."""
    clock = SystemClock()
    chain = HeaderChain(PARAMS, HeaderLog(folder / "headers"), clock)
    chain.load()
    blocks = open_blocks(
        BlockOptions(par=1, prune=1, max_file_size=FILE_SIZE),
        chain,
        folder,
        clock,
        sync_headers=lambda: None,
        on_fault=_fail,
    )
    blocks.engine.state.coins.limit_bytes = CACHE_BYTES
    blocks.pruner.target_bytes = PRUNE_BYTES
    blocks.start()
    return blocks, chain


def _fail(error: BaseException) -> None:
    print(f"fault: {error!r}", flush=True)


def main() -> None:
    folder, height = Path(sys.argv[1]), int(sys.argv[2])
    blocks, _chain = open_room(folder)
    print("open", flush=True)
    for raw in made_blocks(height):
        blocks.engine.wait_submit(raw)
    blocks.engine.wait_do(lambda: None)
    blocks.close()
    print("done", flush=True)


if __name__ == "__main__":
    main()

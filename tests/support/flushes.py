"""A chain state that can be killed: blocks, undo data and coins that follow from a number, so that anybody can tell
what they have to be. As a program, ``flushes.py DIRECTORY`` flushes again and again until it is killed or cannot go on.
"""

import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from ccnode.chain.block_table import BlockTable
from ccnode.chain.coins import CoinsCache, make_coin
from ccnode.errors import StorageError
from ccnode.storage.block_files import BlockFiles
from ccnode.storage.chainstate_store import ChainstateStore
from ccnode.storage.lmdb_store import LmdbStore

MAGIC = b"\xfa\xbf\xb5\xda"
BLOCKS_PER_FLUSH = 3
PER_BLOCK = 60
FILE_SIZE = 20_000


class Direct:
    """A worker that is the caller."""

    def wait_run(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


def hash_of(n: int) -> bytes:
    return n.to_bytes(32, "little")


def block(n: int) -> bytes:
    return hash_of(n) + random.Random(n).randbytes(1000)


def undo(n: int) -> bytes:
    return random.Random(f"undo {n}").randbytes(600)


def created(n: int) -> dict[bytes, bytes]:
    rng = random.Random(f"coins {n}")
    if n < 0:
        return {}
    return {rng.randbytes(36): make_coin(n, rng.randbytes(25), n, False) for _ in range(PER_BLOCK)}


def spent(n: int) -> list[bytes]:
    """Some of what the block before created, and the rest of what one long before it did."""
    return list(created(n - 1))[: PER_BLOCK // 2] + list(created(n - 10))[PER_BLOCK // 2 :]


def coins_at(n: int) -> dict[bytes, bytes]:
    coins: dict[bytes, bytes] = {}
    for each in range(max(0, n - 30), n + 1):  # all that is older is spent
        coins.update(created(each))
        for outpoint in spent(each):
            coins.pop(outpoint, None)
    return {outpoint: coin for outpoint, coin in coins.items() if int.from_bytes(coin[:4], "little") >> 1 > n - 11}


class State:
    """Everything that one directory holds."""

    def __init__(self, directory: Path) -> None:
        self.store = ChainstateStore(LmdbStore(directory / "chainstate", map_size=1 << 20), MAGIC)
        self.files = BlockFiles(directory / "blocks", MAGIC, infos=self.store.file_infos(), max_file_size=FILE_SIZE)
        self.store.files = self.files
        self.table = BlockTable()
        for block_hash, record in self.store.entries():
            self.table.load(int.from_bytes(block_hash, "little"), record)
        best = self.store.best_block()
        self.best = -1 if best is None else int.from_bytes(best, "little")
        self.coins = CoinsCache(self.store, Direct(), 1 << 30, best or hash_of(0))

    def connect(self, n: int) -> None:
        position = self.files.append(block(n), n, n)
        self.table.add_data(n, position, 1)
        self.table.add_undo(n, self.files.append_undo(position.file, hash_of(n), undo(n)).offset)
        self.coins.apply(spent(n), created(n), hash_of(n))

    def flush(self) -> None:
        self.coins.wait_flush(self.table.take_records(hash_of))

    def close(self) -> None:
        self.files.close()
        self.store.close()

    def check(self) -> int:
        """Whether all that the store tells of is there, and nothing else; returns the best block's number."""
        assert dict(self.store.coins()) == coins_at(self.best)
        for n in range(self.best + 1):
            position, undo_position = self.table.data_position(n), self.table.undo_position(n)
            assert position is not None
            assert undo_position is not None
            assert self.files.read(position) == block(n)
            assert self.files.read_undo(undo_position, hash_of(n)) == undo(n)
        assert not self.table.have_data(self.best + 1)
        return self.best


def main(directory: Path) -> None:
    """Print the number of each block to which the state was flushed, and in the end what it was that failed."""
    state = State(directory)
    list(state.files.scan())
    n = state.best
    try:
        while True:
            for _ in range(BLOCKS_PER_FLUSH):
                n += 1
                state.connect(n)
            state.flush()
            print(n, flush=True)
    except StorageError as error:
        print(error)
    state.close()
    print(State(directory).check())


if __name__ == "__main__":
    main(Path(sys.argv[1]))

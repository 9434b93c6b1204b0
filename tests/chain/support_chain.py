"""Stores, chains and headers for the tests of ccnode.chain."""

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path

from ccnode.chain.headers import ChainStart, HeaderChain
from ccnode.chain.params import ChainParams
from ccnode.errors import StorageError
from tests.support.data import read_xz


class FakeClock:
    """A clock that stands still until it is told otherwise."""

    def __init__(self, now: float = 2_000_000_000) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def scheduler(self) -> float:
        return self.time

    def steady(self) -> float:
        return self.time


class MemoryStore:
    """A header store in a list."""

    def __init__(self, headers: Sequence[bytes] = (), chunk: int = 1000) -> None:
        self.headers = list(headers)
        self.appends: list[int] = []
        self.full = False
        self._chunk = chunk

    def append(self, headers: Sequence[bytes]) -> None:
        if self.full:
            raise StorageError("no space left")
        self.headers += headers
        self.appends.append(len(headers))

    def read(self, number: int, count: int) -> bytes:
        return b"".join(self.headers[number : number + count])

    def load(self) -> Iterable[bytes]:
        for i in range(0, len(self.headers), self._chunk):
            yield b"".join(self.headers[i : i + self._chunk])


def new_chain(
    params: ChainParams, *, start: ChainStart | None = None, now: float = 2_000_000_000
) -> tuple[HeaderChain, MemoryStore, FakeClock]:
    """An empty, loaded chain with its store and clock."""
    store, clock = MemoryStore(), FakeClock(now)
    chain = HeaderChain(params, store, clock, start=start)
    chain.load()
    return chain, store, clock


def split(raw: bytes, size: int = 80) -> list[bytes]:
    """Headers that lie back to back."""
    return [raw[i : i + size] for i in range(0, len(raw), size)]


def read_headers(path: Path) -> list[bytes]:
    """The headers of a data file."""
    return split(read_xz(path))


def block_hash(raw: bytes) -> bytes:
    """Double SHA-256."""
    return sha256(sha256(raw).digest()).digest()

"""Stores, chains and headers for the tests of ccnode.chain."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from ccnode.chain.difficulty import BitcoinDifficulty
from ccnode.chain.formats import BITCOIN_FORMAT, BitcoinFormat, Header
from ccnode.chain.headers import AcceptResult, ChainStart, HeaderChain
from ccnode.chain.networks import REGTEST
from ccnode.chain.params import ChainParams, SoftForks
from ccnode.chain.pow import target_of
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


class FreeFormat(BitcoinFormat):
    """Bitcoin's layout with work for nothing: a header is good unless its nonce is `BAD_NONCE`."""

    name = "free"
    BAD_NONCE = 0xBAD

    def check_pow(self, headers, hashes, bits, pow_limit):
        for i, raw in enumerate(headers):
            if self.parse(raw).nonce == self.BAD_NONCE or target_of(bits[i], pow_limit) is None:
                return i
        return None


def free_params(**difficulty) -> ChainParams:
    """A network without work, with periods of eight headers; ``difficulty`` goes to BitcoinDifficulty."""
    limit = (1 << 224) - 1
    genesis = FreeFormat().serialize(Header(1, bytes(32), bytes(32), 1_000_000_000, 0x1C0FFFFF, 0))
    return replace(
        REGTEST,
        name="free",
        header_format=FreeFormat(),
        genesis=genesis,
        difficulty=BitcoinDifficulty(limit, target_timespan=4800, **difficulty),
        pow_limit=limit,
        soft_forks=SoftForks(bip34=0, bip65=0, bip66=0),
    )


def make_header(prev: bytes, time: int, bits: int, *, version: int = 4, nonce: int = 0, root: int = 0) -> bytes:
    """A header in Bitcoin's layout; ``root`` makes it differ from others."""
    return BITCOIN_FORMAT.serialize(Header(version, prev, root.to_bytes(32, "little"), time, bits, nonce))


def extend(chain: HeaderChain, parent: int, count: int, *, spacing: int = 600, root: int = 0) -> list[bytes]:
    """Headers that would follow entry ``parent`` of a regtest or free chain, mined where that takes work."""
    index, params = chain.index, chain.params
    prev, time = index.hash(parent), index.time(parent)
    bits = params.difficulty.required_bits(index, parent, [time + spacing * (i + 1) for i in range(count)])
    headers = []
    for i in range(count):
        time += spacing
        raw = mine(params, prev, time, bits[i], root=root)
        headers.append(raw)
        prev = params.header_format.hash(raw)
    return headers


def mine(params: ChainParams, prev: bytes, time: int, bits: int, *, version: int = 4, root: int = 0) -> bytes:
    """A header with enough work for ``bits``, which had better be little."""
    for nonce in range(1 << 16):
        raw = make_header(prev, time, bits, version=version, nonce=nonce, root=root)
        block_hash = params.header_format.hash(raw)
        if params.header_format.check_pow([raw], [block_hash], [bits], params.pow_limit) is None:
            return raw
    raise AssertionError("too much work for a test")


def outcome(result: AcceptResult) -> tuple[int, tuple[int, str] | None]:
    """A result as the naive chain would give it."""
    verdict = result.verdict
    return result.accepted, None if verdict is None else (verdict.index, verdict.reason)

"""The index of compact filters follows the chain, from files and from what was connected just now."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gevent
import pytest

from ccnode.chain.block_filter import encode_filter, filter_hash, filter_header
from ccnode.chain.coins import make_coin
from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import REGTEST
from ccnode.engine import filters as filters_module
from ccnode.engine.filters import BlockFilters
from ccnode.errors import DecodeError, StorageError
from ccnode.storage.filter_index import FilterIndex
from ccnode.storage.key_value import MemoryStore
from ccnode.wire.blocks import Block
from ccnode.wire.parsing import parse_block
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.clock import ManualClock
from tests.support.fakes import HeaderLine, MemoryHeaderStore


class AtOnce:
    """A worker that calls, after others had their turn."""

    def wait_run(self, function: Callable[..., Any], *args: Any) -> Any:
        gevent.sleep(1e-6)
        return function(*args)

    def start(self, function: Callable[..., Any], *args: Any) -> Any:
        raise NotImplementedError


class Room:
    """A chain of blocks with one output and one spent script each, both named after the block."""

    def __init__(self, path: Path, line: HeaderLine) -> None:
        self.path = path
        self.store = MemoryStore()
        self.chain = HeaderChain(REGTEST, MemoryHeaderStore(), ManualClock(line.time + 10**7))
        self.chain.load()
        self.chain.separate(0, lambda _n: True)
        self.read: list[int] = []
        self.pruned: set[int] = set()
        self.faults: list[BaseException] = []
        self.connect(line)
        self.open()

    def open(self) -> None:
        self.filters = BlockFilters(
            self.chain, FilterIndex(self.path, self.store, REGTEST.magic), self, AtOnce(), self.faults.append
        )
        self.filters.start()

    def connect(self, line: HeaderLine) -> None:
        self.chain.accept(line.headers[1:])
        self.chain.set_active(self.entry(line.tip))

    def entry(self, block_hash: bytes) -> int:
        entry = self.chain.index.find(block_hash)
        assert entry is not None
        return entry

    def wait_read(self, entry: int) -> bytes | None:
        self.read.append(entry)
        name = self.chain.index.hash(entry)
        tx = Transaction(1, (TxIn(OutPoint(bytes(32), entry), b"", 0),), (TxOut(1, b"to" + name),), 0)
        block = Block.build(self.chain.header_bytes(entry), (tx,))
        return None if entry in self.pruned else block.raw

    def wait_read_undo(self, entry: int) -> Sequence[Sequence[bytes]] | None:
        return [[make_coin(1, b"from" + self.chain.index.hash(entry), 1, False)]]

    def settle(self) -> None:
        """Let the index reach the tip."""
        with gevent.Timeout(10):
            while not (self.filters.synced or self.faults):
                gevent.sleep(0.001)

    def check(self, line: HeaderLine, first: int = 0) -> None:
        """All filters and headers of a line are right."""
        header = bytes(32)
        for height, name in enumerate(line.hashes):
            encoded = encode_filter(name, {b"to" + name} | ({b"from" + name} if height else set()))
            header = filter_header(filter_hash(encoded), header)
            if height >= first:
                assert self.filters.wait_filter(self.entry(name)) == (encoded, header)


@pytest.fixture
def line() -> HeaderLine:
    return HeaderLine().grow(30)


def test_from_the_genesis_to_the_tip_and_after_it(tmp_path: Path, line: HeaderLine) -> None:
    room = Room(tmp_path, line)
    assert room.filters.height == -1
    room.settle()
    assert room.filters.height == 30
    room.check(line)
    room.connect(line.grow(3))
    assert not room.filters.synced
    room.settle()
    room.check(line)
    assert sorted(room.read) == list(range(34)), "each block is read once"
    room.filters.close()


def test_a_reorganisation(tmp_path: Path, line: HeaderLine) -> None:
    room = Room(tmp_path, line)
    room.settle()
    other = line.fork(20).grow(12, salt=1)
    room.connect(other)
    room.settle()
    room.check(other)
    room.check(line)
    room.read.clear()
    room.connect(line.grow(4))
    room.settle()
    room.check(line)
    assert len(room.read) == 4, "what was indexed before is still there"
    room.filters.close()


def test_blocks_that_are_only_disconnected(tmp_path: Path, line: HeaderLine) -> None:
    room = Room(tmp_path, line)
    room.settle()
    room.chain.set_active(room.entry(line.hashes[25]))
    assert not room.filters.synced
    room.settle()
    assert room.filters.height == 25
    room.read.clear()
    room.connect(line)
    room.settle()
    room.check(line)
    assert room.read == []
    room.filters.close()


def test_a_block_that_was_connected_just_now_is_not_read(tmp_path: Path, line: HeaderLine) -> None:
    room = Room(tmp_path, line)
    room.settle()
    line.grow(2)
    room.chain.accept(line.headers[31:])
    for block_hash in line.hashes[31:]:
        entry = room.entry(block_hash)
        raw = room.wait_read(entry)
        assert raw is not None
        room.filters.connected(entry, parse_block(raw), room.wait_read_undo(entry) or [])
    room.read.clear()
    room.connect(line)
    room.settle()
    room.check(line)
    assert room.read == []
    room.filters.close()


def test_it_goes_on_where_it_stopped(tmp_path: Path, line: HeaderLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters_module, "BATCH_BLOCKS", 7)
    room = Room(tmp_path, line)
    while room.filters.height < 0:
        gevent.sleep(0.001)
    room.filters.close()
    reached = room.filters.height
    assert 0 <= reached < 30
    room.read.clear()
    room.open()
    assert room.filters.height == reached
    room.settle()
    assert room.read == list(range(reached + 1, 31))
    room.check(line)
    room.filters.close()


def test_what_is_indexed_of_an_unknown_block_is_not_done_again(tmp_path: Path, line: HeaderLine) -> None:
    """The header of the last block may be lost in a crash that the index survived."""
    room = Room(tmp_path, line)
    room.settle()
    room.filters.close()
    shorter = Room(tmp_path, line.fork(25))
    shorter.filters.close()
    shorter.store, shorter.read = room.store, []
    shorter.open()
    assert shorter.filters.height == -1
    shorter.settle()
    assert shorter.read == []
    shorter.check(line.fork(25))
    shorter.filters.close()


def test_a_pruned_block_ends_it(tmp_path: Path, line: HeaderLine) -> None:
    room = Room(tmp_path, HeaderLine())
    room.settle()
    room.pruned.add(5)
    room.connect(line)
    room.settle()
    [fault] = room.faults
    assert isinstance(fault, StorageError)
    assert "block at height 5, which was pruned" in str(fault)
    room.filters.close()


def test_what_is_not_indexed_has_no_answer(tmp_path: Path, line: HeaderLine) -> None:
    room = Room(tmp_path, line)
    room.settle()
    stale = line.fork(29).grow(1, salt=1)
    room.chain.accept(stale.headers[30:])
    assert room.filters.wait_filter(room.entry(stale.tip)) is None
    assert room.filters.wait_hashes([line.tip, stale.tip]) is None
    assert room.filters.wait_headers([]) == []
    room.filters.close()


@pytest.mark.parametrize("error", [ValueError("a defect"), DecodeError("no block")])
def test_whatever_ends_the_indexing_is_told(tmp_path: Path, line: HeaderLine, error: Exception) -> None:
    room = Room(tmp_path, line)

    def broken(_entry: int) -> bytes:
        raise error

    room.filters._bodies.wait_read = broken  # type: ignore[method-assign]
    room.settle()
    assert room.faults == [error]
    room.filters.close()

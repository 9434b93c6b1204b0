"""Filters of a chain that was validated: as it is connected, and again from what is on disk; another library agrees."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import gevent
import pytest

from ccnode.chain.block_filter import filter_header
from ccnode.chain.genesis import genesis_block
from ccnode.chain.networks import REGTEST
from ccnode.engine.block_reader import BlockReader
from ccnode.engine.filters import BlockFilters, open_block_filters
from tests.support.chain_maker import ChainMaker
from tests.support.chainstate import ChainRoom, ImmediateWorker


def index_of(folder: Path, room: ChainRoom, faults: list[BaseException]) -> BlockFilters:
    reader = BlockReader(room.chain, room.state.table, room.files, ImmediateWorker())
    filters = open_block_filters(folder, room.chain, reader, faults.append)
    room.state.on_connected(filters.connected)
    filters.start()
    return filters


def settle(filters: BlockFilters, faults: Sequence[BaseException]) -> None:
    with gevent.Timeout(20):
        while not (filters.synced or faults):
            gevent.sleep(0.001)
    assert not faults


def all_filters(filters: BlockFilters, room: ChainRoom) -> list[tuple[bytes, bytes] | None]:
    heights = range(room.height + 1)
    return [filters.wait_filter(room.chain.index.active_at(height) or 0) for height in heights]


@pytest.fixture(scope="module")
def chains() -> tuple[list[bytes], list[bytes]]:
    """Two chains of blocks with spends that part at height 110, the second longer."""
    maker = ChainMaker()
    maker.extend(110)
    other = maker.clone()
    maker.extend(10)
    other.extend(12, extra_nonce=1)
    return maker.blocks, other.blocks


def test_as_it_is_connected_and_from_disk(
    tmp_path: Path, chains: tuple[list[bytes], list[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    main, other = chains
    room = ChainRoom(tmp_path / "blocks")
    faults: list[BaseException] = []
    live = index_of(tmp_path / "live", room, faults)
    settle(live, faults)
    with monkeypatch.context() as patch:
        patch.setattr(BlockReader, "wait_read", lambda _self, _n: pytest.fail("a block at hand was read"))
        for raw in main:
            assert room.submit(raw).verdict is None
            settle(live, faults)
    for raw in other[110:]:
        room.submit(raw)
    assert room.height == 122
    settle(live, faults)
    later = index_of(tmp_path / "later", room, faults)
    settle(later, faults)
    filters = all_filters(live, room)
    assert filters == all_filters(later, room)
    assert None not in filters
    assert later.wait_filter(room.entry(room.params.header_format.hash(main[-1][:80]))) is None
    live.close()
    later.close()


@pytest.mark.skipif(sys.version_info < (3, 11), reason="btclib needs Python 3.11")
def test_another_library_makes_the_same_of_blocks_and_coins(
    tmp_path: Path, chains: tuple[list[bytes], list[bytes]]
) -> None:
    from btclib.block.block import Block
    from btclib.block.block_filter import BasicBlockFilter

    room = ChainRoom(tmp_path / "blocks")
    faults: list[BaseException] = []
    filters = index_of(tmp_path, room, faults)
    scripts: dict[bytes, bytes] = {}
    header = bytes(32)
    spends = 0
    blocks: list[Any] = [Block.parse(genesis_block(REGTEST) or b"", check_validity=False)]
    for raw in chains[0]:
        room.submit(raw)
        blocks.append(Block.parse(raw, check_validity=False))
    settle(filters, faults)
    for height, block in enumerate(blocks):
        prevouts = []
        for transaction in block.transactions:
            for i, output in enumerate(transaction.vout):
                scripts[transaction.id[::-1] + i.to_bytes(4, "little")] = output.script_pub_key.script
            if transaction is not block.transactions[0]:
                for spent in transaction.vin:
                    point = spent.prev_out
                    prevouts.append(scripts[point.tx_id[::-1] + point.vout.to_bytes(4, "little")])
        spends += len(prevouts)
        theirs = BasicBlockFilter.from_block(block, prevouts)
        header = filter_header(theirs.hash[::-1], header)
        assert filters.wait_filter(room.chain.index.active_at(height) or 0) == (theirs.serialize(), header)
    assert spends > 10
    filters.close()

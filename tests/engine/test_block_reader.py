"""Stored blocks, read for others."""

from pathlib import Path

import pytest

from ccnode.engine.block_reader import BlockReader
from ccnode.errors import StorageError
from tests.support.chain_maker import ChainMaker
from tests.support.chainstate import ChainRoom, ImmediateWorker


def reader_of(room: ChainRoom) -> BlockReader:
    return BlockReader(room.chain, room.state.table, room.files, ImmediateWorker())


def test_another_block_in_its_place_is_a_fault(tmp_path: Path) -> None:
    room, maker = ChainRoom(tmp_path), ChainMaker()
    for raw in maker.extend(2):
        room.submit(raw)
    reader = reader_of(room)
    assert reader.wait_read(room.entry(maker.hash)) == maker.blocks[-1]
    room.state.bodies.wait_write_out()
    position = room.state.table.data_position(room.entry(maker.hash))
    assert position is not None
    path = room.files.blocks_path(position.file)
    content = bytearray(path.read_bytes())
    content[position.offset] ^= 1
    path.write_bytes(content)
    with pytest.raises(StorageError, match="damaged"):
        reader.wait_read(room.entry(maker.hash))


def test_what_was_pruned_is_nothing(tmp_path: Path) -> None:
    room, maker = ChainRoom(tmp_path), ChainMaker()
    room.submit(maker.block())
    reader, entry = reader_of(room), room.entry(maker.hash)
    assert reader.have_data(entry)
    room.state.table.forget_files([0])
    assert reader.wait_read(entry) is None
    assert reader.wait_read_undo(entry) is None

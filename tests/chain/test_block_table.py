"""The block table: where blocks are, and which can be connected."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.block_table import BlockTable
from ccnode.chain.ports import FilePosition
from ccnode.errors import StorageError


def hash_of(n: int) -> bytes:
    return n.to_bytes(32, "big")


def table_with(count: int) -> BlockTable:
    """Blocks 0 to ``count - 1``, two to a file, each with two transactions."""
    table = BlockTable()
    for n in range(count):
        table.add_data(n, FilePosition(n // 2, 8 + 100 * (n % 2)), 2)
        table.link(n, 2 * n)
    return table


def test_an_entry_never_heard_of_has_nothing() -> None:
    table = BlockTable()
    assert [table.have_data(7), table.have_undo(7), table.scripts_valid(7)] == [False] * 3
    assert (table.tx_count(7), table.chain_tx(7), table.sequence(7)) == (0, 0, 0)
    assert (table.data_position(7), table.undo_position(7)) == (None, None)
    assert len(table) == 0


def test_a_stored_block_counts_for_the_chain_once_linked() -> None:
    table = BlockTable()
    table.add_data(5, FilePosition(3, 8), 10)
    assert (table.have_data(5), table.tx_count(5), table.chain_tx(5), table.sequence(5)) == (True, 10, 0, 0)
    table.link(5, 100)
    assert (table.chain_tx(5), table.sequence(5)) == (110, 1)
    assert table.data_position(5) == FilePosition(3, 8)
    table.add_undo(5, 77)
    assert table.undo_position(5) == FilePosition(3, 77)
    table.set_scripts_valid(5)
    assert table.scripts_valid(5)
    table.set_scripts_valid(5, False)
    assert not table.scripts_valid(5)
    assert table.have_undo(5)


def test_blocks_are_numbered_in_the_order_of_linking() -> None:
    table = BlockTable()
    for n in 1, 2, 3:
        table.add_data(n, FilePosition(0, 8), 1)
    for n in 3, 1, 2, 3:
        table.link(n, 1)
    assert [table.sequence(n) for n in (3, 1, 2)] == [1, 2, 3]


def test_the_neighbours_of_a_stored_block_have_no_data() -> None:
    """The arrays grow in one go; what was not stored must not look like block 0 of file 0."""
    table = BlockTable()
    table.add_data(5, FilePosition(0, 8), 1)
    assert [n for n in range(len(table)) if table.have_data(n)] == [5]
    assert table.forget_files([0]) == [5]


def test_pruned_files_take_their_blocks_along() -> None:
    table = table_with(6)
    table.add_undo(2, 8)
    table.take_records(hash_of)
    assert table.forget_files([1, 2]) == [2, 3, 4, 5]
    assert [table.have_data(n) for n in range(6)] == [True, True, False, False, False, False]
    assert not table.have_undo(2)
    assert (table.tx_count(2), table.chain_tx(2)) == (2, 6)  # it is known to have been here
    assert table.dirty == {2, 3, 4, 5}
    table.add_data(2, FilePosition(9, 8), 2)
    assert table.data_position(2) == FilePosition(9, 8)
    assert table.sequence(2) == 3


def test_records_hold_everything_but_a_preference() -> None:
    table = table_with(4)
    table.add_undo(1, 1234)
    table.set_scripts_valid(1)
    table.set_sequence(2, -5)
    records = table.take_records(hash_of)
    assert not table.dirty
    read = BlockTable()
    for block_hash, record in records.items():
        read.load(int.from_bytes(block_hash, "big"), record)
    for n in range(4):
        assert read.data_position(n) == table.data_position(n)
        assert read.undo_position(n) == table.undo_position(n)
        assert read.scripts_valid(n) == table.scripts_valid(n)
        assert (read.tx_count(n), read.chain_tx(n)) == (table.tx_count(n), table.chain_tx(n))
    assert [read.sequence(n) for n in range(4)] == [1, 2, 0, 4]
    assert not read.dirty
    read.add_data(9, FilePosition(0, 0), 1)
    read.link(9, 1)
    assert read.sequence(9) == 5


def test_only_changes_are_taken() -> None:
    table = table_with(3)
    table.take_records(hash_of)
    table.set_scripts_valid(1)
    assert list(table.take_records(hash_of)) == [hash_of(1)]
    assert table.take_records(hash_of) == {}


@given(st.binary(max_size=40).filter(lambda record: len(record) != 33))
def test_a_damaged_record_is_refused(record: bytes) -> None:
    with pytest.raises(StorageError, match="--reindex"):
        BlockTable().load(0, record)

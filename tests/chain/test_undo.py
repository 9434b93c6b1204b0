"""Undo data: what a block spent comes back; what is damaged is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.undo import decode_undo, encode_undo
from ccnode.errors import StorageError

SPENT = st.lists(st.lists(st.binary(min_size=12, max_size=60), max_size=5), max_size=8)


@given(SPENT)
def test_what_was_spent_comes_back(spent: list[list[bytes]]) -> None:
    assert decode_undo(encode_undo(spent)) == spent


def test_the_largest_spendable_script_fits() -> None:
    spent = [[bytes(12 + 10_000)], []]
    assert decode_undo(encode_undo(spent)) == spent


@given(SPENT, st.data())
def test_cut_undo_data_is_refused(spent: list[list[bytes]], data: st.DataObject) -> None:
    undo = encode_undo(spent)
    with pytest.raises(StorageError, match="--reindex"):
        decode_undo(undo[: data.draw(st.integers(0, len(undo) - 1))])


@given(st.binary(max_size=100))
def test_garbage_is_refused_or_reads_back(garbage: bytes) -> None:
    try:
        spent = decode_undo(garbage)
    except StorageError:
        return
    assert encode_undo(spent) == garbage

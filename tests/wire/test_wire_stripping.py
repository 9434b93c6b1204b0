"""Blocks and transactions without their witnesses, against taking them apart and putting them together."""

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from ccnode.wire.blocks import Block
from ccnode.wire.stripping import strip_block, strip_transaction
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.data import read_xz

HEADER = bytes(range(80))
STACKS = st.lists(st.binary(max_size=300), max_size=3).map(tuple)
INPUTS = st.builds(
    TxIn, st.builds(OutPoint, st.binary(min_size=32, max_size=32), st.integers(0, 9)), st.binary(max_size=300),
    st.integers(0, 2**32 - 1), STACKS,
)  # fmt: skip
OUTPUTS = st.builds(TxOut, st.integers(0, 10**15), st.binary(max_size=300))
TRANSACTIONS = st.builds(
    Transaction,
    st.integers(0, 2**32 - 1),
    st.lists(INPUTS, min_size=1, max_size=3).map(tuple),
    st.lists(OUTPUTS, max_size=3).map(tuple),
    st.integers(0, 2**32 - 1),
)


@given(st.lists(TRANSACTIONS, min_size=1, max_size=4).map(tuple))
def test_any_block(transactions: tuple[Transaction, ...]) -> None:
    raw = Block.build(HEADER, transactions).raw
    bare = tuple(tx.without_witness() for tx in transactions)
    assert strip_block(raw) == Block.build(HEADER, bare).raw
    for tx in transactions:
        assert strip_transaction(tx.encode()) == tx.encode(with_witness=False)


def test_headers_of_another_size() -> None:
    tx = Transaction(1, (TxIn(OutPoint(bytes(32), 0), b"", 0, (b"w",)),), (), 0)
    raw = Block.build(bytes(112), (tx,)).raw
    assert strip_block(raw, 112) == Block.build(bytes(112), (tx.without_witness(),)).raw


def test_a_block_without_witnesses_is_itself() -> None:
    tx = Transaction(1, (TxIn(OutPoint(bytes(32), 0), b"", 0),), (), 0)
    raw = Block.build(HEADER, (tx,) * 300).raw
    assert strip_block(raw) is raw


def test_real_blocks(data_dir: Path) -> None:
    seen = 0
    for path in sorted((data_dir / "blocks").glob("*.raw.xz")):
        if path.stat().st_size > 300_000:
            continue
        raw = read_xz(path)
        bare = tuple(tx.without_witness() for tx in Block(raw).transactions())
        assert strip_block(raw) == Block.build(raw[:80], bare).raw, path.name
        seen += strip_block(raw) is not raw
    assert seen > 5

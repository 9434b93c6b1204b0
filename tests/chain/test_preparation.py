"""What a block costs before anything is known of it."""

import struct

import pytest

from ccnode.chain import preparation
from ccnode.chain.networks import REGTEST
from ccnode.chain.preparation import MAX_TRANSACTIONS, prepare_block
from ccnode.errors import DecodeError
from tests.support.chain_maker import ChainMaker, compact_size

EMPTY = struct.pack("<I", 2) + b"\0\0" + bytes(4)
"""The shortest thing that parses as a transaction."""


def test_a_block_of_more_transactions_than_fit_is_not_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    header = ChainMaker().block()[:80]
    fits = header + compact_size(MAX_TRANSACTIONS) + EMPTY * MAX_TRANSACTIONS
    verdict = prepare_block(fits, REGTEST).verdict
    assert verdict is not None
    assert verdict.reason == "bad-txnmrklroot"
    monkeypatch.setattr(preparation, "parse_block", None)
    with pytest.raises(DecodeError, match="more transactions"):
        prepare_block(header + compact_size(MAX_TRANSACTIONS + 1) + EMPTY * (MAX_TRANSACTIONS + 1), REGTEST)


def test_that_many_of_the_smallest_transactions_are_a_full_block() -> None:
    assert MAX_TRANSACTIONS * 60 * 4 <= 4_000_000 < (MAX_TRANSACTIONS + 1) * 60 * 4

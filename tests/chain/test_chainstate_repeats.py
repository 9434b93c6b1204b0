"""Transactions that repeat an earlier one (BIP30), on a network where heights are not in coinbases yet."""

from dataclasses import replace
from pathlib import Path

import pytest

from ccnode.chain import connect
from ccnode.chain.coins import read_coin
from ccnode.chain.networks import REGTEST
from ccnode.wire.parsing import parse_block
from tests.support.chain_maker import OP_TRUE, ChainMaker, MadeTransaction, outpoint, transaction
from tests.support.chainstate import ChainRoom, Submitted

BEFORE_BIP34 = replace(REGTEST, soft_forks=replace(REGTEST.soft_forks, bip34=10_000))
FIRST = 5
"""The height whose coinbase is repeated."""


def grown(directory: Path, height: int) -> tuple[ChainRoom, ChainMaker]:
    room, maker = ChainRoom(directory, BEFORE_BIP34), ChainMaker()
    for raw in maker.extend(height, spends=0):
        assert room.submit(raw).verdict is None
    return room, maker


def repeating(maker: ChainMaker, *transactions: MadeTransaction) -> bytes:
    """The next block, with the coinbase of the block at `FIRST`."""
    height = maker.height
    maker.height = FIRST - 1
    raw = maker.block(transactions)
    maker.height = height + 1
    return raw


def repeated(maker: ChainMaker) -> bytes:
    """The outpoint of the coinbase's output."""
    return outpoint(parse_block(maker.blocks[FIRST - 1]).txids[0], 0)


def reason(submitted: Submitted) -> str | None:
    return submitted.verdict and submitted.verdict.reason


def test_a_coinbase_must_not_overwrite_another(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, 10)
    fork = maker.clone()
    assert reason(room.submit(repeating(maker))) == "bad-txns-BIP30"
    assert room.height == 10
    assert room.submit(fork.block()).verdict is None
    assert read_coin(room.coins()[repeated(maker)])[2] == FIRST


def test_one_that_was_spent_may_come_again(tmp_path: Path) -> None:
    room, maker = grown(tmp_path, FIRST + 99)
    coin = repeated(maker)
    value = read_coin(room.coins()[coin])[0]
    spend = transaction([(coin, b"", 0xFFFFFFFF)], [(value, OP_TRUE)])
    together = maker.clone()
    assert reason(room.submit(repeating(together, spend))) == "bad-txns-BIP30", "it is spent too late for that"
    assert room.submit(maker.block([spend])).verdict is None
    before = room.coins()
    assert room.submit(repeating(maker)).verdict is None
    assert read_coin(room.coins()[coin])[2] == FIRST + 101
    room.state.wait_invalidate(room.entry(maker.hash))
    assert room.coins() == before


@pytest.mark.parametrize("flushes", range(8))
def test_the_exceptions_overwrite_and_nothing_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flushes: int
) -> None:
    """As in the two blocks of mainnet: the earlier coinbase is lost for good. A bit of ``flushes`` for each moment."""
    room, maker = grown(tmp_path, 10)
    coin = repeated(maker)

    def flush(moment: int) -> None:
        if flushes >> moment & 1:
            room.state.wait_flush()

    flush(0)
    raw = repeating(maker)
    monkeypatch.setattr(connect, "BIP30_REPEATS", {11: maker.hash})
    assert room.submit(raw).verdict is None
    flush(1)
    assert read_coin(room.state.coins.wait_fetch([coin])[coin])[2] == 11
    room.state.wait_invalidate(room.entry(maker.hash))
    flush(2)
    assert not room.state.coins.wait_fetch([coin])
    room.state.wait_reconsider(room.entry(maker.hash))
    for block in maker.extend(100, spends=0):
        assert room.submit(block).verdict is None
    value = read_coin(room.state.coins.wait_fetch([coin])[coin])[0]
    spend = transaction([(coin, b"", 0xFFFFFFFF)], [(value, OP_TRUE)])
    assert room.submit(maker.block([spend])).verdict is None
    assert coin not in room.coins(), "the earlier one is not behind it"
    room.state.wait_invalidate(room.entry(maker.hash))
    assert read_coin(room.coins()[coin])[2] == 11

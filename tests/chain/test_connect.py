"""What a block does to the coins, rule by rule."""

from dataclasses import replace

import pytest

from ccnode.chain.assumed import scripts_assumed_valid
from ccnode.chain.block_rules import BlockContext
from ccnode.chain.coins import make_coin
from ccnode.chain.connect import (
    BIP30_REPEATS,
    BIP34_IMPLIES_BIP30_LIMIT,
    Connected,
    connect_block,
    disconnect_block,
    may_overwrite,
    outer_outpoints,
)
from ccnode.chain.genesis import genesis_block
from ccnode.chain.headers import HeaderChain
from ccnode.chain.index import HeaderIndex
from ccnode.chain.money import COIN, MAX_MONEY
from ccnode.chain.networks import MAINNET, NETWORKS, REGTEST
from ccnode.chain.params import ChainParams
from ccnode.chain.script_flags import ALL_SCRIPT_FLAGS
from ccnode.chain.verdict import BlockVerdict
from ccnode.errors import StorageError
from ccnode.wire.parsing import ParsedBlock, parse_block
from tests.support.chain_maker import OP_TRUE, ChainMaker, MadeTransaction, outpoint, transaction
from tests.support.clock import ManualClock
from tests.support.fakes import MemoryHeaderStore

HEIGHT = 500
TIME = 2_000_000
A, B = b"a" * 32, b"b" * 32
CONTEXT = BlockContext(
    params=REGTEST, height=HEIGHT, time=TIME, median_time_past=TIME - 10, bip34=True, csv=True, segwit=True
)
FINAL = 0xFFFFFFFF


def spend(
    *points: bytes, values: tuple[int, ...] = (COIN,), sequence: int = FINAL, version: int = 2
) -> MadeTransaction:
    return transaction(
        [(point, b"", sequence) for point in points], [(value, OP_TRUE) for value in values], version=version
    )


def block_of(*transactions: MadeTransaction, fees: int = 0) -> ParsedBlock:
    maker = ChainMaker()
    maker.height = HEIGHT - 1
    return parse_block(maker.block(transactions, fees=fees))


def coin(value: int = COIN, height: int = 100, *, coinbase: bool = False, script: bytes = OP_TRUE) -> bytes:
    return make_coin(value, script, height, coinbase)


def connect(block: ParsedBlock, coins: dict[bytes, bytes], **how: object) -> Connected | BlockVerdict:
    return connect_block(block, CONTEXT, coins, int(ALL_SCRIPT_FLAGS), **how)  # type: ignore[arg-type]


def reason(block: ParsedBlock, coins: dict[bytes, bytes], **how: object) -> str:
    verdict = connect(block, coins, **how)
    assert isinstance(verdict, BlockVerdict)
    return verdict.reason


ONE, TWO = outpoint(A, 0), outpoint(B, 3)


def test_coins_move() -> None:
    first = spend(ONE, values=(COIN // 2, COIN // 4))
    second = spend(outpoint(first.txid, 1), TWO, values=(COIN,))
    block = block_of(first, second, fees=COIN // 2)
    coins = {ONE: coin(), TWO: coin()}
    assert outer_outpoints(block) == [ONE, TWO]
    done = connect(block, coins)
    assert isinstance(done, Connected)
    made = coin(COIN // 4, HEIGHT)
    assert done.spent == [[coins[ONE]], [made, coins[TWO]]]
    assert set(done.created) == {
        outpoint(block.txids[0], 0),
        outpoint(first.txid, 0),
        outpoint(second.txid, 0),
    }
    assert done.created[outpoint(first.txid, 0)] == coin(COIN // 2, HEIGHT)
    assert done.created[outpoint(block.txids[0], 0)][0] & 1, "a coinbase's"
    assert done.fees == COIN // 2
    undone = disconnect_block(block, done.spent)
    assert undone.removed == set(done.created)
    assert undone.restored == coins


def test_outputs_that_nobody_can_spend_are_no_coins() -> None:
    block = block_of(transaction([(ONE, b"", FINAL)], [(1, b"\x6a"), (2, b"\x51" * 10_001), (3, b"\x51" * 10_000)]))
    done = connect(block, {ONE: coin()})
    assert isinstance(done, Connected)
    assert {point[32:] for point in done.created if point[:32] == block.txids[1]} == {b"\x02\0\0\0"}
    assert disconnect_block(block, done.spent).removed == set(done.created)


def test_missing_and_twice_spent() -> None:
    assert reason(block_of(spend(ONE)), {}) == "bad-txns-inputs-missingorspent"
    twice = block_of(spend(ONE), spend(ONE, values=(1,)))
    assert reason(twice, {ONE: coin()}) == "bad-txns-inputs-missingorspent"
    same = spend(ONE)
    assert reason(block_of(same, same), {ONE: coin()}) == "bad-txns-inputs-missingorspent"


@pytest.mark.parametrize(("height", "fine"), [(HEIGHT - 99, False), (HEIGHT - 100, True), (HEIGHT, False)])
def test_maturity(height: int, fine: bool) -> None:
    block = block_of(spend(ONE))
    if fine:
        assert isinstance(connect(block, {ONE: coin(height=height, coinbase=True)}), Connected)
    else:
        assert reason(block, {ONE: coin(height=height, coinbase=True)}) == "bad-txns-premature-spend-of-coinbase"
    assert isinstance(connect(block, {ONE: coin(height=height)}), Connected), "only coinbases mature"


def test_amounts() -> None:
    assert reason(block_of(spend(ONE, values=(COIN + 1,))), {ONE: coin()}) == "bad-txns-in-belowout"
    rich = {ONE: coin(MAX_MONEY), TWO: coin(1)}
    assert reason(block_of(spend(ONE, TWO)), rich) == "bad-txns-inputvalues-outofrange"
    fees = block_of(spend(ONE, values=(0,)), spend(TWO, values=(0,)))
    assert reason(fees, rich) == "bad-txns-accumulated-fee-outofrange"


def test_the_coinbase_takes_no_more_than_there_is() -> None:
    assert isinstance(connect(block_of(spend(ONE, values=(1,)), fees=COIN - 1), {ONE: coin()}), Connected)
    assert reason(block_of(spend(ONE, values=(1,)), fees=COIN), {ONE: coin()}) == "bad-cb-amount"


@pytest.mark.parametrize(("blocks", "fine"), [(400, True), (401, False)])
def test_relative_locks_by_height(blocks: int, fine: bool) -> None:
    """The coin is of height 100, the block of 500."""
    block = block_of(spend(ONE, sequence=blocks))
    assert isinstance(connect(block, {ONE: coin()}), Connected) is fine
    assert isinstance(connect(block_of(spend(ONE, sequence=blocks, version=1)), {ONE: coin()}), Connected)
    assert isinstance(connect(block_of(spend(ONE, sequence=1 << 31 | blocks)), {ONE: coin()}), Connected)


@pytest.mark.parametrize(("seconds", "fine"), [(512, True), (511, False)])
def test_relative_locks_by_time(seconds: int, fine: bool) -> None:
    block = block_of(spend(ONE, sequence=1 << 22 | 1))
    times = {99: CONTEXT.median_time_past - seconds}
    assert isinstance(connect(block, {ONE: coin()}, median_times=times), Connected) is fine


def test_a_coin_of_the_same_block_counts_from_its_parent() -> None:
    first = spend(ONE)
    assert reason(block_of(first, spend(outpoint(first.txid, 0), sequence=1 << 22 | 1)), {ONE: coin()}) == (
        "bad-txns-nonfinal"
    )
    assert isinstance(connect(block_of(first, spend(outpoint(first.txid, 0), sequence=0)), {ONE: coin()}), Connected)


def test_the_earlier_fault_is_told() -> None:
    heavy = transaction([(ONE, b"", FINAL)], [(1, b"\xac" * 20_001)])
    missing = spend(TWO)
    assert reason(block_of(heavy, missing), {ONE: coin()}) == "bad-blk-sigops"
    assert reason(block_of(missing, heavy), {ONE: coin()}) == "bad-txns-inputs-missingorspent"


def test_sigop_cost() -> None:
    key_hash, script_hash = b"\x00\x14" + bytes(20), b"\xa9\x14" + bytes(20) + b"\x87"
    redeem = b"\x02\xac\xac"  # pushes two CHECKSIG
    block = block_of(
        transaction([(ONE, b"", FINAL), (TWO, redeem, FINAL)], [(1, b"\xac")], witnesses=[[b"s", b"k"], []])
    )
    done = connect(block, {ONE: coin(script=key_hash), TWO: coin(script=script_hash)})
    assert isinstance(done, Connected)
    assert done.sigop_cost == 4 * 1 + 1 + 4 * 2
    without = connect_block(block, CONTEXT, {ONE: coin(script=key_hash), TWO: coin(script=script_hash)}, 0)
    assert isinstance(without, Connected)
    assert without.sigop_cost == 4


def test_overwriting() -> None:
    assert reason(block_of(), {}, overwritten=[ONE]) == "bad-txns-BIP30"


def test_undo_data_of_another_block() -> None:
    with pytest.raises(StorageError, match="--reindex"):
        disconnect_block(block_of(spend(ONE)), [[coin(), coin()]])


# Where a transaction could repeat


class LongIndex:
    """An index of one chain in which entry and height are the same."""

    def __init__(self, bip34_hash: bytes) -> None:
        self._bip34_hash = bip34_hash

    def height(self, n: int) -> int:
        return n

    def ancestor(self, n: int, height: int) -> int:
        return height

    def hash(self, n: int) -> bytes:
        return self._bip34_hash if n == MAINNET.soft_forks.bip34 else bytes(32)


@pytest.mark.parametrize(
    ("params", "known", "height", "block_hash", "expected"),
    [
        (MAINNET, True, 100, A, True),
        (MAINNET, True, 91_842, BIP30_REPEATS[91_842], False),
        (MAINNET, True, 91_842, A, True),
        (MAINNET, True, 227_931, A, True),
        (MAINNET, True, 227_932, A, False),
        (MAINNET, False, 227_932, A, True),
        (MAINNET, True, BIP34_IMPLIES_BIP30_LIMIT, A, True),
        (REGTEST, True, 100, A, False),
        (replace(REGTEST, soft_forks=replace(REGTEST.soft_forks, bip34=2)), True, 100, A, True),
    ],
)
def test_where_a_transaction_could_repeat(
    params: ChainParams, known: bool, height: int, block_hash: bytes, expected: bool
) -> None:
    assert MAINNET.bip34_hash is not None
    index: HeaderIndex = LongIndex(MAINNET.bip34_hash if known else B)  # type: ignore[assignment]
    assert may_overwrite(params, index, height - 1, block_hash) is expected


# Scripts that are taken for valid


def test_scripts_of_buried_blocks_are_assumed_valid() -> None:
    maker = ChainMaker()
    made = maker.extend(2_100, spends=0)
    params = replace(REGTEST, assumevalid=parse_block(made[49]).hash)
    chain = HeaderChain(params, MemoryHeaderStore(), ManualClock(3_000_000_000.0))
    chain.load()
    chain.accept([raw[:80] for raw in made[:2_066]])
    index = chain.index
    assert not scripts_assumed_valid(params, index, 50), "2,016 blocks on top are two weeks, and no more"
    assert scripts_assumed_valid(params, index, 49)
    chain.accept([raw[:80] for raw in made[2_066:]])
    assert scripts_assumed_valid(params, index, 50)
    assert not scripts_assumed_valid(params, index, 51), "not an ancestor"
    assert not scripts_assumed_valid(REGTEST, index, 1), "nothing is assumed"
    assert not scripts_assumed_valid(replace(params, assumevalid=A), index, 1), "an unknown block"
    assert not scripts_assumed_valid(replace(params, minimum_chain_work=1 << 200), index, 1)


@pytest.mark.parametrize("params", NETWORKS, ids=lambda params: params.name)
def test_every_network_s_genesis_has_a_body(params: ChainParams) -> None:
    raw = genesis_block(params)
    assert raw is not None
    block = parse_block(raw)
    assert block.hash == params.genesis_hash
    assert block.merkle_root == block.txids[0]

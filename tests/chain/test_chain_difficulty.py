"""The difficulty rules, against real retargets and against the rules written naively."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.difficulty import BitcoinDifficulty
from ccnode.chain.index import HeaderIndex
from ccnode.chain.networks import MAINNET, REGTEST, SIGNET, TESTNET3, TESTNET4
from ccnode.chain.pow import block_proof, decode_compact
from tests.chain.naive_rules import Node, naive_next_bits
from tests.chain.support_chain import free_params
from tests.support.data import read_xz

PLAIN, MIN_DIFFICULTY = {}, {"allow_min_difficulty_blocks": True}
VARIANTS = [
    PLAIN,
    MIN_DIFFICULTY,
    {**MIN_DIFFICULTY, "enforce_bip94": True},
    {**MIN_DIFFICULTY, "no_retargeting": True},
    {"enforce_bip94": True},
]


class Edges:
    """A chain of which only the first and the last header of one period are known."""

    def __init__(self, last_height, first, last):
        self._height, self._headers = last_height, (first, last)

    def height(self, n):
        return self._height if n else self._height - 2015

    def time(self, n):
        return self._headers[n].time

    def bits(self, n):
        return self._headers[n].bits

    def ancestor(self, n, height):
        assert (n, height) == (1, self._height - 2015)
        return 0


def edges(data_dir):
    """Height to header of the first and last header of every mainnet period."""
    lines = read_xz(data_dir / "headers/mainnet_epoch_edges_0_832608.csv.xz").decode().split()[1:]
    rows = (line.split(",") for line in lines)
    return {int(height): MAINNET.header_format.parse(bytes.fromhex(raw)) for height, raw in rows}


def test_every_retarget_of_mainnet(data_dir):
    headers = edges(data_dir)
    electrum = json.loads(read_xz(data_dir / "headers/electrum_checkpoints_mainnet.json.xz"))
    boundaries = range(2016, 832609, 2016)
    assert len(boundaries) == 413
    for height in boundaries:
        first, last, new = headers[height - 2016], headers[height - 1], headers[height]
        view = Edges(height - 1, first, last)
        assert MAINNET.difficulty.required_bits(view, 1, [new.time]) == [new.bits]
        assert MAINNET.difficulty.permitted_transition(height, last.bits, new.bits)
        assert decode_compact(new.bits)[0] == electrum[height // 2016 - 1][1]


def chain_of(params, times):
    """An index and the naive chain with headers at these offsets from each other, each with the required bits."""
    genesis = params.header_format.parse(params.genesis)
    index = HeaderIndex(params.genesis_hash, genesis.time, genesis.bits, chain_work=block_proof(genesis.bits))
    node = Node(b"", None, 0, genesis.time, genesis.bits)
    for i, time in enumerate(times, 1):
        bits = naive_next_bits(params, node, time)
        node = Node(b"", node, i, time, bits)
        index.add(index.tip, [i.to_bytes(32, "big")], [time], [bits])
    return index, node


gaps = st.one_of(st.integers(-300, 900), st.integers(1100, 1300), st.integers(0, 40_000))


@pytest.mark.parametrize("flags", VARIANTS, ids=str)
@given(known=st.lists(gaps, max_size=30), new=st.lists(gaps, min_size=1, max_size=30))
def test_batches_agree_with_the_rule_written_naively(flags, known, new):
    params = free_params(**flags)
    time = params.header_format.parse(params.genesis).time
    times = [time := time + gap for gap in known + new]
    index, node = chain_of(params, times[: len(known)])
    tip = len(index) - 1
    required = params.difficulty.required_bits(index, tip, times[len(known) :])
    for time, bits in zip(times[len(known) :], required, strict=True):
        assert bits == naive_next_bits(params, node, time)
        assert params.difficulty.permitted_transition(node.height + 1, node.bits, bits)
        node = Node(b"", node, node.height + 1, time, bits)


def test_no_times_no_bits():
    index, _ = chain_of(free_params(), [])
    assert free_params().difficulty.required_bits(index, 0, []) == []


def test_testnet3_resets_where_testnet4_does_not():
    """A minimum-difficulty header that ends a period sets the next period's base on testnet3, not on testnet4."""
    old, new = free_params(**MIN_DIFFICULTY), free_params(**MIN_DIFFICULTY, enforce_bip94=True)
    start = old.header_format.parse(old.genesis)
    times = [start.time + 600 * i for i in range(1, 7)] + [start.time + 600 * 6 + 1201]
    for params, expected_base in ((old, 0x1D00FFFF), (new, start.bits)):
        index, node = chain_of(params, times)
        assert node.height == 7
        assert node.bits == 0x1D00FFFF
        (bits,) = params.difficulty.required_bits(index, len(index) - 1, [times[-1] + 1])
        target = decode_compact(expected_base)[0] * (times[-1] - start.time) // 4800
        assert abs(decode_compact(bits)[0] - min(target, params.pow_limit)) < target >> 14


def test_permitted_transitions():
    rule = MAINNET.difficulty
    assert rule.permitted_transition(2015, 0x1B0404CB, 0x1B0404CB)
    assert not rule.permitted_transition(2015, 0x1B0404CB, 0x1B0404CA)
    assert rule.permitted_transition(2016, 0x1B0404CB, 0x1B010132)  # a quarter, rounded down
    assert not rule.permitted_transition(2016, 0x1B0404CB, 0x1B010131)
    assert rule.permitted_transition(2016, 0x1B0404CB, 0x1B10132C)
    assert not rule.permitted_transition(2016, 0x1B0404CB, 0x1B10132D)
    assert rule.permitted_transition(2016, 0x1D00FFFF, 0x1D00FFFF)  # four times the limit is the limit
    for params in (TESTNET3, TESTNET4, REGTEST):
        assert params.difficulty.permitted_transition(5, 0x1D00FFFF, 0x1B0404CB)
    assert not SIGNET.difficulty.permitted_transition(5, 0x1E0377AE, 0x1E0377AD)


def test_timewarp_heights():
    assert MAINNET.difficulty.timewarp_heights(0, 5000) == range(0)
    assert list(TESTNET4.difficulty.timewarp_heights(0, 5000)) == [0, 2016, 4032]
    assert list(TESTNET4.difficulty.timewarp_heights(2016, 2017)) == [2016]
    assert list(TESTNET4.difficulty.timewarp_heights(2017, 4032)) == []


def test_intervals():
    assert BitcoinDifficulty(1).interval == 2016
    assert REGTEST.difficulty.interval == 144


def test_a_long_run_of_minimum_difficulty_is_crossed_quickly():
    """The walk back to a normal header goes run by run, not header by header."""
    params = free_params(**MIN_DIFFICULTY)
    rule = BitcoinDifficulty(params.pow_limit, allow_min_difficulty_blocks=True)
    genesis = params.header_format.parse(params.genesis)
    index = HeaderIndex(params.genesis_hash, genesis.time, genesis.bits, chain_work=1)
    count = 2000
    times = [genesis.time + 1201 * (i + 1) for i in range(count)]
    index.add(0, [i.to_bytes(32, "big") for i in range(count)], times, [0x1D00FFFF] * count)
    asked = []

    class Watched:
        def __getattr__(self, name):
            asked.append(name)
            return getattr(index, name)

    assert rule.required_bits(Watched(), index.tip, [times[-1] + 1]) == [genesis.bits]
    assert len(asked) < 15

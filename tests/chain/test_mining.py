"""Blocks of our own pass the rules for everybody's blocks."""

from dataclasses import replace

import pytest

from ccnode.chain.block_rules import BlockContext, check_block, contextual_check_block
from ccnode.chain.index import HeaderIndex
from ccnode.chain.merkle import commitment_position
from ccnode.chain.mining import Grind, block_template, build_block, commitment_script, with_commitment_witness
from ccnode.chain.money import COIN
from ccnode.chain.networks import REGTEST
from ccnode.chain.params import ChainParams
from ccnode.chain.pow import block_proof
from ccnode.chain.transaction_text import read_transaction
from ccnode.wire.blocks import Block
from ccnode.wire.parsing import parse_block
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut

NOW = 1_700_000_000
SPEND = Transaction(2, (TxIn(OutPoint(b"\1" * 32, 0), b"", 0, (b"\x51",)),), (TxOut(7, b"\x51"),), 0)


def _index(params: ChainParams, height: int = 0) -> HeaderIndex:
    genesis = params.header_format.parse(params.genesis)
    work = block_proof(genesis.bits)
    return HeaderIndex(params.genesis_hash, genesis.time, genesis.bits, height=height, chain_work=work)


def _mine(block: Block, params: ChainParams = REGTEST) -> Block:
    grind = Grind(block, params, 1_000_000)
    while not grind.step():
        pass
    assert grind.found is not None
    return grind.found


def test_a_chain_of_our_own_blocks_is_valid() -> None:
    index = _index(REGTEST)
    for height in range(1, 30):
        parent = index.tip
        template = block_template(REGTEST, index, NOW + height)
        block = _mine(build_block(template, b"\x51", [read_transaction(SPEND.encode())]))
        parsed = parse_block(block.raw)
        context = BlockContext.build(REGTEST, index, parent, template.time)
        assert check_block(parsed, REGTEST, check_pow=True) is None
        assert contextual_check_block(parsed, context) is None
        assert parsed.outputs[0][0] == (50 * COIN, b"\x51")
        index.add(parent, [block.hash], [template.time], [template.bits])
        assert index.height(index.tip) == height


def test_before_segwit_there_is_no_commitment() -> None:
    params = replace(REGTEST, soft_forks=replace(REGTEST.soft_forks, segwit=2))
    coinbase = build_block(block_template(params, _index(params), NOW), b"\x51").transactions()[0]
    assert not coinbase.has_witness()
    assert len(coinbase.vout) == 1
    coinbase = build_block(block_template(params, _index(params, height=1), NOW), b"\x51").transactions()[0]
    assert coinbase.has_witness()
    assert coinbase.vout[1].script_pubkey == commitment_script([b""])


def test_subsidy_and_height() -> None:
    template = block_template(REGTEST, _index(REGTEST, height=299), NOW)
    assert (template.height, template.reward) == (300, 50 * COIN // 4)
    coinbase = build_block(template, b"").transactions()[0]
    assert coinbase.vin[0].script_sig == bytes.fromhex("022c01")
    assert (coinbase.locktime, coinbase.vin[0].sequence) == (299, 0xFFFFFFFE)
    for height, script_sig in ((16, "6000"), (17, "0111")):  # two bytes at least
        template = block_template(REGTEST, _index(REGTEST, height=height - 1), NOW)
        assert build_block(template, b"").transactions()[0].vin[0].script_sig.hex() == script_sig


def test_time_is_after_the_median_and_not_too_far_before_the_parent() -> None:
    index = _index(REGTEST)
    start = index.time(0)
    assert block_template(REGTEST, index, 0).time == start + 1
    index = _index(REGTEST, height=133)
    times = [start + i for i in range(1, 10)] + [start + 5000]
    index.add(0, [bytes((i,)) * 32 for i in range(1, 11)], times, [index.bits(0)] * 10)
    template = block_template(REGTEST, index, 0)
    assert template.height == REGTEST.difficulty.interval
    assert template.min_time == times[-1] - 600


def test_a_search_ends_after_its_tries() -> None:
    template = replace(block_template(REGTEST, _index(REGTEST), NOW), bits=0x1D00FFFF)
    grind = Grind(build_block(template, b"\x51"), REGTEST, 100)
    assert not grind.step(60)
    assert grind.step(60)
    assert grind.found is None
    assert grind.tries == 0


@pytest.mark.parametrize("kept", [True, False])
def test_a_miner_may_leave_out_the_witness_of_the_commitment(kept: bool) -> None:
    block = build_block(block_template(REGTEST, _index(REGTEST), NOW), b"\x51", [read_transaction(SPEND.encode())])
    coinbase, *others = block.transactions()
    given = Block.build(block.header, (coinbase if kept else coinbase.without_witness(), *others))
    assert with_commitment_witness(parse_block(given.raw), REGTEST, 1) == block.raw


def test_nothing_is_added_without_a_commitment_or_before_segwit() -> None:
    params = replace(REGTEST, soft_forks=replace(REGTEST.soft_forks, segwit=9))
    plain = build_block(block_template(params, _index(params), NOW), b"\x51")
    assert with_commitment_witness(parse_block(plain.raw), REGTEST, 1) == plain.raw
    block = build_block(block_template(REGTEST, _index(REGTEST), NOW), b"\x51")
    stripped = Block.build(block.header, (block.transactions()[0].without_witness(),))
    assert with_commitment_witness(parse_block(stripped.raw), params, 1) == stripped.raw
    assert commitment_position(parse_block(block.raw).outputs[0]) == 1

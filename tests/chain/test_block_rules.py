"""The rules for blocks that need no coins: each rule, the order of the rules, real and recorded blocks."""

import json
import re
from dataclasses import replace

import pytest

from ccnode.chain.block_rules import BlockContext, check_block, contextual_check_block, is_mutated
from ccnode.chain.formats import BITCOIN_FORMAT, Header
from ccnode.chain.merkle import merkle_root
from ccnode.chain.money import MAX_MONEY
from ccnode.chain.networks import MAINNET, REGTEST, TESTNET3
from ccnode.chain.params import SoftForks
from ccnode.chain.script import push
from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.errors import DecodeError
from ccnode.wire.parsing import parse_block
from ccnode.wire.transaction import Transaction, TxIn, TxOut
from tests.chain.support_blocks import (
    NULL,
    TIME,
    block_bytes,
    coinbase,
    commitment_output,
    committed,
    make_block,
    real_blocks,
    spend,
)
from tests.chain.support_chain import new_chain
from tests.support.data import read_xz

CONSENSUS, MUTATED = ValidationResult.CONSENSUS, ValidationResult.MUTATED
CONTEXT = BlockContext(REGTEST, height=1, time=TIME, median_time_past=TIME - 1, bip34=True, csv=True, segwit=True)


def found(verdict: BlockVerdict | None) -> tuple[str, ValidationResult] | None:
    return None if verdict is None else (verdict.reason, verdict.result)


def checked(transactions, *, check_pow=True, **fields):
    return found(check_block(make_block(transactions, **fields), REGTEST, check_pow=check_pow))


def in_context(transactions, context=CONTEXT):
    return found(contextual_check_block(make_block(transactions), context))


# By itself


def test_a_good_block():
    assert checked([coinbase()]) is None
    assert checked([coinbase(), spend(), spend(1)]) is None
    assert checked(committed(spend(witness=(b"\1",)))) is None


def test_proof_of_work():
    assert checked([coinbase()], prove=False) == ("high-hash", ValidationResult.INVALID_HEADER)
    assert checked([coinbase()], prove=False, check_pow=False) is None
    low_limit = replace(REGTEST, pow_limit=MAINNET.pow_limit)
    verdict = check_block(make_block([coinbase()]), low_limit, check_pow=True)
    assert found(verdict) == ("high-hash", ValidationResult.INVALID_HEADER)


def test_transactions_that_the_header_does_not_commit_to():
    assert checked([coinbase(), spend()], root=bytes(32)) == ("bad-txnmrklroot", MUTATED)
    assert checked([], root=b"\1" * 32) == ("bad-txnmrklroot", MUTATED)
    repeated = [coinbase(), spend(), spend(1), spend(1)]
    assert checked(repeated, root=merkle_root([tx.txid for tx in repeated[:3]])[0]) == ("bad-txns-duplicate", MUTATED)


def test_size():
    assert checked([]) == ("bad-blk-length", CONSENSUS)
    overhead = len(block_bytes([coinbase(outputs=[TxOut(0, b"\x6a" * 70_000)])])) - 70_000
    for size, expected in ((1_000_000, None), (1_000_001, ("bad-blk-length", CONSENSUS))):
        assert checked([coinbase(outputs=[TxOut(0, b"\x6a" * (size - overhead))])]) == expected


def test_a_quicker_yes_is_not_asked_of_what_is_too_large():
    """It does not know a network's header."""
    overhead = len(block_bytes([coinbase(outputs=[TxOut(0, b"\x6a" * 70_000)])])) - 70_000
    raw = block_bytes([coinbase(outputs=[TxOut(0, b"\x6a" * (1_000_000 - overhead))])])
    longer = parse_block(raw[:80] + bytes(32) + raw[80:], 112, bytes(32))
    assert found(check_block(parse_block(raw), REGTEST, passes=lambda _block: True)) is None
    assert found(check_block(longer, REGTEST, passes=lambda _block: True)) == ("bad-blk-length", CONSENSUS)


def test_coinbase_comes_first_and_alone():
    assert checked([spend()]) == ("bad-cb-missing", CONSENSUS)
    assert checked([spend(), coinbase()]) == ("bad-cb-missing", CONSENSUS)
    assert checked([coinbase(), spend(), coinbase(2)]) == ("bad-cb-multiple", CONSENSUS)


def test_each_transaction_is_checked():
    bad = spend(outputs=[TxOut(-1, b"")])
    assert checked([coinbase(), spend(1), bad]) == ("bad-txns-vout-negative", CONSENSUS)
    assert checked([coinbase(outputs=[TxOut(MAX_MONEY + 1, b"")])]) == ("bad-txns-vout-toolarge", CONSENSUS)
    verdict = check_block(make_block([coinbase(), bad]), REGTEST)
    assert str(verdict) == f"bad-txns-vout-negative, Transaction check failed (tx hash {bad.txid[::-1].hex()})"


def test_legacy_sigops():
    for count, expected in ((20_000, None), (20_001, ("bad-blk-sigops", CONSENSUS))):
        assert checked([coinbase(outputs=[TxOut(0, b"\xac" * count)])]) == expected
        assert checked([coinbase(), spend(script=b"\xad" * count)]) == expected
        multisigs, single = divmod(count, 20)
        halves = [TxOut(0, b"\xae" * multisigs), TxOut(0, b"\xac" * single)]
        assert checked([coinbase(), spend(outputs=halves)]) == expected
    assert checked([coinbase(), spend(script=push(b"\xac" * 20_001))]) is None


def test_order():
    """Of several faults the one that Core sees first is told."""
    multisigs = TxOut(-1, b"\xae" * 1001)
    faults = [spend(outputs=[multisigs]), coinbase(), coinbase(2)]
    reasons = [checked(faults, root=bytes(32), prove=False), checked(faults, root=bytes(32)), checked(faults)]
    reasons += [checked([coinbase(), *faults]), checked([coinbase(), faults[0]])]
    reasons += [checked([coinbase(), spend(outputs=[TxOut(0, multisigs.script_pubkey)])])]
    assert [reason for reason, _result in reasons] == [
        "high-hash",
        "bad-txnmrklroot",
        "bad-cb-missing",
        "bad-cb-multiple",
        "bad-txns-vout-negative",
        "bad-blk-sigops",
    ]


# In its place


def test_a_good_block_in_its_place():
    assert in_context([coinbase()]) is None
    assert in_context(committed(spend(witness=(b"\1",)))) is None


def test_finality():
    by_height = [coinbase(), spend(locktime=1, sequence=0)]
    assert in_context(by_height) == ("bad-txns-nonfinal", CONSENSUS)
    assert in_context([coinbase(2), *by_height[1:]], replace(CONTEXT, height=2)) is None
    assert in_context([coinbase(), spend(locktime=1, sequence=0xFFFFFFFF)]) is None


def test_time_basis_of_finality():
    """BIP113: the parent's median time past once csv is active, before that the block's own time."""
    by_time = [coinbase(), spend(locktime=TIME - 1, sequence=0)]
    assert in_context(by_time) == ("bad-txns-nonfinal", CONSENSUS)
    assert in_context(by_time, replace(CONTEXT, median_time_past=TIME)) is None
    assert in_context(by_time, replace(CONTEXT, csv=False)) is None
    assert in_context([coinbase(), spend(locktime=TIME, sequence=0)], replace(CONTEXT, csv=False)) == (
        "bad-txns-nonfinal",
        CONSENSUS,
    )


@pytest.mark.parametrize(
    ("height", "script"),
    [(1, "51"), (16, "60"), (17, "0111"), (127, "017f"), (128, "028000"), (255, "02ff00"), (32768, "03008000")],
)
def test_height_in_coinbase(height, script):
    context = replace(CONTEXT, height=height)
    prefix = bytes.fromhex(script)
    for ending in (b"", b"\xff\xff"):
        assert in_context([coinbase(script=prefix + ending)], context) is None
    for wrong in (prefix[:-1], b"\1" + prefix, prefix[:-1] + bytes([prefix[-1] ^ 1]), push(prefix)):
        assert in_context([coinbase(script=wrong + b"\xff")], context) == ("bad-cb-height", CONSENSUS)
        assert in_context([coinbase(script=wrong + b"\xff")], replace(context, bip34=False)) is None


def test_witness_commitment():
    other = spend(witness=(b"\1",))
    good = committed(other)
    assert in_context([good[0], spend(witness=(b"\2",))]) == ("bad-witness-merkle-match", MUTATED)
    for reserved in ((), (bytes(31),), (bytes(33),), (bytes(32),) * 2):
        first = Transaction(2, (replace(good[0].vin[0], witness=reserved),), good[0].vout, 0)
        assert in_context([first, other]) == ("bad-witness-nonce-size", MUTATED)
    changed = Transaction(2, (replace(good[0].vin[0], witness=(b"\1" * 32,)),), good[0].vout, 0)
    assert in_context([changed, other]) == ("bad-witness-merkle-match", MUTATED)
    assert in_context(committed(other, reserved=b"\5" * 32)) is None
    bare = [Transaction(2, (replace(good[0].vin[0], witness=()),), good[0].vout, 0), spend()]
    assert in_context(bare) == ("bad-witness-nonce-size", MUTATED)


def test_no_witness_without_commitment():
    transactions = [coinbase(), spend(witness=(b"\1",))]
    assert in_context(transactions) == ("unexpected-witness", MUTATED)
    assert in_context([coinbase(witness=(bytes(32),)), spend()]) == ("unexpected-witness", MUTATED)
    before = replace(CONTEXT, segwit=False)
    assert in_context(transactions, before) == ("unexpected-witness", MUTATED)
    assert in_context(committed(spend(witness=(b"\1",))), before) == ("unexpected-witness", MUTATED)
    good = committed(spend())
    bare = Transaction(2, (replace(good[0].vin[0], witness=()),), good[0].vout, 0)
    assert in_context([bare, spend()], before) is None


def test_the_last_of_several_commitments_counts():
    first = coinbase(witness=(bytes(32),))
    right = commitment_output([first, spend()])
    wrong = TxOut(0, right.script_pubkey[:6] + bytes(32))
    assert in_context([replace(first, vout=(wrong, right)), spend()]) is None
    assert in_context([replace(first, vout=(right, wrong)), spend()]) == ("bad-witness-merkle-match", MUTATED)


def test_weight():
    def padded(size: int) -> list[Transaction]:
        return committed(spend(witness=(bytes(size),)))

    size = 3_900_000
    size += 4_000_000 - make_block(padded(size)).weight
    assert make_block(padded(size)).weight == 4_000_000
    assert in_context(padded(size)) is None
    assert in_context(padded(size + 1)) == ("bad-blk-weight", CONSENSUS)


def test_order_in_context():
    late = spend(locktime=1, sequence=0, witness=(bytes(4_000_000),))
    wrong_height = coinbase(7)
    reasons = [
        in_context([wrong_height, late]),
        in_context([wrong_height, late], replace(CONTEXT, height=2)),
        in_context([coinbase(), spend(witness=(bytes(4_000_000),))]),
    ]
    assert [reason for reason, _ in reasons] == ["bad-txns-nonfinal", "bad-cb-height", "unexpected-witness"]


def test_context_from_the_index():
    forks = replace(REGTEST, soft_forks=SoftForks(bip34=1, csv=2, segwit=3))
    chain, _store, _clock = new_chain(forks)
    context = BlockContext.build(forks, chain.index, 0, 77)
    genesis_time = BITCOIN_FORMAT.parse(REGTEST.genesis).time
    assert context == BlockContext(forks, 1, 77, genesis_time, bip34=True, csv=False, segwit=False)


# Mutations at the door


def test_mutated_blocks():
    good = committed(spend(witness=(b"\1",)))
    assert is_mutated(make_block(good), True) is None
    assert found(is_mutated(make_block(good, root=bytes(32)), True)) == ("bad-txnmrklroot", MUTATED)
    repeated = make_block([*good, good[-1], good[-1]], root=merkle_root([tx.txid for tx in [*good, good[-1]]])[0])
    assert found(is_mutated(repeated, True)) == ("bad-txns-duplicate", MUTATED)
    other_witness = [good[0], spend(witness=(b"\2",))]
    assert found(is_mutated(make_block(other_witness), True)) == ("bad-witness-merkle-match", MUTATED)
    assert found(is_mutated(make_block(good), False)) == ("unexpected-witness", MUTATED)
    assert is_mutated(make_block([coinbase(7), spend(locktime=1, sequence=0)]), True) is None


def test_transactions_that_may_be_inner_nodes():
    """Without a coinbase, 64 bytes are suspect; with one it would have taken too much work."""
    inner = Transaction(1, (TxIn(spend().vin[0].prevout, b"\1\1\1", 0),), (TxOut(0, b"\1"),), 0)
    assert len(inner.encode()) == 64
    assert is_mutated(make_block([inner]), True).result is MUTATED
    assert is_mutated(make_block([spend(), inner]), False).result is MUTATED
    assert is_mutated(make_block([spend()]), True) is None
    assert is_mutated(make_block([]), True) is None
    assert is_mutated(make_block([coinbase(), inner]), True) is None


# Real and recorded blocks


def check_real(raw: bytes, params, height: int) -> BlockVerdict | None:
    block = parse_block(raw)
    assert block.raw == raw
    time = BITCOIN_FORMAT.parse(block.header).time
    forks = params.soft_forks
    context = BlockContext(
        params, height, time, time - 1, height >= forks.bip34, height >= forks.csv, height >= forks.segwit
    )
    verdict = check_block(block, params, check_pow=True) or contextual_check_block(block, context)
    return verdict or is_mutated(block, context.segwit)


@pytest.mark.parametrize(
    ("pattern", "count"),
    [("main_[0-4]*.raw.xz", 17), ("main_[5-9]*.raw.xz", 10), ("stale_*.raw.xz", 22), ("test3_*.raw.xz", 4)],
)
def test_real_blocks(data_dir, pattern, count):
    params = TESTNET3 if pattern.startswith("test3") else MAINNET
    names = []
    for name, raw in real_blocks(data_dir, pattern):
        height = int(re.match(r"[a-z0-9]+?_(\d+)", name)[1])
        verdict = check_real(raw, params, height)
        if name.startswith("stale_074638"):  # 2010: two outputs of 92 billion
            assert found(verdict) == ("bad-txns-vout-toolarge", CONSENSUS)
        else:
            assert verdict is None, (name, verdict)
        names.append(name)
    assert len(names) == count


def test_real_chains(data_dir):
    first, alternative = (
        [check_real(raw, MAINNET, height) for height, (_name, raw) in enumerate(real_blocks(data_dir, pattern), start)]
        for pattern, start in (("main_000000*.dat.xz", 0), ("mainnet_alt_blocks*.dat.xz", 1))
    )
    assert first == [None] * 439
    assert alternative == [None] * 2016


@pytest.mark.parametrize("name", ["valid", "invalid"])
def test_python_bitcoinlibs_vectors(data_dir, name):
    """Its blocks out of time are not ours to judge: here a header's time is a rule for headers."""
    expected = {
        "Genesis with one byte changed": "high-hash",
        "Empty vtx": "bad-txnmrklroot",
        "One tx, but not a coinbase": "bad-cb-missing",
        "More than one coinbase (different coinbases)": "bad-cb-multiple",
        "Duplicate transaction": "bad-txnmrklroot",  # its root is of other transactions
        "Merkle root mismatch": "bad-txnmrklroot",
    }
    rows = json.loads((data_dir / f"vectors/pybitcoinlib/checkblock_{name}.json").read_text())
    seen = {}
    for comment, _is_header, check_pow, _now, data in (row for row in rows if len(row) == 5):
        verdict = check_block(parse_block(bytes.fromhex(data)), MAINNET, check_pow=check_pow)
        seen[comment] = verdict and verdict.reason
    faults = {comment: reason for comment, reason in seen.items() if reason}
    assert faults == (expected if name == "invalid" else {})
    assert len(seen) == (4 if name == "valid" else 7)


BY_ITSELF = {
    "bad-txns-vout-empty",
    "bad-txns-vin-empty",
    "bad-txns-inputs-duplicate",
    "bad-txns-prevout-null",
    "bad-txns-vout-negative",
    "bad-txns-vout-toolarge",
    "bad-txns-txouttotal-toolarge",
    "bad-blk-length",
    "bad-cb-length",
    "bad-cb-missing",
    "bad-cb-multiple",
    "bad-txnmrklroot",
    "bad-txns-duplicate",
    "high-hash",
}
"""The recorded reasons that a block shows by itself; bad-blk-sigops only sometimes, as P2SH needs the coins."""


def test_cores_recorded_steps(data_dir):
    """What Core said of the blocks of ``feature_block.py``, as far as it needs no coins."""
    forks = replace(REGTEST, soft_forks=SoftForks(bip34=2))
    heights = {REGTEST.genesis_hash: 0}
    seen, sigops = set(), 0
    for line in read_xz(data_dir / "chains/core_feature_block_steps_000_082.jsonl.xz").splitlines():
        step = json.loads(line)
        raws = [bytes.fromhex(text) for text in step["blocks"]]
        reason = step["reject_reason"] or ""
        for raw in raws:
            try:
                block = parse_block(raw)
            except DecodeError as error:
                pytest.fail(f"step {step['step']}: {error}")
            verdict = check_block(block, forks, check_pow=True)
            if verdict is None:
                parent = heights.get(block.raw[4:36])
                if parent is None:
                    continue  # on a block that was refused
                heights[block.hash] = height = parent + 1
                assert contextual_check_block(block, replace(CONTEXT, height=height, bip34=height >= 2)) is None
        if reason in BY_ITSELF or (reason.startswith("bad-blk-sigops") and verdict is not None):
            assert verdict is not None, step["step"]
            assert str(verdict).startswith(reason)
            sigops += verdict.reason == "bad-blk-sigops"
            seen.add(verdict.reason)
        else:
            assert verdict is None, (step["step"], verdict)
    assert seen == BY_ITSELF | {"bad-blk-sigops"}
    assert sigops == 5


def test_a_null_outpoint_is_what_a_coinbase_spends():
    assert Transaction(1, (TxIn(NULL, b"", 0),), (), 0).is_coinbase()
    header = BITCOIN_FORMAT.serialize(Header(1, bytes(32), bytes(32), 0, 0, 0))
    assert parse_block(header + b"\1" + Transaction(1, (TxIn(NULL, b"", 0),), (), 0).encode()).is_coinbase(0)

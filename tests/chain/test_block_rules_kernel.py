"""Damaged blocks: our verdict is Core's.

Small blocks are built, damaged in one or two places and given a fitting merkle root or not; libbitcoinkernel's
``CheckBlock`` must refuse the same ones for the same class of reason, and its chain on regtest must name the same
reason where the block fails by a rule that needs no coins.
"""

import io
import random
import tarfile
from collections import Counter
from dataclasses import replace

import pytest

from ccnode.chain.block_rules import BlockContext, check_block, contextual_check_block
from ccnode.chain.merkle import merkle_root
from ccnode.chain.money import MAX_MONEY
from ccnode.chain.networks import MAINNET, REGTEST
from ccnode.chain.script import push
from ccnode.errors import DecodeError
from ccnode.wire.parsing import parse_block
from ccnode.wire.transaction import OutPoint, Transaction, TxOut
from tests.chain.support_blocks import NULL, TIME, block_bytes, coinbase, committed, real_blocks, spend
from tests.support import kernel
from tests.support.data import read_xz

CORPORA = ["bitcoinfuzz_deserialize_block", "bitcoinfuzz_kernel_block", "rbk_block_roundtrip"]
VALUES = [-1, 0, 1, MAX_MONEY - 1, MAX_MONEY, MAX_MONEY + 1, 2**63 - 1, -(2**63)]
SCRIPTS = [
    b"",
    b"\x51",
    b"\xac" * 10_000,
    b"\xac" * 20_001,
    b"\xae" * 500,
    b"\xae" * 1000,
    b"\x4c",
    push(b"\xac" * 300),
]
SCRIPTS += [
    b"\x76\xa9\x14" + b"\xac" * 20 + b"\x88\xac",
    b"\xa9\x14" + b"\xaf" * 20 + b"\x87",
    b"\0\x14" + b"\xae" * 20,
]
BY_COINS = "bad-txns-inputs-missingorspent"


def damaged_transaction(rng: random.Random, tx: Transaction) -> Transaction:
    """``tx`` with one field changed to something that a rule has a word on."""
    vin, vout = list(tx.vin), list(tx.vout)
    match rng.randrange(10):
        case 0 if vin:
            vout.append(TxOut(rng.choice(VALUES), rng.choice(SCRIPTS)))
        case 1 if vout:
            vout[-1] = TxOut(rng.choice(VALUES), vout[-1].script_pubkey)
        case 2 if vin:
            vin[0] = replace(vin[0], script_sig=rng.choice([*SCRIPTS, bytes(1), bytes(2), bytes(100), bytes(101)]))
        case 3 if vin:
            vin.append(
                rng.choice([vin[0], replace(vin[0], prevout=NULL), replace(vin[0], prevout=OutPoint(bytes(32), 0))])
            )
        case 4 if vin:
            vin[0] = replace(vin[0], prevout=rng.choice([NULL, OutPoint(bytes(32), 7)]))
        case 5 if vin:
            vin[0] = replace(vin[0], witness=rng.choice([(), (b"",), (bytes(32),), (bytes(31),), (bytes(32), b"")]))
        case 6 if vin:
            vin[0] = replace(vin[0], sequence=rng.choice([0, 0xFFFFFFFE, 0xFFFFFFFF]))
        case 7:
            tx = replace(tx, locktime=rng.choice([0, 1, 2, 499_999_999, 500_000_000, TIME - 1, TIME, 2**32 - 1]))
            vin = [replace(txin, sequence=rng.choice([0, txin.sequence])) for txin in vin]
        case 8:
            vout.clear()
        case 9 if rng.random() < 0.2:
            vin.clear()
            vout.clear()
    return replace(tx, vin=tuple(vin), vout=tuple(vout))


def damaged_block(rng: random.Random) -> bytes:
    """A block on regtest's genesis that is good but for a few things, or good."""
    others = [spend(i, witness=rng.choice([(), (b"\1",)])) for i in range(rng.randrange(5))]
    transactions = committed(*others) if rng.random() < 0.7 else [coinbase(), *others]
    for _ in range(rng.randrange(3)):
        i = rng.randrange(len(transactions))
        match rng.randrange(14):
            case 0:
                transactions.append(transactions[i])
            case 1:
                transactions.insert(0, transactions.pop(i))
            case 2:
                transactions.pop(i)
            case _:
                transactions[i] = damaged_transaction(rng, transactions[i])
        if not transactions:
            break
    root = merkle_root([tx.txid for tx in transactions])[0]
    if rng.random() < 0.1:
        root = merkle_root([tx.txid for tx in transactions[: rng.randrange(len(transactions) + 1)]])[0]
    return block_bytes(transactions, root=root, prove=rng.random() < 0.97)


def test_damaged_blocks_by_themselves():
    rng = random.Random(1)
    reasons: Counter[str] = Counter()
    for _ in range(4000):
        raw = damaged_block(rng)
        verdict = check_block(parse_block(raw), REGTEST, check_pow=True)
        assert (verdict and verdict.result.name) == kernel.check_block(raw, "regtest"), (raw.hex(), verdict)
        reasons[verdict.reason if verdict else ""] += 1
    assert len(reasons) == 16, reasons


def test_damaged_blocks_in_their_place(tmp_path):
    """Where we have nothing to say, Core finds nothing either, or misses the coins."""
    rng = random.Random(2)
    reasons: Counter[str] = Counter()
    refused: set[bytes] = set()
    stored: set[bytes] = set()
    context = BlockContext(REGTEST, 1, TIME, TIME - 1, bip34=True, csv=True, segwit=True)
    with kernel.KernelChain(tmp_path) as chain:
        for _ in range(3000):
            raw = damaged_block(rng)
            block = parse_block(raw)
            verdict = check_block(block, REGTEST, check_pow=True) or contextual_check_block(block, context)
            theirs = chain.process(raw).verdict
            if theirs is not None and theirs.reason == "duplicate-invalid":
                assert block.hash in refused
            elif verdict is None:
                assert theirs is None or theirs.reason == BY_COINS, (raw.hex(), theirs)
                stored.add(block.hash)
            elif theirs is None:
                assert block.hash in stored, (raw.hex(), verdict)  # Core looks no further: it has that block
            else:
                assert (verdict.result.name, str(verdict)) == (theirs.result, f"{theirs.reason}, {theirs.detail}")
                reasons[verdict.reason] += 1
            if theirs is not None and theirs.result != "MUTATED":
                refused.add(block.hash)
    assert len(reasons) >= 19, reasons


@pytest.mark.parametrize("name", CORPORA)
def test_fuzzed_blocks(data_dir, name):
    """What is a block and what is not, and what is wrong with it."""
    with tarfile.open(fileobj=io.BytesIO(read_xz(data_dir / f"fuzz/{name}.tar.xz"))) as tar:
        contents = [tar.extractfile(member).read() for member in tar if member.isfile()]
    read = 0
    for raw in contents:
        try:
            theirs = kernel.check_block(raw, flags=kernel.CHECK_MERKLE)
        except ValueError:
            with pytest.raises(DecodeError):
                parse_block(raw)
            continue
        verdict = check_block(parse_block(raw), MAINNET)
        assert (verdict and verdict.result.name) == theirs
        read += 1
    assert 5 < read < len(contents)


def test_real_blocks(data_dir):
    for name, raw in real_blocks(data_dir, "*.raw.xz"):
        if not name.startswith("test"):
            verdict = check_block(parse_block(raw), MAINNET, check_pow=True)
            assert (verdict and verdict.result.name) == kernel.check_block(raw)

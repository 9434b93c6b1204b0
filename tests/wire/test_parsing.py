"""Blocks in columns: the same language as `Transaction`, the same fields, and other people's codecs agree."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccnode.errors import DecodeError
from ccnode.wire.blocks import Block
from ccnode.wire.parsing import NULL_OUTPOINT, ParsedBlock, parse_block
from ccnode.wire.serialize import Reader, compact_size, sha256d
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut, encode_transactions, read_transactions
from tests.support.data import read_xz
from tests.wire.wire_strategies import transactions as any_transactions

HEADER = bytes(range(80))
VERSION, LOCKTIME = b"\2\0\0\0", b"\5\0\0\0"
INPUT = bytes(32) + b"\1\0\0\0" + b"\1\x51" + b"\xff\xff\xff\xff"
OUTPUT = b"\x10" + bytes(7) + b"\1\x52"
CORPORA = ["bitcoinfuzz_deserialize_block", "bitcoinfuzz_kernel_block", "rbk_block_roundtrip"]
thorough = settings(max_examples=300)


def assert_columns(block: ParsedBlock, transactions: tuple[Transaction, ...]) -> None:
    """The columns say what the objects say."""
    assert block.txids == [tx.txid for tx in transactions]
    assert block.wtxids == [tx.wtxid for tx in transactions]
    assert block.versions == [tx.version for tx in transactions]
    assert block.locktimes == [tx.locktime for tx in transactions]
    assert block.outpoints == [[txin.prevout.encode() for txin in tx.vin] for tx in transactions]
    assert block.script_sigs == [[txin.script_sig for txin in tx.vin] for tx in transactions]
    assert block.sequences == [[txin.sequence for txin in tx.vin] for tx in transactions]
    assert block.outputs == [[(out.value, out.script_pubkey) for out in tx.vout] for tx in transactions]
    stacks = [[txin.witness for txin in tx.vin] if tx.has_witness() else None for tx in transactions]
    assert block.witnesses == stacks
    assert [block.transaction(i) for i in range(len(block))] == [tx.encode() for tx in transactions]
    assert [block.is_coinbase(i) for i in range(len(block))] == [tx.is_coinbase() for tx in transactions]
    stripped = [len(tx.encode(with_witness=False)) for tx in transactions]
    assert block.stripped_sizes == stripped
    assert block.stripped_size == block.offsets[0] + sum(stripped)
    assert block.weight == 3 * block.stripped_size + len(block.raw)


def assert_read_alike(data: bytes) -> bool:
    """Both readers refuse ``data``, or take the same from it; whether they take it."""
    reader = Reader(data, 80)
    try:
        transactions = read_transactions(reader)
    except DecodeError:
        with pytest.raises(DecodeError):
            parse_block(data)
        return False
    block = parse_block(data)
    assert (block.raw, block.header, block.hash) == (data[: reader.position], data[:80], sha256d(data[:80]))
    assert_columns(block, transactions)
    return True


@thorough
@given(any_transactions, st.binary(max_size=3))
def test_a_block_reads_as_its_transactions(transactions, after):
    data = HEADER + encode_transactions(transactions)
    assert assert_read_alike(data + after)
    assert parse_block(data + after).raw == data


@st.composite
def damaged(draw) -> bytes:
    """A serialized block with a few bytes changed, left out or put in."""
    data = bytearray(HEADER + encode_transactions(draw(any_transactions)))
    for _ in range(draw(st.integers(1, 3))):
        position = draw(st.integers(80, len(data)))
        removed = draw(st.integers(0, 4))
        data[position : position + removed] = draw(st.binary(max_size=4) | st.sampled_from(SEEDS))
    return bytes(data)


SEEDS = [b"\0\1", b"\0\2", b"\0\0", b"\xfd\xfd\0", b"\xfd\xfc\0", b"\xfe\0\0\1\0", b"\xff" * 9, INPUT, OUTPUT]


@settings(thorough, max_examples=600)
@given(damaged())
def test_both_refuse_the_same_damage(data):
    assert_read_alike(data)


@settings(thorough, max_examples=40)
@given(any_transactions)
def test_every_prefix_is_refused(transactions):
    data = HEADER + encode_transactions(transactions)
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            parse_block(data[:size])


@pytest.mark.parametrize(
    "transaction",
    [
        b"\0\1" + b"\1" + INPUT + b"\1" + OUTPUT + b"\0",  # a witness form without witness
        b"\0\1" + b"\0" + b"\0",
        b"\0\2" + b"\1" + INPUT + b"\1" + OUTPUT,  # unknown flags
        b"\0\3" + b"\1" + INPUT + b"\1" + OUTPUT + b"\1\1\xaa",
        b"\xfd\1\0" + INPUT + b"\1" + OUTPUT,  # a number in too many bytes
        b"\1" + INPUT + b"\xfe\1\0\0\0" + OUTPUT,
        b"\1" + bytes(36) + b"\xfe\1\0\0\2" + bytes(4) + b"\0",  # a script over 32 MiB
    ],
)
def test_malformed_transactions_are_refused(transaction):
    assert not assert_read_alike(HEADER + b"\1" + VERSION + transaction + LOCKTIME + bytes(40))


COIN = OutPoint(bytes(32), 1)


@pytest.mark.parametrize("size", [0xFC, 0xFD, 0xFFFF, 0x10000])
def test_scripts_of_every_length(size):
    script = b"\x51" * size
    vin = TxIn(COIN, script, 7, (b"", script)), TxIn(COIN, b"", 8, (b"\1",))
    assert assert_read_alike(HEADER + encode_transactions((Transaction(1, vin, (TxOut(-1, script),), 9),)))


@pytest.mark.parametrize("size", [0xFC, 0xFD, 0x10000])
def test_vectors_of_every_length(size):
    one_in, one_out, empty = TxIn(COIN, b"", 0), TxOut(0, b""), Transaction(1, (), (), 0)
    assert assert_read_alike(HEADER + encode_transactions((empty,) * size))
    outputs = Transaction(1, (one_in,), (one_out,) * size, 0)
    assert assert_read_alike(HEADER + encode_transactions((outputs,)))
    witness = TxIn(COIN, b"", 0, (b"\1",) * size)
    inputs = (witness, *[one_in] * min(size, 300))
    assert assert_read_alike(HEADER + encode_transactions((Transaction(1, inputs, (), 0),)))


def test_a_declared_count_costs_nothing():
    for count in (1, 0xFFFF, 0x02000000, 0x02000001, 2**64 - 1):
        assert not assert_read_alike(HEADER + compact_size(count) + bytes(8))
        assert not assert_read_alike(HEADER + b"\1" + VERSION + compact_size(count) + INPUT)


def test_other_header_formats():
    data = bytes(112) + encode_transactions((Transaction(1, (TxIn(OutPoint(bytes(32), 2**32 - 1), b"", 0),), (), 0),))
    block = parse_block(data, 112, b"\7" * 32)
    assert (block.raw, block.header, block.hash) == (data, bytes(112), b"\7" * 32)
    assert block.outpoints == [[NULL_OUTPOINT]]
    assert block.is_coinbase(0)
    assert parse_block(data, 112).hash == sha256d(bytes(112))


def test_no_transactions():
    block = parse_block(HEADER + b"\0")
    assert (len(block), block.offsets, block.stripped_size, block.weight) == (0, [81], 81, 324)
    assert block.merkle_root == HEADER[36:68]


@pytest.mark.parametrize("name", ["main_413567", "main_482683", "main_757753", "test3_928816", "stale_498984_09d44443"])
def test_real_blocks_read_as_their_transactions(data_dir, name):
    assert assert_read_alike(read_xz(data_dir / f"blocks/{name}.raw.xz"))


@pytest.mark.parametrize("name", CORPORA)
def test_fuzzed_blocks_are_read_alike(data_dir, name):
    with tarfile.open(fileobj=io.BytesIO(read_xz(data_dir / f"fuzz/{name}.tar.xz"))) as tar:
        contents = [tar.extractfile(member).read() for member in tar if member.isfile()]
    assert 5 < sum(map(assert_read_alike, contents)) < len(contents)


OTHERS_READ = ["main_210000", "main_482683", "main_757753", "test3_924634"]
with_inputs = any_transactions.filter(lambda transactions: all(tx.vin for tx in transactions))
"""A transaction without inputs is something that other libraries see otherwise."""


@pytest.mark.parametrize("name", OTHERS_READ)
def test_python_bitcoinlib_reads_the_same_of_real_blocks(data_dir, name):
    assert_python_bitcoinlib_agrees(read_xz(data_dir / f"blocks/{name}.raw.xz"))


@settings(thorough, max_examples=100)
@given(with_inputs)
def test_python_bitcoinlib_reads_the_same(transactions):
    assert_python_bitcoinlib_agrees(HEADER + encode_transactions(transactions))


def assert_python_bitcoinlib_agrees(raw: bytes) -> None:
    core = pytest.importorskip("bitcoin.core")
    block, other = parse_block(raw), core.CBlock.deserialize(raw)
    assert (block.hash, block.merkle_root) == (other.GetHash(), other.hashMerkleRoot)
    assert block.weight == other.GetWeight()
    assert block.txids == [tx.GetTxid() for tx in other.vtx]
    assert block.wtxids == [tx.GetHash() for tx in other.vtx]
    assert block.locktimes == [tx.nLockTime for tx in other.vtx]
    assert block.sequences == [[txin.nSequence for txin in tx.vin] for tx in other.vtx]
    assert block.script_sigs == [[bytes(txin.scriptSig) for txin in tx.vin] for tx in other.vtx]
    assert block.outpoints == [[txin.prevout.serialize() for txin in tx.vin] for tx in other.vtx]
    assert block.outputs == [[(out.nValue, bytes(out.scriptPubKey)) for out in tx.vout] for tx in other.vtx]


@pytest.mark.parametrize("name", OTHERS_READ)
def test_btclib_reads_the_same(data_dir, name):
    btclib = pytest.importorskip("btclib.block.block")
    raw = read_xz(data_dir / f"blocks/{name}.raw.xz")
    block, other = parse_block(raw), btclib.Block.parse(raw)
    assert (block.weight, block.stripped_size) == (other.weight, other.stripped_size)
    assert block.txids == [tx.id[::-1] for tx in other.transactions]
    assert block.wtxids == [tx.hash[::-1] for tx in other.transactions]
    stacks = [[txin.script_witness.stack for txin in tx.vin] for tx in other.transactions]
    assert block.witnesses == [inputs if any(inputs) else None for inputs in stacks]


def test_a_blocks_weight(data_dir):
    raw = read_xz(data_dir / "blocks/main_482683.raw.xz")
    assert Block.decode(raw + b"\0").weight() == parse_block(raw).weight

"""Transactions and blocks: BIP144's rules, Core's vectors, real blocks."""

import json

import pytest
from hypothesis import given, settings

from ccnode.errors import DecodeError
from ccnode.wire.blocks import Block
from ccnode.wire.serialize import Reader, sha256d
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.data import read_xz
from tests.wire.wire_strategies import transaction as any_transaction

NULL = OutPoint(bytes(32), 0xFFFFFFFF)
VERSION, LOCKTIME = b"\2\0\0\0", b"\5\0\0\0"
INPUT = bytes(32) + b"\1\0\0\0" + b"\1\x51" + b"\xff\xff\xff\xff"
OUTPUT = b"\x10" + bytes(7) + b"\1\x52"
TXIN = TxIn(OutPoint(bytes(32), 1), b"\x51", 0xFFFFFFFF)
TXOUT = TxOut(16, b"\x52")


def test_legacy_form():
    data = VERSION + b"\1" + INPUT + b"\1" + OUTPUT + LOCKTIME
    transaction = Transaction.decode(data)
    assert transaction == Transaction(2, (TXIN,), (TXOUT,), 5)
    assert transaction.encode() == data
    assert transaction.txid == transaction.wtxid == sha256d(data)
    assert transaction.weight == 4 * len(data)


def test_witness_form():
    data = VERSION + b"\0\1" + b"\1" + INPUT + b"\1" + OUTPUT + b"\2\1\xaa\0" + LOCKTIME
    stripped = VERSION + b"\1" + INPUT + b"\1" + OUTPUT + LOCKTIME
    transaction = Transaction.decode(data)
    assert transaction.vin[0].witness == (b"\xaa", b"")
    assert transaction.encode() == data
    assert transaction.encode(with_witness=False) == stripped == transaction.without_witness().encode()
    assert (transaction.txid, transaction.wtxid) == (sha256d(stripped), sha256d(data))
    assert transaction.weight == 3 * len(stripped) + len(data)


def test_no_inputs_means_no_outputs():
    data = VERSION + b"\0\0" + LOCKTIME
    assert Transaction.decode(data) == Transaction(2, (), (), 5)
    assert Transaction.decode(data).encode() == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (VERSION + b"\0\1" + b"\1" + INPUT + b"\1" + OUTPUT + b"\0" + LOCKTIME, "superfluous witness"),
        (VERSION + b"\0\1" + b"\0" + b"\0" + LOCKTIME, "superfluous witness"),
        (VERSION + b"\0\2" + b"\1" + INPUT + b"\1" + OUTPUT + LOCKTIME, "unknown transaction flags 0x02"),
        (VERSION + b"\0\3" + b"\1" + INPUT + b"\1" + OUTPUT + b"\1\1\xaa" + LOCKTIME, "unknown transaction flags 0x03"),
        (VERSION + b"\1" + INPUT + b"\1" + OUTPUT + LOCKTIME[:3], "truncated"),
    ],
)
def test_refused(data, reason):
    with pytest.raises(DecodeError, match=reason):
        Transaction.decode(data)


def test_version_and_locktime_are_unsigned():
    transaction = Transaction.decode(b"\xff" * 4 + b"\0\0" + b"\xff" * 4)
    assert transaction.version == transaction.locktime == 2**32 - 1


def test_many_of_the_smallest_inputs_or_outputs():
    one_in, one_out = TxIn(NULL, b"", 0), TxOut(0, b"")
    for transaction in (Transaction(2, (one_in,) * 100, (), 0), Transaction(2, (one_in,), (one_out,) * 100, 0)):
        assert Transaction.decode(transaction.encode()) == transaction


def test_coinbase():
    assert Transaction(1, (TxIn(NULL, b"", 0),), (), 0).is_coinbase()
    assert not Transaction(1, (TxIn(OutPoint(bytes(32), 0), b"", 0),), (), 0).is_coinbase()
    assert not Transaction(1, (TxIn(NULL, b"", 0),) * 2, (), 0).is_coinbase()


@settings(max_examples=60)
@given(any_transaction)
def test_every_prefix_of_a_transaction_is_refused(transaction):
    data = transaction.encode()
    for size in range(len(data)):
        with pytest.raises(DecodeError):
            Transaction.decode(data[:size])


@pytest.mark.parametrize("name", ["tx_valid", "tx_invalid"])
def test_cores_vectors_round_trip(data_dir, name):
    count = 0
    for row in json.loads(read_xz(data_dir / f"vectors/core/{name}.json.xz")):
        if not isinstance(row[0], list):
            continue
        data = bytes.fromhex(row[1])
        reader = Reader(data)
        assert Transaction.read(reader).encode() == data
        assert reader.remaining == 0
        count += 1
    assert count > 50


def merkle_root(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        if len(hashes) % 2:
            hashes.append(hashes[-1])
        hashes = [sha256d(hashes[i] + hashes[i + 1]) for i in range(0, len(hashes), 2)]
    return hashes[0]


@pytest.mark.parametrize("name", ["main_131025", "main_300025", "main_426884", "main_481829", "test3_928816"])
def test_real_blocks(data_dir, name):
    block = Block.decode(read_xz(data_dir / f"blocks/{name}.raw.xz"))
    transactions = block.transactions()
    assert Block.build(block.header, transactions) == block
    assert merkle_root([tx.txid for tx in transactions]) == block.header[36:68]
    assert transactions[0].is_coinbase()
    commitments = [out.script_pubkey for out in transactions[0].vout if out.script_pubkey[:6].hex() == "6a24aa21a9ed"]
    if commitments:
        root = merkle_root([bytes(32), *(tx.wtxid for tx in transactions[1:])])
        assert sha256d(root + transactions[0].vin[0].witness[0]) == commitments[-1][6:38]
    stripped = 80 + len(block.raw) - len(b"".join(tx.encode() for tx in transactions)) - 80
    stripped += sum(len(tx.encode(with_witness=False)) for tx in transactions)
    assert block.weight() == 3 * stripped + len(block.raw) <= 4_000_000


def test_a_block_hash():
    genesis = bytes.fromhex(
        "0100000000000000000000000000000000000000000000000000000000000000000000003ba3edfd7a7b12b27ac72c3e67768f61"
        "7fc81bc3888a51323a9fb8aa4b1e5e4a29ab5f49ffff001d1dac2b7c"
    )
    block = Block.decode(genesis + b"\0")
    assert block.hash[::-1].hex() == "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    assert block.header == genesis
    with pytest.raises(DecodeError):
        Block.decode(genesis)
    with pytest.raises(DecodeError):
        Block.decode(genesis + b"\1").transactions()

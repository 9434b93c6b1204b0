"""What is wrong with a transaction by itself, when it is final, and relative locks; Core's vectors."""

import json

import pytest

from ccnode.chain.money import MAX_MONEY
from ccnode.chain.transaction_rules import check_transaction, is_final, sequence_locks, sequence_locks_passed
from ccnode.wire.parsing import NULL_OUTPOINT
from ccnode.wire.transaction import Transaction
from tests.support.data import read_xz

COIN_A, COIN_B = bytes(36), bytes(35) + b"\1"
FINAL = 0xFFFFFFFF


def reason(inputs=(COIN_A,), values=(0,), *, script=b"", stripped_size=100) -> str | None:
    return check_transaction(list(inputs), [script] * len(inputs), [(value, b"") for value in values], stripped_size)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, None),
        ({"inputs": ()}, "bad-txns-vin-empty"),
        ({"inputs": (), "values": ()}, "bad-txns-vin-empty"),
        ({"values": ()}, "bad-txns-vout-empty"),
        ({"stripped_size": 1_000_000}, None),
        ({"stripped_size": 1_000_001}, "bad-txns-oversize"),
        ({"values": (-1,)}, "bad-txns-vout-negative"),
        ({"values": (MAX_MONEY,)}, None),
        ({"values": (MAX_MONEY + 1,)}, "bad-txns-vout-toolarge"),
        ({"values": (MAX_MONEY, 1)}, "bad-txns-txouttotal-toolarge"),
        ({"values": (MAX_MONEY, 1, -1)}, "bad-txns-txouttotal-toolarge"),
        ({"values": (1, MAX_MONEY - 1)}, None),
        ({"inputs": (COIN_A, COIN_B)}, None),
        ({"inputs": (COIN_A, COIN_B, COIN_A)}, "bad-txns-inputs-duplicate"),
        ({"inputs": (NULL_OUTPOINT,) * 2}, "bad-txns-inputs-duplicate"),
        ({"inputs": (COIN_A, NULL_OUTPOINT)}, "bad-txns-prevout-null"),
        ({"inputs": (NULL_OUTPOINT,), "script": b"\1"}, "bad-cb-length"),
        ({"inputs": (NULL_OUTPOINT,), "script": b"\1" * 2}, None),
        ({"inputs": (NULL_OUTPOINT,), "script": b"\1" * 100}, None),
        ({"inputs": (NULL_OUTPOINT,), "script": b"\1" * 101}, "bad-cb-length"),
        ({"inputs": (bytes(32) + b"\xff\xff\xff\xfe",), "script": b"\1"}, None),
    ],
)
def test_check_transaction(given, expected):
    assert reason(**given) == expected


def reason_of(tx: Transaction) -> str | None:
    inputs = [txin.prevout.encode() for txin in tx.vin]
    outputs = [(out.value, out.script_pubkey) for out in tx.vout]
    stripped_size = len(tx.encode(with_witness=False))
    return check_transaction(inputs, [txin.script_sig for txin in tx.vin], outputs, stripped_size)


def vectors(data_dir, name: str) -> list[tuple[Transaction, str]]:
    rows = json.loads(read_xz(data_dir / f"vectors/core/{name}.json.xz"))
    return [(Transaction.decode(bytes.fromhex(row[1])), row[2]) for row in rows if isinstance(row[0], list)]


def test_cores_valid_transactions(data_dir):
    reasons = [reason_of(tx) for tx, _flags in vectors(data_dir, "tx_valid")]
    assert reasons == [None] * 83


def test_cores_invalid_transactions(data_dir):
    """Those marked BADTX are malformed; the others fail in their scripts."""
    rows = vectors(data_dir, "tx_invalid")
    assert [reason_of(tx) for tx, flags in rows if flags == "BADTX"] == [
        "bad-txns-vout-empty",
        "bad-txns-vout-negative",
        "bad-txns-txouttotal-toolarge",
        "bad-txns-inputs-duplicate",
        "bad-cb-length",
        "bad-cb-length",
        "bad-txns-prevout-null",
    ]
    assert [reason_of(tx) for tx, flags in rows if flags != "BADTX"] == [None] * 54


@pytest.mark.parametrize(
    ("locktime", "sequences", "expected"),
    [
        (0, [0], True),
        (99, [0], True),
        (100, [0], False),  # at its height it is not final yet
        (100, [FINAL, FINAL], True),
        (100, [FINAL, FINAL - 1], False),
        (499_999_999, [0], False),
        (500_000_000, [0], True),
        (599_999_999, [0], True),
        (600_000_000, [0], False),
        (0xFFFFFFFF, [FINAL], True),
        (0xFFFFFFFF, [], True),
    ],
)
def test_is_final(locktime, sequences, expected):
    assert is_final(locktime, sequences, height=100, time=600_000_000) is expected


def test_relative_locks():
    def median_time_past(height: int) -> int:
        return 1000 * height

    def locks(*sequences: int, version: int = 2) -> tuple[int, int]:
        return sequence_locks(version, sequences, [50] * len(sequences), median_time_past)

    time = 1 << 22
    assert locks(0) == (49, -1)
    assert locks(10) == (59, -1)
    assert locks(10, 3, 7) == (59, -1)
    assert locks(0xFFFF) == locks(0xFFFF | 1 << 16) == (50 + 0xFFFF - 1, -1)
    assert locks(time | 2) == (-1, 49_000 + 2 * 512 - 1)  # from the block before the coin's
    assert locks(time, 1) == (50, 48_999)
    assert locks(1 << 31 | time | 5) == locks(1 << 31) == (-1, -1)
    assert locks(10, time | 2, version=1) == locks(10, version=0) == (-1, -1)
    assert locks(10, version=2**32 - 1) == (59, -1)
    assert sequence_locks(2, [time | 1], [0], median_time_past) == (-1, 511)


def test_when_relative_locks_have_passed():
    assert sequence_locks_passed((-1, -1), 0, 0)
    assert [sequence_locks_passed((59, -1), height, 0) for height in (59, 60)] == [False, True]
    assert [sequence_locks_passed((-1, 900), 0, time) for time in (900, 901)] == [False, True]
    assert not sequence_locks_passed((59, 900), 60, 900)

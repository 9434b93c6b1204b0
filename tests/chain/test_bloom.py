"""Bloom filters: the vectors of BIP37's tests, python-bitcoinlib as a second opinion, and what matches."""

import pytest
from bitcoin.bloom import CBloomFilter
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.bloom import BloomFilter, BloomUpdate
from ccnode.chain.script import OP_1, OP_16, OP_CHECKMULTISIG, OP_CHECKSIG, push, push_number

IN = [
    bytes.fromhex(text)
    for text in (
        "99108ad8ed9bb6274d3980bab5a85c048f0950c8",
        "b5a2c786d9ef4658287ced5914b37a1b4aa32eee",
        "b9300670b4c5366e95b2699e8b18bc75e5f729c5",
    )
]
KEY = b"\x02" + bytes(range(32))
LONG_KEY = b"\x04" + bytes(range(64))
TXID = bytes(range(32))
OUTPOINT = bytes(32) + b"\7\0\0\0"
FULL = 800  # bytes: chance matches hardly ever


def empty(flags: int = BloomUpdate.NONE, size: int = FULL) -> BloomFilter:
    return BloomFilter(bytes(size), 11, 5, flags)


def outpoint(n: int) -> bytes:
    return TXID + n.to_bytes(4, "little")


@pytest.mark.parametrize(("tweak", "data"), [(0, "614e9b"), (0x80000001, "ce4299")])
def test_the_vectors_of_core(tweak: int, data: str) -> None:
    bloom = BloomFilter(bytes(3), 5, tweak, BloomUpdate.ALL)
    bloom.insert(IN[0])
    assert IN[0] in bloom
    assert b"\x19" + IN[0][1:] not in bloom
    bloom.insert(IN[1])
    bloom.insert(IN[2])
    assert bloom.data.hex() == data
    assert all(element in bloom for element in IN)


@given(
    st.binary(min_size=1, max_size=60),
    st.integers(0, 50),
    st.integers(0, 2**32 - 1),
    st.lists(st.binary(max_size=80), max_size=20),
    st.lists(st.binary(max_size=80), max_size=20),
)
def test_another_implementation_agrees(
    data: bytes, functions: int, tweak: int, added: list[bytes], asked: list[bytes]
) -> None:
    other = CBloomFilter(1, 0.01, tweak, 0)
    other.vData, other.nHashFuncs = bytearray(data), functions
    bloom = BloomFilter(data, functions, tweak, 0)
    for element in added:
        bloom.insert(element)
        other.insert(element)
    assert bloom.data == other.vData
    assert [element in bloom for element in asked] == [other.contains(element) for element in asked]


def test_an_empty_filter_matches_everything_and_stays_empty() -> None:
    bloom = BloomFilter(b"", 50, 0, BloomUpdate.ALL)
    bloom.insert(b"x")
    assert b"anything" in bloom
    assert bloom.matches(TXID, [], [], [])
    assert bloom.data == b""


def test_what_of_a_transaction_matches() -> None:
    transaction = TXID, [(5, push(KEY) + bytes((OP_CHECKSIG,)))], [OUTPOINT], [push(b"signature") + push(b"key")]
    for element in (TXID, KEY, OUTPOINT, b"signature", b"key"):
        bloom = empty()
        bloom.insert(element)
        assert bloom.matches(*transaction), element
    bloom = empty()
    bloom.insert(b"something else")
    assert not bloom.matches(*transaction)
    assert not empty().matches(*transaction)


def test_a_script_counts_as_far_as_it_can_be_read() -> None:
    bloom = empty()
    bloom.insert(b"abc")
    assert bloom.matches(TXID, [(0, push(b"abc") + b"\x4e\xff")], [], [])
    assert not bloom.matches(TXID, [(0, b"\x4e\xff" + push(b"abc"))], [], [])


@pytest.mark.parametrize("flags", [*BloomUpdate, 4, 5])
def test_outpoints_are_added_as_the_client_asked(flags: int) -> None:
    bloom = empty(flags)
    bloom.insert(KEY)
    to_hash = bytes((0x76,)) + push(KEY) + b"\x88\xac"
    assert bloom.matches(TXID, [(0, push(b"no")), (0, push(KEY) + b"\xac"), (0, to_hash)], [], [])
    mask = flags & 3
    assert (outpoint(1) in bloom) is (mask in (BloomUpdate.ALL, BloomUpdate.P2PUBKEY_ONLY))
    assert (outpoint(2) in bloom) is (mask == BloomUpdate.ALL)
    assert outpoint(0) not in bloom


def multisig(required: bytes, keys: int, total: bytes, key: bytes = KEY) -> bytes:
    return required + push(key) * keys + total + bytes((OP_CHECKMULTISIG,))


@pytest.mark.parametrize(
    ("script", "pays_to_keys"),
    [
        (push(KEY) + bytes((OP_CHECKSIG,)), True),
        (push(LONG_KEY) + bytes((OP_CHECKSIG,)), True),
        (b"\x4c\x21" + KEY + bytes((OP_CHECKSIG,)), False),
        (push(KEY), False),
        (push(b"\x05" + KEY[1:]) + push(KEY), False),
        (multisig(push_number(1), 2, push_number(2)), True),
        (multisig(push_number(2), 2, push_number(1)), False),
        (multisig(push_number(3), 2, push_number(2)), False),
        (multisig(push_number(0), 2, push_number(2)), False),
        (multisig(bytes((OP_1,)), 16, bytes((OP_16,))), True),
        (multisig(push_number(17), 20, push_number(20)), True),
        (multisig(push_number(1), 21, push_number(21)), False),
        (multisig(push(b"\1"), 2, push_number(2)), False),
        (multisig(push_number(1), 2, push_number(2)) + b"\x00", False),
        (multisig(push_number(1), 2, push_number(2)) + b"\x4e", False),
    ],
)
def test_what_pays_to_keys(script: bytes, pays_to_keys: bool) -> None:
    bloom = empty(BloomUpdate.P2PUBKEY_ONLY)
    bloom.insert(KEY)
    bloom.insert(LONG_KEY)
    bloom.matches(TXID, [(0, script)], [], [])
    assert (outpoint(0) in bloom) is pays_to_keys


def test_a_copy_changes_by_itself() -> None:
    bloom = empty(BloomUpdate.ALL)
    bloom.insert(KEY)
    other = bloom.copy()
    assert other.matches(TXID, [(0, push(KEY))], [], [])
    assert outpoint(0) in other
    assert outpoint(0) not in bloom

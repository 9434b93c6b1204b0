"""Compact targets and proofs."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.networks import MAINNET
from ccnode.chain.pow import block_proof, decode_compact, difficulty, encode_compact, meets_target, target_of
from tests.support.data import read_xz

# bits -> (magnitude, negative, overflow, bits when encoded again): the cases of Core's arith_uint256_tests
COMPACT = [
    (0x00000000, 0, False, False, 0),
    (0x00123456, 0, False, False, 0),
    (0x01003456, 0, False, False, 0),
    (0x02000056, 0, False, False, 0),
    (0x03000000, 0, False, False, 0),
    (0x04000000, 0, False, False, 0),
    (0x00923456, 0, False, False, 0),
    (0x01803456, 0, False, False, 0),
    (0x02800056, 0, False, False, 0),
    (0x03800000, 0, False, False, 0),
    (0x04800000, 0, False, False, 0),
    (0x01123456, 0x12, False, False, 0x01120000),
    (0x01FEDCBA, 0x7E, True, False, 0x017E0000),
    (0x02123456, 0x1234, False, False, 0x02123400),
    (0x03123456, 0x123456, False, False, 0x03123456),
    (0x04123456, 0x12345600, False, False, 0x04123456),
    (0x04923456, 0x12345600, True, False, 0x04123456),
    (0x05009234, 0x92340000, False, False, 0x05009234),
    (0x20123456, 0x123456 << 232, False, False, 0x20123456),
]


@pytest.mark.parametrize(("bits", "magnitude", "negative", "overflow", "again"), COMPACT)
def test_compact_cases(bits, magnitude, negative, overflow, again):
    assert decode_compact(bits) == (magnitude, negative, overflow)
    assert encode_compact(magnitude) == again


@pytest.mark.parametrize("bits", [0xFF123456, 0x21010000, 0x22000100, 0x23000001])
def test_overflow(bits):
    assert decode_compact(bits)[2]
    assert target_of(bits, 1 << 256) is None
    assert block_proof(bits) == 0
    assert difficulty(bits) == 0.0


@pytest.mark.parametrize("bits", [0x2100FFFF, 0x220000FF])
def test_largest_that_do_not_overflow(bits):
    magnitude, negative, overflow = decode_compact(bits)
    assert not negative
    assert not overflow
    assert magnitude < 1 << 256


def test_target_needs_to_be_positive_and_within_the_limit():
    limit = MAINNET.pow_limit
    assert target_of(0x1D00FFFF, limit) == 0xFFFF << 208
    assert target_of(0x1D010000, limit) is None
    assert target_of(0x01803456, limit) is None
    assert target_of(0x04923456, limit) is None


def test_hash_may_equal_the_target():
    target = 0xFFFF << 208
    assert meets_target(target.to_bytes(32, "little"), 0x1D00FFFF, MAINNET.pow_limit)
    assert not meets_target((target + 1).to_bytes(32, "little"), 0x1D00FFFF, MAINNET.pow_limit)


@given(st.integers(1, (1 << 256) - 1))
def test_encoding_keeps_the_leading_bits(target):
    bits = encode_compact(target)
    decoded, negative, overflow = decode_compact(bits)
    assert not negative
    assert not overflow
    assert decoded <= target < decoded + (1 << max(0, target.bit_length() - 15))
    assert encode_compact(decoded) == bits


def test_proofs():
    assert block_proof(0x1D00FFFF) == 0x100010001
    assert block_proof(0x207FFFFF) == 2
    assert block_proof(0) == 0
    assert difficulty(0x1D00FFFF) == 1.0
    assert difficulty(0x1B0404CB) == pytest.approx(16307.420938523983)


def test_targets_of_electrum_checkpoints(data_dir):
    targets = [t for _, t in json.loads(read_xz(data_dir / "headers/electrum_checkpoints_mainnet.json.xz"))]
    assert len(targets) == 473
    for target in targets:
        assert decode_compact(encode_compact(target))[0] == target

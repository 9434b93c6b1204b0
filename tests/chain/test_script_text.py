"""Scripts and transactions as people see them: Core's own examples, and every output of real blocks."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.descriptors import parse_descriptor
from ccnode.chain.networks import MAINNET, REGTEST
from ccnode.chain.script import push, push_number
from ccnode.chain.script_text import (
    OutputType,
    infer_descriptor,
    is_signature,
    is_x_coordinate,
    output_type,
    script_asm,
    script_members,
    script_number,
)
from ccnode.chain.transaction_text import amount, decode_transaction, read_transaction, transaction_members
from ccnode.wire.parsing import parse_block
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.data import read_xz

SIGNATURE = (
    "304502207fa7a6d1e0ee81132a269ad84e68d695483745cde8b541e3bf630749894e342a"
    "022100c1f7ab20e13e22fb95281a870f3dcf38d782e53023ee313d741ad0cfbc0c5090"
)
KEY = "03b0da749730dc9b4b1f4a14d6902877a92541f5368778853d9c4a0cb7802dcfb2"
LONG_KEY = "04" + 64 * "ab"
HASH = "5dd1d3a048119c27b28293056724d9522f26d945"


@pytest.mark.parametrize(
    ("script", "asm"),
    [
        ("", ""),
        ("00", "0"),
        ("4f515260", "-1 1 2 16"),
        ("01810281000380000004ffffffff", "-1 129 128 -2147483647"),
        ("0500000000aa", "00000000aa"),
        ("05aa", "[error]"),
        ("4c", "[error]"),
        (f"76a914{HASH}88ac", f"OP_DUP OP_HASH160 {HASH} OP_EQUALVERIFY OP_CHECKSIG"),
        ("b1b2baff", "OP_CHECKLOCKTIMEVERIFY OP_CHECKSEQUENCEVERIFY OP_CHECKSIGADD OP_INVALIDOPCODE"),
        ("bbfe", "OP_UNKNOWN OP_UNKNOWN"),
        ("5061b062", "OP_RESERVED OP_NOP OP_NOP1 OP_VER"),
        ("4c0107", "7"),
    ],
)
def test_assembly(script: str, asm: str) -> None:
    assert script_asm(bytes.fromhex(script)) == asm


@pytest.mark.parametrize(
    ("hash_type", "name"), [("01", "ALL"), ("82", "NONE|ANYONECANPAY"), ("83", "SINGLE|ANYONECANPAY")]
)
def test_the_hash_type_of_a_signature_is_named(hash_type: str, name: str) -> None:
    script_sig = push(bytes.fromhex(SIGNATURE + hash_type)) + push(bytes.fromhex(KEY))
    assert script_asm(script_sig, signatures=True) == f"{SIGNATURE}[{name}] {KEY}"
    assert script_asm(script_sig) == f"{SIGNATURE}{hash_type} {KEY}"
    assert script_asm(b"\x6a" + script_sig, signatures=True) == f"OP_RETURN {SIGNATURE}{hash_type} {KEY}"


def test_what_is_almost_a_signature_is_none() -> None:
    right = bytes.fromhex(SIGNATURE + "01")
    assert is_signature(right)
    assert not is_signature(right[:-1] + b"\x04")
    for i in (0, 1, 2, 3, 4 + 32, 4 + 32 + 1):
        assert not is_signature(right[:i] + bytes((right[i] ^ 0x80,)) + right[i + 1 :]), i
    assert not is_signature(right[:4] + b"\xff" + right[5:])
    assert not is_signature(b"")


@pytest.mark.parametrize(
    ("script", "kind", "descriptor"),
    [
        (f"76a914{HASH}88ac", OutputType.PUBKEYHASH, "addr(m"),
        (f"a914{HASH}87", OutputType.SCRIPTHASH, "addr("),
        (f"21{KEY}ac", OutputType.PUBKEY, f"pk({KEY})"),
        (f"41{LONG_KEY}ac", OutputType.PUBKEY, f"pk({LONG_KEY})"),
        (f"21{KEY}ad", OutputType.NONSTANDARD, "raw("),
        (f"5121{KEY}41{LONG_KEY}52ae", OutputType.MULTISIG, f"multi(1,{KEY},{LONG_KEY})"),
        (f"5221{KEY}51ae", OutputType.NONSTANDARD, "raw("),
        (f"0021{KEY}51ae", OutputType.NONSTANDARD, "raw("),
        (f"5121{KEY}51ae61", OutputType.NONSTANDARD, "raw("),
        ("6a", OutputType.NULLDATA, "raw(6a)"),
        ("6a0401020304", OutputType.NULLDATA, "raw(6a0401020304)"),
        ("6a04", OutputType.NONSTANDARD, "raw(6a04)"),
        ("51024e73", OutputType.ANCHOR, "addr(bcrt1pfeesnyr2tx)"),
        (f"0014{HASH}", OutputType.WITNESS_V0_KEYHASH, "addr(bcrt1q"),
        ("0020" + 32 * "01", OutputType.WITNESS_V0_SCRIPTHASH, "addr(bcrt1q"),
        ("0003010203", OutputType.NONSTANDARD, "raw(0003010203)"),
        ("5120" + KEY[2:], OutputType.WITNESS_V1_TAPROOT, f"rawtr({KEY[2:]})"),
        ("5120" + 32 * "ff", OutputType.WITNESS_V1_TAPROOT, "addr(bcrt1p"),
        ("52028001", OutputType.WITNESS_UNKNOWN, "addr(bcrt1z"),
        ("", OutputType.NONSTANDARD, "raw()"),
        ("51", OutputType.NONSTANDARD, "raw(51)"),
    ],
)
def test_types_and_descriptors(script: str, kind: OutputType, descriptor: str) -> None:
    raw = bytes.fromhex(script)
    assert output_type(raw) is kind
    assert infer_descriptor(raw, REGTEST.prefixes).startswith(descriptor)
    shown = script_members(raw, REGTEST.prefixes)
    assert shown["type"] == kind.value
    assert ("address" in shown) == (kind.value.startswith(("pubkeyhash", "scripthash", "witness", "anchor")))


def test_a_multisig_of_twenty_keys() -> None:
    keys = push(bytes.fromhex(KEY)) * 20
    assert output_type(push_number(20) + keys + push_number(20) + b"\xae") is OutputType.MULTISIG
    assert output_type(b"\x02\x14\x00" + keys + push_number(20) + b"\xae") is OutputType.NONSTANDARD
    assert output_type(push_number(17) + keys + b"\x4c\x01\x14\xae") is OutputType.NONSTANDARD


def test_points_of_the_curve() -> None:
    assert is_x_coordinate(bytes.fromhex("79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"))
    assert not is_x_coordinate((5).to_bytes(32, "big"))
    assert not is_x_coordinate(b"\xff" * 32)


@given(st.integers(-(2**31) + 1, 2**31 - 1))
def test_numbers_are_read_as_they_are_pushed(number: int) -> None:
    data = push_number(number)
    if not -1 <= number <= 16:
        assert script_number(data[1:]) == number
    assert script_asm(data) == str(number)


@given(st.binary(max_size=80))
def test_any_bytes_are_shown(script: bytes) -> None:
    script_asm(script, signatures=True)
    script_members(script, MAINNET.prefixes)


@pytest.mark.parametrize("name", ["main_057043", "main_413567", "main_481829"])
def test_the_descriptors_of_real_outputs_mean_their_scripts(data_dir: Path, name: str) -> None:
    path = data_dir / f"blocks/{name}.raw.xz"
    if not path.exists():
        pytest.skip(f"no {name} in the data")
    block = parse_block(read_xz(path))
    for i in range(len(block)):
        shown = transaction_members(block, i, MAINNET.prefixes)
        assert shown["txid"] == Transaction.decode(block.transaction(i)).txid[::-1].hex()
        for (value, script), output in zip(block.outputs[i], shown["vout"], strict=True):  # type: ignore[call-overload]
            assert round(output["value"] * 10**8) == value
            descriptor = output["scriptPubKey"]["desc"]
            if script and descriptor.startswith(("addr", "raw(")):
                assert parse_descriptor(descriptor, MAINNET.prefixes) == script


PLAIN = Transaction(2, (TxIn(OutPoint(b"\x07" * 32, 1), b"\x51", 0xFFFFFFFD),), (TxOut(1234, b"\x51"),), 9)
EMPTY = Transaction(2, (), (TxOut(1234, b"\x51"), TxOut(5, b"")), 0)
WITNESS = Transaction(
    1, (TxIn(OutPoint(b"\x07" * 32, 1), b"", 5, (b"", b"\x01\x02")),), (TxOut(50 * 10**8, b"\x6a"),), 0
)


def test_a_decoded_transaction() -> None:
    shown = transaction_members(read_transaction(WITNESS.encode()), 0, REGTEST.prefixes)
    assert shown["vin"] == [
        {
            "txid": "07" * 32,
            "vout": 1,
            "scriptSig": {"asm": "", "hex": ""},
            "txinwitness": ["", "0102"],
            "sequence": 5,
        }
    ]
    assert shown["vout"][0]["value"] == 50  # type: ignore[index]
    assert (shown["size"], shown["weight"], shown["vsize"]) == (len(WITNESS.encode()), WITNESS.weight, 63)
    assert shown["hash"] == WITNESS.wtxid[::-1].hex() != shown["txid"]
    assert "fee" not in shown


def test_coins_that_are_known_give_fee_and_prevouts() -> None:
    coin = (7 << 1 | 1).to_bytes(4, "little") + (2000).to_bytes(8, "little") + b"\x51"
    block = read_transaction(PLAIN.encode())
    shown = transaction_members(block, 0, REGTEST.prefixes, spent=[coin], prevouts=True, with_hex=False)
    assert shown["fee"] == amount(766)
    assert shown["vin"][0]["prevout"] == {  # type: ignore[index]
        "generated": True,
        "height": 7,
        "value": amount(2000),
        "scriptPubKey": script_members(b"\x51", REGTEST.prefixes),
    }
    assert "hex" not in shown


def test_hex_without_inputs_is_read_as_what_makes_sense() -> None:
    for transaction in (PLAIN, EMPTY, WITNESS):
        block = decode_transaction(transaction.encode())
        assert block is not None
        assert block.txids[0] == transaction.txid
        assert block.outputs[0] == [(output.value, output.script_pubkey) for output in transaction.vout]
    assert decode_transaction(WITNESS.encode(), with_witness=False) is None
    assert decode_transaction(EMPTY.encode(), without=False) is None


@pytest.mark.parametrize("raw", [b"", b"\x01", PLAIN.encode() + b"\0", EMPTY.encode() + b"\0", PLAIN.encode()[:-1]])
def test_what_is_no_transaction(raw: bytes) -> None:
    assert decode_transaction(raw) is None


@given(st.binary(max_size=120))
def test_any_bytes_are_a_transaction_or_not(raw: bytes) -> None:
    block = decode_transaction(raw)
    if block is not None:
        transaction_members(block, 0, REGTEST.prefixes)


def test_amounts_keep_their_eight_decimals() -> None:
    for satoshi in (1, 10, 12345678, 2_099_999_999_999_999, 2_100_000_000_000_000, -1):
        assert f"{amount(satoshi):.8f}" == f"{'-' * (satoshi < 0)}{abs(satoshi) // 10**8}.{abs(satoshi) % 10**8:08}"
        assert len(repr(amount(satoshi)).split("e")[0].replace("-", "").split(".")[-1]) <= 8

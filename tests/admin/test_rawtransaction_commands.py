"""Commands about transactions, scripts and addresses that need no blocks."""

import json
from pathlib import Path
from typing import Any

import pytest
from admin_support import TestNode

from ccnode.admin.arguments import read_object
from ccnode.chain.addresses import decode_address, encode_address, witness_script
from ccnode.chain.descriptors import with_checksum
from ccnode.chain.networks import REGTEST
from ccnode.errors import RpcError
from ccnode.wire.transaction import Transaction

TXID = "1d1d4e24ed99057e84c3f80fd8fbec79ed9e1acee37da269356ecea000000000"
ADDRESS = "mneYUmWYsuk7kySiURxCi3AGxrAqZxLgPZ"
KEY = "03b0da749730dc9b4b1f4a14d6902877a92541f5368778853d9c4a0cb7802dcfb2"
LONG_KEY = "04b0da749730dc9b4b1f4a14d6902877a92541f5368778853d9c4a0cb7802dcfb2" + 64 * "1"
KEY_HASH = "5dd1d3a048119c27b28293056724d9522f26d945"


@pytest.fixture
def node(tmp_path: Path) -> TestNode:
    return TestNode(tmp_path)


def call(node: TestNode, method: str, *params: object, **named: object) -> Any:
    return node.call(method, *params, **named)


def refusal(node: TestNode, method: str, *params: object, **named: object) -> tuple[int, str]:
    with pytest.raises(RpcError) as caught:
        node.call(method, *params, **named)
    return caught.value.code, str(caught.value)


def test_an_address_is_taken_apart(node: TestNode) -> None:
    assert call(node, "validateaddress", ADDRESS) == {
        "isvalid": True,
        "address": ADDRESS,
        "scriptPubKey": decode_address(ADDRESS, REGTEST.prefixes).hex(),
        "isscript": False,
        "iswitness": False,
    }
    taproot = "bcrt1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqc8gma6"
    program = "79be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
    assert call(node, "validateaddress", taproot) == {
        "isvalid": True,
        "address": taproot,
        "scriptPubKey": f"5120{program}",
        "isscript": True,
        "iswitness": True,
        "witness_version": 1,
        "witness_program": program,
    }
    unknown = encode_address(witness_script(16, b"\1\2"), REGTEST.prefixes)
    assert "isscript" not in call(node, "validateaddress", unknown)


def test_what_is_no_address_is_explained(node: TestNode) -> None:
    found = call(node, "validateaddress", "mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJJfn")
    sentence = "Invalid checksum or length of Base58 address (P2PKH or P2SH)"
    assert found == {"isvalid": False, "error_locations": [], "error": sentence}


@pytest.mark.parametrize(
    ("script", "kind", "wrapped"),
    [
        ("", "nonstandard", "p2wsh"),
        ("51", "nonstandard", "p2wsh"),
        (f"21{KEY}ac", "pubkey", "p2wpkh"),
        (f"41{LONG_KEY}ac", "pubkey", "p2sh"),
        (f"76a914{KEY_HASH}88ac", "pubkeyhash", "p2wpkh"),
        (f"5121{KEY}51ae", "multisig", "p2wsh"),
        (f"5121{KEY}41{LONG_KEY}52ae", "multisig", "p2sh"),
        (f"0014{KEY_HASH}", "witness_v0_keyhash", "p2sh"),
        ("0020" + 32 * "01", "witness_v0_scripthash", "p2sh"),
        (f"a914{KEY_HASH}87", "scripthash", ""),
        ("6a0401020304", "nulldata", ""),
        ("51024e73", "anchor", ""),
        ("5120" + KEY[2:], "witness_v1_taproot", ""),
        ("ff", "nonstandard", ""),
        ("ba", "nonstandard", ""),
        ("50", "nonstandard", ""),
        ("05aa", "nonstandard", ""),
        ("6a05", "nonstandard", ""),
    ],
)
def test_how_a_script_can_be_wrapped(node: TestNode, script: str, kind: str, wrapped: str) -> None:
    found = call(node, "decodescript", script)
    assert found["type"] == kind
    assert "hex" not in found
    assert ("p2sh" in found) == bool(wrapped)
    assert ("segwit" in found) == wrapped.startswith("p2w")
    if "segwit" in found:
        assert found["segwit"]["type"] == {
            "p2wpkh": "witness_v0_keyhash",
            "p2wsh": "witness_v0_scripthash",
        }.get(wrapped)
        assert found["segwit"]["p2sh-segwit"].startswith("2")


def test_a_decoded_script(node: TestNode) -> None:
    found = call(node, "decodescript", f"76a914{KEY_HASH}88ac")
    assert found["asm"] == f"OP_DUP OP_HASH160 {KEY_HASH} OP_EQUALVERIFY OP_CHECKSIG"
    assert found["segwit"]["asm"] == f"0 {KEY_HASH}"
    multisig = f"5121{KEY}51ae"
    assert call(node, "decodescript", multisig)["segwit"]["desc"] == with_checksum(f"wsh(multi(1,{KEY}))")
    assert refusal(node, "decodescript", "xyz") == (-8, "argument must be hexadecimal string (not 'xyz')")


def test_a_created_transaction(node: TestNode) -> None:
    raw = call(
        node,
        "createrawtransaction",
        [{"txid": TXID, "vout": 9}, {"txid": TXID, "vout": 0, "sequence": 5}],
        [{ADDRESS: 0.00000001}, {"data": "99"}],
    )
    transaction = Transaction.decode(bytes.fromhex(raw))
    assert [each.sequence for each in transaction.vin] == [0xFFFFFFFD, 5]
    assert transaction.vin[0].prevout.txid == bytes.fromhex(TXID)[::-1]
    assert [each.value for each in transaction.vout] == [1, 0]
    assert transaction.vout[1].script_pubkey == bytes.fromhex("6a0199")
    shown = call(node, "decoderawtransaction", raw)
    assert (shown["txid"], shown["vin"][0]["vout"]) == (transaction.txid[::-1].hex(), 9)
    assert shown["vout"][0]["scriptPubKey"]["address"] == ADDRESS
    assert "hex" not in shown


@pytest.mark.parametrize(
    ("named", "sequence", "locktime", "version"),
    [
        ({"replaceable": False}, 0xFFFFFFFF, 0, 2),
        ({"replaceable": False, "locktime": 7}, 0xFFFFFFFE, 7, 2),
        ({"locktime": 7}, 0xFFFFFFFD, 7, 2),
        ({"version": 3}, 0xFFFFFFFD, 0, 3),
    ],
)
def test_what_a_created_transaction_says(
    node: TestNode, named: dict[str, object], sequence: int, locktime: int, version: int
) -> None:
    raw = call(node, "createrawtransaction", [{"txid": TXID, "vout": 0}], {ADDRESS: "0.5"}, **named)
    transaction = Transaction.decode(bytes.fromhex(raw))
    assert transaction.vin[0].sequence == sequence
    assert (transaction.locktime, transaction.version) == (locktime, version)
    assert transaction.vout[0].value == 50_000_000


ODD_AMOUNTS = ["", " 1", "+1", "1_000", ".5", "1.", "01", "0x1", "\u0663", "NaN", "Infinity", "1e1000000", "1" * 40]


@pytest.mark.parametrize(
    ("inputs", "outputs", "named", "code", "text"),
    [
        (["foo"], {}, {}, -3, "JSON value of type string is not of expected type object"),
        ([{}], {}, {}, -3, "JSON value of type null is not of expected type string"),
        ([{"txid": "foo"}], {}, {}, -8, "txid must be of length 64 (not 3, for 'foo')"),
        ([{"txid": TXID}], {}, {}, -8, "Invalid parameter, missing vout key"),
        ([{"txid": TXID, "vout": "foo"}], {}, {}, -8, "Invalid parameter, missing vout key"),
        ([{"txid": TXID, "vout": -1}], {}, {}, -8, "Invalid parameter, vout cannot be negative"),
        (
            [{"txid": TXID, "vout": 0, "sequence": 2**32}],
            {},
            {},
            -8,
            "Invalid parameter, sequence number is out of range",
        ),
        ([], "foo", {}, -3, "JSON value of type string is not of expected type array"),
        ([], {"data": "foo"}, {}, -8, "Data must be hexadecimal string (not 'foo')"),
        ([], {"foo": 0}, {}, -5, "Invalid Bitcoin address: foo"),
        ([], {ADDRESS: "foo"}, {}, -3, "Invalid amount"),
        ([], {ADDRESS: 0.000000001}, {}, -3, "Invalid amount"),
        *(([], {ADDRESS: text}, {}, -3, "Invalid amount") for text in ODD_AMOUNTS),
        ([], {ADDRESS: -1}, {}, -3, "Amount out of range"),
        ([], {ADDRESS: "1e300"}, {}, -3, "Amount out of range"),
        ([], None, {}, -8, "Invalid parameter, output argument must be non-null"),
        ([], {ADDRESS: []}, {}, -3, "Amount is not a number or string"),
        ([], [{ADDRESS: 1}, {ADDRESS: 1}], {}, -8, f"Invalid parameter, duplicated address: {ADDRESS}"),
        ([], [{"data": "aa"}, {"data": "bb"}], {}, -8, "Invalid parameter, duplicate key: data"),
        (
            [],
            [{"a": 1, "b": 2}],
            {},
            -8,
            "Invalid parameter, key-value pair must contain exactly one key",
        ),
        ([], ["foo"], {}, -8, "Invalid parameter, key-value pair not an object as expected"),
        ([], {}, {"locktime": -1}, -8, "Invalid parameter, locktime out of range"),
        ([], {}, {"locktime": 2**32}, -8, "Invalid parameter, locktime out of range"),
        ([], {}, {"version": 4}, -8, "Invalid parameter, version out of range(1~3)"),
        (
            [{"txid": TXID, "vout": 0, "sequence": 0xFFFFFFFF}],
            {},
            {"replaceable": True},
            -8,
            "Invalid parameter combination: Sequence number(s) contradict replaceable option",
        ),
    ],
)
def test_what_createrawtransaction_refuses(
    node: TestNode, inputs: list[object], outputs: object, named: dict[str, object], code: int, text: str
) -> None:
    assert refusal(node, "createrawtransaction", inputs, outputs, **named) == (code, text)


def test_two_payments_to_one_address_are_not_one(node: TestNode) -> None:
    outputs = json.loads(f'{{"{ADDRESS}": 1, "{ADDRESS}": 2}}', object_pairs_hook=read_object)
    assert refusal(node, "createrawtransaction", [], outputs) == (
        -8,
        f"Invalid parameter, duplicated address: {ADDRESS}",
    )


def test_outputs_come_as_words_too(node: TestNode) -> None:
    raw = node.call("createrawtransaction", "[]", f'{{"{ADDRESS}": 1}}', words=True)
    assert raw == call(node, "createrawtransaction", [], {ADDRESS: 1})


def test_both_forms_of_a_transaction_are_read(node: TestNode) -> None:
    raw = call(node, "createrawtransaction", [], {ADDRESS: 1})
    assert call(node, "decoderawtransaction", raw)["vout"][0]["value"] == 1
    assert call(node, "decoderawtransaction", raw, False)["vin"] == []
    assert refusal(node, "decoderawtransaction", raw, True) == (-22, "TX decode failed")
    for text in ("", "xyz", raw + "00", raw[:-2]):
        assert refusal(node, "decoderawtransaction", text) == (-22, "TX decode failed")


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("getblock", ["00" * 32]),
        ("getblockstats", [0]),
        ("gettxout", ["00" * 32, 0]),
        ("gettxoutsetinfo", []),
        ("scantxoutset", ["status"]),
        ("getrawtransaction", ["00" * 32]),
        ("generatetoaddress", [1, ADDRESS]),
        ("generatetodescriptor", [1, "raw(51)"]),
        ("generateblock", ["raw(51)", []]),
        ("getblocktemplate", [{"rules": ["segwit"]}]),
        ("submitblock", ["00"]),
        ("verifychain", []),
        ("pruneblockchain", [1]),
        ("getchaintxstats", []),
        ("getblockfilter", ["00" * 32]),
        ("getblockfrompeer", ["00" * 32, 0]),
    ],
)
def test_a_node_of_headers_says_what_it_lacks(node: TestNode, method: str, params: list[object]) -> None:
    sentence = "This node has headers only; start it with sync=blocks to have blocks"
    assert refusal(node, method, *params) == (-1, sentence)

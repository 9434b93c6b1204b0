"""Reading scripts: pushes, templates, signature operations; python-bitcoinlib as a second opinion."""

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccnode.chain.script import (
    count_sigops,
    input_sigop_cost,
    is_p2sh,
    is_push_only,
    is_unspendable,
    last_push,
    legacy_sigops,
    push,
    push_number,
    read_op,
    witness_program,
)
from ccnode.wire.parsing import parse_block
from tests.support.data import read_xz

core = pytest.importorskip("bitcoin.core.script")

HASH = bytes(range(20))
P2PKH = b"\x76\xa9\x14" + HASH + b"\x88\xac"
P2SH = b"\xa9\x14" + HASH + b"\x87"
P2WPKH = b"\0\x14" + HASH
P2WSH = b"\0\x20" + bytes(32)
P2TR = b"\x51\x20" + b"\xac" * 32
MULTISIG = b"\x52" + 3 * (b"\x21" + b"\xac" * 33) + b"\x53\xae"

scripts = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from(
            [b"\xac", b"\xad", b"\xae", b"\xaf", b"\x51", b"\x60", b"\x4f", b"\x50", b"\0", b"\x61", b"\x76"]
        )
        | st.binary(max_size=80).map(push)
        | st.sampled_from([b"\x4c\x02\xac\xac", b"\x4d\x02\0\xac\xac", b"\x4e\x02\0\0\0\xac\xac", b"\x4c", b"\x4d\1"]),
        max_size=8,
    ).map(b"".join),
    st.sampled_from([P2PKH, P2SH, P2WPKH, P2WSH, P2TR, MULTISIG]),
)
thorough = settings(max_examples=500)


def their_count(script: bytes, accurate: bool) -> int:
    """Sigops by BIP16, of the opcodes that python-bitcoinlib reads before it refuses the script.

    Its own accurate count fails on every multisig.
    """
    count, last = 0, None
    try:
        for op, _data, _begin in core.CScript(script).raw_iter():
            if op in (core.OP_CHECKSIG, core.OP_CHECKSIGVERIFY):
                count += 1
            elif op in (core.OP_CHECKMULTISIG, core.OP_CHECKMULTISIGVERIFY):
                told = accurate and last is not None and core.OP_1 <= last <= core.OP_16
                count += core.CScriptOp(last).decode_op_n() if told else 20
            last = op
    except core.CScriptInvalidError:
        return count
    assert accurate or count == core.CScript(script).GetSigOpCount(False)
    return count


@thorough
@given(scripts, st.booleans())
def test_sigops_as_python_bitcoinlib_counts_them(script, accurate):
    assert count_sigops(script, accurate) == their_count(script, accurate)


@thorough
@given(st.lists(scripts, max_size=4), st.lists(scripts, max_size=4))
def test_many_scripts_are_counted_like_each(script_sigs, script_pubkeys):
    outputs = [(0, script) for script in script_pubkeys]
    expected = sum(count_sigops(script, False) for script in script_sigs + script_pubkeys)
    assert legacy_sigops(script_sigs, outputs) == expected


@thorough
@given(scripts)
def test_templates_as_python_bitcoinlib_sees_them(script):
    other = core.CScript(script)
    assert is_p2sh(script) == other.is_p2sh()
    assert is_push_only(script) == other.is_push_only()
    assert (witness_program(script) is not None) == other.is_witness_scriptpubkey()
    if program := witness_program(script):
        assert program == (other.witness_version(), script[2:])


def test_sigops_stop_where_the_script_breaks():
    assert count_sigops(b"\xac\x02\xac", False) == 1
    assert count_sigops(b"\xac\x4c", False) == 1
    assert count_sigops(b"\xac\x4d\x01", False) == 1
    assert count_sigops(b"\xac\x4e\xff\xff\xff\xff\xac", False) == 1
    assert count_sigops(b"\x02\xac\xac\xac", False) == 1


def test_keys_of_a_multisig():
    assert (count_sigops(MULTISIG, True), count_sigops(MULTISIG, False)) == (3, 20)
    assert count_sigops(b"\x60\xae", True) == 16
    assert count_sigops(b"\0\xae", True) == count_sigops(b"\x61\xaf", True) == count_sigops(b"\xae", True) == 20


@pytest.mark.parametrize(
    ("script_sig", "script_pubkey", "witness", "cost"),
    [
        (b"", P2PKH, (), 0),
        (push(MULTISIG), P2SH, (), 12),
        (push(b"\xac") + push(b"\x51"), P2SH, (), 0),  # the last push counts
        (push(MULTISIG) + b"\x51", P2SH, (), 0),  # which may be empty
        (b"\x61" + push(MULTISIG), P2SH, (), 0),  # not only pushes
        (push(MULTISIG)[:-1], P2SH, (), 0),
        (b"", P2WPKH, (), 1),
        (b"", P2WSH, (b"\xac\xac", MULTISIG), 3),
        (b"", P2WSH, (), 0),
        (b"", P2TR, (MULTISIG, b"\xc0" + bytes(32)), 0),
        (push(P2WPKH), P2SH, (), 1),
        (push(P2WSH), P2SH, (MULTISIG,), 3),
        (b"\x61" + push(P2WPKH), P2SH, (), 0),
        (b"", b"\0\x15" + bytes(21), (), 0),
    ],
)
def test_what_an_input_costs(script_sig, script_pubkey, witness, cost):
    assert input_sigop_cost(script_sig, script_pubkey, witness, p2sh=True, segwit=True) == cost
    before = input_sigop_cost(script_sig, script_pubkey, witness, p2sh=False, segwit=False)
    assert before == 0
    p2sh_only = input_sigop_cost(script_sig, script_pubkey, witness, p2sh=True, segwit=False)
    assert p2sh_only == (cost if is_p2sh(script_pubkey) and push(MULTISIG) == script_sig else 0)


@thorough
@given(st.integers(-(2**40), 2**40) | st.integers(-300, 70_000))
def test_numbers_are_pushed_as_python_bitcoinlib_pushes_them(number):
    assert push_number(number) == bytes(core.CScript([number]))


@pytest.mark.parametrize("size", [0, 1, 75, 76, 255, 256, 65535, 65536])
def test_pushes(size):
    data = b"\x01" * size
    script = push(data)
    assert read_op(script, 0) == (script[0], data, len(script))
    assert last_push(script) == data
    if size:
        assert read_op(script[:-1], 0) is None
        assert last_push(script[:-1]) is None


def test_unspendable():
    assert is_unspendable(b"\x6a")
    assert is_unspendable(b"\x51" * 10_001)
    assert not is_unspendable(b"\x51" * 10_000)
    assert not is_unspendable(b"")
    assert not is_unspendable(b"\x51\x6a")


def test_witness_programs():
    assert witness_program(P2TR) == (1, b"\xac" * 32)
    assert witness_program(b"\x60\x02\1\2") == (16, b"\1\2")
    for script in (b"\x60\x01\1", b"\x51\x29" + bytes(41), b"\x61\x02\1\2", b"\x50\x02\1\2", P2WPKH + b"\0", b"\0\x14"):
        assert witness_program(script) is None


@pytest.mark.parametrize("name", ["main_363703", "main_481829", "main_757753", "test3_928816"])
def test_scripts_of_real_blocks(data_dir, name):
    block = parse_block(read_xz(data_dir / f"blocks/{name}.raw.xz"))
    script_sigs = {script for scripts_ in block.script_sigs for script in scripts_}
    outputs = {output for outputs_ in block.outputs for output in outputs_}
    expected = sum(their_count(script, False) for script in script_sigs)
    expected += sum(their_count(script, False) for _value, script in outputs)
    assert legacy_sigops(script_sigs, outputs) == expected


def test_fuzzed_scripts(data_dir):
    with tarfile.open(fileobj=io.BytesIO(read_xz(data_dir / "fuzz/bitcoinfuzz_script.tar.xz"))) as tar:
        contents = [tar.extractfile(member).read() for member in tar if member.isfile()]
    for script in contents:
        for accurate in (False, True):
            assert count_sigops(script, accurate) == their_count(script, accurate)
    assert len(contents) == 92

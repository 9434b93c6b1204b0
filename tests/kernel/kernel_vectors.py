"""Reads the script vectors of Bitcoin Core, and says which of them the rules of consensus decide."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccnode.chain.coins import make_coin
from ccnode.chain.script import push, push_number
from ccnode.chain.script_flags import ALL_SCRIPT_FLAGS, ScriptFlag
from ccnode.kernel.library import Kernel
from ccnode.kernel.verification import Loaded, Span, verify_spans
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.data import read_xz

OPCODES = re.findall(
    r"\w+",
    "NOP VER IF NOTIF VERIF VERNOTIF ELSE ENDIF VERIFY RETURN TOALTSTACK FROMALTSTACK 2DROP 2DUP 3DUP 2OVER 2ROT "
    "2SWAP IFDUP DEPTH DROP DUP NIP OVER PICK ROLL ROT SWAP TUCK CAT SUBSTR LEFT RIGHT SIZE INVERT AND OR XOR EQUAL "
    "EQUALVERIFY RESERVED1 RESERVED2 1ADD 1SUB 2MUL 2DIV NEGATE ABS NOT 0NOTEQUAL ADD SUB MUL DIV MOD LSHIFT RSHIFT "
    "BOOLAND BOOLOR NUMEQUAL NUMEQUALVERIFY NUMNOTEQUAL LESSTHAN GREATERTHAN LESSTHANOREQUAL GREATERTHANOREQUAL MIN "
    "MAX WITHIN RIPEMD160 SHA1 SHA256 HASH160 HASH256 CODESEPARATOR CHECKSIG CHECKSIGVERIFY CHECKMULTISIG "
    "CHECKMULTISIGVERIFY NOP1 CHECKLOCKTIMEVERIFY CHECKSEQUENCEVERIFY NOP4 NOP5 NOP6 NOP7 NOP8 NOP9 NOP10 CHECKSIGADD ",
)
_OPS = {name: 0x61 + number for number, name in enumerate(OPCODES)} | {"RESERVED": 0x50, "1NEGATE": 0x4F}
_OPS |= {"NOP2": _OPS["CHECKLOCKTIMEVERIFY"], "NOP3": _OPS["CHECKSEQUENCEVERIFY"]}

POLICY_CAUSES = {
    "SIG_HASHTYPE": {"STRICTENC"},
    "SIG_DER": {"STRICTENC", "LOW_S"},
    "SIG_HIGH_S": {"LOW_S"},
    "PUBKEYTYPE": {"STRICTENC"},
    "MINIMALDATA": {"MINIMALDATA"},
    "SCRIPTNUM": {"MINIMALDATA"},
    "SIG_PUSHONLY": {"SIGPUSHONLY"},
    "CLEANSTACK": {"CLEANSTACK"},
    "MINIMALIF": {"MINIMALIF"},
    "NULLFAIL": {"NULLFAIL"},
    "WITNESS_PUBKEYTYPE": {"WITNESS_PUBKEYTYPE"},
    "DISCOURAGE_UPGRADABLE_NOPS": {"DISCOURAGE_UPGRADABLE_NOPS"},
    "DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM": {"DISCOURAGE_UPGRADABLE_WITNESS_PROGRAM"},
}
"""By error, the flags of policy that may be its cause. Such flags only add errors, so any other error is the same
without them."""


def assemble(text: str) -> bytes:
    """A script in the notation of Core's vectors (Core: ``ParseScript``)."""
    script = b""
    for word in text.split():
        if re.fullmatch(r"-?\d+", word):
            script += push_number(int(word))
        elif word.startswith("0x"):
            script += bytes.fromhex(word[2:])
        elif word.startswith("'"):
            script += push(word[1:-1].encode())
        else:
            script += bytes((_OPS[word.removeprefix("OP_")],))
    return script


def flags_of(text: str) -> tuple[ScriptFlag, bool]:
    """The flags of consensus among those named, and whether there are others."""
    names = {name for name in text.split(",") if name not in ("", "NONE")}
    known = {name for name in names if name in ScriptFlag.__members__}
    flags = ScriptFlag.NONE
    for name in known:
        flags |= ScriptFlag[name]
    return flags, known != names


def complete(flags: int) -> int:
    """Without the flags that need one that is missing (Core: ``TrimFlags``)."""
    if not flags & ScriptFlag.P2SH:
        flags &= ~ScriptFlag.WITNESS
    return flags if flags & ScriptFlag.WITNESS else flags & ~ScriptFlag.TAPROOT


def verifies(kernel: Kernel, raw: bytes, coins: Sequence[bytes], inputs: range, flags: int) -> bool:
    """Whether ``inputs`` of a transaction verify."""
    loaded = Loaded(kernel, raw, is_block=False)
    try:
        return verify_spans(loaded, [Span(0, coins, inputs.start, inputs.stop)], flags) is None
    finally:
        loaded.close()


@dataclass(frozen=True, slots=True)
class Vector:
    """A transaction, the coins it spends, the inputs to look at, and what is to come of it."""

    raw: bytes
    coins: list[bytes]
    inputs: range
    flags: int
    valid: bool
    name: str


def script_tests(data_dir: Path) -> tuple[list[Vector], int]:
    """The decided ones of ``script_tests.json``, and how many are not. Those with a tree to build are left out."""
    vectors, undecided = [], 0
    for row in json.loads(read_xz(data_dir / "vectors/core/script_tests.json.xz")):
        if len(row) == 1:
            continue
        *witness, value = row[0] if isinstance(row[0], list) else (0,)
        script_sig, script_pubkey, names, expected = row[isinstance(row[0], list) :][:4]
        flags, _others = flags_of(names)
        if "#" in script_pubkey or POLICY_CAUSES.get(expected, set()) & {*names.split(",")}:
            undecided += 1
            continue
        amount = round(value * 100_000_000)
        script = assemble(script_pubkey)
        null = TxIn(OutPoint(bytes(32), 0xFFFFFFFF), b"\x00\x00", 0xFFFFFFFF)
        credit = Transaction(1, (null,), (TxOut(amount, script),), 0)
        items = tuple(bytes.fromhex(item) for item in witness)
        txin = TxIn(OutPoint(credit.txid, 0), assemble(script_sig), 0xFFFFFFFF, items)
        spending = Transaction(1, (txin,), (TxOut(amount, b""),), 0)
        coins = [make_coin(amount, script, 1, False)]
        vectors.append(Vector(spending.encode(), coins, range(1), flags, expected == "OK", str(row)))
    return vectors, undecided


def transaction_tests(data_dir: Path, name: str, valid: bool) -> tuple[list[Vector], int]:
    """The decided ones of ``tx_valid.json`` or ``tx_invalid.json``, and how many are not.

    A valid transaction names the flags that it would fail under, an invalid one those that it fails under.
    """
    vectors, undecided = [], 0
    for row in json.loads(read_xz(data_dir / f"vectors/core/{name}.json.xz")):
        if len(row) == 1:
            continue
        flags, others = flags_of(row[2])
        if not valid and others:
            undecided += 1
            continue
        raw = bytes.fromhex(row[1])
        coins_of = {
            (bytes.fromhex(txid)[::-1], index & 0xFFFFFFFF): make_coin(*amount or [0], assemble(script), 1, False)
            for txid, index, script, *amount in row[0]
        }
        transaction = Transaction.decode(raw)
        coins = [coins_of[txin.prevout.txid, txin.prevout.index] for txin in transaction.vin]
        wanted = complete(ALL_SCRIPT_FLAGS & ~flags) if valid else int(flags)
        vectors.append(Vector(raw, coins, range(len(coins)), wanted, valid, str(row)))
    return vectors, undecided


def taproot_assets(data_dir: Path) -> Iterator[Vector]:
    """``script_assets_test.json``: one input each, satisfied rightly and wrongly."""
    for line in read_xz(data_dir / "vectors/script_assets_taproot.jsonl.xz").splitlines():
        case: dict[str, Any] = json.loads(line)
        transaction = Transaction.decode(bytes.fromhex(case["tx"]))
        spent = [bytes.fromhex(output) for output in case["prevouts"]]
        coins = [bytes(4) + output[:8] + output[9:] for output in spent]  # scripts of fewer than 253 bytes
        index, flags = case["index"], flags_of(case["flags"])[0]
        for outcome in ("success", "failure"):
            if outcome in case:
                vin = list(transaction.vin)
                witness = tuple(bytes.fromhex(item) for item in case[outcome]["witness"])
                script_sig = bytes.fromhex(case[outcome]["scriptSig"])
                vin[index] = TxIn(vin[index].prevout, script_sig, vin[index].sequence, witness)
                raw = Transaction(transaction.version, tuple(vin), transaction.vout, transaction.locktime).encode()
                name = f"{case['comment']}, {outcome}"
                valid = outcome == "success"
                wanted = [flags, ALL_SCRIPT_FLAGS] if valid and case.get("final") else [flags]
                for each in wanted:
                    yield Vector(raw, coins, range(index, index + 1), int(each), valid, name)

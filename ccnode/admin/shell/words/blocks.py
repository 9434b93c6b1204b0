"""Words about what is in blocks: transactions and coins. They need a node that has blocks."""

from collections.abc import Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from ccnode.admin.shell import units
from ccnode.admin.shell.tables import Column, facts, render
from ccnode.admin.shell.views import Argument, Given, Option, Result, Session, UsageError, view

Transaction = Mapping[str, Any]
"""One answer of getrawtransaction, or a transaction of getblock."""

HASH_DIGITS: Final = 64
HASHES: Final = ("none", "muhash", "hash_serialized_3")


def named_block(shell: Session, name: str) -> str:
    """The hash of a block named by its height or its hash."""
    name = name.replace(",", "")
    if name.isdecimal() and len(name) < HASH_DIGITS:
        block_hash: str = shell.remote.call("getblockhash", int(name))
        return block_hash
    return name


def coins(value: float) -> str:
    """An amount, with all its decimals."""
    return f"{value:,.8f}"


@view(
    "transactions",
    "Chain",
    help="Lists the transactions of a block, named by its height on the active chain or by its hash.",
    uses=("getblock", "getblockhash"),
    examples=("transactions 170", "transactions 170 --json"),
    arguments=[Argument("block", "height or hash", completion="blockhash")],
)
def transactions(shell: Session, given: Given) -> Result:
    found = shell.remote.call("getblock", named_block(shell, given.arguments["block"]), 2)["tx"]
    position = {each["txid"]: number for number, each in enumerate(found)}
    columns: list[Column[Transaction]] = [
        Column("no.", lambda each: units.number(position[each["txid"]]), right=True, importance=9),
        Column("in", lambda each: units.number(len(each["vin"])), right=True, importance=6),
        Column("out", lambda each: units.number(len(each["vout"])), right=True, importance=6),
        Column("coins", lambda each: coins(_paid(each)), right=True, importance=8),
        Column("fee", lambda each: coins(each["fee"]) if "fee" in each else "", right=True, importance=5),
        Column("weight", lambda each: units.number(each["weight"]), right=True, importance=4),
        Column("txid", lambda each: each["txid"], importance=7),
    ]
    return Result(found, lambda: render(columns, found, width=shell.width))


def _paid(transaction: Transaction) -> float:
    return float(sum(output["value"] for output in transaction["vout"]))


@view(
    "transaction",
    "Chain",
    help="Shows a transaction of a block: what it spends, and where it pays.",
    uses=("getrawtransaction", "getblockhash"),
    examples=("transaction f4184fc596403b9d638783cf57adfe4c75c605f6356fbc91338530e9831e9e16 170",),
    arguments=[
        Argument("txid", "the transaction's id"),
        Argument("block", "height or hash of the block that holds it", completion="blockhash"),
    ],
    options=[Option("hex", "print the bytes")],
)
def transaction(shell: Session, given: Given) -> Result:
    txid, block_hash = given.arguments["txid"], named_block(shell, given.arguments["block"])
    if given.has("hex"):
        raw = shell.remote.call("getrawtransaction", txid, 0, block_hash)
        return Result(raw, lambda: raw)
    found = shell.remote.call("getrawtransaction", txid, 2, block_hash)
    return Result(found, lambda: _shown(found, shell.width))


def _shown(found: Transaction, width: int) -> RenderableType:
    inputs: list[Column[Mapping[str, Any]]] = [
        Column("from", lambda each: _script(each.get("prevout")), importance=9),
        Column("coins", lambda each: coins(each["prevout"]["value"]) if "prevout" in each else "", right=True),
        Column("output", lambda each: f"{each['txid']}:{each['vout']}" if "txid" in each else "new coins"),
    ]
    outputs: list[Column[Mapping[str, Any]]] = [
        Column("no.", lambda each: units.number(each["n"]), right=True, importance=9),
        Column("to", _script, importance=8),
        Column("coins", lambda each: coins(each["value"]), right=True, importance=7),
        Column("type", lambda each: each["scriptPubKey"]["type"]),
    ]
    return Group(
        facts(_facts(found)),
        Text("\nspends", style="bold"),
        render(inputs, found["vin"], width=width),
        Text("\npays", style="bold"),
        render(outputs, found["vout"], width=width),
    )


def _script(output: Mapping[str, Any] | None) -> str:
    """Who can spend an output: an address, or the script where it has none."""
    if output is None:
        return ""
    script = output["scriptPubKey"]
    shown: str = script.get("address") or script["asm"]
    return shown


def _facts(found: Transaction) -> list[tuple[str, str]]:
    count = found["confirmations"]
    return [
        ("txid", found["txid"]),
        *([("wtxid", found["hash"])] if found["hash"] != found["txid"] else []),
        ("block", found["blockhash"]),
        ("confirmations", units.number(count) if count else "none, the block is not on the active chain"),
        ("size", f"{units.number(found['size'])} bytes, weight {units.number(found['weight'])}"),
        *([("fee", f"{coins(found['fee'])}")] if "fee" in found else []),
        ("version", str(found["version"])),
        ("locktime", units.number(found["locktime"])),
    ]


@view(
    "coin",
    "Chain",
    help="Shows an output that nobody has spent yet.",
    uses=("gettxout",),
    examples=("coin 0e3e2357e806b6cdb1f70b54c3a3a17b6714ee1f0e68bebb44a74b1efd512098 0",),
    arguments=[Argument("txid", "the transaction's id"), Argument("output", "which of its outputs")],
)
def coin(shell: Session, given: Given) -> Result:
    output = given.arguments["output"]
    if not output.isdecimal():
        raise UsageError(f"coin wants the number of an output, not '{output}'")
    found = shell.remote.call("gettxout", given.arguments["txid"], int(output))
    if found is None:
        return Result(None, lambda: "there is no such output, or it is spent")
    script = found["scriptPubKey"]
    pairs = [
        ("coins", coins(found["value"])),
        ("to", _script(found)),
        ("type", script["type"]),
        ("descriptor", script["desc"]),
        ("confirmations", units.number(found["confirmations"])),
        ("mined", "yes, by a coinbase" if found["coinbase"] else "no"),
    ]
    return Result(found, lambda: facts(pairs))


@view(
    "coins",
    "Chain",
    help="Counts all outputs that nobody has spent yet. All of them are read, which takes its time.\n"
    "With --hash one number for the whole set, to compare with other nodes at the same block.",
    uses=("gettxoutsetinfo",),
    examples=("coins", "coins --hash muhash"),
    options=[Option("hash", "muhash or hash_serialized_3", "NAME", completion=HASHES)],
)
def all_coins(shell: Session, given: Given) -> Result:
    kind = given.get("hash") or "none"
    if kind not in HASHES:
        raise UsageError(f"--hash wants {' or '.join(HASHES[1:])}, not '{kind}'")
    found = shell.remote.call("gettxoutsetinfo", kind)
    pairs = [
        ("block", found["bestblock"]),
        ("height", units.number(found["height"])),
        ("outputs", units.number(found["txouts"])),
        ("of transactions", units.number(found["transactions"])),
        ("coins", coins(found["total_amount"])),
        ("on disk", units.size(found["disk_size"])),
        *([(kind, found[kind])] if kind in found else []),
    ]
    return Result(found, lambda: facts(pairs))

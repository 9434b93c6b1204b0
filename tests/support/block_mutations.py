"""What can be wrong with a block, or nearly: each function makes one change to a draft.

A change that needs something the draft lacks (a transaction, a coin of some age) does nothing. Where a rule has a
limit, both sides of it are tried, so many of the blocks stay valid.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from struct import pack
from typing import Final

from ccnode.chain.script import count_sigops
from ccnode.errors import DecodeError
from ccnode.wire.parsing import parse_block
from ccnode.wire.transaction import Transaction, TxIn
from tests.support import spends
from tests.support.block_drafts import (
    COIN,
    COMMITMENT,
    FUTURE,
    NOT_FINAL,
    TIME_UNIT,
    UNSPENDABLE,
    BlockDraft,
    Coin,
    Input,
    Output,
    TransactionDraft,
    Written,
    draft_transaction,
    fixed,
    never_run,
    p2sh,
    p2wsh,
    push,
)
from tests.support.chain_maker import GENESIS_TIME, push_height
from tests.support.spends import OP_TRUE, P2PKH, P2WPKH, Way

MAX_MONEY: Final = 21_000_000 * COIN
VALUES: Final = [-1, 0, 1, MAX_MONEY - 1, MAX_MONEY, MAX_MONEY + 1, 2**63 - 1, -(2**63)]
OFF: Final = [-1, 0, 0, 1]
FAR_FUTURE: Final = 4_000_000_000
MOST_SIGOPS: Final = 20_000
MOST_WEIGHT: Final = 4_000_000
GENESIS_COIN: Final = bytes.fromhex("4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b")[::-1] + bytes(4)

TransactionChange = Callable[[random.Random, BlockDraft, TransactionDraft], None]
BlockChange = Callable[[random.Random, BlockDraft], None]


def mutate(rng: random.Random, draft: BlockDraft) -> str:
    """Make one change; returns its name."""
    whole = [tx for tx in draft.transactions if tx.inputs and tx.outputs]
    if whole and rng.random() < 0.55:
        change = rng.choice(TRANSACTION_CHANGES)
        change(rng, draft, rng.choice(whole))
        return change.__name__
    [block_change] = rng.choices(list(BLOCK_CHANGES), list(BLOCK_CHANGES.values()))
    block_change(rng, draft)
    return block_change.__name__


# Transactions


def value_edge(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    i = rng.randrange(len(tx.outputs))
    tx.outputs[i] = (rng.choice(VALUES), tx.outputs[i][1])


def values_together_too_large(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    tx.outputs += [(MAX_MONEY // 2 + rng.choice(OFF), OP_TRUE)] * 2


def more_out_than_in(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    value, script = tx.outputs[0]
    tx.outputs[0] = (value + tx.fee + rng.choice(OFF), script)


def no_outputs(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    tx.outputs.clear()


def no_inputs(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    tx.inputs.clear()
    if rng.random() < 0.5:
        tx.outputs.clear()


def repeated_input(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    tx.inputs.insert(rng.randrange(len(tx.inputs) + 1), rng.choice(tx.inputs))


def null_input(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    source = Coin(bytes(32) + b"\xff" * 4, 0, OP_TRUE, 0)
    if rng.random() < 0.5:
        tx.inputs.append(Input(source))
    else:
        tx.inputs[:] = [Input(source)]
        size = rng.choice([1, 2, 100, 101])
        _change_input(tx, 0, lambda txin: replace(txin, script_sig=bytes(size)))


def unknown_input(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    coin = rng.choice(tx.inputs).coin()
    unknown = rng.choice(
        [
            rng.randbytes(36),
            coin.outpoint[:32] + pack("<I", rng.choice([7, 300, 2**32 - 1])),
            bytes(36),
            GENESIS_COIN,
            draft.parent.hash + bytes(4),
        ]
    )
    tx.inputs.append(Input(Coin(unknown, rng.choice([0, 1, COIN]), OP_TRUE, 0)))


def input_spent_before(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    spent = [coin for node, _ in zip(draft.parent.ancestors(), range(30), strict=False) for coin in node.spent]
    if spent:
        tx.inputs.append(Input(rng.choice(spent)))


def input_spent_here(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    source = rng.choice(tx.inputs).source
    draft.transactions.append(draft_transaction(rng, [source], draft.height))
    if isinstance(source, Coin) and rng.random() < 0.5:
        rng.choice(draft.transactions).inputs.append(Input(source))


def spend_of_a_young_coinbase(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    depth = rng.choice([1, 98, 99, 99, 100, 100, 101])
    young = [coin for coin in draft.parent.coins.values() if coin.is_coinbase and coin.height == draft.height - depth]
    if young:
        tx.inputs.append(Input(rng.choice(young)))


def spend_of_an_unspendable(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    _spend_here(draft, tx, rng.choice([*UNSPENDABLE, b"\x00" * 9_999 + b"\x51", b"\x61" * 100 + b"\x51"]))


def spend_before_it_is_made(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    spender = TransactionDraft([Input(Output(tx, 0))], [(0, OP_TRUE)])
    draft.transactions.insert(rng.randrange(draft.transactions.index(tx) + 2), spender)


def height_lock(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    """BIP68."""
    each = rng.choice(tx.inputs)
    made = each.coin().height
    age = 0 if made < 0 else draft.height - made
    lock = max(age + rng.choice(OFF), 0)
    each.sequence = lock | rng.choice([0, 0, 0, 1 << 31, 1 << 16, 1 << 30])
    tx.version = rng.choice([1, 2, 2, 2, 3, 2**31, 2**32 - 1, 0])


def time_lock(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    """BIP68, in units of 512 seconds; if there is one, of a coin whose age is one second short of such."""
    now = draft.parent.median_time_past
    ages = {node.height + 1: now - node.median_time_past for node in draft.parent.ancestors()}
    coins = [
        coin
        for coin in draft.parent.coins.values()
        if coin.height in ages and ages[coin.height] % TIME_UNIT == TIME_UNIT - 1 and coin.script == OP_TRUE
    ]
    if coins and rng.random() < 0.5:
        tx.inputs.append(Input(rng.choice(coins)))
    each = tx.inputs[-1]
    age = ages.get(each.coin().height, 0) // TIME_UNIT
    each.sequence = min(max(age + rng.choice([-1, 0, 1, 1]), 0), 0xFFFF) | 1 << 22
    tx.version = rng.choice([1, 2, 2, 2, 3, 2**32 - 1])


def locktime(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    tx.locktime = rng.choice(
        [
            draft.height + rng.choice([-1, -1, 0, 1]),
            draft.parent.median_time_past + rng.choice([-1, -1, 0, 1]),
            draft.time - 1,
            499_999_999,
            500_000_000,
            2**32 - 1,
        ]
    )
    for each in tx.inputs:
        if each.sequence == 0xFFFFFFFF and rng.random() < 0.8:
            each.sequence = NOT_FINAL


def version(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    tx.version = rng.choice([0, 1, 2, 3, 2**31 - 1, 2**31, 2**32 - 1])


def _change_input(tx: TransactionDraft, i: int, change: Callable[[TxIn], TxIn]) -> None:
    """After it is signed, if it is still there."""

    def after(built: Transaction) -> Transaction:
        vin = built.vin
        return replace(built, vin=(*vin[:i], change(vin[i]), *vin[i + 1 :])) if i < len(vin) else built

    tx.after.append(after)


def flipped_signature(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    at, bit = rng.random(), 1 << rng.randrange(8)

    def flip(data: bytes) -> bytes:
        where = int(at * len(data))
        return data[:where] + bytes((data[where] ^ bit,)) + data[where + 1 :] if data else data

    def change(txin: TxIn) -> TxIn:
        witness = txin.witness
        if not witness:
            return replace(txin, script_sig=flip(txin.script_sig))
        j = int(at * 7) % len(witness)
        return replace(txin, witness=(*witness[:j], flip(witness[j]), *witness[j + 1 :]))

    _change_input(tx, rng.randrange(len(tx.inputs)), change)


def other_witness(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    how = rng.randrange(4)

    def change(txin: TxIn) -> TxIn:
        return replace(txin, witness=[(), txin.witness[:-1], (*txin.witness, b""), (OP_TRUE,)][how])

    _change_input(tx, rng.randrange(len(tx.inputs)), change)


def other_script_sig(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    before = rng.choice([b"\x51", b"\x61", b"\x00", b"\x4c", b"\x6a", b"\xac", push(b"\xac" * 30), bytes(300)])

    def change(txin: TxIn) -> TxIn:
        return replace(txin, script_sig=before + txin.script_sig)

    _change_input(tx, rng.randrange(len(tx.inputs)), change)


def _spend_here(draft: BlockDraft, tx: TransactionDraft, script: bytes, way: Way | None = None) -> TransactionDraft:
    """A transaction right after ``tx`` that spends a new output of it."""
    tx.outputs.append((0, script))
    spender = TransactionDraft([Input(Output(tx, len(tx.outputs) - 1))], [(0, OP_TRUE)])
    if way is not None:
        spender.ways[script] = way
    draft.transactions.insert(draft.transactions.index(tx) + 1, spender)
    return spender


def lax_signature(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    """A zero too many in it (BIP66)."""

    def change(txin: TxIn) -> TxIn:
        if txin.witness:
            return replace(txin, witness=(_padded(txin.witness[0]), *txin.witness[1:]))
        if not txin.script_sig:  # its coin became another
            return txin
        size = txin.script_sig[0]
        return replace(txin, script_sig=push(_padded(txin.script_sig[1 : 1 + size])) + txin.script_sig[1 + size :])

    _change_input(_spend_here(draft, tx, rng.choice([P2PKH, P2WPKH])), 0, change)


def _padded(signature: bytes) -> bytes:
    return bytes((0x30, signature[1] + 1, 2, signature[3] + 1, 0)) + signature[4:]


def dummy(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    """CHECKMULTISIG takes an item too many, which must be null (BIP147); no signature is asked for here."""
    item = rng.choice([b"\0", b"\0", b"\x51", b"\x01\0", b"\x4c\0"])
    _spend_here(draft, tx, b"\0" + push(spends.SIGNER.public) + b"\x51\xae", fixed(item))


def size_64(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    """As long as an inner node of the merkle tree, or a byte more or less."""
    del tx.inputs[1:]
    tx.outputs[:] = [(0, b"\x51" * (4 + rng.choice(OFF)))]
    _change_input(tx, 0, lambda txin: replace(txin, script_sig=b"", witness=()))


def long_script(rng: random.Random, draft: BlockDraft, tx: TransactionDraft) -> None:
    tx.outputs.append((0, rng.choice([b"\x51", b"\x6a"]) * (10_000 + rng.choice(OFF))))


TRANSACTION_CHANGES: Final[list[TransactionChange]] = [
    value_edge,
    values_together_too_large,
    more_out_than_in,
    no_outputs,
    no_inputs,
    repeated_input,
    null_input,
    unknown_input,
    input_spent_before,
    input_spent_here,
    spend_of_a_young_coinbase,
    spend_of_an_unspendable,
    spend_before_it_is_made,
    height_lock,
    height_lock,
    time_lock,
    time_lock,
    locktime,
    locktime,
    version,
    flipped_signature,
    flipped_signature,
    other_witness,
    other_script_sig,
    lax_signature,
    dummy,
    size_64,
    long_script,
]

# Blocks


def coinbase_value(rng: random.Random, draft: BlockDraft) -> None:
    draft.outputs[0] = (rng.choice([-1, 0, 1, 50 * COIN, -100 * COIN]), OP_TRUE)


def coinbase_outputs(rng: random.Random, draft: BlockDraft) -> None:
    value = rng.choice([*VALUES, *[0] * 3])
    draft.outputs.append((value, rng.choice([OP_TRUE, *UNSPENDABLE])))
    if value and rng.random() < 0.5:
        draft.outputs[0] = (-value, OP_TRUE)


def coinbase_script(rng: random.Random, draft: BlockDraft) -> None:
    height = draft.height
    right = push_height(height)
    draft.script_sig = rng.choice(
        [
            right,
            right + bytes(100 - len(right)),
            right + bytes(101 - len(right)),
            right[:-1] + bytes(2),
            push_height(height + 1) + b"\0",
            push_height(height - 1) + b"\0",
            b"\x02" + pack("<H", height),
            b"\x01" + bytes((height % 256,)) + b"\0",
            b"\x4c" + right,
            b"\0" + right,
            b"",
            b"\0",
            right + b"\xae" * 20,
        ]
    )


def commitment(rng: random.Random, draft: BlockDraft) -> None:
    draft.commits = True
    wrong = COMMITMENT + rng.randbytes(32)
    draft.commitment = rng.choice(
        [
            lambda right: [],
            lambda right: [wrong],
            lambda right: [wrong, right],
            lambda right: [right, wrong],
            lambda right: [right, wrong[:-1]],
            lambda right: [right + b"more"],
            lambda right: [right[:-1]],
            lambda right: [right],
        ]
    )


def commitment_witness(rng: random.Random, draft: BlockDraft) -> None:
    draft.commits = rng.choice([True, True, False, None])
    draft.witness = rng.choice([(), (bytes(31),), (bytes(33),), (bytes(32),) * 2, (rng.randbytes(32),), (b"",)])


def order(rng: random.Random, draft: BlockDraft) -> None:
    rng.shuffle(draft.transactions)


def rearranged(rng: random.Random, draft: BlockDraft) -> None:
    """The header commits to it."""
    draft.arrange.append(rng.choice(_REARRANGEMENTS))


def forged(rng: random.Random, draft: BlockDraft) -> None:
    """The header commits to something else, or seems to commit to this as well."""
    if rng.random() < 0.5:
        while len(draft.transactions) % 2:  # an even number, and the coinbase
            draft.transactions.pop()
        draft.forge.append(lambda txs: txs + txs[-1:])
    else:
        draft.forge.append(rng.choice(_REARRANGEMENTS))


_REARRANGEMENTS: Final[list[Callable[[list[Written]], list[Written]]]] = [
    lambda txs: txs[1:],
    lambda txs: txs[1:] + txs[:1],
    lambda txs: txs[:1] + txs,
    lambda txs: txs + txs[-1:],
    lambda txs: txs + txs[-2:],
    lambda txs: txs[:-1],
    lambda txs: txs[::-1],
    lambda txs: [],
]


def header_version(rng: random.Random, draft: BlockDraft) -> None:
    draft.version = rng.choice([0, 1, 2, 3, 4, 5, 2**31 - 1, 2**31, 2**32 - 1])


def header_bits(rng: random.Random, draft: BlockDraft) -> None:
    draft.bits = rng.choice([0, 0x207FFFFE, 0x2100FFFF, 0x20FFFFFF, 0x1D00FFFF, 0x22000001, 2**32 - 1])


def header_time(rng: random.Random, draft: BlockDraft) -> None:
    past = draft.parent.median_time_past
    draft.time = rng.choice([past - 1, past, past, past + 1, past + 1, GENESIS_TIME - 1, 0, FAR_FUTURE])


def header_parent(rng: random.Random, draft: BlockDraft) -> None:
    ancestors = list(draft.parent.ancestors())
    draft.prev = rng.choice([rng.randbytes(32), bytes(32), rng.choice(ancestors).hash, ancestors[-1].hash])


def header_root(rng: random.Random, draft: BlockDraft) -> None:
    draft.root = rng.choice([rng.randbytes(32), bytes(32)])


def no_work(rng: random.Random, draft: BlockDraft) -> None:
    draft.proves = False


def flipped_bits(rng: random.Random, draft: BlockDraft) -> None:
    places = [(rng.random(), 1 << rng.randrange(8)) for _ in range(rng.choice([1, 1, 2, 5]))]

    def spoil(raw: bytes) -> bytes:
        spoilt = bytearray(raw)
        for at, bit in places:
            spoilt[80 + int(at * (len(raw) - 80))] ^= bit
        return bytes(spoilt)

    draft.spoil.append(spoil)


def cut_or_longer(rng: random.Random, draft: BlockDraft) -> None:
    at = rng.random()
    draft.spoil.append(
        rng.choice(
            [
                lambda raw: raw[: int(at * len(raw))],
                lambda raw: raw[:-1],
                lambda raw: raw + b"\0",
                lambda raw: raw[: int(at * len(raw))] + b"\0" + raw[int(at * len(raw)) :],
                lambda raw: raw[: int(at * len(raw))] + raw[int(at * len(raw)) + 1 :],
            ]
        )
    )


def other_encoding(rng: random.Random, draft: BlockDraft) -> None:
    """Of the number of transactions, or of the witness."""

    def long_count(raw: bytes) -> bytes:
        return raw[:80] + b"\xfd" + raw[80:81] + b"\0" + raw[81:]

    def empty_witness(txs: list[Written]) -> list[Written]:
        raw = txs[-1].raw
        if raw[4:6] != b"\0\1" and raw[4] == 1:
            raw = raw[:4] + b"\0\1" + raw[4:-4] + b"\0" + raw[-4:]
        return [*txs[:-1], replace(txs[-1], raw=raw)]

    flag = rng.choice([0, 2, 3, 0x81])

    def other_flag(txs: list[Written]) -> list[Written]:
        raw = txs[-1].raw
        if raw[4:6] == b"\0\1":
            raw = raw[:5] + bytes((flag,)) + raw[6:]
        return [*txs[:-1], replace(txs[-1], raw=raw)]

    if rng.random() < 0.3:
        draft.spoil.append(long_count)
    else:
        change = rng.choice([empty_witness, other_flag])
        draft.forge.append(lambda txs: change(txs) if txs else txs)


def legacy_sigops(rng: random.Random, draft: BlockDraft) -> None:
    """Fill up to the limit."""
    scripts = [script for _value, script in draft.outputs] + [draft.script_sig]
    for tx in draft.transactions:
        built = tx.build()
        scripts += [txout.script_pubkey for txout in built.vout] + [txin.script_sig for txin in built.vin]
    left = MOST_SIGOPS - sum(count_sigops(script, False) for script in scripts) + rng.choice(OFF)
    checks, rest = divmod(left, 20)
    script = rng.choice([b"\xac" * left, b"\xae" * checks + b"\xad" * rest, b"\x52\xaf" * checks + b"\xac" * rest])
    draft.outputs.append((0, script))


def sigop_cost(rng: random.Random, draft: BlockDraft) -> None:
    """Fill up to the limit with what counts only when it is spent."""
    if not draft.transactions:
        return
    first = draft.transactions[0]
    del draft.transactions[1:]
    first.outputs[:] = [(0, OP_TRUE)]
    first.inputs[:] = [each for each in first.inputs if each.coin().script == OP_TRUE]
    if not first.inputs:
        return
    draft.outputs[:] = [(0, OP_TRUE)]
    spender = TransactionDraft([], [(0, OP_TRUE)])
    left = 4 * MOST_SIGOPS + rng.choice(OFF)
    while left > 0:
        keys, count = rng.choice([(b"", 20), (b"\x50", 20), (b"\x51", 1), (b"\x53", 3), (b"\x60", 16), (b"\0", 20)])
        script = never_run((keys + b"\xae") * min(95, max(left // (4 * count), 1)))
        if left >= 4 * count and rng.random() < 0.7:
            cost, output, way = 4 * count_sigops(script, True), p2sh(script), fixed(push(script))
        elif left >= 4 and rng.random() < 0.5:
            script = never_run(b"\x6a" + b"\xad" * min(left // 4, 190))
            cost, output, way = 4 * count_sigops(script, True), p2sh(script), fixed(push(script))
        else:
            script = never_run((keys + b"\xae") * min(left // count, 190) if left >= count else b"\xac" * left)
            cost, output, way = count_sigops(script, True), p2wsh(script), fixed(witness=(script,))
        left -= cost
        first.outputs.append((0, output))
        spender.inputs.append(Input(Output(first, len(first.outputs) - 1)))
        spender.ways[output] = way
    draft.transactions.append(spender)


def weight(rng: random.Random, draft: BlockDraft) -> None:
    """Fill up to the limit, with witness or with a script as well."""
    if not draft.transactions:
        return
    draft.commits = True
    spender = _spend_here(draft, draft.transactions[0], FUTURE)

    def fill(script_size: int, witness_size: int) -> int:
        spender.outputs[0] = (0, b"\x6a" * script_size)
        spender.ways[FUTURE] = fixed(witness=(b"\1" * witness_size,))
        spender.built = None
        return parse_block(draft.finish()[0][0]).weight

    script_size = rng.choice([1, 900_000])
    with suppress(DecodeError):  # something else was done to it before
        witness_size = MOST_WEIGHT - 5_000 - fill(script_size, 1)
        witness_size += MOST_WEIGHT + rng.choice(OFF) - fill(script_size, witness_size)
        fill(script_size, witness_size)


def many_transactions(rng: random.Random, draft: BlockDraft) -> None:
    """A count of three bytes."""
    if draft.transactions:
        first = draft.transactions[0]
        at = len(first.outputs)
        first.outputs += [(0, OP_TRUE)] * 253
        draft.transactions += [TransactionDraft([Input(Output(first, at + i))], [(0, OP_TRUE)]) for i in range(253)]


BLOCK_CHANGES: Final[dict[BlockChange, float]] = {
    coinbase_value: 2,
    coinbase_outputs: 2,
    coinbase_script: 3,
    commitment: 2,
    commitment_witness: 2,
    order: 1,
    rearranged: 3,
    forged: 3,
    header_version: 1,
    header_bits: 1,
    header_time: 2,
    header_parent: 1,
    header_root: 0.5,
    no_work: 0.5,
    flipped_bits: 2,
    cut_or_longer: 1,
    other_encoding: 1,
    legacy_sigops: 0.7,
    sigop_cost: 1,
    weight: 0.6,
    many_transactions: 0.1,
}
"""By how often."""

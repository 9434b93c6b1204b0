"""Blocks of regtest as drafts: plausible at first, then changed at will, then written down as bytes.

A `BlockDraft` on a `Node` is a block that keeps the rules. Fields can be changed before `BlockDraft.finish`, which
fills in what follows from them: signatures, fees, the witness commitment, the merkle root, the proof of work. So a
draft is wrong only where somebody made it so. Transactions refer to one another's outputs by draft, not by txid, and
stay connected when the earlier one changes.

The model of the coins (`Node.coins`) takes every block for valid. It is there to spend something, not to judge.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from hashlib import new as new_hash
from hashlib import sha256
from struct import pack
from typing import Final

from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support import spends
from tests.support.chain_maker import (
    BITS,
    GENESIS_HASH,
    GENESIS_TIME,
    TARGET,
    compact_size,
    merkle_root,
    push_height,
    sha256d,
)
from tests.support.spends import (
    FINAL,
    OP_TRUE,
    P2PKH,
    P2TR,
    P2WPKH,
    P2WSH_OP_TRUE,
    Way,
    key_hash,
    sign,
)

COIN: Final = 10**8
MATURITY: Final = 100
HALVING: Final = 150
TIME_UNIT: Final = 512
"""Seconds, of relative locks: where blocks come at this pace, a lock often ends with a median time past."""
NOT_FINAL: Final = FINAL - 1
NULL: Final = OutPoint(bytes(32), FINAL)
COMMITMENT: Final = bytes.fromhex("6a24aa21a9ed")
RESERVED: Final = bytes(32)


def push(data: bytes) -> bytes:
    """Of up to 520 bytes."""
    size = len(data)
    if size < 0x4C:
        return bytes((size,)) + data
    return (b"\x4c" + bytes((size,)) if size < 0x100 else b"\x4d" + pack("<H", size)) + data


def p2sh(script: bytes) -> bytes:
    return b"\xa9\x14" + new_hash("ripemd160", sha256(script).digest()).digest() + b"\x87"


def p2wsh(script: bytes) -> bytes:
    return b"\x00\x20" + sha256(script).digest()


def never_run(ops: bytes) -> bytes:
    """A script that succeeds, with ``ops`` in a branch that is not taken. At most 199."""
    return b"\x00\x63" + ops + b"\x68\x51"


def fixed(script_sig: bytes = b"", witness: tuple[bytes, ...] = ()) -> Way:
    return lambda txin, *_digests: replace(txin, script_sig=script_sig, witness=witness)


def _nested_key_hash(txin: TxIn, segwit: bytes, taproot: bytes, legacy: Callable[[], bytes]) -> TxIn:
    return replace(key_hash(txin, segwit, taproot, legacy), script_sig=push(P2WPKH))


FEW_SIGOPS: Final = never_run(b"\xac\xad\x52\xae")
LOCKED_UNTIL: Final = {height: bytes((1, height)) + b"\xb1\x75\x51" for height in (20, 101, 120)}
"""Scripts with CHECKLOCKTIMEVERIFY, by height."""
LOCKED_FOR: Final = {blocks: bytes((0x50 + blocks,)) + b"\xb2\x75\x51" for blocks in (1, 2, 5)}
"""Scripts with CHECKSEQUENCEVERIFY, by number of blocks."""
FUTURE: Final = b"\x52\x02\x07\x07"
"""A witness program of a version that anyone can spend, with any witness."""

WAYS: Final[dict[bytes, Way]] = {
    p2sh(OP_TRUE): fixed(push(OP_TRUE)),
    p2sh(FEW_SIGOPS): fixed(push(FEW_SIGOPS)),
    p2sh(P2WPKH): _nested_key_hash,
    p2sh(P2WSH_OP_TRUE): fixed(push(P2WSH_OP_TRUE), (OP_TRUE,)),
    p2wsh(FEW_SIGOPS): fixed(witness=(FEW_SIGOPS,)),
    FEW_SIGOPS: fixed(),
    FUTURE: fixed(witness=(b"\x01" * 5,)),
    **dict.fromkeys([*LOCKED_UNTIL.values(), *LOCKED_FOR.values()], fixed()),
}
"""How to spend what `spends.sign` does not know."""

KNOWN: Final = frozenset(WAYS) | frozenset(spends.WAYS)
UNLOCKED: Final = [*[OP_TRUE] * 6, P2PKH, P2WPKH, P2TR, P2WSH_OP_TRUE, *list(WAYS)[:7]]
SCRIPTS: Final = [*UNLOCKED * 2, *LOCKED_UNTIL.values(), *LOCKED_FOR.values()]
UNSPENDABLE: Final = [b"\x6a", b"\x6a\x04data", b"\x51" * 10_001]


@dataclass(frozen=True, slots=True)
class Coin:
    """An output that might be spent."""

    outpoint: bytes
    value: int
    script: bytes
    height: int
    is_coinbase: bool = False


@dataclass(slots=True, eq=False)
class Node:
    """A block, as the model has it."""

    hash: bytes
    parent: Node | None
    height: int
    time: int
    coins: dict[bytes, Coin] = field(default_factory=dict)
    spent: list[Coin] = field(default_factory=list)

    def ancestors(self) -> Iterator[Node]:
        """From this one down to the first."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def ancestor(self, height: int) -> Node:
        return next(node for node in self.ancestors() if node.height <= max(height, 0))

    @property
    def median_time_past(self) -> int:
        times = [node.time for node, _ in zip(self.ancestors(), range(11), strict=False)]
        return sorted(times)[len(times) // 2]


def _fitting(value: int) -> int:
    """What an output can say."""
    return max(min(value, 2**63 - 1), -(2**63))


def first_node() -> Node:
    return Node(GENESIS_HASH, None, 0, GENESIS_TIME)


@dataclass(slots=True, eq=False)
class Output:
    """One of a draft's outputs, to be spent in the same block."""

    draft: TransactionDraft
    index: int


@dataclass(slots=True)
class Input:
    source: Coin | Output
    sequence: int = FINAL

    def coin(self) -> Coin:
        source = self.source
        if isinstance(source, Coin):
            return source
        outputs = source.draft.outputs
        value, script = outputs[source.index] if source.index < len(outputs) else (0, OP_TRUE)
        return Coin(source.draft.build().txid + pack("<I", source.index), _fitting(value), script, -1)


@dataclass(slots=True, eq=False)
class TransactionDraft:
    """A transaction. It is built once, when its txid is asked for or the block is finished."""

    inputs: list[Input]
    outputs: list[tuple[int, bytes]]
    version: int = 2
    locktime: int = 0
    ways: dict[bytes, Way] = field(default_factory=dict)
    after: list[Callable[[Transaction], Transaction]] = field(default_factory=list)
    """Changes to the signed transaction."""
    built: Transaction | None = None

    @property
    def fee(self) -> int:
        return sum(each.coin().value for each in self.inputs) - sum(value for value, _script in self.outputs)

    def build(self) -> Transaction:
        if self.built is None:
            coins = [each.coin() for each in self.inputs]
            vin = tuple(
                TxIn(OutPoint(coin.outpoint[:32], int.from_bytes(coin.outpoint[32:], "little")), b"", each.sequence)
                for coin, each in zip(coins, self.inputs, strict=True)
            )
            vout = tuple(TxOut(_fitting(value), script) for value, script in self.outputs)
            unsigned = Transaction(self.version, vin, vout, self.locktime)
            ways = WAYS | {coin.script: fixed() for coin in coins if coin.script not in KNOWN} | self.ways
            signed = sign(unsigned, [TxOut(coin.value, coin.script) for coin in coins], ways)
            for change in self.after:
                signed = change(signed)
            self.built = signed
        return self.built


@dataclass(frozen=True, slots=True)
class Written:
    """A transaction as bytes."""

    raw: bytes
    txid: bytes
    wtxid: bytes

    @classmethod
    def of(cls, transaction: Transaction) -> Written:
        raw = transaction.encode()
        return cls(raw, transaction.txid, sha256d(raw))


Arrange = Callable[[list[Written]], list[Written]]


@dataclass(slots=True, eq=False)
class BlockDraft:
    """The next block after ``parent``."""

    parent: Node
    time: int
    transactions: list[TransactionDraft]
    script_sig: bytes
    """Of the coinbase."""
    outputs: list[tuple[int, bytes]]
    """Of the coinbase; subsidy and fees are added to the first."""
    witness: tuple[bytes, ...] | None = None
    """Of the coinbase; None: what the commitment needs."""
    commits: bool | None = None
    """None: if there is a witness to commit to."""
    commitment: Callable[[bytes], list[bytes]] = lambda right: [right]
    """From the script that commits to the witnesses to those that are put in the coinbase."""
    version: int = 0x20000000
    bits: int = BITS
    prev: bytes = b""
    root: bytes | None = None
    proves: bool = True
    arrange: list[Arrange] = field(default_factory=list)
    """Changes to the list of transactions that the header commits to."""
    forge: list[Arrange] = field(default_factory=list)
    """Changes behind the header's back."""
    spoil: list[Callable[[bytes], bytes]] = field(default_factory=list)
    """Changes to the bytes of the block."""

    @property
    def height(self) -> int:
        return self.parent.height + 1

    def finish(self) -> tuple[list[bytes], Node]:
        """The bytes, and the block in the model. A forged block is followed by the one that it was forged from."""
        others = [Written.of(draft.build()) for draft in self.transactions]
        coinbase = self._coinbase(others)
        honest = [Written.of(coinbase), *others]
        for change in self.arrange:
            honest = change(honest)
        header = self._mine(self.root or merkle_root([each.txid for each in honest]) if honest else bytes(32))
        forged = honest
        for change in self.forge:
            forged = change(forged)
        raw = header + compact_size(len(forged)) + b"".join(each.raw for each in forged)
        for spoil in self.spoil:
            raw = spoil(raw)
        raws = [raw]
        if self.forge or self.spoil:
            raws.append(header + compact_size(len(honest)) + b"".join(each.raw for each in honest))
        return raws, self._node(sha256d(header), coinbase)

    def _coinbase(self, others: list[Written]) -> Transaction:
        halvings = self.height // HALVING
        (delta, script), *rest = self.outputs
        value = (50 * COIN >> halvings) + sum(draft.fee for draft in self.transactions) + delta
        outputs = [(_fitting(value), script), *rest]
        commits = any(each.txid != each.wtxid for each in others) if self.commits is None else self.commits
        witness = self.witness
        if commits:
            reserved = RESERVED if witness is None or not witness else witness[0]
            root = merkle_root([bytes(32), *(each.wtxid for each in others)])
            outputs += [(0, each) for each in self.commitment(COMMITMENT + sha256d(root + reserved))]
            witness = (RESERVED,) if witness is None else witness
        txin = TxIn(NULL, self.script_sig, FINAL, witness or ())
        return Transaction(1, (txin,), tuple(TxOut(value, script) for value, script in outputs), 0)

    def _mine(self, root: bytes) -> bytes:
        head = pack("<I", self.version) + (self.prev or self.parent.hash) + root + pack("<II", self.time, self.bits)
        nonce = 0
        while True:
            header = head + pack("<I", nonce)
            if (int.from_bytes(sha256d(header), "little") <= TARGET) is self.proves:
                return header
            nonce += 1

    def _node(self, block_hash: bytes, coinbase: Transaction) -> Node:
        coins = dict(self.parent.coins)
        spent: list[Coin] = []
        for draft in self.transactions:
            for each in draft.inputs:
                coin = coins.pop(each.coin().outpoint, None)
                if coin is not None:
                    spent.append(coin)
            _create(coins, draft.build(), self.height)
        _create(coins, coinbase, self.height, is_coinbase=True)
        return Node(block_hash, self.parent, self.height, self.time, coins, spent)


def _create(coins: dict[bytes, Coin], transaction: Transaction, height: int, is_coinbase: bool = False) -> None:
    txid = transaction.txid
    for index, txout in enumerate(transaction.vout):
        script = txout.script_pubkey
        if script[:1] != b"\x6a" and len(script) <= 10_000:
            outpoint = txid + pack("<I", index)
            coins[outpoint] = Coin(outpoint, txout.value, script, height, is_coinbase)


def draft_block(
    rng: random.Random, parent: Node, scripts: Sequence[bytes] = SCRIPTS, most: int = 4, outputs: int = 3
) -> BlockDraft:
    """A block that keeps the rules, with up to ``most`` transactions of up to ``outputs`` outputs.

    Only where ``scripts`` has locked ones, it may be that a lock has not run out.
    """
    height = parent.height + 1
    spacing = rng.choice([*[TIME_UNIT] * 9, 1, TIME_UNIT - 1, TIME_UNIT + 1])
    time = max(parent.time + spacing, parent.median_time_past + 1)
    script_sig = push_height(height) + rng.randbytes(rng.choice([1, 2, 4, 8]))
    draft = BlockDraft(parent, time, [], script_sig, [(0, rng.choice([OP_TRUE, OP_TRUE, P2PKH, P2WPKH, P2TR]))])
    newest = height - MATURITY
    pool: list[Coin | Output] = [
        coin for coin in parent.coins.values() if coin.value and (not coin.is_coinbase or coin.height <= newest)
    ]
    rng.shuffle(pool)
    for _ in range(rng.randrange(most + 1)):
        sources = [pool.pop() for _ in range(min(rng.choice([1, 1, 2, 3]), len(pool)))]
        if not sources:
            break
        transaction = draft_transaction(rng, sources, height, scripts, outputs)
        draft.transactions.append(transaction)
        if rng.random() < 0.3:
            pool.append(Output(transaction, 0))
    return draft


def draft_transaction(
    rng: random.Random,
    sources: Sequence[Coin | Output],
    height: int,
    scripts: Sequence[bytes] = SCRIPTS,
    outputs: int = 3,
) -> TransactionDraft:
    """One that spends ``sources`` in a block at ``height``."""
    draft = TransactionDraft([Input(source) for source in sources], [])
    coins = [each.coin() for each in draft.inputs]
    for each, coin in zip(draft.inputs, coins, strict=True):
        if coin.script in LOCKED_UNTIL.values() and rng.random() < 0.9:
            each.sequence, draft.locktime = NOT_FINAL, height - 1
        if coin.script in LOCKED_FOR.values() and rng.random() < 0.9:
            each.sequence = coin.script[0] - 0x50
    left = sum(coin.value for coin in coins)
    left -= min(rng.choice([0, 1, 500, 10_000]), left)
    for more in range(rng.randrange(outputs), -1, -1):
        value = rng.randrange(left + 1) if more else left
        draft.outputs.append((value, rng.choice(scripts)))
        left -= value
    if rng.random() < 0.1:
        draft.outputs.append((0, rng.choice(UNSPENDABLE)))
    if rng.random() < 0.1:
        draft.version = rng.choice([1, 3])
    return draft

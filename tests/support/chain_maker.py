"""Makes chains of valid regtest blocks that spend coins, from nothing but the rules: no code of the node's is used.

Coins belong to nobody (their script is ``OP_TRUE``), so no signature is needed; who wants other scripts brings whole
transactions. What is made is a function of the arguments: the same calls make the same chain.
"""

import copy
import struct
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

GENESIS_HASH = bytes.fromhex("0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206")[::-1]
GENESIS_TIME = 1296688602
BITS = 0x207FFFFF
TARGET = 0x7FFFFF << 232
MATURITY = 100
OP_TRUE = b"\x51"
SPACING = 600


def sha256d(data: bytes) -> bytes:
    return sha256(sha256(data).digest()).digest()


def compact_size(n: int) -> bytes:
    if n < 0xFD:
        return bytes([n])
    return b"\xfd" + struct.pack("<H", n) if n <= 0xFFFF else b"\xfe" + struct.pack("<I", n)


def var_bytes(data: bytes) -> bytes:
    return compact_size(len(data)) + data


def push_height(height: int) -> bytes:
    """BIP34's push."""
    if height <= 16:
        return bytes([0x50 + height]) if height else b"\x00"
    size = height.bit_length() // 8 + 1
    return bytes([size]) + height.to_bytes(size, "little")


def merkle_root(hashes: Sequence[bytes]) -> bytes:
    level = list(hashes)
    while len(level) > 1:
        if len(level) % 2:
            level.append(level[-1])
        level = [sha256d(level[i] + level[i + 1]) for i in range(0, len(level), 2)]
    return level[0]


@dataclass(frozen=True, slots=True)
class MadeTransaction:
    """A transaction as bytes, with what is known of it."""

    raw: bytes
    txid: bytes
    wtxid: bytes
    outputs: tuple[tuple[int, bytes], ...]


def transaction(
    inputs: Sequence[tuple[bytes, bytes, int]],
    outputs: Sequence[tuple[int, bytes]],
    *,
    witnesses: Sequence[Sequence[bytes]] = (),
    version: int = 2,
    locktime: int = 0,
) -> MadeTransaction:
    """``inputs`` are (36-byte outpoint, scriptSig, sequence), ``outputs`` (satoshi, script)."""
    vin = compact_size(len(inputs)) + b"".join(
        outpoint + var_bytes(script) + struct.pack("<I", sequence) for outpoint, script, sequence in inputs
    )
    vout = compact_size(len(outputs)) + b"".join(struct.pack("<q", value) + var_bytes(s) for value, s in outputs)
    head, tail = struct.pack("<I", version), struct.pack("<I", locktime)
    stripped = head + vin + vout + tail
    raw = stripped
    if any(witnesses):
        stacks = b"".join(compact_size(len(w)) + b"".join(map(var_bytes, w)) for w in witnesses)
        raw = head + b"\x00\x01" + vin + vout + stacks + tail
    return MadeTransaction(raw, sha256d(stripped), sha256d(raw), tuple(outputs))


def outpoint(txid: bytes, index: int) -> bytes:
    return txid + struct.pack("<I", index)


class ChainMaker:
    """A chain that grows by `block`; `clone` it to make another branch from where it is."""

    def __init__(self, *, spacing: int = SPACING, halving: int = 150, start: int = GENESIS_TIME) -> None:
        """:param start: Unix seconds, the time of the first block less ``spacing``."""
        self.hash = GENESIS_HASH
        self.height = 0
        self.time = start
        self.spacing = spacing
        self.halving = halving
        self.ready: deque[tuple[bytes, int]] = deque()
        """Coins that may be spent: (outpoint, satoshi)."""
        self._maturing: deque[tuple[int, bytes, int]] = deque()
        self.blocks: list[bytes] = []
        """All that were made, the first at height 1."""

    def clone(self) -> "ChainMaker":
        other = copy.copy(self)
        other.ready, other._maturing = deque(self.ready), deque(self._maturing)
        other.blocks = list(self.blocks)
        return other

    def subsidy(self) -> int:
        """Of the next block."""
        halvings = (self.height + 1) // self.halving
        return 50 * 10**8 >> halvings if halvings < 64 else 0

    def spend(self, count: int = 1, outputs: int = 1) -> MadeTransaction | None:
        """A transaction that takes ``count`` ready coins and makes ``outputs`` new ones; None if there are none."""
        taken = [self.ready.popleft() for _ in range(min(count, len(self.ready)))]
        value = sum(amount for _, amount in taken)
        if not taken or value < outputs:
            return None
        share = value // outputs
        made = transaction(
            [(point, b"", 0xFFFFFFFF) for point, _ in taken],
            [(share, OP_TRUE)] * (outputs - 1) + [(value - share * (outputs - 1), OP_TRUE)],
        )
        self.ready.extend((outpoint(made.txid, i), amount) for i, (amount, _) in enumerate(made.outputs))
        return made

    def block(
        self,
        transactions: Sequence[MadeTransaction] = (),
        *,
        extra_nonce: int = 0,
        fees: int = 0,
        script: bytes = OP_TRUE,
        time: int | None = None,
        version: int = 0x20000000,
    ) -> bytes:
        """The next block, which the chain then has."""
        height = self.height + 1
        self.time = self.time + self.spacing if time is None else time
        value = self.subsidy() + fees
        has_witness = any(made.txid != made.wtxid for made in transactions)
        outputs = [(value, script)]
        if has_witness:
            root = merkle_root([bytes(32), *(made.wtxid for made in transactions)])
            outputs.append((0, bytes.fromhex("6a24aa21a9ed") + sha256d(root + bytes(32))))
        script_sig = push_height(height) + var_bytes(struct.pack("<Q", extra_nonce))
        coinbase = transaction(
            [(bytes(32) + b"\xff" * 4, script_sig, 0xFFFFFFFF)],
            outputs,
            witnesses=[[bytes(32)]] if has_witness else (),
        )
        every = [coinbase, *transactions]
        head = struct.pack("<I", version) + self.hash + merkle_root([made.txid for made in every])
        head += struct.pack("<II", self.time, BITS)
        nonce = 0
        while int.from_bytes(sha256d(head + struct.pack("<I", nonce)), "little") > TARGET:
            nonce += 1
        header = head + struct.pack("<I", nonce)
        raw = header + compact_size(len(every)) + b"".join(made.raw for made in every)
        self.hash, self.height = sha256d(header), height
        if script == OP_TRUE and value:
            self._maturing.append((height + MATURITY, outpoint(coinbase.txid, 0), value))
        while self._maturing and self._maturing[0][0] <= height + 1:
            _, point, amount = self._maturing.popleft()
            self.ready.append((point, amount))
        self.blocks.append(raw)
        return raw

    def extend(self, count: int, *, spends: int = 2, fan_out: int = 2, extra_nonce: int = 0) -> list[bytes]:
        """``count`` blocks, each with up to ``spends`` transactions that make ``fan_out`` coins of one."""
        made: list[bytes] = []
        for _ in range(count):
            transactions = [tx for tx in (self.spend(1, fan_out) for _ in range(spends)) if tx is not None]
            made.append(self.block(transactions, extra_nonce=extra_nonce))
        return made

"""Random chains with faults of every kind, given to us and to Bitcoin Core's library: tips and verdicts are the same.

A round grows a tree of blocks: it extends any branch, spends coins, and now and then breaks a rule, or bytes of a block
on its way. Both sides get the same bytes in the same order.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from ccnode.errors import DecodeError
from ccnode.kernel.scripts import ScriptChecker
from tests.support.chain_maker import OP_TRUE, ChainMaker, MadeTransaction, outpoint, transaction
from tests.support.chainstate import ChainRoom
from tests.support.clock import ManualClock
from tests.support.kernel import KernelChain

NOW = 1_790_000_000.0
BASE = 108
OP_RETURN, OP_0, CHECKSIG = b"\x6a", b"\x00", b"\xac"

Fault = Callable[[ChainMaker, random.Random], bytes]


def _spend(maker: ChainMaker, *, script_sig: bytes = b"", sequence: int = 0xFFFFFFFF, more: int = 0) -> MadeTransaction:
    point, value = maker.ready.popleft()
    made = transaction([(point, script_sig, sequence)], [(value + more, OP_TRUE)])
    maker.ready.append((outpoint(made.txid, 0), value))
    return made


def _double_spend(maker: ChainMaker, rng: random.Random) -> bytes:
    point, value = maker.ready.popleft()
    pair = [transaction([(point, b"", 0xFFFFFFFF)], [(value - i, OP_TRUE)]) for i in range(2)]
    return maker.block(pair)


def _later_first(maker: ChainMaker, rng: random.Random) -> bytes:
    first = _spend(maker)
    second = transaction([(outpoint(first.txid, 0), b"", 0xFFFFFFFF)], [(1, OP_TRUE)])
    return maker.block([second, first])


def _immature(maker: ChainMaker, rng: random.Random) -> bytes:
    _height, point, value = maker._maturing[-1]
    return maker.block([transaction([(point, b"", 0xFFFFFFFF)], [(value, OP_TRUE)])])


def _many_sigops(maker: ChainMaker, rng: random.Random) -> bytes:
    point, value = maker.ready.popleft()
    return maker.block([transaction([(point, b"", 0xFFFFFFFF)], [(value, CHECKSIG * 20_001)])])


def _unexpected_witness(maker: ChainMaker, rng: random.Random) -> bytes:
    point, value = maker.ready.popleft()
    return maker.block([transaction([(point, b"", 0xFFFFFFFF)], [(value, OP_TRUE)], witnesses=[[b"x"]])])


def _flipped(maker: ChainMaker, rng: random.Random) -> bytes:
    raw = bytearray(maker.block([_spend(maker)]))
    raw[rng.randrange(80, len(raw))] ^= 1 << rng.randrange(8)
    return bytes(raw)


FAULTS: dict[str, Fault] = {
    "too much reward": lambda maker, rng: maker.block(fees=rng.choice((1, 10**8))),
    "too little work": lambda maker, rng: maker.block()[:72] + struct.pack("<I", 0x207FFFFE) + bytes(4),
    "old time": lambda maker, rng: maker.block(time=maker.time - 20 * maker.spacing),
    "future": lambda maker, rng: maker.block(time=0xFFFFFFF0),
    "old version": lambda maker, rng: maker.block(version=rng.choice((1, 2, 3))),
    "in below out": lambda maker, rng: maker.block([_spend(maker, more=1)]),
    "failing script": lambda maker, rng: maker.block([_spend(maker, script_sig=OP_RETURN)]),
    "locked": lambda maker, rng: maker.block([_spend(maker, sequence=0xFFFF)]),
    "locked by time": lambda maker, rng: maker.block([_spend(maker, sequence=1 << 22 | rng.choice((1, 100, 0xFFFF)))]),
    "double spend": _double_spend,
    "order": _later_first,
    "immature": _immature,
    "sigops": _many_sigops,
    "witness": _unexpected_witness,
    "flipped bit": _flipped,
    "script that is false": lambda maker, rng: maker.block(script=OP_0),
}


def grow(rng: random.Random, branches: list[ChainMaker]) -> bytes:
    """One more block on some branch, good or bad; a bad one ends its branch in a copy."""
    maker = rng.choice(branches[-3:] if rng.random() < 0.95 else branches)
    if maker.time > 0x80000000:  # a block of the future: nothing can follow it
        branches.remove(maker)
        maker = branches[-1]
    if rng.random() < 0.15:
        maker = maker.clone()
        branches.append(maker)
    if rng.random() < 0.35 and len(maker.ready) > 2:
        spoiled = maker.clone()
        if rng.random() < 0.1:
            branches.insert(0, spoiled)
        return rng.choice(list(FAULTS.values()))(spoiled, rng)
    spends = [_spend(maker) for _ in range(rng.randrange(3)) if maker.ready]
    return maker.block(spends, extra_nonce=rng.randrange(1 << 30))


def one_round(directory: Path, seed: int, count: int, checker: ScriptChecker) -> set[str]:
    """Reject reasons that came up."""
    rng = random.Random(seed)
    room = ChainRoom(directory / "ours", scripts=checker, clock=ManualClock(NOW), cache_bytes=rng.choice((1, 10**7)))
    reasons: set[str] = set()
    held: list[bytes] = []
    with KernelChain(directory / "kernel") as kernel:

        def give(raw: bytes) -> None:
            try:
                theirs = kernel.process(raw)
            except ValueError:
                with pytest.raises(DecodeError):
                    room.submit(raw)
                return
            ours = room.submit(raw)
            where = f"seed {seed}, height {room.height}"
            assert room.tip == theirs.tip, where
            assert (ours.verdict is None) == (theirs.verdict is None), (where, ours.verdict, theirs.verdict)
            if ours.verdict is not None and theirs.verdict is not None:
                assert ours.verdict.reason == theirs.verdict.reason.partition(" (")[0], where
                reasons.add(ours.verdict.reason)

        base = ChainMaker()
        for raw in base.extend(BASE):
            give(raw)
        branches = [base]
        for _ in range(count):
            raw = grow(rng, branches)
            if rng.random() < 0.05:  # comes later: what builds on it has no parent then
                held.append(raw)
                continue
            give(raw)
            if held and rng.random() < 0.2:
                give(held.pop(rng.randrange(len(held))))
            if rng.random() < 0.02:
                room.crash()
                assert room.tip == kernel.tip, f"seed {seed}, after a crash"
    return reasons


def test_random_chains(tmp_path: Path) -> None:
    checker = ScriptChecker(1)
    reasons: set[str] = set()
    for seed in range(3):
        reasons |= one_round(tmp_path / str(seed), seed, 120, checker)
    checker.close()
    assert len(reasons) >= 12, sorted(reasons)


@pytest.mark.long
def test_many_random_chains(tmp_path: Path) -> None:
    checker = ScriptChecker(2)
    for seed in range(100, 200):
        one_round(tmp_path / str(seed), seed, 400, checker)
    checker.close()

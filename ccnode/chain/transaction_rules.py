"""The rules for transactions that need no coins: form, finality, and the arithmetic of relative locks.

(Core: ``consensus/tx_check.cpp``, ``consensus/tx_verify.cpp``.) The functions take the columns of a transaction, so
that whole blocks and single transactions can use them; a rule answers with Core's reject reason.

A transaction may say when it can be mined at the earliest. Absolutely by its locktime, a height or, from 500,000,000
on, a time (ignored if every input has the final sequence number); relative to each coin it spends by the sequence
number of the input (BIP68). Times are compared with the median time past of the parent, which cannot be turned back
(BIP113), by older blocks with the block's own time.
"""

from collections.abc import Callable, Sequence
from typing import Final

from ccnode.chain.money import MAX_MONEY
from ccnode.wire.parsing import NULL_OUTPOINT
from ccnode.wire.transaction import WITNESS_SCALE_FACTOR

MAX_BLOCK_WEIGHT: Final = 4_000_000
"""Weight units (``consensus/consensus.h``)."""
LOCKTIME_THRESHOLD: Final = 500_000_000
"""Locktimes below are heights, others Unix seconds."""
SEQUENCE_FINAL: Final = 0xFFFFFFFF
SEQUENCE_LOCKTIME_DISABLE_FLAG: Final = 1 << 31
SEQUENCE_LOCKTIME_TYPE_FLAG: Final = 1 << 22
"""Set: the lock counts time; otherwise blocks."""
SEQUENCE_LOCKTIME_MASK: Final = 0xFFFF
SEQUENCE_LOCKTIME_GRANULARITY: Final = 9
"""A time lock counts units of 2**9 seconds."""
_COINBASE_SCRIPT_SIZES: Final = range(2, 101)


def check_transaction(
    outpoints: Sequence[bytes],
    script_sigs: Sequence[bytes],
    outputs: Sequence[tuple[int, bytes]],
    stripped_size: int,
) -> str | None:
    """What is wrong with a transaction by itself; None if nothing. ``stripped_size``: bytes without the witness."""
    if not outpoints:
        return "bad-txns-vin-empty"
    if not outputs:
        return "bad-txns-vout-empty"
    if stripped_size * WITNESS_SCALE_FACTOR > MAX_BLOCK_WEIGHT:
        return "bad-txns-oversize"
    total = 0
    for value, _script in outputs:
        if value < 0:
            return "bad-txns-vout-negative"
        if value > MAX_MONEY:
            return "bad-txns-vout-toolarge"
        total += value
        if total > MAX_MONEY:
            return "bad-txns-txouttotal-toolarge"
    if len(outpoints) == 1:
        if outpoints[0] == NULL_OUTPOINT and len(script_sigs[0]) not in _COINBASE_SCRIPT_SIZES:
            return "bad-cb-length"
        return None
    if len(set(outpoints)) < len(outpoints):
        return "bad-txns-inputs-duplicate"
    return "bad-txns-prevout-null" if NULL_OUTPOINT in outpoints else None


def is_final(locktime: int, sequences: Sequence[int], height: int, time: int) -> bool:
    """Whether a transaction may be in a block of this height and time (which time: see above)."""
    if locktime == 0 or locktime < (height if locktime < LOCKTIME_THRESHOLD else time):
        return True
    return all(sequence == SEQUENCE_FINAL for sequence in sequences)


def sequence_locks(
    version: int, sequences: Sequence[int], coin_heights: Sequence[int], median_time_past: Callable[[int], int]
) -> tuple[int, int]:
    """The last height and the last median time past at which the relative locks still hold; -1 for none (BIP68).

    ``coin_heights`` are those of the coins spent, in input order. ``median_time_past`` is asked for that of the block
    at a height, and only for inputs locked by time: a coin's age counts from the block before its own.
    """
    lock_height = lock_time = -1
    if version < 2:
        return lock_height, lock_time
    for sequence, height in zip(sequences, coin_heights, strict=True):
        if sequence & SEQUENCE_LOCKTIME_DISABLE_FLAG:
            continue
        lock = sequence & SEQUENCE_LOCKTIME_MASK
        if sequence & SEQUENCE_LOCKTIME_TYPE_FLAG:
            begin = median_time_past(max(height - 1, 0))
            lock_time = max(lock_time, begin + (lock << SEQUENCE_LOCKTIME_GRANULARITY) - 1)
        else:
            lock_height = max(lock_height, height + lock - 1)
    return lock_height, lock_time


def sequence_locks_passed(locks: tuple[int, int], height: int, median_time_past: int) -> bool:
    """Whether a block of this height, on a parent of this median time past, may have a transaction with ``locks``."""
    return locks[0] < height and locks[1] < median_time_past

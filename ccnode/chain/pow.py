"""Proof of work: compact targets, the hash check, and what a header is worth.

A header proves work by having a hash that, read as a little-endian 256-bit number, does not exceed a *target*. The
header carries the target as ``bits``, a 32-bit floating point form (Core: ``arith_uint256::SetCompact``): the top byte
is a length in bytes, bit 23 a sign, the low 23 bits the mantissa. The form can say things that are no target:
negative numbers, zero, and numbers over 2^256. All three fail the check, as does any target above the network's limit.

The expected number of hashes behind a header is 2^256 / (target + 1): its *proof*. Chains are compared by the sum of
proofs, never by length. (Core: ``pow.cpp``, ``chain.cpp``.)

What this does not protect against: proof of work says what a header cost under its *own* bits. Whether those bits are
the right ones for its place in the chain is the difficulty rule's question (`ccnode.chain.difficulty`).
"""

from functools import lru_cache

HASH_SPACE = 1 << 256
"""Number of possible hashes."""

_SIGN = 0x00800000
_MANTISSA = 0x007FFFFF


def decode_compact(bits: int) -> tuple[int, bool, bool]:
    """``bits`` as (magnitude, negative, overflow), by the rules of Core's ``SetCompact``.

    The magnitude of an overflowing value is not reduced modulo 2^256: no caller may use it.
    """
    size = bits >> 24
    mantissa = bits & _MANTISSA
    if size <= 3:
        mantissa >>= 8 * (3 - size)  # before the sign counts: a number that shrinks to zero is not negative
    magnitude = mantissa << 8 * max(0, size - 3)
    negative = mantissa != 0 and bits & _SIGN != 0
    overflow = mantissa != 0 and (size > 34 or (mantissa > 0xFF and size > 33) or (mantissa > 0xFFFF and size > 32))
    return magnitude, negative, overflow


def encode_compact(target: int) -> int:
    """The compact form of a non-negative ``target``; it keeps the top 23 bits or a little less and drops the rest."""
    size = (target.bit_length() + 7) // 8
    mantissa = target << 8 * (3 - size) if size <= 3 else target >> 8 * (size - 3)
    if mantissa & _SIGN:  # the bit would read as a sign: move it one byte down
        mantissa >>= 8
        size += 1
    return mantissa | size << 24


def target_of(bits: int, pow_limit: int) -> int | None:
    """The target that ``bits`` stands for, or None if it is negative, zero, overflowing or above ``pow_limit``."""
    target, negative, overflow = decode_compact(bits)
    if negative or overflow or target == 0 or target > pow_limit:
        return None
    return target


def meets_target(block_hash: bytes, bits: int, pow_limit: int) -> bool:
    """Whether ``block_hash`` (internal byte order) proves the work that ``bits`` asks for."""
    target = target_of(bits, pow_limit)
    return target is not None and int.from_bytes(block_hash, "little") <= target


@lru_cache(maxsize=4096)
def block_proof(bits: int) -> int:
    """Expected number of hashes behind a header with these ``bits``; 0 if they are no target (``GetBlockProof``)."""
    target, negative, overflow = decode_compact(bits)
    if negative or overflow or target == 0:
        return 0
    return HASH_SPACE // (target + 1)


def difficulty(bits: int) -> float:
    """How many times harder than ``0x1d00ffff`` the target is: the number that Core's RPCs call difficulty."""
    target, negative, overflow = decode_compact(bits)
    if negative or overflow or target == 0:
        return 0.0
    return float(0xFFFF << 208) / target

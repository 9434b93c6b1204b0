"""Merkle trees: how a header commits to its transactions, and a coinbase to the witnesses.

Hashes are paired and hashed until one is left; a level of odd length repeats its last hash. That repetition is a flaw
(CVE-2012-2459): a block of transactions 1 2 3 has the same root as one of 1 2 3 3, so somebody can make of a valid
block an invalid one with the same hash. Such a list shows two equal hashes side by side in some level, which no honest
block does, and is *mutated*: it says nothing about the block of that hash. (Core: ``consensus/merkle.cpp``.)

The witness commitment (BIP141) is an output of the coinbase: the root of the wtxids, that of the coinbase taken as
zero, hashed together with a 32-byte value from the coinbase's witness.

What is left: an inner node has 64 bytes, and so might a transaction. Whoever proves by a branch must know that.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final

WITNESS_COMMITMENT_HEADER: Final = bytes.fromhex("6a24aa21a9ed")
"""OP_RETURN, a push of 36 bytes and BIP141's four."""
MIN_WITNESS_COMMITMENT: Final = 38
"""Bytes of the script: the header and a hash."""


def merkle_root(hashes: Sequence[bytes]) -> tuple[bytes, bool]:
    """The root, 32 zero bytes for no hashes, and whether the list is mutated."""
    if not hashes:
        return bytes(32), False
    digest = sha256
    level = list(hashes)
    mutated = False
    while len(level) > 1:
        left, right = level[::2], level[1::2]
        # Hashes are almost never repeated: a set tells that for the whole level at once.
        if len(set(level)) < len(level) and any(a == b for a, b in zip(left, right, strict=False)):
            mutated = True
        if len(left) > len(right):
            right.append(left[-1])
        level = [digest(digest(a + b).digest()).digest() for a, b in zip(left, right, strict=True)]
    return level[0], mutated


def witness_merkle_root(wtxids: Sequence[bytes]) -> bytes:
    """The root over the wtxids of a block, where the coinbase's counts as zero."""
    return merkle_root([bytes(32), *wtxids[1:]])[0]


def witness_commitment(witness_root: bytes, reserved: bytes) -> bytes:
    """The hash that the coinbase's output holds; ``reserved`` is its 32-byte witness."""
    return sha256(sha256(witness_root + reserved).digest()).digest()


def commitment_position(outputs: Sequence[tuple[int, bytes]]) -> int | None:
    """Which of the coinbase's outputs holds the commitment: the last that looks like one."""
    for i in range(len(outputs) - 1, -1, -1):
        script = outputs[i][1]
        if len(script) >= MIN_WITNESS_COMMITMENT and script.startswith(WITNESS_COMMITMENT_HEADER):
            return i
    return None

"""MuHash3072: a hash of a set, whatever the order of its members (Core: ``crypto/muhash.h``).

Each member becomes a number of 3072 bits: the key stream of ChaCha20 whose key is the member's SHA-256. The hash is the
product of all of them modulo the prime 2^3072 - 1103717, hashed once more. A member is taken out by dividing, and two
halves of a set are joined by multiplying. So two nodes whose coins are the same find the same hash, however they store
them.

Removals are collected in a denominator, because one division costs as much as ten thousand products.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

BITS: Final = 3072
SIZE: Final = BITS // 8
_REMAINDER: Final = 1_103_717
PRIME: Final = (1 << BITS) - _REMAINDER
_MASK: Final = (1 << BITS) - 1
_ZEROS: Final = bytes(SIZE)
_NONCE: Final = bytes(16)


class MuHash3072:
    """The hash of a set of byte strings; the empty set at first."""

    def __init__(self, members: Iterable[bytes] = ()) -> None:
        self._numerator = 1
        self._denominator = 1
        for member in members:
            self.insert(member)

    def insert(self, member: bytes) -> None:
        """Add a member, once more if it is there."""
        self._numerator = _times(self._numerator, _number(member))

    def remove(self, member: bytes) -> None:
        """Take a member out."""
        self._denominator = _times(self._denominator, _number(member))

    def digest(self) -> bytes:
        """32 bytes, in internal order."""
        product = self._numerator * pow(self._denominator, -1, PRIME) % PRIME
        return sha256(product.to_bytes(SIZE, "little")).digest()


def _number(member: bytes) -> int:
    stream = Cipher(ChaCha20(sha256(member).digest(), _NONCE), mode=None).encryptor().update(_ZEROS)
    return int.from_bytes(stream, "little")


def _times(a: int, b: int) -> int:
    """The product, reduced to 3072 bits: 2^3072 is the same as 1103717. Ten times as quick as ``%``."""
    product = a * b
    while product > _MASK:
        product = (product & _MASK) + (product >> BITS) * _REMAINDER
    return product

"""Signatures for tests, made in a few microseconds and worth nothing: key and nonce are known numbers.

With the nonce's point known beforehand a signature is arithmetic modulo the group's order, so a test can sign
thousands of inputs. Each verifies like any other, and takes as long to. (BIP340, BIP341, BIP143, SEC 1.)
"""

from __future__ import annotations

from hashlib import sha256
from struct import pack
from typing import Final

from ccnode.wire.serialize import compact_size, sha256d, var_bytes
from ccnode.wire.transaction import Transaction, TxOut

FIELD: Final = 2**256 - 2**32 - 977
ORDER: Final = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
GENERATOR: Final = (
    0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798,
    0x483ADA7726A3C4655DA4FBFC0E1108A8FD17B448A68554199C47D08FFB10D4B8,
)
SIGHASH_ALL: Final = 1


def _add(first: tuple[int, int] | None, second: tuple[int, int] | None) -> tuple[int, int] | None:
    if first is None or second is None:
        return first or second
    (x1, y1), (x2, y2) = first, second
    if x1 == x2 and (y1 + y2) % FIELD == 0:
        return None
    if first == second:
        slope = 3 * x1 * x1 * pow(2 * y1, -1, FIELD) % FIELD
    else:
        slope = (y2 - y1) * pow(x2 - x1, -1, FIELD) % FIELD
    x = (slope * slope - x1 - x2) % FIELD
    return x, (slope * (x1 - x) - y1) % FIELD


def _point(factor: int) -> tuple[int, int]:
    result, addend = None, GENERATOR
    while factor:
        if factor & 1:
            result = _add(result, addend)
        addend, factor = _add(addend, addend), factor >> 1
    assert result is not None
    return result


def _bytes(number: int) -> bytes:
    return number.to_bytes(32, "big")


def _with_even_y(factor: int) -> tuple[int, bytes]:
    """The number whose point has an even y, and that point's x."""
    x, y = _point(factor)
    return (factor if y % 2 == 0 else ORDER - factor), _bytes(x)


def tagged_hash(tag: str, data: bytes) -> bytes:
    """BIP340's."""
    prefix = sha256(tag.encode()).digest()
    return sha256(prefix + prefix + data).digest()


class Signer:
    """One key pair, ``number`` being the secret, with everything about it that does not depend on the message."""

    def __init__(self, number: int = 0xC0FFEE, nonce: int = 0x5EED) -> None:
        x, y = _point(number)
        self.public = bytes((2 + y % 2,)) + _bytes(x)
        self._secret = number
        self._inverse = pow(nonce, -1, ORDER)
        self._r = _point(nonce)[0] % ORDER
        self._even_secret, self.public_x = _with_even_y(number)
        self._even_nonce, self._nonce_x = _with_even_y(nonce)

    def ecdsa(self, digest: bytes) -> bytes:
        """A signature in DER with a low s, without the byte that says what is signed."""
        s = self._inverse * (int.from_bytes(digest, "big") + self._r * self._secret) % ORDER
        body = b"".join(b"\x02" + var_bytes(_signed(number)) for number in (self._r, min(s, ORDER - s)))
        return b"\x30" + var_bytes(body)

    def schnorr(self, digest: bytes) -> bytes:
        """64 bytes."""
        challenge = int.from_bytes(tagged_hash("BIP0340/challenge", self._nonce_x + self.public_x + digest), "big")
        return self._nonce_x + _bytes((self._even_nonce + challenge * self._even_secret) % ORDER)


def _signed(number: int) -> bytes:
    return number.to_bytes(number.bit_length() // 8 + 1, "big")


def segwit_digests(transaction: Transaction, codes: list[bytes], values: list[int]) -> list[bytes]:
    """BIP143 with SIGHASH_ALL, for every input: ``codes`` are the scripts that sign, ``values`` those of the coins."""
    vin = transaction.vin
    before = pack("<I", transaction.version)
    before += sha256d(b"".join(txin.prevout.encode() for txin in vin))
    before += sha256d(b"".join(pack("<I", txin.sequence) for txin in vin))
    after = sha256d(b"".join(txout.encode() for txout in transaction.vout))
    after += pack("<II", transaction.locktime, SIGHASH_ALL)
    return [
        sha256d(before + txin.prevout.encode() + var_bytes(code) + pack("<qI", value, txin.sequence) + after)
        for txin, code, value in zip(vin, codes, values, strict=True)
    ]


def taproot_digests(transaction: Transaction, spent: list[TxOut]) -> list[bytes]:
    """BIP341's default for a spend by key, for every input; ``spent`` are all outputs that are spent."""
    vin = transaction.vin
    head = pack("<BBII", 0, 0, transaction.version, transaction.locktime)
    head += sha256(b"".join(txin.prevout.encode() for txin in vin)).digest()
    head += sha256(b"".join(pack("<q", txout.value) for txout in spent)).digest()
    head += sha256(b"".join(var_bytes(txout.script_pubkey) for txout in spent)).digest()
    head += sha256(b"".join(pack("<I", txin.sequence) for txin in vin)).digest()
    head += sha256(b"".join(txout.encode() for txout in transaction.vout)).digest()
    return [tagged_hash("TapSighash", head + pack("<BI", 0, index)) for index in range(len(vin))]


def legacy_digest(transaction: Transaction, index: int, code: bytes) -> bytes:
    """What an input signed before segwit with SIGHASH_ALL, its script being ``code``."""
    parts = [pack("<I", transaction.version), compact_size(len(transaction.vin))]
    for position, txin in enumerate(transaction.vin):
        parts += [txin.prevout.encode(), var_bytes(code if position == index else b""), pack("<I", txin.sequence)]
    parts += [compact_size(len(transaction.vout)), *(txout.encode() for txout in transaction.vout)]
    return sha256d(b"".join([*parts, pack("<II", transaction.locktime, SIGHASH_ALL)]))

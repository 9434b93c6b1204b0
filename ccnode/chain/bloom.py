"""Bloom filters that light clients load into their peers, and what they match (BIP37; Core: ``common/bloom.cpp``).

A filter is a field of bits and a number of hash functions; an element is in it if all the bits that its hashes name are
set. A client puts its keys, key hashes and outpoints in, and as much noise as it likes. Hash number *i* is MurmurHash3
with the seed ``i * 0xFBA4C795 + tweak``, modulo the number of bits; no adversary is thought of.

A transaction matches by its txid, by any data that its scripts push, or by an outpoint that it spends. Of an output
that matches, the outpoint may be added to the filter, as the client asked, so that what spends it matches as well.

It tells the peer which coins are whose, and costs the peer a look at every transaction. Therefore it is off by default.
"""

from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import Final

from mmh3 import hash as murmur3

from ccnode.chain.script import OP_1, OP_16, OP_CHECKMULTISIG, OP_CHECKSIG, read_op

UPDATE_MASK: Final = 3
"""The bits of a filter's flags that say what is added to it (``BLOOM_UPDATE_MASK``)."""

_SEED_STEP: Final = 0xFBA4C795
_PUBKEY_SIZES: Final = {2: 33, 3: 33, 4: 65, 6: 65, 7: 65}
"""First byte of a public key -> its size."""
_MAX_PUBKEYS: Final = 20


class BloomUpdate(IntEnum):
    """Which outputs that match are added to the filter."""

    NONE = 0
    ALL = 1
    P2PUBKEY_ONLY = 2
    """Those that pay to keys, or several: what spends others reveals the key, which is in the filter already."""


class BloomFilter:
    """A filter as a peer loaded it. An empty one matches everything."""

    __slots__ = ("_bits", "_data", "_flags", "_seeds")

    def __init__(self, data: bytes, hash_functions: int, tweak: int, flags: int) -> None:
        """The fields of `ccnode.wire.bloom.FilterLoad`, which checks their limits."""
        self._data = bytearray(data)
        self._bits = len(data) * 8
        self._seeds = [(i * _SEED_STEP + tweak) & 0xFFFFFFFF for i in range(hash_functions)]
        self._flags = flags & UPDATE_MASK

    @property
    def data(self) -> bytes:
        """The bits as they are now."""
        return bytes(self._data)

    def copy(self) -> "BloomFilter":
        """One that changes by itself."""
        other = BloomFilter(b"", 0, 0, self._flags)
        other._data, other._bits, other._seeds = self._data[:], self._bits, self._seeds
        return other

    def insert(self, element: bytes) -> None:
        """Add an element; nothing happens to an empty filter (CVE-2013-5700)."""
        if self._bits:
            for seed in self._seeds:
                bit = murmur3(element, seed, False) % self._bits
                self._data[bit >> 3] |= 1 << (bit & 7)

    def __contains__(self, element: bytes) -> bool:
        data, bits = self._data, self._bits
        if not bits:
            return True
        for seed in self._seeds:
            bit = murmur3(element, seed, False) % bits
            if not data[bit >> 3] >> (bit & 7) & 1:
                return False
        return True

    def matches(
        self,
        txid: bytes,
        outputs: Iterable[tuple[int, bytes]],
        outpoints: Iterable[bytes],
        script_sigs: Iterable[bytes],
    ) -> bool:
        """Whether a transaction concerns the filter, which may grow by it (Core: ``IsRelevantAndUpdate``)."""
        if not self._bits:
            return True
        found = txid in self
        for i, (_, script) in enumerate(outputs):
            if any(data in self for data in _pushes(script)):
                found = True
                if self._flags == BloomUpdate.ALL or (
                    self._flags == BloomUpdate.P2PUBKEY_ONLY and _pays_to_pubkeys(script)
                ):
                    self.insert(txid + i.to_bytes(4, "little"))
        return (
            found
            or any(outpoint in self for outpoint in outpoints)
            or any(data in self for script in script_sigs for data in _pushes(script))
        )


def _pushes(script: bytes) -> Iterator[bytes]:
    """What a script pushes, but empty strings, as far as it can be read."""
    position, end = 0, len(script)
    while position < end:
        step = read_op(script, position)
        if step is None:
            return
        _, data, position = step
        if data:
            yield data


def _pays_to_pubkeys(script: bytes) -> bool:
    """Whether a script is of the form pay-to-pubkey or bare multisig (Core: ``Solver``)."""
    steps = []
    position = 0
    while position < len(script):
        step = read_op(script, position)
        if step is None:
            return False
        op, data, position = step
        steps.append((op, data))
    if len(steps) == 2:
        (op, key), (last, _) = steps
        return last == OP_CHECKSIG and op == len(key) and _is_pubkey(key)
    if len(steps) < 4 or steps[-1][0] != OP_CHECKMULTISIG:
        return False
    keys = [data for _, data in steps[1:-2]]
    required, total = _count(*steps[0]), _count(*steps[-2])
    return all(map(_is_pubkey, keys)) and total == len(keys) and 1 <= required <= total <= _MAX_PUBKEYS


def _is_pubkey(data: bytes) -> bool:
    return bool(data) and len(data) == _PUBKEY_SIZES.get(data[0])


def _count(op: int, data: bytes) -> int:
    """The number of keys that an opcode says: OP_1 .. OP_16, or a push of one byte for 17 to 20; else 0."""
    if OP_1 <= op <= OP_16:
        return op - OP_1 + 1
    return data[0] if op == len(data) == 1 and OP_16 - OP_1 + 1 < data[0] <= _MAX_PUBKEYS else 0

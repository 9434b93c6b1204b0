"""Which transactions are known to verify, so that a block does not verify again what the memory pool has.

The key is the wtxid with the flags: a wtxid commits to signatures and witnesses, and through the outpoints to the
scripts and values they are checked against. It is hashed with a salt that nobody else knows, which makes half a hash
enough: an attacker would have to find two transactions with the same key without being able to compute one.

There are two sets. A full young one becomes the old one, and what was in the old one is forgotten: the cache holds
between half its size and its size of the latest, without an order to keep. (Core: ``ValidationCache`` in
``validation.h``; ``CheckInputScripts``.)
"""

from hashlib import blake2b
from typing import Final

KEY_BYTES: Final = 16
SIZE: Final = 100_000
"""Transactions, some 12 MB: more than any twenty blocks have."""


class ScriptCache:
    """Transactions that verified. ``salt`` has 16 to 64 secret random bytes."""

    def __init__(self, salt: bytes, size: int = SIZE) -> None:
        self._hasher = blake2b(key=salt, digest_size=KEY_BYTES)
        self._half = max(size // 2, 1)
        self._young: set[bytes] = set()
        self._old: set[bytes] = set()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def add(self, wtxid: bytes, flags: int) -> None:
        """All inputs of this transaction verified under ``flags``."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, set()
        self._young.add(self._key(wtxid, flags))

    def knows(self, wtxid: bytes, flags: int) -> bool:
        """Whether it is sure to verify; other flags, even fewer, are another question."""
        key = self._key(wtxid, flags)
        return key in self._young or key in self._old

    def _key(self, wtxid: bytes, flags: int) -> bytes:
        hasher = self._hasher.copy()
        hasher.update(wtxid + flags.to_bytes(4, "little"))
        return hasher.digest()

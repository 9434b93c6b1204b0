"""Figures about the set of all coins, and two hashes of it (Core: ``kernel/coinstats.cpp``).

Both hashes are over the same bytes per coin: outpoint, height and coinbase flag, value, script. ``hash_serialized_3``
hashes them one after another, by rising txid and then index; ``muhash`` in any order (`ccnode.chain.muhash`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from itertools import groupby
from typing import Final

from ccnode.wire.serialize import I64, U32, var_bytes

TXID_SIZE: Final = 32
COIN_HEADER: Final = 12
"""Bytes of a coin before its script: height and coinbase flag (u32), value (i64)."""

Pair = tuple[bytes, bytes]

_BOGOSIZE: Final = TXID_SIZE + 4 + 4 + 8 + 2
"""What Core counts for a coin besides its script, to have a figure that depends on no database."""


class UtxoHash(Enum):
    """Which hash to make; the value is its name in RPCs."""

    SERIALIZED = "hash_serialized_3"
    MUHASH = "muhash"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class UtxoStats:
    """Figures of a set of coins."""

    transactions: int  # that have coins left
    coins: int
    bogosize: int
    total: int  # satoshi
    hash: bytes | None  # internal order


class UtxoSummary:
    """Takes the coins in slices, in the order of the outpoints' bytes, and makes the figures."""

    def __init__(self, kind: UtxoHash) -> None:
        self._hasher = _hasher(kind)
        self._txid = b""
        self._open: list[Pair] = []  # the coins of the last transaction seen, which the next slice may go on with
        self._transactions = self._coins = self._bogosize = self._total = 0

    def add(self, coins: Iterable[Pair]) -> None:
        """The next ``coins``: outpoint and coin (`ccnode.chain.coins`)."""
        for txid, group in groupby(coins, key=_txid_of):
            if txid != self._txid:
                self._close()
                self._txid = txid
            self._open.extend(group)

    def finish(self) -> UtxoStats:
        """The figures of all that was added."""
        self._close()
        return UtxoStats(self._transactions, self._coins, self._bogosize, self._total, self._hasher.digest())

    def _close(self) -> None:
        """Count one transaction's coins, by rising index: their bytes, little-endian, may have another order."""
        coins, self._open = self._open, []
        if len(coins) > 1:
            coins.sort(key=lambda pair: U32.unpack_from(pair[0], TXID_SIZE)[0])
        for outpoint, coin in coins:
            self._bogosize += _BOGOSIZE + len(coin) - COIN_HEADER
            self._total += I64.unpack_from(coin, U32.size)[0]
            self._hasher.add(outpoint + coin[:COIN_HEADER] + var_bytes(coin[COIN_HEADER:]))
        self._transactions += bool(coins)
        self._coins += len(coins)


def _txid_of(pair: Pair) -> bytes:
    return pair[0][:TXID_SIZE]


class _NoHash:
    def add(self, data: bytes) -> None:
        pass

    def digest(self) -> bytes | None:
        return None


class _SerializedHash(_NoHash):
    def __init__(self) -> None:
        self._inner = sha256()

    def add(self, data: bytes) -> None:
        self._inner.update(data)

    def digest(self) -> bytes:
        return sha256(self._inner.digest()).digest()


class _MuHash(_NoHash):
    def __init__(self) -> None:
        from ccnode.chain.muhash import MuHash3072  # needs a package that a node of headers has not

        self._inner = MuHash3072()

    def add(self, data: bytes) -> None:
        self._inner.insert(data)

    def digest(self) -> bytes:
        return self._inner.digest()


def _hasher(kind: UtxoHash) -> _NoHash:
    return {UtxoHash.SERIALIZED: _SerializedHash, UtxoHash.MUHASH: _MuHash, UtxoHash.NONE: _NoHash}[kind]()

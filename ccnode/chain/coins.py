"""The coins, that is, the unspent outputs: a layer of changes in memory over a store on disk (Core: ``coins.cpp``).

A coin is looked up by its outpoint, 36 bytes as on the wire, and is itself just bytes, in memory as on disk::

    height << 1 | coinbase    4 bytes, little endian
    value                     8 bytes, satoshis
    scriptPubKey              the rest

Most coins are spent soon after they were created, so changes gather in memory, up to ``dbcache`` bytes, and a coin that
comes and goes in between never reaches the store. For that a layer tells two kinds of change apart: a *fresh* coin is
one that no layer below knows, so spending it forgets it; any other change is recorded, a spent coin as None, and
written. A coinbase's output is never fresh: before BIP30 two coinbases could have the same txid, the later one
overwrites the earlier, and a fresh one that is spent would let the earlier one reappear.

A look-up goes through *dirty*, then *flushing*, then the store. A flush freezes the dirty layer, which becomes the
flushing one, and the worker writes it in one transaction together with the block it belongs to; others may read, and
even change the dirty layer, meanwhile. There is no cache of coins merely read: the store maps its file into memory, so
that cache is the operating system's, and one look-up in it costs 2 to 3 us where a script check costs 60.

A layer is 256 pairs of small dictionaries, chosen by the outpoint's first byte. One large dictionary would halt
everything for 70 ms each time it grows (at 1.4 million coins) and for seconds when it is sorted for the store or freed,
a second per million coins. As it is, no step of a flush of two million coins takes more than about 20 ms. A
coin takes 180 to 240 bytes of memory.

Only outputs that can be spent belong here: whoever creates coins leaves out provably unspendable ones. Nothing here
checks that a spent coin exists; the rules do, with what `CoinsCache.wait_fetch` found.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from struct import Struct
from sys import getsizeof
from types import MappingProxyType

from ccnode.chain.ports import CoinStore, Worker

OUTPOINT_SIZE = 36
"""Bytes of an outpoint: txid, then the output's index, little endian."""

SHARDS = 256

_HEAD = Struct("<Iq")
_OBJECT = getsizeof(b"") + 15  # bytes around the content of a bytes object, with what rounding up to 16 adds
_OUTPOINT_OBJECT = (OUTPOINT_SIZE + _OBJECT) // 16 * 16

_NO_RECORDS: Mapping[bytes, bytes] = MappingProxyType({})


def make_coin(value: int, script: bytes, height: int, is_coinbase: bool) -> bytes:
    """The coin of an output: ``value`` in satoshis, ``height`` of the block that has it."""
    return _HEAD.pack(height << 1 | is_coinbase, value) + script


def read_coin(coin: bytes) -> tuple[int, bytes, int, bool]:
    """Value in satoshis, scriptPubKey, height, and whether a coinbase made it."""
    code, value = _HEAD.unpack_from(coin)
    return value, coin[12:], code >> 1, bool(code & 1)


class CoinChanges:
    """One layer: what changed since the layer below. Frozen once it is being written."""

    def __init__(self) -> None:
        self.fresh: list[dict[bytes, bytes]] = [{} for _ in range(SHARDS)]
        """Per shard, coins that no layer below knows."""
        self.changed: list[dict[bytes, bytes | None]] = [{} for _ in range(SHARDS)]
        """Per shard, coins that a layer below may know; None where they are spent."""
        self.content = 0
        """Bytes of keys and coins; what replaces a change counts as if it came on top."""

    def __len__(self) -> int:
        return sum(map(len, self.fresh)) + sum(map(len, self.changed))

    @property
    def usage(self) -> int:
        """Bytes of memory."""
        return self.content + sum(map(getsizeof, chain(self.fresh, self.changed)))

    def create(self, coins: Mapping[bytes, bytes]) -> None:
        """Add coins."""
        content = 0
        fresh, changed = self.fresh, self.changed
        for outpoint, coin in coins.items():
            shard = outpoint[0]
            if coin[0] & 1:
                fresh[shard].pop(outpoint, None)
                changed[shard][outpoint] = coin
            elif outpoint in changed[shard]:
                changed[shard][outpoint] = coin
            else:
                fresh[shard][outpoint] = coin
            content += (len(coin) + _OBJECT) & ~15
        self.content += content + _OUTPOINT_OBJECT * len(coins)

    def spend(self, outpoints: Iterable[bytes]) -> None:
        """Remove coins; those not in this layer are taken to be in one below."""
        content = 0
        fresh, changed = self.fresh, self.changed
        for outpoint in outpoints:
            shard = outpoint[0]
            coin = fresh[shard].pop(outpoint, None)
            if coin is not None:
                content -= ((len(coin) + _OBJECT) & ~15) + _OUTPOINT_OBJECT
            else:
                changed[shard][outpoint] = None
                content += _OUTPOINT_OBJECT
        self.content += content

    def overlay(self, outpoints: Iterable[bytes], found: dict[bytes, bytes]) -> list[bytes]:
        """Put the coins that this layer has into ``found``; return the outpoints of which it knows nothing."""
        unknown = []
        fresh, changed = self.fresh, self.changed
        for outpoint in outpoints:
            shard = outpoint[0]
            coin = fresh[shard].get(outpoint)
            if coin is None:
                if outpoint not in changed[shard]:
                    unknown.append(outpoint)
                    continue
                coin = changed[shard][outpoint]
                if coin is None:
                    continue
            found[outpoint] = coin
        return unknown

    def clear(self) -> None:
        """Free the memory, coin by coin: others get their turn in between."""
        for fresh, changed in zip(self.fresh, self.changed, strict=True):
            while fresh:
                fresh.popitem()
            while changed:
                changed.popitem()

    def batches(self) -> Iterator[tuple[list[tuple[bytes, bytes]], list[bytes]]]:
        """All changes as coins to put and outpoints to delete, in the order of their outpoints, a shard at a time."""
        for fresh, changed in zip(self.fresh, self.changed, strict=True):
            puts = list(fresh.items())
            puts += [(outpoint, coin) for outpoint, coin in changed.items() if coin is not None]
            puts.sort()
            yield puts, sorted([outpoint for outpoint, coin in changed.items() if coin is None])


class CoinsCache:
    """The coins at ``best_block``. Used on the hub only; `apply` never switches, what begins with ``wait_`` may."""

    def __init__(self, store: CoinStore, worker: Worker, limit_bytes: int, best_block: bytes) -> None:
        """``best_block`` is what ``store.best_block()`` says, or the genesis block's hash for an empty store."""
        self.best_block = best_block
        """Hash of the block up to which the coins are."""
        self.limit_bytes = limit_bytes
        self._store = store
        self._worker = worker
        self._dirty = CoinChanges()
        self._flushing: CoinChanges | None = None
        self._flushes = 0
        self._looked_at = 0  # the dirty layer's content at the last look at its whole usage

    @property
    def usage(self) -> int:
        """Bytes of memory that the changes take."""
        usage = self._dirty.usage
        return usage if self._flushing is None else usage + self._flushing.usage

    @property
    def unflushed(self) -> int:
        """Changes that are not in the store yet."""
        return len(self._dirty) + (0 if self._flushing is None else len(self._flushing))

    @property
    def is_flushing(self) -> bool:
        """Whether changes are being written."""
        return self._flushing is not None

    def should_flush(self) -> bool:
        """Whether the changes have reached the limit. It looks each time a 256th of it has come on top.

        To sum up the sizes of 512 tables takes as long as to spend and create 200 coins.
        """
        if self._dirty.content - self._looked_at < self.limit_bytes // 256:
            return False
        self._looked_at = self._dirty.content
        return self.usage >= self.limit_bytes

    def wait_fetch(self, outpoints: Iterable[bytes]) -> dict[bytes, bytes]:
        """The coins among ``outpoints`` that exist, as they are when this returns. Raises StorageError.

        What is not in memory is read on the worker, in one go.
        """
        wanted = list(outpoints)
        while True:
            found: dict[bytes, bytes] = {}
            unknown = self._overlay(wanted, found)
            if not unknown:
                return found
            flushes = self._flushes
            stored: dict[bytes, bytes] = self._worker.wait_run(self._store.get_many, unknown)
            if flushes != self._flushes:
                continue  # a layer went into the store since: what was read may be older than that
            for outpoint in self._overlay(unknown, found):  # the dirty layer may have changed as well
                if outpoint in stored:
                    found[outpoint] = stored[outpoint]
            return found

    def apply(self, spent: Iterable[bytes], created: Mapping[bytes, bytes], best_block: bytes) -> None:
        """Move to ``best_block``. An outpoint in both, created and spent within the block, is gone afterwards.

        To take a block back, call it with the roles exchanged: spent is what the block created, and created is what
        its undo data has.
        """
        self._dirty.create(created)
        self._dirty.spend(spent)
        self.best_block = best_block

    def wait_flush(self, entries: Mapping[bytes, bytes] = _NO_RECORDS) -> None:
        """Write all changes, and with them, in one transaction, records of the block table by block hash.

        Raises StorageError; the store then holds what it held before, and the node has to stop.
        """
        if self._flushing is not None:
            raise RuntimeError("a flush is under way, or one has failed")
        layer, best_block = self._dirty, self.best_block
        self._dirty, self._flushing = CoinChanges(), layer
        self._looked_at = 0
        self._worker.wait_run(self._store.commit, layer, best_block, entries)
        self._flushing = None
        self._flushes += 1
        self._worker.wait_run(layer.clear)

    def _overlay(self, outpoints: Sequence[bytes], found: dict[bytes, bytes]) -> list[bytes]:
        unknown = self._dirty.overlay(outpoints, found)
        return unknown if self._flushing is None else self._flushing.overlay(unknown, found)

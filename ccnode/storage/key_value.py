"""A small ordered map from bytes to bytes on disk, and one in memory for tests.

A store is plain blocking code, used by one thread at a time. Keys have 1 to `MAX_KEY_SIZE` bytes; their order is that
of bytes. `KeyValueStore.write` is atomic: after the death of the process, or of the machine, all of it is there or
nothing. What fails raises `StorageError` with a sentence for a person, and leaves the store as it was.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

MAX_KEY_SIZE = 511
"""Bytes of a key (LMDB's limit as it is compiled by default)."""

Batch = tuple[Iterable[tuple[bytes, bytes]], Iterable[bytes]]
"""Pairs to put and keys to delete; no key is in both."""

Batches = Callable[[], Iterable[Batch]]
"""Gives all batches of one write, from the first; a store that has to begin again calls it again."""


class KeyValueStore(Protocol):
    """What the chain state is kept in."""

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """The pairs among ``keys`` that exist."""
        ...

    def write_batch(self, puts: Sequence[tuple[bytes, bytes]] = (), deletes: Sequence[bytes] = ()) -> None:
        """Put pairs and delete keys, atomically. To delete what does not exist is no error."""
        ...

    def write(self, batches: Batches) -> None:
        """All the batches, atomically. Quickest where keys rise, within a batch and from batch to batch."""
        ...

    def iterate(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All pairs whose key begins with ``prefix`` and is not below ``start``, in the order of their keys.

        A write in the meantime may show or not; keys never repeat.
        """
        ...

    def sync(self) -> None:
        """Return when all that was written is safe from a power loss."""
        ...

    def close(self) -> None:
        """Close the store; a second call does nothing."""
        ...


class MemoryStore:
    """A `KeyValueStore` that forgets."""

    def __init__(self) -> None:
        self._pairs: dict[bytes, bytes] = {}

    def get_many(self, keys: Iterable[bytes]) -> dict[bytes, bytes]:
        """See `KeyValueStore`."""
        pairs = self._pairs
        return {key: pairs[key] for key in keys if key in pairs}

    def write_batch(self, puts: Sequence[tuple[bytes, bytes]] = (), deletes: Sequence[bytes] = ()) -> None:
        """See `KeyValueStore`."""
        self.write(lambda: [(puts, deletes)])

    def write(self, batches: Batches) -> None:
        """See `KeyValueStore`."""
        changes: dict[bytes, bytes | None] = {}
        for puts, deletes in batches():
            changes.update(dict.fromkeys(deletes))
            changes.update(puts)
        for key in changes:
            if not 1 <= len(key) <= MAX_KEY_SIZE:
                raise ValueError(f"a key of {len(key)} bytes")
        for key, value in changes.items():
            if value is None:
                self._pairs.pop(key, None)
            else:
                self._pairs[key] = value

    def iterate(self, prefix: bytes = b"", start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """See `KeyValueStore`."""
        pairs = self._pairs
        for key in sorted(key for key in pairs if key >= start and key.startswith(prefix)):
            if key in pairs:
                yield key, pairs[key]

    def sync(self) -> None:
        """See `KeyValueStore`."""

    def close(self) -> None:
        """See `KeyValueStore`."""

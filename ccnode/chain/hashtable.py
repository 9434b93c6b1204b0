"""From a header's hash to its number, for a million headers, without ever pausing for long.

A Python dictionary grows by copying itself: at 700,000 entries that takes 50 ms in one piece, and nothing else runs
meanwhile. So the hashes are kept in *generations*, dictionaries of at most `GENERATION` entries of which only the
newest grows. A look-up asks the newest first; the older ones, half a dozen for a million headers, cost 0.05 us each.
"""

from collections.abc import Sequence

GENERATION = (1 << 18) * 2 // 3
"""Entries per dictionary: as many as fit into its table of 2**18 slots. The largest copy it makes has half of them."""


class HashTable:
    """Numbers by hash. Entries are only ever added."""

    def __init__(self, first_hash: bytes) -> None:
        """Start with ``first_hash`` as number 0."""
        self._newest = {first_hash: 0}
        self._older: list[dict[bytes, int]] = []

    def get(self, block_hash: bytes) -> int | None:
        """The number of a hash, None if it was never added."""
        number = self._newest.get(block_hash)
        if number is None:
            for table in reversed(self._older):
                number = table.get(block_hash)
                if number is not None:
                    return number
        return number

    def add(self, hashes: Sequence[bytes], first: int) -> None:
        """Number ``hashes`` from ``first`` on; none may be known."""
        self._make_room(len(hashes))
        self._newest.update(zip(hashes, range(first, first + len(hashes)), strict=True))

    def add_if_new(self, hashes: Sequence[bytes], first: int) -> bool:
        """`add`, provided that no hash is known and no two are equal; False, and nothing has changed, otherwise."""
        if not all(table.keys().isdisjoint(hashes) for table in self._older):
            return False
        self._make_room(len(hashes))
        newest = self._newest
        before = len(newest)
        list(map(newest.setdefault, hashes, range(first, first + len(hashes))))  # looks up and inserts in one go
        if len(newest) == before + len(hashes):
            return True
        for block_hash in hashes:
            if newest.get(block_hash, 0) >= first:
                del newest[block_hash]
        return False

    def _make_room(self, count: int) -> None:
        if len(self._newest) + count > GENERATION:
            self._older.append(self._newest)
            self._newest = {}

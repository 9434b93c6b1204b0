"""One chain through the tree of headers: an array from height to entry (Core: ``CChain``).

The index keeps two, or one that serves as both: the *best-header chain*, which follows the most work as headers come,
and the *active chain*, which a node that validates blocks moves only when it has connected or disconnected them.
"""

from array import array
from collections.abc import Sequence


class ChainView:
    """Entries by height, from the first header of the index to ``tip``. Changes only with `extend` and `replace`."""

    __slots__ = ("_base", "_entries", "tip")

    def __init__(self, base_height: int, entries: Sequence[int] = (0,)) -> None:
        """``entries`` begin with entry 0, whose height is ``base_height``."""
        self._base = base_height
        self._entries = array("I", entries)
        self.tip = self._entries[-1]

    def at(self, height: int) -> int | None:
        """The entry at ``height``; None above the tip or below the first entry."""
        position = height - self._base
        return self._entries[position] if 0 <= position < len(self._entries) else None

    def between(self, first_height: int, end_height: int) -> Sequence[int]:
        """The entries from ``first_height`` on, up to and without ``end_height``."""
        return self._entries[max(0, first_height - self._base) : max(0, end_height - self._base)]

    def extend(self, entries: Sequence[int]) -> None:
        """Add descendants of the tip, by rising height."""
        self._entries.extend(entries)
        self.tip = self._entries[-1]

    def replace(self, fork_height: int, entries: Sequence[int]) -> None:
        """Cut off what is above ``fork_height`` and go on with ``entries``."""
        del self._entries[fork_height + 1 - self._base :]
        self.extend(entries)

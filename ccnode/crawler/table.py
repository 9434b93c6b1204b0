"""Every address that a round has heard of, packed.

An address is a row: its key (``ccnode.wire.addresses``), its state, who vouched for it, how many did, and the latest
time anybody claims to have seen it. The keys are in a `KeyTable`, the rest in arrays, so that a million invented
addresses take 80 MB. `ADDRESSES` is the default bound; what comes after the table is full is counted and forgotten.

The states are three, for those whose turn is still to come, and one for each `Outcome`. An address changes its state
through `set_state` alone, which counts: so at any moment it is known exactly how much work is outstanding.
"""

from array import array
from typing import Final

from ccnode.crawler.keys import KeyTable
from ccnode.crawler.outcome import SEED_SOURCE, Outcome

ADDRESSES: Final = 1_500_000
"""The most addresses a table holds by default: fifteen times what the largest census has seen reachable or not."""

HELD, QUEUED, ACTIVE = 0, 1, 2
"""States before the outcome: nobody with credit vouches for it, its turn will come, it is being visited."""

_OUTCOMES: Final = tuple(Outcome)
_FIRST_FINAL: Final = ACTIVE + 1
STATE_OF: Final = {outcome: _FIRST_FINAL + i for i, outcome in enumerate(_OUTCOMES)}
"""The state that an outcome is."""

BY_SEED, BY_DNS, BY_STORE = 0xFFFF_FFFF, 0xFFFF_FFFE, 0xFFFF_FFFD
"""Who vouches for addresses that no peer named: a person, a DNS seed, an earlier round. Above every row."""

VIA: Final = {BY_SEED: "seed", BY_DNS: "dns", BY_STORE: "stored"}
"""The same as in `Visit.via`."""
MAX_VOUCHERS: Final = 255


class AddressTable:
    """The rows; see the module's text. Row numbers are given in the order of arrival and never change."""

    def __init__(self, capacity: int = ADDRESSES) -> None:
        self.capacity = capacity
        self.overflow = 0
        """Addresses heard of and not kept, each time they were heard of."""
        self.keys = KeyTable()
        self.vouchers = bytearray()
        """How many peers named it, up to `MAX_VOUCHERS`."""
        self.seen = array("I")
        """The latest claimed time, Unix seconds."""
        self.states = bytearray()
        """`HELD`, `QUEUED`, `ACTIVE`, or a value of `STATE_OF`; to be changed by `set_state` alone."""
        self._sources = array("I")
        self._last_vouchers = array("I")
        self.find = self.keys.find
        """The row of a key."""
        self._counts = [0] * (_FIRST_FINAL + len(_OUTCOMES))

    def __len__(self) -> int:
        return len(self.states)

    def add(self, key: bytes, source: int) -> int | None:
        """A row for a key that has none yet, in state `HELD`; None if the table is full."""
        if len(self.states) >= self.capacity:
            self.overflow += 1
            return None
        row = self.keys.append(key)
        self.states.append(HELD)
        self.vouchers.append(0)
        self.seen.append(0)
        self._sources.append(source)
        self._last_vouchers.append(BY_SEED)
        self._counts[HELD] += 1
        return row

    def vouch(self, row: int, source: int, seen: int) -> int:
        """The peer at row ``source`` names it, seen at ``seen`` (Unix seconds); how many do now.

        Who says it twice in a row counts once.
        """
        if seen > self.seen[row]:
            self.seen[row] = seen
        count = self.vouchers[row]
        if count < MAX_VOUCHERS and self._last_vouchers[row] != source:
            self._last_vouchers[row] = source
            count += 1
            self.vouchers[row] = count
        return count

    def set_state(self, row: int, state: int) -> None:
        self._counts[self.states[row]] -= 1
        self._counts[state] += 1
        self.states[row] = state

    def finish(self, row: int, outcome: Outcome) -> None:
        """The address has its outcome."""
        self.set_state(row, STATE_OF[outcome])

    def outcome(self, row: int) -> Outcome | None:
        """Its outcome, if it has one."""
        state = self.states[row]
        return None if state < _FIRST_FINAL else _OUTCOMES[state - _FIRST_FINAL]

    def source(self, row: int) -> int:
        """Who vouches for it: a row, or one of `BY_SEED` and its like."""
        return self._sources[row]

    def set_source(self, row: int, source: int) -> None:
        self._sources[row] = source

    def source_key(self, row: int) -> bytes | str:
        """The same as in `Visit.source`."""
        source = self._sources[row]
        return SEED_SOURCE if source in VIA else self.keys[source]

    def via(self, row: int) -> str:
        """The same as in `Visit.via`."""
        return VIA.get(self._sources[row], "gossip")

    def count(self, state: int) -> int:
        """Rows in a state."""
        return self._counts[state]

    def outcomes(self) -> dict[Outcome, int]:
        """Rows by outcome, without those that nobody has."""
        return {outcome: self._counts[state] for outcome, state in STATE_OF.items() if self._counts[state]}

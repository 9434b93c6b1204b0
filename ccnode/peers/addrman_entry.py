"""One address of the address manager: what is known of it, and how good that is (Core: ``AddrInfo``).

Times are Unix seconds, 0 for never, except that `AddrInfo.time` is what others claim.
"""

from dataclasses import dataclass, field
from typing import Final

from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import TimedAddress

HORIZON: Final = 30 * 86_400
"""Seconds; who was not heard of for longer is not worth a try (Core: ``ADDRMAN_HORIZON``)."""

RETRIES: Final = 3
"""Attempts after which an address that never answered is given up (Core: ``ADDRMAN_RETRIES``)."""

MAX_FAILURES: Final = 10
"""Attempts since the last success, at least `MIN_FAIL` ago, after which one is (Core: ``ADDRMAN_MAX_FAILURES``)."""

MIN_FAIL: Final = 7 * 86_400
"""Seconds (Core: ``ADDRMAN_MIN_FAIL``)."""

BEING_TRIED: Final = 60
"""Seconds after an attempt in which its outcome may be open: the address is safe."""

FUTURE: Final = 600
"""Seconds ahead of us that a claimed time may be."""

RECENT_TRY: Final = 600
"""Seconds after an attempt in which another is unlikely."""

RECENT_TRY_CHANCE: Final = 0.01
FAILURE_CHANCE: Final = 0.66
"""Each failed attempt multiplies the chance by this, up to `COUNTED_FAILURES` times: 1/28 at the least."""

COUNTED_FAILURES: Final = 8

_CHANCES: Final = tuple(FAILURE_CHANCE**failures for failures in range(COUNTED_FAILURES + 1))


@dataclass(slots=True, eq=False)
class AddrInfo:
    """An address in a table. Changed by the address manager only."""

    address: NetworkAddress
    source: NetworkAddress
    """Who told us first."""
    services: int
    time: int
    """When it was last seen, as others say; ours only for peers whose connection has ended."""
    last_success: int = 0
    last_try: int = 0
    last_counted_try: int = 0
    """The last attempt that counted as a failure."""
    attempts: int = 0
    """Failed ones since the last success."""
    in_tried: bool = False
    slots: list[int] = field(default_factory=list)
    """Where it is: one slot of the tried table, or up to eight of the new one."""
    place: int = -1
    """Index in the manager's list of all entries."""

    def is_terrible(self, now: int) -> bool:
        """Whether it is the first to go, and not worth telling others (Core: ``IsTerrible``)."""
        if now - self.last_try <= BEING_TRIED:
            return False
        if self.time > now + FUTURE or now - self.time > HORIZON:
            return True
        if not self.last_success and self.attempts >= RETRIES:
            return True
        return now - self.last_success > MIN_FAIL and self.attempts >= MAX_FAILURES

    def chance(self, now: int) -> float:
        """How likely it is taken when it is drawn, above 0, at most 1 (Core: ``GetChance``)."""
        chance = _CHANCES[min(self.attempts, COUNTED_FAILURES)]
        return chance * RECENT_TRY_CHANCE if now - self.last_try < RECENT_TRY else chance

    def timed(self) -> TimedAddress:
        """As gossip carries it."""
        return TimedAddress(self.time, self.services, self.address)


@dataclass(frozen=True, slots=True)
class AddrRecord:
    """An entry as it is stored; the fields are `AddrInfo`'s."""

    address: NetworkAddress
    source: NetworkAddress
    services: int
    time: int
    last_success: int = 0
    last_try: int = 0
    attempts: int = 0
    in_tried: bool = False
    slots: tuple[int, ...] = ()
    """Empty where the table's own placement is to decide."""

    @classmethod
    def of(cls, info: AddrInfo) -> "AddrRecord":
        times = info.time, info.last_success, info.last_try
        return cls(info.address, info.source, info.services, *times, info.attempts, info.in_tried, tuple(info.slots))

    def entry(self) -> AddrInfo:
        """A new entry, in no table yet."""
        times = self.time, self.last_success, self.last_try
        return AddrInfo(self.address, self.source, self.services, *times, attempts=self.attempts)

"""Bans: addresses and ranges that we have nothing to do with until a given time (Core: ``banman.cpp``).

A ban is made by a person (``setban``), or by the classic model of misbehaviour. While it lasts, connections from the
range are refused (unless they have the noban permission), none is made to it, and its addresses are not stored. A ban
outlives the process. A second ban of the same range may prolong the first, never shorten it.

The list is asked for every connection and every address heard of, so a look-up does not go through all bans: it
masks the address to each prefix length that occurs, of which there are few.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from ccnode.clock import Clock
from ccnode.peers.subnet import Subnet, masked
from ccnode.wire.address import Network, NetworkAddress

DEFAULT_BAN_SECONDS: Final = 86_400
"""How long a ban lasts when nobody says (Core: ``DEFAULT_MISBEHAVING_BANTIME``)."""

MAX_AUTOMATIC_BANS: Final = 50_000
"""Bans for misbehaviour at once; the oldest gives way. An attacker with a range of IPv6 has any number of addresses."""

FOREVER: Final = 2**62
"""Unix seconds; no ban ends later, which leaves room for sums in 64 bits."""

MANUAL: Final = "manually added"
"""The reason of a ban that a person made; what they said about it follows after a colon."""

MAX_REMARK: Final = 200
"""Characters that may be said about it."""


@dataclass(frozen=True, slots=True)
class Ban:
    """One ban. Times are Unix seconds."""

    subnet: Subnet
    created: int
    until: int
    """The first second in which it no longer holds."""
    reason: str

    @property
    def manual(self) -> bool:
        return self.reason == MANUAL or self.reason.startswith(f"{MANUAL}: ")


class BanStore(Protocol):
    """Where bans outlive the process; neither method waits."""

    def put(self, ban: Ban) -> None:
        """Add the ban, or replace that of the same subnet."""
        ...

    def remove(self, subnets: Iterable[Subnet]) -> None: ...


class BanList:
    """The bans in force."""

    def __init__(
        self, store: BanStore, clock: Clock, *, default_seconds: int = DEFAULT_BAN_SECONDS, bans: Iterable[Ban] = ()
    ) -> None:
        """
        :param default_seconds: how long a ban lasts when nobody says (``bantime``).
        :param bans: what the store holds.
        """
        self._store = store
        self._clock = clock
        self._default_seconds = default_seconds
        self._bans: dict[Subnet, Ban] = {}
        self._widths: dict[Network, Counter[int]] = {network: Counter() for network in Network}
        self._automatic: dict[Subnet, None] = {}
        """The bans for misbehaviour, oldest first."""
        self._ban_listeners: list[Callable[[Ban], None]] = []
        self._unban_listeners: list[Callable[[Sequence[Ban]], None]] = []
        for ban in bans:
            self._put(ban)

    def on_ban(self, listener: Callable[[Ban], None]) -> None:
        """Call ``listener`` with every ban made from now on."""
        self._ban_listeners.append(listener)

    def on_unban(self, listener: Callable[[Sequence[Ban]], None]) -> None:
        """Call ``listener`` with the bans that are lifted, have ended or gave way to others."""
        self._unban_listeners.append(listener)

    def ban(self, subnet: Subnet, seconds: int = 0, *, absolute: bool = False, reason: str = MANUAL) -> None:
        """Ban ``subnet`` for ``seconds``, or until that Unix time; 0 or less means the default duration.

        A ban that already lasts longer stays as it is.
        """
        now = int(self._clock.now())
        if seconds <= 0:
            seconds, absolute = self._default_seconds, False
        until = min(seconds if absolute else now + seconds, FOREVER)
        ban = Ban(subnet, now, until, reason)
        known = self._bans.get(subnet)
        if known is None or known.until < until:
            self._put(ban)
            self._store.put(ban)
        while len(self._automatic) > MAX_AUTOMATIC_BANS:
            self._remove([next(iter(self._automatic))])
        for listener in self._ban_listeners:
            listener(ban)

    def unban(self, subnet: Subnet) -> bool:
        """Lift the ban of exactly this subnet; False if there is none. Bans of wider ones stay."""
        known = self._bans.get(subnet)
        if known is None:
            return False
        self._remove([subnet])
        return known.until > self._clock.now()

    def clear(self) -> None:
        """Lift all bans."""
        self._remove(list(self._bans))

    def sweep(self) -> None:
        """Forget the bans that have ended."""
        now = self._clock.now()
        self._remove([ban.subnet for ban in self._bans.values() if ban.until <= now])

    def is_banned(self, address: NetworkAddress) -> bool:
        """Whether a ban in force covers ``address``."""
        now = self._clock.now()
        alone = Subnet.single(address)  # on whose network its bans are: that of CJDNS is IPv6
        for width in self._widths[alone.network]:
            ban = self._bans.get(Subnet(alone.network, masked(alone.base, width), width))
            if ban is not None and ban.until > now and address in ban.subnet:
                return True
        return False

    def is_subnet_banned(self, subnet: Subnet) -> bool:
        """Whether exactly this subnet is banned; being part of a wider one does not count, as in Core."""
        ban = self._bans.get(subnet)
        return ban is not None and ban.until > self._clock.now()

    def bans(self) -> list[Ban]:
        """The bans in force, sorted by network and range."""
        self.sweep()
        return sorted(self._bans.values(), key=lambda ban: _sort_key(ban.subnet))

    def __len__(self) -> int:
        return len(self._bans)

    def _put(self, ban: Ban) -> None:
        if ban.subnet not in self._bans:
            self._widths[ban.subnet.network][ban.subnet.prefix] += 1
        self._bans[ban.subnet] = ban
        self._automatic.pop(ban.subnet, None)
        if not ban.manual:
            self._automatic[ban.subnet] = None

    def _remove(self, subnets: list[Subnet]) -> None:
        removed = [self._bans.pop(subnet) for subnet in subnets]
        for subnet in subnets:
            self._automatic.pop(subnet, None)
            widths = self._widths[subnet.network]
            widths[subnet.prefix] -= 1
            if not widths[subnet.prefix]:
                del widths[subnet.prefix]
        if removed:
            self._store.remove(subnets)
            for listener in self._unban_listeners:
                listener(removed)


def _sort_key(subnet: Subnet) -> tuple[str, bytes, int]:
    return subnet.network.value, subnet.base, subnet.prefix

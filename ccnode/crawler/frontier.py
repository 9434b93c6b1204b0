"""Which address is visited next, and which is not visited at all.

**Lanes.** Each network that can be reached has its own lane with its own limit of dials under way: a dial through Tor
takes ten seconds, and must not take the place of IPv4's. Within a lane the addresses lie in buckets by expected yield:
how many vouch for one, how lately it was seen, and whether an earlier round reached it. The best bucket is used up
first, and within a bucket chance decides, so that neighbours are not dialed in a row.

**Credit.** Inventing addresses costs nothing, so a peer's word is not worth much by itself. Each address that is
queued is paid for by one of those who vouch for it: a peer is good for `FIRST_CREDIT` of them, and each that turned
out to be a node gives it `REWARD` more. An honest peer, of whose addresses one in fourteen is a node at least, never
runs out. An inventor costs the round a hundred dials. What nobody can pay for is *held*: it is queued once somebody
who has credit names it, or one of those who named it earns some; at the end of the round it is `Outcome.CAPPED`. This
does not protect against somebody who owns as many nodes as he invents others; that is what the next is for.

**Ranges.** Whoever holds a range holds all its addresses, and may have one machine answer at each. `QUOTAS` limits how
many of a range are queued in a round, `DIALS_AT_ONCE` how many are dialed at a time, per range and per autonomous
system if those are known; addresses above the latter wait for their turn.

**The end.** Every address is in exactly one state (``ccnode.crawler.table``), so the work outstanding is a number,
and a round is complete exactly when it is zero.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from ccnode.crawler.guard import Guard, network_of
from ccnode.crawler.outcome import Outcome
from ccnode.crawler.table import ACTIVE, BY_SEED, BY_STORE, HELD, QUEUED, AddressTable
from ccnode.crawler.tally import Tally
from ccnode.rng import Rng
from ccnode.wire.address import IPV4_IN_IPV6, Network
from ccnode.wire.addresses import IP_KEY_SIZE, PackedEntry

FIRST_CREDIT: Final = 100
REWARD: Final = 16
"""Addresses that a peer is good for; how many more each of them is worth that is a node."""

NODES: Final = frozenset({Outcome.REACHABLE, Outcome.SLOTS_FULL, Outcome.OBSOLETE})
"""Outcomes that reward who vouched for the address."""

HOUR: Final = 3600
AGES: Final = (3 * HOUR, 24 * HOUR, 7 * 24 * HOUR)
"""Seconds since an address was seen that make it better than others."""

BEST_BUCKET: Final = 15
BUCKET_STORED: Final = 12
"""Buckets of seeds, and of what an earlier round reached."""
VOUCHER_STEPS: Final = frozenset({2, 4, 8, 16, 32})
"""Numbers of vouchers at which an address moves up."""

V4_PREFIX: Final = len(IPV4_IN_IPV6)


@dataclass(frozen=True, slots=True)
class Quota:
    """At most ``limit`` addresses of a range are queued. The range is the first ``size`` bytes of a key."""

    size: int
    limit: int


QUOTAS: Final[Mapping[Network, tuple[Quota, ...]]] = {
    Network.IPV4: (Quota(V4_PREFIX + 4, 16), Quota(V4_PREFIX + 3, 1024)),
    Network.IPV6: (Quota(8, 64), Quota(6, 1024), Quota(4, 8192)),
}
"""Sixteen ports of one IPv4 host; of IPv6, where a customer has a /64 at least and often a /48, sixty-four hosts."""

RANGES: Final = {Network.IPV4: V4_PREFIX + 3, Network.IPV6: 8}
DIALS_AT_ONCE: Final = 32
"""In an IPv4 /24 or an IPv6 /64."""
AS_DIALS_AT_ONCE: Final = 256


@dataclass(slots=True)
class Lane:
    """One network's addresses, and how many dials at a time it bears."""

    limit: int
    dialing: int = 0
    buckets: "list[array[int]]" = field(default_factory=lambda: [array("I") for _ in range(BEST_BUCKET + 1)])

    def push(self, row: int, bucket: int) -> None:
        self.buckets[bucket].append(row)

    def pop(self, rng: Rng) -> int | None:
        """A row from the best bucket that has any. It may have been taken already: a row that moves up stays below."""
        for rows in reversed(self.buckets):
            if rows:
                i = int(rng.random() * len(rows))
                rows[i], rows[-1] = rows[-1], rows[i]
                return rows.pop()
        return None


class Frontier:
    """Takes addresses in by `seed`, `restore` and `vouch`, gives them out by `next`."""

    def __init__(
        self,
        table: AddressTable,
        guard: Guard,
        rng: Rng,
        now: Callable[[], float],
        *,
        lanes: Mapping[Network, int],
        autonomous_system: Callable[[bytes], int] = lambda _key: 0,
        quotas: Mapping[Network, tuple[Quota, ...]] = QUOTAS,
    ) -> None:
        """
        :param now: Unix time.
        :param lanes: dials at a time, for each network that can be reached.
        :param autonomous_system: the AS number of a packed address, 0 if unknown.
        """
        self.table = table
        self._guard = guard
        self._rng = rng
        self._now = now
        self._as_of = autonomous_system
        self._quotas = {network: [(quota, Tally()) for quota in quotas[network]] for network in quotas}
        self.lanes = {network: Lane(limit) for network, limit in lanes.items()}
        self._turn = list(self.lanes.values())
        self._credit: dict[int, int] = {}
        self._held: dict[int, array[int]] = {}
        self._moved: list[int] = []
        self._late_sources: dict[int, bytes] = {}
        self._dialing_in: dict[bytes | int, int] = {}
        self._waiting: dict[bytes | int, array[int]] = {}

    # -- addresses in --------------------------------------------------------------------------------------------

    def seed(self, keys: Iterable[bytes], source: int = BY_SEED) -> list[bytes]:
        """Queue addresses that no peer named: they cost nobody anything. Returns the keys that are new."""
        new = []
        for key in map(self._guard.locate, keys):
            if self.table.find(key) is None:
                row = self._add(key, source)
                if row is not None:
                    new.append(key)
                    self._queue(row, BUCKET_STORED if source == BY_STORE else BEST_BUCKET)
        return new

    def restore(self, key: bytes, source: bytes | None, seen: int, outcome: Outcome | None) -> None:
        """Take in an address of an interrupted round, held if it has no ``outcome``; see `resume`.

        :param source: the key of another address of the round, or None for no peer.
        :param seen: when it was seen, Unix seconds.
        """
        known = None if source is None else self.table.find(source)
        row = self._add(key, BY_STORE if known is None else known)
        if row is None:
            return
        if source is not None and known is None:
            self._late_sources[row] = source
        if self.table.states[row] != HELD:
            return
        self.table.vouch(row, self.table.source(row), seen)
        if outcome is not None:
            self.table.finish(row, outcome)
            if outcome.dialed:
                self._within_quotas(key)

    def resume(self) -> None:
        """All is restored: reckon everybody's credit, and have what is held paid for by who did so before.

        As many are queued then as before, of each who vouches, though not always the same. Two things are not in the
        file. How many vouch for an address decides about the order alone. And who named an address without having
        credit, after somebody who had none either, will not pay for it if credit comes later; honest peers run out of
        it so rarely that they hardly wait for that.
        """
        table = self.table
        for row, source in self._late_sources.items():
            known = table.find(source)
            if known is not None:
                table.set_source(row, known)
        self._late_sources.clear()
        for row in range(len(table)):
            outcome = table.outcome(row)
            if outcome is not None and outcome.dialed:
                self._charge(table.source(row))
                if outcome in NODES:
                    self._reward(table.source(row))
        for row in range(len(table)):
            if table.states[row] == HELD:
                self._offer(row, table.source(row))

    def take_moved(self) -> list[int]:
        """The rows for which somebody else pays than who named them first; each is told once."""
        moved, self._moved = self._moved, []
        return moved

    def vouch(self, source: int, entries: Iterable[PackedEntry]) -> list[PackedEntry]:
        """The peer at row ``source`` names these addresses; returns those that are new."""
        table, find, states = self.table, self.table.find, self.table.states
        locate = self._guard.locate
        new = []
        for seen, services, wire_key in entries:
            row = find(wire_key)
            if row is None:
                key = locate(wire_key)
                row = None if key is wire_key else find(key)
                if row is None:
                    row = self._add(key, source)
                    if row is None:
                        continue
                    new.append((seen, services, key))
            state = states[row]
            if state > QUEUED or row == source:
                continue  # its turn has come already
            count = table.vouch(row, source, seen)
            if state == HELD:
                self._offer(row, source)
            elif count in VOUCHER_STEPS:
                self._push(row, self._bucket(row))
        return new

    def located(self, entries: Iterable[PackedEntry]) -> list[PackedEntry]:
        """The same with the keys under which the addresses are kept here."""
        locate = self._guard.locate
        return [(seen, services, locate(key)) for seen, services, key in entries]

    def _add(self, key: bytes, source: int) -> int | None:
        row = self.table.add(key, source)
        if row is not None:
            refusal = self._guard.refusal(key)
            if refusal is not None:
                self.table.finish(row, refusal)
        return row

    def _offer(self, row: int, source: int) -> None:
        """``source`` vouches for a held row: queue it if that has credit."""
        if source < BY_STORE and self._credit.get(source, FIRST_CREDIT) <= 0:
            self._held.setdefault(source, array("I")).append(row)
            return
        self._charge(source)
        if source != self.table.source(row):
            self.table.set_source(row, source)
            self._moved.append(row)
        self._queue(row, self._bucket(row))

    def _charge(self, source: int) -> None:
        if source < BY_STORE:
            self._credit[source] = self._credit.get(source, FIRST_CREDIT) - 1

    def _queue(self, row: int, bucket: int) -> None:
        if self.table.states[row] != HELD:
            return
        if self._within_quotas(self.table.keys[row]):
            self.table.set_state(row, QUEUED)
            self._push(row, bucket)
        else:
            self.table.finish(row, Outcome.CAPPED)

    def _within_quotas(self, key: bytes) -> bool:
        if len(key) != IP_KEY_SIZE:
            return True
        quotas = self._quotas.get(network_of(key), ())
        if any(queued[key[: quota.size]] >= quota.limit for quota, queued in quotas):
            return False
        for quota, queued in quotas:
            queued.add(key[: quota.size])
        return True

    def _bucket(self, row: int) -> int:
        """How promising: up to 5 for those who vouch, up to 3 for being seen lately."""
        age = self._now() - self.table.seen[row]
        freshness = sum(age < limit for limit in AGES)
        return min(self.table.vouchers[row].bit_length(), 6) + freshness

    def _push(self, row: int, bucket: int) -> None:
        self.lanes[network_of(self.table.keys[row])].push(row, bucket)

    # -- addresses out -------------------------------------------------------------------------------------------

    @property
    def outstanding(self) -> int:
        """Addresses that still have to be visited or are being visited."""
        return self.table.count(QUEUED) + self.table.count(ACTIVE)

    def next(self) -> int | None:
        """The row to dial now, from then on active; None if there is none or no lane has room for a dial."""
        for _ in range(len(self._turn)):
            lane = self._turn.pop(0)
            self._turn.append(lane)
            row = self._take(lane) if lane.dialing < lane.limit else None
            if row is not None:
                lane.dialing += 1
                self.table.set_state(row, ACTIVE)
                return row
        return None

    def _take(self, lane: Lane) -> int | None:
        while (row := lane.pop(self._rng)) is not None:
            if self.table.states[row] == QUEUED and self._has_room(row):
                return row
        return None

    def _has_room(self, row: int) -> bool:
        """Whether the row's ranges bear one more dial; otherwise it is put among those that wait for one."""
        groups = self._groups(row)
        for group, limit in groups:
            if self._dialing_in.get(group, 0) >= limit:
                self._waiting.setdefault(group, array("I")).append(row)
                return False
        for group, _ in groups:
            self._dialing_in[group] = self._dialing_in.get(group, 0) + 1
        return True

    def _groups(self, row: int) -> list[tuple[bytes | int, int]]:
        key = self.table.keys[row]
        if len(key) != IP_KEY_SIZE:
            return []
        groups: list[tuple[bytes | int, int]] = [(key[: RANGES[network_of(key)]], DIALS_AT_ONCE)]
        asn = self._as_of(key)
        if asn:
            groups.append((asn, AS_DIALS_AT_ONCE))
        return groups

    def dialed(self, row: int) -> None:
        """The dial is over, well or badly: its lane and its ranges have room for another."""
        self.lanes[network_of(self.table.keys[row])].dialing -= 1
        for group, limit in self._groups(row):
            left = self._dialing_in[group] - 1
            if left:
                self._dialing_in[group] = left
            else:
                del self._dialing_in[group]
            self._wake(group, limit - left)

    def _wake(self, group: bytes | int, count: int) -> None:
        """Let up to ``count`` of those that wait for room in a group try again."""
        waiting = self._waiting.get(group)
        while waiting and count:
            row = waiting.pop()
            if self.table.states[row] == QUEUED:  # it may have come to its turn by another entry in its lane
                self._push(row, self._bucket(row))
                count -= 1
        if waiting is not None and not waiting:
            del self._waiting[group]

    def done(self, row: int, outcome: Outcome) -> None:
        """An active row has its outcome."""
        self.table.finish(row, outcome)
        if outcome in NODES:
            self._reward(self.table.source(row))

    def _reward(self, source: int) -> None:
        if source >= BY_STORE:
            return
        self._credit[source] = self._credit.get(source, FIRST_CREDIT) + REWARD
        held = self._held.get(source)
        while held and self._credit[source] > 0:
            row = held.pop()
            if self.table.states[row] == HELD:
                self._offer(row, source)

    # -- the end -------------------------------------------------------------------------------------------------

    def put_back(self, row: int) -> None:
        """An active row is not visited after all."""
        self.table.set_state(row, QUEUED)

    def close(self) -> Iterator[int]:
        """Give every address that has no outcome the one it ends with; yields the rows of all that were not dialed.

        No visit may go on any more; one that was given up has not taken place.
        """
        self._held.clear()  # nobody needs it any more, and what follows needs memory
        for row in range(len(self.table)):
            state = self.table.states[row]
            if state <= ACTIVE:
                self.table.finish(row, Outcome.CAPPED if state == HELD else Outcome.UNVISITED)
            outcome = self.table.outcome(row)
            if outcome is not None and not outcome.dialed:
                yield row

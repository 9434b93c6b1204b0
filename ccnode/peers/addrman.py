"""The address manager: which nodes are known, and which to try next (Core: ``addrman.{h,cpp}``).

Whoever controls all our outbound connections controls what we believe the chain to be (an *eclipse* attack, Heilman
et al. 2015), and those connections go to addresses that strangers told us. Hence:

- Two tables. *new* holds what we were told; *tried* holds addresses that a handshake succeeded with. A connection
  draws from each with equal chance, however many addresses an attacker pours into one of them.
- Slots are assigned by a keyed hash of net groups (see ``addrman_tables``): filling a table takes many groups, as
  addresses and as sources. Who tells us the same address again and again from many groups can win it up to eight
  slots of the new table, each at half the odds of the one before.
- The new table gives way only to what is better: a taken slot is overwritten if its entry is terrible, or has other
  slots while the newcomer has none.
- The tried table gives way only after a test: an entry whose slot a newcomer wants is dialed first (a *feeler*), and
  goes back to the new table only if that fails (`AddrMan.resolve_collisions`).
- Successes do not touch the time that others see, which would tell the world whom we are connected to.

Most addresses of a public network do not answer. What was tried a moment ago or failed before is drawn rarely, and
an attempt counts as a failure only once between two successes with anybody, so that a node without a network does not
ruin its tables.

None of this helps against somebody with addresses in hundreds of groups and much patience; the anchors, the
block-relay-only connections and the asmap make that dearer still.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from ccnode.clock import Clock
from ccnode.peers.addrman_entry import AddrInfo, AddrRecord
from ccnode.peers.addrman_tables import (
    BUCKET_SIZE,
    KEY_SIZE,
    NEW_BUCKETS,
    TRIED_BUCKETS,
    Occupancy,
    Placement,
    Table,
)
from ccnode.peers.netgroup import NetGroupManager
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress

MAX_NEW_SLOTS: Final = 8
"""Slots one address may have in the new table (Core: ``ADDRMAN_NEW_BUCKETS_PER_ADDRESS``)."""

MAX_COLLISIONS: Final = 10
"""Addresses that may wait for a slot of the tried table (Core: ``ADDRMAN_SET_TRIED_COLLISION_SIZE``)."""

REPLACEMENT: Final = 4 * 3600
"""Seconds in which a success keeps a tried address, and a failure costs it its slot (``ADDRMAN_REPLACEMENT``)."""

TEST_WINDOW: Final = 40 * 60
"""Seconds after which a collision is settled untested, for the newcomer (Core: ``ADDRMAN_TEST_WINDOW``)."""

TEST_PATIENCE: Final = 60
"""Seconds that an address under test has to answer."""

ONLINE: Final = 24 * 3600
ONLINE_UPDATE: Final = 3600
OFFLINE_UPDATE: Final = 24 * 3600
"""Seconds by which a claimed time must be later to be believed: less for what was seen in the last `ONLINE`."""

CONNECTED_UPDATE: Final = 20 * 60
"""Seconds; the time of a peer that leaves is brought up to date in such steps."""

GOSSIP_PENALTY: Final = 2 * 3600
"""Seconds taken off the times that peers claim for others (Core: ``ProcessMessage`` of addr)."""

CHANCE_GROWTH: Final = 1.2
"""Each refused draw makes the next more lenient, so that `AddrMan.select` ends."""

WRITE_BEHIND: Final = 250
"""Changed entries after which the listener is called; making rows of them takes the hub some 2 ms."""


@dataclass(frozen=True, slots=True)
class AddressPosition:
    """Where an address is (Core: ``AddressPosition``)."""

    tried: bool
    multiplicity: int
    """Its number of slots."""
    bucket: int
    position: int


class AddrMan:
    """The addresses of one network's nodes. Times that are given or returned are Unix seconds."""

    def __init__(
        self,
        groups: NetGroupManager,
        clock: Clock,
        rng: Rng,
        *,
        key: bytes | None = None,
        allow_unroutable: bool = False,
    ) -> None:
        """
        :param key: the secret that places addresses, 32 bytes; None for a new one.
        :param allow_unroutable: take addresses of private networks and of this machine as well, for test networks.
        """
        self.groups = groups
        self.key = rng.getrandbits(8 * KEY_SIZE).to_bytes(KEY_SIZE, "little") if key is None else key
        self._clock = clock
        self._rng = rng
        self.allow_unroutable = allow_unroutable
        self._placement = Placement(self.key, groups)
        self._known: dict[NetworkAddress, AddrInfo] = {}
        self._all: list[AddrInfo] = []
        self._new = Table(NEW_BUCKETS)
        self._tried = Table(TRIED_BUCKETS)
        self._sizes = {network: {True: 0, False: 0} for network in Network}  # by in_tried
        self._collisions: dict[AddrInfo, None] = {}
        self._last_good = 1  # not 0: the first attempt counts
        self._changed: dict[AddrInfo, None] = {}
        self._write_behind: Callable[[], None] | None = None

    # -- what we are told ----------------------------------------------------------------------------------------

    def add(self, entries: Sequence[TimedAddress], source: NetworkAddress, time_penalty: int = 0) -> int:
        """Take what ``source`` tells; returns how many of the addresses won a slot.

        :param time_penalty: seconds taken off the claimed times, except of what the source says of itself.
        """
        now = self._now()
        source_group = self.groups.group(source)
        won = sum(self._add(entry, source, source_group, time_penalty, now) for entry in entries)
        self._offer_changes()
        return won

    def _add(
        self, entry: TimedAddress, source: NetworkAddress, source_group: bytes, time_penalty: int, now: int
    ) -> bool:
        address = entry.address
        if address.addr == source.addr and address.network is source.network:
            time_penalty = 0
        info = self._known.get(address)
        if info is None:
            if not self._is_acceptable(address):
                return False
            info = AddrInfo(address, source, entry.services, max(0, entry.time - time_penalty))
        elif not self._may_spread(info, entry, time_penalty, now):
            return False
        slot = self._placement.new_slot(address, source_group)
        occupant = self._new.slots[slot]
        if occupant is info:
            return False
        if occupant is not None:
            if not (occupant.is_terrible(now) or (len(occupant.slots) > 1 and not info.slots)):
                return False
            self._clear_new(slot)
        if not info.slots:
            self._enter(info)
        self._put_new(info, slot)
        return True

    def _is_acceptable(self, address: NetworkAddress) -> bool:
        return address.is_routable() or (self.allow_unroutable and address.is_valid())

    def _may_spread(self, info: AddrInfo, entry: TimedAddress, time_penalty: int, now: int) -> bool:
        """Bring a known entry up to date; whether it may try for one more slot."""
        interval = ONLINE_UPDATE if now - entry.time < ONLINE else OFFLINE_UPDATE
        if info.time < entry.time - interval - time_penalty:
            info.time = entry.time - time_penalty
            self._changed[info] = None
        if entry.services & ~info.services:
            info.services |= entry.services
            self._changed[info] = None
        if entry.time <= info.time or info.in_tried or len(info.slots) >= MAX_NEW_SLOTS:
            return False
        return not self._rng.getrandbits(len(info.slots))  # one in 2 to the number of slots

    # -- what we find out ----------------------------------------------------------------------------------------

    def attempt(self, address: NetworkAddress, count_failure: bool = True, time: int | None = None) -> None:
        """It is being dialed. ``count_failure``: a failure would be its own, since our network works."""
        info = self._known.get(address)
        if info is None:
            return
        time = self._now() if time is None else time
        info.last_try = time
        if count_failure and info.last_counted_try < self._last_good:
            info.last_counted_try = time
            info.attempts += 1
        self._mark(info)

    def good(self, address: NetworkAddress, time: int | None = None) -> bool:
        """A handshake with it succeeded; whether that moved it to the tried table.

        If another entry has its slot there, it waits in the new table until the other one has been tested.
        """
        time = self._now() if time is None else time
        self._last_good = time
        info = self._known.get(address)
        if info is None:
            return False
        info.last_success = info.last_try = time
        info.attempts = 0
        moved = False
        if not info.in_tried:
            slot = self._placement.tried_slot(address)
            if self._tried.slots[slot] is None:
                self._move_to_tried(info, slot)
                moved = True
            elif len(self._collisions) < MAX_COLLISIONS:
                self._collisions[info] = None
        self._mark(info)
        return moved

    def connected(self, address: NetworkAddress, time: int | None = None) -> None:
        """A connection to it has ended just now: others may know that it lived."""
        info = self._known.get(address)
        time = self._now() if time is None else time
        if info is not None and time - info.time > CONNECTED_UPDATE:
            info.time = time
            self._mark(info)

    def set_services(self, address: NetworkAddress, services: int) -> None:
        """It said itself what it offers."""
        info = self._known.get(address)
        if info is not None and info.services != services:
            info.services = services
            self._mark(info)

    def resolve_collisions(self) -> None:
        """Settle who has the contested slots of the tried table, where that is known by now."""
        now = self._now()
        for info in list(self._collisions):
            slot = self._placement.tried_slot(info.address)
            if self._known.get(info.address) is not info or info.in_tried:
                del self._collisions[info]
                continue
            winner = self._settle(info, self._tried.slots[slot], now)
            if winner is None:
                continue
            del self._collisions[info]
            if winner is info:
                self._last_good = info.last_success = info.last_try = now
                info.attempts = 0
                self._move_to_tried(info, slot)
                self._mark(info)

    @staticmethod
    def _settle(newcomer: AddrInfo, incumbent: AddrInfo | None, now: int) -> AddrInfo | None:
        """Who gets the slot; None while that is open."""
        if incumbent is None:
            return newcomer
        if now - incumbent.last_success < REPLACEMENT:
            return incumbent
        if now - incumbent.last_try < REPLACEMENT:
            return newcomer if now - incumbent.last_try > TEST_PATIENCE else None
        return newcomer if now - newcomer.last_success > TEST_WINDOW else None

    # -- what others ask -----------------------------------------------------------------------------------------

    def select(
        self, new_only: bool = False, networks: Collection[Network] | None = None
    ) -> tuple[NetworkAddress, int] | None:
        """An address worth dialing, at random, and when it was last dialed; None if there is none.

        :param new_only: of the new table, as feelers want it. Otherwise each table has an equal chance.
        :param networks: of these networks; None for all.
        """
        new, tried = self._count(False, networks), self._count(True, networks)
        if not new and (new_only or not tried):
            return None
        from_new = new_only or not tried or (new > 0 and self._rng.getrandbits(1) == 0)
        table = self._new if from_new else self._tried
        now = self._now()
        leniency = 1.0
        while True:
            info = table.draw(self._rng, networks)
            assert info is not None, "the counts and the table disagree"
            if self._rng.random() < info.chance(now) * leniency:
                return info.address, info.last_try
            leniency *= CHANCE_GROWTH

    def select_tried_collision(self) -> tuple[NetworkAddress, int] | None:
        """A tried address whose slot is contested, so to be tested, and when it was last dialed; None if none is."""
        if not self._collisions:
            return None
        info = self._rng.choice(list(self._collisions))
        if self._known.get(info.address) is not info:
            del self._collisions[info]
            return None
        incumbent = self._tried.slots[self._placement.tried_slot(info.address)]
        return None if incumbent is None else (incumbent.address, incumbent.last_try)

    def get_addresses(
        self, max_addresses: int = 0, max_pct: int = 0, network: Network | None = None, filtered: bool = True
    ) -> list[TimedAddress]:
        """A random selection to tell others.

        :param max_addresses: at most so many; 0 for no limit.
        :param max_pct: at most so many percent of all that are known; 0 for no limit.
        :param filtered: without terrible ones.
        """
        limit = len(self._all)
        if max_pct:
            limit = min(max_pct, 100) * limit // 100
        if max_addresses:
            limit = min(max_addresses, limit)
        return [info.timed() for info in islice(self.shuffled(network, filtered), limit)]

    def shuffled(self, network: Network | None = None, filtered: bool = True) -> Iterator[AddrInfo]:
        """All entries in random order, drawn one by one: who wants many can pause in between."""
        now = self._now()
        pool = self._all[:]
        for last in range(len(pool) - 1, -1, -1):
            chosen = self._rng.randrange(0, last + 1)
            info, pool[chosen] = pool[chosen], pool[last]
            if info.slots and network in (None, info.address.network) and not (filtered and info.is_terrible(now)):
                yield info

    def info(self, address: NetworkAddress) -> AddrInfo | None:
        """What is known of an address; to be read only."""
        return self._known.get(address)

    def find(self, address: NetworkAddress) -> AddressPosition | None:
        """Where an address is; the first of its slots."""
        info = self._known.get(address)
        if info is None:
            return None
        return AddressPosition(info.in_tried, len(info.slots), *divmod(info.slots[0], BUCKET_SIZE))

    def positions(self, tried: bool) -> Iterator[tuple[int, int, AddrInfo]]:
        """Bucket, position and entry of every slot taken; the table may change meanwhile."""
        table = self._tried if tried else self._new
        for slot, info in enumerate(table.slots):
            if info is not None:
                yield *divmod(slot, BUCKET_SIZE), info

    def size(self, network: Network | None = None, in_new: bool | None = None) -> int:
        """How many addresses there are: of a network or all, in the new table, the tried one or both."""
        networks = None if network is None else (network,)
        return sum(self._count(tried, networks) for tried in (False, True) if in_new is None or tried is not in_new)

    def occupancy(self, tried: bool) -> Occupancy:
        """How full a table is."""
        return (self._tried if tried else self._new).occupancy()

    def __len__(self) -> int:
        return len(self._all)

    # -- how it is stored ----------------------------------------------------------------------------------------

    def on_many_changes(self, listener: Callable[[], None]) -> None:
        """``listener`` is called when `WRITE_BEHIND` entries changed; it is to `take_changes`, and may not wait."""
        self._write_behind = listener

    def take_changes(self) -> tuple[list[AddrRecord], list[NetworkAddress]]:
        """What changed since the last call, as it is now, and what is gone."""
        kept, gone = [], []
        for info in self._changed:
            current = self._known.get(info.address)
            if current is info:
                kept.append(AddrRecord.of(info))
            elif current is None:
                gone.append(info.address)
        self._changed.clear()
        return kept, gone

    def restore(self, records: Iterable[AddrRecord]) -> int:
        """Fill an empty manager with what was stored; returns how many records found no slot and are gone.

        The slots are taken as they were stored, under this manager's key; where a record has none, it is placed
        anew. Call it with the tried ones first, as a slot goes to the first that wants it.
        """
        lost = 0
        for record in records:
            info = record.entry()
            table = self._tried if record.in_tried else self._new
            slots = record.slots or (self._own_slot(info, record.in_tried),)
            free = [slot for slot in dict.fromkeys(slots) if table.is_free(slot)]
            if info.address in self._known or not free or not self._is_acceptable(info.address):
                lost += 1
                self._changed[info] = None
                continue
            info.in_tried = record.in_tried
            self._enter(info)
            for slot in free:
                table.put(slot, info)
                info.slots.append(slot)
            if info.slots != list(record.slots):
                self._changed[info] = None
        return lost

    def merge(self, record: AddrRecord) -> bool:
        """Take an entry of another manager, with its history, where there is room for it; whether there was."""
        timed = TimedAddress(record.time, record.services, record.address)
        if record.address in self._known or not self.add([timed], record.source):
            return False
        info = self._known[record.address]
        info.last_success, info.last_try, info.attempts = record.last_success, record.last_try, record.attempts
        if record.in_tried:
            slot = self._placement.tried_slot(info.address)
            if self._tried.slots[slot] is None:
                self._move_to_tried(info, slot)
        self._mark(info)
        return True

    # -- within --------------------------------------------------------------------------------------------------

    def _now(self) -> int:
        return int(self._clock.now())

    def _mark(self, info: AddrInfo) -> None:
        self._changed[info] = None
        self._offer_changes()

    def _offer_changes(self) -> None:
        if len(self._changed) >= WRITE_BEHIND and self._write_behind is not None:
            self._write_behind()

    def _count(self, tried: bool, networks: Collection[Network] | None) -> int:
        if networks is None:
            return sum(sizes[tried] for sizes in self._sizes.values())
        return sum(self._sizes[network][tried] for network in set(networks))

    def _own_slot(self, info: AddrInfo, tried: bool) -> int:
        """Its place in the tried table, or in the new one by its first source."""
        if tried:
            return self._placement.tried_slot(info.address)
        return self._placement.new_slot(info.address, self.groups.group(info.source))

    def _enter(self, info: AddrInfo) -> None:
        info.place = len(self._all)
        self._all.append(info)
        self._known[info.address] = info
        self._sizes[info.address.network][info.in_tried] += 1

    def _forget(self, info: AddrInfo) -> None:
        """Drop an entry without slots."""
        del self._known[info.address]
        self._sizes[info.address.network][info.in_tried] -= 1
        last = self._all.pop()
        if last is not info:
            self._all[info.place] = last
            last.place = info.place
        self._changed[info] = None

    def _put_new(self, info: AddrInfo, slot: int) -> None:
        self._new.put(slot, info)
        info.slots.append(slot)
        self._changed[info] = None

    def _clear_new(self, slot: int) -> None:
        """Free a slot of the new table; an entry that loses its last slot is gone."""
        info = self._new.slots[slot]
        if info is None:
            return
        self._new.clear(slot)
        info.slots.remove(slot)
        self._changed[info] = None
        if not info.slots:
            self._forget(info)

    def _move_to_tried(self, info: AddrInfo, slot: int) -> None:
        """From the new table into a slot of the tried one; who was there goes back into the new table."""
        for taken in info.slots:
            self._new.clear(taken)
        incumbent = self._tried.slots[slot]
        if incumbent is not None:
            self._tried.clear(slot)
            self._change_table(incumbent, False)
            back = self._own_slot(incumbent, False)
            self._clear_new(back)
            self._put_new(incumbent, back)
        self._change_table(info, True)
        self._tried.put(slot, info)
        info.slots.append(slot)
        self._changed[info] = None

    def _change_table(self, info: AddrInfo, tried: bool) -> None:
        sizes = self._sizes[info.address.network]
        sizes[info.in_tried] -= 1
        sizes[tried] += 1
        info.in_tried = tried
        info.slots.clear()

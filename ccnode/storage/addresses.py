"""The address table: which nodes are known, what became of attempts to reach them, and which to try next.

The table lives in memory and is written behind, in batches, by `AddressTable.flush`; the death of the process loses
what was learned since. It is bounded: when it is full an unpromising address goes for each new one, as long as there
are any among those that never answered.

`AddressTable.select` chooses like Core's ``AddrMan::Select`` in spirit: half of the time among addresses that have
answered before, and an address that failed again and again, or was tried a moment ago, has a small chance. What it
does *not* do is keep an attacker with many addresses from filling the table: there are no buckets by network group
and by source. Only answers to our own questions are stored, which limits the flood, not its effect.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from sqlite_utils import Database as SqliteDatabase

from ccnode.clock import Clock
from ccnode.rng import Rng
from ccnode.storage.database import Database
from ccnode.wire.address import ADDRESS_SIZES, NetworkAddress
from ccnode.wire.addresses import TimedAddress

ROWS_MAX: Final = 20_000
"""Addresses kept. A public node hears of some 50,000, of which a fraction answers."""

EVICTION_DRAWS: Final = 3
"""A full table drops the least promising of so many drawn at random: sorting it would hold the hub for 60 ms."""

FLUSH_ROWS: Final = 1000
"""Changed rows after which the table writes by itself."""

HORIZON: Final = 30 * 86_400
"""Seconds; who was not seen for longer is not worth a try (Core: ``ADDRMAN_HORIZON``)."""

RECENTLY: Final = 600
"""Seconds after an attempt in which another is unlikely (Core: ``AddrInfo::GetChance``)."""

FRUITLESS_ATTEMPTS: Final = 3
"""Attempts after which an address that never answered is hopeless (Core: ``ADDRMAN_RETRIES``)."""

DRAWS: Final = 100
"""Random draws in `select` before it looks at the whole table."""

_NETWORKS: Final = {network.value: network for network in ADDRESS_SIZES}
_U64: Final = 2**64 - 1

Row = tuple[str, bytes, int, int, int, int, int, int, str]
Key = tuple[str, bytes, int]


@dataclass(slots=True)
class AddressInfo:
    """What is known of one address. Times are Unix seconds, 0 for never."""

    services: int
    last_seen: int
    last_try: int = 0
    last_success: int = 0
    attempts: int = 0
    """Since the last success."""
    source: str = ""

    def hopeless(self, now: float) -> bool:
        """Whether it is the first to go (Core: ``AddrInfo::IsTerrible``, shortened)."""
        never = not self.last_success and self.attempts >= FRUITLESS_ATTEMPTS
        return never or now - max(self.last_seen, self.last_success) > HORIZON

    def chance(self, now: float) -> float:
        """How likely it is taken when drawn, 0 to 1 (Core: ``AddrInfo::GetChance``)."""
        recent = 0.01 if now - self.last_try < RECENTLY else 1.0
        return recent * 0.66 ** min(self.attempts, 8)


class _Bag:
    """A set from which a random member can be drawn at once."""

    def __init__(self) -> None:
        self._members: list[NetworkAddress] = []
        self._places: dict[NetworkAddress, int] = {}

    def add(self, address: NetworkAddress) -> None:
        if address not in self._places:
            self._places[address] = len(self._members)
            self._members.append(address)

    def discard(self, address: NetworkAddress) -> None:
        place = self._places.pop(address, None)
        if place is not None:
            last = self._members.pop()
            if last != address:
                self._members[place] = last
                self._places[last] = place

    def draw(self, rng: Rng) -> NetworkAddress:
        return self._members[rng.randrange(0, len(self._members))]

    def __len__(self) -> int:
        return len(self._members)


class AddressTable:
    """The addresses of one network's nodes. Used on the hub only; no method waits, but `load`."""

    def __init__(self, database: Database, clock: Clock, rng: Rng) -> None:
        self._database = database
        self._clock = clock
        self._rng = rng
        self._known: dict[NetworkAddress, AddressInfo] = {}
        self._answered = _Bag()
        self._silent = _Bag()
        self._changed: set[NetworkAddress] = set()

    def load(self) -> None:
        """Read the table from the database; waits for it. Raises `StorageError`."""
        for row in self._database.call(_load_rows):
            (name, addr, port, services), rest = row[:4], row[4:]
            network = _NETWORKS.get(name)
            if network is not None and len(addr) == ADDRESS_SIZES[network]:
                self._put(NetworkAddress(network, addr, port), AddressInfo(services & _U64, *rest))

    def add(self, entries: Sequence[TimedAddress], source: str) -> int:
        """Remember addresses; returns how many were new. ``source`` names who told us."""
        new = 0
        for entry in entries:
            info = self._known.get(entry.address)
            if info is None:
                if len(self._known) >= ROWS_MAX:
                    self._evict()
                self._put(entry.address, AddressInfo(entry.services, entry.time, source=source))
                new += 1
            elif entry.time > info.last_seen or entry.services & ~info.services:
                info.last_seen = max(info.last_seen, entry.time)
                info.services |= entry.services
            else:
                continue
            self._mark(entry.address)
        return new

    def attempt(self, address: NetworkAddress) -> None:
        """It is being dialed now."""
        info = self._known.get(address)
        if info is not None:
            info.last_try = int(self._clock.now())
            info.attempts += 1
            self._mark(address)

    def good(self, address: NetworkAddress, services: int) -> None:
        """A handshake with it succeeded, in which it announced ``services``."""
        now = int(self._clock.now())
        info = self._known.get(address)
        if info is None:
            return
        info.services = services
        info.last_seen = info.last_try = info.last_success = now
        info.attempts = 0
        self._silent.discard(address)
        self._answered.add(address)
        self._mark(address)

    def select(self, avoid: Callable[[NetworkAddress], bool] = lambda address: False) -> NetworkAddress | None:
        """One worth dialing that ``avoid`` does not refuse; ``None`` if there is none."""
        if not self._known:
            return None
        now = self._clock.now()
        for draw in range(DRAWS):
            bags = [bag for bag in (self._answered, self._silent) if len(bag)]
            address = self._rng.choice(bags).draw(self._rng)
            lenience = 1.2**draw  # as in Core: sooner or later even a small chance is taken
            if self._rng.random() < self._known[address].chance(now) * lenience and not avoid(address):
                return address
        allowed = [address for address in self._known if not avoid(address)]
        return self._rng.choice(allowed) if allowed else None

    def sample(self, count: int) -> list[tuple[NetworkAddress, AddressInfo]]:
        """Up to ``count`` addresses that are not hopeless, in random order."""
        now = self._clock.now()
        found = [(address, info) for address, info in self._known.items() if not info.hopeless(now)]
        self._rng.shuffle(found)
        return found[:count]

    def info(self, address: NetworkAddress) -> AddressInfo | None:
        """What is known of an address."""
        return self._known.get(address)

    def counts(self) -> dict[str, dict[str, int]]:
        """Per network: how many have answered (``tried``), how many not yet (``new``), and the ``total``."""
        counts: dict[str, dict[str, int]] = {}
        for address, info in self._known.items():
            row = counts.setdefault(address.network.value, {"new": 0, "tried": 0, "total": 0})
            row["tried" if info.last_success else "new"] += 1
            row["total"] += 1
        return counts

    def __len__(self) -> int:
        return len(self._known)

    def flush(self) -> None:
        """Hand what changed to the database. Does not wait: `Database.close` does."""
        if not self._changed:
            return
        rows: list[Row] = []
        gone: list[Key] = []
        for address in self._changed:
            key = (address.network.value, address.addr, address.port)
            info = self._known.get(address)
            if info is None:
                gone.append(key)
            else:
                times = info.last_seen, info.last_try, info.last_success
                rows.append((*key, _signed(info.services), *times, info.attempts, info.source))
        self._changed.clear()
        self._database.post(_write_rows, rows, gone)

    def _put(self, address: NetworkAddress, info: AddressInfo) -> None:
        self._known[address] = info
        (self._answered if info.last_success else self._silent).add(address)

    def _mark(self, address: NetworkAddress) -> None:
        self._changed.add(address)
        if len(self._changed) >= FLUSH_ROWS:
            self.flush()

    def _evict(self) -> None:
        """Drop one address: hopeless if possible, never one that has answered while others have not, and stale."""
        now = self._clock.now()

        def promise(address: NetworkAddress) -> tuple[bool, int]:
            info = self._known[address]
            return not info.hopeless(now), info.last_seen

        bag = self._silent if len(self._silent) else self._answered
        address = min((bag.draw(self._rng) for _ in range(EVICTION_DRAWS)), key=promise)
        bag.discard(address)
        del self._known[address]
        self._mark(address)


def _signed(services: int) -> int:
    """SQLite's integers have a sign; a peer may claim all 64 bits."""
    return services - 2**64 if services >> 63 else services


def _load_rows(db: SqliteDatabase) -> list[Row]:
    query = (
        "SELECT network, addr, port, services, last_seen, last_try, last_success, attempts, source FROM addresses "
        "LIMIT ?"
    )
    return list(db.execute(query, [ROWS_MAX]))


def _write_rows(db: SqliteDatabase, rows: Iterable[Row], gone: Iterable[Key]) -> None:
    db.conn.executemany("DELETE FROM addresses WHERE network = ? AND addr = ? AND port = ?", gone)
    db.conn.executemany("INSERT OR REPLACE INTO addresses VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

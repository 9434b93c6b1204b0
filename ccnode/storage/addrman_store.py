"""The address manager on disk: one row per address, written behind.

What changed is written some hundred rows at a time or when the timer says so, each time as one transaction that holds
the manager between two calls: the death of the process loses what was learned since, never half of a move from one
table to the other. Rows hold the slots, so that loading hashes nothing; the key that gave those slots lies beside
them. Under another asmap the slots mean nothing, and every address is placed anew.
"""

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import Final

from sqlite_utils import Database as SqliteDatabase

from ccnode.clock import Clock
from ccnode.peers.addrman import AddrMan
from ccnode.peers.addrman_entry import AddrRecord
from ccnode.peers.addrman_tables import BUCKET_SIZE, KEY_SIZE, NEW_BUCKETS, TRIED_BUCKETS
from ccnode.peers.netgroup import NetGroupManager
from ccnode.rng import Rng
from ccnode.storage.database import Database
from ccnode.storage.state import get_state, set_state
from ccnode.wire.address import ADDRESS_SIZES, Network, NetworkAddress

ROWS_MAX: Final = (NEW_BUCKETS + TRIED_BUCKETS) * BUCKET_SIZE
"""As many addresses as there are slots."""

KEY: Final = "addrman_key"
GROUPS: Final = "addrman_groups"
"""Names of facts in the database, both hexadecimal: the secret, and the checksum of the asmap."""

_SLOT: Final = Struct("<H")  # both tables' slots fit
_NETWORKS: Final = {network.value: network for network in ADDRESS_SIZES}
_SIZES: Final = {**ADDRESS_SIZES, Network.INTERNAL: 10}
_SOURCES: Final = {**_NETWORKS, Network.INTERNAL.value: Network.INTERNAL}
_U64: Final = 2**64 - 1

Row = tuple[str, bytes, int, str, bytes, int, int, int, int, int, int, bool, bytes]
Key = tuple[str, bytes, int]


class AddrManStore:
    """Loads and stores one `AddrMan`. Used on the hub only; no method waits, but `open`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.addrman: AddrMan

    def open(
        self,
        groups: NetGroupManager,
        clock: Clock,
        rng: Rng,
        *,
        allow_unroutable: bool = False,
        key: bytes | None = None,
    ) -> AddrMan:
        """Load the manager from the database; waits for it. Raises `StorageError`.

        :param key: place addresses by this key; None for the one in the database, or a new one.
        """
        stored, checksum, rows = self._database.call(_load)
        if key is None and stored is not None and len(stored) == KEY_SIZE:
            key = stored
        addrman = AddrMan(groups, clock, rng, key=key, allow_unroutable=allow_unroutable)
        placed = addrman.key == stored and checksum == groups.checksum
        if not placed:
            self._database.post(_adopt, addrman.key, groups.checksum)
        addrman.restore(record for row in rows if (record := _record(row, placed)) is not None)
        addrman.on_many_changes(self.flush)
        self.addrman = addrman
        return addrman

    def flush(self) -> None:
        """Hand what changed to the database. Does not wait: `Database.close` does."""
        kept, gone = self.addrman.take_changes()
        if kept or gone:
            self._database.post(_write, [_row(record) for record in kept], [_key(address) for address in gone])


def _key(address: NetworkAddress) -> Key:
    return address.network.value, address.addr, address.port


def _row(record: AddrRecord) -> Row:
    services = record.services - 2**64 if record.services >> 63 else record.services  # SQLite's integers have a sign
    slots = b"".join(map(_SLOT.pack, record.slots))
    times = record.time, record.last_success, record.last_try
    return (*_key(record.address), *_key(record.source), services, *times, record.attempts, record.in_tried, slots)


def _record(row: Row, placed: bool) -> AddrRecord | None:
    """None for what cannot be an address, which somebody else's hand wrote."""
    address = _address(row[:3], _NETWORKS)
    if address is None:
        return None
    source = _address(row[3:6], _SOURCES) or address
    services, time, last_success, last_try, attempts, in_tried, slots = row[6:]
    places = tuple(slot for (slot,) in _SLOT.iter_unpack(slots[: len(slots) & ~1])) if placed else ()
    times = time, last_success, last_try
    return AddrRecord(address, source, services & _U64, *times, attempts, bool(in_tried), places)


def _address(key: Key, networks: dict[str, Network]) -> NetworkAddress | None:
    name, addr, port = key
    network = networks.get(name)
    if network is None or len(addr) != _SIZES[network] or not 0 <= port <= 0xFFFF:
        return None
    return NetworkAddress(network, addr, port)


# On the database's worker.


def _load(db: SqliteDatabase) -> tuple[bytes | None, bytes | None, Sequence[Row]]:
    query = (
        "SELECT network, addr, port, source_network, source_addr, source_port, services, time, last_success, last_try, "
        "attempts, in_tried, slots FROM addrman ORDER BY in_tried DESC LIMIT ?"
    )
    return _hex_state(db, KEY), _hex_state(db, GROUPS), list(db.execute(query, [ROWS_MAX]))


def _hex_state(db: SqliteDatabase, name: str) -> bytes | None:
    text = get_state(db, name)
    try:
        return None if text is None else bytes.fromhex(text)
    except ValueError:
        return None


def _adopt(db: SqliteDatabase, key: bytes, checksum: bytes) -> None:
    """From now on slots are this key's and these groups'."""
    set_state(db, KEY, key.hex())
    set_state(db, GROUPS, checksum.hex())
    db.execute("UPDATE addrman SET slots = x''")


def _write(db: SqliteDatabase, rows: Iterable[Row], gone: Iterable[Key]) -> None:
    db.conn.executemany("DELETE FROM addrman WHERE network = ? AND addr = ? AND port = ?", gone)
    db.conn.executemany(f"INSERT OR REPLACE INTO addrman VALUES ({', '.join('?' * 13)})", rows)

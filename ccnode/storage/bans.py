"""Bans in the database: written one by one as they are made and lifted, read once at the start."""

from collections.abc import Iterable

from sqlite_utils import Database as SqliteDatabase

from ccnode.peers.bans import Ban
from ccnode.peers.subnet import Subnet, masked
from ccnode.storage.database import Database
from ccnode.wire.address import ADDRESS_SIZES

_NETWORKS = {network.value: network for network in ADDRESS_SIZES}

Key = tuple[str, bytes, int]


class BanTable:
    """A `ccnode.peers.bans.BanStore` in ``node.sqlite``. `put` and `remove` do not wait: `Database.close` does."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> list[Ban]:
        """All bans, ended ones too, oldest first; waits for them. Raises `StorageError`."""
        return self._database.call(_load)

    def put(self, ban: Ban) -> None:
        self._database.post(_put, (*_key(ban.subnet), ban.created, ban.until, ban.reason))

    def remove(self, subnets: Iterable[Subnet]) -> None:
        self._database.post(_remove, [_key(subnet) for subnet in subnets])


def _key(subnet: Subnet) -> Key:
    return subnet.network.value, subnet.base, subnet.prefix


def _load(db: SqliteDatabase) -> list[Ban]:
    bans = []
    rows = db.execute("SELECT network, base, prefix, created, until, reason FROM bans ORDER BY created, rowid")
    for name, base, prefix, created, until, reason in rows:
        network = _NETWORKS.get(name)
        # What somebody else's hand wrote may be no subnet; it could never be asked for.
        if network is not None and len(base) == ADDRESS_SIZES[network] and 0 <= prefix <= 8 * len(base):
            bans.append(Ban(Subnet(network, masked(base, prefix), prefix), created, until, reason))
    return bans


def _put(db: SqliteDatabase, row: tuple[object, ...]) -> None:
    db.conn.execute("INSERT OR REPLACE INTO bans VALUES (?, ?, ?, ?, ?, ?)", row)


def _remove(db: SqliteDatabase, keys: Iterable[Key]) -> None:
    db.conn.executemany("DELETE FROM bans WHERE network = ? AND base = ? AND prefix = ?", keys)

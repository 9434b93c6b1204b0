"""The two tables of the address manager: which slots an address may have, and who has them.

A table is so many buckets of 64 slots. Where an address goes is not its choice and nobody else's: a hash under a
secret key of the address, its net group and, in the new table, the group of the source decides (`Placement`; the
formulas are those of Core's ``AddrInfo::GetTriedBucket``, ``GetNewBucket`` and ``GetBucketPosition``, so that Core's
files can be read). One group can reach 8 of the 256 tried buckets; one source group 64 of the 1024 new ones. So an
attacker needs many groups to fill a table, and cannot find out which address would push out which.

`Table.draw` has to find something in tables that may be almost empty. Beside its slots, each bucket has a bitmap of
those taken, and one for each network. The buckets that hold anything are listed when somebody asks, and again when
a bucket began to or no longer does.
"""

from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from ccnode.peers.addrman_entry import AddrInfo
from ccnode.peers.netgroup import NetGroupManager
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress

BUCKET_SIZE: Final = 64
"""Slots (Core: ``ADDRMAN_BUCKET_SIZE``)."""

NEW_BUCKETS: Final = 1024
"""Core: ``ADDRMAN_NEW_BUCKET_COUNT``."""

TRIED_BUCKETS: Final = 256
"""Core: ``ADDRMAN_TRIED_BUCKET_COUNT``."""

NEW_BUCKETS_PER_SOURCE_GROUP: Final = 64
"""Core: ``ADDRMAN_NEW_BUCKETS_PER_SOURCE_GROUP``."""

TRIED_BUCKETS_PER_GROUP: Final = 8
"""Core: ``ADDRMAN_TRIED_BUCKETS_PER_GROUP``."""

KEY_SIZE: Final = 32
"""Bytes of the secret."""

_V1_SIZE: Final = 16
"""Bytes. Shorter addresses are hashed in their form of this size, the others as they are."""

_SLOT_BITS: Final = BUCKET_SIZE.bit_length() - 1
_ALL_SLOTS: Final = (1 << BUCKET_SIZE) - 1
_DRAW_BITS: Final = 32
"""Randomness for the choice of one in 1,024 buckets: none is favoured by more than a millionth."""


class Placement:
    """Slots by address, under one key and one way of grouping. A slot's number is 64 times its bucket's and its own."""

    def __init__(self, key: bytes, groups: NetGroupManager) -> None:
        """:param key: `KEY_SIZE` secret random bytes; who knows them can aim at slots."""
        self._key = key
        self._groups = groups

    def new_slot(self, address: NetworkAddress, source_group: bytes) -> int:
        """Where ``address`` goes in the new table when somebody of ``source_group`` tells us."""
        source = _vector(source_group)
        choice = self._hash(_vector(self._groups.group(address)) + source) % NEW_BUCKETS_PER_SOURCE_GROUP
        bucket = self._hash(source + choice.to_bytes(8, "little")) % NEW_BUCKETS
        return self._slot(b"N", bucket, _address_key(address))

    def tried_slot(self, address: NetworkAddress) -> int:
        """The one place of ``address`` in the tried table."""
        key = _address_key(address)
        choice = self._hash(key) % TRIED_BUCKETS_PER_GROUP
        bucket = self._hash(_vector(self._groups.group(address)) + choice.to_bytes(8, "little")) % TRIED_BUCKETS
        return self._slot(b"K", bucket, key)

    def _slot(self, table: bytes, bucket: int, key: bytes) -> int:
        position = self._hash(table + bucket.to_bytes(4, "little") + key) % BUCKET_SIZE
        return bucket << _SLOT_BITS | position

    def _hash(self, data: bytes) -> int:
        return int.from_bytes(sha256(sha256(self._key + data).digest()).digest()[:8], "little")


def _vector(data: bytes) -> bytes:
    """As Core serializes a short vector."""
    return bytes((len(data),)) + data


def _address_key(address: NetworkAddress) -> bytes:
    """Address and port, as a vector (Core: ``CService::GetKey``)."""
    addr = address.addr if len(address.addr) >= _V1_SIZE else address.to_v1()
    return _vector(addr + address.port.to_bytes(2, "big"))


@dataclass(frozen=True, slots=True)
class Occupancy:
    """How full a table is. Slots are more than addresses: one of the new table may have up to eight."""

    slots: int
    taken: int
    buckets: int
    begun: int
    """Buckets with an entry."""
    full: int
    """Buckets without a free slot."""


class Table:
    """Slots, and who is in them."""

    def __init__(self, buckets: int) -> None:
        """:param buckets: a power of two."""
        self.slots: list[AddrInfo | None] = [None] * (buckets * BUCKET_SIZE)
        self._taken = [0] * buckets
        self._by_network: dict[Network, list[int]] = {}
        self._listed: dict[frozenset[Network] | None, list[int]] = {}
        """By networks: the buckets with an entry of one of them."""

    def occupancy(self) -> Occupancy:
        """Takes a tenth of a millisecond."""
        counts = [taken.bit_count() for taken in self._taken]
        begun = len(counts) - counts.count(0)
        return Occupancy(len(self.slots), sum(counts), len(counts), begun, counts.count(BUCKET_SIZE))

    def is_free(self, slot: int) -> bool:
        """Whether there is such a slot, and nobody in it."""
        return 0 <= slot < len(self.slots) and self.slots[slot] is None

    def put(self, slot: int, info: AddrInfo) -> None:
        """Take a free slot."""
        self.slots[slot] = info
        bucket, bit = slot >> _SLOT_BITS, 1 << (slot & BUCKET_SIZE - 1)
        self._taken[bucket] |= bit
        network = info.address.network
        if network not in self._by_network:
            self._by_network[network] = [0] * len(self._taken)
        bitmap = self._by_network[network]
        if not bitmap[bucket]:
            self._listed.clear()
        bitmap[bucket] |= bit

    def clear(self, slot: int) -> None:
        """Free a slot that is taken."""
        info = self.slots[slot]
        assert info is not None, f"slot {slot} is free"
        self.slots[slot] = None
        bucket, bit = slot >> _SLOT_BITS, 1 << (slot & BUCKET_SIZE - 1)
        self._taken[bucket] ^= bit
        bitmap = self._by_network[info.address.network]
        bitmap[bucket] ^= bit
        if not bitmap[bucket]:
            self._listed.clear()

    def draw(self, rng: Rng, networks: Collection[Network] | None) -> AddrInfo | None:
        """An entry of one of ``networks`` (None: of any), None if there is none.

        A random bucket among those that hold one, then the first from a random slot on, as in Core: entries in
        crowded buckets have a smaller chance each, so that who fills a few buckets gains little.
        """
        maps = self._bitmaps(networks)
        key = None if networks is None else frozenset(networks)
        buckets = self._listed.get(key)
        if buckets is None:
            buckets = self._listed[key] = [bucket for bucket, taken in enumerate(zip(*maps, strict=True)) if any(taken)]
        if not buckets:
            return None
        drawn = rng.getrandbits(_DRAW_BITS + _SLOT_BITS)  # one call: it may be one of the operating system
        bucket = buckets[(drawn >> _SLOT_BITS) * len(buckets) >> _DRAW_BITS]
        return self._entry(bucket, _union(maps, bucket), drawn & BUCKET_SIZE - 1)

    def _bitmaps(self, networks: Collection[Network] | None) -> list[list[int]]:
        if networks is None:
            return [self._taken]
        return [self._by_network[network] for network in networks if network in self._by_network]

    def _entry(self, bucket: int, taken: int, start: int) -> AddrInfo | None:
        """The first of the ``taken`` slots at or after ``start``, going round."""
        turned = (taken >> start | taken << (BUCKET_SIZE - start)) & _ALL_SLOTS
        step = (turned & -turned).bit_length() - 1
        return self.slots[bucket << _SLOT_BITS | (start + step) % BUCKET_SIZE]


def _union(maps: list[list[int]], bucket: int) -> int:
    taken = 0
    for bitmap in maps:
        taken |= bitmap[bucket]
    return taken

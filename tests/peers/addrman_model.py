"""A naive address manager after Core's ``addrman.cpp``: ids, two dictionaries of slots, and every rule spelled out.

It shares nothing with the real one but net groups, the value types and the constants of Core, which it repeats.
"""

import random
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256

from ccnode.peers.netgroup import NetGroupManager
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress

Slot = tuple[int, int]


@dataclass
class Info:
    address: NetworkAddress
    source: NetworkAddress
    services: int
    time: int
    last_success: int = 0
    last_try: int = 0
    last_count_attempt: int = 0
    attempts: int = 0
    in_tried: bool = False
    ref_count: int = 0


@dataclass
class NaiveAddrMan:
    key: bytes
    rng: random.Random
    groups: NetGroupManager = field(default_factory=NetGroupManager)
    infos: dict[int, Info] = field(default_factory=dict)
    new: dict[Slot, int] = field(default_factory=dict)
    tried: dict[Slot, int] = field(default_factory=dict)
    collisions: list[int] = field(default_factory=list)
    last_good: int = 1
    next_id: int = 0

    # placement

    def cheap_hash(self, *parts: bytes) -> int:
        return int.from_bytes(sha256(sha256(self.key + b"".join(parts)).digest()).digest()[:8], "little")

    def address_key(self, address: NetworkAddress) -> bytes:
        raw = address.addr
        if address.network is Network.IPV4:
            raw = bytes(10) + b"\xff\xff" + raw
        raw += bytes((address.port >> 8, address.port & 255))
        return bytes((len(raw),)) + raw

    def group(self, address: NetworkAddress) -> bytes:
        group = self.groups.group(address)
        return bytes((len(group),)) + group

    def new_slot(self, address: NetworkAddress, source: NetworkAddress) -> Slot:
        hash1 = self.cheap_hash(self.group(address), self.group(source))
        hash2 = self.cheap_hash(self.group(source), (hash1 % 64).to_bytes(8, "little"))
        return hash2 % 1024, self.position(b"N", hash2 % 1024, address)

    def tried_slot(self, address: NetworkAddress) -> Slot:
        hash1 = self.cheap_hash(self.address_key(address))
        hash2 = self.cheap_hash(self.group(address), (hash1 % 8).to_bytes(8, "little"))
        return hash2 % 256, self.position(b"K", hash2 % 256, address)

    def position(self, table: bytes, bucket: int, address: NetworkAddress) -> int:
        return self.cheap_hash(table, bucket.to_bytes(4, "little"), self.address_key(address)) % 64

    # the rules

    def lookup(self, address: NetworkAddress) -> int | None:
        return next((number for number, info in self.infos.items() if info.address == address), None)

    def is_terrible(self, info: Info, now: int) -> bool:
        if now - info.last_try <= 60:
            return False
        if info.time > now + 600:
            return True
        if now - info.time > 30 * 24 * 3600:
            return True
        if info.last_success == 0 and info.attempts >= 3:
            return True
        return now - info.last_success > 7 * 24 * 3600 and info.attempts >= 10

    def clear_new(self, slot: Slot) -> None:
        number = self.new.pop(slot, None)
        if number is not None:
            self.infos[number].ref_count -= 1
            if self.infos[number].ref_count == 0:
                del self.infos[number]

    def add(self, entry: TimedAddress, source: NetworkAddress, penalty: int, now: int) -> bool:
        if not entry.address.is_routable():
            return False
        if (entry.address.network, entry.address.addr) == (source.network, source.addr):
            penalty = 0
        number = self.lookup(entry.address)
        if number is not None:
            info = self.infos[number]
            interval = 3600 if now - entry.time < 24 * 3600 else 24 * 3600
            if info.time < entry.time - interval - penalty:
                info.time = max(0, entry.time - penalty)
            info.services |= entry.services
            if entry.time <= info.time or info.in_tried or info.ref_count == 8:
                return False
            if info.ref_count > 0 and self.rng.getrandbits(info.ref_count) != 0:
                return False
        else:
            number, self.next_id = self.next_id, self.next_id + 1
            info = Info(entry.address, source, entry.services, max(0, entry.time - penalty))
            self.infos[number] = info
        slot = self.new_slot(entry.address, source)
        insert = slot not in self.new
        if self.new.get(slot) != number:
            if not insert:
                existing = self.infos[self.new[slot]]
                insert = self.is_terrible(existing, now) or (existing.ref_count > 1 and info.ref_count == 0)
            if insert:
                self.clear_new(slot)
                info.ref_count += 1
                self.new[slot] = number
            elif info.ref_count == 0:
                del self.infos[number]
        return insert

    def attempt(self, address: NetworkAddress, count_failure: bool, now: int) -> None:
        number = self.lookup(address)
        if number is None:
            return
        info = self.infos[number]
        info.last_try = now
        if count_failure and info.last_count_attempt < self.last_good:
            info.last_count_attempt = now
            info.attempts += 1

    def good(self, address: NetworkAddress, now: int, test_before_evict: bool = True) -> bool:
        self.last_good = now
        number = self.lookup(address)
        if number is None:
            return False
        info = self.infos[number]
        info.last_success = info.last_try = now
        info.attempts = 0
        if info.in_tried:
            return False
        slot = self.tried_slot(address)
        if test_before_evict and slot in self.tried:
            if len(self.collisions) < 10 and number not in self.collisions:
                self.collisions.append(number)
            return False
        for taken in [slot for slot, other in self.new.items() if other == number]:
            del self.new[taken]
        info.ref_count = 0
        if slot in self.tried:
            evicted = self.tried.pop(slot)
            old = self.infos[evicted]
            old.in_tried = False
            back = self.new_slot(old.address, old.source)
            self.clear_new(back)
            old.ref_count = 1
            self.new[back] = evicted
        self.tried[slot] = number
        info.in_tried = True
        return True

    def connected(self, address: NetworkAddress, now: int) -> None:
        number = self.lookup(address)
        if number is not None and now - self.infos[number].time > 20 * 60:
            self.infos[number].time = now

    def set_services(self, address: NetworkAddress, services: int) -> None:
        number = self.lookup(address)
        if number is not None:
            self.infos[number].services = services

    def resolve_collisions(self, now: int) -> None:
        for number in self.collisions[:]:
            info = self.infos.get(number)
            if info is None or info.in_tried:
                self.collisions.remove(number)
                continue
            slot = self.tried_slot(info.address)
            if slot not in self.tried:
                self.good(info.address, now, False)
                self.collisions.remove(number)
                continue
            old = self.infos[self.tried[slot]]
            if now - old.last_success < 4 * 3600:
                self.collisions.remove(number)
            elif now - old.last_try < 4 * 3600:
                if now - old.last_try > 60:
                    self.good(info.address, now, False)
                    self.collisions.remove(number)
            elif now - info.last_success > 40 * 60:
                self.good(info.address, now, False)
                self.collisions.remove(number)

    def chance(self, info: Info, now: int) -> float:
        chance = 1.0
        if now - info.last_try < 600:
            chance *= 0.01
        for _ in range(min(info.attempts, 8)):
            chance *= 0.66
        return chance

    def select(self, now: int, new_only: bool, networks: Collection[Network] | None) -> NetworkAddress:
        """There must be an entry to be found."""
        wanted = {n for n, info in self.infos.items() if networks is None or info.address.network in networks}
        new = {slot: number for slot, number in self.new.items() if number in wanted}
        tried = {slot: number for slot, number in self.tried.items() if number in wanted}
        search_tried = not new_only and bool(tried) and (not new or self.rng.random() < 0.5)
        table, buckets = (tried, 256) if search_tried else (new, 1024)
        filled = {bucket for bucket, _ in table}
        factor = 1.0
        while True:
            bucket, start = self.rng.randrange(buckets), self.rng.randrange(64)
            if bucket not in filled:  # most are not
                continue
            places = ((bucket, (start + step) % 64) for step in range(64))
            found = next(table[place] for place in places if place in table)
            if self.rng.random() < factor * self.chance(self.infos[found], now):
                return self.infos[found].address
            factor *= 1.2

"""The address manager against a naive model, and its rules one by one."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from ccnode.peers import addrman as module
from ccnode.peers import addrman_tables
from ccnode.peers.addrman import GOSSIP_PENALTY, AddressPosition, AddrMan
from ccnode.peers.addrman_entry import AddrInfo, AddrRecord
from ccnode.peers.netgroup import NetGroupManager
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress
from tests.peers.addrman_model import NaiveAddrMan
from tests.support.clock import ManualClock

NOW = 1_700_000_000
HOUR = 3600
DAY = 24 * HOUR
KEY = bytes(range(32))


def ip(text: str, port: int = 8333) -> NetworkAddress:
    return NetworkAddress.parse(text, port)


def entry(address: NetworkAddress, time: int = NOW - HOUR, services: int = 9) -> TimedAddress:
    return TimedAddress(time, services, address)


def v4(number: int, port: int = 8333) -> NetworkAddress:
    """Consecutive numbers lie in different groups."""
    return NetworkAddress(Network.IPV4, bytes((20 + number % 60, number // 60 % 250, number // 15000, 1)), port)


SOURCE = ip("250.1.1.1")


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


def manager(clock: ManualClock, *, seed: int = 1, allow_unroutable: bool = False) -> AddrMan:
    return AddrMan(NetGroupManager(), clock, random.Random(seed), key=KEY, allow_unroutable=allow_unroutable)


@pytest.fixture
def addrman(clock: ManualClock) -> AddrMan:
    return manager(clock)


def colliding_in_tried(addrman: AddrMan, count: int) -> list[NetworkAddress]:
    """Addresses with one slot of the tried table between them, and slots of their own in the new one."""
    by_slot: dict[int, dict[int, NetworkAddress]] = {}
    for number in range(65_536):
        address = NetworkAddress(Network.IPV4, bytes((9, 9)) + number.to_bytes(2, "big"), 8333)
        rivals = by_slot.setdefault(addrman._placement.tried_slot(address), {})
        rivals.setdefault(own_slot(addrman, address), address)
        if len(rivals) == count:
            return list(rivals.values())
    raise AssertionError("no collision")


def own_slot(addrman: AddrMan, address: NetworkAddress) -> int:
    return addrman._own_slot(AddrInfo(address, SOURCE, 9, 0), False)


# The model


def crowd(addrman: AddrMan) -> list[NetworkAddress]:
    """Addresses of one group that want two slots of the tried table, and of which several want each new slot."""
    by_tried: dict[int, dict[int, list[NetworkAddress]]] = {}
    for number in range(20_000):
        address = NetworkAddress(Network.IPV4, bytes((9, 9)) + number.to_bytes(2, "big"), 8333)
        slots = by_tried.setdefault(addrman._placement.tried_slot(address), {})
        slots.setdefault(own_slot(addrman, address), []).append(address)
    chosen = [max(slots.values(), key=len) for slots in list(by_tried.values())[:2]]
    first = next(iter(by_tried.values()))
    return [*chosen[0], *chosen[1], *(addresses[0] for addresses in list(first.values())[:5])]


POOL = [
    *dict.fromkeys(crowd(manager(ManualClock(NOW)))),
    *(v4(number) for number in range(3)),
    ip("2a00:1::1"),
    ip("10.0.0.1"),
    NetworkAddress(Network.ONION, bytes(range(32)), 8333),
    NetworkAddress(Network.I2P, bytes(range(32)), 0),
    NetworkAddress(Network.CJDNS, b"\xfc" + bytes(15), 8333),
]
SOURCES = [SOURCE, *(v4(number) for number in range(12)), POOL[0]]
addresses = st.sampled_from(POOL)


class Comparison(RuleBasedStateMachine):
    """Both are told the same, and must agree on everything after every step."""

    @initialize(seed=st.integers(0, 1000))
    def begin(self, seed: int) -> None:
        self.clock = ManualClock(NOW)
        self.addrman = manager(self.clock, seed=seed)
        self.naive = NaiveAddrMan(KEY, random.Random(seed))
        self.stored: dict[NetworkAddress, AddrRecord] = {}

    @property
    def now(self) -> int:
        return int(self.clock.now())

    @rule(
        told=st.lists(addresses, min_size=1, max_size=6),
        source=st.sampled_from(SOURCES),
        age=st.sampled_from([-HOUR, -300, 0, 60, 3 * HOUR, 2 * DAY, 29 * DAY, 31 * DAY]),
        services=st.sampled_from([1, 9, 1033]),
        penalty=st.sampled_from([0, GOSSIP_PENALTY]),
    )
    def add(self, told: list[NetworkAddress], source: NetworkAddress, age: int, services: int, penalty: int) -> None:
        entries = [TimedAddress(self.now - age, services, address) for address in told]
        wanted = sum([self.naive.add(each, source, penalty, self.now) for each in entries])
        assert self.addrman.add(entries, source, penalty) == wanted

    @rule(source=st.sampled_from(SOURCES))
    def add_all(self, source: NetworkAddress) -> None:
        self.add(POOL, source, 0, 9, 0)

    @rule(address=addresses, count_failure=st.booleans(), times=st.integers(1, 4))
    def attempt(self, address: NetworkAddress, count_failure: bool, times: int) -> None:
        for _ in range(times):
            self.addrman.attempt(address, count_failure)
            self.naive.attempt(address, count_failure, self.now)

    @rule(some=st.lists(addresses, min_size=1, max_size=5))
    def good(self, some: list[NetworkAddress]) -> None:
        for address in some:
            assert self.addrman.good(address) == self.naive.good(address, self.now)

    @rule(address=addresses, services=st.sampled_from([0, 9]))
    def leave(self, address: NetworkAddress, services: int) -> None:
        self.addrman.set_services(address, services)
        self.naive.set_services(address, services)
        self.addrman.connected(address)
        self.naive.connected(address, self.now)

    @rule()
    def resolve(self) -> None:
        self.addrman.resolve_collisions()
        self.naive.resolve_collisions(self.now)

    @rule(seconds=st.sampled_from([1, 61, 601, 41 * 60, 5 * HOUR, 8 * DAY]))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)

    @rule()
    def store(self) -> None:
        kept, gone = self.addrman.take_changes()
        self.stored.update((record.address, record) for record in kept)
        for address in gone:
            self.stored.pop(address, None)
        again = AddrMan(NetGroupManager(), self.clock, random.Random(0), key=KEY)
        assert again.restore(self.stored.values()) == 0
        assert again.take_changes() == ([], [])
        state = list(self.addrman.positions(True)), list(self.addrman.positions(False))
        copy = list(again.positions(True)), list(again.positions(False))
        assert [[(b, p, AddrRecord.of(i)) for b, p, i in table] for table in state] == [
            [(b, p, AddrRecord.of(i)) for b, p, i in table] for table in copy
        ]
        assert len(again) == len(self.addrman)

    @invariant()
    def agree(self) -> None:
        naive, addrman = self.naive, self.addrman
        assert {(b, p): i.address for b, p, i in addrman.positions(False)} == {
            slot: naive.infos[number].address for slot, number in naive.new.items()
        }
        assert {(b, p): i.address for b, p, i in addrman.positions(True)} == {
            slot: naive.infos[number].address for slot, number in naive.tried.items()
        }
        assert len(addrman) == len(naive.infos)
        for info in naive.infos.values():
            mine = addrman.info(info.address)
            assert mine is not None
            assert (mine.source, mine.services, mine.time, mine.last_success) == (
                info.source, info.services, info.time, info.last_success,
            )  # fmt: skip
            assert (mine.last_try, mine.attempts, mine.in_tried) == (info.last_try, info.attempts, info.in_tried)
            assert mine.is_terrible(self.now) == naive.is_terrible(info, self.now)

    @invariant()
    def count(self) -> None:
        sizes = Counter((info.address.network, info.in_tried) for info in self.naive.infos.values())
        for network in Network:
            for tried in (False, True):
                assert self.addrman.size(network, not tried) == sizes[network, tried]
        assert self.addrman.size() == len(self.naive.infos)
        assert self.addrman.size(in_new=True) == sum(not info.in_tried for info in self.naive.infos.values())

    @invariant()
    def choose(self) -> None:
        tried = {info.address: info.last_try for info in self.naive.infos.values()}
        rng, self.addrman._rng = self.addrman._rng, random.Random(5)  # the model's dice stay in step
        for networks in (None, [Network.IPV4], [Network.I2P, Network.CJDNS], []):
            eligible = {address for address in tried if networks is None or address.network in networks}
            chosen = self.addrman.select(networks=networks)
            assert (chosen is None) == (not eligible)
            assert chosen is None or (chosen[0] in eligible and chosen[1] == tried[chosen[0]])
        offered = self.addrman.get_addresses()
        assert len(offered) == len({each.address for each in offered})
        assert {each.address for each in offered} == {
            info.address for info in self.naive.infos.values() if not self.naive.is_terrible(info, self.now)
        }
        contested = self.addrman.select_tried_collision()
        assert contested is None or self.naive.infos[self.naive.tried[self.naive.tried_slot(contested[0])]].in_tried
        self.addrman._rng = rng


def test_any_operations_in_any_order_leave_what_the_model_has() -> None:
    run_state_machine_as_test(Comparison, settings=settings(max_examples=25, stateful_step_count=30))


# Rules, one by one


def test_placement_is_core_s_formula() -> None:
    """Over many addresses and sources, the slots are those of the model, which hashes like Core."""
    placement = addrman_tables.Placement(KEY, NetGroupManager())
    naive = NaiveAddrMan(KEY, random.Random(1))
    for address in POOL + [v4(number, number) for number in range(300)]:
        for source in SOURCES:
            bucket, position = naive.new_slot(address, source)
            assert placement.new_slot(address, NetGroupManager().group(source)) == 64 * bucket + position
        bucket, position = naive.tried_slot(address)
        assert placement.tried_slot(address) == 64 * bucket + position


def test_one_group_reaches_8_tried_buckets_and_one_source_group_64_new_ones() -> None:
    placement = addrman_tables.Placement(KEY, NetGroupManager())
    group = [NetworkAddress(Network.IPV4, bytes((9, 9)) + number.to_bytes(2, "big"), 8333) for number in range(3000)]
    assert len({placement.tried_slot(address) // 64 for address in group}) == 8
    assert len({placement.new_slot(v4(number), b"\1\11\11") // 64 for number in range(3000)}) in range(55, 65)
    assert len({placement.new_slot(address, b"\1\11\11") // 64 for address in group}) == 1


def test_unroutable_addresses_only_where_allowed(clock: ManualClock) -> None:
    local = [entry(ip(text)) for text in ("127.0.0.1", "10.1.1.1", "[::1]:5", "[fd00::1]:5")]
    assert manager(clock).add(local, SOURCE) == 0
    open_minded = manager(clock, allow_unroutable=True)
    assert open_minded.add(local, SOURCE) == 4
    assert open_minded.add([entry(ip("0.0.0.0")), entry(ip("::"))], SOURCE) == 0
    assert open_minded.good(ip("127.0.0.1"))
    assert {open_minded.select() is not None for _ in range(20)} == {True}


def test_ports_are_different_entries(addrman: AddrMan) -> None:
    assert addrman.add([entry(ip("9.9.9.9", port)) for port in (1, 2)], SOURCE) == 2


def test_time_penalty_spares_what_a_peer_says_of_itself(addrman: AddrMan) -> None:
    addrman.add([entry(v4(1), NOW), entry(v4(2), NOW), entry(v4(3), 5)], v4(1, port=1), GOSSIP_PENALTY)
    assert [addrman.info(v4(number)).time for number in (1, 2, 3)] == [NOW, NOW - GOSSIP_PENALTY, 0]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("before", "after", "kept"),
    [
        (DAY, 0, 0),
        (HOUR, 0, HOUR),
        (HOUR + 1, 0, 0),
        (9 * DAY, 8 * DAY, 9 * DAY),
        (9 * DAY + 1, 8 * DAY, 8 * DAY),
        (2 * DAY, DAY, 2 * DAY),
        (2 * DAY, DAY - 1, DAY - 1),
    ],
)
def test_times_are_brought_up_to_date_in_steps(addrman: AddrMan, before: int, after: int, kept: int) -> None:
    addrman.add([entry(v4(1), NOW - before)], SOURCE)
    addrman.add([entry(v4(1), NOW - after, services=64)], SOURCE)
    info = addrman.info(v4(1))
    assert info is not None
    assert (info.time, info.services) == (NOW - kept, 73)


def test_more_slots_come_at_half_the_odds_each(clock: ManualClock) -> None:
    reached = []
    for seed in range(30):
        addrman = manager(clock, seed=seed)
        told = 0
        for number in range(400):
            addrman.add([entry(v4(99), NOW - DAY + number)], v4(number))
            position = addrman.find(v4(99))
            assert position is not None
            assert position.multiplicity <= module.MAX_NEW_SLOTS
            told += position.multiplicity >= 4
        reached.append(position.multiplicity)
    assert max(reached) == module.MAX_NEW_SLOTS
    assert 6 <= sum(reached) / len(reached) <= 8


@pytest.mark.parametrize(
    ("field", "terrible"),
    [
        ({"time": NOW + 600}, False),
        ({"time": NOW + 601}, True),
        ({"time": NOW - 30 * DAY}, False),
        ({"time": NOW - 30 * DAY - 1}, True),
        ({"attempts": 2}, False),
        ({"attempts": 3}, True),
        ({"attempts": 3, "last_try": NOW - 60}, False),
        ({"attempts": 3, "last_try": NOW - 61}, True),
        ({"attempts": 9, "last_success": NOW - 8 * DAY}, False),
        ({"attempts": 10, "last_success": NOW - 7 * DAY}, False),
        ({"attempts": 10, "last_success": NOW - 7 * DAY - 1}, True),
    ],
)
def test_terrible(field: dict[str, int], terrible: bool) -> None:
    info = AddrInfo(**{"address": v4(1), "source": SOURCE, "services": 9, "time": NOW, **field})  # type: ignore[arg-type]
    assert info.is_terrible(NOW) is terrible


def test_chance() -> None:
    info = AddrInfo(v4(1), SOURCE, 9, NOW)
    assert info.chance(NOW) == 1.0
    info.attempts, info.last_try = 2, NOW - 600
    assert info.chance(NOW) == pytest.approx(0.66**2)
    info.attempts, info.last_try = 50, NOW - 599
    assert info.chance(NOW) == pytest.approx(0.01 * 0.66**8)


def test_attempts_count_once_between_successes(addrman: AddrMan, clock: ManualClock) -> None:
    addrman.add([entry(v4(1)), entry(v4(2))], SOURCE)
    info = addrman.info(v4(1))
    assert info is not None
    for _ in range(3):
        addrman.attempt(v4(1))
    assert (info.attempts, info.last_try) == (1, NOW)
    clock.advance(10)
    addrman.good(v4(2))
    clock.advance(10)
    addrman.attempt(v4(1), count_failure=False)
    assert (info.attempts, info.last_try) == (1, NOW + 20)
    addrman.attempt(v4(1))
    assert info.attempts == 2


def test_good_keeps_the_time_and_connected_brings_it_up_to_date(addrman: AddrMan, clock: ManualClock) -> None:
    addrman.add([entry(v4(1), NOW - HOUR)], SOURCE)
    assert addrman.good(v4(1))
    assert not addrman.good(v4(1))
    assert not addrman.good(v4(77))
    info = addrman.info(v4(1))
    assert info is not None
    assert (info.time, info.last_success, info.in_tried) == (NOW - HOUR, NOW, True)
    addrman.connected(v4(1), NOW - HOUR + 1200)
    assert info.time == NOW - HOUR
    addrman.connected(v4(1))
    assert info.time == NOW


def test_a_collision_is_decided_by_a_test(addrman: AddrMan, clock: ManualClock) -> None:
    old, new = colliding_in_tried(addrman, 2)
    addrman.add([entry(old), entry(new)], SOURCE)
    assert addrman.good(old)
    assert not addrman.good(new)
    assert addrman.select_tried_collision() == (old, NOW)
    addrman.resolve_collisions()  # the incumbent answered a moment ago
    assert addrman.select_tried_collision() is None
    clock.advance(5 * HOUR)
    assert not addrman.good(new)
    addrman.attempt(old)
    clock.advance(60)
    addrman.resolve_collisions()  # the test may still be under way
    assert addrman.select_tried_collision() is not None
    clock.advance(1)
    addrman.resolve_collisions()
    assert addrman.find(new) == AddressPosition(True, 1, *divmod(addrman._placement.tried_slot(new), 64))
    assert addrman.find(old) == AddressPosition(False, 1, *divmod(own_slot(addrman, old), 64))


def test_an_untested_collision_ends_for_the_newcomer(addrman: AddrMan, clock: ManualClock) -> None:
    old, new = colliding_in_tried(addrman, 2)
    addrman.add([entry(old), entry(new)], SOURCE)
    addrman.good(old)
    clock.advance(5 * HOUR)
    addrman.good(new)
    clock.advance(40 * 60)
    addrman.resolve_collisions()
    assert addrman.info(old).in_tried  # type: ignore[union-attr]
    clock.advance(1)
    addrman.resolve_collisions()
    assert addrman.info(new).in_tried  # type: ignore[union-attr]
    assert not addrman.info(old).in_tried  # type: ignore[union-attr]


def test_collisions_are_bounded(addrman: AddrMan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_COLLISIONS", 2)
    crowded = colliding_in_tried(addrman, 5)
    addrman.add([entry(address) for address in crowded], SOURCE)
    for address in crowded:
        addrman.good(address)
    assert list(addrman._collisions) == [addrman.info(address) for address in crowded[1:3]]


def test_select_takes_each_table_half_of_the_time(addrman: AddrMan) -> None:
    addrman.add([entry(v4(number)) for number in range(500)], SOURCE)
    addrman.good(v4(0), NOW - HOUR)
    chosen = [addrman.select() for _ in range(2000)]
    assert 0.45 < sum(each == (v4(0), NOW - HOUR) for each in chosen) / 2000 < 0.55
    assert all(each != (v4(0), NOW - HOUR) for each in (addrman.select(new_only=True) for _ in range(200)))
    assert addrman.select(networks=[Network.IPV6]) is None


def test_select_without_a_choice(addrman: AddrMan) -> None:
    assert addrman.select() is addrman.select(new_only=True) is None
    addrman.add([entry(v4(1))], SOURCE)
    addrman.good(v4(1))
    assert addrman.select(new_only=True) is None
    assert addrman.select() == (v4(1), NOW)


def test_select_prefers_what_was_not_tried_lately(addrman: AddrMan) -> None:
    addrman.add([entry(v4(1)), entry(v4(2))], SOURCE)
    addrman.attempt(v4(1), time=NOW - 5)
    chosen = [addrman.select() for _ in range(1000)]
    assert 0 < sum(each is not None and each[0] == v4(1) for each in chosen) < 60


def test_table_draws_every_bucket_alike() -> None:
    """Chi squared over 40 buckets of unequal filling."""
    table = addrman_tables.Table(64)
    rng = random.Random(3)
    for bucket in range(40):
        for position in rng.sample(range(64), 1 + bucket):
            table.put(64 * bucket + position, AddrInfo(v4(bucket), SOURCE, 9, NOW, slots=[bucket]))
    draws = [table.draw(rng, None) for _ in range(8000)]
    counts = [sum(info is not None and info.slots == [bucket] for info in draws) for bucket in range(40)]
    assert sum((count - 200) ** 2 / 200 for count in counts) < 73  # 99.9 % for 39 degrees of freedom


def test_table_draws_what_is_in_it_at_the_time() -> None:
    """Whichever networks are asked for, buckets that were filled or emptied since the last draw count."""
    table = addrman_tables.Table(64)
    rng = random.Random(4)
    one, other = (AddrInfo(v4(number), SOURCE, 9, NOW) for number in (1, 2))
    networks = None, [Network.IPV4], frozenset({Network.IPV4, Network.ONION})
    for step, expected in (
        (lambda: None, set()),
        (lambda: table.put(5, one), {one.address}),
        (lambda: table.put(700, other), {one.address, other.address}),
        (lambda: table.clear(5), {other.address}),
        (lambda: table.clear(700), set()),
    ):
        step()
        for wanted in networks:
            drawn = [table.draw(rng, wanted) for _ in range(40)]
            assert {info.address for info in drawn if info is not None} == expected
        assert table.draw(rng, [Network.IPV6]) is None


def test_table_draws_each_slot_of_a_full_bucket_alike() -> None:
    table = addrman_tables.Table(1)
    rng = random.Random(4)
    for position in range(64):
        table.put(position, AddrInfo(v4(position), SOURCE, 9, NOW, slots=[position]))
    counts = [0] * 64
    for _ in range(6400):
        info = table.draw(rng, [Network.IPV4, Network.IPV6])
        assert info is not None
        counts[info.slots[0]] += 1
    assert sum((count - 100) ** 2 / 100 for count in counts) < 104  # 99.9 % for 63 degrees of freedom


def test_occupancy_is_that_of_random_placement(clock: ManualClock) -> None:
    """Of a source group's 4,096 slots, 4,096 addresses of many groups take 1 - 1/e, less where buckets coincide."""
    addrman = manager(clock)
    won = addrman.add([entry(v4(number)) for number in range(4096)], SOURCE)
    assert won == len(addrman)
    assert 0.56 < won / 4096 < 0.66
    buckets = [bucket for bucket, _, _ in addrman.positions(False)]
    assert len(set(buckets)) in range(55, 65)
    assert max(buckets.count(bucket) for bucket in set(buckets)) <= 64


def test_get_addresses_limits(addrman: AddrMan) -> None:
    known = addrman.add([entry(v4(number)) for number in range(1500)], SOURCE)
    known += addrman.add([entry(ip("2a00:1::1"), NOW - 40 * DAY)], SOURCE)
    assert len(addrman.get_addresses(1000, 23)) == known * 23 // 100
    assert len(addrman.get_addresses(100, 23)) == 100
    assert len(addrman.get_addresses(0, 200)) == known - 1
    assert len(addrman.get_addresses(filtered=False)) == known
    assert addrman.get_addresses(network=Network.IPV6) == []
    assert addrman.get_addresses(network=Network.IPV6, filtered=False) == [entry(ip("2a00:1::1"), NOW - 40 * DAY)]
    assert addrman.get_addresses(5) != addrman.get_addresses(5)


def test_shuffled_passes_over_what_goes_meanwhile(addrman: AddrMan) -> None:
    addrman.add([entry(v4(number)) for number in range(50)], SOURCE)
    walk = addrman.shuffled()
    first = next(walk)
    for number in range(50):
        info = addrman.info(v4(number))
        if info is not None and info is not first:
            addrman._clear_new(info.slots[0])
    assert list(walk) == []


def test_changes_are_offered_in_time(addrman: AddrMan, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WRITE_BEHIND", 3)
    taken: list[tuple[Sequence[AddrRecord], Sequence[NetworkAddress]]] = []
    addrman.on_many_changes(lambda: taken.append(addrman.take_changes()))
    addrman.add([entry(v4(1)), entry(v4(2))], SOURCE)
    assert not taken
    addrman.attempt(v4(3))
    addrman.attempt(v4(1))
    addrman.add([entry(v4(4))], SOURCE)
    ((kept, gone),) = taken
    assert {record.address for record in kept} == {v4(1), v4(2), v4(4)}
    assert not gone


def test_restore_places_anew_what_has_no_slots(clock: ManualClock) -> None:
    first = manager(clock)
    first.add([entry(v4(number)) for number in range(300)], SOURCE)
    for number in range(0, 300, 3):
        first.good(v4(number))
    kept, _ = first.take_changes()
    kept.sort(key=lambda record: not record.in_tried)
    stripped = [AddrRecord(r.address, r.source, r.services, r.time, in_tried=r.in_tried) for r in kept]
    again = manager(clock)
    assert again.restore(stripped) == 0
    assert [(b, p, i.address) for b, p, i in again.positions(True)] == [
        (b, p, i.address) for b, p, i in first.positions(True)
    ]
    assert len(again) == len(first)
    assert len(again.take_changes()[0]) == len(first)


def test_restore_refuses_what_cannot_be(addrman: AddrMan) -> None:
    good = AddrRecord(v4(1), SOURCE, 9, NOW, slots=(7,))
    bad = [
        AddrRecord(v4(2), SOURCE, 9, NOW, slots=(7,)),
        AddrRecord(v4(1), SOURCE, 9, NOW, slots=(8,)),
        AddrRecord(v4(3), SOURCE, 9, NOW, slots=(65536,)),
        AddrRecord(v4(4), SOURCE, 9, NOW, slots=(16384,), in_tried=True),
        AddrRecord(ip("10.0.0.1"), SOURCE, 9, NOW, slots=(9,)),
    ]
    assert addrman.restore([good, *bad]) == len(bad)
    assert len(addrman) == 1
    kept, gone = addrman.take_changes()
    assert not kept
    assert set(gone) == {v4(2), v4(3), v4(4), ip("10.0.0.1")}


def test_merge_keeps_the_history(addrman: AddrMan) -> None:
    record = AddrRecord(v4(1), SOURCE, 9, NOW - 5, NOW - 50, NOW - 40, 2, in_tried=True, slots=(5,))
    assert addrman.merge(record)
    assert not addrman.merge(record)
    info = addrman.info(v4(1))
    assert info is not None
    assert (info.last_success, info.last_try, info.attempts, info.in_tried) == (NOW - 50, NOW - 40, 2, True)
    old, new = colliding_in_tried(addrman, 2)
    assert addrman.merge(AddrRecord(old, SOURCE, 9, NOW, NOW, in_tried=True))
    assert addrman.merge(AddrRecord(new, SOURCE, 9, NOW, NOW, in_tried=True))
    assert addrman.size(in_new=True) == 1


def test_a_key_of_its_own(clock: ManualClock) -> None:
    one, two = (AddrMan(NetGroupManager(), clock, random.Random(seed)) for seed in (1, 2))
    assert len(one.key) == 32
    assert one.key != two.key


@given(st.lists(st.integers(0, 63), min_size=1, max_size=64, unique=True), st.integers(0, 63))
def test_the_scan_goes_round(taken: list[int], start: int) -> None:
    table = addrman_tables.Table(1)
    for position in taken:
        table.put(position, AddrInfo(v4(position), SOURCE, 9, NOW, slots=[position]))
    found = table._entry(0, table._taken[0], start)
    assert found is not None
    assert found.slots == [min(taken, key=lambda position: (position - start) % 64)]

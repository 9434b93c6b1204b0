"""The clauses of the address manager's rules, each at its border (the rules in whole: ``test_addrman.py``)."""

import random
from collections import Counter

import pytest

from ccnode.peers.addrman import AddrMan
from ccnode.peers.addrman_entry import AddrInfo
from ccnode.peers.addrman_tables import BUCKET_SIZE, NEW_BUCKETS, TRIED_BUCKETS
from ccnode.peers.netgroup import NetGroupManager
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress
from tests.support.clock import ManualClock

NOW = 1_700_000_000
HOUR = 3600
DAY = 24 * HOUR
SOURCE = NetworkAddress.parse("250.1.1.1:8333")


def v4(number: int) -> NetworkAddress:
    """Consecutive numbers lie in different groups."""
    return NetworkAddress(Network.IPV4, bytes((20 + number % 60, number // 60, 1, 1)), 8333)


def told(address: NetworkAddress, time: int = NOW - HOUR, services: int = 9) -> TimedAddress:
    return TimedAddress(time, services, address)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOW)


@pytest.fixture
def addrman(clock: ManualClock) -> AddrMan:
    return AddrMan(NetGroupManager(), clock, random.Random(1), key=bytes(range(32)))


def known(addrman: AddrMan, address: NetworkAddress) -> AddrInfo:
    info = addrman.info(address)
    assert info is not None
    return info


def rivals(addrman: AddrMan, count: int = 2) -> list[NetworkAddress]:
    """Addresses of one group that want the same slot of the new table when `SOURCE` tells of them."""
    group = addrman.groups.group(SOURCE)
    by_slot: dict[int, list[NetworkAddress]] = {}
    for number in range(65_536):
        address = NetworkAddress(Network.IPV4, bytes((9, 9)) + number.to_bytes(2, "big"), 8333)
        same = by_slot.setdefault(addrman._placement.new_slot(address, group), [])
        same.append(address)
        if len(same) == count:
            return same
    raise AssertionError("no rivals")


def contestants(addrman: AddrMan, count: int = 2) -> list[NetworkAddress]:
    """Addresses that want the same slot of the tried table, and slots of their own in the new one."""
    group = addrman.groups.group(SOURCE)
    by_slot: dict[int, dict[int, NetworkAddress]] = {}
    for number in range(65_536):
        address = NetworkAddress(Network.IPV4, bytes((9, 9)) + number.to_bytes(2, "big"), 8333)
        same = by_slot.setdefault(addrman._placement.tried_slot(address), {})
        same.setdefault(addrman._placement.new_slot(address, group), address)
        if len(same) == count:
            return list(same.values())
    raise AssertionError("no contestants")


def test_the_tables_have_cores_sizes(addrman: AddrMan) -> None:
    assert (NEW_BUCKETS, TRIED_BUCKETS, BUCKET_SIZE) == (1024, 256, 64)
    assert (len(addrman._new.slots), len(addrman._tried.slots)) == (65_536, 16_384)


# -- add ---------------------------------------------------------------------------------------------------------------


def test_a_taken_slot_stays_with_its_owner(addrman: AddrMan) -> None:
    owner, newcomer = rivals(addrman)
    assert addrman.add([told(owner), told(newcomer)], SOURCE) == 1
    assert addrman.info(newcomer) is None
    assert len(addrman) == 1


def test_a_terrible_owner_loses_its_slot(addrman: AddrMan) -> None:
    owner, newcomer = rivals(addrman)
    addrman.add([told(owner, NOW - 31 * DAY)], SOURCE)
    assert addrman.add([told(newcomer)], SOURCE) == 1
    assert addrman.info(owner) is None
    assert addrman.find(newcomer) is not None


def spread(addrman: AddrMan, address: NetworkAddress) -> None:
    """Have it told by others until it has a second slot."""
    for number in range(100):
        addrman.add([told(address, NOW - 60 + number // 2)], v4(number))
        if len(known(addrman, address).slots) > 1:
            return
    raise AssertionError("it does not spread")


def test_an_owner_of_several_slots_gives_one_to_an_address_that_has_none(addrman: AddrMan) -> None:
    owner, newcomer = rivals(addrman)
    addrman.add([told(owner)], SOURCE)
    spread(addrman, owner)
    slots = len(known(addrman, owner).slots)
    assert addrman.add([told(newcomer)], SOURCE) == 1
    assert len(known(addrman, owner).slots) == slots - 1


def test_an_owner_of_several_slots_gives_none_to_an_address_that_has_one(addrman: AddrMan) -> None:
    owner, other = rivals(addrman)
    addrman.add([told(other)], v4(999))
    addrman.add([told(owner)], SOURCE)
    spread(addrman, owner)
    for number in range(50):
        assert addrman.add([told(other, NOW - number)], SOURCE) == 0
    assert len(known(addrman, other).slots) == 1


def test_a_source_that_repeats_itself_wins_nothing(addrman: AddrMan) -> None:
    assert addrman.add([told(v4(1), NOW - 600)], SOURCE) == 1
    assert sum(addrman.add([told(v4(1), NOW - number)], SOURCE) for number in range(599, 0, -1)) == 0
    assert len(known(addrman, v4(1)).slots) == 1


def test_an_address_that_is_no_news_wins_no_further_slot(addrman: AddrMan) -> None:
    addrman.add([told(v4(1), NOW - 600)], SOURCE)
    for number in range(100):
        assert addrman.add([told(v4(1), NOW - 600)], v4(number)) == 0
    spread(addrman, v4(1))


def test_a_tried_address_wins_no_slot_in_the_new_table(addrman: AddrMan) -> None:
    addrman.add([told(v4(1))], SOURCE)
    addrman.good(v4(1))
    for number in range(100):
        assert addrman.add([told(v4(1), NOW)], v4(number)) == 0
    assert addrman.size(in_new=True) == 0


# -- what we find out --------------------------------------------------------------------------------------------------


def test_set_services_replaces_and_gossip_adds(addrman: AddrMan) -> None:
    addrman.add([told(v4(1), services=9)], SOURCE)
    addrman.add([told(v4(1), services=1024)], SOURCE)
    assert known(addrman, v4(1)).services == 1033
    addrman.set_services(v4(1), 1)
    assert known(addrman, v4(1)).services == 1


@pytest.mark.parametrize(
    ("succeeded", "tried", "waited", "winner"),
    [
        (4 * HOUR - 1, 4 * HOUR - 1, 0, "incumbent"),
        (4 * HOUR, 60, 0, None),
        (4 * HOUR, 61, 0, "newcomer"),
        (4 * HOUR, 4 * HOUR - 1, 0, "newcomer"),
        (4 * HOUR, 4 * HOUR, 40 * 60, None),
        (4 * HOUR, 4 * HOUR, 40 * 60 + 1, "newcomer"),
    ],
    ids=["it answered lately", "test under way", "no answer", "long without answer", "not tested yet", "never tested"],
)
def test_who_gets_a_contested_slot(succeeded: int, tried: int, waited: int, winner: str | None) -> None:
    incumbent = AddrInfo(v4(1), SOURCE, 9, NOW, last_success=NOW - succeeded, last_try=NOW - tried)
    newcomer = AddrInfo(v4(2), SOURCE, 9, NOW, last_success=NOW - waited)
    settled = AddrMan._settle(newcomer, incumbent, NOW)
    assert settled is {"incumbent": incumbent, "newcomer": newcomer, None: None}[winner]


@pytest.mark.parametrize("by_feeler", [False, True])
def test_a_contest_is_over_when_the_newcomer_is_gone(addrman: AddrMan, clock: ManualClock, by_feeler: bool) -> None:
    old, new = contestants(addrman)
    addrman.add([told(old), told(new)], SOURCE)
    addrman.good(old)
    addrman.good(new)
    addrman._clear_new(known(addrman, new).slots[0])
    clock.advance(DAY)
    if by_feeler:
        assert addrman.select_tried_collision() is None
    else:
        addrman.resolve_collisions()
    assert known(addrman, old).in_tried
    assert addrman.info(new) is None
    assert not addrman._collisions


def test_of_two_newcomers_the_second_finds_the_first_in_the_slot(addrman: AddrMan, clock: ManualClock) -> None:
    old, first, second = contestants(addrman, 3)
    addrman.add([told(old), told(first), told(second)], SOURCE)
    addrman.good(old)
    clock.advance(5 * HOUR)
    addrman.good(first)
    addrman.good(second)
    clock.advance(41 * 60)
    addrman.resolve_collisions()
    assert [known(addrman, address).in_tried for address in (old, first, second)] == [False, True, False]
    assert not addrman._collisions  # the first has just answered


def test_an_evicted_incumbent_takes_its_old_slot_from_whoever_is_there(addrman: AddrMan, clock: ManualClock) -> None:
    old, new = contestants(addrman)
    addrman.add([told(old)], SOURCE)
    addrman.good(old)
    group = addrman.groups.group(SOURCE)
    wanted = addrman._placement.new_slot(old, group)
    squatter = next(
        address
        for number in range(65_536)
        if (address := NetworkAddress(Network.IPV4, bytes((9, 9)) + number.to_bytes(2, "big"), 8333)) not in (old, new)
        and addrman._placement.new_slot(address, group) == wanted
    )
    assert addrman.add([told(squatter), told(new)], SOURCE) == 2
    clock.advance(5 * HOUR)
    addrman.good(new)
    clock.advance(41 * 60)
    addrman.resolve_collisions()
    assert known(addrman, new).in_tried
    assert known(addrman, old).slots == [wanted]
    assert addrman.info(squatter) is None


def test_attempts_in_the_second_of_a_success_count_once(addrman: AddrMan) -> None:
    addrman.add([told(v4(1)), told(v4(2))], SOURCE)
    addrman.good(v4(2))
    for _ in range(3):
        addrman.attempt(v4(1))
    assert known(addrman, v4(1)).attempts == 1


def test_good_and_attempt_of_an_unknown_address_change_nothing(addrman: AddrMan) -> None:
    addrman.attempt(v4(1))
    addrman.connected(v4(1))
    addrman.set_services(v4(1), 9)
    assert not addrman.good(v4(1))
    assert len(addrman) == 0
    assert addrman.take_changes() == ([], [])


# -- answers -----------------------------------------------------------------------------------------------------------


def test_every_address_is_as_likely_in_an_answer(addrman: AddrMan) -> None:
    addrman.add([told(v4(number)) for number in range(60)], SOURCE)
    size = len(addrman)
    counts = Counter(entry.address for _ in range(2000) for entry in addrman.get_addresses(10))
    expected = 2000 * 10 / size
    assert len(counts) == size
    assert sum((count - expected) ** 2 / expected for count in counts.values()) < 100  # 99.9 % for 59 degrees

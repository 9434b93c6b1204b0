"""The address manager in bulk: how full its tables get, and who is drawn how often. Seeded statistics."""

import random
from collections import Counter
from pathlib import Path

import pytest

from ccnode.peers.addrman import AddrMan
from ccnode.peers.netgroup import NetGroupManager
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress
from tests.peers.addrman_model import NaiveAddrMan
from tests.support.clock import ManualClock
from tools.bench.addrman import neighbours, real_addresses

NOW = 1_700_000_000
KEY = bytes(range(32))


def manager(seed: int = 1) -> AddrMan:
    return AddrMan(NetGroupManager(), ManualClock(NOW), random.Random(seed), key=KEY)


def told(address: NetworkAddress, age: int = 3600) -> TimedAddress:
    return TimedAddress(NOW - age, 9, address)


def v4(rng: random.Random, group: bytes = b"") -> NetworkAddress:
    """A routable address, in a given group of two bytes or in one of 14,000."""
    return NetworkAddress(
        Network.IPV4, (group or bytes((rng.randrange(20, 76), rng.randrange(256)))) + rng.randbytes(2), 8333
    )


def alike(one: Counter[object], two: Counter[object]) -> bool:
    """Chi squared of two samples of one size: True unless they differ more than 999 of 1000 equal ones would."""
    keys = one.keys() | two.keys()
    statistic = sum((one[key] - two[key]) ** 2 / (one[key] + two[key]) for key in keys)
    freedom = len(keys) - 1
    return statistic < freedom * (1 - 2 / (9 * freedom) + 3.09 * (2 / (9 * freedom)) ** 0.5) ** 3


def test_a_hundred_thousand_addresses_fill_just_the_slots_they_are_given(data_dir: Path) -> None:
    """Real addresses and others of their groups, from 500 sources: whoever comes first to a slot has it."""
    rng = random.Random(5)
    real = real_addresses(data_dir)
    addresses = neighbours(real, 100_000, rng)
    sources = rng.sample(real, 500)
    addrman, model = manager(), NaiveAddrMan(KEY, random.Random(1))
    owners: dict[tuple[int, int], NetworkAddress] = {}
    for address in addresses:
        source = rng.choice(sources)
        addrman.add([told(address)], source)
        owners.setdefault(model.new_slot(address, source), address)
    assert {(bucket, position): info.address for bucket, position, info in addrman.positions(False)} == owners
    assert len(addrman) == len(owners)
    per_bucket = Counter(bucket for bucket, _ in owners)
    assert len(per_bucket) == 1024
    # Thrown in at random they would take 1 - exp(-100,000 / 65,536) of all slots. Of groups some want the same buckets.
    assert 0.6 < len(owners) / 65_536 < 0.78
    networks = Counter(address.network for address in owners.values())
    assert {network: addrman.size(network) for network in networks} == networks


def honest(addrman: AddrMan, rng: random.Random) -> None:
    """20,000 addresses from 300 sources, a quarter of them tried with success."""
    sources = [v4(rng) for _ in range(300)]
    for _ in range(20_000):
        address = v4(rng)
        addrman.add([told(address)], rng.choice(sources))
        if rng.random() < 0.25:
            addrman.good(address, NOW - 8 * 3600)


def test_a_flood_of_addresses_from_one_source_group_takes_a_sixteenth_of_the_draws() -> None:
    """64 of the 1,024 buckets of the new table, however many addresses there are."""
    rng = random.Random(6)
    addrman = manager()
    honest(addrman, rng)
    flood = {v4(rng) for _ in range(50_000)}
    flood = {address for address in flood if addrman.info(address) is None}
    source = v4(rng)
    for address in flood:
        addrman.add([told(address, 0)], source)
    won = sum(addrman.info(address) is not None for address in flood)
    assert won > 2000
    drawn = [addrman.select(new_only=True) for _ in range(10_000)]
    share = sum(each is not None and each[0] in flood for each in drawn) / len(drawn)
    assert 0.02 < share < 64 / 1024 + 0.01


def test_addresses_of_one_group_take_a_32nd_of_the_draws_from_the_tried_table() -> None:
    """Eight of its 256 buckets, even if all 9,000 of them answer."""
    rng = random.Random(7)
    addrman = manager()
    honest(addrman, rng)
    group = b"\x4d\x07"
    owned = [NetworkAddress(Network.IPV4, group + number.to_bytes(2, "big"), 8333) for number in range(0, 65_536, 7)]
    for address in owned:
        addrman.add([told(address, 0)], v4(rng))
        addrman.good(address)
    buckets = {bucket for bucket, _, info in addrman.positions(True) if info.address.addr.startswith(group)}
    assert len(buckets) == 8
    drawn = [addrman.info(each[0]) for each in (addrman.select() for _ in range(10_000)) if each is not None]
    tried = [info.address for info in drawn if info is not None and info.in_tried]
    assert 0.45 < len(tried) / len(drawn) < 0.55
    assert sum(address.addr.startswith(group) for address in tried) / len(tried) < 8 / 256 + 0.015


@pytest.mark.parametrize(("new_only", "networks"), [(False, None), (True, None), (False, [Network.ONION, Network.I2P])])
def test_draws_are_distributed_as_by_cores_procedure(new_only: bool, networks: list[Network] | None) -> None:
    """Against a literal model: each address of two unequal tables, with failures and recent attempts."""
    rng = random.Random(8)
    addrman, model = manager(), NaiveAddrMan(KEY, random.Random(2))
    addresses = [v4(rng, bytes((30 + number // 3, 1))) for number in range(80)]
    addresses += [NetworkAddress(Network.ONION, rng.randbytes(32), 8333) for _ in range(20)]
    source = v4(rng)
    for address in addresses:
        assert addrman.add([told(address)], source) == model.add(told(address), source, 0, NOW)
    for number, info in enumerate(list(model.infos.values())):
        if number % 3 == 0:
            assert addrman.good(info.address, NOW - 5 * 3600) == model.good(info.address, NOW - 5 * 3600)
        mine = addrman.info(info.address)
        assert mine is not None
        mine.attempts = info.attempts = number % 11
        mine.last_try = info.last_try = NOW - (60 if number % 5 == 0 else 7200)
    ours, theirs = Counter[object](), Counter[object]()
    for _ in range(5000):
        drawn = addrman.select(new_only, networks)
        assert drawn is not None
        ours[drawn[0]] += 1
        theirs[model.select(NOW, new_only, networks)] += 1
    assert len(ours) > 8
    assert alike(ours, theirs)

"""Who makes room: the scenarios that Core documents, and a literal model with pairwise comparisons."""

import random
from collections import Counter
from collections.abc import Callable
from functools import cmp_to_key

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ccnode.peers.eviction import Candidate, Candidates
from ccnode.wire.address import Network

IPV4, IPV6, ONION, I2P, CJDNS = Network.IPV4, Network.IPV6, Network.ONION, Network.I2P, Network.CJDNS


def crowd(count: int, change: Callable[[int], dict[str, object]] = lambda _i: {}, seed: int = 1) -> list[Candidate]:
    """``count`` peers in random order; peer 0 connected first. ``change(id)`` sets what is special."""
    peers = [
        Candidate(**{"id": i, "connected": 1000 + i, "keyed_netgroup": i % 100, "min_ping": 50.0, **change(i)})
        for i in range(count)
    ]
    random.Random(seed).shuffle(peers)
    return peers


def victims(count: int, change: Callable[[int], dict[str, object]], seeds: int = 20) -> set[int | None]:
    return {Candidates(crowd(count, change, seed)).select_to_evict() for seed in range(seeds)}


# -- scenarios ---------------------------------------------------------------------------------------------------------


def test_few_peers_are_all_protected() -> None:
    assert Candidates([]).select_to_evict() is None
    # 4 by netgroup, 8 by ping, 4 by transactions, 4 by blocks; half of what is left, but one of one is none.
    assert Candidates(crowd(20, lambda i: {"relays_transactions": True})).select_to_evict() is None
    assert Candidates(crowd(21, lambda i: {"relays_transactions": True})).select_to_evict() is not None


def test_block_relayers_make_eight_more() -> None:
    def change(i: int) -> dict[str, object]:
        return {"relays_transactions": False, "relevant_services": True}

    assert Candidates(crowd(28, change)).select_to_evict() is None
    assert Candidates(crowd(29, change)).select_to_evict() is not None


def test_noban_never_goes() -> None:
    assert victims(200, lambda i: {"no_ban": i % 4 != 3}) <= set(range(3, 200, 4))
    assert victims(200, lambda i: {"no_ban": True}) == {None}


@pytest.mark.parametrize(
    ("quality", "protected"),
    [
        (lambda i: {"keyed_netgroup": 10_000 if i in (150, 160, 170, 199) else 0}, {150, 160, 170, 199}),
        (lambda i: {"min_ping": 0.01 if i >= 192 else 9.0}, set(range(192, 200))),
        (lambda i: {"last_transaction": i if i >= 196 else 0}, set(range(196, 200))),
        (lambda i: {"last_block": i if i >= 196 else 0}, set(range(196, 200))),
        (
            lambda i: {
                "last_block": i if i >= 188 else 0,
                "relays_transactions": i < 192,
                "relevant_services": True,
            },
            set(range(188, 200)),
        ),
        (lambda i: {}, set(range(90))),
    ],
    ids=["netgroup", "ping", "transactions", "blocks", "block relayers", "uptime"],
)
def test_what_protects(quality: Callable[[int], dict[str, object]], protected: set[int]) -> None:
    found = victims(200, quality)
    assert None not in found
    assert not found & protected


@pytest.mark.parametrize(("services", "victim"), [(True, 187), (False, 195)])
def test_a_block_relayer_must_have_the_services_we_want(services: bool, victim: int) -> None:
    def change(i: int) -> dict[str, object]:
        best = i >= 188  # the last four of them are protected for their blocks in any case
        return {"last_block": i * best, "relevant_services": services, "keyed_netgroup": 0 if i > 150 else 1000 + i}

    assert victims(200, change) == {victim}


def test_the_largest_netgroup_loses_its_newest() -> None:
    assert victims(300, lambda i: {"keyed_netgroup": 1 if i in (240, 250, 260) else 1000 + i}) == {260}


def test_of_equal_netgroups_the_one_with_the_newest_member_loses_it() -> None:
    groups = {240: 1, 250: 1, 245: 2, 249: 2}
    assert victims(300, lambda i: {"keyed_netgroup": groups.get(i, 1000 + i)}) == {250}


def test_who_misbehaved_before_goes_first() -> None:
    groups = {240: 1, 250: 1, 245: 2, 249: 2}
    found = victims(300, lambda i: {"keyed_netgroup": groups.get(i, 1000 + i), "prefer_evict": i in (180, 230)})
    assert found == {230}
    # but what protects everyone protects it too
    assert 0 not in victims(300, lambda i: {"prefer_evict": i == 0})


def test_of_a_crowd_that_came_in_one_second_the_last_ones_are_the_newest() -> None:
    peers = [Candidate(id=i, connected=100, keyed_netgroup=i) for i in range(100)]
    assert protected(peers) == set(range(50))


def test_the_score_decides_where_nothing_else_does() -> None:
    def change(i: int) -> dict[str, object]:
        ping = 0.01 if 4 <= i < 12 else 50.0
        return {"connected": 1000 + i // 200, "keyed_netgroup": i < 4, "min_ping": ping, "score": 20 * (i == 220)}

    assert victims(300, change) == {220}
    assert victims(300, lambda i: {**change(i), "connected": 2000 + i * (i == 230)}) == {230}


# -- the half that time and network protect ----------------------------------------------------------------------------


def protected(peers: list[Candidate]) -> set[int]:
    return Candidates(peers).protected_by_ratio(())


def placed(count: int, places: dict[int, dict[str, object]]) -> set[int]:
    return protected(crowd(count, lambda i: places.get(i, {})))


def nets(network: Network, *ids: int) -> dict[int, dict[str, object]]:
    return {i: {"network": network} for i in ids}


def local(*ids: int) -> dict[int, dict[str, object]]:
    return {i: {"is_local": True} for i in ids}


@pytest.mark.parametrize(
    ("count", "places", "expected"),
    [
        (12, {}, {0, 1, 2, 3, 4, 5}),
        (12, nets(ONION, 3, 8, 9, 10), {0, 1, 2, 3, 8, 9}),
        (12, nets(ONION, 3), {0, 1, 2, 3, 4, 5}),
        (12, nets(ONION, 9), {0, 1, 2, 3, 4, 9}),
        (12, local(6, 9, 11), {0, 1, 2, 6, 9, 11}),
        (12, local(6, 9, 10, 11), {0, 1, 2, 6, 9, 10}),
        # two networks share a quarter; the one with fewer gives what it cannot use
        (16, local(6, 12, 14) | nets(ONION, 8, 10, 13), {0, 1, 2, 3, 6, 8, 10, 12}),
        (16, local(15) | nets(ONION, 8, 10, 13), {0, 1, 2, 3, 8, 10, 13, 15}),
        # three networks, an odd place goes to the one with the fewest candidates
        (20, nets(I2P, 18) | nets(ONION, 11, 13, 17) | local(12, 14, 19), {0, 1, 2, 3, 4, 11, 12, 13, 14, 18}),
        # four networks with as many candidates each: as the table has them
        (
            8,
            nets(CJDNS, 7) | nets(I2P, 6) | local(5) | nets(ONION, 4),
            {0, 1, 6, 7},
        ),
        (
            24,
            nets(CJDNS, 12, 13, 14) | nets(I2P, 15, 16, 17) | local(18, 19, 20) | nets(ONION, 21, 22, 23),
            {0, 1, 2, 3, 4, 5, 12, 13, 15, 16, 18, 21},
        ),
    ],
)
def test_the_places_of_disadvantaged_networks(
    count: int, places: dict[int, dict[str, object]], expected: set[int]
) -> None:
    assert placed(count, places) == expected


def test_a_peer_that_is_local_and_came_through_tor_takes_one_place() -> None:
    both = {i: {"is_local": True, "network": ONION} for i in range(6, 12)}
    assert placed(12, both) == {0, 1, 2, 6, 7, 8}


# -- the literal model -------------------------------------------------------------------------------------------------


def before(first: bool) -> int:
    return -1 if first else 1


def by_block(a: Candidate, b: Candidate) -> int:
    if a.last_block != b.last_block:
        return before(a.last_block < b.last_block)
    if a.relevant_services != b.relevant_services:
        return before(b.relevant_services)
    return by_uptime(a, b)


def by_uptime(a: Candidate, b: Candidate) -> int:
    return 0 if a.connected == b.connected else before(a.connected > b.connected)


def by_transaction(a: Candidate, b: Candidate) -> int:
    if a.last_transaction != b.last_transaction:
        return before(a.last_transaction < b.last_transaction)
    if a.relays_transactions != b.relays_transactions:
        return before(b.relays_transactions)
    if a.bloom_filter != b.bloom_filter:
        return before(a.bloom_filter)
    return by_uptime(a, b)


def by_block_relay(a: Candidate, b: Candidate) -> int:
    if a.relays_transactions != b.relays_transactions:
        return before(a.relays_transactions)
    return by_block(a, b)


def by_netgroup(a: Candidate, b: Candidate) -> int:
    """Core leaves open which of one group comes first."""
    return (a.keyed_netgroup > b.keyed_netgroup) - (a.keyed_netgroup < b.keyed_netgroup) or before(a.id > b.id)


def by_ping(a: Candidate, b: Candidate) -> int:
    return (a.min_ping < b.min_ping) - (a.min_ping > b.min_ping)


def erase_last(peers: list[Candidate], compare, count: int, test=lambda peer: True) -> None:
    peers.sort(key=cmp_to_key(compare))
    last = peers[-count:] if count else []
    for peer in last:
        if test(peer):
            peers.remove(peer)


def model_ratio(peers: list[Candidate]) -> None:
    half = len(peers) // 2
    quarter = half // 2
    table = [
        ("network", CJDNS),
        ("network", I2P),
        ("is_local", True),
        ("network", ONION),
    ]
    tests = [lambda peer, field=field, value=value: getattr(peer, field) is value for field, value in table]
    counts = [len([peer for peer in peers if test(peer)]) for test in tests]
    order = sorted(range(4), key=lambda i: (counts[i], i))
    done = 0
    while done < quarter:
        alive = len([count for count in counts if count])
        if not alive:
            break
        each = max((quarter - done) // alive, 1)
        progress = False
        for i in order:
            if not counts[i]:
                continue
            test = tests[i]

            def compare(a: Candidate, b: Candidate, test=test) -> int:
                return before(test(b)) if test(a) != test(b) else by_uptime(a, b)

            size = len(peers)
            erase_last(peers, compare, each, test)
            if len(peers) < size:
                progress = True
                done += size - len(peers)
                if done >= quarter:
                    break
                counts[i] -= size - len(peers)
        if not progress:
            break
    erase_last(peers, by_uptime, half - done)


def model(candidates: list[Candidate]) -> int | None:
    peers = [peer for peer in candidates if not peer.no_ban]
    erase_last(peers, by_netgroup, 4)
    erase_last(peers, by_ping, 8)
    erase_last(peers, by_transaction, 4)
    erase_last(peers, by_block_relay, 8, lambda peer: not peer.relays_transactions and peer.relevant_services)
    erase_last(peers, by_block, 4)
    model_ratio(peers)
    if any(peer.prefer_evict for peer in peers):
        peers = [peer for peer in peers if peer.prefer_evict]
    if not peers:
        return None
    sizes = Counter(peer.keyed_netgroup for peer in peers)
    most = max(sizes.values())
    for peer in peers:  # newest first
        if sizes[peer.keyed_netgroup] == most:
            return peer.id
    raise AssertionError


@st.composite
def crowds(draw: st.DrawFn) -> list[Candidate]:
    """Connection times differ, so that Core's order is complete; everything else may repeat."""
    count = draw(st.integers(0, 120))
    rng = random.Random(draw(st.integers(0, 2**32)))
    spread = draw(st.sampled_from([1, 3, 1000]))
    times = rng.sample(range(10_000), count)
    return [
        Candidate(
            id=i,
            connected=times[i],
            keyed_netgroup=rng.randrange(10 * spread),
            min_ping=rng.choice([float("inf"), rng.random(), 0.1]),
            last_block=rng.randrange(spread),
            last_transaction=rng.randrange(spread),
            relevant_services=rng.random() < 0.7,
            relays_transactions=rng.random() < 0.7,
            bloom_filter=rng.random() < 0.2,
            prefer_evict=rng.random() < 0.05,
            is_local=rng.random() < 0.2,
            network=rng.choice([IPV4, IPV4, IPV4, IPV6, ONION, I2P, CJDNS]),
            no_ban=rng.random() < 0.1,
        )
        for i in range(count)
    ]


@settings(max_examples=300)
@given(crowds())
def test_it_agrees_with_the_model(peers: list[Candidate]) -> None:
    assert Candidates(peers).select_to_evict() == model(list(peers))


@settings(max_examples=200)
@given(crowds())
def test_half_is_protected_whoever_they_are(peers: list[Candidate]) -> None:
    expected = [peer for peer in peers if not peer.no_ban]
    peers = list(expected)
    model_ratio(expected)
    assert len(protected(peers)) == len(peers) // 2
    assert protected(peers) == {peer.id for peer in peers} - {peer.id for peer in expected}


@settings(max_examples=100)
@given(crowds(), crowds())
def test_who_changed_or_left_leaves_no_trace(peers: list[Candidate], before: list[Candidate]) -> None:
    candidates = Candidates(before)
    for peer in before[len(peers) :]:
        candidates.remove(peer.id)
    for peer in peers:
        candidates.put(peer)
    assert candidates.select_to_evict() == Candidates(peers).select_to_evict()
    assert all(len(ranking) <= len(peers) for ranking in candidates._rankings)

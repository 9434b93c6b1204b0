"""What is opened next, and to whom (Core: ``ThreadOpenConnections``)."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ccnode.peers.addrman import AddrMan
from ccnode.peers.netgroup import NetGroupManager
from ccnode.peers.outbound import (
    AVOID_BAD_PORTS,
    AVOID_RECENT,
    BAD_PORTS,
    BLOCK_RELAY,
    FULL_RELAY,
    TRIES,
    Anchor,
    Candidate,
    Opening,
    OutboundPolicy,
    has_room,
    outbound_slots,
)
from ccnode.peers.peer import ConnectionType
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress
from ccnode.wire.protocol import ServiceFlags
from tests.support.clock import ManualClock
from tests.support.fakes import NETWORK_AND_WITNESS, FakePeer, established_peer, seeded_rng

FULL = ConnectionType.OUTBOUND_FULL_RELAY
BLOCK = ConnectionType.BLOCK_RELAY_ONLY
FEELER = ConnectionType.FEELER
CLEARNET = frozenset({Network.IPV4, Network.IPV6})
ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:8333"
SOURCE = NetworkAddress.parse("9.9.9.9:8333")


def anchor(text: str, services: int = NETWORK_AND_WITNESS) -> Anchor:
    return Anchor(NetworkAddress.parse(text, 8333), services)


def dials(*kinds: ConnectionType) -> dict[NetworkAddress, ConnectionType]:
    """Under way to addresses of groups of their own."""
    return {NetworkAddress.parse(f"11.{number}.0.1:8333"): kind for number, kind in enumerate(kinds)}


class Table:
    """A policy over an address manager that a test fills."""

    def __init__(self, *, max_connections: int = 125, networks=CLEARNET, anchors: Sequence[str] = ()) -> None:
        self.clock = ManualClock()
        self.rng = seeded_rng()
        self.addrman = AddrMan(NetGroupManager(), self.clock, self.rng)
        self.refused: set[NetworkAddress] = set()
        self.own: set[NetworkAddress] = set()
        self.policy = OutboundPolicy(
            self.addrman,
            self.clock,
            self.rng,
            max_connections=max_connections,
            networks=networks,
            limited_peers_suffice=lambda: False,
            refuses=self.refused.__contains__,
            is_ours=self.own.__contains__,
        )
        self.policy.anchors = [anchor(text) for text in anchors]
        self.peers: list[FakePeer] = []

    def know(self, *texts: str, services: int = NETWORK_AND_WITNESS) -> None:
        now = int(self.clock.now())
        for text in texts:
            self.addrman.add([TimedAddress(now, services, NetworkAddress.parse(text, 8333))], SOURCE)

    def connect(self, text: str, kind: ConnectionType = FULL) -> FakePeer:
        peer = established_peer(len(self.peers), kind)
        peer.address = NetworkAddress.parse(text, 8333)
        self.peers.append(peer)
        return peer

    def fill(self) -> None:
        """All regular slots."""
        for i in range(FULL_RELAY):
            self.connect(f"5.{i}.0.1")
        for i in range(BLOCK_RELAY):
            self.connect(f"6.{i}.0.1", BLOCK)

    def opening(self) -> Opening | None:
        return self.policy.next_opening(self.peers)

    def drawn(self, kind: ConnectionType = FULL, times: int = 50) -> Counter[str]:
        """Candidates by host, '' for none."""
        found: Counter[str] = Counter()
        for _ in range(times):
            candidate = self.policy.candidate(Opening(kind), self.peers)
            found["" if candidate is None else candidate.address.host] += 1
        return found


def test_the_types_of_connections_have_cores_names() -> None:
    assert [kind.value for kind in ConnectionType] == [
        "inbound",
        "outbound-full-relay",
        "block-relay-only",
        "manual",
        "feeler",
        "addr-fetch",
    ]


# -- what --------------------------------------------------------------------------------------------------------------


def test_anchors_first_then_full_relay_then_block_relay() -> None:
    table = Table(anchors=["7.7.7.7:8333", "7.8.7.7:8333"])
    first, second = table.opening(), table.opening()
    assert {str(opening.anchor.address) for opening in (first, second)} == {"7.7.7.7:8333", "7.8.7.7:8333"}
    assert first.kind is second.kind is BLOCK
    for i in range(FULL_RELAY):
        assert table.opening() == Opening(FULL)
        table.connect(f"5.{i}.0.1")
    for i in range(BLOCK_RELAY):
        assert table.opening() == Opening(BLOCK)
        table.connect(f"6.{i}.0.1", BLOCK)
    assert table.opening() is None


def test_dials_under_way_count() -> None:
    table = Table()
    assert table.policy.next_opening([], dials(*[FULL] * FULL_RELAY)) == Opening(BLOCK)
    assert table.policy.next_opening([], dials(*[FULL] * FULL_RELAY, *[BLOCK] * BLOCK_RELAY)) is None


@pytest.mark.parametrize(
    ("max_connections", "full", "block", "slots"),
    [
        (125, 8, 2, 11),
        (12, 8, 2, 11),
        (11, 8, 2, 11),
        (10, 8, 2, 10),
        (9, 8, 1, 9),
        (8, 8, 0, 8),
        (2, 2, 0, 2),
        (1, 1, 0, 1),
        (0, 0, 0, 0),
    ],
)
def test_slots_follow_maxconnections(max_connections: int, full: int, block: int, slots: int) -> None:
    table = Table(max_connections=max_connections, anchors=["7.7.7.7", "7.8.7.7"])
    assert (table.policy.full_relay, table.policy.block_relay, outbound_slots(max_connections)) == (full, block, slots)
    table.policy.stale_tip = True  # there is always something more to open
    kinds: Counter[ConnectionType] = Counter()
    while (opening := table.opening()) is not None:
        kinds[opening.kind] += 1
        table.connect(f"5.{len(table.peers)}.0.1", opening.kind)
    assert (kinds.total(), kinds[BLOCK]) == (slots, block)


def test_nothing_is_opened_without_a_free_slot() -> None:
    table = Table(anchors=["7.7.7.7"])
    for i in range(11):
        assert table.policy.next_opening(table.peers) is not None
        table.policy.anchors = [anchor("7.7.7.7")]
        table.connect(f"5.{i}.0.1", ConnectionType.ADDR_FETCH)
    assert table.opening() is None, "address fetches hold slots like all others"
    assert table.policy.anchors, "and the anchor waits"
    table.peers.pop()
    assert table.opening() is not None


@pytest.mark.parametrize(
    ("kind", "count", "max_connections"),
    [
        (FULL, 8, 125),
        (BLOCK, 2, 125),
        (FEELER, 11, 125),
        (ConnectionType.ADDR_FETCH, 11, 125),
        (FULL, 8, 9),
        (BLOCK, 1, 9),
        (FEELER, 9, 9),
        (BLOCK, 0, 8),
        (FULL, 1, 1),
        (FEELER, 0, 0),
    ],
)
def test_connections_opened_by_hand_have_the_slots_of_their_type(
    kind: ConnectionType, count: int, max_connections: int
) -> None:
    peers = [established_peer(100, ConnectionType.MANUAL), established_peer(101, ConnectionType.INBOUND)]
    opened = 0
    while has_room(kind, peers, max_connections):
        peers.append(established_peer(opened, kind))
        opened += 1
    assert opened == count


def test_connections_opened_by_hand_share_the_slots_of_all_types() -> None:
    table = Table()
    table.fill()
    assert has_room(FEELER, table.peers, 125)
    table.connect("7.7.7.7", ConnectionType.ADDR_FETCH)
    assert not has_room(FEELER, table.peers, 125)


def test_manual_and_inbound_connections_take_no_outbound_slot() -> None:
    table = Table()
    for i in range(30):
        table.connect(f"5.{i}.0.1", ConnectionType.MANUAL if i % 2 else ConnectionType.INBOUND)
    assert table.opening() == Opening(FULL)


def test_a_stale_tip_allows_one_more_full_relay_peer() -> None:
    table = Table()
    table.fill()
    table.policy.stale_tip = True
    assert table.opening() == Opening(FULL)
    table.connect("8.8.8.8")
    assert table.opening() is None, "no further slot is left"


def test_what_is_due_at_once_comes_in_cores_order() -> None:
    table = Table()
    table.know("[2a01:4f8::1]:8333")
    table.fill()
    table.policy.tip_is_fresh()
    table.clock.advance(7 * 86_400)
    table.policy.stale_tip = True
    assert table.opening() == Opening(FULL)
    table.policy.stale_tip = False
    assert table.opening() == Opening(BLOCK)
    assert table.opening() == Opening(FEELER)
    assert table.opening() == Opening(FULL, network=Network.IPV6)
    assert table.opening() is None


@pytest.mark.parametrize("kind", [FEELER, BLOCK, FULL])
def test_a_timer_is_not_due_at_its_very_moment(kind: ConnectionType) -> None:
    table = Table()
    table.know("[2a01:4f8::1]:8333")
    table.fill()
    policy, now = table.policy, table.clock.now()
    policy._next_feeler = now if kind is FEELER else now + 9
    policy._next_extra_block_relay = now if kind is BLOCK else now + 9
    policy._next_extra_network = now if kind is FULL else now + 9
    assert table.opening() is None
    table.clock.advance(0.001)
    assert table.opening().kind is kind


def test_feelers_come_every_two_minutes_on_average() -> None:
    table = Table()
    table.fill()
    feelers = 0
    for _ in range(24 * 60):
        table.clock.advance(60)
        opening = table.opening()
        feelers += opening is not None and opening.kind is FEELER
    assert 450 < feelers < 680


def test_no_feeler_while_one_is_under_way() -> None:
    table = Table()
    table.fill()
    table.connect("8.8.8.8", FEELER)
    table.clock.advance(86_400)
    assert table.opening() is None


def test_extra_block_relay_peers_come_only_once_the_tip_was_fresh() -> None:
    table = Table()
    table.fill()
    kinds: Counter[ConnectionType] = Counter()

    def a_day() -> None:
        kinds.clear()
        for _ in range(24 * 60):
            table.clock.advance(60)
            opening = table.opening()
            if opening is not None:
                kinds[opening.kind] += 1

    a_day()
    assert not kinds[BLOCK]
    table.policy.tip_is_fresh()
    a_day()
    assert 200 < kinds[BLOCK] < 360


def test_a_network_without_a_peer_gets_one() -> None:
    table = Table()
    table.fill()
    table.know("[2a01:4f8::1]:8333")
    table.policy._next_feeler = float("inf")
    table.clock.advance(86_400)
    assert table.opening() == Opening(FULL, network=Network.IPV6)
    assert table.opening() is None, "not again at once"
    table.peers.pop()
    table.connect("[2a01:4f9::1]:8333", ConnectionType.MANUAL)
    table.peers.append(established_peer(99, BLOCK))
    table.clock.advance(86_400)
    assert table.opening() is None, "a manual peer is as good"


# -- whom --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(ConnectionType))
def test_no_second_lasting_connection_into_a_group(kind: ConnectionType) -> None:
    counts = kind in (FULL, BLOCK, ConnectionType.MANUAL)
    table = Table()
    table.know("8.8.8.8", "8.9.8.8")
    peer = table.connect("8.8.1.1", kind)
    expected = {"8.9.8.8"} if counts else {"8.8.8.8", "8.9.8.8"}
    assert set(table.drawn()) == expected
    table.peers.clear()
    found = {table.policy.candidate(Opening(FULL), [], {peer.address: kind}).address.host for _ in range(50)}
    assert found == expected, "a dial under way counts as what it is to become"


def test_tor_has_no_groups() -> None:
    table = Table(networks=frozenset({Network.ONION}))
    table.know(ONION)
    address = NetworkAddress.parse(ONION)
    peer = table.connect("8.8.8.8")
    peer.address = replace(address, addr=address.addr[:1] + bytes(31))
    assert table.addrman.groups.group(peer.address) == table.addrman.groups.group(address)
    assert set(table.drawn()) == {address.host}


def test_feelers_do_not_mind_groups_and_take_new_addresses_only() -> None:
    table = Table()
    table.know("8.8.8.8", "8.9.8.8")
    table.addrman.good(NetworkAddress.parse("8.9.8.8:8333"))
    table.connect("8.8.1.1")
    assert set(table.drawn(FEELER)) == {"8.8.8.8"}


def test_who_is_banned_discouraged_or_connected_on_any_port_is_left_out() -> None:
    table = Table()
    table.know("8.1.1.1", "8.2.1.1", "8.3.1.1", "8.4.1.1")
    table.connect("8.1.1.1:1234", ConnectionType.INBOUND)
    table.refused.add(NetworkAddress.parse("8.2.1.1:8333"))
    dialing = {NetworkAddress.parse("8.3.1.1:4321"): FULL}
    for _ in range(50):
        assert table.policy.candidate(Opening(FEELER), table.peers, dialing).address.host == "8.4.1.1"


@pytest.mark.parametrize("target", ["8.3.1.1:8333", "8.3.1.1"])
def test_addnode_targets_are_left_to_their_own_slots_if_they_are_few(target: str) -> None:
    table = Table()
    table.know("8.3.1.1", "8.4.1.1")
    table.policy.added_nodes = [target]
    assert set(table.drawn()) == {"8.4.1.1"}
    table.policy.added_nodes = [f"9.9.9.{number}" for number in range(23)] + [target]
    assert set(table.drawn()) == {"8.3.1.1", "8.4.1.1"}, "24 are too many to compare with"


def test_an_addnode_target_on_another_port_is_another_one() -> None:
    table = Table()
    table.know("8.3.1.1")
    table.policy.added_nodes = ["8.3.1.1:1234"]
    assert set(table.drawn()) == {"8.3.1.1"}


def test_drawing_our_own_address_ends_the_search() -> None:
    table = Table()
    table.know("8.1.1.1")
    table.own.add(NetworkAddress.parse("8.1.1.1:8333"))
    draws = count_draws(table)
    assert set(table.drawn(times=1)) == {""}
    assert draws == [1]


def test_a_search_ends_after_a_hundred_draws() -> None:
    table = Table()
    table.know("8.1.1.1")
    table.refused.add(NetworkAddress.parse("8.1.1.1:8333"))
    draws = count_draws(table)
    assert set(table.drawn(times=1)) == {""}
    assert draws == [TRIES]


def count_draws(table: Table) -> list[int]:
    """Draws from the address manager from now on, in the only element."""
    counts = [0]
    select = table.addrman.select

    def counting(*args: object, **kwargs: object) -> object:
        counts[0] += 1
        return select(*args, **kwargs)  # type: ignore[arg-type]

    table.addrman.select = counting  # type: ignore[method-assign, assignment]
    return counts


@pytest.mark.parametrize("kind", [FULL, FEELER])
def test_automatic_connections_stay_on_the_networks_allowed(kind: ConnectionType) -> None:
    table = Table(networks=frozenset({Network.IPV6}))
    table.know("8.1.1.1", "[2a01:4f8::1]:8333", ONION)
    assert set(table.drawn(kind)) == {"2a01:4f8::1"}
    for _ in range(20):
        found = table.policy.candidate(Opening(FULL, network=Network.IPV6), [])
        assert found.address.host == "2a01:4f8::1"


def test_services_decide() -> None:
    table = Table()
    table.know("8.1.1.1", services=int(ServiceFlags.NETWORK))
    table.know("8.2.1.1", services=int(ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS))
    assert set(table.drawn()) == {""}
    assert set(table.drawn(FEELER)) == {"8.1.1.1", "8.2.1.1"}
    table.policy._limited_peers_suffice = lambda: True
    assert set(table.drawn()) == {"8.2.1.1"}


def test_ports_of_other_services_are_avoided_for_fifty_draws() -> None:
    for text, draws_needed in (
        ("8.1.1.1:22", AVOID_BAD_PORTS),
        ("[2a01:4f8::1]:6667", AVOID_BAD_PORTS),
        ("8.1.1.1:23456", 1),
        (ONION.replace("8333", "22"), 1),
    ):
        table = Table(networks=frozenset({Network.IPV4, Network.IPV6, Network.ONION}))
        table.know(text)
        draws = count_draws(table)
        assert table.policy.candidate(Opening(FULL), []) is not None
        assert draws == [draws_needed], text
    assert {22, 3306, 6667, 27017} < BAD_PORTS
    assert not BAD_PORTS & {80, 443, 8333, 18333, 18444, 38333, 48333}
    assert len(BAD_PORTS) == 85


@pytest.mark.parametrize(("ago", "draws_needed"), [(599, AVOID_RECENT), (600, 1)])
def test_who_was_tried_in_the_last_ten_minutes_is_avoided_for_thirty_draws(ago: int, draws_needed: int) -> None:
    table = Table()
    table.know("8.1.1.1")
    table.addrman.attempt(NetworkAddress.parse("8.1.1.1:8333"))
    table.clock.advance(ago)
    table.addrman.select = lambda *_args, **_more: (  # type: ignore[method-assign]
        NetworkAddress.parse("8.1.1.1:8333"),
        int(table.clock.now()) - ago,
    )
    draws = count_draws(table)
    assert table.policy.candidate(Opening(FULL), []) is not None
    assert draws == [draws_needed]


def test_failures_count_only_when_others_are_connected() -> None:
    table = Table()
    table.know("8.8.8.8")
    assert table.policy.candidate(Opening(FULL), []).count_failure is False
    for i in range(2):
        table.connect(f"5.{i}.0.1")
    assert table.policy.candidate(Opening(FULL), table.peers).count_failure is True
    same_group = [table.peers[0], established_peer(9, FULL)]
    same_group[1].address = NetworkAddress.parse("5.0.9.9:8333")
    assert table.policy.candidate(Opening(FULL), same_group).count_failure is False
    same_group[1].address = NetworkAddress.parse(ONION)
    assert table.policy.candidate(Opening(FULL), same_group).count_failure is True
    dialing = {peer.address: FULL for peer in table.peers}
    assert table.policy.candidate(Opening(FULL), [], dialing).count_failure is False, "a dial proves nothing"


@pytest.mark.parametrize(("max_connections", "peers", "counts"), [(1, 0, True), (2, 0, False), (2, 1, True)])
def test_small_nodes_count_failures_with_the_peers_they_can_have(
    max_connections: int, peers: int, counts: bool
) -> None:
    table = Table(max_connections=max_connections)
    table.know("8.8.8.8")
    for i in range(peers):
        table.connect(f"5.{i}.0.1", ConnectionType.MANUAL)
    assert table.policy.candidate(Opening(FULL), table.peers).count_failure is counts


def test_an_anchor_needs_a_free_group_and_is_neither_connected_nor_banned_nor_ours() -> None:
    known = anchor("7.7.7.7")
    opening = Opening(BLOCK, anchor=known)
    table = Table()
    assert table.policy.candidate(opening, []) == Candidate(known.address, False)
    table.connect("7.7.1.1")
    assert table.policy.candidate(opening, table.peers) is None, "its group is taken"
    inbound = [established_peer(9, ConnectionType.INBOUND)]
    inbound[0].address = NetworkAddress.parse("7.7.7.7:1234")
    assert table.policy.candidate(opening, inbound) is None, "it is connected"
    table.own.add(known.address)
    assert table.policy.candidate(opening, []) is None
    table.own.clear()
    table.refused.add(known.address)
    assert table.policy.candidate(opening, []) is None


def test_an_anchor_must_be_on_a_network_that_can_be_reached() -> None:
    opening = Opening(BLOCK, anchor=anchor(ONION))
    assert Table().policy.candidate(opening, []) is None
    assert Table(networks=frozenset({Network.ONION})).policy.candidate(opening, []) is not None


@pytest.mark.parametrize(
    ("services", "near_tip", "usable"),
    [
        (NETWORK_AND_WITNESS, False, True),
        (int(ServiceFlags.NETWORK), False, False),
        (int(ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS), False, False),
        (int(ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS), True, True),
    ],
)
def test_an_anchor_must_offer_all_the_services_we_want(services: int, near_tip: bool, usable: bool) -> None:
    table = Table()
    table.policy._limited_peers_suffice = lambda: near_tip
    candidate = table.policy.candidate(Opening(BLOCK, anchor=anchor("7.7.7.7", services)), [])
    assert (candidate is not None) is usable


def test_a_contested_address_that_is_connected_has_passed_its_test() -> None:
    table = Table()
    rng = random.Random(1)

    def succeed_with_another() -> None:
        host = bytes([8, rng.randrange(256), rng.randrange(256), 1 + rng.randrange(250)])
        address = NetworkAddress(Network.IPV4, host, 8333)
        table.know(str(address))
        table.addrman.good(address)

    for _ in range(300):
        succeed_with_another()
    table.clock.advance(5 * 3600)  # the incumbents' successes are too old to keep them their slots untested
    table.addrman.resolve_collisions()
    long_ago = int(table.clock.now()) - 5 * 3600
    while (contested := table.addrman.select_tried_collision()) is None:
        succeed_with_another()
    incumbent = contested[0]
    assert table.addrman.info(incumbent).last_success == long_ago
    table.connect(str(incumbent), ConnectionType.INBOUND)
    table.clock.advance(1)
    table.policy.candidate(Opening(FEELER), [], {incumbent: FEELER})
    assert table.addrman.info(incumbent).last_success == long_ago, "a dial under way has proved nothing yet"
    table.policy.candidate(Opening(FEELER), table.peers)
    assert table.addrman.info(incumbent).last_success == int(table.clock.now())


def test_contested_slots_are_settled_before_an_address_is_drawn() -> None:
    table = Table()
    table.know("8.8.8.8")
    calls: list[str] = []
    table.addrman.resolve_collisions = lambda: calls.append("settle")  # type: ignore[method-assign]
    select = table.addrman.select
    table.addrman.select = lambda **more: calls.append("draw") or select(**more)  # type: ignore[method-assign]
    assert set(table.drawn(times=1)) == {"8.8.8.8"}
    assert calls == ["settle", "draw"]


def test_a_feeler_tests_a_contested_address_first() -> None:
    table = Table()
    table.know("8.8.8.8")
    contested = NetworkAddress.parse("8.9.8.8:8333")
    table.know(str(contested))
    table.addrman.select_tried_collision = lambda: (contested, 0)  # type: ignore[method-assign]
    assert set(table.drawn(FEELER)) == {"8.9.8.8"}

"""What is opened next, and to whom (Core: ``ThreadOpenConnections``)."""

import random
from collections import Counter
from collections.abc import Sequence

import pytest

from ccnode.peers.addrman import AddrMan
from ccnode.peers.netgroup import NetGroupManager
from ccnode.peers.outbound import (
    AVOID_BAD_PORTS,
    BLOCK_RELAY,
    FULL_RELAY,
    Opening,
    OutboundPolicy,
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
SOURCE = NetworkAddress.parse("9.9.9.9:8333")


class Table:
    """A policy over an address manager that a test fills."""

    def __init__(self, *, max_connections: int = 125, networks=CLEARNET, anchors: Sequence[str] = ()) -> None:
        self.clock = ManualClock()
        self.rng = seeded_rng()
        self.addrman = AddrMan(NetGroupManager(), self.clock, self.rng)
        self.refused: set[NetworkAddress] = set()
        self.policy = OutboundPolicy(
            self.addrman,
            self.clock,
            self.rng,
            max_connections=max_connections,
            networks=networks,
            limited_peers_suffice=lambda: False,
            refuses=self.refused.__contains__,
        )
        self.policy.anchors = [NetworkAddress.parse(text) for text in anchors]
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


# -- what --------------------------------------------------------------------------------------------------------------


def test_anchors_first_then_full_relay_then_block_relay() -> None:
    table = Table(anchors=["7.7.7.7:8333", "7.8.7.7:8333"])
    first, second = table.opening(), table.opening()
    assert {str(opening.anchor) for opening in (first, second)} == {"7.7.7.7:8333", "7.8.7.7:8333"}
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
    assert table.policy.next_opening([], [FULL] * FULL_RELAY) == Opening(BLOCK)
    assert table.policy.next_opening([], [FULL] * FULL_RELAY + [BLOCK] * BLOCK_RELAY) is None


@pytest.mark.parametrize(
    ("max_connections", "full", "block", "slots"),
    [(125, 8, 2, 11), (10, 8, 2, 10), (9, 8, 1, 9), (3, 3, 0, 3), (0, 0, 0, 0)],
)
def test_slots_follow_maxconnections(max_connections: int, full: int, block: int, slots: int) -> None:
    policy = Table(max_connections=max_connections).policy
    assert (policy.full_relay, policy.block_relay, outbound_slots(max_connections)) == (full, block, slots)


def test_a_stale_tip_allows_one_more_full_relay_peer() -> None:
    table = Table()
    table.fill()
    table.policy.stale_tip = True
    assert table.opening() == Opening(FULL)
    table.connect("8.8.8.8")
    assert table.opening() is None, "no further slot is left"


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


def test_no_second_connection_into_a_group() -> None:
    for kind, counts in (
        (FULL, True),
        (BLOCK, True),
        (ConnectionType.MANUAL, True),
        (FEELER, False),
        (ConnectionType.INBOUND, False),
    ):
        table = Table()
        table.know("8.8.8.8", "8.9.8.8")
        table.connect("8.8.1.1", kind)
        assert set(table.drawn()) == ({"8.9.8.8"} if counts else {"8.8.8.8", "8.9.8.8"}), kind


def test_feelers_do_not_mind_groups_and_take_new_addresses_only() -> None:
    table = Table()
    table.know("8.8.8.8", "8.9.8.8")
    table.addrman.good(NetworkAddress.parse("8.9.8.8:8333"))
    table.connect("8.8.1.1")
    assert set(table.drawn(FEELER)) == {"8.8.8.8"}


def test_who_is_connected_refused_or_added_by_hand_is_left_out() -> None:
    table = Table()
    table.know("8.1.1.1", "8.2.1.1", "8.3.1.1", "8.4.1.1")
    table.connect("8.1.1.1", ConnectionType.INBOUND)
    table.refused.add(NetworkAddress.parse("8.2.1.1:8333"))
    table.policy.added_nodes = {NetworkAddress.parse("8.3.1.1:8333")}
    assert set(table.drawn()) == {"8.4.1.1"}


def test_services_decide() -> None:
    table = Table()
    table.know("8.1.1.1", services=int(ServiceFlags.NETWORK))
    table.know("8.2.1.1", services=int(ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS))
    assert set(table.drawn()) == {""}
    assert set(table.drawn(FEELER)) == {"8.1.1.1", "8.2.1.1"}
    table.policy._limited_peers_suffice = lambda: True
    assert set(table.drawn()) == {"8.2.1.1"}


def test_what_was_tried_a_moment_ago_and_odd_ports_are_a_last_resort() -> None:
    table = Table()
    table.know("8.1.1.1:22", "8.2.1.1:8333")
    assert table.drawn(times=200)["8.1.1.1"] < 3
    table.addrman.attempt(NetworkAddress.parse("8.2.1.1:8333"))
    odd = Table()
    odd.know("8.1.1.1:22")
    assert set(odd.drawn()) == {"8.1.1.1"}, f"taken after {AVOID_BAD_PORTS} draws"


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


def test_an_anchor_must_be_usable() -> None:
    table = Table()
    anchor = NetworkAddress.parse("7.7.7.7:8333")
    opening = Opening(BLOCK, anchor=anchor)
    assert table.policy.candidate(opening, []).address == anchor
    table.connect("7.7.1.1")
    assert table.policy.candidate(opening, table.peers) is None, "its group is taken"
    table.refused.add(anchor)
    assert table.policy.candidate(opening, []) is None
    onion = NetworkAddress.parse("pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:8333")
    assert table.policy.candidate(Opening(BLOCK, anchor=onion), []) is None


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
    table.policy.candidate(Opening(FEELER), table.peers)
    assert table.addrman.info(incumbent).last_success == int(table.clock.now())

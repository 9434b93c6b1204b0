"""Gossip: what is taken from peers, passed on, answered and said of ourselves."""

from collections import Counter
from collections.abc import Iterable
from itertools import pairwise
from math import inf

import pytest

from ccnode.peers.addrman import GOSSIP_PENALTY
from ccnode.peers.getaddr import LIFETIME, LIFETIME_SPREAD, MAX_ANSWERS, MAX_PERCENT
from ccnode.peers.gossip import (
    FRESH,
    FUTURE_CLAIM,
    MAX_NEWS,
    OLDEST_CLAIM,
    ROTATION,
    SEND_INTERVAL,
    STALE_CLAIM,
    SYNC_CHECK,
    TAKEN_AT_ONCE,
    AddressGossip,
)
from ccnode.peers.local_addresses import LOCAL_MANUAL, LocalAddresses
from ccnode.peers.peer import ConnectionType
from ccnode.peers.permissions import Permission
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, GetAddr, TimedAddress
from ccnode.wire.protocol import MAX_ADDR_TO_SEND, ServiceFlags
from tests.support.clock import ManualClock
from tests.support.fakes import FakePeer, established_peer, seeded_rng

NOW = 1_700_000_000
INBOUND = ConnectionType.INBOUND
OUTBOUND = ConnectionType.OUTBOUND_FULL_RELAY
BLOCK_RELAY = ConnectionType.BLOCK_RELAY_ONLY
REACHABLE = frozenset({Network.IPV4, Network.IPV6})
ONION = NetworkAddress(Network.ONION, bytes(range(32)), 8333)
I2P = NetworkAddress(Network.I2P, bytes(range(32)), 0)
V6 = NetworkAddress.parse("[2a00:1450:4001::1]:8333")
OURS = NetworkAddress.parse("9.9.9.9:8333")


class Book:
    """An address manager that keeps what it is given, and tells what it is to."""

    def __init__(self) -> None:
        self.added: list[TimedAddress] = []
        self.sources: list[NetworkAddress] = []
        self.told: list[TimedAddress] = []
        self.asked = 0

    def add(self, entries: list[TimedAddress], source: NetworkAddress, time_penalty: int) -> int:
        assert time_penalty == GOSSIP_PENALTY
        self.added += entries
        self.sources.append(source)
        return len(entries)

    def get_addresses(self, max_addresses: int, max_pct: int) -> list[TimedAddress]:
        assert (max_addresses, max_pct) == (MAX_ADDR_TO_SEND, MAX_PERCENT)
        self.asked += 1
        return self.told[:max_addresses]


class Town:
    """A node's gossip with as many peers as a test brings."""

    def __init__(
        self, *, unwanted: Iterable[NetworkAddress] = (), services: int = 9, listens: bool = True, seed: int = 1
    ) -> None:
        self.clock = ManualClock(NOW)
        self.book = Book()
        rng = seeded_rng(seed)
        self.local = LocalAddresses(rng, port=8333, networks=REACHABLE)
        self.ibd = False
        self.peers: list[FakePeer] = []
        self.gossip = AddressGossip(
            self.book,  # type: ignore[arg-type]
            self.clock,
            rng,
            networks=REACHABLE,
            unwanted=set(unwanted),
            local=self.local,
            services=services,
            listens=listens,
            is_ibd=lambda: self.ibd,
        )

    def connect(self, kind: ConnectionType = INBOUND, *, takes_part: bool = True, asked: bool = True) -> FakePeer:
        """A new peer; an inbound one that ``takes_part`` has sent an empty addr."""
        peer = established_peer(len(self.peers), kind)
        peer.connected_at = self.clock.now()
        peer.wants_addrv2 = True
        self.peers.append(peer)
        if asked:
            self.gossip.asked(peer)
        if peer.inbound and takes_part:
            self.hear(peer, Addr(()))
        self.run(peer)
        return peer

    def run(self, *peers: FakePeer) -> None:
        """The passes of the peers that are marked."""
        for peer in peers or self.peers:
            if peer.dirty:
                peer.dirty = False
                self.gossip.send_pass(peer, self.clock.now())

    def later(self, seconds: float = 3600.0) -> None:
        """Let time pass, and with it the timers."""
        self.clock.advance(seconds)
        for peer in self.peers:
            peer.dirty = False
            self.gossip.send_pass(peer, self.clock.now())

    def hear(self, peer: FakePeer, message: Addr | AddrV2 | GetAddr) -> int:
        """Handle ``message``; returns how often others could have gone on meanwhile."""
        if isinstance(message, GetAddr):
            return len(list(self.gossip.on_getaddr(peer, message)))
        return len(list(self.gossip.on_addresses(peer, message)))

    def tell(self, peer: FakePeer, *entries: TimedAddress) -> None:
        self.hear(peer, AddrV2(entries))
        self.run()

    def heard(self) -> dict[int, list[TimedAddress]]:
        """What each peer was told since the last call."""
        received = {}
        for peer in self.peers:
            entries = [entry for message in (*peer.take(Addr), *peer.take(AddrV2)) for entry in message.entries]
            if entries:
                received[peer.id] = entries
        return received


def entries(count: int, *, services: int = 9, time: int = NOW, first: str = "8.8") -> tuple[TimedAddress, ...]:
    return tuple(
        TimedAddress(time, services, NetworkAddress.parse(f"{first}.{i // 250}.{i % 250 + 1}:8333"))
        for i in range(count)
    )


def entry(address: NetworkAddress | str, time: int = NOW, services: int = 9) -> TimedAddress:
    return TimedAddress(time, services, NetworkAddress.parse(address) if isinstance(address, str) else address)


# -- who takes part ----------------------------------------------------------------------------------------------------


def test_outbound_peers_take_part_at_version_but_for_block_relay_only() -> None:
    for kind in ConnectionType:
        town = Town()
        peer = town.connect(kind, takes_part=False)
        assert town.gossip.peer_info(peer.id).relay_enabled is (kind not in (INBOUND, BLOCK_RELAY)), kind
        town.gossip.left(peer)
        assert not town.gossip.peer_info(peer.id).relay_enabled


@pytest.mark.parametrize("message", [Addr(()), AddrV2(()), GetAddr()])
def test_inbound_peers_take_part_from_their_first_message_about_addresses(message: Addr | AddrV2 | GetAddr) -> None:
    town = Town()
    peer = town.connect(takes_part=False)
    town.hear(peer, message)
    assert town.gossip.peer_info(peer.id).relay_enabled
    assert peer.dirty


def test_nothing_is_taken_from_block_relay_only_peers() -> None:
    town = Town()
    peer = town.connect(BLOCK_RELAY)
    town.tell(peer, *entries(3))
    assert town.book.added == []
    assert not town.gossip.peer_info(peer.id).relay_enabled
    assert town.gossip.send_pass(peer, NOW + 1e6) == inf


# -- what is taken -----------------------------------------------------------------------------------------------------


def test_a_peer_may_tell_one_address_at_first_and_one_more_every_ten_seconds() -> None:
    town = Town()
    peer = town.connect()
    town.tell(peer, *entries(3))
    assert len(town.book.added) == 1
    town.clock.advance(50)
    town.tell(peer, *entries(20))
    assert len(town.book.added) == 6
    town.clock.advance(1e6)
    town.tell(peer, *entries(1000))
    town.tell(peer, *entries(1000))
    info = town.gossip.peer_info(peer.id)
    assert (info.processed, info.rate_limited) == (1006, 2 + 15 + 1000)


def test_an_answer_of_a_thousand_is_welcome_besides_what_time_brought() -> None:
    town = Town()
    peer = town.connect(OUTBOUND)
    town.clock.advance(1e6)
    town.tell(peer, *entries(1000))
    assert len(town.book.added) == 1000
    town.tell(peer, *entries(1000))
    assert len(town.book.added) == 1001
    assert set(town.book.sources) == {peer.address}


def test_a_clock_that_goes_back_costs_and_brings_no_tokens() -> None:
    town = Town()
    peer = town.connect()
    town.clock.set_wall(NOW - 1000)
    town.tell(peer, *entries(5))
    town.clock.set_wall(NOW - 990)
    town.tell(peer, *entries(5))
    assert len(town.book.added) == 2


def test_which_of_too_many_are_taken_is_left_to_chance() -> None:
    taken = set()
    for seed in range(20):
        town = Town(seed=seed)
        town.tell(town.connect(), *entries(50))
        taken.update(entry.address for entry in town.book.added)
    assert len(taken) > 10


def test_the_addr_permission_knows_no_rate() -> None:
    town = Town()
    peer = town.connect()
    peer.permissions = Permission.ADDR
    town.tell(peer, *entries(1000))
    assert len(town.book.added) == 1000
    assert town.gossip.peer_info(peer.id).rate_limited == 0


@pytest.mark.parametrize(("count", "breaks"), [(TAKEN_AT_ONCE, 0), (TAKEN_AT_ONCE + 1, 1), (1000, 3)])
def test_others_go_on_while_many_addresses_are_taken(count: int, breaks: int) -> None:
    town = Town()
    assert town.hear(town.connect(OUTBOUND), AddrV2(entries(count))) == breaks
    assert town.book.added == list(entries(count))


def test_only_nodes_that_serve_blocks_are_taken() -> None:
    town = Town()
    peer = town.connect(OUTBOUND)
    town.tell(peer, *entries(2, services=8), *entries(3, services=1024, first="8.9"), *entries(4, first="8.10"))
    assert len(town.book.added) == 7
    assert town.gossip.peer_info(peer.id).processed == 7


@pytest.mark.parametrize(
    ("claimed", "stored"),
    [
        (NOW - 100, NOW - 100),
        (NOW + FUTURE_CLAIM, NOW + FUTURE_CLAIM),
        (NOW + FUTURE_CLAIM + 1, NOW - STALE_CLAIM),
        (OLDEST_CLAIM, NOW - STALE_CLAIM),
        (0, NOW - STALE_CLAIM),
    ],
)
def test_the_time_is_made_plausible(claimed: int, stored: int) -> None:
    town = Town()
    town.tell(town.connect(OUTBOUND), *entries(1, time=claimed))
    assert [entry.time for entry in town.book.added] == [stored]


def test_only_networks_that_can_be_reached_are_stored() -> None:
    town = Town()
    town.tell(town.connect(OUTBOUND), entry(ONION), entry(V6), entry(I2P), entry("8.8.8.8:1"))
    assert [entry.address.network for entry in town.book.added] == [Network.IPV6, Network.IPV4]


def test_unwanted_addresses_are_remembered_as_known_and_nothing_else() -> None:
    given = entries(3)
    town = Town(unwanted={given[1].address})
    peer, other = town.connect(OUTBOUND), town.connect()
    town.tell(peer, entry("8.1.1.1:1"))
    town.heard()
    town.tell(peer, *given)
    town.later()
    assert town.book.added[1:] == [given[0], given[2]]
    assert {entry.address for entry in town.heard()[other.id]} == {given[0].address, given[2].address}
    assert town.gossip.peer_info(peer.id).processed == 3
    assert not town.gossip._peers[peer.id].push(given[1], seeded_rng())


@pytest.mark.parametrize(("count", "done"), [(1, False), (2, True)])
def test_a_peer_that_was_only_to_give_addresses_is_done(count: int, done: bool) -> None:
    town = Town()
    peer = town.connect(ConnectionType.ADDR_FETCH)
    town.tell(peer, *entries(count))
    assert peer.closing is done


# -- what is passed on -------------------------------------------------------------------------------------------------


def crowd(town: Town, size: int) -> FakePeer:
    """``size`` peers that listen; returns another one that may tell them much."""
    source = town.connect(OUTBOUND)
    for _ in range(size):
        town.connect()
    town.hear(source, Addr(()))  # the end of its answer
    return source


def after_news(town: Town, source: FakePeer, address: NetworkAddress | str) -> dict[int, list[TimedAddress]]:
    """What peers are told in the hour after ``source`` told of a fresh address."""
    town.tell(source, entry(address, int(town.clock.now())))
    town.later()
    return town.heard()


def test_an_address_goes_to_two_peers_and_never_back() -> None:
    town = Town()
    source = crowd(town, 20)
    for i in range(30):
        heard = after_news(town, source, f"8.5.{i}.1:8333")
        assert len(heard) == 2
        assert source.id not in heard


def test_an_address_that_we_cannot_reach_goes_to_one_or_two() -> None:
    town = Town()
    source = crowd(town, 20)
    reached = Counter()
    for i in range(60):
        reached[len(after_news(town, source, NetworkAddress(Network.ONION, bytes([i]) * 32, 8333)))] += 1
    assert set(reached) == {1, 2}
    assert min(reached.values()) > 15


def test_who_is_told_stays_the_same_for_a_day() -> None:
    town = Town()
    source = crowd(town, 20)
    address = NetworkAddress.parse("8.5.1.1:8333")
    receivers = []
    for _ in range(ROTATION // 3600):
        for peer in town.peers:  # forget that they know it
            town.gossip._peers[peer.id].known.clear()
        receivers.append(tuple(sorted(after_news(town, source, address))))
    assert len(set(receivers)) == 2  # the day of this address changes somewhere in ours
    assert sum(before != after for before, after in pairwise(receivers)) == 1


def test_receivers_differ_from_address_to_address() -> None:
    town = Town()
    source = crowd(town, 10)
    told = Counter()
    for i in range(100):
        told.update(after_news(town, source, f"8.5.{i}.1:8333").keys())
    assert len(told) == 10
    assert max(told.values()) < 45


@pytest.mark.parametrize(
    "given",
    [
        (entry("8.5.1.1:1", NOW - FRESH),),
        (entry("8.5.1.1:1", NOW + FUTURE_CLAIM + 1),),
        (entry("10.0.0.1:1"),),
        (entry("127.0.0.1:1"),),
        (entry(NetworkAddress.internal("seed.example")),),
        (entry("8.5.1.1:1", services=8),),
        entries(MAX_NEWS + 1),
    ],
    ids=["old", "of the future", "private", "local", "internal", "serves nothing", "in a crowd"],
)
def test_what_is_not_passed_on(given: tuple[TimedAddress, ...]) -> None:
    town = Town()
    town.tell(crowd(town, 5), *given)
    town.later()
    assert town.heard() == {}


def test_the_first_message_of_an_inbound_peer_is_news() -> None:
    town = Town()
    town.connect()
    town.tell(town.connect(takes_part=False), *entries(1))
    town.later()
    assert town.heard() == {0: list(entries(1))}


def test_news_in_messages_of_ten_is_passed_on() -> None:
    town = Town()
    town.tell(crowd(town, 5), *entries(MAX_NEWS))
    town.later()
    heard = Counter(entry.address for told in town.heard().values() for entry in told)
    assert heard == {entry.address: 2 for entry in entries(MAX_NEWS)}


def test_skipped_entries_count_for_the_size_of_the_message() -> None:
    town = Town()
    source = crowd(town, 5)
    town.hear(source, AddrV2(entries(1), skipped=MAX_NEWS))
    town.later()
    assert town.heard() == {}


def test_the_answer_to_getaddr_is_not_passed_on() -> None:
    town = Town()
    source = town.connect(OUTBOUND)
    town.connect()
    town.tell(source, *entries(1000))
    town.tell(source, *entries(5, first="8.10"))
    town.later()
    assert town.heard() == {}
    town.tell(source, entry("8.11.1.1:1", int(town.clock.now())))
    town.later()
    assert len(town.heard()) == 1


def test_only_peers_that_take_part_are_told() -> None:
    town = Town()
    source = crowd(town, 0)
    town.connect(takes_part=False)
    town.connect(BLOCK_RELAY)
    gone = town.connect()
    town.gossip.left(gone)
    town.tell(source, *entries(5))
    town.later()
    assert town.heard() == {}


def test_a_peer_is_told_only_what_its_message_can_carry() -> None:
    town = Town()
    source = crowd(town, 1)
    listener = town.peers[1]
    listener.wants_addrv2 = False
    town.tell(source, entry(ONION), entry(V6), entry("8.8.8.8:1"))
    town.later()
    [message] = listener.take(Addr)
    assert [entry.address.network for entry in message.entries] == [Network.IPV6, Network.IPV4]
    assert listener.take(AddrV2) == []
    listener.wants_addrv2 = True
    town.tell(source, entry(ONION, int(town.clock.now())))
    town.later()
    assert [message.entries[0].address for message in listener.take(AddrV2)] == [ONION]


def test_nobody_is_told_what_it_knows() -> None:
    town = Town()
    source = crowd(town, 1)
    listener = town.peers[1]
    town.tell(listener, entry("8.5.1.1:1"))
    town.tell(source, entry("8.5.1.1:1"), entry("8.5.1.1:2"))
    town.tell(source, entry("8.5.1.1:2"))
    town.later()
    assert [entry.address.port for entry in town.heard()[listener.id]] == [2]
    town.tell(source, entry("8.5.1.1:2", int(town.clock.now())))
    town.later()
    assert listener.id not in town.heard()


def test_a_full_queue_replaces_at_random() -> None:
    town = Town()
    town.connect()
    state = town.gossip._peers[0]
    rng = seeded_rng()
    for given in entries(3 * MAX_ADDR_TO_SEND):
        assert state.push(given, rng)
    assert len(state.queue) == MAX_ADDR_TO_SEND
    first = {entry.address for entry in entries(MAX_ADDR_TO_SEND)}
    assert 0 < sum(entry.address in first for entry in state.queue) < MAX_ADDR_TO_SEND // 2


def test_addresses_leave_at_random_moments_thirty_seconds_apart_on_average() -> None:
    town = Town(services=0)
    source = crowd(town, 1)
    waited = []
    for i in range(300):
        town.tell(source, entry(f"8.5.{i % 250}.{i // 250 + 1}:1", int(town.clock.now())))
        due = town.gossip.send_pass(town.peers[1], town.clock.now())
        assert town.heard() == {}
        assert due > town.clock.now()
        waited.append(due - town.clock.now())
        town.later(waited[-1])
        assert town.heard() == {}  # at the limit is not after it
        town.later(0.001)
        assert len(town.heard()) == 1
        town.later(600)
        assert town.gossip.send_pass(town.peers[1], town.clock.now()) == inf
    assert 0.8 * SEND_INTERVAL < sum(waited) / len(waited) < 1.2 * SEND_INTERVAL


# -- getaddr -----------------------------------------------------------------------------------------------------------


def ask(town: Town, peer: FakePeer) -> list[TimedAddress]:
    """What ``peer`` is told at once when it sends getaddr."""
    town.hear(peer, GetAddr())
    town.run()
    return town.heard().get(peer.id, [])


def test_getaddr_is_answered_once_and_at_once() -> None:
    town = Town()
    town.book.told = list(entries(1000))
    peer = town.connect(takes_part=False)
    assert ask(town, peer) == town.book.told
    assert ask(town, peer) == []
    town.later()
    assert town.heard() == {}


def test_a_second_getaddr_is_ignored_even_if_there_is_more_to_tell() -> None:
    town = Town()
    town.book.told = list(entries(10))
    peer = town.connect(takes_part=False)
    peer.permissions = Permission.ADDR  # its answers would be new ones
    assert ask(town, peer) == town.book.told
    town.book.told = list(entries(10, first="8.9"))
    assert ask(town, peer) == []
    town.later()
    assert town.heard() == {}
    assert town.book.asked == 1


def test_an_answer_holds_only_what_its_message_can_carry() -> None:
    town = Town()
    town.book.told = [entry(ONION), entry(V6), entry("8.8.8.8:1")]
    peer = town.connect(takes_part=False)
    peer.wants_addrv2 = False
    town.hear(peer, GetAddr())
    town.run()
    [message] = peer.take(Addr)
    assert message.entries == (entry(V6), entry("8.8.8.8:1"))


def test_an_answer_is_kept_up_to_the_very_moment() -> None:
    town = Town()
    ask(town, town.connect(takes_part=False))
    [kept] = town.gossip._answers._answers.values()
    town.clock.set_wall(kept.expires)
    ask(town, town.connect(takes_part=False))
    assert town.book.asked == 1
    town.clock.advance(0.001)
    ask(town, town.connect(takes_part=False))
    assert town.book.asked == 2


def test_a_pass_while_the_answer_is_drawn_does_not_delay_it() -> None:
    town = Town()
    town.book.told = list(entries(1000))
    peer = town.connect(takes_part=False)
    steps = town.gossip.on_getaddr(peer, GetAddr())
    next(steps)
    town.later(0)
    assert list(steps) == []
    town.run()
    assert town.heard() == {peer.id: town.book.told}


def test_outbound_peers_get_no_answer() -> None:
    town = Town()
    town.book.told = list(entries(10))
    for kind in set(ConnectionType) - {INBOUND}:
        assert ask(town, town.connect(kind)) == []
    town.later()
    assert town.heard() == {}


def test_who_told_us_addresses_before_waits_for_the_answer() -> None:
    town = Town()
    town.book.told = list(entries(10))
    peer = town.connect()
    assert ask(town, peer) == []
    town.later()
    assert town.heard() == {peer.id: town.book.told}


def test_unwanted_addresses_are_left_out_of_answers() -> None:
    given = entries(5)
    town = Town(unwanted={given[2].address})
    town.book.told = list(given)
    assert ask(town, town.connect(takes_part=False)) == [*given[:2], *given[3:]]


def test_everyone_gets_the_same_answer_for_about_a_day() -> None:
    lives = []
    for seed in range(40):
        town = Town(seed=seed)
        town.book.told = list(entries(50))
        answer = ask(town, town.connect(takes_part=False))
        town.book.told = list(entries(50, first="8.9"))
        while ask(town, town.connect(takes_part=False)) == answer:
            town.clock.advance(1800)
        assert town.book.asked == 2
        lives.append(town.clock.now() - NOW)
    assert min(lives) >= LIFETIME
    assert max(lives) <= LIFETIME + LIFETIME_SPREAD + 1800
    assert max(lives) - min(lives) > 3 * 3600


def test_each_network_and_each_address_of_ours_has_its_own_answer() -> None:
    town = Town()
    binds = [NetworkAddress.parse(text) for text in ("1.1.1.1:8333", "1.1.1.1:8334", "1.1.1.2:8333")]
    for bind in binds:
        for address in ("8.8.8.8:5", V6, "127.0.0.1:5"):
            for _ in range(2):
                peer = town.connect(takes_part=False)
                peer.bind = bind
                peer.address = entry(address).address
                ask(town, peer)
    assert town.book.asked == 9


def test_the_number_of_kept_answers_is_limited() -> None:
    town = Town()
    for i in range(2 * MAX_ANSWERS):
        peer = town.connect(takes_part=False)
        peer.bind = NetworkAddress.parse(f"1.1.{i}.1:1")
        ask(town, peer)
    assert len(town.gossip._answers._answers) == MAX_ANSWERS


def test_the_addr_permission_gets_a_new_answer_each_time() -> None:
    town = Town()
    ask(town, town.connect(takes_part=False))
    town.book.told = list(entries(3))
    peer = town.connect(takes_part=False)
    peer.permissions = Permission.ADDR
    assert ask(town, peer) == town.book.told
    assert ask(town, town.connect(takes_part=False)) == []


# -- ourselves ---------------------------------------------------------------------------------------------------------


def test_our_address_comes_first_and_alone() -> None:
    town = Town()
    town.local.add(OURS, LOCAL_MANUAL)
    town.book.told = list(entries(10))
    peer = town.connect(takes_part=False)
    town.hear(peer, GetAddr())
    town.run()
    first, second = peer.take(AddrV2)
    assert first.entries == (TimedAddress(NOW, 9, OURS),)
    assert second.entries == entries(10)
    outbound = town.connect(OUTBOUND)
    assert [message.entries for message in outbound.take(AddrV2)] == [first.entries]


def test_our_address_is_told_again_about_daily() -> None:
    town = Town()
    town.local.add(OURS, LOCAL_MANUAL)
    peer = town.connect()
    told = 0
    for _ in range(100 * 24):
        town.later(3600)
        told += sum(entry.address == OURS for entry in town.heard().get(peer.id, []))
    assert 75 < told < 125


@pytest.mark.parametrize(
    ("listens", "services"),
    [(False, 9), (True, int(ServiceFlags.WITNESS)), (True, 0)],
    ids=["does not listen", "serves no blocks", "offers nothing"],
)
def test_who_cannot_be_used_says_nothing_of_itself(listens: bool, services: int) -> None:
    town = Town(listens=listens, services=services)
    town.local.add(OURS, LOCAL_MANUAL)
    peer = town.connect()
    town.later(1e6)
    assert town.heard() == {}
    assert town.gossip.send_pass(peer, town.clock.now()) == inf


def test_our_address_is_told_once_the_chain_is_synchronised() -> None:
    town = Town(services=int(ServiceFlags.NETWORK_LIMITED))
    town.ibd = True
    town.local.add(OURS, LOCAL_MANUAL)
    peer = town.connect()
    town.later()
    due = town.gossip.send_pass(peer, town.clock.now())
    assert town.heard() == {}
    assert town.clock.now() < due <= town.clock.now() + SYNC_CHECK
    town.ibd = False
    town.later(due - town.clock.now())
    assert town.heard() == {peer.id: [TimedAddress(int(due), 1024, OURS)]}

"""When seeds are used, played on a clock that the test moves: nobody waits, nobody is asked."""

import logging
from collections.abc import Iterator

import pytest

from ccnode.peers.addrman import AddrMan
from ccnode.peers.bootstrap import (
    AGAIN_FIRST,
    AGAIN_LONGEST,
    DAY,
    FEW_DELAY,
    MANY_ADDRESSES,
    MANY_DELAY,
    Ask,
    DnsSeeds,
    FixedSeeds,
    Pause,
    SeedNodes,
    filtered_name,
)
from ccnode.peers.netgroup import NetGroupManager
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress
from tests.support.clock import ManualClock
from tests.support.fakes import seeded_rng

SEEDS = tuple(f"seed{number}.example." for number in range(8))
SOURCE = NetworkAddress.parse("9.9.9.9:8333")
ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"


class Scene:
    """An address manager, a clock, and how many peers there are."""

    def __init__(self, *, known: int = 0, seed: int = 1) -> None:
        self.clock = ManualClock()
        self.rng = seeded_rng(seed)
        self.addrman = AddrMan(NetGroupManager(), self.clock, self.rng)
        self.peers = 0
        self.active = True
        self.know(known)

    def know(self, count: int) -> None:
        """Make the address manager hold that many addresses."""
        number = 0
        while len(self.addrman) < count:
            number += 1
            entry = TimedAddress(
                int(self.clock.now()), 9, NetworkAddress(Network.IPV4, bytes([23, *divmod(number, 256), 1]), 8333)
            )
            self.addrman.add([entry], NetworkAddress(Network.IPV4, bytes([24, number % 256, 0, 1]), 8333))

    def dns(self, seeds: tuple[str, ...] = SEEDS, *, force: bool = False, after_seednodes: bool = False) -> "Play":
        return Play(
            self,
            DnsSeeds(
                seeds,
                self.addrman,
                self.clock,
                self.rng,
                force=force,
                after_seednodes=after_seednodes,
                full_relay_peers=lambda: self.peers,
                network_active=lambda: self.active,
            ),
        )

    def seed_nodes(self, *targets: str) -> SeedNodes:
        return SeedNodes(targets, self.addrman, self.clock, self.rng, full_relay_peers=lambda: self.peers)

    def fixed(self, *seeds: str, networks: tuple[Network, ...] = (Network.IPV4,), others: bool = True) -> FixedSeeds:
        return FixedSeeds(
            [NetworkAddress.parse(text, 8333) for text in seeds],
            self.addrman,
            self.clock,
            self.rng,
            networks=networks,
            others_may_help=lambda: others,
        )


class Play:
    """Takes the steps of `DnsSeeds`; pauses pass on the clock at once."""

    def __init__(self, scene: Scene, seeds: DnsSeeds) -> None:
        self.scene = scene
        self.seeds = seeds
        self.began = scene.clock.steady()
        self._steps: Iterator[Pause | Ask] = seeds.steps()

    def pause(self) -> float:
        """The next step, which must be a pause; its seconds."""
        step = next(self._steps)
        assert isinstance(step, Pause), step
        self.scene.clock.advance(step.seconds)
        return step.seconds

    def ask(self) -> list[str]:
        """The seeds that are asked next, after any pauses."""
        for step in self._steps:
            if isinstance(step, Ask):
                return list(step.seeds)
            self.scene.clock.advance(step.seconds)
        return []

    @property
    def waited(self) -> float:
        return self.scene.clock.steady() - self.began


@pytest.fixture(autouse=True)
def _all_lines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "ccnode.addrman")


def test_with_no_address_known_all_dns_seeds_are_asked_at_once(caplog: pytest.LogCaptureFixture) -> None:
    play = Scene().dns()
    asked = play.ask()
    assert (sorted(asked), play.waited) == (sorted(SEEDS), 0)
    assert asked != list(SEEDS), "in an order of chance"
    play.scene.peers = 1
    assert play.ask() == []
    assert "0 addresses found from DNS seeds" in caplog.text


@pytest.mark.parametrize(("known", "peers"), [(5, 0), (5, 2)])
def test_forced_dns_seeds_are_asked_at_once_whatever_is_known(known: int, peers: int) -> None:
    scene = Scene(known=known)
    scene.peers = peers
    play = scene.dns(force=True)
    assert (sorted(play.ask()), play.waited) == (sorted(SEEDS), 0)


def test_known_addresses_get_eleven_seconds_before_every_three_dns_seeds(caplog: pytest.LogCaptureFixture) -> None:
    play = Scene(known=5).dns()
    asked = []
    for batch, count in enumerate((3, 3, 2), start=1):
        seeds = play.ask()
        assert (len(seeds), play.waited) == (count, batch * FEW_DELAY)
        asked += seeds
    assert sorted(asked) == sorted(SEEDS)
    assert caplog.text.count("Waiting 11 seconds before querying DNS seeds.") == 3


def test_a_thousand_known_addresses_get_five_minutes(caplog: pytest.LogCaptureFixture) -> None:
    play = Scene(known=MANY_ADDRESSES).dns()
    pauses = [play.pause() for _ in range(28)]
    assert (sum(pauses), set(pauses[:-1])) == (MANY_DELAY, {FEW_DELAY})
    assert (len(play.ask()), play.waited) == (3, MANY_DELAY)
    assert "Waiting 300 seconds before querying DNS seeds." in caplog.text


@pytest.mark.parametrize("known", [5, MANY_ADDRESSES])
def test_two_full_relay_peers_make_dns_seeds_unnecessary(known: int, caplog: pytest.LogCaptureFixture) -> None:
    play = Scene(known=known).dns()
    play.pause()
    play.scene.peers = 2
    assert (play.ask(), play.waited) == ([], FEW_DELAY)
    assert "P2P peers available. Skipped DNS seeding." in caplog.text


def test_one_full_relay_peer_does_not() -> None:
    play = Scene(known=5).dns()
    play.scene.peers = 1
    assert len(play.ask()) == 3


def test_two_full_relay_peers_end_dns_seeding_for_good(caplog: pytest.LogCaptureFixture) -> None:
    play = Scene(known=5).dns()
    [seed, *_] = play.ask()
    play.seeds.answered(filtered_name(seed), [NetworkAddress.parse("8.8.8.8:8333")])
    play.scene.peers = 2
    assert play.ask() == []
    assert "1 addresses found from DNS seeds" in caplog.text
    assert "P2P peers available. Finished DNS seeding." in caplog.text


def test_dns_seeds_wait_while_networking_is_off() -> None:
    scene = Scene()
    scene.active = False
    play = scene.dns()
    assert [play.pause() for _ in range(90)] == [1.0] * 90
    scene.active = True
    assert len(play.ask()) == len(SEEDS)


def test_seed_nodes_get_half_a_minute_before_dns_seeds(caplog: pytest.LogCaptureFixture) -> None:
    play = Scene().dns(after_seednodes=True)
    assert len(play.ask()) == len(SEEDS)
    assert play.waited == 30.5
    assert "Couldn't connect to enough peers via seed nodes. Handing fetch logic to the DNS seeds." in caplog.text


def test_seed_nodes_that_brought_two_peers_make_dns_seeds_unnecessary(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(known=5)
    play = scene.dns(after_seednodes=True)
    assert play.pause() == 0.5
    scene.peers = 2
    assert (play.ask(), play.waited) == ([], 0.5)
    assert "P2P peers available. Finished fetching data from seed nodes." in caplog.text
    assert "Skipping DNS seeds. Enough peers have been found" in caplog.text


def test_a_node_without_any_peer_asks_again_less_and_less_often() -> None:
    play = Scene().dns(("only.example.",))
    assert play.ask() == ["only.example."]
    gaps = []
    for _ in range(9):
        before = play.waited
        assert play.ask() == ["only.example."]
        gaps.append(play.waited - before)
    assert gaps == [AGAIN_FIRST * 2**number for number in range(6)] + [AGAIN_LONGEST] * 3
    play.scene.peers = 1
    assert play.ask() == []


def test_dns_answers_are_some_days_old_and_have_a_source_of_their_own() -> None:
    scene = Scene()
    play = scene.dns()
    addresses = [NetworkAddress.parse(f"8.{number}.8.8:8333") for number in range(32)]
    play.seeds.answered("x9.seed0.example.", addresses)
    entries = [scene.addrman.info(address) for address in addresses]
    known = [entry for entry in entries if entry is not None]
    assert len(known) > 25, "a source has only so many slots"
    ages = [scene.clock.now() - entry.time for entry in known]
    assert all(3 * DAY <= age < 7 * DAY for age in ages)
    assert max(ages) - min(ages) > DAY
    assert {entry.services for entry in known} == {9}
    assert {entry.source for entry in known} == {NetworkAddress.internal("x9.seed0.example.")}


# -- seed nodes -------------------------------------------------------------------------------------------------------


def test_the_first_seed_node_is_used_at_once_if_no_address_is_known(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    nodes = scene.seed_nodes("a.example", "b.example")
    first = nodes.due()
    assert first in ("a.example", "b.example")
    assert nodes.due() is None
    assert f"Empty addrman, adding seednode ({first}) to addrfetch" in caplog.text


def test_a_seed_node_is_used_every_ten_wall_seconds_while_peers_are_wanting(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene(known=1)
    nodes = scene.seed_nodes("a.example", "b.example", "c.example")
    used = []
    for _ in range(3):
        assert nodes.due() is None
        scene.clock.advance_steady(3600)
        assert nodes.due() is None, "the wall clock counts, which a test can set"
        scene.clock.set_wall(scene.clock.now() + 10)
        used.append(nodes.due())
    assert sorted(used, key=str) == ["a.example", "b.example", "c.example"]
    scene.clock.advance(10)
    assert nodes.due() is None, "each is used once"
    assert "Couldn't connect to peers from addrman after 10 seconds. Adding seednode (a.example)" in caplog.text


def test_two_full_relay_peers_make_seed_nodes_unnecessary_until_they_are_gone() -> None:
    scene = Scene(known=1)
    nodes = scene.seed_nodes("a.example")
    scene.peers = 2
    scene.clock.advance(100)
    assert nodes.due() is None
    scene.peers = 1
    assert nodes.due() == "a.example"


def test_seed_nodes_are_used_in_an_order_of_chance() -> None:
    assert {Scene(seed=seed).seed_nodes("a", "b", "c").due() for seed in range(30)} == {"a", "b", "c"}


# -- fixed seeds ------------------------------------------------------------------------------------------------------


def test_fixed_seeds_are_added_after_a_minute_without_addresses(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    fixed = scene.fixed("8.8.8.8", "9.9.9.9")
    scene.clock.set_wall(scene.clock.now() + 60)
    fixed.add_if_due()
    assert len(scene.addrman) == 0
    scene.clock.set_wall(scene.clock.now() + 1)
    fixed.add_if_due()
    assert len(scene.addrman) == 2
    assert "Adding fixed seeds as 60 seconds have passed and addrman is empty" in caplog.text
    assert "Added 2 fixed seeds from reachable networks." in caplog.text


def test_fixed_seeds_are_added_at_once_if_nobody_else_can_help(caplog: pytest.LogCaptureFixture) -> None:
    scene = Scene()
    scene.fixed("8.8.8.8", others=False).add_if_due()
    assert len(scene.addrman) == 1
    assert "Adding fixed seeds as -dnsseed=0" in caplog.text


def test_fixed_seeds_are_for_reachable_networks_without_addresses() -> None:
    scene = Scene(known=1)
    fixed = scene.fixed("8.8.8.8", "2a00::1", ONION, networks=(Network.IPV4, Network.IPV6), others=False)
    fixed.add_if_due()
    assert scene.addrman.size(Network.IPV4) == 1, "there was one"
    assert scene.addrman.size(Network.IPV6) == 1
    assert scene.addrman.size(Network.ONION) == 0, "not reachable"


def test_fixed_seeds_are_one_to_two_weeks_old_and_used_once() -> None:
    scene = Scene()
    fixed = scene.fixed("8.8.8.8", others=False)
    fixed.add_if_due()
    address = NetworkAddress.parse("8.8.8.8:8333")
    entry = scene.addrman.info(address)
    assert entry is not None
    assert 7 * DAY <= scene.clock.now() - entry.time < 14 * DAY
    assert (entry.services, entry.source) == (9, NetworkAddress.internal("fixedseeds"))
    scene.addrman = AddrMan(NetGroupManager(), scene.clock, scene.rng)
    fixed._addrman = scene.addrman
    scene.clock.advance(1000)
    fixed.add_if_due()
    assert len(scene.addrman) == 0

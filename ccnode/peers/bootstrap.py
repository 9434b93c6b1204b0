"""Where the first addresses come from, and when (Core: ``ThreadDNSAddressSeed``, parts of ``ThreadOpenConnections``).

A node that knows nobody has to trust somebody. The three sources here are asked in the order of that trust, and none
of them while the node can do without:

- `SeedNodes`, which a person named (``seednode``): at once if no address is known, else one in ten seconds as long as
  there are fewer than two full-relay peers. Each is asked for addresses and left.
- `DnsSeeds`, names that crawlers answer for. All of them if no address is known or a person insists
  (``forcednsseed``). Otherwise three at a time, and before each three the known addresses get eleven seconds, or five
  minutes if there are a thousand: a question tells the seed who starts a node, and an answer gives it influence on our
  peers. Two full-relay peers end it for good.
- `FixedSeeds`, a list that came with the program: for networks of which no address is known a minute after the start,
  or at once where nothing else could bring one.

What they give is stored as seen days ago, under a source of its own for each, so that whatever gossip tells is newer
and a single seed fills no more than its share of the address manager.

`SeedNodes` and `FixedSeeds` go by the wall clock, as in Core. The waits before DNS seeds are real time there, and here.
Unlike Core, a node without a single peer asks the DNS seeds again, less and less often: it may have been started before
its network was up.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ccnode.clock import Clock
from ccnode.peers.addrman import AddrMan
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress
from ccnode.wire.protocol import ServiceFlags

log = logging.getLogger("ccnode.addrman")

DAY: Final = 86_400

SEED_SERVICES: Final = ServiceFlags.NETWORK | ServiceFlags.WITNESS
"""What seeded nodes should offer (Core: ``SeedsServiceFlags``)."""

ENOUGH_PEERS: Final = 2
"""Full-relay peers that make seeds unnecessary (Core: ``SEED_OUTBOUND_CONNECTION_THRESHOLD``)."""

SEEDS_AT_ONCE: Final = 3
"""DNS seeds asked before looking again whether more are needed (Core: ``DNSSEEDS_TO_QUERY_AT_ONCE``)."""

FEW_DELAY: Final = 11
MANY_DELAY: Final = 300
"""Seconds that known addresses get before DNS seeds are asked (Core: ``DNSSEEDS_DELAY_FEW_PEERS``, ``..MANY_PEERS``).
The longer delay is looked at in steps of the shorter."""

MANY_ADDRESSES: Final = 1000
"""Known addresses that get the longer delay (Core: ``DNSSEEDS_DELAY_PEER_THRESHOLD``)."""

SEEDNODE_PATIENCE: Final = 30.0
SEEDNODE_CHECK: Final = 0.5
"""Wall seconds that ``seednode`` peers get before the DNS seeds' turn; real seconds between looks (Core: the same)."""

INACTIVE_CHECK: Final = 1.0
"""Real seconds between looks whether the network is on again."""

AGAIN_FIRST: Final = 60.0
AGAIN_LONGEST: Final = 3600.0
"""Real seconds after which a node without peers asks the DNS seeds again."""

NEXT_SEEDNODE: Final = 10
"""Wall seconds between two ``seednode`` peers (Core: ``ADD_NEXT_SEEDNODE``)."""

FIXED_SEEDS_DELAY: Final = 60
"""Wall seconds after the start in which others may bring addresses."""

DNS_AGES: Final = (3 * DAY, 7 * DAY)
FIXED_AGES: Final = (7 * DAY, 14 * DAY)
"""Seconds: how long ago seeded addresses are said to have been seen."""


def filtered_name(seed: str) -> str:
    """The name under which ``seed`` gives only nodes that offer `SEED_SERVICES`."""
    return f"x{int(SEED_SERVICES):x}.{seed}"


def seeded(addresses: Iterable[NetworkAddress], ages: tuple[int, int], clock: Clock, rng: Rng) -> list[TimedAddress]:
    """Entries for the address manager, each of a random age between the two (seconds)."""
    now = int(clock.now())
    return [TimedAddress(now - rng.randrange(*ages), int(SEED_SERVICES), address) for address in addresses]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait so many real seconds, then take the next step."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask these DNS seeds, and tell `DnsSeeds.answered` before the next step."""

    seeds: Sequence[str]


class DnsSeeds:
    """The DNS seeds of a run. Whoever can wait and ask takes one step after the other from `steps`."""

    def __init__(
        self,
        seeds: Sequence[str],
        addrman: AddrMan,
        clock: Clock,
        rng: Rng,
        *,
        force: bool,
        after_seednodes: bool,
        full_relay_peers: Callable[[], int],
        network_active: Callable[[], bool],
    ) -> None:
        """
        :param force: ask all of them, whatever is known (``forcednsseed``).
        :param after_seednodes: give the ``seednode`` peers time first.
        :param full_relay_peers: how many there are, their handshakes complete.
        """
        self.found = 0
        """Addresses that the seeds gave so far."""
        self._seeds = list(seeds)
        self._addrman = addrman
        self._clock = clock
        self._rng = rng
        self._force = force
        self._after_seednodes = after_seednodes
        self._full_relay_peers = full_relay_peers
        self._network_active = network_active

    def steps(self) -> Iterator[Pause | Ask]:
        """What to do, until nothing is left to do."""
        if self._after_seednodes:
            yield from self._wait_for_seednodes()
        pause = AGAIN_FIRST
        yield from self._round()
        while not self._full_relay_peers():
            yield Pause(pause)
            pause = min(pause * 2, AGAIN_LONGEST)
            if not self._full_relay_peers():
                yield from self._round()

    def answered(self, source: str, addresses: Sequence[NetworkAddress]) -> None:
        """The name ``source`` stands for these addresses."""
        self.found += len(addresses)
        self._addrman.add(seeded(addresses, DNS_AGES, self._clock, self._rng), NetworkAddress.internal(source))

    def _wait_for_seednodes(self) -> Iterator[Pause]:
        log.info(
            "-seednode enabled. Trying the provided seeds for %d seconds before defaulting to the dnsseeds.",
            SEEDNODE_PATIENCE,
        )
        began = self._clock.now()
        while True:
            yield Pause(SEEDNODE_CHECK)
            if self._clock.now() > began + SEEDNODE_PATIENCE:
                log.info("Couldn't connect to enough peers via seed nodes. Handing fetch logic to the DNS seeds.")
                return
            if self._enough():
                log.info("P2P peers available. Finished fetching data from seed nodes.")
                return

    def _round(self) -> Iterator[Pause | Ask]:
        """Every seed once, as long as peers are wanting."""
        seeds = self._seeds[:]
        self._rng.shuffle(seeds)
        all_at_once = self._force or not len(self._addrman)
        if self._enough() and not all_at_once:
            log.info("Skipping DNS seeds. Enough peers have been found")
            return
        delay = MANY_DELAY if len(self._addrman) >= MANY_ADDRESSES else FEW_DELAY
        size = len(seeds) if all_at_once else SEEDS_AT_ONCE
        for first in range(0, len(seeds), size):
            if not all_at_once and len(self._addrman):
                yield from self._head_start(delay)
                if self._enough():
                    self._say_done()
                    return
            if not self._network_active():
                log.info("Waiting for network to be reactivated before querying DNS seeds.")
                while not self._network_active():
                    yield Pause(INACTIVE_CHECK)
            yield Ask(seeds[first : first + size])
        log.info("%d addresses found from DNS seeds", self.found)

    def _head_start(self, delay: int) -> Iterator[Pause]:
        log.info("Waiting %d seconds before querying DNS seeds.", delay)
        for waited in range(0, delay, FEW_DELAY):
            yield Pause(min(FEW_DELAY, delay - waited))
            if self._enough():
                return

    def _say_done(self) -> None:
        if self.found:
            log.info("%d addresses found from DNS seeds", self.found)
            log.info("P2P peers available. Finished DNS seeding.")
        else:
            log.info("P2P peers available. Skipped DNS seeding.")

    def _enough(self) -> bool:
        return self._full_relay_peers() >= ENOUGH_PEERS


class SeedNodes:
    """The ``seednode`` peers, each used once, in an order of chance."""

    def __init__(
        self,
        targets: Sequence[str],
        addrman: AddrMan,
        clock: Clock,
        rng: Rng,
        *,
        full_relay_peers: Callable[[], int],
    ) -> None:
        self._left = list(targets)
        rng.shuffle(self._left)
        self._addrman = addrman
        self._clock = clock
        self._full_relay_peers = full_relay_peers
        self._at_once = not len(addrman)
        self._last = clock.now()

    def due(self) -> str | None:
        """The next one, if it is time to fetch addresses from it."""
        if not self._left:
            return None
        if not self._at_once:
            waited = self._clock.now() >= self._last + NEXT_SEEDNODE
            if not waited or self._full_relay_peers() >= ENOUGH_PEERS:
                return None
        self._at_once = False
        self._last = self._clock.now()
        target = self._left.pop()
        if len(self._addrman):
            log.info(
                "Couldn't connect to peers from addrman after %d seconds. Adding seednode (%s) to addrfetch",
                NEXT_SEEDNODE,
                target,
            )
        else:
            log.info("Empty addrman, adding seednode (%s) to addrfetch", target)
        return target


class FixedSeeds:
    """The list that came with the program, used once for each network."""

    def __init__(
        self,
        seeds: Iterable[NetworkAddress],
        addrman: AddrMan,
        clock: Clock,
        rng: Rng,
        *,
        networks: Iterable[Network],
        others_may_help: Callable[[], bool],
    ) -> None:
        """
        :param networks: those we can connect to; seeds of others are no use.
        :param others_may_help: whether DNS seeds, ``seednode`` or ``addnode`` are there to bring addresses.
        """
        reachable = frozenset(networks)
        self._left = [address for address in seeds if address.network in reachable]
        self._addrman = addrman
        self._clock = clock
        self._rng = rng
        self._others_may_help = others_may_help
        self._began = clock.now()

    def add_if_due(self) -> None:
        """Give the address manager those of networks that it knows nothing of, if it is time."""
        wanting = [network for network in {seed.network for seed in self._left} if not self._addrman.size(network)]
        if not wanting:
            return
        if self._clock.now() > self._began + FIXED_SEEDS_DELAY:
            log.info(
                "Adding fixed seeds as %d seconds have passed and addrman is empty for at least one reachable network",
                FIXED_SEEDS_DELAY,
            )
        elif not self._others_may_help():
            log.info(
                "Adding fixed seeds as -dnsseed=0 (or IPv4/IPv6 connections are disabled via -onlynet) and neither "
                "-addnode nor -seednode are provided"
            )
        else:
            return
        added = [seed for seed in self._left if seed.network in wanting]
        self._left = [seed for seed in self._left if seed.network not in wanting]
        entries = seeded(added, FIXED_AGES, self._clock, self._rng)
        self._addrman.add(entries, NetworkAddress.internal("fixedseeds"))
        log.info("Added %d fixed seeds from reachable networks.", len(added))

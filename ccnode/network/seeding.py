"""Asks for the first addresses: what `peers.bootstrap` decides is done here.

A DNS seed is asked under the name that filters by services. One that has no answer for it is treated like a node that
a person named: connected to under its plain name, asked for addresses and left (an *addr-fetch* connection). So are all
of them where names are left to a proxy, since a question to a name server would tell who asks; and an entry of
``signetseednode`` that is no name but an address, or has a port.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial

import gevent
from gevent.event import Event

from ccnode.network.dialer import Dialer
from ccnode.network.dns import SeedResolver
from ccnode.network.hub import Supervisor, spawn
from ccnode.peers.bootstrap import Ask, DnsSeeds, FixedSeeds, SeedNodes, filtered_name
from ccnode.peers.peer import ConnectionType
from ccnode.wire.address import NetworkAddress

log = logging.getLogger("ccnode.addrman")

LOOP_PAUSE = 0.5
"""Real seconds between two looks at seed nodes and fixed seeds (Core's loop)."""

CLOSE_SECONDS = 1.0
"""How long the end of the node waits for dials under way."""


class Seeding:
    """Fills an address manager that has too little in it."""

    def __init__(
        self,
        resolver: SeedResolver,
        dialer: Dialer,
        *,
        dns_seeds: DnsSeeds | None,
        seed_nodes: SeedNodes,
        fixed_seeds: FixedSeeds,
        slot_free: Callable[[int], bool],
        name_proxy: bool,
    ) -> None:
        """
        :param dns_seeds: None where there are none to ask.
        :param slot_free: whether there is room for one more automatic connection besides those being dialed here.
        :param name_proxy: no name may be looked up; the dialer's proxy does that.
        """
        self.asked: dict[str, int] = {}
        """DNS seed to the number of addresses it gave last."""
        self.failures: dict[str, str] = {}
        """DNS seed to the reason, where the last question failed."""
        self._resolver = resolver
        self._dialer = dialer
        self._dns_seeds = dns_seeds
        self._seed_nodes = seed_nodes
        self._fixed_seeds = fixed_seeds
        self._slot_free = slot_free
        self._name_proxy = name_proxy
        self._fetches: list[gevent.Greenlet] = []
        self._stopping = Event()
        self._supervisors: list[Supervisor] = []

    @property
    def asks_dns(self) -> bool:
        """Whether there are DNS seeds to ask."""
        return self._dns_seeds is not None

    def start(self) -> None:
        if self._dns_seeds is not None:
            self._supervisors.append(Supervisor("dns-seeds", partial(self._run_dns, self._dns_seeds)))
        self._supervisors.append(Supervisor("seeding", self._run))

    def close(self) -> None:
        """Ask nobody any more."""
        self._stopping.set()
        for supervisor in self._supervisors:
            supervisor.stop(timeout=0.0)  # a name server may take long to answer
        gevent.killall(self._fetches, timeout=CLOSE_SECONDS)

    def _run(self) -> None:
        while True:
            target = self._seed_nodes.due()
            if target is not None:
                self._fetch(target)
            self._fixed_seeds.add_if_due()
            if self._stopping.wait(LOOP_PAUSE):
                return

    # -- DNS seeds -----------------------------------------------------------------------------------------------

    def _run_dns(self, dns_seeds: DnsSeeds) -> None:
        for step in dns_seeds.steps():
            if isinstance(step, Ask):
                self._ask_all(dns_seeds, step.seeds)
            elif self._stopping.wait(step.seconds):
                return

    def _ask_all(self, dns_seeds: DnsSeeds, seeds: Sequence[str]) -> None:
        questions = [spawn(f"dns {seed}", self._ask, dns_seeds, seed) for seed in seeds]
        try:
            gevent.joinall(questions, raise_error=True)
        finally:
            gevent.killall(questions, block=False)  # those that nobody waits for any more
        reasons = Counter(self.failures[seed] for seed in seeds if seed in self.failures)
        for reason, count in reasons.most_common():
            log.info("%d of %d DNS seeds: %s", count, len(seeds), reason)

    def _ask(self, dns_seeds: DnsSeeds, seed: str) -> None:
        log.info("Loading addresses from DNS seed %s", seed)
        if self._name_proxy or not _is_plain_name(seed):
            self._fetch(seed)
            return
        self.asked[seed] = 0
        self.failures.pop(seed, None)
        name = filtered_name(seed)
        try:
            addresses = self._resolver.addresses(name)
        except OSError as error:
            self.failures[seed] = str(error)
            self._fetch(seed, self._resolver)
            return
        self.asked[seed] = len(addresses)
        dns_seeds.answered(name, addresses)

    # -- addr-fetch connections ----------------------------------------------------------------------------------

    def _fetch(self, target: str, resolver: SeedResolver | None = None) -> None:
        """Connect to ``target`` for its addresses, in the background. With ``resolver``, that one knows its name."""
        self._fetches = [task for task in self._fetches if not task.dead]
        if not self._slot_free(len(self._fetches)):
            log.debug("no slot free to fetch addresses from %s", target)
            return
        self._fetches.append(spawn(f"fetch {target}", self._fetch_now, target, resolver))

    def _fetch_now(self, target: str, resolver: SeedResolver | None) -> None:
        if resolver is None:
            self._dialer.try_once(target, ConnectionType.ADDR_FETCH)
            return
        try:
            addresses = resolver.addresses(target)
        except OSError as error:
            log.debug("DNS seed %s: %s", target, error)
            return
        for address in addresses:
            if self._dialer.dial(address, ConnectionType.ADDR_FETCH, target) is not None:
                return


def _is_plain_name(seed: str) -> bool:
    """Whether it is a name without a port."""
    try:
        NetworkAddress.parse(seed)
    except ValueError:
        return ":" not in seed
    return False

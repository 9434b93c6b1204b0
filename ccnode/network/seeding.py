"""When the DNS seeds are asked (a plain form of Core's procedure, ``ThreadDNSAddressSeed``).

With no address known, or when told to, at once. Otherwise the known addresses get a head start, long if there
are many, and the seeds are asked only if fewer than two outbound connections came of it. A node that still has no peer
asks again, less and less often.
"""

import logging
from collections import Counter
from collections.abc import Callable, Sequence

from gevent.event import Event

from ccnode.clock import Clock
from ccnode.network.dns import SEED_SERVICES, SeedResolver
from ccnode.network.hub import Supervisor, spawn
from ccnode.peers.addrman import AddrMan
from ccnode.rng import Rng
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import TimedAddress

log = logging.getLogger("ccnode.addrman")

HEAD_START = 11.0
"""Seconds that known addresses get before seeds are asked."""

LONG_HEAD_START = 300.0
"""The same with `MANY_ADDRESSES` known."""

MANY_ADDRESSES = 1000
ENOUGH_PEERS = 2
"""Outbound connections that make the seeds unnecessary."""

RETRY_FIRST = 60.0
RETRY_LONGEST = 3600.0
"""Seconds between rounds while there is no outbound connection."""

YOUNGEST_AGE = 3 * 86_400
OLDEST_AGE = 7 * 86_400
"""Seconds: the range of "last seen" given to seeded addresses, so that gossip about them wins."""


class DnsSeeding:
    """Asks the seeds when they are needed, in a supervised greenlet of its own."""

    def __init__(
        self,
        seeds: Sequence[str],
        resolver: SeedResolver,
        addrman: AddrMan,
        clock: Clock,
        rng: Rng,
        *,
        outbound_count: Callable[[], int],
        force: bool = False,
    ) -> None:
        self._seeds = list(seeds)
        self._resolver = resolver
        self._addrman = addrman
        self._clock = clock
        self._rng = rng
        self._outbound_count = outbound_count
        self._force = force
        self._stopping = Event()
        self.asked: dict[str, int] = {}
        """Seed to the number of addresses it gave last."""
        self.failures: dict[str, str] = {}
        """Seed to the reason, where the last question failed."""
        self._supervisor: Supervisor | None = None

    def start(self) -> None:
        self._supervisor = Supervisor("dns-seeds", self._run)

    def _run(self) -> None:
        if not self._force and len(self._addrman):
            head_start = LONG_HEAD_START if len(self._addrman) >= MANY_ADDRESSES else HEAD_START
            if self._stopping.wait(head_start) or self._outbound_count() >= ENOUGH_PEERS:
                return
        pause = RETRY_FIRST
        while True:
            self._ask_all()
            if self._stopping.wait(pause) or self._outbound_count():
                return
            pause = min(pause * 2, RETRY_LONGEST)

    def _ask_all(self) -> None:
        seeds = self._seeds[:]
        self._rng.shuffle(seeds)
        log.info("asking %d DNS seeds for addresses", len(seeds))
        questions = [spawn(f"dns {seed}", self._ask, seed) for seed in seeds]
        for question in questions:
            question.join()
        log.info("DNS seeds gave %d addresses%s", sum(self.asked.values()), self._failed_in_short())

    def _failed_in_short(self) -> str:
        reasons = Counter(self.failures.values())
        return "".join(f"; {count} of {len(self._seeds)}: {reason}" for reason, count in reasons.most_common())

    def _ask(self, seed: str) -> None:
        self.asked[seed] = 0
        self.failures.pop(seed, None)
        try:
            addresses = self._resolver.addresses(seed)
        except OSError as error:
            self.failures[seed] = str(error)
            return
        self.asked[seed] = len(addresses)
        now = int(self._clock.now())
        entries = [
            TimedAddress(now - self._rng.randrange(YOUNGEST_AGE, OLDEST_AGE), int(SEED_SERVICES), address)
            for address in addresses
        ]
        self._addrman.add(entries, NetworkAddress.internal(seed))

    def close(self) -> None:
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.stop()

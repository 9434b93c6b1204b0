"""``watch``: a census a day, and in between visits to the nodes whose time has come.

**Revisits.** Every ``--every`` seconds the nodes that are due are visited, each when its history says that it is worth
while (``history.py``): soon after it appeared or failed, rarely once it has been up for long. Of these visits sessions,
reliability and churn are made. They ask for no addresses: a node gives the same ones for a day. A lap is a round of its
own in the file, of the state `REVISIT`, so that reports and comparisons speak of whole censuses.

**Listening.** With ``--listen N``, as many connections stay, to nodes that were reached, and hear which addresses are
announced: an estimate of the nodes that nobody can reach (``announced.py``), and new nodes, which the next lap visits.

Killed at any moment, it goes on where it was: the census by its journal, the laps by the times in the file.
"""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Final

from gevent.event import Event
from rich.console import Console

from ccnode.crawler.announced import Announcements
from ccnode.crawler.census import Census, End
from ccnode.crawler.guard import network_of
from ccnode.crawler.history import Presence, presence
from ccnode.crawler.listen import Ear, Interest, Listener
from ccnode.crawler.options import parse
from ccnode.crawler.outcome import SEED_SOURCE
from ccnode.crawler.parts import Parts
from ccnode.crawler.round import describe, open_store, preflight, prepare_process, round_limits, take_census
from ccnode.crawler.rows import REVISIT
from ccnode.crawler.store import Store
from ccnode.crawler.table import BY_STORE, VIA
from ccnode.crawler.words import addresses
from ccnode.errors import ExitStatus
from ccnode.rng import system_rng
from ccnode.runner import stop_on_signals
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, pack_address, read_packed, unpack_address
from ccnode.wire.framing import Frame

DAY: Final = 86_400.0
CENSUS_SECONDS: Final = DAY
"""From one census to the next: as long as nodes give the same answer to ``getaddr``."""
MOST_DUE: Final = 20_000
"""Nodes of one lap; those due for longest come first."""
MOST_NEW: Final = 5_000
"""Announced addresses kept for the next lap."""
CANDIDATES: Final = 1_000
"""Nodes reached last, among which a place to listen at is drawn."""
LISTENING_NETWORKS: Final = frozenset({Network.IPV4, Network.IPV6})


class Watch:
    """Runs until `stop`. It is its listener's hearer."""

    def __init__(self, parts: Parts, store: Store, console: Console, listeners: int = 0) -> None:
        self._parts = parts
        self._clock = parts.clock
        self._store = store
        self._console = console
        self._rng = system_rng()
        self._announced = Announcements()
        self._new: dict[bytes, None] = {}
        self._ears: set[Ear] = set()
        self._stopping = Event()
        self._stop_round: Callable[[], object] = lambda: None
        self._listener = Listener(
            parts.params,
            parts.routes,
            parts.clock,
            self._rng,
            self,
            user_agent=parts.user_agent,
            interests=frozenset({Interest.ADDRESSES}),
        )
        self._slots = listeners

    def stop(self) -> None:
        """End soon, with everything kept."""
        self._stopping.set()
        self._stop_round()

    def run(self) -> None:
        """Census and laps in turn."""
        deadline = self._clock.steady() + self._parts.options.max_time
        for _ in range(self._slots):
            self._listener.add_slot(self._choose_peer)
        try:
            while not self._stopping.is_set():
                if self._census_is_due():
                    self._census()
                else:
                    self._lap()
                left = deadline - self._clock.steady()
                if left <= 0 or self._stopping.wait(min(self._parts.options.every, left)):
                    return
        finally:
            self._listener.stop()

    # -- rounds --------------------------------------------------------------------------------------------------

    def _census_is_due(self) -> bool:
        last = self._store.last_census()
        return last is None or self._clock.now() - last >= CENSUS_SECONDS

    def _census(self) -> None:
        lately = self._clock.now() - CENSUS_SECONDS
        self._parts.options = replace(self._parts.options, resume=self._store.unfinished(lately) is not None)
        take_census(self._parts, self._store, self._console, self._stoppable)

    def _stoppable(self, stop: Callable[[], object]) -> None:
        self._stop_round = stop

    def _lap(self) -> None:
        """Visit whoever is due."""
        parts, now = self._parts, self._clock.now()
        due = [node.key for node in self._store.revisits(MOST_DUE) if node.next_visit <= now]
        new, self._new = list(self._new), {}
        if not due and not new:
            self._tell_idle()
            return
        frontier = parts.frontier()
        self._store.begin_round(describe(parts) | self._estimate(), parts.options.vantage, REVISIT)
        queued = frontier.seed([*due, *new], BY_STORE)
        self._store.learned(SEED_SOURCE, [(0, 0, key) for key in queued], VIA[BY_STORE])
        limits = round_limits(parts.options, sum(parts.lanes.values()))
        census = Census(frontier, parts.visitor(), self._store, limits, parts.clock, ask_addresses=False)
        self._stoppable(census.stop)
        end = census.run()
        self._store.finish_round(REVISIT)
        self._tell(census, len(due), len(new), end)

    def _tell_idle(self) -> None:
        """Whoever watches sees that it goes on."""
        first = self._store.revisits(1)
        if first and not self._parts.options.json:
            due = time.strftime("%H:%M:%S", time.localtime(first[0].next_visit))
            print(f"{time.strftime('%H:%M:%S')}  no node is due before {due}", flush=True)

    def _estimate(self) -> dict[str, int]:
        """What listening says by now, kept with the lap."""
        reached = self._store.reached_since(self._clock.now() - DAY, MOST_DUE)
        return {
            "listened_at": len(self._ears),
            "announced": len(self._announced),
            "announced_unreachable": self._announced.unreachable(reached),
        }

    def _tell(self, census: Census, due: int, new: int, end: End) -> None:
        counts = dict.fromkeys(Presence, 0)
        for outcome, count in census.progress.outcomes.items():
            found = presence(outcome)
            if found is not None:
                counts[found] += count
        figures: dict[str, Any] = {
            "due": due,
            "new": new,
            **{each.value: count for each, count in counts.items()},
            **self._estimate(),
            "seconds": round(census.elapsed, 1),
        }
        if self._parts.options.json:
            print(json.dumps({"event": "lap", "time": round(time.time(), 3), "why": end.value, **figures}), flush=True)
            return
        line = (
            f"{time.strftime('%H:%M:%S')}  {due} due and {new} announced: {figures['up']} up, {figures['busy']} busy, "
            f"{figures['down']} down, in {figures['seconds']} s"
        )
        if self._slots:
            line += (
                f"; {addresses(figures['announced'])} announced within a day, of them "
                f"{figures['announced_unreachable']} not reachable"
            )
        print(line, flush=True)

    # -- listening -----------------------------------------------------------------------------------------------

    def _choose_peer(self) -> NetworkAddress | None:
        """A node that was reached lately, of a network whose connections cost nobody much."""
        reached = self._store.reached_since(self._clock.now() - DAY, CANDIDATES)
        suitable = [key for key in reached if network_of(key) in LISTENING_NETWORKS]
        return unpack_address(self._rng.choice(suitable)) if suitable else None

    def attached(self, ear: Ear) -> None:
        self._ears.add(ear)

    def detached(self, ear: Ear) -> None:
        self._ears.discard(ear)

    def heard(self, ear: Ear, frame: Frame, when: float) -> None:
        if frame.command not in (Addr.command, AddrV2.command):
            return
        entries = read_packed(frame.command, frame.payload)
        fresh = self._announced.note(pack_address(ear.address), entries, self._clock.now())
        for key in fresh[: MOST_NEW - len(self._new)]:
            self._new[key] = None


def watch(arguments: Sequence[str]) -> int:
    """The command."""
    prepare_process()
    options, config = parse("watch", arguments, "Takes a census a day, and visits nodes when they are due.")
    parts = Parts(options, config)
    console = Console(stderr=options.json)
    console.print(preflight(parts))
    if options.dry_run:
        return ExitStatus.OK
    with closing(open_store(parts)) as store:
        watching = Watch(parts, store, console, options.listen)
        stop_on_signals(watching.stop)
        watching.run()
    return ExitStatus.OK

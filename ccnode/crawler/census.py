"""One round: every address that can be learned is visited once, and has its outcome when the round ends.

A dispatcher takes addresses from the frontier, as fast as the limits allow, and dials them (``knocks.py``); a
connection gets a greenlet for the rest of its visit. What it hears of goes back to the frontier at once, what it
learned to the sink in batches. The round is complete when the frontier has no work outstanding; it is cut short by a
limit or by `Census.stop`, and then lets visits under way end for a moment. Either way `Frontier.close` leaves no
address without an outcome.

**Our own faults.** A dial that times out while the event loop was late says nothing about the address: too much of
the five seconds was ours. So the loop's lag is measured, and a visit that failed by a time-out while it was high is
repeated, up to `MAX_ATTEMPTS` times; so is one that failed for want of a descriptor or a port. What cannot be cleared
up is `Outcome.LOCAL_ERROR`, not a dead node. While the loop is late, nothing new is dialed.

**Two ends.** Old nodes let their addresses be waited for (``conversation.py``). The moment at which every address had
its outcome, with only such waiting left, is kept apart (`Progress.decided_at`) from the end of the round.
"""

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final, Protocol

import gevent
from gevent.event import Event
from gevent.lock import BoundedSemaphore

from ccnode.clock import Clock
from ccnode.crawler.conversation import Events, Leave
from ccnode.crawler.frontier import Frontier
from ccnode.crawler.knocks import Knock, Knocks
from ccnode.crawler.lag import LagMeter
from ccnode.crawler.outcome import Collected, Outcome, Visit
from ccnode.crawler.visit import Visitor, failed_visit
from ccnode.network.hub import DeadlineExceeded, breathe, spawn
from ccnode.network.routes import socket_address
from ccnode.wire.addresses import PackedEntry, unpack_address

MAX_ATTEMPTS: Final = 3
RETRY_SECONDS: Final = 1.0
"""Before a visit that was spoilt is repeated."""

SPOILING_LAG: Final = 1.0
"""Seconds of our own lag that make a time-out worthless: a fifth of the shortest."""
_SPOILABLE: Final = frozenset({Outcome.TIMEOUT, Outcome.SILENT, Outcome.TARPIT, Outcome.NO_VERACK})

PAUSING_LAG: Final = 0.25
"""Seconds of lag above which nothing new is dialed until it has gone."""

BATCH_SECONDS: Final = 1.0
"""How often the sink is given what was learned, and so what a sudden death may cost."""

PENDING: Final = 50_000
UNWRITTEN: Final = 5_000
"""Addresses and visits that wait to be handed over above which nothing new is dialed: the sink is slower than the
network."""

PORTION: Final = 1_000
"""Visits that are handed over at a time."""

DRAIN_SECONDS: Final = 2.0
LEAVE_SECONDS: Final = 5.0
"""What visits under way are given after `Census.stop`, and what the rest is given to leave."""


class Sink(Protocol):
    """Who keeps what a round learns (``store.py``). A call may block; there is one at a time.

    What a visit heard is handed over no later than the visit, so that whoever resumes a round misses no address.
    """

    def learned(self, source: bytes | str, entries: Sequence[PackedEntry]) -> None:
        """The node with the packed key ``source`` vouches for these addresses: nobody did before, or somebody else."""
        ...

    def named(self, source: bytes, entries: Sequence[PackedEntry]) -> None:
        """It named these in all; of those that a round has room for, each was learned before."""
        ...

    def record(self, visits: Sequence[Visit]) -> None:
        """These addresses have their outcomes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a round may use."""

    rate: float = 1500.0
    """Dials per second."""
    sockets: int = 8000
    """Connections at a time, dials and parked ones included."""
    seconds: float = float("inf")
    bytes_per_second: float = float("inf")
    """Received, on average since the start."""


class End(Enum):
    """Why a round is over."""

    COMPLETE = "complete"
    STOPPED = "stopped"
    TIME = "time limit"


@dataclass(slots=True)
class Progress:
    """How far a round is. Times are steady seconds."""

    began: float
    visited: int = 0
    """Visits over, the parked ones not."""
    sockets: int = 0
    most_sockets: int = 0
    parked: int = 0
    """Handshake done, waiting for addresses or measurements."""
    redialed: int = 0
    bytes_received: int = 0
    bytes_sent: int = 0
    decided_at: float | None = None
    """When every address known so far had its outcome; None while some have none."""
    outcomes: dict[Outcome, int] = field(default_factory=dict)
    collected: dict[Collected, int] = field(default_factory=dict)


class Census:
    """Runs one round."""

    def __init__(
        self,
        frontier: Frontier,
        visitor: Visitor,
        sink: Sink,
        limits: Limits,
        clock: Clock,
        *,
        on_visit: Callable[[Visit], None] = lambda _visit: None,
        ask_addresses: bool = True,
        keep_adverts: bool = False,
    ) -> None:
        """
        :param on_visit: hears of every address that was dialed; it must not wait.
        :param keep_adverts: the sink is also told everything that nodes name.
        """
        self.frontier = frontier
        self.limits = limits
        self.progress = Progress(clock.steady())
        self.lag = LagMeter()
        self._visitor = visitor
        self._sink = sink
        self._clock = clock
        self.on_visit = on_visit
        self._ask_addresses = ask_addresses
        self._keep_adverts = keep_adverts
        self._changed = Event()
        self.ending: End | None = None
        """Why the round is being cut short, if it is."""
        self.stopping = Event()
        """Set with `ending`."""
        self._visits: list[Visit] = []
        self._learned: list[tuple[bytes, list[PackedEntry]]] = []
        self._named: list[tuple[bytes, list[PackedEntry]]] = []
        self._pending = 0
        self._tasks: set[gevent.Greenlet] = set()
        self._knocks = Knocks(clock, self._knocked)
        self._defect: BaseException | None = None
        self._handing_over = BoundedSemaphore()

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return self._clock.steady() - self.progress.began

    def stop(self, end: End = End.STOPPED) -> None:
        """Dial nothing more; `run` returns soon, with all outcomes so far kept."""
        self.ending = self.ending or end
        self.stopping.set()
        self._changed.set()

    def run(self) -> End:
        """The whole round. Errors of the sink end it."""
        writer = spawn("census writer", self._write)
        try:
            self._dispatch(writer)
            self._drain()
        finally:
            for row in self._knocks.stop():
                self.frontier.dialed(row)
                self.frontier.put_back(row)
            gevent.killall(list(self._tasks), exception=Leave, timeout=LEAVE_SECONDS)
            with self._handing_over:  # not while it has something in hand
                writer.kill()
            self.lag.stop()
        self._hand_over()
        if self._defect is not None:
            raise self._defect
        self._give_leftovers()
        return self.ending or End.COMPLETE

    # -- dialing -------------------------------------------------------------------------------------------------

    def _dispatch(self, writer: gevent.Greenlet) -> None:
        due = self._clock.steady()
        while self.ending is None:
            for task in (writer, self._knocks.task):
                if task.ready():
                    task.get()  # raises what it died of
            if self.elapsed > self.limits.seconds:
                self.stop(End.TIME)
                return
            row = self.frontier.next() if self._may_dial() else None
            if row is None:
                if not self.frontier.outstanding:
                    return
                self._changed.clear()
                self._changed.wait(BATCH_SECONDS)
                continue
            self._start(row)
            due = self._pace(due)

    def _may_dial(self) -> bool:
        received = self.progress.bytes_received
        if received > self.limits.bytes_per_second * (self.elapsed + 1):
            return False
        if self.progress.sockets >= self.limits.sockets:
            return False
        if self._pending > PENDING or len(self._visits) > UNWRITTEN:
            return False
        return self.lag.now < PAUSING_LAG

    def _pace(self, due: float) -> float:
        """Wait until the next dial is due; when that is."""
        now = self._clock.steady()
        due = max(due, now - LagMeter.PERIOD) + 1 / self.limits.rate
        if due > now + LagMeter.PERIOD / 10:
            gevent.sleep(due - now)
        else:
            breathe()
        return due

    def _start(self, row: int) -> None:
        progress = self.progress
        progress.sockets += 1
        progress.most_sockets = max(progress.most_sockets, progress.sockets)
        address = unpack_address(self.frontier.table.keys[row])
        if self._visitor.needs_proxy(address):
            self._spawn(row, lambda events: self._visitor.visit(address, events, ask_addresses=self._ask_addresses))
            return
        family, target = socket_address(address)
        assert isinstance(target, tuple)  # no Unix socket
        self._knocks.knock(row, family, target, self._visitor.patience[address.network].dial)

    def _knocked(self, knock: Knock, result: socket.socket | OSError | DeadlineExceeded) -> None:
        """A dial without a proxy is over."""
        row = knock.row
        address = unpack_address(self.frontier.table.keys[row])
        if isinstance(result, Exception):
            visit = failed_visit(address, result, knock.started)
            lag = self.lag.worst_since(knock.began)
            if self._is_spoilt(visit, lag):
                self._spawn(row, lambda _events: visit, began=knock.began)
                return
            self.frontier.dialed(row)
            self._leave(row, replace(visit, lag=lag))
            return
        sock = result

        def talk(events: Events) -> Visit:
            events.dialed()
            ask = self._ask_addresses
            return self._visitor.talk(sock, address, events, knock.started, knock.began, ask_addresses=ask)

        self._spawn(row, talk, began=knock.began)

    def _spawn(self, row: int, first: Callable[[Events], Visit], began: float | None = None) -> None:
        task = spawn("visit", self._visit, row, first, self._clock.steady() if began is None else began)
        task.link_exception(self._fail)
        self._tasks.add(task)

    def _fail(self, task: gevent.Greenlet) -> None:
        """A visit met a defect of ours: the round cannot end well."""
        if not isinstance(task.exception, Leave):  # before it could begin
            self._defect = self._defect or task.exception
            self.stop()

    def _visit(self, row: int, first: Callable[[Events], Visit], began: float) -> None:
        parked, dialing = False, True

        def on_handshake() -> None:
            nonlocal parked
            parked = True
            self.progress.parked += 1
            self._note_decided()

        def on_addresses(entries: list[PackedEntry]) -> None:
            new = self.frontier.vouch(row, entries)
            source = self.frontier.table.keys[row]
            if new:
                self._learned.append((source, new))
                self._pending += len(new)
            if self._keep_adverts:
                self._named.append((source, self.frontier.located(entries)))
                self._pending += len(entries)
            self._changed.set()

        def on_dialed() -> None:
            nonlocal dialing
            if dialing:
                dialing = False
                self.frontier.dialed(row)

        visit = None
        try:
            visit = self._repeat(row, first, Events(on_dialed, on_handshake, on_addresses), began)
        except Leave:
            self.frontier.put_back(row)
        finally:
            on_dialed()
            self._tasks.discard(gevent.getcurrent())
            self.progress.parked -= parked
            self._leave(row, visit)

    def _leave(self, row: int, visit: Visit | None) -> None:
        """A visit is over, well or badly; None if it was given up."""
        self.progress.sockets -= 1
        self._changed.set()
        if visit is not None:
            table = self.frontier.table
            self._finish(row, replace(visit, source=table.source_key(row), via=table.via(row)))

    def _repeat(self, row: int, first: Callable[[Events], Visit], events: Events, began: float) -> Visit:
        """The first visit, and others until the fault is not our own."""
        address = unpack_address(self.frontier.table.keys[row])
        visit, attempts = first(events), 1
        while True:
            lag = self.lag.worst_since(began)
            visit = replace(visit, attempts=attempts, lag=lag)
            if not self._is_spoilt(visit, lag):
                return visit
            if attempts == MAX_ATTEMPTS:
                detail = visit.detail or f"{visit.outcome.value}, lag {lag:.1f} s"
                return replace(visit, outcome=Outcome.LOCAL_ERROR, detail=detail)
            gevent.sleep(RETRY_SECONDS)
            self.progress.redialed += 1
            began, attempts = self._clock.steady(), attempts + 1
            visit = self._visitor.visit(address, events, ask_addresses=self._ask_addresses)

    @staticmethod
    def _is_spoilt(visit: Visit, lag: float) -> bool:
        """Whether the fault may be our own."""
        return visit.outcome is Outcome.LOCAL_ERROR or (visit.outcome in _SPOILABLE and lag > SPOILING_LAG)

    def _finish(self, row: int, visit: Visit) -> None:
        progress = self.progress
        self.frontier.done(row, visit.outcome)
        progress.visited += 1
        progress.bytes_received += visit.bytes_received
        progress.bytes_sent += visit.bytes_sent
        progress.outcomes[visit.outcome] = progress.outcomes.get(visit.outcome, 0) + 1
        progress.collected[visit.collected] = progress.collected.get(visit.collected, 0) + 1
        self._visits.append(visit)
        self._note_decided()
        self.on_visit(visit)

    def _note_decided(self) -> None:
        """Remember since when nothing but parked visits is left."""
        if self.frontier.outstanding > self.progress.parked:
            self.progress.decided_at = None
        elif self.progress.decided_at is None:
            self.progress.decided_at = self._clock.steady()

    # -- the end -------------------------------------------------------------------------------------------------

    def _drain(self) -> None:
        """After a stop, let those that are nearly done end."""
        if self._tasks:
            gevent.joinall(list(self._tasks), timeout=DRAIN_SECONDS)

    def _give_leftovers(self) -> None:
        """Those that were never dialed have outcomes as well."""
        table = self.frontier.table
        batch: list[Visit] = []
        for row in self.frontier.close():
            outcome = table.outcome(row)
            assert outcome is not None
            address = unpack_address(table.keys[row])
            batch.append(Visit(address=address, outcome=outcome, source=table.source_key(row), via=table.via(row)))
            if len(batch) == PORTION:
                self._sink.record(batch)
                batch = []
                breathe()
        if batch:
            self._sink.record(batch)

    def _write(self) -> None:
        while True:
            gevent.sleep(BATCH_SECONDS)
            self._hand_over()

    def _moved(self) -> dict[bytes | str, list[PackedEntry]]:
        """Addresses for which somebody else pays now, by who does."""
        table, moved = self.frontier.table, dict[bytes | str, list[PackedEntry]]()
        for row in self.frontier.take_moved():
            moved.setdefault(table.source_key(row), []).append((table.seen[row], 0, table.keys[row]))
        return moved

    def _hand_over(self) -> None:
        """Give the sink what has come together. What a visit heard was put aside before the visit was."""
        with self._handing_over:
            count, moved = len(self._visits), self._moved()
            learned, self._learned = self._learned, []
            named, self._named = self._named, []
            for source, entries in learned:
                self._sink.learned(source, entries)
                self._pending -= len(entries)
            for payer, entries in moved.items():
                self._sink.learned(payer, entries)
            for source, entries in named:
                self._sink.named(source, entries)
                self._pending -= len(entries)
            while count:
                portion = self._visits[: min(count, PORTION)]
                self._sink.record(portion)
                del self._visits[: len(portion)]
                count -= len(portion)

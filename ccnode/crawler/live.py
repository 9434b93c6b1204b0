"""What a person sees of a round under way: a view on a terminal, lines where the output is piped, or JSON events.

Whoever looks wants to know whether it goes on, when it will be over, and whether to trust it: so beside the outcomes
there are the rate and what is left, the event loop's lag, and what was dialed again because of it. The time left is
told for the addresses known now; more may be learned.
"""

import json
import time
from collections import deque
from types import TracebackType
from typing import Any, Final, TextIO

import gevent
from rich.console import Console, Group
from rich.live import Live as Screen
from rich.table import Table
from rich.text import Text

from ccnode.crawler.census import Census, End
from ccnode.crawler.outcome import Collected, Outcome, Visit
from ccnode.crawler.table import ACTIVE, HELD, QUEUED
from ccnode.crawler.words import addresses, counted, plural
from ccnode.network.hub import spawn
from ccnode.wire.address import Network

SCREEN_SECONDS: Final = 0.5
LINE_SECONDS: Final = 10.0
EVENT_SECONDS: Final = 1.0
RATE_SECONDS: Final = 10.0
"""Over how long the rate is taken."""

COUNTS_WIDTH: Final = 25
"""Columns that the name of an outcome and its count take."""

PIPED_WIDTH: Final = 120
"""Columns where no terminal says how many there are: enough for the longest line."""

MIB: Final = 1 << 20


def snapshot(census: Census) -> dict[str, Any]:
    """Figures of a round, as the events have them."""
    progress, table = census.progress, census.frontier.table
    return {
        "elapsed": round(census.elapsed, 2),
        "known": len(table),
        "visited": progress.visited,
        "queued": table.count(QUEUED),
        "active": table.count(ACTIVE),
        "parked": progress.parked,
        "held": table.count(HELD),
        "sockets": progress.sockets,
        "most_sockets": progress.most_sockets,
        "redialed": progress.redialed,
        "lag": round(census.lag.now, 4),
        "worst_lag": round(census.lag.worst, 4),
        "bytes_received": progress.bytes_received,
        "bytes_sent": progress.bytes_sent,
        "decided": None if progress.decided_at is None else round(progress.decided_at - progress.began, 2),
        "ending": None if census.ending is None else census.ending.value,
        "outcomes": {outcome.value: count for outcome, count in table.outcomes().items()},
        "collected": {why.value: count for why, count in progress.collected.items()},
        "overflow": table.overflow,
    }


class Live:
    """Shows a census from `__enter__` to `__exit__`."""

    def __init__(self, census: Census, title: str, stream: TextIO, *, events: bool = False) -> None:
        """:param events: JSON lines instead of anything for people."""
        self._census = census
        self._title = title
        self._stream = stream
        self._events = events
        self._reachable: dict[Network, int] = {}
        self._dialed: dict[Network, int] = {}
        self._history: deque[tuple[float, int]] = deque()
        self._console = Console(file=stream, width=None if stream.isatty() else PIPED_WIDTH)
        self._screen = Screen(console=self._console, auto_refresh=False, transient=True)
        self._on_screen = stream.isatty() and not events
        self._task: gevent.Greenlet | None = None

    def __enter__(self) -> "Live":
        if self._on_screen:
            self._screen.start()
            self._console.show_cursor()  # a second Ctrl-C ends the process at once: nobody would show it again
        self._task = spawn("live", self._run)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._task is not None:
            self._task.kill(timeout=1.0)
        if self._on_screen:
            self._screen.stop()

    def on_visit(self, visit: Visit) -> None:
        """An address was visited."""
        network = visit.address.network
        self._dialed[network] = self._dialed.get(network, 0) + 1
        if visit.outcome is Outcome.REACHABLE:
            self._reachable[network] = self._reachable.get(network, 0) + 1

    def _run(self) -> None:
        pause = EVENT_SECONDS if self._events else SCREEN_SECONDS if self._on_screen else LINE_SECONDS
        while True:
            if self._census.ending is None:
                self._census.stopping.wait(pause)
            else:
                gevent.sleep(pause)
            self._note_rate()
            if self._events:
                self._emit("progress", snapshot(self._census))
            elif self._on_screen:
                self._screen.update(self._picture(), refresh=True)
            else:
                print(self._line(), file=self._stream, flush=True)

    def _note_rate(self) -> None:
        now = time.monotonic()
        self._history.append((now, self._census.progress.visited))
        while self._history[0][0] < now - RATE_SECONDS and len(self._history) > 2:
            self._history.popleft()

    @property
    def rate(self) -> float:
        """Visits per second, lately."""
        if len(self._history) < 2:
            return self._census.progress.visited / max(self._census.elapsed, 0.001)
        (begin, before), (end, after) = self._history[0], self._history[-1]
        return (after - before) / max(end - begin, 0.001)

    def _eta(self) -> str:
        if self._census.ending is not None:
            return f"{self._census.ending.value}: nothing more is dialed, visits under way have a few seconds to leave"
        table = self._census.frontier.table
        left = table.count(QUEUED) + table.count(ACTIVE) - self._census.progress.parked
        if left <= 0:
            return "waiting for late answers"
        return f"{left / self.rate:.0f} s left for what is known" if self.rate > 0 else "no visit ended lately"

    def _line(self) -> str:
        figures, census = snapshot(self._census), self._census
        return (
            f"{census.elapsed:6.0f} s  {figures['known']} known, {figures['visited']} visited ({self.rate:.0f}/s), "
            f"{figures['outcomes'].get('reachable', 0)} reachable, {figures['queued']} queued, "
            f"{counted(figures['sockets'], 'socket')}, {figures['parked']} waiting, "
            f"lag {1000 * figures['lag']:.0f} ms; {self._eta()}"
        )

    def _picture(self) -> Group:
        census, figures = self._census, snapshot(self._census)
        head = Text.assemble(
            (self._title, "bold"),
            f"   {census.elapsed:.0f} s   {addresses(figures['known'])} known   {self.rate:.0f} visits/s\n",
            f"{figures['queued']} queued   {figures['held']} held back   {counted(figures['sockets'], 'socket')}, "
            f"{figures['parked']} waiting for late answers\n",
            f"{figures['bytes_received'] / MIB:.1f} MiB received   lag {1000 * figures['lag']:.0f} ms, worst "
            f"{1000 * figures['worst_lag']:.0f}, {figures['redialed']} redialed\n",
            self._eta(),
        )
        return Group(head, self._network_table(), self._outcome_table(figures["outcomes"]))

    def _outcome_table(self, outcomes: dict[str, int]) -> Table:
        table = Table(box=None, pad_edge=False)
        table.add_column("outcome")
        table.add_column("addresses", justify="right")
        # A line for each outcome, for a terminal has few.
        table.add_column("", no_wrap=True, max_width=max(1, self._console.width - COUNTS_WIDTH))
        for outcome in sorted((Outcome(value) for value in outcomes), key=lambda o: -outcomes[o.value]):
            style = "green" if outcome is Outcome.REACHABLE else ""
            table.add_row(outcome.value, str(outcomes[outcome.value]), Text(outcome.sentence, "dim"), style=style)
        return table

    def _network_table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in ("network", "visited", "reachable"):
            table.add_column(column, justify="left" if column == "network" else "right")
        for network, count in sorted(self._dialed.items(), key=lambda item: -item[1]):
            table.add_row(network.value, str(count), str(self._reachable.get(network, 0)))
        return table

    # -- the end -------------------------------------------------------------------------------------------------

    def summarize(self, end: End) -> None:
        """The round is over."""
        figures = snapshot(self._census)
        if self._events:
            self._emit("end", {"why": end.value, **figures})
            return
        self._console.print(self._outcome_table(figures["outcomes"]))
        reachable, known = figures["outcomes"].get("reachable", 0), figures["known"]
        decided = figures["decided"]
        late = f", all decided after {decided:.0f} s" if decided is not None else ""
        answered = figures["collected"].get(Collected.COMPLETE.value, 0)
        print(
            f"{end.value} after {figures['elapsed']:.0f} s{late}: {reachable} reachable of {known} known "
            f"{plural(known, 'address', 'addresses')}; "
            f"{answered} answered with addresses; worst lag {1000 * figures['worst_lag']:.0f} ms",
            file=self._stream,
            flush=True,
        )

    def _emit(self, event: str, fields: dict[str, Any]) -> None:
        print(json.dumps({"event": event, "time": round(time.time(), 3), **fields}), file=self._stream, flush=True)

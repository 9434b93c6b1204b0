"""The table of connections on a screen: which there are, in which order, and which one the cursor is on.

The cursor stays on its connection when others come and go or the order changes. Only what is visible is ever put into
words, so that thousands of connections cost a sort and no more.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ccnode.admin.shell import units
from ccnode.admin.shell.screens.looks import Look
from ccnode.admin.shell.tables import Column, sort_rows
from ccnode.admin.shell.words.peers import kind, network

RATE_LOOKS: Final = 5
"""A connection's rates are means over so many looks: of a second alone, most would be zero."""


@dataclass(frozen=True, slots=True)
class Row:
    """One connection at one moment."""

    peer: Mapping[str, Any]
    """Its entry of getpeerinfo."""
    age: float
    """Seconds."""
    received: float | None = None
    sent: float | None = None
    """Bytes per second; None where one look is all there is."""

    @property
    def id(self) -> int:
        return int(self.peer["id"])

    @property
    def address(self) -> str:
        return str(self.peer["addr"])

    @property
    def host(self) -> str:
        """The address without its port."""
        return self.address.rpartition(":")[0].strip("[]") if ":" in self.address else self.address


@dataclass(frozen=True, slots=True)
class Field(Column[Row]):
    """A column with a width of its own: it must not change while one moves through the rows.

    The width has room for the name and the sign of the order.
    """

    width: int = field(kw_only=True)
    elastic: bool = field(kw_only=True, default=False)
    """Takes the room that is left, as far as it has use for it."""


def ping(row: Row) -> float | None:
    """The last answer's time in seconds."""
    value = row.peer.get("pingtime")
    return None if value is None else float(value)


def height(row: Row) -> int | None:
    """The last header in common."""
    value = int(row.peer["synced_headers"])
    return None if value < 0 else value


def height_text(row: Row) -> str:
    """Without signs between the digits, for which there is no room."""
    value = height(row)
    return units.NOTHING if value is None else str(value)


def score(row: Row) -> int:
    """Of misbehaviour."""
    return int(row.peer["misbehavior"]["score"])


FIELDS: Final[Sequence[Field]] = (
    Field("id", lambda r: str(r.id), lambda r: r.id, True, 10, width=5),
    Field("dir", lambda r: "in" if r.peer["inbound"] else "out", importance=5, width=4),
    Field("type", lambda r: kind(r.peer), importance=6, width=7),
    Field("net", lambda r: network(r.peer), importance=2, width=5),
    Field("address", lambda r: r.address, importance=10, width=21, elastic=True),
    Field("version", lambda r: r.peer["subver"].strip("/"), importance=3, width=16, elastic=True),
    Field("ping", lambda r: units.milliseconds(ping(r)), ping, True, 9, width=6),
    Field("age", lambda r: units.span(r.age), lambda r: r.age, True, 8, True, width=6),
    Field("recv/s", lambda r: units.size(r.received), lambda r: r.received, True, 9, True, width=7),
    Field("sent/s", lambda r: units.size(r.sent), lambda r: r.sent, True, 9, True, width=7),
    Field("height", height_text, height, True, 7, True, width=7),
    Field("score", lambda r: str(score(r)), score, True, 6, True, width=6),
)


class PeerTable:
    """The rows, their order, the filter, the cursor."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        """Those that pass the filter, in order."""
        self.sort = "id"
        """A column's name; ``-`` before it for the other way round."""
        self.filter = ""
        """Words, each of which must be somewhere in a row."""
        self._all: list[Row] = []
        self._counts: deque[tuple[float, Mapping[int, tuple[int, int]]]] = deque(maxlen=RATE_LOOKS)
        self._uptime = 0
        self._at = 0
        self._start = 0

    def update(self, look: Look) -> None:
        """Take the connections of a new look."""
        if look.uptime < self._uptime:
            self._counts.clear()  # another run, in which the numbers of connections begin anew
        self._uptime = look.uptime
        self._all = [self._row(peer, look.time) for peer in look.peers]
        counts = {row.id: (row.peer["bytesrecv"], row.peer["bytessent"]) for row in self._all}
        self._counts.append((look.time, counts))
        self._arrange()

    def _row(self, peer: Mapping[str, Any], now: float) -> Row:
        age = max(0.0, now - peer["conntime"])
        for then, counts in self._counts:
            if peer["id"] in counts and then < now:
                received, sent = counts[peer["id"]]
                passed = now - then
                return Row(peer, age, (peer["bytesrecv"] - received) / passed, (peer["bytessent"] - sent) / passed)
        return Row(peer, age)

    def _arrange(self) -> None:
        """Filter and sort; the cursor stays on its row, or on its place if that row is gone."""
        selected = self.selected
        words = self.filter.lower().split()
        self.rows = sort_rows([row for row in self._all if _matches(row, words)], FIELDS, self.sort)
        if selected is not None:
            self._at = next((at for at, row in enumerate(self.rows) if row.id == selected.id), self._at)
        self._at = max(0, min(self._at, len(self.rows) - 1))

    @property
    def ascending(self) -> bool:
        """Whether the smallest is above."""
        column = next(each for each in FIELDS if each.name == self.sort.removeprefix("-"))
        return column.descending == self.sort.startswith("-")

    def sort_by(self, name: str) -> None:
        """Order by a column; the same again: the other way round."""
        self.sort = f"-{name}" if self.sort == name else name
        self._arrange()

    def narrow(self, text: str) -> None:
        """Show only rows with all the words of ``text``."""
        self.filter = text
        self._arrange()

    def find(self, peer: int) -> Row | None:
        """The connection of this number, if there still is one."""
        return next((row for row in self._all if row.id == peer), None)

    # -- the cursor --------------------------------------------------------------------------------------------------

    @property
    def selected(self) -> Row | None:
        return self.rows[self._at] if self.rows else None

    def move(self, by: int) -> None:
        self._at = max(0, min(self._at + by, len(self.rows) - 1))

    def visible(self, count: int) -> Sequence[Row]:
        """The ``count`` rows around the cursor; they move no more than they have to."""
        self._start = max(self._at - count + 1, min(self._start, self._at))
        self._start = max(0, min(self._start, len(self.rows) - count))
        return self.rows[self._start : self._start + count]


def _matches(row: Row, words: Sequence[str]) -> bool:
    if not words:
        return True
    peer = row.peer
    direction = "in" if peer["inbound"] else "out"
    text = f"{row.id} {direction} {peer['connection_type']} {peer['network']} {row.address} {peer['subver']}".lower()
    return all(word in text for word in words)


def fit(fields: Sequence[Field], rows: Sequence[Row], width: int) -> list[tuple[Field, int]]:
    """The columns that there is room for, and how wide each is. ``rows``: all of them, for the widths."""
    shown = list(fields)
    while len(shown) > 1 and sum(each.width + 1 for each in shown) - 1 > width:
        shown.remove(min(reversed(shown), key=lambda each: each.importance))
    left = width - sum(each.width + 1 for each in shown) + 1
    widths = []
    for each in shown:
        more = 0
        if each.elastic:
            more = max(0, min(left, max((len(each.cell(row)) for row in rows), default=0) - each.width))
            left -= more
        widths.append((each, each.width + more))
    return widths

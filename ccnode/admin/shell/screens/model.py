"""What ``top`` shows, and what keys do to it.

A key either changes what is shown, or asks something in the bottom line, or means an action: a command for the node,
or the end. Actions are returned to whoever pressed the key; nothing here waits for anything.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ccnode.admin.shell import units
from ccnode.admin.shell.screens.looks import LogLine, Look, News, Silence
from ccnode.admin.shell.screens.peer_table import FIELDS, PeerTable, Row, fit
from ccnode.admin.shell.screens.traffic import Traffic

LOG_LINES: Final = 200
"""Lines of the log that are kept."""

KEYS: Final = (
    ("up, down, PgUp, PgDn, Home, End", "move the cursor"),
    ("s", "sort by the next column"),
    ("S", "sort the other way round"),
    ("/", "show only connections with certain words: a network, part of an address, in, out, manual ..."),
    ("Enter", "all that is known of a connection; Esc leads back"),
    ("d", "disconnect it"),
    ("b", "ban its address for a time, 90s, 15m, 2h, 1d: whoever is there is disconnected"),
    ("p", "pause: the screen stands still"),
    ("h, ?", "this list"),
    ("q, Ctrl-C", "leave"),
)


@dataclass(frozen=True, slots=True)
class Call:
    """A command for the node."""

    method: str
    params: tuple[object, ...]
    done: str
    """What to say when it worked."""


@dataclass(frozen=True, slots=True)
class Leave:
    """The end of the screen."""


Action = Call | Leave


@dataclass(slots=True)
class Question:
    """Something asked in the bottom line, answered with one key or, where ``line`` is true, with a line."""

    text: str
    done: Callable[[str], Action | None]
    line: bool = False
    typed: str = ""
    changed: Callable[[str], None] | None = None
    """Told what is typed while it is being typed; the empty text if the question is left unanswered."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How many lines each part of the screen has, its heading not counted. One with none is not shown at all."""

    peers: int
    graph: int
    log: int


def lay_out(lines: int) -> Layout:
    """The parts of a screen of so many lines: the connections get what the others leave."""
    graph = max(3, min(8, lines // 8)) if lines >= 20 else 0
    log = max(3, min(12, lines // 5)) if lines >= 16 else 0
    taken = 3 + 1 + 1 + sum(part + 1 for part in (graph, log) if part)
    return Layout(max(1, lines - taken), graph, log)


class Top:
    """The state of the screen."""

    def __init__(self, *, read_only: bool) -> None:
        self.look: Look | None = None
        self.silence: Silence | None = None
        """Why the last look failed, and since when they do."""
        self.table = PeerTable()
        self.received = Traffic()
        self.sent = Traffic()
        self.log: deque[LogLine] = deque(maxlen=LOG_LINES)
        self.columns, self.lines = 80, 24
        self.message = ""
        """In the bottom line, until the next key."""
        self.question: Question | None = None
        self.paused = False
        self.helping = False
        self.inspected: int | None = None
        """The number of the connection of which everything is shown."""
        self.scrolled = 0
        """Lines that the cursor has moved down in that."""
        self._read_only = read_only

    @property
    def layout(self) -> Layout:
        return lay_out(self.lines)

    # -- news --------------------------------------------------------------------------------------------------------

    def receive(self, news: News) -> None:
        """Take what a watcher tells."""
        if self.paused:
            return
        if isinstance(news, LogLine):
            self.log.append(news)
        elif isinstance(news, Silence):
            if self.silence is None:
                self.silence = news
        else:
            self._receive_look(news)

    def _receive_look(self, look: Look) -> None:
        if self.look is not None and look.uptime < self.look.uptime:
            self.message = "the node was restarted"
            self.inspected = None
        elif self.silence is not None:
            self.message = "the node answers again"
        self.look, self.silence = look, None
        self.table.update(look)
        self.received.add(look.time, look.stats["traffic"]["received"]["bytes"])
        self.sent.add(look.time, look.stats["traffic"]["sent"]["bytes"])

    def say(self, message: str) -> None:
        """Show a sentence until the next key."""
        self.message = message

    # -- keys --------------------------------------------------------------------------------------------------------

    def press(self, key: str) -> Action | None:
        """A key: a character, or the name of one (``up``, ``enter``, ``escape``, ...)."""
        self.message = ""
        if self.question is not None:
            return self._answer(self.question, key)
        if key in ("up", "down", "pageup", "pagedown", "home", "end"):
            self._move(key)
            return None
        if key in ("q", "escape") and (self.helping or self.inspected is not None):
            self.helping, self.inspected = False, None
            return None
        actions: dict[str, Callable[[], Action | None]] = {
            "s": self._sort_by_next,
            "S": self._sort_back,
            "/": self._ask_filter,
            "enter": self._inspect,
            "d": self._ask_disconnect,
            "b": self._ask_ban,
            "p": self._pause,
            "h": self._help,
            "?": self._help,
            "q": Leave,
        }
        return actions[key]() if key in actions else None

    def _answer(self, question: Question, key: str) -> Action | None:
        if not question.line:
            self.question = None
            return question.done(key)
        if key == "escape":
            self.question = None
            if question.changed is not None:
                question.changed("")
        elif key == "enter":
            self.question = None
            return question.done(question.typed.strip())
        else:
            question.typed = question.typed[:-1] if key == "backspace" else question.typed + key * (len(key) == 1)
            if question.changed is not None:
                question.changed(question.typed)
        return None

    def _move(self, key: str) -> None:
        page = self.layout.peers
        by = {"up": -1, "down": 1, "pageup": -page, "pagedown": page, "home": -(10**9), "end": 10**9}[key]
        if self.helping or self.inspected is not None:
            self.scrolled = max(0, self.scrolled + by)
        else:
            self.table.move(by)

    def _sort_by_next(self) -> None:
        """Hidden columns are passed over."""
        names = [each.name for each, _ in fit(FIELDS, [], self.columns)]
        current = self.table.sort.removeprefix("-")
        at = names.index(current) if current in names else -1
        self.table.sort_by(names[(at + 1) % len(names)])

    def _sort_back(self) -> None:
        self.table.sort_by(self.table.sort.removeprefix("-"))

    def _pause(self) -> None:
        self.paused = not self.paused

    def _help(self) -> None:
        self.helping, self.scrolled = not self.helping, 0

    def _inspect(self) -> None:
        if self.helping or self.inspected is not None:
            self.helping, self.inspected = False, None
        elif self.table.selected is not None:
            self.inspected, self.scrolled = self.table.selected.id, 0

    def _ask_filter(self) -> None:
        def done(text: str) -> None:
            self.table.narrow(text)

        self.question = Question("show only:", done, line=True, typed=self.table.filter, changed=done)

    # -- what changes the node ---------------------------------------------------------------------------------------

    def _chosen(self) -> Row | None:
        """The connection that is meant, or None with a line that says why there is none."""
        row = self.table.selected if self.inspected is None else self.table.find(self.inspected)
        if self._read_only:
            self.message = "attached read-only: the node would refuse that"
            return None
        if row is None:
            self.message = "there is no connection to do that to"
        return row

    def _ask_disconnect(self) -> None:
        row = self._chosen()
        if row is None:
            return
        named = f"peer {row.id}, {row.address}"

        def done(key: str) -> Action | None:
            if key not in ("y", "Y"):
                self.message = "not disconnected"
                return None
            return Call("disconnectnode", ("", row.id), f"disconnected {named}")

        self.question = Question(f"disconnect {named}? y/n", done)

    def _ask_ban(self) -> None:
        row = self._chosen()
        if row is None:
            return

        def done(text: str) -> Action | None:
            try:
                seconds = units.parse_span(text)
            except ValueError as error:
                self.message = f"not banned: {error}"
                return None
            return Call("setban", (row.host, "add", seconds), f"banned {row.host} for {units.span(seconds)}")

        self.question = Question(
            f"ban {row.host} for (90s, 15m, 2h, 1d; Esc: not at all):", done, line=True, typed="1d"
        )

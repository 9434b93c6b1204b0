"""The line at the bottom of the prompt, kept up to date by a thread, so that typing never waits for it."""

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final

from prompt_toolkit.formatted_text import StyleAndTextTuples

from ccnode.admin.shell import units
from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.views import VIEWS
from ccnode.errors import CcnodeError

SECONDS: Final = 2.0
"""Time between two looks at the node."""

TIMEOUT: Final = 5.0
"""Seconds such a look may take."""

QUICK: Final = 0.2
"""Seconds that a command may be held up to see whether the node is the same."""

SAME: Final = 2.5
"""Two starts of the node within so many seconds are one: uptimes are whole seconds."""

SYNCHRONIZING: Final = {
    "presynchronizing headers": "presync",
    "synchronizing headers": "headers",
    "downloading blocks": "blocks",
    "connecting blocks": "blocks",
    "reading blocks from files": "import",
}
"""The phases that make progress, in short."""

SHORT: Final = {**SYNCHRONIZING, "peers have nothing newer": "nothing newer"}

GONE: Final = "the node does not answer; the next command tries again"


class Toolbar:
    """``text`` is the line."""

    def __init__(self, remote: Remote) -> None:
        self.text: StyleAndTextTuples = []
        self._remote = remote
        self._started = self._seen = 0.0
        """When the node was started and when it answered last, Unix seconds; zeros before its first answer."""
        self._failed = False
        """It did not answer since."""
        self._restarted = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to look, if that has not begun; ``changed`` is called from the thread after every look."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(changed,), name="toolbar", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def restarted(self) -> bool:
        """Whether the node was started again since this was asked last."""
        with suppress(CcnodeError):  # the command will say so
            self._look(QUICK)
        again = self._restarted.is_set()
        self._restarted.clear()
        return again

    def _run(self, changed: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            try:
                self._look(TIMEOUT)
                self._prepare()
            except CcnodeError:
                self.text = [("class:toolbar.gone", f" {GONE}")]
            changed()
            self._stopping.wait(SECONDS)

    def _prepare(self) -> None:
        """Have ready what the lexer, the first completion and the first command need, while nobody waits for it."""
        iter(VIEWS)
        self._remote.commands  # noqa: B018

    def _look(self, timeout: float) -> None:
        try:
            status = self._remote.call("status", timeout=timeout)
            started = time.time() - self._remote.call("uptime", timeout=timeout)
        except CcnodeError:
            self._failed = True
            raise
        if self._seen and (abs(started - self._started) > SAME or (self._failed and started > self._seen)):
            self._restarted.set()
            self._remote.forget()
        self._started, self._seen, self._failed = started, time.time(), False
        self.text = line(status, read_only=self._remote.read_only)


def line(status: Mapping[str, Any], *, read_only: bool) -> StyleAndTextTuples:
    """Chain, phase, height, peers and traffic, as ``status`` has them, in 80 columns."""
    phase = SHORT.get(status["phase"], status["phase"])
    percent = f" {status['percent']:.1f} %" if status["phase"] in SYNCHRONIZING else ""
    received, sent = units.rate(status["received_per_second"]), units.rate(status["sent_per_second"])
    marks = [("read-only", read_only), ("network off", not status["network_active"])]
    parts: list[tuple[str, str]] = [
        ("class:toolbar.chain", status["chain"]),
        *(("class:toolbar.mark", mark) for mark, shown in marks if shown),
        ("", phase + percent),
        ("", f"height {status['height']:,}"),
        ("", f"{status['connections_out']} out {status['connections_in']} in"),
        ("", f"↓{received} ↑{sent}"),
    ]
    shown: StyleAndTextTuples = [("", " ")]
    for at, part in enumerate(parts):
        shown += [("class:toolbar.bar", " │ "), part] if at else [part]
    return shown

"""A node whose greenlets are watched: ``python -m tools.bench.traced FILE ARGUMENTS`` runs ``ccnode ARGUMENTS``.

At its end FILE holds, as JSON, every stretch of the main thread from one switch to the next that took over a
millisecond of processor time: when it ended (seconds of the monotonic clock), how long it took, and whose it was.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import greenlet

from ccnode.cli import main

NOTED = 0.001
"""Seconds of processor time."""


class Watch:
    """A trace function for greenlet switches."""

    def __init__(self) -> None:
        self.stretches: list[tuple[float, float, str]] = []
        self._began = time.thread_time()

    def __call__(self, _event: str, switch: tuple[Any, Any]) -> None:
        now = time.thread_time()
        spent, self._began = now - self._began, now
        if spent > NOTED:
            who = switch[0]
            self.stretches.append((time.monotonic(), spent, str(getattr(who, "name", type(who).__name__))))


def run() -> int:
    file, arguments = Path(sys.argv[1]), sys.argv[2:]
    watch = Watch()
    greenlet.settrace(watch)
    try:
        return main(arguments)
    finally:
        greenlet.settrace(None)
        file.write_text(json.dumps(watch.stretches))


if __name__ == "__main__":
    sys.exit(run())

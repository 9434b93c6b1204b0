"""``watch``: another word again and again, on a screen of its own."""

import os
import select
import shutil
import sys
import termios
import time
import tty
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from ccnode.admin.shell import units
from ccnode.admin.shell.views import Answer, Argument, Given, Option, Screen, Session, Stream, UsageError, view
from ccnode.errors import CcnodeError

SECONDS: Final = 2
"""Between two looks when nobody says."""

_ENTER: Final = "\x1b[?1049h\x1b[?25l\x1b[?7l"
"""A screen of its own, no cursor, and what is too long is cut off and not broken."""
_LEAVE: Final = "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME: Final = "\x1b[H"
_CLEAR_LINE: Final = "\x1b[K"
_CLEAR_BELOW: Final = "\x1b[J"
_BOLD: Final = "\x1b[1m{}\x1b[0m"


@view(
    "watch",
    "Watching",
    help="Shows another word again and again, until q or Ctrl-C. The node may be restarted meanwhile.\n\n"
    "Into a file or a program the outputs go one after the other, with an empty line between two.",
    uses=(),
    examples=("watch peers", "watch peers --in --sort ping", "watch traffic --every 5s"),
    arguments=[Argument("word", "the word, with its arguments and options", False, True, True, "word")],
    options=[Option("every", f"time between two looks, {SECONDS}s without it", "TIME", ("1s", "5s", "10s", "1m"))],
)
def watch(shell: Session, given: Given) -> Answer:
    every = given.get("every")
    try:
        seconds = units.parse_span(every) if every is not None else SECONDS
    except ValueError as error:
        raise UsageError(str(error)) from None
    words = [*given.rest, *(["--json"] if given.has("json") else [])]
    if not seconds:
        raise UsageError("--every wants at least a second")
    shell.screenful(words)  # a mistake in the words is told at once
    if shell.terminal:
        return Screen(lambda: _show(shell, words, seconds))
    return Stream(_repeat(shell, words, seconds))


def _repeat(shell: Session, words: Sequence[str], seconds: int) -> Generator[str, None, None]:
    while True:
        yield _look(shell, words) + "\n"
        time.sleep(seconds)


def _look(shell: Session, words: Sequence[str]) -> str:
    """The output, or why there is none at present."""
    try:
        return shell.screenful(words)
    except CcnodeError as error:
        return f"error: {error}"


def _show(shell: Session, words: Sequence[str], seconds: int) -> None:
    title = f"every {units.span(seconds)}: {' '.join(words)}"
    with _own_screen():
        while True:
            _draw(title, _look(shell, words).split("\n"))
            if _is_left(seconds):
                return


def _draw(title: str, lines: Sequence[str]) -> None:
    width, height = shutil.get_terminal_size()
    right = f"{time.strftime('%H:%M:%S')}  q leaves"
    room = height - 2
    if len(lines) > room:
        lines = [*lines[: room - 1], f"... and {len(lines) - room + 1} more lines"]
    head = _BOLD.format(f"{title[: width - len(right) - 2]:<{max(0, width - len(right))}}{right}")
    sys.stdout.write(_HOME + f"{_CLEAR_LINE}\r\n".join([head, "", *lines]) + _CLEAR_LINE + _CLEAR_BELOW)
    sys.stdout.flush()


def _is_left(seconds: int) -> bool:
    """Whether a key that leaves is pressed within so many seconds."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([sys.stdin], [], [], left)[0]:
            keys = os.read(sys.stdin.fileno(), 100)
            if not keys or keys in (b"q", b"Q", b"\x03", b"\x04", b"\x1b"):
                return True
    return False


@contextmanager
def _own_screen() -> Iterator[None]:
    """The terminal without echo and line editing, Ctrl-C as a key, until the end; then as it was."""
    before = termios.tcgetattr(sys.stdin)
    tty.setraw(sys.stdin)
    sys.stdout.write(_ENTER)
    try:
        yield
    finally:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)

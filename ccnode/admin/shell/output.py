"""Where the output of one line goes: to the terminal, in colours and in pages if it is long, or plain into a file, a
program, or wherever standard output leads.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, TYPE_CHECKING, Final

from ccnode.admin.shell.line import Line
from ccnode.errors import CcnodeError

if TYPE_CHECKING:
    from rich.console import RenderableType

PLAIN_WIDTH: Final = 10_000
"""Columns of an output that is no terminal: nothing is cut or left out."""

PAGER: Final = "less -RXS"
"""Reads long output where ``PAGER`` is not set: keeps colours, and moves sideways over wide lines."""

PROMPT_LINES: Final = 4
"""The prompt, with what is kept free below it for the menu of completion."""

_ESCAPES: Final = re.compile(r"\x1b\[[0-9;]*m")


class Output:
    """The output of one line."""

    def __init__(self, line: Line, *, paged: bool) -> None:
        """:param paged: somebody is there to turn the pages of what is larger than the terminal."""
        self._line = line
        self.terminal = line.pipe is None and line.file is None and sys.stdout.isatty()
        self._paged = paged and self.terminal

    @property
    def width(self) -> int:
        """Columns of the terminal; of what is none, `PLAIN_WIDTH`."""
        return shutil.get_terminal_size().columns if self.terminal else PLAIN_WIDTH

    def render(self, content: "RenderableType", *, wide: bool = False) -> str:
        """As text, with escape sequences for a terminal; a string as it is. ``wide``: as wide as the content is."""
        if isinstance(content, str):
            return content
        from rich.console import Console

        console = Console(
            width=PLAIN_WIDTH if wide else self.width,
            force_terminal=self.terminal,
            no_color=None if self.terminal else True,  # None: as NO_COLOR says
            highlight=False,
        )
        with console.capture() as capture:
            console.print(content)
        return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))

    def write(self, text: str) -> bool:
        """Bring a text to its place; whether that worked. CcnodeError for a file that cannot be written."""
        if self._paged and _is_large(text) and (pager := _pager()):
            return _feed(pager, [text])
        return self.stream([text] if text else [])

    def stream(self, lines: Iterable[str]) -> bool:
        """Bring lines to their place as they come. Ctrl-C ends that, or a reader who has seen enough."""
        if self._line.pipe is not None:
            return _feed(self._line.pipe, lines)
        if self._line.file is None:
            return _pour(lines, sys.stdout)
        try:
            with self._line.file.open("a" if self._line.append else "w", encoding="utf-8") as file:
                return _pour(lines, file)
        except OSError as error:
            raise CcnodeError(f"cannot write {self._line.file}: {error.strerror}") from None


def _pager() -> str:
    """The program that turns pages; empty where there is none."""
    return os.environ.get("PAGER") or (PAGER if shutil.which(PAGER.split()[0]) else "")


def _is_large(text: str) -> bool:
    """Whether the text has more lines than the terminal, the next prompt and its toolbar counted, or wider ones."""
    from rich.cells import cell_len

    size = shutil.get_terminal_size()
    lines = text.split("\n")
    return len(lines) + PROMPT_LINES + 1 > size.lines or any(
        cell_len(_ESCAPES.sub("", line)) > size.columns for line in lines
    )


def _pour(lines: Iterable[str], file: IO[str]) -> bool:
    """Print lines; False when nobody reads them any more."""
    try:
        for line in lines:
            print(line, file=file, flush=True)
    except KeyboardInterrupt:
        pass
    except BrokenPipeError:
        if file is sys.stdout:  # ``ccnode shell -e ... | head``: nobody wants the rest, nor an error about it
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _feed(command: str, lines: Iterable[str]) -> bool:
    """Have the system's shell run ``command`` on the lines; whether it succeeded."""
    sys.stdout.flush()
    child = subprocess.Popen(command, shell=True, stdin=subprocess.PIPE, text=True, encoding="utf-8")
    assert child.stdin is not None
    _pour(lines, child.stdin)
    with suppress(BrokenPipeError):
        child.stdin.close()
    with _interrupts_for_the_child():
        return child.wait() == 0


@contextmanager
def _interrupts_for_the_child() -> Iterator[None]:
    """Ctrl-C is for the program in front. It has the signal's default again, which an ignored one would not become."""
    before = signal.signal(signal.SIGINT, lambda *_: None)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

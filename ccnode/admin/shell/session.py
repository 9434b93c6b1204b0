"""One line from its words to its output.

The first word is one of the shell's own (`VIEWS`), or a command of the node's by its name, or a mistake: then the
nearest ones are named. What comes out goes to the terminal, with colours and in pages if it is long, or plain into a
file, a program, or wherever standard output leads.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final

from rich.console import Console, RenderableType

from ccnode.admin.client import format_result
from ccnode.admin.shell.line import Line, parse_line
from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.views import VIEWS, View
from ccnode.admin.shell.words import load_words
from ccnode.errors import CcnodeError, RpcError

PLAIN_WIDTH: Final = 10_000
"""Columns of an output that is no terminal: nothing is cut or left out."""

LEAVING: Final = ("exit", "quit")


class Leave(Exception):
    """The command to leave."""


class Shell:
    """Runs lines on one node."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.interactive = False
        """Somebody sits at the terminal: long output is paged."""
        load_words()

    @property
    def width(self) -> int:
        """Columns of the terminal; of what is none, `PLAIN_WIDTH`."""
        return shutil.get_terminal_size().columns if self._to_terminal else PLAIN_WIDTH

    def run(self, text: str) -> bool:
        """Run one line, print its result; whether it succeeded. `Leave` for the command to leave."""
        self._to_terminal = sys.stdout.isatty()
        try:
            line = parse_line(text)
            if not line.words:
                return True
            if line.words[0] in LEAVING:
                raise Leave
            self._to_terminal = self._to_terminal and not line.redirected
            return self._write(self._answer(line.words), line)
        except RpcError as error:
            return complain(f"error code: {error.code}\nerror message:\n{error}")
        except CcnodeError as error:
            return complain(f"error: {error}")

    def _answer(self, words: Sequence[str]) -> str:
        """The output of one command as text. CcnodeError, RpcError."""
        view = VIEWS.find(words[0])
        if view is not None:
            return self._shown(view, words[1:])
        if words[0] not in self.remote.commands:
            raise CcnodeError(self._unknown(words[0]))
        return format_result(self.remote.call_words(words[0], words[1:]))

    def _shown(self, view: View, words: Sequence[str]) -> str:
        given = view.parse(words)
        result = view.function(self, given)
        if given.has("json"):
            return json.dumps(result.data, indent=2, ensure_ascii=False)
        return self.rendered(result.show())

    def rendered(self, content: RenderableType) -> str:
        """What rich makes of it, for the present output."""
        console = Console(
            width=self.width, force_terminal=self._to_terminal, no_color=not self._to_terminal, highlight=False
        )
        with console.capture() as capture:
            console.print(content)
        return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))

    def _unknown(self, word: str) -> str:
        names = [*(view.name for view in VIEWS), *self.remote.commands, *LEAVING]
        near = get_close_matches(word, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "help lists the commands"
        return f"there is no command {word}; {hint}"

    # -- output --------------------------------------------------------------------------------------------------

    def _write(self, text: str, line: Line) -> bool:
        """Bring the text where the line says; whether that worked."""
        if line.file is not None:
            try:
                with line.file.open("a" if line.append else "w", encoding="utf-8") as file:
                    file.write(f"{text}\n" if text else "")
            except OSError as error:
                return complain(f"error: cannot write {line.file}: {error.strerror}")
            return True
        if line.pipe is not None:
            return self._feed(line.pipe, text)
        if self.interactive and text.count("\n") + 2 > shutil.get_terminal_size().lines:
            return self._feed(os.environ.get("PAGER") or "less -RFX", text)
        return _print(text)

    def _feed(self, command: str, text: str) -> bool:
        sys.stdout.flush()
        try:
            ended = subprocess.run(command, shell=True, input=f"{text}\n", text=True, check=False)
        except OSError as error:
            return complain(f"error: {command}: {error.strerror}")
        return ended.returncode == 0


def complain(text: str) -> bool:
    """Say what went wrong; False, for the caller to return."""
    sys.stdout.flush()
    print(text, file=sys.stderr)
    return False


def _print(text: str) -> bool:
    """False when nobody reads it any more."""
    try:
        if text:
            print(text)
        sys.stdout.flush()
    except BrokenPipeError:  # ``ccnode shell -e ... | head``: nobody wants the rest, nor an error about it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True

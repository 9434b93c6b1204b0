"""One line from its words to its output.

The first word is one of the shell's own (`VIEWS`), or a command of the node's by its name, or a mistake: then the
nearest ones are named.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import closing
from difflib import get_close_matches
from textwrap import fill
from typing import Final

from ccnode.admin.client import format_result
from ccnode.admin.shell.line import Line, parse_line
from ccnode.admin.shell.output import Output
from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.views import VIEWS, Answer, Result, Screen, UsageError
from ccnode.errors import CcnodeError, RpcError

LEAVING: Final = ("exit", "quit")


class Leave(Exception):
    """The command to leave."""


class Shell:
    """Runs lines on one node. It is the `Session` of the views."""

    def __init__(self, remote: Remote) -> None:
        self.remote = remote
        self.interactive = False
        """Somebody sits at the terminal: long output is paged, and what cannot be taken back is asked about."""
        self._output = Output(Line(()), paged=False)

    @property
    def width(self) -> int:
        return self._output.width

    @property
    def terminal(self) -> bool:
        return self._output.terminal

    def run(self, text: str) -> bool:
        """Run one line, print its result; whether it succeeded. `Leave` for the command to leave."""
        try:
            line = parse_line(text)
            if not line.words:
                return True
            if line.words[0] in LEAVING:
                raise Leave
            self._output = Output(line, paged=self.interactive)
            return self._show(line.words)
        except RpcError as error:
            if VIEWS.find(line.words[0]) is None:  # then as ``ccnode rpc`` says it
                return complain(f"error code: {error.code}\nerror message:\n{error}")
            return complain(f"error: {str(error).removeprefix('Error: ')}")  # some texts of Core's begin so
        except CcnodeError as error:
            return complain(f"error: {error}")

    def _show(self, words: Sequence[str]) -> bool:
        answer, exact = self._answer(words)
        if isinstance(answer, Screen):
            answer.run()
            return True
        if isinstance(answer, Result):
            return self._output.write(self._text(answer, exact=exact))
        with closing(answer.lines) as lines:
            return self._output.stream(self._output.render(line) for line in lines)

    def screenful(self, words: Sequence[str]) -> str:
        answer, exact = self._answer(words)
        if not isinstance(answer, Result):
            raise UsageError(f"{words[0]} has no end, so it cannot be done again and again")
        return self._text(answer, exact=exact)

    def _answer(self, words: Sequence[str]) -> tuple[Answer, bool]:
        """The answer to one command, and whether it is wanted as JSON. CcnodeError, RpcError."""
        view = VIEWS.find(words[0])
        if view is not None:
            given = view.parse(words[1:])
            return view.function(self, given), given.has("json")
        if words[0] not in self.remote.commands:
            raise CcnodeError(self._unknown(words[0]))
        answer = self.remote.call_words(words[0], words[1:])
        return Result(answer, lambda: format_result(answer)), False

    def _text(self, result: Result, *, exact: bool) -> str:
        if exact:
            return json.dumps(result.data, indent=2, ensure_ascii=False)
        return self._output.render(result.show(), wide=result.wide)

    def _unknown(self, word: str) -> str:
        names = {*(view.name for view in VIEWS), *self.remote.commands, *LEAVING}
        near = get_close_matches(word, names, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "help lists the commands"
        return f"there is no command {word}; {hint}"

    def confirm(self, question: str) -> bool:
        if not self.interactive:
            return True
        try:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False


def complain(text: str) -> bool:
    """Say what went wrong; False, for the caller to return."""
    sys.stdout.flush()
    if sys.stderr.isatty():
        width = shutil.get_terminal_size().columns
        text = "\n".join(fill(line, width, subsequent_indent="  ", break_on_hyphens=False) for line in text.split("\n"))
    print(text, file=sys.stderr)
    return False

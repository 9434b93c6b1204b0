"""``ccnode shell``: a prompt on the running node.

Every line is a command of the node's, in the words that ``ccnode rpc`` takes, and its result is printed in the same
way. Each command opens the admin socket anew: a node that went away and came back is simply there again. The shell
knows no command by itself; names and explanations for the completion come from the node's ``help``.

With ``-e``, or when standard input or output is no terminal, there is no prompt: commands run one after the other, and
the first that fails ends the shell with status 1.

A process of its own, like ``ccnode rpc``: it imports neither gevent nor anything of the node.
"""

import shlex
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory

from ccnode.admin import rpc_errors
from ccnode.admin.client import (
    DEFAULT_TIMEOUT,
    NotRunning,
    call,
    chain_datadir,
    find_socket,
    format_result,
    print_result,
)
from ccnode.errors import CcnodeError, RpcError

USAGE: Final = """\
Usage:
    ccnode shell [-c FILE] [--chain=NAME] [--datadir=DIR] [--socket=PATH] [-e COMMAND ...]

  -c, --chain, --datadir   as given to the node: they say where its socket is
  --socket=PATH            the socket itself
  -e COMMAND               run it and leave, with status 1 if it failed; repeatable

Without -e: a prompt; or, when standard input is no terminal, a command on each line of it.
"""

OWN_HELP: Final = """\
== Shell ==
exit                  leave (also: quit, Ctrl-D)
Ctrl-C                drop the line, or stop waiting for an answer
Tab                   complete a command's name"""

HISTORY_NAME: Final = "shell_history"

TOOLBAR_SECONDS: Final = 2.0
"""Time between two looks at the node for the toolbar."""

TOOLBAR_TIMEOUT: Final = 5.0
"""Seconds such a look may take."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """``ccnode shell``'s arguments taken apart."""

    socket: Path | None
    config_args: tuple[str, ...]
    commands: tuple[str, ...]


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """CcnodeError for a word that is no option. The node's own options are checked when they are used."""
    path: Path | None = None
    config_args: list[str] = []
    commands: list[str] = []
    words = list(argv)
    while words:
        word = words.pop(0)
        if word in ("-e", "-c"):
            if not words:
                raise CcnodeError(f"{word} wants a {'command' if word == '-e' else 'file'}")
            if word == "-e":
                commands.append(words.pop(0))
            else:
                config_args += [word, words.pop(0)]
        elif word.startswith("--socket="):
            path = Path(word.partition("=")[2]).expanduser()
        elif word.startswith("-"):
            config_args.append(word)
        else:
            raise CcnodeError(f"unexpected word '{word}'; to run a command and leave:  ccnode shell -e '{word}'")
    return Arguments(path, tuple(config_args), tuple(commands))


def run_shell(argv: Sequence[str]) -> int:
    """``ccnode shell ARGV``; returns the exit status, 0 or 1. CcnodeError for wrong arguments or when no node runs."""
    if set(argv) & {"--help", "-help", "-h"}:
        print(USAGE, end="")
        return 0
    arguments = parse_arguments(argv)
    given = arguments.socket
    folder = chain_datadir(arguments.config_args) if given is None else given.parent
    shell = Shell(lambda: find_socket(folder) if given is None else given)
    if arguments.commands:
        return shell.run_all(arguments.commands)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        return shell.run_all(sys.stdin)
    return shell.interact(folder)


class Shell:
    """Runs commands on the node behind a socket; ``find`` says where that is now."""

    def __init__(self, find: Callable[[], Path]) -> None:
        self._find = find

    def run_all(self, lines: Iterable[str]) -> int:
        """Run lines up to the first that fails; 0 or 1."""
        try:
            for line in lines:
                if not self.run(line):
                    return 1
        except EOFError:  # exit
            return 0
        except KeyboardInterrupt:
            return 1
        return 0

    def run(self, line: str) -> bool:
        """Run one line, print its result; whether it succeeded. EOFError for the command to leave."""
        try:
            words = shlex.split(line, comments=True)
        except ValueError as error:
            return _complain(f"error: {error}")
        if not words:
            return True
        if words[0] in ("exit", "quit"):
            raise EOFError
        try:
            shown = format_result(call(self._find(), words[0], words[1:], timeout=DEFAULT_TIMEOUT, words=True))
        except RpcError as error:
            hint = "\n(help lists the commands)" if error.code == rpc_errors.METHOD_NOT_FOUND else ""
            return _complain(f"error code: {error.code}\nerror message:\n{error}{hint}")
        except NotRunning as error:
            return _complain(f"error: {error}")
        if words == ["help"]:
            shown = f"{shown}\n\n{OWN_HELP}"
        return print_result(shown) == 0

    def interact(self, folder: Path) -> int:
        """Prompt until the user leaves. NotRunning if there is no node to begin with."""
        completer = CommandCompleter(self.explanations())
        with Toolbar(self._find) as toolbar:
            session: PromptSession[str] = PromptSession(
                "ccnode> ",
                completer=completer,
                complete_while_typing=True,
                history=FileHistory(str(folder / HISTORY_NAME)),
                bottom_toolbar=lambda: toolbar.text,
                refresh_interval=TOOLBAR_SECONDS / 2,
            )
            print("help lists the commands, help COMMAND explains one, Ctrl-D leaves")
            while True:
                try:
                    self.run(session.prompt())
                except KeyboardInterrupt:
                    continue
                except EOFError:
                    return 0

    def explanations(self) -> dict[str, str]:
        """Every command of the node with the first line of its explanation."""
        overview = str(call(self._find(), "help", timeout=TOOLBAR_TIMEOUT))
        names = [line.split()[0] for line in overview.splitlines() if line and not line.startswith("==")]
        return {name: self._explanation(name) for name in names} | {"exit": "Leaves the shell."}

    def _explanation(self, name: str) -> str:
        parts = str(call(self._find(), "help", [name], timeout=TOOLBAR_TIMEOUT)).split("\n\n")
        return parts[1].split("\n")[0] if len(parts) > 1 else ""


def _complain(text: str) -> bool:
    sys.stdout.flush()
    print(text, file=sys.stderr)
    return False


class CommandCompleter(Completer):
    """Completes the first word, and the word after ``help``."""

    def __init__(self, explanations: Mapping[str, str]) -> None:
        self._explanations = explanations

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        before = document.text_before_cursor.lstrip()
        word = before.removeprefix("help ")
        if " " not in word:
            for name in sorted(self._explanations):
                if name.startswith(word):
                    yield Completion(name, start_position=-len(word), display_meta=self._explanations[name])


class Toolbar:
    """A line about the node that a thread keeps up to date, so that typing never waits for it."""

    def __init__(self, find: Callable[[], Path]) -> None:
        self.text = ""
        self._find = find
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="toolbar", daemon=True)

    def __enter__(self) -> "Toolbar":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while True:
            try:
                self.text = self.look()
            except CcnodeError:
                self.text = " the node does not answer; the next command tries again"
            if self._stopping.wait(TOOLBAR_SECONDS):
                return

    def look(self) -> str:
        """Chain, phase, height and peers. CcnodeError if the node does not answer."""
        chain, sync, peers = (self._ask(name) for name in ("getblockchaininfo", "getheadersyncinfo", "getpeerinfo"))
        inbound = sum(peer["inbound"] for peer in peers)
        connections = f"peers {len(peers) - inbound} out {inbound} in"
        return f" {chain['chain']} | {sync['phase']} | height {sync['height']:,} | {connections}"

    def _ask(self, method: str) -> Any:
        return call(self._find(), method, timeout=TOOLBAR_TIMEOUT)

"""``ccnode shell``: its command line, which node is meant, and what is run.

With ``-e``, or when standard input or output is no terminal, there is no prompt: commands run one after the other, and
the first that fails ends the shell with status 1.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ccnode.admin.client import find_socket
from ccnode.admin.shell.discovery import choose
from ccnode.admin.shell.line import join
from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.session import Leave, Shell
from ccnode.errors import CcnodeError

USAGE: Final = """\
Usage:
    ccnode shell [-c FILE] [--chain=NAME] [--datadir=DIR] [--socket=PATH] [--read-only] [-e COMMAND ...]

  -c, --chain, --datadir   as given to the node: they say where its socket is; without -c and --chain
                           it is the node that runs below the data directory
  --socket=PATH            the socket itself
  --read-only              only look: the node refuses every command that changes anything
  -e COMMAND               run it and leave, with status 1 if it failed; repeatable

Without -e: a prompt; or, when standard input is no terminal, a command on each line of it.
"""


@dataclass(frozen=True, slots=True)
class Arguments:
    """``ccnode shell``'s arguments taken apart."""

    socket: Path | None
    config_args: tuple[str, ...]
    commands: tuple[str, ...]
    read_only: bool = False


def parse_arguments(argv: Sequence[str]) -> Arguments:
    """CcnodeError for a word that is no option. The node's own options are checked when they are used."""
    path: Path | None = None
    read_only = False
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
        elif word == "--read-only":
            read_only = True
        elif word.startswith("-"):
            config_args.append(word)
        else:
            raise CcnodeError(f"unexpected word '{word}'; to run a command and leave:  ccnode shell -e '{word}'")
    return Arguments(path, tuple(config_args), tuple(commands), read_only)


def main(argv: Sequence[str]) -> int:
    """See `ccnode.admin.shell.run_shell`."""
    if set(argv) & {"--help", "-help", "-h"}:
        print(USAGE, end="")
        return 0
    arguments = parse_arguments(argv)
    given = arguments.socket
    interactive = not arguments.commands and sys.stdin.isatty() and sys.stdout.isatty()
    folder = given.parent if given is not None else find_folder(arguments.config_args, ask=interactive)
    shell = Shell(Remote(lambda: find_socket(folder) if given is None else given, read_only=arguments.read_only))
    if arguments.commands:
        return run_all(shell, arguments.commands)
    if not interactive:
        return run_all(shell, sys.stdin)
    from ccnode.admin.shell.prompt import interact  # prompt-toolkit is not for those who give commands

    return interact(shell, folder)


def find_folder(config_args: Sequence[str], *, ask: bool) -> Path:
    """The network's folder of the node that is meant. CcnodeError, ConfigError.

    A configuration or a chain names it; otherwise it is the one that runs, below the data directory.
    """
    if not config_args:
        return choose(default_datadir(), ask=ask)
    from ccnode.config import load_config

    config = load_config(config_args)
    if config.conf is not None or "chain" in config.origins:
        return config.folder
    return choose(config.datadir, ask=ask)


def default_datadir() -> Path:
    """Where a node's data is when nobody says. Found without reading any configuration, which takes its time."""
    from ccnode.options import Config

    return Config().datadir


def run_all(shell: Shell, lines: Iterable[str]) -> int:
    """Run lines up to the first that fails; 0 or 1."""
    try:
        for line in join(lines):
            if not shell.run(line):
                return 1
    except Leave:
        return 0
    except KeyboardInterrupt:
        return 1
    return 0

"""The crawler's command line.

::

    crawl.py crawl [OPTIONS]         one complete round
    crawl.py probe HOST...           look at these nodes closely, and at no others
    crawl.py watch [OPTIONS]         round after round, revisiting by expected uptime
    crawl.py report                  one page of HTML about what was found
    crawl.py show NODE               what is known about a node, and why it was not counted
    crawl.py diff [A B]              what changed from one round to another
    crawl.py export FORMAT           files for other programs
    crawl.py merge FILE...           put the files of several vantage points together
    crawl.py prune --keep N          forget old rounds, and keep the history of nodes
    crawl.py monitor [OPTIONS]       record how blocks and transactions spread (tools/monitor.py is the same)
    crawl.py WORD --help             the options of each

Nothing is imported before it is known what to do; ``tools/crawl.py`` has made the standard library cooperative by then.
"""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Final

from ccnode.errors import CcnodeError, ConfigError, ExitStatus

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "crawl": ("ccnode.crawler.round", "crawl"),
    "probe": ("ccnode.crawler.probe", "probe"),
    "watch": ("ccnode.crawler.watch", "watch"),
    "report": ("ccnode.crawler.report", "report"),
    "show": ("ccnode.crawler.compare", "show"),
    "diff": ("ccnode.crawler.compare", "diff"),
    "export": ("ccnode.crawler.export", "export"),
    "merge": ("ccnode.crawler.merge", "merge"),
    "prune": ("ccnode.crawler.prune", "prune"),
    "monitor": ("ccnode.crawler.monitor", "monitor"),
}
"""Word to the module and the function that does it: ``function(arguments) -> exit status``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the process's exit status (`ExitStatus`)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        assert __doc__ is not None
        print("Usage:\n" + __doc__.split("::\n\n", 1)[1].split("\n\n", 1)[0])
        return ExitStatus.OK
    try:
        status = find_command(arguments[0])(arguments[1:])
        sys.stdout.flush()
        return status
    except BrokenPipeError:  # ``crawl.py diff | head``: nobody wants the rest, nor an error about it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitStatus.FAULT
    except KeyboardInterrupt:  # before there is anything to keep
        return ExitStatus.OK
    except CcnodeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_status


def find_command(word: str) -> Callable[[Sequence[str]], int]:
    """The command of that name; ConfigError names the nearest one."""
    if word not in COMMANDS:
        near = get_close_matches(word, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(COMMANDS)}"
        raise ConfigError(f"unknown command {word}; {hint}")
    module, function = COMMANDS[word]
    command: Callable[[Sequence[str]], int] = getattr(import_module(module), function)
    return command

"""The ``ccnode`` command.

::

    ccnode [-c FILE] [--KEY=VALUE ...]     run a node until Ctrl-C
    ccnode shell [-c FILE ...]             talk to the running node
    ccnode rpc [-c FILE ...] METHOD ...    one command, its result as JSON
    ccnode check-config [-c FILE ...]      show the settings in effect and where they come from
    ccnode networks                        list the built-in networks
    ccnode demo                            two nodes and a growing chain, no internet needed

Nothing heavy is imported before it is known what to do, and gevent's patch comes first in a process that will run a
node: what is imported before it keeps the blocking sockets.
"""

import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches

from ccnode import __version__
from ccnode.errors import CcnodeError, ConfigError, ExitStatus, StartupError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the process's exit status (`ExitStatus`)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    word = arguments[0] if arguments else ""
    if sys.platform == "win32":
        print("Error: ccnode needs Linux or macOS; on Windows it runs in WSL (wsl --install)", file=sys.stderr)
        return ExitStatus.FAULT
    if word in ("--version", "-version", "-V"):
        print(f"ccnode {__version__}")
        return ExitStatus.OK
    if word in ("--help", "-help", "-h", "help", "-?"):
        return show_help()
    try:
        if word and not word.startswith("-"):
            return find_command(word)(arguments[1:])
        return run_node(arguments)
    except KeyboardInterrupt:  # before there is anything to stop
        return ExitStatus.OK
    except CcnodeError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_status


def find_command(word: str) -> Callable[[Sequence[str]], int]:
    """The command of that name; ConfigError names the nearest one."""
    if word not in COMMANDS:
        near = get_close_matches(word, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(COMMANDS))}; options begin with --"
        raise ConfigError(f"unknown command {word}; {hint}")
    return COMMANDS[word]


def show_help() -> int:
    """The usage of the module's text, and every option."""
    from ccnode.config import render_help

    assert __doc__ is not None
    usage = __doc__.split("::\n\n", 1)[1].split("\n\n", 1)[0]
    print(f"Usage:\n{usage}\n\nOptions, also keys of the configuration file:\n\n{render_help()}", end="")
    return ExitStatus.OK


def check_config(arguments: Sequence[str]) -> int:
    """Load and judge the configuration as a node would, and show it."""
    from ccnode.config import load_config, render_config
    from ccnode.networks import network_params
    from ccnode.settings import check

    config = load_config(arguments)
    check(config, network_params(config))
    print(render_config(config), end="")
    return ExitStatus.OK


def list_networks(arguments: Sequence[str]) -> int:
    """The built-in networks in a table."""
    from ccnode.chain.networks import get_params
    from ccnode.options import CHAINS

    if arguments:
        raise StartupError(f"networks takes no arguments, not {arguments[0]!r}", ExitStatus.CONFIG)
    print(f"{'name':<10} {'Core':<9} {'magic':<9} {'port':<6} genesis")
    for name in CHAINS:
        params = get_params(name)
        genesis = params.genesis_hash[::-1].hex()
        print(f"{name:<10} {params.core_name:<9} {params.magic.hex():<9} {params.default_port:<6} {genesis}")
    return ExitStatus.OK


def rpc(arguments: Sequence[str]) -> int:
    """One command on the running node."""
    from ccnode.admin.client import run_rpc

    return run_rpc(arguments)


def shell(arguments: Sequence[str]) -> int:
    """A prompt on the running node."""
    from ccnode.admin.shell import run_shell

    return run_shell(arguments)


def demo(arguments: Sequence[str]) -> int:
    """A tiny network on loopback."""
    patch()
    from ccnode.demo import run_demo

    return run_demo(arguments)


def run_node(arguments: Sequence[str]) -> int:
    """Run a node in the foreground."""
    patch()
    from ccnode.runner import run

    return run(arguments)


def patch() -> None:
    """Make the standard library cooperative; once, before anything else is imported."""
    import warnings

    from gevent import monkey

    warnings.simplefilter("error", monkey.MonkeyPatchWarning)
    monkey.patch_all()
    assert monkey.is_module_patched("socket"), "gevent did not patch the socket module"


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "check-config": check_config,
    "networks": list_networks,
    "rpc": rpc,
    "shell": shell,
    "demo": demo,
}

"""Runs a node in the foreground: configuration, logging, banner, signals, and a clean end."""

import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

import gevent
from gevent.util import format_run_info

from ccnode import __version__
from ccnode.config import load_config
from ccnode.errors import ExitStatus, StartupError
from ccnode.log import category_levels, setup_logging, shutdown_logging
from ccnode.log import root as log
from ccnode.network.manager import MAX_CLOSING
from ccnode.networks import network_params
from ccnode.node import Node
from ccnode.options import Config
from ccnode.terminal import Status, StatusWatcher, banner

SWITCH_INTERVAL = 0.0005
"""Seconds. At the default of 5 ms a busy worker thread starves the hub; at this value they share."""

STOP_SECONDS = 10.0
"""How long a stop may take before the process ends regardless: everything that must be durable already is.

Writing the coins comes on top. A large ``dbcache`` on a slow disk takes longer than that, and to break it off would
lose hours of work.
"""

RESERVED_FILES = 100 + MAX_CLOSING
"""File descriptors beside the connections: stores, logs, the admin socket and its clients, DNS, ends of connections."""


def run(arguments: Sequence[str]) -> int:
    """A node from start to end; returns the exit status. StartupError or StorageError if it cannot start."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    wanted = load_config(arguments)
    params = network_params(wanted)
    config = fit_connections(wanted)
    status = Status(sys.stdout)
    node = Node(config, params)
    try:
        start_logging(config, node, status)
        stop_on_signals(node.stop, node.is_writing)
        gevent.signal_handler(signal.SIGUSR1, log_greenlets)
        status.say(banner(node))
        if config.maxconnections < wanted.maxconnections:
            log.warning(
                "Reducing -maxconnections from %d to %d, because of system limitations.",
                wanted.maxconnections,
                config.maxconnections,
            )
        node.open()
        node.start()
        listening = ", ".join(map(str, node.network.listening))
        log.info("started at height %d%s", node.height(), f", listening on {listening}" if listening else "")
        watcher = StatusWatcher(node, status)
        exit_status = node.wait()
        gevent.spawn_later(STOP_SECONDS, end_if_stuck, node.is_writing)
        watcher.stop()
        log.info("stopping")
    finally:
        node.close()
    log.info("stopped at height %d", node.height())
    shutdown_logging()
    forget_closed_output()
    return exit_status


def start_logging(config: Config, node: Node, status: Status) -> None:
    """To ``debug.log`` and, if wanted, to the terminal."""
    levels = category_levels(config.debug, config.debugexclude, config.loglevel)
    console = sys.stdout if config.printtoconsole else None
    try:
        setup_logging(levels, file=node.datadir.debug_log, console=console, status=status if status.live else None)
    except OSError as error:
        raise StartupError(f"cannot write {node.datadir.debug_log}: {error.strerror}", ExitStatus.DATADIR) from error
    log.debug("ccnode %s, %s, data directory %s", __version__, node.params.name, node.datadir.path)
    for ignored in config.ignored:
        log.info("option %s does nothing here", ignored)


def stop_on_signals(stop: Callable[[], object], is_writing: Callable[[], bool] = lambda: False) -> None:
    """SIGINT and SIGTERM call ``stop``; a second one, or a stop that takes too long, ends the process at once.

    A stop may take longer while ``is_writing`` says that something is still being written.
    """
    stopping = False

    def on_signal() -> None:
        nonlocal stopping
        if stopping:
            force_end("a second signal")
        stopping = True
        stop()
        gevent.spawn_later(STOP_SECONDS, end_if_stuck, is_writing)

    for number in (signal.SIGINT, signal.SIGTERM):
        gevent.signal_handler(number, on_signal)


def end_if_stuck(is_writing: Callable[[], bool]) -> None:
    """End the process, unless what it waits for is the disk."""
    if is_writing():
        gevent.spawn_later(1.0, end_if_stuck, is_writing)
    else:
        force_end(f"not stopped within {STOP_SECONDS:.0f} s")


def force_end(why: str) -> None:
    """End the process without more ado: everything that must be durable already is."""
    log.warning("%s: the process ends now", why)
    os._exit(ExitStatus.FAULT)


def log_greenlets() -> None:
    """On SIGUSR1: where every greenlet and thread stands, to the log. The answer to why a node seems to hang."""
    gc.unfreeze()  # what was frozen at the start is not listed otherwise
    for entry in format_run_info():
        for line in entry.splitlines():
            log.info("%s", line)
    gc.freeze()


def forget_closed_output() -> None:
    """If nobody reads our output any more (``ccnode | head``), keep the interpreter from complaining at its end."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def fit_connections(config: Config) -> Config:
    """The configuration with no more connections than there can be open files; StartupError if that is none."""
    available = raise_file_limit(config.maxconnections + RESERVED_FILES)
    if available >= config.maxconnections + RESERVED_FILES:
        return config
    fitting = available - RESERVED_FILES
    if fitting <= 0:
        needed = RESERVED_FILES + 1
        raise StartupError(
            f"Not enough file descriptors available: {available}, at least {needed} are needed (ulimit -n {needed})."
        )
    return replace(config, maxconnections=fitting)


def raise_file_limit(wanted: int) -> int:
    """Raise the limit of open files to ``wanted``, as far as the system lets us; returns what is available."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    except (OSError, ValueError):  # macOS has a further limit that it does not tell
        return soft
    return allowed

"""What a person at the terminal sees beside the log: the banner, a live status line, advice when nobody answers.

The status line is the terminal's last line. Whoever prints takes it away first and draws it again afterwards, so that
neither tears the other (`Status`). Its parts stand in the order of their importance, and a narrow terminal shows as
many of them as fit. Where the output is no terminal, progress is a log line now and then.

A terminal that goes away must not take the node with it: what cannot be written is dropped.
"""

import contextlib
import logging
import os
import shlex
import shutil
import time
from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime, timezone
from typing import TextIO

import gevent

from ccnode import __version__
from ccnode.chain.index import TipChanged
from ccnode.config import COMMAND_LINE
from ccnode.network.hub import spawn
from ccnode.node import Node
from ccnode.options import Config
from ccnode.peers.peer import Peer
from ccnode.settings import entrances
from ccnode.sync.progress import Phase, SyncProgress

log = logging.getLogger("ccnode")
chain_log = logging.getLogger("ccnode.chain")

REFRESH_SECONDS = 0.5
"""How often the status line is drawn."""

ADVICE_SECONDS = 30.0
"""Without a peer for so long, the node says what it tried and what may be wrong."""

SHOWN_FAILURES = 5
"""Targets whose failure the advice tells one by one."""

SPARE_COLUMNS = 4
"""Left free at the right, so that the ``^C`` a terminal shows does not begin a new line."""

SEPARATOR = " | "
HINT = "more: ccnode shell"


def banner(node: Node) -> str:
    """Who we are and where things are, before anything slow."""
    wanted = [entrance.address for entrance in entrances(node.config, node.params.default_port)]
    off = f"no (listen is off: {node.config.origins.get('listen', 'default')})"
    return (
        f"ccnode {__version__} on {node.params.name}\n"
        f"  data       {node.datadir.path}\n"
        f"  socket     {node.datadir.socket}\n"
        f"  listening  {', '.join(map(str, wanted)) or off}\n"
        f"  look in    {shell_command(node.config)}"
    )


def shell_command(config: Config) -> str:
    """What to type in another terminal to reach this node."""
    words = ["ccnode", "shell"]
    if config.conf is not None:
        words += ["-c", str(config.conf)]
    if config.origins.get("chain") == COMMAND_LINE:
        words.append(f"--chain={config.chain}")
    if config.origins.get("datadir") == COMMAND_LINE:
        words.append(f"--datadir={config.datadir.absolute()}")
    return shlex.join(words)


class Status:
    """The live line: cleared and drawn again around every log line.

    On anything but a terminal, and on one that cannot erase a line (``TERM=dumb``), there is none.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self.live = stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"

    def show(self, parts: Sequence[str]) -> None:
        """Replace the line by as many of the parts as there is room for."""
        self._text = fit(parts, shutil.get_terminal_size().columns - SPARE_COLUMNS)
        self._write(f"\r\x1b[K{self._text}")

    def clear(self) -> None:
        if self._text:
            self._write("\r\x1b[K")

    def redraw(self) -> None:
        if self._text:
            self._write(self._text)

    def end(self) -> None:
        """Take the line away for good."""
        self.clear()
        self._text = ""

    def say(self, text: str) -> None:
        """Print lines that are no log lines."""
        self.clear()
        self._write(f"{text}\n")
        self.redraw()

    def _write(self, text: str) -> None:
        with contextlib.suppress(OSError):  # the terminal or the reader of the pipe is gone
            self._stream.write(text)
            self._stream.flush()


class StatusWatcher:
    """Draws the status line, or logs progress, as long as the node runs; gives advice when nobody answers."""

    def __init__(self, node: Node, status: Status) -> None:
        self._node = node
        self._status = status
        self._began = time.monotonic()
        self._advised = False
        self._phase: Phase | None = None
        self._task = spawn("status", self._run)
        node.chain.subscribe(self._tip_changed)

    def stop(self) -> None:
        self._task.kill(timeout=1.0)
        self._status.end()

    def _run(self) -> None:
        pause = self._node.config.statusinterval
        next_line = time.monotonic() + pause
        last: list[str] = []
        while True:
            gevent.sleep(REFRESH_SECONDS)
            progress = self._node.sync.progress()
            parts = progress_parts(progress, self._node.network.peers.values())
            self._note_phase(progress)
            if self._status.live:
                self._status.show([*parts[:-1], HINT, parts[-1]])
            elif time.monotonic() >= next_line:
                next_line += pause
                if parts != last:
                    log.info("%s", SEPARATOR.join(parts))
                    last = parts
            self._advise()

    def _note_phase(self, progress: SyncProgress) -> None:
        """One log line when synchronisation reaches its end or finds that it cannot."""
        if progress.phase is self._phase:
            return
        self._phase = progress.phase
        if progress.phase is Phase.SYNCED:
            log.info("synchronized at height %s", f"{progress.height:,}")
        elif progress.phase is Phase.STALE and progress.low_work:
            log.warning("peers have a chain of less work than minimumchainwork; it was not stored")
        elif progress.phase is Phase.STALE:
            log.info("peers have nothing above height %s, of %s", f"{progress.height:,}", utc(progress.best_time))

    def _tip_changed(self, change: TipChanged) -> None:
        """A log line for every reorganisation, and for every new tip once the node has caught up."""
        index = self._node.chain.index
        height, name = index.height(change.new_tip), index.hash(change.new_tip)[::-1].hex()
        if change.is_reorg:
            lost, gained = len(change.disconnected), len(change.connected)
            chain_log.info("reorganisation: %d out, %d in; tip %s at height %d", lost, gained, name, height)
        elif self._phase is Phase.SYNCED:
            chain_log.info("new tip %s at height %d", name, height)

    def _advise(self) -> None:
        if self._advised or time.monotonic() - self._began < ADVICE_SECONDS:
            return
        self._advised = True
        if not any(self._node.network.manager.handshaked_peers()):
            for text in advice(self._node):
                log.warning("%s", text)


def fit(parts: Sequence[str], width: int) -> str:
    """The first parts, as many as go into ``width`` characters; of a first part that is too long, its beginning."""
    text = parts[0]
    for part in parts[1:]:
        if len(text) + len(SEPARATOR) + len(part) > width:
            break
        text += SEPARATOR + part
    return text[: max(0, width)]


def progress_parts(progress: SyncProgress, peers: Collection[Peer]) -> list[str]:
    """Phase, height, how far, time left, speed, peers, date of the tip: the more important first."""
    inbound = sum(peer.inbound for peer in peers)
    connections = f"peers {len(peers) - inbound} out {inbound} in"
    if progress.presync_height is not None:
        height = f"height {progress.presync_height:,} checked, {progress.height:,} stored"
    else:
        height = f"height {progress.height:,}"
    parts = [progress.phase.value, height]
    if progress.phase in (Phase.HEADERS, Phase.PRESYNC, Phase.BLOCKS, Phase.CONNECT):
        parts.append(f"{progress.percent:.1f}%")
        if progress.eta is not None:
            parts.append(f"{duration(progress.eta)} left")
    if progress.phase not in (Phase.NO_PEERS, Phase.STALE, Phase.SYNCED):
        if progress.rate >= 1:
            parts.append(f"{progress.rate:,.0f}/s")
        elif progress.phase is Phase.BLOCKS and progress.rate > 0:
            parts.append(f"{progress.rate:.2f}/s")
    if progress.phase is Phase.STALE and progress.low_work:
        parts.append("too little work, not stored")
    return [*parts, connections, f"tip of {utc(progress.best_time)}"]


def utc(seconds: int) -> str:
    """A Unix time as people read it, to the minute."""
    return f"{datetime.fromtimestamp(seconds, timezone.utc):%Y-%m-%d %H:%M} UTC"


def duration(seconds: float) -> str:
    """Two units at most: ``48 s``, ``3 min 20 s``, ``2 h 5 min``, ``3 d 4 h``."""
    left = round(seconds)
    if left < 60:
        return f"{left} s"
    if left < 3600:
        return f"{left // 60} min {left % 60} s"
    if left < 86_400:
        return f"{left // 3600} h {left % 3600 // 60} min"
    return f"{left // 86_400} d {left % 86_400 // 3600} h"


def advice(node: Node) -> list[str]:
    """What was tried, the likely cause, what to do: for a node that found no peer."""
    dialer, seeding = node.network.dialer, node.network.seeding
    lines = [f"no peer after {ADVICE_SECONDS:.0f} s; connections tried: {dialer.attempts}"]
    if seeding.asked:
        answered = len(seeding.asked) - len(seeding.failures)
        lines[0] += f"; {answered} of {len(seeding.asked)} DNS seeds answered"
        for reason, count in Counter(seeding.failures.values()).most_common():
            lines.append(f"  {count} DNS seeds: {reason}")
    for target, reason in list(dialer.failures.items())[-SHOWN_FAILURES:]:
        lines.append(f"  {target}: {reason}")
    return [*lines, _likely_cause(node)]


def _likely_cause(node: Node) -> str:
    seeding, known = node.network.seeding, len(node.addrman)
    if not node.network.network_active:
        return "networking is off (networkactive): switch it on with  ccnode rpc setnetworkactive true"
    if node.network.manager.statistics.only_proxy_failed:
        return "the proxy cannot be used: check that it runs, its address and its port (--proxy, --onion)"
    if node.config.connect or (node.config.addnode and not seeding.asks_dns and not known):
        option = "connect" if node.config.connect else "addnode"
        return (
            f"no node given with {option} can be reached: check that it runs, its port and that the network is the same"
        )
    if not node.config.automatic:
        return "connect=0 (or noconnect) keeps the node from looking for peers: name one with --addnode=HOST"
    if not seeding.asks_dns and not known:
        why = "dnsseed is off" if node.params.dns_seeds else f"{node.params.name} has no DNS seeds"
        return f"{why}, and no address is known: name a node with --addnode=HOST"
    if seeding.asked and not any(seeding.asked.values()) and not known:
        hint = "DNS does not work from here: check the internet connection, or set --dnsserver=HOST or --addnode=HOST"
        spare = node.config.fixedseeds and node.params.fixed_seeds
        return f"{hint}; addresses that came with the program are tried next" if spare else hint
    return (
        f"a firewall may block outgoing connections to port {node.params.default_port}: "
        "allow it, or name a node you know with --addnode=HOST"
    )

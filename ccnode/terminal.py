"""What a person at the terminal sees beside the log: the banner, a live status line, advice when nobody answers."""

import logging
import shutil
import time
from collections.abc import Collection
from datetime import datetime, timezone
from typing import TextIO

import gevent

from ccnode import __version__
from ccnode.network.hub import spawn
from ccnode.node import Node, listening_addresses
from ccnode.peers.peer import Peer
from ccnode.sync.progress import Phase, SyncProgress

log = logging.getLogger("ccnode")

REFRESH_SECONDS = 0.5
"""How often the status line is drawn."""

PLAIN_SECONDS = 10.0
"""How often progress is logged where there is no terminal."""

ADVICE_SECONDS = 30.0
"""Without a peer for so long, the node says what it tried and what may be wrong."""

SHOWN_FAILURES = 5


def banner(node: Node) -> str:
    """Who we are and where things are, before anything slow."""
    wanted, _optional = listening_addresses(node.config, node.params.default_port)
    listening = ", ".join(map(str, wanted)) or "no (listen is off)"
    return (
        f"ccnode {__version__} on {node.params.name}\n"
        f"  data       {node.datadir.path}\n"
        f"  socket     {node.datadir.socket}\n"
        f"  listening  {listening}"
    )


class Status:
    """The live line: cleared and drawn again around every log line, so neither tears the other.

    On anything but a terminal there is no line; progress then goes to the log now and then.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._text = ""
        self.live = stream.isatty()

    def show(self, text: str) -> None:
        """Replace the line."""
        self._text = text[: shutil.get_terminal_size().columns - 1]
        self._stream.write(f"\r\x1b[K{self._text}")
        self._stream.flush()

    def clear(self) -> None:
        if self._text:
            self._stream.write("\r\x1b[K")

    def redraw(self) -> None:
        if self._text:
            self._stream.write(self._text)
            self._stream.flush()

    def end(self) -> None:
        """Take the line away for good."""
        self.clear()
        self._text = ""
        self._stream.flush()


class StatusWatcher:
    """Draws the status line, or logs progress, as long as the node runs; gives advice when nobody answers."""

    def __init__(self, node: Node, status: Status) -> None:
        self._node = node
        self._status = status
        self._began = time.monotonic()
        self._advised = False
        self._task = spawn("status", self._run)

    def stop(self) -> None:
        self._task.kill(timeout=1.0)
        self._status.end()

    def _run(self) -> None:
        pause = REFRESH_SECONDS if self._status.live else PLAIN_SECONDS
        last = ""
        while True:
            gevent.sleep(pause)
            line = progress_line(self._node.sync.progress(), self._node.network.peers.values())
            if self._status.live:
                self._status.show(f"{line}  |  more: ccnode shell")
            elif line != last:
                log.info("%s", line)
                last = line
            if not self._advised and time.monotonic() - self._began > ADVICE_SECONDS:
                self._advised = True
                if not any(self._node.network.manager.handshaked_peers()):
                    for text in advice(self._node):
                        log.warning("%s", text)


def progress_line(progress: SyncProgress, peers: Collection[Peer]) -> str:
    """Phase, peers, height, speed and time left in one line."""
    inbound = sum(peer.inbound for peer in peers)
    parts = [progress.phase.value, f"peers {len(peers) - inbound} out {inbound} in"]
    if progress.presync_height is not None:
        parts.append(f"height {progress.presync_height:,} checked, {progress.height:,} stored")
    else:
        tip = datetime.fromtimestamp(progress.best_time, timezone.utc)
        parts.append(f"height {progress.height:,} of {tip:%Y-%m-%d %H:%M} UTC")
    if progress.phase in (Phase.HEADERS, Phase.PRESYNC):
        parts.append(f"{progress.percent:.1f}%")
        if progress.rate >= 1:
            parts.append(f"{progress.rate:,.0f} headers/s")
        if progress.eta is not None:
            parts.append(f"{duration(progress.eta)} left")
    if progress.phase is Phase.STALE and progress.low_work:
        parts.append("the chain that peers showed has less work than minimumchainwork and was not stored")
    return "  |  ".join(parts)


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
    lines = [f"no peer after {ADVICE_SECONDS:.0f} s; {dialer.attempts} connections tried"]
    if seeding is not None:
        answered = sum(count > 0 for count in seeding.asked.values())
        lines[0] += f", {answered} of {len(seeding.asked)} DNS seeds answered"
    for target, reason in list(dialer.failures.items())[-SHOWN_FAILURES:]:
        lines.append(f"  {target}: {reason}")
    lines.append(_likely_cause(node))
    return lines


def _likely_cause(node: Node) -> str:
    seeding = node.network.seeding
    if not node.network.network_active:
        return "networking is off (networkactive): switch it on with  ccnode rpc setnetworkactive true"
    if node.config.connect:
        return "none of the nodes given with connect can be reached: check that they run, their port and the network"
    if not node.config.automatic:
        return "connect=0 (or noconnect) keeps the node from looking for peers: name one with --addnode=HOST"
    if seeding is None and not len(node.addresses):
        return f"{node.params.name} has no DNS seeds to ask, or dnsseed is off: name a node with --addnode=HOST"
    if seeding is not None and not any(seeding.asked.values()) and not len(node.addresses):
        return "DNS does not work from here: check the internet connection, or set --dnsserver=HOST or --addnode=HOST"
    return (
        f"a firewall may block outgoing connections to port {node.params.default_port}: "
        "allow it, or name a node you know with --addnode=HOST"
    )

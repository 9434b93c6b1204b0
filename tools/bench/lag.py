"""How late the event loop runs what is due: at full speed of header synchronisation, and while a peer floods.

The node measures its own lag every 20 ms. Beside it, every stretch of processor time between two switches of greenlets
is watched (``traced.py``), which slows the node a little.
"""

import json
import subprocess
import sys
import time
from pathlib import Path

from tests.support.data import ROOT
from tools.bench.flood import FLOODS
from tools.bench.process import HeaderServer, NodeProcess, scratch
from tools.bench.report import Row, milliseconds, show

GOAL = "p99 under 50 ms, worst under 100 ms, stretch under 20 ms"
FLOOD_SECONDS = 5.0


class TracedNode(NodeProcess):
    """A node process that also reports the longest stretch of processor time."""

    def _spawn(self) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "tools.bench.traced", str(self.datadir / "stretches.json")]
        arguments = ["--chain=regtest", f"--datadir={self.datadir}", "--bind=127.0.0.1:0", "--connect=0"]
        with self.output.open("ab") as output:
            return subprocess.Popen([*command, *arguments], stdout=output, stderr=output, cwd=ROOT)

    def wait_ready(self) -> None:
        super().wait_ready()
        self.ready = time.monotonic()

    def row(self, name: str) -> Row:
        """The figures since the node was ready; stops the node."""
        lag = self.rpc("getnodestats")["hub_lag"]
        end = time.monotonic()
        self.stop()
        stretches = json.loads((self.datadir / "stretches.json").read_text())
        longest, owner = max(((spent, who) for at, spent, who in stretches if self.ready < at < end), default=(0.0, ""))
        figures = f"p99 {milliseconds(lag['p99'])}, worst {milliseconds(lag['worst'])}"
        return Row(name, figures, f"stretch {milliseconds(longest)} ({owner})")


def sync(folder: Path, count: int) -> Row:
    """Header synchronisation and nothing else."""
    with HeaderServer(count) as server, TracedNode(folder) as node:
        server.expect(count)
        node.rpc("addnode", f"127.0.0.1:{server.port}", "onetry")
        server.seconds()
        return node.row(f"sync of {count:,} headers")


def flood(folder: Path, kind: str, seconds: float, count: int) -> Row:
    """One peer floods while another serves headers."""
    with HeaderServer(count) as server, TracedNode(folder) as node:
        command = [sys.executable, "-m", "tools.bench.flood", str(node.port), str(seconds), kind]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as flooder:
            assert flooder.stdout is not None
            flooder.stdout.readline()
            server.expect(count)
            node.rpc("addnode", f"127.0.0.1:{server.port}", "onetry")
            took = server.seconds()
            sent = int(flooder.stdout.readline())
        return node.row(f"flood of {kind}, {sent / seconds / 1e6:,.0f} MB/s; {count:,} headers in {took:.1f} s")


def run(quick: bool) -> None:
    count = 10_000 if quick else 1_000_000
    rows = []
    with scratch() as folder:
        rows.append(sync(folder / "sync", count))
        for i, kind in enumerate(list(FLOODS)[: 1 if quick else None]):
            rows.append(flood(folder / str(i), kind, 0.5 if quick else FLOOD_SECONDS, 10_000 if quick else 100_000))
    show(f"Lag of the event loop, and the longest stretch without a switch: {GOAL}", rows)

"""One node with thousands of peers: memory of each, how fast they come in, how soon a ping is answered among them.

The crowd is a process of its own (``crowd.py``), and whoever measures pings is another. Beside the node, a bare gevent
server (``bare.py``) serves the same crowd. Memory is the growth of the resident set over the connections that caused
it; what the kernel holds for a socket is not in it.
"""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, sleep

from ccnode.peers.outbound import outbound_slots
from tests.support.crowd import loopback
from tests.support.data import ROOT
from tests.support.hostile import PingProbe
from tests.support.scripted import wait_until
from tools.bench.process import NodeProcess, cpu_seconds, resident_bytes, scratch
from tools.bench.report import Row, milliseconds, show

COUNT = 9_000
FIRST = 50
"""Connections before the measurement begins: they bring in what a process needs but once."""

RELAYING = 500
ADDRESSES = 5_000
EVICTING = 50
PING_RATE = 2_000
"""Pings a second of all the others together."""

PING_SECONDS = 4
PROBES = 300
PROBE_PAUSE = 0.005
BATCH = 1_000
SETTLE_SECONDS = 1.0
GOALS = {"memory": "under 40 kB", "rate": "at least 1,000/s", "pings": "p99 under 100 ms"}


class CrowdProcess:
    """`tools.bench.crowd` at work on one port."""

    def __init__(self, port: int) -> None:
        command = [sys.executable, "-m", "tools.bench.crowd", str(port)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def begin(self, order: str) -> None:
        assert self.process.stdin is not None
        print(order, file=self.process.stdin)

    def result(self) -> float:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the crowd has gone")
        return float(line)

    def do(self, order: str) -> float:
        self.begin(order)
        return self.result()

    def __enter__(self) -> "CrowdProcess":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self.process.communicate()


@dataclass(frozen=True, slots=True)
class Figures:
    """What the crowd and the probe found out about one server. Seconds and bytes."""

    each: float
    rate: float
    processor: float
    """Of one connection and its handshake."""
    idle: list[float]
    busy: list[float]
    burst: float

    @classmethod
    def of(cls, pid: int, port: int, crowd: CrowdProcess, count: int) -> "Figures":
        crowd.do(f"connect {FIRST}")
        sleep(SETTLE_SECONDS)
        before = resident_bytes(pid)[0]
        used = cpu_seconds(pid)
        seconds = crowd.do(f"connect {count}")
        used = cpu_seconds(pid) - used
        sleep(SETTLE_SECONDS)
        each = (resident_bytes(pid)[0] - before) / count
        with PingProbe(port) as probe:
            idle = probe.measure(PROBES, PROBE_PAUSE)
            crowd.begin(f"ping {PING_RATE} {PING_SECONDS}")
            busy = probe.measure(PROBES, PROBE_PAUSE)
            crowd.result()
        return cls(each, count / seconds, used / count, idle, busy, crowd.do("burst"))


def bare_server(count: int) -> Figures:
    with subprocess.Popen(
        [sys.executable, "-m", "tools.bench.bare"], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            with CrowdProcess(port) as crowd:
                return Figures.of(process.pid, port, crowd, count)
        finally:
            process.kill()


@contextmanager
def node_for(folder: Path, count: int) -> Iterator[NodeProcess]:
    """A node with ``count`` inbound slots; its first peer may tell as many addresses as it likes."""
    slots = count + outbound_slots(count)
    friend = f"--whitelist=addr@{loopback(0)}"
    with NodeProcess(folder, f"--maxconnections={slots}", "--printtoconsole=0", friend) as node:
        yield node


def before_handshake(folder: Path, count: int) -> float:
    """Bytes of a connection on which nothing has been said."""
    with node_for(folder, count + FIRST) as node, CrowdProcess(node.port) as crowd:
        resident = []
        for target in (FIRST, *range(FIRST + BATCH, FIRST + count, BATCH), FIRST + count):
            crowd.do(f"silent {target - node.rpc('getnodestats')['peers']}")
            wait_until(lambda target=target: node.rpc("getnodestats")["peers"] == target)
            resident.append(resident_bytes(node.process.pid)[0])
        return (resident[-1] - resident[0]) / count


def node_rows(folder: Path, count: int, bare: Figures) -> list[Row]:
    relaying, evicting = min(RELAYING, count), min(EVICTING, count)
    silent = before_handshake(folder / "silent", count)
    with node_for(folder / "node", count + FIRST + 1) as node, CrowdProcess(node.port) as crowd:
        pid = node.process.pid
        figures = Figures.of(pid, node.port, crowd, count)
        lag = node.rpc("getnodestats")["hub_lag"]
        crowd.do(f"tell {ADDRESSES}")
        before = resident_bytes(pid)[0]
        answered = crowd.do(f"getaddr {relaying}")
        relay = (resident_bytes(pid)[0] - before) / relaying
        crowd.do("connect 1")  # the last free slot
        evicted = crowd.do(f"connect {evicting}") / evicting
        begun = perf_counter()
        node.stop()
        stopped = perf_counter() - begun
    return [
        Row("a connection before the handshake", kilobytes(silent)),
        Row("after it, idle", kilobytes(figures.each), against(figures.each, bare.each), GOALS["memory"]),
        Row("accepted, with handshake", per_second(figures.rate), against(figures.rate, bare.rate), GOALS["rate"]),
        Row("processor time of that", milliseconds(figures.processor), against(figures.processor, bare.processor)),
        Row("ping while all are idle", pings(figures.idle), f"bare: {pings(bare.idle)}", GOALS["pings"]),
        Row(f"ping beside {PING_RATE:,} a second", pings(figures.busy), f"bare: {pings(bare.busy)}", GOALS["pings"]),
        Row("all ping at once, until answered", milliseconds(figures.burst), against(figures.burst, bare.burst)),
        Row("lag of the event loop so far", f"p99 {milliseconds(lag['p99'])}, worst {milliseconds(lag['worst'])}"),
        Row("a relaying peer adds", kilobytes(relay), f"{milliseconds(answered / relaying)} for its getaddr"),
        Row("accepted in place of another", milliseconds(evicted)),
        Row("stop of the node", f"{stopped:.1f} s"),
    ]


def kilobytes(size: float) -> str:
    return f"{size / 1e3:.1f} kB"


def per_second(rate: float) -> str:
    return f"{rate:,.0f}/s"


def pings(times: list[float]) -> str:
    """Of round trips in order."""
    return f"p50 {milliseconds(times[len(times) // 2])}, p99 {milliseconds(times[int(0.99 * (len(times) - 1))])}"


def against(figure: float, floor: float) -> str:
    return f"{figure / floor:.2f}x bare" if floor else ""  # where the system does not tell


def run(quick: bool) -> None:
    count = 100 if quick else COUNT
    with scratch() as folder:
        show(f"Scale: one node and {count:,} peers", node_rows(folder, count, bare_server(count)))

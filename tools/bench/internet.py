"""A simulated internet in one process: ``python -m tools.bench.internet``.

One listener plays every node of a `Universe`: the address that a connection was made to, which the accepted socket
knows, tells which. On loopback that is all of 127.0.0.0/8; black holes are the port of a listener whose queue is full,
for the kernel drops whatever comes after; a port that is bound and not listened on refuses. In a network namespace
(``namespace.py``) it is a good part of the internet's addresses.

The process prints one line of JSON when it is ready: the ports. ``report`` on its standard input is answered with a
`Report`; it ends with its standard input, and after `LIFE_SECONDS` in any case.
"""

import argparse
import heapq
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Final

from ccnode.chain.networks import get_params
from tests.support.data import ROOT
from tools.bench.behaviours import BEHAVIOURS, Link, Phrases, Tor
from tools.bench.universe import MIXES, Internet, Loopback, Realm, Universe, key_of_socket

BACKLOG: Final = 4096
ACCEPTED_AT_ONCE: Final = 200
RECEIVE_SIZE: Final = 65_536
LIFE_SECONDS: Final = 1800.0
START_SECONDS: Final = 60.0


@dataclass(slots=True)
class Report:
    """What happened so far."""

    connections: int = 0
    nodes: int = 0
    """Nodes that were connected to."""
    most_of_one: int = 0
    """Connections to the one that had most."""
    asked: int = 0
    """``getaddr`` received."""
    most_asked: int = 0
    """By one connection."""
    most_open: int = 0
    """Connections at the same time."""
    received: int = 0
    sent: int = 0
    """Bytes."""


class Simulation:
    """The sockets, the timers, and the links between them."""

    def __init__(self, phrases: Phrases) -> None:
        self._phrases = phrases
        self._epoll = select.epoll()
        self._ready: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._timer_number = 0
        self._links: dict[Link, socket.socket] = {}
        self._pending: dict[Link, bytes] = {}
        self._visits: dict[bytes, int] = {}
        self._running = True
        self.report = Report()

    def run(self, seconds: float = LIFE_SECONDS) -> None:
        """Play until `stop`, at most for ``seconds``."""
        self.later(seconds, self.stop)
        while self._running:
            wait = self._timers[0][0] - time.monotonic()
            for file, events in self._epoll.poll(max(0.0, wait)):
                ready = self._ready.get(file)
                if ready is not None:
                    ready(events)
            now = time.monotonic()
            while self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
                if not self._timers:
                    return

    def stop(self) -> None:
        self._running = False
        self.later(0.0, lambda: None)

    def watch(self, file: int, ready: Callable[[int], None]) -> None:
        """Call ``ready`` whenever something can be read from a file descriptor."""
        self._ready[file] = ready
        self._epoll.register(file, select.EPOLLIN)

    def listen(self, sock: socket.socket, is_proxy: bool = False) -> None:
        """Play whoever is connected to through a listening socket."""
        sock.setblocking(False)
        self.watch(sock.fileno(), lambda _events: self._accept(sock, is_proxy))

    # -- connections ---------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket, is_proxy: bool) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                sock, _peer = listener.accept()
                host, port = sock.getsockname()[:2]
            except OSError:
                return
            key = key_of_socket(host, port)
            kind = self._phrases.universe.kinds.get(key)
            behaviour = Tor if is_proxy else BEHAVIOURS.get(kind) if kind else None
            if behaviour is None:
                sock.close()  # nobody's address: a crawler that dials it was told so by nobody
                continue
            self._open(behaviour(self, self._phrases, key), sock)
            if not is_proxy:
                self._count(key)

    def _count(self, key: bytes) -> None:
        count = self._visits[key] = self._visits.get(key, 0) + 1
        self.report.connections += 1
        self.report.nodes = len(self._visits)
        self.report.most_of_one = max(self.report.most_of_one, count)

    def _open(self, link: Link, sock: socket.socket) -> None:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._links[link] = sock
        self.report.most_open = max(self.report.most_open, len(self._links))
        self.watch(sock.fileno(), lambda events: self._serve(link, sock, events))
        link.opened()

    def _serve(self, link: Link, sock: socket.socket, events: int) -> None:
        if events & select.EPOLLOUT:
            self._epoll.modify(sock.fileno(), select.EPOLLIN)
            self.write(link, self._pending.pop(link, b""))
        if not events & ~select.EPOLLOUT or not link.is_open:
            return
        try:
            data = sock.recv(RECEIVE_SIZE)
        except OSError:
            data = b""
        if not data:
            self.close(link)
            return
        self.report.received += len(data)
        link.received(data)

    # -- what links want -----------------------------------------------------------------------------------------

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        self._timer_number += 1
        heapq.heappush(self._timers, (time.monotonic() + seconds, self._timer_number, action))

    def write(self, link: Link, data: bytes) -> None:
        """Send ``data``, as fast as the other end takes it. Who takes nothing gets no more."""
        if not link.is_open or link in self._pending:
            return
        sock = self._links[link]
        try:
            sent = sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.close(link)
            return
        self.report.sent += sent
        if sent < len(data):
            self._pending[link] = data[sent:]
            self._epoll.modify(sock.fileno(), select.EPOLLIN | select.EPOLLOUT)

    def close(self, link: Link) -> None:
        if not link.is_open:
            return
        link.is_open = False
        sock = self._links.pop(link)
        self._pending.pop(link, None)
        del self._ready[sock.fileno()]
        self._epoll.unregister(sock.fileno())
        sock.close()
        self.report.asked += link.asked
        self.report.most_asked = max(self.report.most_asked, link.asked)

    def become(self, link: Link, successor: Link) -> None:
        """The connection is one to another node from now on."""
        if link.is_open:
            sock = self._links.pop(link)
            link.is_open = False
            self._links[successor] = sock
            self._ready[sock.fileno()] = lambda events: self._serve(successor, sock, events)
            self._count(successor.key)


# -- the process -------------------------------------------------------------------------------------------------


def full_listener() -> tuple[socket.socket, socket.socket]:
    """A listener, and the one connection that fills its queue: whatever else dials its port is not answered."""
    listener = socket.socket()
    listener.bind(("0.0.0.0", 0))
    listener.listen(0)
    return listener, socket.create_connection(("127.0.0.1", listener.getsockname()[1]))


def main(argv: Sequence[str] | None = None) -> int:
    arguments = _arguments(argv)
    kept: list[socket.socket] = []
    if arguments.namespace:
        listener = socket.create_server(
            ("::", Internet.listening), family=socket.AF_INET6, dualstack_ipv6=True, backlog=BACKLOG
        )
        proxy = socket.create_server(("127.0.0.1", Internet.socks), backlog=BACKLOG)
        realm: Realm = Internet()
    else:
        listener, proxy = (socket.create_server((host, 0), backlog=BACKLOG) for host in ("0.0.0.0", "127.0.0.1"))
        closed = socket.socket()
        closed.bind(("0.0.0.0", 0))
        kept += [closed, *full_listener()]
        ports = [sock.getsockname()[1] for sock in (listener, kept[1], closed, proxy)]
        realm = Loopback(*ports)
    now = int(time.time())
    universe = Universe(arguments.seed, arguments.addresses, arguments.mix, realm, tuple(arguments.neighbour), now)
    simulation = Simulation(Phrases(universe, get_params(arguments.chain).magic, arguments.pace))
    simulation.listen(listener)
    simulation.listen(proxy, is_proxy=True)
    simulation.watch(sys.stdin.fileno(), lambda _events: _obey(simulation))
    print(json.dumps({"now": now, "realm": {} if arguments.namespace else asdict(realm)}), flush=True)
    simulation.run()
    return 0


def _obey(simulation: Simulation) -> None:
    if sys.stdin.readline():
        print(json.dumps(asdict(simulation.report)), flush=True)
    else:
        simulation.stop()


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tools.bench.internet", description="A simulated internet.")
    parser.add_argument("--addresses", type=int, default=300)
    parser.add_argument("--mix", choices=MIXES, default="hostile")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--chain", default="mainnet")
    parser.add_argument("--pace", type=float, default=1.0, help="latencies and delays are multiplied by it")
    parser.add_argument("--namespace", action="store_true", help="in a network namespace that has been prepared")
    parser.add_argument("--neighbour", action="append", default=[], help="a real node that the others tell of")
    return parser.parse_args(argv)


class InternetProcess:
    """A simulated internet in a process of its own, and the universe that it plays."""

    def __init__(
        self,
        addresses: int,
        mix: str = "hostile",
        *,
        seed: int = 1,
        pace: float = 1.0,
        chain: str = "mainnet",
        namespace: bool = False,
        neighbours: Sequence[str] = (),
    ) -> None:
        command = [sys.executable, "-m", "tools.bench.internet", f"--addresses={addresses}", f"--mix={mix}"]
        command += [f"--seed={seed}", f"--pace={pace}", f"--chain={chain}", *["--namespace"] * namespace]
        command += [f"--neighbour={target}" for target in neighbours]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        ready = json.loads(self._line())
        realm: Realm = Internet() if namespace else Loopback(**ready["realm"])
        self.universe = Universe(seed, addresses, mix, realm, tuple(neighbours), ready["now"])

    def report(self) -> Report:
        """What happened so far."""
        assert self.process.stdin is not None
        print("report", file=self.process.stdin)
        return Report(**json.loads(self._line()))

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the simulated internet has gone")
        return line

    def __enter__(self) -> "InternetProcess":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


if __name__ == "__main__":
    sys.exit(main())

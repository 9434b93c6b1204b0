"""Thousands of peers in a process of their own: ``python -m tools.bench.crowd PORT``.

Takes one order per line and answers each with one number:

==================  ==================================================================================
``connect COUNT``   so many more peers; seconds from the first connection to the last handshake
``silent COUNT``    so many connections on which nothing is said; seconds until all are open
``ping RATE TIME``  so many pings a second, each peer in its turn; how many were answered in that time
``burst``           every peer pings at once; seconds until all have their answer
``tell COUNT``      the first peer tells so many addresses; seconds until it has sent them
``getaddr COUNT``   so many peers ask for addresses; seconds until all have them
==================  ==================================================================================
"""

import resource
import sys
import time
from itertools import cycle, islice

from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import Addr, TimedAddress
from ccnode.wire.protocol import MAX_ADDR_TO_SEND
from tests.support.crowd import Crowd, loopback
from tests.support.scripted import NETWORK_AND_WITNESS

ANSWER_SECONDS = 60.0


class Orders:
    """The crowd, and what it can be told to do."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._crowd = Crowd()
        self._came = 0
        self._ping = self._crowd.frame("ping", bytes(8))

    def _sources(self, count: int) -> list[str]:
        self._came += count
        return [loopback(number) for number in range(self._came - count, self._came)]

    def connect(self, count: int) -> float:
        begun = time.perf_counter()
        self._crowd.connect(self._port, self._sources(count))
        return time.perf_counter() - begun

    def silent(self, count: int) -> float:
        begun = time.perf_counter()
        for source in self._sources(count):
            self._crowd.connect_silently(self._port, source)
        return time.perf_counter() - begun

    def ping(self, rate: int, seconds: int) -> float:
        crowd, before = self._crowd, self._crowd.total("pong")
        turns = cycle(list(crowd.members))
        sent, begun = 0, time.perf_counter()
        while (passed := time.perf_counter() - begun) < seconds:
            due = int(passed * rate) - sent
            for member in islice(turns, due):
                member.send(self._ping)
            sent += due
            crowd.pump(0.001)
        return crowd.total("pong") - before

    def burst(self) -> float:
        crowd, before = self._crowd, self._crowd.total("pong")
        begun = time.perf_counter()
        for member in list(crowd.members):
            member.send(self._ping)
        wanted = before + len(crowd.members)
        assert crowd.pump(ANSWER_SECONDS, lambda: crowd.total("pong") >= wanted)
        return time.perf_counter() - begun

    def tell(self, count: int) -> float:
        begun = time.perf_counter()
        first, now = next(iter(self._crowd.members)), int(time.time())
        for start in range(0, count, MAX_ADDR_TO_SEND):
            numbers = range(start, min(count, start + MAX_ADDR_TO_SEND))
            addresses = [NetworkAddress.parse(f"{8 + i % 90}.{i // 90 % 250}.{i // 22_500}.1", 8333) for i in numbers]
            message = Addr(tuple(TimedAddress(now, NETWORK_AND_WITNESS, address) for address in addresses))
            first.send(self._crowd.frame(message.command, message.encode()))
            self._crowd.pump(0.2)
        return time.perf_counter() - begun

    def getaddr(self, count: int) -> float:
        crowd = self._crowd
        asking = list(islice(crowd.members, 1, 1 + count))  # the first one knows what it told
        begun = time.perf_counter()
        for member in asking:
            member.send(crowd.frame("getaddr"))
        assert crowd.pump(ANSWER_SECONDS, lambda: all(member.received["addr"] for member in asking))
        return time.perf_counter() - begun

    def obey(self) -> None:
        line = sys.stdin.readline()
        if not line:
            raise SystemExit
        order, *numbers = line.split()
        print(getattr(self, order)(*map(int, numbers)), flush=True)

    def run(self) -> None:
        self._crowd.watch(sys.stdin.fileno(), self.obey)
        while True:
            self._crowd.pump(1.0)


def main() -> None:
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    Orders(int(sys.argv[1])).run()


if __name__ == "__main__":
    main()

"""Many scripted peers in one thread: they connect, shake hands, answer pings, and count what they are sent.

A `Crowd` does nothing by itself: its members live while somebody pumps. Each comes from a loopback address of its own
if the caller says so (Linux answers for all of 127.0.0.0/8), which is how a test makes network groups.
"""

import selectors
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from struct import Struct

from ccnode.wire.framing import V1Transport
from tests.support.scripted import REGTEST_MAGIC, version_message

HEADER = Struct("<4s12sI4s")
RECEIVE_SIZE = 65_536

WINDOW = 100
"""Handshakes under way at once: more connections would only wait in the kernel, and some be dropped there."""


def loopback(number: int) -> str:
    """A loopback address for each number below 63,500: 254 of them are in one /16, and so in one network group."""
    group, host = divmod(number, 254)
    return f"127.{1 + group}.0.{1 + host}"


class Member:
    """One connection, from either side. ``received`` counts its messages by command."""

    __slots__ = ("_crowd", "_dialed", "_rest", "established", "open", "received", "sock")

    def __init__(self, crowd: "Crowd", sock: socket.socket, *, dialed: bool) -> None:
        """:param dialed: the crowd dialed, and not the node."""
        self._crowd = crowd
        self._dialed = dialed
        self._rest = b""
        self.sock = sock
        self.open = True
        self.established = False
        self.received: Counter[str] = Counter()

    @property
    def address(self) -> str:
        """Where it is seen from the node, ``host:port``."""
        host, port = self.sock.getsockname()
        return f"{host}:{port}"

    def send(self, data: bytes) -> None:
        """Small things only: what the socket does not take at once is the end of the connection."""
        try:
            taken = self.sock.send(data)
        except OSError:
            taken = 0
        if taken < len(data):
            self._crowd.drop(self)

    def read(self) -> None:
        """Handle what has come in."""
        try:
            data = self.sock.recv(RECEIVE_SIZE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._crowd.drop(self)
            return
        data, at = self._rest + data, 0
        while len(data) - at >= HEADER.size:
            _magic, padded, size, _checksum = HEADER.unpack_from(data, at)
            end = at + HEADER.size + size
            if len(data) < end:
                break
            self._handle(padded.rstrip(b"\0").decode(), data[at + HEADER.size : end])
            at = end
        self._rest = data[at:]

    def _handle(self, command: str, payload: bytes) -> None:
        self.received[command] += 1
        if command == "ping":
            self.send(self._crowd.frame("pong", payload))
        elif command == "version":
            self.send(self._crowd.verack if self._dialed else self._crowd.version + self._crowd.verack)
        elif command == "verack":
            self.established = True


class Crowd:
    """The members, and the one selector they share."""

    def __init__(self, magic: bytes = REGTEST_MAGIC, *, services: int = 9) -> None:
        """:param services: what all of them say they offer."""
        self._transport = V1Transport(magic)
        self._selector = selectors.DefaultSelector()
        self._listeners: list[socket.socket] = []
        self.version = self.frame("version", version_message(services=services).encode())
        self.verack = self.frame("verack")
        self.members: dict[Member, None] = {}
        """Those whose connection is open, in the order in which they came."""

    def frame(self, command: str, payload: bytes = b"") -> bytes:
        return self._transport.frame(command, payload)

    # -- coming and going ----------------------------------------------------------------------------------------

    def listen(self, host: str) -> str:
        """Accept connections on an address; returns ``host:port``."""
        sock = socket.create_server((host, 0))
        self._listeners.append(sock)
        self._selector.register(sock, selectors.EVENT_READ, lambda: self._join(sock.accept()[0], dialed=False))
        return f"{host}:{sock.getsockname()[1]}"

    def connect(self, port: int, sources: Iterable[str], seconds: float = 60.0) -> list[Member]:
        """Connect from every source address, and pump until each has its handshake behind it, or its end."""
        waiting, unfinished = deque(sources), []
        came = []
        deadline = time.monotonic() + seconds
        while waiting or unfinished:
            while waiting and len(unfinished) < WINDOW:
                member = self.connect_silently(port, waiting.popleft())
                member.send(self.version)
                unfinished.append(member)
                came.append(member)
            self._pump_once(0.05)
            unfinished = [member for member in unfinished if member.open and not member.established]
            assert time.monotonic() < deadline, f"{len(unfinished)} handshakes not complete within {seconds} s"
        return came

    def connect_silently(self, port: int, source: str) -> Member:
        """One connection on which nothing is said."""
        sock = socket.create_connection(("127.0.0.1", port), timeout=20, source_address=(source, 0))
        return self._join(sock, dialed=True)

    def drop(self, member: Member) -> None:
        """Close its connection."""
        if member.open:
            member.open = False
            del self.members[member]
            self._selector.unregister(member.sock)
            member.sock.close()

    def close(self) -> None:
        for member in list(self.members):
            self.drop(member)
        for sock in self._listeners:
            self._selector.unregister(sock)
            sock.close()
        self._selector.close()

    def _join(self, sock: socket.socket, *, dialed: bool) -> Member:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        member = Member(self, sock, dialed=dialed)
        self.members[member] = None
        self._selector.register(sock, selectors.EVENT_READ, member.read)
        return member

    # -- life ----------------------------------------------------------------------------------------------------

    def watch(self, file: int, ready: Callable[[], None]) -> None:
        """Call ``ready`` while pumping, whenever something can be read from a file descriptor."""
        self._selector.register(file, selectors.EVENT_READ, ready)

    def pump(self, seconds: float, until: Callable[[], object] = lambda: False) -> bool:
        """Live for ``seconds``, or until a condition holds; whether it does."""
        end = time.monotonic() + seconds
        while not (done := bool(until())) and (left := end - time.monotonic()) > 0:
            self._pump_once(min(left, 0.05))
        return done

    def _pump_once(self, wait: float) -> None:
        for key, _events in self._selector.select(wait):
            key.data()

    def total(self, command: str) -> int:
        """Messages of a kind that the open members have received."""
        return sum(member.received[command] for member in self.members)

    def __enter__(self) -> "Crowd":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

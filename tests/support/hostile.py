"""Peers that mean harm: they flood, drip, lie about their headers, or leave at the worst moment.

`Flooder` dials a node and sends the same bytes without pause from a thread of its own, and may drain what comes back;
it sends large pieces, so it costs the test's interpreter next to nothing. `PingProbe` is the honest peer beside it: it
measures how long the node takes to answer a ping. The listening peers derive from `HeaderPeer` and answer a node that
dialed them.
"""

import contextlib
import socket
import threading
import time

from ccnode.wire.framing import HEADER, padded_command
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.serialize import sha256d
from tests.support.scripted import REGTEST_MAGIC, Link

FLOOD_PIECE = 1_000_000
"""Bytes handed to the socket at once, at least; always whole messages."""


def frame(command: str, payload: bytes, magic: bytes = REGTEST_MAGIC, checksum: bytes | None = None) -> bytes:
    """A message's bytes, with any payload and any checksum."""
    check = sha256d(payload)[:4] if checksum is None else checksum
    return HEADER.pack(magic, padded_command(command), len(payload), check) + payload


class Flooder:
    """A connection that sends ``message`` again and again as fast as the node takes it.

    It offers no services, so the node never waits for headers from it.
    """

    def __init__(
        self, port: int, message: bytes, magic: bytes = REGTEST_MAGIC, *, handshakes: bool = True, drains: bool = True
    ) -> None:
        """:param drains: read what the node answers; otherwise its answers pile up until it stops reading us."""
        self.link = Link.connect(port, magic)
        if handshakes:
            self.link.handshake(services=0)
        self.link.sock.settimeout(None)
        self.sent = 0
        self.received = 0
        self._piece = message * max(1, FLOOD_PIECE // len(message))
        self._threads = [threading.Thread(target=self._send, daemon=True)]
        if drains:
            self._threads.append(threading.Thread(target=self._drain, daemon=True))
        for thread in self._threads:
            thread.start()

    @property
    def connected(self) -> bool:
        """Whether the node still takes what we send."""
        return self._threads[0].is_alive()

    def _send(self) -> None:
        view = memoryview(self._piece)
        with contextlib.suppress(OSError):
            while True:
                at = 0
                while at < len(view):
                    count = self.link.sock.send(view[at:])
                    at += count
                    self.sent += count

    def _drain(self) -> None:
        buffer = bytearray(1 << 20)
        with contextlib.suppress(OSError):
            while count := self.link.sock.recv_into(buffer):
                self.received += count

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.link.sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        self.link.close()

    def __enter__(self) -> "Flooder":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


class PingProbe:
    """An honest connection that measures the time from a ping to its pong."""

    def __init__(self, port: int, magic: bytes = REGTEST_MAGIC) -> None:
        self._link = Link.connect(port, magic)
        self._link.handshake()
        self._nonce = 0

    def measure(self, count: int, pause: float = 0.002) -> list[float]:
        """Seconds of ``count`` pings, shortest first; ``pause`` seconds between them."""
        return sorted(self._ping(pause) for _ in range(count))

    def _ping(self, pause: float) -> float:
        time.sleep(pause)
        self._nonce += 1
        began = time.monotonic()
        self._link.send(Ping(self._nonce))
        while self._link.expect(Pong).nonce != self._nonce:
            pass
        return time.monotonic() - began

    def close(self) -> None:
        self._link.close()

    def __enter__(self) -> "PingProbe":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

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
from collections.abc import Mapping, Sequence
from dataclasses import replace

from ccnode.chain.formats import BITCOIN_FORMAT, Header
from ccnode.chain.networks import REGTEST
from ccnode.chain.pow import meets_target
from ccnode.wire.framing import HEADER, padded_command
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message
from ccnode.wire.serialize import sha256d
from tests.support.fakes import GENESIS_TIME, REGTEST_BITS, HeaderLine
from tests.support.scripted import REGTEST_MAGIC, Closed, HeaderPeer, Link

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


class Pacer(HeaderPeer):
    """Serves headers, and takes ``pause`` seconds for every answer: a synchronisation slow enough to interrupt."""

    def __init__(self, headers: Sequence[bytes], genesis: bytes, magic: bytes = REGTEST_MAGIC, pause: float = 0.1):
        self.pause = pause
        super().__init__(headers, genesis, magic)

    def handle(self, link: Link, message: Message) -> None:
        if isinstance(message, GetHeaders):
            time.sleep(self.pause)
        super().handle(link, message)


class Mute(HeaderPeer):
    """Completes the handshake, answers pings, and never a getheaders."""

    def handle(self, link: Link, message: Message) -> None:
        if isinstance(message, GetHeaders):
            self.requests.append(message)
        else:
            super().handle(link, message)


class Dripper(HeaderPeer):
    """Answers getheaders at a byte per second."""

    def handle(self, link: Link, message: Message) -> None:
        if not isinstance(message, GetHeaders):
            super().handle(link, message)
            return
        self.requests.append(message)
        for byte in frame("headers", Headers.build(self.answer(message)).encode(), self.magic):
            link.send_raw(bytes([byte]))
            time.sleep(1.0)


class Quitter(HeaderPeer):
    """Sends half of its first headers message and leaves, on every connection."""

    def handle(self, link: Link, message: Message) -> None:
        if isinstance(message, GetHeaders):
            answer = frame("headers", Headers.build(self.answer(message)).encode(), self.magic)
            link.send_raw(answer[: len(answer) // 2])
            raise Closed
        super().handle(link, message)


class Announcer(HeaderPeer):
    """An honest peer with a chain that grows: `grow` mines on it and announces what is new by headers."""

    def __init__(self, line: HeaderLine) -> None:
        self.line = line
        super().__init__(line.headers[1:], line.headers[0])

    def grow(self, count: int) -> None:
        self.line.grow(count, spacing=1)
        self.set_chain(self.line.headers[1:], self.line.headers[0])
        for link in self.links:
            with contextlib.suppress(OSError):
                link.send(Headers.build(self.line.headers[-count:]))


HEADER_FAULTS: Mapping[str, str] = {
    "high-hash": "no proof of work",
    "non-continuous": "does not extend the one before",
    "bad-diffbits": "another target than the rule asks for",
    "time-too-old": "not after the median time past",
    "bad-version": "a version that the soft forks do not allow",
    "time-too-new": "three hours ahead: not a fault, but not acceptable yet",
}


def faulty_headers(line: HeaderLine, count: int, at: int, fault: str) -> list[bytes]:
    """``count`` headers that continue ``line``, in order but for number ``at``, which has one of `HEADER_FAULTS`."""
    headers: list[bytes] = []
    prev, began = line.tip, line.time + 1
    for i in range(count):
        changes: dict[str, object] = {}
        if i == at:
            changes = {
                "bad-diffbits": {"bits": 0x207FFFFE},
                "time-too-old": {"time": GENESIS_TIME},
                "bad-version": {"version": 1},
                "time-too-new": {"time": int(time.time()) + 3 * 3600},
                "non-continuous": {"prev": sha256d(prev)},
            }.get(fault, {})
        header = replace(Header(4, prev, sha256d(prev + b"hostile"), began + i, REGTEST_BITS, 0), **changes)
        headers.append(_mined(header, valid=not (i == at and fault == "high-hash")))
        prev = sha256d(headers[-1])
    return headers


def _mined(header: Header, *, valid: bool) -> bytes:
    """With a nonce that meets the target, or one that does not. Half of all nonces do, on regtest."""
    while True:
        raw = BITCOIN_FORMAT.serialize(header)
        if meets_target(sha256d(raw), header.bits, REGTEST.pow_limit) is valid:
            return raw
        header = replace(header, nonce=header.nonce + 1)

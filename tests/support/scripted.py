"""Peers whose every byte a test decides: plain blocking sockets and threads, independent of gevent.

`Link` is one connection: send messages or raw bytes, receive messages with a deadline. `HeaderPeer` listens on
loopback and serves a chain of headers to everyone who connects, from a thread per connection; tests derive from it to
make a peer that stalls, lies or floods.
"""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ccnode.chain.formats import BITCOIN_FORMAT
from ccnode.wire.factory import MessageFactory
from ccnode.wire.framing import V1Transport
from ccnode.wire.handshake import ServiceAddress, Verack, Version
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message

REGTEST_MAGIC = bytes.fromhex("fabfb5da")
MAINNET_MAGIC = bytes.fromhex("f9beb4d9")
NETWORK_AND_WITNESS = 9
RECEIVE_SECONDS = 10.0


class Closed(Exception):
    """The other side ended the connection."""


class Link:
    """One connection, seen from the test."""

    def __init__(self, sock: socket.socket, magic: bytes) -> None:
        self.sock = sock
        self._transport = V1Transport(magic)
        self._factory = MessageFactory()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def connect(cls, port: int, magic: bytes = REGTEST_MAGIC, host: str = "127.0.0.1") -> "Link":
        return cls(socket.create_connection((host, port), timeout=RECEIVE_SECONDS), magic)

    def send(self, *messages: Message) -> None:
        frames = [self._transport.frame(message.command, message.encode()) for message in messages]
        self.send_raw(b"".join(frames))

    def send_raw(self, data: bytes) -> None:
        self.sock.settimeout(RECEIVE_SECONDS)
        self.sock.sendall(data)

    def receive(self, seconds: float = RECEIVE_SECONDS) -> Message:
        """The next message. TimeoutError when there is none in time, `Closed` when there never will be."""
        end = time.monotonic() + seconds
        while True:
            frame = self._transport.next_frame()
            if frame is not None:
                assert frame.fault is None, frame
                return self._factory.decode(frame.command, frame.payload)
            self.sock.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.sock.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                raise Closed
            buffer = self._transport.payload_buffer()
            if buffer is not None:
                buffer.release()
            self._transport.receive_data(data)

    def expect(self, kind: type[Any], seconds: float = RECEIVE_SECONDS) -> Any:
        """The next message of a type; others are skipped, pings answered."""
        end = time.monotonic() + seconds
        while True:
            message = self.receive(max(0.001, end - time.monotonic()))
            if isinstance(message, kind):
                return message
            if isinstance(message, Ping) and message.nonce is not None:
                self.send(Pong(message.nonce))

    def expect_close(self, seconds: float = RECEIVE_SECONDS) -> None:
        """Wait for the other side to end the connection."""
        end = time.monotonic() + seconds
        with contextlib.suppress(Closed):
            while True:
                self.receive(max(0.001, end - time.monotonic()))

    def handshake(self, services: int = NETWORK_AND_WITNESS, height: int = 0, version: int = 70016) -> Version:
        """Both sides' version and verack, whoever dialed; returns the other side's version."""
        self.send(version_message(services=services, height=height, version=version))
        theirs: Version = self.expect(Version)
        self.send(Verack())
        self.expect(Verack)
        return theirs

    def close(self) -> None:
        self.sock.close()


def version_message(
    services: int = NETWORK_AND_WITNESS, height: int = 0, version: int = 70016, nonce: int = 1
) -> Version:
    return Version(
        version=version,
        services=services,
        timestamp=int(time.time()),
        addr_recv=ServiceAddress(),
        addr_from=ServiceAddress(services),
        nonce=nonce,
        user_agent=b"/scripted:1.0/",
        start_height=height,
        relay=True,
    )


class HeaderPeer:
    """A listening peer that serves ``headers`` (without the genesis) above ``genesis_hash``."""

    def __init__(
        self,
        headers: Sequence[bytes],
        genesis: bytes,
        magic: bytes = REGTEST_MAGIC,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.magic = magic
        self._lock = threading.Lock()
        self.set_chain(headers, genesis)
        self.requests: list[GetHeaders] = []
        self.links: list[Link] = []
        self.connections = 0
        self._listener = socket.create_server((host, port))
        self.host, self.port = self._listener.getsockname()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def target(self) -> str:
        """What a node's ``connect`` wants."""
        return f"{self.host}:{self.port}"

    def set_chain(self, headers: Sequence[bytes], genesis: bytes) -> None:
        """Serve another chain from now on."""
        with self._lock:
            self.headers = list(headers)
            hashes = BITCOIN_FORMAT.hashes([genesis, *self.headers])
            self.heights = {block_hash: height for height, block_hash in enumerate(hashes)}
            self.tip_hash = hashes[-1]

    def answer(self, request: GetHeaders) -> Sequence[bytes]:
        """Up to 2000 headers after the first locator hash we have."""
        with self._lock:
            height = next((self.heights[known] for known in request.locator if known in self.heights), 0)
            return self.headers[height : height + 2000]

    def serve(self, link: Link) -> None:
        """One connection; ends with it."""
        link.handshake(height=len(self.headers))
        while True:
            self.handle(link, link.receive(seconds=600))

    def handle(self, link: Link, message: Message) -> None:
        if isinstance(message, GetHeaders):
            self.requests.append(message)
            link.send(Headers.build(self.answer(message)))
        elif isinstance(message, Ping) and message.nonce is not None:
            link.send(Pong(message.nonce))

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or the waiting accept would take one more connection
        self._listener.close()
        for link in self.links:
            with contextlib.suppress(OSError):
                link.sock.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> "HeaderPeer":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            link = Link(sock, self.magic)
            self.links.append(link)
            threading.Thread(target=self._guarded, args=(link,), daemon=True).start()

    def _guarded(self, link: Link) -> None:
        with contextlib.suppress(Closed, OSError):
            self.serve(link)
        link.close()


def wait_until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true value of ``condition()``; AssertionError when there is none in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = condition()
        if value:
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {condition}")

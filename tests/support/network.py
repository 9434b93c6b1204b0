"""Connections between two ends of one process, and a guard against handlers that wait."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import gevent
import gevent.socket
import greenlet

from ccnode.chain.networks import REGTEST
from ccnode.errors import WireError
from ccnode.wire.factory import MessageFactory
from ccnode.wire.framing import V1Transport
from ccnode.wire.message import Message

M = TypeVar("M")

WAIT_SECONDS = 10.0


def eventually(condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
    """The first true value of ``condition()``, while the hub goes on."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "not in time"
        gevent.sleep(0.001)
    return value


class FarEnd:
    """The other side of a connection: what a peer sends and sees."""

    def __init__(self, sock: gevent.socket.socket, magic: bytes = REGTEST.magic) -> None:
        self.sock = sock
        self.transport = V1Transport(magic)
        self.factory = MessageFactory()

    def send(self, *messages: Message) -> None:
        self.sock.sendall(b"".join(self.transport.frame(m.command, m.encode()) for m in messages))

    def send_raw(self, command: str, payload: bytes) -> None:
        self.sock.sendall(self.transport.frame(command, payload))

    def receive(self) -> Message:
        """The next message; EOFError at the end of the connection."""
        with gevent.Timeout(WAIT_SECONDS):
            while (frame := self.transport.next_frame()) is None:
                buffer = self.transport.payload_buffer()
                if buffer is not None:
                    buffer.release()
                try:
                    data = self.sock.recv(65536)
                except ConnectionError:
                    data = b""
                if not data:
                    raise EOFError
                self.transport.receive_data(data)
        if frame.fault is not None:
            raise WireError(frame.fault)
        return self.factory.decode(frame.command, frame.payload)

    def expect(self, kind: type[M]) -> M:
        while not isinstance(message := self.receive(), kind):
            pass
        return message

    def until_closed(self) -> list[str]:
        """The commands that still come before the end."""
        commands: list[str] = []
        try:
            while True:
                commands.append(self.receive().command)
        except EOFError:
            return commands

    def close(self) -> None:
        self.sock.close()


def pair() -> tuple[gevent.socket.socket, gevent.socket.socket]:
    """Two connected stream sockets."""
    near, far = gevent.socket.socketpair()
    return near, far


@contextmanager
def no_switch(what: object) -> Iterator[None]:
    """Fails if the body switches to another greenlet."""
    switches: list[str] = []
    me = greenlet.getcurrent()

    def trace(event: str, args: Any) -> None:
        if event in ("switch", "throw") and args[0] is me:
            switches.append(f"{args[0]} -> {args[1]}")

    before = greenlet.settrace(trace)
    try:
        yield
    finally:
        greenlet.settrace(before)
    assert not switches, f"{what} waited: {switches[0]}"

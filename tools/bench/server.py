"""The peer that serves headers to a node under test: a process of its own, its answers framed beforehand.

``python -m tools.bench.server COUNT`` prints its port. Each line on its standard input, a number of headers, has it
serve that many to the next connection; when the node has them all it prints the seconds that took. Time runs from the
first ``getheaders`` to the moment when everything is stored: to the pong for a ping that was sent behind the last
answer.

A request is answered by looking up its first locator hash: between request and answer there is one dictionary and one
``send`` of 162 kB.
"""

import socket
import sys
import time
from hashlib import sha256

from ccnode.wire.framing import V1Transport
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.protocol import MAX_HEADERS_RESULTS
from ccnode.wire.serialize import compact_size
from tests.support.scripted import Link
from tools.bench.regtest import ENTRY_SIZE, PARAMS, wire_headers

SEND_BUFFER = 1 << 20
"""Bytes that the socket takes at once, so that answering never waits for the node."""

_LAST_PING = Ping(0x656E64)


class Answers:
    """One framed ``headers`` message per 2000 headers, by the hash they follow."""

    def __init__(self, count: int) -> None:
        wire = wire_headers(count)
        transport = V1Transport(PARAMS.magic)
        step = MAX_HEADERS_RESULTS * ENTRY_SIZE
        self.empty = transport.frame(Headers.command, b"\0")
        self._numbers = {PARAMS.genesis_hash: 0}
        self._frames: list[bytes] = []
        for start in range(0, len(wire), step):
            part = wire[start : start + step]
            self._frames.append(transport.frame(Headers.command, compact_size(len(part) // ENTRY_SIZE) + part))
            last = part[-ENTRY_SIZE:-1]
            self._numbers[sha256(sha256(last).digest()).digest()] = len(self._frames)

    def after(self, block_hash: bytes, frames: int) -> bytes:
        """The answer to a locator that begins with this hash, if only ``frames`` messages are served."""
        number = self._numbers[block_hash]
        return self._frames[number] if number < frames else self.empty


def serve(link: Link, answers: Answers, count: int) -> float:
    """Serve ``count`` headers, a multiple of 2000, to one connection; returns the seconds it took."""
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
    link.handshake(height=count)
    begun = 0.0
    while True:
        message = link.receive(seconds=60)
        if isinstance(message, GetHeaders):
            begun = begun or time.perf_counter()
            answer = answers.after(message.locator[0], count // MAX_HEADERS_RESULTS)
            link.send_raw(answer)
            if answer is answers.empty:
                link.send(_LAST_PING)
        elif isinstance(message, Ping):
            link.send(Pong(message.nonce))
        elif isinstance(message, Pong) and message.nonce == _LAST_PING.nonce:
            return time.perf_counter() - begun


def main() -> None:
    answers = Answers(int(sys.argv[1]))
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    links = []  # kept open: a node that loses its only peer has other things to do than answer
    for line in sys.stdin:
        links.append(Link(listener.accept()[0], PARAMS.magic))
        print(serve(links[-1], answers, int(line)), flush=True)


if __name__ == "__main__":
    main()

"""The least that a gevent server can do and still be a peer: one greenlet per connection, answers prepared beforehand.

``python -m tools.bench.bare`` prints its port. It checks nothing, remembers nothing and limits nothing.
"""

import gevent
from gevent import socket

from ccnode.wire.framing import HEADER, V1Transport
from ccnode.wire.handshake import SendAddrV2, Verack, WtxidRelay
from ccnode.wire.keepalive import Pong
from tests.support.scripted import version_message
from tools.bench.regtest import PARAMS

BACKLOG = 4096

_transport = V1Transport(PARAMS.magic)
_GREETING = b"".join(
    _transport.frame(message.command, message.encode())
    for message in (version_message(), WtxidRelay(), SendAddrV2(), Verack())
)


def serve(sock: socket.socket) -> None:
    """One connection, until its end."""
    data = b""
    while received := sock.recv(65_536):
        data += received
        while len(data) >= HEADER.size:
            _magic, padded, size, _checksum = HEADER.unpack_from(data)
            end = HEADER.size + size
            if len(data) < end:
                break
            if padded.startswith(b"version\0"):
                sock.sendall(_GREETING)
            elif padded.startswith(b"ping\0"):
                sock.sendall(_transport.frame(Pong.command, data[HEADER.size : end]))
            data = data[end:]
    sock.close()


def main() -> None:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(BACKLOG)
    print(listener.getsockname()[1], flush=True)
    while True:
        sock, _ = listener.accept()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        gevent.spawn(serve, sock)


if __name__ == "__main__":
    main()

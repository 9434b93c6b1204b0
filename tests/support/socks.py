"""A SOCKS5 proxy for tests, on threads and plain sockets: it notes who asked for what, and does what a test says."""

import contextlib
import socket
import threading
from dataclasses import dataclass
from pathlib import Path

RECEIVE_SECONDS = 30.0
NO_AUTHENTICATION, USER_PASSWORD = 0, 2
DOMAIN_NAME = 3
HOST_UNREACHABLE = 4
BOUND_TO_NOTHING = b"\x01" + bytes(6)
"""Type, address and port of the answer: 0.0.0.0:0."""


@dataclass(frozen=True)
class Request:
    """What a client wanted."""

    methods: bytes
    user: bytes | None
    password: bytes | None
    kind: int
    """Type of the address; 3 is a name."""
    host: str
    port: int


class SocksServer:
    """Listens on loopback or on a Unix socket until `close`.

    A request for a host and port in `leads_to` is connected to that port on 127.0.0.1, any other one refused with the
    code `refusal`. ``answer``, if set, is sent instead of either; ``greeting`` instead of the choice of a method; an
    empty one closes the connection. With ``silent`` nothing is ever answered.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.requests: list[Request] = []
        self.connections = 0
        self.leads_to: dict[tuple[str, int], int] = {}
        self.refusal = HOST_UNREACHABLE
        self.bound = BOUND_TO_NOTHING
        self.wants_password = True
        self.password_status = 0
        self.greeting: bytes | None = None
        self.answer: bytes | None = None
        self.silent = False
        self._sockets: list[socket.socket] = []
        if path is None:
            self._listener = socket.create_server(("127.0.0.1", 0))
            self.port = self._listener.getsockname()[1]
            self.target = f"127.0.0.1:{self.port}"
        else:
            self._listener = socket.socket(socket.AF_UNIX)
            self._listener.bind(str(path))
            self._listener.listen()
            self.target = f"unix:{path}"
        self._start(self._accept)

    def hosts(self) -> list[tuple[str, int]]:
        """What was asked for, in order."""
        return [(request.host, request.port) for request in self.requests]

    def close(self) -> None:
        for sock in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> "SocksServer":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    # -- in threads ----------------------------------------------------------------------------------------------

    def _start(self, function, *args) -> None:
        threading.Thread(target=function, args=args, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._sockets.append(sock)
            sock.settimeout(RECEIVE_SECONDS)
            self._start(self._serve, sock)

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), sock:
            if self.silent:
                sock.recv(1000, socket.MSG_WAITALL)
                return
            request = self._listen_to(sock)
            if request is None:
                return
            self.requests.append(request)
            if self.answer is not None:
                sock.sendall(self.answer)
                return
            port = self.leads_to.get((request.host, request.port))
            code = self.refusal if port is None else 0
            sock.sendall(bytes([5, code, 0]) + self.bound)
            if port is not None:
                self._relay(sock, port)

    def _listen_to(self, sock: socket.socket) -> Request | None:
        version, count = _exactly(sock, 2)
        assert version == 5
        methods = _exactly(sock, count)
        if self.greeting is not None:
            sock.sendall(self.greeting)
            return None
        user = password = None
        if self.wants_password and USER_PASSWORD in methods:
            sock.sendall(bytes([5, USER_PASSWORD]))
            assert _exactly(sock, 1) == b"\x01"
            user = _exactly(sock, _exactly(sock, 1)[0])
            password = _exactly(sock, _exactly(sock, 1)[0])
            sock.sendall(bytes([1, self.password_status]))
            if self.password_status:
                return None
        else:
            sock.sendall(bytes([5, NO_AUTHENTICATION]))
        version, command, reserved, kind = _exactly(sock, 4)
        assert (version, command, reserved) == (5, 1, 0)
        host = _exactly(sock, {1: 4, 4: 16}[kind] if kind != DOMAIN_NAME else _exactly(sock, 1)[0])
        port = int.from_bytes(_exactly(sock, 2), "big")
        return Request(methods, user, password, kind, host.decode("latin-1"), port)

    def _relay(self, near: socket.socket, port: int) -> None:
        with socket.create_connection(("127.0.0.1", port)) as far:
            self._sockets.append(far)
            near.settimeout(None)
            self._start(_pump, near, far)
            _pump(far, near)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def _exactly(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = sock.recv(size - len(data))
        if not piece:
            raise EOFError
        data += piece
    return data

"""HTTP over gevent's WSGI server, with the limits that it does not have itself.

gevent reads requests, and knows nothing of clients that would rather do harm. Here a request must come whole within
`RECEIVE_SECONDS`, its head fits into `MAX_HEAD` bytes, its body into what the application allows, whoever sends much
gets no more than its share of the event loop, and so many connections are served at a time; the others wait in the
system's queue. What is not HTTP gets an error. A server that fails is started again with pauses, like the listener.
"""

import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from http.client import HTTPException
from types import TracebackType
from typing import Any, BinaryIO, Final

import gevent
from gevent import socket as gevent_socket
from gevent.pool import Pool
from gevent.pywsgi import LoggingLogAdapter, WSGIHandler, WSGIServer

from ccnode.errors import ExitStatus, StartupError
from ccnode.network.hub import Supervisor, breathe
from ccnode.wire.address import Network, NetworkAddress

log = logging.getLogger("ccnode.rpc")

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
"""Of WSGI."""

RECEIVE_SECONDS = 30.0
"""A connection without a whole request for so long ends (Core: ``-rpcservertimeout``)."""

SEND_SECONDS = 30.0
"""How long a client may leave an answer unread."""

MAX_HEAD: Final = 16_384
"""Bytes of a request's first line and headers together (Core: 8,192 of headers)."""

PIECE: Final = 65_536
"""Bytes of a body read at once."""

BACKLOG: Final = 128
"""Connections that the system may keep waiting."""

CLOSE_SECONDS = 2.0
"""How long closing waits for answers under way."""


class TooMuch(OSError):
    """A request is larger than it may be."""


class RequestInput:
    """What a client sends, up to a limit that each request sets anew."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left = MAX_HEAD

    def readline(self, size: int = -1) -> bytes:
        return self._taken(self._file.readline(self._bounded(size)))

    def read(self, size: int = -1) -> bytes:
        breathe()
        return self._taken(self._file.read(self._bounded(size)))

    def _bounded(self, size: int) -> int:
        return self.left + 1 if size < 0 else min(size, self.left + 1)

    def _taken(self, data: bytes) -> bytes:
        self.left -= len(data)
        if self.left < 0:
            raise TooMuch("the request is too long")
        return data

    @property
    def closed(self) -> bool:
        return self._file.closed

    def close(self) -> None:
        self._file.close()


class Handler(WSGIHandler):  # type: ignore[misc]
    """One connection. The application finds it in the environment as ``ccnode.handler``."""

    rfile: Any

    def handle(self) -> None:
        self.rfile = RequestInput(self.rfile)
        self.socket.settimeout(SEND_SECONDS)
        self.busy = False
        self._expiry: gevent.Greenlet | None = None
        self.server.handlers.add(self)
        try:
            super().handle()
        finally:
            self.server.handlers.discard(self)
            self._expire_in(None)

    def read_requestline(self) -> str:
        self.busy = False
        self._expire_in(self.server.patience)
        self.rfile.left = MAX_HEAD
        breathe()  # once for a head, which is small: a turn for each of its lines would add up
        line: str = super().read_requestline()
        return line

    def read_request(self, raw_requestline: str) -> bool:
        self.busy = True
        self._expire_in(self.server.patience)
        try:
            return bool(super().read_request(raw_requestline))
        except (OSError, HTTPException, LookupError) as error:  # gevent expects no others than ValueError
            raise ValueError(f"{type(error).__name__}: {error}") from error

    def get_environ(self) -> dict[str, Any]:
        return {**super().get_environ(), "ccnode.handler": self}

    def body(self, limit: int) -> bytes:
        """The whole body. Raises `TooMuch` beyond ``limit`` bytes, OSError if it does not come."""
        if (self.content_length or 0) > limit:
            raise TooMuch("the request is too long")
        self.rfile.left = limit
        pieces = []
        while piece := self.wsgi_input.read(PIECE):
            pieces.append(piece)
        self._expire_in(None)
        return b"".join(pieces)

    def handle_error(self, kind: type[BaseException], error: BaseException, traceback: TracebackType) -> None:
        """Something was raised while answering."""
        if issubclass(kind, OSError | gevent.GreenletExit):  # the client is gone or does not read, or we end it
            self.close_connection = True
            return
        log.error("an HTTP request failed", exc_info=(kind, error, traceback))
        self._send_error_response_if_possible(500)

    def shut(self, how: int = socket.SHUT_RDWR) -> None:
        """Let whoever waits for the connection go on, with its end or an error."""
        with contextlib.suppress(OSError, AttributeError):  # there is no socket when it is over
            self.socket.shutdown(how)

    def _expire_in(self, seconds: float | None) -> None:
        """Shut the connection then, unless told otherwise before; None for never."""
        if self._expiry is not None:
            self._expiry.kill(block=False)
        self._expiry = None if seconds is None else gevent.spawn_later(seconds, self.shut)


class _Server(WSGIServer):  # type: ignore[misc]
    """With the connections at hand."""

    def __init__(self, *args: Any, patience: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.patience = patience
        self.handlers: set[Handler] = set()


class WebServer:
    """Serves one application at one or several addresses until `close`."""

    def __init__(
        self,
        name: str,
        sockets: Sequence[gevent_socket.socket],
        application: Application,
        *,
        connections: int,
        patience: float = RECEIVE_SECONDS,
    ) -> None:
        """
        :param sockets: made by `listen`.
        :param connections: how many are served at a time, all addresses together.
        :param patience: seconds that a request may take to come.
        """
        self._application = application
        self._patience = patience
        self._pool = Pool(connections)
        self._servers: list[_Server] = []
        self._sockets = list(sockets)
        self.addresses = [NetworkAddress.parse(*sock.getsockname()[:2]) for sock in sockets]
        self._supervisors = [Supervisor(name, partial(self._run, number)) for number in range(len(sockets))]

    def _run(self, number: int) -> None:
        if self._sockets[number].fileno() < 0:  # the run before this one failed
            self._sockets[number] = listen(self.addresses[number])
        server = _Server(
            self._sockets[number],
            self._application,
            spawn=self._pool,
            log=None,
            error_log=LoggingLogAdapter(log, logging.DEBUG),
            handler_class=Handler,
            patience=self._patience,
        )
        self._servers.append(server)
        try:
            server.serve_forever()
        finally:
            self._servers.remove(server)
            server.stop(timeout=0)
            self._sockets[number].close()

    def close(self) -> None:
        """Stop listening, let answers under way go out, end the connections. A second call does nothing."""
        servers = list(self._servers)
        for server in servers:
            server.close()
            for handler in list(server.handlers):
                handler.shut(socket.SHUT_RD if handler.busy else socket.SHUT_RDWR)
        self._pool.join(CLOSE_SECONDS)
        self._pool.kill(timeout=1.0)
        for sock in self._sockets:
            sock.close()
        for supervisor in self._supervisors:
            supervisor.stop()


def listen(address: NetworkAddress) -> gevent_socket.socket:
    """A listening socket. StartupError says why there is none; its cause is the OSError."""
    family = socket.AF_INET if address.network is Network.IPV4 else socket.AF_INET6
    sock = None
    try:
        sock = gevent_socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
        sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens there" if taken else error.strerror
        raise StartupError(f"cannot listen on {address}: {why}", ExitStatus.BIND) from error
    return sock

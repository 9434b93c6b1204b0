"""The node's figures for Prometheus, over HTTP at the address that ``metrics`` names.

prometheus_client knows the formats, ``collector.py`` the figures; this module is the server.

Whoever can connect can read, and there is no password: the address should be one of this machine, and the log warns of
any other. Others cannot do much harm: so many connections at a time are served, each for so long, and the rest waits in
the system's queue. What is not HTTP gets an error. A server that fails is started again with pauses, like the listener.
"""

import contextlib
import errno
import logging
import socket
from ipaddress import ip_address
from typing import Final

import gevent
from gevent import socket as gevent_socket
from gevent.pool import Pool
from gevent.pywsgi import LoggingLogAdapter, WSGIHandler, WSGIServer
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import Collector

from ccnode.errors import ExitStatus, StartupError
from ccnode.network.hub import Supervisor
from ccnode.wire.address import Network, NetworkAddress

log = logging.getLogger("ccnode.rpc")

MAX_CONNECTIONS: Final = 8
"""Served at a time; each may hold a request of some hundred kilobytes."""

CONNECTION_SECONDS = 10.0
"""After so long a connection ends, whatever it is doing. A scrape takes milliseconds."""

BACKLOG: Final = 16
"""Connections that the system may keep waiting."""


class MetricsServer:
    """Answers scrapes until `close`."""

    def __init__(self, address: NetworkAddress, collector: Collector) -> None:
        """Listen at once; StartupError if the address cannot be had."""
        self._socket = _bind(address)
        self.address = NetworkAddress.parse(*self._socket.getsockname()[:2])
        log.info("metrics are served at http://%s/metrics", self.address)
        if not ip_address(address.host).is_loopback:
            log.warning("%s is not of this machine alone: anybody who can connect may read the metrics", self.address)
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        self._application = make_wsgi_app(registry, disable_compression=True)
        self._server: WSGIServer | None = None
        self._supervisor = Supervisor("metrics", self._run)

    def _run(self) -> None:
        if self._socket.fileno() < 0:  # the run before this one failed
            self._socket = _bind(self.address)
        self._server = WSGIServer(
            self._socket,
            self._application,
            spawn=Pool(MAX_CONNECTIONS),
            log=None,
            error_log=LoggingLogAdapter(log, logging.DEBUG),
            handler_class=_Handler,
        )
        try:
            self._server.serve_forever()
        finally:
            self._server.stop(timeout=0)
            self._socket.close()

    def close(self) -> None:
        """Stop listening, and end the connections."""
        if self._server is not None:
            self._server.stop(timeout=0)
        self._socket.close()
        self._supervisor.stop()


class _Handler(WSGIHandler):  # type: ignore[misc]
    """One connection, for `CONNECTION_SECONDS` at most, however slowly it asks or reads."""

    def handle(self) -> None:
        end = gevent.spawn_later(CONNECTION_SECONDS, _shut, self.socket)
        try:
            super().handle()
        finally:
            end.kill(block=False)


def _shut(sock: socket.socket) -> None:
    """Let whoever waits for the socket go on, with its end or an error."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _bind(address: NetworkAddress) -> gevent_socket.socket:
    family = socket.AF_INET if address.network is Network.IPV4 else socket.AF_INET6
    sock = None
    try:
        sock = gevent_socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:
            sock.close()
        taken = error.errno == errno.EADDRINUSE
        why = "another program listens there" if taken else error.strerror
        raise StartupError(
            f"cannot serve metrics on {address}: {why}; choose another address with --metrics", ExitStatus.BIND
        ) from error
    return sock

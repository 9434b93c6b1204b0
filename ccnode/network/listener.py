"""Accepts inbound connections on one address.

The accept loop is our own: gevent's servers stop accepting when their pool is full, and a node must accept and then
decide. When the process runs out of file descriptors the loop pauses instead of spinning. Where every connection makes
another one go, thousands of peers have to be compared for each: then the loop rests as long as that took, so that a
flood of connections has no more than half of the time.
"""

import errno
import logging
import socket
import time
from collections.abc import Callable

import gevent

from ccnode.errors import ExitStatus, StartupError
from ccnode.network.hub import Supervisor, breathe
from ccnode.wire.address import Network, NetworkAddress

log = logging.getLogger("ccnode.net")

BACKLOG = socket.SOMAXCONN
"""Connections the kernel may hold for us, as in Core: they come in crowds when a node is back."""

LONG = 0.002
"""Seconds; what takes less to accept is not followed by a rest."""

FULL_PAUSE = 0.5
"""Seconds without accepting when file descriptors or memory ran out."""

_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

_ABORTED = frozenset(
    {errno.ECONNABORTED, errno.EPROTO, errno.ENOPROTOOPT, errno.EOPNOTSUPP, errno.EPERM, errno.ETIMEDOUT}
    | {errno.ENETDOWN, errno.ENETUNREACH, errno.EHOSTDOWN, errno.EHOSTUNREACH}
)
"""Errors of the one connection that was to be accepted; ``accept(2)`` says to go on with the next."""


def address_of(sockaddr: tuple[str, int] | tuple[str, int, int, int]) -> NetworkAddress:
    """What the socket layer calls an address, as a `NetworkAddress` (IPv4-mapped IPv6 comes out as IPv4).

    ValueError in a range where IPv6 has no addresses to us (Core: OnionCat, ``internal``), but a neighbour may have.
    """
    return NetworkAddress.parse(sockaddr[0].split("%")[0], sockaddr[1])


def bind(address: NetworkAddress) -> socket.socket:
    """A listening socket; StartupError names the address and the reason."""
    family = socket.AF_INET if address.network is Network.IPV4 else socket.AF_INET6
    sock = None
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address.host, address.port))
        sock.listen(BACKLOG)
    except OSError as error:
        if sock is not None:  # without IPv6 in the kernel there is not even a socket
            sock.close()
        if error.errno == errno.EADDRINUSE:
            why = f"another program listens on {address}; stop it, or choose another port with --port or --bind"
        elif error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            why = f"this machine has no address {address.host}; correct --bind"
        elif error.errno == errno.EACCES:
            why = f"no permission to listen on {address}; ports below 1024 need privileges"
        else:
            why = f"cannot listen on {address}: {error.strerror}"
        raise StartupError(why, ExitStatus.BIND) from error
    return sock


class Listener:
    """Hands every accepted socket to ``accepted(socket, remote, local)``, which must not switch greenlets."""

    def __init__(
        self,
        sock: socket.socket,
        accepted: Callable[[socket.socket, NetworkAddress, NetworkAddress], None],
    ) -> None:
        self.address = address_of(sock.getsockname())
        self._sock = sock
        self._accepted = accepted
        self._supervisor = Supervisor(f"listener {self.address}", self._run)

    def _run(self) -> None:
        while True:
            try:
                sock, remote = self._sock.accept()
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    log.warning("cannot accept connections for now: %s", error.strerror)
                    gevent.sleep(FULL_PAUSE)
                elif self._sock.fileno() < 0:
                    return  # closed by `close`
                elif error.errno not in _ABORTED:
                    raise
                breathe()
                continue
            began = time.monotonic()
            self._take(sock, remote)
            took = time.monotonic() - began
            if took > LONG:
                gevent.sleep(took)
            else:
                breathe()

    def _take(self, sock: socket.socket, remote: tuple[str, int]) -> None:
        try:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer, local = address_of(remote), address_of(sock.getsockname())
        except (OSError, ValueError):  # it was reset before we looked, or comes from where IPv6 is no longer used
            sock.close()
            return
        self._accepted(sock, peer, local)

    def close(self) -> None:
        """Stop accepting."""
        self._sock.close()
        self._supervisor.stop()

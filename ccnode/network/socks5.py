"""SOCKS5, the client's side (RFC 1928, RFC 1929; Core: ``Socks5`` in ``netbase.cpp``).

One connection to the proxy becomes one to the destination: methods are agreed on, perhaps a user and a password are
given, a host and a port are asked for, and after the proxy's yes the peer's own bytes follow on the same socket.

- The destination always goes out as a *name*, numeric addresses too. So every proxy gets what it needs, ``.onion``
  names are looked up by Tor alone, and no name server hears of them. Packages for SOCKS choose the type of address
  themselves and send numeric ones as four or sixteen bytes, unlike Core; hence this module.
- A user and a password, where given, are no secret. Tor puts streams with different ones on different circuits, so
  fresh ones for each connection keep its exits from seeing which connections belong together (stream isolation).
- No byte is read beyond the proxy's answer: each step of a dialog says how many are to come.

`greeting` and `request` know the protocol and no socket; `negotiate` plays them. The proxy is trusted with everything:
it sees each destination, and can connect us to somebody else.
"""

import contextlib
import errno
import socket
from collections.abc import Generator
from dataclasses import dataclass
from typing import Final

from ccnode.network.hub import DeadlineExceeded, deadline

ANSWER_SECONDS: Final = 20.0
"""For each answer of the proxy; Tor needs long to reach an onion service (Core: ``g_socks5_recv_timeout``).
Who can wait longer reaches more of them."""

MAX_HOST_LENGTH: Final = 255
"""Bytes; the length has one byte."""

VERSION: Final = 5
CONNECT: Final = 1
NO_AUTHENTICATION: Final = 0
USER_PASSWORD: Final = 2
USER_PASSWORD_VERSION: Final = 1
SUCCEEDED: Final = 0

IPV4, DOMAIN_NAME, IPV6 = 1, 3, 4
BOUND_SIZES: Final = {IPV4: 4, IPV6: 16}
"""Bytes of the address that the proxy connects from; a name says its own length."""
PORT_SIZE: Final = 2
RESERVED: Final = 0

REPLIES: Final = {
    0x01: "general failure",
    0x02: "connection not allowed",
    0x03: "network unreachable",
    0x04: "host unreachable",
    0x05: "connection refused",
    0x06: "TTL expired",
    0x07: "protocol error",
    0x08: "address type not supported",
    0xF0: "onion service descriptor can not be found",
    0xF1: "onion service descriptor is invalid",
    0xF2: "onion service introduction failed",
    0xF3: "onion service rendezvous failed",
    0xF4: "onion service missing client authorization",
    0xF5: "onion service wrong client authorization",
    0xF6: "onion service invalid address",
    0xF7: "onion service introduction timed out",
}
"""What the reply codes mean, in Core's words. Those from 0xF0 on are Tor's (``ExtendedErrors``)."""

_ERRNOS: Final = {3: errno.ENETUNREACH, 4: errno.EHOSTUNREACH, 5: errno.ECONNREFUSED, 6: errno.ETIMEDOUT}


class ProxyError(OSError):
    """The proxy itself cannot be used; this says nothing about the destination."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """1 to 255 bytes each."""

    user: bytes
    password: bytes


Steps = Generator[tuple[bytes, int], bytes, None]
"""A dialog: each step yields bytes to send and the number of bytes to receive, and is given those."""


def greeting(credentials: Credentials | None = None) -> Steps:
    """Agree on a method, and say who we are if the proxy wants to know. OSError if it accepts nothing of ours."""
    methods = [NO_AUTHENTICATION] if credentials is None else [NO_AUTHENTICATION, USER_PASSWORD]
    version, method = yield bytes([VERSION, len(methods), *methods]), 2
    if version != VERSION:
        raise OSError("the proxy does not speak SOCKS5")
    if method not in methods:
        raise OSError(f"the proxy wants another authentication method (0x{method:02x})")
    if credentials is not None and method == USER_PASSWORD:
        user, password = credentials.user, credentials.password
        given = bytes([USER_PASSWORD_VERSION, len(user)]) + user + bytes([len(password)]) + password
        version, status = yield given, 2
        if version != USER_PASSWORD_VERSION or status != SUCCEEDED:
            raise OSError("the proxy refuses our user and password")


def request(host: bytes, port: int) -> Steps:
    """Ask for a connection to ``host``; it stands when the dialog ends. OSError, with the reason, if there is none."""
    if len(host) > MAX_HOST_LENGTH:
        raise OSError(f"a host of {len(host)} bytes, SOCKS5 takes {MAX_HOST_LENGTH}")
    destination = bytes([DOMAIN_NAME, len(host)]) + host + port.to_bytes(PORT_SIZE, "big")
    version, reply, reserved, kind = yield bytes([VERSION, CONNECT, RESERVED]) + destination, 4
    if version != VERSION:
        raise OSError("the proxy's answer is not SOCKS5")
    if reply != SUCCEEDED:
        raise _refusal(reply)
    if reserved != RESERVED or kind not in (*BOUND_SIZES, DOMAIN_NAME):
        raise OSError("the proxy's answer is malformed")
    size = (yield b"", 1)[0] if kind == DOMAIN_NAME else BOUND_SIZES[kind]
    yield b"", size + PORT_SIZE


def _refusal(reply: int) -> OSError:
    """Of the class that a direct connection would have failed with, if there is one."""
    text = REPLIES.get(reply, f"unknown (0x{reply:02x})")
    return OSError(_ERRNOS[reply], text) if reply in _ERRNOS else OSError(text)


def negotiate(
    sock: socket.socket,
    host: str,
    port: int,
    credentials: Credentials | None = None,
    *,
    answer_seconds: float = ANSWER_SECONDS,
) -> None:
    """Ask the proxy that ``sock`` is connected to for ``host``, a name or an address in text.

    When this returns, ``sock`` leads there. `ProxyError` if the proxy cannot be used, OSError if it took the request
    and there is no connection.
    """
    try:
        _play(sock, greeting(credentials), answer_seconds)
    except OSError as error:
        raise ProxyError(error.strerror or str(error)) from error
    _play(sock, request(host.encode(), port), answer_seconds)


def _play(sock: socket.socket, steps: Steps, seconds: float) -> None:
    data, size = next(steps)
    with contextlib.suppress(StopIteration):
        while True:
            data, size = steps.send(_exchange(sock, data, size, seconds))


def _exchange(sock: socket.socket, data: bytes, size: int, seconds: float) -> bytes:
    """Send ``data`` and return the next ``size`` bytes."""
    answer = b""
    try:
        with deadline(seconds):
            sock.sendall(data)
            while len(answer) < size:
                piece = sock.recv(size - len(answer))
                if not piece:
                    raise OSError("the proxy closed the connection")
                answer += piece
    except DeadlineExceeded:
        raise TimeoutError("the proxy does not answer") from None
    return answer

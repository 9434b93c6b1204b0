"""The way to an address: directly, through a proxy, or not at all (Core: ``netbase.cpp``, ``GetProxy``).

Each network may have a proxy of its own, and one proxy is for names: where there is one, no name is looked up here.
Tor is reached through a proxy only, CJDNS if a person says that this machine is on it; fc00::/8, on the internet
private IPv6, then means CJDNS. I2P is not reached: there is no maintained package for its SAM bridge.

Addresses that strangers cannot reach, this machine's and its network's, are dialed directly whatever the proxies are,
as in Core. So a proxy does not hide connections that a person makes to neighbours.
"""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ccnode.network.hub import DeadlineExceeded, deadline
from ccnode.network.socks5 import ANSWER_SECONDS, Credentials, ProxyError, negotiate
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress

DEFAULT_PROXY_PORT: Final = 9050
"""Tor's."""

MAX_UNIX_PATH: Final = 107
"""Bytes that a socket's path may have (Linux; Core: ``sun_path``)."""

ISOLATION_BITS: Final = 64
"""Of chance in the credentials of one connection."""

_DIRECT: Final = frozenset({Network.IPV4, Network.IPV6, Network.CJDNS})


@dataclass(frozen=True, slots=True)
class Proxy:
    """A SOCKS5 proxy, at an address or a Unix socket."""

    endpoint: NetworkAddress | Path
    isolate: bool = True
    """Every connection gets credentials of its own (``proxyrandomize``)."""
    answer_seconds: float = ANSWER_SECONDS
    """For each answer of the proxy."""

    def __str__(self) -> str:
        return f"unix:{self.endpoint}" if isinstance(self.endpoint, Path) else str(self.endpoint)

    def connect(self, host: str, port: int, timeout: float, rng: Rng) -> socket.socket:
        """A connection to ``host``, a name or an address in text. ``timeout`` is for the way to the proxy alone.

        `ProxyError` if the proxy is to blame, OSError if it could not connect us.
        """
        try:
            sock = _open(self.endpoint, timeout)
        except (OSError, DeadlineExceeded) as error:
            raise ProxyError(f"proxy {self}: {reason_of(error)}") from error
        try:
            credentials = _fresh_credentials(rng) if self.isolate else None
            negotiate(sock, host, port, credentials, answer_seconds=self.answer_seconds)
        except BaseException:
            sock.close()
            raise
        return sock


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """How each network is reached; fixed for a run."""

    reachable: frozenset[Network] = frozenset({Network.IPV4, Network.IPV6})
    """Where automatic connections go, and of which addresses are kept."""
    proxies: Mapping[Network, Proxy] = field(default_factory=dict)
    name_proxy: Proxy | None = None
    """Names are connected to through it, and never looked up."""

    def proxy_for(self, address: NetworkAddress) -> Proxy | None:
        return self.proxies.get(address.reported_network())

    def is_proxy(self, address: NetworkAddress) -> bool:
        """Whether it is the address of a proxy: who comes from there may be anybody."""
        endpoints = (proxy.endpoint for proxy in self.proxies.values())
        return any(isinstance(end, NetworkAddress) and end.addr == address.addr for end in endpoints)

    def locate(self, address: NetworkAddress) -> NetworkAddress:
        """The address on the network that it belongs to here (Core: ``MaybeFlipIPv6toCJDNS``)."""
        return address.as_cjdns() if Network.CJDNS in self.reachable else address

    def connect(self, address: NetworkAddress, timeout: float, rng: Rng) -> socket.socket:
        """A connection to ``address`` by its way. DeadlineExceeded after ``timeout``, and see `Proxy.connect`."""
        proxy = self.proxy_for(address)
        if proxy is not None:
            return proxy.connect(address.host, address.port, timeout, rng)
        if address.network not in _DIRECT:
            raise OSError(f"{address.network.value} addresses are reached through a proxy, and none is configured")
        return _open(address, timeout)


def reason_of(error: Exception) -> str:
    """Why there is no connection, in a few words."""
    if isinstance(error, DeadlineExceeded):
        return "no answer"
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _open(endpoint: NetworkAddress | Path, timeout: float) -> socket.socket:
    """A stream to a numeric address or a Unix socket."""
    family, target = socket_address(endpoint)
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        with deadline(timeout):
            sock.connect(target)
        if family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def socket_address(endpoint: NetworkAddress | Path) -> tuple[socket.AddressFamily, str | tuple[str, int]]:
    """What the system calls a numeric address or a Unix socket."""
    if isinstance(endpoint, Path):
        return socket.AF_UNIX, str(endpoint)
    family = socket.AF_INET if endpoint.network is Network.IPV4 else socket.AF_INET6
    return family, (endpoint.host, endpoint.port)


def _fresh_credentials(rng: Rng) -> Credentials:
    text = f"{rng.getrandbits(ISOLATION_BITS):016x}".encode()
    return Credentials(text, text)

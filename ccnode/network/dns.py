"""Names to addresses: DNS seeds through dnspython, and the names a person configured.

Seeds are asked for ``x<services>.<seed>`` first, the form that filters by service bits (`SEED_SERVICES`), A and AAAA.
What comes back are somebody's claims, so no more than `MAX_PER_SEED` of them are taken. The resolver never runs on
the hub: dnspython works on cooperative sockets, and every query has a lifetime.
"""

import _socket
import contextlib
import logging
from collections.abc import Sequence

import dns.exception
import dns.nameserver
import dns.resolver
from gevent.threadpool import ThreadPool

from ccnode.network.hub import DeadlineExceeded, deadline
from ccnode.wire.address import NetworkAddress, split_host_port
from ccnode.wire.protocol import ServiceFlags

log = logging.getLogger("ccnode.addrman")

SEED_SERVICES = ServiceFlags.NETWORK | ServiceFlags.WITNESS
"""What seeded nodes should offer: asked for as ``x9.``."""

MAX_PER_SEED = 32
"""Addresses taken from one seed (Core: ``MAX_IPS_PER_SEED``)."""

QUERY_LIFETIME = 8.0
"""Seconds for one query, retries included."""

HOST_LIFETIME = 15.0
"""Seconds for looking up a configured name."""

CLOSE_SECONDS = 0.5
"""How long the end of the node waits for a look-up under way. The system may take half a minute for one, and nobody
wants to know any more."""


class SeedResolver:
    """Asks DNS seeds; with ``nameservers`` those instead of the system's."""

    def __init__(self, default_port: int, nameservers: Sequence[NetworkAddress] = ()) -> None:
        self._default_port = default_port
        self._nameservers = nameservers

    def addresses(self, seed: str) -> list[NetworkAddress]:
        """The nodes that ``seed`` names, at most `MAX_PER_SEED`. OSError, with a short reason, if none can be had."""
        found: dict[NetworkAddress, None] = {}
        for kind in ("A", "AAAA"):
            try:
                texts = self._query(f"x{int(SEED_SERVICES):x}.{seed}", kind)
            except (dns.exception.DNSException, OSError) as error:
                log.debug("DNS seed %s %s: %s", seed, kind, error)
                if not found:  # a second question would fare no better
                    raise OSError(_reason(error)) from error
                break
            for text in texts:
                address = NetworkAddress.parse(text, self._default_port)
                if address.is_valid():
                    found[address] = None
        return list(found)[:MAX_PER_SEED]

    def _query(self, name: str, kind: str) -> list[str]:
        try:
            answer = self._resolver().resolve(name, kind, search=False, lifetime=QUERY_LIFETIME)
        except dns.resolver.NoAnswer:
            return []
        return [record.to_text() for record in answer]

    def _resolver(self) -> dns.resolver.Resolver:
        if not self._nameservers:
            return dns.resolver.Resolver()
        resolver = dns.resolver.Resolver(configure=False)
        resolver.nameservers = [
            dns.nameserver.Do53Nameserver(address.host, address.port) for address in self._nameservers
        ]
        return resolver


_REASONS: dict[type[Exception], str] = {
    dns.resolver.NXDOMAIN: "there is no such name",
    dns.resolver.LifetimeTimeout: f"no answer within {QUERY_LIFETIME:.0f} s",
    dns.resolver.NoNameservers: "the name server could not answer",
    dns.resolver.NoResolverConfiguration: "this machine has no name server configured",
}


def _reason(error: Exception) -> str:
    """What went wrong in a few words; dnspython's own texts list every attempt."""
    return _REASONS.get(type(error)) or getattr(error, "strerror", None) or str(error) or type(error).__name__


class HostResolver:
    """Looks up names of configured peers the way other programs do (hosts file included), in one thread of its own."""

    def __init__(self, default_port: int, *, names: bool = True) -> None:
        """:param names: look names up at all (``dns``); otherwise only numeric and .onion targets are known."""
        self.default_port = default_port
        self._names = names
        self._pool = ThreadPool(1)

    def addresses(self, target: str) -> list[NetworkAddress]:
        """The addresses of ``host[:port]``; numeric and .onion ones without asking anybody. OSError if unknown."""
        try:
            return [NetworkAddress.parse(target, self.default_port)]
        except ValueError:
            host, given_port = split_host_port(target)
        if not self._names:
            raise OSError(f"{host} is a name, and dns is off")
        port = self.default_port if given_port is None else given_port
        try:
            with deadline(HOST_LIFETIME):
                found = self._pool.apply(_native_getaddrinfo, (host, port))
        except DeadlineExceeded:
            raise OSError(f"looking up {host} took over {HOST_LIFETIME:g} s") from None
        return [NetworkAddress.parse(text, port) for text in found]

    def close(self) -> None:
        """End the thread, or leave it to the end of the process if it is still at a look-up."""
        with contextlib.suppress(DeadlineExceeded), deadline(CLOSE_SECONDS):
            self._pool.kill()


def _native_getaddrinfo(host: str, port: int) -> list[str]:
    """The addresses of a name. The blocking call itself: the patched one belongs to the hub, this runs in a thread."""
    infos = _socket.getaddrinfo(host, port, type=_socket.SOCK_STREAM)
    return [str(sockaddr[0]).split("%")[0] for *_, sockaddr in infos]

"""Names to addresses: DNS seeds through dnspython, and the names a person configured.

What a seed says is somebody's claim, and may be an attack: no more than `MAX_PER_SEED` addresses are taken from an
answer, no more than `MAX_RECORDS` of it are looked at, and addresses that nobody could reach are left out. An answer
that was cut short for UDP is asked for again over TCP; answers to other questions and garbage are passed over until
the time is up. The resolver never holds the hub: dnspython works on cooperative sockets, and every query has a
lifetime.
"""

import _socket
import contextlib
import logging
import socket
import struct
from collections.abc import Collection, Iterable, Sequence
from typing import Final

import dns.exception
import dns.message
import dns.nameserver
import dns.query
import dns.resolver
from gevent.threadpool import ThreadPool

from ccnode.network.hub import DeadlineExceeded, deadline
from ccnode.wire.address import Network, NetworkAddress, split_host_port

log = logging.getLogger("ccnode.addrman")

MAX_PER_SEED: Final = 32
"""Addresses taken from one seed (Core: ``nMaxIPs`` of ``ThreadDNSAddressSeed``)."""

MAX_RECORDS: Final = 64
"""Records looked at in an answer: `MAX_PER_SEED` addresses, and aliases on the way to them. An answer may have 64 KiB,
and decoding all of that takes 150 ms, in which the node would stand still."""

UDP_SIZE: Final = 1232
"""Bytes of the largest answer over UDP that is sure not to be torn to pieces on the way (the value that resolvers
agreed on in 2020). It holds 32 addresses of either kind."""

QUERY_LIFETIME = 8.0
"""Seconds for one query, retries included."""

HOST_LIFETIME = 15.0
"""Seconds for looking up a configured name."""

CLOSE_SECONDS = 0.5
"""How long the end of the node waits for a look-up under way. The system may take half a minute for one, and nobody
wants to know any more."""

DNS_PORT: Final = 53
_COUNTS: Final = struct.Struct(">3H")
_COUNTS_OFFSET: Final = 6
_RECORD_TYPES: Final = {Network.IPV4: "A", Network.IPV6: "AAAA"}


class SeedResolver:
    """Asks DNS for nodes; with ``nameservers`` those instead of the system's."""

    def __init__(
        self,
        default_port: int,
        nameservers: Sequence[NetworkAddress] = (),
        *,
        networks: Collection[Network] = tuple(_RECORD_TYPES),
        allow_unroutable: bool = False,
    ) -> None:
        """
        :param networks: nobody is asked for addresses of others than these.
        :param allow_unroutable: take private and local addresses as well (for test networks).
        """
        self._default_port = default_port
        self._nameservers = nameservers
        self._types = {network: kind for network, kind in _RECORD_TYPES.items() if network in networks}
        self._allow_unroutable = allow_unroutable

    def addresses(self, name: str) -> list[NetworkAddress]:
        """The nodes that ``name`` stands for, 1 to `MAX_PER_SEED`. OSError, with a short reason, if there are none."""
        found: dict[NetworkAddress, None] = {}
        reason = "it names no node"
        for network, kind in self._types.items():
            try:
                texts = self._query(name, kind)
            except (dns.exception.DNSException, OSError) as error:
                log.debug("DNS %s %s: %s", name, kind, error)
                if not found:  # a second question would fare no better
                    raise OSError(_reason(error)) from error
                break
            usable = [address for address in self._parse(texts) if self._is_usable(address, network)]
            if texts and not usable:
                reason = "it gives only addresses that cannot be reached"
            found.update(dict.fromkeys(usable))
        if not found:
            raise OSError(reason)
        return list(found)[:MAX_PER_SEED]

    def _parse(self, texts: Iterable[str]) -> list[NetworkAddress]:
        addresses = []
        for text in texts:
            with contextlib.suppress(ValueError):  # of a range that is no longer IPv6
                addresses.append(NetworkAddress.parse(text, self._default_port))
        return addresses

    def _is_usable(self, address: NetworkAddress, network: Network) -> bool:
        reachable = address.is_routable() or (self._allow_unroutable and address.is_valid())
        return reachable and address.network is network

    def _query(self, name: str, kind: str) -> list[str]:
        try:
            answer = self._resolver().resolve(name, kind, search=False, lifetime=QUERY_LIFETIME)
        except dns.resolver.NoAnswer:
            return []
        return [record.to_text() for record in answer]

    def _resolver(self) -> dns.resolver.Resolver:
        resolver = dns.resolver.Resolver(configure=not self._nameservers)
        servers = [(server.host, server.port) for server in self._nameservers]
        if not servers:
            servers = [(str(server), DNS_PORT) for server in resolver.nameservers]
        resolver.nameservers = [_Nameserver(host, port) for host, port in servers]
        resolver.use_edns(0, 0, UDP_SIZE)
        return resolver


class _Nameserver(dns.nameserver.Do53Nameserver):
    """As dnspython's, except that the end of a long answer is not looked at."""

    def query(
        self,
        request: dns.message.QueryMessage,
        timeout: float,
        source: str | None,
        source_port: int,
        max_size: bool,
        one_rr_per_rrset: bool = False,
        ignore_trailing: bool = False,
    ) -> dns.message.Message:
        """One attempt, with ``max_size`` over TCP, where answers are not limited by `UDP_SIZE`."""
        if not max_size:
            return super().query(request, timeout, source, source_port, max_size, one_rr_per_rrset, ignore_trailing)
        wire = _ask_over_tcp(request.to_wire(), (self.address, self.port), timeout)
        response = dns.message.from_wire(_shortened(wire), one_rr_per_rrset=one_rr_per_rrset, ignore_trailing=True)
        if not request.is_response(response):
            raise dns.query.BadResponse
        return response


def _ask_over_tcp(query: bytes, server: tuple[str, int], timeout: float) -> bytes:
    """What the server answers; less, if it ends the connection early. OSError if it cannot be asked."""
    try:
        with deadline(timeout), socket.create_connection(server, timeout) as sock, sock.makefile("rb") as stream:
            sock.sendall(len(query).to_bytes(2, "big") + query)
            return stream.read(int.from_bytes(stream.read(2), "big"))
    except DeadlineExceeded as error:
        raise TimeoutError("no answer over TCP") from error


def _shortened(wire: bytes) -> bytes:
    """A DNS message whose header (RFC 1035, 4.1.1) counts at most `MAX_RECORDS` answers and nothing after them."""
    end = _COUNTS_OFFSET + _COUNTS.size
    if len(wire) < end:
        return wire
    answers, _authorities, _additional = _COUNTS.unpack_from(wire, _COUNTS_OFFSET)
    return wire[:_COUNTS_OFFSET] + _COUNTS.pack(min(answers, MAX_RECORDS), 0, 0) + wire[end:]


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
        if isinstance(found, Exception):
            raise found
        return [NetworkAddress.parse(text, port) for text in found]

    def close(self) -> None:
        """End the thread, or leave it to the end of the process if it is still at a look-up."""
        with contextlib.suppress(DeadlineExceeded), deadline(CLOSE_SECONDS):
            self._pool.kill()


def _native_getaddrinfo(host: str, port: int) -> list[str] | OSError | UnicodeError:
    """The addresses of a name. The blocking call itself: the patched one belongs to the hub, this runs in a thread.

    An error is returned, not raised: the pool prints what a job raises.
    """
    try:
        infos = _socket.getaddrinfo(host, port, type=_socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the latter where a part of the name is empty or too long
        return error
    return [str(sockaddr[0]).split("%")[0] for *_, sockaddr in infos]

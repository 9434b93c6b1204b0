"""Port mapping: the gateway of a home network is asked to let others in (``natpmp``; Core: ``mapport.cpp``).

A node behind a gateway with one address for many machines can call out, but nobody can call it. Many gateways hand a
port on to a machine that asks, by PCP or its predecessor NAT-PMP (``pcp.py``). PCP is tried first. What the gateway
grants is an address of ours with a score (``peers/local_addresses.py``), until its time is over or the node stops:
then the gateway is asked to forget it. That is said once, nobody waits for an answer.

It is off by default, where Core's is on: a node should not open a way through somebody's gateway unasked.

IPv4 only: IPv6 has no such gateways, and where one blocks what comes in, a person must open it. A gateway with a
gateway before it grants an address that strangers cannot reach, which helps nobody and is told to nobody.
"""

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

from gevent.event import Event

from ccnode.clock import Clock
from ccnode.network.hub import Supervisor, breathe
from ccnode.network.interfaces import default_gateway
from ccnode.network.pcp import (
    GATEWAY_PORT,
    MAX_PACKET,
    NONCE_SIZE,
    Mapping,
    NatPmpAddress,
    NatPmpMap,
    PcpMap,
    Request,
    UnsupportedVersion,
)
from ccnode.peers.local_addresses import LOCAL_MAPPED, LocalAddresses
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress

log = logging.getLogger("ccnode.net")

ANNOUNCE_SECONDS: Final = 20 * 60.0
"""Between two times that the mapping is asked for (Core: ``PORT_MAPPING_REANNOUNCE_PERIOD``)."""

LIFETIME: Final = 40 * 60
"""Seconds the mapping is asked for: twice as long, so that one renewal may fail."""

RETRY_SECONDS: Final = 5 * 60.0
"""After which it is tried again if there was none (Core: ``PORT_MAPPING_RETRY_PERIOD``)."""

SHORTEST_LIFETIME: Final = 30
"""Seconds; a gateway that grants less would have us ask all the time."""

TRIES: Final = 3
TRY_SECONDS = 1.0
"""How often a packet is sent, as either may be lost, and how long each time an answer is waited for."""

T = TypeVar("T")


class PortMapping:
    """Keeps one port mapped, in a supervised greenlet of its own."""

    def __init__(
        self,
        port: int,
        local: LocalAddresses,
        clock: Clock,
        rng: Rng,
        *,
        find_gateway: Callable[[], tuple[str, int]] = lambda: (default_gateway(), GATEWAY_PORT),
    ) -> None:
        """
        :param port: the TCP port we listen on, 1 .. 65535.
        :param local: is told what the gateway grants.
        :param find_gateway: its IPv4 address and UDP port; OSError if there is none.
        """
        self._port = port
        self._local = local
        self._clock = clock
        self._nonce = rng.getrandbits(8 * NONCE_SIZE).to_bytes(NONCE_SIZE, "big")
        self._find_gateway = find_gateway
        self._granted: NetworkAddress | None = None
        self._expires = 0.0
        self._asked: tuple[tuple[str, int], PcpMap | NatPmpMap] | None = None
        """Whom we asked for a mapping, and what ends it."""
        self._complaint = ""
        self._stopping = Event()
        self._supervisor: Supervisor | None = None

    def start(self) -> None:
        self._supervisor = Supervisor("port mapping", self._run)

    def _run(self) -> None:
        while not self._stopping.wait(self.announce()):
            pass

    def announce(self) -> float:
        """Ask for the mapping, or for more time; returns the seconds after which to do it again."""
        try:
            mapping = self._ask()
        except OSError as error:
            self._complain(error)
            if self._granted is not None and self._clock.steady() >= self._expires:
                self._forget()
            return RETRY_SECONDS
        self._complaint = ""
        if self._granted is not None and self._granted != mapping.external:
            self._forget()
        self._granted = mapping.external
        self._expires = self._clock.steady() + min(mapping.lifetime, LIFETIME)
        if not self._local.add(mapping.external, LOCAL_MAPPED):
            log.info("the gateway mapped %s to us, which is told to nobody", mapping.external)
        return min(ANNOUNCE_SECONDS, mapping.lifetime / 2)

    def close(self) -> None:
        """End the mapping."""
        self._stopping.set()
        if self._supervisor is not None:
            self._supervisor.stop(timeout=0.0)
        self._forget()
        if self._asked is not None:
            gateway, end = self._asked
            with contextlib.suppress(OSError), _connect(gateway) as sock:
                sock.send(end.encode())

    def _ask(self) -> Mapping:
        """The mapping that the gateway grants; OSError if none."""
        gateway = self._find_gateway()
        with _connect(gateway) as sock:
            client = NetworkAddress.parse(sock.getsockname()[0])
            try:
                self._asked = gateway, PcpMap(client, self._port, 0, self._nonce)
                mapping = _exchange(sock, PcpMap(client, self._port, LIFETIME, self._nonce, self._granted))
            except UnsupportedVersion:
                self._asked = gateway, NatPmpMap(self._port, 0)
                mapping = self._ask_by_nat_pmp(sock)
        if mapping.external.network is not Network.IPV4 or not mapping.external.port:
            raise OSError(f"the gateway mapped {mapping.external}, which makes no sense")
        if mapping.lifetime < SHORTEST_LIFETIME:
            raise OSError(f"the gateway grants no more than {mapping.lifetime} s")
        return mapping

    def _ask_by_nat_pmp(self, sock: socket.socket) -> Mapping:
        addr = _exchange(sock, NatPmpAddress())
        wish = self._port if self._granted is None else self._granted.port
        port, lifetime = _exchange(sock, NatPmpMap(self._port, LIFETIME, wish))
        return Mapping(NetworkAddress(Network.IPV4, addr, port), lifetime)

    def _forget(self) -> None:
        if self._granted is not None:
            self._local.remove(self._granted, LOCAL_MAPPED)
            self._granted = None

    def _complain(self, error: OSError) -> None:
        """Say once what is wrong, and again when it is something else."""
        complaint = error.strerror or str(error)
        if complaint != self._complaint:
            log.warning("no port mapping: %s", complaint)
        self._complaint = complaint


def port_to_map(listening: Iterable[NetworkAddress]) -> int | None:
    """Of the addresses we listen on, the port of the first that a gateway can hand connections on to."""
    return next((address.port for address in listening if address.network is Network.IPV4), None)


def _connect(gateway: tuple[str, int]) -> socket.socket:
    """A socket on which only packets of ``gateway`` arrive."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.connect(gateway)
    except OSError:
        sock.close()
        raise
    return sock


def _exchange(sock: socket.socket, request: Request[T]) -> T:
    """The gateway's answer; OSError if there is none, or it is a no. Packets that are no answer are passed over."""
    for _ in range(TRIES):
        sock.send(request.encode())
        end = time.monotonic() + TRY_SECONDS
        while (left := end - time.monotonic()) > 0:
            breathe()
            sock.settimeout(left)
            try:
                answer = request.answer(sock.recv(MAX_PACKET))
            except TimeoutError:
                break
            if answer is not None:
                return answer
    raise OSError("the gateway does not answer")

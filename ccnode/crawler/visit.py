"""One visit to one address: connect, talk, leave. Straight-line code that blocks where it waits.

The census runs thousands of visits at a time, each in a greenlet of its own. What a failed dial means is decided here,
what is said after it in ``conversation.py``.
"""

import errno
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from ccnode.chain.params import ChainParams
from ccnode.clock import Clock
from ccnode.crawler.audit import TipAudit
from ccnode.crawler.conversation import OLD_SECONDS, Conversation, Events, Setting
from ccnode.crawler.outcome import Outcome, Visit
from ccnode.network.hub import DeadlineExceeded
from ccnode.network.routes import Routes, reason_of
from ccnode.network.socks5 import ProxyError
from ccnode.peers.handshake import Handshake
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.factory import MessageFactory

_LOCAL_ERRORS: Final = frozenset(
    {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EADDRNOTAVAIL, errno.EPERM, errno.EACCES}
)
_NO_ROUTE_ERRORS: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_REFUSED_ERRORS: Final = frozenset({errno.ECONNREFUSED, errno.ECONNRESET})


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds that a network is given."""

    dial: float
    handshake: float


PATIENCE: Final[Mapping[Network, Patience]] = {
    Network.IPV4: Patience(5.0, 15.0),
    Network.IPV6: Patience(5.0, 15.0),
    Network.ONION: Patience(10.0, 60.0),
    Network.CJDNS: Patience(10.0, 30.0),
}
"""For Tor, the dial is the way to the proxy; what the proxy takes has its own limit (``network/socks5.py``)."""


class Visitor:
    """What all visits of a round have in common."""

    def __init__(
        self,
        params: ChainParams,
        routes: Routes,
        clock: Clock,
        rng: Rng,
        *,
        user_agent: str,
        audit: TipAudit | None = None,
        patience: Mapping[Network, Patience] = PATIENCE,
        old_seconds: float = OLD_SECONDS,
    ) -> None:
        self._routes = routes
        self.patience = patience
        self._setting = Setting(
            magic=params.magic,
            factory=MessageFactory(params.header_format.size, params.headers_carry_tx_count),
            handshake=guest_handshake(
                routes, clock, rng, user_agent=user_agent, our_height=lambda: 0 if audit is None else audit.height
            ),
            handshake_seconds={network: limits.handshake for network, limits in patience.items()},
            clock=clock,
            rng=rng,
            audit=audit,
            old_seconds=old_seconds,
        )

    def needs_proxy(self, address: NetworkAddress) -> bool:
        return self._routes.proxy_for(address) is not None

    def visit(self, address: NetworkAddress, events: Events, *, ask_addresses: bool = True) -> Visit:
        """Visit ``address``; returns when all is over."""
        clock = self._setting.clock
        started, began = clock.now(), clock.steady()
        try:
            sock = self._routes.connect(address, self.patience[address.network].dial, self._setting.rng)
        except (OSError, DeadlineExceeded) as error:
            return failed_visit(address, error, started)
        finally:
            events.dialed()
        return self.talk(sock, address, events, started, began, ask_addresses=ask_addresses)

    def talk(
        self,
        sock: socket.socket,
        address: NetworkAddress,
        events: Events,
        started: float,
        began: float,
        *,
        ask_addresses: bool = True,
    ) -> Visit:
        """The visit from the connection on. ``started`` and ``began``: Unix and steady time of the dial."""
        with sock:
            conversation = Conversation(self._setting, sock, address, events, ask_addresses=ask_addresses)
            conversation.connect_time = self._setting.clock.steady() - began
            return conversation.run(started)


def guest_handshake(
    routes: Routes, clock: Clock, rng: Rng, *, user_agent: str, our_height: Callable[[], int] = lambda: 0
) -> Handshake:
    """The handshake of a caller that offers nothing, and takes a peer whatever it offers."""
    return Handshake(
        services=0,
        user_agent=user_agent,
        clock=clock,
        rng=rng,
        our_height=our_height,
        limited_peers_suffice=lambda: True,
        is_proxy=routes.is_proxy,
    )


def failed_visit(address: NetworkAddress, error: Exception, started: float) -> Visit:
    """A visit that ended with the dial."""
    outcome, detail = dial_failure(error)
    return Visit(address=address, outcome=outcome, detail=detail, started=started, attempts=1)


def dial_failure(error: Exception) -> tuple[Outcome, str]:
    """What an error of `Routes.connect` means."""
    detail = reason_of(error)
    if isinstance(error, DeadlineExceeded):
        return Outcome.TIMEOUT, ""
    if isinstance(error, ProxyError):
        return Outcome.PROXY_FAILED, detail
    number = error.errno if isinstance(error, OSError) else None
    if number in _REFUSED_ERRORS:
        return Outcome.REFUSED, ""
    if number in _NO_ROUTE_ERRORS:
        return Outcome.NO_ROUTE, detail
    if number in _LOCAL_ERRORS:
        return Outcome.LOCAL_ERROR, detail
    return (Outcome.TIMEOUT if isinstance(error, TimeoutError) else Outcome.PROXY_FAILED), detail

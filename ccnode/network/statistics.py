"""What became of connections, counted since the start: those we tried to make, and those that came to us.

Reasons are a fixed set of short texts, so that the tables stay small whatever peers, proxies and the system say.
"""

import errno
from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from ccnode.network.hub import DeadlineExceeded
from ccnode.network.socks5 import ProxyError
from ccnode.peers.peer import ConnectionType

ALREADY_CONNECTED: Final = "already connected"
UNKNOWN_NAME: Final = "unknown name"
PROXY: Final = "proxy"
NO_VERSION: Final = "ended before its version message"
NOT_ACCEPTING: Final = "networking is off, or too many connections are closing"

_UNREACHABLE: Final = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


@dataclass(slots=True)
class ConnectionStatistics:
    """The counters; whoever makes or takes connections adds to them."""

    attempts: Counter[ConnectionType] = field(default_factory=Counter)
    """Dials by type."""
    failures: Counter[tuple[ConnectionType, str]] = field(default_factory=Counter)
    """Connections that were wanted and did not come about, or ended before the peer said who it is, with the reason."""
    accepted: int = 0
    """Inbound connections that were let in."""
    refused: Counter[str] = field(default_factory=Counter)
    """Inbound connections that were not, by reason."""
    evicted: int = 0
    """Inbound peers that made room for another."""

    @property
    def only_proxy_failed(self) -> bool:
        """Whether proxies are to blame for all that failed."""
        return {reason for _, reason in self.failures} == {PROXY}

    def failed(self, kind: ConnectionType, why: str | Exception) -> None:
        """A connection of this type did not come about."""
        self.failures[kind, why if isinstance(why, str) else _reason(why)] += 1


def _reason(error: Exception) -> str:
    if isinstance(error, DeadlineExceeded | TimeoutError):
        return "no answer"
    if isinstance(error, ProxyError):
        return PROXY
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return "unreachable"
    return "other"

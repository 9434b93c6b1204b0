"""Ping, pong and the timers that end a dead connection (Core: ``MaybeSendPing``, ``InactivityCheck``).

- A ping goes out when none is outstanding and ``ping_interval`` has passed since the last one began; the first at once
  after the handshake. One unanswered for `TIMEOUT_INTERVAL` ends the connection.
- Within ``peer_timeout`` of connecting a peer must have sent something, been sent something, and completed the
  handshake. After that, `TIMEOUT_INTERVAL` without a byte in one direction ends the connection. Bytes count as sent
  when the socket took them, so a peer that stops reading runs into this too.

All of it reads the mockable clock.
"""

import logging
from math import inf

from ccnode.clock import Clock
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.rng import Rng
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.protocol import BIP0031_VERSION

log = logging.getLogger("ccnode.net")

DEFAULT_PING_INTERVAL = 120.0
"""Seconds between pings (Core: ``PING_INTERVAL``)."""

TIMEOUT_INTERVAL = 1200.0
"""Seconds of silence, or of an unanswered ping, after which a peer is dropped (Core: ``TIMEOUT_INTERVAL``)."""

ADDR_FETCH_TIMEOUT = 300.0
"""Seconds a peer that is only to give addresses may take (Core: ten broadcast intervals of 30 s)."""

DEFAULT_PEER_TIMEOUT = 60.0
"""Seconds a connection may take to complete the handshake (Core: ``-peertimeout``)."""


class Keepalive:
    """The keepalive of all connections; their state is in the `Peer` attributes ``ping_*``."""

    def __init__(
        self,
        clock: Clock,
        rng: Rng,
        peer_timeout: float = DEFAULT_PEER_TIMEOUT,
        ping_interval: float = DEFAULT_PING_INTERVAL,
    ) -> None:
        """
        :param peer_timeout: seconds a connection may take to complete the handshake (``peertimeout``).
        :param ping_interval: seconds between two pings (``pinginterval``).
        """
        self._clock = clock
        self._rng = rng
        self.peer_timeout = peer_timeout
        self._ping_interval = ping_interval

    def on_ping(self, peer: Peer, message: Ping) -> None:
        """Answer at once; peers from before BIP31 expect no answer."""
        if message.nonce is not None and peer.common_version > BIP0031_VERSION:
            peer.send(Pong(message.nonce))

    def on_pong(self, peer: Peer, message: Pong) -> None:
        """End the measurement if the nonce is the outstanding one; a null or missing nonce cancels it."""
        if peer.ping_sent_at is None:
            log.debug("peer=%d pong without a ping", peer.id)
        elif message.nonce is not None and message.nonce == peer.ping_nonce:
            duration = self._clock.now() - peer.ping_sent_at
            self._end_ping(peer)
            if duration >= 0.0:  # a short ping protects from eviction: a clock that went back must not give it away
                peer.ping_time = duration
                peer.min_ping = duration if peer.min_ping is None else min(peer.min_ping, duration)
        elif not message.nonce:
            self._end_ping(peer)
        else:
            log.debug("peer=%d pong with another nonce", peer.id)

    def _end_ping(self, peer: Peer) -> None:
        peer.ping_sent_at = None
        peer.mark_dirty()  # until now its pass was to look for the timeout, not for the next ping

    def send_pass(self, peer: Peer, now: float) -> float:
        """Send a ping if one is owed, drop the peer if it is dead; returns the wall time after which to look again."""
        reason = self._death(peer, now)
        if reason is not None:
            peer.disconnect(reason)
            return inf
        due = peer.connected_at + self.peer_timeout
        if now > due:
            due = min(peer.last_recv, peer.last_send) + TIMEOUT_INTERVAL
        if peer.handshake_complete:
            due = min(due, self._ping_pass(peer, now))
            if peer.connection_type is ConnectionType.ADDR_FETCH:
                due = min(due, peer.connected_at + ADDR_FETCH_TIMEOUT)
        return due

    def _ping_pass(self, peer: Peer, now: float) -> float:
        waiting = peer.ping_sent_at is not None
        if peer.ping_requested or (not waiting and now > peer.ping_started_at + self._ping_interval):
            self._send_ping(peer, now)
            waiting = peer.ping_sent_at is not None
        return peer.ping_started_at + (TIMEOUT_INTERVAL if waiting else self._ping_interval)

    def _send_ping(self, peer: Peer, now: float) -> None:
        peer.ping_requested = False
        peer.ping_nonce = self._rng.getrandbits(64) or 1
        peer.ping_started_at = now
        if peer.common_version > BIP0031_VERSION:
            peer.ping_sent_at = now
            peer.send(Ping(peer.ping_nonce))
        else:
            peer.send(Ping(None))

    def _death(self, peer: Peer, now: float) -> str | None:
        """Why the connection should end, if it should."""
        is_fetch = peer.connection_type is ConnectionType.ADDR_FETCH and peer.handshake_complete
        if is_fetch and now > peer.connected_at + ADDR_FETCH_TIMEOUT:
            return "address fetch timeout"
        if now <= peer.connected_at + self.peer_timeout:
            return None
        if not peer.last_recv or not peer.last_send:
            return f"socket no message in first {self.peer_timeout:g} seconds"
        if now > peer.last_send + TIMEOUT_INTERVAL:
            return f"socket sending timeout: {now - peer.last_send:.0f}s"
        if now > peer.last_recv + TIMEOUT_INTERVAL:
            return f"socket receive timeout: {now - peer.last_recv:.0f}s"
        if not peer.handshake_complete:
            return "version handshake timeout"
        if peer.ping_sent_at is not None and now > peer.ping_sent_at + TIMEOUT_INTERVAL:
            return f"ping timeout: {now - peer.ping_sent_at:.0f}s"
        return None

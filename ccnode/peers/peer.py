"""A peer, as the deciding rooms see it: facts about one connection, and two things that can be done to it.

`Peer` owns no socket. ``network.connection`` derives the real one from it; tests derive one that writes into a list.
Facts are plain attributes, set by whoever learns them: the handshake (version, services, user agent), the keepalive
(ping times), the socket side (byte counts, permissions), the judge of misbehaviour (score and violations). Each
sub-protocol keeps its own state elsewhere, keyed by `Peer.id`.
"""

import logging
from abc import ABC, abstractmethod
from enum import Enum

from ccnode.peers.messages import recent_messages
from ccnode.peers.permissions import Permission
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.message import Message


class ConnectionType(Enum):
    """Why a connection exists; the values are what ``getpeerinfo`` shows (Core: ``node/connection_types.h``)."""

    INBOUND = "inbound"
    OUTBOUND_FULL_RELAY = "outbound-full-relay"
    BLOCK_RELAY_ONLY = "block-relay-only"
    MANUAL = "manual"
    FEELER = "feeler"
    ADDR_FETCH = "addr-fetch"


AUTOMATIC_OUTBOUND = frozenset(
    {ConnectionType.OUTBOUND_FULL_RELAY, ConnectionType.BLOCK_RELAY_ONLY, ConnectionType.ADDR_FETCH}
)
"""The types whose peer must offer the services we need, and whose misbehaviour is punished without regret."""


class HandshakeStage(Enum):
    """How far the handshake is. The transition table is in ``handshake.py``."""

    AWAITING_VERSION = "awaiting version"
    AWAITING_VERACK = "awaiting verack"
    ESTABLISHED = "established"


class PeerEvent(Enum):
    """What happens to a connection."""

    CONNECTED = "connected"
    HANDSHAKED = "handshaked"
    DISCONNECTED = "disconnected"


class Peer(ABC):
    """One connection. Times are wall-clock Unix seconds (`Clock.now`), durations seconds, counts bytes."""

    __slots__ = (
        "address",
        "address_local",
        "bind",
        "bytes_received",
        "bytes_sent",
        "common_version",
        "compact_blocks_high_bandwidth",
        "connected_at",
        "connection_type",
        "dirty",
        "disconnect_reason",
        "id",
        "inbound_onion",
        "last_block",
        "last_header",
        "last_recv",
        "last_send",
        "last_transaction",
        "local_nonce",
        "min_ping",
        "misbehaviour_score",
        "name",
        "offers_compact_blocks",
        "our_services",
        "permissions",
        "ping_nonce",
        "ping_requested",
        "ping_sent_at",
        "ping_started_at",
        "ping_time",
        "prefer_evict",
        "prefers_headers",
        "received_per_message",
        "recent_messages",
        "relay",
        "sent_per_message",
        "services",
        "session_id",
        "stage",
        "start_height",
        "time_offset",
        "transport_name",
        "user_agent",
        "version",
        "violations",
        "wants_addrv2",
        "wtxid_relay",
    )

    def __init__(
        self, peer_id: int, address: NetworkAddress, connection_type: ConnectionType, connected_at: float
    ) -> None:
        self.id = peer_id
        self.address = address
        self.name = str(address)
        self.bind: NetworkAddress | None = None
        self.connection_type = connection_type
        self.connected_at = connected_at
        self.disconnect_reason: str | None = None
        self.dirty = False
        self.permissions = Permission.NONE
        self.inbound_onion = False
        self.prefer_evict = False
        self.transport_name = "v1"
        self.session_id = ""

        self.stage = HandshakeStage.AWAITING_VERSION
        self.local_nonce = 0
        self.version = 0
        self.common_version = 0
        self.services = 0
        self.our_services = 0
        self.user_agent = ""
        self.start_height = -1
        self.relay = True
        self.time_offset = 0
        self.address_local: NetworkAddress | None = None
        self.wants_addrv2 = False
        self.wtxid_relay = False
        self.prefers_headers = False
        self.offers_compact_blocks = False
        self.compact_blocks_high_bandwidth = False

        self.misbehaviour_score = 0
        self.violations: dict[str, int] = {}

        self.ping_nonce = 0
        self.ping_sent_at: float | None = None
        self.ping_started_at = 0.0
        self.ping_requested = False
        self.ping_time: float | None = None
        self.min_ping: float | None = None

        self.last_send = 0.0
        self.last_recv = 0.0
        self.last_block = 0.0
        self.last_header = 0.0
        self.last_transaction = 0.0
        self.bytes_sent = 0
        self.bytes_received = 0
        self.sent_per_message: dict[str, int] = {}  # tallies, see traffic.py
        self.received_per_message: dict[str, int] = {}
        self.recent_messages = recent_messages()

    @abstractmethod
    def send(self, message: Message) -> None:
        """Queue ``message``; never blocks. A peer that is going away drops it silently."""

    @abstractmethod
    def mark_dirty(self) -> None:
        """It is owed something: have its pass run as soon as the running handler has returned."""

    @abstractmethod
    def disconnect(self, reason: str) -> None:
        """Mark the connection for closing; the first reason given stays. Never blocks."""

    def wait_drained(self) -> None:  # noqa: B027  # to have no queue is the ordinary case
        """Wait until what is queued for it has gone, but for a buffer's worth. For its own handlers only.

        Whoever sends much in one handler calls this in between. Peers without a queue never wait.
        """

    @property
    def inbound(self) -> bool:
        return self.connection_type is ConnectionType.INBOUND

    @property
    def network(self) -> Network:
        """Through which the connection goes: an onion service's peers come from this machine.

        Of a name that a proxy looked up, nobody knows.
        """
        if self.inbound_onion:
            return Network.ONION
        if self.address.network is Network.INTERNAL:
            return Network.NOT_PUBLICLY_ROUTABLE
        return self.address.reported_network()

    @property
    def log_level(self) -> int:
        """Of log lines about what it does: strangers do it as often as they like, so theirs is detail, as in Core."""
        return logging.DEBUG if self.inbound else logging.INFO

    @property
    def handshake_complete(self) -> bool:
        return self.stage is HandshakeStage.ESTABLISHED

    @property
    def closing(self) -> bool:
        return self.disconnect_reason is not None

    def __repr__(self) -> str:
        return f"<peer={self.id} {self.name} {self.connection_type.value}>"

"""All connections: who is connected, where each message goes, and when each peer is looked after.

A message's trip: the peer's reader takes a frame off its transport and calls `ConnectionManager._deliver`; one table
from command to handler says whose it is, or the handshake takes it; the factory makes a message of it; the handler
decides without switching greenlets, or yields where others may go on. What nobody waits for is not decoded: a peer may
send what it likes, and a transaction of 4 MB is two seconds of work. After a message that marked its peer dirty, and
whenever something is due, the peer's *pass* runs: everything it is owed, in one function.
"""

import logging
import socket
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, nextafter
from typing import Any

import gevent

from ccnode.clock import Clock
from ccnode.errors import DecodeError, StorageError
from ccnode.network.budget import RECEIVE_BUDGET, ReceiveBudget
from ccnode.network.capture import MessageCapture
from ccnode.network.connection import DEFAULT_MAX_RECEIVE_BUFFER, DEFAULT_MAX_SEND_BUFFER, Connection
from ccnode.network.hub import breathe, breathing, spawn
from ccnode.network.statistics import NO_VERSION, NOT_ACCEPTING, ConnectionStatistics
from ccnode.network.timers import Timeline, Timers
from ccnode.peers.addrman import AddrMan
from ccnode.peers.gossip import AddressGossip
from ccnode.peers.handshake import Handshake
from ccnode.peers.inbound import Entrance, InboundPolicy
from ccnode.peers.keepalive import Keepalive
from ccnode.peers.messages import MessageTap, PassedMessage
from ccnode.peers.misbehaviour import Misbehaviour, out_of_turn, spared
from ccnode.peers.peer import ConnectionType, HandshakeStage, Peer, PeerEvent
from ccnode.peers.permissions import Direction, Whitelist
from ccnode.peers.subnet import Subnet
from ccnode.peers.time_offsets import TimeOffsets
from ccnode.peers.traffic import ONE_MESSAGE, Traffic
from ccnode.peers.unoffered import HANDLERS as UNOFFERED_HANDLERS
from ccnode.peers.unoffered import REFUSED, oversize, refuse
from ccnode.sync.synchronizer import Synchronizer
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, GetAddr
from ccnode.wire.blocks import Block
from ccnode.wire.factory import MESSAGE_TYPES, MessageFactory
from ccnode.wire.framing import Frame, Transport, V1Transport
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.serialize import OversizeError

log = logging.getLogger("ccnode.net")

OTHER = "*other*"
"""Under this name the bytes of unknown commands are counted, so that a peer cannot grow the table."""

EARLY_PAYLOAD = 65_536
"""Bytes; the largest message taken from a peer whose handshake is not complete. A version has 400 at most."""

MAX_CLOSING = 100
"""Connections that are on their way out, at which no new one is accepted: each still has its file descriptor."""

SHOWN_TO_OTHERS = (ConnectionType.OUTBOUND_FULL_RELAY, ConnectionType.MANUAL, ConnectionType.ADDR_FETCH)
"""Kinds of peers whose end of connection updates the time that others see. The rest is nobody's business."""

CLOSE_SECONDS = 3.0
"""How long all connections together may take to close when the node stops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkRooms:
    """The deciding parts a connection manager drives."""

    handshake: Handshake
    keepalive: Keepalive
    misbehaviour: Misbehaviour
    sync: Synchronizer
    gossip: AddressGossip
    addrman: AddrMan
    inbound: InboundPolicy
    whitelist: Whitelist


class ConnectionManager:
    """Owns the connections; the dialer and the listener bring it sockets."""

    def __init__(
        self,
        *,
        magic: bytes,
        factory: MessageFactory,
        rooms: NetworkRooms,
        clock: Clock,
        timers: Timers,
        fatal: Callable[[BaseException], None],
        log_addresses: bool = False,
        max_send_buffer: int = DEFAULT_MAX_SEND_BUFFER,
        max_receive_buffer: int = DEFAULT_MAX_RECEIVE_BUFFER,
        max_upload: int = 0,
        capture: MessageCapture | None = None,
    ) -> None:
        """
        :param fatal: given an error of chain or storage, stops the node.
        :param max_upload: bytes a day (``maxuploadtarget``); 0 for no limit.
        :param capture: sees every message of every peer.
        """
        self.peers: dict[int, Connection] = {}
        self.traffic, self.tap = Traffic(clock, max_upload), MessageTap()
        self.statistics = ConnectionStatistics()
        self._capture = capture
        self.network_active = True
        self._magic = magic
        self._factory = factory
        self._rooms = rooms
        self._clock = clock
        self._timers = timers
        self._fatal = fatal
        self._log_addresses = log_addresses
        self._max_send_buffer = max_send_buffer
        self._max_receive_buffer = max_receive_buffer
        self._inbound_budget = ReceiveBudget(RECEIVE_BUDGET, clock)
        self._outbound_budget = ReceiveBudget(RECEIVE_BUDGET, clock)
        self._next_id = 0
        self._ended_received: Counter[str] = Counter()
        self._ended_sent: Counter[str] = Counter()
        self._handling: Connection | None = None
        # Kept, because to look for them among thousands of peers takes a millisecond of every event.
        self._inbound = self._closing = 0
        self._dirty: list[int] = []
        self._tasks: dict[int, gevent.Greenlet] = {}
        self._listeners: dict[PeerEvent, list[Callable[[Peer], None]]] = {event: [] for event in PeerEvent}
        rooms.handshake.notifies(self._services_known, self._version_known, self._handshaked)
        handlers: Mapping[type[Any], Callable[[Peer, Any], None]] = {
            Ping: rooms.keepalive.on_ping,
            Pong: rooms.keepalive.on_pong,
            Addr: _with_breaks(rooms.gossip.on_addresses),
            AddrV2: _with_breaks(rooms.gossip.on_addresses),
            GetAddr: _with_breaks(rooms.gossip.on_getaddr),
            **UNOFFERED_HANDLERS,
            **rooms.sync.handlers,
        }
        self._handlers: Mapping[str, Callable[[Peer, Any], object]] = {
            kind.command: handler for kind, handler in handlers.items()
        }

    # -- connections ---------------------------------------------------------------------------------------------

    def add(
        self, sock: socket.socket, address: NetworkAddress, connection_type: ConnectionType, name: str | None = None
    ) -> Connection:
        """Take over a connected socket. ``name`` is what a person called the peer, if one did."""
        transport: Transport = V1Transport(self._magic, EARLY_PAYLOAD)
        if self._capture is not None:
            transport = self._capture.transport(transport, address)
        peer = Connection(
            self._next_id,
            sock,
            address,
            connection_type,
            transport=transport,
            budget=self._inbound_budget if connection_type is ConnectionType.INBOUND else self._outbound_budget,
            clock=self._clock,
            traffic=self.traffic,
            tap=self.tap,
            deliver=self._deliver,
            on_dirty=self._marked_dirty,
            on_closing=self._began_closing,
            max_send_buffer=self._max_send_buffer,
            max_receive_buffer=self._max_receive_buffer,
        )
        self._next_id += 1
        peer.name = name or peer.name
        if connection_type is ConnectionType.MANUAL:
            peer.permissions = self._rooms.whitelist.permissions(address, Direction.MANUAL)
        self.peers[peer.id] = peer
        if peer.inbound:
            self._inbound += 1
        self._tasks[peer.id] = spawn(f"peer-{peer.id}", self._run_peer, peer)
        self._tell(PeerEvent.CONNECTED, peer)
        return peer

    def accept(self, sock: socket.socket, remote: NetworkAddress, local: NetworkAddress, entrance: Entrance) -> None:
        """Take an inbound connection that came in through ``entrance``, or close it at once if it is not wanted."""
        if not self.network_active or self._closing >= MAX_CLOSING:
            self.statistics.refused[NOT_ACCEPTING] += 1
            sock.close()
            return
        admission = self._rooms.inbound.admit(remote, entrance)
        if admission.refusal is not None:
            self.statistics.refused[admission.refusal] += 1
            log.debug("inbound connection%s dropped (%s)", self._from(remote), admission.refusal)
            sock.close()
            return
        if admission.victim is not None:
            self.statistics.evicted += 1
            self.peers[admission.victim].disconnect("evicted for another inbound peer")
        self.statistics.accepted += 1
        peer = self.add(sock, remote, ConnectionType.INBOUND)
        peer.bind = local
        peer.permissions = admission.permissions
        peer.prefer_evict = admission.prefer_evict
        peer.inbound_onion = entrance.onion
        self._rooms.inbound.joined(peer)

    def wait_gone(self, peer: Peer) -> None:
        """Wait until the connection has ended."""
        task = self._tasks.get(peer.id)
        if task is not None:
            task.join()

    def on(self, event: PeerEvent, listener: Callable[[Peer], None]) -> None:
        """Call ``listener`` with every peer to which this happens."""
        self._listeners[event].append(listener)

    def _tell(self, event: PeerEvent, peer: Peer) -> None:
        for listener in self._listeners[event]:
            listener(peer)

    def _run_peer(self, peer: Connection) -> None:
        """A peer's whole life; whatever goes wrong in it takes down this peer only, unless the chain is damaged."""
        log.debug("peer=%d %s connection%s", peer.id, peer.connection_type.value, self._named(peer))
        try:
            with self._answerable(peer):
                self._rooms.handshake.start(peer)
                self.run_pass(peer)  # from now on the clock runs against a peer that stays silent
                peer.run()
                if self._capture is not None:
                    self._capture.flush()
        finally:
            self._gone(peer)

    @contextmanager
    def _answerable(self, peer: Connection) -> Iterator[None]:
        """Whatever goes wrong in the body is the end of ``peer``, and of the node if the chain is damaged."""
        try:
            yield
        except StorageError as error:
            peer.disconnect("the node stops")
            self._fatal(error)
        except Exception:
            log.exception("peer=%d a defect of ours ended the connection", peer.id)
            peer.disconnect("internal error")

    def _began_closing(self, peer: Peer) -> None:
        self._closing += 1
        self._rooms.inbound.left(peer)

    def _gone(self, peer: Connection) -> None:
        del self.peers[peer.id]
        del self._tasks[peer.id]
        self._inbound -= peer.inbound
        if peer.closing:
            self._closing -= 1
        else:  # it was killed
            self._rooms.inbound.left(peer)
        self._timers.disarm(peer.id)
        self._ended_received.update(peer.received_per_message)
        self._ended_sent.update(peer.sent_per_message)
        if not peer.inbound and not peer.version:
            self.statistics.failed(peer.connection_type, NO_VERSION)
        self._rooms.handshake.gone(peer)
        self._rooms.gossip.left(peer)
        if peer.handshake_complete and peer.connection_type in SHOWN_TO_OTHERS:
            self._rooms.addrman.connected(peer.address)
        self._rooms.sync.left(peer)
        log.log(
            peer.log_level if peer.handshake_complete else logging.DEBUG,
            "peer=%d disconnected: %s",
            peer.id,
            peer.disconnect_reason or "connection ended",
        )
        self._tell(PeerEvent.DISCONNECTED, peer)

    def close(self) -> None:
        """Disconnect everybody and wait for it; what is left after `CLOSE_SECONDS` is killed."""
        for peer in self.peers.values():
            peer.disconnect("the node stops")
        tasks = list(self._tasks.values())
        gevent.joinall(tasks, timeout=CLOSE_SECONDS)
        gevent.killall(tasks, timeout=1.0)

    # -- messages ------------------------------------------------------------------------------------------------

    def _deliver(self, peer: Connection, frame: Frame) -> None:
        command, payload, size, fault = frame
        counts = peer.received_per_message
        counted = command if command in MESSAGE_TYPES else OTHER
        counts[counted] = counts.get(counted, 0) + ONE_MESSAGE + size
        peer.recent_messages.append(passed := (peer.last_recv, False, command, size))
        if self.tap.listener is not None:
            self.tap.listener(peer.id, PassedMessage(*passed), payload)
        if fault is not None:
            log.debug("peer=%d %s dropped: %s", peer.id, command or "a message", fault)
            return
        handler = self._handlers.get(command) if peer.stage is HandshakeStage.ESTABLISHED else None
        if handler is None:
            handler = self._other_handler(peer, command)
            if handler is None:
                return
        try:
            message = self._factory.decode(command, payload)
        except DecodeError as error:
            self._refuse_payload(peer, command, error)
            return
        if self._rooms.sync.owes_verdict(peer) and command != Block.command:
            self._rooms.sync.wait_verdict(peer)
            if peer.closing:  # for that block, perhaps
                return
        self._handling = peer
        handler(peer, message)
        self._handling = None
        if peer.dirty:
            self.run_pass(peer)

    def _other_handler(self, peer: Connection, command: str) -> Callable[[Peer, Any], object] | None:
        """Who takes a message without a handler of its own: the handshake at its stages, or nobody."""
        if peer.handshake_complete and command in REFUSED:
            refuse(peer, command, self._rooms.misbehaviour)
        elif self._rooms.handshake.expects(peer, command):
            return self._rooms.handshake.handle
        else:
            violation = out_of_turn(peer, command)
            if violation is not None:
                self._rooms.misbehaviour.report(peer, violation)
            log.debug("peer=%d %s ignored", peer.id, command if command in MESSAGE_TYPES else OTHER)
        return None

    def _refuse_payload(self, peer: Connection, command: str, error: DecodeError) -> None:
        """There is no message in it. Too long a list is punished, anything else only dropped."""
        if not isinstance(error, OversizeError):
            log.debug("peer=%d %s dropped: %s", peer.id, command, error)
        elif peer.handshake_complete:
            oversize(peer, error, self._rooms.misbehaviour)

    def _handshaked(self, peer: Peer) -> None:
        """The handshake told us: from now on everything may be sent to ``peer``, and come from it."""
        self.peers[peer.id].accept_large_messages()
        self._rooms.sync.joined(peer)
        log.log(
            peer.log_level,
            "peer=%d connected%s: %s, version %d, %s, height %d",
            peer.id,
            self._named(peer),
            peer.connection_type.value,
            peer.version,
            peer.user_agent or "no user agent",
            peer.start_height,
        )
        self._tell(PeerEvent.HANDSHAKED, peer)

    def _named(self, peer: Peer) -> str:
        """The address, for a log line, if it may stand there: a person wrote it, or asked for it."""
        return f" to {peer.name}" if self._log_addresses or peer.connection_type is ConnectionType.MANUAL else ""

    def _from(self, address: NetworkAddress) -> str:
        return f" from {address}" if self._log_addresses else ""

    def _services_known(self, peer: Peer) -> None:
        """The handshake told us: an address that offers too little must not be chosen for what others say of it."""
        if not peer.inbound:
            self._rooms.addrman.set_services(peer.address, peer.services)

    def _version_known(self, peer: Peer) -> None:
        """The handshake told us: ``peer`` said who it is, and was sent a getaddr if we want addresses."""
        self._rooms.gossip.asked(peer)
        if not peer.inbound:
            self._rooms.addrman.good(peer.address)
        if peer.connection_type is ConnectionType.FEELER:
            peer.disconnect("feeler: the address answers")

    # -- passes --------------------------------------------------------------------------------------------------

    def run_pass(self, peer: Connection) -> None:
        """Send ``peer`` what it is owed, and arm the timers for the next time."""
        if peer.closing:
            return
        peer.dirty = False
        self._rooms.inbound.update(peer)
        now = self._clock.now()
        wall = self._rooms.keepalive.send_pass(peer, now)
        if peer.handshake_complete and not peer.closing:
            gossip_wall = self._rooms.gossip.send_pass(peer, now)
            sync_wall, steady = self._rooms.sync.send_pass(peer, now)
            wall = min(wall, gossip_wall, sync_wall)
            self._timers.arm(Timeline.STEADY, steady, peer.id, lambda: self._timed_pass(peer))
        # A limit is over when the clock is past it: looking again at the very limit would never end on a clock that
        # was stopped there.
        self._timers.arm(Timeline.WALL, nextafter(wall, inf), peer.id, lambda: self._timed_pass(peer))

    def _timed_pass(self, peer: Connection) -> None:
        with self._answerable(peer):
            self.run_pass(peer)

    def _marked_dirty(self, peer: Peer) -> None:
        """A room marked ``peer``. If that is what its message gave rise to, its pass follows anyway.

        Not so where its handler waits and others go on: what they owe the peer must not wait as well.
        """
        if peer is not self._handling or gevent.getcurrent() is not self._tasks.get(peer.id):
            self._dirty.append(peer.id)
            self._timers.arm(Timeline.STEADY, -inf, "dirty peers", self._run_dirty_passes)

    def _run_dirty_passes(self) -> None:
        dirty, self._dirty = self._dirty, []
        for peer in filter(None, map(self.peers.get, dirty)):
            if peer.dirty:
                self._timed_pass(peer)
                breathe()

    # -- questions and orders of the admin side ------------------------------------------------------------------

    def handshaked_peers(self) -> Iterator[Connection]:
        return (peer for peer in self.peers.values() if peer.handshake_complete)

    def count(self, *, inbound: bool) -> int:
        """Connections in one direction, unfinished handshakes included."""
        return self._inbound if inbound else len(self.peers) - self._inbound

    def count_of(self, kind: ConnectionType) -> int:
        """Connections of one type, unfinished handshakes included."""
        return sum(peer.connection_type is kind for peer in self.peers.values())

    def is_connected_to(self, address: NetworkAddress) -> bool:
        """Whether a connection to this address and port exists."""
        return any(peer.address == address for peer in self.peers.values())

    def is_connected_to_name(self, name: str) -> bool:
        """Whether a connection is shown under this name (Core: ``AlreadyConnectedToHost``)."""
        return any(peer.name == name for peer in self.peers.values())

    def message_tallies(self, *, received: bool) -> Counter[str]:
        """By message type, what all peers sent or were sent since the start; tallies as in ``peers/traffic.py``."""
        total = Counter(self._ended_received if received else self._ended_sent)
        for peer in breathing(list(self.peers.values())):
            total.update(peer.received_per_message if received else peer.sent_per_message)
        return total

    @property
    def send_queue_bytes(self) -> int:
        """Bytes waiting to be sent, over all peers."""
        return sum(peer.send_queue_bytes for peer in self.peers.values())

    @property
    def receive_budget_used(self) -> int:
        """Bytes of the receive budgets in use."""
        return self._inbound_budget.used + self._outbound_budget.used

    @property
    def local_services(self) -> int:
        return self._rooms.handshake.services

    @property
    def user_agent(self) -> str:
        return self._rooms.handshake.user_agent

    @property
    def time_offsets(self) -> TimeOffsets:
        return self._rooms.handshake.time_offsets

    def set_network_active(self, active: bool) -> None:
        """Switch all networking off or on; off drops every connection."""
        if active is not self.network_active:
            log.info("networking is switched %s", "on" if active else "off")
        self.network_active = active
        if not active:
            for peer in self.peers.values():
                peer.disconnect("networking was switched off")

    def disconnect_by_id(self, peer_id: int) -> bool:
        peer = self.peers.get(peer_id)
        if peer is not None:
            peer.disconnect("by command")
        return peer is not None

    def disconnect_by_address(self, address: str) -> bool:
        """Drop the peer shown under ``address``; False if there is none."""
        for peer in self.peers.values():
            if address in (str(peer.address), peer.name):
                peer.disconnect("by command")
                return True
        return False

    def drop(self, subnet: Subnet, reason: str, *, spare_chosen: bool) -> None:
        """Disconnect everyone in ``subnet``, but perhaps not those that a person chose."""
        for peer in self.peers.values():
            if peer.address in subnet and not (spare_chosen and spared(peer)):
                peer.disconnect(reason)

    def ping_all(self) -> None:
        """Have every peer pinged, whatever its timer says."""
        for peer in self.handshaked_peers():
            peer.ping_requested = True
            peer.mark_dirty()


def _with_breaks(handler: Callable[[Peer, Any], Iterator[None]]) -> Callable[[Peer, Any], None]:
    """``handler``, which may take longer than others should have to wait, and says where they can go on."""

    def whole(peer: Peer, message: Any) -> None:
        for _ in handler(peer, message):
            breathe()

    return whole

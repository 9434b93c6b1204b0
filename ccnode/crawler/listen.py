"""Connections that stay: to a number of peers at a time, to hear what they announce.

A `Listener` has a number of slots. Each takes an address from its supply, connects, shakes hands, and hands on every
message with the moment at which it was received, until the connection ends; then it takes the next address. Nothing
is asked of a peer but what its announcements need: ``sendheaders``, compact blocks unasked if they are wanted, and
``getaddr`` where addresses are listened to, because Core relays none before. Pings are answered and sent, as by any
node, and nothing is ever relayed.

A slot costs its peer an inbound slot for as long as it lasts. So slots are few, no two are with one address, and
addresses that do not want us are not tried again at once.
"""

import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, Protocol

import gevent

from ccnode.chain.params import ChainParams
from ccnode.clock import Clock
from ccnode.crawler.visit import guest_handshake
from ccnode.errors import DecodeError, FramingError
from ccnode.network.hub import DeadlineExceeded, breathe, spawn
from ccnode.network.routes import Routes
from ccnode.peers.handshake import Handshake
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.rng import Rng
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import GetAddr
from ccnode.wire.factory import MessageFactory
from ccnode.wire.framing import Frame, V1Transport
from ccnode.wire.handshake import SendCmpct, SendHeaders, Version
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message

DIAL_SECONDS: Final = 10.0
HANDSHAKE_SECONDS: Final = 60.0
PING_SECONDS: Final = 120.0
SILENCE_SECONDS: Final = 600.0
"""Without a byte from the peer, its answers to our pings included, the connection is over."""

PAUSE_SECONDS: Final = 10.0
LONGEST_PAUSE_SECONDS: Final = 600.0
"""Of a slot, between two addresses; doubled while none of them works."""

RECEIVE_SIZE: Final = 65_536
MAX_PAYLOAD: Final = 4_000_000
"""Bytes; no announcement is as large."""


class Interest(Enum):
    """What a listener is there for."""

    BLOCKS = "blocks"
    COMPACT_BLOCKS = "compact blocks"
    """Unasked, so before the peer has checked them."""
    TRANSACTIONS = "transactions"
    ADDRESSES = "addresses"


class Hearer(Protocol):
    """Who is told. No method may wait for long: it is called in the greenlet that reads."""

    def attached(self, ear: "Ear") -> None:
        """A peer has completed the handshake."""
        ...

    def heard(self, ear: "Ear", frame: Frame, when: float) -> None:
        """A message came; ``when`` is in steady seconds. DecodeError ends the connection."""
        ...

    def detached(self, ear: "Ear") -> None:
        """A peer that was attached is gone."""
        ...


@dataclass(frozen=True, slots=True)
class _Setting:
    magic: bytes
    factory: MessageFactory
    handshake: Handshake
    clock: Clock
    rng: Rng
    interests: frozenset[Interest]


class Ear(Peer):
    """One connection that stays."""

    __slots__ = ("_outgoing", "_setting", "_sock", "_transport", "attached_at")

    def __init__(self, number: int, setting: _Setting, sock: socket.socket, address: NetworkAddress) -> None:
        super().__init__(number, address, ConnectionType.MANUAL, setting.clock.now())
        self._setting = setting
        self._sock = sock
        self._transport = V1Transport(setting.magic)
        self._outgoing = bytearray()
        self.attached_at = 0.0
        """Steady seconds."""

    def send(self, message: Message) -> None:
        interests = self._setting.interests
        if isinstance(message, GetAddr) and Interest.ADDRESSES not in interests:
            return
        if isinstance(message, Version) and Interest.TRANSACTIONS in interests:
            message = replace(message, relay=True)
        self._outgoing += self._transport.frame(message.command, message.encode())

    def mark_dirty(self) -> None:
        pass

    def disconnect(self, reason: str) -> None:
        self.disconnect_reason = self.disconnect_reason or reason

    def shake_hands(self) -> bool:
        """Whether the peer completed the handshake. OSError, DeadlineExceeded, FramingError, DecodeError."""
        handshake = self._setting.handshake
        handshake.start(self)
        until = self._now() + HANDSHAKE_SECONDS
        while not self.handshake_complete:
            frame = self._next_frame(until)
            if frame is None or self.disconnect_reason:
                return False
            if frame.fault is None and handshake.expects(self, frame.command):
                handshake.handle(self, self._setting.factory.decode(frame.command, frame.payload))
        self.attached_at = self._now()
        return True

    def listen(self, hearer: Hearer) -> None:
        """Until the connection ends, in one of the errors of `shake_hands`, or falls silent."""
        if self._setting.interests & {Interest.BLOCKS, Interest.COMPACT_BLOCKS}:
            self.send(SendHeaders())
        if Interest.COMPACT_BLOCKS in self._setting.interests:
            self.send(SendCmpct(True, 2))
        silent_at = self._now() + SILENCE_SECONDS
        while True:
            frame = self._next_frame(self._now() + PING_SECONDS)
            when = self._now()
            if frame is None:
                if when > silent_at:
                    return
                self.send(Ping(self._setting.rng.getrandbits(64)))
                continue
            silent_at = when + SILENCE_SECONDS
            if frame.fault is not None:
                continue
            if frame.command == Ping.command:
                self.send(Pong(Ping.decode(frame.payload).nonce or 0))
            else:
                hearer.heard(self, frame, when)

    def gone(self) -> None:
        """The connection is over."""
        self._setting.handshake.gone(self)

    def _now(self) -> float:
        return self._setting.clock.steady()

    def _next_frame(self, until: float) -> Frame | None:
        while True:
            if self._outgoing:
                outgoing, self._outgoing = self._outgoing, bytearray()
                self._sock.settimeout(DIAL_SECONDS)
                self._sock.sendall(outgoing)
            frame = self._transport.next_frame()
            if frame is not None:
                return frame
            if self._transport.payload_size > MAX_PAYLOAD:
                raise FramingError(f"a payload of {self._transport.payload_size} bytes")
            left = until - self._now()
            if left <= 0:
                return None
            self._sock.settimeout(left)
            try:
                data = self._sock.recv(RECEIVE_SIZE)
            except TimeoutError:
                return None
            if not data:
                raise ConnectionResetError("closed by the peer")
            self._transport.receive_data(data)
            breathe()


class Listener:
    """The slots; see the module's text."""

    def __init__(
        self,
        params: ChainParams,
        routes: Routes,
        clock: Clock,
        rng: Rng,
        hearer: Hearer,
        *,
        user_agent: str,
        interests: frozenset[Interest],
    ) -> None:
        self._routes = routes
        self._rng = rng
        self._hearer = hearer
        self._count = 0
        self._in_use: set[NetworkAddress] = set()
        self._tasks: list[gevent.Greenlet] = []
        self._setting = _Setting(
            magic=params.magic,
            factory=MessageFactory(params.header_format.size, params.headers_carry_tx_count),
            handshake=guest_handshake(routes, clock, rng, user_agent=user_agent),
            clock=clock,
            rng=rng,
            interests=interests,
        )

    def add_slot(self, supply: Callable[[], NetworkAddress | None]) -> None:
        """One more connection at a time, to what ``supply`` gives; None: nothing at the moment."""
        self._tasks.append(spawn("listener", self._run_slot, supply))

    def stop(self) -> None:
        """Close all connections."""
        gevent.killall(self._tasks, timeout=1.0)

    def _run_slot(self, supply: Callable[[], NetworkAddress | None]) -> None:
        pause = PAUSE_SECONDS
        while True:
            address = supply()
            worked = False
            if address is not None and address not in self._in_use:
                self._in_use.add(address)
                worked = self._attend(address)
                self._in_use.discard(address)
            pause = PAUSE_SECONDS if worked else min(2 * pause, LONGEST_PAUSE_SECONDS)
            gevent.sleep(pause * (0.5 + self._rng.random() / 2))

    def _attend(self, address: NetworkAddress) -> bool:
        """One connection from the dial to its end; whether there was a handshake."""
        try:
            sock = self._routes.connect(address, DIAL_SECONDS, self._rng)
        except (OSError, DeadlineExceeded):
            return False
        with sock:
            self._count += 1
            return self._converse(Ear(self._count, self._setting, sock, address))

    def _converse(self, ear: Ear) -> bool:
        attached = False
        try:
            attached = ear.shake_hands()
            if attached:
                self._hearer.attached(ear)
                ear.listen(self._hearer)
        except (OSError, FramingError, DecodeError) as error:
            ear.disconnect(str(error))
        finally:
            ear.gone()
            if attached:
                self._hearer.detached(ear)
        return attached

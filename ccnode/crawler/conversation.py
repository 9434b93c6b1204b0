"""The connected part of a visit: shake hands, ask for addresses, measure.

The conversation is an ordinary peer's (``peers/handshake.py``, ``wire/framing.py``), except that nothing is offered
or relayed, and that whatever goes wrong has a name (`Outcome`).

**When is a list complete?** The protocol does not say. Bitcoin Core from version 23 on answers ``getaddr`` at once.
Older ones first announce themselves and send the answer after a random time, half a minute on average, and there are
others that never do. So the patience depends on what the peer says it is: `QUICK_SECONDS` or `OLD_SECONDS`. A waiting
visit is a parked socket and costs nothing else. Why a collection ended is kept with the visit (`Collected`).

**Manners.** One ``getaddr`` in a connection, which is all that Core answers anyway. Pings are answered, a few of them;
transactions are not wanted (relay is off); nothing is asked twice; and the connection is closed when we are done.

**What a peer may cost.** `MAX_BYTES`, `MAX_MESSAGES` and `MAX_ADVERTS` end a visit, and a payload of more than
`MAX_PAYLOAD` bytes is not received: nothing that is asked for here is so large.
"""

import errno
import re
import socket
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ccnode.chain.networks import get_params
from ccnode.clock import Clock
from ccnode.crawler.audit import Tip, TipAudit
from ccnode.crawler.outcome import Collected, Outcome, Visit
from ccnode.crawler.words import counted
from ccnode.errors import DecodeError, FramingError
from ccnode.network.hub import breathe
from ccnode.options import CHAINS
from ccnode.peers.handshake import Handshake
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, GetAddr, PackedEntry, read_packed
from ccnode.wire.factory import MessageFactory
from ccnode.wire.framing import COMMAND_SIZE, HEADER_SIZE, Frame, FrameTooLarge, V1Transport, command_name
from ccnode.wire.handshake import SendCmpct, Version
from ccnode.wire.headers import Headers
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message
from ccnode.wire.protocol import MAX_ADDR_TO_SEND, MIN_PEER_PROTO_VERSION

RECEIVE_SIZE: Final = 16_384
"""Bytes asked for in one call, and set aside by it; many times as much leaves holes in memory that stay."""

QUICK_SECONDS: Final = 10.0
OLD_SECONDS: Final = 90.0
"""How long an answer to ``getaddr`` is awaited: from a peer that answers at once, and from one that may be waiting for
a moment of chance, thirty seconds away on average; ninety let one in twenty miss."""
INSTANT_CORE: Final = 23
"""The first version of Bitcoin Core that answers at once."""
_CORE: Final = re.compile(r"/Satoshi:(\d+)\.(\d+)")
_INSTANT: Final = re.compile(r"/(bcoin|btcd|ccnode|libbitcoin):")
"""Programs that never delayed their answers, whatever their version."""

LINGER_SECONDS: Final = 1.0
"""After an answer that filled its message: there may be another."""
EXTRA_SECONDS: Final = 4.0
"""After the answer, for what else was asked: pongs and headers."""

PINGS: Final = 3
MAX_PONGS: Final = 4
"""Pings sent, one after the other, and answered."""

MAX_BYTES: Final = 2_000_000
MAX_MESSAGES: Final = 500
MAX_ADVERTS: Final = 5 * MAX_ADDR_TO_SEND
MAX_PAYLOAD: Final = 600_000
"""Bytes: the largest ``addrv2`` of a thousand entries has 531,000, but no real one a tenth of that."""

FEATURES: Final = frozenset({"wtxidrelay", "sendaddrv2", "sendtxrcncl", "sendheaders", "feefilter"})
"""Messages that say what a peer can do; ``sendcmpct`` is kept with what it says."""

_OTHER_MAGICS: Final = {
    bytes.fromhex("e3e1f3e8"): "bitcoin cash",
    bytes.fromhex("fbc0b6db"): "litecoin",
    bytes.fromhex("c0c0c0c0"): "dogecoin",
    bytes.fromhex("bf0c6bbd"): "dash",
    bytes.fromhex("24e92764"): "zcash",
    bytes.fromhex("f9beb4fe"): "namecoin",
}
MAGICS: Final[Mapping[bytes, str]] = {**_OTHER_MAGICS, **{get_params(name).magic: name for name in CHAINS}}
"""Networks by the bytes that their messages begin with."""

_TCP_INFO_SIZE: Final = 104
_RTT_OFFSET: Final = 68
"""Of ``tcpi_rtt`` in Linux's ``struct tcp_info``, microseconds."""


class Excess(Exception):
    """The peer sent more than a visit is worth."""


class Leave(Exception):
    """Raised in the greenlet of a visit by whoever wants it to end. After the handshake it ends in good order."""


@dataclass(frozen=True, slots=True)
class Events:
    """Who is told what during a visit."""

    dialed: Callable[[], None]
    """The dial is over, well or badly."""
    handshaked: Callable[[], None]
    addresses: Callable[[list[PackedEntry]], None]
    """The peer names these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all conversations of a round have in common."""

    magic: bytes
    factory: MessageFactory
    handshake: Handshake
    handshake_seconds: Mapping[Network, float]
    clock: Clock
    rng: Rng
    audit: TipAudit | None = None
    old_seconds: float = OLD_SECONDS


def answers_at_once(version: int, user_agent: str) -> bool:
    """Whether a peer that says this of itself answers ``getaddr`` without delay; of unknown programs, if it is new."""
    core = _CORE.search(user_agent)
    if core is not None:
        return int(core[1]) >= INSTANT_CORE
    return version > 70015 or _INSTANT.search(user_agent) is not None


def stranger(head: bytes, magic: bytes) -> tuple[Outcome, str] | None:
    """What a peer is whose first bytes are ``head``; None if they may well be ours."""
    if magic.startswith(head[:4]):
        return None
    if head[:4] in MAGICS:
        return Outcome.WRONG_MAGIC, MAGICS[head[:4]]
    if len(head) == HEADER_SIZE and command_name(head[4 : 4 + COMMAND_SIZE]) == Version.command:
        return Outcome.WRONG_MAGIC, f"unknown network {head[:4].hex()}"
    return Outcome.NOT_BITCOIN, head.hex()


class Conversation(Peer):
    """The connected part of a visit; a peer as the handshake knows it."""

    __slots__ = (
        "_addresses",
        "_answer_full",
        "_answered_at",
        "_ask",
        "_claimed",
        "_connected",
        "_events",
        "_features",
        "_head",
        "_messages",
        "_outgoing",
        "_ping_at",
        "_pings",
        "_pongs_sent",
        "_setting",
        "_sock",
        "_tip",
        "_transport",
        "_wants_headers",
        "addr_messages",
        "adverts_count",
        "connect_time",
        "handshake_time",
    )

    def __init__(
        self, setting: Setting, sock: socket.socket, address: NetworkAddress, events: Events, *, ask_addresses: bool
    ) -> None:
        super().__init__(0, address, ConnectionType.MANUAL, setting.clock.now())
        self._setting = setting
        self._sock = sock
        self._events = events
        self._ask = ask_addresses
        self._transport = V1Transport(setting.magic)
        self._outgoing = bytearray()
        self._connected = setting.clock.steady()
        self._head = b""
        self._messages = 0
        self._claimed: Version | None = None
        self._features: set[str] = set()
        self._answered_at: float | None = None
        self._answer_full = False
        self._pings: list[float] = []
        self._ping_at = 0.0
        self._pongs_sent = 0
        self._tip: Tip | None = None
        self._wants_headers = False
        self.addr_messages = 0
        self.adverts_count = 0
        self.connect_time = 0.0
        self.handshake_time: float | None = None

    # -- what the handshake sees ---------------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        if not isinstance(message, GetAddr) or self._ask:
            self._outgoing += self._transport.frame(message.command, message.encode())

    def mark_dirty(self) -> None:
        pass

    def disconnect(self, reason: str) -> None:
        self.disconnect_reason = self.disconnect_reason or reason

    # -- the visit -----------------------------------------------------------------------------------------------

    def run(self, started: float) -> Visit:
        """Say what is to be said, and leave. ``started``: Unix time of the dial."""
        self._setting.handshake.start(self)
        try:
            outcome, detail = self._shake_hands()
            collected = Collected.NOT_ASKED
            if outcome is Outcome.REACHABLE:
                self.handshake_time = self._now() - self._connected
                self._events.handshaked()
                collected, detail = self._collect()
        finally:
            self._setting.handshake.gone(self)
        return self._report(started, outcome, detail, collected)

    def _now(self) -> float:
        return self._setting.clock.steady()

    def _shake_hands(self) -> tuple[Outcome, str]:
        until = self._connected + self._setting.handshake_seconds[self.address.network]
        try:
            while not self.handshake_complete:
                frame = self._next_frame(until)
                if frame is None:
                    return self._no_handshake()
                problem = self._take(frame)
                if problem is not None:
                    return problem
        except FrameTooLarge as error:
            return Outcome.OVERSIZE, str(error)
        except FramingError as error:
            return stranger(self._head, self._setting.magic) or (Outcome.MALFORMED, str(error))
        except DecodeError as error:
            return Outcome.MALFORMED, str(error)
        except Excess as error:
            return Outcome.MALFORMED, str(error)
        except OSError:
            return self._cut_off()
        return Outcome.REACHABLE, ""

    def _take(self, frame: Frame) -> tuple[Outcome, str] | None:
        """Let the handshake have a message; what it shows the peer to be, if it ends the visit."""
        if frame.fault is not None:
            return Outcome.MALFORMED, frame.fault
        self._note_feature(frame)
        if not self._setting.handshake.expects(self, frame.command):
            return None
        message = self._setting.factory.decode(frame.command, frame.payload)
        if isinstance(message, Version):
            self._claimed = message
            if message.nonce == self.local_nonce:
                return Outcome.SELF, ""
            if message.version < MIN_PEER_PROTO_VERSION:
                return Outcome.OBSOLETE, f"version {message.version}"
        self._setting.handshake.handle(self, message)
        return None

    def _no_handshake(self) -> tuple[Outcome, str]:
        """The time is up."""
        if self._claimed is not None:
            return Outcome.NO_VERACK, ""
        if not self._head:
            return Outcome.SILENT, ""
        if self._messages:
            return Outcome.MALFORMED, f"{counted(self._messages, 'message')} and no version"
        return Outcome.TARPIT, counted(self.bytes_received, "byte")

    def _cut_off(self) -> tuple[Outcome, str]:
        """The connection has ended."""
        if not self._head:
            return Outcome.SLOTS_FULL, ""
        return stranger(self._head, self._setting.magic) or (Outcome.CLOSED, "")

    # -- addresses and measurements ------------------------------------------------------------------------------

    def _collect(self) -> tuple[Collected, str]:
        """Take what comes until all that was asked for is there, or the time is up. Why it ended, and in words."""
        quick = answers_at_once(self.version, self.user_agent) or not self._ask
        until = self._now() + (QUICK_SECONDS if quick else self._setting.old_seconds)
        self._ping()
        if self._setting.audit is not None:
            self._wants_headers = True
            self.send(self._setting.audit.request())
        try:
            while not self._is_satisfied():
                frame = self._next_frame(self._until(until))
                if frame is None:
                    break
                self._hear(frame)
        except Excess as error:
            return Collected.LIMIT, str(error)
        except Leave:
            return Collected.LIMIT, "the round ended"
        except (FramingError, DecodeError) as error:
            return Collected.CLOSED, str(error)
        except OSError:
            pass
        if not self._ask:
            return Collected.NOT_ASKED, ""
        if self._answered_at is not None:
            return Collected.COMPLETE, ""
        if self._now() < until:
            return Collected.CLOSED, ""
        return (Collected.SELF_ONLY if self.adverts_count else Collected.DEADLINE), ""

    def _until(self, until: float) -> float:
        if self._answered_at is None:
            return until
        measured = len(self._pings) >= PINGS and not self._wants_headers
        return min(until, self._answered_at + (LINGER_SECONDS if measured else EXTRA_SECONDS))

    def _is_satisfied(self) -> bool:
        if len(self._pings) < PINGS or self._wants_headers:
            return False
        return not self._ask or (self._answered_at is not None and not self._answer_full)

    def _hear(self, frame: Frame) -> None:
        """One message after the handshake. Those with a fault, and those that say nothing here, are passed over."""
        command, payload = frame.command, frame.payload
        if frame.fault is not None:
            return
        if command in (AddrV2.command, Addr.command):
            self._hear_addresses(read_packed(command, payload))
        elif command == Pong.command:
            self._hear_pong(Pong.decode(payload))
        elif command == Ping.command:
            if self._pongs_sent < MAX_PONGS:
                self._pongs_sent += 1
                self.send(Pong(Ping.decode(payload).nonce or 0))
        elif command == Headers.command and self._wants_headers and self._setting.audit is not None:
            headers = self._setting.factory.decode(command, payload)
            assert isinstance(headers, Headers)
            self._tip = self._setting.audit.judge(headers)
            self._wants_headers = False
        else:
            self._note_feature(frame)

    def _hear_addresses(self, entries: list[PackedEntry]) -> None:
        """A single entry is the peer itself, as a rule; more are the answer."""
        self.addr_messages += 1
        if len(entries) > 1:
            self._answered_at = self._now()
            self._answer_full = len(entries) == MAX_ADDR_TO_SEND
        self.adverts_count += len(entries)
        self._events.addresses(entries)
        if self.adverts_count > MAX_ADVERTS:
            raise Excess(f"over {MAX_ADVERTS} addresses")

    def _ping(self) -> None:
        self.ping_nonce = self._setting.rng.getrandbits(64)
        self.send(Ping(self.ping_nonce))
        self._ping_at = self._now()

    def _hear_pong(self, pong: Pong) -> None:
        if pong.nonce == self.ping_nonce and len(self._pings) < PINGS:
            self._pings.append(self._now() - self._ping_at)
            if len(self._pings) < PINGS:
                self._ping()

    def _note_feature(self, frame: Frame) -> None:
        if frame.command in FEATURES:
            self._features.add(frame.command)
        elif frame.command == SendCmpct.command:
            offer = SendCmpct.decode(frame.payload)
            self._features.add(f"sendcmpct({offer.version},{'high' if offer.high_bandwidth else 'low'})")

    # -- bytes ---------------------------------------------------------------------------------------------------

    def _next_frame(self, until: float) -> Frame | None:
        """Send what is to be sent, and wait for a message; None if there is none by ``until``.

        OSError if the connection ends, FramingError, `Excess`.
        """
        while True:
            frame = self._transport.next_frame()
            if frame is not None:
                self._messages += 1
                return frame
            left = until - self._now()
            if left <= 0:
                return None
            if self._messages > MAX_MESSAGES or self.bytes_received > MAX_BYTES:
                raise Excess(f"{self._messages} messages, {self.bytes_received} bytes")
            if self._transport.payload_size > MAX_PAYLOAD:
                raise Excess(f"a payload of {self._transport.payload_size} bytes")
            self._sock.settimeout(left)
            try:
                self._flush()
                data = self._sock.recv(RECEIVE_SIZE)
            except TimeoutError:
                return None
            if not data:
                raise ConnectionResetError(errno.ECONNRESET, "closed by the peer")
            self.bytes_received += len(data)
            if len(self._head) < HEADER_SIZE:
                self._head += data[: HEADER_SIZE - len(self._head)]
            self._transport.receive_data(data)
            breathe()

    def _flush(self) -> None:
        if self._outgoing:
            data, self._outgoing = self._outgoing, bytearray()
            self._sock.sendall(data)
            self.bytes_sent += len(data)

    def _tcp_rtt(self) -> float | None:
        if not hasattr(socket, "TCP_INFO"):
            return None
        try:
            info = self._sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        except OSError:
            return None
        return int(struct.unpack_from("=I", info, _RTT_OFFSET)[0]) / 1e6

    def _report(self, started: float, outcome: Outcome, detail: str, collected: Collected) -> Visit:
        visit = Visit(
            address=self.address,
            outcome=outcome,
            detail=detail,
            started=started,
            attempts=1,
            connect_time=self.connect_time,
            handshake_time=self.handshake_time,
            ping_times=tuple(self._pings),
            tcp_rtt=self._tcp_rtt(),
            address_local=self.address_local,
            features=frozenset(self._features),
            collected=collected,
            adverts_count=self.adverts_count,
            addr_messages=self.addr_messages,
            bytes_received=self.bytes_received,
            bytes_sent=self.bytes_sent,
        )
        claimed, tip = self._claimed, self._tip
        if claimed is not None:
            visit = replace(
                visit,
                version=claimed.version,
                services=claimed.services,
                user_agent=claimed.clean_user_agent,
                start_height=claimed.start_height,
                relay=claimed.relays_transactions,
                time_offset=claimed.timestamp - int(started + self.connect_time),
            )
        if tip is not None:
            visit = replace(
                visit, tip_height=tip.height, tip_hash=tip.hash, chain_ok=tip.ours, headers_behind=tip.behind
            )
        return visit

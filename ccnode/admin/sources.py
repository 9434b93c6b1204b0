"""What becomes an event: connections, the tip, bans, log records, messages.

Each source looks whether anybody listens before it makes anything. The two that would cost something even so, log
records and messages, are attached only while somebody does.

Strings that a peer can choose are bounded, and log messages come with their control characters escaped: a terminal may
show them as they are.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import gevent
from gevent.monkey import get_original

from ccnode.admin.commands.common import display_hash
from ccnode.admin.events import EventStream
from ccnode.chain.announcements import announced_blocks
from ccnode.chain.formats import HeaderFormat
from ccnode.chain.headers import HeaderChain
from ccnode.chain.index import TipChanged
from ccnode.errors import DecodeError
from ccnode.log import escape, level_name
from ccnode.log import root as log_root
from ccnode.network.manager import ConnectionManager
from ccnode.peers.bans import Ban, BanList
from ccnode.peers.messages import MessageTap, PassedMessage
from ccnode.peers.peer import Peer, PeerEvent
from ccnode.wire.factory import MessageFactory
from ccnode.wire.handshake import SendCmpct, Version
from ccnode.wire.headers import GetHeaders
from ccnode.wire.keepalive import FeeFilter, Ping, Pong
from ccnode.wire.serialize import Reader

MAX_TEXT: Final = 1000
"""Characters of a log message in an event."""

MAX_SUMMARY: Final = 200
"""Characters of what is said about a message."""

MAX_DECODED: Final = 2000
"""Bytes; larger messages are not decoded for a summary. A locator has a thousand, an address message 30,000."""

LISTS: Final = {
    **dict.fromkeys(("inv", "getdata", "notfound"), ("item", "items")),
    **dict.fromkeys(("addr", "addrv2"), ("address", "addresses")),
    "headers": ("header", "headers"),
}
"""Messages that are one list, and what one of it is called, and several: how many stands at their beginning."""


def feed_events(
    events: EventStream, manager: ConnectionManager, chain: HeaderChain, bans: BanList, factory: MessageFactory
) -> None:
    """Have everything that happens from now on told to ``events``."""
    for event in PeerEvent:
        manager.on(event, partial(_peer, events, event))
    chain.subscribe(partial(_tip, events, chain))
    bans.on_ban(partial(_banned, events))
    bans.on_unban(partial(_unbanned, events))
    events.on_demand("log", LogTap(events).switch)
    events.on_demand("message", MessageSource(events, manager.tap, factory, chain.format).switch)


def _peer(events: EventStream, event: PeerEvent, peer: Peer) -> None:
    listeners = events.listeners("peer")
    if not listeners:
        return
    known = {"subver": peer.user_agent} if peer.version else {}
    if event is PeerEvent.DISCONNECTED:
        known["reason"] = peer.disconnect_reason or "connection ended"
    events.publish(
        "peer",
        listeners,
        event=event.value,
        id=peer.id,
        addr=peer.name,
        connection_type=peer.connection_type.value,
        network=peer.network.value,
        inbound=peer.inbound,
        **known,
    )


def _tip(events: EventStream, chain: HeaderChain, change: TipChanged) -> None:
    index = chain.index
    if change.is_reorg and (listeners := events.listeners("reorg")):
        events.publish(
            "reorg",
            listeners,
            fork_height=index.height(change.fork),
            disconnected=len(change.disconnected),
            connected=len(change.connected),
            old_tip=display_hash(index.hash(change.old_tip)),
            new_tip=display_hash(index.hash(change.new_tip)),
        )
    if listeners := events.listeners("tip"):
        tip = change.new_tip
        found = {"hash": display_hash(index.hash(tip)), "height": index.height(tip), "header_time": index.time(tip)}
        events.publish("tip", listeners, **found)


def _banned(events: EventStream, ban: Ban) -> None:
    if listeners := events.listeners("ban"):
        events.publish(
            "ban", listeners, event="banned", subnet=str(ban.subnet), until=ban.until, reason=ban.reason[:MAX_TEXT]
        )


def _unbanned(events: EventStream, bans: Sequence[Ban]) -> None:
    if listeners := events.listeners("ban"):
        for ban in bans:
            events.publish("ban", listeners, event="unbanned", subnet=str(ban.subnet), until=ban.until)


class LogTap(logging.Handler):
    """Makes events of log records. It shows what is logged, and does not change what is."""

    def __init__(self, events: EventStream) -> None:
        super().__init__()
        self._events = events
        self._get_ident = get_original("_thread", "get_ident")
        self._hub_thread = self._get_ident()
        self._loop = gevent.get_hub().loop

    def createLock(self) -> None:
        self.lock = None  # a record is only handed on

    def handle(self, record: logging.LogRecord) -> bool:
        self.emit(record)  # the standard one takes the lock, from Python 3.13 on even if there is none
        return True

    def switch(self, wanted: bool) -> None:
        (log_root.addHandler if wanted else log_root.removeHandler)(self)

    def emit(self, record: logging.LogRecord) -> None:
        if self._get_ident() == self._hub_thread:
            self._publish(record)
        else:  # queues belong to the hub
            self._loop.run_callback_threadsafe(self._publish, record)

    def _publish(self, record: logging.LogRecord) -> None:
        category = record.name.removeprefix("ccnode").removeprefix(".")
        receivers = [
            each for each in self._events.listeners("log") if each.wishes.want_record(category, record.levelno)
        ]
        if receivers:
            message = escape(record.getMessage()[:MAX_TEXT])
            level = level_name(record.levelno)
            self._events.publish("log", receivers, level=level, category=category, message=message)


class MessageSource:
    """Makes events of the messages that pass."""

    def __init__(
        self, events: EventStream, tap: MessageTap, factory: MessageFactory, header_format: HeaderFormat
    ) -> None:
        self._events = events
        self._tap = tap
        self._factory = factory
        self._format = header_format

    def switch(self, wanted: bool) -> None:
        self._tap.listener = self._passed if wanted else None

    def _passed(self, peer: int, passed: PassedMessage, payload: bytes) -> None:
        command = passed.command
        receivers = [each for each in self._events.listeners("message") if each.wishes.want_message(peer, command)]
        if not receivers:
            return
        summary = summarize(self._factory, command, payload)
        blocks = self._announced(command, payload)
        self._events.publish(
            "message",
            receivers,
            peer=peer,
            direction="out" if passed.sent else "in",
            command=command,
            bytes=passed.size,
            **({"summary": summary} if summary else {}),
            **({"blocks": blocks} if blocks else {}),
        )

    def _announced(self, command: str, payload: bytes) -> list[str]:
        """The blocks that a message announces; none if it is large, for then it is about something else."""
        if len(payload) > MAX_DECODED:
            return []
        try:
            return [display_hash(block) for block in announced_blocks(self._format, self._factory, command, payload)]
        except DecodeError:
            return []


def summarize(factory: MessageFactory, command: str, payload: bytes) -> str:
    """A few words about a message, empty if there is nothing to say. Quick whatever is in it."""
    if command not in LISTS and (command not in _SAYS or len(payload) > MAX_DECODED):
        return ""
    try:
        if command in LISTS:
            count, (one, several) = Reader(payload[:9]).compact_number(), LISTS[command]
            return f"{count} {one if count == 1 else several}"
        return escape(_SAYS[command](factory.decode(command, payload)))[:MAX_SUMMARY]
    except DecodeError as error:
        return f"malformed: {error}"[:MAX_SUMMARY]


def _version(message: Version) -> str:
    return f"{message.version}, {message.clean_user_agent or 'no user agent'}, height {message.start_height}"


def _nonce(message: Ping | Pong) -> str:
    return "without a nonce" if message.nonce is None else f"nonce {message.nonce:016x}"


def _getheaders(message: GetHeaders) -> str:
    return f"after {display_hash(message.locator[0])}" if message.locator else "without a locator"


_SAYS: Final[Mapping[str, Callable[[Any], str]]] = {
    Version.command: _version,
    Ping.command: _nonce,
    Pong.command: _nonce,
    FeeFilter.command: lambda message: f"{message.feerate} satoshi per kvB",
    SendCmpct.command: lambda message: f"version {message.version}{', unasked' if message.high_bandwidth else ''}",
    GetHeaders.command: _getheaders,
}

"""A peer with a socket: one greenlet reads, and another writes while there is more to send than the socket takes.

The reader is a plain blocking loop: take the next frame out of the transport, deliver it, and only when no whole
frame is left wait for more bytes. What is sent from elsewhere while it waits goes straight to the socket. What its own
messages give rise to is joined and sent before it waits again, but for the first of it, which goes out at once (Core's
optimistic send): the request for the next headers leaves before the handler validates those at hand. Only for what the
socket does not take a writer is started, which ends when the queue is empty: it would cost every idle peer 9 kB.

Three bounds keep memory in check:

- over ``max_send_buffer`` queued bytes nothing that comes in is handled until the writer is below it again, so a peer
  that asks without reading the answers gets no more of them (Core's ``fPauseSend``). Meanwhile up to
  ``max_receive_buffer`` bytes are still taken off the socket: two nodes that each have much to say would otherwise
  wait for each other. After that TCP carries the pressure back;
- a large message is received only with room in the budget that all peers share (``budget.py``);
- over `HARD_SEND_LIMIT` the connection is dropped: somebody else queues for a peer that takes nothing.

`Connection.disconnect` only marks, and shuts the reading side so that a waiting reader wakes; the peer's own greenlet
closes everything, and reports the end exactly once. Sockets stay without timeouts (a timeout would belong to both
directions): dead connections are the keepalive's business.
"""

import logging
import os
import socket
import time
from collections.abc import Callable

import gevent
from gevent.event import Event

from ccnode.clock import Clock
from ccnode.errors import FramingError
from ccnode.network.budget import Claim, ReceiveBudget
from ccnode.network.hub import DeadlineExceeded, breathe, deadline, spawn, turns
from ccnode.peers.messages import MessageTap, PassedMessage
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.peers.traffic import ONE_MESSAGE, Traffic
from ccnode.wire.address import NetworkAddress
from ccnode.wire.framing import Frame, Transport
from ccnode.wire.message import Message
from ccnode.wire.protocol import MAX_PROTOCOL_MESSAGE_LENGTH

log = logging.getLogger("ccnode.net")

RECEIVE_SIZE = 65_536
"""Bytes asked of the socket at once (Core reads 64 KiB)."""

WRITE_SIZE = 262_144
"""Bytes handed to the socket at once."""

DEFAULT_MAX_SEND_BUFFER = 1_000_000
"""Queued bytes above which a peer is not read (Core: ``-maxsendbuffer``)."""

DEFAULT_MAX_RECEIVE_BUFFER = 5_000_000
"""Bytes taken off the socket that may wait to be handled (Core: ``-maxreceivebuffer``)."""

AHEAD_SECONDS = 0.05
"""How often more is taken off the socket while handling waits for the writer."""

HARD_SEND_LIMIT = 16_000_000
"""Queued bytes at which a peer is dropped: four of the largest messages."""

FLUSH_SECONDS = 1.0
"""How long a closing connection may take to send what is queued."""


class Connection(Peer):
    """A `Peer` on a connected stream socket."""

    __slots__ = (
        "_ahead",
        "_ahead_bytes",
        "_budget",
        "_claim",
        "_clock",
        "_deliver",
        "_drained",
        "_joins_answers",
        "_on_closing",
        "_on_dirty",
        "_queue",
        "_queued",
        "_reader_waits",
        "_sock",
        "_tap",
        "_traffic",
        "_transport",
        "_writer",
        "max_receive_buffer",
        "max_send_buffer",
    )

    def __init__(
        self,
        peer_id: int,
        sock: socket.socket,
        address: NetworkAddress,
        connection_type: ConnectionType,
        *,
        transport: Transport,
        budget: ReceiveBudget,
        clock: Clock,
        traffic: Traffic,
        tap: MessageTap,
        deliver: Callable[["Connection", Frame], None],
        on_dirty: Callable[[Peer], None],
        on_closing: Callable[[Peer], None],
        max_send_buffer: int = DEFAULT_MAX_SEND_BUFFER,
        max_receive_buffer: int = DEFAULT_MAX_RECEIVE_BUFFER,
    ) -> None:
        super().__init__(peer_id, address, connection_type, clock.now())
        self._sock = sock
        self._transport = transport
        self._budget = budget
        self._claim: Claim | None = None
        self._clock = clock
        self._traffic = traffic
        self._tap = tap
        self._deliver = deliver
        self._on_dirty = on_dirty
        self._on_closing = on_closing
        self.max_send_buffer = max_send_buffer
        self.max_receive_buffer = max_receive_buffer
        # Lists, since hardly any of thousands of peers ever queues something: an empty deque has 760 bytes.
        self._ahead: list[bytes] = []
        self._ahead_bytes = 0
        self._queue: list[bytes] = []
        self._queued = 0
        self._reader_waits = True
        self._joins_answers = False
        self._drained: Event | None = None
        self._writer: gevent.Greenlet | None = None

    # -- what the deciding rooms use -----------------------------------------------------------------------------

    def send(self, message: Message) -> None:
        if self.closing:
            return
        command, payload = message.command, message.encode()
        data = self._transport.frame(command, payload)
        counts = self.sent_per_message
        counts[command] = counts.get(command, 0) + ONE_MESSAGE + len(data)
        self.recent_messages.append(passed := (self._clock.now(), True, command, len(data)))
        if self._tap.listener is not None:
            self._tap.listener(self.id, PassedMessage(*passed), payload)
        self._enqueue(data)

    def mark_dirty(self) -> None:
        if not self.dirty:
            self.dirty = True
            self._on_dirty(self)

    def disconnect(self, reason: str) -> None:
        if self.closing:
            return
        self.disconnect_reason = reason
        if self._drained is not None:
            self._drained.set()
        if self._claim is not None and not self._claim.complete:  # else its message is still in memory
            self._release_claim()
        self._shutdown(socket.SHUT_RD)
        self._on_closing(self)

    def accept_large_messages(self) -> None:
        """From the next message on, any size that the protocol allows."""
        self._transport.limit = MAX_PROTOCOL_MESSAGE_LENGTH

    # -- life ----------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Read until the connection ends, then close it. Runs as the peer's own greenlet.

        Errors of the socket and of the framing end the connection with a reason; all others are the caller's.
        """
        try:
            self._enqueue(self._transport.data_to_send())
            self._read_loop()
        except FramingError as error:
            self.disconnect(str(error))
        except OSError as error:
            self.disconnect(f"socket error: {error.strerror or error}")
        finally:
            self._close()

    @property
    def send_queue_bytes(self) -> int:
        """Bytes waiting to be sent."""
        return self._queued

    def _read_loop(self) -> None:
        next_frame, deliver, turn, now = self._transport.next_frame, self._deliver, turns(), time.monotonic
        while self.disconnect_reason is None:
            frame = next_frame()
            if frame is None:
                self._fill()
            else:
                if self._claim is not None:
                    self._claim.complete = True
                deliver(self, frame)
                if self._claim is not None:
                    self._release_claim()
                if self._queued > self.max_send_buffer:
                    self.wait_drained()
            if now() > turn.ends:
                self._before_waiting()
                breathe()
                self._reader_waits = False

    def _before_waiting(self) -> None:
        """The reader may wait now: what its messages gave rise to must not."""
        self._reader_waits = True
        if self._queue and self._writer is None:
            self._send_queued()

    def _fill(self) -> None:
        """Wait for bytes and give them to the transport; a large payload is received in place."""
        if self._ahead:
            data = self._ahead.pop(0)
            self._ahead_bytes -= len(data)
            self._budget.give(len(data))
            self._transport.receive_data(data)
            return
        self._before_waiting()
        size = self._transport.payload_size
        if size and self._claim is None and not self._wait_for_room(size):
            return
        buffer = self._transport.payload_buffer()
        if buffer is None:
            data = self._sock.recv(RECEIVE_SIZE)
            count = len(data)
            self._transport.receive_data(data)
        else:
            count = self._sock.recv_into(buffer)
            buffer.release()
            self._transport.payload_filled(count)
        if count == 0:
            self.disconnect("the peer closed the connection")
            return
        self._note_received(count)
        self._reader_waits = self._joins_answers = False

    def _wait_for_room(self, size: int) -> bool:
        """Claim ``size`` bytes of the budget; False if the connection is closing meanwhile."""
        self._claim = Claim(size, self.disconnect)
        self._budget.wait_granted(self._claim)
        return not self.closing

    def _release_claim(self) -> None:
        if self._claim is not None:
            self._budget.release(self._claim)
            self._claim = None

    def _note_received(self, count: int) -> None:
        self.bytes_received += count
        self.last_recv = self._clock.now()
        self._traffic.received.add(count)

    def wait_drained(self) -> None:
        """Wait until the queue is below ``max_send_buffer`` again, or the connection is closing.

        Others get their turn in any case, if this one has lasted.
        """
        self._release_claim()  # the message is taken apart; its room is not kept for as long as the answers take
        self._before_waiting()
        self._drained = Event()
        while self._queued > self.max_send_buffer and not self.closing:
            if not self._receive_ahead():
                self._drained.clear()
                self._drained.wait(AHEAD_SECONDS)
            breathe()
        self._drained = None
        breathe()
        self._reader_waits = False

    def _receive_ahead(self) -> bool:
        """Take what has come in off the socket, if there is room; False if nothing was taken. Never waits."""
        if self._ahead_bytes >= self.max_receive_buffer or not self._budget.take_spare(RECEIVE_SIZE):
            return False
        data = b""
        try:
            data = os.read(self._sock.fileno(), RECEIVE_SIZE)  # gevent's sockets are non-blocking underneath
        except BlockingIOError:
            return False
        finally:
            self._budget.give(RECEIVE_SIZE - len(data))
        if not data:
            return False  # the end; the reader meets it when it gets there
        self._ahead.append(data)
        self._ahead_bytes += len(data)
        self._note_received(len(data))
        return True

    def _enqueue(self, data: bytes) -> None:
        if data and not self._queued and (self._reader_waits or not self._joins_answers):
            self._joins_answers = True
            data = self._send_at_once(data)
        if not data:
            return
        self._queue.append(data)
        self._queued += len(data)
        if self._reader_waits and self._writer is None:
            self._start_writer()
        if self._queued > HARD_SEND_LIMIT:
            self._clear_queue()
            self.disconnect("does not take what is sent to it")

    def _send_at_once(self, data: bytes) -> bytes:
        """Give the socket what it takes without waiting; returns the rest. Errors are left for the writer to meet."""
        try:
            count = self._sock.sendmsg([data], (), socket.MSG_DONTWAIT)
        except OSError:
            return data
        self._note_sent(count)
        return data[count:]

    def _send_queued(self) -> None:
        """Give the socket what is queued; what it does not take is for the writer."""
        chunk = self._next_chunk()
        rest = self._send_at_once(chunk)
        self._queued -= len(chunk) - len(rest)
        if rest:
            self._queue.insert(0, rest)
        if self._queue:
            self._start_writer()

    def _note_sent(self, count: int) -> None:
        self.bytes_sent += count
        self.last_send = self._clock.now()
        self._traffic.note_sent(count)

    def _start_writer(self) -> None:
        self._writer = spawn(f"peer-{self.id}-writer", self._write_queue)

    def _write_queue(self) -> None:
        try:
            while self._queue:
                self._write(self._next_chunk())
        except OSError as error:
            self._clear_queue()
            self.disconnect(f"socket error: {error.strerror or error}")
        finally:
            self._writer = None

    def _next_chunk(self) -> bytes:
        """Take as much off the queue as makes a decent call: at least one message."""
        queue = self._queue
        count, size = 1, len(queue[0])
        while count < len(queue) and size + len(queue[count]) <= WRITE_SIZE:
            size += len(queue[count])
            count += 1
        chunk = queue[0] if count == 1 else b"".join(queue[:count])
        del queue[:count]
        return chunk

    def _clear_queue(self) -> None:
        self._queue.clear()
        self._queued = 0

    def _write(self, chunk: bytes) -> None:
        view = memoryview(chunk)
        while view:
            count = self._sock.send(view)
            view = view[count:]
            self._queued -= count
            self._note_sent(count)
            if self._drained is not None and self._queued <= self.max_send_buffer:
                self._drained.set()
            breathe()

    def _close(self) -> None:
        self._before_waiting()
        if self._writer is not None:
            try:
                with deadline(FLUSH_SECONDS):
                    self._writer.join()
            except DeadlineExceeded:
                self._writer.kill(timeout=FLUSH_SECONDS)
        self._budget.give(self._ahead_bytes)
        self._release_claim()
        self._shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _shutdown(self, how: int) -> None:
        try:
            self._sock.shutdown(how)
        except OSError as error:  # the other side was quicker
            log.debug("peer=%d shutdown: %s", self.id, error.strerror or error)

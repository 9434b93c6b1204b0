"""Every message to and from every peer, in files (Core: ``-capturemessages``, ``CaptureMessageToFile``).

For each address there is a directory ``message_capture/ADDRESS_PORT`` (colons written as ``_``) with ``msgs_recv.dat``
and ``msgs_sent.dat``. A record is a time in microseconds (64 bits, the mockable clock), the message type in 12 bytes,
the payload's length (32 bits) and the payload; numbers are little-endian. So Core's ``message-capture-parser.py`` reads
them. Messages with a wrong checksum or name are none and do not appear.

It is a tool for looking at a conversation, not for a node with work to do: nothing is ever deleted. The hub only
collects; one thread writes, all that has come together since it began the last time. If the disk does not keep up, or
is full, messages are missing, and the log says so.
"""

import logging
from collections import defaultdict
from pathlib import Path
from struct import Struct
from typing import Final

from gevent.event import Event
from gevent.threadpool import ThreadPool

from ccnode.clock import Clock
from ccnode.network.hub import spawn
from ccnode.wire.address import NetworkAddress
from ccnode.wire.framing import Frame, Transport, padded_command

log = logging.getLogger("ccnode.net")

FOLDER: Final = "message_capture"

RECORD: Final = Struct("<Q12sI")
"""What stands before a payload: microseconds, type, length."""

MAX_WAITING = 64_000_000
"""Bytes that may wait for the disk; what comes on top is not captured."""


class MessageCapture:
    """Writes what `CapturedTransport` sees. Call `close` when done."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """:param folder: where `FOLDER` goes; made with the first message."""
        self._folder = folder / FOLDER
        self._clock = clock
        self._waiting: defaultdict[Path, list[bytes]] = defaultdict(list)
        self._waiting_bytes = 0
        self._noted = self._written = 0
        self._progress = Event()
        self._complained = False
        self._wake = Event()
        self._closing = False
        self._worker = ThreadPool(1)
        self._task = spawn("message capture", self._run)

    def transport(self, transport: Transport, address: NetworkAddress) -> Transport:
        """``transport`` with everything that it carries written down."""
        return CapturedTransport(transport, self, self._folder / str(address).replace(":", "_"))

    def note(self, path: Path, command: str, payload: bytes) -> None:
        """Put one message into the file ``path``, soon. Never waits."""
        size = RECORD.size + len(payload)
        if self._waiting_bytes + size > MAX_WAITING:
            self._complain("the disk does not keep up")
            return
        head = RECORD.pack(int(self._clock.now() * 1e6), padded_command(command), len(payload))
        self._waiting[path] += (head, payload)
        self._waiting_bytes += size
        self._noted += 1
        self._wake.set()

    def flush(self) -> None:
        """Return when everything noted so far is in its file: who sees that a peer has gone can read it all."""
        noted = self._noted
        while self._written < noted:
            self._progress.wait()

    def close(self) -> None:
        """Write what is left."""
        self._closing = True
        self._wake.set()
        self._task.join()
        self._worker.kill()

    def _run(self) -> None:
        while self._waiting or not self._closing:
            self._wake.wait()
            self._wake.clear()
            batch, self._waiting = self._waiting, defaultdict(list)
            size, noted = self._waiting_bytes, self._noted
            problem = self._worker.apply(_write, (batch,))
            self._waiting_bytes -= size
            self._written = noted
            self._progress.set()
            self._progress = Event()
            if problem is not None:
                self._complain(f"{problem.filename}: {problem.strerror}")

    def _complain(self, why: str) -> None:
        if not self._complained:
            self._complained = True
            log.warning("messages are missing from the capture: %s", why)


def _write(batch: dict[Path, list[bytes]]) -> OSError | None:
    """On the worker: append to every file. An error is returned, so that it is no traceback of the thread's."""
    problem = None
    for path, pieces in batch.items():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.writelines(pieces)
        except OSError as error:
            problem = error
    return problem


class CapturedTransport:
    """A transport whose messages are written down as they pass. Everything else is the transport's own."""

    def __init__(self, transport: Transport, capture: MessageCapture, directory: Path) -> None:
        self._transport = transport
        self._capture = capture
        self._received = directory / "msgs_recv.dat"
        self._sent = directory / "msgs_sent.dat"
        self.receive_data = transport.receive_data
        self.data_to_send = transport.data_to_send
        self.payload_buffer = transport.payload_buffer
        self.payload_filled = transport.payload_filled

    def next_frame(self) -> Frame | None:
        frame = self._transport.next_frame()
        if frame is not None and frame.fault is None:
            self._capture.note(self._received, frame.command, frame.payload)
        return frame

    def frame(self, command: str, payload: bytes) -> bytes:
        self._capture.note(self._sent, command, payload)
        return self._transport.frame(command, payload)

    @property
    def limit(self) -> int:
        return self._transport.limit

    @limit.setter
    def limit(self, limit: int) -> None:
        self._transport.limit = limit

    @property
    def name(self) -> str:
        return self._transport.name

    @property
    def session_id(self) -> bytes | None:
        return self._transport.session_id

    @property
    def can_send(self) -> bool:
        return self._transport.can_send

    @property
    def payload_size(self) -> int:
        return self._transport.payload_size

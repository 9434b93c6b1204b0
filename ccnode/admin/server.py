"""The admin socket: JSON-RPC, one request or answer per line, on a unix socket in the data directory.

Who may connect: the file is 0600 from before the socket listens, and on Linux each connection's credentials
(SO_PEERCRED) must be those of our own user or of root. That is all the protection there is: whoever may connect may
stop the node.

Several clients at once, each with its greenlet; one client's requests are answered in their order. A client costs the
node little whatever it does: its lines are bounded, an unread answer closes the connection, an idle one is closed too.
One that has subscribed only listens from then on, and may be slow at it (`ccnode.admin.events`); whatever else it sends
is thrown away, and the end of its input ends the connection.

A node that was killed leaves its socket file behind. Nobody listens there, so connecting is refused: then the file is
replaced. If somebody answers, another node runs, and starting fails.
"""

import errno
import json
import logging
import os
import select
import stat
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import gevent
from gevent import socket
from gevent.monkey import get_original

from ccnode.admin import rpc_errors
from ccnode.admin.events import Subscription
from ccnode.errors import ExitStatus, StartupError
from ccnode.network.hub import DeadlineExceeded, Supervisor, breathe, breathing, deadline, spawn

log = logging.getLogger("ccnode.rpc")

Answer = Callable[[bytes], Iterator[str | Subscription]]
"""From a request line to the pieces of its answer, and the subscription if it was a request for one."""

MAX_LINE: Final = 0x02000000
"""Bytes of a request line, as much as over HTTP: the largest block takes 8 MB in hex."""
MAX_CLIENTS: Final = 64
IDLE_SECONDS: Final = 3600.0
"""A client that sends nothing for so long is disconnected."""
SEND_SECONDS: Final = 10.0
"""How long a client may leave an answer unread."""
CLOSE_SECONDS: Final = 2.0
"""How long closing waits for answers under way (``stop`` is answered while the node already stops)."""

_BACKLOG: Final = 128
_EVENTS_AT_ONCE: Final = 64
_CHUNK: Final = 1 << 16
_ACCEPT_PAUSE_SECONDS: Final = 1.0


class AdminServer:
    """Listens on ``path`` and answers each line with ``answer(line)``."""

    def __init__(
        self,
        path: Path,
        answer: Answer,
        *,
        max_line: int = MAX_LINE,
        max_clients: int = MAX_CLIENTS,
        idle_seconds: float = IDLE_SECONDS,
        send_seconds: float = SEND_SECONDS,
    ) -> None:
        self.path = path
        self._answer = answer
        self._max_line = max_line
        self._max_clients = max_clients
        self._idle_seconds = idle_seconds
        self._send_seconds = send_seconds
        self._listener: socket.socket | None = None
        self._acceptor: Supervisor | None = None
        self._clients: dict[gevent.Greenlet, socket.socket] = {}
        self._inode: int | None = None

    def start(self) -> None:
        """Bind and serve. Raises `StartupError` if another node answers there or the path cannot be used."""
        _clear_stale(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self.path))
            # Connecting is refused until listen(), so nobody slips in before the mode is right.
            self.path.chmod(0o600)
            self._inode = self.path.stat().st_ino
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise StartupError(
                f"cannot open the admin socket {self.path}: {error.strerror}", ExitStatus.DATADIR
            ) from error
        self._listener = listener
        self._acceptor = Supervisor("admin-accept", lambda: self._accept_loop(listener))

    def close(self) -> None:
        """Stop listening, let answers under way finish for a moment, end every client, remove the file."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.close()
        if self._acceptor is not None:
            self._acceptor.stop()
        self._remove_file()
        tasks = [task for task in self._clients if task is not gevent.getcurrent()]
        for task in tasks:
            _shutdown(self._clients[task])
        gevent.joinall(tasks, timeout=CLOSE_SECONDS)  # how each of them ends is its own affair
        gevent.killall(tasks, timeout=CLOSE_SECONDS)

    def _remove_file(self) -> None:
        """Unlink the socket file unless somebody has put another in its place."""
        try:
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()
        except FileNotFoundError:
            pass

    def _accept_loop(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if self._listener is not listener:
                    return
                # Out of descriptors or memory, or the client has gone: none of it ends the listening.
                log.warning("admin socket: accept: %s", error.strerror)
                gevent.sleep(_ACCEPT_PAUSE_SECONDS)
                continue
            task = spawn("admin-client", self._serve, connection, self._has_room())
            self._clients[task] = connection
            task.link(self._client_ended)

    def _has_room(self) -> bool:
        """Whether one more client is served. Nobody reads from one whose command waits for something to happen, so
        that those who left meanwhile are noticed here."""
        if len(self._clients) >= self._max_clients:
            gevent.killall([task for task, connection in self._clients.items() if _is_gone(connection)])
        return sum(not task.dead for task in self._clients) < self._max_clients

    def _client_ended(self, task: gevent.Greenlet) -> None:
        # A link, not a `finally` in the task: a task killed before it ran would not get there.
        self._clients.pop(task).close()

    def _serve(self, connection: socket.socket, has_room: bool) -> None:
        """One client, from its first line to its end."""
        try:
            refusal = _refusal(connection) if has_room else f"too many admin clients ({self._max_clients})"
            if refusal:
                self._send_all(connection, _refusal_line(refusal))
                return
            for line in self._lines(connection):
                if not self._send(connection, line):
                    return
        except DeadlineExceeded:
            log.debug("admin client: idle or not reading, closed")
        except OSError as error:
            log.debug("admin client: %s", error.strerror)

    def _lines(self, connection: socket.socket) -> Iterator[bytes]:
        """Lines as they come, without the newline. Ends with the client, or at a line over the limit."""
        buffer = bytearray()
        searched = 0
        while True:
            breathe()
            end = buffer.find(b"\n", searched, self._max_line + 1)
            if end >= 0:
                line = bytes(buffer[:end])
                del buffer[: end + 1]
                searched = 0
                if line.strip():
                    yield line
                continue
            if len(buffer) > self._max_line:
                self._send_all(connection, _refusal_line(f"a request line is over {self._max_line} bytes"))
                return
            searched = len(buffer)
            with deadline(self._idle_seconds):
                data = connection.recv(_CHUNK)
            if not data:
                return  # an unfinished line is not a request
            buffer += data if buffer else data.lstrip()  # nobody gets busy by newlines alone

    def _send(self, connection: socket.socket, line: bytes) -> bool:
        """Answer one line; whether more are taken. Pieces are gathered to a decent size; others run in between."""
        gathered: list[str] = []
        size = total = 0
        for piece in breathing(self._answer(line)):
            if isinstance(piece, Subscription):
                self._stream(connection, piece, "".join([*gathered, "\n"]).encode())
                return False
            gathered.append(piece)
            size += len(piece)
            total += len(piece)
            if size >= _CHUNK:
                self._send_all(connection, "".join(gathered).encode())
                gathered, size = [], 0
        if total:
            self._send_all(connection, "".join([*gathered, "\n"]).encode())
        return True

    def _stream(self, connection: socket.socket, subscription: Subscription, opening: bytes) -> None:
        """Send the ``opening``, and then events until the client or the server ends it."""
        watcher = spawn("admin-subscriber", _wait_end, connection, subscription)
        try:
            self._send_all(connection, opening)
            while (event := subscription.take()) is not None:
                lines = [_event_line(event)]
                while len(lines) < _EVENTS_AT_ONCE and not subscription.idle and (event := subscription.take()):
                    lines.append(_event_line(event))
                connection.sendall(b"".join(lines))  # without a deadline: who is slow loses events, no more
                breathe()
        finally:
            subscription.close()
            watcher.kill(block=False)

    def _send_all(self, connection: socket.socket, data: bytes) -> None:
        # After a deadline an unknown part was sent: the connection is of no more use and `_serve` ends it.
        with deadline(self._send_seconds):
            connection.sendall(data)


def peer_uid(connection: socket.socket) -> int | None:
    """The user at the other end; None where the system cannot tell (then the file's mode is the protection)."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return None
    layout = struct.Struct("3i")  # pid, uid, gid
    uid: int = layout.unpack(connection.getsockopt(socket.SOL_SOCKET, option, layout.size))[1]
    return uid


def _refusal(connection: socket.socket) -> str:
    """Why this client is not served; empty if it is."""
    uid = peer_uid(connection)
    if uid is None or uid in (0, os.geteuid()):
        return ""
    log.warning("admin socket: user %d was refused", uid)
    return "not your node"


def _clear_stale(path: Path) -> None:
    """Remove a socket file that nobody listens on any more."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise StartupError(f"{path} is in the way of the admin socket and is not a socket", ExitStatus.DATADIR)
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        probe.connect(str(path))
    except OSError as error:
        if error.errno not in (errno.ECONNREFUSED, errno.ENOENT):
            raise StartupError(f"cannot use the admin socket {path}: {error.strerror}", ExitStatus.DATADIR) from error
    else:
        raise StartupError(f"another node answers on {path}", ExitStatus.LOCKED)
    finally:
        probe.close()
    path.unlink(missing_ok=True)


def _wait_end(connection: socket.socket, subscription: Subscription) -> None:
    """Close the subscription when its client is gone, also while it is not reading."""
    try:
        while connection.recv(_CHUNK):
            pass
        connection.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        log.debug("admin client: %s", error.strerror)
    finally:
        subscription.close()


def _event_line(event: Mapping[str, object]) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "method": "event", "params": event}).encode() + b"\n"


def _refusal_line(reason: str) -> bytes:
    reply = {"jsonrpc": "2.0", "error": {"code": rpc_errors.INVALID_REQUEST, "message": reason}, "id": None}
    return json.dumps(reply).encode() + b"\n"


def _is_gone(connection: socket.socket) -> bool:
    """Whether the client has closed its side for good; one that only sends no more still waits for its answer."""
    poll = get_original("select", "poll")()  # gevent's would switch, and tells reading and writing only
    poll.register(connection.fileno(), 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _shutdown(connection: socket.socket) -> None:
    """Make the client's reader see the end; what it is answering can still be sent."""
    try:
        connection.shutdown(socket.SHUT_RD)
    except OSError as error:
        log.debug("admin client: %s", error.strerror)

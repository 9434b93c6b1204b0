"""The caller's side of the admin socket, and ``ccnode rpc``.

A process of its own that must start quickly: it imports neither gevent nor anything of the node. The socket is
``admin.sock`` in the network's data directory. Where that path is too long for a unix socket, the file
``admin.sock.path`` beside it holds the path of the real one.

``ccnode rpc`` prints as ``bitcoin-cli`` does: a string bare, ``null`` as nothing, all else as indented JSON; errors go
to stderr with their number. Its words are sent as they are, marked as words, and the node reads each by the declared
type of the argument. So nothing here has to know the commands.
"""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ccnode.errors import CcnodeError, RpcError

SOCKET_NAME: Final = "admin.sock"
POINTER_NAME: Final = "admin.sock.path"

CONNECT_SECONDS: Final = 5.0
DEFAULT_TIMEOUT: Final = 900.0
"""Seconds that ``ccnode rpc`` waits for an answer (Core: ``-rpcclienttimeout``)."""
_CHUNK: Final = 1 << 16


class NotRunning(CcnodeError):
    """No node answers on the admin socket."""


@dataclass(frozen=True, slots=True)
class CommandLine:
    """``ccnode rpc``'s arguments taken apart. ``config_args`` select the network and its data directory."""

    socket: Path | None
    named: bool
    timeout: float | None
    config_args: tuple[str, ...]
    method: str
    words: tuple[str, ...]


def find_socket(chain_datadir: Path) -> Path:
    """The socket of the node whose network's data directory this is."""
    try:
        return Path((chain_datadir / POINTER_NAME).read_text(encoding="utf-8").strip())
    except FileNotFoundError:
        return chain_datadir / SOCKET_NAME


def call(
    path: Path,
    method: str,
    params: Sequence[object] | Mapping[str, object] = (),
    *,
    timeout: float | None = None,
    words: bool = False,
    read_only: bool = False,
) -> object:
    """Run one command on the node that listens on ``path`` and return its result.

    ``timeout``: seconds to wait for each piece of the answer; None waits for ever. ``words``: the parameters are
    words of a command line. ``read_only``: refuse the command if it changes anything. Raises `RpcError` for a command
    refused, `NotRunning` if nobody answers.
    """
    request: dict[str, object] = {"jsonrpc": "2.0", "id": 1, "method": method}
    request["params"] = dict(params) if isinstance(params, Mapping) else list(params)
    request |= {name: True for name, wanted in (("words", words), ("read_only", read_only)) if wanted}
    return _result(_exchange(path, request, timeout))


def call_batch(
    path: Path, methods: Sequence[str], *, timeout: float | None = None, read_only: bool = False
) -> list[object]:
    """The results of several commands without arguments, which the node runs in one go. As `call` otherwise."""
    requests = [
        {"jsonrpc": "2.0", "id": number, "method": method, "read_only": read_only}
        for number, method in enumerate(methods)
    ]
    replies = _exchange(path, requests, timeout)
    return [_result(reply) for reply in replies] if isinstance(replies, list) else [_result(replies)]


def _result(reply: Any) -> object:
    """What a reply says, or `RpcError`."""
    if reply.get("error") is not None:
        raise RpcError(reply["error"]["code"], reply["error"]["message"])
    return reply["result"]


def _exchange(path: Path, request: object, timeout: float | None) -> Any:
    """Send one request or batch, and wait for the answer. NotRunning."""
    with _connect(path) as connection:
        connection.settimeout(timeout)
        try:
            connection.sendall(json.dumps(request).encode() + b"\n")
            line = _read_line(connection)
        except TimeoutError:
            raise NotRunning(f"the node did not answer within {timeout:g} s") from None
        except OSError as error:
            raise NotRunning(f"the node on {path} went away: {error.strerror}") from error
    if not line:
        raise NotRunning(f"the node on {path} closed the connection without an answer")
    return json.loads(line)


class Events:
    """What happens in a node, as it comes: an iterator that ends with the node, or when it is closed.

    Made by `subscribe`. Whoever has it closes it when done; another thread than the one that waits may do that too.
    """

    def __init__(self, path: Path, topics: Sequence[str], options: Mapping[str, object]) -> None:
        self._path = path
        self._connection = _connect(path)
        self._lines = self._connection.makefile("rb")
        try:
            self._begin(topics, options)
        except BaseException:
            self.close()
            raise

    def _begin(self, topics: Sequence[str], options: Mapping[str, object]) -> None:
        request = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": [list(topics), dict(options)]}
        try:
            self._connection.sendall(json.dumps(request).encode() + b"\n")
            line = self._lines.readline()
        except OSError as error:
            raise NotRunning(f"the node on {self._path} went away: {error.strerror or error}") from error
        if not line:
            raise NotRunning(f"the node on {self._path} closed the connection without an answer")
        _result(json.loads(line))
        self._connection.settimeout(None)

    def __iter__(self) -> "Events":
        return self

    def __next__(self) -> dict[str, Any]:
        """Wait for the next event. NotRunning if the connection broke."""
        try:
            line = self._lines.readline()
        except ValueError:  # closed before this call
            raise StopIteration from None
        except OSError as error:
            raise NotRunning(f"the node on {self._path} went away: {error.strerror or error}") from error
        if not line.endswith(b"\n"):
            raise StopIteration
        event: dict[str, Any] = json.loads(line)["params"]
        return event

    def close(self) -> None:
        """End the stream. Whoever waits for an event goes on."""
        with suppress(OSError):  # the node has closed it already
            self._connection.shutdown(socket.SHUT_RDWR)
        self._lines.close()
        self._connection.close()


def subscribe(path: Path, topics: Sequence[str], options: Mapping[str, object] | None = None) -> Events:
    """Events of the node that listens on ``path``, as they come; close them when done.

    They end when the node does. Raises `RpcError` for a topic or an option that does not exist, `NotRunning` if nobody
    answers. Topics, options and what events hold: ``ccnode rpc help subscribe``.
    """
    return Events(path, topics, options or {})


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(CONNECT_SECONDS)
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        if isinstance(error, FileNotFoundError | ConnectionRefusedError):
            text = f"no node is running on {path.parent}: start it with  ccnode -c FILE  (or --chain=NAME)"
        else:
            text = f"cannot reach the node on {path}: {error.strerror or error}"
        raise NotRunning(text) from error
    return connection


def _read_line(connection: socket.socket) -> bytes:
    """One answer without its newline; empty if the node hung up before its end."""
    parts = []
    while True:
        data = connection.recv(_CHUNK)
        parts.append(data)
        if data.endswith(b"\n"):
            return b"".join(parts)
        if not data:
            return b""


def parse_command_line(argv: Sequence[str]) -> CommandLine:
    """Take apart what follows ``ccnode rpc``. Raises `CcnodeError` for a missing command.

    Options end at the command's name: ``--socket=PATH``, ``--named``, ``--rpcclienttimeout=SECONDS`` (0: none), and
    any option of the node's own, of which those that select the network matter (``-c FILE``, ``--chain=NAME``,
    ``--datadir=DIR``).
    """
    path: Path | None = None
    named = False
    timeout: float | None = DEFAULT_TIMEOUT
    config_args: list[str] = []
    words = list(argv)
    while words and words[0].startswith("-"):
        word = words.pop(0)
        key, _, value = word.lstrip("-").partition("=")
        if key == "socket":
            path = Path(value).expanduser()
        elif key == "named":
            named = True
        elif key == "rpcclienttimeout":
            timeout = _seconds(value)
        elif word == "-c" and words:
            config_args += [word, words.pop(0)]
        else:
            config_args.append(word)
    if not words:
        raise CcnodeError("which command? Try:  ccnode rpc help")
    return CommandLine(path, named, timeout, tuple(config_args), words[0], tuple(words[1:]))


def _seconds(text: str) -> float | None:
    try:
        return float(text) or None
    except ValueError:
        raise CcnodeError(f"--rpcclienttimeout wants a number of seconds, not '{text}'") from None


def parse_params(words: Sequence[str], *, named: bool) -> list[str] | dict[str, object]:
    """The parameters of a request. ``named``: ``key=value`` words name theirs, the others are positional."""
    if not named:
        return list(words)
    params: dict[str, object] = {}
    positional = []
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            positional.append(word)
        elif key in params:
            raise CcnodeError(f"the parameter {key} is given twice")
        else:
            params[key] = value
    return {**params, "args": positional} if positional else params


def format_result(result: object) -> str:
    """A result as ``bitcoin-cli`` prints it; empty for null."""
    if result is None:
        return ""
    if isinstance(result, str):
        return result
    return json.dumps(result, indent=2, ensure_ascii=False)


def run_rpc(argv: Sequence[str]) -> int:
    """``ccnode rpc ARGV``: one command, its result on stdout. Returns the exit status, 0 or 1."""
    try:
        line = parse_command_line(argv)
        path = line.socket or find_socket(chain_datadir(line.config_args))
        params = parse_params(line.words, named=line.named)
        shown = format_result(call(path, line.method, params, timeout=line.timeout, words=True))
    except RpcError as error:
        print(f"error code: {error.code}\nerror message:\n{error}", file=sys.stderr)
        return 1
    except CcnodeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 1
    return print_result(shown)


def chain_datadir(config_args: Sequence[str]) -> Path:
    """The data directory of the network that the node's options select. Raises `ConfigError`."""
    from ccnode.config import load_config  # brings YAML: not for those who give the socket

    return load_config(config_args).folder


def print_result(text: str) -> int:
    """Print a result, nothing if it is empty; 0, or 1 when nobody reads it."""
    try:
        if text:
            print(text)
        sys.stdout.flush()
    except BrokenPipeError:  # ``ccnode rpc ... | head``: nobody wants the rest, nor an error about it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0

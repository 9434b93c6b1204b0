"""JSON-RPC: from a line of text to the text of its answer. No sockets here.

Version 2.0 of the protocol, and Core's older form for requests without ``"jsonrpc": "2.0"`` (the answer then carries
both ``result`` and ``error``). A list is a batch, answered in order. A 2.0 request without ``id`` is a notification:
run, not answered. An empty batch gives ``[]``, as Core has it.

Two members are ours. ``"words": true`` says that the parameters are words of a command line, all strings, and that the
node is to read each by its declared type (`ccnode.admin.arguments`). ``"read_only": true`` has a command refused that
would change anything: a belt for the hands of those who only look, not a protection against them.

The result of ``subscribe`` goes on: what follows its answer are notifications (`ccnode.admin.events`). So it needs a
connection of its own, and is refused in a batch, in a notification and over HTTP.

An answer can be megabytes, and ``json.dumps`` holds the hub while it runs. So an answer is produced in pieces, and
whoever sends them lets others run in between. A result may have `Rows` in it, which are made on the way.
"""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import isinf
from typing import Any, Final, NoReturn, Protocol, overload

from ccnode.admin import rpc_errors
from ccnode.admin.arguments import read_object
from ccnode.admin.events import Subscription
from ccnode.admin.registry import Registry
from ccnode.clock import Clock
from ccnode.errors import CcnodeError, RpcError, StorageError

log = logging.getLogger("ccnode.rpc")

Reply = dict[str, object]

_PIECE_DEPTH: Final = 3
"""Containers nested deeper than this are encoded in one go, and so is an object that holds no containers: an address, a
peer, a header is small."""

_LONG: Final = 500
"""Members of a list that is taken apart however deep it is: a transaction may have thirty thousand outputs."""

_in_one_go: Final = json.JSONEncoder(allow_nan=False, separators=(",", ":")).encode
"""Compact, as Core's answers are. ``json.dumps`` with arguments would make an encoder each time."""


class Rows(Sequence[object]):
    """A long list in a result, whose members are made as they are sent, and forgotten.

    All transactions of a large block, as objects, take a hundred megabytes, and to free them at once a tenth of a
    second.
    """

    def __init__(self, count: int, row: Callable[[int], object]) -> None:
        """``row``: from a position to the member there; it does not raise."""
        self._positions = range(count)
        self._row = row

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, at: int) -> object: ...
    @overload
    def __getitem__(self, at: slice) -> list[object]: ...
    def __getitem__(self, at: int | slice) -> object:
        if isinstance(at, slice):
            return [self._row(each) for each in self._positions[at]]
        return self._row(self._positions[at])


@dataclass(slots=True)
class ActiveCommand:
    """A command that is running, for getrpcinfo. ``started``: steady seconds."""

    method: str
    started: float


class Context(Protocol):
    """The part of the commands' context that the dispatcher itself uses."""

    @property
    def clock(self) -> Clock: ...

    @property
    def active_commands(self) -> list[ActiveCommand]: ...


class Dispatcher:
    """Answers requests with one registry's commands run on one context.

    ``on_storage_fault`` is told when a command ran into a store that cannot be used; its caller is answered as well.
    """

    def __init__(
        self,
        registry: Registry,
        context: Context,
        on_storage_fault: Callable[[StorageError], object] = lambda _error: None,
    ) -> None:
        self._registry = registry
        self._context = context
        self._on_storage_fault = on_storage_fault

    def answer(self, line: bytes) -> Iterator[str | Subscription]:
        """The pieces of the answer to one line, without its newline; nothing at all for notifications.

        A subscription as the last one is the caller's to serve, and to close.
        """
        try:
            request = parse(line)
        except RpcError as error:
            yield from encode(error_reply(error))
            return
        if isinstance(request, list):
            yield from self._answer_batch(request)
            return
        reply = self.reply(request, may_subscribe=True)
        if reply is not None:
            result = reply.get("result")
            if isinstance(result, Subscription):
                yield from encode({**reply, "result": {"topics": list(result.wishes.topics)}})
                yield result
            else:
                yield from encode(reply)

    def _answer_batch(self, requests: list[object]) -> Iterator[str]:
        opening = "["
        for request in requests:
            reply = self.reply(request)
            if reply is None:
                yield ""  # a notification: nothing to send, but a chance to let others run
            else:
                yield opening
                yield from encode(reply)
                opening = ","
        if opening == ",":
            yield "]"
        elif not requests:
            yield "[]"

    def reply(self, request: object, *, may_subscribe: bool = False) -> Reply | None:
        """Run one request: its reply, or None for a notification."""
        return reply_to(request, lambda fields: self._run(fields, may_subscribe and "id" in fields))

    def _run(self, request: dict[str, Any], may_subscribe: bool) -> object:
        """The result of a well-formed request. Raises `RpcError`, also for a defect in a command (logged)."""
        if "method" not in request:
            raise RpcError(rpc_errors.INVALID_REQUEST, "Missing method")
        method = request["method"]
        if not isinstance(method, str):
            raise RpcError(rpc_errors.INVALID_REQUEST, "Method must be a string")
        running = ActiveCommand(method, self._context.clock.steady())
        self._context.active_commands.append(running)
        try:
            words, read_only = (request.get(member) is True for member in ("words", "read_only"))
            params = request.get("params")
            result = self._registry.call(self._context, method, params, words=words, read_only=read_only)
            if isinstance(result, Subscription) and not may_subscribe:
                result.close()
                raise RpcError(
                    rpc_errors.INVALID_REQUEST, f"{method} needs a connection of its own on the admin socket"
                )
            return result
        except RpcError:
            raise
        except StorageError as error:
            self._on_storage_fault(error)
            raise RpcError(rpc_errors.DATABASE_ERROR, str(error)) from error
        except CcnodeError as error:
            raise RpcError(rpc_errors.MISC_ERROR, str(error)) from error
        except Exception as error:  # the supervisor of commands: a defect in one answers its caller, no more
            log.exception("%s failed", method)
            raise RpcError(rpc_errors.INTERNAL_ERROR, f"Internal error: {type(error).__name__}: {error}") from error
        finally:
            self._context.active_commands.remove(running)


def parse(data: bytes) -> object:
    """The JSON of a request or a batch. Raises `RpcError` -32700."""
    try:
        found = json.loads(
            data.decode("utf-8"),
            parse_constant=_refuse_constant,
            parse_float=_finite,
            object_pairs_hook=read_object,
        )
        if b"\\u" in data:  # half of a surrogate pair is no character: no file and no database takes it
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):
        raise RpcError(rpc_errors.PARSE_ERROR, "Parse error") from None
    return found


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _head(request: dict[str, Any]) -> Reply:
    """What a reply begins with: in version 2.0 its number, otherwise nothing. Raises `RpcError` -32600."""
    version = request.get("jsonrpc")
    if version is not None and not isinstance(version, str):
        raise RpcError(rpc_errors.INVALID_REQUEST, "jsonrpc field must be a string")
    if version not in (None, "1.0", "2.0"):
        raise RpcError(rpc_errors.INVALID_REQUEST, "JSON-RPC version not supported")
    return {"jsonrpc": "2.0"} if version == "2.0" else {}


def reply_to(request: object, run: Callable[[dict[str, Any]], object]) -> Reply | None:
    """The reply to one request, which ``run`` answers or refuses with `RpcError`; None for a notification."""
    if not isinstance(request, dict):
        return error_reply(RpcError(rpc_errors.INVALID_REQUEST, "Invalid Request object"))
    ident = {"id": request["id"]} if "id" in request else {}
    head: Reply = {}
    try:
        head = _head(request)
        outcome: Reply = {"result": run(request)}
        if not head:
            outcome["error"] = None
    except RpcError as error:
        outcome = {} if head else {"result": None}
        outcome["error"] = {"code": error.code, "message": str(error)}
    return None if head and not ident else {**head, **outcome, **ident}


def error_reply(error: RpcError) -> Reply:
    """To what is no request, so that nobody knows its version or id."""
    return {"jsonrpc": "2.0", "error": {"code": error.code, "message": str(error)}, "id": None}


def encode(value: object, depth: int = _PIECE_DEPTH) -> Iterator[str]:
    """JSON text in pieces, each quick to make. Raises TypeError or ValueError for what is not JSON."""
    depth = depth or int(_is_long(value))
    if depth and isinstance(value, dict) and any(isinstance(member, dict | list | Rows) for member in value.values()):
        opening = "{"
        for key, member in value.items():
            yield f"{opening}{_in_one_go(key)}:"
            yield from encode(member, depth - 1)
            opening = ","
        yield "}"
    elif depth and isinstance(value, list | Rows) and value:
        opening = "["
        for member in value:
            yield opening
            yield from encode(member, depth - 1)
            opening = ","
        yield "]"
    else:
        yield _in_one_go([] if isinstance(value, Rows) else value)


def _is_long(value: object) -> bool:
    """Whether this is a long list, or an object with one."""
    if isinstance(value, dict):
        return any(_is_long(member) for member in value.values() if not isinstance(member, dict))
    return isinstance(value, Rows) or (isinstance(value, list) and len(value) > _LONG)

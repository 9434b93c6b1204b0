"""JSON-RPC: from a line of text to the text of its answer. No sockets here.

Version 2.0 of the protocol, and Core's older form for requests without ``"jsonrpc": "2.0"`` (the answer then carries
both ``result`` and ``error``). A list is a batch, answered in order. A 2.0 request without ``id`` is a notification:
run, not answered. An empty batch gives ``[]``, as Core has it.

Two members are ours. ``"words": true`` says that the parameters are words of a command line, all strings, and that the
node is to read each by its declared type (`ccnode.admin.arguments`). ``"read_only": true`` has a command refused that
would change anything: a belt for the hands of those who only look, not a protection against them.

An answer can be megabytes, and ``json.dumps`` holds the hub while it runs. So an answer is produced in pieces, and
whoever sends them lets others run in between.
"""

import json
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn, Protocol

from ccnode.admin import rpc_errors
from ccnode.admin.registry import Registry
from ccnode.clock import Clock
from ccnode.errors import CcnodeError, RpcError, StorageError

log = logging.getLogger("ccnode.rpc")

_PIECE_DEPTH: Final = 3
"""Containers nested deeper than this are encoded in one go: an address, a peer, a header is small."""


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

    def answer(self, line: bytes) -> Iterator[str]:
        """The pieces of the answer to one line, without its newline; nothing at all for notifications."""
        try:
            request = _parse(line)
        except (ValueError, RecursionError):
            yield from encode(_error_reply(None, RpcError(rpc_errors.PARSE_ERROR, "Parse error"), strict=True))
            return
        if not isinstance(request, list):
            reply = self._reply(request)
            yield from encode(reply) if reply is not None else ()
            return
        opening = "["
        for part in request:
            reply = self._reply(part)
            if reply is None:
                yield ""  # a notification: nothing to send, but a chance to let others run
            else:
                yield opening
                yield from encode(reply)
                opening = ","
        if opening == ",":
            yield "]"
        elif not request:
            yield "[]"

    def _reply(self, request: object) -> dict[str, object] | None:
        """Run one request: its reply, or None for a notification."""
        if not isinstance(request, dict):
            return _error_reply(None, RpcError(rpc_errors.INVALID_REQUEST, "Invalid Request object"), strict=True)
        strict = request.get("jsonrpc") == "2.0"
        ident = request.get("id")
        try:
            result = self._run(request)
        except RpcError as error:
            reply = _error_reply(ident, error, strict=strict)
        else:
            reply = {"result": result, "error": None, "id": ident}
            if strict:
                reply = {"jsonrpc": "2.0", "result": result, "id": ident}
        return None if strict and "id" not in request else reply

    def _run(self, request: dict[str, Any]) -> object:
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
            return self._registry.call(self._context, method, request.get("params"), words=words, read_only=read_only)
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


def _parse(line: bytes) -> object:
    return json.loads(line.decode("utf-8"), parse_constant=_refuse_constant)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _error_reply(ident: object, error: RpcError, *, strict: bool) -> dict[str, object]:
    shown = {"code": error.code, "message": str(error)}
    if strict:
        return {"jsonrpc": "2.0", "error": shown, "id": ident}
    return {"result": None, "error": shown, "id": ident}


def encode(value: object, depth: int = _PIECE_DEPTH) -> Iterator[str]:
    """JSON text in pieces, each quick to make. Raises TypeError or ValueError for what is not JSON."""
    if depth and isinstance(value, dict) and value:
        opening = "{"
        for key, member in value.items():
            yield f"{opening}{json.dumps(key)}:"
            yield from encode(member, depth - 1)
            opening = ","
        yield "}"
    elif depth and isinstance(value, list) and value:
        opening = "["
        for member in value:
            yield opening
            yield from encode(member, depth - 1)
            opening = ","
        yield "]"
    else:
        yield json.dumps(value, allow_nan=False)

"""JSON-RPC over HTTP, as Bitcoin Core speaks it (``httprpc.cpp``): what people have for Core works here.

One request or batch in the body of a POST to ``/``. Status codes are Core's. An answer of the older protocol versions
carries errors as 400 (no request), 404 (no such method) or 500; one of version 2.0 is 200 whatever it says, or 204
where nothing is to be said. Without the right password it is 401, after a quarter of a second; a client from elsewhere
(``rpcallowip``) and a method that the user may not call (``rpcwhitelist``) get 403.

While the node is still loading its headers every method is answered with -28.

``subscribe`` does not work here: it is for the admin socket.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, NoReturn

import gevent
from gevent import socket

from ccnode.admin import rpc_errors
from ccnode.admin.http_auth import Authenticator, Cookie, Permissions
from ccnode.admin.jsonrpc import Dispatcher, Reply, encode, parse, reply_to
from ccnode.admin.web import Handler, TooMuch, WebServer
from ccnode.errors import RpcError
from ccnode.network.hub import breathing
from ccnode.peers.subnet import Subnet
from ccnode.wire.address import NetworkAddress

log = logging.getLogger("ccnode.rpc")

MAX_BODY: Final = 0x02000000
"""Bytes (Core: ``MAX_SIZE``)."""

MAX_CONNECTIONS: Final = 100
"""Served at a time."""

MAX_REQUESTS: Final = 64
"""Run at a time (Core: ``-rpcworkqueue``); commands that wait for a block count as well."""

MAX_LOGGED: Final = 100
"""Characters of a method's name in the log; a client may call anything."""

WRONG_PASSWORD_SECONDS = 0.25
"""How long a wrong password is answered late, against guessing."""

LOADING: Final = "Loading block index…"
"""What -28 says."""

_CHALLENGE: Final = ("WWW-Authenticate", 'Basic realm="jsonrpc"')


@dataclass(frozen=True, slots=True)
class Response:
    """What goes back."""

    status: HTTPStatus
    body: bytes = b""
    kind: str = "text/plain"
    headers: tuple[tuple[str, str], ...] = ()


class HttpRpc:
    """The WSGI application."""

    def __init__(self, users: Authenticator, permissions: Permissions, allowed: Sequence[Subnet]) -> None:
        self._users = users
        self._permissions = permissions
        self._allowed = allowed
        self._running = 0
        self.dispatcher: Dispatcher | None = None
        """None while the node is loading."""

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        response = self._respond(environ, environ["ccnode.handler"])
        headers = list(response.headers)
        if response.status is not HTTPStatus.NO_CONTENT:
            headers += [("Content-Type", response.kind), ("Content-Length", str(len(response.body)))]
        if response.status not in (HTTPStatus.OK, HTTPStatus.NO_CONTENT) and response.kind == "text/plain":
            headers.append(("Connection", "close"))  # its body may not have been read
        start_response(f"{response.status.value} {response.status.phrase}", headers)
        return [response.body]

    def _respond(self, environ: dict[str, Any], handler: Handler) -> Response:
        remote = f"{environ['REMOTE_ADDR']}"
        if not self._is_allowed(remote):
            return Response(HTTPStatus.FORBIDDEN)
        if environ["PATH_INFO"] != "/":
            return Response(HTTPStatus.NOT_FOUND)
        if environ["REQUEST_METHOD"] != "POST":
            return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"JSONRPC server handles only POST requests")
        header = environ.get("HTTP_AUTHORIZATION")
        user = None if header is None else self._users.user(header)
        if user is None:
            if header is not None:
                log.warning("incorrect password attempt from %s", remote)
                gevent.sleep(WRONG_PASSWORD_SECONDS)
            return Response(HTTPStatus.UNAUTHORIZED, headers=(_CHALLENGE,))
        if not self._permissions.known(user):
            log.warning("RPC User %s not allowed to call any methods", user)
            return Response(HTTPStatus.FORBIDDEN)
        if self._running >= MAX_REQUESTS:
            return Response(HTTPStatus.SERVICE_UNAVAILABLE, b"Work queue depth exceeded")
        self._running += 1
        try:
            return self._run(handler.body(MAX_BODY), user)
        except TooMuch:
            return Response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        finally:
            self._running -= 1

    def _is_allowed(self, remote: str) -> bool:
        address = NetworkAddress.parse(remote)
        return any(address in subnet for subnet in self._allowed)

    # -- JSON-RPC ------------------------------------------------------------------------------------------------

    def _run(self, body: bytes, user: str) -> Response:
        try:
            request = parse(body)
        except RpcError as error:
            return _json(_legacy_error(error), HTTPStatus.INTERNAL_SERVER_ERROR)
        if isinstance(request, dict):
            return self._run_one(request, user)
        if isinstance(request, list):
            return self._run_batch(request, user)
        fault = RpcError(rpc_errors.PARSE_ERROR, "Top-level object parse error")
        return _json(_legacy_error(fault), HTTPStatus.INTERNAL_SERVER_ERROR)

    def _run_one(self, request: dict[str, Any], user: str) -> Response:
        if self._refuses(request, user):
            return Response(HTTPStatus.FORBIDDEN)
        reply = self._reply(request)
        return Response(HTTPStatus.NO_CONTENT) if reply is None else _json(reply, _status(reply))

    def _run_batch(self, requests: list[Any], user: str) -> Response:
        if any(self._refuses(request, user) for request in requests):
            return Response(HTTPStatus.FORBIDDEN)
        answered = (self._reply(request) for request in requests)
        replies = [reply for reply in breathing(answered) if reply is not None]
        if requests and not replies:
            return Response(HTTPStatus.NO_CONTENT)
        return _json(replies, HTTPStatus.OK)

    def _refuses(self, request: object, user: str) -> bool:
        method = request.get("method") if isinstance(request, dict) else None
        if not isinstance(method, str) or self._permissions.allow(user, method):
            return False
        log.warning("RPC User %s not allowed to call method %s", user, method[:MAX_LOGGED])
        return True

    def _reply(self, request: object) -> Reply | None:
        return reply_to(request, _refuse_while_loading) if self.dispatcher is None else self.dispatcher.reply(request)


def _refuse_while_loading(_request: object) -> NoReturn:
    raise RpcError(rpc_errors.IN_WARMUP, LOADING)


def _legacy_error(error: RpcError) -> Reply:
    """To what is no request, so that its version and id are unknown."""
    return {"result": None, "error": {"code": error.code, "message": str(error)}, "id": None}


def _status(reply: Reply) -> HTTPStatus:
    error = reply.get("error")
    if not isinstance(error, dict):
        return HTTPStatus.OK
    if error["code"] == rpc_errors.INVALID_REQUEST:
        return HTTPStatus.BAD_REQUEST
    if "jsonrpc" in reply:
        return HTTPStatus.OK
    unknown = error["code"] == rpc_errors.METHOD_NOT_FOUND
    return HTTPStatus.NOT_FOUND if unknown else HTTPStatus.INTERNAL_SERVER_ERROR


def _json(value: object, status: HTTPStatus) -> Response:
    return Response(status, ("".join(breathing(encode(value))) + "\n").encode(), "application/json")


class HttpRpcServer:
    """The application at its addresses, and its cookie. Before `serve` every method is answered with -28."""

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        users: Authenticator,
        permissions: Permissions,
        allowed: Sequence[Subnet],
        cookie: Cookie | None,
    ) -> None:
        """:param sockets: as `ccnode.admin.web.listen` makes them."""
        self._application = HttpRpc(users, permissions, allowed)
        self._web = WebServer("http", sockets, self._application, connections=MAX_CONNECTIONS)
        self._cookie = cookie
        for address in self._web.addresses:
            log.info("JSON-RPC is served at http://%s/", address)

    @property
    def addresses(self) -> list[NetworkAddress]:
        """Where it listens, with the ports really bound."""
        return self._web.addresses

    def serve(self, dispatcher: Dispatcher) -> None:
        """From now on methods are run."""
        self._application.dispatcher = dispatcher

    def close(self) -> None:
        """Stop; answers under way get a moment. A second call does nothing."""
        self._web.close()
        if self._cookie is not None:
            self._cookie.remove()
            self._cookie = None

"""JSON-RPC over HTTP as Bitcoin Core's clients know it: a real node, clients that others wrote, and hostile ones."""

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import re
import shutil
import socket
import stat
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest
from rpc_shapes import GENESIS, SHAPES, fits

from ccnode.admin import http as http_module
from ccnode.admin import web as web_module
from ccnode.admin.client import NotRunning
from ccnode.admin.commands import REGISTRY
from ccnode.admin.http import HttpRpcServer
from ccnode.admin.http_auth import Authenticator, Cookie, Credential, Permissions
from ccnode.admin.http_setup import build_http, http_addresses, listen_for_http
from ccnode.admin.jsonrpc import Dispatcher
from ccnode.admin.web import listen
from ccnode.chain.networks import REGTEST
from ccnode.clock import SystemClock
from ccnode.config import load_config
from ccnode.errors import ConfigError, StartupError
from ccnode.peers.subnet import Subnet
from ccnode.wire.address import NetworkAddress
from tests.support.process import NodeProcess
from tests.support.scripted import Link

ADDRESS = re.compile(r"JSON-RPC is served at http://(127\.0\.0\.1):(\d+)/")


def rpcauth(user: str, password: str, salt: str = "8f4c") -> str:
    """As share/rpcauth/rpcauth.py writes it."""
    return f"{user}:{salt}${hmac.new(salt.encode(), password.encode(), hashlib.sha256).hexdigest()}"


USERS = (
    f"--rpcauth={rpcauth('bob', 'secret')}",
    f"--rpcauth={rpcauth('reader', 'r')}",
    f"--rpcauth={rpcauth('nobody', 'n')}",
    "--rpcwhitelist=__cookie__:nope," + ",".join(each.name for each in REGISTRY),
    "--rpcwhitelist=bob:getblockcount, nope,getblockhash,echo",
    "--rpcwhitelist=reader:getblockcount,uptime",
    "--rpcwhitelist=reader:getblockcount,stop",
)


def served_at(node: NodeProcess) -> tuple[str, int]:
    found = ADDRESS.findall(node.text())
    return found[-1][0], int(found[-1][1])


class Web:
    """A node's HTTP side."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self.address = served_at(node)
        self.cookie = (node.folder / ".cookie").read_text()

    def post(
        self, body: object, user: str | None = "", path: str = "/", method: str = "POST", **headers: str
    ) -> tuple[int, Any, http.client.HTTPResponse]:
        """Status, the JSON or text of the body, and the response. ``user``: NAME:PASSWORD, the cookie, or nobody."""
        connection = http.client.HTTPConnection(*self.address, timeout=10)
        if user is not None:
            headers["Authorization"] = "Basic " + base64.b64encode((user or self.cookie).encode()).decode()
        data = body if isinstance(body, str | bytes) else json.dumps(body)
        connection.request(method, path, data, headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        is_json = response.getheader("Content-Type") == "application/json"
        return response.status, json.loads(text) if is_json else text, response

    def call(self, method: str, *params: object) -> Any:
        status, reply, _ = self.post({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)})
        assert status == 200
        assert "error" not in reply, reply
        return reply["result"]


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    with NodeProcess(tmp_path_factory.mktemp("http") / "node", "--rpcport=0", "--debug=rpc", *USERS) as node:
        yield Web(node)


# -- what clients rely on ----------------------------------------------------------------------------------------------

UNFIT = {
    "addconnection": "dials",
    "addnode": "dials",
    "disconnectnode": "ends the peer that others need",
    "exportasmap": "needs a map",
    "mockscheduler": "moves the clock",
    "setmocktime": "moves the clock",
    "setnetworkactive": "ends the peer that others need",
}
"""Methods whose results the tests of commands look at."""


def test_every_method_has_its_fields_over_http(web: Web) -> None:
    link = Link.connect(web.node.port)
    link.handshake()
    for method in sorted(SHAPES.keys() - UNFIT):
        params, shape = SHAPES[method]
        assert fits(web.call(method, *params), shape) is None, method
    link.close()


OF_BLOCKS = {
    "getblock",
    "getblockfilter",
    "getblockfrompeer",
    "getblockstats",
    "getblocktemplate",
    "getchaintxstats",
    "getrawtransaction",
    "gettxout",
    "gettxoutsetinfo",
    "pruneblockchain",
    "scantxoutset",
    "submitblock",
    "verifychain",
}
"""Methods that need blocks."""


def test_every_method_is_in_the_table() -> None:
    elsewhere = {
        "stop",
        "subscribe",
        "submitheader",
        "importaddrman",
        "snapshot",
        "getnodestats",
        *OF_BLOCKS,
    }  # have tests of their own
    offered = {each.name for each in REGISTRY if each.category != "hidden"}
    assert offered - SHAPES.keys() - elsewhere == set()


def test_a_client_library_of_others(web: Web) -> None:
    authproxy = pytest.importorskip("bitcoinrpc.authproxy")
    host, port = web.address
    for user in (web.cookie, "bob:secret"):
        proxy = authproxy.AuthServiceProxy(f"http://{user}@{host}:{port}")
        assert proxy.getblockcount() == 0
        assert proxy.getblockhash(0) == GENESIS
        with pytest.raises(authproxy.JSONRPCException) as error:
            proxy.getblockhash(1)
        assert (error.value.code, error.value.message) == (-8, "Block height out of range")
    with pytest.raises(authproxy.JSONRPCException):
        authproxy.AuthServiceProxy(f"http://bob:wrong@{host}:{port}").getblockcount()


def test_curl(web: Web) -> None:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    host, port = web.address
    for user in (web.cookie, "bob:secret"):
        command = ["curl", "--silent", "--user", user, "--data-binary"]
        body = '{"jsonrpc": "1.0", "id": "curltest", "method": "getblockcount", "params": []}'
        url = ["-H", "content-type: text/plain;", f"http://{host}:{port}/"]
        answer = subprocess.run([*command, body, *url], capture_output=True, timeout=10, check=True).stdout
        assert json.loads(answer) == {"result": 0, "error": None, "id": "curltest"}
        big = json.dumps({"id": 1, "method": "echo", "params": ["x" * 3_000_000]})  # curl asks before it sends so much
        answer = subprocess.run([*command, "@-", *url], input=big.encode(), capture_output=True, timeout=10).stdout
        assert len(json.loads(answer)["result"][0]) == 3_000_000


@pytest.mark.parametrize(
    ("body", "status", "reply"),
    [
        ({"method": "getblockcount", "id": 7}, 200, {"result": 0, "error": None, "id": 7}),
        ({"method": "getblockcount"}, 200, {"result": 0, "error": None}),
        ({"jsonrpc": "1.0", "method": "getblockcount", "id": None}, 200, {"result": 0, "error": None, "id": None}),
        ({"jsonrpc": "2.0", "method": "getblockcount", "id": "a"}, 200, {"jsonrpc": "2.0", "result": 0, "id": "a"}),
        ({"jsonrpc": "2.0", "method": "getblockcount"}, 204, ""),
        ({"jsonrpc": "2.0", "method": "nope"}, 204, ""),
        ({"method": "nope", "id": 1}, 404, (-32601, "Method not found")),
        ({"jsonrpc": "2.0", "method": "nope", "id": 1}, 200, (-32601, "Method not found")),
        ({"method": "getblockhash", "params": [9], "id": 1}, 500, (-8, "Block height out of range")),
        ({"jsonrpc": "2.0", "method": "getblockhash", "params": [9], "id": 1}, 200, (-8, "Block height out of range")),
        ({"method": 3, "id": 1}, 400, (-32600, "Method must be a string")),
        ({"id": 1}, 400, (-32600, "Missing method")),
        ({"method": "getblockcount", "params": 3, "id": 1}, 400, (-32600, "Params must be an array or object")),
        ({"jsonrpc": 2, "method": "getblockcount", "id": 1}, 400, (-32600, "jsonrpc field must be a string")),
        ({"jsonrpc": "3.0", "method": "getblockcount", "id": 1}, 400, (-32600, "JSON-RPC version not supported")),
        (
            {"method": "subscribe", "params": [["tip"]], "id": 1},
            400,
            (-32600, "subscribe needs a connection of its own on the admin socket"),
        ),
        ("{", 500, (-32700, "Parse error")),
        ("", 500, (-32700, "Parse error")),
        ("3", 500, (-32700, "Top-level object parse error")),
        ("[]", 200, []),
        ([{"jsonrpc": "2.0", "method": "getblockcount"}], 204, ""),
        (
            [{"method": "getblockcount", "id": 1}, {"method": "nope", "id": 2}],
            200,
            [
                {"result": 0, "error": None, "id": 1},
                {"result": None, "error": {"code": -32601, "message": "Method not found"}, "id": 2},
            ],
        ),
    ],
)
def test_forms_and_status_codes(web: Web, body: object, status: int, reply: object) -> None:
    got, answer, response = web.post(body)
    assert got == status
    if isinstance(reply, tuple):
        assert (answer["error"]["code"], answer["error"]["message"]) == reply
    else:
        assert answer == reply
    if status == 204:
        assert response.getheader("Content-Type") is None


def test_a_connection_serves_many_requests(web: Web) -> None:
    connection = http.client.HTTPConnection(*web.address, timeout=10)
    header = {"Authorization": "Basic " + base64.b64encode(web.cookie.encode()).decode()}
    for number in range(50):
        connection.request("POST", "/", json.dumps({"method": "echo", "params": [number], "id": 1}), header)
        assert json.loads(connection.getresponse().read())["result"] == [number]
    connection.close()


def test_only_posts_to_the_root(web: Web) -> None:
    for method in ("GET", "PUT", "DELETE"):
        assert web.post("", None, method=method)[:2] == (405, "JSONRPC server handles only POST requests")
    for path in ("/rest/chaininfo.json", "/wallet/x", "//", "/../"):
        assert web.post({"method": "getblockcount"}, path=path)[:2] == (404, "")


# -- who may ----------------------------------------------------------------------------------------------------------


def test_wrong_passwords(web: Web) -> None:
    request = {"method": "getblockcount", "id": 1}
    begun = time.monotonic()
    status, text, response = web.post(request, None)
    assert (status, text, response.getheader("WWW-Authenticate")) == (401, "", 'Basic realm="jsonrpc"')
    assert time.monotonic() - begun < 0.25
    for user in ("bob:wrong", "bob:", "bob", ":", "__cookie__:" + "0" * 64, "eve:secret", "bób:ñ"):
        begun = time.monotonic()
        assert web.post(request, user)[0] == 401
        assert time.monotonic() - begun >= 0.25
    for header in ("Basic", "Basic !!!", "Basic " + "=" * 9, "Bearer x", "basic " + "A" * 8000):
        assert web.post(request, None, Authorization=header)[0] == 401
    assert "incorrect password attempt from 127.0.0.1" in web.node.text()
    assert web.cookie.split(":")[1] not in web.node.text()


def test_users_call_what_they_may(web: Web) -> None:
    count, uptime, stop = ({"method": method, "id": 1} for method in ("getblockcount", "uptime", "stop"))
    assert web.post(count, "bob:secret")[0] == 200
    assert web.post(uptime, "bob:secret")[:2] == (403, "")
    assert web.post([count, uptime], "bob:secret")[:2] == (403, "")
    assert web.post({"method": "nope", "id": 1}, "bob:secret")[0] == 404
    # What stands in both lists.
    assert web.post(count, "reader:r")[0] == 200
    assert web.post(stop, "reader:r")[0] == 403
    assert web.post(uptime, "reader:r")[0] == 403
    assert web.post(count, "nobody:n")[:2] == (403, "")
    assert web.post({"method": "long" * 1000, "id": 1}, "reader:r")[0] == 403
    assert "not allowed to call method longlong" in web.node.text()
    assert "long" * 26 not in web.node.text()


def test_the_cookie_is_for_its_owner_and_goes_with_the_node(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "node", "--rpcport=0") as node:
        cookie = node.folder / ".cookie"
        assert stat.S_IMODE(cookie.stat().st_mode) == 0o600
        assert re.fullmatch("__cookie__:[0-9a-f]{64}", cookie.read_text())
        first = cookie.read_text()
        web = Web(node)
        assert web.post({"method": "stop", "id": 1})[1]["result"] == "ccnode stopping"
        assert node.process.wait(10) == 0
        assert not cookie.exists()
        node.restart()
        assert cookie.read_text() != first
        node.kill()
        assert cookie.exists()
        node.restart()
        assert Web(node).call("getblockcount") == 0


@pytest.mark.parametrize(
    ("options", "mode"),
    [
        (["--rpcpassword=x", "--rpcuser=me"], None),
        (["--norpccookiefile", f"--rpcauth={rpcauth('me', 'x')}"], None),
        (["--rpccookieperms=group", f"--rpcauth={rpcauth('me', 'x')}"], 0o640),
        (["--rpccookieperms=all", f"--rpcauth={rpcauth('me', 'x')}"], 0o644),
    ],
)
def test_passwords_of_the_configuration(tmp_path: Path, options: list[str], mode: int | None) -> None:
    with serving(tmp_path, *options) as (_server, post):
        cookie = tmp_path / "regtest" / ".cookie"
        assert (stat.S_IMODE(cookie.stat().st_mode) if mode else cookie.exists()) == (mode or False)
        assert post({"method": "x"}, "me:x")[0] == 500
        assert post({"method": "x"}, "me:y")[0] == 401
    assert not cookie.exists()


def test_parsing_of_users() -> None:
    for text in ("bob", "bob:salt", "bob$x", "a:b:c$d", "a:b$c$d"):
        with pytest.raises(ValueError, match=r"Invalid -rpcauth argument\."):
            Credential.parse(text)
    users = Authenticator([Credential.parse(rpcauth("bob", "x:y")), Credential.of_password("", "y")])
    assert users.user("Basic " + base64.b64encode(b":y").decode()) == ""
    assert users.user("Basic  " + base64.b64encode(b"bob:x:y").decode()) == "bob"
    assert users.user("Basic " + base64.b64encode(b"bob").decode()) is None
    permissions = Permissions.parse(["a:x,y", "a:y z", "b"], others=False)
    assert [permissions.allow("a", method) for method in ("x", "y", "z")] == [False, True, False]
    assert (permissions.known("b"), permissions.allow("b", "x"), permissions.known("c")) == (True, False, False)
    assert Permissions().allow("anybody", "x")


def test_a_cookie_file_of_another_mode_does_not_leak(tmp_path: Path) -> None:
    path = tmp_path / ".cookie"
    for name in (".cookie", ".cookie.tmp"):
        (tmp_path / name).write_text("old")
        (tmp_path / name).chmod(0o666)
    Cookie(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# -- where and for whom -----------------------------------------------------------------------------------------------


class Posting:
    """Asks a server in this process, from a thread."""

    def __init__(self, address: NetworkAddress) -> None:
        self._address = (address.host, address.port)

    def __call__(self, body: object, user: str, source: str = "127.0.0.1") -> tuple[int, Any]:
        result: tuple[int, Any] = gevent.get_hub().threadpool.apply(self._post, (body, user, source))
        return result

    def _post(self, body: object, user: str, source: str) -> tuple[int, Any]:
        header = {"Authorization": "Basic " + base64.b64encode(user.encode()).decode()}
        connection = http.client.HTTPConnection(*self._address, timeout=10, source_address=(source, 0))
        connection.request("POST", "/", json.dumps(body), header)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, json.loads(text) if text else None


class serving:
    """A server of these options in this process, not yet told that the node is ready."""

    def __init__(self, folder: Path, *options: str) -> None:
        config = load_config(["--chain=regtest", f"--datadir={folder}", "--rpcport=0", *options])
        config.folder.mkdir(parents=True, exist_ok=True)
        server = build_http(config, REGTEST)
        assert server is not None
        self.server = server

    def __enter__(self) -> tuple[HttpRpcServer, Posting]:
        return self.server, Posting(self.server.addresses[-1])

    def __exit__(self, *_exc: object) -> None:
        self.server.close()
        self.server.close()


def test_a_loading_node_answers_that_it_is_loading(tmp_path: Path) -> None:
    with serving(tmp_path, "--rpcpassword=x", "--rpcuser=me") as (server, post):
        status, reply = post({"method": "help", "id": 1}, "me:x")
        assert (status, reply["error"]) == (500, {"code": -28, "message": "Loading block index…"})
        status, replies = post([{"jsonrpc": "2.0", "method": "uptime", "id": 1}], "me:x")
        assert (status, replies[0]["error"]["code"]) == (200, -28)

        class Context:
            clock = SystemClock()
            active_commands: list[Any] = []  # noqa: RUF012

        server.serve(Dispatcher(REGISTRY, Context()))
        assert post({"method": "echo", "params": [1], "id": 1}, "me:x")[0] == 200


@pytest.mark.parametrize(
    ("options", "shown", "warning"),
    [
        ([], ["[::1]:18443", "127.0.0.1:18443"], None),
        (["--rpcport=1"], ["[::1]:1", "127.0.0.1:1"], None),
        (["--rpcbind=0.0.0.0"], ["[::1]:18443", "127.0.0.1:18443"], "refusing to allow everyone to connect"),
        (["--rpcallowip=10.0.0.0/8"], ["[::1]:18443", "127.0.0.1:18443"], "this doesn't usually make sense"),
        (["--rpcallowip=10.0.0.0/8", "--rpcbind=10.0.0.1", "--rpcbind=[::2]:5"], ["10.0.0.1:18443", "[::2]:5"], None),
        (["--rpcallowip=::/0", "--rpcbind=0.0.0.0:3"], ["0.0.0.0:3"], "not safe to expose to untrusted networks"),
    ],
)
def test_others_are_let_in_only_on_purpose(
    options: list[str], shown: list[str], warning: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    found = http_addresses(load_config(["--chain=regtest", *options]), REGTEST)
    assert [str(address) for address in found] == shown
    assert (warning or "") in caplog.text
    assert bool(caplog.text) is bool(warning)


@pytest.mark.parametrize(
    ("options", "on"),
    [
        ([], False),
        (["--server"], True),
        (["--rpcport=1"], True),
        (["--rpcbind=127.0.0.1"], True),
        (["--rpcport=1", "--server=0"], False),
        (["--rpcuser=a", "--rpcpassword=b"], False),
        (["--rpcport=1", "--noserver"], False),
    ],
)
def test_http_is_on_where_it_is_asked_for(options: list[str], on: bool) -> None:
    assert load_config(options).server is on


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--rpcauth=bob", "Invalid -rpcauth argument."),
        ("--rpcallowip=x", "Invalid -rpcallowip subnet specification: x. Valid values are a single IP"),
        ("--rpcbind=host:x", "rpcbind: "),
        ("--rpccookiefile=none/there", "cannot write the cookie file"),
    ],
)
def test_options_that_cannot_be_honoured(tmp_path: Path, option: str, message: str) -> None:
    with pytest.raises(StartupError) as error:
        serving(tmp_path, option, *(["--rpcallowip=::1"] if "rpcbind" in option else []))
    assert str(error.value).startswith(message)
    with pytest.raises(ConfigError, match="Invalid -rpccookieperms=x; must be one of 'owner', 'group', or 'all'"):
        load_config(["--rpccookieperms=x"])
    with pytest.raises(ConfigError, match="does not have the REST interface yet"):
        load_config(["--rest"])


def test_an_address_that_is_taken_stops_the_start_and_a_missing_one_does_not() -> None:
    taken = listen(NetworkAddress.parse("127.0.0.1:0"))
    port = taken.getsockname()[1]
    free = NetworkAddress.parse("127.0.0.1:0")
    with pytest.raises(StartupError, match=f"Unable to start HTTP server: cannot listen on 127.0.0.1:{port}"):
        listen_for_http([free, NetworkAddress.parse("127.0.0.1", port)])
    taken.close()
    nowhere = NetworkAddress.parse("192.0.2.1:0")
    (only,) = listen_for_http([nowhere, free])
    only.close()
    with pytest.raises(StartupError, match=r"cannot listen on 192\.0\.2\.1:0"):
        listen_for_http([nowhere])


def test_an_address_that_is_not_allowed_is_refused(tmp_path: Path) -> None:
    server = HttpRpcServer(
        [listen(NetworkAddress.parse("127.0.0.1:0"))],
        Authenticator([Credential.of_password("me", "x")]),
        Permissions(),
        [Subnet.parse("127.0.0.2")],
        None,
    )
    post = Posting(server.addresses[0])
    try:
        assert post({"method": "x"}, "me:x")[0] == 403
        assert post({"method": "x"}, "me:x", source="127.0.0.2")[0] == 500
    finally:
        server.close()


# -- hostile clients --------------------------------------------------------------------------------------------------


def talk(address: tuple[str, int], data: bytes) -> bytes:
    """What comes back until the server hangs up."""
    with socket.create_connection(address, timeout=10) as sock:
        try:
            sock.sendall(data)
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # it has seen enough
        received = b""
        try:
            while piece := sock.recv(65536):
                received += piece
        except ConnectionError:
            pass
        return received


HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"garbage\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"POST / HTTP/9.9\r\n\r\n", b"400"),
        (b"POST / HTTP/1\r\n\r\n", b"400"),
        (b"POST / HTTP/x\r\n\r\n", b"400"),
        (b"POST /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n", b"414"),
        (HEAD + b"A: " + b"a" * 100_000 + b"\r\n\r\n", b"400"),
        (HEAD + b"A: a\r\n" * 5_000 + b"\r\n", b"400"),
        (HEAD + b"Content-Length: x\r\n\r\n", b"400"),
        (HEAD + b"Content-Length: -1\r\n\r\n", b"400"),
        (HEAD + b"no colon\r\n\r\n", b"401"),
        (HEAD + b"Content-Length: 1000000000000\r\n\r\nx", b"401"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz", b"401"),
    ],
)
def test_what_is_no_request_gets_an_error(web: Web, data: bytes, status: bytes) -> None:
    assert talk(web.address, data).startswith(b"HTTP/1.1 " + status)
    assert web.call("getblockcount") == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"Content-Length: 33554433\r\n\r\n", b"HTTP/1.1 413"),
        (b"Content-Length: 100\r\n\r\n{}", b""),
        (b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", b"HTTP/1.1 400"),
        (b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n{}", b""),
        (b"Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 2\r\n\r\n{}", b"HTTP/1.1 400"),
        (b'Transfer-Encoding: chunked\r\n\r\n1a\r\n{"method":"getblockcount"}\r\n0\r\n\r\n', b"HTTP/1.1 200"),
    ],
)
def test_bodies_of_those_who_have_the_password(web: Web, data: bytes, status: bytes) -> None:
    login = b"Authorization: Basic " + base64.b64encode(web.cookie.encode()) + b"\r\n"
    assert talk(web.address, HEAD + login + data).startswith(status)
    assert web.call("getblockcount") == 0


def test_a_flood_without_a_password_does_not_hold_the_node(web: Web) -> None:
    """100 MB in the body of a request that nobody may make."""
    before = web.node.rpc("getmemoryinfo")["rss"]
    flooder = threading.Thread(
        target=talk, args=(web.address, HEAD + b"Content-Length: 100000000\r\n\r\n" + bytes(100_000_000))
    )
    flooder.start()
    longest = 0.0
    while flooder.is_alive():
        begun = time.monotonic()
        assert web.node.rpc("getblockcount") == 0
        longest = max(longest, time.monotonic() - begun)
    assert longest < 2
    assert web.node.rpc("getmemoryinfo")["rss"] < before + 20_000_000


def test_more_connections_than_there_is_room_for(web: Web) -> None:
    silent = [socket.create_connection(web.address, timeout=10) for _ in range(http_module.MAX_CONNECTIONS + 10)]
    assert web.node.rpc("getblockcount") == 0
    for sock in silent:
        sock.close()
    assert web.call("getblockcount") == 0


def test_the_slow_are_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dribble(data: bytes) -> float:
        begun = time.monotonic()
        with socket.create_connection(address, timeout=10) as sock:
            for number in range(len(data)):
                try:
                    sock.sendall(data[number : number + 1])
                    sock.settimeout(0.02)
                    if sock.recv(1) == b"":
                        break
                except TimeoutError:
                    continue
                except OSError:
                    break
        return time.monotonic() - begun

    web = HttpRpcServer(
        [listen(NetworkAddress.parse("127.0.0.1:0"))],
        Authenticator([Credential.of_password("me", "x")]),
        Permissions(),
        [Subnet.parse("127.0.0.0/8")],
        None,
    )
    web._web._patience = 0.3
    address = (web.addresses[0].host, web.addresses[0].port)
    login = b"Authorization: Basic " + base64.b64encode(b"me:x") + b"\r\n"
    pool = gevent.get_hub().threadpool
    try:
        gevent.sleep(0)
        for data in (b"P" * 400, HEAD[:5], HEAD + b"A: " + b"a" * 400, HEAD + login + b"Content-Length: 400\r\n\r\n"):
            assert pool.apply(dribble, (data.ljust(500, b"x"),)) < 5
    finally:
        web.close()


def test_so_many_commands_at_once(web: Web) -> None:
    """Those that wait for a block occupy a place each; who comes on top is told."""
    request = json.dumps({"method": "waitfornewblock", "params": [3000], "id": 1}).encode()
    login = b"Authorization: Basic " + base64.b64encode(web.cookie.encode()) + b"\r\n"
    data = HEAD + login + b"Content-Length: %d\r\n\r\n" % len(request) + request
    waiting = []
    for _ in range(http_module.MAX_REQUESTS):
        waiting.append(socket.create_connection(web.address, timeout=10))
        waiting[-1].sendall(data)
    end = time.monotonic() + 3
    while (answer := web.post({"method": "getblockcount"}))[0] != 503:
        assert time.monotonic() < end
    assert answer[1] == "Work queue depth exceeded"
    assert web.node.rpc("getblockcount") == 0
    for sock in waiting:
        assert sock.recv(100).startswith(b"HTTP/1.1 200")
        sock.close()


def test_a_stop_does_not_wait_for_those_who_wait(tmp_path: Path) -> None:
    with NodeProcess(tmp_path / "node", "--rpcport=0") as node:
        web = Web(node)
        idle = socket.create_connection(web.address)
        waiter = threading.Thread(target=_wait_for_a_block, args=(web,))
        waiter.start()
        while not any(each["method"] == "waitfornewblock" for each in web.call("getrpcinfo")["active_commands"]):
            pass
        begun = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - begun < 5
        waiter.join()
        idle.close()
        with pytest.raises(NotRunning):
            node.rpc("uptime")


def _wait_for_a_block(web: Web) -> None:
    with contextlib.suppress(OSError, http.client.HTTPException, AssertionError):
        web.call("waitfornewblock")


def test_a_client_that_does_not_read_its_answer(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    request = json.dumps([{"method": "describe", "id": 1}] * 100).encode()
    login = b"Authorization: Basic " + base64.b64encode(web.cookie.encode()) + b"\r\n"
    sock = socket.create_connection(web.address, timeout=10)
    sock.sendall(HEAD + login + b"Content-Length: %d\r\n\r\n" % len(request) + request)
    for _ in range(20):
        assert web.call("getblockcount") == 0
    sock.close()
    assert web.call("getblockcount") == 0


def test_limits_are_those_of_the_text() -> None:
    assert http_module.MAX_BODY == 32 * 1024 * 1024
    assert web_module.RECEIVE_SECONDS == 30

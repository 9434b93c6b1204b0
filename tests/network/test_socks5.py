"""The SOCKS5 client: its dialogs without sockets, then on them; and the routes that lead to it."""

import random
from collections.abc import Sequence
from pathlib import Path

import gevent
import gevent.socket
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.config import load_config
from ccnode.errors import ConfigError, ExitStatus, StartupError
from ccnode.network import routes as routes_module
from ccnode.network import socks5
from ccnode.network.network import Network as NetworkRoom
from ccnode.network.proxies import build_routes
from ccnode.network.routes import Proxy, Routes, reason_of
from ccnode.network.socks5 import REPLIES, Credentials, ProxyError, Steps, greeting, negotiate, request
from ccnode.options import Config
from ccnode.peers.inbound import Entrance
from ccnode.wire.address import Network, NetworkAddress
from tests.support.network import pair
from tests.support.socks import SocksServer

ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"
SOMEBODY = Credentials(b"user", b"secret")
PEER_BYTES = b"the peer's first bytes"


def play(steps: Steps, answers: Sequence[bytes]) -> bytes:
    """Run a dialog against ``answers``, each of the wanted size; returns what was sent."""
    data, size = next(steps)
    sent = data
    for answer in answers:
        assert len(answer) == size
        try:
            data, size = steps.send(answer)
        except StopIteration:
            return sent
        sent += data
    raise AssertionError(f"{size} more bytes are wanted")


# -- dialogs -----------------------------------------------------------------------------------------------------------


def test_a_user_is_offered_only_where_there_is_one() -> None:
    assert play(greeting(), [b"\x05\x00"]) == b"\x05\x01\x00"
    assert play(greeting(SOMEBODY), [b"\x05\x00"]) == b"\x05\x02\x00\x02", "not asked for: not told"
    assert play(greeting(SOMEBODY), [b"\x05\x02", b"\x01\x00"]) == b"\x05\x02\x00\x02\x01\x04user\x06secret"


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([b"HT"], "does not speak SOCKS5"),
        ([b"\x04\x00"], "does not speak SOCKS5"),
        ([b"\x05\x01"], "another authentication method .0x01"),
        ([b"\x05\xff"], "another authentication method .0xff"),
        ([b"\x05\x02", b"\x01\x01"], "refuses our user"),
        ([b"\x05\x02", b"\x05\x00"], "refuses our user"),
    ],
)
def test_a_greeting_that_goes_wrong(answers: list[bytes], words: str) -> None:
    with pytest.raises(OSError, match=words):
        play(greeting(SOMEBODY), answers)


def test_a_password_that_nobody_offered_is_not_asked_for() -> None:
    with pytest.raises(OSError, match="another authentication method"):
        play(greeting(), [b"\x05\x02"])


@pytest.mark.parametrize("host", ["15.61.23.23", "1233:3432:2434:2343:3234:2345:6546:4534", ONION, "node.noumenon"])
def test_every_destination_is_sent_as_a_name(host: str) -> None:
    sent = play(request(host.encode(), 0x1234), [b"\x05\x00\x00\x01", bytes(6)])
    assert sent == b"\x05\x01\x00\x03" + bytes([len(host)]) + host.encode() + b"\x12\x34"


@pytest.mark.parametrize(
    "answers",
    [
        [b"\x05\x00\x00\x01", bytes(4 + 2)],
        [b"\x05\x00\x00\x04", bytes(16 + 2)],
        [b"\x05\x00\x00\x03", b"\x00", bytes(2)],
        [b"\x05\x00\x00\x03", b"\xff", bytes(255 + 2)],
    ],
)
def test_the_bound_address_is_read_to_its_end_whatever_its_type(answers: list[bytes]) -> None:
    play(request(b"8.8.8.8", 8333), answers)


def test_refusals_have_cores_words() -> None:
    for code in range(1, 256):
        with pytest.raises(OSError) as caught:
            play(request(b"8.8.8.8", 8333), [bytes([5, code, 0, 1])])
        assert reason_of(caught.value) == REPLIES.get(code, f"unknown (0x{code:02x})")
        assert isinstance(caught.value, ConnectionRefusedError) is (code == 5)
        assert isinstance(caught.value, TimeoutError) is (code == 6)
    assert REPLIES[0x05] == "connection refused"
    assert REPLIES[0x07] == "protocol error"
    assert REPLIES[0xF0] == "onion service descriptor can not be found"
    assert sorted(REPLIES) == [*range(1, 9), *range(0xF0, 0xF8)]


@pytest.mark.parametrize(
    ("answer", "words"),
    [(b"\x04\x00\x00\x01", "not SOCKS5"), (b"\x05\x00\x01\x01", "malformed"), (b"\x05\x00\x00\x02", "malformed")],
)
def test_a_malformed_answer_is_no_connection(answer: bytes, words: str) -> None:
    with pytest.raises(OSError, match=words):
        play(request(b"8.8.8.8", 8333), [answer])


def test_a_name_over_255_bytes_is_not_sent() -> None:
    next(request(b"a" * 255, 1))
    with pytest.raises(OSError, match="256 bytes"):
        next(request(b"a" * 256, 1))


@given(st.binary(max_size=600), st.booleans())
def test_whatever_a_proxy_answers_is_a_connection_or_an_oserror(data: bytes, with_user: bool) -> None:
    for steps in (greeting(SOMEBODY if with_user else None), request(b"node.example", 8333)):
        rest = data
        try:
            _, size = next(steps)
            while len(rest) >= size:
                assert 0 < size <= 255 + 2
                answer, rest = rest[:size], rest[size:]
                _, size = steps.send(answer)
        except (StopIteration, OSError):
            pass


# -- on a socket -------------------------------------------------------------------------------------------------------

ANSWERS = {
    "plain": (None, b"\x05\x00" + b"\x05\x00\x00\x01" + bytes(6)),
    "password": (SOMEBODY, b"\x05\x02" + b"\x01\x00" + b"\x05\x00\x00\x04" + bytes(18)),
    "bound to a name": (SOMEBODY, b"\x05\x00" + b"\x05\x00\x00\x03\x0bexample.org" + bytes(2)),
}


@pytest.mark.parametrize("case", ANSWERS)
def test_answers_may_come_in_any_pieces_and_nothing_behind_them_is_read(case: str) -> None:
    credentials, answers = ANSWERS[case]
    data = answers + PEER_BYTES
    for split in range(len(data) + 1):
        near, far = pair()
        far.sendall(data[:split])
        task = gevent.spawn(negotiate, near, "8.8.8.8", 8333, credentials)
        gevent.sleep(0)
        far.sendall(data[split:])
        task.get(timeout=5)
        assert near.recv(1000) == PEER_BYTES
        near.close()
        far.close()


@pytest.mark.parametrize("case", ANSWERS)
def test_an_end_in_the_middle_is_the_proxys_fault_until_it_has_our_request(case: str) -> None:
    credentials, answers = ANSWERS[case]
    before_request = 4 if case == "password" else 2
    for length in range(len(answers)):
        near, far = pair()
        far.sendall(answers[:length])
        far.shutdown(gevent.socket.SHUT_WR)
        with pytest.raises(OSError, match="the proxy closed the connection") as caught:
            negotiate(near, "8.8.8.8", 8333, credentials)
        assert isinstance(caught.value, ProxyError) is (length < before_request)
        near.close()
        far.close()


def test_each_answer_has_its_time() -> None:
    assert socks5.ANSWER_SECONDS == 20.0
    near, far = pair()
    with pytest.raises(ProxyError, match="the proxy does not answer"):
        negotiate(near, "8.8.8.8", 8333, answer_seconds=0.05)
    near, far = pair()
    far.sendall(b"\x05\x00\x05")
    with pytest.raises(OSError, match="the proxy does not answer") as caught:
        negotiate(near, "8.8.8.8", 8333, answer_seconds=0.05)
    assert not isinstance(caught.value, ProxyError)


# -- proxies -----------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _sockets_of_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes_module, "socket", gevent.socket)


def proxy_at(server: SocksServer, *, isolate: bool = True) -> Proxy:
    if server.target.startswith("unix:"):
        return Proxy(Path(server.target.removeprefix("unix:")), isolate)
    return Proxy(NetworkAddress.parse(server.target), isolate)


def test_every_connection_has_credentials_of_its_own_or_none() -> None:
    with SocksServer() as server:
        server.refusal = 5
        for isolate in (True, False):
            for _ in range(3):
                with pytest.raises(OSError, match="connection refused"):
                    proxy_at(server, isolate=isolate).connect("8.8.8.8", 8333, 5, random.SystemRandom())
        isolated, plain = server.requests[:3], server.requests[3:]
        assert len({(item.user, item.password) for item in isolated}) == 3
        assert all(item.user and item.password for item in isolated)
        assert [item.methods for item in isolated] == [b"\x00\x02"] * 3
        assert [(item.methods, item.user) for item in plain] == [(b"\x00", None)] * 3


def test_a_proxy_on_a_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "tor.sock"
    with gevent.socket.socket() as peer, SocksServer(path) as server:
        peer.bind(("127.0.0.1", 0))
        peer.listen()
        server.leads_to[ONION, 8333] = peer.getsockname()[1]
        proxy = proxy_at(server)
        assert str(proxy) == f"unix:{path}"
        sock = proxy.connect(ONION, 8333, 5, random.Random(1))
        accepted, _ = peer.accept()
        sock.sendall(b"hello")
        assert accepted.recv(5) == b"hello"
        accepted.sendall(b"world")
        assert sock.recv(5) == b"world"
        sock.close()
        accepted.close()
    with pytest.raises(ProxyError, match="refused"):
        proxy.connect(ONION, 8333, 5, random.Random(1))
    path.unlink()
    with pytest.raises(ProxyError, match=f"proxy unix:{path}: No such file"):
        proxy.connect(ONION, 8333, 5, random.Random(1))


def test_a_proxy_that_cannot_be_used_is_told_from_a_destination_that_cannot() -> None:
    with SocksServer() as server:
        proxy, rng = proxy_at(server), random.Random(1)
        with pytest.raises(OSError, match="host unreachable") as caught:
            proxy.connect("8.8.8.8", 8333, 5, rng)
        assert not isinstance(caught.value, ProxyError)
        server.password_status = 1
        with pytest.raises(ProxyError, match="refuses our user"):
            proxy.connect("8.8.8.8", 8333, 5, rng)
        server.greeting = b"HTTP/1.1 400 Bad Request\r\n"
        with pytest.raises(ProxyError, match="does not speak SOCKS5"):
            proxy.connect("8.8.8.8", 8333, 5, rng)
    with pytest.raises(ProxyError, match=f"proxy {server.target}: .*refused"):
        proxy.connect("8.8.8.8", 8333, 5, rng)


# -- routes ------------------------------------------------------------------------------------------------------------

TOR = Proxy(NetworkAddress.parse("10.0.0.9:9050"))
OTHER = Proxy(NetworkAddress.parse("[2a00::9]:1080"), isolate=False)


def test_each_network_has_its_own_proxy() -> None:
    routes = Routes(proxies={Network.ONION: TOR, Network.IPV6: OTHER})
    assert routes.proxy_for(NetworkAddress.parse(f"{ONION}:8333")) is TOR
    assert routes.proxy_for(NetworkAddress.parse("[2a00::1]:8333")) is OTHER
    assert routes.proxy_for(NetworkAddress.parse("8.8.8.8:8333")) is None


@pytest.mark.parametrize("text", ["127.0.0.1:8333", "10.0.0.1:8333", "192.168.0.1:8333", "[::1]:8333"])
def test_neighbours_are_dialed_directly_as_in_core(text: str) -> None:
    routes = Routes(proxies=dict.fromkeys(Network, TOR))
    routes.proxies.pop(Network.NOT_PUBLICLY_ROUTABLE, None)  # type: ignore[attr-defined]
    assert routes.proxy_for(NetworkAddress.parse(text)) is None


def test_the_address_of_a_proxy_is_known_whatever_the_port() -> None:
    routes = Routes(proxies={Network.ONION: TOR, Network.IPV4: Proxy(Path("/run/tor.sock"))})
    assert routes.is_proxy(NetworkAddress.parse("10.0.0.9:51234"))
    assert not routes.is_proxy(NetworkAddress.parse("10.0.0.8:9050"))


def test_fc00_is_cjdns_only_for_who_is_on_it() -> None:
    private, cjdns = NetworkAddress.parse("[fc00::1]:8333"), NetworkAddress.parse("[fc00::1]:8333", cjdns=True)
    assert Routes().locate(private) == private
    on_it = Routes(reachable=frozenset({Network.CJDNS}))
    assert on_it.locate(private) == cjdns
    assert on_it.locate(NetworkAddress.parse("[2a00::1]:8333")) == NetworkAddress.parse("[2a00::1]:8333")


# -- what the options say ----------------------------------------------------------------------------------------------

V4, V6, TORS, CJDNS = Network.IPV4, Network.IPV6, Network.ONION, Network.CJDNS


@pytest.mark.parametrize(
    ("options", "proxies", "name_proxy", "reachable"),
    [
        ({}, {}, None, {V4, V6}),
        ({"proxy": ("1.2.3.4",)}, dict.fromkeys((V4, V6, TORS, CJDNS), "1.2.3.4:9050"), "1.2.3.4:9050", {V4, V6, TORS}),
        ({"proxy": ("1.2.3.4:1=onion",)}, {TORS: "1.2.3.4:1"}, None, {V4, V6, TORS}),
        ({"proxy": ("1.2.3.4:1=TOR",)}, {TORS: "1.2.3.4:1"}, None, {V4, V6, TORS}),
        ({"proxy": ("1.2.3.4:1=ipv4",)}, {V4: "1.2.3.4:1"}, "1.2.3.4:1", {V4, V6}),
        ({"proxy": ("[2a00::1]:1=ipv6",)}, {V6: "[2a00::1]:1"}, "[2a00::1]:1", {V4, V6}),
        ({"proxy": ("1.2.3.4:1=cjdns",)}, {CJDNS: "1.2.3.4:1"}, None, {V4, V6}),
        (
            {"proxy": ("1.2.3.4:1", "unix:/run/x=ipv4", "0=onion")},
            {V4: "unix:/run/x", V6: "1.2.3.4:1", CJDNS: "1.2.3.4:1"},
            "unix:/run/x",
            {V4, V6},
        ),
        ({"proxy": ("1.2.3.4:1", "0")}, {}, None, {V4, V6}),
        ({"proxy": ("1.2.3.4:1",), "onion": "0"}, dict.fromkeys((V4, V6, CJDNS), "1.2.3.4:1"), "1.2.3.4:1", {V4, V6}),
        ({"onion": "5.6.7.8:2"}, {TORS: "5.6.7.8:2"}, None, {V4, V6, TORS}),
        ({"onion": "unix:/run/tor"}, {TORS: "unix:/run/tor"}, None, {V4, V6, TORS}),
        (
            {"proxy": ("1.2.3.4:1",), "onlynet": ("onion",)},
            dict.fromkeys((V4, V6, TORS, CJDNS), "1.2.3.4:1"),
            "1.2.3.4:1",
            {TORS},
        ),
        ({"cjdnsreachable": True}, {}, None, {V4, V6, CJDNS}),
        ({"cjdnsreachable": True, "onlynet": ("cjdns", "ipv6")}, {}, None, {V6, CJDNS}),
        ({"cjdnsreachable": True, "onlynet": ("ipv4",)}, {}, None, {V4}),
    ],
)
def test_what_the_options_make_of_each_other(options, proxies, name_proxy, reachable) -> None:
    routes = build_routes(Config(**options))
    assert {network: str(proxy) for network, proxy in routes.proxies.items()} == proxies
    assert (None if routes.name_proxy is None else str(routes.name_proxy)) == name_proxy
    assert routes.reachable == reachable


def test_isolation_is_on_unless_somebody_says_otherwise() -> None:
    for randomize in (True, False):
        routes = build_routes(Config(proxy=("1.2.3.4",), onion="unix:/run/tor", proxyrandomize=randomize))
        assert {proxy.isolate for proxy in routes.proxies.values()} == {randomize}


def test_the_name_of_a_proxy_is_looked_up_at_the_start() -> None:
    assert str(build_routes(Config(onion="localhost:9150")).proxies[TORS]) in ("127.0.0.1:9150", "[::1]:9150")
    with pytest.raises(StartupError, match="Invalid -onion"):
        build_routes(Config(onion="localhost:9150", dns=False))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"proxy": ("abc..abc:23456",)}, "Invalid -proxy address or hostname: 'abc..abc:23456'"),
        ({"proxy": ("192.0.0.1:def",)}, "Invalid port specified in -proxy: '192.0.0.1:def'"),
        ({"proxy": ("192.0.0.1:0",)}, "Invalid port specified in -proxy: '192.0.0.1:0'"),
        ({"proxy": ("127.0.0.1:9050=",)}, "Invalid -proxy address or hostname, ends with '=': '127.0.0.1:9050='"),
        ({"proxy": ("127.0.0.1:9050=foo",)}, "Unrecognized network in -proxy='127.0.0.1:9050=foo': 'foo'"),
        ({"proxy": ("unix:" + "x" * 1000,)}, f"Invalid -proxy address or hostname: 'unix:{'x' * 1000}'"),
        ({"onion": "xyz..xyz:23456"}, "Invalid -onion address or hostname: 'xyz..xyz:23456'"),
        ({"onion": "192.0.0.1:def"}, "Invalid port specified in -onion: '192.0.0.1:def'"),
        (
            {"onlynet": ("onion",)},
            "Outbound connections restricted to Tor (-onlynet=onion) but the proxy for reaching the Tor network is not "
            "provided: none of -proxy, -onion or -listenonion is given",
        ),
        (
            {"onlynet": ("onion",), "onion": "0", "proxy": ("127.0.0.1:9050",)},
            "Outbound connections restricted to Tor (-onlynet=onion) but the proxy for reaching the Tor network is "
            "explicitly forbidden: -onion=0",
        ),
        (
            {"onlynet": ("ipv4", "i2p")},
            "Outbound connections restricted to i2p (-onlynet=i2p) but -i2psam is not provided",
        ),
        (
            {"onlynet": ("cjdns",)},
            "Outbound connections restricted to CJDNS (-onlynet=cjdns) but -cjdnsreachable is not provided",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_cores_words(options, message: str) -> None:
    with pytest.raises(StartupError) as caught:
        build_routes(Config(**options))
    assert str(caught.value) == message
    assert caught.value.exit_status is ExitStatus.CONFIG


def test_with_a_proxy_the_node_hides_unless_told_not_to() -> None:
    hidden = load_config(["--proxy=127.0.0.1"])
    assert (hidden.listen, hidden.discover, hidden.natpmp) == (False, False, False)
    assert hidden.origins["listen"] == "implied by proxy"
    told = load_config(["--proxy=127.0.0.1", "--listen", "--discover", "--natpmp"])
    assert (told.listen, told.discover, told.natpmp) == (True, True, True)
    for arguments in (["--proxy=0"], ["--proxy="], ["--proxy=127.0.0.1", "--noproxy"], ["--onion=127.0.0.1"]):
        assert load_config(arguments).listen, arguments


def test_who_connects_from_fc00_is_on_cjdns_where_we_are_on_it() -> None:
    class Manager:
        def accept(self, _sock, *places) -> None:
            self.places = places

    manager = Manager()
    room = NetworkRoom(
        manager,  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
        Routes(reachable=frozenset({Network.CJDNS})),
        None,  # type: ignore[arg-type]
        outbound=None,
        seeding=None,  # type: ignore[arg-type]
    )
    remote, local = NetworkAddress.parse("[fc00::1]:5"), NetworkAddress.parse("[fc00::2]:8333")
    entrance = Entrance(address=local)
    with gevent.socket.socket() as sock:
        room._accepted(sock, remote, local, entrance)
    assert manager.places == (remote.as_cjdns(), local.as_cjdns(), entrance)


def test_options_are_taken_back_like_others() -> None:
    assert load_config(["--onion=127.0.0.1", "--noonion"]).onion == "0"
    assert load_config(["--proxy=1.2.3.4", "--noproxy", "--proxy=1.2.3.5"]).proxy == ("1.2.3.5",)
    for argument in ("--nolistenonion", "--listenonion=0", "--noi2psam", "--i2pacceptincoming=0"):
        assert load_config([argument]).ignored
    for argument in ("--listenonion", "--i2psam=127.0.0.1:7656", "--i2pacceptincoming", "--torcontrol=127.0.0.1:9051"):
        with pytest.raises(ConfigError, match="this node does not have"):
            load_config([argument])

"""A node behind proxies, like Core's feature_proxy: what each proxy is asked for, and what the node tells of it."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ccnode.chain.networks import REGTEST
from ccnode.wire.handshake import Version
from tests.support.process import NodeProcess
from tests.support.scripted import HeaderPeer, Link, wait_until
from tests.support.socks import SocksServer

IPV4 = "15.61.23.23:1234"
IPV6 = "[1233:3432:2434:2343:3234:2345:6546:4534]:5443"
ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:8333"
CJDNS = "[fc00:1:2:3:4:5:6:7]:8888"
NAME = "node.noumenon:8333"
ALL = (IPV4, IPV6, ONION, CJDNS, NAME)


def parts(target: str) -> tuple[str, int]:
    host, port = target.rsplit(":", 1)
    return host.strip("[]"), int(port)


class Greeted(HeaderPeer):
    """A peer that keeps what it was greeted with."""

    def __init__(self) -> None:
        self.greetings: list[Version] = []
        super().__init__([], REGTEST.genesis)

    def serve(self, link: Link) -> None:
        self.greetings.append(link.handshake())
        while True:
            self.handle(link, link.receive(seconds=600))


@pytest.fixture
def peer() -> Iterator[Greeted]:
    with Greeted() as peer:
        yield peer


@pytest.fixture
def proxy(peer: Greeted) -> Iterator[SocksServer]:
    with leading_to(peer) as server:
        yield server


def leading_to(peer: HeaderPeer, path: Path | None = None) -> SocksServer:
    """A proxy on which every target of ours is that peer."""
    server = SocksServer(path)
    server.leads_to = {parts(target): peer.port for target in ALL}
    return server


def networks(node: NodeProcess) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in node.rpc("getnetworkinfo")["networks"]}


def by_address(node: NodeProcess) -> dict[str, dict[str, Any]]:
    return {peer["addr"]: peer for peer in node.rpc("getpeerinfo") if peer["version"]}


def connect(node: NodeProcess, target: str) -> dict[str, Any]:
    node.rpc("addnode", target, "onetry")
    found: dict[str, Any] = wait_until(lambda: by_address(node).get(target))
    return found


def test_every_kind_of_destination_goes_through_the_proxy_as_a_name(
    proxy: SocksServer, peer: Greeted, tmp_path: Path
) -> None:
    with NodeProcess(tmp_path, f"--proxy={proxy.target}", "--cjdnsreachable", "--nolisten") as node:
        shown = {target: connect(node, target) for target in ALL}
        assert proxy.hosts() == [parts(target) for target in ALL]
        assert {request.kind for request in proxy.requests} == {3}
        shown_networks = [shown[target]["network"] for target in ALL]
        assert shown_networks == ["ipv4", "ipv6", "onion", "cjdns", "not_publicly_routable"]
        assert all(info["addrbind"].startswith("127.0.0.1:") for info in shown.values())
        assert len({(request.user, request.password) for request in proxy.requests}) == len(ALL), "streams are isolated"
        wait_until(lambda: len(peer.greetings) == len(ALL))
        told = sorted(str(greeting.addr_recv.address) for greeting in peer.greetings)
        assert told == sorted([IPV4, IPV6, *["[::]:0"] * 3]), "the peer's address, where it fits and is known"
        for name in ("ipv4", "ipv6", "onion", "cjdns"):
            info = networks(node)[name]
            assert (info["proxy"], info["proxy_randomize_credentials"]) == (proxy.target, True)
            assert info["reachable"]
            assert not info["limited"]
        assert networks(node)["i2p"] == {
            "name": "i2p", "limited": True, "reachable": False, "proxy": "", "proxy_randomize_credentials": False
        }  # fmt: skip


def test_a_target_is_connected_once_by_its_name(proxy: SocksServer, tmp_path: Path) -> None:
    with NodeProcess(tmp_path, f"--proxy={proxy.target}", "--nolisten") as node:
        for target in (NAME, ONION):
            connect(node, target)
            node.rpc("addnode", target, "onetry")
            node.rpc("addnode", target, "add")
            [added] = node.rpc("getaddednodeinfo", target)
            assert added["connected"]
        assert proxy.hosts() == [parts(NAME), parts(ONION)]
        assert len(node.rpc("getpeerinfo")) == 2


def test_without_proxyrandomize_no_credentials_are_offered(proxy: SocksServer, tmp_path: Path) -> None:
    with NodeProcess(tmp_path, f"--proxy={proxy.target}", "--proxyrandomize=0", "--nolisten") as node:
        for target in (IPV4, NAME):
            connect(node, target)
        assert [(request.methods, request.user) for request in proxy.requests] == [(b"\x00", None)] * 2
        assert not networks(node)["ipv4"]["proxy_randomize_credentials"]


def test_tor_may_have_a_proxy_of_its_own_and_a_unix_socket_will_do(
    proxy: SocksServer, peer: Greeted, tmp_path: Path
) -> None:
    with leading_to(peer, tmp_path / "tor.sock") as tor:
        options = (f"--proxy={proxy.target}", f"--onion={tor.target}", "--nolisten")
        with NodeProcess(tmp_path / "node", *options) as node:
            for target in (IPV4, ONION, NAME):
                connect(node, target)
            assert proxy.hosts() == [parts(IPV4), parts(NAME)]
            assert tor.hosts() == [parts(ONION)]
            assert networks(node)["onion"]["proxy"] == tor.target
            assert "addrbind" not in by_address(node)[ONION]


def test_a_proxy_for_one_network_leaves_the_others_alone(proxy: SocksServer, tmp_path: Path) -> None:
    with NodeProcess(tmp_path, f"--proxy={proxy.target}=onion") as node:
        connect(node, ONION)
        shown = networks(node)
        assert [shown[name]["proxy"] for name in ("ipv4", "ipv6", "onion")] == ["", "", proxy.target]
        assert shown["ipv4"]["reachable"]


def test_noonion_shuts_tor_off(proxy: SocksServer, tmp_path: Path) -> None:
    with NodeProcess(tmp_path, f"--proxy={proxy.target}", "--noonion", "--nolisten", "--debug=net") as node:
        node.rpc("addnode", ONION, "onetry")
        assert "onion addresses are reached through a proxy, and none is configured" in node.text()
        assert not networks(node)["onion"]["reachable"]
        assert proxy.connections == 0


def test_neighbours_are_dialed_past_the_proxy(proxy: SocksServer, peer: Greeted, tmp_path: Path) -> None:
    with NodeProcess(tmp_path, f"--proxy={proxy.target}", "--nolisten") as node:
        connect(node, peer.target)
        assert proxy.connections == 0


def test_a_refusal_says_why(proxy: SocksServer, tmp_path: Path) -> None:
    proxy.leads_to.clear()
    with NodeProcess(tmp_path, f"--proxy={proxy.target}", "--nolisten", "--debug=net") as node:
        for code, words in ((0x05, "connection refused"), (0xF2, "onion service introduction failed")):
            proxy.refusal = code
            node.rpc("addnode", ONION, "onetry")
            assert f"connection to {ONION} failed: {words}" in node.text()
        proxy.close()
        node.rpc("addnode", ONION, "onetry")
        assert f"connection to {ONION} failed: proxy {proxy.target}: Connection refused" in node.text()


def test_automatic_connections_go_where_onlynet_says(proxy: SocksServer, peer: Greeted, tmp_path: Path) -> None:
    arguments = (f"--proxy={proxy.target}", "--onlynet=onion", "--nolisten", "--debug=net")
    with NodeProcess(tmp_path, *arguments, automatic=True) as node:
        shown = networks(node)
        assert {name for name, info in shown.items() if info["reachable"]} == {"onion"}
        for target in (IPV4, ONION):
            host, port = parts(target)
            assert node.rpc("addpeeraddress", host, port)["success"]
        wait_until(lambda: ONION in by_address(node), seconds=30)
        assert by_address(node)[ONION]["connection_type"] == "outbound-full-relay"
        assert proxy.hosts()[0] == parts(ONION)
        connect(node, IPV4)
        assert by_address(node)[IPV4]["connection_type"] == "manual", "a person may go anywhere"
        wait_until(lambda: node.rpc("getrawaddrman")["tried"])
        assert node.rpc("getnodeaddresses", 0, "onion")[0]["network"] == "onion"


def test_names_of_seeds_go_to_the_proxy_and_to_no_name_server(proxy: SocksServer, tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as name_server:
        name_server.bind(("127.0.0.1", 0))
        name_server.settimeout(0.1)
        arguments = (
            f"--proxy={proxy.target}",
            "--signetseednode=seed.noumenon",
            f"--dnsserver=127.0.0.1:{name_server.getsockname()[1]}",
            "--forcednsseed",
            "--nolisten",
        )
        with NodeProcess(tmp_path, *arguments, chain="signet", automatic=True):
            wait_until(lambda: proxy.hosts() == [("seed.noumenon", 38333)])
        with pytest.raises(TimeoutError):
            name_server.recv(1000)


def test_a_failing_proxy_is_not_held_against_addresses(proxy: SocksServer, tmp_path: Path) -> None:
    proxy.greeting = b"HTTP/1.1 400 Bad Request\r\n"
    with NodeProcess(tmp_path, f"--proxy={proxy.target}", "--nolisten", "--debug=net", automatic=True) as node:
        host, port = parts(IPV4)
        assert node.rpc("addpeeraddress", host, port)["success"]
        wait_until(lambda: "the proxy does not speak SOCKS5" in node.text(), seconds=30)
        dials = proxy.connections
        # without a try on record nothing keeps the address from being drawn again at once
        wait_until(lambda: proxy.connections > dials, seconds=30)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--onlynet=onion"], "none of -proxy, -onion or -listenonion is given"),
        (["--onlynet=onion", "--onion=0"], "explicitly forbidden: -onion=0"),
        (["--proxy=abc..abc:23456"], "Invalid -proxy address or hostname: 'abc..abc:23456'"),
        (["--i2psam=127.0.0.1:7656"], "I2P"),
        (["--listenonion"], "bind=ADDR:PORT=onion"),
    ],
)
def test_what_cannot_be_ends_the_start(options: list[str], words: str, tmp_path: Path) -> None:
    node = NodeProcess(tmp_path, *options, wait=False)
    assert node.process.wait(30) == 2
    assert words in node.text()


def test_slow_proxies_do_not_hold_up_the_stop(proxy: SocksServer, tmp_path: Path) -> None:
    proxy.silent = True
    with NodeProcess(tmp_path, f"--proxy={proxy.target}", f"--addnode={ONION}", "--nolisten") as node:
        wait_until(lambda: proxy.connections)
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 5


def test_an_onion_service_of_ones_own_is_an_entrance_for_tor(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "--bind=127.0.0.1:0=onion", "--listenonion=0") as node:
        link = Link.connect(node.port)
        link.handshake()
        [shown] = wait_until(lambda: list(by_address(node).values()))
        assert (shown["network"], shown["inbound"]) == ("onion", True)
        link.close()

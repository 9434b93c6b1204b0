"""A node that knows nobody finds its first peers: through DNS, named nodes, fixed seeds. All of it on loopback."""

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode.chain.networks import REGTEST
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, GetAddr, TimedAddress
from ccnode.wire.headers import GetHeaders
from ccnode.wire.message import Message
from tests.support.dns_server import Answer, DnsServer
from tests.support.process import NodeProcess
from tests.support.scripted import HeaderPeer, Link, wait_until


class Neighbour(HeaderPeer):
    """A serving peer that notes the kinds of messages it got; ``book`` is its answer to getaddr."""

    def __init__(self, host: str, port: int = 0, book: tuple[str, ...] = ()) -> None:
        self.book = book
        self.got: list[str] = []
        super().__init__([], REGTEST.genesis, host=host, port=port)

    def handle(self, link: Link, message: Message) -> None:
        self.got.append(message.command)
        if isinstance(message, GetAddr) and self.book:
            link.send(Addr(tuple(entry(text) for text in self.book)))
        super().handle(link, message)


def entry(target: str) -> TimedAddress:
    return TimedAddress(int(time.time()), 9, NetworkAddress.parse(target))


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def town(count: int) -> Iterator[list[Neighbour]]:
    """Neighbours on the same port, each in a /16 of its own: DNS knows no ports."""
    with contextlib.ExitStack() as stack:
        port = free_port()
        yield [stack.enter_context(Neighbour(f"127.{number}.0.1", port)) for number in range(1, count + 1)]


def start(tmp_path: Path, network: str, *arguments: str) -> NodeProcess:
    """A node of a network of its own, which has ``network`` besides regtest's rules."""
    conf = tmp_path / "own.yaml"
    conf.write_text(f"chain: own\nnetwork: {{base: regtest, magic: fabfb5da, {network}}}\n")
    return NodeProcess(
        tmp_path, f"--conf={conf}", "--allowunroutable", "--bind=127.0.0.1:0", *arguments, chain="own", automatic=True
    )


def outbound(node: NodeProcess, kind: str = "outbound-full-relay") -> set[str]:
    return {peer["addr"] for peer in node.rpc("getpeerinfo") if peer["connection_type"] == kind and peer["version"]}


def test_peers_are_found_through_dns_alone(tmp_path: Path) -> None:
    with DnsServer() as server, town(6) as neighbours:
        server.add("x9.seed.example", *(neighbour.host for neighbour in neighbours[:4]))
        server.add("x9.other.example", *(neighbour.host for neighbour in neighbours[4:]))
        network = f"port: {neighbours[0].port}, dns_seeds: [seed.example., other.example., gone.example.]"
        with start(tmp_path, network, f"--dnsserver={server.target}", "--debug=addrman") as node:
            wait_until(lambda: outbound(node) == {neighbour.target for neighbour in neighbours}, seconds=30)
            assert "Loading addresses from DNS seed seed.example." in node.text()
            assert "6 addresses found from DNS seeds" in node.text()
            asked = len(server.asked)
            assert node.stop() == 0
            node.restart()
            wait_until(lambda: len(outbound(node)) >= 2, seconds=30)
            assert len(server.asked) == asked, "known addresses come first"
            assert "Waiting 11 seconds before querying DNS seeds." in node.text()
            wait_until(lambda: "P2P peers available. Skipped DNS seeding." in node.text(), seconds=30)


def test_a_seed_without_an_answer_is_fetched_from(tmp_path: Path) -> None:
    with DnsServer() as server, town(3) as [seed, *others]:
        seed.book = tuple(neighbour.target for neighbour in others)
        server.add("seed.example", seed.host)
        network = f"port: {seed.port}, dns_seeds: [seed.example.]"
        with start(tmp_path, network, f"--dnsserver={server.target}") as node:
            wait_until(lambda: outbound(node) == set(seed.book), seconds=30)
            assert "1 of 1 DNS seeds: there is no such name" in node.text()
            assert "getheaders" not in seed.got


def test_a_silent_name_server_does_not_hold_up_the_stop(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(DnsServer({("x9.seed.example", "A"): Answer(silent=True)}))
        node = stack.enter_context(start(tmp_path, "dns_seeds: [seed.example.]", f"--dnsserver={server.target}"))
        wait_until(lambda: server.asked)
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 1.5


def test_after_a_minute_fixed_seeds_come_to_help(tmp_path: Path) -> None:
    with DnsServer() as server, town(1) as [neighbour]:
        network = f"dns_seeds: [seed.example.], fixed_seeds: ['{neighbour.target}']"
        with start(tmp_path, network, f"--dnsserver={server.target}") as node:
            wait_until(lambda: "1 of 1 DNS seeds: there is no such name" in node.text(), seconds=30)
            assert "0 addresses found from DNS seeds" in node.text()
            assert outbound(node) == set()
            node.rpc("setmocktime", int(time.time()) + 62)
            wait_until(lambda: outbound(node) == {neighbour.target}, seconds=30)
            assert "Adding fixed seeds as 60 seconds have passed and addrman is empty" in node.text()


def test_without_other_sources_fixed_seeds_come_at_once(tmp_path: Path) -> None:
    with town(1) as [neighbour]:
        network = f"dns_seeds: [seed.example.], fixed_seeds: ['{neighbour.target}']"
        with start(tmp_path, network, "--dnsseed=0") as node:
            wait_until(lambda: outbound(node) == {neighbour.target}, seconds=30)
            assert "Adding fixed seeds as -dnsseed=0" in node.text()


@pytest.mark.parametrize("option", ["--nofixedseeds", "--addnode=127.0.0.1:1", "--seednode=127.0.0.1:1"])
def test_fixed_seeds_are_not_used_at_once_where_others_may_help(tmp_path: Path, option: str) -> None:
    with start(tmp_path, "fixed_seeds: ['127.1.0.1:1']", "--dnsseed=0", option) as node:
        time.sleep(1.2)  # two looks
        assert node.rpc("getaddrmaninfo")["all_networks"]["total"] == 0


def test_seed_nodes_are_asked_for_addresses_and_left(tmp_path: Path) -> None:
    with town(3) as [first, second, other]:
        first.book = second.book = (other.target, "127.77.0.1:1")  # nobody is there
        targets = [f"--seednode={first.target}", f"--seednode={second.target}"]
        with start(tmp_path, "port: 1", *targets) as node:
            node.rpc("setmocktime", int(time.time()))
            wait_until(lambda: outbound(node) == {other.target}, seconds=30)
            assert "Empty addrman, adding seednode (127." in node.text()
            assert first.connections + second.connections == 1
            node.rpc("setmocktime", int(time.time()) + 12)  # one full-relay peer is too few
            wait_until(lambda: (first.connections, second.connections) == (1, 1))
            assert "Couldn't connect to peers from addrman after 10 seconds. Adding seednode (127." in node.text()
            wait_until(lambda: node.text().count("gave us addresses") == 2)
            assert outbound(node, "addr-fetch") == set()
            assert "getheaders" not in first.got + second.got


class Quiet(Neighbour):
    """Says nothing by itself; the test has the link."""

    def handle(self, link: Link, message: Message) -> None:
        self.got.append(message.command)


def test_an_address_fetch_ends_with_addresses_or_after_five_minutes(tmp_path: Path) -> None:
    with Quiet("127.0.0.1") as quiet, NodeProcess(tmp_path, "--allowunroutable") as node:
        now = int(time.time())
        node.rpc("setmocktime", now)

        def fetch() -> Link:
            node.rpc("addconnection", quiet.target, "addr-fetch", False)
            wait_until(lambda: outbound(node, "addr-fetch"))
            return quiet.links[-1]

        link = fetch()
        wait_until(lambda: GetAddr.command in quiet.got)
        link.send(Addr((entry("127.5.0.1:1"),)))  # what a peer says of itself
        link.send(AddrV2((entry("127.6.0.1:1"),)))
        wait_until(lambda: node.rpc("getaddrmaninfo")["all_networks"]["total"] == 2)
        assert outbound(node, "addr-fetch") == {quiet.target}
        link.send(Addr((entry("127.7.0.1:1"), entry("127.8.0.1:1"))))
        wait_until(lambda: not node.rpc("getpeerinfo"))
        assert "gave us addresses" in node.text()

        fetch()
        node.rpc("setmocktime", now + 300)
        time.sleep(0.2)
        assert outbound(node, "addr-fetch") == {quiet.target}
        node.rpc("setmocktime", now + 301)
        wait_until(lambda: not node.rpc("getpeerinfo"))
        assert "address fetch timeout" in node.text()
        assert GetHeaders.command not in quiet.got

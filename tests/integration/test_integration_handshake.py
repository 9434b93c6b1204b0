"""The handshake of a running node, seen from outside: what it says to whom, whom it leaves, and when."""

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ccnode.chain.networks import REGTEST
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import Addr, GetAddr, TimedAddress
from ccnode.wire.handshake import (
    SendAddrV2,
    SendCmpct,
    SendHeaders,
    SendTxRcncl,
    ServiceAddress,
    Verack,
    Version,
    WtxidRelay,
)
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.inventory import Inv, InvItem
from ccnode.wire.keepalive import FeeFilter, Ping, Pong
from ccnode.wire.message import Message
from ccnode.wire.protocol import InvType
from tests.support.fakes import GENESIS_TIME, HeaderLine
from tests.support.hostile import frame
from tests.support.process import NodeProcess
from tests.support.scripted import Closed, HeaderPeer, Link, version_message, wait_until

NETWORK, WITNESS, LIMITED = 1, 8, 1024
MINUTE = 60
DAY = 86_400

Log = Callable[[str], object]

AUTOMATIC = ["outbound-full-relay", "block-relay-only", "addr-fetch"]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    """A node for all tests that need no options."""
    with NodeProcess(tmp_path_factory.mktemp("handshake"), "--debug=net", "--uacomment=comment") as running:
        yield running


@pytest.fixture
def node(shared: NodeProcess) -> Iterator[NodeProcess]:
    """The shared node, without connections and with the clock running."""
    yield shared
    shared.rpc("setmocktime", 0)
    shared.rpc("setnetworkactive", False)
    wait_until(lambda: not shared.rpc("getpeerinfo"))
    shared.rpc("setnetworkactive", True)


@pytest.fixture
def log(shared: NodeProcess) -> Log:
    """Waits until the shared node has logged these words in this test."""
    begin = len(shared.text())
    return lambda words: wait_until(lambda: words in shared.text()[begin:])


class Listener(HeaderPeer):
    """A peer that the node dials: it offers ``services``, and notes what it is sent until the end."""

    def __init__(self, services: int = NETWORK | WITNESS, *, version: int = 70016, silent: bool = False) -> None:
        self.services = services
        self.version = version
        self.silent = silent
        self.heard: list[Message] = []
        self.ended = False
        super().__init__([], REGTEST.genesis)

    def serve(self, link: Link) -> None:
        try:
            if not self.silent:
                self.heard.append(link.expect(Version))
                link.send(version_message(services=self.services, version=self.version))
            while True:
                message = link.receive(seconds=600)
                self.heard.append(message)
                if isinstance(message, Verack):
                    link.send(Verack())
                self.handle(link, message)
        finally:
            self.ended = True

    def commands(self) -> list[str]:
        return [message.command for message in self.heard]

    def close_connections(self) -> None:
        for link in self.links:
            link.sock.shutdown(socket.SHUT_RDWR)


def dial(node: NodeProcess, peer: HeaderPeer, kind: str) -> None:
    """Have the node open a connection of this type."""
    if kind == "manual":
        node.rpc("addnode", peer.target, "onetry")
    else:
        node.rpc("addconnection", peer.target, kind, False)


def quiet(link: Link, seconds: float = 0.3) -> list[Message]:
    """What still comes for so long."""
    messages = []
    with contextlib.suppress(TimeoutError):
        while True:
            messages.append(link.receive(seconds))
    return messages


def info(node: NodeProcess) -> dict[str, Any]:
    """Of the only peer."""
    [only] = node.rpc("getpeerinfo")
    return dict(only)


# -- nothing leaks before the handshake --------------------------------------------------------------------------------


def before_version() -> list[Message]:
    """One of everything that a stranger may try."""
    address = TimedAddress(GENESIS_TIME, 9, NetworkAddress.parse("8.8.8.8:8333"))
    return [
        Verack(),
        Ping(1),
        GetAddr(),
        Addr((address,)),
        GetHeaders((REGTEST.genesis_hash,), bytes(32)),
        Headers.build([]),
        Inv.build([InvItem(InvType.BLOCK, bytes(32))]),
        FeeFilter(1),
        SendHeaders(),
        SendCmpct(True, 2),
        WtxidRelay(),
        SendAddrV2(),
    ]


def test_a_peer_that_says_nothing_is_told_nothing(node: NodeProcess) -> None:
    link = Link.connect(node.port)
    assert quiet(link) == []
    link.send(*before_version())
    assert quiet(link) == [], "not even a version, as long as it did not send one"
    assert info(node)["version"] == 0


def test_without_a_verack_a_peer_is_told_version_features_and_verack_only(node: NodeProcess) -> None:
    link = Link.connect(node.port)
    link.send(version_message())
    told = [link.receive().command for _ in range(4)]
    assert told == ["version", "wtxidrelay", "sendaddrv2", "verack"]
    link.send(*[message for message in before_version() if not isinstance(message, Verack)])
    assert quiet(link) == []
    link.send(Verack())
    link.expect(Ping)


def test_our_version_leaks_no_address_of_ours(node: NodeProcess) -> None:
    link = Link.connect(node.port)
    ours = link.handshake()
    assert ours.addr_from == ServiceAddress(ours.services)
    assert ours.addr_recv == ServiceAddress(), "127.0.0.1 means nothing to a peer"
    assert ours.relay is False
    assert ours.start_height == 0
    assert (ours.user_agent or b"").endswith(b"(comment)/")


@pytest.mark.parametrize(("version", "accepted"), [(31799, False), (31800, True)])
def test_versions_below_31800_are_dropped(node: NodeProcess, log: Log, version: int, accepted: bool) -> None:
    link = Link.connect(node.port)
    link.send(version_message(version=version))
    if accepted:
        assert [link.receive().command for _ in range(2)] == ["version", "verack"], "and it is offered no features"
    else:
        link.expect_close()
        log(f"obsolete protocol version {version}")


def test_a_user_agent_over_256_bytes_never_completes_the_handshake(node: NodeProcess) -> None:
    link = Link.connect(node.port)
    link.send(replace(version_message(), user_agent=b"x" * 257), Verack())
    assert quiet(link) == []
    assert info(node)["version"] == 0
    link.send(replace(version_message(), user_agent=b"x" * 256))
    link.expect(Verack)
    assert info(node)["subver"] == "x" * 256


# -- out of turn -------------------------------------------------------------------------------------------------------


def test_a_second_version_and_a_redundant_verack_are_ignored(node: NodeProcess, log: Log) -> None:
    link = Link.connect(node.port)
    link.handshake()
    link.send(version_message(version=70002, services=0), Verack(), Verack(), Ping(5))
    while link.expect(Pong).nonce != 5:
        pass
    assert info(node)["version"] == 70016
    log("redundant verack")


@pytest.mark.parametrize("feature", [WtxidRelay(), SendAddrV2()])
def test_features_after_verack_end_the_connection(node: NodeProcess, log: Log, feature: Message) -> None:
    link = Link.connect(node.port)
    link.handshake()
    link.send(feature)
    link.expect_close()
    log(f"{feature.command} after verack")


def test_features_may_be_repeated_before_verack(node: NodeProcess) -> None:
    link = Link.connect(node.port)
    link.send(version_message(), WtxidRelay(), WtxidRelay(), SendAddrV2(), SendAddrV2(), Verack(), Ping(7))
    while link.expect(Pong).nonce != 7:
        pass


@pytest.mark.parametrize("salt_version", [0, 1, 2])
def test_sendtxrcncl_is_neither_sent_nor_minded(node: NodeProcess, salt_version: int) -> None:
    offer = SendTxRcncl(salt_version, 2)
    link = Link.connect(node.port)
    link.send(offer, version_message(), offer, offer, Verack(), offer, Ping(7))
    told = []
    while not (told and isinstance(told[-1], Pong)):
        told.append(link.receive())
    assert "sendtxrcncl" not in [message.command for message in told]


# -- outbound ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("outbound-full-relay", ["version", "wtxidrelay", "sendaddrv2", "verack", "getaddr"]),
        ("manual", ["version", "wtxidrelay", "sendaddrv2", "verack", "getaddr"]),
        ("addr-fetch", ["version", "wtxidrelay", "sendaddrv2", "verack", "getaddr"]),
        ("block-relay-only", ["version", "wtxidrelay", "sendaddrv2", "verack"]),
    ],
)
def test_each_type_says_what_it_is_to_say(node: NodeProcess, kind: str, told: list[str]) -> None:
    with Listener() as peer:
        dial(node, peer, kind)
        wait_until(lambda: info(node)["version"])
        assert info(node)["connection_type"] == kind
        wait_until(lambda: "ping" in peer.commands())
        assert peer.commands()[: len(told)] == told
        assert ("getheaders" in peer.commands()) is (kind != "addr-fetch")
        assert ("getaddr" in peer.commands()) is ("getaddr" in told)
        assert "sendcmpct" not in peer.commands()
        assert "feefilter" not in peer.commands()


def test_a_feeler_leaves_right_after_the_version(node: NodeProcess) -> None:
    for services in (NETWORK | WITNESS, 0):
        with Listener(services) as peer:
            dial(node, peer, "feeler")
            wait_until(lambda peer=peer: peer.ended)
            assert peer.commands() == ["version", "wtxidrelay", "sendaddrv2", "verack", "getaddr"]
            wait_until(lambda: not node.rpc("getpeerinfo"))


@pytest.mark.parametrize("kind", [*AUTOMATIC, "manual"])
@pytest.mark.parametrize("services", [0, NETWORK, WITNESS, LIMITED | WITNESS])
def test_services_that_are_not_enough(node: NodeProcess, log: Log, kind: str, services: int) -> None:
    with Listener(services) as peer:
        dial(node, peer, kind)
        if kind == "manual":
            wait_until(lambda: info(node)["version"])
        else:
            wait_until(lambda: peer.ended)
            assert peer.commands() == ["version"], "it is told no more"
            log("does not offer the services we need")


@pytest.mark.parametrize("kind", AUTOMATIC)
@pytest.mark.parametrize(("tip_age", "enough"), [(144 * 600 - 1, True), (144 * 600, False)])
def test_peers_of_recent_blocks_are_enough_near_the_tip(
    node: NodeProcess, kind: str, tip_age: int, enough: bool
) -> None:
    node.rpc("setmocktime", GENESIS_TIME + tip_age)
    with Listener(LIMITED | WITNESS) as peer:
        dial(node, peer, kind)
        if enough:
            wait_until(lambda: info(node)["version"])
        else:
            wait_until(lambda: peer.ended)


@pytest.mark.parametrize("kind", ["outbound-full-relay", "manual"])
def test_an_old_node_that_we_dial_is_left(node: NodeProcess, kind: str) -> None:
    with Listener(version=31799) as peer:
        dial(node, peer, kind)
        wait_until(lambda: peer.ended)
        assert peer.commands() == ["version"]


def test_a_connection_to_ourselves_ends(node: NodeProcess, log: Log) -> None:
    node.rpc("addnode", f"127.0.0.1:{node.port}", "onetry")
    log("connected to ourselves")
    wait_until(lambda: not node.rpc("getpeerinfo"))


def test_connections_opened_by_hand_have_slots(node: NodeProcess) -> None:
    with contextlib.ExitStack() as stack:
        for kind, most in (("outbound-full-relay", 8), ("block-relay-only", 2)):
            for _ in range(most):
                dial(node, stack.enter_context(Listener()), kind)
            with pytest.raises(Exception, match="Already at capacity for specified connection type"):
                dial(node, stack.enter_context(Listener()), kind)
        dial(node, stack.enter_context(Listener()), "addr-fetch")
        with pytest.raises(Exception, match="Already at capacity"):
            dial(node, stack.enter_context(Listener()), "feeler")
        assert len(node.rpc("getpeerinfo")) == 11
        dial(node, stack.enter_context(Listener()), "manual")
        wait_until(lambda: len(node.rpc("getpeerinfo")) == 12)


# -- timers ------------------------------------------------------------------------------------------------------------

SILENT: dict[str, Callable[[Link], None]] = {
    "says nothing": lambda link: None,
    "sends no version": lambda link: link.send(Ping(1)),
    "sends no verack": lambda link: link.send(version_message()),
    "is a chatterer without verack": lambda link: link.send(version_message(), Ping(1), Ping(2)),
}


@pytest.mark.parametrize("behaviour", SILENT)
def test_the_handshake_has_a_minute(node: NodeProcess, behaviour: str) -> None:
    began = GENESIS_TIME + DAY
    node.rpc("setmocktime", began)
    link = Link.connect(node.port)
    SILENT[behaviour](link)
    if "verack" in behaviour:
        link.expect(Verack)
    wait_until(lambda: node.rpc("getpeerinfo"))
    node.rpc("setmocktime", began + MINUTE)
    assert all(not isinstance(message, Ping) for message in quiet(link, 0.1))
    assert len(node.rpc("getpeerinfo")) == 1, "a minute is not more than a minute"
    node.rpc("setmocktime", began + MINUTE + 1)
    link.expect_close()


def test_an_outbound_peer_has_a_minute_as_well(node: NodeProcess) -> None:
    began = GENESIS_TIME + DAY
    node.rpc("setmocktime", began)
    with Listener(silent=True) as peer:
        dial(node, peer, "manual")
        wait_until(lambda: peer.commands() == ["version"])
        node.rpc("setmocktime", began + MINUTE + 1)
        wait_until(lambda: peer.ended)


def test_peertimeout_is_an_option(tmp_path: Path) -> None:
    with NodeProcess(tmp_path, "--peertimeout=3") as node:
        began = GENESIS_TIME + DAY
        node.rpc("setmocktime", began)
        link = Link.connect(node.port)
        wait_until(lambda: node.rpc("getpeerinfo"))
        node.rpc("setmocktime", began + 4)
        link.expect_close()


def test_an_address_fetch_has_five_minutes(node: NodeProcess) -> None:
    began = GENESIS_TIME + DAY
    node.rpc("setmocktime", began)
    with Listener() as peer:
        dial(node, peer, "addr-fetch")
        wait_until(lambda: "verack" in info(node)["bytesrecv_per_msg"])
        node.rpc("setmocktime", began + 300)
        assert len(node.rpc("getpeerinfo")) == 1
        node.rpc("setmocktime", began + 301)
        wait_until(lambda: peer.ended)


# -- ping --------------------------------------------------------------------------------------------------------------


def test_ping_and_what_is_known_of_it(node: NodeProcess) -> None:
    now = GENESIS_TIME + DAY
    node.rpc("setmocktime", now)
    link = Link.connect(node.port)
    link.handshake()
    first = link.expect(Ping)
    node.rpc("setmocktime", now + 3)
    assert pings(node) == (None, None, 3), "the first goes out with the handshake"
    link.send(Pong(first.nonce))
    wait_until(lambda: pings(node) == (3, 3, None))

    node.rpc("ping")
    asked = link.expect(Ping)
    node.rpc("setmocktime", now + 8)
    assert pings(node) == (3, 3, 5)
    link.send(Pong((asked.nonce or 0) ^ 1), Ping(8))
    link.expect(Pong)
    assert pings(node) == (3, 3, 5), "another nonce: it still waits"
    link.send(Pong(asked.nonce))
    wait_until(lambda: pings(node) == (5, 3, None))

    for step, cancels in enumerate((b"\0" * 8, b"\1" * 7, b""), start=1):
        node.rpc("ping")
        link.expect(Ping)
        node.rpc("setmocktime", now + 8 + step)
        assert pings(node) == (5, 3, 1)
        link.send_raw(frame("pong", cancels))
        wait_until(lambda: pings(node) == (5, 3, None))  # what was cancelled tells nothing


def pings(node: NodeProcess) -> tuple[float | None, float | None, float | None]:
    """Last ping, shortest ping, and how long one has been waiting; None for what is not shown."""
    shown = info(node)
    return shown.get("pingtime"), shown.get("minping"), shown.get("pingwait")


def test_an_unsolicited_pong_changes_nothing(node: NodeProcess) -> None:
    link = Link.connect(node.port)
    link.handshake()
    link.send(Pong(link.expect(Ping).nonce), Pong(0), Pong(99), Ping(3))
    link.expect(Pong)
    assert "pingwait" not in info(node)


# -- by command --------------------------------------------------------------------------------------------------------


def test_disconnectnode_by_address_and_by_number(node: NodeProcess) -> None:
    first, second = Link.connect(node.port), Link.connect(node.port)
    peers = {peer["addr"]: peer["id"] for peer in wait_until(lambda: two_peers(node))}
    host, port = first.sock.getsockname()
    node.rpc("disconnectnode", f"{host}:{port}")
    first.expect_close()
    wait_until(lambda: len(node.rpc("getpeerinfo")) == 1)
    host, port = second.sock.getsockname()
    node.rpc("disconnectnode", "", peers[f"{host}:{port}"])
    second.expect_close()
    wait_until(lambda: not node.rpc("getpeerinfo"))
    with pytest.raises(Exception, match="Node not found in connected nodes"):
        node.rpc("disconnectnode", "", peers[f"{host}:{port}"])


def two_peers(node: NodeProcess) -> list[dict[str, Any]]:
    peers: list[dict[str, Any]] = node.rpc("getpeerinfo")
    return peers if len(peers) == 2 else []


def test_with_the_network_off_there_are_no_connections(node: NodeProcess) -> None:
    inbound = Link.connect(node.port)
    inbound.handshake()
    with Listener() as peer:
        node.rpc("addnode", peer.target, "add")
        wait_until(lambda: peer.connections == 1)
        assert node.rpc("setnetworkactive", False) is False
        inbound.expect_close()
        wait_until(lambda: not node.rpc("getpeerinfo"))
        with pytest.raises((Closed, OSError)):
            Link.connect(node.port).handshake()
        node.rpc("addnode", peer.target, "onetry")
        assert peer.connections == 1, "nothing is dialed"
        assert node.rpc("getnetworkinfo")["networkactive"] is False
        assert node.rpc("setnetworkactive", True) is True
        wait_until(lambda: peer.connections == 2)
        Link.connect(node.port).handshake()
        node.rpc("addnode", peer.target, "remove")


def test_with_connect_nobody_else_is_dialed(tmp_path: Path) -> None:
    with (
        Listener() as chosen,
        Listener() as known,
        NodeProcess(tmp_path, f"--connect={chosen.target}", "--allowunroutable") as node,
    ):
        wait_until(lambda: chosen.connections == 1)
        host, port = known.target.rsplit(":", 1)
        assert node.rpc("addpeeraddress", host, int(port))["success"]
        chosen.close_connections()
        wait_until(lambda: chosen.connections == 2)  # by now a loop that opens others would have turned as well
        assert info(node)["connection_type"] == "manual"
        assert known.connections == 0


def test_a_node_may_start_with_the_network_off(tmp_path: Path) -> None:
    with Listener() as peer, NodeProcess(tmp_path, "--networkactive=0", f"--addnode={peer.target}") as node:
        assert node.rpc("getnetworkinfo")["networkactive"] is False
        with pytest.raises((Closed, OSError)):
            Link.connect(node.port).handshake()
        assert peer.connections == 0
        node.rpc("setnetworkactive", True)
        wait_until(lambda: peer.connections == 1)


# -- outbound peers that do not keep up --------------------------------------------------------------------------------


class Behind(Listener):
    """Serves a chain one header behind, until it is told to catch up."""

    def __init__(self, line: HeaderLine) -> None:
        super().__init__()
        self.line = line
        self.set_chain(line.headers[1:-1], line.headers[0])

    def catch_up(self) -> None:
        self.set_chain(self.line.headers[1:], self.line.headers[0])


@pytest.mark.parametrize("kind", ["outbound-full-relay", "block-relay-only"])
def test_an_outbound_peer_behind_our_chain_is_asked_after_20_minutes_and_left_after_22(
    tmp_path: Path, kind: str
) -> None:
    line = HeaderLine().grow(3)
    with NodeProcess(tmp_path, "--debug=net") as node, Behind(line) as late, Behind(line) as late_but_good:
        now = line.time + 600
        node.rpc("setmocktime", now)
        for header in line.headers[1:]:
            node.rpc("submitheader", header.hex())
        for peer in (late, late_but_good):
            dial(node, peer, kind)
            wait_until(lambda peer=peer: len(peer.requests) == 1)
        for minutes in (10, 20):
            node.rpc("setmocktime", now + minutes * MINUTE)
            node.rpc("ping")  # both are alive
            wait_until(lambda: all("pingwait" not in peer for peer in node.rpc("getpeerinfo")))
        assert [len(peer.requests) for peer in (late, late_but_good)] == [1, 1]
        late_but_good.catch_up()
        node.rpc("setmocktime", now + 20 * MINUTE + 1)
        for peer in (late, late_but_good):
            wait_until(lambda peer=peer: len(peer.requests) == 2)
            assert peer.requests[-1].locator[0] == line.hashes[2], "from the parent of the tip it lacks"
        wait_until(lambda: sorted(peer["synced_headers"] for peer in node.rpc("getpeerinfo")) == [-1, 3])
        node.rpc("setmocktime", now + 22 * MINUTE + 2)
        wait_until(lambda: late.ended)
        wait_until(lambda: "its chain stays behind ours" in node.text())
        assert not late_but_good.ended

"""The figures of a node: as ``getnodestats`` has them, as Prometheus reads them, and the server under bad clients."""

import logging
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from admin_support import TestNode
from gevent import socket
from prometheus_client import generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from ccnode import __version__
from ccnode.admin import metrics as metrics_module
from ccnode.admin.collector import NodeCollector
from ccnode.admin.figures import BlockFigures, NodeFigures
from ccnode.admin.metrics import MAX_CONNECTIONS, MetricsServer
from ccnode.chain.verdict import BlockVerdict, ValidationResult
from ccnode.errors import ExitStatus, StartupError
from ccnode.network.hub import DeadlineExceeded
from ccnode.network.statistics import ConnectionStatistics
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour, Violation
from ccnode.peers.peer import ConnectionType
from ccnode.peers.subnet import Subnet
from ccnode.peers.traffic import ONE_MESSAGE, Traffic
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import TimedAddress
from tests.support.clock import ManualClock
from tests.support.network import eventually

LOOPBACK = NetworkAddress.parse("127.0.0.1:0")


@pytest.fixture
def node(tmp_path: Path) -> TestNode:
    return TestNode(tmp_path)


@pytest.fixture
def figures(node: TestNode) -> NodeFigures:
    """Of a node to which a little has happened."""
    clock = ManualClock()
    manager = SimpleNamespace(
        peers=node.net.peers,
        traffic=Traffic(clock, upload_target=1_000_000),
        statistics=ConnectionStatistics(),
        message_tallies=lambda *, received: (
            {"ping": 2 * ONE_MESSAGE + 64} if received else {"verack": ONE_MESSAGE + 24}
        ),
        send_queue_bytes=17,
        receive_budget_used=0,
    )
    network: Any = SimpleNamespace(manager=manager, listening=node.net.listening)
    timers: Any = [1, 2, 3]
    lag: Any = SimpleNamespace(percentiles=lambda: {"p50": 0.001, "p99": 0.01, "max": 0.02, "worst": 0.5})
    discouragement = Discouragement()
    misbehaviour = Misbehaviour(discouragement)
    figures = NodeFigures(
        network=network,
        chain=node.chain,
        addrman=node.addrman,
        bans=node.bans,
        discouragement=discouragement,
        misbehaviour=misbehaviour,
        timers=timers,
        lag=lag,
    )
    node.mine(2)
    manager.traffic.received.add(64)
    manager.traffic.note_sent(24)
    clock.advance(1)
    node.connect("1.2.3.4:8333")
    misbehaviour.report(node.connect("1.2.3.5:5000", ConnectionType.INBOUND), Violation.HIGH_HASH)
    node.bans.ban(Subnet.parse("5.5.5.0/24"))
    addresses = [TimedAddress(int(node.clock.now()), 9, NetworkAddress.parse(f"9.{n}.1.1:8333")) for n in range(5)]
    node.addrman.add(addresses, NetworkAddress.parse("7.7.7.7:8333"))
    node.addrman.good(addresses[0].address)
    counted = manager.statistics
    counted.attempts[ConnectionType.FEELER] += 3
    counted.failed(ConnectionType.FEELER, ConnectionRefusedError(111, "Connection refused"))
    counted.failed(ConnectionType.FEELER, DeadlineExceeded("late"))
    counted.refused["banned"] += 1
    counted.accepted, counted.evicted = 4, 1
    return figures


def test_the_figures_of_getnodestats(figures: NodeFigures) -> None:
    report: Any = figures.report()
    assert report["traffic"]["received"] == {
        "bytes": 64,
        "messages": 2,
        "bytes_per_second": {"1s": 64.0, "1m": 64.0, "1h": 64.0},
        "bytes_per_msg": {"ping": 64},
        "messages_per_msg": {"ping": 2},
    }
    assert report["traffic"]["sent"]["bytes_per_msg"] == {"verack": 24}
    assert report["connections"] == {
        "attempts": {"feeler": 3},
        "failures": [
            {"type": "feeler", "reason": "refused", "count": 1},
            {"type": "feeler", "reason": "no answer", "count": 1},
        ],
        "accepted": 4,
        "refused": {"banned": 1},
        "evicted": 1,
    }
    assert report["bans"] == {
        "listed": 1,
        "made": {"by hand": 1, "for misbehaviour": 0},
        "discouraged": 1,
        "discouraged_since_start": 1,
        "violations": {"high-hash": 1},
    }
    tried = report["addrman"]["tried"]
    assert tried["addresses"] == {"ipv4": 1, "ipv6": 0, "onion": 0, "i2p": 0, "cjdns": 0, "all_networks": 1}
    assert (tried["slots"], tried["slots_taken"], tried["buckets"], tried["buckets_begun"]) == (16384, 1, 256, 1)
    assert report["addrman"]["new"]["slots_taken"] == 4


class MovingChain:
    """Tells of blocks as a chain state does."""

    def __init__(self) -> None:
        self.tell: dict[str, Callable[..., object]] = {}

    def __getattr__(self, name: str) -> Callable[[Callable[..., object]], None]:
        return lambda callback: self.tell.update({name: callback})


def test_a_node_with_blocks_has_figures_about_them(figures: NodeFigures) -> None:
    sizes = iter(range(100, 900, 100))
    figures.blocks = blocks = BlockFigures(
        pending_bytes=lambda: next(sizes),
        coins_cache_bytes=lambda: next(sizes),
        blocks_disk_bytes=lambda: next(sizes),
        coins_disk_bytes=lambda: next(sizes),
    )
    chain: Any = MovingChain()
    blocks.listen(chain)
    for _ in range(3):
        chain.tell["on_connected"](1, None, ())
        chain.tell["on_block_checked"](b"", None, 7)
    chain.tell["on_disconnected"](1, None, ())
    chain.tell["on_block_checked"](b"", BlockVerdict(ValidationResult.CONSENSUS, "bad-cb-amount"), None)
    assert figures.report()["blocks"] == {
        "connected": 3,
        "disconnected": 1,
        "refused": 1,
        "pending_bytes": 100,
        "coins_cache_bytes": 200,
        "blocks_disk_bytes": 300,
        "coins_disk_bytes": 400,
    }
    shown = samples(generate_latest(NodeCollector(figures, "regtest")).decode())
    assert shown["ccnode_best_header_height",] == 2
    counted = ("connected", "disconnected", "refused")
    assert [shown[f"ccnode_blocks_{what}_total",] for what in counted] == [3, 1, 1]
    assert (shown["ccnode_blocks_pending_bytes",], shown["ccnode_coins_cache_bytes",]) == (500, 600)
    assert (shown["ccnode_disk_bytes", "blocks"], shown["ccnode_disk_bytes", "coins"]) == (700, 800)


def test_a_node_of_headers_has_none(figures: NodeFigures) -> None:
    assert "blocks" not in figures.report()
    assert ("ccnode_best_header_height",) not in samples(generate_latest(NodeCollector(figures, "regtest")).decode())


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ConnectionRefusedError(111, "Connection refused"), "refused"),
        (OSError(113, "No route to host"), "unreachable"),
        (OSError(101, "Network is unreachable"), "unreachable"),
        (TimeoutError(110, "Connection timed out"), "no answer"),
        (OSError("whatever a proxy may say"), "other"),
        (ValueError("a name that is none"), "other"),
    ],
)
def test_reasons_of_failures_are_few(error: Exception, reason: str) -> None:
    counted = ConnectionStatistics()
    counted.failed(ConnectionType.MANUAL, error)
    assert counted.failures == {(ConnectionType.MANUAL, reason): 1}


def samples(text: str) -> dict[tuple[str, ...], float]:
    """Every figure by its name and the values of its labels, which come in the order of their names."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.fixture
def served(figures: NodeFigures) -> Iterator[MetricsServer]:
    server = MetricsServer(LOOPBACK, NodeCollector(figures, "regtest"))
    yield server
    server.close()


def ask(
    server: MetricsServer, request: bytes = b"GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
) -> str:
    with gevent.Timeout(10), socket.create_connection((server.address.host, server.address.port)) as sock:
        sock.sendall(request)
        pieces = []
        while piece := sock.recv(65536):
            pieces.append(piece)
        return b"".join(pieces).decode()


def test_prometheus_reads_every_figure(served: MetricsServer) -> None:
    head, _, body = ask(served).partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK")
    assert "text/plain; version=" in head
    found = samples(body)
    expected = {
        ("ccnode_height",): 2,
        ("ccnode_headers",): 3,
        ("ccnode_bytes_total", "in"): 64,
        ("ccnode_bytes_total", "out"): 24,
        ("ccnode_bytes_per_second", "in", "1s"): 64,
        ("ccnode_messages_total", "in", "ping"): 2,
        ("ccnode_message_bytes_total", "out", "verack"): 24,
        ("ccnode_upload_target_left_bytes",): 1_000_000 - 24,
        ("ccnode_peers", "ipv4", "inbound"): 1,
        ("ccnode_connection_attempts_total", "feeler"): 3,
        ("ccnode_connection_failures_total", "no answer", "feeler"): 1,
        ("ccnode_inbound_accepted_total",): 4,
        ("ccnode_inbound_refused_total", "banned"): 1,
        ("ccnode_inbound_evicted_total",): 1,
        ("ccnode_bans",): 1,
        ("ccnode_bans_made_total", "by hand"): 1,
        ("ccnode_discouraged",): 1,
        ("ccnode_violations_total", "high-hash"): 1,
        ("ccnode_addresses_new", "ipv4"): 4,
        ("ccnode_addresses_tried", "ipv4"): 1,
        ("ccnode_addresses_new_slots",): 4,
        ("ccnode_hub_lag_seconds", "p99"): 0.01,
        ("ccnode_send_queue_bytes",): 17,
        ("ccnode_timers",): 3,
    }
    assert {key: found.get(key) for key in expected} == expected
    assert all(name[0].startswith("ccnode_") for name in found)
    assert found["ccnode_info", "regtest", __version__] == 1


def test_figures_are_read_when_asked(served: MetricsServer, node: TestNode) -> None:
    node.mine(1)
    assert samples(ask(served).partition("\r\n\r\n")[2])["ccnode_height",] == 3


@pytest.mark.parametrize(
    ("request_bytes", "answer"),
    [
        (b"\0\1\2 nonsense\r\n\r\n", "HTTP/1.1 400"),
        (b"GET /" + b"x" * 10_000 + b" HTTP/1.1\r\n\r\n", "HTTP/1.1 414"),
        (b"POST / HTTP/1.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "HTTP/1.1 405"),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 1000 + b"\r\n", "HTTP/1.1 "),
    ],
)
def test_garbage_gets_an_error_and_the_next_one_an_answer(
    served: MetricsServer, request_bytes: bytes, answer: str
) -> None:
    assert ask(served, request_bytes).startswith(answer)
    assert "ccnode_height" in ask(served)


class Constant(Collector):
    """One figure."""

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("one", "a figure", value=1)


@pytest.fixture
def plain() -> Iterator[MetricsServer]:
    server = MetricsServer(LOOPBACK, Constant())
    yield server
    server.close()


def test_who_is_slow_is_cut_off_and_does_not_keep_others_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_module, "RECEIVE_SECONDS", 0.1)
    plain = MetricsServer(LOOPBACK, Constant())
    address = (plain.address.host, plain.address.port)
    silent = [socket.create_connection(address) for _ in range(2 * MAX_CONNECTIONS)]
    for sock in silent:
        sock.sendall(b"GET /metrics HTTP/1.1\r\nHost")
    assert "one 1.0" in ask(plain), "after the others' time"
    with gevent.Timeout(5):
        assert all(sock.recv(100) == b"" for sock in silent)
    for sock in silent:
        sock.close()
    plain.close()


def test_no_more_connections_are_served_at_a_time_than_allowed(plain: MetricsServer) -> None:
    address = (plain.address.host, plain.address.port)
    waiting = [socket.create_connection(address) for _ in range(MAX_CONNECTIONS + 3)]
    gevent.sleep(0.05)
    assert len(plain._pool) == MAX_CONNECTIONS
    for sock in waiting:
        sock.close()
    assert "one 1.0" in ask(plain)


def test_an_address_that_is_taken_stops_the_start(plain: MetricsServer) -> None:
    with pytest.raises(
        StartupError, match=f"cannot serve metrics: cannot listen on {plain.address}: another program"
    ) as error:
        MetricsServer(plain.address, Constant())
    assert error.value.exit_status is ExitStatus.BIND


def test_a_server_that_fails_starts_again(
    plain: MetricsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (supervisor,) = plain._supervisors
    monkeypatch.setattr(supervisor, "FIRST_PAUSE", 0.01)
    assert "one 1.0" in ask(plain)
    with caplog.at_level(logging.ERROR, "ccnode"):
        supervisor._task.kill(RuntimeError("out of luck"), block=True, timeout=0.5)
        eventually(lambda: _answers(plain))
    assert "metrics failed; it starts again in" in caplog.text


def _answers(server: MetricsServer) -> bool:
    try:
        return "one 1.0" in ask(server)
    except OSError:
        return False


@pytest.mark.parametrize(("host", "warned"), [("127.0.0.1", False), ("127.0.0.5", False), ("0.0.0.0", True)])
def test_an_address_that_others_reach_is_warned_of(host: str, warned: bool, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ccnode.rpc"):
        MetricsServer(NetworkAddress.parse(f"{host}:0"), Constant()).close()
    assert ("may read the metrics" in caplog.text) is warned

"""Dead connections end: the timers of a running node, on its mockable clock."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode.wire.handshake import Version
from ccnode.wire.keepalive import Ping, Pong
from tests.support.process import NodeProcess
from tests.support.scripted import Closed, Link, version_message, wait_until

MINUTE = 60


@pytest.fixture
def node(tmp_path: Path) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path, "--debug=net") as running:
        running.now = int(time.time())
        running.rpc("setmocktime", running.now)
        yield running


def skip_time(node: NodeProcess, seconds: int) -> None:
    node.now += seconds
    node.rpc("setmocktime", node.now)


def connected(node: NodeProcess) -> Link:
    link = Link.connect(node.port)
    wait_until(lambda: node.rpc("getpeerinfo"))
    return link


def test_a_peer_that_never_says_anything_is_dropped_after_a_minute(node: NodeProcess) -> None:
    link = connected(node)
    skip_time(node, 59)
    assert node.rpc("getconnectioncount") == 1
    skip_time(node, 2)
    link.expect_close()
    wait_until(lambda: not node.rpc("getpeerinfo"))


def test_a_peer_that_never_sends_verack_is_dropped_after_a_minute(node: NodeProcess) -> None:
    link = connected(node)
    link.send(version_message())
    link.expect(Version)
    skip_time(node, 61)
    link.expect_close()


def test_a_ping_goes_out_at_once_and_every_two_minutes_and_its_loss_ends_the_connection(node: NodeProcess) -> None:
    link = Link.connect(node.port)
    link.handshake()
    link.send(Pong(link.expect(Ping).nonce))
    wait_until(lambda: "minping" in node.rpc("getpeerinfo")[0])
    skip_time(node, 2 * MINUTE + 1)
    link.expect(Ping)
    skip_time(node, 10 * MINUTE)
    link.send(Ping(7))  # not silent, but the ping stays unanswered
    assert link.expect(Pong).nonce == 7
    skip_time(node, 10 * MINUTE - 1)
    assert node.rpc("getconnectioncount") == 1
    skip_time(node, 2)
    link.expect_close()
    wait_until(lambda: "ping timeout" in node.text())


def test_twenty_minutes_of_silence_end_the_connection(node: NodeProcess) -> None:
    link = Link.connect(node.port)
    link.handshake()
    link.expect(Ping)
    wait_until(lambda: node.rpc("getpeerinfo")[0]["version"])
    skip_time(node, 20 * MINUTE + 1)
    link.expect_close()


def test_time_that_goes_back_harms_nobody(node: NodeProcess) -> None:
    link = Link.connect(node.port)
    link.handshake()
    link.send(Pong(link.expect(Ping).nonce))
    skip_time(node, -3600)
    link.send(Ping(9))
    assert link.expect(Pong).nonce == 9
    with pytest.raises((TimeoutError, Closed)):
        link.receive(seconds=0.5)
    assert node.rpc("getconnectioncount") == 1

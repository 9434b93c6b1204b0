"""A peer with a socket: back-pressure, bounds, and exactly one end."""

import gc
import os

import gevent
import pytest

from ccnode.chain.networks import REGTEST
from ccnode.network import connection as connection_module
from ccnode.network.budget import RECEIVE_BUDGET, ReceiveBudget
from ccnode.network.connection import DEFAULT_MAX_SEND_BUFFER, HARD_SEND_LIMIT, Connection
from ccnode.network.hub import spawn
from ccnode.peers.messages import MessageTap
from ccnode.peers.peer import ConnectionType
from ccnode.peers.traffic import Traffic, tally_bytes, tally_messages
from ccnode.wire.address import NetworkAddress
from ccnode.wire.framing import Frame, V1Transport
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Unknown
from tests.support.clock import ManualClock
from tests.support.network import FarEnd, eventually, pair


class Cable:
    """A running connection, what it delivered, and its far end."""

    def __init__(self, deliver=None, budget: ReceiveBudget | None = None, **settings) -> None:
        near, far = pair()
        self.far = FarEnd(far)
        self.frames: list[Frame] = []
        self.clock = ManualClock()
        self.budget = budget or ReceiveBudget(RECEIVE_BUDGET, self.clock)
        self.deliver = deliver or (lambda _peer, frame: self.frames.append(frame))
        self.peer = Connection(
            7,
            near,
            NetworkAddress.parse("8.8.8.8:8333"),
            ConnectionType.INBOUND,
            transport=V1Transport(REGTEST.magic),
            budget=self.budget,
            clock=self.clock,
            traffic=Traffic(self.clock),
            tap=MessageTap(),
            deliver=lambda peer, frame: self.deliver(peer, frame),
            on_dirty=lambda _peer: None,
            on_closing=lambda _peer: None,
            **settings,
        )
        self.task = spawn("peer-7", self.peer.run)

    def end(self) -> str | None:
        """Waits for the end; returns the reason."""
        self.task.join(5)
        assert self.task.dead
        return self.peer.disconnect_reason


def test_messages_go_both_ways_and_are_counted() -> None:
    cable = Cable()
    cable.far.send(Ping(1), Ping(2))
    eventually(lambda: len(cable.frames) == 2)
    assert [frame.command for frame in cable.frames] == ["ping", "ping"]
    cable.peer.send(Pong(1))
    assert cable.far.receive() == Pong(1)
    assert (cable.peer.bytes_received, cable.peer.bytes_sent) == (64, 32)
    assert (cable.peer.last_recv, cable.peer.last_send) == (cable.clock.now(), cable.clock.now())
    assert tally_bytes(cable.peer.sent_per_message) == {"pong": 32}
    assert tally_messages(cable.peer.sent_per_message) == {"pong": 1}
    cable.far.close()
    assert cable.end() == "the peer closed the connection"


def test_a_large_payload_comes_whole() -> None:
    cable = Cable()
    payload = os.urandom(3_999_999)
    sender = spawn("sender", cable.far.send, Unknown("big", payload))
    eventually(lambda: cable.frames)
    assert cable.frames[0].payload == payload
    sender.join()
    cable.far.close()
    cable.end()


def test_another_networks_magic_ends_the_connection() -> None:
    cable = Cable()
    cable.far.sock.sendall(b"\xf9\xbe\xb4\xd9" + bytes(20))
    assert "magic" in (cable.end() or "")


def test_a_connection_that_is_reset_ends_with_the_systems_words() -> None:
    cable = Cable()
    cable.far.close()
    for i in range(10):
        cable.peer.send(Ping(i))
    reason = cable.end()
    assert reason is not None
    assert reason.startswith(("socket error", "the peer closed"))


def test_closing_sends_what_is_queued_and_wakes_the_reader() -> None:
    cable = Cable()
    gevent.sleep(0.01)
    cable.peer.send(Pong(5))
    cable.peer.disconnect("enough")
    cable.peer.disconnect("a later reason")
    cable.peer.send(Pong(6))
    assert cable.far.until_closed() == ["pong"]
    assert cable.end() == "enough"


def test_a_peer_that_does_not_read_is_not_read() -> None:
    """It asks on and on; every answer is a hundred kilobytes that it leaves lying."""
    answer = Unknown("answer", bytes(100_000))
    seen = 0

    def deliver(peer: Connection, _frame: Frame) -> None:
        nonlocal seen
        seen += 1
        peer.send(answer)

    cable = Cable(deliver)
    flood = spawn("flood", lambda: [cable.far.send(Ping(i)) for i in range(5000)])
    eventually(lambda: cable.peer.send_queue_bytes > DEFAULT_MAX_SEND_BUFFER)
    gevent.sleep(0.05)
    stopped_at = seen
    gevent.sleep(0.05)
    assert seen == stopped_at < 100
    assert cable.peer.send_queue_bytes < DEFAULT_MAX_SEND_BUFFER + 2 * 100_024
    assert not cable.peer.closing
    for _ in range(stopped_at + 20):
        cable.far.receive()
    assert seen > stopped_at, "it is read again"
    flood.kill()
    cable.peer.disconnect("enough")
    cable.far.close()
    cable.end()


def test_two_ends_with_much_to_say_do_not_wait_for_each_other() -> None:
    """Each answers every message with more than fits between them, and asks on (Core: p2p_net_deadlock.py)."""
    near, far = pair()
    received = {1: 0, 2: 0}

    def deliver(peer: Connection, frame: Frame) -> None:
        received[peer.id] += 1
        if frame.command == "ask":
            peer.send(Unknown("answer", bytes(400_000)))

    peers = [
        Connection(
            number,
            sock,
            NetworkAddress.parse("8.8.8.8:8333"),
            ConnectionType.INBOUND,
            transport=V1Transport(REGTEST.magic),
            budget=ReceiveBudget(RECEIVE_BUDGET, ManualClock()),
            clock=ManualClock(),
            traffic=Traffic(ManualClock()),
            tap=MessageTap(),
            deliver=deliver,
            on_dirty=lambda _peer: None,
            on_closing=lambda _peer: None,
        )
        for number, sock in ((1, near), (2, far))
    ]
    tasks = [spawn(f"peer-{peer.id}", peer.run) for peer in peers]
    for _ in range(8):
        for peer in peers:
            peer.send(Unknown("ask", bytes(200_000)))
    eventually(lambda: received == {1: 16, 2: 16})
    for peer in peers:
        peer.disconnect("enough")
    gevent.joinall(tasks, timeout=5, raise_error=True)


def test_what_waits_to_be_handled_is_bounded_and_comes_in_order() -> None:
    cable = Cable(max_receive_buffer=200_000, max_send_buffer=1000)
    cable.peer.send(Unknown("push", bytes(2_000_000)))
    flood = spawn("flood", lambda: [cable.far.send(Ping(i)) for i in range(50_000)])
    eventually(lambda: cable.peer._ahead_bytes >= 200_000)
    gevent.sleep(0.1)
    assert cable.peer._ahead_bytes < 200_000 + 65_536
    cable.far.receive()
    eventually(lambda: len(cable.frames) == 50_000)
    assert [int.from_bytes(frame.payload, "little") for frame in cable.frames] == list(range(50_000))
    flood.join()
    cable.peer.disconnect("enough")
    cable.far.close()
    cable.end()


def test_a_peer_for_which_too_much_is_queued_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "FLUSH_SECONDS", 0.05)
    cable = Cable()
    gevent.sleep(0)
    message = Unknown("push", bytes(1_000_000))
    most = 0
    while not cable.peer.closing:
        cable.peer.send(message)
        most = max(most, cable.peer.send_queue_bytes)
    assert most <= HARD_SEND_LIMIT
    assert cable.end() == "does not take what is sent to it"


def test_a_peer_that_takes_nothing_cannot_delay_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_module, "FLUSH_SECONDS", 0.05)
    cable = Cable()
    cable.peer.send(Unknown("push", bytes(8_000_000)))
    gevent.sleep(0.02)
    cable.peer.disconnect("enough")
    with gevent.Timeout(2):
        cable.end()


def test_a_thousand_connections_leave_nothing_behind(greenlet_count) -> None:
    def once() -> None:
        cable = Cable()
        cable.far.send(Ping(1))
        eventually(lambda: cable.frames)
        if len(ends) % 2:
            cable.far.close()
        else:
            cable.peer.disconnect("enough")
        ends.append(cable.end() or "")
        cable.far.close()

    ends: list[str] = []
    once()
    gc.collect()
    greenlets, files = greenlet_count(), len(os.listdir("/dev/fd"))
    for _ in range(1000):
        once()
    gc.collect()
    assert len(ends) == 1001
    assert greenlet_count() == greenlets
    assert len(os.listdir("/dev/fd")) <= files

"""The receive budget: claims in order, slow holders, and connections that share one."""

import gevent
import pytest

from ccnode.network import budget as module
from ccnode.network.budget import Claim, ReceiveBudget
from ccnode.network.hub import spawn
from ccnode.wire.framing import HEADER
from ccnode.wire.message import Unknown
from tests.network.test_network_connection import Cable
from tests.support.clock import ManualClock
from tests.support.network import eventually


class Till:
    """A budget, and claims that greenlets wait for."""

    def __init__(self, size: int) -> None:
        self.clock = ManualClock()
        self.budget = ReceiveBudget(size, self.clock)
        self.dropped: list[int] = []
        self.claims: dict[int, Claim] = {}
        self.granted: list[int] = []

    def claim(self, name: int, size: int) -> None:
        def drop(_reason: str) -> None:
            self.dropped.append(name)
            self.budget.release(self.claims[name])

        def wait() -> None:
            self.budget.wait_granted(self.claims[name])
            self.granted.append(name)

        self.claims[name] = Claim(size, drop)
        spawn(f"claim {name}", wait)
        gevent.sleep(0.001)

    def release(self, name: int) -> None:
        self.budget.release(self.claims[name])
        gevent.sleep(0.001)


def test_claims_are_granted_in_order() -> None:
    till = Till(100)
    for name, size in ((1, 60), (2, 50), (3, 40)):
        till.claim(name, size)
    assert till.granted == [1]  # 3 would fit, but 2 came before it
    till.release(1)
    assert till.granted == [1, 2, 3]
    assert till.budget.used == 90
    till.release(2)
    till.release(2)
    till.release(3)
    assert till.budget.used == 0


def test_who_has_sent_everything_is_not_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.01)
    till = Till(100)
    till.claim(1, 50)
    till.claim(2, 50)
    till.claims[1].complete = True
    till.clock.advance(1)
    till.claim(3, 50)
    eventually(lambda: till.granted == [1, 2, 3])
    assert till.dropped == [2]


def test_who_gives_up_makes_way_for_the_next() -> None:
    till = Till(100)
    for name, size in ((1, 60), (2, 50), (3, 40)):
        till.claim(name, size)
    till.release(2)
    assert till.granted == [1, 2, 3]  # 2 woke without a grant
    assert till.budget.used == 100


def test_a_slow_holder_goes_when_others_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.01)
    till = Till(100)
    till.claim(1, 50)
    till.clock.advance(1)
    till.claim(2, 50)
    gevent.sleep(0.05)
    assert till.dropped == []  # nobody waits
    till.claim(3, 100)
    eventually(lambda: till.dropped == [1])
    gevent.sleep(0.05)
    assert till.dropped == [1]  # 2 has only just begun
    till.clock.advance(1)
    eventually(lambda: till.granted == [1, 2, 3])
    assert till.dropped == [1, 2]


def test_what_can_wait_for_long_takes_only_half() -> None:
    till = Till(100)
    assert till.budget.take_spare(50)
    assert not till.budget.take_spare(1)
    till.budget.give(50)
    assert till.budget.used == 0


def begin_large(cable: Cable, size: int, part: int) -> None:
    """Announce a message and send only ``part`` of it."""
    whole = cable.far.transport.frame("large", bytes(size))
    cable.far.sock.sendall(whole[: HEADER.size + part])


def send_all_it_takes(cable: Cable) -> int:
    """Bytes that go into the socket before it is full."""
    sent = 0
    cable.far.sock.setblocking(False)
    try:
        while sent < 350_000:
            sent += cable.far.sock.send(bytes(min(50_000, 350_000 - sent)))
            gevent.sleep(0.001)
    except BlockingIOError:
        pass
    cable.far.sock.setblocking(True)
    return sent


def test_connections_share_the_budget() -> None:
    budget = ReceiveBudget(1_000_000, ManualClock())
    cables = [Cable(budget=budget) for _ in range(3)]
    for cable in cables:
        begin_large(cable, 400_000, 50_000)
    eventually(lambda: budget.used == 800_000)
    waiting = cables[2]
    stuck = send_all_it_takes(waiting)
    assert stuck < 350_000
    assert waiting.peer.bytes_received < 200_000  # it is not read
    cables[0].far.sock.sendall(bytes(350_000))
    eventually(lambda: cables[0].frames)
    waiting.far.sock.sendall(bytes(350_000 - stuck))
    eventually(lambda: waiting.frames)
    assert len(waiting.frames[0].payload) == 400_000
    cables[1].peer.disconnect("enough")
    eventually(lambda: budget.used == 0)
    for cable in cables:
        cable.peer.disconnect("enough")
        cable.end()


def test_a_waiting_connection_can_be_ended() -> None:
    budget = ReceiveBudget(500_000, ManualClock())
    holder, waiting = Cable(budget=budget), Cable(budget=budget)
    for cable in (holder, waiting):
        begin_large(cable, 400_000, 50_000)
        eventually(lambda: budget.used == 400_000)
    gevent.sleep(0.01)
    waiting.peer.disconnect("enough")
    assert waiting.end() == "enough"
    assert budget.used == 400_000
    holder.far.close()
    holder.end()
    assert budget.used == 0


def test_large_messages_one_after_the_other() -> None:
    cable = Cable()
    cable.far.send(*[Unknown("large", bytes(300_000)) for _ in range(5)])
    eventually(lambda: len(cable.frames) == 5)
    assert cable.budget.used == 0
    cable.peer.disconnect("enough")
    cable.end()

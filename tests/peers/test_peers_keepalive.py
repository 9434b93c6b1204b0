"""Pings, pongs and the ends of dead connections, on a clock that only the test moves."""

from math import inf

import pytest

from ccnode.peers.keepalive import ADDR_FETCH_TIMEOUT, DEFAULT_PING_INTERVAL, TIMEOUT_INTERVAL, Keepalive
from ccnode.peers.peer import ConnectionType, HandshakeStage
from ccnode.wire.keepalive import Ping, Pong
from tests.support.clock import ManualClock
from tests.support.fakes import FakePeer, seeded_rng

START = 1_700_000_000.0
PEER_TIMEOUT = 60.0


class Bench:
    """One peer under the keepalive."""

    def __init__(
        self,
        kind: ConnectionType = ConnectionType.INBOUND,
        *,
        version: int = 70016,
        done: bool = True,
        ping_interval: float = DEFAULT_PING_INTERVAL,
    ) -> None:
        self.clock = ManualClock(START)
        self.keepalive = Keepalive(self.clock, seeded_rng(), PEER_TIMEOUT, ping_interval)
        self.peer = FakePeer(0, kind, connected_at=START)
        self.peer.common_version = version
        if done:
            self.peer.stage = HandshakeStage.ESTABLISHED
            self.traffic()

    def traffic(self) -> None:
        """Bytes went both ways just now."""
        self.peer.last_send = self.peer.last_recv = self.clock.now()

    def at(self, seconds: float) -> float:
        """The pass at so many seconds after connecting; returns when to look again, counted likewise."""
        self.clock.set_wall(START + seconds)
        return self.keepalive.send_pass(self.peer, self.clock.now()) - START

    def pings(self) -> list[int | None]:
        return [ping.nonce for ping in self.peer.take(Ping)]

    def pong(self, nonce: int | None) -> None:
        self.keepalive.on_pong(self.peer, Pong(nonce))


# -- ping and pong -----------------------------------------------------------------------------------------------------


def test_the_first_ping_goes_out_at_once_and_the_next_two_minutes_later() -> None:
    bench = Bench()
    bench.at(0)
    [first] = bench.pings()
    assert first
    bench.pong(first)
    assert bench.at(1) == 60, "the handshake limit is looked at first"
    assert bench.at(61) == DEFAULT_PING_INTERVAL
    bench.at(DEFAULT_PING_INTERVAL)
    assert bench.pings() == []
    bench.at(DEFAULT_PING_INTERVAL + 0.001)
    [second] = bench.pings()
    assert second != first


def test_pings_go_out_as_often_as_asked() -> None:
    bench = Bench(ping_interval=5)
    sent = 0
    for second in range(100):
        bench.at(second)
        for nonce in bench.pings():
            sent += 1
            bench.pong(nonce)
    assert sent == 17, "one every sixth second: the interval has to be past"


def test_no_ping_while_one_is_outstanding_or_before_the_handshake() -> None:
    bench = Bench()
    bench.at(0)
    bench.at(500)
    assert len(bench.pings()) == 1
    fresh = Bench(done=False)
    fresh.at(30)
    assert fresh.pings() == []


def test_a_ping_on_demand_replaces_the_outstanding_one() -> None:
    bench = Bench()
    bench.at(0)
    [first] = bench.pings()
    bench.peer.ping_requested = True
    bench.at(5)
    [second] = bench.pings()
    assert not bench.peer.ping_requested
    assert first is not None
    bench.pong(first)
    assert bench.peer.ping_time is None
    bench.clock.set_wall(START + 6)
    bench.pong(second)
    assert bench.peer.ping_time == 1


def test_the_matching_pong_ends_the_measurement() -> None:
    bench = Bench()
    for sent, answered in ((0, 0.25), (200, 200.1), (400, 400.5)):
        bench.at(sent)
        [nonce] = bench.pings()
        bench.clock.set_wall(START + answered)
        bench.pong(nonce)
        assert bench.peer.ping_sent_at is None
    assert bench.peer.ping_time == pytest.approx(0.5)
    assert bench.peer.min_ping == pytest.approx(0.1)


def test_pongs_that_do_not_match() -> None:
    bench = Bench()
    bench.pong(5)
    assert bench.peer.min_ping is None, "unsolicited"
    bench.at(0)
    [nonce] = bench.pings()
    assert nonce is not None
    bench.pong(nonce ^ 1)
    assert bench.peer.ping_sent_at is not None, "another nonce: keep waiting"
    bench.pong(0)
    assert (bench.peer.ping_sent_at, bench.peer.ping_time) == (None, None), "a null nonce cancels"
    bench.at(200)
    bench.pong(None)
    assert (bench.peer.ping_sent_at, bench.peer.ping_time) == (None, None), "and so does none"


@pytest.mark.parametrize(("version", "nonce", "answered"), [(70016, 7, True), (60000, 7, False), (70016, None, False)])
def test_pings_are_answered_with_their_nonce(version: int, nonce: int | None, answered: bool) -> None:
    bench = Bench(version=version)
    bench.keepalive.on_ping(bench.peer, Ping(nonce))
    assert [pong.nonce for pong in bench.peer.take(Pong)] == ([nonce] if answered else [])


def test_peers_from_before_bip31_are_pinged_as_often_and_never_expected_to_answer() -> None:
    bench = Bench(version=60000)
    bench.at(0)
    assert bench.pings() == [None]
    due = bench.at(PEER_TIMEOUT + 1)
    for number in range(1, 13):
        assert due == pytest.approx(number * DEFAULT_PING_INTERVAL, abs=1)
        bench.clock.set_wall(START + due)
        bench.traffic()
        due = bench.at(due + 0.001)
        assert bench.pings() == [None]
    assert not bench.peer.closing


# -- the ends ----------------------------------------------------------------------------------------------------------


def ends(bench: Bench, limit: float) -> str | None:
    """At ``limit`` the peer is still there; just past it, it is not. Returns the reason."""
    bench.at(limit)
    assert not bench.peer.closing
    assert bench.at(limit + 0.001) == inf
    return bench.peer.disconnect_reason


def test_who_says_nothing_is_dropped_after_a_minute() -> None:
    for attribute in ("last_send", "last_recv"):
        bench = Bench(done=False)
        bench.traffic()
        setattr(bench.peer, attribute, 0.0)
        assert ends(bench, PEER_TIMEOUT) == "socket no message in first 60 seconds"


def test_who_does_not_complete_the_handshake_is_dropped_after_a_minute() -> None:
    bench = Bench(done=False)
    bench.traffic()
    assert ends(bench, PEER_TIMEOUT) == "version handshake timeout"


@pytest.mark.parametrize(("attribute", "reason"), [("last_send", "sending"), ("last_recv", "receive")])
def test_twenty_minutes_of_silence_in_one_direction(attribute: str, reason: str) -> None:
    bench = Bench()
    bench.at(1)
    bench.pong(bench.pings()[0])
    setattr(bench.peer, attribute, START + 100)
    other = "last_recv" if attribute == "last_send" else "last_send"
    setattr(bench.peer, other, START + 1000)
    bench.peer.ping_started_at = START + 1299
    assert ends(bench, 100 + TIMEOUT_INTERVAL) == f"socket {reason} timeout: 1200s"


def test_an_unanswered_ping_is_not_judged_in_the_first_minute() -> None:
    bench = Bench()
    bench.at(0)
    bench.keepalive.peer_timeout = 2 * TIMEOUT_INTERVAL
    bench.at(TIMEOUT_INTERVAL + 1)
    assert not bench.peer.closing
    bench.clock.set_wall(START + 2 * TIMEOUT_INTERVAL)
    bench.traffic()
    assert ends(bench, 2 * TIMEOUT_INTERVAL) == f"ping timeout: {2 * TIMEOUT_INTERVAL:.0f}s"


def test_what_is_wrong_first_is_the_reason() -> None:
    bench = Bench(done=False)
    bench.traffic()
    bench.keepalive.peer_timeout = TIMEOUT_INTERVAL + 100
    bench.clock.set_wall(START + 1)
    assert ends(bench, TIMEOUT_INTERVAL + 100) == "socket sending timeout: 1300s", "before the handshake's"


def test_twenty_minutes_without_a_pong() -> None:
    bench = Bench()
    bench.at(10)
    bench.clock.set_wall(START + 800)
    bench.traffic()
    assert bench.at(800) == 10 + TIMEOUT_INTERVAL
    assert ends(bench, 10 + TIMEOUT_INTERVAL) == "ping timeout: 1200s"


def test_who_is_only_to_give_addresses_has_five_minutes() -> None:
    bench = Bench(ConnectionType.ADDR_FETCH)
    bench.at(1)
    assert bench.at(200) == ADDR_FETCH_TIMEOUT
    assert ends(bench, ADDR_FETCH_TIMEOUT) == "address fetch timeout"


def test_an_address_fetch_has_no_longer_than_that_where_newcomers_have() -> None:
    bench = Bench(ConnectionType.ADDR_FETCH)
    bench.keepalive.peer_timeout = 2 * ADDR_FETCH_TIMEOUT
    bench.at(1)
    assert ends(bench, ADDR_FETCH_TIMEOUT) == "address fetch timeout"


def test_the_time_to_look_again_is_never_past() -> None:
    """Else the timers would run the pass over and over on a clock that stands still."""
    bench = Bench()
    for seconds in (0, 1, 59, 60, 61, 119, 120, 121, 240, 241, 1000, 1201):
        due = bench.at(seconds)
        assert bench.peer.closing or due >= seconds, seconds


def test_a_clock_that_goes_back_harms_nobody() -> None:
    bench = Bench()
    bench.at(500)
    [nonce] = bench.pings()
    bench.at(-86_400)
    assert not bench.peer.closing
    bench.pong(nonce)
    assert (bench.peer.ping_sent_at, bench.peer.ping_time, bench.peer.min_ping) == (None, None, None), "no figure"
    bench.at(-86_000)
    assert bench.pings() == []
    bench.clock.set_wall(START + 700)
    bench.traffic()
    bench.at(700)
    assert len(bench.pings()) == 1

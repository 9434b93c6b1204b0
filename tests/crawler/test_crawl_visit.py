"""What a visit calls what it meets: errors of a dial, first bytes of strangers, patience; and the lag of the loop."""

import errno
import socket
from collections.abc import Iterator

import gevent
import pytest

from ccnode.chain.networks import MAINNET
from ccnode.crawler.conversation import answers_at_once, stranger
from ccnode.crawler.lag import LagMeter
from ccnode.crawler.outcome import Outcome
from ccnode.crawler.visit import dial_failure
from ccnode.network.hub import DeadlineExceeded
from ccnode.network.socks5 import ProxyError
from ccnode.wire.framing import V1Transport

OTHER_MAGIC = bytes.fromhex("01020304")


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (DeadlineExceeded(), Outcome.TIMEOUT),
        (OSError(errno.ETIMEDOUT, "timed out"), Outcome.TIMEOUT),
        (OSError(errno.ECONNREFUSED, "refused"), Outcome.REFUSED),
        (OSError(errno.EHOSTUNREACH, "unreachable"), Outcome.NO_ROUTE),
        (OSError(errno.ENETUNREACH, "unreachable"), Outcome.NO_ROUTE),
        (OSError(errno.EMFILE, "too many open files"), Outcome.LOCAL_ERROR),
        (OSError(errno.EADDRNOTAVAIL, "no port left"), Outcome.LOCAL_ERROR),
        (ProxyError("gone"), Outcome.PROXY_FAILED),
        (OSError("onion service descriptor can not be found"), Outcome.PROXY_FAILED),
    ],
)
def test_an_error_of_the_dial_has_a_name(error: Exception, outcome: Outcome) -> None:
    assert dial_failure(error)[0] is outcome


@pytest.mark.parametrize(
    ("head", "outcome", "detail"),
    [
        (bytes.fromhex("fbc0b6db") + bytes(20), Outcome.WRONG_MAGIC, "litecoin"),
        (bytes.fromhex("fabfb5da"), Outcome.WRONG_MAGIC, "regtest"),
        (V1Transport(OTHER_MAGIC).frame("version", bytes(9))[:24], Outcome.WRONG_MAGIC, "unknown network 01020304"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", Outcome.NOT_BITCOIN, b"SSH-2.0-OpenSSH_9.2\r\n".hex()),
        (bytes(24), Outcome.NOT_BITCOIN, "00" * 24),
    ],
)
def test_first_bytes_tell_a_stranger(head: bytes, outcome: Outcome, detail: str) -> None:
    assert stranger(head, MAINNET.magic) == (outcome, detail)


@pytest.mark.parametrize("size", [0, 1, 3, 4])
def test_the_beginning_of_our_magic_is_no_stranger(size: int) -> None:
    assert stranger(MAINNET.magic[:size], MAINNET.magic) is None


@pytest.mark.parametrize(
    ("version", "user_agent", "at_once"),
    [
        (70016, "/Satoshi:27.0.0/", True),
        (70016, "/Satoshi:23.0.0/", True),
        (70016, "/Satoshi:22.1.0/", False),
        (70015, "/Satoshi:0.20.1/", False),
        (70016, "/Satoshi:28.1.0/Knots:20250305/", True),
        (70016, "/btcwire:0.5.0/btcd:0.24.2/", True),
        (70015, "/bcoin:2.2.0/", True),
        (70015, "/unknown:1.0/", False),
        (70002, "", False),
    ],
)
def test_patience_goes_by_what_a_peer_says_it_is(version: int, user_agent: str, at_once: bool) -> None:
    assert answers_at_once(version, user_agent) is at_once


def test_every_outcome_has_a_name_and_a_sentence() -> None:
    assert all(outcome.sentence and outcome.value == Outcome(outcome.value).value for outcome in Outcome)
    assert not Outcome.CAPPED.dialed
    assert Outcome.TIMEOUT.dialed
    assert not Outcome.TIMEOUT.connected
    assert Outcome.SLOTS_FULL.connected


@pytest.fixture
def meter() -> Iterator[LagMeter]:
    meter = LagMeter()
    yield meter
    meter.stop()


def test_the_worst_lag_since_a_moment_is_known(meter: LagMeter) -> None:
    for when, lag in ((10.0, 0.5), (11.0, 0.1), (12.0, 2.0), (13.0, 0.3), (14.0, 0.2)):
        meter._note(when, lag)
    assert [meter.worst_since(when) for when in (9.0, 12.0, 12.5, 13.5, 14.5)] == [2.0, 2.0, 0.3, 0.2, 0.0]
    assert meter.worst == 2.0


def test_a_lag_long_ago_is_forgotten(meter: LagMeter) -> None:
    meter._note(10.0, 5.0)
    meter._note(10.0 + meter.MEMORY + 1, 0.1)
    assert meter.worst_since(0.0) == 0.1


def test_a_held_loop_is_noticed(meter: LagMeter) -> None:
    gevent.sleep(0)
    left, right = socket.socketpair()
    left.settimeout(0.2)  # blocks the thread, and with it the loop
    with pytest.raises(TimeoutError):
        left.recv(1)
    left.close()
    right.close()
    gevent.sleep(0.01)
    assert meter.worst > 0.1

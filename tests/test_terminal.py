"""What stands on the terminal: the line that fits, the line that is not torn, the words of the advice."""

import io
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from ccnode.config import load_config
from ccnode.log import ConsoleHandler
from ccnode.network.socks5 import ProxyError
from ccnode.network.statistics import ConnectionStatistics
from ccnode.peers.peer import ConnectionType
from ccnode.sync.progress import Phase, SyncProgress
from ccnode.terminal import SPARE_COLUMNS, Status, advice, duration, fit, progress_parts, shell_command

PEERS: Any = [SimpleNamespace(inbound=True), SimpleNamespace(inbound=False), SimpleNamespace(inbound=False)]


def progress(phase: Phase, **changes: Any) -> SyncProgress:
    values: dict[str, Any] = {
        "height": 32_000,
        "best_time": 1_262_025_480,
        "percent": 3.54,
        "rate": 3990.4,
        "eta": 225.0,
        "presync_height": None,
        "low_work": False,
    }
    return SyncProgress(phase=phase, **{**values, **changes})


@pytest.mark.parametrize(
    ("phase", "changes", "expected"),
    [
        (
            Phase.HEADERS,
            {},
            ["synchronizing headers", "height 32,000", "3.5%", "3 min 45 s left", "3,990/s"],
        ),
        (Phase.HEADERS, {"eta": None, "rate": 0.0}, ["synchronizing headers", "height 32,000", "3.5%"]),
        (
            Phase.PRESYNC,
            {"presync_height": 640_000, "height": 0},
            ["presynchronizing headers", "height 640,000 checked, 0 stored", "3.5%", "3 min 45 s left", "3,990/s"],
        ),
        (
            Phase.BLOCKS,
            {"rate": 12.4},
            ["downloading blocks", "height 32,000", "3.5%", "3 min 45 s left", "12/s"],
        ),
        (
            Phase.BLOCKS,
            {"rate": 0.254},
            ["downloading blocks", "height 32,000", "3.5%", "3 min 45 s left", "0.25/s"],
        ),
        (Phase.SYNCED, {"eta": None}, ["synchronized", "height 32,000"]),
        (Phase.STALE, {"low_work": True}, ["peers have nothing newer", "height 32,000", "too little work, not stored"]),
        (Phase.NO_PEERS, {}, ["waiting for peers", "height 32,000"]),
    ],
)
def test_progress_parts(phase: Phase, changes: dict[str, Any], expected: list[str]) -> None:
    parts = progress_parts(progress(phase, **changes), PEERS)
    assert parts == [*expected, "peers 2 out 1 in", "tip of 2009-12-28 18:38 UTC"]


def test_fit_drops_the_less_important_parts() -> None:
    parts = ["synchronized", "height 7", "peers 1 out 0 in"]
    assert fit(parts, 80) == "synchronized | height 7 | peers 1 out 0 in"
    assert fit(parts, 42) == "synchronized | height 7 | peers 1 out 0 in"
    assert fit(parts, 41) == "synchronized | height 7"
    assert fit(parts, 12) == "synchronized"
    assert fit(parts, 5) == "synch"
    assert fit(parts, -3) == ""


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (3599.6, "1 h 0 min"),
        (7500, "2 h 5 min"),
        (360_000, "4 d 4 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


class Screen(io.StringIO):
    """A terminal that shows what is left after carriage returns and erasures."""

    encoding = "utf-8"  # type: ignore[assignment]

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        return [line.rpartition("\r\x1b[K")[2] for line in self.getvalue().split("\n")]


class GoneTerminal(Screen):
    def write(self, text: str) -> int:
        raise OSError(5, "Input/output error")


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")


def test_log_lines_scroll_above_the_status_line() -> None:
    screen = Screen()
    status = Status(screen)
    handler = ConsoleHandler(screen, status)
    status.show(["synchronized", "height 1"])
    handler.handle(logging.LogRecord("ccnode", logging.WARNING, __file__, 1, "watch out", None, None))
    assert screen.lines[0].endswith(" [warning] watch out")
    assert screen.lines[1:] == ["synchronized | height 1"]
    status.show(["synchronized", "height 2"])
    status.say("one\ntwo")
    assert screen.lines[1:] == ["one", "two", "synchronized | height 2"]
    status.end()
    assert screen.lines[-1] == ""
    status.say("after the end")
    assert screen.lines[-2:] == ["after the end", ""]


def test_status_line_never_reaches_the_edge() -> None:
    screen = Screen()
    Status(screen).show(["x" * 100])
    assert len(screen.lines[-1]) == 40 - SPARE_COLUMNS


def test_a_terminal_that_is_gone_harms_nobody() -> None:
    status = Status(GoneTerminal())
    status.show(["synchronized"])
    status.say("text")
    status.end()


@pytest.mark.parametrize("term", ["dumb", None])
def test_no_line_on_a_terminal_that_cannot_erase(term: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Status(Screen()).live
    assert not Status(io.StringIO()).live
    monkeypatch.delenv("TERM") if term is None else monkeypatch.setenv("TERM", term)
    assert not Status(Screen()).live


@pytest.mark.parametrize(
    ("arguments", "command"),
    [
        ([], "ccnode shell"),
        (["--chain=main", "--port=1"], "ccnode shell --chain=mainnet"),
        (["--regtest", "--datadir=/a b"], "ccnode shell --chain=regtest '--datadir=/a b'"),
    ],
)
def test_shell_command(arguments: list[str], command: str) -> None:
    assert shell_command(load_config(arguments)) == command


def node(*arguments: str, **changes: Any) -> Any:
    """As much of a node as the advice looks at."""
    config = load_config(["--chain=mainnet", *arguments])
    network = {
        "network_active": True,
        "seeding": SimpleNamespace(asks_dns="--nodnsseed" not in arguments, asked={}, failures={}),
        "dialer": SimpleNamespace(attempts=3, failures={"a.example": "Connection refused"}),
        "manager": SimpleNamespace(statistics=changes.pop("statistics", ConnectionStatistics())),
    }
    return SimpleNamespace(
        config=config,
        params=SimpleNamespace(
            name="mainnet", dns_seeds=("seed.example.",), fixed_seeds=("8.8.8.8",), default_port=8333
        ),
        addrman=[None] * changes.pop("known", 0),
        network=SimpleNamespace(**{**network, **changes}),
    )


BAD_PROXY = ProxyError("proxy 127.0.0.1:9050: Connection refused")


def failed(*errors: OSError) -> ConnectionStatistics:
    statistics = ConnectionStatistics()
    for error in errors:
        statistics.failed(ConnectionType.MANUAL, error)
    return statistics


FAILED_SEEDS = SimpleNamespace(
    asks_dns=True, asked={"x.": 0, "y.": 0}, failures={"x.": "no answer within 8 s", "y.": "no such name"}
)
GOOD_SEEDS = SimpleNamespace(asks_dns=True, asked={"x.": 20, "y.": 0}, failures={"y.": "no such name"})


@pytest.mark.parametrize(
    ("subject", "cause"),
    [
        (node(network_active=False), "networking is off"),
        (node("--connect=a.example"), "no node given with connect can be reached"),
        (node("--connect=a.example", statistics=failed(BAD_PROXY)), "the proxy cannot be used"),
        (node("--connect=a.example", statistics=failed(BAD_PROXY, OSError())), "no node given with connect can be"),
        (node("--nodnsseed", "--addnode=a.example"), "no node given with addnode can be reached"),
        (node("--connect=0"), "connect=0 (or noconnect) keeps the node from looking for peers"),
        (node("--nodnsseed"), "dnsseed is off, and no address is known"),
        (node(seeding=FAILED_SEEDS), "DNS does not work from here"),
        (node(seeding=GOOD_SEEDS, known=20), "a firewall may block outgoing connections to port 8333"),
    ],
)
def test_advice_names_the_likely_cause(subject: Any, cause: str) -> None:
    lines = advice(subject)
    assert lines[0].startswith("no peer after 30 s; connections tried: 3")
    assert "  a.example: Connection refused" in lines
    assert lines[-1].startswith(cause)


def test_advice_says_that_fixed_seeds_come_next() -> None:
    assert advice(node(seeding=FAILED_SEEDS))[-1].endswith("; addresses that came with the program are tried next")
    assert advice(node("--nofixedseeds", seeding=FAILED_SEEDS))[-1].endswith("or --addnode=HOST")


def test_advice_sums_up_the_seeds() -> None:
    lines = advice(node(seeding=GOOD_SEEDS))
    assert lines[0].endswith("; 1 of 2 DNS seeds answered")
    assert lines[1] == "  1 DNS seeds: no such name"

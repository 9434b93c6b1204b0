"""The model and the drawing of ``top``, without a terminal and without a node; then both, for real."""

import json
import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from ccnode.admin.shell.screens.draw import draw
from ccnode.admin.shell.screens.looks import LogLine, Look, Silence, log_line
from ccnode.admin.shell.screens.model import Call, Leave, Top, lay_out
from ccnode.admin.shell.screens.peer_table import FIELDS, PeerTable, fit
from ccnode.admin.shell.screens.traffic import CELLS, Traffic
from ccnode.chain.networks import REGTEST
from tests.support.data import ROOT
from tests.support.process import NodeProcess
from tests.support.scripted import HeaderPeer, Link, wait_until
from tests.support.terminal import Terminal

NOW = 1_760_000_000.0


def make_peer(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "id": number,
        "addr": f"10.0.{number // 250}.{number % 250}:8333",
        "network": "ipv4",
        "services": "0000000000000009",
        "servicesnames": ["NETWORK", "WITNESS"],
        "inbound": number % 2 == 0,
        "connection_type": "inbound" if number % 2 == 0 else "outbound-full-relay",
        "transport_protocol_type": "v1",
        "subver": "/Satoshi:28.1.0/",
        "version": 70016,
        "timeoffset": 0,
        "conntime": int(NOW) - 100 - number,
        "lastsend": int(NOW),
        "lastrecv": int(NOW),
        "pingtime": 0.01 * number,
        "bytessent": 1000,
        "bytesrecv": 2000,
        "synced_headers": 800_000,
        "presynced_headers": -1,
        "addr_relay_enabled": True,
        "addr_processed": 3,
        "addr_rate_limited": 0,
        "permissions": [],
        "misbehavior": {"score": number % 7, "violations": {}},
        "msgssent_per_msg": {"ping": 4},
        "bytessent_per_msg": {"ping": 128},
        "msgsrecv_per_msg": {},
        "bytesrecv_per_msg": {},
        **fields,
    }


def make_look(*peers: Mapping[str, Any], at: float = 0.0, received: int = 0, sent: int = 0, uptime: int = 0) -> Look:
    table = {"addresses": {"ipv4": 5, "onion": 1, "i2p": 0, "all_networks": 6}}
    return Look(
        time=NOW + at,
        chain="mainnet",
        uptime=uptime or 1000 + int(at),
        sync={"phase": "following the chain", "height": 800_000, "best_time": NOW - 60, "percent": 100.0, "rate": 0.0},
        stats={
            "hub_lag": {"p50": 0.0002, "p99": 0.004, "max": 0.01},
            "memory": {"resident": 62_000_000},
            "traffic": {"received": {"bytes": received}, "sent": {"bytes": sent}},
            "addrman": {"new": table, "tried": table},
        },
        peers=peers,
    )


def make_top(count: int = 5, *, read_only: bool = False) -> Top:
    top = Top(read_only=read_only)
    top.receive(make_look(*(make_peer(number) for number in range(count))))
    return top


def press(top: Top, *keys: str) -> object:
    """The action of the last key."""
    return [top.press(key) for key in keys][-1]


def screen(top: Top) -> list[str]:
    return ["".join(text for _, text in line) for line in draw(top)]


# -- the table -----------------------------------------------------------------------------------------------------


def test_cursor_stays_on_its_peer() -> None:
    table = PeerTable()
    table.update(make_look(*(make_peer(number) for number in range(5))))
    table.move(3)
    assert table.selected is not None
    assert table.selected.id == 3
    table.update(make_look(make_peer(7), make_peer(3), make_peer(9), at=1))
    assert table.selected.id == 3
    table.sort_by("ping")
    table.sort_by("ping")
    assert [row.id for row in table.rows] == [9, 7, 3]
    assert table.selected.id == 3
    table.update(make_look(make_peer(7), make_peer(9), at=2))
    assert table.selected.id == 7  # the last one's place, now that it has gone
    table.update(make_look(at=3))
    assert table.selected is None


def test_the_window_follows_the_cursor() -> None:
    table = PeerTable()
    table.update(make_look(*(make_peer(number) for number in range(20))))

    def visible() -> list[int]:
        return [row.id for row in table.visible(5)]

    assert visible() == [0, 1, 2, 3, 4]
    table.move(4)
    assert visible() == [0, 1, 2, 3, 4]
    table.move(3)
    assert visible() == [3, 4, 5, 6, 7]
    table.move(-2)
    assert visible() == [3, 4, 5, 6, 7]
    table.move(100)
    assert visible() == [15, 16, 17, 18, 19]
    table.narrow("10.0.0.3")
    assert visible() == [3]


def test_rates_are_means_over_some_looks_and_begin_anew_with_the_node() -> None:
    table = PeerTable()
    table.update(make_look(make_peer(1, bytessent=1000, bytesrecv=0)))
    assert table.rows[0].sent is None
    table.update(make_look(make_peer(1, bytessent=3000, bytesrecv=500), at=2))
    assert (table.rows[0].sent, table.rows[0].received) == (1000, 250)
    table.update(make_look(make_peer(1, bytessent=3000, bytesrecv=500), at=4))
    assert table.rows[0].sent == 500
    table.update(make_look(make_peer(1, bytessent=10, bytesrecv=0), at=5, uptime=3))
    assert table.rows[0].sent is None


def test_filter_wants_all_words() -> None:
    table = PeerTable()
    onion = make_peer(2, network="onion", addr="abc.onion:8333", subver="/Other:1/")
    table.update(make_look(make_peer(1), onion, make_peer(3)))
    found = {"onion": [2], "SATOSHI": [1, 3], "satoshi 0.3": [3], "satoshi onion": [], "": [1, 2, 3]}
    for text, ids in found.items():
        table.narrow(text)
        assert [row.id for row in table.rows] == ids


def test_nothing_known_sorts_last_both_ways() -> None:
    table = PeerTable()
    table.update(make_look(make_peer(1, pingtime=None), make_peer(2), make_peer(3)))
    table.sort_by("ping")
    assert [row.id for row in table.rows] == [2, 3, 1]
    table.sort_by("ping")
    assert [row.id for row in table.rows] == [3, 2, 1]


@pytest.mark.parametrize("width", [20, 40, 80, 120, 200])
def test_columns_fit(width: int) -> None:
    rows = make_top().table.rows
    fields = fit(FIELDS, rows, width)
    assert sum(wide + 1 for _, wide in fields) - 1 <= max(width, fields[0][1])
    assert all(wide >= each.width > len(each.name) for each, wide in fields)


def test_eighty_columns_have_what_matters() -> None:
    names = [each.name for each, _ in fit(FIELDS, [], 80)]
    assert names == ["id", "type", "address", "ping", "age", "recv/s", "sent/s", "height", "score"]
    assert len(fit(FIELDS, [], 120)) == len(FIELDS)


@pytest.mark.parametrize(("height", "text"), [(-1, "-"), (0, "0"), (4_500_000, "4500000")])
def test_height(height: int, text: str) -> None:
    table = PeerTable()
    table.update(make_look(make_peer(1, synced_headers=height)))
    column = next(each for each in FIELDS if each.name == "height")
    assert column.cell(table.rows[0]) == text


# -- traffic -------------------------------------------------------------------------------------------------------


def test_traffic_spreads_over_its_stretches() -> None:
    traffic = Traffic()
    traffic.add(3.0, 1000)
    assert (list(traffic.rates), traffic.now) == ([], None)
    traffic.add(4.5, 1300)
    assert traffic.now == 200
    assert list(traffic.rates) == [100]  # half of the stretch has passed
    traffic.add(10.5, 1900)
    assert list(traffic.rates) == [150, 100, 50]


def test_traffic_of_a_new_run_and_after_a_long_silence() -> None:
    traffic = Traffic()
    traffic.add(0.0, 0)
    traffic.add(3.0, 300)
    traffic.add(6.0, 50)
    assert (list(traffic.rates), traffic.now) == ([100, 0], None)
    traffic.add(9.0, 350)
    assert list(traffic.rates) == [100, 0, 100, 0]
    traffic.add(1e6, 1_000_000)
    assert len(traffic.rates) == CELLS


# -- keys ----------------------------------------------------------------------------------------------------------


def test_leaving_and_unknown_keys() -> None:
    top = make_top()
    assert press(top, "x") is None
    assert press(top, "h", "q") is None  # out of the help
    assert press(top, "q") == Leave()


def test_disconnect_asks() -> None:
    top = make_top()
    assert press(top, "down", "d", "n") is None
    assert top.message == "not disconnected"
    assert press(top, "d", "y") == Call("disconnectnode", ("", 1), "disconnected peer 1, 10.0.0.1:8333")


def test_ban_asks_for_how_long() -> None:
    top = make_top()
    assert press(top, "b", "enter") == Call("setban", ("10.0.0.0", "add", 86_400), "banned 10.0.0.0 for 1d00h")
    assert press(top, "b", "backspace", "backspace", *"90x", "backspace", "m", "enter") == Call(
        "setban", ("10.0.0.0", "add", 5400), "banned 10.0.0.0 for 1h30m"
    )
    assert press(top, "b", "x", "enter") is None
    assert "is no time span" in top.message or "unit" in top.message
    assert press(top, "b", "escape") is None
    assert top.question is None


def test_ban_of_an_ipv6_address() -> None:
    top = Top(read_only=False)
    top.receive(make_look(make_peer(1, addr="[2001:db8::1]:8333")))
    action = press(top, "b", "enter")
    assert isinstance(action, Call)
    assert action.params[0] == "2001:db8::1"


def test_read_only_refuses_with_a_line() -> None:
    top = make_top(read_only=True)
    for key in "db":
        assert press(top, key) is None
        assert top.question is None
        assert "read-only" in screen(top)[-1]


def test_question_stays_with_its_peer() -> None:
    """What is asked about one connection is not done to the next because the list moved meanwhile."""
    top = make_top()
    press(top, "down", "d")
    top.receive(make_look(make_peer(8), at=1))
    assert press(top, "y") == Call("disconnectnode", ("", 1), "disconnected peer 1, 10.0.0.1:8333")


def test_filter_while_typing() -> None:
    top = make_top()
    press(top, "/", *"10.0.0.3")
    assert [row.id for row in top.table.rows] == [3]
    press(top, "enter")
    assert "1 with 10.0.0.3" in screen(top)[0]
    press(top, "/", "escape")
    assert len(top.table.rows) == 5


def test_sorting_passes_hidden_columns_over() -> None:
    top = make_top()
    names = []
    for _ in range(9):
        press(top, "s")
        names.append(top.table.sort)
    assert names == ["type", "address", "ping", "age", "recv/s", "sent/s", "height", "score", "id"]
    assert "id▴" in screen(top)[3]
    press(top, "S")
    assert [row.id for row in top.table.rows] == [4, 3, 2, 1, 0]
    assert "id▾" in screen(top)[3]
    press(top, "S")
    assert [row.id for row in top.table.rows] == [0, 1, 2, 3, 4]


def test_pause() -> None:
    top = make_top()
    press(top, "p")
    top.receive(make_look(at=1))
    assert len(top.table.rows) == 5
    assert "paused" in screen(top)[0]
    press(top, "p")
    top.receive(make_look(at=2))
    assert top.table.rows == []


def test_inspecting() -> None:
    top = make_top()
    press(top, "down", "enter")
    text = "\n".join(screen(top))
    assert "10.0.0.1:8333" in text
    assert "4 ping (128 B)" in text
    assert press(top, "d", "y") == Call("disconnectnode", ("", 1), "disconnected peer 1, 10.0.0.1:8333")
    top.receive(make_look(at=1))
    assert "peer 1 has gone" in "\n".join(screen(top))
    press(top, "escape")
    assert "no connections" in "\n".join(screen(top))


def test_the_node_goes_away_and_comes_back() -> None:
    top = make_top()
    press(top, "enter")
    top.receive(Silence(NOW + 1, "no node is running"))
    assert "no answer for" in screen(top)[0]
    top.receive(make_look(make_peer(0), at=9, uptime=2))
    assert "no answer" not in screen(top)[0]
    assert "the node was restarted" in screen(top)[-1]
    assert top.inspected is None  # numbers mean other connections now


# -- the screen ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("columns", "lines"), [(80, 24), (200, 50), (40, 10), (20, 5), (133, 17), (5, 2)])
@pytest.mark.parametrize("keys", ["", "h", "i", "d", "/"])
def test_every_size_is_filled_exactly(columns: int, lines: int, keys: str) -> None:
    top = make_top(40)
    top.columns, top.lines = columns, lines
    for key in keys:
        press(top, "enter" if key == "i" else key)
    top.receive(LogLine(NOW, "warning", "net", "wide 漢字 " * 40))
    for at in range(1, 5):
        top.receive(make_look(*(make_peer(number) for number in range(40)), at=at, received=at * at * 1000))
    drawn = screen(top)
    assert len(drawn) == lines
    assert {cell_len(line) for line in drawn} == {columns}


def test_before_the_first_look() -> None:
    top = Top(read_only=False)
    assert "asking the node" in screen(top)[0]
    top.receive(Silence(NOW, "no node is running on /x"))
    assert "no node is running on /x" in screen(top)[0]
    assert press(top, "enter", "d") is None


def test_what_the_screen_says() -> None:
    top = make_top()
    top.receive(LogLine(NOW, "info", "net", "hello"))
    text = "\n".join(screen(top))
    for part in ("mainnet", "800,000", "1m00s old", "2 out 3 in", "62.0 MB", "6 new 6 tried", "ipv4 10", "[net] hello"):
        assert part in text, text
    assert "i2p" not in text


def test_what_is_cut_says_so() -> None:
    top = make_top()
    top.receive(LogLine(NOW, "info", "net", "word " * 30))
    assert next(line for line in screen(top) if "[net] word" in line).endswith("…")


def test_what_is_below_the_screen_is_counted() -> None:
    top = make_top()
    top.lines = 20
    press(top, "enter")
    hidden = int(screen(top)[-1].split(" more below")[0])
    for left in range(hidden - 1, 0, -1):
        press(top, "down")
        assert screen(top)[-1].startswith(f" {left} more below")
    press(top, "down")
    assert screen(top)[-1].startswith(" Esc back")
    assert screen(top)[-2].startswith(" from it")


def test_layout_uses_every_line() -> None:
    for lines in range(8, 120):
        layout = lay_out(lines)
        parts = [layout.graph, layout.log]
        assert 3 + 1 + layout.peers + sum(part + 1 for part in parts if part) + 1 == lines
    assert lay_out(24).peers >= 10


def test_lost_log_lines_are_said() -> None:
    assert "12 lines" in log_line({"topic": "dropped", "time": NOW, "count": 12}).text


def test_a_thousand_peers_are_quick() -> None:
    """A look and a screen of it, the best of some: well below what the eye sees."""
    rng = random.Random(7)
    peers = [make_peer(number, pingtime=rng.random()) for number in range(1000)]
    top = make_top(0)
    top.columns, top.lines = 200, 50
    press(top, *"sssssss")
    took = []
    for at in range(1, 8):
        began = time.perf_counter()
        top.receive(make_look(*peers, at=at))
        draw(top)
        took.append(time.perf_counter() - began)
    assert min(took) < 0.05


# -- on a terminal, with a node ------------------------------------------------------------------------------------

SHELL = [sys.executable, "-m", "ccnode", "shell"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node")) as node:
        yield node


class TopScreen:
    """``top`` on a terminal. What it shows is looked for in a screen painted anew, which a new size brings about."""

    def __init__(self, node: NodeProcess, *options: str) -> None:
        self._columns = 120
        self.terminal = Terminal(*SHELL, f"--socket={node.socket}", *options, "-e", "top", columns=self._columns)
        self.terminal.expect("regtest")

    def shows(self, pattern: str) -> None:
        end = time.monotonic() + 30
        while not self.shows_now(pattern):
            assert time.monotonic() < end, f"no {pattern!r}"

    def shows_now(self, pattern: str) -> bool:
        self._columns ^= 1
        self.terminal.resize(self._columns, 30)
        return self.terminal.sees(pattern, 0.5)

    def leave(self, key: str = "q") -> int:
        self.terminal.type(key)
        return self.terminal.exit_status()

    def __enter__(self) -> "TopScreen":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.terminal.close()


def test_disconnecting_and_banning(node: NodeProcess) -> None:
    greenlets = node.rpc("getnodestats")["greenlets"]
    first, second = (Link.connect(node.port) for _ in range(2))
    for link in (first, second):
        link.handshake()
    with TopScreen(node) as top:
        top.shows(r"127\.0\.0\.1:\d+ .*scripted:1\.0")
        top.terminal.type("\x1b[B\r")
        top.shows(r"program +/scripted:1\.0/")
        top.terminal.type("q\x1b[Ad")
        top.shows(r"disconnect peer \d+, 127\.0\.0\.1:\d+\? y/n")
        top.terminal.type("y")
        first.expect_close()
        top.shows("disconnected peer")
        top.terminal.type("b")
        top.shows(r"ban 127\.0\.0\.1 for")
        top.terminal.type("\x7f\x7f15m\r")
        second.expect_close()
        top.shows(r"banned 127\.0\.0\.1 for 15m")
        top.shows("no connections")
        assert node.rpc("listbanned")[0]["ban_duration"] == 900
        assert top.leave() == 0
    node.rpc("clearbanned")
    wait_until(lambda: node.rpc("getnodestats")["greenlets"] <= greenlets)  # the stream of the log has ended too


def test_the_node_restarts_under_the_screen(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node, TopScreen(node) as top:
        top.shows("no connections")
        node.stop()
        top.shows("no answer for")
        node.restart()
        top.shows(r"the node (was restarted|answers again)")
        with HeaderPeer([], REGTEST.genesis_hash) as other:
            wait_until(lambda: is_met_and_logged(node, other, top))
        assert top.leave("\x03") == 0


def is_met_and_logged(node: NodeProcess, other: HeaderPeer, top: TopScreen) -> bool:
    """Have the node connect, and leave; whether the screen's log says so. It may not have begun to listen yet."""
    node.rpc("addnode", other.target, "onetry")
    for peer in node.rpc("getpeerinfo"):
        if peer["version"]:
            node.rpc("disconnectnode", "", peer["id"])
    return top.shows_now(r"\[net\] peer=\d+ connected to \S+: manual")


def test_read_only_screen(node: NodeProcess) -> None:
    link = Link.connect(node.port)
    link.handshake()
    with TopScreen(node, "--read-only") as top:
        top.shows("scripted")
        top.terminal.type("d")
        top.shows("attached read-only")
        assert top.leave() == 0
    assert len(node.rpc("getpeerinfo")) == 1
    link.close()
    wait_until(lambda: not node.rpc("getpeerinfo"))


def test_from_the_prompt_and_back(node: NodeProcess) -> None:
    terminal = Terminal(*SHELL, f"--socket={node.socket}")
    try:
        terminal.expect("Ctrl-D leaves")
        terminal.type("top\r")
        terminal.expect("no connections")
        terminal.type("q")
        terminal.type("echo back\r")
        terminal.expect('"back"')
        terminal.expect("ccnode>")
        terminal.type("\x04")
        assert terminal.exit_status() == 0
    finally:
        terminal.close()


def test_without_a_terminal(node: NodeProcess) -> None:
    def run(line: str) -> "subprocess.CompletedProcess[str]":
        command = [*SHELL, f"--socket={node.socket}", "-e", line]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=30, check=False)

    result = run("top")
    assert (result.returncode, result.stdout) == (1, "")
    assert "top wants a terminal" in result.stderr
    terminal = Terminal("/bin/sh", "-c", f"echo top | {' '.join(SHELL)} --socket={node.socket}")
    try:
        terminal.expect("top wants a terminal")
        assert terminal.exit_status() == 1
    finally:
        terminal.close()
    answer = json.loads(run("top --json").stdout)
    assert set(answer) == {"time", "chain", "uptime", "sync", "stats", "peers"}
    assert answer["chain"] == "regtest"

"""What is printed as it happens: ``tap``, ``events``, and the example that does without ccnode."""

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from rich.text import Text

from ccnode.admin.shell.words.screens import TOPICS, event_line
from ccnode.wire.keepalive import Ping, Pong
from tests.support.data import ROOT
from tests.support.process import NodeProcess
from tests.support.scripted import Link, wait_until
from tests.support.terminal import Terminal

SHELL = [sys.executable, "-m", "ccnode", "shell"]
EXAMPLE = ROOT / "examples/peers_come_and_go.py"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node")) as node:
        yield node


class Running:
    """A program that prints line after line."""

    def __init__(self, *command: str) -> None:
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)

    @property
    def lines(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self.process.communicate()


def shell(node: NodeProcess, line: str) -> Running:
    return Running(*SHELL, f"--socket={node.socket}", "-e", line)


def join(node: NodeProcess) -> tuple[Link, int]:
    """A peer, and its number."""
    link = Link.connect(node.port)
    link.handshake()
    address = f"127.0.0.1:{link.sock.getsockname()[1]}"
    return link, next(peer["id"] for peer in node.rpc("getpeerinfo") if peer["addr"] == address)


def ping(link: Link) -> None:
    link.send(Ping(1))
    link.expect(Pong)


def first_line(running: Running, happen: Callable[[], object]) -> str:
    """The first line printed while ``happen`` is done again and again: nobody says when the shell begins to listen."""
    printed = threading.Event()

    def run() -> None:
        while not printed.wait(0.02):
            happen()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        return running.lines.readline()
    finally:
        printed.set()
        thread.join()


# -- tap -----------------------------------------------------------------------------------------------------------


def test_tap_shows_messages_until_the_peer_has_gone(node: NodeProcess) -> None:
    link, number = join(node)
    with shell(node, f"tap {number} ping,pong") as tap:
        first = first_line(tap, lambda: ping(link))
        assert " <- ping             32 B  nonce 0000000000000001" in first
        link.close()
        *_, last = tap.lines
        assert f"peer {number} disconnected  127.0.0.1:" in last
        assert "\x1b" not in first + last
        assert tap.process.wait(10) == 0


def test_tap_shows_only_what_was_asked_for(node: NodeProcess) -> None:
    (link, number), (other, _) = join(node), join(node)
    with shell(node, f"tap {number} pong --json") as tap:
        first = first_line(tap, lambda: (ping(other), ping(link)))
        ping(other)
        link.close()
        *events, last = map(json.loads, [first, *tap.lines])
    assert {(event["peer"], event["command"]) for event in events} == {(number, "pong")}
    assert (last["topic"], last["event"]) == ("peer", "disconnected")
    other.close()


def test_tap_into_a_program(node: NodeProcess) -> None:
    link, number = join(node)
    with shell(node, f"tap {number} | grep --line-buffered pong") as tap:
        assert "-> pong" in first_line(tap, lambda: ping(link))
        link.close()
        tap.process.wait(10)


def test_tap_on_a_terminal_ends_with_ctrl_c(node: NodeProcess) -> None:
    link, number = join(node)
    terminal = Terminal(*SHELL, f"--socket={node.socket}")

    def tapped() -> bool:
        ping(link)
        return terminal.sees(r"<- ping +32 B", 0.2)

    try:
        terminal.expect("Ctrl-D leaves")
        terminal.type(f"tap {number} ping\r")
        wait_until(tapped)
        terminal.type("\x03")
        terminal.expect("ccnode>")
        terminal.type("echo back\r")
        terminal.expect('"back"')
    finally:
        terminal.close()
    link.close()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("tap 9999", "there is no peer 9999"),
        ("tap", "which peer?"),
        ("events weather", "there is no topic weather; there are peer, tip, reorg, ban, log"),
        ("events --level loud", "unknown log level loud"),
    ],
)
def test_mistakes(node: NodeProcess, line: str, text: str) -> None:
    with shell(node, line) as running:
        output, errors = running.process.communicate(timeout=30)
        assert (running.process.returncode, output) == (1, "")
        assert text in errors


# -- events --------------------------------------------------------------------------------------------------------


def test_events_as_lines(node: NodeProcess) -> None:
    def ban_and_unban() -> None:
        node.rpc("setban", "198.51.100.0/24", "add", 3600, False, "spam")
        node.rpc("setban", "198.51.100.0/24", "remove")

    wanted = {"banned 198.51.100.0/24 for 1h00m  manually added: spam\n", "unbanned 198.51.100.0/24\n"}
    with shell(node, "events ban") as events:
        said = {first_line(events, ban_and_unban).partition(" ")[2]}
        ban_and_unban()  # both, for a shell that began to listen between the two
        while not wanted <= said:
            said.add(events.lines.readline().partition(" ")[2])
    assert said == wanted


def test_every_event_has_its_words() -> None:
    peer = {"id": 3, "addr": "a:1", "connection_type": "manual", "network": "ipv4", "subver": "/x/"}
    events: list[tuple[dict[str, Any], str]] = [
        ({"topic": "peer", "event": "handshaked", **peer}, "peer 3 handshaked  a:1  manual  ipv4  /x/"),
        ({"topic": "tip", "height": 1234, "hash": "ab"}, "tip 1,234  ab"),
        (
            {"topic": "reorg", "fork_height": 9, "disconnected": 1, "connected": 2, "old_tip": "aa", "new_tip": "bb"},
            "reorg 1 headers replaced by 2 after height 9  aa -> bb",
        ),
        (
            {"topic": "ban", "event": "banned", "subnet": "s", "until": 70.0, "reason": "spam"},
            "banned s for 1m00s  spam",
        ),
        ({"topic": "ban", "event": "unbanned", "subnet": "s", "until": 70.0}, "unbanned s"),
        ({"topic": "log", "level": "warning", "category": "net", "message": "[b]"}, "[net] [b]"),
        ({"topic": "dropped", "count": 7}, "(7 events left out: they came faster than they were read)"),
    ]
    assert {event["topic"] for event, _ in events} == {*TOPICS, "dropped"}
    for event, expected in events:
        line = {**event, "time": 10.25}
        shown = event_line(line, exact=False)
        assert isinstance(shown, Text)
        assert shown.plain.partition(".250 ")[2] == expected
        assert json.loads(str(event_line(line, exact=True))) == line


# -- the example ---------------------------------------------------------------------------------------------------


def test_example(node: NodeProcess) -> None:
    wait_until(lambda: node.rpc("getnodestats")["peers"] == 0)
    here, number = join(node)
    with Running(sys.executable, str(EXAMPLE), str(node.socket)) as example:
        assert f" here {number} 127.0.0.1:" in example.lines.readline()
        line = first_line(example, lambda: join(node)[0].close())
        assert " came " in line
        assert line.endswith(" inbound /scripted:1.0/\n")
        here.close()
        assert any(f" gone {number} 127.0.0.1:" in line for line in example.lines)


def test_example_stands_alone_and_is_short() -> None:
    text = EXAMPLE.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 60
    imports = {line.split()[1] for line in text.splitlines() if line.startswith(("import", "from"))}
    assert imports == {"json", "socket", "sys", "time"}


def test_example_without_a_node(tmp_path: Path) -> None:
    result = subprocess.run([sys.executable, str(EXAMPLE), str(tmp_path / "x")], capture_output=True, text=True)
    assert result.returncode == 1
    assert "no node on" in result.stderr

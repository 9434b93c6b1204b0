"""How long a person waits at the shell: for the prompt, and for completion and commands while the node is busy.

The prompt: a process on a pseudo-terminal, from its start until the prompt is drawn. Its connections go through a relay
that knows when the first one came. Completion and commands: in this process, on a node with peers that synchronises
headers at full speed; from the words to the menu's content, and to the text on the terminal.
"""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from statistics import median

from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from ccnode.admin.shell.completion import Words
from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.session import Shell
from tests.support.data import ROOT
from tests.support.terminal import Terminal
from tools.bench.process import HeaderServer, NodeProcess, scratch
from tools.bench.report import Row, milliseconds, show

STARTS = 7
PEERS = 20
HEADERS = 1_000_000

LINES = ("peer ", "disconnect ", "ban ", "peers --sort ", "bl", "unban ", "getblockhash ")
"""Lines to complete; all but one ask the node."""

COMMANDS = ("peers", "peer 1", "status", "traffic", "network", "chain", "addrman", "bans")


class Relay:
    """A unix socket before the node's, which remembers when somebody first came."""

    def __init__(self, path: Path, target: Path) -> None:
        self.first: float | None = None
        self._target = str(target)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # the end
            while True:
                near, _ = self._listener.accept()
                self.first = self.first or time.perf_counter()
                far = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                far.connect(self._target)
                for source, sink in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()


def start(path: Path, target: Path) -> tuple[float, float]:
    """Seconds from the process's start to the prompt, and from its first connection on."""
    relay = Relay(path, target)
    begun = time.perf_counter()
    terminal = Terminal(sys.executable, "-m", "ccnode", "shell", f"--socket={path}")
    try:
        terminal.expect("ccnode>")
        done = time.perf_counter()
    finally:
        terminal.close()
        relay.close()
        path.unlink()
    assert relay.first is not None
    return done - begun, done - relay.first


class Busy:
    """What is measured while the node synchronises."""

    def __init__(self, node: NodeProcess) -> None:
        self._node = node
        self.shell = Shell(Remote(lambda: node.socket))
        self.completions: list[float] = []
        self.commands: list[float] = []

    def measure(self, synchronising: Callable[[], bool]) -> None:
        """At least once, and until that is over."""
        while not self.commands or synchronising():
            for line in LINES:
                self.completions.append(_seconds(lambda line=line: self._complete(line)))  # type: ignore[misc]
            for command in COMMANDS:
                words = command.split()
                self.commands.append(_seconds(lambda words=words: self.shell.screenful(words)))  # type: ignore[misc]

    def _complete(self, line: str) -> None:
        words = Words(self.shell.remote)  # which knows nothing from before
        found = list(words.get_completions(Document(line), CompleteEvent(completion_requested=True)))
        assert found or line == "unban ", line


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def busy(folder: Path, headers: int) -> Busy:
    """Measure on a node that gets so many headers."""
    with HeaderServer(headers) as server, NodeProcess(folder) as node:
        command = [sys.executable, "-m", "tools.bench.crowd", str(node.port)]
        with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
            assert crowd.stdin is not None
            assert crowd.stdout is not None
            print(f"connect {PEERS}", file=crowd.stdin, flush=True)
            crowd.stdout.readline()
            measured = Busy(node)
            measured.shell.screenful(["peers"])  # imports
            server.expect(headers)
            node.rpc("addnode", f"127.0.0.1:{server.port}", "onetry")
            over = threading.Event()
            threading.Thread(target=lambda: (server.seconds(), over.set()), daemon=True).start()
            measured.measure(lambda: not over.is_set())
            crowd.stdin.close()
    return measured


def run(quick: bool) -> None:
    with scratch() as folder:
        with NodeProcess(folder / "idle") as node:
            starts = [start(folder / "relay.sock", node.socket) for _ in range(1 if quick else STARTS)]
        measured = busy(folder / "busy", 10_000 if quick else HEADERS)
    whole, connected = zip(*starts, strict=True)
    rows = [
        Row("process start to prompt", _figures(whole), goal="500 ms"),
        Row("first connection to prompt", _figures(connected), goal="100 ms"),
        Row("completion during a sync", _figures(measured.completions), goal="50 ms"),
        Row("command during a sync", _figures(measured.commands), goal="100 ms"),
    ]
    show(f"The shell, {PEERS} peers", rows)


def _figures(seconds: "list[float] | tuple[float, ...]") -> str:
    return f"{milliseconds(median(seconds))}, at most {milliseconds(max(seconds))} of {len(seconds)}"

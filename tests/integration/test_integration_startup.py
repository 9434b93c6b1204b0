"""Everything that keeps a node from starting: one sentence and an exit status of its own, in one table.

Then the other end of a node's life: signals, and what becomes of output that nobody reads.
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from ccnode.errors import ExitStatus
from tests.support.data import ROOT
from tests.support.process import NodeProcess
from tests.support.scripted import Link, wait_until
from tests.support.terminal import Terminal

SECONDS = 30.0
PYTHON = [sys.executable, "-m", "ccnode"]

NO_IPV6 = """
import _socket, errno
class Socket(_socket.socket):
    __slots__ = ()
    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):
        if family == _socket.AF_INET6:
            raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
        super().__init__(family, type, proto, fileno)
_socket.socket = Socket
"""
"""A ``sitecustomize`` that makes the machine one without IPv6."""


def environment(directory: Path) -> dict[str, str]:
    """For a process of ours; it finds a ``sitecustomize`` in the directory."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(directory), str(ROOT)])}


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PYTHON, *arguments],
        cwd=cwd,
        env=environment(cwd),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )


Prepare = Callable[[Path, ExitStack], list[str]]
"""Makes the trouble in a directory, for as long as the stack is open; returns the arguments for the node."""


@dataclass(frozen=True)
class Case:
    """What is wrong, what the process ends with, what its sentence says, and how to get there."""

    name: str
    status: ExitStatus
    text: str
    prepare: Prepare


def write(name: str, text: str) -> Prepare:
    """A case whose configuration file says ``text``."""

    def prepare(tmp_path: Path, _stack: ExitStack) -> list[str]:
        (tmp_path / name).write_text(text)
        return ["-c", name, "--datadir=data"]

    return prepare


def arguments(*given: str) -> Prepare:
    return lambda _tmp_path, _stack: list(given)


def on_data(prepare: Callable[[Path], object]) -> Prepare:
    """A case whose regtest folder was prepared."""

    def prepared(tmp_path: Path, _stack: ExitStack) -> list[str]:
        folder = tmp_path / "data/regtest"
        (folder / "blocks").mkdir(parents=True)
        prepare(folder)
        return [*REGTEST, "--bind=127.0.0.1:0"]

    return prepared


def foreign_headers(folder: Path) -> None:
    """The header file of another network."""
    with NodeProcess(folder.parent / "other", chain="testnet4") as node:
        assert node.stop() == 0
    (folder.parent / "other/testnet4/blocks/headers.dat").rename(folder / "blocks/headers.dat")


def foreign_database(folder: Path) -> None:
    with NodeProcess(folder.parent / "other", chain="testnet4") as node:
        assert node.stop() == 0
    (folder.parent / "other/testnet4/node.sqlite").rename(folder / "node.sqlite")


def file_as_datadir(tmp_path: Path, _stack: ExitStack) -> list[str]:
    (tmp_path / "data").write_text("")
    return [*REGTEST, "--bind=127.0.0.1:0"]


def running_node(tmp_path: Path, stack: ExitStack) -> list[str]:
    """Another node has the data directory."""
    stack.enter_context(NodeProcess(tmp_path / "data"))
    return [*REGTEST, "--bind=127.0.0.1:0"]


def port_in_use(_tmp_path: Path, stack: ExitStack) -> list[str]:
    other = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    return [*REGTEST, f"--bind=127.0.0.1:{other.getsockname()[1]}"]


def no_ipv6(tmp_path: Path, _stack: ExitStack) -> list[str]:
    (tmp_path / "sitecustomize.py").write_text(NO_IPV6)
    return [*REGTEST, "--bind=[::1]:0"]


def without(module: str) -> Prepare:
    """A case of an installation that lacks a package of blocks."""

    def prepare(tmp_path: Path, _stack: ExitStack) -> list[str]:
        (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{module!r}] = None\n")
        return list(LOOPBACK)

    return prepare


REGTEST = ("--chain=regtest", "--connect=0", "--datadir=data")
LOOPBACK = (*REGTEST, "--bind=127.0.0.1:0")

CASES = [
    Case(
        "unknown key",
        ExitStatus.CONFIG,
        "a.yaml:2: unknown key maxconections; did you mean maxconnections?",
        write("a.yaml", "chain: regtest\nmaxconections: 3\n"),
    ),
    Case(
        "key twice",
        ExitStatus.CONFIG,
        "a.yaml:3: 'port' appears twice (first on line 2)",
        write("a.yaml", "chain: regtest\nport: 1\nport: 2\n"),
    ),
    Case(
        "ill-typed value",
        ExitStatus.CONFIG,
        "a.yaml:2: 'port' wants a whole number from 0 to 65535, not 'many'",
        write("a.yaml", "chain: regtest\nport: many\n"),
    ),
    Case(
        "tab in YAML",
        ExitStatus.CONFIG,
        "a.yaml:3: a tab character; YAML is indented with spaces",
        write("a.yaml", "chain: regtest\nbind:\n\t- 127.0.0.1\n"),
    ),
    Case(
        "no mapping", ExitStatus.CONFIG, "a.yaml:1: lines of KEY: VALUE are wanted here", write("a.yaml", "- chain\n")
    ),
    Case("faulty network", ExitStatus.CONFIG, "a.yaml:2", write("a.yaml", "chain: mine\nnetwork: {magic: 1}\n")),
    Case(
        "no such file",
        ExitStatus.CONFIG,
        "none.yaml: cannot be read: No such file or directory",
        arguments("-c", "none.yaml"),
    ),
    Case(
        "unknown option",
        ExitStatus.CONFIG,
        "unknown option --chian; did you mean --chain?",
        arguments("--chian=regtest"),
    ),
    Case(
        "unknown chain", ExitStatus.CONFIG, "Unknown chain regtset. Did you mean regtest?", arguments("--chain=regtset")
    ),
    Case("unknown command", ExitStatus.CONFIG, "unknown command shel; did you mean shell?", arguments("shel")),
    Case("bad bind", ExitStatus.CONFIG, "bind: 'localhost' is no IPv4", arguments(*REGTEST, "--bind=localhost")),
    Case(
        "long user agent",
        ExitStatus.CONFIG,
        "Total length of network version string",
        arguments(*LOOPBACK, f"--uacomment={'a' * 300}"),
    ),
    Case(
        "no siphashc", ExitStatus.FAULT, "pip install 'ccnode[blocks]', or run with --sync=headers", without("siphashc")
    ),
    Case("no lmdb", ExitStatus.FAULT, "blocks need the package lmdb: pip install", without("lmdb")),
    Case("no engine", ExitStatus.FAULT, "without py-bitcoinkernel", without("pbk")),
    Case("data directory is a file", ExitStatus.DATADIR, "data/regtest: Not a directory", file_as_datadir),
    Case(
        "log is a directory",
        ExitStatus.DATADIR,
        "debug.log: Is a directory",
        on_data(lambda folder: (folder / "debug.log").mkdir()),
    ),
    Case(
        "socket is a directory",
        ExitStatus.DATADIR,
        "is in the way of the admin socket",
        on_data(lambda folder: (folder / "admin.sock").mkdir()),
    ),
    Case("headers of another network", ExitStatus.DATADIR, "testnet4", on_data(foreign_headers)),
    Case("database of another network", ExitStatus.DATADIR, "testnet4", on_data(foreign_database)),
    Case(
        "address not ours",
        ExitStatus.BIND,
        "this machine has no address 192.0.2.1; correct --bind",
        arguments(*REGTEST, "--bind=192.0.2.1:0"),
    ),
    Case("port in use", ExitStatus.BIND, "stop it, or choose another port with --port or --bind", port_in_use),
    Case("no IPv6", ExitStatus.BIND, "this machine has no address ::1; correct --bind", no_ipv6),
    Case("lock held", ExitStatus.LOCKED, "ccnode is probably already running (process ", running_node),
    Case(
        "headers damaged",
        ExitStatus.DAMAGED,
        "--reindex-headers",
        on_data(lambda folder: (folder / "blocks/headers.dat").write_bytes(b"x" * 999)),
    ),
    Case(
        "database damaged",
        ExitStatus.DAMAGED,
        "move it away",
        on_data(lambda folder: (folder / "node.sqlite").write_bytes(b"x" * 9999)),
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_start_up_error(case: Case, tmp_path: Path) -> None:
    with ExitStack() as stack:
        result = run(*case.prepare(tmp_path, stack), cwd=tmp_path)
    check_error(result, case.status, case.text)


def check_error(result: subprocess.CompletedProcess[str], status: ExitStatus, text: str) -> None:
    """One line on stderr that says ``text``, and the right exit status."""
    assert result.returncode == status, result
    assert re.fullmatch(r"Error: [^\n]+\n", result.stderr), result.stderr
    assert text in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_data_directory(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o500)
    check_error(run(*LOOPBACK, cwd=tmp_path), ExitStatus.DATADIR, "Permission denied")


def test_without_ipv6_the_default_is_ipv4_alone(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(NO_IPV6)
    command = [*PYTHON, *REGTEST, "--listen", "--port=0"]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        started = next(line for line in process.stdout if b"started" in line)
        assert re.search(rb"listening on 0\.0\.0\.0:\d+\n", started), started
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_stops_with_status_zero(number: signal.Signals, tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        link = Link.connect(node.port)
        link.handshake()
        node.process.send_signal(number)
        assert node.process.wait(SECONDS) == 0
        link.expect_close()
        assert node.text().rstrip().endswith("stopped at height 0")
        assert not (tmp_path / "regtest/admin.sock").exists()


def test_a_stop_does_not_wait_for_whoever_waits_for_a_block(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(node.socket))
        client.sendall(b'{"method": "waitfornewblock", "params": [60000], "id": 1}\n')
        wait_until(lambda: "waitfornewblock" in str(node.rpc("getrpcinfo")["active_commands"]))
        began = time.monotonic()
        assert node.stop() == 0
        assert time.monotonic() - began < 1.5
        assert json.loads(client.recv(4096))["result"]["height"] == 0


def test_a_signal_tells_where_every_greenlet_stands(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        node.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: "hub-lag" in node.text() and "timers" in node.text())
        assert node.rpc("getblockcount") == 0
        assert node.stop() == 0


def test_banner_comes_before_anything_else(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        wait_until(lambda: "started" in node.text())
        lines = node.text().splitlines()
    assert lines[0].startswith("ccnode ")
    assert lines[0].endswith(" on regtest")
    assert lines[1:5] == [
        f"  data       {tmp_path}/regtest",
        f"  socket     {tmp_path}/regtest/admin.sock",
        "  listening  127.0.0.1:0",
        f"  look in    ccnode shell --chain=regtest --datadir={tmp_path}",
    ]
    assert re.search(r"started at height 0, listening on 127\.0\.0\.1:[1-9]\d*$", lines[5])


def test_status_line_on_a_terminal(tmp_path: Path) -> None:
    """A live line that keeps to the width of the terminal, and goes when the node stops."""
    terminal = Terminal(*PYTHON, "--chain=regtest", "--connect=0", f"--datadir={tmp_path}", columns=40)
    try:
        terminal.expect("started at height 0\r?\n")
        terminal.expect("\rwaiting for peers \\| height 0\r")
        terminal.type("\x03")
        terminal.expect("Z stopping\r?\n.*Z stopped at height 0\r?\n")
        assert terminal.exit_status() == 0
    finally:
        terminal.close()


def test_output_that_nobody_reads(tmp_path: Path) -> None:
    """``ccnode | head -1``: the node runs on, and ends without a complaint."""
    process = subprocess.Popen(
        [*PYTHON, *LOOPBACK], cwd=tmp_path, env=environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        log = tmp_path / "data/regtest/debug.log"
        wait_until(lambda: log.exists() and "started" in log.read_text())
        process.send_signal(signal.SIGTERM)
        assert process.wait(SECONDS) == 0
        assert process.stderr.read() == b""
    finally:
        process.kill()
        process.wait()
        process.stderr.close()

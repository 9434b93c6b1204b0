"""``ccnode shell`` against a real node: commands by ``-e``, through a pipe, and at a prompt on a pseudo-terminal."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode.admin.shell.main import Arguments, parse_arguments
from ccnode.errors import CcnodeError
from tests.support.data import ROOT
from tests.support.process import NodeProcess
from tests.support.scripted import wait_until
from tests.support.terminal import Terminal

SECONDS = 30.0
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
SHELL = [sys.executable, "-m", "ccnode", "shell"]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node")) as node:
        yield node


def of(node: NodeProcess) -> list[str]:
    return ["--chain=regtest", f"--datadir={node.datadir}"]


def run_shell(*arguments: str, stdin: str = "") -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    result = subprocess.run(
        [*SHELL, *arguments], input=stdin, env=ENVIRONMENT, capture_output=True, text=True, timeout=SECONDS
    )
    return result.returncode, result.stdout, result.stderr


def test_commands_on_the_command_line(node: NodeProcess) -> None:
    status, output, errors = run_shell(*of(node), "-e", "getblockcount", "-e", 'echo "a b" c')
    assert (status, output, errors) == (0, '0\n[\n  "a b",\n  "c"\n]\n', "")


def test_the_first_failure_ends_it(node: NodeProcess) -> None:
    status, output, errors = run_shell(*of(node), "-e", "getblockcount", "-e", "getblockhash 7", "-e", "uptime")
    assert (status, output) == (1, "0\n")
    assert errors == "error code: -8\nerror message:\nBlock height out of range\n"


def test_commands_through_a_pipe(node: NodeProcess) -> None:
    lines = "# a comment\n\ngetblockcount  # the height\nexit\ngetblockhash 7\n"
    assert run_shell(*of(node), stdin=lines) == (0, "0\n", "")
    status, output, errors = run_shell(*of(node), stdin='echo "open\ngetblockcount\n')
    assert (status, output, errors) == (1, "", 'error: no closing quotation: echo "open\ngetblockcount\n')
    assert run_shell(*of(node), stdin='echo {\n"a": 1}\n') == (0, '[\n  "{\\n\\"a\\": 1}"\n]\n', "")


def test_socket_may_be_named(node: NodeProcess) -> None:
    assert run_shell(f"--socket={node.socket}", "-e", "getblockcount") == (0, "0\n", "")


def test_help_says_what_the_shell_adds(node: NodeProcess) -> None:
    status, output, _ = run_shell(*of(node), "-e", "help", "-e", "help --all", "-e", "help --node")
    assert status == 0
    assert "getblockcount" in output
    assert "Leaves the shell" in output


def test_read_only_looks_but_does_not_touch(node: NodeProcess) -> None:
    status, output, errors = run_shell(*of(node), "--read-only", "-e", "getblockcount", "-e", "ban 1.2.3.4")
    assert (status, output) == (1, "0\n")
    assert "read-only" in errors
    assert node.rpc("listbanned") == []


def test_no_node(tmp_path: Path) -> None:
    status, output, errors = run_shell("--chain=regtest", f"--datadir={tmp_path}", "-e", "uptime")
    assert (status, output) == (1, "")
    assert errors.startswith(f"error: no node is running on {tmp_path}/regtest: start it with")


@pytest.mark.parametrize("line", ["status", "getblockcount"])
def test_ctrl_c_leaves_a_silent_node(tmp_path: Path, line: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "admin.sock"))
        listener.listen()
        shell = subprocess.Popen([*SHELL, f"--socket={tmp_path}/admin.sock", "-e", line], env=ENVIRONMENT)
        with listener.accept()[0] as connection:
            assert connection.recv(1000)
            shell.send_signal(signal.SIGINT)
            assert shell.wait(10) == 1


def test_prompt(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        terminal = Terminal(*SHELL, *of(node))
        try:
            terminal.expect("Ctrl-D leaves")
            terminal.expect(r"regtest │ waiting for peers │ height 0 │ 0 out 0 in │ ↓0 B/s ↑0 B/s")
            terminal.type("getblockcount\r")
            terminal.expect(r"\n0\r?\n")
            terminal.type("waitfornewblock\r")
            wait_until(lambda: "waitfornewblock" in str(node.rpc("getrpcinfo")))
            terminal.type("\x03")
            terminal.expect("waitfornewblock[^>]*ccnode>")
            terminal.type("echo still-there\r")
            terminal.expect(r'"still-there"')
            node.stop()
            terminal.type("uptime\r")
            terminal.expect("error: no node is running on")
            node.restart()
            terminal.type("getblockhash 0\r")
            terminal.expect("the node was started again since the last command")
            terminal.expect("0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206")
            terminal.expect("ccnode>")  # what is typed before is an end of file for nobody
            terminal.type("\x04")
            assert terminal.exit_status() == 0
        finally:
            terminal.close()
    assert "getblockhash 0" in (node.folder / "shell_history").read_text()


def test_typing(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        terminal = Terminal(*SHELL, f"--datadir={node.datadir}")  # the only node there
        try:
            terminal.expect("regtest │ waiting for peers")
            terminal.type('echo {"a":\r')
            terminal.expect(r"\.\.\.")
            terminal.type("1}\r")
            terminal.expect(r'"\{\\"a\\":\\n1\}"')
            terminal.expect("ccnode>")
            terminal.type("pe")
            terminal.expect("Lists the connections")
            terminal.type("ers\r")
            terminal.expect("no peers")
            terminal.expect("ccnode>")
            terminal.type("echo {")
            terminal.expect("echo")
            terminal.type("\x1b[A")  # up, to the line that begins like this
            terminal.expect(r'"a":')
            terminal.type("\x03")
            terminal.expect("ccnode>")
            terminal.type("watch status --every 1s\r")
            terminal.expect("every 1s: status .* q leaves")
            terminal.expect("lateness")
            terminal.type("q")
            terminal.expect("ccnode>")
            terminal.type("stop\r")
            terminal.expect(r"stop the node\? \[y/N\]")
            terminal.type("n\r")
            terminal.expect("the node goes on")
            terminal.expect("ccnode>")
            terminal.type("stop\r")
            terminal.expect(r"stop the node\? \[y/N\]")
            terminal.type("y\r")
            terminal.expect("ccnode stopping")
            assert node.process.wait(SECONDS) == 0
            terminal.expect("the node does not answer")
            terminal.type("exit\r")
            assert terminal.exit_status() == 0
        finally:
            terminal.close()
    assert stat.S_IMODE((node.folder / "shell_history").stat().st_mode) == 0o600


def test_two_shells_share_the_history(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        terminals = [Terminal(*SHELL, *of(node)) for _ in range(2)]
        try:
            for number, terminal in enumerate(terminals):
                terminal.expect("regtest │")
                terminal.type(f"echo number-{number}\r")
                terminal.expect(f'"number-{number}"')
                terminal.expect("ccnode>")
                terminal.type("\x04")
                assert terminal.exit_status() == 0
        finally:
            for terminal in terminals:
                terminal.close()
        lines = (node.folder / "shell_history").read_text().split("\n")
        assert [line for line in lines if line.startswith("+")] == ["+echo number-0", "+echo number-1"]


def test_prompt_without_a_node(tmp_path: Path) -> None:
    with NodeProcess(tmp_path) as node:
        node.stop()
        terminal = Terminal(*SHELL, *of(node))
        try:
            terminal.expect("Error: no node is running on")
            assert terminal.exit_status() == 1
        finally:
            terminal.close()


def test_arguments() -> None:
    argv = ["-c", "a.yaml", "--chain=regtest", "-e", "uptime", "--socket=/s", "--read-only"]
    assert parse_arguments(argv) == Arguments(Path("/s"), ("-c", "a.yaml", "--chain=regtest"), ("uptime",), True)


@pytest.mark.parametrize(("argv", "text"), [(["-e"], "-e wants a command"), (["uptime"], "unexpected word 'uptime'")])
def test_wrong_arguments(argv: list[str], text: str) -> None:
    with pytest.raises(CcnodeError, match=text):
        parse_arguments(argv)

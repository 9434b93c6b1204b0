"""``ccnode rpc``: its command line, what it prints, and that it starts without the node's modules."""

import json
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ccnode.admin import client
from ccnode.errors import CcnodeError, RpcError


class OneAnswer:
    """A socket that gives one prepared answer; keeps what was asked."""

    def __init__(self, path: Path, answer: bytes) -> None:
        self.path = path
        self.request: dict[str, object] = {}
        self._answer = answer
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection, connection.makefile("rb") as lines:
            self.request = json.loads(lines.readline())
            connection.sendall(self._answer)

    def join(self) -> dict[str, object]:
        self._thread.join(5)
        self._listener.close()
        return self.request


def result(value: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "result": value, "id": 1}).encode() + b"\n"


def error(code: int, message: str) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "error": {"code": code, "message": message}, "id": 1}).encode() + b"\n"


def run(directory: Path, *argv: str) -> int:
    """``ccnode rpc`` for the node whose data directory this is."""
    return client.run_rpc([f"--datadir={directory}", *argv])


def test_words_are_sent_as_they_are(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "regtest").mkdir()
    node = OneAnswer(tmp_path / "regtest" / "admin.sock", result("00ff"))
    assert run(tmp_path, "-regtest", "getblockhash", "100", "-x") == 0
    assert node.join() == {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "getblockhash",
        "params": ["100", "-x"],
        "words": True,
    }
    assert capsys.readouterr() == ("00ff\n", "")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ("bare", "bare\n"),
        (12, "12\n"),
        (True, "true\n"),
        ([], "[]\n"),
        ({"a": ["é", 1e-8]}, '{\n  "a": [\n    "é",\n    1e-08\n  ]\n}\n'),
    ],
)
def test_output(tmp_path: Path, capsys: pytest.CaptureFixture[str], value: object, shown: str) -> None:
    node = OneAnswer(tmp_path / "admin.sock", result(value))
    assert run(tmp_path, "x") == 0
    node.join()
    assert capsys.readouterr() == (shown, "")


def test_an_error_goes_to_stderr(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    node = OneAnswer(tmp_path / "admin.sock", error(-5, "Block not found"))
    assert run(tmp_path, "getblockheader", "00") == 1
    node.join()
    assert capsys.readouterr() == ("", "error code: -5\nerror message:\nBlock not found\n")


def test_no_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = f"error: no node is running on {tmp_path}: start it with  ccnode -c FILE  (or --chain=NAME)\n"
    assert run(tmp_path, "uptime") == 1
    assert capsys.readouterr() == ("", text)
    stale = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    stale.bind(str(tmp_path / "admin.sock"))
    stale.close()
    assert run(tmp_path, "uptime") == 1
    assert capsys.readouterr() == ("", text)


@pytest.mark.parametrize("answer", [b"", b'{"jsonrpc":"2.0","resu'])
def test_a_node_that_dies(tmp_path: Path, capsys: pytest.CaptureFixture[str], answer: bytes) -> None:
    node = OneAnswer(tmp_path / "admin.sock", answer)
    assert run(tmp_path, "uptime") == 1
    node.join()
    assert "closed the connection without an answer" in capsys.readouterr().err


def test_a_node_that_does_not_answer(tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(str(tmp_path / "s"))
    listener.listen()
    with pytest.raises(client.NotRunning, match=r"did not answer within 0\.01 s"):
        client.call(tmp_path / "s", "uptime", timeout=0.01)
    listener.close()


def test_pointer_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert client.find_socket(tmp_path) == tmp_path / "admin.sock"
    (tmp_path / "admin.sock.path").write_text(f"{tmp_path}/real\n")
    assert client.find_socket(tmp_path) == tmp_path / "real"
    node = OneAnswer(tmp_path / "real", result(1))
    assert run(tmp_path, "uptime") == 0
    node.join()
    assert capsys.readouterr().out == "1\n"


def test_long_answers(tmp_path: Path) -> None:
    value = ["x" * 100] * 20_000
    node = OneAnswer(tmp_path / "s", result(value))
    assert client.call(tmp_path / "s", "x", {"a": 1}) == value
    assert node.join()["params"] == {"a": 1}


def test_command_line() -> None:
    text = "-c conf/x.yaml -regtest -named --rpcclienttimeout=3 --socket=/s --datadir=/d help -c x=1"
    line = client.parse_command_line(text.split())
    assert line == client.CommandLine(
        socket=Path("/s"),
        named=True,
        timeout=3.0,
        config_args=("-c", "conf/x.yaml", "-regtest", "--datadir=/d"),
        method="help",
        words=("-c", "x=1"),
    )


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "which command? Try:  ccnode rpc help"),
        (["--named"], "which command? Try:  ccnode rpc help"),
        (["--dataddir=/", "help"], "unknown option --dataddir; did you mean --datadir?"),
        (["--rpcclienttimeout=x", "help"], "--rpcclienttimeout wants a number of seconds, not 'x'"),
    ],
)
def test_wrong_command_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str) -> None:
    assert run(tmp_path, *argv) == 1
    assert capsys.readouterr() == ("", f"error: {message}\n")


def test_named_parameters() -> None:
    assert client.parse_params(["a", "b=1"], named=False) == ["a", "b=1"]
    assert client.parse_params(["a=1", "b=x=y"], named=True) == {"a": "1", "b": "x=y"}
    assert client.parse_params(["h", "verbose=false"], named=True) == {"args": ["h"], "verbose": "false"}
    with pytest.raises(CcnodeError, match="the parameter a is given twice"):
        client.parse_params(["a=1", "a=2"], named=True)


def test_rpc_errors_reach_callers(tmp_path: Path) -> None:
    node = OneAnswer(tmp_path / "s", error(-8, "Block height out of range"))
    with pytest.raises(RpcError, match="Block height out of range") as caught:
        client.call(tmp_path / "s", "getblockhash", [5])
    node.join()
    assert caught.value.code == -8


def test_it_starts_light() -> None:
    script = (
        "import sys, ccnode.admin.client;"
        "heavy = {'gevent', 'sqlite3', 'rich', 'yaml', 'asyncio', 'ccnode.chain', 'ccnode.network'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-S", "-c", script], cwd=root, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")

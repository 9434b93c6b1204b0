"""Which node a shell attaches to when nobody says."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode.admin.client import NotRunning
from ccnode.admin.shell.discovery import choose, living_nodes
from ccnode.admin.shell.main import find_folder
from ccnode.errors import CcnodeError


@pytest.fixture
def listeners() -> Iterator[list[socket.socket]]:
    found: list[socket.socket] = []
    yield found
    for each in found:
        each.close()


def listen(path: Path, listeners: list[socket.socket]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    listeners.append(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    listeners[-1].bind(str(path))
    listeners[-1].listen()


def test_the_only_one_that_lives(tmp_path: Path, listeners: list[socket.socket]) -> None:
    listen(tmp_path / "signet" / "admin.sock", listeners)
    listen(tmp_path / "regtest" / "admin.sock", listeners)
    listeners[0].close()  # its file stays
    (tmp_path / "blocks").mkdir()
    assert living_nodes(tmp_path) == [tmp_path / "regtest"]
    assert choose(tmp_path, ask=False) == tmp_path / "regtest"


def test_a_socket_elsewhere(tmp_path: Path, listeners: list[socket.socket]) -> None:
    listen(tmp_path / "short" / "s", listeners)
    (tmp_path / "long").mkdir()
    (tmp_path / "long" / "admin.sock.path").write_text(f"{tmp_path}/short/s\n")
    assert living_nodes(tmp_path) == [tmp_path / "long"]


def test_none(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(NotRunning, match=f"no node is running below {folder}; start one with  ccnode"):
            choose(folder, ask=True)


def test_several(
    tmp_path: Path,
    listeners: list[socket.socket],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    listen(tmp_path / "admin.sock", listeners)
    listen(tmp_path / "regtest" / "admin.sock", listeners)
    monkeypatch.setattr("ccnode.admin.shell.discovery.TIMEOUT", 0.05)  # nobody answers here
    with pytest.raises(CcnodeError) as caught:
        choose(tmp_path, ask=False)
    lines = [f"  --socket={tmp_path}/admin.sock", f"  --socket={tmp_path}/regtest/admin.sock"]
    assert str(caught.value).split("\n")[1:] == lines
    answers = iter(["", "3", "2"])
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    assert choose(tmp_path, ask=True) == tmp_path / "regtest"
    assert "did not answer within" in capsys.readouterr().out


def test_who_leaves_the_choice_open(
    tmp_path: Path, listeners: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(tmp_path / "admin.sock", listeners)
    listen(tmp_path / "regtest" / "admin.sock", listeners)
    monkeypatch.setattr("ccnode.admin.shell.discovery.TIMEOUT", 0.05)

    def end(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", end)
    with pytest.raises(CcnodeError, match="no node was chosen"):
        choose(tmp_path, ask=True)


def test_options_name_it(tmp_path: Path, listeners: list[socket.socket]) -> None:
    listen(tmp_path / "regtest" / "admin.sock", listeners)
    data = f"--datadir={tmp_path}"
    assert find_folder([data], ask=False) == tmp_path / "regtest"
    assert find_folder([data, "--chain=signet"], ask=False) == tmp_path / "signet"
    conf = tmp_path / "node.yaml"
    conf.write_text(f"datadir: {tmp_path}\n")
    assert find_folder(["-c", str(conf)], ask=False) == tmp_path


def test_the_default_data_directory(
    tmp_path: Path, listeners: list[socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    listen(tmp_path / "signet" / "admin.sock", listeners)
    monkeypatch.setattr("ccnode.admin.shell.main.default_datadir", lambda: tmp_path)
    assert find_folder([], ask=False) == tmp_path / "signet"

"""The command line: what it dispatches, what it prints, what it imports."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from ccnode import __version__
from ccnode.chain.networks import NETWORKS
from ccnode.cli import COMMANDS, main
from ccnode.errors import ExitStatus
from tests.support.data import ROOT


@pytest.mark.parametrize("word", ["--version", "-version", "-V"])
def test_version(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    assert capsys.readouterr().out == f"ccnode {__version__}\n"


@pytest.mark.parametrize("word", ["--help", "-help", "-h", "help", "-?"])
def test_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Usage:"
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("shel", "did you mean shell?"),
        ("netwroks", "did you mean networks?"),
        ("xyz", "there are check-config, demo, networks, rpc, shell; options begin with --"),
    ],
)
def test_unknown_command(word: str, hint: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([word]) == ExitStatus.CONFIG
    assert capsys.readouterr().err == f"Error: unknown command {word}; {hint}\n"


def test_networks(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["networks"]) == 0
    _, *rows = capsys.readouterr().out.splitlines()
    assert [row.split() for row in rows] == [
        [p.name, p.core_name, p.magic.hex(), str(p.default_port), p.genesis_hash[::-1].hex()] for p in NETWORKS
    ]
    assert main(["networks", "mainnet"]) == ExitStatus.CONFIG


def test_check_config(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--regtest", "--port=0", "--nodnsseed"]) == 0
    text = capsys.readouterr().out
    settings = yaml.safe_load(text)
    assert (settings["chain"], settings["port"], settings["dnsseed"]) == ("regtest", 0, False)
    assert "port: 0  # command line\n" in text


def test_check_config_refuses_what_a_node_would(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("chain: acme\nnetwork: {magic: 12}\n")
    assert main(["check-config", "-c", str(path)]) == ExitStatus.CONFIG
    assert capsys.readouterr().err.startswith(f"Error: {path}:2: in 'network': network.magic: ")


@pytest.mark.parametrize(
    "argument",
    [
        "--proxy=127.0.0.1:99999",
        "--onlynet=onion",
        "--asmap=/none",
        "--whitelist=noban,loud@1.2.3.4",
        "--whitebind=1.2.3.4",
        "--bind=1.2.3.4.5",
        "--externalip=me",
        "--dnsserver=me",
        "--metrics=127.0.0.1",
        "--rpcauth=me --server",
        "--rpcallowip=me --server",
        "--uacomment=" + 256 * "a",
    ],
)
def test_check_config_judges_what_only_a_part_can(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--regtest", *argument.split()]) == ExitStatus.CONFIG
    captured = capsys.readouterr()
    assert captured.err.startswith("Error: ")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_errors_go_to_stderr_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["shell", f"--datadir={tmp_path}", "-e", "uptime"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_windows_is_sent_to_wsl(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["--version"]) == ExitStatus.FAULT
    assert "WSL" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [["--version"], ["--help"], ["networks"], ["rpc", "uptime"], ["shell", "-e", "uptime"]]
)
def test_only_a_node_loads_gevent(words: list[str], tmp_path: Path) -> None:
    """What only asks a node, or none at all, starts quickly and keeps the ordinary sockets."""
    program = (
        f"import sys; from ccnode.cli import main; main({words!r})\n"
        "assert not {'gevent', 'ccnode.node', 'sqlite3'} & set(sys.modules), sys.modules.keys()"
    )
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=30
    )
    assert result.returncode == 0, result.stderr


def test_importing_the_package_patches_nothing() -> None:
    program = "import sys, ccnode, ccnode.cli, ccnode.node, ccnode.runner, socket; print(socket.socket.__module__)"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert result.stdout == "socket\n"


def test_every_command_is_callable() -> None:
    assert all(function.__doc__ for function in COMMANDS.values())

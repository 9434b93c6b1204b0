"""The benches run and print their tables; how fast they find the node is nobody's business here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.data import ROOT

FIRST_LINES = {
    "headers": "Header sync over loopback",
    "stages": "Stages of header synchronisation",
    "startup": "Start-up",
    "lag": "Lag of the event loop",
    "framing": "Small messages",
    "block": "A block through a peer's reader",
    "addrman": "The address manager",
    "scale": "Scale: one node and 100 peers",
    "scripts": "Scripts of a block",
    "connect": "Connecting a block",
    "sync": "Blocks downloaded and validated",
    "block-memory": "Memory while blocks are validated",
    "coins": "Coins: a store of 20,000",
    "shell": "The shell",
    "crawl": "A crawl of 200 addresses",
}


NEEDS_DATA = {"blocks-parse": "Block 482683"}
"""These run on real blocks."""


def bench(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "tools/bench.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **variables})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where benches keep the headers that they share."""
    return tmp_path_factory.mktemp("bench")


@pytest.mark.parametrize("name", FIRST_LINES)
def test_each_bench_prints_its_table(name: str, place: Path) -> None:
    assert_table(name, FIRST_LINES[name], place)


@pytest.mark.usefixtures("data_dir")
@pytest.mark.parametrize("name", NEEDS_DATA)
def test_benches_on_real_blocks_print_their_tables(name: str, place: Path) -> None:
    assert_table(name, NEEDS_DATA[name], place)


def assert_table(name: str, title_begins: str, place: Path) -> None:
    result = bench(name, "--quick", TMPDIR=str(place))
    assert result.returncode == 0, result.stderr
    title, *rows = result.stdout.strip().split("\n")[2:]
    assert title.startswith(title_begins)
    assert rows
    assert all(any(character.isdigit() for character in row) for row in rows)


def test_help_names_every_bench() -> None:
    result = bench("--help")
    assert result.returncode == 0
    assert all(f"  {name}" in result.stdout for name in [*FIRST_LINES, *NEEDS_DATA, "memory", "all"])


def test_an_unknown_bench_is_refused() -> None:
    result = bench("quickness")
    assert result.returncode == 2
    assert "quickness" in result.stderr

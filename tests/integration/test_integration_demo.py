"""``ccnode demo`` as a user runs it."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ccnode.admin.client import call, find_socket
from tests.support.data import ROOT

SECONDS = 60.0


@contextmanager
def start(tmp_path: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [sys.executable, "-m", "ccnode", "demo", *arguments],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    watchdog = threading.Timer(SECONDS, process.kill)
    watchdog.start()
    with process:
        try:
            yield process
        finally:
            process.kill()
            watchdog.cancel()


def test_demo_plays_to_its_end(tmp_path: Path) -> None:
    with start(tmp_path, "--blocks=3", "--pause=0.05") as process:
        output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert errors == ""
    assert "caught up: height 10,000" in output
    steps = re.findall(r"height (\d+,\d+)  [0-9a-f]{12}\.\.\.  (new block|reorganisation, 2 out 3 in) ", output)
    assert steps == [("10,001", "new block"), ("10,002", "new block"), ("10,003", "reorganisation, 2 out 3 in")]
    assert not list(tmp_path.glob("ccnode-demo-*"))


def test_demo_is_two_real_nodes_and_ends_on_ctrl_c(tmp_path: Path) -> None:
    with start(tmp_path, "--pause=0.05") as process:
        assert process.stdout is not None
        seen = next(line for line in process.stdout if "reorganisation, 2 out 3 in" in line)
        assert "at the follower after" in seen
        (folder,) = tmp_path.glob("ccnode-demo-*")
        follower = find_socket(folder / "follower/regtest")
        tips: Any = call(follower, "getchaintips")
        assert len(tips) > 1, "the branch that was replaced is still known"
        peers: Any = call(follower, "getpeerinfo")
        assert [peer["connection_type"] for peer in peers] == ["manual"]
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, errors) == (0, "")
    assert output.rstrip().endswith("their files are removed.")
    assert not list(tmp_path.glob("ccnode-demo-*"))


def test_stop_command_ends_the_demo(tmp_path: Path) -> None:
    with start(tmp_path, "--pause=0.05") as process:
        assert process.stdout is not None
        next(line for line in process.stdout if "new block" in line)
        (folder,) = tmp_path.glob("ccnode-demo-*")
        assert call(find_socket(folder / "miner/regtest"), "stop") == "ccnode stopping"
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_unknown_argument(tmp_path: Path) -> None:
    with start(tmp_path, "--block=3") as process:
        output, errors = process.communicate(timeout=SECONDS)
    assert (process.returncode, output) == (2, "")
    assert errors == "Error: demo knows --blocks=N and --pause=SECONDS, not '--block=3'\n"

"""``ccnode rpc`` as a process of its own against the server with the real commands."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from admin_support import TestNode

from ccnode.admin.commands import REGISTRY
from ccnode.admin.jsonrpc import Dispatcher
from ccnode.admin.server import AdminServer

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = "import sys; from ccnode.admin.client import run_rpc; sys.exit(run_rpc(sys.argv[1:]))"
GENESIS = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[TestNode]:
    (tmp_path / "regtest").mkdir()
    node = TestNode(tmp_path / "regtest")
    server = AdminServer(tmp_path / "regtest" / "admin.sock", Dispatcher(REGISTRY, node.context).answer)
    server.start()
    yield node
    server.close()


def rpc(directory: Path, *argv: str) -> tuple[int, str, str]:
    command = [sys.executable, "-c", SCRIPT, f"--datadir={directory}", "-regtest", *argv]
    # In a thread: the server runs in this process.
    done = gevent.get_hub().threadpool.apply(
        subprocess.run, (command,), {"cwd": ROOT, "capture_output": True, "text": True}
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.usefixtures("node")
def test_calls(tmp_path: Path) -> None:
    assert rpc(tmp_path, "getblockhash", "0") == (0, f"{GENESIS}\n", "")
    status, shown, _ = rpc(tmp_path, "getblockheader", GENESIS)
    assert (status, json.loads(shown)["height"]) == (0, 0)
    assert shown.startswith(f'{{\n  "hash": "{GENESIS}",\n')
    assert rpc(tmp_path, "-named", "getblockheader", f"blockhash={GENESIS}", "verbose=false")[1].startswith("01000000")
    assert rpc(tmp_path, "getblockhash", "1") == (
        1,
        "",
        "error code: -8\nerror message:\nBlock height out of range\n",
    )
    assert rpc(tmp_path, "getblockhash", "x")[2].startswith("error code: -3\nerror message:\nError parsing JSON: x\n")
    assert rpc(tmp_path, "getblockhash")[2].startswith("error code: -1\nerror message:\ngetblockhash height\n\n")


def test_stop(tmp_path: Path, node: TestNode) -> None:
    assert rpc(tmp_path, "stop") == (0, "ccnode stopping\n", "")
    assert node.done == ["stop"]

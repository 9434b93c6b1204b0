"""bcoin as a live peer: a full node in JavaScript, a process of a test's own on loopback.

It shares no line with ccnode and follows its own reading of the protocol, so both sides of a test can be wrong only
in different ways. It keeps its chain in memory: a restart begins at the genesis block.
"""

import contextlib
import http.client
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.support.data import ROOT

FOLDER = ROOT / "tests/integration/bcoin"
START_SECONDS = 60.0
STOP_SECONDS = 15.0
RPC_SECONDS = 60.0


def find_modules() -> Path:
    """The folder of npm packages with bcoin in it (``CCNODE_BCOIN``); skips the calling module where there is none."""
    modules = Path(os.environ.get("CCNODE_BCOIN", FOLDER / "node_modules")).resolve()
    if shutil.which("node") is None:
        pytest.skip("no node (Node.js) on this machine to run bcoin with", allow_module_level=True)
    if not (modules / "bcoin").is_dir():
        reason = f"no bcoin in {modules}; install it as {FOLDER / 'README.md'} says, or set CCNODE_BCOIN"
        pytest.skip(reason, allow_module_level=True)
    return modules


class Bcoin:
    """A bcoin full node on regtest, ready for peers and commands."""

    def __init__(self, modules: Path, *, mine: int = 0, only: tuple[str, ...] = ()) -> None:
        """
        :param mine: blocks it has before it meets anybody.
        :param only: peers that it connects to, and keeps connected, ``host:port``.
        """
        self._modules = modules
        self._options: dict[str, object] = {"only": only}
        self._spawn(mine)

    def _spawn(self, mine: int) -> None:
        command = ["node", str(FOLDER / "launcher.js"), str(self._modules), json.dumps({**self._options, "mine": mine})]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "NODE_BACKEND": "js"}, text=True
        )
        assert self.process.stdout is not None
        alarm = threading.Timer(START_SECONDS, self.process.kill)
        alarm.start()
        try:
            words = self.process.stdout.readline().split()
        finally:
            alarm.cancel()
        if words[:1] != ["READY"]:
            self.close()
            raise AssertionError("bcoin did not start; what it wrote is on stderr")
        self.port, self._rpc_port = int(words[1]), int(words[2])

    @property
    def target(self) -> str:
        """What a node's ``connect`` wants."""
        return f"127.0.0.1:{self.port}"

    def rpc(self, method: str, *params: Any) -> Any:
        """One command, with bcoin's result or an AssertionError with its complaint."""
        connection = http.client.HTTPConnection("127.0.0.1", self._rpc_port, timeout=RPC_SECONDS)
        with contextlib.closing(connection):
            connection.request("POST", "/", json.dumps({"method": method, "params": params}))
            reply = json.loads(connection.getresponse().read())
        assert reply["error"] is None, f"bcoin {method}: {reply['error']}"
        return reply["result"]

    def mine(self, count: int = 1) -> str:
        """Mine blocks and announce them; returns the hash of the last."""
        hashes: list[str] = self.rpc("generate", count)
        return hashes[-1]

    def restart(self, *, mine: int = 0) -> None:
        """Start again on the same port after `close`, with nothing but ``mine`` new blocks."""
        self._options["port"] = self.port
        self._spawn(mine)

    def close(self) -> None:
        """SIGTERM; done when the process is gone."""
        self.process.terminate()
        try:
            self.process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def __enter__(self) -> "Bcoin":
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.close()

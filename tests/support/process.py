"""A ccnode process of a test's own, on loopback and in a directory of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ccnode.admin.client import NotRunning, call
from tests.support.data import ROOT

START_SECONDS = 30.0
STOP_SECONDS = 15.0


class NodeProcess:
    """``ccnode --chain=CHAIN --datadir=DIR ARGUMENTS``, run as a user would."""

    def __init__(
        self,
        datadir: Path,
        *arguments: str,
        chain: str = "regtest",
        wait: bool = True,
        automatic: bool = False,
        program: Sequence[str] = (sys.executable, "-m", "ccnode"),
    ) -> None:
        """:param automatic: let the node choose its peers; otherwise it has only those that ``connect`` names.
        :param program: what to run, if it is not the node itself
        """
        self.program = program
        self.automatic = automatic
        self.datadir = datadir
        self.chain = chain
        self.folder = datadir if chain == "mainnet" else datadir / chain
        self.arguments = arguments
        self.output = datadir / "output.txt"
        datadir.mkdir(parents=True, exist_ok=True)
        self.process = self._spawn()
        if wait:
            self.wait_ready()

    def _spawn(self) -> subprocess.Popen[bytes]:
        command = [*self.program, f"--chain={self.chain}", f"--datadir={self.datadir}"]
        defaults = [] if any("bind" in text or "listen" in text for text in self.arguments) else ["--bind=127.0.0.1:0"]
        defaults += [] if any("sync" in text for text in self.arguments) else ["--sync=headers"]
        alone = not self.automatic and not any("connect" in text for text in self.arguments)
        defaults += ["--connect=0"] if alone else []
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with self.output.open("ab") as output:
            return subprocess.Popen(
                [*command, *defaults, *self.arguments], stdout=output, stderr=output, stdin=subprocess.DEVNULL, env=env
            )

    def wait_ready(self) -> None:
        """Return once the node answers commands."""
        end = time.monotonic() + START_SECONDS
        while True:
            try:
                self.rpc("uptime")
                return
            except (NotRunning, OSError) as error:
                if self.process.poll() is not None or time.monotonic() > end:
                    raise AssertionError(f"the node did not start: {error}\n{self.text()}") from error
                time.sleep(0.05)

    def rpc(self, method: str, *params: Any) -> Any:
        return call(self.socket, method, list(params), timeout=30)

    @property
    def socket(self) -> Path:
        pointer = self.folder / "admin.sock.path"
        return Path(pointer.read_text().strip()) if pointer.exists() else self.folder / "admin.sock"

    @property
    def port(self) -> int:
        """The port the node really listens on."""
        return int(self.rpc("getnodestats")["listening"][0].rsplit(":", 1)[1])

    def text(self) -> str:
        """Everything printed so far."""
        return self.output.read_text(errors="replace")

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def kill(self) -> None:
        """``kill -9``."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def restart(self, *, wait: bool = True) -> None:
        """Start again after `stop` or `kill`."""
        self.process = self._spawn()
        if wait:
            self.wait_ready()

    def __enter__(self) -> "NodeProcess":
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

"""Processes under test and what the system tells of them."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.data import ROOT
from tests.support.process import NodeProcess

__all__ = ["HeaderServer", "NodeProcess", "cpu_seconds", "own_bytes", "resident_bytes", "scratch"]


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="ccnode-bench-") as folder:
        yield Path(folder)


def cpu_seconds(pid: int) -> float:
    """Processor time of all threads of a process so far; 0.0 where the system does not tell (not Linux)."""
    tasks = Path(f"/proc/{pid}/task")
    if not tasks.is_dir():
        return 0.0
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks.iterdir()) / 1e9


def resident_bytes(pid: int) -> tuple[int, int]:
    """Resident memory of a process, now and at most; zeros where the system does not tell (not Linux)."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0, 0
    fields = dict(line.split(":", 1) for line in status.read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024, int(fields["VmHWM"].split()[0]) * 1024


def own_bytes(pid: int) -> int:
    """Memory of a process that is no file's, shared with nobody; zero where the system does not tell (not Linux).

    What is left out is what the system takes back when it wants memory: programs, and stores mapped into memory.
    """
    rollup = Path(f"/proc/{pid}/smaps_rollup")
    if not rollup.exists():
        return 0
    fields = dict(line.split(":", 1) for line in rollup.read_text().splitlines()[1:])
    return int(fields["Anonymous"].split()[0]) * 1024


class HeaderServer:
    """`tools.bench.server` in a process of its own."""

    def __init__(self, count: int) -> None:
        """Have up to ``count`` headers ready."""
        command = [sys.executable, "-m", "tools.bench.server", str(count)]
        self.process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.port = int(self._line())

    def expect(self, count: int) -> None:
        """Serve ``count`` headers to the next connection."""
        assert self.process.stdin is not None
        print(count, file=self.process.stdin)

    def seconds(self) -> float:
        """Wait until the expected connection has all its headers; how long that took."""
        return float(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the serving process ended")
        return line

    def __enter__(self) -> "HeaderServer":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.process.kill()
        self.process.communicate()

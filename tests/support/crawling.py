"""The crawler at work in a process of its own: as a user runs it, or in haste (``hasty_crawl.py``)."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from sqlite3 import OperationalError, connect

from ccnode.crawler.outcome import Collected, Outcome
from tests.support.data import ROOT

CRAWL = str(ROOT / "tools/crawl.py")
CRAWL_SECONDS = 300.0

Findings = dict[bytes, tuple[Outcome, Collected]]
"""What a round says of each address, by its key."""


def crawl_in_haste(arguments: Sequence[str]) -> Findings:
    """A round of the real parts, in which nobody is waited for longer than a few seconds."""
    command = [sys.executable, "-m", "tests.support.hasty_crawl", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=CRAWL_SECONDS)
    assert result.returncode == 0, result.stderr
    findings = json.loads(result.stdout)
    return {bytes.fromhex(key): (Outcome(outcome), Collected(why)) for key, (outcome, why) in findings.items()}


class CrawlProcess:
    """``tools/crawl.py crawl ARGUMENTS --out DIR``."""

    def __init__(self, out: Path, *arguments: str, chain: str = "mainnet") -> None:
        self.file = out / f"{chain}.sqlite"
        self.output = out.with_suffix(".txt")
        line = [sys.executable, CRAWL, "crawl", f"--out={out}", f"--chain={chain}", *arguments]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(line, cwd=out.parent, stdout=output, stderr=output)

    def wait(self, seconds: float = CRAWL_SECONDS) -> int:
        """The exit status."""
        return self.process.wait(seconds)

    def kill_after(self, visited: int, seconds: float = 60.0) -> bool:
        """``kill -9`` once that many addresses have an outcome in the file; False if the round was over before."""
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if self._decided() >= visited:
                self.process.kill()
                self.process.wait()
                return True
            assert time.monotonic() < end, self.output.read_text()
            time.sleep(0.05)
        return False

    def _decided(self) -> int:
        try:
            with closing(connect(f"file:{self.file}?mode=ro", uri=True)) as database:
                count: int = database.execute("SELECT count(outcome) FROM addresses").fetchone()[0]
                return count
        except OperationalError:  # there is no file yet, or no table in it
            return 0

    def __enter__(self) -> "CrawlProcess":
        return self

    def __exit__(self, *_exc: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

"""A program on a pseudo-terminal, as a person has it."""

import fcntl
import os
import re
import select
import struct
import subprocess
import sys
import termios
import time

from tests.support.data import ROOT

SECONDS = 30.0
ASK_POSITION = "\x1b[6n"

ON_TERMINAL = "import fcntl, os, sys; fcntl.ioctl(0, int(sys.argv[1]), 0); os.execv(sys.argv[2], sys.argv[2:])"
"""Takes its standard input for the terminal from which Ctrl-C comes, and becomes the command. ``pty.fork`` would do it
as well, but a process with threads should not fork."""


class Terminal:
    """A command on a pseudo-terminal: type, and wait for what it prints. Call `close` when done."""

    def __init__(self, *command: str, columns: int = 100) -> None:
        self._fd, theirs = os.openpty()
        self.resize(columns, 24)
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", ON_TERMINAL, str(termios.TIOCSCTTY), *command],
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"},
        )
        os.close(theirs)
        self._seen = ""

    def resize(self, columns: int, lines: int) -> None:
        """The program is told; one that fills the screen paints all of it anew."""
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def type(self, keys: str) -> None:
        os.write(self._fd, keys.encode())

    def expect(self, pattern: str) -> None:
        """Wait for the pattern in what was printed after the last match. Escape sequences are left out."""
        assert self.sees(pattern, SECONDS), f"no {pattern!r} in {self._seen!r}"

    def sees(self, pattern: str, seconds: float) -> bool:
        """The same within a time; whether it came."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self._seen)):
            if time.monotonic() > end:
                return False
            self._read()
        self._seen = self._seen[found.end() :]
        return True

    def exit_status(self) -> int:
        """Wait for the command's end."""
        end = time.monotonic() + SECONDS
        while (status := self._process.poll()) is None:
            assert time.monotonic() < end, f"still running: {self._seen!r}"
            self._read()
        return status

    def _read(self) -> None:
        """Take what is printed within a moment, and answer as a terminal would when asked where the cursor is."""
        if not select.select([self._fd], [], [], 0.1)[0]:
            return
        try:
            text = os.read(self._fd, 65536).decode(errors="replace")
        except OSError:  # Linux: nobody has the other side open any more
            time.sleep(0.01)
            return
        for _ in range(text.count(ASK_POSITION)):
            self.type("\x1b[1;1R")
        self._seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._fd)

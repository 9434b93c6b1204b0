"""Small disks of a test's own: file systems in memory, in a mount namespace that only the test's processes see."""

import shutil
import subprocess
from pathlib import Path

import pytest


class SmallDisk:
    """A file system of ``size`` on ``folder``, which stays until `close`. Skips the test where that is not allowed."""

    def __init__(self, folder: Path, size: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        enter = ["unshare", "-rm"]
        if shutil.which("nsenter") is None or subprocess.run([*enter, "true"], check=False).returncode:
            pytest.skip("no mount namespaces here")
        script = f"mount -t tmpfs -o size={size} none {folder} && echo mounted && exec sleep 1000"
        self._holder = subprocess.Popen([*enter, "sh", "-c", script], stdout=subprocess.PIPE)
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"mounted\n":
            pytest.skip("cannot mount a file system")

    @property
    def prefix(self) -> list[str]:
        """Begins the command line of a process that sees the disk."""
        return ["nsenter", f"--target={self._holder.pid}", "--user", "--mount", "--preserve-credentials"]

    def change(self, options: str) -> None:
        """Give it another size, or make it read-only (``ro``) or writable (``rw``)."""
        subprocess.run([*self.prefix, "mount", "-o", f"remount,{options}", str(self._folder)], check=True)

    def close(self) -> None:
        self._holder.kill()
        self._holder.wait()
        if self._holder.stdout is not None:
            self._holder.stdout.close()

    def __enter__(self) -> "SmallDisk":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

"""The line at the bottom of the prompt, kept up to date by a thread, so that typing never waits for it."""

import threading
from typing import Final

from ccnode.admin.shell.remote import Remote
from ccnode.errors import CcnodeError

SECONDS: Final = 2.0
"""Time between two looks at the node."""

TIMEOUT: Final = 5.0
"""Seconds such a look may take."""


class Toolbar:
    """``text`` is the line; a context manager runs its thread."""

    def __init__(self, remote: Remote) -> None:
        self.text = ""
        self._remote = remote
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="toolbar", daemon=True)

    def __enter__(self) -> "Toolbar":
        self._thread.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stopping.set()

    def _run(self) -> None:
        while True:
            try:
                self.text = self.look()
            except CcnodeError:
                self.text = " the node does not answer; the next command tries again"
            if self._stopping.wait(SECONDS):
                return

    def look(self) -> str:
        """Chain, phase, height and peers. CcnodeError if the node does not answer."""
        methods = ("getblockchaininfo", "getheadersyncinfo", "getpeerinfo")
        chain, sync, peers = (self._remote.call(method, timeout=TIMEOUT) for method in methods)
        inbound = sum(peer["inbound"] for peer in peers)
        connections = f"peers {len(peers) - inbound} out {inbound} in"
        marks = " | read-only" if self._remote.read_only else ""
        return f" {chain['chain']} | {sync['phase']} | height {sync['height']:,} | {connections}{marks}"

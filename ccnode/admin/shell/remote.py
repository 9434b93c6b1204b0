"""The node, as the shell sees it: somebody who answers requests on a socket, and may come and go.

Each request opens the socket anew, which takes a fraction of a millisecond: a node that went away and came back is
simply there again. A stream of events keeps its own connection.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from ccnode.admin.client import DEFAULT_TIMEOUT, Events, call, call_batch, subscribe

TIMEOUT: Final = 60.0
"""Seconds that a word of the shell's waits for the node."""


class Remote:
    """Calls commands of the node behind the socket that ``find`` names at that moment."""

    def __init__(self, find: Callable[[], Path], *, read_only: bool = False) -> None:
        """:param read_only: have the node refuse whatever would change it."""
        self._find = find
        self.read_only = read_only
        self._commands: Mapping[str, Mapping[str, Any]] | None = None

    def call(self, method: str, *params: object, timeout: float = TIMEOUT) -> Any:
        """The result of one command. RpcError if the node refuses, NotRunning if nobody answers in time (seconds)."""
        return call(self._find(), method, params, timeout=timeout, read_only=self.read_only)

    def call_all(self, *methods: str, timeout: float = TIMEOUT) -> list[Any]:
        """The results of several commands without arguments, asked for at once: a busy node is waited for once."""
        return call_batch(self._find(), methods, timeout=timeout, read_only=self.read_only)

    def call_words(self, method: str, words: Sequence[str]) -> Any:
        """The same with words as a person typed them; the node reads each by the type it declares. It may take its
        time: some commands wait for something to happen.
        """
        return call(self._find(), method, words, timeout=DEFAULT_TIMEOUT, words=True, read_only=self.read_only)

    def subscribe(self, topics: Sequence[str], options: Mapping[str, object] | None = None) -> Events:
        """Events as they come, until the node goes away; close it when done. RpcError, NotRunning."""
        return subscribe(self._find(), topics, options)

    @property
    def commands(self) -> Mapping[str, Mapping[str, Any]]:
        """The node's commands by name, each as ``describe`` gives it; asked for once. NotRunning."""
        if self._commands is None:
            self._commands = {each["name"]: each for each in self.call("describe")}
        return self._commands

    @property
    def known_commands(self) -> Mapping[str, Mapping[str, Any]]:
        """The same without asking: none, if nobody has asked yet."""
        return self._commands or {}

    def forget(self) -> None:
        """Another node may be behind the socket, with other commands."""
        self._commands = None

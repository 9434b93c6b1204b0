"""What Tab offers: commands, options, and values, those as well that only the node knows.

The declarations say what an argument is: a tuple of words, or a *kind* (``peer_id``, ``banned``, ``network``, ...).
For a kind the node is asked, by one of the functions of `KINDS`; its answer is good for a second, so that a person who
types quickly costs it one request. Matching is fuzzy: the letters in their order, anywhere.
"""

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, FuzzyCompleter
from prompt_toolkit.document import Document

from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.views import VIEWS, View
from ccnode.errors import CcnodeError

TIMEOUT: Final = 1.0
"""Seconds the node has for an answer; without one nothing is offered."""

FRESH_SECONDS: Final = 1.0

Offer = tuple[str, str]
"""A value, and what the menu says of it."""


def _peer_ids(remote: Remote) -> Iterator[Offer]:
    for peer in remote.call("getpeerinfo", timeout=TIMEOUT):
        yield str(peer["id"]), f"{'in' if peer['inbound'] else 'out'}  {peer['addr']}  {peer['subver']}"


def _peer_addresses(remote: Remote) -> Iterator[Offer]:
    for peer in remote.call("getpeerinfo", timeout=TIMEOUT):
        yield peer["addr"], f"peer {peer['id']}  {peer['subver']}"


def _peer_hosts(remote: Remote) -> Iterator[Offer]:
    for address, what in _peer_addresses(remote):
        yield address.rpartition(":")[0].strip("[]"), what


def _banned(remote: Remote) -> Iterator[Offer]:
    for ban in remote.call("listbanned", timeout=TIMEOUT):
        yield ban["address"], f"{ban['time_remaining']} s left"


def _block_hashes(remote: Remote) -> Iterator[Offer]:
    for tip in remote.call("getchaintips", timeout=TIMEOUT):
        yield tip["hash"], f"height {tip['height']}, {tip['status']}"


def _heights(remote: Remote) -> Iterator[Offer]:
    yield str(remote.call("getblockcount", timeout=TIMEOUT)), "the tip"
    yield "0", "the genesis"


def _commands(remote: Remote) -> Iterator[Offer]:
    yield from ((view.name, view.summary) for view in VIEWS)
    yield from _methods(remote)


def _methods(remote: Remote) -> Iterator[Offer]:
    yield from ((each["name"], each["summary"]) for each in remote.commands.values() if each["category"] != "hidden")


def _networks(_remote: Remote) -> Iterator[Offer]:
    yield from ((name, "") for name in ("ipv4", "ipv6", "onion", "i2p", "cjdns"))


def _peer_columns(_remote: Remote) -> Iterator[Offer]:
    from ccnode.admin.shell.words.peers import columns

    for column in columns(0.0):
        yield column.name, ""
        yield f"-{column.name}", "the other way round"


KINDS: Final[Mapping[str, Callable[[Remote], Iterable[Offer]]]] = {
    "banned": _banned,
    "blockhash": _block_hashes,
    "command": _commands,
    "height": _heights,
    "method": _methods,
    "network": _networks,
    "peer_address": _peer_addresses,
    "peer_column": _peer_columns,
    "peer_host": _peer_hosts,
    "peer_id": _peer_ids,
}
"""How the values of each kind of argument are found."""


class Words(Completer):
    """Completes the word under the cursor."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._known: dict[str, tuple[float, list[Offer]]] = {}

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        before = document.text_before_cursor.lstrip()
        try:
            words = shlex.split(before)
        except ValueError:  # within quotes
            return
        if not before or before[-1].isspace():
            words.append("")
        for text, meta in self.offers(words[:-1], words[-1]):
            yield Completion(text, start_position=-len(words[-1]), display_meta=meta)

    def offers(self, before: Sequence[str], word: str) -> list[Offer]:
        """What may stand for ``word`` after the words ``before``. Nothing, where the node does not answer."""
        if not before:
            return [*self._values("command"), ("exit", "Leaves the shell.")]
        view = VIEWS.find(before[0])
        if view is not None and view.name == "rpc" and len(before) > 1:
            return self._of_method(before[1:])
        return self._of_method(before) if view is None else self._of_view(view, before[1:], word)

    def _of_view(self, view: View, given: Sequence[str], word: str) -> list[Offer]:
        values = {f"--{option.name}": option for option in view.options}
        if given and given[-1] in values and values[given[-1]].value is not None:
            return self._values(values[given[-1]].completion)
        if word.startswith("-"):
            return [(name, option.help) for name, option in values.items() if name not in given]
        plain = [
            word
            for at, word in enumerate(given)
            if not word.startswith("--") and not (at and given[at - 1] in values and values[given[at - 1]].value)
        ]
        if len(plain) < len(view.arguments):
            return self._values(view.arguments[len(plain)].completion)
        if view.arguments and view.arguments[-1].many:
            return self._values(view.arguments[-1].completion)
        return [(name, option.help) for name, option in values.items() if name not in given]

    def _of_method(self, before: Sequence[str]) -> list[Offer]:
        try:
            command: Mapping[str, Any] = self._remote.commands.get(before[0], {})
        except CcnodeError:
            return []
        arguments = command.get("args", [])
        at = len(before) - 1
        return self._values(arguments[at]["completion"]) if at < len(arguments) else []

    def _values(self, completion: str | Sequence[str] | None) -> list[Offer]:
        if completion is None:
            return []
        if not isinstance(completion, str):
            return [(value, "") for value in completion]
        known = self._known.get(completion)
        if known is not None and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        find = KINDS.get(completion)
        try:
            found = list(find(self._remote)) if find is not None else []
        except CcnodeError:
            found = []
        self._known[completion] = time.monotonic(), found
        return found


def completer(remote: Remote) -> Completer:
    """For a prompt: fuzzy."""
    return FuzzyCompleter(Words(remote), pattern=r"^[^\s]*")

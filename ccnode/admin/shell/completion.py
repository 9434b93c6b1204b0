"""What Tab offers: commands, options, and values, those as well that only the node knows.

The declarations say what an argument is: a tuple of words, or a *kind* (``peer_id``, ``banned``, ``network``, ...).
For a kind the node is asked, by one of the functions of `KINDS`; its answer is good for a second, so that a person who
types quickly costs it one request. Matching is fuzzy: the letters in their order, anywhere.
"""

import shlex
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from prompt_toolkit.completion import CompleteEvent, Completer, Completion, PathCompleter
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples

from ccnode.admin.shell.line import COMMAND, SIGN, WORD, tokens
from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.session import LEAVING
from ccnode.admin.shell.views import VIEWS, View
from ccnode.errors import CcnodeError

TIMEOUT: Final = 1.0
"""Seconds the node has for an answer; without one nothing is offered."""

FRESH_SECONDS: Final = 1.0

SOME: Final = 50
"""Addresses that are offered to connect to, drawn at random."""

Offer = tuple[str, str]
"""A value, and what the menu says of it."""


def _peer_ids(remote: Remote) -> Iterator[Offer]:
    for peer in remote.call("getpeerinfo", timeout=TIMEOUT):
        yield str(peer["id"]), f"{'in' if peer['inbound'] else 'out'}  {peer['addr']}  {peer['subver']}"


def _peer_addresses(remote: Remote) -> Iterator[Offer]:
    for peer in remote.call("getpeerinfo", timeout=TIMEOUT):
        yield peer["addr"], f"peer {peer['id']}  {peer['subver']}"


def _peer_hosts(remote: Remote) -> Iterator[Offer]:
    hosts: dict[str, list[str]] = {}
    for address, what in _peer_addresses(remote):
        hosts.setdefault(address.rpartition(":")[0].strip("[]"), []).append(what)
    for host, peers in hosts.items():
        yield host, peers[0] if len(peers) == 1 else f"{len(peers)} peers"


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
    yield from _words(remote)
    yield from _methods(remote)


def _words(_remote: Remote) -> Iterator[Offer]:
    yield from ((view.name, view.summary) for view in VIEWS)


def _methods(remote: Remote) -> Iterator[Offer]:
    yield from ((each["name"], each["summary"]) for each in remote.commands.values() if each["category"] != "hidden")


def _kept_nodes(remote: Remote) -> Iterator[Offer]:
    for node in remote.call("getaddednodeinfo", timeout=TIMEOUT):
        yield node["addednode"], "connected" if node["connected"] else "not connected"


def _node_addresses(remote: Remote) -> Iterator[Offer]:
    for known in remote.call("getnodeaddresses", SOME, timeout=TIMEOUT):
        host = f"[{known['address']}]" if ":" in known["address"] else known["address"]
        yield f"{host}:{known['port']}", known["network"]


def _categories(remote: Remote) -> Iterator[Offer]:
    yield from ((name, "") for name in remote.commands["logging"]["args"][0]["completion"])


def _peer_columns(_remote: Remote) -> Iterator[Offer]:
    from ccnode.admin.shell.words.peers import columns

    for column in columns(0.0):
        yield column.name, ""
        yield f"-{column.name}", "the other way round"


KINDS: Final[Mapping[str, Callable[[Remote], Iterable[Offer]]]] = {
    "banned": _banned,
    "blockhash": _block_hashes,
    "category": _categories,
    "command": _commands,
    "height": _heights,
    "kept_node": _kept_nodes,
    "method": _methods,
    "node_address": _node_addresses,
    "peer_address": _peer_addresses,
    "peer_column": _peer_columns,
    "peer_host": _peer_hosts,
    "peer_id": _peer_ids,
    "word": _words,
}
"""How the values of each kind of argument are found."""

# fmt: off
_MESSAGES: Final = (
    "addr", "addrv2", "cmpctblock", "feefilter", "getaddr", "getblocks", "getdata", "getheaders", "headers", "inv",
    "notfound", "ping", "pong", "sendaddrv2", "sendcmpct", "sendheaders", "tx", "verack", "version", "wtxidrelay",
)
# fmt: on

FIXED: Final[Mapping[str, Sequence[str]]] = {
    "connection_type": ("full", "block", "inbound", "manual", "addr", "feeler"),
    "log_level": ("trace", "debug", "info", "warning", "error"),
    "message_type": _MESSAGES,
    "network": ("ipv4", "ipv6", "onion", "i2p", "cjdns"),
}
"""Kinds whose values are always the same."""


class Words(Completer):
    """Completes the word under the cursor."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._known: dict[str, tuple[float, list[Offer]]] = {}

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        pieces = list(tokens(text))
        word, start = "", len(text)
        if pieces and pieces[-1].end == len(text) and pieces[-1].kind == WORD:
            word, start = pieces[-1].text, pieces[-1].start
            pieces.pop()
        if any(piece.kind == COMMAND or piece.text == "|" for piece in pieces):
            return
        if pieces and pieces[-1].kind == SIGN:
            yield from PathCompleter(expanduser=True).get_completions(Document(word), complete_event)
            return
        for offer, meta, display in fuzzy(word, self.offers([piece.text for piece in pieces], word)):
            yield Completion(_quoted(offer), start - len(text), display, meta)

    def offers(self, before: Sequence[str], word: str) -> list[Offer]:
        """What may stand for ``word`` after the words ``before``. Nothing, where the node does not answer."""
        if not before:
            return [*self._values("command"), *((name, "Leaves the shell.") for name in LEAVING)]
        view = VIEWS.find(before[0])
        if view is None:
            return self._of_method(before)
        if len(before) > 1 and view.arguments and view.arguments[0].completion in ("word", "method"):
            return self._of_method(before[1:]) if view.name == "rpc" else self.offers(before[1:], word)
        return self._of_view(view, before[1:], word)

    def _of_view(self, view: View, given: Sequence[str], word: str) -> list[Offer]:
        options = {f"--{option.name}": option for option in view.options}
        last = options.get(given[-1]) if given else None
        if last is not None and last.value is not None:
            return self._values(last.completion)
        unused = [(name, option.help) for name, option in options.items() if name not in given]
        if word.startswith("-"):
            return unused
        plain = 0
        for at, each in enumerate(given):
            before = options.get(given[at - 1]) if at else None
            plain += not each.startswith("--") and not (before is not None and before.value is not None)
        others = [] if word else unused
        if plain < len(view.arguments):
            argument = view.arguments[plain]
            return self._values(argument.completion) + (others if argument.optional else [])
        if view.arguments and view.arguments[-1].many:
            return self._values(view.arguments[-1].completion)
        return others

    def _of_method(self, before: Sequence[str]) -> list[Offer]:
        try:
            command: Mapping[str, Any] = self._remote.commands.get(before[0], {})
        except CcnodeError:
            return []
        arguments = command.get("args", [])
        at = len(before) - 1
        return self._values(arguments[at]["completion"]) if at < len(arguments) else []

    def _values(self, completion: str | Sequence[str] | None) -> list[Offer]:
        if isinstance(completion, str):
            completion = FIXED.get(completion, completion)
        if completion is None:
            return []
        if not isinstance(completion, str):
            return [(value, "") for value in completion]
        known = self._known.get(completion)
        if known is not None and time.monotonic() - known[0] < FRESH_SECONDS:
            return known[1]
        find = KINDS.get(completion)
        found: list[Offer] = []
        with suppress(CcnodeError):  # what was found before it failed is good
            found.extend(find(self._remote) if find is not None else ())
        self._known[completion] = time.monotonic(), found
        return found


def fuzzy(word: str, offers: Iterable[Offer]) -> Iterator[tuple[str, str, StyleAndTextTuples]]:
    """The offers that have the word's letters in their order, and how the menu shows them; the nearest first.

    The earlier and the closer together the letters are, the nearer; among equals the order of the offers stays.
    """
    found = []
    for text, meta in offers:
        matches = _stretches(word.lower(), text.lower())
        if matches:
            length, start = min(matches)
            found.append((start > 0, length, start, text, meta))
    found.sort(key=lambda each: each[:3])
    for _later, length, start, text, meta in found:
        yield text, meta, _display(word, text, start, length)


def _stretches(word: str, text: str) -> list[tuple[int, int]]:
    """Where the letters of the word come in their order: length and start of the shortest stretch from each start.

    Looked for letter by letter: a regular expression would try all choices among the zeros of a block hash.
    """
    found: list[tuple[int, int]] = []
    start = text.find(word[:1])
    while start >= 0:
        end = start
        for letter in word:
            end = text.find(letter, end) + 1
            if not end:
                return found
        found.append((end - start, start))
        start = text.find(word[0], start + 1) if word else -1
    return found


def _display(word: str, text: str, start: int, length: int) -> StyleAndTextTuples:
    """The text with the letters that match in a style of their own."""
    shown: StyleAndTextTuples = [("", text[:start])]
    letters = list(word.lower())
    for char in text[start : start + length]:
        hit = bool(letters) and char.lower() == letters[0]
        if hit:
            letters.pop(0)
        shown.append(("class:match" if hit else "", char))
    return [*shown, ("", text[start + length :])]


def _quoted(text: str) -> str:
    """As the line has to have it; an IPv6 address in brackets needs no quotes here."""
    return text if [token.text for token in tokens(text)] == [text] else shlex.quote(text)

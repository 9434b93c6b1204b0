"""What the prompt is made of: completion, colours, the line at the bottom. The node is a stand-in."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document

from ccnode.admin.client import NotRunning
from ccnode.admin.shell.completion import Words, fuzzy
from ccnode.admin.shell.lexer import Colours
from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.toolbar import GONE, Toolbar, line

STATUS = {
    "chain": "main",
    "phase": "synchronizing headers",
    "percent": 42.01,
    "height": 400_000,
    "connections_in": 3,
    "connections_out": 10,
    "received_per_second": 1_250_000.0,
    "sent_per_second": 900.0,
    "network_active": True,
}


class Node(Remote):
    """Answers from a table, and counts what it is asked."""

    def __init__(self, **answers: Any) -> None:
        super().__init__(lambda: Path("nowhere"))
        peers = [
            {"id": 7, "addr": "203.0.113.7:8333", "inbound": True, "subver": "/a:1/"},
            {"id": 12, "addr": "[2001:db8::1]:8333", "inbound": False, "subver": "/b:2/"},
        ]
        arg = {"name": "x", "type": "string", "required": True, "help": "", "completion": "peer_id"}
        commands = [
            {"name": "getpeerinfo", "category": "network", "summary": "Peers.", "args": []},
            {"name": "logging", "category": "control", "summary": "Log.", "args": [{**arg, "completion": ["net"]}]},
            {"name": "sendmsgtopeer", "category": "hidden", "summary": "Sends.", "args": [arg]},
        ]
        self.answers = {"getpeerinfo": peers, "describe": commands, "uptime": 100, "status": STATUS, **answers}
        self.asked: list[str] = []
        self.gone = False

    def call(self, method: str, *params: object, timeout: float = 0.0) -> Any:
        self.asked.append(method)
        if self.gone:
            raise NotRunning("gone")
        return self.answers[method]


def offered(text: str, node: Node | None = None) -> list[str]:
    """What the line would become, for each offer."""
    found = Words(node or Node()).get_completions(Document(text), CompleteEvent(completion_requested=True))
    return [text[: len(text) + each.start_position] + each.text for each in found]


def test_commands_of_the_shell_and_of_the_node() -> None:
    assert offered("pee")[:2] == ["peers", "peer"]
    assert "getpeerinfo" in offered("pee")
    assert "sendmsgtopeer" not in offered("send")  # hidden
    assert "exit" in offered("")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("disconnect ", ["disconnect 7", "disconnect 12"]),
        ("disconnect 1", ["disconnect 12"]),
        ("ban 2001:", ["ban 2001:db8::1"]),
        ("peers --so", ["peers --sort", "peers --json"]),
        ("peers --sort ping", ["peers --sort ping", "peers --sort mping", "peers --sort -ping", "peers --sort -mping"]),
        ("peers --net on", ["peers --net onion"]),
        ("net o", ["net on", "net off"]),
        ("sendmsgtopeer ", ["sendmsgtopeer 7", "sendmsgtopeer 12"]),
        ("rpc sendmsgtopeer 7", ["rpc sendmsgtopeer 7"]),
        ("watch disconnect 7", ["watch disconnect 7"]),
        ("watch peers --wi", ["watch peers --wide"]),
        ('disconnect "7', ["disconnect 7"]),
        ("help netw", ["help network"]),
        ("peers | gr", []),
        ("peers |", []),
        ("frobnicate ", []),
        ("uptime ", []),
    ],
)
def test_values(text: str, found: list[str]) -> None:
    assert offered(text) == found


def test_categories_come_from_the_node() -> None:
    assert offered("log n") == ["log net"]
    assert offered("log net deb") == ["log net debug"]


def test_files(tmp_path: Path) -> None:
    (tmp_path / "out.txt").touch()
    assert offered(f"peers > {tmp_path}/o") == [f"peers > {tmp_path}/out.txt"]


def test_an_answer_is_good_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("ccnode.admin.shell.completion.time.monotonic", lambda: now)
    node = Node()
    words = Words(node)
    for _ in range(3):
        assert words.offers(["disconnect"], "")
    assert node.asked == ["getpeerinfo"]
    now += 1.5
    assert words.offers(["disconnect"], "")
    assert node.asked == ["getpeerinfo"] * 2


def test_without_a_node_nothing_is_offered() -> None:
    node = Node()
    node.gone = True
    assert offered("disconnect ", node) == []
    assert offered("getpeerinfo ", node) == []
    assert offered("pee", node) == ["peers", "peer"]  # the shell's own


def test_what_needs_quotes_gets_them() -> None:
    node = Node(getaddednodeinfo=[{"addednode": "a b", "connected": True}])
    assert offered("forget ", node) == ["forget 'a b'"]


def test_the_nearest_first_and_the_letters_marked() -> None:
    offers = [(name, "") for name in ("getpeerinfo", "xpxexer", "peers", "other", "Peer")]
    found = list(fuzzy("peer", offers))
    assert [name for name, _, _ in found] == ["peers", "Peer", "getpeerinfo", "xpxexer"]
    assert [text for style, text, *_ in found[-1][2] if style == "class:match"] == ["p", "e", "e", "r"]


def test_letters_are_found_quickly_among_many_equal_ones() -> None:
    offers = [("0" * 40 + "1" * 24, "")] * 50
    begun = time.monotonic()
    assert list(fuzzy("0" * 20 + "2", offers)) == []
    assert len(list(fuzzy("01" + "1" * 10, offers))) == 50
    assert time.monotonic() - begun < 5  # trying all choices of twenty zeros takes days


def test_several_peers_of_a_host_are_one_offer() -> None:
    peers = [{"id": n, "addr": f"[2001:db8::1]:{n}", "subver": "/x/", "inbound": True} for n in (1, 2)]
    found = Words(Node(getpeerinfo=peers)).offers(["ban"], "2")
    assert found == [("2001:db8::1", "2 peers")]


# -- colours -----------------------------------------------------------------------------------------------------------


def pieces(text: str, node: Node | None = None) -> list[tuple[str, str]]:
    known = node or Node()
    assert known.commands
    known.asked.clear()
    found = [piece for piece in Colours(known).pieces(text) if piece[1].strip()]
    assert known.asked == []
    return found


def test_colours() -> None:
    assert pieces("peers --in --what 'x y' z | wc # no") == [
        ("class:word", "peers"),
        ("class:option", "--in"),
        ("class:unknown", "--what"),
        ("class:quoted", "'x y'"),
        ("", "z"),
        ("class:sign", "|"),
        ("class:command", "wc # no"),
    ]
    assert pieces("getpeerinfo > f # why") == [
        ("class:method", "getpeerinfo"),
        ("class:sign", ">"),
        ("", "f"),
        ("class:comment", "# why"),
    ]


def test_what_is_being_typed_is_not_wrong_yet() -> None:
    assert pieces("pee") == [("", "pee")]
    assert pieces("pee ") == [("class:unknown", "pee")]
    assert pieces("peers --so") == [("class:word", "peers"), ("", "--so")]


def test_without_the_nodes_commands_nothing_is_called_unknown() -> None:
    found = [piece for piece in Colours(Node()).pieces("getnothing 1") if piece[1].strip()]
    assert found == [("", "getnothing"), ("", "1")]


@given(st.text("ab '\"\\[]{}|>#\n-", max_size=20))
def test_colours_change_no_letter(text: str) -> None:
    lex = Colours(Node()).lex_document(Document(text))
    lines = ["".join(piece[1] for piece in lex(number)) for number in range(text.count("\n") + 1)]
    assert "\n".join(lines) == text


# -- the line at the bottom --------------------------------------------------------------------------------------------


def text_of(status: Mapping[str, Any], *, read_only: bool = False) -> str:
    return "".join(piece[1] for piece in line(status, read_only=read_only))


def test_the_line_fits_80_columns() -> None:
    text = text_of(STATUS)
    assert text == " main │ headers 42.0 % │ height 400,000 │ 10 out 3 in │ ↓1.25 MB/s ↑900 B/s"
    assert len(text) <= 80


def test_marks() -> None:
    text = text_of({**STATUS, "phase": "synchronized", "network_active": False}, read_only=True)
    assert text.startswith(" main │ read-only │ network off │ synchronized │ ")


def test_a_restart_is_noticed_once() -> None:
    node = Node()
    toolbar = Toolbar(node)
    assert node.commands
    assert not toolbar.restarted()
    assert not toolbar.restarted()
    node.answers["uptime"] = 1
    assert toolbar.restarted()
    assert not toolbar.restarted()
    assert node.known_commands == {}  # asked for again


def test_a_restart_within_seconds_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("ccnode.admin.shell.toolbar.time.time", lambda: now)
    node = Node(uptime=1)
    toolbar = Toolbar(node)
    assert not toolbar.restarted()
    node.gone = True
    assert not toolbar.restarted()
    node.gone = False
    node.answers["uptime"] = 1  # it was busy
    assert not toolbar.restarted()
    node.gone = True
    assert not toolbar.restarted()
    node.gone, now, node.answers["uptime"] = False, 1001.5, 0
    assert toolbar.restarted()


def test_a_node_that_is_gone_and_back() -> None:
    node = Node()
    toolbar = Toolbar(node)
    seen: list[str] = []

    def changed() -> None:
        seen.append("".join(piece[1] for piece in toolbar.text))
        node.gone = not node.gone
        if len(seen) == 3:
            toolbar.stop()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ccnode.admin.shell.toolbar.SECONDS", 0.001)
        toolbar._run(changed)
    assert GONE in seen[1]
    assert "height 400,000" in seen[0]
    assert seen[0] == seen[2]

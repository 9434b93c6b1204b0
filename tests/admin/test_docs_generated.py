"""The registries are the only lists of commands: each of them has help, example, completion, documentation, a test.

That every word of the shell works is in ``test_shell_every_word.py``.
"""

import ast
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode.admin.arguments import ArgType, bind
from ccnode.admin.commands import REGISTRY
from ccnode.admin.registry import Command
from ccnode.admin.shell.completion import FIXED, KINDS
from ccnode.admin.shell.line import parse_line
from ccnode.admin.shell.views import VIEWS, View
from ccnode.admin.shell.words import load_words
from tests.support.data import ROOT
from tools.docs import DOCUMENTS

load_words()

COMMANDS = [pytest.param(each, id=each.name) for each in REGISTRY]
WORDS = [pytest.param(each, id=each.name) for each in VIEWS]

FREE = {
    "addpeeraddress": {"address", "port"},
    "addconnection": {"address", "connection_type"},
    "getindexinfo": {"index_name"},
    "sendmsgtopeer": {"msg_type", "msg"},
    "setban": {"reason"},
    "submitheader": {"hexdata"},
    "submitblock": {"hexdata", "dummy"},
    "generatetoaddress": {"address"},
    "generatetodescriptor": {"descriptor"},
    "generateblock": {"output"},
    "getrawtransaction": {"txid"},
    "decoderawtransaction": {"hexstring"},
    "decodescript": {"hexstring"},
    "validateaddress": {"address"},
    "gettxout": {"txid"},
    "importaddrman": {"path"},
    "exportaddrman": {"path"},
    "exportasmap": {"path"},
}
"""The arguments of commands that are text which nobody can know beforehand."""

FREE_WORDS = {
    "addresses": {"count"},
    "ban": {"reason"},
    "coin": {"txid", "output"},
    "headers": {"step"},
    "peer": {"last"},
    "reorgs": {"count"},
    "rpc": {"argument"},
    "transaction": {"txid"},
}
"""The same of words: numbers and text."""

CALLS_OF_COMMANDS = ("call", "rpc", "subscribe")
"""The functions by which tests run a command."""


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_are_up_to_date(document: str) -> None:
    written = (ROOT / "docs" / document).read_text(encoding="utf-8")
    assert written == DOCUMENTS[document](), "run  python tools/docs.py"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_documented(command: Command) -> None:
    assert f"\n### {command.name}\n" in (ROOT / "docs/rpc.md").read_text()
    assert command.help
    assert command.result
    assert all(arg.help for arg in command.args)


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_of_a_command_are_what_it_takes(command: Command) -> None:
    if "..." not in command.example:
        bind(command.args, shlex.split(command.example), words=True)


@pytest.mark.parametrize("command", COMMANDS)
def test_values_of_a_command_are_completed_where_they_are_known(command: Command) -> None:
    for arg in command.args:
        if isinstance(arg.completion, str):
            assert arg.completion in {*KINDS, *FIXED}, arg.name
        elif arg.type in (ArgType.HASH, ArgType.STRING) and arg.name not in FREE.get(command.name, ()):
            assert arg.completion, arg.name


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_documented(word: View) -> None:
    assert f"\n### {word.name}\n" in (ROOT / "docs/shell.md").read_text()
    assert word.help
    assert all(each.help for each in (*word.arguments, *word.options))
    assert all(REGISTRY.find(name) is not None for name in word.uses)


@pytest.mark.parametrize("word", WORDS)
def test_examples_of_a_word_are_what_it_takes(word: View) -> None:
    assert word.examples
    for example in word.examples:
        name, *words = parse_line(example).words
        first = VIEWS.find(name)
        assert first is not None
        first.parse(words)
        assert word.name in (name, *words)  # others may be about it: watch traffic


@pytest.mark.parametrize("word", WORDS)
def test_values_of_a_word_are_completed_where_they_are_known(word: View) -> None:
    for each in (*word.arguments, *(option for option in word.options if option.value)):
        if isinstance(each.completion, str):
            assert each.completion in {*KINDS, *FIXED}, each.name
        elif each.name not in FREE_WORDS.get(word.name, ()):
            assert each.completion, each.name


def test_every_command_has_a_functional_test() -> None:
    called = {text for text in said_to(CALLS_OF_COMMANDS, "tests") if REGISTRY.find(text) is not None}
    called |= {text for text in keys_of_tables("tests/admin") if REGISTRY.find(text) is not None}
    assert called == {each.name for each in REGISTRY}


def said_to(functions: tuple[str, ...], folder: str) -> Iterator[str]:
    """Every text that tests give to one of these functions or methods, and the names of those."""
    for call in nodes_of(folder, ast.Call):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
        if name in functions:
            yield name
            for argument in call.args:
                yield from texts(argument)


def keys_of_tables(folder: str) -> Iterator[str]:
    """The keys of dictionaries: tables of commands and of what they give."""
    for table in nodes_of(folder, ast.Dict):
        for key in table.keys:
            yield from texts(key) if key is not None else ()


def texts(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.value


def nodes_of(folder: str, kind: type) -> Iterator:
    for path in sorted(Path(ROOT / folder).rglob("*.py")):
        if path != Path(__file__):
            yield from (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, kind))

"""Colours for the line while it is typed: what the shell knows, what it does not, what the system's shell gets.

The node is not asked: by then it is known which commands it has, or they go without a colour.
"""

from collections.abc import Callable, Iterator
from typing import Final

from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.lexers import Lexer

from ccnode.admin.shell.line import SIGN, WORD, Token, tokens
from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.session import LEAVING
from ccnode.admin.shell.views import VIEWS, View

STYLES: Final = {
    "word": "ansigreen bold",
    "method": "ansicyan bold",
    "option": "ansiblue",
    "unknown": "ansired",
    "quoted": "ansiyellow",
    "sign": "ansimagenta",
    "command": "ansimagenta",
    "comment": "ansibrightblack",
}
"""By class."""


class Colours(Lexer):
    """The prompt's lexer."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote

    def lex_document(self, document: Document) -> Callable[[int], StyleAndTextTuples]:
        lines = _split(self.pieces(document.text))
        return lambda number: lines[number] if number < len(lines) else []

    def pieces(self, text: str) -> Iterator[tuple[str, str]]:
        """The whole text, each piece of it with the class of its style."""
        end, first, view = 0, True, None
        for token in tokens(text):
            yield "", text[end : token.start]
            end = token.end
            shown = text[token.start : end]
            if token.kind != WORD:
                yield f"class:{token.kind}", shown
                first = first and token.kind != SIGN
            elif first:
                view, first = VIEWS.find(token.text), False
                yield self._command_class(token.text, whole=end < len(text)), shown
            else:
                yield _word_class(token, shown, view), shown
        yield "", text[end:]

    def _command_class(self, word: str, *, whole: bool) -> str:
        """``whole``: it does not end where the line does, so it is no longer being typed."""
        if VIEWS.find(word) is not None or word in LEAVING:
            return "class:word"
        methods = self._remote.known_commands
        if word in methods:
            return "class:method"
        return "class:unknown" if whole and methods else ""


def _word_class(token: Token, shown: str, view: View | None) -> str:
    if token.missing or shown != token.text:
        return "class:quoted"
    if view is None or not shown.startswith("--"):
        return ""
    name = shown[2:].partition("=")[0]
    if any(option.name == name for option in view.options):
        return "class:option"
    return "" if any(option.name.startswith(name) for option in view.options) else "class:unknown"


def _split(pieces: Iterator[tuple[str, str]]) -> list[StyleAndTextTuples]:
    """Pieces line by line."""
    lines: list[StyleAndTextTuples] = [[]]
    for style, text in pieces:
        first, *others = text.split("\n")
        lines[-1].append((style, first))
        lines += [[(style, other)] for other in others]
    return lines

"""What a person typed, taken apart: words, and where the output goes.

A line is words in the system shell's quoting, then perhaps ``> FILE`` or ``>> FILE``, or ``| COMMAND``: everything
after the first bar outside quotes belongs to the system's shell. ``#`` begins a comment. A word that begins with a
bracket is JSON: it goes on to the bracket that closes it, spaces and quotes included. Quotes, brackets and a backslash
at the end go on to the next line.

`tokens` never fails, so that a prompt can colour and complete a line that is half typed; `parse_line` is strict.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from ccnode.errors import CcnodeError

WORD: Final = "word"
SIGN: Final = "sign"
"""``|``, ``>`` or ``>>``."""
COMMAND: Final = "command"
"""What the system's shell gets."""
COMMENT: Final = "comment"

_CLOSING: Final = {"[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Token:
    """One piece of a line: ``line[start:end]``, and what it means."""

    kind: Literal["word", "sign", "command", "comment"]
    text: str
    """Of a word, without its quotes."""
    start: int
    end: int
    missing: str = ""
    """What a word lacks to be whole."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line. At most one of ``pipe`` and ``file`` is there."""

    words: tuple[str, ...]
    pipe: str | None = None
    """A command line for the system's shell, which reads the output."""
    file: Path | None = None
    append: bool = False


def parse_line(text: str) -> Line:
    """CcnodeError for quotes and brackets that do not close, and for a ``>`` or ``|`` with nothing before or after."""
    pieces = [token for token in tokens(text) if token.kind != COMMENT]
    for token in pieces:
        if token.missing:
            raise CcnodeError(f"no {token.missing}: {text.strip()}")
    at = next((at for at, token in enumerate(pieces) if token.kind == SIGN), len(pieces))
    words = tuple(token.text for token in pieces[:at])
    if at == len(pieces):
        return Line(words)
    sign, rest = pieces[at].text, pieces[at + 1 :]
    if not words:
        raise CcnodeError(f"{sign} wants a command before it")
    if sign == "|":
        if not rest:
            raise CcnodeError("| wants a command that reads the output")
        return Line(words, pipe=rest[0].text)
    if [token.kind for token in rest] != [WORD]:
        raise CcnodeError(f"{sign} wants one file name after it")
    return Line(words, file=Path(rest[0].text).expanduser(), append=sign == ">>")


def is_open(text: str) -> bool:
    """Whether a quote or a bracket waits to be closed, so that another line belongs to this one."""
    return any(token.missing for token in tokens(text))


def join(lines: Iterable[str]) -> Iterator[str]:
    """Lines as somebody wrote them, put together where one belongs to the one before."""
    waiting: list[str] = []
    for line in lines:
        waiting.append(line.removesuffix("\n"))
        whole = "\n".join(waiting)
        if not is_open(whole):
            yield whole
            waiting.clear()
    if waiting:
        yield "\n".join(waiting)


def tokens(text: str) -> Iterator[Token]:
    """The pieces of a line, in their order."""
    at = 0
    while at < len(text):
        if text[at].isspace():
            at += 1
        elif text.startswith("\\\n", at):
            at += 2
        elif text[at] == "#":
            yield Token("comment", text[at:], at, len(text))
            return
        elif text[at] == "|":
            yield Token("sign", "|", at, at + 1)
            command = text[at + 1 :].strip()
            if command:
                start = text.index(command, at + 1)
                yield Token("command", command, start, start + len(command))
            return
        elif text[at] == ">":
            end = at + (2 if text.startswith(">>", at) else 1)
            yield Token("sign", text[at:end], at, end)
            at = end
        else:
            token = _word(text, at)
            yield token
            at = token.end


def _word(text: str, start: int) -> Token:
    at, parts, missing = start, [], ""
    while at < len(text) and not missing and not (text[at].isspace() or text[at] in "|>"):
        begun = at
        if text[at] in "'\"":
            part, at = _quoted(text, at)
            missing = "" if at else "closing quotation"
        elif text[at] in _CLOSING and at == start:
            at = _bracketed(text, at)
            part = text[begun : at or len(text)]
            missing = "" if at else "closing bracket"
        elif text[at] == "\\":
            part, at = text[at + 1 : at + 2], at + 2
            missing = "" if part else "character after the backslash"
            part = part.replace("\n", "")
        else:
            part, at = text[at], at + 1
        parts.append(part)
        at = at or len(text)
    return Token("word", "".join(parts), start, min(at, len(text)), missing)


def _quoted(text: str, start: int) -> tuple[str, int]:
    """What is within the quotes that begin at ``start``, and where they end; 0 if they do not."""
    quote, at, parts = text[start], start + 1, []
    while at < len(text) and text[at] != quote:
        if quote == '"' and text[at] == "\\" and text[at + 1 : at + 2] in ('"', "\\"):
            at += 1
        parts.append(text[at])
        at += 1
    return "".join(parts), at + 1 if at < len(text) else 0


def _bracketed(text: str, start: int) -> int:
    """Where the JSON ends whose bracket is at ``start``; 0 if it does not."""
    waiting, at = [_CLOSING[text[start]]], start + 1
    while waiting and at < len(text):
        char = text[at]
        if char == '"':
            end = _quoted(text, at)[1]
            if not end:
                return 0
            at = end
            continue
        if char in _CLOSING:
            waiting.append(_CLOSING[char])
        elif char == waiting[-1]:
            waiting.pop()
        at += 1
    return 0 if waiting else at

"""What a person typed, taken apart: words, and where the output goes.

A line is words in the system shell's quoting, then perhaps ``> FILE`` or ``>> FILE``, or ``| COMMAND``: everything
after the first bar outside quotes belongs to the system's shell. ``#`` begins a comment.
"""

import shlex
from dataclasses import dataclass
from pathlib import Path

from ccnode.errors import CcnodeError


@dataclass(frozen=True, slots=True)
class Line:
    """One line. At most one of ``pipe`` and ``file`` is there."""

    words: tuple[str, ...]
    pipe: str | None = None
    """A command line for the system's shell, which reads the output."""
    file: Path | None = None
    append: bool = False

    @property
    def redirected(self) -> bool:
        """The output is for a program or a file: no colours, no pages, no cutting to the terminal's width."""
        return self.pipe is not None or self.file is not None


def parse_line(text: str) -> Line:
    """CcnodeError for quotes that do not close, and for a ``>`` or ``|`` with nothing before or after it."""
    at = _find_sign(text)
    words, sign, rest = text[:at], text[at : at + 1], text[at + 1 :]
    command = _split(words)
    if sign in ("", "#"):
        return Line(command)
    append = rest.startswith(">")
    sign += ">" if append else ""
    if not command:
        raise CcnodeError(f"{sign} wants a command before it")
    if sign == "|":
        if not rest.strip():
            raise CcnodeError("| wants a command that reads the output")
        return Line(command, pipe=rest.strip())
    rest = rest.removeprefix(">")
    names = _split(rest[: _find_sign(rest)])
    if len(names) != 1:
        raise CcnodeError(f"{sign} wants one file name after it")
    return Line(command, file=Path(names[0]).expanduser(), append=append)


def _split(text: str) -> tuple[str, ...]:
    try:
        return tuple(shlex.split(text))
    except ValueError as error:
        raise CcnodeError(f"{str(error).lower()}: {text.strip()}") from None


def _find_sign(text: str) -> int:
    """Where the words end: at a bar, a ``>`` or a comment outside quotes, or at the end."""
    quote = ""
    escaped = False
    for at, char in enumerate(text):
        if escaped:
            escaped = False
        elif char == "\\" and quote != "'":
            escaped = True
        elif quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "|>" or (char == "#" and (at == 0 or text[at - 1].isspace())):
            return at
    return len(text)

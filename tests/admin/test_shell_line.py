"""A line taken apart: words, pipes, files."""

from pathlib import Path

import pytest

from ccnode.admin.shell.line import Line, parse_line
from ccnode.errors import CcnodeError


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", Line(())),
        ("  # only a comment | > x", Line(())),
        ("peers --in  # mine", Line(("peers", "--in"))),
        ("""echo 'a | b' "c > d" e\\|f""", Line(("echo", "a | b", "c > d", "e|f"))),
        ("echo a#b", Line(("echo", "a#b"))),
        ("peers|grep -v 'a|b' | wc", Line(("peers",), pipe="grep -v 'a|b' | wc")),
        ("peers > out.txt", Line(("peers",), file=Path("out.txt"))),
        ("peers>>'my file'  # kept", Line(("peers",), file=Path("my file"), append=True)),
    ],
)
def test_lines(text: str, line: Line) -> None:
    assert parse_line(text) == line


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('echo "open', "no closing quotation"),
        ("peers |", "wants a command that reads"),
        ("| wc", "wants a command before it"),
        ("> file", "wants a command before it"),
        ("peers >", "one file name"),
        ("peers > a b", "one file name"),
        ("peers >> ", ">> wants one file name"),
    ],
)
def test_mistakes(text: str, complaint: str) -> None:
    with pytest.raises(CcnodeError, match=complaint):
        parse_line(text)

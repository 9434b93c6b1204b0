"""A line taken apart: words, pipes, files."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.admin.shell.line import Line, is_open, join, parse_line, tokens
from ccnode.errors import CcnodeError


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", Line(())),
        ("  # only a comment | > x", Line(())),
        ("peers --in  # mine", Line(("peers", "--in"))),
        ("""echo 'a | b' "c > d" e\\|f""", Line(("echo", "a | b", "c > d", "e|f"))),
        ("echo a#b", Line(("echo", "a#b"))),
        (r'echo "a\"b\n" \' \#', Line(("echo", 'a"b\\n', "'", "#"))),
        ("echo ''", Line(("echo", ""))),
        (
            """logging ["net", "a b"] {"x": "]|"} > 'f'""",
            Line(("logging", '["net", "a b"]', '{"x": "]|"}'), file=Path("f")),
        ),
        ("disconnect [::1]:8333", Line(("disconnect", "[::1]:8333"))),
        ("echo a[b", Line(("echo", "a[b"))),
        ("peers \\\n --in --so\\\nrt age", Line(("peers", "--in", "--sort", "age"))),
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
        ("echo 'open", "no closing quotation"),
        ('echo ["open', "no closing bracket"),
        ("echo {[}", "no closing bracket"),
        ("echo open\\", "no character after the backslash"),
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


@pytest.mark.parametrize("text", ["", "peers", 'echo "a"', "echo {}", "peers | grep 'x"])
def test_a_whole_line(text: str) -> None:
    assert not is_open(text)


@pytest.mark.parametrize("text", ['echo "a', "echo {", 'echo [{"a": "]"}', "echo 'a\nb", "peers\\"])
def test_a_line_that_goes_on(text: str) -> None:
    assert is_open(text)


@given(st.text("ab '\"\\[]{}|>#\n", max_size=12))
def test_pieces_lie_in_their_order(text: str) -> None:
    end = 0
    for token in tokens(text):
        assert end <= token.start < token.end <= len(text)
        assert text[end : token.start].replace("\\\n", "").strip() == ""
        end = token.end
    assert text[end:].replace("\\\n", "").strip() == ""


@given(st.lists(st.text("ab '\"\\[]{}|>#\n"), min_size=1))
def test_what_is_quoted_comes_back(words: list[str]) -> None:
    assert parse_line(shlex.join(words)).words == tuple(words)


def test_lines_are_joined_where_one_goes_on() -> None:
    lines = ["peers\n", "\n", "echo 'a\n", "b' {\n", "}\n", "peers \\\n", "--in\n", 'echo "open\n', "uptime"]
    assert list(join(lines)) == ["peers", "", "echo 'a\nb' {\n}", "peers \\\n--in", 'echo "open\nuptime']


@given(st.lists(st.text("ab '\"\\[]{}|>#", max_size=6)))
def test_joining_loses_nothing(lines: list[str]) -> None:
    assert "\n".join(join(lines)) == "\n".join(lines)

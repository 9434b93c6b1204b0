"""Where output goes: terminal, pages, files, programs."""

import io
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from ccnode.admin.shell.line import Line, parse_line
from ccnode.admin.shell.output import Output
from ccnode.errors import CcnodeError


def output_of(text: str, *, paged: bool = False) -> Output:
    return Output(parse_line(text), paged=paged)


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard output is a terminal of 80 columns and 24 lines."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "24")
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_file_is_written_and_added_to(tmp_path: Path) -> None:
    path = tmp_path / "out"
    assert output_of(f"x > {path}").write("one")
    assert output_of(f"x > {path}").write("two")
    assert output_of(f"x >> {path}").stream(["three", "four"])
    assert path.read_text() == "two\nthree\nfour\n"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(CcnodeError, match=f"cannot write {tmp_path}: Is a directory"):
        output_of(f"x > {tmp_path}").write("one")


def test_a_program_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "out"
    assert output_of(f"x | tr a-z A-Z > {path}").write("one\ntwo")
    assert path.read_text() == "ONE\nTWO\n"
    assert not output_of("x | grep -q three").write("one\ntwo")


def test_a_reader_who_has_enough_ends_a_stream(tmp_path: Path) -> None:
    closed = []

    def lines() -> Generator[str, None, None]:
        try:
            while True:
                yield "line"
        finally:
            closed.append(True)

    endless = lines()
    path = tmp_path / "out"
    assert output_of(f"x | head -n 2 > {path}").stream(endless)
    assert path.read_text() == "line\nline\n"
    endless.close()
    assert closed == [True]


def test_ctrl_c_ends_a_stream(capsys: pytest.CaptureFixture[str]) -> None:
    def lines() -> Generator[str, None, None]:
        yield "one"
        raise KeyboardInterrupt

    assert output_of("x").stream(lines())
    assert capsys.readouterr().out == "one\n"


@pytest.mark.parametrize(
    ("text", "paged"),
    [("x", False), ("\n".join("x" * 19), False), ("\n".join("x" * 20), True), ("x" * 80, False), ("x" * 81, True)],
)
def test_what_is_larger_than_the_terminal_is_paged(
    text: str, paged: bool, on_terminal: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PAGER", f"cat > {tmp_path}/page")
    assert output_of("x", paged=True).write(text)
    assert (tmp_path / "page").exists() == paged
    assert not paged or (tmp_path / "page").read_text() == text + "\n"


def test_without_a_pager_it_is_printed(
    on_terminal: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PAGER", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert output_of("x", paged=True).write("x\n" * 50)
    assert capsys.readouterr().out.count("x") == 50


def test_escapes_take_no_room(on_terminal: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PAGER", f"cat > {tmp_path}/page")
    output_of("x", paged=True).write("\x1b[1m" + "x" * 80 + "\x1b[0m")
    assert not (tmp_path / "page").exists()


def test_colours_are_for_terminals(on_terminal: None, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.text import Text

    assert "\x1b[" in output_of("x").render(Text("red", style="red"))
    assert output_of("x | cat").render(Text("red", style="red")) == "red"
    monkeypatch.setenv("NO_COLOR", "1")
    assert output_of("x").render(Text("red", style="red")) == "red"


def test_text_is_not_taken_for_markup() -> None:
    assert Output(Line(()), paged=False).render("[bold]x[/bold] [::1]") == "[bold]x[/bold] [::1]"


def test_a_closed_standard_output(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return descriptor

    with open("/dev/null", "w") as spare:
        descriptor = spare.fileno()
        monkeypatch.setattr(sys, "stdout", Closed())
        assert not output_of("x").write("one")

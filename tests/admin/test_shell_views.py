"""Declarations of the shell's words: arguments, options, mistakes, help."""

import pytest

from ccnode.admin.shell.views import Argument, Given, Option, Result, Session, UsageError, View, Views


def view(*arguments: Argument, options: tuple[Option, ...] = ()) -> View:
    def function(shell: Session, given: Given) -> Result:
        raise NotImplementedError

    return View("word", "Subject", function, arguments, options, "Does it. In two sentences.", ("uptime",), ("word x",))


PEER = Argument("peer", "which one")
REST = Argument("rest", "all that is left", optional=True, many=True)
FLAG = Option("flag", "yes")
SORT = Option("sort", "by what", "COLUMN")


def test_arguments_and_options_in_any_order() -> None:
    given = view(PEER, REST, options=(FLAG, SORT)).parse(["--sort", "age", "12", "--flag", "a", "--sort=ping", "b"])
    assert given == Given({"peer": "12"}, ("a", "b"), {"sort": "ping", "flag": ""})
    assert given.get("peer") == "12"
    assert given.get("sort") == "ping"
    assert given.get("other") is None
    assert given.has("flag")


def test_what_is_optional_may_be_left_out() -> None:
    assert view(Argument("peer", "", optional=True), options=(FLAG,)).parse([]) == Given({}, (), {})


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([], "which peer?"),
        (["1", "2"], "unexpected word '2'"),
        (["1", "--srt", "x"], "there is no --srt; did you mean --sort?"),
        (["1", "--what"], "there is no --what\n"),
        (["1", "--sort"], "--sort wants COLUMN"),
        (["1", "--flag=no"], "--flag takes no value"),
    ],
)
def test_mistakes_show_the_usage(words: list[str], complaint: str) -> None:
    with pytest.raises(UsageError) as caught:
        view(PEER, options=(FLAG, SORT)).parse(words)
    assert complaint in str(caught.value)
    assert str(caught.value).endswith("usage: word PEER [--flag] [--sort COLUMN]")


def test_options_of_another_word_go_on_to_it() -> None:
    words = Argument("word", "", many=True, options=True)
    given = view(words, options=(Option("every", "", "TIME"),)).parse(["peers", "--sort", "age", "--every", "5s"])
    assert given == Given({}, ("peers", "--sort", "age"), {"every": "5s"})


def test_help() -> None:
    declared = view(PEER, options=(SORT,))
    assert declared.summary == "Does it."
    assert declared.help_text() == (
        "word PEER [--sort COLUMN]\n\nDoes it. In two sentences.\n\n"
        "  PEER           which one\n  --sort COLUMN  by what\n\n"
        "Asks the node: uptime\n\n> word x"
    )


def test_a_name_is_declared_once() -> None:
    views = Views(lambda: None)

    def declare() -> None:
        @views.view("word", "Subject", help="Does it.", uses=(), examples=("word",))
        def word(shell: Session, given: Given) -> Result:
            raise NotImplementedError

    declare()
    assert [each.name for each in views] == ["word"]
    assert [option.name for option in next(iter(views)).options] == ["json"]
    with pytest.raises(ValueError, match="declared twice"):
        declare()

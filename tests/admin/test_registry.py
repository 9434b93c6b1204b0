"""Arguments and errors of commands: every form of parameters, every complaint, the help texts."""

import pytest

from ccnode.admin.arguments import Arg, ArgType
from ccnode.admin.registry import Registry
from ccnode.errors import RpcError

HASH_TEXT = "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"

registry = Registry()


@registry.command(
    "mix",
    "testing",
    args=[
        Arg("hash", ArgType.HASH, "A hash"),
        Arg("height", ArgType.INTEGER, "A height", default=7),
        Arg("verbosity", ArgType.VERBOSITY, "How much", default=1, aliases=("verbose",)),
        Arg("note", ArgType.STRING, "Anything", default=None),
        Arg("more", ArgType.OBJECT, "Anything", default=None),
    ],
    help="Gives back its arguments.",
    result="[...]    (json array) the arguments",
    example=HASH_TEXT,
)
def mix(node: object, hash: bytes, height: int, verbosity: bool | int, note: str | None, more: object) -> object:  # noqa: A002
    return [hash, height, verbosity, note, more]


@registry.command("none", "hidden", help="Nothing.", result="null")
def none(node: object) -> object:
    return node


HASH = bytes.fromhex(HASH_TEXT)[::-1]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ([HASH_TEXT], [HASH, 7, 1, None, None]),
        ([HASH_TEXT, None, None], [HASH, 7, 1, None, None]),
        ([HASH_TEXT, 3, True, "x", {"a": 1}], [HASH, 3, True, "x", {"a": 1}]),
        ([HASH_TEXT.upper(), -(2**63), 2], [HASH, -(2**63), 2, None, None]),
        ({"hash": HASH_TEXT}, [HASH, 7, 1, None, None]),
        ({"note": "n", "hash": HASH_TEXT}, [HASH, 7, 1, "n", None]),
        ({"hash": HASH_TEXT, "verbose": False}, [HASH, 7, False, None, None]),
        ({"args": [HASH_TEXT, 5], "note": "n"}, [HASH, 5, 1, "n", None]),
    ],
)
def test_forms_of_parameters(params: object, expected: object) -> None:
    assert registry.call(None, "mix", params) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([HASH_TEXT, "3", "false", "12", '{"a": 1}'], [HASH, 3, False, "12", {"a": 1}]),
        ([HASH_TEXT, "null", "2", "null"], [HASH, 7, 2, "null", None]),
        ({"hash": HASH_TEXT, "height": "9"}, [HASH, 9, 1, None, None]),
        ({"args": [HASH_TEXT], "verbose": "true"}, [HASH, 7, True, None, None]),
    ],
)
def test_words_of_a_command_line_are_read_by_type(words: object, expected: object) -> None:
    assert registry.call(None, "mix", words, words=True) == expected


def refused(params: object, *, words: bool = False, name: str = "mix") -> tuple[int, str]:
    with pytest.raises(RpcError) as error:
        registry.call(None, name, params, words=words)
    return error.value.code, str(error.value)


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        ("x", -32600, "Params must be an array or object"),
        (
            [HASH_TEXT, "3"],
            -3,
            "Wrong type passed:\n{\n"
            '    "Position 2 (height)": "JSON value of type string is not of expected type number"\n}',
        ),
        (
            [None, True],
            -3,
            "Wrong type passed:\n{\n"
            '    "Position 1 (hash)": "JSON value of type null is not of expected type string",\n'
            '    "Position 2 (height)": "JSON value of type bool is not of expected type number"\n}',
        ),
        (
            [HASH_TEXT, 1, "x"],
            -3,
            'Wrong type passed:\n{\n    "Position 3 (verbosity)": '
            '"JSON value of type string is not of expected type bool or number"\n}',
        ),
        ([HASH_TEXT, 1.5], -1, "JSON integer out of range"),
        ([HASH_TEXT, 2**63], -1, "JSON integer out of range"),
        ([HASH_TEXT, 1, 1e3], -1, "JSON integer out of range"),
        (["abc"], -8, "hash must be of length 64 (not 3, for 'abc')"),
        (["z" * 64], -8, f"hash must be hexadecimal string (not '{'z' * 64}')"),
        (["  " * 32], -8, f"hash must be hexadecimal string (not '{'  ' * 32}')"),
        ({"hash": HASH_TEXT, "hight": 1}, -8, "Unknown named parameter hight"),
        (
            {"args": [HASH_TEXT], "hash": HASH_TEXT},
            -8,
            "Parameter hash specified twice both as positional and named argument",
        ),
        ({"hash": HASH_TEXT, "verbosity": 1, "verbose": 1}, -8, "Parameter verbose specified multiple times"),
        ({"args": 3}, -8, "Parameter args must be an array"),
    ],
)
def test_refusals(params: object, code: int, message: str) -> None:
    assert refused(params) == (code, message)


@pytest.mark.parametrize("params", [[], {}, None, [HASH_TEXT] * 6, {"height": 1}])
def test_wrong_count_brings_the_help_text(params: object) -> None:
    found = registry.find("mix")
    assert found is not None
    # A required argument left out in front of a given one is a null of the wrong type, as in Core.
    if params == {"height": 1}:
        assert refused(params)[0] == -3
    else:
        assert refused(params) == (-1, found.help_text())


def test_a_word_that_cannot_be_read_names_its_argument() -> None:
    text = 'Error parsing JSON: abc\n(the argument "height" wants: integer)'
    assert refused([HASH_TEXT, "abc"], words=True) == (-3, text)
    assert refused([HASH_TEXT, "[" * 100_000], words=True)[0] == -3


def test_unknown_method() -> None:
    assert refused([], name="nope") == (-32601, "Method not found")


def test_help_texts() -> None:
    found = registry.find("mix")
    assert found is not None
    assert found.help_text() == (
        'mix "hash" ( height verbosity "note" more )\n'
        "\n"
        "Gives back its arguments.\n"
        "\n"
        "Arguments:\n"
        "1. hash         (hash, required) A hash\n"
        "2. height       (integer, optional, default=7) A height\n"
        "3. verbosity    (boolean or integer, optional, default=1) How much\n"
        "4. note         (string, optional) Anything\n"
        "5. more         (json object, optional) Anything\n"
        "\n"
        "Result:\n"
        "[...]    (json array) the arguments\n"
        "\n"
        "Examples:\n"
        f"> ccnode rpc mix {HASH_TEXT}"
    )
    assert registry.overview() == '== Testing ==\nmix "hash" ( height verbosity "note" more )'


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([Arg("b", ArgType.ANY, "")], "declared are"),
        ([Arg("a", ArgType.ANY, "", default=None), Arg("b", ArgType.ANY, "")], "follows an optional"),
        ([Arg("a", ArgType.ANY, ""), Arg("b", ArgType.ANY, "")], "declared twice"),
    ],
)
def test_a_wrong_declaration_fails_at_import(args: list[Arg], message: str) -> None:
    def function(node: object, a: object, b: object) -> None: ...

    with pytest.raises(ValueError, match=message):
        registry.command("none", "testing", args=args, help="", result="")(function)

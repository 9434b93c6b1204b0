"""From a request line to the text of its answer."""

import json
import logging
import types

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.admin.arguments import Arg, ArgType
from ccnode.admin.jsonrpc import Dispatcher, Rows, encode
from ccnode.admin.registry import Registry
from ccnode.clock import SystemClock
from ccnode.errors import StorageError

registry = Registry()


@registry.command("add", "t", args=[Arg("a", ArgType.INTEGER, ""), Arg("b", ArgType.INTEGER, "")], help="", result="")
def add(node: object, a: int, b: int) -> int:
    return a + b


@registry.command("broken", "t", help="", result="")
def broken(node: object) -> int:
    return 1 // 0


@registry.command("damaged", "t", help="", result="")
def damaged(node: object) -> int:
    raise StorageError("the header file cannot be read")


@registry.command("running", "t", help="", result="")
def running(node: types.SimpleNamespace) -> list[str]:
    return [each.method for each in node.active_commands]


def answer(line: bytes | str) -> str:
    context = types.SimpleNamespace(clock=SystemClock(), active_commands=[])
    text = "".join(Dispatcher(registry, context).answer(line.encode() if isinstance(line, str) else line))
    assert context.active_commands == []
    return text


def test_version_2_and_older_replies() -> None:
    assert json.loads(answer('{"jsonrpc":"2.0","id":5,"method":"add","params":[1,2]}')) == {
        "jsonrpc": "2.0",
        "result": 3,
        "id": 5,
    }
    assert json.loads(answer('{"id":"x","method":"add","params":{"a":1,"b":2}}')) == {
        "result": 3,
        "error": None,
        "id": "x",
    }
    assert json.loads(answer('{"method":"nope"}')) == {
        "result": None,
        "error": {"code": -32601, "message": "Method not found"},
    }
    assert json.loads(answer('{"jsonrpc":"2.0","id":5,"method":"add","params":["1","2"],"words":true}'))["result"] == 3


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        (b"{", -32700, "Parse error"),
        (b"\xff\xfe{}", -32700, "Parse error"),
        (b"[" * 200_000, -32700, "Parse error"),
        (b'{"a":' * 200_000, -32700, "Parse error"),
        (b"1" * 10_000, -32700, "Parse error"),
        (b'{"jsonrpc":"2.0","id":1,"method":"add","params":[NaN,1]}', -32700, "Parse error"),
        (b'"x"', -32600, "Invalid Request object"),
        (b'{"jsonrpc":"2.0","id":1}', -32600, "Missing method"),
        (b'{"jsonrpc":"2.0","id":1,"method":3}', -32600, "Method must be a string"),
        (b'{"jsonrpc":"2.0","id":1,"method":"add","params":3}', -32600, "Params must be an array or object"),
        (b'{"jsonrpc":"2.0","id":1,"method":"damaged"}', -20, "the header file cannot be read"),
    ],
)
def test_errors(line: bytes, code: int, message: str) -> None:
    reply = json.loads(answer(line))
    assert reply["error"] == {"code": code, "message": message}
    assert "result" not in reply


def test_half_a_character_is_no_text() -> None:
    # Python would carry it about until something has to write it down, the database perhaps.
    half, whole = (f'{{"id":1,"method":"nope","params":["{text}"]}}' for text in (r"\ud800x", r"\ud83d\ude00"))
    assert json.loads(answer(half))["error"]["code"] == -32700
    assert json.loads(answer(whole))["error"]["code"] == -32601


def test_the_node_hears_of_a_damaged_store() -> None:
    context = types.SimpleNamespace(clock=SystemClock(), active_commands=[])
    faults: list[StorageError] = []
    "".join(Dispatcher(registry, context, faults.append).answer(b'{"id":1,"method":"damaged"}'))
    assert [str(fault) for fault in faults] == ["the header file cannot be read"]


def test_a_defect_in_a_command_is_logged_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.ERROR):
        reply = json.loads(answer('{"jsonrpc":"2.0","id":1,"method":"broken"}'))
    assert reply["error"]["code"] == -32603
    assert "ZeroDivisionError" in reply["error"]["message"]
    assert "broken failed" in caplog.text


def test_batches_and_notifications() -> None:
    one = '{"jsonrpc":"2.0","id":1,"method":"add","params":[1,1]}'
    two = '{"jsonrpc":"2.0","id":2,"method":"running"}'
    silent = '{"jsonrpc":"2.0","method":"add","params":[1,1]}'
    replies = json.loads(answer(f"[{one},{silent},3,{two}]"))
    assert [reply.get("result") for reply in replies] == [2, None, ["running"]]
    assert replies[1]["error"]["code"] == -32600
    assert answer(silent) == ""
    assert answer('{"jsonrpc":"2.0","method":"nope"}') == ""
    assert answer(f"[{silent},{silent}]") == ""
    assert answer("[]") == "[]"
    # Without a version there are no notifications.
    assert json.loads(answer('{"method":"add","params":[1,1]}'))["result"] == 2


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


@given(values, st.integers(0, 5))
def test_pieces_are_the_whole(value: object, depth: int) -> None:
    assert json.loads("".join(encode(value, depth))) == value


def test_pieces_are_small() -> None:
    value = {"addresses": [{"address": "1.2.3.4", "port": 8333}] * 5000}
    assert max(map(len, encode(value))) < 100


@pytest.mark.parametrize("value", [float("nan"), [b"bytes"], {"a": {1, 2}}])
def test_what_is_not_json_raises(value: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        "".join(encode(value))


def test_a_parameter_given_twice_is_refused() -> None:
    reply = json.loads(answer('{"id":1,"method":"add","params":{"a":1,"b":2,"a":3}}'))
    assert reply["error"] == {"code": -8, "message": "Parameter a specified multiple times"}


def test_rows_are_made_when_they_are_sent_and_forgotten() -> None:
    made: list[int] = []

    def row(number: int) -> object:
        made.append(number)
        return {"number": number}

    pieces = encode({"result": {"deep": {"deeper": {"rows": Rows(3, row), "none": Rows(0, row)}}}})
    text = ""
    for piece in pieces:
        text += piece
        assert len(made) - text.count("number") <= 1
    assert json.loads(text)["result"]["deep"]["deeper"] == {"rows": [{"number": n} for n in range(3)], "none": []}


def test_numbers_that_no_float_holds_are_refused() -> None:
    assert json.loads(answer('{"id":1,"method":"add","params":[1e400,2]}'))["error"]["code"] == -32700

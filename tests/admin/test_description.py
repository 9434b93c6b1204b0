"""What the registry says of itself, and who may not change anything."""

from pathlib import Path
from typing import Any

import pytest
from admin_support import TestNode

from ccnode.admin.commands import REGISTRY
from ccnode.admin.jsonrpc import Dispatcher
from ccnode.errors import RpcError


def test_every_command_is_described(tmp_path: Path) -> None:
    described: Any = TestNode(tmp_path).call("describe")
    assert [each["name"] for each in described] == sorted(command.name for command in REGISTRY)
    for each in described:
        assert each["summary"].endswith("."), each["name"]
        assert each["usage"].split()[0] == each["name"]
        assert all(arg["help"] and arg["type"] for arg in each["args"]), each["name"]


def test_only_commands_that_look_are_open_to_readers() -> None:
    looks = ("get", "list", "wait", "help", "describe", "echo", "uptime", "sync", "subscribe", "status")
    looks += ("decode", "create", "validate", "verify", "scan")
    for command in REGISTRY:
        looking = command.name.startswith(looks) and command.name != "getblockfrompeer"
        assert command.changes is not looking, command.name


def test_a_reader_is_refused_what_changes_the_node(tmp_path: Path) -> None:
    node = TestNode(tmp_path)
    with pytest.raises(RpcError, match="stop changes the node") as error:
        REGISTRY.call(node.context, "stop", [], read_only=True)
    assert error.value.code == -2
    assert node.done == []
    assert REGISTRY.call(node.context, "getblockcount", [], read_only=True) == 0


def test_a_request_says_that_it_only_looks(tmp_path: Path) -> None:
    dispatcher = Dispatcher(REGISTRY, TestNode(tmp_path).context)
    line = b'{"jsonrpc":"2.0","id":1,"method":"clearbanned","read_only":true}'
    assert '"code":-2' in "".join(dispatcher.answer(line))

"""getanchors and addconnection."""

from pathlib import Path

import pytest
from admin_support import TestNode

from ccnode.chain.networks import MAINNET
from ccnode.errors import RpcError
from ccnode.peers.peer import ConnectionType


def test_getanchors(tmp_path: Path) -> None:
    assert TestNode(tmp_path).call("getanchors") == {
        "loaded": [{"address": "8.1.1.1:8333", "outcome": "connected"}],
        "to_save": [{"address": "8.2.1.1:8333"}],
    }


def test_addconnection_opens_one_of_the_type_asked_for(tmp_path: Path) -> None:
    node = TestNode(tmp_path)
    assert node.call("addconnection", "127.0.0.1:5", "block-relay-only", False) == {
        "address": "127.0.0.1:5",
        "connection_type": "block-relay-only",
    }
    assert node.net.done == [("127.0.0.1:5", "block-relay-only")]


@pytest.mark.parametrize(
    ("params", "code"),
    [
        (("127.0.0.1:5", "inbound", False), -8),
        (("127.0.0.1:5", "manual", False), -8),
        (("127.0.0.1:5", "feeler", True), -8),
        (("nonsense", "feeler", False), -8),
        (("127.0.0.1:1", "feeler", False), -34),
    ],
)
def test_addconnection_refuses(tmp_path: Path, params: tuple[object, ...], code: int) -> None:
    with pytest.raises(RpcError) as error:
        TestNode(tmp_path).call("addconnection", *params)
    assert error.value.code == code


def test_addconnection_respects_the_slots_of_the_type(tmp_path: Path) -> None:
    node = TestNode(tmp_path)
    for number in range(2):
        node.connect(f"127.0.0.1:{number + 10}", ConnectionType.BLOCK_RELAY_ONLY)
    with pytest.raises(RpcError, match="Already at capacity") as error:
        node.call("addconnection", "127.0.0.1:5", "block-relay-only", False)
    assert error.value.code == -34
    assert node.net.done == []


def test_addconnection_is_for_test_networks(tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="regression testing"):
        TestNode(tmp_path, MAINNET).call("addconnection", "8.8.8.8:8333", "feeler", False)

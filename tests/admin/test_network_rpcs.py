"""The network commands field by field and error by error, as a table; scripts written for Bitcoin Core read them."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from admin_support import TestNode
from rpc_shapes import SHAPES, fits

from ccnode.admin.commands import REGISTRY
from ccnode.chain.networks import MAINNET
from ccnode.errors import RpcError
from ccnode.peers.asmap import Asmap
from ccnode.peers.peer import ConnectionType, HandshakeStage
from ccnode.wire.address import NetworkAddress
from ccnode.wire.message import Unknown
from tests.support.data import read_xz


@pytest.fixture
def node(tmp_path: Path) -> TestNode:
    """A node with a bit of everything."""
    node = TestNode(tmp_path)
    node.context.config = replace(node.context.config, datadir=tmp_path)
    for number, kind in enumerate((ConnectionType.OUTBOUND_FULL_RELAY, ConnectionType.INBOUND)):
        peer = node.connect(f"1.2.3.{number}:8333", kind)
        peer.bind = peer.address_local = NetworkAddress.parse("10.0.0.1:5000")
        peer.version = 70016
        peer.ping_time = peer.min_ping = 0.25
        peer.ping_sent_at = node.clock.now() - 1
        peer.sent_per_message["ping"] = peer.received_per_message["pong"] = 32
        peer.violations["high-hash"] = 1
    node.net.added_nodes.append("1.2.3.0:8333")
    node.call("setban", "5.5.5.5", "add")
    node.call("addpeeraddress", "9.1.1.1", 8333)
    node.call("addpeeraddress", "9.2.1.1", 8333, True)
    return node


@pytest.mark.parametrize("method", SHAPES)
def test_every_field_with_its_type(node: TestNode, method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if method == "exportasmap":
        monkeypatch.setattr(node.addrman.groups, "asmap", Asmap(_one_as()))
    params, shape = SHAPES[method]
    assert fits(node.call(method, *params), shape) is None


def test_the_table_finds_what_is_wrong() -> None:
    assert fits({"a": 1}, {"a": int, "b?": str}) is None
    assert fits({"a": True}, {"a": int}) is not None
    assert fits({}, {"a": int}) is not None
    assert fits({"a": 1, "c": 1}, {"a": int}) is not None
    assert fits([{"a": "x"}], [{"a": int}]) is not None


@pytest.mark.parametrize("method", SHAPES)
def test_help_names_every_field(method: str) -> None:
    found = REGISTRY.find(method)
    assert found is not None
    for name in _names(SHAPES[method][1]):
        assert f'"{name}"' in found.result, f"{method}: {name}"


def _names(shape: Any) -> set[str]:
    if isinstance(shape, list):
        return _names(shape[0])
    if not isinstance(shape, Mapping):
        return set()
    inner = {name for part in shape.values() for name in _names(part)}
    return inner | {name.rstrip("?") for name in shape if name not in ("*", "new", "tried", "total")}


def _one_as() -> bytes:
    """The smallest map: every address belongs to AS 1 (opcode RETURN, and the number 1 in 15 bits)."""
    return bytes(3)


NOT_CONNECTED = (-29, "Node not found in connected nodes")
ONE_OF_BOTH = (-32602, "Only one of address and nodeid should be provided.")
V2_OFF = "Error: v2transport requested but not enabled (see -v2transport)"
NO_SUCH_PEER = (-1, "Error: Could not send message to peer")

ERRORS: list[tuple[str, tuple[object, ...], tuple[int, str]]] = [
    ("addnode", ("1.2.3.0:8333", "add"), (-23, "Error: Node already added")),
    (
        "addnode",
        ("1.1.1.1", "remove"),
        (-24, "Error: Node could not be removed. It has not been added previously."),
    ),
    ("addnode", ("1.1.1.1", "add", True), (-8, V2_OFF)),
    ("addnode", ("1.1.1.1", "onetry", True), (-8, V2_OFF)),
    ("getaddednodeinfo", ("1.1.1.1",), (-24, "Error: Node has not been added.")),
    ("disconnectnode", (), ONE_OF_BOTH),
    ("disconnectnode", ("1.2.3.0:8333", 0), ONE_OF_BOTH),
    ("disconnectnode", ("8.8.8.8:1",), NOT_CONNECTED),
    ("disconnectnode", ("",), NOT_CONNECTED),
    ("disconnectnode", ("", 99), NOT_CONNECTED),
    ("disconnectnode", (None, 99), NOT_CONNECTED),
    ("setban", ("5.5.5.5", "add"), (-23, "Error: IP/Subnet already banned")),
    ("setban", ("5.5.5.500", "add"), (-30, "Error: Invalid IP/Subnet")),
    (
        "setban",
        ("6.6.6.6", "remove"),
        (-30, "Error: Unban failed. Requested address/subnet was not previously manually banned."),
    ),
    ("setban", ("6.6.6.6", "add", 5, True), (-8, "Error: Absolute timestamp is in the past")),
    ("getnodeaddresses", (-1,), (-8, "Address count out of range")),
    ("getnodeaddresses", (1, "Foo"), (-8, "Network not recognized: Foo")),
    ("exportasmap", ("x",), (-1, "No ASMap data available: the node runs without asmap")),
    ("addconnection", ("1.1.1.1:1", "manual", False), (-8, "Invalid connection type: manual")),
    (
        "addconnection",
        ("1.1.1.1:8333", "feeler", True),
        (-8, "Error: Adding v2transport connections requires -v2transport init flag"),
    ),
    (
        "addconnection",
        ("1.1.1.1:1", "feeler", False),
        (-34, "Error: Already at capacity for specified connection type."),
    ),
    ("addpeeraddress", ("nonsense", 8333), (-30, "Invalid IP address")),
    ("addpeeraddress", ("1.2.3.4", -1), (-1, "JSON integer out of range")),
    ("addpeeraddress", ("1.2.3.4", 65536), (-1, "JSON integer out of range")),
    ("sendmsgtopeer", (0, "thirteen_long", ""), (-8, "Error: msg_type too long, max length is 12")),
    ("sendmsgtopeer", (0, "addr", "xyz"), (-8, "Error parsing input for msg")),
    ("sendmsgtopeer", (0, "\u00e4", ""), (-8, "Error: msg_type is not printable ASCII")),
    ("sendmsgtopeer", (1000, "addr", "ffffff"), NO_SUCH_PEER),
    ("setmocktime", (-1,), (-8, "Mocktime must be in the range [0, 9223372036], not -1.")),
    ("mockscheduler", (0,), (-1, "delta_time must be between 1 and 3600 seconds (1 hr)")),
    ("logging", (["foobar"],), (-8, "unknown logging category foobar")),
    ("nonsense", (), (-32601, "Method not found")),
]


@pytest.mark.parametrize(("method", "params", "expected"), ERRORS)
def test_every_error_with_cores_number_and_text(
    node: TestNode, method: str, params: tuple[object, ...], expected: tuple[int, str]
) -> None:
    with pytest.raises(RpcError) as error:
        node.call(method, *params)
    assert (error.value.code, str(error.value)) == expected


@pytest.mark.parametrize("method", ["addconnection", "setmocktime", "mockscheduler"])
def test_commands_for_tests_are_for_test_networks(tmp_path: Path, method: str) -> None:
    with pytest.raises(RpcError, match=rf"^{method} is for regression testing \(-regtest mode\) only\.?$") as error:
        TestNode(tmp_path, MAINNET).call(method, *SHAPES[method][0])
    assert error.value.code == -1


def test_a_peer_that_said_nothing_has_neutral_values(node: TestNode) -> None:
    """Core's ``rpc_net.py`` compares the whole of it."""
    peer = node.connect("127.0.0.1:50000", ConnectionType.INBOUND)
    peer.stage = HandshakeStage.AWAITING_VERSION
    peer.services = 0
    info = node.call("getpeerinfo")[-1]  # type: ignore[index]
    expected = {
        "addr_processed": 0,
        "addr_rate_limited": 0,
        "addr_relay_enabled": False,
        "bip152_hb_from": False,
        "bip152_hb_to": False,
        "bytesrecv_per_msg": {},
        "bytessent_per_msg": {},
        "connection_type": "inbound",
        "inbound": True,
        "inflight": [],
        "inv_to_send": 0,
        "last_block": 0,
        "last_inv_sequence": 0,
        "last_transaction": 0,
        "lastrecv": 0,
        "lastsend": 0,
        "minfeefilter": 0.0,
        "network": "not_publicly_routable",
        "permissions": [],
        "presynced_headers": -1,
        "relaytxes": False,
        "services": "0000000000000000",
        "servicesnames": [],
        "session_id": "",
        "subver": "",
        "synced_blocks": -1,
        "synced_headers": -1,
        "timeoffset": 0,
        "transport_protocol_type": "v1",
        "version": 0,
    }
    assert {name: info[name] for name in expected} == expected
    assert not info.keys() & {"pingtime", "minping", "pingwait", "addrlocal", "mapped_as"}


def test_who_gets_no_transactions_does_not_relay_them(node: TestNode) -> None:
    for kind in ConnectionType:
        node.connect(f"4.4.4.{len(node.net.peers)}:1", kind).version = 70016
    shown = {info["connection_type"]: info["relaytxes"] for info in node.call("getpeerinfo")}  # type: ignore[attr-defined]
    assert {kind for kind, relays in shown.items() if not relays} == {"block-relay-only", "feeler"}


def test_pings_are_shown_once_the_clock_has_moved(node: TestNode) -> None:
    peer = node.net.peers[0]
    peer.ping_time = peer.min_ping = 0.0
    peer.ping_sent_at = node.clock.now()
    info = node.call("getpeerinfo")[0]  # type: ignore[index]
    assert "pingtime" not in info
    assert "pingwait" not in info
    assert info["minping"] == 0.0
    peer.ping_sent_at -= 3
    assert node.call("getpeerinfo")[0]["pingwait"] == 3.0  # type: ignore[index]


def test_sendmsgtopeer_sends_what_it_is_given(node: TestNode) -> None:
    assert node.call("sendmsgtopeer", 0, "twelve_chars", "00ff") == {}
    assert node.net.peers[0].sent == [Unknown("twelve_chars", b"\0\xff")]  # type: ignore[attr-defined]
    node.net.peers[0].stage = HandshakeStage.AWAITING_VERACK
    with pytest.raises(RpcError, match=NO_SUCH_PEER[1]):
        node.call("sendmsgtopeer", 0, "ping", "")


def test_the_exported_asmap_is_the_file_that_was_loaded(
    node: TestNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data_dir: Path
) -> None:
    data = read_xz(data_dir / "addrs" / "core_ip_asn.dat.xz")
    monkeypatch.setattr(node.addrman.groups, "asmap", Asmap(data))
    (tmp_path / "out.dat").write_bytes(b"an older one, which is replaced")
    assert node.call("exportasmap", str(tmp_path / "out.dat")) == {
        "path": str(tmp_path / "out.dat"),
        "bytes_written": len(data),
        "file_hash": hashlib.sha256(data).hexdigest(),
    }
    assert (tmp_path / "out.dat").read_bytes() == data
    with pytest.raises(RpcError, match="No such file or directory") as error:
        node.call("exportasmap", "nowhere/out.dat")
    assert error.value.code == -8

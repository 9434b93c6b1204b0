"""Every command's result fields and errors, as Core has them."""

import logging
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from admin_support import GENESIS_TIME, TestNode, make_headers

from ccnode import log
from ccnode.admin.commands import REGISTRY
from ccnode.chain.networks import MAINNET, REGTEST, SIGNET
from ccnode.errors import RpcError
from ccnode.peers.peer import ConnectionType
from ccnode.peers.traffic import ONE_MESSAGE
from ccnode.wire.address import NetworkAddress

GENESIS = "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"


@pytest.fixture
def node(tmp_path: Path) -> TestNode:
    return TestNode(tmp_path)


def refused(node: TestNode, method: str, *params: object, **named: object) -> tuple[int, str]:
    with pytest.raises(RpcError) as error:
        node.call(method, *params, **named)
    return error.value.code, str(error.value)


# Blockchain


def test_getblockchaininfo(node: TestNode) -> None:
    hashes = node.mine(3)
    info = node.call("getblockchaininfo")
    assert isinstance(info, dict)
    assert 0 < info.pop("verificationprogress") <= 1
    assert info == {
        "chain": "regtest",
        "blocks": 3,
        "headers": 3,
        "bestblockhash": hashes[-1],
        "bits": "207fffff",
        "target": "7fffff" + 58 * "0",
        "difficulty": 4.6565423739069247e-10,
        "time": GENESIS_TIME + 3,
        "mediantime": GENESIS_TIME + 2,
        "initialblockdownload": False,
        "chainwork": f"{8:064x}",
        "size_on_disk": 96,
        "pruned": False,
        "warnings": [],
    }


def test_getblockchaininfo_of_other_networks(tmp_path: Path) -> None:
    info = TestNode(tmp_path, SIGNET).call("getblockchaininfo")
    assert isinstance(info, dict)
    assert info["chain"] == "signet"
    assert info["signet_challenge"].startswith("512103ad5e0edad18cb1f0")
    info = TestNode(tmp_path, MAINNET).call("getblockchaininfo")
    assert isinstance(info, dict)
    assert (info["chain"], info["difficulty"], info["initialblockdownload"]) == ("main", 1.0, True)
    assert info["target"] == "00000000ffff" + 52 * "0"
    assert "signet_challenge" not in info


def test_scalars_of_the_chain(node: TestNode) -> None:
    hashes = node.mine(2)
    assert node.call("getblockcount") == 2
    assert node.call("getbestblockhash") == hashes[1]
    assert node.call("getblockhash", 0) == GENESIS
    assert node.call("getblockhash", 2) == hashes[1]
    assert node.call("getdifficulty") == pytest.approx(4.6565423739069247e-10)
    for height in (-1, 3, 2**62):
        assert refused(node, "getblockhash", height) == (-8, "Block height out of range")


def test_getblockheader(node: TestNode) -> None:
    hashes = node.mine(2)
    header = node.chain.header(1)
    assert node.call("getblockheader", hashes[0]) == {
        "hash": hashes[0],
        "confirmations": 2,
        "height": 1,
        "version": 4,
        "versionHex": "00000004",
        "merkleroot": 64 * "0",
        "time": GENESIS_TIME + 1,
        "mediantime": GENESIS_TIME + 1,
        "nonce": header.nonce,
        "bits": "207fffff",
        "target": "7fffff" + 58 * "0",
        "difficulty": pytest.approx(4.6565423739069247e-10),
        "chainwork": f"{4:064x}",
        "nTx": 0,
        "previousblockhash": GENESIS,
        "nextblockhash": hashes[1],
    }
    assert node.call("getblockheader", hashes[0], False) == node.store.headers[1].hex()
    first = node.call("getblockheader", GENESIS)
    assert isinstance(first, dict)
    assert "previousblockhash" not in first
    last = node.call("getblockheader", hashes[1])
    assert isinstance(last, dict)
    assert "nextblockhash" not in last
    assert refused(node, "getblockheader", 64 * "a") == (-5, "Block not found")
    assert refused(node, "getblockheader", "abc") == (-8, "blockhash must be of length 64 (not 3, for 'abc')")


def test_the_first_known_genesis_block(tmp_path: Path) -> None:
    header = TestNode(tmp_path, MAINNET).call(
        "getblockheader", "000000000019d6689c085ae165831e934ff763ae46a2a6c172b3f1b60a8ce26f"
    )
    assert isinstance(header, dict)
    assert header["merkleroot"] == "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    assert (header["nonce"], header["bits"], header["chainwork"][-10:]) == (2083236893, "1d00ffff", "0100010001")


def test_branches_and_marks(node: TestNode) -> None:
    main = node.mine(3)
    branch = node.mine(1, parent=bytes.fromhex(main[0])[::-1], salt=1)

    def tips() -> list[tuple[object, ...]]:
        shown = node.call("getchaintips")
        assert isinstance(shown, list)
        return [(tip["height"], tip["hash"], tip["branchlen"], tip["status"]) for tip in shown]

    assert tips() == [(3, main[2], 0, "active"), (2, branch[0], 1, "headers-only")]
    off_chain = node.call("getblockheader", branch[0])
    assert isinstance(off_chain, dict)
    assert off_chain["confirmations"] == -1
    assert "nextblockhash" not in off_chain

    assert node.call("invalidateblock", main[1]) is None
    assert node.done == ["stored"]
    assert tips() == [(3, main[2], 2, "invalid"), (2, branch[0], 0, "active")]
    assert node.call("invalidateblock", branch[0]) is None
    assert tips() == [(3, main[2], 2, "invalid"), (2, branch[0], 1, "invalid"), (1, main[0], 0, "active")]
    assert node.call("reconsiderblock", main[1]) is None
    assert node.done == ["stored"] * 3
    assert node.call("getbestblockhash") == main[2]

    for method in ("invalidateblock", "reconsiderblock"):
        assert refused(node, method, 64 * "a") == (-5, "Block not found")
    assert refused(node, "invalidateblock", GENESIS) == (-8, "The first block cannot be invalidated")


def test_waiting_for_the_tip(node: TestNode) -> None:
    hashes = node.mine(2)
    present = {"hash": hashes[1], "height": 2}
    assert node.call("waitforblockheight", 2) == present
    assert node.call("waitforblockheight", 9, 1) == present
    assert node.call("waitforblock", hashes[0], 1) == present
    assert node.call("waitforblock", hashes[1]) == present
    assert node.call("waitfornewblock", 1) == present
    assert node.call("waitfornewblock", current_tip=GENESIS) == present
    assert refused(node, "waitfornewblock", -1) == (-1, "Negative timeout")

    waiting = [
        gevent.spawn(node.call, "waitfornewblock"),
        gevent.spawn(node.call, "waitforblockheight", 4),
        gevent.spawn(node.call, "waitfornewblock", 1),
    ]
    gevent.sleep(0.005)
    assert [task.ready() for task in waiting] == [False, False, True]
    third = node.mine(1)
    gevent.sleep(0.001)
    assert waiting[0].get(timeout=1) == {"hash": third[0], "height": 3}
    assert not waiting[1].ready()
    fourth = node.mine(1)
    assert waiting[1].get(timeout=1) == {"hash": fourth[0], "height": 4}
    assert not node.context.tip_watch._waiting


def test_getheadersyncinfo(node: TestNode) -> None:
    node.connect("1.2.3.4:18444")
    info = node.call("getheadersyncinfo")
    assert isinstance(info, dict)
    assert (info["height"], info["best_time"], info["low_work"]) == (0, GENESIS_TIME, False)
    assert isinstance(info["phase"], str)
    assert info["peers"] == [
        {
            "id": 0,
            "synced_headers": -1,
            "fork_height": -1,
            "ahead": False,
            "presynced_headers": -1,
            "leading": False,
            "waiting_batches": 0,
        }
    ]


# Mining


def test_submitheader(node: TestNode) -> None:
    first, second = make_headers(REGTEST.genesis_hash, GENESIS_TIME, 2)
    first_hash = REGTEST.header_format.hash(first)[::-1].hex()
    assert refused(node, "submitheader", second.hex()) == (
        -25,
        f"Must submit previous header ({first_hash}) first",
    )
    assert node.call("submitheader", first.hex()) is None
    assert node.call("submitheader", first.hex()) is None  # known: fine
    assert node.call("submitheader", second.hex()) is None
    assert node.call("getblockcount") == 2
    assert node.call("submitheader", second.hex() + "00") is None  # what follows is not looked at
    for text in ("", "zz", second.hex()[2:], " " + second.hex(), "xx" * 80, "ff" * 78):
        assert refused(node, "submitheader", text) == (-22, "Block header decode failed")
    # The parent is looked for before anything else, its proof of work too.
    assert refused(node, "submitheader", "ff" * 80) == (-25, f"Must submit previous header ({64 * 'f'}) first")
    assert refused(node, "submitheader", REGTEST.genesis.hex())[1] == f"Must submit previous header ({64 * '0'}) first"
    hard = second[:72] + bytes.fromhex("ffff001d") + second[76:]
    assert refused(node, "submitheader", hard.hex()) == (-25, "high-hash")
    old = make_headers(node.chain.index.hash(2), GENESIS_TIME - 5, 1)[0]
    assert refused(node, "submitheader", old.hex()) == (-25, "time-too-old")
    node.call("invalidateblock", first_hash)
    assert refused(node, "submitheader", first.hex()) == (-25, "duplicate-invalid")


# Network


def test_getpeerinfo(node: TestNode) -> None:
    peer = node.connect("1.2.3.4:8333")
    peer.bind = NetworkAddress.parse("10.0.0.1:5000")
    peer.address_local = NetworkAddress.parse("[2001:db8::5]:8333")
    peer.services = 1 | 1 << 3 | 1 << 10 | 1 << 40
    peer.last_send, peer.last_recv = 100.9, 101.9
    peer.bytes_sent, peer.bytes_received = 300, 400
    peer.sent_per_message = {"version": ONE_MESSAGE + 127, "ping": 2 * ONE_MESSAGE + 64}
    peer.received_per_message = {"*other*": ONE_MESSAGE + 24}
    peer.version, peer.user_agent, peer.time_offset = 70016, "/Satoshi:29.0.0/", -3
    peer.ping_time, peer.min_ping, peer.ping_sent_at = 0.25, 0.125, node.clock.now() - 2
    unfinished = node.connect("127.0.0.1:50000", ConnectionType.INBOUND)
    unfinished.services = 0
    unfinished.name = "127.0.0.1:50000"

    first, second = node.call("getpeerinfo")  # type: ignore[misc]
    assert first == {
        "id": 0,
        "addr": "1.2.3.4:8333",
        "addrbind": "10.0.0.1:5000",
        "addrlocal": "[2001:db8::5]:8333",
        "network": "ipv4",
        "services": "0000010000000409",
        "servicesnames": ["NETWORK", "WITNESS", "NETWORK_LIMITED", "UNKNOWN[2^40]"],
        "relaytxes": True,
        "last_inv_sequence": 0,
        "inv_to_send": 0,
        "lastsend": 100,
        "lastrecv": 101,
        "last_transaction": 0,
        "last_block": 0,
        "bytessent": 300,
        "bytesrecv": 400,
        "conntime": GENESIS_TIME + 3600,
        "timeoffset": -3,
        "pingtime": 0.25,
        "minping": 0.125,
        "pingwait": 2.0,
        "version": 70016,
        "subver": "/Satoshi:29.0.0/",
        "inbound": False,
        "bip152_hb_to": False,
        "bip152_hb_from": False,
        "presynced_headers": -1,
        "synced_headers": -1,
        "synced_blocks": -1,
        "inflight": [],
        "addr_relay_enabled": False,
        "addr_processed": 0,
        "addr_rate_limited": 0,
        "permissions": [],
        "misbehavior": {"score": 0, "violations": {}},
        "minfeefilter": 0.0,
        "bytessent_per_msg": {"ping": 64, "version": 127},
        "bytesrecv_per_msg": {"*other*": 24},
        "msgssent_per_msg": {"ping": 2, "version": 1},
        "msgsrecv_per_msg": {"*other*": 1},
        "connection_type": "outbound-full-relay",
        "transport_protocol_type": "v1",
        "session_id": "",
    }
    assert second.keys() == first.keys() - {"addrbind", "addrlocal", "pingtime", "minping", "pingwait"}
    assert (second["network"], second["inbound"]) == ("not_publicly_routable", True)
    assert second["connection_type"] == "inbound"


def test_warnings_are_the_same_everywhere(node: TestNode) -> None:
    for _ in range(5):
        node.net.time_offsets.add(-3600)
    [warning] = node.call("getnetworkinfo")["warnings"]
    assert "clock" in warning
    assert node.call("getblockchaininfo")["warnings"] == [warning]


def test_getnetworkinfo(node: TestNode) -> None:
    for offset in (5, -2, 60, 7, 0):
        node.net.time_offsets.add(offset)
    for number in range(3):
        node.connect(f"1.2.3.{number}:8333")
    node.connect("1.2.3.4:5000", ConnectionType.INBOUND)
    info = node.call("getnetworkinfo")
    assert isinstance(info, dict)
    assert info.pop("networks") == [
        {
            "name": name,
            "limited": name not in ("ipv4", "ipv6"),
            "reachable": name in ("ipv4", "ipv6"),
            "proxy": "",
            "proxy_randomize_credentials": False,
        }
        for name in ("ipv4", "ipv6", "onion", "i2p", "cjdns")
    ]
    assert info == {
        "version": 100,
        "subversion": "/ccnode:0.1.0(test)/",
        "protocolversion": 70016,
        "localservices": "0000000000000009",
        "localservicesnames": ["NETWORK", "WITNESS"],
        "localrelay": False,
        "timeoffset": 5,
        "connections": 4,
        "connections_in": 1,
        "connections_out": 3,
        "networkactive": True,
        "relayfee": 0.0,
        "incrementalfee": 0.0,
        "localaddresses": [{"address": "8.8.8.8", "port": 18444, "score": 2}],
        "warnings": [],
    }


def test_nettotals_and_counts(node: TestNode) -> None:
    assert node.call("getconnectioncount") == 0
    node.connect("1.2.3.4:8333")
    assert node.call("getconnectioncount") == 1
    totals = node.call("getnettotals")
    assert isinstance(totals, dict)
    assert (totals["totalbytesrecv"], totals["totalbytessent"]) == (2000, 1000)
    assert totals["timemillis"] == (GENESIS_TIME + 3600) * 1000
    assert totals["uploadtarget"] == {
        "timeframe": 86400,
        "target": 50_000_000,
        "target_reached": False,
        "serve_historical_blocks": False,  # what is left is kept for new blocks
        "bytes_left_in_cycle": 50_000_000 - 1000,
        "time_left_in_cycle": 86400,
    }
    assert node.call("ping") is None
    assert node.net.done == ["ping"]
    assert node.call("setnetworkactive", False) is False
    assert node.net.network_active is False


def test_addnode(node: TestNode) -> None:
    assert node.call("addnode", "1.2.3.4", "add") is None
    assert refused(node, "addnode", "1.2.3.4", "add") == (-23, "Error: Node already added")
    assert node.call("addnode", "seed.example", "add") is None
    assert node.call("addnode", "5.6.7.8:1", "onetry") is None
    assert node.net.done == [("try", "5.6.7.8:1")]

    assert node.call("getaddednodeinfo", "1.2.3.4") == [{"addednode": "1.2.3.4", "connected": False, "addresses": []}]
    node.connect("1.2.3.4:18444", ConnectionType.MANUAL)
    node.connect("9.9.9.9:18444", ConnectionType.MANUAL).name = "seed.example"
    assert node.call("getaddednodeinfo") == [
        {
            "addednode": "1.2.3.4",
            "connected": True,
            "addresses": [{"address": "1.2.3.4:18444", "connected": "outbound"}],
        },
        {
            "addednode": "seed.example",
            "connected": True,
            "addresses": [{"address": "9.9.9.9:18444", "connected": "outbound"}],
        },
    ]

    assert node.call("addnode", "1.2.3.4", "remove") is None
    assert refused(node, "addnode", "1.2.3.4", "remove") == (
        -24,
        "Error: Node could not be removed. It has not been added previously.",
    )
    assert refused(node, "getaddednodeinfo", "1.2.3.4") == (-24, "Error: Node has not been added.")
    code, message = refused(node, "addnode", "1.2.3.4", "adopt")
    assert (code, message.splitlines()[0]) == (-1, 'addnode "node" "command" ( v2transport )')
    assert refused(node, "addnode", "1.2.3.4", "add", True) == (
        -8,
        "Error: v2transport requested but not enabled (see -v2transport)",
    )


def test_disconnectnode(node: TestNode) -> None:
    for address in ("1.2.3.4:1", "1.2.3.5:1", "1.2.3.6:1"):
        node.connect(address)
    missing = (-29, "Node not found in connected nodes")
    both = (-32602, "Only one of address and nodeid should be provided.")
    assert node.call("disconnectnode", "1.2.3.4:1") is None
    assert refused(node, "disconnectnode", "1.2.3.4:1") == missing
    assert node.call("disconnectnode", "", 1) is None
    assert node.call("disconnectnode", nodeid=2) is None
    assert refused(node, "disconnectnode", nodeid=2) == missing
    assert refused(node, "disconnectnode") == both
    assert refused(node, "disconnectnode", "1.2.3.4:1", 0) == both


# Control


def test_help(node: TestNode) -> None:
    overview = node.call("help")
    assert isinstance(overview, str)
    assert overview.startswith("== Blockchain ==\ngetbestblockhash\n")
    assert '\n\n== Network ==\naddnode "node" "command" ( v2transport )\n' in overview
    assert "setmocktime" not in overview
    text = node.call("help", "getblockhash")
    assert isinstance(text, str)
    assert text.startswith("getblockhash height\n\nReturns the hash")
    assert node.call("help", "setmocktime") != node.call("help", "nope")
    assert node.call("help", "nope") == "help: unknown command: nope"


@pytest.mark.parametrize("name", [command.name for command in REGISTRY])
def test_every_command_explains_itself(name: str) -> None:
    found = REGISTRY.find(name)
    assert found is not None
    assert found.help.endswith(".")
    assert max(map(len, found.help_text().splitlines())) <= 140
    assert name == name.lower()


def test_stop(node: TestNode) -> None:
    assert node.call("stop") == "ccnode stopping"
    assert node.call("stop", 1) == "ccnode stopping"
    assert node.done == ["stop", "stop"]


def test_getrpcinfo_memory_stats_uptime(node: TestNode, tmp_path: Path) -> None:
    assert node.call("getrpcinfo") == {"active_commands": [], "logpath": str(tmp_path / "debug.log")}
    memory = node.call("getmemoryinfo")
    assert isinstance(memory, dict)
    assert 1_000_000 < memory["rss"] <= memory["peak_rss"] < 10_000_000_000
    assert memory["locked"]["used"] == 0
    assert refused(node, "getmemoryinfo", "mallocinfo") == (-8, "mallocinfo mode not available")
    assert refused(node, "getmemoryinfo", "foobar") == (-8, "unknown mode foobar")
    assert node.call("getnodestats") == {"hub_lag": {"p99": 0.001}}
    node.context.started -= 90
    assert node.call("uptime") == 90


@pytest.fixture
def _levels() -> Iterator[None]:
    log.setup_logging(dict.fromkeys(log.CATEGORIES, logging.INFO))
    yield
    log.shutdown_logging()


@pytest.mark.usefixtures("_levels")
def test_logging(node: TestNode) -> None:
    quiet = dict.fromkeys(log.CATEGORIES, False)
    assert node.call("logging") == quiet
    assert node.call("logging", ["net"]) == {**quiet, "net": True}
    assert node.call("logging", ["all"], ["storage"]) == {**dict.fromkeys(quiet, True), "storage": False}
    assert node.call("logging", [], ["all"]) == quiet
    assert refused(node, "logging", ["net", "foobar"]) == (-8, "unknown logging category foobar")
    assert node.call("logging") == quiet


def test_echo(node: TestNode) -> None:
    assert node.call("echo") == []
    assert node.call("echo", 1, None, {"a": [2]}) == [1, None, {"a": [2]}]
    assert node.call("echo", "1", words=True) == ["1"]
    assert node.call("echo", arg1="x") == [None, "x"]


def test_mock_time(node: TestNode) -> None:
    assert node.call("setmocktime", 2_000_000_000) is None
    assert node.clock.now() == 2_000_000_000
    assert node.call("setmocktime", 0) is None
    assert node.clock.now() != 2_000_000_000
    before = node.clock.scheduler()
    assert node.call("mockscheduler", 3600) is None
    assert node.clock.scheduler() - before >= 3600
    assert node.done == ["wake"] * 3
    text = "Mocktime must be in the range [0, 9223372036], not "
    assert refused(node, "setmocktime", -1) == (-8, f"{text}-1.")
    assert refused(node, "setmocktime", 9223372037) == (-8, f"{text}9223372037.")
    for delta in (0, 3601):
        assert refused(node, "mockscheduler", delta) == (
            -1,
            "delta_time must be between 1 and 3600 seconds (1 hr)",
        )


def test_mock_time_is_for_test_networks(tmp_path: Path) -> None:
    node = TestNode(tmp_path, MAINNET)
    for method in ("setmocktime", "mockscheduler"):
        assert refused(node, method, 5) == (-1, f"{method} is for regression testing (-regtest mode) only")
    assert node.done == []


@pytest.mark.parametrize(
    ("method", "words", "expected"),
    [
        ("getblockhash", ["0"], GENESIS),
        ("getblockheader", [GENESIS, "false"], REGTEST.genesis.hex()),
        ("addnode", ["127.0.0.1:1", "onetry"], None),
        ("disconnectnode", ["", "0"], None),
        ("setnetworkactive", ["false"], False),
    ],
)
def test_command_lines(node: TestNode, method: str, words: list[str], expected: object) -> None:
    node.connect("1.2.3.4:1")
    assert node.call(method, *words, words=True) == expected

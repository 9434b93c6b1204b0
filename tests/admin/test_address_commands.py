"""Commands about known addresses."""

from pathlib import Path

import pytest

from ccnode.admin.commands import REGISTRY
from ccnode.chain.networks import MAINNET
from ccnode.errors import RpcError
from ccnode.options import Config
from ccnode.peers.addrman import AddrMan
from ccnode.peers.asmap import Asmap
from ccnode.peers.netgroup import NetGroupManager
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import TimedAddress
from tests.admin.admin_support import GENESIS_TIME, TestNode

ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion"
NOW = GENESIS_TIME + 3600


@pytest.fixture
def node(tmp_path: Path) -> TestNode:
    node = TestNode(tmp_path)
    node.context.config = Config(chain="mainnet", datadir=tmp_path)
    return node


def refused(node: TestNode, method: str, *params: object) -> tuple[int, str]:
    with pytest.raises(RpcError) as raised:
        node.call(method, *params)
    return raised.value.code, str(raised.value)


def add(node: TestNode, *texts: str, time: int = NOW - 100) -> None:
    entries = [TimedAddress(time, 9, NetworkAddress.parse(text, 8333)) for text in texts]
    assert node.addrman.add(entries, NetworkAddress.parse("250.1.1.1", 8333)) == len(entries)


def test_getnodeaddresses(node: TestNode) -> None:
    assert node.call("getnodeaddresses", 0) == []
    add(node, "1.2.3.4", ONION, "2a00::1")
    add(node, "5.6.7.8", time=1000)  # too old to be worth a try
    everything = node.call("getnodeaddresses", 0)
    assert isinstance(everything, list)
    assert {each["address"] for each in everything} == {"1.2.3.4", ONION, "2a00::1"}
    onion = {"time": NOW - 100, "services": 9, "address": ONION, "port": 8333, "network": "onion"}
    assert node.call("getnodeaddresses", 5, "onion") == [onion]
    assert node.call("getnodeaddresses", 5, "i2p") == []
    (one,) = node.call("getnodeaddresses")  # type: ignore[misc]
    assert one in everything
    assert refused(node, "getnodeaddresses", -1) == (-8, "Address count out of range")
    assert refused(node, "getnodeaddresses", 1, "Foo") == (-8, "Network not recognized: Foo")


def test_getaddrmaninfo(node: TestNode) -> None:
    add(node, "1.2.3.4", "8.8.8.8", ONION)
    node.addrman.good(NetworkAddress.parse("8.8.8.8:8333"))
    nothing = {"new": 0, "tried": 0, "total": 0}
    assert node.call("getaddrmaninfo") == {
        "ipv4": {"new": 1, "tried": 1, "total": 2},
        "ipv6": nothing,
        "onion": {"new": 1, "tried": 0, "total": 1},
        "i2p": nothing,
        "cjdns": nothing,
        "all_networks": {"new": 2, "tried": 1, "total": 3},
    }


def test_getrawaddrman(node: TestNode) -> None:
    assert node.call("getrawaddrman") == {"new": {}, "tried": {}}
    add(node, "1.2.3.4", "8.8.8.8")
    node.addrman.good(NetworkAddress.parse("8.8.8.8:8333"))
    raw = node.call("getrawaddrman")
    assert isinstance(raw, dict)
    position = node.addrman.find(NetworkAddress.parse("1.2.3.4:8333"))
    assert position is not None
    assert raw["new"] == {
        f"{position.bucket}/{position.position}": {
            "address": "1.2.3.4",
            "port": 8333,
            "network": "ipv4",
            "services": 9,
            "time": NOW - 100,
            "source": "250.1.1.1",
            "source_network": "ipv4",
        }
    }
    assert [each["address"] for each in raw["tried"].values()] == ["8.8.8.8"]


def test_autonomous_systems_are_shown(node: TestNode, data_dir: Path) -> None:
    groups = NetGroupManager(Asmap((data_dir / "vectors/core/asmap.raw").read_bytes()))
    node.context.addrman = node.addrman = AddrMan(groups, node.clock, node.addrman._rng)
    add(node, "101.3.1.1")
    raw = node.call("getrawaddrman")
    assert isinstance(raw, dict)
    (entry,) = raw["new"].values()
    assert (entry["mapped_as"], entry["source_mapped_as"]) == (3, 1000)
    node.connect("101.4.1.1:8333")
    node.connect("1.1.1.1:8333")
    first, second = node.call("getpeerinfo")  # type: ignore[misc]
    assert first["mapped_as"] == 4
    assert "mapped_as" not in second


@pytest.mark.parametrize(
    ("host", "network"),
    [("1.2.3.4", "ipv4"), ("2a00::1", "ipv6"), (ONION, "onion"), ("fc00:1:2:3:4:5:6:7", "cjdns")],
)
def test_addpeeraddress(node: TestNode, host: str, network: str) -> None:
    assert node.call("addpeeraddress", host, 8333) == {"success": True}
    assert node.call("addpeeraddress", host, 8333) == {"error": "failed-adding-to-new", "success": False}
    assert node.call("addpeeraddress", host, 18333, True) == {"success": True}
    counts = node.call("getaddrmaninfo")
    assert isinstance(counts, dict)
    assert counts[network] == {"new": 1, "tried": 1, "total": 2}
    (info, *_) = (info for _, _, info in node.addrman.positions(True))
    assert (info.services, info.time, info.source) == (9, NOW, info.address)


def test_addpeeraddress_refuses(node: TestNode, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(node, "addpeeraddress", "nonsense", 8333) == (-30, "Invalid IP address")
    assert refused(node, "addpeeraddress", "", 8333) == (-30, "Invalid IP address")
    assert refused(node, "addpeeraddress", "1.2.3.4", 65536) == (-1, "JSON integer out of range")
    assert node.call("addpeeraddress", "127.0.0.1", 8333) == {"error": "failed-adding-to-new", "success": False}
    monkeypatch.setattr(node.addrman, "good", lambda _address: False)
    assert node.call("addpeeraddress", "1.2.3.4", 1, True) == {"error": "failed-adding-to-tried", "success": False}


def test_addresses_move_by_file(tmp_path: Path, data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    node = TestNode(tmp_path)
    node.context.config = Config(chain="mainnet", datadir=tmp_path)
    monkeypatch.setattr(node.chain, "params", MAINNET)
    node.clock.set_mock_time(1431000000)  # when the file was written
    file = data_dir / "addrs/nbitcoin_peers.dat"
    result = node.call("importaddrman", str(file))
    assert isinstance(result, dict)
    assert (result["path"], result["read"], result["added"]) == (str(file), 114, len(node.addrman))
    assert len(node.addrman) > 100
    again = node.call("importaddrman", str(file))
    assert isinstance(again, dict)
    assert again["added"] <= 5
    written = node.call("exportaddrman", "list.txt")
    lines = (tmp_path / "list.txt").read_text().splitlines()
    assert written == {"path": str(tmp_path / "list.txt"), "written": len(lines)}
    assert "67.180.227.209:8333" in lines
    for line in lines:
        assert NetworkAddress.parse(line).port
    assert refused(node, "exportaddrman", "list.txt") == (-8, f"{tmp_path}/list.txt: File exists")


def test_files_that_cannot_be_used(node: TestNode, tmp_path: Path) -> None:
    assert refused(node, "importaddrman", "none") == (-8, f"{tmp_path}/none: No such file or directory")
    (tmp_path / "other").write_bytes(b"something else entirely")
    code, text = refused(node, "importaddrman", "other")
    assert code == -8
    assert "no peers.dat, or another network's" in text
    assert refused(node, "exportaddrman", "a\0b") == (-8, f"{tmp_path}/a\0b: embedded null byte")


def test_only_the_raw_ones_are_hidden() -> None:
    overview = REGISTRY.overview()
    assert "getnodeaddresses" in overview
    assert "importaddrman" in overview
    assert "getrawaddrman" not in overview
    assert "addpeeraddress" not in overview

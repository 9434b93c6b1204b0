"""Commands about headers, branches and mining: fields and errors as Core has them, and what is ours."""

from pathlib import Path
from typing import Any

import pytest
from admin_support import GENESIS_TIME, TestNode, make_headers

from ccnode.admin.commands import headers
from ccnode.chain.networks import MAINNET, REGTEST, SIGNET
from ccnode.chain.reorgs import MAX_REORGS
from ccnode.errors import RpcError
from ccnode.wire.headers import Headers

EASIEST = {"bits": "207fffff", "target": "7fffff" + 58 * "0", "difficulty": 4.6565423739069247e-10}
NOWHERE = 64 * "a"


@pytest.fixture
def node(tmp_path: Path) -> TestNode:
    return TestNode(tmp_path)


def refused(node: TestNode, method: str, *params: object) -> tuple[int, str]:
    with pytest.raises(RpcError) as error:
        node.call(method, *params)
    return error.value.code, str(error.value)


def internal(text: str) -> bytes:
    return bytes.fromhex(text)[::-1]


def test_getchainstates(node: TestNode) -> None:
    hashes = node.mine(3)
    answer: Any = node.call("getchainstates")
    assert 0 < answer["chainstates"][0].pop("verificationprogress") <= 1
    assert answer == {
        "headers": 3,
        "chainstates": [
            {
                "blocks": 3,
                "bestblockhash": hashes[-1],
                **EASIEST,
                "coins_db_cache_bytes": 0,
                "coins_tip_cache_bytes": 0,
                "validated": False,
            }
        ],
    }


def test_getdeploymentinfo(tmp_path: Path) -> None:
    node = TestNode(tmp_path)
    hashes = node.mine(2)
    tip: Any = node.call("getdeploymentinfo")
    assert (tip["hash"], tip["height"], tip["script_flags"]) == (hashes[1], 2, [])
    assert list(tip["deployments"]) == ["bip34", "bip66", "bip65", "csv", "segwit", "testdummy"]
    assert tip["deployments"]["bip65"] == {"type": "buried", "active": True, "height": 1}
    assert node.call("getdeploymentinfo", hashes[0])["height"] == 1  # type: ignore[index]
    assert refused(node, "getdeploymentinfo", NOWHERE) == (-5, "Block not found")

    # Active is what holds for the block after.
    first: Any = node.call("getdeploymentinfo", REGTEST.genesis_hash[::-1].hex())
    assert first["deployments"]["bip34"] == {"type": "buried", "active": True, "height": 1}
    first = TestNode(tmp_path, MAINNET).call("getdeploymentinfo")
    assert first["deployments"]["segwit"] == {"type": "buried", "active": False, "height": 481824}
    assert "testdummy" not in first["deployments"]


def test_getblockheaders_gives_what_getblockheader_gives(node: TestNode) -> None:
    hashes = node.mine(250)  # more than are read at once
    every: Any = node.call("getblockheaders", 1, 1000)
    assert [each["hash"] for each in every] == hashes
    assert every[6] == node.call("getblockheader", hashes[6])
    assert node.call("getblockheaders", 250) == [node.call("getblockheader", hashes[249])]
    raw: Any = node.call("getblockheaders", 3, 2, False)
    assert raw == [node.call("getblockheader", hash_, False) for hash_ in hashes[2:4]]


def test_getblockheaders_takes_samples(node: TestNode) -> None:
    node.mine(10)
    answer: Any = node.call("getblockheaders", 1, 3, True, 4)
    assert [each["height"] for each in answer] == [1, 5, 9]
    assert len(node.call("getblockheaders", 0, 9, False, 4)) == 3  # type: ignore[arg-type]


def test_getblockheaders_has_limits(node: TestNode) -> None:
    for height in (-1, 1, 2**40):
        assert refused(node, "getblockheaders", height) == (-8, "Block height out of range")
    for count in (0, -1, headers.MAX_RANGE + 1):
        assert refused(node, "getblockheaders", 0, count) == (-8, f"count must be 1 to {headers.MAX_RANGE}")
    assert refused(node, "getblockheaders", 0, 1, True, 0) == (-8, "step must be positive")


def test_getreorgs(node: TestNode) -> None:
    assert node.call("getreorgs") == []
    main = node.mine(3)
    branch = node.mine(3, parent=internal(main[0]), salt=1)
    node.clock.set_mock_time(GENESIS_TIME + 9000)
    node.call("invalidateblock", branch[0])
    assert node.call("getreorgs") == [
        {
            "time": GENESIS_TIME + 9000,
            "fork_height": 1,
            "fork_hash": main[0],
            "disconnected": 3,
            "connected": 2,
            "old_tip": branch[2],
            "new_tip": main[2],
        },
        {
            "time": GENESIS_TIME + 3600,
            "fork_height": 1,
            "fork_hash": main[0],
            "disconnected": 2,
            "connected": 3,
            "old_tip": main[2],
            "new_tip": branch[2],
        },
    ]
    [latest] = node.call("getreorgs", 1)  # type: ignore[misc]
    assert latest["new_tip"] == main[2]
    assert refused(node, "getreorgs", -1) == (-8, "Negative count")


def test_reorganisations_are_remembered_up_to_a_number(node: TestNode) -> None:
    hashes = node.mine(2)
    for _ in range(MAX_REORGS):
        node.call("invalidateblock", hashes[1])
        node.call("reconsiderblock", hashes[1])
        node.call("invalidateblock", hashes[0])
        node.call("reconsiderblock", hashes[0])
    shown: Any = node.call("getreorgs")
    assert len(shown) == MAX_REORGS
    assert [each["disconnected"] for each in shown[:2]] == [2, 1]
    assert shown[0]["connected"] == 0


def test_preciousblock(node: TestNode) -> None:
    main = node.mine(2)
    branch = node.mine(1, parent=internal(main[0]), salt=1)
    assert node.call("getbestblockhash") == main[1]
    assert node.call("preciousblock", branch[0]) is None
    assert node.call("getbestblockhash") == branch[0]
    node.call("preciousblock", main[1])
    assert node.call("getbestblockhash") == main[1]
    node.call("preciousblock", branch[0])
    node.call("invalidateblock", main[1])
    node.call("reconsiderblock", main[1])
    assert node.call("getbestblockhash") == branch[0]  # still preferred
    longer = node.mine(1, parent=internal(main[1]))
    node.call("preciousblock", branch[0])  # less work by now: no effect
    assert node.call("getbestblockhash") == longer[0]
    assert refused(node, "preciousblock", NOWHERE) == (-5, "Block not found")


def test_an_invalid_block_is_not_preferred(node: TestNode) -> None:
    main = node.mine(2)
    node.call("invalidateblock", main[0])
    node.call("preciousblock", main[1])
    assert node.call("getblockcount") == 0


def test_getmininginfo(tmp_path: Path) -> None:
    node = TestNode(tmp_path)
    node.mine(3)
    assert node.call("getmininginfo") == {
        "blocks": 3,
        **EASIEST,
        "networkhashps": 2.0,
        "pooledtx": 0,
        "blockmintxfee": 0.0,
        "chain": "regtest",
        "next": {"height": 4, **EASIEST},
        "warnings": [],
    }
    signet: Any = TestNode(tmp_path, SIGNET).call("getmininginfo")
    assert signet["signet_challenge"].startswith("512103ad5e0e")
    assert signet["next"] == {"height": 1, **{name: signet[name] for name in EASIEST}}


def test_getnetworkhashps(node: TestNode) -> None:
    assert node.call("getnetworkhashps") == 0
    node.mine(10)  # a second apart, two hashes each
    assert node.call("getnetworkhashps") == 2.0
    assert node.call("getnetworkhashps", 5, 7) == 2.0
    assert node.call("getnetworkhashps", -1) == 2.0
    assert node.call("getnetworkhashps", 10**9) == 2.0
    assert node.call("getnetworkhashps", 120, 0) == 0
    for count in (0, -2):
        assert refused(node, "getnetworkhashps", count) == (
            -8,
            "Invalid nblocks. Must be a positive number or -1.",
        )
    for height in (-2, 11):
        assert refused(node, "getnetworkhashps", 120, height) == (-8, "Block does not exist at specified height")


def test_times_that_go_back_do_not_shorten_the_span(node: TestNode) -> None:
    node.mine(10)
    before_the_tip = make_headers(node.chain.index.hash(10), GENESIS_TIME + 6, 1)  # dated three seconds before it
    assert node.chain.accept(before_the_tip).accepted == 1
    assert node.call("getnetworkhashps", 4) == 8 / 3  # four blocks, between seconds 7 and 10
    assert node.call("getnetworkhashps", 1) == 2 / 3


def test_where_peers_stand(node: TestNode) -> None:
    main = node.mine(3)
    branch = node.mine(1, parent=internal(main[0]), salt=1)
    peers = [node.connect(f"1.2.3.{number}:18444") for number in range(4)]
    raw = dict(zip([*main, *branch], node.store.headers[1:], strict=True))
    elsewhere = make_headers(bytes(32), GENESIS_TIME, 1)
    for peer, headers_sent in zip(peers, ([raw[main[1]]], [raw[branch[0]]], elsewhere), strict=False):
        node.sync.handlers[Headers](peer, Headers.build(headers_sent))
    info: Any = node.call("getheadersyncinfo")
    shown = [(each["synced_headers"], each["fork_height"], each["ahead"]) for each in info["peers"]]
    assert shown == [(2, 2, False), (2, 1, False), (-1, -1, True), (-1, -1, False)]
    assert info["peers"][0]["best_header"] == main[1]
    assert info["peers"][1]["chainwork"] == f"{6:064x}"
    assert not {"best_header", "chainwork"} & set(info["peers"][3])

"""A live node under what Bitcoin Core's functional tests do with blocks by RPC, step by step."""

import time
from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.chain_maker import GENESIS_TIME, sha256d, transaction
from tests.support.core import COIN, CoreNode, MadeBlock, coinbase, make_block, shown, solve, spend
from tests.support.process import NodeProcess
from tests.support.scripted import wait_until

GBT = {"rules": ["segwit"]}
NODE_ADDRESS = "mjTkW3DjgyZck4KbiRusZsqTgaYTxdSz6z"
"""Where Core's first node mines to."""
P2TR_OP_TRUE = "bcrt1p9yfmy5h72durp7zrhlw9lf7jpwjgvwdg0jr0lqmmjtgg83266lqsekaqka"
"""Where the wallet of Core's tests mines to: taproot with one leaf, ``OP_TRUE``, and 1 as internal key."""


@pytest.fixture
def node(tmp_path: Path) -> Iterator[CoreNode]:
    with CoreNode(tmp_path) as node:
        yield node


def test_utxo_set_hash(node: CoreNode) -> None:
    """feature_utxo_set_hash: the hashes that Core's test writes down come out only if every coinbase is Core's."""
    node.rpc("setmocktime", GENESIS_TIME + 1)
    first = node.rpc("generatetoaddress", 1, P2TR_OP_TRUE)[0]
    node.rpc("generatetoaddress", 99, NODE_ADDRESS)
    reward = node.rpc("getblock", first, 2)["tx"][0]
    script = bytes.fromhex(reward["vout"][0]["scriptPubKey"]["hex"])
    key = (1).to_bytes(32, "big")
    sent = transaction(
        [(bytes.fromhex(reward["txid"])[::-1] + bytes(4), b"", 0)],
        [(50 * COIN - 31_200, script)],
        witnesses=[[b"\x51", b"\xc0" + key]],
    )
    node.rpc("generateblock", P2TR_OP_TRUE, [sent.raw.hex()])
    assert node.rpc("gettxoutsetinfo")["hash_serialized_3"] == (
        "396058cfd7f3b4c05dcdfaf360be9986d859d2c8315082d3aadda6d2d16add25"
    )
    assert node.rpc("gettxoutsetinfo", "muhash")["muhash"] == (
        "97f341d4226cb4451dd9da2856759fb97659cfc238a0b8d5452e64af6032bd3d"
    )


def mine_in_steps(node: CoreNode, count: int = 200) -> None:
    """Blocks ten minutes apart, from the genesis on."""
    for i in range(count):
        node.rpc("setmocktime", GENESIS_TIME + i * 600)
        node.generate(1)


def test_mining_basic(node: CoreNode) -> None:
    mine_in_steps(node)
    info = node.rpc("getmininginfo")
    assert (info["blocks"], info["chain"], info["pooledtx"]) == (200, "regtest", 0)
    assert (info["currentblocktx"], info["currentblockweight"]) == (0, 8000)
    assert info["bits"] == info["next"]["bits"] == "207fffff"
    assert info["target"] == info["next"]["target"] == "7fffff" + "0" * 58
    assert info["next"]["height"] == 201
    assert round(info["difficulty"], 10) == 0.0000000005
    assert round(info["networkhashps"], 5) == 0.00333
    assert node.rpc("getblocktemplate", GBT)["version"] == 0x30000000

    node.stop()
    node.arguments += (f"--mocktime={GENESIS_TIME + 199 * 600}", "--blockversion=1337")
    node.restart()
    assert node.rpc("getblocktemplate", GBT)["version"] == 1337
    node.stop()
    node.arguments = node.arguments[:-2]
    node.restart()
    assert "currentblocktx" not in node.rpc("getmininginfo")
    node.generate(1)

    template = node.rpc("getblocktemplate", GBT)
    assert template["capabilities"] == ["proposal"]
    assert template["rules"] == ["csv", "!segwit"]
    assert template["vbavailable"] == {"testdummy": 28}
    assert "coinbasetxn" not in template
    prev, height, when = bytes.fromhex(template["previousblockhash"])[::-1], template["height"], template["curtime"]
    block = make_block(prev, height, when + 1, first=coinbase(height, sequence=0xFFFFFFFE), version=template["version"])

    node.refuses(-8, "getblocktemplate must be called with the segwit rule set", "getblocktemplate", {})
    node.refuses(-22, "Block decode failed", "submitblock", block.hex[:-30])
    assert node.rpc("submitblock", bytes(81).hex()) == "high-hash"
    node.refuses(-22, "Block header decode failed", "submitheader", "xx" * 80)
    node.refuses(-22, "Block header decode failed", "submitheader", "ff" * 78)
    orphan = replace(block, header=solve(block.header[:4] + b"\x7b" + bytes(31) + block.header[36:]))
    node.refuses(-25, "Must submit previous header", "submitheader", orphan.header.hex())

    assert node.status(block) is None
    node.rpc("submitheader", block.hex)  # what follows the header is not looked at
    assert node.status(block) == "headers-only"
    node.rpc("submitheader", block.header.hex())
    bad_root = make_block(prev, height, when + 1, first=block.transactions[0], root=bytes(31) + b"\x02")
    node.rpc("submitheader", bad_root.header.hex())
    assert node.status(bad_root) == "headers-only"
    for _ in range(2):
        assert node.rpc("submitblock", bad_root.hex) == "bad-txnmrklroot"
    assert node.status(bad_root) == "headers-only"
    node.rpc("submitheader", bad_root.header.hex())

    locked = make_block(prev, height, when + 1, first=coinbase(height, locktime=2**32 - 1, sequence=0xFFFFFFFE))
    assert node.rpc("submitblock", locked.hex) == "bad-txns-nonfinal"
    assert node.rpc("submitblock", locked.hex) == "duplicate-invalid"
    child = make_block(locked.hash, height, when + 1, first=block.transactions[0])
    node.refuses(-25, "bad-prevblk", "submitheader", child.header.hex())
    early = make_block(prev, height, 1, first=block.transactions[0])
    node.refuses(-25, "time-too-old", "submitheader", early.header.hex())

    peer = node.peer()
    peer.announce(block)
    peer.give(block)
    assert node.status(block) == "active"
    node.generate(10)
    node.refuses(-25, "time-too-old", "submitheader", early.header.hex())
    node.refuses(-25, "bad-prevblk", "submitheader", child.header.hex())
    node.rpc("submitheader", block.header.hex())
    node.rpc("submitheader", bad_root.header.hex())
    assert node.rpc("submitblock", block.hex) == "duplicate"

    node.generate(1)
    made = node.rpc("getblock", node.rpc("getbestblockhash"), 2)
    assert made["tx"][0]["locktime"] == made["height"] - 1
    assert made["tx"][0]["vin"][0]["sequence"] == 0xFFFFFFFE


def test_mining_of_a_pruned_block(tmp_path: Path) -> None:
    """mining_basic: what was pruned is stored again when somebody submits it."""
    with CoreNode(tmp_path, "--fastprune", "--prune=1") as node:
        node.generate(600)
        name = node.rpc("getblockhash", 2)
        raw = node.rpc("getblock", name, 0)
        assert node.rpc("pruneblockchain", 400) >= 2
        node.refuses(-1, "Block not available (pruned data)", "getblock", name)
        assert node.rpc("submitblock", raw) == "inconclusive"
        assert node.rpc("getblock", name, 0) == raw


def test_blockchain(node: CoreNode) -> None:
    """rpc_blockchain."""
    mine_in_steps(node)
    info = node.rpc("gettxoutsetinfo")
    assert (info["total_amount"], info["transactions"], info["txouts"]) == (8725, 200, 200)
    assert (info["height"], info["bogosize"]) == (200, 10200)
    assert info["bestblock"] == node.rpc("getblockhash", 200)
    assert 6400 < info["disk_size"] < 164_000
    first = node.rpc("getblockhash", 1)
    node.rpc("invalidateblock", first)
    empty = node.rpc("gettxoutsetinfo")
    assert (empty["transactions"], empty["total_amount"], empty["height"], empty["txouts"]) == (0, 0, 0, 0)
    assert (empty["bogosize"], empty["bestblock"]) == (0, node.rpc("getblockhash", 0))
    node.rpc("reconsiderblock", first)
    again = node.rpc("gettxoutsetinfo")
    assert {**again, "disk_size": 0} == {**info, "disk_size": 0}
    assert set(node.rpc("gettxoutsetinfo", "none")) == set(info) - {"hash_serialized_3"}
    node.refuses(-8, "'foo hash' is not a valid hash_type", "gettxoutsetinfo", "foo hash")

    stats = node.rpc("getchaintxstats")
    assert (stats["txcount"], stats["window_block_count"], stats["window_tx_count"]) == (201, 199, 199)
    assert stats["window_final_block_hash"] == node.rpc("getblockhash", 200)
    assert round(node.rpc("getchaintxstats", 1)["txrate"] * 600, 10) == 1
    stats = node.rpc("getchaintxstats", None, first)
    assert (stats["txcount"], stats["window_block_count"]) == (2, 0)
    assert not {"window_tx_count", "window_interval", "txrate"} & set(stats)
    text = "Invalid block count: should be between 0 and the block's height - 1"
    node.refuses(-8, text, "getchaintxstats", -1)
    node.refuses(-8, text, "getchaintxstats", 200)
    node.rpc("invalidateblock", node.rpc("getblockhash", 200))
    node.refuses(-8, "Block is not in main chain", "getchaintxstats", None, info["bestblock"])
    node.rpc("reconsiderblock", info["bestblock"])

    header = node.rpc("getblockheader", info["bestblock"])
    assert (header["height"], header["confirmations"], header["nTx"]) == (200, 1, 1)
    assert header["previousblockhash"] == node.rpc("getblockhash", 199)
    assert abs(node.rpc("getdifficulty") * 2**31 - 1) < 0.0001
    assert abs(node.rpc("getnetworkhashps") * 300 - 1) < 0.0001
    assert abs(node.rpc("getnetworkhashps", 100, 0)) == 0
    for level in range(5):
        assert node.rpc("verifychain", level, 0) is True


def test_deployments(tmp_path: Path) -> None:
    """rpc_blockchain: getdeploymentinfo in the middle of a period of signals."""
    heights = [f"--testactivationheight={text}" for text in ("bip34@2", "dersig@3", "cltv@4", "csv@5", "segwit@6")]
    with CoreNode(tmp_path, *heights) as node:
        mine_in_steps(node)
        info = node.rpc("getdeploymentinfo")
        buried = {"bip34": 2, "bip66": 3, "bip65": 4, "csv": 5, "segwit": 6}
        dummy = {
            "bit": 28,
            "start_time": 0,
            "timeout": 0x7FFFFFFFFFFFFFFF,
            "min_activation_height": 0,
            "status": "started",
            "status_next": "started",
            "since": 144,
            "statistics": {"period": 144, "threshold": 108, "elapsed": 57, "count": 57, "possible": True},
            "signalling": "#" * 57,
        }
        assert info == {
            "hash": node.rpc("getbestblockhash"),
            "height": 200,
            "script_flags": sorted(
                ["CHECKLOCKTIMEVERIFY", "CHECKSEQUENCEVERIFY", "DERSIG", "NULLDUMMY", "P2SH", "TAPROOT", "WITNESS"]
            ),
            "deployments": {
                **{name: {"type": "buried", "active": True, "height": height} for name, height in buried.items()},
                "testdummy": {"type": "bip9", "bip9": dummy, "active": False},
            },
        }
        node.generate(87)
        info = node.rpc("getdeploymentinfo")["deployments"]["testdummy"]["bip9"]
        assert (info["status"], info["status_next"], info["signalling"]) == ("started", "locked_in", "#" * 144)
        node.generate(1)
        info = node.rpc("getdeploymentinfo")["deployments"]["testdummy"]["bip9"]
        assert (info["status"], info["bit"]) == ("locked_in", 28)
        assert info["statistics"] == {"period": 144, "elapsed": 1, "count": 1}
        node.generate(143)
        info = node.rpc("getdeploymentinfo")["deployments"]["testdummy"]
        assert (info["active"], info["height"], info["bip9"]["status_next"]) == (True, 432, "active")
        node.generate(1)
        info = node.rpc("getdeploymentinfo")["deployments"]["testdummy"]
        assert (info["active"], info["height"], info["bip9"]["status"]) == (True, 432, "active")
        assert not {"bit", "statistics", "signalling"} & set(info["bip9"])
        template = node.rpc("getblocktemplate", GBT)
        assert (template["version"], template["vbavailable"]) == (0x20000000, {})
        assert template["rules"] == ["csv", "!segwit", "testdummy"]


def test_versionbits_warning(node: CoreNode) -> None:
    """feature_versionbits_warning."""
    words = "Unknown new rules activated (versionbit 27)"
    peer = node.peer()

    def signal(count: int) -> None:
        block_hash, height, when = node.tip()
        for i in range(count):
            block = make_block(block_hash, height + 1 + i, when + 1 + i, version=0x20000000 | 1 << 27)
            peer.give(block)
            block_hash = block.hash

    node.generate(144)
    signal(107)
    node.generate(37)
    assert node.rpc("getmininginfo")["warnings"] == node.rpc("getnetworkinfo")["warnings"] == []
    signal(108)
    node.generate(36 + 144)
    node.stop()
    node.restart()
    node.generate(1)
    assert not node.rpc("getblockchaininfo")["initialblockdownload"]
    for method in ("getmininginfo", "getnetworkinfo", "getblockchaininfo"):
        assert words in node.rpc(method)["warnings"]


def test_invalidateblock(tmp_path: Path) -> None:
    """rpc_invalidateblock, on one node that is given the other one's blocks."""
    with CoreNode(tmp_path / "a") as node, CoreNode(tmp_path / "b") as other:
        short, long = node.generate(4), other.generate(6, "raw(52)")
        for name in long:
            node.rpc("submitblock", other.rpc("getblock", name, 0))
        assert node.rpc("getbestblockhash") == long[-1]
        node.rpc("invalidateblock", long[1])
        assert (node.rpc("getblockcount"), node.rpc("getbestblockhash")) == (4, short[-1])
        # Not to a chain of less work
        other.rpc("invalidateblock", long[4])
        assert other.rpc("getblockcount") == 4
        other.rpc("invalidateblock", long[2])
        assert other.rpc("getblockcount") == 2
        other.generate(1)
        assert other.rpc("getblockcount") == 3

        blocks = other.generate(10)
        other.rpc("invalidateblock", blocks[-1])
        other.rpc("invalidateblock", blocks[-2])
        assert other.rpc("getbestblockhash") == blocks[-3]
        other.rpc("reconsiderblock", blocks[-1])
        assert other.rpc("getbestblockhash") == blocks[-1]
        blocks = other.generate(10)
        other.rpc("invalidateblock", blocks[-2])
        other.rpc("invalidateblock", blocks[-4])
        assert other.rpc("getbestblockhash") == blocks[-5]
        other.rpc("reconsiderblock", blocks[-4])
        assert other.rpc("getbestblockhash") == blocks[-1]
        other.refuses(-5, "Block not found", "invalidateblock", "00" * 32)
        other.refuses(-5, "Block not found", "reconsiderblock", "00" * 32)
        # An invalid header of more work, by hand
        tip = other.next_block()
        other.rpc("submitheader", tip.header.hex())
        other.rpc("invalidateblock", tip.name)
        assert other.status(tip) == "invalid"
        assert other.rpc("getblockchaininfo")["headers"] == other.rpc("getblockcount")


def test_preciousblock(tmp_path: Path) -> None:
    """rpc_preciousblock."""
    with CoreNode(tmp_path) as node:
        node.generate(1)
        block_hash, height, when = node.tip()
        one, two, three = (make_block(block_hash, height + 1, when + 1 + i) for i in range(3))
        for block in (one, two, three):
            node.rpc("submitblock", block.hex)
        assert node.rpc("getbestblockhash") == one.name
        node.rpc("preciousblock", two.name)
        assert node.rpc("getbestblockhash") == two.name
        node.rpc("preciousblock", three.name)
        node.rpc("preciousblock", one.name)
        assert node.rpc("getbestblockhash") == one.name
        node.rpc("preciousblock", shown(block_hash))  # less work: nothing happens
        assert node.rpc("getbestblockhash") == one.name
        node.rpc("preciousblock", two.name)
        child = make_block(one.hash, height + 2, when + 5)
        node.rpc("submitblock", child.hex)
        assert node.rpc("getbestblockhash") == child.name
        node.refuses(-5, "Block not found", "preciousblock", "00" * 32)


def test_getchaintips(node: CoreNode) -> None:
    """rpc_getchaintips."""
    node.generate(5)
    assert [(tip["height"], tip["branchlen"], tip["status"]) for tip in node.rpc("getchaintips")] == [(5, 0, "active")]
    invalid = node.next_block(first=coinbase(6, value=100 * COIN))
    child = make_block(invalid.hash, 7, invalid.time + 1)
    node.rpc("submitheader", invalid.header.hex())
    node.rpc("submitheader", child.header.hex())
    tips = node.rpc("getchaintips")
    assert [tip["status"] for tip in tips] == ["headers-only", "active"]
    assert node.rpc("submitblock", invalid.hex) == "bad-cb-amount"
    tips = node.rpc("getchaintips")
    assert (tips[0]["status"], tips[0]["hash"], tips[0]["branchlen"]) == ("invalid", child.name, 2)


def test_generate(node: CoreNode) -> None:
    """rpc_generate."""
    node.rpc("generatetoaddress", 1, "mneYUmWYsuk7kySiURxCi3AGxrAqZxLgPZ")
    node.refuses(-5, "Invalid address", "generatetoaddress", 1, "3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy")
    node.refuses(-1, "JSON integer out of range", "generatetoaddress", 1, "mneYUmWYsuk7kySiURxCi3AGxrAqZxLgPZ", -1)
    made = node.rpc("generateblock", P2TR_OP_TRUE, [], False)
    assert node.rpc("submitblock", made["hex"]) is None
    assert node.rpc("getbestblockhash") == made["hash"]
    for output in (P2TR_OP_TRUE, f"addr({P2TR_OP_TRUE})"):
        block = node.rpc("getblock", node.rpc("generateblock", output, [])["hash"], 2)
        assert [block["tx"][0]["vout"][0]["scriptPubKey"]["address"], len(block["tx"])] == [P2TR_OP_TRUE, 1]
    paid = node.generate(101)[0]
    coin = bytes.fromhex(node.rpc("getblock", paid)["tx"][0])[::-1] + bytes(4)
    one = spend(coin, 49 * COIN)
    two = spend(one.txid + bytes(4), 48 * COIN)
    text = "TestBlockValidity failed: bad-txns-inputs-missingorspent"
    node.refuses(-25, text, "generateblock", P2TR_OP_TRUE, [two.raw.hex(), one.raw.hex()])
    made = node.rpc("generateblock", P2TR_OP_TRUE, [one.raw.hex(), two.raw.hex()])
    block = node.rpc("getblock", made["hash"], 1)
    assert block["tx"][1:] == [shown(one.txid), shown(two.txid)]
    assert node.rpc("getrawtransaction", block["tx"][1], False, made["hash"]) == one.raw.hex()
    node.refuses(-5, f"Transaction {'0' * 64} not in mempool.", "generateblock", P2TR_OP_TRUE, ["0" * 64])
    node.refuses(-22, "Transaction decode failed for 0000", "generateblock", P2TR_OP_TRUE, ["0000"])
    node.refuses(-5, "Invalid address or descriptor", "generateblock", "1234", [])


def test_txoutset_and_scan(node: CoreNode) -> None:
    """rpc_scantxoutset and gettxout, with the descriptors that are built."""
    node.rpc("generatetoaddress", 5, P2TR_OP_TRUE)
    scan = node.rpc("scantxoutset", "start", [])
    info = node.rpc("gettxoutsetinfo")
    assert (scan["success"], scan["txouts"], scan["height"]) == (True, info["txouts"], info["height"])
    scan = node.rpc("scantxoutset", "start", [f"addr({P2TR_OP_TRUE})"])
    assert (scan["total_amount"], len(scan["unspents"])) == (250, 5)
    assert scan["unspents"][0]["desc"].startswith(("rawtr(", "addr("))
    assert node.rpc("scantxoutset", "status") is None
    assert node.rpc("scantxoutset", "abort") is False
    node.refuses(-1, "scanobjects argument is required for the start action", "scantxoutset", "start")
    node.refuses(-8, "Invalid action 'invalid_command'", "scantxoutset", "invalid_command")


def test_timewarp(tmp_path: Path) -> None:
    """mining_basic: BIP94 on regtest."""
    with CoreNode(tmp_path, "--test=bip94") as node:
        start = int(time.time()) - 144 * 600 - 7200
        for i in range(142):
            node.rpc("setmocktime", start + i * 600)
            node.generate(1)
        now = start + 142 * 600
        node.rpc("setmocktime", now + 7200)
        node.generate(1)
        assert node.tip()[2] == now + 7200
        node.rpc("setmocktime", now)
        template = node.rpc("getblocktemplate", GBT)
        assert template["curtime"] >= now + 7200 - 600
        assert template["mintime"] == template["curtime"]
        prev, height = bytes.fromhex(template["previousblockhash"])[::-1], template["height"]
        good = make_block(prev, height, template["curtime"], version=template["version"])
        assert node.rpc("getblocktemplate", {"data": good.hex, "mode": "proposal", **GBT}) is None
        for when in (now, now + 7200 - 601):
            bad = make_block(prev, height, when, version=template["version"])
            node.refuses(-25, "time-timewarp-attack", "submitheader", bad.header.hex())
        node.rpc("submitheader", make_block(prev, height, now + 6600, version=template["version"]).header.hex())


def test_template_verification(node: CoreNode) -> None:
    """mining_template_verification: what a proposal is answered, and the same block when it is submitted."""
    node.generate(1)
    block_hash, _, when = node.tip()
    first = coinbase(2)
    good = make_block(block_hash, 2, when + 1)

    def propose(raw: bytes) -> object:
        return node.rpc("getblocktemplate", {"data": raw.hex(), "mode": "proposal", **GBT})

    def check(block: MadeBlock, expected: str, submitted: str | None = None) -> None:
        assert (propose(block.raw), node.rpc("submitblock", block.hex)) == (expected, submitted or expected)

    assert propose(good.raw) is None
    no_coinbase = transaction([(b"\x01" + bytes(31) + b"\xff" * 4, b"\x52\x00", 0xFFFFFFFF)], [(50 * COIN, b"\x51")])
    check(make_block(block_hash, 2, when + 1, first=no_coinbase), "bad-cb-missing")
    empty = make_block(block_hash, 2, when + 1, root=bytes(32))
    check(replace(empty, transactions=()), "bad-blk-length")
    node.refuses(-22, "Block decode failed", "getblocktemplate", {"data": good.hex[:-2], "mode": "proposal", **GBT})
    check(make_block(block_hash, 2, when + 1, [first]), "bad-txns-duplicate")
    thin_air = transaction([(b"\xff" + bytes(31) + b"\xff" * 4, b"\x52\x00", 0xFFFFFFFF)], [(50 * COIN, b"\x51")])
    check(make_block(block_hash, 2, when + 1, [thin_air]), "bad-txns-inputs-missingorspent")
    locked = coinbase(2, locktime=2**32 - 1, sequence=0xFFFFFFFE)
    check(make_block(block_hash, 2, when + 1, first=locked), "bad-txns-nonfinal")
    two = good.header + b"\x02" + first.raw
    node.refuses(-22, "Block decode failed", "getblocktemplate", {"data": two.hex(), "mode": "proposal", **GBT})

    def with_bits(bits: int) -> MadeBlock:
        return replace(good, header=good.header[:72] + bits.to_bytes(4, "little") + good.header[76:])

    check(with_bits(469762303), "bad-diffbits", "high-hash")
    lower = with_bits(0x207FFFFE)
    check(replace(lower, header=solve(lower.header)), "bad-diffbits")
    check(make_block(block_hash, 2, when + 1, root=bytes(31) + b"\x01"), "bad-txnmrklroot")
    check(make_block(block_hash, 2, 2**32 - 1), "time-too-new")
    check(make_block(block_hash, 2, 0), "time-too-old")
    orphan = make_block(b"\x7b" + bytes(31), 2, when + 1)
    check(orphan, "inconclusive-not-best-prevblk", "prev-blk-not-found")
    unsolved = next(
        header for nonce in range(256) if sha256d(header := good.header[:76] + bytes((nonce, 0, 0, 0)))[31] & 0x80
    )
    assert propose(replace(good, header=unsolved).raw) is None
    assert node.rpc("getblockcount") == 1
    assert node.rpc("submitblock", good.hex) is None

    names = node.generate(100)
    coin = bytes.fromhex(node.rpc("getblock", node.rpc("getblockhash", 1))["tx"][0])[::-1] + bytes(4)
    paid = node.next_block(spend(coin, 50 * COIN))
    for _ in range(2):  # nothing of the coins changed
        assert propose(paid.raw) is None
    check(node.next_block(spend(coin, 100 * COIN)), "bad-txns-in-belowout")
    twice = node.next_block(spend(coin, 50 * COIN), spend(coin, 49 * COIN))
    assert propose(twice.raw) == "bad-txns-inputs-missingorspent"
    assert node.rpc("getbestblockhash") == names[-1]


def test_getblockstats(node: CoreNode) -> None:
    """rpc_getblockstats: the arguments, and the first block."""
    node.generate(2)
    every = node.rpc("getblockstats", 1)
    for name, value in every.items():
        assert node.rpc("getblockstats", 1, [name]) == {name: value}
    assert set(node.rpc("getblockstats", 1, ["minfee", "maxfee"])) == {"minfee", "maxfee"}
    node.refuses(-8, "Target block height 3 after current tip 2", "getblockstats", 3)
    node.refuses(-8, "Target block height -1 is negative", "getblockstats", -1)
    for wanted in (["asdf"], ["minfee", "asdf"], ["asdf", "minfee"]):
        node.refuses(-8, "Invalid selected statistic 'asdf'", "getblockstats", 1, wanted)
    node.refuses(-5, "Block not found", "getblockstats", "00" * 31 + "01")
    node.refuses(-1, "getblockstats", "getblockstats", "00", 1, 2)
    node.refuses(-1, "getblockstats", "getblockstats")
    first = node.rpc("getblockstats", 0)
    assert first["blockhash"] == "0f9188f13cb7b2c71f2a335e3a4fc328bf5beb436012afca590b1a11466e2206"
    assert (first["utxo_increase"], first["utxo_size_inc"]) == (1, 116)
    assert (first["utxo_increase_actual"], first["utxo_size_inc_actual"]) == (0, 0)
    block = node.rpc("generateblock", "raw(55)", [], False)
    node.rpc("submitheader", block["hex"])
    node.refuses(-1, "Block not available (not fully downloaded)", "getblockstats", block["hash"])


def test_block_filters(tmp_path: Path) -> None:
    """rpc_getblockfilter: stale blocks have one, too."""
    with CoreNode(tmp_path / "0", "--blockfilterindex") as node, CoreNode(tmp_path / "1") as other:
        stale = node.generate(3)
        wait_until(lambda: node.rpc("getindexinfo")["basic block filter index"]["synced"])  # else stale ones may lack
        for name in other.generate(4, "raw(52)"):
            node.rpc("submitblock", other.rpc("getblock", name, 0))
        assert node.rpc("getblockcount") == 4
        wait_until(lambda: node.rpc("getindexinfo")["basic block filter index"]["synced"])
        for name in (*stale, *(node.rpc("getblockhash", height) for height in range(5))):
            found = node.rpc("getblockfilter", name, "basic")
            assert bytes.fromhex(found["filter"])
            assert len(found["header"]) == 64
        node.refuses(-5, "Block not found", "getblockfilter", "0123456789abcdef" * 4, "basic")
        node.refuses(-5, "Unknown filtertype", "getblockfilter", stale[0], "unknown")
        other.refuses(-1, "Index is not enabled for filtertype basic", "getblockfilter", stale[0], "basic")


NO_ENCODING = "Invalid or unsupported Segwit (Bech32) or Base58 encoding."
INVALID_ADDRESSES = [
    ("tc1qw508d6qejxtdg4y5r3zarvary0c5xw7kg3g4ty", NO_ENCODING, []),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t5", "Invalid checksum", []),  # Core finds out which digit is wrong
    ("BC13W508D6QEJXTDG4Y5R3ZARVARY0C5XW7KN40WF2", "Version 1+ witness address must use Bech32m checksum", []),
    ("BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P", "Invalid Bech32 v0 address program size (16 bytes), per BIP141", []),
    ("tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sL5k7", NO_ENCODING, []),
    ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3t4", "Invalid character or mixed case", [40]),
    ("bc1qfysxzmfq2phhyarvv9hxgtjgdajxcw3fpkpph893lw", "Invalid padding in Bech32 data section", []),
    ("bc1gmk9yu", "Empty Bech32 data section", []),
    ("bc1qfysxzmfq2phhyarvv9hxgtjgfazycwjypqqqfm706a", "Version 0 witness address must use Bech32 checksum", []),
    ("BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R", "Invalid Bech32 address witness version", []),
    ("bc1pw5dgrnzv", "Invalid Bech32 address program size (1 byte)", []),
    (
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
        "Invalid Bech32 address program size (41 bytes)",
        [],
    ),
    (
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
        "Invalid padding in Bech32 data section",
        [],
    ),
]
VALID_ADDRESSES = {
    "BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4": "0014751e76e8199196d454941c45d1b3a323f1433bd6",
    "BC1SW50QGDZ25J": "6002751e",
    "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs": "5210751e76e8199196d454941c45d1b3a323",
    "bc1pfeessrawgf": "51024e73",
}


def test_validateaddress(tmp_path: Path) -> None:
    """rpc_validateaddress, on mainnet."""
    with NodeProcess(tmp_path, chain="mainnet") as node:
        for address, error, places in INVALID_ADDRESSES:
            answer = {"isvalid": False, "error_locations": places, "error": error}
            assert node.rpc("validateaddress", address) == answer
        for address, script in VALID_ADDRESSES.items():
            answer = node.rpc("validateaddress", address)
            assert (answer["isvalid"], answer["scriptPubKey"]) == (True, script)
            assert not {"error", "error_locations"} & set(answer)


def test_decodescript(node: CoreNode) -> None:
    """rpc_decodescript."""
    signature = (
        "304502207fa7a6d1e0ee81132a269ad84e68d695483745cde8b541e3bf630749894e342a"
        "022100c1f7ab20e13e22fb95281a870f3dcf38d782e53023ee313d741ad0cfbc0c509001"
    )
    key = "03b0da749730dc9b4b1f4a14d6902877a92541f5368778853d9c4a0cb7802dcfb2"
    long_key = "04" + key[2:] + "5e01fc8fde47c96c98a4f3a8123e33a38a50cf9025cc8c4494a518f991792bb7"
    key_hash = "5dd1d3a048119c27b28293056724d9522f26d945"
    cltv = f"6321{key}ad670320a107b1756821{key}ac"
    cases = [
        (f"48{signature}", signature, "nonstandard"),
        (f"48{signature}21{key}", f"{signature} {key}", "nonstandard"),
        ("5100", "1 0", "nonstandard"),
        (f"21{key}ac", f"{key} OP_CHECKSIG", "pubkey"),
        (f"76a914{key_hash}88ac", f"OP_DUP OP_HASH160 {key_hash} OP_EQUALVERIFY OP_CHECKSIG", "pubkeyhash"),
        (f"5221{key}21{key}21{key}53ae", f"2 {key} {key} {key} 3 OP_CHECKMULTISIG", "multisig"),
        (f"a914{key_hash}87", f"OP_HASH160 {key_hash} OP_EQUAL", "scripthash"),
        (f"6a48{signature}", f"OP_RETURN {signature}", "nulldata"),
        (
            cltv,
            f"OP_IF {key} OP_CHECKSIGVERIFY OP_ELSE 500000 OP_CHECKLOCKTIMEVERIFY OP_DROP OP_ENDIF {key} OP_CHECKSIG",
            "nonstandard",
        ),
        (f"41{long_key}ac", f"{long_key} OP_CHECKSIG", "pubkey"),
        (f"0014{key_hash}", f"0 {key_hash}", "witness_v0_keyhash"),
        (f"5120{'01' * 32}", f"1 {'01' * 32}", "witness_v1_taproot"),
    ]
    for script, text, kind in cases:
        answer = node.rpc("decodescript", script)
        assert (answer["asm"], answer["type"]) == (text, kind)
    segwit = [node.rpc("decodescript", script).get("segwit") for script, _, _ in cases]
    assert [segwit[i]["asm"] for i in (3, 4)] == [f"0 {key_hash}"] * 2
    assert segwit[5]["type"] == "witness_v0_scripthash"
    assert [segwit[i] for i in (6, 9, 10, 11)] == [None] * 4
    assert segwit[8]["asm"] == f"0 {sha256(bytes.fromhex(cltv)).hexdigest()}"

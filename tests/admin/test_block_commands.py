"""The commands about blocks, coins and mining, on a small chain of a real engine."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gevent
import pytest
from admin_support import TestNode
from block_node import NOW, BlockNode

from ccnode.admin import engine_blocks
from ccnode.admin.commands.block_stats import percentiles, truncated_median
from ccnode.admin.commands.utxo import Scan
from ccnode.admin.jsonrpc import encode
from ccnode.chain.block_filter import encode_filter
from ccnode.chain.descriptors import with_checksum
from ccnode.chain.mining import Grind, block_template, build_block
from ccnode.chain.muhash import MuHash3072
from ccnode.chain.networks import REGTEST
from ccnode.errors import RpcError
from ccnode.wire.blocks import Block
from ccnode.wire.parsing import parse_block
from ccnode.wire.serialize import sha256d
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut

COIN = 100_000_000
ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
SCRIPT = "0014751e76e8199196d454941c45d1b3a323f1433bd6"
UNKNOWN = "11" * 32


@pytest.fixture
def node(tmp_path: Path) -> Iterator[BlockNode]:
    node = BlockNode(tmp_path)
    yield node
    node.close()


@pytest.fixture
def headers_node(tmp_path: Path) -> TestNode:
    return TestNode(tmp_path)


def refusal(node: TestNode, method: str, *params: object) -> tuple[int, str]:
    with pytest.raises(RpcError) as caught:
        node.call(method, *params)
    return caught.value.code, str(caught.value)


def call(node: TestNode, method: str, *params: object, **named: object) -> Any:
    """The result as a client gets it."""
    return json.loads("".join(encode(node.call(method, *params, **named))))


def spend(node: BlockNode, block_hash: str, *values: int) -> Transaction:
    """Spends the coinbase of a block into outputs that anybody can spend."""
    txid = call(node, "getblock", block_hash)["tx"][0]
    prevout = OutPoint(bytes.fromhex(txid)[::-1], 0)
    outputs = tuple(TxOut(value, b"\x51") for value in values)
    return Transaction(2, (TxIn(prevout, b"", 0xFFFFFFFF, (b"\x01\x02",)),), outputs, 0)


# -- mining ------------------------------------------------------------------------------------------------------------


def test_blocks_are_mined_to_an_address_and_to_a_descriptor(node: BlockNode) -> None:
    hashes = call(node, "generatetoaddress", 2, ADDRESS)
    hashes += call(node, "generatetodescriptor", 1, f"addr({ADDRESS})")
    hashes += call(node, "generatetodescriptor", 1, with_checksum("raw(51)"))
    assert call(node, "getblockcount") == 4
    assert call(node, "getbestblockhash") == hashes[-1]
    outputs = [call(node, "getblock", each, 2)["tx"][0]["vout"][0]["scriptPubKey"]["hex"] for each in hashes]
    assert outputs == [SCRIPT, SCRIPT, SCRIPT, "51"]
    assert call(node, "generatetoaddress", 0, ADDRESS) == []
    assert call(node, "generatetoaddress", 5, ADDRESS, 0) == []


def test_mining_refuses_what_is_no_address_or_descriptor(node: BlockNode) -> None:
    assert refusal(node, "generatetoaddress", 1, "3J98t1") == (-5, "Error: Invalid address")
    assert refusal(node, "generatetodescriptor", 1, "addr(3J98t1)") == (-5, "Address is not valid")
    code, text = refusal(node, "generatetodescriptor", 1, "raw(51)#aaaaaaaa")
    assert (code, text[:19]) == (-5, "Provided checksum '")
    assert refusal(node, "generateblock", "x", []) == (-5, "Error: Invalid address or descriptor")


def test_mining_ends_when_the_node_stops(node: BlockNode) -> None:
    mining = gevent.spawn(call, node, "generatetodescriptor", 10**9, "raw(51)")
    with gevent.Timeout(10):
        while not call(node, "getblockcount"):
            gevent.sleep(0.001)
        node.engine.interrupt()
        assert len(mining.get()) >= call(node, "getblockcount")


def test_a_block_with_certain_transactions(node: BlockNode) -> None:
    hashes = node.generate(101)
    first = spend(node, hashes[0], 49 * COIN)
    raw = first.encode().hex()
    mined = call(node, "generateblock", ADDRESS, [raw])
    block = call(node, "getblock", mined["hash"], 2)
    assert [each["hex"] for each in block["tx"][1:]] == [raw]
    assert block["tx"][0]["vout"][0]["value"] == 50  # fees are not collected
    assert block["tx"][1]["fee"] == 1
    assert call(node, "getbestblockhash") == mined["hash"]


def test_a_block_that_is_not_to_be_taken_in(node: BlockNode) -> None:
    mined = call(node, "generateblock", "raw(51)", [], False)
    assert call(node, "getblockcount") == 0
    assert call(node, "submitblock", mined["hex"]) is None
    assert call(node, "getbestblockhash") == mined["hash"]


def test_what_generateblock_refuses(node: BlockNode) -> None:
    assert refusal(node, "generateblock", ADDRESS, [UNKNOWN]) == (-5, f"Transaction {UNKNOWN} not in mempool.")
    sentence = "Transaction decode failed for 00. Make sure the tx has at least one input."
    assert refusal(node, "generateblock", ADDRESS, ["00"]) == (-22, sentence)
    assert refusal(node, "generateblock", ADDRESS, [5])[0] == -3
    nothing = Transaction(2, (TxIn(OutPoint(b"\x05" * 32, 0), b"", 0),), (TxOut(1, b""),), 0).encode().hex()
    code, text = refusal(node, "generateblock", ADDRESS, [nothing])
    assert (code, text.split(",")[0]) == (-25, "TestBlockValidity failed: bad-txns-inputs-missingorspent")
    assert call(node, "getblockcount") == 0


def test_a_template(node: BlockNode) -> None:
    node.generate(1)
    found = call(node, "getblocktemplate", {"rules": ["segwit"]})
    assert found["previousblockhash"] == call(node, "getbestblockhash")
    assert (found["height"], found["coinbasevalue"], found["transactions"]) == (2, 50 * COIN, [])
    assert found["rules"] == ["csv", "!segwit"]
    assert (found["sigoplimit"], found["sizelimit"], found["weightlimit"]) == (80_000, 4_000_000, 4_000_000)
    assert (found["bits"], found["target"]) == ("207fffff", "7fffff" + "0" * 58)
    assert found["curtime"] == NOW + 1 or found["curtime"] >= found["mintime"]
    assert found["longpollid"].startswith(found["previousblockhash"])
    coinbase = parse_block(bytes.fromhex(call(node, "generateblock", "raw(51)", [], False)["hex"]))
    assert coinbase.outputs[0][1][1].hex() == found["default_witness_commitment"]


def test_a_template_before_segwit(tmp_path: Path) -> None:
    node = BlockNode(tmp_path, replace(REGTEST, soft_forks=replace(REGTEST.soft_forks, segwit=432)))
    found = call(node, "getblocktemplate", {"rules": ["segwit"]})
    assert found["rules"] == ["csv"]
    assert (found["sigoplimit"], found["sizelimit"]) == (20_000, 1_000_000)
    assert not {"weightlimit", "default_witness_commitment"} & found.keys()
    node.generate(2)
    node.close()


def test_what_a_request_for_a_template_must_say(node: BlockNode) -> None:
    for request in ({}, {"rules": []}, {"rules": ["signet"]}):
        code, text = refusal(node, "getblocktemplate", request)
        assert (code, text[:52]) == (-8, "getblocktemplate must be called with the segwit rule")
    assert refusal(node, "getblocktemplate", {"mode": "other"}) == (-8, "Invalid mode")
    assert refusal(node, "getblocktemplate", {"mode": 1}) == (-8, "Invalid mode")


def test_a_longpoll_waits_for_a_new_tip(node: BlockNode) -> None:
    first = call(node, "getblocktemplate", {"rules": ["segwit"]})
    waiting = gevent.spawn(call, node, "getblocktemplate", {"rules": ["segwit"], "longpollid": first["longpollid"]})
    gevent.sleep(0)
    assert not waiting.ready()
    node.generate(1)
    assert waiting.get(timeout=5)["height"] == 2
    assert refusal(node, "getblocktemplate", {"rules": ["segwit"], "longpollid": "xyz"})[0] == -8


def test_a_proposal(node: BlockNode) -> None:
    def propose(raw: str) -> object:
        return call(node, "getblocktemplate", {"mode": "proposal", "data": raw})

    known = node.generate(1)[0]
    mined = call(node, "generateblock", "raw(51)", [], False)["hex"]
    assert propose(mined) is None
    block = Block(bytes.fromhex(mined))
    coinbase = block.transactions()[0]
    greedy = replace(coinbase, vout=(replace(coinbase.vout[0], value=51 * COIN), *coinbase.vout[1:]))
    assert propose(Block.build(block.header, (greedy,)).raw.hex()) == "bad-txnmrklroot"
    assert propose(call(node, "getblock", known, 0)) == "duplicate"
    orphan = block.header[:4] + b"\x01" * 32 + block.header[36:]
    assert propose((orphan + block.raw[80:]).hex()) == "inconclusive-not-best-prevblk"
    for data, code in ((None, -3), ("zz", -22), ("00", -22)):
        assert refusal(node, "getblocktemplate", {"mode": "proposal", "data": data})[0] == code


def test_submitted_blocks(node: BlockNode) -> None:
    mined = call(node, "generateblock", "raw(51)", [], False)["hex"]
    block = Block(bytes.fromhex(mined))
    stripped = Block.build(block.header, (block.transactions()[0].without_witness(),))
    assert call(node, "submitblock", stripped.raw.hex()) is None  # the witness of the commitment may be left out
    assert call(node, "submitblock", mined) == "duplicate"
    assert call(node, "submitblock", mined, "ignored") == "duplicate"
    orphan = block.header[:4] + b"\x01" * 32 + block.header[36:]
    assert call(node, "submitblock", (orphan + block.raw[80:]).hex()) in ("high-hash", "prev-blk-not-found")
    for data in ("", "zz", "00", mined[:-2]):
        assert refusal(node, "submitblock", data) == (-22, "Block decode failed")


def test_a_submitted_block_that_is_invalid(node: BlockNode) -> None:
    """Found invalid by itself, in its place, and when it is connected."""
    index = node.chain.index
    template = block_template(REGTEST, index, NOW)
    greedy = replace(template, reward=template.reward + 1)
    assert call(node, "submitblock", ground(build_block(greedy, b"\x51"))) == "bad-cb-amount"
    assert call(node, "submitblock", ground(build_block(greedy, b"\x51"))) == "duplicate-invalid"
    assert call(node, "submitblock", ground(build_block(replace(template, height=7), b"\x51"))) == "bad-txns-nonfinal"
    doubled = Block.build(*(lambda block: (block.header, block.transactions() * 2))(build_block(template, b"\x51")))
    assert call(node, "submitblock", ground(doubled)) == "bad-txnmrklroot"
    assert call(node, "submitblock", ground(build_block(replace(template, bits=0x207FFFFE), b""))) == "bad-diffbits"
    assert call(node, "getblockcount") == 0


def ground(block: Block) -> str:
    grind = Grind(block, REGTEST, 1_000_000)
    while not grind.step():
        pass
    assert grind.found is not None
    return grind.found.raw.hex()


def test_a_submitted_block_of_a_lesser_branch_is_inconclusive(node: BlockNode) -> None:
    side = call(node, "generateblock", "raw(52)", [], False)["hex"]
    node.generate(2)
    assert call(node, "submitblock", side) == "inconclusive"
    tips = {each["status"]: each["branchlen"] for each in call(node, "getchaintips")}
    assert tips == {"active": 0, "valid-headers": 1}


def test_core_accepts_what_is_mined(node: BlockNode, tmp_path: Path) -> None:
    kernel_chain = pytest.importorskip("tests.support.kernel", exc_type=ImportError).KernelChain
    hashes = node.generate(101)
    first, second = spend(node, hashes[0], 20 * COIN, 29 * COIN), spend(node, hashes[1], COIN)
    hashes.append(call(node, "generateblock", ADDRESS, [first.without_witness().encode().hex()])["hash"])
    hashes.append(call(node, "generateblock", ADDRESS, [second.without_witness().encode().hex()])["hash"])
    (tmp_path / "kernel").mkdir()
    kernel = kernel_chain(tmp_path / "kernel", "regtest")
    for each in hashes:
        assert kernel.process(bytes.fromhex(call(node, "getblock", each, 0))).accepted
    assert kernel.tip[::-1].hex() == hashes[-1]


# -- blocks ------------------------------------------------------------------------------------------------------------


def test_a_block_in_every_verbosity(node: BlockNode) -> None:
    hashes = node.generate(101)
    transaction = spend(node, hashes[0], 20 * COIN, 29 * COIN)
    tip = call(node, "generateblock", "raw(51)", [transaction.encode().hex()])["hash"]
    raw = call(node, "getblock", tip, 0)
    assert call(node, "getblock", tip, False) == raw
    parsed = parse_block(bytes.fromhex(raw))
    one = call(node, "getblock", tip)
    assert call(node, "getblock", tip, True) == one == call(node, "getblock", tip, verbose=1)
    assert one["tx"] == [txid[::-1].hex() for txid in parsed.txids]
    assert (one["size"], one["strippedsize"], one["weight"]) == (len(raw) // 2, parsed.stripped_size, parsed.weight)
    assert (one["nTx"], one["height"], one["confirmations"]) == (2, 102, 1)
    assert one["coinbase_tx"] == {
        "version": 2,
        "locktime": 101,
        "sequence": 0xFFFFFFFE,
        "coinbase": "0166",
        "witness": "00" * 32,
    }
    two, three = call(node, "getblock", tip, 2), call(node, "getblock", tip, 3)
    assert [each["txid"] for each in two["tx"]] == one["tx"]
    assert two["tx"][1]["fee"] == 1
    assert "fee" not in two["tx"][0]
    assert "prevout" not in two["tx"][1]["vin"][0]
    prevout = three["tx"][1]["vin"][0].pop("prevout")
    assert three["tx"] == two["tx"]
    assert prevout == {
        "generated": True,
        "height": 1,
        "value": 50,
        "scriptPubKey": {"asm": "1", "desc": with_checksum("raw(51)"), "hex": "51", "type": "nonstandard"},
    }


def test_a_transaction_of_many_outputs_holds_nobody_up(node: BlockNode) -> None:
    hashes = node.generate(101)
    many = spend(node, hashes[0], *range(1, 5001))
    tip = call(node, "generateblock", "raw(51)", [many.encode().hex()])["hash"]
    shown = node.call("getblock", tip, 2)
    pieces = list(encode({"result": shown}))
    assert len(json.loads("".join(pieces))["result"]["tx"][1]["vout"]) == 5000
    assert max(map(len, pieces)) < 1_000_000
    assert len(pieces) > 5000


def test_the_first_block(node: BlockNode) -> None:
    genesis = call(node, "getblockhash", 0)
    block = call(node, "getblock", genesis, 2)
    assert (block["nTx"], len(block["tx"]), block["size"]) == (1, 1, 285)
    assert block["tx"][0]["txid"] == "4a5e1e4baab89f3a32518a88c31bc87f618f76673e2cc77ab2127b7afdeda33b"
    assert block["tx"][0]["txid"] == block["merkleroot"]
    stats = call(node, "getblockstats", 0)
    assert (stats["txs"], stats["subsidy"], stats["utxo_increase"], stats["utxo_increase_actual"]) == (
        1,
        50 * COIN,
        1,
        0,
    )
    assert stats["utxo_size_inc"] > 0 == stats["utxo_size_inc_actual"]
    text = "The genesis block coinbase is not considered an ordinary transaction and cannot be retrieved"
    assert refusal(node, "getrawtransaction", block["tx"][0]["txid"]) == (-5, text)


def test_blocks_that_are_not_there(node: BlockNode, headers_node: TestNode) -> None:
    assert refusal(node, "getblock", UNKNOWN) == (-5, "Block not found")
    header = make_header_only(node)
    assert refusal(node, "getblock", header) == (-1, "Block not available (not fully downloaded)")
    assert refusal(node, "getblockstats", header) == (-1, "Block not available (not fully downloaded)")
    assert refusal(headers_node, "getblock", header)[0] == -1
    assert "sync=blocks" in refusal(headers_node, "getblock", header)[1]


def make_header_only(node: BlockNode) -> str:
    """A header without its block, on the genesis."""
    mined = call(node, "generateblock", "raw(53)", [], False)
    node.call("submitheader", mined["hex"][:160])
    return str(mined["hash"])


def test_statistics_of_a_block(node: BlockNode) -> None:
    hashes = node.generate(103)
    transactions = [spend(node, hashes[0], 49 * COIN), spend(node, hashes[1], 10 * COIN, 36 * COIN)]
    tip = call(node, "generateblock", "raw(51)", [each.encode().hex() for each in transactions])["hash"]
    stats = call(node, "getblockstats", tip)
    assert call(node, "getblockstats", 104) == stats
    assert call(node, "getblockstats", "104", words=True) == stats
    sizes = [len(each.encode()) for each in transactions]
    weights = [each.weight for each in transactions]
    rates = sorted(fee * 4 // weight for fee, weight in zip((COIN, 4 * COIN), weights, strict=True))
    expected = {
        "avgfee": 5 * COIN // 2,
        "avgfeerate": 5 * COIN * 4 // sum(weights),
        "blockhash": tip,
        "height": 104,
        "ins": 2,
        "maxfee": 4 * COIN,
        "minfee": COIN,
        "medianfee": 5 * COIN // 2,
        "maxfeerate": rates[1],
        "minfeerate": rates[0],
        "mintxsize": min(sizes),
        "maxtxsize": max(sizes),
        "outs": 5,
        "subsidy": 50 * COIN,
        "swtxs": 2,
        "swtotal_size": sum(sizes),
        "swtotal_weight": sum(weights),
        "total_size": sum(sizes),
        "total_weight": sum(weights),
        "total_out": 95 * COIN,
        "totalfee": 5 * COIN,
        "txs": 3,
        "utxo_increase": 3,
        "utxo_increase_actual": 2,  # without the commitment
    }
    assert {name: stats[name] for name in expected} == expected
    assert stats["feerate_percentiles"] == [rates[0], rates[0], stats["feerate_percentiles"][2], rates[1], rates[1]]
    assert stats["utxo_size_inc"] - stats["utxo_size_inc_actual"] == 8 + 1 + 38 + 40
    assert call(node, "getblockstats", tip, ["txs", "ins"]) == {"ins": 2, "txs": 3}
    assert refusal(node, "getblockstats", tip, ["asdfghjkl"]) == (-8, "Invalid selected statistic 'asdfghjkl'")
    assert refusal(node, "getblockstats", -1) == (-8, "Target block height -1 is negative")
    assert refusal(node, "getblockstats", 999) == (-8, "Target block height 999 after current tip 104")
    assert refusal(node, "getblockstats", UNKNOWN) == (-5, "Block not found")
    assert refusal(node, "getblockstats", "zz")[0] == -8
    assert refusal(node, "getblockstats", True)[0] == -3


def test_medians_and_percentiles() -> None:
    assert [truncated_median(numbers) for numbers in ((), (7,), (1, 4), (9, 1, 5))] == [0, 7, 2, 5]
    # Core's own cases
    assert percentiles([(1, 9), (2, 16), (4, 50), (5, 10), (9, 15)], 100) == [2, 2, 4, 4, 9]
    assert percentiles([(1, 9), (2, 16), (2, 11), (3, 40), (9, 24)], 100) == [2, 2, 3, 3, 9]
    assert percentiles([(0, 100)], 100) == [0] * 5
    assert percentiles([], 0) == [0] * 5


def test_transactions_of_the_chain(node: BlockNode) -> None:
    hashes = node.generate(10)
    stats = call(node, "getchaintxstats", 5)
    assert (stats["txcount"], stats["window_tx_count"], stats["window_block_count"]) == (11, 5, 5)
    assert stats["window_final_block_hash"] == hashes[-1]
    assert call(node, "getchaintxstats")["window_block_count"] == 9
    assert call(node, "getchaintxstats", 0, hashes[4])["txcount"] == 6
    sentence = "Invalid block count: should be between 0 and the block's height - 1"
    assert refusal(node, "getchaintxstats", 10) == (-8, sentence)
    assert refusal(node, "getchaintxstats", -1) == (-8, sentence)
    assert refusal(node, "getchaintxstats", 1, make_header_only(node)) == (-8, "Block is not in main chain")


def test_a_block_is_asked_of_a_peer(node: BlockNode) -> None:
    peer = node.connect("1.2.3.4:8333")
    known = node.generate(1)[0]
    wanted = make_header_only(node)
    assert call(node, "getblockfrompeer", wanted, peer.id) == {}
    assert node.fetched == [(node.chain.index.find(bytes.fromhex(wanted)[::-1]), peer.id)]
    assert refusal(node, "getblockfrompeer", wanted, 99) == (-1, "Peer does not exist")
    assert refusal(node, "getblockfrompeer", UNKNOWN, peer.id) == (-1, "Block header missing")
    assert refusal(node, "getblockfrompeer", known, peer.id) == (-1, "Block already downloaded")


def test_pruning(tmp_path: Path) -> None:
    node = BlockNode(tmp_path, replace(REGTEST, prune_after_height=300), prune_target=0)
    hashes = node.generate(300)
    assert call(node, "pruneblockchain", 300) == -1
    assert node.pruned == [300 - 288]
    assert refusal(node, "pruneblockchain", -1) == (-8, "Negative block height.")
    assert refusal(node, "pruneblockchain", 301)[0] == -8
    assert refusal(node, "pruneblockchain", 2_000_000_000)[0] == -8
    times = [call(node, "getblockheader", each)["time"] for each in hashes]
    assert call(node, "pruneblockchain", times[9] + 2 * 60 * 60) == -1
    assert node.pruned[-1] == times.index(times[9]) + 1
    ahead = make_header_only(node)
    assert refusal(node, "getblockfrompeer", ahead, 0)[1].startswith("In prune mode, only blocks that the node has")
    node.close()


@pytest.mark.parametrize(
    ("target", "shown"),
    [
        (None, {"pruned": False}),
        (0, {"pruned": True, "pruneheight": 0, "automatic_pruning": False}),
        (10**9, {"pruned": True, "pruneheight": 0, "automatic_pruning": True, "prune_target_size": 10**9}),
    ],
)
def test_what_is_said_about_pruning(tmp_path: Path, target: int | None, shown: dict[str, object]) -> None:
    node = BlockNode(tmp_path, prune_target=target)
    info = call(node, "getblockchaininfo")
    assert {name: info[name] for name in info if "prun" in name} == shown
    assert info["size_on_disk"] == node.context.header_file.stat().st_size + 1000
    node.close()


def test_pruning_is_refused(node: BlockNode, tmp_path: Path) -> None:
    sentence = "Cannot prune blocks because node is not in prune mode."
    assert refusal(node, "pruneblockchain", 1) == (-1, sentence)
    (tmp_path / "other").mkdir()
    other = BlockNode(tmp_path / "other", prune_target=0)
    assert refusal(other, "pruneblockchain", 0) == (-1, "Blockchain is too short for pruning.")
    other.close()


def test_the_chain_is_verified(node: BlockNode) -> None:
    node.generate(10)
    assert call(node, "verifychain") is True
    assert call(node, "verifychain", 4, 0) is True


def test_branches_by_hand(node: BlockNode) -> None:
    first = node.generate(3)
    node.call("invalidateblock", first[1])
    assert call(node, "getbestblockhash") == first[0]
    assert {each["status"] for each in call(node, "getchaintips")} == {"active", "invalid"}
    second = node.generate(2, "raw(52)")
    assert call(node, "getbestblockhash") == second[-1]
    node.call("reconsiderblock", first[1])
    assert {each["status"] for each in call(node, "getchaintips")} == {"active", "valid-fork"}
    node.call("preciousblock", first[2])
    assert call(node, "getbestblockhash") == first[2]
    node.call("preciousblock", second[1])
    assert call(node, "getbestblockhash") == second[1]


def test_waiting_for_blocks(node: BlockNode) -> None:
    waiting = gevent.spawn(call, node, "waitforblockheight", 2, 5000)
    hashes = node.generate(2)
    assert waiting.get(timeout=5) == {"hash": hashes[1], "height": 2}
    assert call(node, "waitforblock", hashes[1], 5000)["height"] == 2


def test_the_state_of_the_chain(node: BlockNode, headers_node: TestNode) -> None:
    node.generate(2)
    state = call(node, "getchainstates")["chainstates"][0]
    assert (state["blocks"], state["validated"]) == (2, True)
    assert state["coins_tip_cache_bytes"] > 0
    assert call(headers_node, "getchainstates")["chainstates"][0]["validated"] is False
    info = call(node, "getdeploymentinfo")
    assert info["script_flags"] == [
        "CHECKLOCKTIMEVERIFY",
        "CHECKSEQUENCEVERIFY",
        "DERSIG",
        "NULLDUMMY",
        "P2SH",
        "TAPROOT",
        "WITNESS",
    ]
    assert call(node, "getdeploymentinfo", call(node, "getblockhash", 0))["script_flags"] == [
        "NULLDUMMY",
        "P2SH",
        "TAPROOT",
        "WITNESS",
    ]
    assert call(headers_node, "getdeploymentinfo")["script_flags"] == []


def test_there_are_no_filters_without_their_index(node: BlockNode) -> None:
    tip = node.generate(1)[0]
    assert refusal(node, "getblockfilter", tip) == (-1, "Index is not enabled for filtertype basic")
    assert refusal(node, "getblockfilter", tip, "extended") == (-5, "Unknown filtertype")
    assert call(node, "getindexinfo") == {}


def test_filters(node: BlockNode) -> None:
    node.keep_filters()
    tip = node.generate(1)[0]
    node.wait_for_filters()
    found = call(node, "getblockfilter", tip)
    encoded = encode_filter(bytes.fromhex(tip)[::-1], {b"\x51"})
    before = call(node, "getblockfilter", call(node, "getblockhash", 0))
    header = sha256d(sha256d(encoded) + bytes.fromhex(before["header"])[::-1])
    assert found == {"filter": encoded.hex(), "header": header[::-1].hex()}
    assert call(node, "getindexinfo") == {"basic block filter index": {"synced": True, "best_block_height": 1}}
    assert call(node, "getindexinfo", "foo") == {}
    sentence = "Filter not found. Block was not connected to active chain."
    assert refusal(node, "getblockfilter", make_header_only(node)) == (-5, sentence)
    assert refusal(node, "getblockfilter", UNKNOWN) == (-5, "Block not found")


# -- coins -------------------------------------------------------------------------------------------------------------


def test_a_coin(node: BlockNode) -> None:
    hashes = node.generate(101)
    txid = call(node, "getblock", hashes[0])["tx"][0]
    coin = call(node, "gettxout", txid, 0)
    assert coin == {
        "bestblock": hashes[-1],
        "confirmations": 101,
        "value": 50,
        "scriptPubKey": {"asm": "1", "desc": with_checksum("raw(51)"), "hex": "51", "type": "nonstandard"},
        "coinbase": True,
    }
    assert call(node, "gettxout", txid, 0, False) == coin
    assert call(node, "gettxout", txid, 1) is None  # the commitment cannot be spent
    assert call(node, "gettxout", UNKNOWN, 0) is None
    assert refusal(node, "gettxout", txid, -1)[0] == -1
    node.call("generateblock", "raw(51)", [spend(node, hashes[0], COIN).encode().hex()])
    assert call(node, "gettxout", txid, 0) is None


def test_figures_of_all_coins(node: BlockNode) -> None:
    hashes = node.generate(3)
    plain = call(node, "gettxoutsetinfo", "none")
    assert plain == {
        "height": 3,
        "bestblock": hashes[-1],
        "txouts": 3,
        "bogosize": 3 * 51,
        "total_amount": 150,
        "transactions": 3,
        "disk_size": 2000,
    }
    members = []
    for height, each in enumerate(hashes, 1):
        txid = bytes.fromhex(call(node, "getblock", each)["tx"][0])[::-1]
        code = (height << 1 | 1).to_bytes(4, "little")
        members.append(txid + bytes(4) + code + (50 * COIN).to_bytes(8, "little") + b"\x01\x51")
    assert call(node, "gettxoutsetinfo", "muhash") == {**plain, "muhash": MuHash3072(members).digest()[::-1].hex()}
    serialized = call(node, "gettxoutsetinfo")["hash_serialized_3"]
    node.call("invalidateblock", hashes[2])
    assert call(node, "gettxoutsetinfo")["hash_serialized_3"] != serialized
    node.call("reconsiderblock", hashes[2])
    assert call(node, "gettxoutsetinfo", "hash_serialized_3")["hash_serialized_3"] == serialized
    assert refusal(node, "gettxoutsetinfo", "foohash") == (-8, "'foohash' is not a valid hash_type")
    sentence = "Querying specific block heights requires coinstatsindex"
    assert refusal(node, "gettxoutsetinfo", "none", 1) == (-8, sentence)


def test_a_scan_for_coins(node: BlockNode) -> None:
    ours = call(node, "generatetoaddress", 2, ADDRESS)
    node.generate(1)
    found = call(node, "scantxoutset", "start", [f"addr({ADDRESS})", {"desc": "raw(99)", "range": 5}])
    assert (found["success"], found["txouts"], found["height"], found["total_amount"]) == (True, 3, 3, 100)
    unspent = {each["height"]: each for each in found["unspents"]}
    assert {height: each["blockhash"] for height, each in unspent.items()} == {1: ours[0], 2: ours[1]}
    assert unspent[1]["desc"] == with_checksum(f"addr({ADDRESS})")
    assert (unspent[1]["confirmations"], unspent[1]["coinbase"], unspent[1]["scriptPubKey"]) == (3, True, SCRIPT)
    assert call(node, "scantxoutset", "start", ["raw(77)"])["unspents"] == []
    assert call(node, "scantxoutset", "status") is None
    assert call(node, "scantxoutset", "abort") is False


def test_a_scan_that_is_going_on(node: BlockNode) -> None:
    scan = node.context.scan = Scan(frozenset({b"\x51"}))
    coin = (b"\x80" * 36, bytes(12) + b"\x51")
    assert scan.visit([coin])
    assert call(node, "scantxoutset", "status") == {"progress": 50}
    sentence = 'Scan already in progress, use action "abort" or "status"'
    assert refusal(node, "scantxoutset", "start", []) == (-8, sentence)
    assert call(node, "scantxoutset", "abort") is True
    assert not scan.visit([])  # wants no more
    assert scan.found == [coin]


def test_a_scan_looks_at_all_coins_in_slices(node: BlockNode, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_blocks, "SLICE", 3)
    node.generate(10)
    assert call(node, "scantxoutset", "start", ["raw(51)"])["txouts"] == 10
    assert call(node, "gettxoutsetinfo", "none")["txouts"] == 10


def test_what_a_scan_refuses(node: BlockNode) -> None:
    assert refusal(node, "scantxoutset", "start") == (-1, "scanobjects argument is required for the start action")
    assert refusal(node, "scantxoutset", "foo", []) == (-8, "Invalid action 'foo'")
    assert refusal(node, "scantxoutset", "start", [5])[0] == -8
    assert refusal(node, "scantxoutset", "start", [{}])[0] == -8
    assert refusal(node, "scantxoutset", "start", ["addr(x)"]) == (-5, "Address is not valid")


# -- transactions ------------------------------------------------------------------------------------------------------


def test_a_transaction_of_a_block(node: BlockNode) -> None:
    hashes = node.generate(101)
    transaction = spend(node, hashes[0], 49 * COIN)
    raw, txid = transaction.encode().hex(), transaction.txid[::-1].hex()
    tip = call(node, "generateblock", "raw(51)", [raw])["hash"]
    assert call(node, "getrawtransaction", txid, 0, tip) == raw == call(node, "getrawtransaction", txid, False, tip)
    shown = call(node, "getrawtransaction", txid, True, tip)
    assert (shown["in_active_chain"], shown["confirmations"], shown["blockhash"]) == (True, 1, tip)
    assert shown["time"] == shown["blocktime"] == call(node, "getblockheader", tip)["time"]
    assert "fee" not in shown
    full = call(node, "getrawtransaction", txid, 2, tip)
    assert (full["fee"], full["vin"][0]["prevout"]["height"]) == (1, 1)
    node.call("invalidateblock", tip)
    shown = call(node, "getrawtransaction", txid, 1, tip)
    assert (shown["in_active_chain"], shown["confirmations"]) == (False, 0)
    assert "time" not in shown


def test_transactions_that_are_not_found(node: BlockNode) -> None:
    tip = node.generate(1)[0]
    code, text = refusal(node, "getrawtransaction", UNKNOWN)
    assert (code, text[:28]) == (-5, "No such mempool transaction.")
    sentence = "No such transaction found in the provided block. Use gettransaction for wallet transactions."
    assert refusal(node, "getrawtransaction", UNKNOWN, True, tip) == (-5, sentence)
    assert refusal(node, "getrawtransaction", UNKNOWN, True, UNKNOWN) == (-5, "Block hash not found")
    assert refusal(node, "getrawtransaction", UNKNOWN, True, make_header_only(node)) == (-1, "Block not available")

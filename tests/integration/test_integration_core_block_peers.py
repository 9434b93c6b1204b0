"""A live node under what Bitcoin Core's functional tests do with blocks as peers, step by step."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode.errors import RpcError
from ccnode.wire.blocks import Block, MerkleBlock
from ccnode.wire.bloom import FilterAdd, FilterClear, FilterLoad
from ccnode.wire.headers import GetBlocks, GetHeaders, Headers
from ccnode.wire.inventory import GetData, Inv, InvItem
from ccnode.wire.protocol import InvType
from tests.support.chain_maker import GENESIS_HASH, GENESIS_TIME, sha256d, transaction
from tests.support.core import COIN, CoreNode, CorePeer, MadeBlock, coinbase, make_block, shown, spend
from tests.support.scripted import Closed, wait_until

ADDRESS = "mjTkW3DjgyZck4KbiRusZsqTgaYTxdSz6z"
"""Where Core's first node mines to."""
P2TR_OP_TRUE = "bcrt1p9yfmy5h72durp7zrhlw9lf7jpwjgvwdg0jr0lqmmjtgg83266lqsekaqka"


@pytest.fixture
def node(tmp_path: Path) -> Iterator[CoreNode]:
    with CoreNode(tmp_path) as node:
        yield node


def want(block_hash: bytes, kind: int = InvType.BLOCK) -> GetData:
    return GetData.build([InvItem(kind, block_hash)])


def blocks_in(seen: list[object]) -> list[bytes]:
    """Hashes of the blocks among messages."""
    return [message.hash for message in seen if isinstance(message, Block)]


def asked_in(seen: list[object]) -> list[bytes]:
    """Hashes that a getdata among messages asks for."""
    return [item.hash for message in seen if isinstance(message, GetData) for item in message.items()]


def test_unrequested_blocks(tmp_path: Path) -> None:
    """p2p_unrequested_blocks."""
    with (
        CoreNode(tmp_path / "0") as node,
        CoreNode(tmp_path / "1", "--minimumchainwork=0x10") as strict,
    ):
        peer, strict_peer = node.peer(), strict.peer()
        node.generate(1)
        strict.generate(1)
        now = int(time.time())
        peer.give(node.next_block(time=now + 1))
        strict_peer.give(strict.next_block(time=now + 2))
        assert (node.rpc("getblockcount"), strict.rpc("getblockcount")) == (2, 1)

        # A block on the genesis: less work, only its header is kept.
        h1f = make_block(GENESIS_HASH, 1, now + 3)
        peer.give(h1f)
        assert node.status(h1f) == "headers-only"
        node.refuses(-1, "Block not available (not fully downloaded)", "getblock", h1f.name)
        # As much work: stored, but its parent lacks.
        h2f = make_block(h1f.hash, 2, now + 4)
        peer.give(h2f)
        assert node.status(h2f) == "headers-only"
        node.rpc("getblock", h2f.name)
        h3 = make_block(h2f.hash, 3, now + 5)
        peer.give(h3)
        assert node.status(h3) == "headers-only"
        node.rpc("getblock", h3.name)

        every: list[MadeBlock] = []
        tip = h3
        for i in range(288):
            tip = make_block(tip.hash, i + 4, tip.time + 1)
            every.append(tip)
        # Without its parent's header: the sender goes.
        with node.logs("AcceptBlock FAILED (prev-blk-not-found)"):
            peer.send(Block(every[1].raw))
            peer.expect_close()
        node.refuses(-5, "Block not found", "getblock", every[1].name)
        node.refuses(-5, "Block not found", "getblockheader", every[1].name)
        peer = node.peer()
        peer.announce(every[0])
        peer.give(every[1])
        node.rpc("getblock", every[1].name)
        peer.give(*every)
        for block in every[:-1]:
            node.rpc("getblock", block.name)
        node.refuses(-1, "Block not available (not fully downloaded)", "getblock", every[-1].name)

        # The missing block, unrequested: little work, ignored although its child has more.
        peer.close()
        peer = node.peer()
        peer.give(h1f)
        assert node.rpc("getblockcount") == 2
        # An inv of a later block makes the node ask for the missing one.
        peer.send(Inv.build([InvItem(InvType.BLOCK, h3.hash)]))
        seen = [*peer.sync(), *peer.sync()]
        if not asked_in(seen):
            peer.send(Headers.build([h3.header]))
            seen += peer.sync()
        assert asked_in(seen)[0] == h1f.hash
        peer.give(h1f)
        wait_until(lambda: node.rpc("getbestblockhash") == every[286].name)
        node.refuses(-1, "Block not available (not fully downloaded)", "getblock", every[287].name)

        # An invalid block on the way to more work
        b289 = make_block(every[284].hash, 289, every[284].time + 1)
        b290 = make_block(b289.hash, 290, b289.time + 1)
        young = spend(b290.coin(), COIN)
        b291 = make_block(b290.hash, 291, b290.time + 1, [young])
        b292 = make_block(b291.hash, 292, b291.time + 1)
        peer.announce(b289, b290, b291, b292)
        assert node.status(b292) == "headers-only"
        peer.give(b289, b290)
        with node.logs("bad-txns-premature-spend-of-coinbase"):
            peer.send(Block(b291.raw))
            peer.expect_close()
        assert (node.rpc("getblockcount"), node.rpc("getbestblockhash")) == (290, every[286].name)
        assert node.rpc("getblock", b291.name)["confirmations"] == -1
        peer = node.peer()
        peer.send(Headers.build([make_block(b292.hash, 293, b292.time + 1).header]))
        peer.expect_close()

        node.rpc("addnode", f"127.0.0.1:{strict.port}", "onetry")
        wait_until(lambda: strict.rpc("getbestblockhash") == every[286].name, 60)


def test_mutated_blocks(tmp_path: Path) -> None:
    """p2p_mutated_blocks and p2p_invalid_block: what is wrong with a body is not held against its header."""
    with CoreNode(tmp_path, "--testactivationheight=segwit@1") as node:
        honest = node.peer()
        first = node.next_block()
        assert asked_in(honest.announce(first)) == [first.hash]
        honest.give(first)
        node.generate(100)
        pay = spend(first.coin(), 50 * COIN)
        again = spend(pay.txid + bytes(4), 50 * COIN)
        block = node.next_block(pay, again)
        assert asked_in(honest.announce(block)) == [block.hash]
        [in_flight] = [info["inflight"] for info in node.rpc("getpeerinfo")]
        assert in_flight == [102]
        other = spend(first.coin(), 49 * COIN)
        for body, words in (
            ((block.transactions[0], other, again), "Block mutated: bad-txnmrklroot, hashMerkleRoot mismatch"),
            ((*block.transactions, again), "Block mutated: bad-txns-duplicate, duplicate transaction"),
        ):
            attacker = node.peer()
            with node.logs(words):
                attacker.send(Block(block.with_body(*body).raw))
                attacker.expect_close()
            assert node.rpc("getpeerinfo")[0]["inflight"] == [102]
        witnessed = transaction([(first.coin(), b"", 0xFFFFFFFF)], [(50 * COIN, b"\x51")], witnesses=[[b"x"]])
        attacker = node.peer()
        with node.logs("Block mutated: unexpected-witness"):
            attacker.send(Block(block.with_body(block.transactions[0], witnessed, again).raw))
            attacker.expect_close()
        honest.give(block)
        assert node.rpc("getbestblockhash") == block.name

        attacker = node.peer()
        with node.logs("AcceptBlock FAILED (prev-blk-not-found)"):
            attacker.send(Block(make_block(b"\x7b" + bytes(31), 103, block.time + 1).raw))
            attacker.expect_close()

        # Wrong for good, and never asked for again
        rich = node.next_block(first=coinbase(103, value=100 * COIN))
        with node.logs("bad-cb-amount"):
            honest.send(Block(rich.raw))
            honest.expect_close()
        peer = node.peer()
        assert node.rpc("submitblock", rich.hex) == "duplicate-invalid"

        # Too far in the future now, and fine later
        now = int(time.time())
        node.rpc("setmocktime", now)
        early = node.next_block(time=now + 7201)
        with node.logs("time-too-new"):
            peer.give(early)
        assert node.rpc("getblockcount") == 102
        node.rpc("setmocktime", now + 1)
        peer.give(early)
        assert node.rpc("getbestblockhash") == early.name


def test_versions_that_a_fork_asks_for(tmp_path: Path) -> None:
    """feature_cltv: blocks of the version before, up to the height."""
    with CoreNode(tmp_path, "--testactivationheight=cltv@12", "--whitelist=noban@127.0.0.1") as node:
        peer = node.peer()
        node.generate(10)
        cltv = lambda: node.rpc("getdeploymentinfo")["deployments"]["bip65"]  # noqa: E731
        assert cltv() == {"type": "buried", "active": False, "height": 12}
        block = node.next_block(version=3)
        peer.give(block)
        assert node.rpc("getbestblockhash") == block.name
        assert cltv()["active"]
        block = node.next_block(version=3)
        with node.logs(f"{block.name}, bad-version(0x00000003)"):
            peer.give(block)
        assert node.rpc("getblockcount") == 11
        block = node.next_block(version=4)
        peer.give(block)
        assert node.rpc("getbestblockhash") == block.name


def test_script_failures(tmp_path: Path) -> None:
    """feature_cltv, feature_dersig, feature_nulldummy: scripts that a fork forbids, before and after its height."""
    with CoreNode(tmp_path, "--testactivationheight=cltv@112", "--whitelist=noban@127.0.0.1") as node:
        peer = node.peer()
        names = node.generate(110)
        coins = [bytes.fromhex(node.rpc("getblock", name)["tx"][0])[::-1] + bytes(4) for name in names]
        # OP_CHECKLOCKTIMEVERIFY in a scriptSig: an empty stack
        block = node.next_block(spend(coins[0], COIN, script_sig=b"\xb1"), version=3)
        peer.give(block)
        assert node.rpc("getbestblockhash") == block.name
        bad = node.next_block(spend(coins[1], COIN, script_sig=b"\xb1"))
        with node.logs("Block validation error: block-script-verify-flag-failed"):
            peer.give(bad)
        assert node.rpc("getbestblockhash") == block.name
        final = node.next_block(spend(coins[1], COIN, script_sig=b"\x01\x32\xb1\x75", sequence=0, locktime=50))
        peer.give(final)
        assert node.rpc("getbestblockhash") == final.name


def test_fingerprint(node: CoreNode) -> None:
    """p2p_fingerprint."""
    peer = node.peer()
    node.rpc("setmocktime", int(time.time()) - 60 * 24 * 3600)
    hashes = [bytes.fromhex(name)[::-1] for name in node.generate(10)]
    median = node.rpc("getblockheader", shown(hashes[7]))["mediantime"]
    made: list[MadeBlock] = []
    prev = hashes[7]
    for i in range(5):
        made.append(make_block(prev, 9 + i, median + 1 + i))
        prev = made[-1].hash
    assert asked_in(peer.announce(*made)) == [block.hash for block in made]
    peer.give(*made)
    assert node.rpc("getblockcount") == 13
    stale = hashes[-1]
    peer.send(want(stale))
    assert blocks_in(peer.sync()) == [stale]
    assert [sha256d(header) for header in peer.ask_headers(stale)] == [stale]
    node.rpc("setmocktime", 0)
    node.generate(1)
    peer.sync()
    peer.send(want(stale))
    assert blocks_in(peer.sync()) == []
    assert peer.ask_headers(stale) == []
    peer.send(want(hashes[2]))
    assert blocks_in(peer.sync()) == [hashes[2]]
    assert [sha256d(header) for header in peer.ask_headers(hashes[2])] == [hashes[2]]


def test_node_network_limited(tmp_path: Path) -> None:
    """p2p_node_network_limited."""
    with CoreNode(tmp_path / "0", "--prune=550") as pruned, CoreNode(tmp_path / "1") as full:
        peer = CorePeer.connect(pruned.port)
        assert peer.handshake().services == 1024 | 8
        assert int(pruned.rpc("getnetworkinfo")["localservices"], 16) == 1024 | 8
        names = full.generate(292)
        pruned.rpc("addnode", f"127.0.0.1:{full.port}", "add")
        wait_until(lambda: pruned.rpc("getblockcount") == 292)
        second, first = (bytes.fromhex(names[i])[::-1] for i in (1, 0))
        peer.send(want(second))
        assert second in blocks_in(peer.sync())
        with pruned.logs("Ignore block request below NODE_NETWORK_LIMITED threshold"):
            peer.send(want(first))
            peer.expect_close()
        # A node in its first download takes nothing from a pruned one that is so far ahead.
        with CoreNode(tmp_path / "2", f"--connect=127.0.0.1:{pruned.port}") as new:
            wait_until(lambda: new.rpc("getblockchaininfo")["headers"] == 292)
            time.sleep(1)
            assert new.rpc("getblockcount") == 0
            new.rpc("addnode", f"127.0.0.1:{full.port}", "add")
            wait_until(lambda: new.rpc("getblockcount") == 292)


@pytest.mark.long
def test_maxuploadtarget(tmp_path: Path) -> None:
    """feature_maxuploadtarget: old blocks end, new ones do not; who may download has them all."""
    with CoreNode(tmp_path, "--maxuploadtarget=800M", "--peertimeout=999999999") as node:
        now = int(time.time())
        node.rpc("setmocktime", now - 14 * 86_400)
        first = node.generate(101)[0]
        coin = bytes.fromhex(node.rpc("getblock", first)["tx"][0])[::-1] + bytes(4)
        ballast = [(0, b"\x6a" + b"\x4d" + (9000).to_bytes(2, "little") + bytes(9000))] * 110
        big = transaction([(coin, b"", 0xFFFFFFFF)], [(COIN, b"\x51"), *ballast])
        node.rpc("generateblock", "raw(51)", [big.raw.hex()])
        old, _, _ = node.tip()
        node.rpc("setmocktime", now - 2 * 86_400)
        bigger = transaction([(big.txid + bytes(4), b"", 0xFFFFFFFF)], [(COIN, b"\x51"), *ballast])
        node.rpc("generateblock", "raw(51)", [bigger.raw.hex()])
        new, _, _ = node.tip()
        size = node.rpc("getblock", shown(old), 1)["size"]
        peers = [node.peer() for _ in range(3)]
        for _ in range((800 * 1024 * 1024 - 144 * 4_000_000) // size):
            peers[0].send(want(old))
            assert blocks_in(peers[0].sync()) == [old]
        with node.logs("historical block serving limit reached"):
            for _ in range(3):
                peers[0].send(want(old))
            peers[0].expect_close()
        assert node.rpc("getnettotals")["uploadtarget"]["serve_historical_blocks"] is False
        for _ in range(20):
            peers[1].send(want(new))
            assert blocks_in(peers[1].sync()) == [new]
        peers[1].send(want(old))
        peers[1].expect_close()
        node.rpc("setmocktime", now)
        peers[2].sync()
        peers[2].send(want(old))
        assert blocks_in(peers[2].sync()) == [old]
        node.stop()
        node.arguments = ("--sync=blocks", "--debug=all", "--whitelist=download@127.0.0.1", "--maxuploadtarget=1")
        node.restart()
        peer = node.peer()
        for wanted in (*[new] * 20, old):
            peer.send(want(wanted))
            assert blocks_in(peer.sync()) == [wanted]
        assert node.rpc("getpeerinfo")[0]["permissions"] == ["download"]


def test_sendheaders_and_inv(node: CoreNode) -> None:
    """p2p_sendheaders: an inv by default; a null locator; direct fetch of what is announced."""
    peer = node.peer()
    tip = bytes.fromhex(node.generate(4)[-1])[::-1]
    seen = peer.sync()
    assert [item.hash for message in seen if isinstance(message, Inv) for item in message.items()][-1] == tip
    assert [sha256d(header) for header in peer.ask_headers(tip)] == [tip]
    peer.send(GetHeaders(locator=(), stop_hash=b"\x01" * 32))
    assert not [message for message in peer.sync() if isinstance(message, Headers)]
    # Blocks that are announced by header are asked for at once, up to sixteen, in order.
    prev, height, when = node.tip()
    made: list[MadeBlock] = []
    for i in range(20):
        made.append(make_block(prev, height + 1 + i, when + 1 + i))
        prev = made[-1].hash
    assert asked_in(peer.announce(made[0])) == [made[0].hash]
    peer.give(made[0])
    assert asked_in(peer.announce(*made[1:17])) == [block.hash for block in made[1:17]]
    peer.give(*made[1:17])
    assert node.rpc("getbestblockhash") == made[16].name
    # getblocks is answered by invs
    peer.send(GetBlocks(locator=(GENESIS_HASH,)))
    [inv] = [message for message in peer.sync() if isinstance(message, Inv)]
    assert len(inv) == node.rpc("getblockcount")


def test_getdata_and_locators(node: CoreNode) -> None:
    """p2p_getdata, p2p_invalid_locator."""
    node.generate(1)
    tip = node.tip()[0]
    peer = node.peer()
    peer.send(GetData.build([InvItem(0, bytes(32)), InvItem(InvType.BLOCK, tip)]))
    assert blocks_in(peer.sync()) == [tip]
    for kind in (GetHeaders, GetBlocks):
        peer = node.peer()
        peer.send(kind(locator=(tip,) * 101))
        peer.sync()
        peer.send(kind(locator=(tip,) * 102))
        peer.expect_close()


def test_headers_sync_with_minchainwork(tmp_path: Path) -> None:
    """p2p_headers_sync_with_minchainwork, feature_minchainwork."""
    with (
        CoreNode(tmp_path / "0", "--minimumchainwork=0x0") as node,
        CoreNode(tmp_path / "1", "--minimumchainwork=0x1f", f"--connect=127.0.0.1:{node.port}") as second,
        CoreNode(
            tmp_path / "2",
            "--minimumchainwork=0x1000",
            "--whitelist=noban,out@127.0.0.1",
            f"--connect=127.0.0.1:{node.port}",
        ) as trusting,
    ):
        wait_until(lambda: len(node.rpc("getpeerinfo")) == 2)
        with (
            second.logs("Ignoring low-work chain (height=14)", seconds=20),
            trusting.logs("Synchronizing blockheaders, height: 14", seconds=20),
        ):
            node.generate(14)
        tip = node.rpc("getbestblockhash")
        wait_until(lambda: trusting.rpc("getblockchaininfo")["headers"] == 14)
        tips = {each["hash"]: each["status"] for each in trusting.rpc("getchaintips")}
        assert tips == {tip: "headers-only", shown(GENESIS_HASH): "active"}
        assert [each["height"] for each in second.rpc("getchaintips")] == [0]
        # below its minimum work a node shows no headers
        peer = trusting.peer()
        assert peer.ask_headers(GENESIS_HASH) == []
        node.generate(1)
        wait_until(lambda: second.rpc("getblockcount") == 15)
        wait_until(lambda: trusting.rpc("getblockchaininfo")["headers"] == 15)
        assert trusting.rpc("getblockcount") == 0


def test_ibd_stalling(tmp_path: Path) -> None:
    """p2p_ibd_stalling."""
    with CoreNode(tmp_path) as node:
        made: list[MadeBlock] = []
        prev = GENESIS_HASH
        for i in range(1025):
            made.append(make_block(prev, i + 1, GENESIS_TIME + 1 + i))
            prev = made[-1].hash
        by_hash = {block.hash: block for block in made}
        withheld = {made[0].hash, made[500].hash}
        node.rpc("setmocktime", now := int(time.time()) + 1)
        asked: list[set[bytes]] = []

        def answer(number: int, seen: list[object]) -> None:
            hashes = asked_in(seen)
            asked[number].update(hashes)
            for block_hash in hashes:
                if block_hash not in withheld:
                    peers[number].send(Block(by_hash[block_hash].raw))

        def turn() -> None:
            for number, peer in enumerate(peers):
                if number not in gone:
                    try:
                        answer(number, peer.sync())
                    except (Closed, OSError):
                        gone.add(number)

        peers: list[CorePeer] = []
        gone: set[int] = set()
        for number in range(4):
            peers.append(node.peer())
            asked.append(set())
            answer(number, peers[number].announce(*made[:-1]))
        in_flight = lambda: sum(len(info["inflight"]) for info in node.rpc("getpeerinfo"))  # noqa: E731
        wait_until(lambda: (turn(), in_flight() == 2)[1])
        node.rpc("setmocktime", now := now + 3)
        turn()
        assert not gone
        with node.logs("Stall started peer="):
            for number, peer in enumerate(peers):
                answer(number, peer.announce(*made))
            turn()
        node.rpc("setmocktime", now := now + 3)
        wait_until(lambda: (turn(), len(gone) == 1)[1])
        wait_until(lambda: (turn(), any(made[0].hash in asked[i] for i in range(4) if i not in gone))[1])
        turn()
        node.rpc("setmocktime", now := now + 3)
        turn()
        assert len(gone) == 1
        node.rpc("setmocktime", now := now + 2)
        wait_until(lambda: (turn(), len(gone) == 2)[1])
        wait_until(lambda: (turn(), any(made[0].hash in asked[i] for i in range(4) if i not in gone))[1])
        with node.logs("Decreased stalling timeout to 2 seconds"):
            for i in set(range(4)) - gone:
                if made[0].hash in asked[i]:
                    peers[i].send(Block(made[0].raw))
            turn()
        wait_until(lambda: (turn(), node.rpc("getblockcount") == 500)[1])


def test_getblockfrompeer(tmp_path: Path) -> None:
    """rpc_getblockfrompeer."""
    with (
        CoreNode(tmp_path / "0") as node,
        CoreNode(tmp_path / "1") as other,
        CoreNode(tmp_path / "2", "--fastprune", "--prune=1") as pruned,
    ):
        for i in range(8):  # the chain that Core's tests begin with
            for name in node.rpc("generatetoaddress", 25, P2TR_OP_TRUE if i % 4 == 3 else ADDRESS):
                other.rpc("submitblock", node.rpc("getblock", name, 0))
        node.rpc("generatetoaddress", 4, ADDRESS)
        short = other.generate(3)[-1]
        other.rpc("addnode", f"127.0.0.1:{node.port}", "onetry")
        wait_until(lambda: other.rpc("getblockcount") == 204)
        wait_until(lambda: short in {tip["hash"] for tip in node.rpc("getchaintips")})
        assert {tip["hash"]: tip["status"] for tip in node.rpc("getchaintips")}[short] == "headers-only"
        node.refuses(-1, "Block not available (not fully downloaded)", "getblock", short)
        peer_id = node.rpc("getpeerinfo")[0]["id"]
        node.refuses(-8, "must be of length 64 (not 4, for '1234')", "getblockfrompeer", "1234", peer_id)
        node.refuses(-3, "JSON value of type number is not of expected type string", "getblockfrompeer", 1234, peer_id)
        node.refuses(-3, "JSON value of type string is not of expected type number", "getblockfrompeer", short, "0")
        node.refuses(-1, "Block header missing", "getblockfrompeer", "00" * 32, 0)
        for number in (-1, peer_id + 1):
            node.refuses(-1, "Peer does not exist", "getblockfrompeer", short, number)
        old = node.peer(services=1)
        old_id = node.rpc("getpeerinfo")[1]["id"]
        node.refuses(-1, "Pre-SegWit peer", "getblockfrompeer", short, old_id)
        old.close()
        assert node.rpc("getblockfrompeer", short, peer_id) == {}
        wait_until(lambda: node.rpc("getblockheader", short)["nTx"])
        node.rpc("getblock", short)
        node.refuses(-1, "Block already downloaded", "getblockfrompeer", short, peer_id)

        pruned.rpc("addnode", f"127.0.0.1:{node.port}", "onetry")
        wait_until(lambda: pruned.rpc("getblockcount") == 204)
        header = other.next_block()
        peer = pruned.peer()
        peer.announce(header)
        number = pruned.rpc("getpeerinfo")[-1]["id"]
        words = "In prune mode, only blocks that the node has already synced previously can be fetched from a peer"
        pruned.refuses(-1, words, "getblockfrompeer", header.name, number)
        peer.close()
        node.rpc("generatetoaddress", 401, ADDRESS)
        wait_until(lambda: pruned.rpc("getblockcount") == 605)
        assert pruned.rpc("pruneblockchain", 300) == 249  # as many blocks of this size are in a file
        lost = node.rpc("getblockhash", 2)
        pruned.refuses(-1, "Block not available (pruned data)", "getblock", lost)
        peer_id = pruned.rpc("getpeerinfo")[0]["id"]
        assert pruned.rpc("getblockfrompeer", lost, peer_id) == {}
        wait_until(lambda: node.rpc("getblock", lost, 0) == gotten(pruned, lost))
        node.rpc("generatetoaddress", 250, ADDRESS)
        wait_until(lambda: pruned.rpc("getblockcount") == 855)
        assert pruned.rpc("pruneblockchain", 700) == 249 + 252
        assert gotten(pruned, lost)
        node.rpc("generatetoaddress", 250, ADDRESS)
        wait_until(lambda: pruned.rpc("getblockcount") == 1105)
        assert pruned.rpc("pruneblockchain", 1000) == 249 + 252 + 251
        assert gotten(pruned, lost) is None


def gotten(node: CoreNode, name: str) -> str | None:
    """A block, if the node has it."""
    try:
        return str(node.rpc("getblock", name, 0))
    except RpcError:
        return None


def test_chain_tiebreaks(tmp_path: Path) -> None:
    """feature_chain_tiebreaks."""
    with CoreNode(tmp_path) as node:
        made = [node.next_block()]
        for i in range(1, 11):
            parent = made[(i - 1) >> 1]
            made.append(make_block(parent.hash, (i + 1).bit_length(), made[-1].time + 1))
        peer = node.peer()
        best = lambda: next(i for i, block in enumerate(made) if block.name == node.rpc("getbestblockhash"))  # noqa: E731

        def send_headers(*blocks: MadeBlock) -> None:
            for block in blocks:
                node.rpc("submitheader", block.header.hex())

        peer.give(made[0])
        assert best() == 0
        send_headers(*made[1:3])
        peer.give(made[2])
        peer.give(made[1])
        assert best() == 2
        send_headers(*made[3:])
        for i in (7, 8, 9, 10):
            peer.announce(made[i])  # then its parent is asked for as well
            peer.give(made[i])
            assert best() == 2
        peer.give(made[4])
        peer.give(made[3])
        wait_until(lambda: best() == 9)
        node.rpc("invalidateblock", made[9].name)
        node.rpc("invalidateblock", made[10].name)
        assert best() == 7

        # Of equal work after a restart: the one that was the tip stays it.
        node.rpc("invalidateblock", made[0].name)
        node.generate(1)
        block_hash, height, when = node.tip()
        equal = [make_block(block_hash, height + 1, when + 1 + i) for i in range(3)]
        for block in equal:
            peer.give(block)
        assert node.rpc("getbestblockhash") == equal[0].name
        node.stop()
        node.restart()
        assert node.rpc("getbestblockhash") == equal[0].name
        child = make_block(equal[0].hash, height + 2, when + 10)
        node.peer().give(child)
        assert node.rpc("getbestblockhash") == child.name


def test_filtered_blocks(tmp_path: Path) -> None:
    """p2p_filter, p2p_nobloomfilter_messages."""
    with CoreNode(tmp_path, "--peerbloomfilters", "--whitelist=noban@127.0.0.1") as node:
        address = node.rpc("decodescript", f"a914{'ff' * 20}87")["address"]
        # The filter of Core's test: ten elements, one false match in a million, this script added.
        bits = bytes.fromhex("400008008000002000c0002004000824000480000020000000008000004000024020 00".replace(" ", ""))
        peer = node.peer()
        node.generate(1)
        peer.send(FilterLoad(bits, 19, 0, 1))
        peer.sync()
        name = node.rpc("generatetoaddress", 1, address)[0]
        txid = node.rpc("getblock", name)["tx"][0]
        peer.send(want(bytes.fromhex(name)[::-1], InvType.FILTERED_BLOCK))
        seen = peer.sync()
        [merkle] = [message for message in seen if isinstance(message, MerkleBlock)]
        assert (sha256d(merkle.header), merkle.total_transactions) == (bytes.fromhex(name)[::-1], 1)
        assert len([message for message in seen if getattr(message, "command", "") == "tx"]) == 1
        assert merkle.hashes == (bytes.fromhex(txid)[::-1],)
        other = bytes.fromhex(node.generate(1)[0])[::-1]
        peer.send(want(other, InvType.FILTERED_BLOCK))
        seen = peer.sync()
        assert [type(message) for message in seen if not isinstance(message, Inv)] == [MerkleBlock]
    with CoreNode(tmp_path) as node:
        for message in (FilterLoad(b"\xff", 1, 0, 0), FilterAdd(b"x"), FilterClear()):
            peer = node.peer()
            peer.send(message)
            peer.expect_close()


@pytest.mark.long
def test_assumevalid(tmp_path: Path) -> None:
    """feature_assumevalid: one bad signature under two weeks of work."""
    made: list[MadeBlock] = []
    prev = GENESIS_HASH

    def add(*transactions: object, **how: object) -> None:
        nonlocal prev
        height = len(made) + 1
        made.append(make_block(prev, height, GENESIS_TIME + height, transactions, **how))  # type: ignore[arg-type]
        prev = made[-1].hash

    key = b"\x21\x02" + bytes(31) + b"\x01\xac"
    add(first=coinbase(1, script=key))
    for _ in range(100):
        add()
    add(spend(made[0].coin(), 49 * COIN))
    while len(made) < 2202:
        add()
    hash_102 = made[101].name

    def announce(node: CoreNode, count: int) -> CorePeer:
        peer = node.peer()
        for start in range(0, count, 2000):
            peer.announce(*made[start : min(start + 2000, count)])
        return peer

    with CoreNode(tmp_path / "0") as checking, CoreNode(tmp_path / "2", f"--assumevalid={hash_102}") as shallow:
        for node, count in ((checking, 2202), (shallow, 200)):
            peer = announce(node, count)
            with node.logs("Block validation error: block-script-verify-flag-failed", seconds=20):
                peer.send(*(Block(block.raw) for block in made[:110]))
                peer.expect_close()
            assert node.rpc("getblockcount") == 101
    with CoreNode(tmp_path / "1", f"--assumevalid={hash_102}") as assuming:
        peer = announce(assuming, 2202)
        for start in range(0, 2202, 100):
            peer.give(*made[start : start + 100])
        wait_until(lambda: assuming.rpc("getblockcount") == 2202, 60)


def test_reindex(tmp_path: Path) -> None:
    """feature_reindex: from the files, whatever the order of the blocks in them."""
    with CoreNode(tmp_path) as node:
        node.generate(5)
        block_hash, height, when = node.tip()
        branch = []
        for i in range(6):
            branch.append(make_block(block_hash, height + 1 + i, when + 1 + i))
            block_hash = branch[-1].hash
        peer = node.peer()
        peer.announce(*branch)
        for block in reversed(branch):
            peer.give(block)
        wait_until(lambda: node.rpc("getblockcount") == 11)
        for option in ("--reindex", "--reindex-chainstate"):
            node.stop()
            before = node.arguments
            node.arguments = (*before, option)
            node.restart()
            wait_until(lambda: node.rpc("getblockcount") == 11)
            assert node.rpc("getbestblockhash") == branch[-1].name
            node.arguments = before

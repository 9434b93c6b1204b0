"""A live node serves blocks, filters and merkle blocks to peers of every kind."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from ccnode.chain.block_filter import decode_filter, filter_hash, filter_header, filter_matches
from ccnode.chain.bloom import BloomFilter
from ccnode.errors import ExitStatus
from ccnode.wire.blocks import Block, MerkleBlock
from ccnode.wire.bloom import FilterLoad
from ccnode.wire.filters import CFCheckpt, CFHeaders, CFilter, GetCFCheckpt, GetCFHeaders, GetCFilters
from ccnode.wire.headers import GetBlocks
from ccnode.wire.inventory import GetData, Inv, InvItem, NotFound
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.protocol import InvType, ServiceFlags
from ccnode.wire.transaction import Tx
from tests.support.chain_maker import ChainMaker, sha256d, transaction
from tests.support.process import NodeProcess
from tests.support.scripted import Link, wait_until

OPTIONS = ("--sync=blocks", "--blockfilterindex", "--peerblockfilters", "--peerbloomfilters")
MINE = b"\x14" + b"a script of somebody"


def hash_of(raw: bytes) -> bytes:
    return sha256d(raw[:80])


def submit(node: NodeProcess, blocks: Sequence[bytes]) -> None:
    for raw in blocks:
        assert node.rpc("submitblock", raw.hex()) in (None, "inconclusive")
    wait_until(lambda: node.rpc("getbestblockhash") == hash_of(blocks[-1])[::-1].hex())


def indexed(node: NodeProcess) -> None:
    wait_until(lambda: node.rpc("getindexinfo")["basic block filter index"]["synced"])


def chain() -> ChainMaker:
    """110 blocks, of which the last has a transaction that pays to `MINE`, and a witness in the coinbase."""
    maker = ChainMaker()
    maker.extend(109)
    outpoint, value = maker.ready.popleft()
    paying = transaction([(outpoint, b"", 0xFFFFFFFF)], [(value, MINE)])
    maker.block([paying])
    return maker


@contextlib.contextmanager
def asking(node: NodeProcess) -> Iterator[Link]:
    link = Link.connect(node.port)
    try:
        link.handshake()
        yield link
    finally:
        link.close()


@pytest.fixture(scope="module")
def made() -> ChainMaker:
    return chain()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, made: ChainMaker) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("node"), *OPTIONS) as node:
        submit(node, made.blocks)
        indexed(node)
        yield node


def ask(link: Link, kind: int, *hashes: bytes) -> None:
    link.send(GetData.build([InvItem(kind, block_hash) for block_hash in hashes]))


def test_what_the_node_offers(node: NodeProcess) -> None:
    wanted = (
        ServiceFlags.NETWORK
        | ServiceFlags.BLOOM
        | ServiceFlags.WITNESS
        | ServiceFlags.COMPACT_FILTERS
        | ServiceFlags.NETWORK_LIMITED
    )
    link = Link.connect(node.port)
    assert link.handshake().services == wanted
    link.close()


def test_all_blocks_in_one_request(node: NodeProcess, made: ChainMaker) -> None:
    with asking(node) as link:
        link.send(GetBlocks((b"\1" * 32,)))
        announced = link.expect(Inv)
        hashes = [item.hash for item in announced.items()]
        assert hashes == [hash_of(raw) for raw in made.blocks]
        ask(link, InvType.WITNESS_BLOCK, *hashes)
        assert [link.expect(Block).raw for _ in hashes] == made.blocks
        ask(link, InvType.CMPCT_BLOCK, hashes[-1])
        assert link.expect(Block).raw == made.blocks[-1]


def test_unknown_things_hold_up_nothing(node: NodeProcess, made: ChainMaker) -> None:
    with asking(node) as link:
        items = [InvItem(InvType.TX, b"\1" * 32), InvItem(99, b"\1" * 32), InvItem(InvType.BLOCK, b"\1" * 32)]
        link.send(GetData.build([*items, InvItem(InvType.BLOCK, hash_of(made.blocks[0]))]), Ping(5))
        assert link.expect(NotFound).items() == items[:1]
        assert link.expect(Block).raw == made.blocks[0]
        assert link.expect(Pong).nonce == 5


def test_filters_prove_each_other(node: NodeProcess, made: ChainMaker) -> None:
    tip = hash_of(made.blocks[-1])
    with asking(node) as link:
        link.send(GetCFHeaders(0, 0, tip))
        answer = link.expect(CFHeaders)
        assert len(answer.filter_hashes) == 111
        link.send(GetCFilters(0, 0, tip))
        header = answer.previous_filter_header
        for expected in answer.filter_hashes:
            found = link.expect(CFilter)
            assert filter_hash(found.filter) == expected
            assert decode_filter(found.filter)
            header = filter_header(expected, header)
        assert found.block_hash == tip
        assert filter_matches(tip, found.filter, [MINE])
        shown = node.rpc("getblockfilter", tip[::-1].hex())
        assert shown == {"filter": found.filter.hex(), "header": header[::-1].hex()}
        link.send(GetCFCheckpt(0, tip))
        assert link.expect(CFCheckpt).filter_headers == ()
        link.send(GetCFilters(0, 111, tip))
        link.expect_close()


def test_a_light_client_gets_what_concerns_it(node: NodeProcess, made: ChainMaker) -> None:
    bloom = BloomFilter(bytes(100), 5, 0, 0)
    bloom.insert(MINE[1:])
    with asking(node) as link:
        link.send(FilterLoad(bloom.data, 5, 0, 0))
        ask(link, InvType.FILTERED_BLOCK, *[hash_of(raw) for raw in made.blocks[-2:]])
        assert link.expect(MerkleBlock).header == made.blocks[-2][:80]
        proof, found = link.expect(MerkleBlock), link.expect(Tx)
        assert proof.header == made.blocks[-1][:80]
        assert found.transaction.vout[0].script_pubkey == MINE
        assert found.transaction.txid in proof.hashes


def test_filters_follow_a_reorganisation_and_a_kill(tmp_path: Path, made: ChainMaker) -> None:
    fork = ChainMaker()
    fork.extend(109)
    other = fork.clone()
    fork.extend(3)
    other.extend(5, extra_nonce=1)
    with NodeProcess(tmp_path, *OPTIONS) as node:
        submit(node, fork.blocks)
        indexed(node)
        stale = node.rpc("getblockfilter", hash_of(fork.blocks[-1])[::-1].hex())
        submit(node, other.blocks[109:])
        node.kill()
        node.restart()
        wait_until(lambda: node.rpc("getbestblockhash") == other.hash[::-1].hex())
        indexed(node)
        assert node.rpc("getblockfilter", hash_of(fork.blocks[-1])[::-1].hex()) == stale
        with asking(node) as link:
            link.send(GetCFHeaders(0, 0, other.hash))
            answer = link.expect(CFHeaders)
        header = answer.previous_filter_header
        for each in answer.filter_hashes:
            header = filter_header(each, header)
        assert node.rpc("getblockfilter", other.hash[::-1].hex())["header"] == header[::-1].hex()


def test_a_damaged_index_ends_the_start_with_a_way_out(tmp_path: Path) -> None:
    maker = ChainMaker()
    maker.extend(5)
    folder = tmp_path / "regtest/indexes/blockfilter/basic"
    with NodeProcess(tmp_path, *OPTIONS) as node:
        submit(node, maker.blocks)
        indexed(node)
        before = node.rpc("getblockfilter", maker.hash[::-1].hex())
        assert node.stop() == 0
        os.truncate(folder / "filters.dat", 3)
        node.restart(wait=False)
        assert node.process.wait(20) == ExitStatus.DAMAGED
        assert f"filters.dat is damaged; delete {folder}, and the index is built anew" in node.text()
        shutil.rmtree(folder)
        node.restart()
        indexed(node)
        assert node.rpc("getblockfilter", maker.hash[::-1].hex()) == before

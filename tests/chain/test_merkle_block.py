"""Merkle blocks: a recorded one is built anew, and others are read by python-bitcoinlib's rules of the format."""

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.chain.bloom import BloomFilter, BloomUpdate
from ccnode.chain.merkle import merkle_root
from ccnode.chain.merkle_block import build_merkle_block, filter_block
from ccnode.chain.script import push
from ccnode.wire.blocks import Block, MerkleBlock
from ccnode.wire.parsing import parse_block
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.data import read_xz

HEADER = bytes(80)


def extract(message: MerkleBlock) -> tuple[bytes, list[tuple[int, bytes]]]:
    """The root that the proof leads to, and position and txid of what matches; everything must be used up."""
    bits = [byte >> i & 1 for byte in message.flags for i in range(8)]
    hashes = list(message.hashes)
    found: list[tuple[int, bytes]] = []
    height = 0
    while 1 << height < message.total_transactions:
        height += 1

    def walk(level: int, position: int) -> bytes:
        flag = bits.pop(0)
        if level == 0 or not flag:
            node = hashes.pop(0)
            if flag:
                found.append((position, node))
            return node
        left = right = walk(level - 1, 2 * position)
        if (2 * position + 1) << (level - 1) < message.total_transactions:
            right = walk(level - 1, 2 * position + 1)
            assert right != left
        return merkle_root([left, right])[0]

    root = walk(height, 0)
    assert not hashes
    assert not any(bits)
    assert len(bits) < 8
    return root, found


def txids(count: int) -> list[bytes]:
    return [(i + 1).to_bytes(32, "little") for i in range(count)]


@given(st.integers(1, 70), st.data())
def test_a_proof_leads_to_the_root(count: int, data: st.DataObject) -> None:
    matches = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    message = build_merkle_block(HEADER, txids(count), matches)
    root, found = extract(MerkleBlock.decode(message.encode()))
    assert root == merkle_root(txids(count))[0]
    assert found == [(i, txid) for i, txid in enumerate(txids(count)) if matches[i]]


@pytest.mark.skipif(sys.version_info < (3, 11), reason="btclib needs Python 3.11")
@given(st.integers(1, 70), st.data())
def test_another_implementation_builds_the_same(count: int, data: st.DataObject) -> None:
    from btclib.block.partial_merkle_tree import PartialMerkleTree

    matches = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    other = PartialMerkleTree.from_txids([txid[::-1] for txid in txids(count)], matches)
    assert build_merkle_block(HEADER, txids(count), matches).encode()[80:] == other.serialize()


def test_a_recorded_merkle_block_is_built_anew(data_dir: Path) -> None:
    recorded = (data_dir / "p2p/merkleblock_main_300025.raw").read_bytes()
    block = parse_block(read_xz(data_dir / "blocks/main_300025.raw.xz"))
    root, found = extract(MerkleBlock.decode(recorded))
    assert root == block.merkle_root
    wanted = {position for position, _ in found}
    matches = [i in wanted for i in range(len(block))]
    assert build_merkle_block(block.header, block.txids, matches).encode() == recorded


def spend(outpoint: OutPoint, script: bytes, witness: tuple[bytes, ...] = ()) -> Transaction:
    return Transaction(2, (TxIn(outpoint, b"", 0xFFFFFFFF, witness),), (TxOut(5, script),), 0)


def test_what_matches_comes_without_witness_and_lets_its_spender_match() -> None:
    first = spend(OutPoint(b"\1" * 32, 0), push(b"mine"), (b"signature",))
    second = spend(OutPoint(first.txid, 0), push(b"somebody else's"), (b"signature",))
    third = spend(OutPoint(second.txid, 0), push(b"a third one's"))
    raw = Block.build(HEADER, (first, second, third)).raw
    for flags, expected in ((BloomUpdate.ALL, [first, second]), (BloomUpdate.NONE, [first])):
        bloom = BloomFilter(bytes(500), 10, 0, flags)
        bloom.insert(b"mine")
        before = bloom.data
        filtered = filter_block(raw, 80, bloom)
        assert filtered.transactions == tuple(tx.encode(with_witness=False) for tx in expected)
        assert [txid for _, txid in extract(filtered.merkle_block)[1]] == [tx.txid for tx in expected]
        assert bloom.data == before
        assert (filtered.bloom_filter.data != before) is (flags == BloomUpdate.ALL)

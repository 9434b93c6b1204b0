"""``merkleblock``: the transactions of a block that match a bloom filter, proven (BIP37; Core: ``merkleblock.cpp``).

The proof is a part of the block's merkle tree. It is walked from the root, left before right, and a bit is noted for
each node: 1 if a matching transaction is below it, which is then looked for in its children, or 0 where the node's hash
stands for all that is below. So the hashes of what matches, and those beside the way, lead to the root that the header
names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ccnode.chain.bloom import BloomFilter
from ccnode.wire.blocks import MerkleBlock
from ccnode.wire.parsing import ParsedBlock, parse_block
from ccnode.wire.serialize import sha256d
from ccnode.wire.stripping import strip_transaction


@dataclass(frozen=True, slots=True)
class FilteredBlock:
    """What a peer with a filter gets of a block."""

    merkle_block: MerkleBlock
    transactions: tuple[bytes, ...]
    """Those that match, in block order, without witness."""
    bloom_filter: BloomFilter
    """The filter, with what the block added to it."""


def filter_block(raw: bytes, header_size: int, bloom_filter: BloomFilter) -> FilteredBlock:
    """Match a stored block; ``bloom_filter`` itself does not change. 25 to 60 ms for a large one: a thread's work."""
    block = parse_block(raw, header_size)
    grown = bloom_filter.copy()
    matches = matching(block, grown)
    proof = build_merkle_block(block.header, block.txids, matches)
    transactions = tuple(strip_transaction(block.transaction(i)) for i, match in enumerate(matches) if match)
    return FilteredBlock(proof, transactions, grown)


def matching(block: ParsedBlock, bloom_filter: BloomFilter) -> list[bool]:
    """Which transactions match, in block order; what one adds to the filter, the next are held against."""
    columns = zip(block.txids, block.outputs, block.outpoints, block.script_sigs, strict=True)
    return [bloom_filter.matches(*transaction) for transaction in columns]


def build_merkle_block(header: bytes, txids: Sequence[bytes], matches: Sequence[bool]) -> MerkleBlock:
    """The proof for the transactions for which ``matches`` is true."""
    hashes, below = [list(txids)], [list(matches)]
    while len(hashes[-1]) > 1:
        nodes, marks = hashes[-1], below[-1]
        width = range(0, len(nodes), 2)
        below.append([any(marks[i : i + 2]) for i in width])
        hashes.append([sha256d(nodes[i] + nodes[min(i + 1, len(nodes) - 1)]) for i in width])
    bits: list[bool] = []
    shown: list[bytes] = []
    waiting = [(len(hashes) - 1, 0)]
    while waiting:
        level, position = waiting.pop()
        bits.append(below[level][position])
        if level == 0 or not bits[-1]:
            shown.append(hashes[level][position])
            continue
        left = 2 * position
        if left + 1 < len(hashes[level - 1]):
            waiting.append((level - 1, left + 1))
        waiting.append((level - 1, left))
    return MerkleBlock(header, len(txids), tuple(shown), _packed(bits))


def _packed(bits: Sequence[bool]) -> bytes:
    """Eight bits to a byte, the lowest first."""
    number = sum(1 << i for i, bit in enumerate(bits) if bit)
    return number.to_bytes((len(bits) + 7) // 8, "little")

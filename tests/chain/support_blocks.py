"""Blocks for the tests of the rules: built from transactions, with as much of them right as a test wants."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ccnode.chain.formats import BITCOIN_FORMAT, Header
from ccnode.chain.merkle import merkle_root, witness_commitment, witness_merkle_root
from ccnode.chain.networks import REGTEST
from ccnode.chain.pow import meets_target
from ccnode.chain.script import push_number
from ccnode.wire.blocks import Block
from ccnode.wire.parsing import ParsedBlock, parse_block
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut
from tests.support.data import read_xz

BITS = 0x207FFFFF
TIME = REGTEST.header_format.parse(REGTEST.genesis).time + 1
NULL = OutPoint(bytes(32), 0xFFFFFFFF)
RESERVED = bytes(32)
OP_TRUE = b"\x51"


def coinbase(
    height: int = 1,
    outputs: Sequence[TxOut] = (TxOut(0, OP_TRUE),),
    *,
    script: bytes | None = None,
    witness: tuple[bytes, ...] = (),
) -> Transaction:
    """A coinbase that begins with ``height`` unless ``script`` says otherwise."""
    script = push_number(height) + b"\0" if script is None else script
    return Transaction(2, (TxIn(NULL, script, 0xFFFFFFFF, witness),), tuple(outputs), 0)


def spend(
    index: int = 0,
    outputs: Sequence[TxOut] = (TxOut(0, OP_TRUE),),
    *,
    script: bytes = b"",
    sequence: int = 0xFFFFFFFF,
    locktime: int = 0,
    witness: tuple[bytes, ...] = (),
) -> Transaction:
    """Spends output ``index`` of a transaction that nobody knows."""
    return Transaction(2, (TxIn(OutPoint(b"\7" * 32, index), script, sequence, witness),), tuple(outputs), locktime)


def commitment_output(transactions: Sequence[Transaction], reserved: bytes = RESERVED) -> TxOut:
    """The output in which a coinbase commits to the witnesses of ``transactions``, itself among them."""
    root = witness_merkle_root([tx.wtxid for tx in transactions])
    return TxOut(0, bytes.fromhex("6a24aa21a9ed") + witness_commitment(root, reserved))


def committed(*others: Transaction, height: int = 1, reserved: bytes = RESERVED) -> list[Transaction]:
    """A coinbase that commits to the witnesses of the others, and these."""
    first = coinbase(height, witness=(reserved,))
    output = commitment_output([first, *others], reserved)
    return [coinbase(height, (*first.vout, output), witness=(reserved,)), *others]


def block_bytes(
    transactions: Sequence[Transaction],
    *,
    root: bytes | None = None,
    prev: bytes = REGTEST.genesis_hash,
    time: int = TIME,
    prove: bool = True,
) -> bytes:
    """A block on regtest's genesis; ``prove`` searches a nonce until its proof of work is as asked, good or bad."""
    if root is None:
        root = merkle_root([tx.txid for tx in transactions])[0]
    for nonce in range(1 << 32):
        header = BITCOIN_FORMAT.serialize(Header(0x20000000, prev, root, time, BITS, nonce))
        if meets_target(BITCOIN_FORMAT.hash(header), BITS, REGTEST.pow_limit) is prove:
            return Block.build(header, tuple(transactions)).raw
    raise AssertionError("no nonce")


def make_block(transactions: Sequence[Transaction], **fields: object) -> ParsedBlock:
    """`block_bytes`, parsed."""
    return parse_block(block_bytes(transactions, **fields))  # type: ignore[arg-type]


def framed(data: bytes) -> Iterator[bytes]:
    """The blocks of a file in the layout of ``blk*.dat``: magic, length, block."""
    position = 0
    while position < len(data):
        size = int.from_bytes(data[position + 4 : position + 8], "little")
        yield data[position + 8 : position + 8 + size]
        position += 8 + size


def real_blocks(data_dir: Path, pattern: str) -> Iterable[tuple[str, bytes]]:
    """Name and bytes of the shared real blocks whose file matches."""
    for path in sorted((data_dir / "blocks").glob(pattern)):
        name = path.name.split(".")[0]
        raw = read_xz(path)
        if ".dat" in path.suffixes:
            yield from ((f"{name}[{i}]", block) for i, block in enumerate(framed(raw)))
        else:
            yield name, raw

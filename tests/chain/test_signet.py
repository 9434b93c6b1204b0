"""Solutions of signet blocks: taken out, and dressed as what the challenge's script can judge."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from signet_blocks import SIGNET_BLOCKS

from ccnode.chain.coins import make_coin
from ccnode.chain.genesis import genesis_block
from ccnode.chain.merkle import merkle_root
from ccnode.chain.networks import SIGNET
from ccnode.chain.script import push
from ccnode.chain.signet import SIGNET_FLAGS, SIGNET_HEADER, signet_solution
from ccnode.kernel.scripts import ScriptChecker
from ccnode.wire.parsing import ParsedBlock, parse_block
from ccnode.wire.serialize import compact_size, var_bytes
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut, encode_transactions
from tests.support.chainstate import ChainRoom
from tests.support.data import read_xz
from tests.support.kernel import check_block
from tests.support.signing import SIGHASH_ALL, legacy_digest, segwit_digests
from tests.support.spends import OP_TRUE, P2PKH, P2WPKH, SIGNER

CHALLENGE = SIGNET.signet_challenge or b""
TWO_OF_TWO = b"\x52" + CHALLENGE[1:-2] + b"\x52\xae"
"""The same keys, but both must sign."""
COMMITMENT = bytes.fromhex("6a24aa21a9ed") + bytes(32)
KEY = push(SIGNER.public) + b"\xac"


@pytest.fixture(scope="module")
def verify() -> Iterator[Callable[[ParsedBlock, bytes], bool]]:
    checker = ScriptChecker(1)

    def verify(block: ParsedBlock, challenge: bytes) -> bool:
        solution = signet_solution(block, challenge)
        if solution is None:
            return False
        coins = [make_coin(0, challenge, 0, False)]
        return checker.wait_verify_transaction(solution.to_sign.encode(), coins, SIGNET_FLAGS) is None

    yield verify
    checker.close()


Verify = Callable[[ParsedBlock, bytes], bool]


def block_with(script: bytes, others: int = 2, nonce: int = 0) -> ParsedBlock:
    """A block whose coinbase ends with ``script``, and some more transactions."""
    null = TxIn(OutPoint(bytes(32), 0xFFFFFFFF), b"\x51\x51", 0xFFFFFFFF, (bytes(32),))
    transactions = [Transaction(2, (null,), (TxOut(50, OP_TRUE), TxOut(0, script)), 0)]
    transactions += [
        Transaction(1, (TxIn(OutPoint(bytes([n]) * 32, n), b"", n),), (TxOut(n, OP_TRUE),), n) for n in range(others)
    ]
    root = merkle_root([transaction.txid for transaction in transactions])[0]
    header = (0x20000000).to_bytes(4, "little") + bytes(range(32)) + root + b"TIMEBITS" + nonce.to_bytes(4, "little")
    return parse_block(header + encode_transactions(tuple(transactions)))


def with_solution(script_sig: bytes, witness: tuple[bytes, ...] = (), rest: bytes = b"") -> bytes:
    stack = compact_size(len(witness)) + b"".join(map(var_bytes, witness))
    return COMMITMENT + push(SIGNET_HEADER + var_bytes(script_sig) + stack + rest)


def test_real_blocks(verify: Verify, data_dir: Path) -> None:
    headers = read_xz(data_dir / "headers/signet_0000_2015.bin.xz")
    for height, raw in enumerate(SIGNET_BLOCKS, 1):
        assert raw[:80] == headers[80 * height : 80 * height + 80]
        block = parse_block(raw)
        assert verify(block, CHALLENGE)
        assert not verify(block, TWO_OF_TWO)
        assert not verify(block, OP_TRUE + CHALLENGE)
        assert check_block(raw, "signet") is None


@pytest.mark.parametrize(
    "where",
    [0, 4, 36, 68, 84, 150, -60],
    ids=["version", "previous", "root", "time", "transaction version", "output", "signature"],
)
def test_whatever_is_signed_cannot_be_changed(verify: Verify, where: int) -> None:
    raw = bytearray(SIGNET_BLOCKS[0])
    raw[where] ^= 1
    block = parse_block(bytes(raw))
    # the header's own root is not signed, but computed from the transactions
    assert verify(block, CHALLENGE) == (where == 36)


def test_bits_and_nonce_are_not_signed(verify: Verify) -> None:
    raw = bytearray(SIGNET_BLOCKS[0])
    raw[72:80] = bytes(8)
    assert verify(parse_block(bytes(raw)), CHALLENGE)


def test_a_solution_made_here(verify: Verify) -> None:
    """Sign a block whose push has the header and nothing more; what is signed stays the same with the solution in."""
    unsigned = signet_solution(block_with(COMMITMENT + push(SIGNET_HEADER)), KEY)
    assert unsigned is not None
    signature = SIGNER.ecdsa(legacy_digest(unsigned.to_sign, 0, KEY)) + bytes((SIGHASH_ALL,))
    block = block_with(with_solution(push(signature)), nonce=77)
    solution = signet_solution(block, KEY)
    assert solution is not None
    assert solution.to_spend == unsigned.to_spend
    assert verify(block, KEY)
    assert not verify(block, P2PKH)
    assert not verify(block_with(with_solution(push(signature)), others=3), KEY)


def test_a_solution_with_a_witness(verify: Verify) -> None:
    unsigned = signet_solution(block_with(COMMITMENT + push(SIGNET_HEADER)), P2WPKH)
    assert unsigned is not None
    (digest,) = segwit_digests(unsigned.to_sign, [P2PKH], [0])
    witness = (SIGNER.ecdsa(digest) + bytes((SIGHASH_ALL,)), SIGNER.public)
    assert verify(block_with(with_solution(b"", witness)), P2WPKH)
    assert not verify(block_with(with_solution(b"", witness[::-1])), P2WPKH)


def test_without_a_solution_a_trivial_challenge_is_met(verify: Verify) -> None:
    block = block_with(COMMITMENT)
    assert verify(block, OP_TRUE)
    assert not verify(block, CHALLENGE)
    header_alone = signet_solution(block_with(COMMITMENT + push(SIGNET_HEADER)), OP_TRUE)
    assert header_alone is not None
    assert header_alone.to_sign.vin[0].script_sig == b""


@pytest.mark.parametrize(
    "script",
    [
        b"\x6a" + COMMITMENT,
        with_solution(b"\x51", rest=b"\x00"),
        COMMITMENT + push(SIGNET_HEADER + b"\x05\x51"),
        COMMITMENT + push(SIGNET_HEADER + b"\x00"),
        COMMITMENT + push(SIGNET_HEADER + b"\x00\xfd\x01\x00\x00"),
    ],
    ids=["no commitment", "bytes too many", "script cut short", "no stack", "a count in the wrong form"],
)
def test_what_cannot_be_read_is_no_solution(script: bytes) -> None:
    assert signet_solution(block_with(script), OP_TRUE) is None


def test_the_first_push_with_a_solution_counts_and_the_rest_is_written_anew(verify: Verify) -> None:
    first, second = SIGNET_HEADER + b"\x01\x51\x00", SIGNET_HEADER + b"\x01\x52\x00"
    long_way = b"\x4c" + bytes((len(second),)) + second
    block = block_with(COMMITMENT + push(SIGNET_HEADER) + push(first) + long_way + b"\x4c\x00\x61\x05cut")
    solution = signet_solution(block, OP_TRUE)
    assert solution is not None
    assert solution.to_sign.vin[0].script_sig == b"\x51"
    # as if this had been the output: pushes in their shortest form, an empty one without its length, the torn end gone
    kept = COMMITMENT + push(SIGNET_HEADER) * 2 + push(second) + b"\x4c\x61"
    coinbase = Transaction.decode(block.transaction(0))
    vout = (coinbase.vout[0], TxOut(0, kept))
    root = merkle_root([replace(coinbase, vout=vout).txid, *block.txids[1:]])[0]
    assert solution.to_spend.vin[0].script_sig[2:] == block.header[:36] + root + b"TIME"


def test_the_first_block_is_signed_by_nobody(tmp_path: Path) -> None:
    """It comes like any other when our own block files are read again."""
    room, raw = ChainRoom(tmp_path, SIGNET), genesis_block(SIGNET)
    assert raw is not None
    assert room.submit(raw).verdict is None
    assert room.state.table.have_data(0)

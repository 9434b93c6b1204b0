"""Signet: blocks that are signed instead of being hard to make (BIP325; Core: ``signet.cpp``).

A signet has a *challenge*, a script, and a block counts if it brings a *solution* to it: what would spend an output
with that script. The solution stands in the coinbase, in a push of the output with the witness commitment that begins
with `SIGNET_HEADER`: a scriptSig, a witness stack, and nothing after them. What it signs is the block itself without
the solution, dressed as two transactions that exist nowhere else::

    to_spend   its scriptSig holds version, previous hash, modified merkle root and time; its output is the challenge
    to_sign    spends that output

The modified merkle root is that of the block with the solution cut from its push. Bits and nonce are left out, so that
a signed block can be ground afterwards.

A block without such a push has an empty solution, which is right for a challenge like OP_TRUE. A block without a
witness commitment is invalid, and the genesis block is exempt: who calls this must know.
"""

from dataclasses import dataclass
from typing import Final

from ccnode.chain.merkle import commitment_position, merkle_root
from ccnode.chain.script import OP_0, OP_RETURN, push, read_op
from ccnode.chain.script_flags import ScriptFlag
from ccnode.errors import DecodeError
from ccnode.wire.parsing import ParsedBlock
from ccnode.wire.serialize import Reader
from ccnode.wire.transaction import OutPoint, Transaction, TxIn, TxOut

SIGNET_HEADER: Final = bytes.fromhex("ecc7daa2")
SIGNET_FLAGS: Final = ScriptFlag.P2SH | ScriptFlag.WITNESS | ScriptFlag.DERSIG | ScriptFlag.NULLDUMMY
"""The rules for a solution (Core: ``BLOCK_SCRIPT_VERIFY_FLAGS``)."""

_NULL: Final = OutPoint(bytes(32), 0xFFFFFFFF)
_NO_SIGNATURE: Final = b""


@dataclass(frozen=True, slots=True)
class SignetSolution:
    """What has to verify under `SIGNET_FLAGS`: ``to_sign`` spends output 0 of ``to_spend``, which is ``challenge``."""

    to_spend: Transaction
    to_sign: Transaction


def signet_solution(block: ParsedBlock, challenge: bytes) -> SignetSolution | None:
    """What ``block`` has to say to ``challenge``; None where it says nothing that can be read (bad-signet-blksig)."""
    position = commitment_position(block.outputs[0])
    if position is None:
        return None
    commitment, solution = _without_solution(block.outputs[0][position][1])
    script_sig: bytes = _NO_SIGNATURE
    witness: tuple[bytes, ...] = ()
    if solution is not None:
        try:
            script_sig, witness = _read_solution(solution)
        except DecodeError:
            return None
    data = block.header[:36] + _modified_root(block, position, commitment) + block.header[68:72]
    to_spend = Transaction(0, (TxIn(_NULL, bytes((OP_0,)) + push(data), 0),), (TxOut(0, challenge),), 0)
    spending = TxIn(OutPoint(to_spend.txid, 0), script_sig, 0, witness)
    return SignetSolution(to_spend, Transaction(0, (spending,), (TxOut(0, bytes((OP_RETURN,))),), 0))


def _without_solution(script: bytes) -> tuple[bytes, bytes | None]:
    """The script with the first push that has a solution cut to its header, and the solution.

    The pushes around it are written anew, each in its shortest form; without a solution the script stays as it is.
    """
    parts: list[bytes] = []
    solution: bytes | None = None
    at = 0
    while at < len(script) and (read := read_op(script, at)) is not None:
        op, data, at = read
        if solution is None and data.startswith(SIGNET_HEADER) and len(data) > len(SIGNET_HEADER):
            solution, data = data[len(SIGNET_HEADER) :], SIGNET_HEADER
        parts.append(push(data) if data else bytes((op,)))
    return (script, None) if solution is None else (b"".join(parts), solution)


def _read_solution(solution: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    reader = Reader(solution)
    script_sig = reader.var_bytes()
    witness = tuple([reader.var_bytes() for _ in range(reader.count(1))])
    if reader.remaining:
        raise DecodeError("more than a solution")
    return script_sig, witness


def _modified_root(block: ParsedBlock, position: int, commitment: bytes) -> bytes:
    outputs = [TxOut(value, script) for value, script in block.outputs[0]]
    outputs[position] = TxOut(outputs[position].value, commitment)
    coinbase = Transaction.decode(block.transaction(0))
    modified = Transaction(coinbase.version, coinbase.vin, tuple(outputs), coinbase.locktime)
    return merkle_root([modified.txid, *block.txids[1:]])[0]

"""Scripts as far as the rules around them look inside: pushes, templates, signature operations.

Whether a script *succeeds* is the kernel's business (`ccnode.kernel`). But blocks limit the signature operations that
scripts contain, count them without running anything, and treat some outputs by their form. (Core:
``script/script.cpp``, ``consensus/tx_verify.cpp``.)

Signature operations (*sigops*) are counted in three ways:

- *legacy*: in every scriptSig and scriptPubKey as it stands, whether it runs or not; a CHECKMULTISIG counts 20;
- *P2SH*: in the script that the scriptSig's last push reveals; a CHECKMULTISIG counts its keys where OP_1 .. OP_16 says
  how many;
- *witness*: one for a key hash, and for a witness script as for P2SH. Taproot counts while it runs, not here.

The first two cost four each, the third one, and a block has 80,000 (`MAX_BLOCK_SIGOPS_COST`).

A script that cannot be read to its end counts up to where it breaks. Most scripts follow one of five templates, and
most others contain no byte that could be a sigop, so few are really walked.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from ccnode.wire.transaction import WITNESS_SCALE_FACTOR

OP_0: Final = 0x00
OP_PUSHDATA1: Final = 0x4C
OP_PUSHDATA2: Final = 0x4D
OP_PUSHDATA4: Final = 0x4E
OP_1NEGATE: Final = 0x4F
OP_1: Final = 0x51
OP_16: Final = 0x60
OP_RETURN: Final = 0x6A
OP_DUP: Final = 0x76
OP_EQUAL: Final = 0x87
OP_EQUALVERIFY: Final = 0x88
OP_HASH160: Final = 0xA9
OP_CHECKSIG: Final = 0xAC
OP_CHECKSIGVERIFY: Final = 0xAD
OP_CHECKMULTISIG: Final = 0xAE
OP_CHECKMULTISIGVERIFY: Final = 0xAF

MAX_SCRIPT_SIZE: Final = 10_000
"""Bytes; a longer one fails, so that an output with it can never be spent."""
MAX_PUBKEYS_PER_MULTISIG: Final = 20

_SIGOP: Final = re.compile(rb"[\xac-\xaf]").search
_P2PKH_START: Final = bytes((OP_DUP, OP_HASH160, 20))
_P2PKH_END: Final = bytes((OP_EQUALVERIFY, OP_CHECKSIG))
_P2SH_START: Final = bytes((OP_HASH160, 20))
_WITNESS_SIZES: Final = {bytes((OP_0, 20)): 22, bytes((OP_0, 32)): 34, bytes((OP_1, 32)): 34}
"""The usual witness programs: P2WPKH, P2WSH, P2TR."""


def read_op(script: bytes, position: int) -> tuple[int, bytes, int] | None:
    """The opcode at ``position``, the bytes it pushes and where the next begins; None if the script is cut short."""
    op = script[position]
    position += 1
    if op > OP_PUSHDATA4:
        return op, b"", position
    size = op
    if op >= OP_PUSHDATA1:
        width = 1 << (op - OP_PUSHDATA1)
        if position + width > len(script):
            return None
        size = int.from_bytes(script[position : position + width], "little")
        position += width
    end = position + size
    return (op, script[position:end], end) if end <= len(script) else None


def push(data: bytes) -> bytes:
    """The shortest opcode that pushes ``data`` as bytes (Core: ``CScript << vector``), never OP_1 .. OP_16."""
    size = len(data)
    if size < OP_PUSHDATA1:
        return bytes((size,)) + data
    if size <= 0xFF:
        return bytes((OP_PUSHDATA1, size)) + data
    if size <= 0xFFFF:
        return bytes((OP_PUSHDATA2,)) + size.to_bytes(2, "little") + data
    return bytes((OP_PUSHDATA4,)) + size.to_bytes(4, "little") + data


def push_number(number: int) -> bytes:
    """The shortest push of an integer (Core: ``CScript << int64``)."""
    if number == 0:
        return bytes((OP_0,))
    if number == -1 or 1 <= number <= 16:
        return bytes((OP_1 - 1 + number,))
    magnitude = abs(number)
    data = bytearray(magnitude.to_bytes(magnitude.bit_length() // 8 + 1, "little"))  # a bit more, for the sign
    if number < 0:
        data[-1] |= 0x80
    return push(bytes(data))


def is_p2sh(script: bytes) -> bool:
    """Pay to script hash (BIP16)."""
    return len(script) == 23 and script.startswith(_P2SH_START) and script[22] == OP_EQUAL


def witness_program(script: bytes) -> tuple[int, bytes] | None:
    """Version and program, if that is what the script is (BIP141)."""
    if not 4 <= len(script) <= 42 or script[1] + 2 != len(script):
        return None
    if script[0] == OP_0:
        return 0, script[2:]
    return (script[0] - OP_1 + 1, script[2:]) if OP_1 <= script[0] <= OP_16 else None


def is_unspendable(script: bytes) -> bool:
    """Whether an output with this script can be known never to be spent."""
    return script[:1] == bytes((OP_RETURN,)) or len(script) > MAX_SCRIPT_SIZE


def is_push_only(script: bytes) -> bool:
    """Whether the script only pushes, and can be read to its end."""
    return last_push(script) is not None


def last_push(script: bytes) -> bytes | None:
    """What the last opcode of a script that only pushes pushes, empty for OP_1 .. OP_16; None for other scripts."""
    data, position = b"", 0
    while position < len(script):
        read = read_op(script, position)
        if read is None or read[0] > OP_16:
            return None
        _op, data, position = read
    return data


def count_sigops(script: bytes, accurate: bool) -> int:
    """Signature operations in ``script``; ``accurate`` counts the keys of a CHECKMULTISIG where they are told."""
    if _SIGOP(script) is None:
        return 0
    count, last, position, size = 0, -1, 0, len(script)
    while position < size:
        op = script[position]
        position += 1
        if op < OP_PUSHDATA1:
            position += op
            if position > size:
                break
        elif op <= OP_PUSHDATA4:
            read = read_op(script, position - 1)
            if read is None:
                break
            position = read[2]
        elif op < OP_CHECKSIG or op > OP_CHECKMULTISIGVERIFY:
            pass
        elif op <= OP_CHECKSIGVERIFY:
            count += 1
        elif accurate and OP_1 <= last <= OP_16:
            count += last - OP_1 + 1
        else:
            count += MAX_PUBKEYS_PER_MULTISIG
        last = op
    return count


def legacy_sigops(script_sigs: Iterable[bytes], outputs: Iterable[tuple[int, bytes]]) -> int:
    """Signature operations of many scripts as they stand, 0.25 microseconds each where they follow a template."""
    count = 0
    for script in script_sigs:
        if not script:
            continue
        if (second := script[0] + 1) <= OP_PUSHDATA1:
            size = len(script)
            if second == size:
                continue  # one push: P2SH around a witness program
            if second < size and (pushed := script[second]) < OP_PUSHDATA1 and second + pushed + 1 == size:
                continue  # two: signature and key
        count += count_sigops(script, False)
    for _value, script in outputs:
        size = len(script)
        if size == 25 and script[0] == OP_DUP and script[:3] == _P2PKH_START and script[23:] == _P2PKH_END:
            count += 1
        elif _WITNESS_SIZES.get(script[:2]) != size and _SIGOP(script) and not is_p2sh(script):
            count += count_sigops(script, False)
    return count


def input_sigop_cost(
    script_sig: bytes, script_pubkey: bytes, witness: Sequence[bytes], *, p2sh: bool, segwit: bool
) -> int:
    """What an input that spends ``script_pubkey`` adds to the sigop cost besides the legacy count of its scriptSig.

    ``p2sh`` and ``segwit`` say whether the script flags P2SH and WITNESS hold for the block.
    """
    cost = 0
    if is_p2sh(script_pubkey):
        redeem_script = last_push(script_sig)
        if redeem_script is None:
            return 0
        if p2sh:
            cost = WITNESS_SCALE_FACTOR * count_sigops(redeem_script, accurate=True)
        script_pubkey = redeem_script
    if segwit and (program := witness_program(script_pubkey)):
        cost += _witness_sigops(*program, witness)
    return cost


def _witness_sigops(version: int, program: bytes, witness: Sequence[bytes]) -> int:
    if version != 0:
        return 0
    if len(program) == 20:
        return 1
    return count_sigops(witness[-1], accurate=True) if len(program) == 32 and witness else 0

"""Scripts as people see them: assembly, type, descriptor (Core: ``core_io.cpp``, ``script/solver.cpp``).

The type says which of the known forms an output script has. A descriptor (`ccnode.chain.descriptors`) says the same as
a text from which the script can be made again; Core *infers* one, and so does this, without keys at hand: of a key or
script hash all that can be said is the address.

A scriptSig may hold signatures. Where an element has the form of one, its last byte is shown as the name of the hash
type in brackets.
"""

from collections.abc import Iterator
from enum import Enum
from hashlib import sha256
from typing import Final

from ccnode.chain.addresses import encode_address, key_hash_of, witness_script
from ccnode.chain.descriptors import with_checksum
from ccnode.chain.hash160 import HASH160_SIZE, hash160
from ccnode.chain.params import AddressPrefixes
from ccnode.chain.script import (
    MAX_PUBKEYS_PER_MULTISIG,
    OP_1,
    OP_1NEGATE,
    OP_16,
    OP_CHECKMULTISIG,
    OP_CHECKSIG,
    OP_PUSHDATA1,
    OP_PUSHDATA4,
    OP_RETURN,
    is_p2sh,
    is_push_only,
    is_unspendable,
    push,
    read_op,
    witness_program,
)

_FROM_0X50: Final = (
    "RESERVED 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 NOP VER IF NOTIF VERIF VERNOTIF ELSE ENDIF VERIFY RETURN "
    "TOALTSTACK FROMALTSTACK 2DROP 2DUP 3DUP 2OVER 2ROT 2SWAP IFDUP DEPTH DROP DUP NIP OVER PICK ROLL ROT SWAP "
    "TUCK CAT SUBSTR LEFT RIGHT SIZE INVERT AND OR XOR EQUAL EQUALVERIFY RESERVED1 RESERVED2 1ADD 1SUB 2MUL 2DIV "
    "NEGATE ABS NOT 0NOTEQUAL ADD SUB MUL DIV MOD LSHIFT RSHIFT BOOLAND BOOLOR NUMEQUAL NUMEQUALVERIFY "
    "NUMNOTEQUAL LESSTHAN GREATERTHAN LESSTHANOREQUAL GREATERTHANOREQUAL MIN MAX WITHIN RIPEMD160 SHA1 SHA256 "
    "HASH160 HASH256 CODESEPARATOR CHECKSIG CHECKSIGVERIFY CHECKMULTISIG CHECKMULTISIGVERIFY NOP1 "
    "CHECKLOCKTIMEVERIFY CHECKSEQUENCEVERIFY NOP4 NOP5 NOP6 NOP7 NOP8 NOP9 NOP10 CHECKSIGADD"
)
_NAMES: Final = dict(enumerate(_FROM_0X50.split(), start=0x50))
OP_CHECKSIGADD: Final = 0xBA
MAX_OPCODE: Final = OP_CHECKSIGADD
"""The highest with a meaning."""
MAX_ELEMENT_SIZE: Final = 520
"""Bytes of an element on a script's stack (``MAX_SCRIPT_ELEMENT_SIZE``)."""
_SUCCESS: Final = frozenset(
    [0x50, 0x62, *range(126, 130), *range(131, 135), 137, 138, 141, 142, *range(149, 154), *range(187, 255)]
)
"""Opcodes that let a tapscript succeed (BIP342)."""
_INVALID_OPCODE: Final = 0xFF

_LONGEST_NUMBER: Final = 4
"""Bytes of an element that is shown as a number."""

_HASH_TYPES: Final = {
    0x01: "ALL",
    0x81: "ALL|ANYONECANPAY",
    0x02: "NONE",
    0x82: "NONE|ANYONECANPAY",
    0x03: "SINGLE",
    0x83: "SINGLE|ANYONECANPAY",
}

_PAY_TO_ANCHOR: Final = bytes.fromhex("51024e73")
_KEY_SIZES: Final = {2: 33, 3: 33, 4: 65, 6: 65, 7: 65}
"""Bytes of a public key by its first one."""
_HYBRID_KEYS: Final = (6, 7)
_COMPRESSED_SIZE: Final = 33
_KEY_HASH_PROGRAM: Final = 2 + HASH160_SIZE
_FIELD: Final = 2**256 - 2**32 - 977
"""The order of the field of secp256k1."""


class OutputType(Enum):
    """The form of an output script; the values are Core's names."""

    NONSTANDARD = "nonstandard"
    ANCHOR = "anchor"
    PUBKEY = "pubkey"
    PUBKEYHASH = "pubkeyhash"
    SCRIPTHASH = "scripthash"
    MULTISIG = "multisig"
    NULLDATA = "nulldata"
    WITNESS_V0_KEYHASH = "witness_v0_keyhash"
    WITNESS_V0_SCRIPTHASH = "witness_v0_scripthash"
    WITNESS_V1_TAPROOT = "witness_v1_taproot"
    WITNESS_UNKNOWN = "witness_unknown"


def script_asm(script: bytes, *, signatures: bool = False) -> str:
    """A script as words: numbers, hex, names of opcodes. ``signatures``: elements may be signatures."""
    signatures = signatures and not is_unspendable(script)
    words: list[str] = []
    position = 0
    while position < len(script):
        read = read_op(script, position)
        if read is None:
            words.append("[error]")
            break
        op, data, position = read
        if op > OP_PUSHDATA4:
            words.append(_name(op))
        elif len(data) <= _LONGEST_NUMBER:
            words.append(str(script_number(data)))
        else:
            words.append(_signature(data) if signatures and is_signature(data) else data.hex())
    return " ".join(words)


def _name(op: int) -> str:
    if op == OP_1NEGATE:
        return "-1"
    if OP_1 <= op <= OP_16:
        return _NAMES[op]
    return f"OP_{_NAMES[op]}" if op in _NAMES else "OP_INVALIDOPCODE" if op == _INVALID_OPCODE else "OP_UNKNOWN"


def script_number(data: bytes) -> int:
    """A number as scripts write it: little-endian, the highest bit a sign."""
    magnitude = int.from_bytes(data, "little")
    if not data or not data[-1] & 0x80:
        return magnitude
    return -(magnitude - (1 << 8 * len(data) - 1))


def _signature(data: bytes) -> str:
    return f"{data[:-1].hex()}[{_HASH_TYPES[data[-1]]}]"


def is_signature(data: bytes) -> bool:
    """Whether these bytes have the form of an ECDSA signature: strict DER (BIP66) and a hash type that exists."""
    if not 9 <= len(data) <= 73 or data[0] != 0x30 or data[1] != len(data) - 3 or data[-1] not in _HASH_TYPES:
        return False
    r_size = data[3]
    if 5 + r_size >= len(data):
        return False
    s_size = data[5 + r_size]
    if r_size + s_size + 7 != len(data):
        return False
    return _is_der_number(data[2:4], data[4 : 4 + r_size]) and _is_der_number(
        data[4 + r_size : 6 + r_size], data[6 + r_size : 6 + r_size + s_size]
    )


def _is_der_number(head: bytes, number: bytes) -> bool:
    """A positive integer without a superfluous zero."""
    if head[0] != 0x02 or not number or number[0] & 0x80:
        return False
    return len(number) == 1 or number[0] != 0 or bool(number[1] & 0x80)


def has_valid_ops(script: bytes) -> bool:
    """Whether a script can be read to its end, has no unknown opcode and pushes nothing too large."""
    return all(op <= MAX_OPCODE and len(data) <= MAX_ELEMENT_SIZE for op, data in _ops(script))


def _ops(script: bytes) -> Iterator[tuple[int, bytes]]:
    """The opcodes and what they push; the last has an opcode above all if the script is cut short."""
    position = 0
    while position < len(script):
        read = read_op(script, position)
        if read is None:
            yield 1 << 8, b""
            return
        op, data, position = read
        yield op, data


def output_type(script: bytes) -> OutputType:
    """The form of an output script (Core: ``Solver``)."""
    if is_p2sh(script):
        return OutputType.SCRIPTHASH
    witness = witness_program(script)
    if witness is not None:
        return _witness_type(script, *witness)
    if script[:1] == bytes((OP_RETURN,)) and is_push_only(script[1:]):
        return OutputType.NULLDATA
    if _pubkey_of(script) is not None:
        return OutputType.PUBKEY
    if key_hash_of(script) is not None:
        return OutputType.PUBKEYHASH
    return OutputType.NONSTANDARD if _multisig_of(script) is None else OutputType.MULTISIG


def _witness_type(script: bytes, version: int, program: bytes) -> OutputType:
    if version == 0:
        by_size = {20: OutputType.WITNESS_V0_KEYHASH, 32: OutputType.WITNESS_V0_SCRIPTHASH}
        return by_size.get(len(program), OutputType.NONSTANDARD)
    if version == 1 and len(program) == 32:
        return OutputType.WITNESS_V1_TAPROOT
    return OutputType.ANCHOR if script == _PAY_TO_ANCHOR else OutputType.WITNESS_UNKNOWN


def _is_pubkey(data: bytes) -> bool:
    return bool(data) and _KEY_SIZES.get(data[0]) == len(data)


def _pubkey_of(script: bytes) -> bytes | None:
    """The key of a pay-to-pubkey script."""
    key = script[1:-1]
    return (
        key if script[-1:] == bytes((OP_CHECKSIG,)) and _is_pubkey(key) and script == push(key) + script[-1:] else None
    )


def _multisig_of(script: bytes) -> tuple[int, list[bytes]] | None:
    """How many signatures of which keys a bare multisig script asks for."""
    if script[-1:] != bytes((OP_CHECKMULTISIG,)):
        return None
    read = read_op(script, 0)
    required = None if read is None else _small_number(read[0], read[1])
    keys: list[bytes] = []
    while read is not None and read[2] < len(script):
        read = read_op(script, read[2])
        if read is None or not _is_pubkey(read[1]):
            break
        keys.append(read[1])
    if read is None or required is None:
        return None
    total = _small_number(read[0], read[1])
    if total is None or total != len(keys) or total < required or read[2] != len(script) - 1:
        return None
    return required, keys


def _small_number(op: int, data: bytes) -> int | None:
    """A number from 1 to 20, as OP_1 .. OP_16 or as the shortest push of it."""
    if OP_1 <= op <= OP_16:
        return op - OP_1 + 1
    if op < OP_PUSHDATA1 and len(data) == 1 and 16 < data[0] <= MAX_PUBKEYS_PER_MULTISIG:
        return data[0]
    return None


def infer_descriptor(script: bytes, prefixes: AddressPrefixes) -> str:
    """The descriptor, with checksum, that means this output script on the network with these prefixes."""
    return with_checksum(_inferred(script, encode_address(script, prefixes)))


def _inferred(script: bytes, address: str | None) -> str:
    key = _pubkey_of(script)
    if key is not None and key[0] not in _HYBRID_KEYS:
        return f"pk({key.hex()})"
    multisig = _multisig_of(script)
    if multisig is not None and all(key[0] not in _HYBRID_KEYS for key in multisig[1]):
        return f"multi({','.join([str(multisig[0]), *(key.hex() for key in multisig[1])])})"
    witness = witness_program(script)
    if witness is not None and witness[0] == 1 and len(witness[1]) == 32 and is_x_coordinate(witness[1]):
        return f"rawtr({witness[1].hex()})"
    return f"raw({script.hex()})" if address is None else f"addr({address})"


def is_x_coordinate(data: bytes) -> bool:
    """Whether 32 bytes are the x coordinate of a point of secp256k1, as a taproot output's key must be (BIP340)."""
    x = int.from_bytes(data, "big")
    return x < _FIELD and pow(x**3 + 7, (_FIELD - 1) // 2, _FIELD) == 1


def script_members(
    script: bytes, prefixes: AddressPrefixes, *, with_hex: bool = True, with_address: bool = True
) -> dict[str, object]:
    """What RPCs tell of an output script (Core: ``ScriptToUniv``)."""
    kind = output_type(script)
    members: dict[str, object] = {"asm": script_asm(script)}
    address = encode_address(script, prefixes) if with_address else None
    if with_address:
        members["desc"] = with_checksum(_inferred(script, address))
    if with_hex:
        members["hex"] = script.hex()
    if address is not None:
        members["address"] = address
    members["type"] = kind.value
    return members


def can_be_wrapped(script: bytes) -> bool:
    """Whether it makes sense to pay to the hash of this script (Core: ``decodescript``)."""
    if output_type(script) in _NEVER_WRAPPED or not has_valid_ops(script) or is_unspendable(script):
        return False
    return not any(op == OP_CHECKSIGADD or op in _SUCCESS for op, _data in _ops(script))


_NEVER_WRAPPED: Final = frozenset(
    {
        OutputType.NULLDATA,
        OutputType.SCRIPTHASH,
        OutputType.WITNESS_UNKNOWN,
        OutputType.WITNESS_V1_TAPROOT,
        OutputType.ANCHOR,
    }
)


def segwit_form(script: bytes) -> bytes | None:
    """The witness program that asks for the same as ``script``; None where there is none.

    Keys of 65 bytes are not allowed there, and a witness program is not wrapped once more.
    """
    kind, key, multisig = output_type(script), _pubkey_of(script), _multisig_of(script)
    if kind in (OutputType.WITNESS_V0_KEYHASH, OutputType.WITNESS_V0_SCRIPTHASH):
        return None
    keys = [key] if key is not None else multisig[1] if multisig is not None else []
    if any(len(each) != _COMPRESSED_SIZE for each in keys):
        return None
    key_hash = hash160(key) if key is not None else key_hash_of(script)
    return witness_script(0, sha256(script).digest() if key_hash is None else key_hash)


def witness_members(script: bytes, program: bytes, prefixes: AddressPrefixes) -> dict[str, object]:
    """As `script_members` of a witness program of which the script is known."""
    members = script_members(program, prefixes)
    if len(program) > _KEY_HASH_PROGRAM and _multisig_of(script) is not None:
        members["desc"] = with_checksum(f"wsh({_inferred(script, None)})")
    return members

"""Which script rules hold in a block (Core: ``GetBlockScriptFlags`` in ``validation.cpp``).

Soft forks changed what scripts mean. P2SH, segwit and taproot are applied to every block since genesis, because no
block that is in the chain breaks them, but for three that do and are named here. The others hold from a height on,
which is the network's (`SoftForks`).

These seven rules are all that consensus knows. What else Core calls a script flag is policy: it keeps transactions
out of a memory pool and never out of a block.
"""

from collections.abc import Mapping
from enum import IntFlag
from typing import Final

from ccnode.chain.params import ChainParams


class ScriptFlag(IntFlag):
    """The script rules of consensus, with the numbers that libbitcoinkernel gives them."""

    NONE = 0
    P2SH = 1 << 0  # BIP16
    DERSIG = 1 << 2  # BIP66: signatures are strict DER
    NULLDUMMY = 1 << 4  # BIP147: the extra element of CHECKMULTISIG is empty
    CHECKLOCKTIMEVERIFY = 1 << 9  # BIP65
    CHECKSEQUENCEVERIFY = 1 << 10  # BIP112
    WITNESS = 1 << 11  # BIP141
    TAPROOT = 1 << 17  # BIP341, BIP342


# From here on plain numbers: arithmetic with an IntFlag takes a microsecond, and this is done for every transaction.

ALL_SCRIPT_FLAGS: Final = int(
    ScriptFlag.P2SH
    | ScriptFlag.DERSIG
    | ScriptFlag.NULLDUMMY
    | ScriptFlag.CHECKLOCKTIMEVERIFY
    | ScriptFlag.CHECKSEQUENCEVERIFY
    | ScriptFlag.WITNESS
    | ScriptFlag.TAPROOT
)

_BEFORE_TAPROOT: Final = int(ScriptFlag.P2SH | ScriptFlag.WITNESS)
_SINCE_GENESIS: Final = int(ScriptFlag.P2SH | ScriptFlag.WITNESS | ScriptFlag.TAPROOT)
_DERSIG: Final = int(ScriptFlag.DERSIG)
_CHECKLOCKTIMEVERIFY: Final = int(ScriptFlag.CHECKLOCKTIMEVERIFY)
_CHECKSEQUENCEVERIFY: Final = int(ScriptFlag.CHECKSEQUENCEVERIFY)
_NULLDUMMY: Final = int(ScriptFlag.NULLDUMMY)


def _hash(text: str) -> bytes:
    return bytes.fromhex(text)[::-1]


EXCEPTIONS: Final[Mapping[bytes, int]] = {
    # mainnet 170,060 and a block of testnet3 spend outputs that have the form of P2SH without satisfying it
    _hash("00000000000002dc756eebf4f49723ed8d30cc28a5f108eb94b1ba88ac4f9c22"): 0,
    _hash("00000000dd30457c001f4095d208cc1296b0eed002427aa599874af7a432b105"): 0,
    # mainnet 692,261 spends a version 1 output before taproot was active
    _hash("0000000000000000000f14c35b2d841e986ab5441de8c585d5ffe55ea1e395ad"): _BEFORE_TAPROOT,
}
"""By block hash, what replaces the rules since genesis (Core: ``script_flag_exceptions``). The rules by height are
added to it. A hash says which network it belongs to: no other has such a block."""


def block_script_flags(params: ChainParams, height: int, block_hash: bytes) -> int:
    """The script rules for the block with ``block_hash`` (internal order) at ``height``: `ScriptFlag` bits."""
    forks = params.soft_forks
    flags = EXCEPTIONS.get(block_hash, _SINCE_GENESIS)
    if height >= forks.bip66:
        flags |= _DERSIG
    if height >= forks.bip65:
        flags |= _CHECKLOCKTIMEVERIFY
    if height >= forks.csv:
        flags |= _CHECKSEQUENCEVERIFY
    if height >= forks.segwit:
        flags |= _NULLDUMMY
    return flags

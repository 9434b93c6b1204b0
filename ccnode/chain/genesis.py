"""The first block's body. Networks name its header only; the one transaction is found by the merkle root.

Nobody validates it and its coin can never be spent, but it is served, shown and stored like any other block.
"""

from hashlib import sha256
from typing import Final

from ccnode.chain.params import ChainParams
from ccnode.chain.script import OP_CHECKSIG, push

_BITS: Final = bytes.fromhex("04ffff001d0104")
"""Pushes of the difficulty and of the number 4, as the first miner's program made them."""

_TEXT_2009: Final = b"The Times 03/Jan/2009 Chancellor on brink of second bailout for banks"
_KEY_2009: Final = bytes.fromhex(
    "04678afdb0fe5548271967f1a67130b7105cd6a828e03909a67962e0ea1f61deb649f6bc3f4cef38c4f35504e51ec112de5c384df7ba0b8d57"
    "8a4c702b6bf11d5f"
)
_TEXT_TESTNET4: Final = b"03/May/2024 000000000000000000001ebd58c244970b3aa9d783bb001011fbe8ea8e98e00e"
_KEY_TESTNET4: Final = bytes(33)


def _coinbase(text: bytes, key: bytes) -> bytes:
    script_sig = _BITS + push(text)
    script = push(key) + bytes((OP_CHECKSIG,))
    return b"".join(
        (
            bytes.fromhex("0100000001") + bytes(32) + b"\xff" * 4,
            bytes((len(script_sig),)) + script_sig + b"\xff" * 4,
            b"\x01" + (50 * 100_000_000).to_bytes(8, "little"),
            bytes((len(script),)) + script + bytes(4),
        )
    )


_COINBASES: Final = (_coinbase(_TEXT_2009, _KEY_2009), _coinbase(_TEXT_TESTNET4, _KEY_TESTNET4))


def genesis_block(params: ChainParams) -> bytes | None:
    """The serialized block; None for a network whose genesis has a transaction that we do not know."""
    root = params.header_format.parse(params.genesis).merkle_root
    for coinbase in _COINBASES:
        if sha256(sha256(coinbase).digest()).digest() == root:
            return params.genesis + b"\x01" + coinbase
    return None

"""Addresses: the texts that stand for output scripts (Core: ``key_io.cpp``, ``addresstype.cpp``).

======================  =========================================  ================================================
pay to                  script                                     text
======================  =========================================  ================================================
public key hash         DUP HASH160 <20> EQUALVERIFY CHECKSIG      base58check of prefix and hash
script hash             HASH160 <20> EQUAL                         base58check of prefix and hash
witness version 0       0 <20 or 32>                               bech32 (BIP173)
later witness versions  1..16 <2 to 40>                            bech32m (BIP350)
======================  =========================================  ================================================

An address belongs to a network: its prefixes are the network's. Every other script has no address. The encodings are
those of the package embit; which of them stands for what is said here, with Core's sentences for texts that are none.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Final

from ccnode.chain.hash160 import HASH160_SIZE
from ccnode.chain.params import AddressPrefixes
from ccnode.chain.script import OP_1, is_p2sh, witness_program
from ccnode.wire.serialize import sha256d

MAX_BASE58_SIZE: Final = 21 + 4
"""Bytes that a base58 address holds: prefix, hash, checksum. Networks with longer prefixes are none of ours."""

MAX_TEXT: Final = 140
"""Characters of a text that is looked at as base58: decoding takes time with the square of the length."""

_MAX_DECODED: Final = 100
"""Bytes of base58 without a valid checksum that Core still calls base58."""
_MAX_BECH32: Final = 90
"""Characters (BIP173)."""
_SPACES: Final = " \f\n\r\t\v"
_BASE58: Final = frozenset("123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz")

_WITNESS_KEY_HASH_SIZE: Final = HASH160_SIZE
_WITNESS_SCRIPT_HASH_SIZE: Final = 32
_MIN_PROGRAM: Final = 2
_MAX_PROGRAM: Final = 40
_MAX_WITNESS_VERSION: Final = 16

_P2PKH: Final = (bytes.fromhex("76a914"), bytes.fromhex("88ac"))
_P2SH: Final = (bytes.fromhex("a914"), bytes.fromhex("87"))


class AddressError(ValueError):
    """A text is no address of the network; the message is Core's."""

    def __init__(self, message: str, places: Sequence[int] = ()) -> None:
        """``places``: positions in the text of characters that are wrong, where that is known."""
        super().__init__(message)
        self.places = list(places)


def witness_script(version: int, program: bytes) -> bytes:
    """Pay to a witness program of 2 to 40 bytes (BIP141)."""
    return bytes((version and OP_1 - 1 + version, len(program))) + program


def key_hash_script(key_hash: bytes) -> bytes:
    """Pay to the public key with this hash."""
    return _P2PKH[0] + key_hash + _P2PKH[1]


def script_hash_script(script_hash: bytes) -> bytes:
    """Pay to the script with this hash (BIP16)."""
    return _P2SH[0] + script_hash + _P2SH[1]


def key_hash_of(script: bytes) -> bytes | None:
    """The hash, if ``script`` pays to a public key's."""
    if len(script) == 25 and script.startswith(_P2PKH[0]) and script.endswith(_P2PKH[1]):
        return script[3:23]
    return None


def script_hash_of(script: bytes) -> bytes | None:
    """The hash, if ``script`` pays to a script's."""
    return script[2:22] if is_p2sh(script) else None


def encode_address(script: bytes, prefixes: AddressPrefixes) -> str | None:
    """The address of an output script; None if it has none."""
    witness = witness_program(script)
    if witness is not None:
        version, program = witness
        if version == 0 and len(program) not in (_WITNESS_KEY_HASH_SIZE, _WITNESS_SCRIPT_HASH_SIZE):
            return None
        bech32 = _bech32()
        encoding = bech32.Encoding.BECH32M if version else bech32.Encoding.BECH32
        text: str = bech32.bech32_encode(encoding, prefixes.bech32_hrp, [version, *bech32.convertbits(program, 8, 5)])
        return text
    for prefix, found in ((prefixes.pubkey, key_hash_of(script)), (prefixes.script, script_hash_of(script))):
        if found is not None:
            encoded: str = _base58().encode_check(prefix + found)
            return encoded
    return None


def decode_address(text: str, prefixes: AddressPrefixes) -> bytes:
    """The output script that ``text`` stands for on the network with these prefixes. Raises `AddressError`."""
    if text[: len(prefixes.bech32_hrp)].lower() == prefixes.bech32_hrp:
        return _decode_bech32(text, prefixes.bech32_hrp)
    return _decode_base58(text, prefixes)


def _decode_base58(text: str, prefixes: AddressPrefixes) -> bytes:
    text = text.strip(_SPACES)
    data = _base58().decode(text) if _BASE58.issuperset(text) and 0 < len(text) <= MAX_TEXT else b""
    if not 0 < len(data) <= _MAX_DECODED:
        raise AddressError("Invalid or unsupported Segwit (Bech32) or Base58 encoding.")
    payload = data[:-4]
    if len(data) > MAX_BASE58_SIZE or sha256d(payload)[:4] != data[-4:]:
        raise AddressError("Invalid checksum or length of Base58 address (P2PKH or P2SH)")
    for prefix, build in ((prefixes.pubkey, key_hash_script), (prefixes.script, script_hash_script)):
        if payload.startswith(prefix) and len(payload) == len(prefix) + HASH160_SIZE:
            return build(payload[len(prefix) :])
    if any(payload.startswith(prefix) for prefix in (prefixes.pubkey, prefixes.script)):
        raise AddressError("Invalid length for Base58 address (P2PKH or P2SH)")
    raise AddressError("Invalid or unsupported Base58-encoded address.")


def _decode_bech32(text: str, hrp: str) -> bytes:
    bech32 = _bech32()
    encoding, found, data = bech32.bech32_decode(text)
    if encoding is None:
        raise _bech32_fault(text)
    if not data:
        raise AddressError("Empty Bech32 data section")
    if found != hrp:
        raise AddressError(f"Invalid or unsupported prefix for Segwit (Bech32) address (expected {hrp}, got {found}).")
    version = data[0]
    if version == 0 and encoding != bech32.Encoding.BECH32:
        raise AddressError("Version 0 witness address must use Bech32 checksum")
    if version != 0 and encoding != bech32.Encoding.BECH32M:
        raise AddressError("Version 1+ witness address must use Bech32m checksum")
    numbers = bech32.convertbits(data[1:], 5, 8, False)
    if numbers is None:
        raise AddressError("Invalid padding in Bech32 data section")
    program = bytes(numbers)
    size = "byte" if len(program) == 1 else "bytes"
    if version == 0 and len(program) not in (_WITNESS_KEY_HASH_SIZE, _WITNESS_SCRIPT_HASH_SIZE):
        raise AddressError(f"Invalid Bech32 v0 address program size ({len(program)} {size}), per BIP141")
    if version > _MAX_WITNESS_VERSION:
        raise AddressError("Invalid Bech32 address witness version")
    if not _MIN_PROGRAM <= len(program) <= _MAX_PROGRAM:
        raise AddressError(f"Invalid Bech32 address program size ({len(program)} {size})")
    return witness_script(version, program)


def _bech32_fault(text: str) -> AddressError:
    """What is wrong with a text that has our prefix and is no bech32, in Core's words (``bech32::LocateErrors``).

    Core finds up to two wrong digits of a checksum that does not fit; we do not.
    """
    if len(text) > _MAX_BECH32:
        return AddressError("Bech32 string too long", range(_MAX_BECH32, len(text)))
    cased = [character for character in text if character.lower() != character.upper()]
    wanted = str.lower if cased and cased[0].islower() else str.upper
    places = [i for i, each in enumerate(text) if not "!" <= each <= "~" or each != wanted(each)]
    if places:
        return AddressError("Invalid character or mixed case", places)
    separator = text.rfind("1")
    if separator == -1:
        return AddressError("Missing separator")
    if separator == 0 or separator + 7 > len(text):
        return AddressError("Invalid separator position", [separator])
    charset = _bech32().CHARSET
    for i in range(separator + 1, len(text)):
        if text[i].lower() not in charset:
            return AddressError("Invalid Base 32 character", [i])
    return AddressError("Invalid checksum")


@cache
def _bech32() -> ModuleType:
    """Loaded when first used: embit brings a library of curves along, 4 MB that most nodes never need."""
    return import_module("embit.bech32")


@cache
def _base58() -> ModuleType:
    return import_module("embit.base58")

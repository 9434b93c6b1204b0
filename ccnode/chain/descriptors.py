"""Output descriptors as far as the node knows them: ``addr(ADDRESS)`` and ``raw(HEX)`` (BIP385).

A descriptor says which scripts somebody means. A checksum of eight characters may follow after ``#`` (BIP380); it
finds up to four wrong characters. The texts of errors are Core's (``script/descriptor.cpp``).
"""

from functools import reduce
from operator import xor
from typing import Final

from ccnode.chain.addresses import AddressError, decode_address
from ccnode.chain.params import AddressPrefixes

CHECKSUM_SIZE: Final = 8
"""Characters."""

_INPUT: Final = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
"""What a descriptor may consist of, in an order that makes likely mistakes small."""
_OUTPUT: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0xF5DEE51989, 0xA9FDCA3312, 0x1BAB10E32D, 0x3706B1677A, 0x644D626FFD)
_TAPS: Final = [reduce(xor, [g for i, g in enumerate(_GENERATOR) if top >> i & 1], 0) for top in range(32)]
"""What one step of the code adds, by the five bits that leave the state (BIP380); every output shown needs a checksum,
and a table makes it five times as quick."""
_POSITIONS: Final = {character: position for position, character in enumerate(_INPUT)}
_ROOM: Final = [0] * CHECKSUM_SIZE
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class DescriptorError(ValueError):
    """A text is no descriptor that we know; the message is Core's."""


def checksum(text: str) -> str:
    """The checksum of a descriptor without one. Raises `DescriptorError`."""
    try:
        positions = [_POSITIONS[character] for character in text]
    except KeyError:
        raise DescriptorError("Invalid characters in payload") from None
    values = []
    for i in range(0, len(positions), 3):
        group = positions[i : i + 3]
        values += [position & 31 for position in group]
        high = 0
        for position in group:
            high = high * 3 + (position >> 5)
        values.append(high)
    state = 1
    for value in (*values, *_ROOM):
        state = (state & 0x7FFFFFFFF) << 5 ^ value ^ _TAPS[state >> 35]
    state ^= 1
    return "".join(_OUTPUT[state >> 5 * (CHECKSUM_SIZE - 1 - i) & 31] for i in range(CHECKSUM_SIZE))


def with_checksum(text: str) -> str:
    """A descriptor and its checksum."""
    return f"{text}#{checksum(text)}"


def parse_descriptor(text: str, prefixes: AddressPrefixes) -> bytes:
    """The script that a descriptor means on the network with these prefixes. Raises `DescriptorError`."""
    body = _without_checksum(text)
    if body.startswith("addr(") and body.endswith(")"):
        try:
            return decode_address(body[5:-1], prefixes)
        except AddressError:
            raise DescriptorError("Address is not valid") from None
    if body.startswith("raw(") and body.endswith(")"):
        digits = body[4:-1]
        if not digits or len(digits) % 2 or not _HEX.issuperset(digits):
            raise DescriptorError("Raw script is not hex")
        return bytes.fromhex(digits)
    raise DescriptorError(f"'{body}' is not a valid descriptor function")


def _without_checksum(text: str) -> str:
    body, *given = text.split("#")
    if len(given) > 1:
        raise DescriptorError("Multiple '#' symbols")
    if given and len(given[0]) != CHECKSUM_SIZE:
        raise DescriptorError(f"Expected 8 character checksum, not {len(given[0])} characters")
    right = checksum(body)
    if given and given[0] != right:
        raise DescriptorError(f"Provided checksum '{given[0]}' does not match computed checksum '{right}'")
    return body

"""Output descriptors as far as the node knows them: ``addr(ADDRESS)`` and ``raw(HEX)`` (BIP385).

A descriptor says which scripts somebody means. A checksum of eight characters may follow after ``#`` (BIP380); it
finds up to four wrong characters. The texts of errors are Core's (``script/descriptor.cpp``).
"""

from typing import Final

from ccnode.chain.addresses import AddressError, decode_address
from ccnode.chain.params import AddressPrefixes

CHECKSUM_SIZE: Final = 8
"""Characters."""

_INPUT: Final = "0123456789()[],'/*abcdefgh@:$%{}IJKLMNOPQRSTUVWXYZ&+-.;<=>?!^_|~ijklmnopqrstuvwxyzABCDEFGH`#\"\\ "
"""What a descriptor may consist of, in an order that makes likely mistakes small."""
_OUTPUT: Final = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_GENERATOR: Final = (0xF5DEE51989, 0xA9FDCA3312, 0x1BAB10E32D, 0x3706B1677A, 0x644D626FFD)
_HEX: Final = frozenset("0123456789abcdefABCDEF")


class DescriptorError(ValueError):
    """A text is no descriptor that we know; the message is Core's."""


def checksum(text: str) -> str:
    """The checksum of a descriptor without one. Raises `DescriptorError`."""
    state, group, count = 1, 0, 0
    for character in text:
        position = _INPUT.find(character)
        if position < 0:
            raise DescriptorError("Invalid characters in payload")
        state = _step(state, position & 31)
        group = group * 3 + (position >> 5)
        count += 1
        if count == 3:
            state, group, count = _step(state, group), 0, 0
    if count:
        state = _step(state, group)
    for _ in range(CHECKSUM_SIZE):
        state = _step(state, 0)
    state ^= 1
    return "".join(_OUTPUT[state >> 5 * (CHECKSUM_SIZE - 1 - i) & 31] for i in range(CHECKSUM_SIZE))


def _step(state: int, value: int) -> int:
    """One step of the code over numbers of five bits (BIP380)."""
    top = state >> 35
    state = (state & 0x7FFFFFFFF) << 5 ^ value
    for i, generator in enumerate(_GENERATOR):
        if top >> i & 1:
            state ^= generator
    return state


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

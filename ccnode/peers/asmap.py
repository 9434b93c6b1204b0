"""From IP addresses to autonomous systems, by a file that Bitcoin Core's tools make (Core: ``util/asmap.cpp``).

An autonomous system is one operator's part of the internet. Whoever rents machines in a hundred /16 networks of one
provider has a hundred net groups but one AS number, so counting by AS makes an eclipse attack dearer. The map is only
as good as the day's routing tables it was made of, and says nothing about who really controls an address.

The file is a program over the bits of an address of 128 bits (IPv4 as ``::ffff:0:0/96``), most significant first, as a
stream of bits, the least significant bit of each byte first:

- ``RETURN asn``: the answer;
- ``JUMP n``: take a bit of the address; if it is 1, skip ``n`` bits of the program;
- ``MATCH bits``: take as many bits; if they differ, the answer is the default;
- ``DEFAULT asn``: the default from here on, at first 0, which stands for "unknown" (RFC 7607 reserves AS 0).

Operands have a length in unary and then that many bits. `Asmap` reads the file once from end to end and refuses every
program that could run off its end, take more than 128 bits, jump into an instruction or hold code that is never
reached, so `Asmap.lookup` needs no checks.
"""

from enum import IntEnum
from hashlib import sha256
from typing import Final

from ccnode.wire.address import IPV4_IN_IPV6

MAX_ASMAP_BYTES: Final = 8_388_608
"""Largest file read (Core: ``MAX_ASMAP_FILESIZE``). A map of the whole internet has 1.5 MB."""

ADDRESS_BITS: Final = 128
LONGEST_INSTRUCTION: Final = 9
"""Bytes that hold any instruction at any bit position: 2 bits of type, 25 + 30 of a jump, and 7 before it."""

_WINDOW_BITS: Final = 8 * LONGEST_INSTRUCTION
_WINDOW_MASK: Final = (1 << _WINDOW_BITS) - 1
_FULL_MATCH: Final = 8
"""Bits of the longest MATCH; longer ones are written as several."""

_REVERSED_BITS: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


MAX_ENTRANCES: Final = 8192
"""Prefixes whose way is remembered."""

_State = tuple[int, int, int]
"""Position in the program, address bits left, and the default, which is the answer once the position is `_ANSWERED`."""

_ANSWERED: Final = -1
_START: Final[_State] = (0, ADDRESS_BITS, 0)


class Opcode(IntEnum):
    RETURN = 0
    JUMP = 1
    MATCH = 2
    DEFAULT = 3


_TYPES: Final = (Opcode.RETURN,) * 4 + (Opcode.JUMP,) * 2 + (Opcode.MATCH, Opcode.DEFAULT)
"""By the next three bits: 0, 10, 110, 111."""
_TYPE_BITS: Final = (1, 1, 1, 1, 2, 2, 3, 3)

_OPERANDS: Final = ((1, 15, 24), (17, 5, 30), (2, 1, 8), (1, 15, 24))
"""By opcode: the least value, and the least and greatest length of the number added to it, in bits."""


class Asmap:
    """One loaded map. Immutable."""

    def __init__(self, data: bytes) -> None:
        """Check ``data``, a file's content. `ValueError` if it is no sound map."""
        if len(data) > MAX_ASMAP_BYTES:
            raise ValueError(f"{len(data)} bytes are too many for an asmap (at most {MAX_ASMAP_BYTES})")
        self._end = 8 * len(data)
        # Reversed, the stream reads most significant bit first; the zeros let the last instruction be read like any.
        self._code = data.translate(_REVERSED_BITS) + bytes(LONGEST_INSTRUCTION)
        self.checksum = sha256(data).digest()
        """Tells maps apart: addresses are placed anew when it changes."""
        self._entrances: dict[tuple[int, int], _State] = {}
        problem = self._find_problem()
        if problem is not None:
            raise ValueError(f"not an asmap file, or a damaged one: {problem}")

    @property
    def data(self) -> bytes:
        """The map as it was given."""
        return self._code[: self._end // 8].translate(_REVERSED_BITS)

    def lookup(self, address: bytes) -> int:
        """The AS number of an address of 16 bytes, 0 if unknown.

        A walk from the start takes some 70 microseconds. The way through the first bits, which many addresses have
        in common, is remembered; from there it takes 3.
        """
        bits = int.from_bytes(address, "big")
        own_bits = 16 if address.startswith(IPV4_IN_IPV6) else 96
        prefix = bits >> own_bits, own_bits
        state = self._entrances.get(prefix)
        if state is None:
            if len(self._entrances) >= MAX_ENTRANCES:
                self._entrances.clear()
            state = self._entrances[prefix] = self._walk(bits, _START, own_bits)
        return self._walk(bits, state, 0)[2]

    def _walk(self, bits: int, state: _State, keep: int) -> _State:
        """Go on from ``state`` up to the instruction that needs one of the last ``keep`` bits, or to the answer."""
        position, left, default = state
        while position != _ANSWERED:
            here = position
            opcode, operand, position = self._decode(here)
            if opcode is Opcode.JUMP:
                if left <= keep:
                    return here, left, default
                left -= 1
                if bits >> left & 1:
                    position += operand
            elif opcode is Opcode.MATCH:
                length = operand.bit_length() - 1
                if left - length < keep:
                    return here, left, default
                left -= length
                if (bits >> left ^ operand) & ((1 << length) - 1):
                    position = _ANSWERED
            else:
                default = operand
                if opcode is Opcode.RETURN:
                    position = _ANSWERED
        return position, left, default

    def _decode(self, position: int) -> tuple[Opcode, int, int]:
        """The instruction at a bit position, its operand, and where the next one is (behind the end: cut off)."""
        byte = position >> 3
        window = int.from_bytes(self._code[byte : byte + LONGEST_INSTRUCTION], "big") << (position & 7) & _WINDOW_MASK
        kind = window >> (_WINDOW_BITS - 3)
        opcode, used = _TYPES[kind], _TYPE_BITS[kind]
        least, shortest, longest = _OPERANDS[opcode]
        steps = longest - shortest
        exponent = window >> (_WINDOW_BITS - used - steps) & ((1 << steps) - 1)
        ones = steps - (exponent ^ ((1 << steps) - 1)).bit_length()
        length = shortest + ones
        used += min(ones + 1, steps) + length  # the longest needs no zero after its ones
        mantissa = window >> (_WINDOW_BITS - used) & ((1 << length) - 1)
        return opcode, least + (1 << length) - (1 << shortest) + mantissa, position + used

    def _find_problem(self) -> str | None:
        """What is wrong with the program, None if nothing (Core: ``SanityCheckAsmap``)."""
        end = self._end
        jumps: list[tuple[int, int]] = []  # targets ahead, the nearest last, with the address bits left there
        left, position, previous, short_match = ADDRESS_BITS, 0, Opcode.JUMP, False
        while position < end:
            if jumps and position >= jumps[-1][0]:
                return "a jump into an instruction"
            opcode, operand, position = self._decode(position)
            if position > end:
                return "an instruction is cut off"
            if opcode is Opcode.RETURN:
                if previous is Opcode.DEFAULT:
                    return "a default without use"
                if not jumps:
                    return self._padding_problem(position)
                target, left = jumps.pop()
                if position != target:
                    return "code that is never reached"
                opcode = Opcode.JUMP  # we are where a jump leads
            elif opcode is Opcode.JUMP:
                left -= 1
                if position + operand > end or (jumps and position + operand >= jumps[-1][0]):
                    return "a jump too far"
                jumps.append((position + operand, left))
            elif opcode is Opcode.MATCH:
                length = operand.bit_length() - 1
                if previous is Opcode.MATCH and short_match and length < _FULL_MATCH:
                    return "matches that could be one"
                short_match = length < _FULL_MATCH
                left -= length
            elif previous is Opcode.DEFAULT:
                return "two defaults in a row"
            if left < 0:
                return "more bits asked for than an address has"
            previous = opcode
        return "no end"

    def _padding_problem(self, position: int) -> str | None:
        if self._end - position > 7:
            return "bytes after the end"
        last = self._code[self._end // 8 - 1] if position < self._end else 0
        return "bits after the end" if last & ((1 << (self._end - position)) - 1) else None

"""Compact block filters (BIP158; Core: ``blockfilter.cpp``): does a block concern any of these scripts?

A filter is a set of scripts, made small by giving up certainty: one of 784,931 scripts that are not in it seems to be.
The *basic* filter of a block holds the scripts of its outputs, but those that begin with OP_RETURN, and the scripts of
the outputs that it spends, which is all that a wallet can be concerned by. Every script becomes a number below
``N * 784,931`` by a hash whose key is taken from the block's hash, so that no script can be made to collide in all
blocks. The numbers are sorted, and what is written are their differences, in Golomb-Rice code: the part above the
lowest 19 bits as so many ones and a zero, then the 19 bits. In front of that stands N.

The hash of a filter and the header of the filter before give the *filter header*, a chain beside the chain of blocks
by which a client that asks several peers finds out whether one of them lies (BIP157). No block commits to it.

For a block of 1 MB with 3000 scripts the filter has 8 kB; it takes 2 to 4 ms to write and 1 to 2 to read.
"""

from collections.abc import Iterable

from siphashc import siphash

from ccnode.errors import DecodeError
from ccnode.wire.serialize import Reader, compact_size, sha256d

BASIC_FILTER_M = 784_931
"""One in so many scripts matches by chance (``BASIC_FILTER_M``)."""

BASIC_FILTER_P = 19
"""Low bits of a difference that are written as they are (``BASIC_FILTER_P``)."""

GENESIS_PREVIOUS = bytes(32)
"""What stands for the filter header before the genesis block's."""

_KEY_SIZE = 16
_OP_RETURN = b"\x6a"
_LOW_BITS = (1 << BASIC_FILTER_P) - 1
_TAIL_FORM = f"0{BASIC_FILTER_P + 1}b"  # the zero that ends the ones, and the low bits


def filter_scripts(outputs: Iterable[Iterable[tuple[int, bytes]]], spent: Iterable[bytes]) -> set[bytes]:
    """What the basic filter of a block holds.

    :param outputs: (value, script) of the outputs of each transaction.
    :param spent: scripts of the outputs that the block spends.
    """
    scripts = {script for transaction in outputs for _, script in transaction if script[:1] != _OP_RETURN}
    scripts.update(spent)
    scripts.discard(b"")
    return scripts


def encode_filter(block_hash: bytes, scripts: Iterable[bytes]) -> bytes:
    """The filter that holds ``scripts``, as it is stored and sent. ``block_hash`` is in internal order."""
    different = set(scripts)
    bits: list[str] = []
    last = 0
    for number in sorted(_numbers(block_hash, different, len(different))):
        difference = number - last
        bits.append("1" * (difference >> BASIC_FILTER_P) + format(difference & _LOW_BITS, _TAIL_FORM))
        last = number
    text = "".join(bits)
    size = (len(text) + 7) // 8
    stream = int(text.ljust(size * 8, "0"), 2).to_bytes(size, "big") if text else b""
    return compact_size(len(different)) + stream


def decode_filter(encoded: bytes) -> list[int]:
    """The numbers in a filter, by rising order. DecodeError if it is none, or if bytes are left over."""
    reader = Reader(encoded)
    count = reader.compact_size()
    stream = reader.take(reader.remaining)
    if count * (BASIC_FILTER_P + 1) > len(stream) * 8:
        raise DecodeError(f"truncated: a filter of {count} numbers in {len(stream)} bytes")
    text = format(int.from_bytes(stream, "big"), f"0{len(stream) * 8}b") if stream else ""
    numbers: list[int] = []
    number = position = 0
    for _ in range(count):
        end = text.find("0", position)
        tail = text[end + 1 : end + 1 + BASIC_FILTER_P]
        if end < 0 or len(tail) < BASIC_FILTER_P:
            raise DecodeError(f"truncated: the filter ends within number {len(numbers)} of {count}")
        number += (end - position << BASIC_FILTER_P) + int(tail, 2)
        numbers.append(number)
        position = end + 1 + BASIC_FILTER_P
    if len(text) - position >= 8:
        raise DecodeError("the filter has bytes after its end")
    return numbers


def filter_matches(block_hash: bytes, encoded: bytes, scripts: Iterable[bytes]) -> bool:
    """Whether the block may concern any of ``scripts``: certain if it says no. Raises `DecodeError`."""
    numbers = decode_filter(encoded)
    return not set(numbers).isdisjoint(_numbers(block_hash, scripts, len(numbers)))


def filter_hash(encoded: bytes) -> bytes:
    """What ``cfheaders`` lists, 32 bytes in internal order."""
    return sha256d(encoded)


def filter_header(hash_of_filter: bytes, previous: bytes) -> bytes:
    """The filter header of a block, after the one of its parent."""
    return sha256d(hash_of_filter + previous)


def _numbers(block_hash: bytes, scripts: Iterable[bytes], count: int) -> list[int]:
    """The scripts as numbers below ``count * BASIC_FILTER_M``; two that become one number are written twice."""
    key, span = block_hash[:_KEY_SIZE], count * BASIC_FILTER_M
    return [siphash(key, script) * span >> 64 for script in scripts]

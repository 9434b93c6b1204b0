"""Filling the index from a header file, at start.

A header's hash is the previous-hash field of the header after it, if that is its child. Hashing a million headers takes
over half a second; reading fields takes a fifth of that. So a stretch of records is first supposed to be one unbroken
chain. That holds if all their previous-hash fields differ and, the first aside, none names a header from before the
stretch: a record's parent comes earlier in the file, so each must then extend the record right before it. A stretch
with a fork in it fails the test and is split in two, down to single records. Only the last header of a stretch is
hashed.

This trusts the file: its checksums vouch for the bytes, and whoever wrote it checked the rules. Only a first record
without a known parent is noticed.
"""

from collections.abc import Sequence

from ccnode.chain.formats import HeaderFormat
from ccnode.chain.index import HeaderIndex
from ccnode.errors import StorageError


def load_records(index: HeaderIndex, header_format: HeaderFormat, joined: bytes) -> None:
    """Add the headers that lie back to back in ``joined``. StorageError if one extends nothing that is known."""
    if not joined:
        return
    _, prevs, times, bits = header_format.unpack_columns(joined)
    _load(index, header_format, joined, prevs, times, bits)


def _load(
    index: HeaderIndex,
    header_format: HeaderFormat,
    joined: bytes,
    prevs: list[bytes],
    times: Sequence[int],
    bits: Sequence[int],
) -> None:
    count = len(prevs)
    hashes = prevs[1:]
    if len(set(prevs)) == count and not index.knows_any(hashes):
        parent = index.find(prevs[0])
        if parent is None:
            raise StorageError(f"header record {len(index)} extends no earlier record")
        hashes.append(header_format.hash(joined[-header_format.size :]))
        index.add(parent, hashes, times, bits)
        return
    half = count // 2
    cut = half * header_format.size
    _load(index, header_format, joined[:cut], prevs[:half], times[:half], bits[:half])
    _load(index, header_format, joined[cut:], prevs[half:], times[half:], bits[half:])

"""Filling the index from a header file, at start.

A header's hash is the previous-hash field of the header after it, if that is its child. Hashing a million headers takes
over half a second; reading fields takes a fifth of that. So a stretch of records is first supposed to be one unbroken
chain, which gives all hashes but the last one without hashing. Then these hashes are looked up. If the supposition is
wrong, some record does not extend the one right before it; its parent comes earlier in the file all the same, so the
hash that was read from it is known already or occurs twice in the stretch. If all are new, it was right. A stretch that
fails is split in two, down to single records, which need no supposition.

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
    parent = index.find(prevs[0])
    if parent is None:
        raise StorageError(f"header record {len(index)} extends no earlier record")
    hashes = prevs[1:]
    hashes.append(header_format.hash(joined[-header_format.size :]))
    if index.add_if_new(parent, hashes, times, bits):
        return
    if count == 1:
        raise StorageError(f"header record {len(index)} repeats an earlier record")
    half = count // 2
    cut = half * header_format.size
    _load(index, header_format, joined[:cut], prevs[:half], times[:half], bits[:half])
    _load(index, header_format, joined[cut:], prevs[half:], times[half:], bits[half:])

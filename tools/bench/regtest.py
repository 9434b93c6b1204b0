"""A long regtest header chain, made once and kept.

At regtest's difficulty every second hash is good enough, so a million headers take a few seconds. They are kept as
they go over the wire, 81 bytes each with the empty transaction count behind it, in one file that grows when more are
wanted: the first 10,000 of a million are the same 10,000. Times rise by a second from the genesis on, which keeps the
median rule content and the tip far in the past: a node that gets this chain is in initial synchronisation throughout.
"""

import os
import tempfile
from hashlib import sha256
from pathlib import Path
from struct import Struct

from ccnode.chain.networks import get_params

PARAMS = get_params("regtest")
ENTRY_SIZE = 81
"""Bytes of a header in a ``headers`` message."""

_VERSION = 0x20000000
_LAYOUT = Struct("<i32s32sII")
_NONCES = [nonce.to_bytes(4, "little") for nonce in range(256)]


def cache_folder() -> Path:
    """Where the benches keep what takes long to make."""
    folder = Path(tempfile.gettempdir()) / f"ccnode-bench-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    return folder


def wire_headers(count: int) -> bytes:
    """The first ``count`` headers after the genesis, as in a ``headers`` message without its count."""
    path = cache_folder() / "regtest-headers.bin"
    kept = path.read_bytes() if path.exists() else b""
    have = len(kept) // ENTRY_SIZE
    if have < count:
        kept = kept[: have * ENTRY_SIZE]
        kept += _mine(kept[-ENTRY_SIZE:-1] if have else PARAMS.genesis, have + 1, count - have)
        new = path.with_suffix(f".{os.getpid()}")
        new.write_bytes(kept)
        new.replace(path)
    return kept[: count * ENTRY_SIZE]


def split(wire: bytes) -> list[bytes]:
    """The headers of `wire_headers` one by one, 80 bytes each."""
    return [wire[i : i + ENTRY_SIZE - 1] for i in range(0, len(wire), ENTRY_SIZE)]


def _mine(parent: bytes, height: int, count: int) -> bytes:
    """``count`` headers after ``parent``, the first at ``height``."""
    genesis = PARAMS.header_format.parse(PARAMS.genesis)
    previous = sha256(sha256(parent).digest()).digest()
    entries: list[bytes] = []
    for number in range(height, height + count):
        start = _LAYOUT.pack(_VERSION, previous, number.to_bytes(32, "little"), genesis.time + number, genesis.bits)
        for nonce in _NONCES:
            candidate = start + nonce
            previous = sha256(sha256(candidate).digest()).digest()
            if previous[31] < 0x7F:  # just below the limit of 0x7fffff << 232
                break
        else:
            raise RuntimeError(f"256 nonces, and no hash for height {number} under the easiest target there is")
        entries.append(candidate)
    return b"\0".join([*entries, b""])

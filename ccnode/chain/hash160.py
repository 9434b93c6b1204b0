"""RIPEMD160 of SHA256: what addresses and scripts hold in place of a public key or a script.

OpenSSL 3 moved RIPEMD-160 to its legacy provider, which some systems do not load; then an implementation in Python
takes over, about a hundred times slower, which matters to nobody who hashes a key at a time.
"""

import hashlib
from collections.abc import Callable
from functools import cache

HASH160_SIZE = 20


@cache
def _ripemd160() -> Callable[[bytes], bytes]:
    try:
        hashlib.new("ripemd160")
    except ValueError:
        from embit.util.py_ripemd160 import ripemd160  # loaded only where it is needed

        slow: Callable[[bytes], bytes] = ripemd160
        return slow
    return lambda data: hashlib.new("ripemd160", data).digest()


def hash160(data: bytes) -> bytes:
    """20 bytes."""
    return _ripemd160()(hashlib.sha256(data).digest())

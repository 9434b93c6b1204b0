"""Bitcoin Core's ``peers.dat``: the addresses of a node that moves to ccnode (Core: ``addrdb.cpp``, ``addrman.cpp``).

::

    magic 4 | format 1 | 32 + oldest format that can read it 1 | key 32 | new i32 | tried i32 | buckets i32
    entries of the new table | entries of the tried table | buckets of the new table | (from format 2) asmap's hash
    double SHA-256 of all that 32

    entry: version u32 | time u32 | services | address | port | source | last success i64 | attempts i32

Up to format 2 an address is the 16 bytes of ``addr``; from 3 on that of ``addrv2``, with the services as CompactSize.
The key and the buckets are of no use to us: entries are placed by our own key. Times and services are what Core had
stored, so nothing is taken off them.
"""

from collections.abc import Iterator
from typing import Final

from ccnode.errors import DecodeError
from ccnode.peers.addrman_entry import AddrRecord
from ccnode.peers.addrman_tables import BUCKET_SIZE, NEW_BUCKETS, TRIED_BUCKETS
from ccnode.wire.address import INTERNAL_PREFIX, MAX_ADDRV2_SIZE, Network, NetworkAddress
from ccnode.wire.serialize import HASH_SIZE, Reader, sha256d

MAX_FILE_SIZE: Final = 32_000_000
"""Bytes. Full tables with nothing but Tor addresses take 13 million."""

NEWEST_FORMAT: Final = 4
ADDRV2_FORMAT: Final = 3
_COMPATIBILITY_BASE: Final = 32
_ADDRV2_FLAG: Final = 1 << 29
_IGNORED_VERSION_BITS: Final = 0x7FFFF
_MAX_NEW: Final = NEW_BUCKETS * BUCKET_SIZE
_MAX_TRIED: Final = TRIED_BUCKETS * BUCKET_SIZE
_LATEST: Final = 2**62
"""Seconds; keeps a nonsensical time within what the database can hold."""


def read_peers_dat(data: bytes, magic: bytes) -> Iterator[AddrRecord]:
    """The entries of a file, without places, one by one; those of networks unknown to us are left out.

    The iteration raises `ValueError` with a sentence for people if it is no such file of the network with ``magic``:
    almost always at its beginning, because of the checksum.
    """
    if len(data) > MAX_FILE_SIZE:
        raise ValueError(f"{len(data)} bytes are too many for a peers.dat (at most {MAX_FILE_SIZE})")
    content, checksum = data[:-HASH_SIZE], data[-HASH_SIZE:]
    if not content.startswith(magic):
        raise ValueError("it does not begin with this network's magic: no peers.dat, or another network's")
    if sha256d(content) != checksum:
        raise ValueError("the checksum is wrong: the file is damaged")
    try:
        yield from _read_tables(Reader(content, len(magic)))
    except DecodeError as error:
        raise ValueError(f"the file is damaged: {error}") from None


def _read_tables(reader: Reader) -> Iterator[AddrRecord]:
    file_format, oldest = reader.u8(), reader.u8() - _COMPATIBILITY_BASE
    if oldest < 0:
        raise ValueError("the file is damaged: it says that no format can read it")
    if oldest > NEWEST_FORMAT:
        raise ValueError(f"format {file_format} of a later Bitcoin Core; formats up to {NEWEST_FORMAT} can be read")
    reader.skip(HASH_SIZE)  # the key
    new, tried = reader.i32(), reader.i32()
    reader.skip(4)  # the number of buckets
    if not (0 <= new <= _MAX_NEW and 0 <= tried <= _MAX_TRIED):
        raise ValueError(f"the file is damaged: {new} new and {tried} tried addresses are more than there can be")
    by_addrv2 = file_format >= ADDRV2_FORMAT
    for number in range(new + tried):
        entry = _read_entry(reader, by_addrv2, number >= new)
        if entry is not None:
            yield entry


def _read_entry(reader: Reader, by_addrv2: bool, in_tried: bool) -> AddrRecord | None:
    version = reader.u32() & ~_IGNORED_VERSION_BITS
    if version not in ((0, _ADDRV2_FLAG) if by_addrv2 else (0,)):
        raise DecodeError(f"an entry of version {version:#x}")
    time = reader.u32()
    services = reader.compact_number() if version else reader.u64()
    address = _read_address(reader, bool(version))
    port = reader.port()
    source = _read_address(reader, by_addrv2)
    last_success, attempts = reader.i64(), reader.i32()
    if address is None:
        return None
    address = NetworkAddress(address.network, address.addr, port)
    times = time, min(max(0, last_success), _LATEST)
    return AddrRecord(address, source or address, services, *times, attempts=max(0, attempts), in_tried=in_tried)


def _read_address(reader: Reader, by_addrv2: bool) -> NetworkAddress | None:
    if not by_addrv2:
        return NetworkAddress.from_v1(reader.take(16), 0)
    network_id, addr = reader.u8(), reader.var_bytes(MAX_ADDRV2_SIZE)
    if len(addr) == 16 and addr.startswith(INTERNAL_PREFIX):
        return NetworkAddress(Network.INTERNAL, addr[len(INTERNAL_PREFIX) :], 0)  # as Core hides it in IPv6
    return NetworkAddress.from_bip155(network_id, addr, 0)

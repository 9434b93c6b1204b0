"""Numbers both ends of a connection agree on (Core: ``protocol.h``, ``node/protocol_version.h``).

A feature is usable on a link when the *common* version, the lower of both sides', reaches the number under which the
feature was introduced. Service bits say what a node offers; they are claims, proven by nothing.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import Final

PROTOCOL_VERSION: Final = 70016
"""What we speak."""
MIN_PEER_PROTO_VERSION: Final = 31800
"""A peer below this is disconnected."""
BIP0031_VERSION: Final = 60000
"""Above this (not at it) ``ping`` carries a nonce and is answered."""
NO_BLOOM_VERSION: Final = 70011
"""From here on a peer knows by the service bit whether it may load a filter (BIP111)."""
SENDHEADERS_VERSION: Final = 70012
FEEFILTER_VERSION: Final = 70013
SHORT_IDS_BLOCKS_VERSION: Final = 70014
INVALID_CB_NO_BAN_VERSION: Final = 70015
WTXID_RELAY_VERSION: Final = 70016

MAX_PROTOCOL_MESSAGE_LENGTH: Final = 4_000_000
"""Bytes of payload, over every message (``net.h``)."""
MAX_SUBVERSION_LENGTH: Final = 256
"""Bytes of user agent (``net.h``)."""
MAX_ADDR_TO_SEND: Final = 1000
"""Entries in ``addr`` and ``addrv2`` (``net_processing.cpp``)."""
MAX_INV_SZ: Final = 50_000
"""Entries in ``inv`` and ``getdata`` (``net_processing.cpp``)."""
MAX_HEADERS_RESULTS: Final = 2000
"""Headers in ``headers`` (``net_processing.h``)."""
MAX_LOCATOR_SZ: Final = 101
"""Hashes in a block locator (``net_processing.cpp``)."""
BLOCK_HEADER_SIZE: Final = 80
"""Bytes of Bitcoin's block header; another network may differ."""


class ServiceFlags(IntFlag):
    """Services a node advertises, 64 bits; bits without a name are kept."""

    NONE = 0
    NETWORK = 1 << 0
    BLOOM = 1 << 2
    WITNESS = 1 << 3
    COMPACT_FILTERS = 1 << 6
    NETWORK_LIMITED = 1 << 10
    P2P_V2 = 1 << 11


_SERVICE_NAMES: Final = {int(flag): flag.name or "" for flag in ServiceFlags if flag}


def service_names(services: int) -> list[str]:
    """The names of the bits set, lowest first, as Core prints them: ``UNKNOWN[2^n]`` for a bit without a name."""
    bits = [bit for bit in range(64) if services >> bit & 1]
    return [_SERVICE_NAMES.get(1 << bit, f"UNKNOWN[2^{bit}]") for bit in bits]


MSG_WITNESS_FLAG: Final = 1 << 30
"""Added to an inventory type in ``getdata``: serialize with witnesses (BIP144)."""


class InvType(IntEnum):
    """What an inventory item names. A peer may send any u32: compare, do not convert."""

    TX = 1
    BLOCK = 2
    FILTERED_BLOCK = 3
    CMPCT_BLOCK = 4
    WTX = 5
    WITNESS_TX = TX | MSG_WITNESS_FLAG
    WITNESS_BLOCK = BLOCK | MSG_WITNESS_FLAG

"""Anchors: the block-relay-only peers at the end of a run, dialed first in the next (Core: ``addrdb.cpp``).

An attacker who makes a node restart gains nothing if it comes back to peers it had before. Anchors are used once: they
are forgotten as they are read, so a crash right after the start does not bring the same ones back.
"""

import json
from collections.abc import Iterable

from sqlite_utils import Database

from ccnode.peers.outbound import Anchor
from ccnode.storage.state import get_state, set_state
from ccnode.wire.address import Network, NetworkAddress

KEY = "anchors"

MAX_ANCHORS = 2
"""Core: ``MAX_BLOCK_RELAY_ONLY_ANCHORS``."""

MAX_SERVICES = 2**64 - 1


def take_anchors(db: Database) -> list[Anchor]:
    """The anchors of the last run, and forget them. What cannot be read is none."""
    text = get_state(db, KEY)
    set_state(db, KEY, None)
    try:
        return [_anchor(*item) for item in json.loads(text or "[]")[:MAX_ANCHORS]]
    except (ValueError, TypeError, AttributeError, LookupError):  # a part of a dict: LookupError since Python 3.12
        return []


def save_anchors(db: Database, anchors: Iterable[Anchor]) -> None:
    """Remember these for the next start."""
    items = [[anchor.address.network.value, str(anchor.address), anchor.services] for anchor in anchors]
    set_state(db, KEY, json.dumps(items[:MAX_ANCHORS]))


def _anchor(network: str, text: str, services: int) -> Anchor:
    # Only the network tells an address of CJDNS from one of IPv6.
    return Anchor(NetworkAddress.parse(text, cjdns=network == Network.CJDNS.value), services & MAX_SERVICES)

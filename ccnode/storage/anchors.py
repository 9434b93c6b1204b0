"""Anchors: the block-relay-only peers at the end of a run, dialed first in the next (Core: ``addrdb.cpp``).

An attacker who makes a node restart gains nothing if it comes back to peers it had before. Anchors are used once: they
are forgotten as they are read, so a crash right after the start does not bring the same ones back.
"""

import json
from collections.abc import Iterable

from sqlite_utils import Database

from ccnode.storage.state import get_state, set_state
from ccnode.wire.address import NetworkAddress

KEY = "anchors"

MAX_ANCHORS = 2
"""Core: ``MAX_BLOCK_RELAY_ONLY_ANCHORS``."""


def take_anchors(db: Database) -> list[NetworkAddress]:
    """The anchors of the last run, and forget them. What cannot be read is none."""
    text = get_state(db, KEY)
    set_state(db, KEY, None)
    try:
        listed = json.loads(text or "[]")
        return [NetworkAddress.parse(item) for item in listed[:MAX_ANCHORS]]
    except (ValueError, TypeError, AttributeError):
        return []


def save_anchors(db: Database, addresses: Iterable[NetworkAddress]) -> None:
    """Remember these for the next start."""
    set_state(db, KEY, json.dumps([str(address) for address in addresses][:MAX_ANCHORS]))

"""Anchors are written at the end of a run and used once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ccnode.peers.outbound import Anchor
from ccnode.storage.anchors import KEY, MAX_ANCHORS, save_anchors, take_anchors
from ccnode.storage.database import Database
from ccnode.storage.state import set_state
from ccnode.wire.address import NetworkAddress

ONION = "pg6mmjiyjmcrsslvykfwnntlaru7p5svn6y2ymmju6nubxndf4pscryd.onion:8333"
I2P = "ukeu3k5oycgaauneqgtnvselmt4yemvoilkln7jpvamvfx7dnkdq.b32.i2p:0"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = Database(tmp_path / "node.sqlite", "regtest", pytest.fail)
    yield database
    database.close()


def anchor(text: str, services: int = 9, *, cjdns: bool = False) -> Anchor:
    return Anchor(NetworkAddress.parse(text, cjdns=cjdns), services)


@pytest.mark.parametrize(
    "kept",
    [
        [],
        [anchor("1.2.3.4:8333"), anchor("[2a01:4f8::1]:18444", 1033)],
        [anchor(ONION, 2**64 - 1), anchor(I2P, 0)],
        [anchor("[fc12::1]:8333", cjdns=True), anchor("[fc12::1]:8333")],
    ],
)
def test_anchors_of_every_network_come_back_once(database: Database, kept: list[Anchor]) -> None:
    database.call(save_anchors, kept)
    assert database.call(take_anchors) == kept
    assert database.call(take_anchors) == [], "they are forgotten as they are read"


def test_at_most_two_are_kept(database: Database) -> None:
    many = [anchor(f"1.2.3.{number}:8333") for number in range(5)]
    database.call(save_anchors, many)
    assert database.call(take_anchors) == many[:MAX_ANCHORS]


@pytest.mark.parametrize(
    "damaged",
    [
        "",
        "{",
        "7",
        '{"a": 1}',
        '["1.2.3.4:8333"]',
        "[[]]",
        '[["ipv4", "1.2.3.4:8333"]]',
        '[["ipv4", "nonsense:", 9]]',
        '[["ipv4", 7, 9]]',
        '[["ipv4", "1.2.3.4:8333", "9"]]',
        json.dumps([["ipv4", "1.2.3.4:8333", 9]])[:-3],
    ],
)
def test_what_cannot_be_read_is_no_anchor_and_no_error(database: Database, damaged: str) -> None:
    database.call(set_state, KEY, damaged)
    assert database.call(take_anchors) == []

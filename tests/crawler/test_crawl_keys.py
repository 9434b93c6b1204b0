"""The packed keys: every row is found by its key, and what many invented addresses take."""

import tracemalloc
from random import Random

from ccnode.crawler.frontier import FIRST_CREDIT, Frontier
from ccnode.crawler.guard import Guard
from ccnode.crawler.keys import FAST, KeyTable
from ccnode.crawler.table import HELD, AddressTable
from ccnode.wire.address import IPV4_IN_IPV6, Network

NOW = 1_700_000_000
MESSAGE, MESSAGES = 1000, 40
BYTES_PER_ADDRESS = 55


def test_keys_of_all_sizes_are_found_in_dictionary_and_indexes() -> None:
    rng = Random(3)
    keys = [rng.randbytes(rng.choice([18, 19, 35])) for _ in range(500)]
    table = KeyTable(fast=50, index=64)
    for row, key in enumerate(keys):
        assert table.find(key) is None
        table.append(key)
        assert table.find(key) == row
    assert len(table) == len(keys)
    assert [table.find(key) for key in keys] == list(range(len(keys)))
    assert [table[row] for row in range(len(table))] == keys


def test_a_key_that_only_begins_like_another_is_not_found() -> None:
    table = KeyTable(fast=1, index=2)
    for key in (bytes(18), b"\5" * 19, b"\5" * 35):
        table.append(key)
    assert table.find(b"\5" * 18) is None
    assert table.find(b"\5" * 19 + bytes(16)) is None
    assert (table.find(b"\5" * 19), table.find(b"\5" * 35)) == (1, 2)


def test_an_invented_address_takes_few_bytes() -> None:
    """Counted above those in the dictionary, whose number is bounded, and with the first index there already."""
    networks = {Network.IPV4: 100}
    room = Frontier(AddressTable(), Guard(networks), Random(4), lambda: NOW, lanes=networks)
    room.seed([_invented(0)])
    tracemalloc.start()
    try:
        for number in range(1, FAST):
            room.table.add(_invented(number), 0)
        _name_others(room)
        before, rows = tracemalloc.get_traced_memory()[0], len(room.table)
        for _ in range(MESSAGES):
            _name_others(room)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert room.table.count(HELD) >= len(room.table) - FIRST_CREDIT - 1
    assert len(room.table) == rows + MESSAGES * MESSAGE
    assert taken / (MESSAGES * MESSAGE) < BYTES_PER_ADDRESS


def _name_others(room: Frontier) -> None:
    """The first row sends a message of addresses that nobody knows."""
    known = len(room.table)
    room.vouch(0, [(NOW, 9, _invented(number)) for number in range(known, known + MESSAGE)])


def _invented(number: int) -> bytes:
    return IPV4_IN_IPV6 + b"\x0b" + number.to_bytes(3, "big") + b"\x20\x8d"

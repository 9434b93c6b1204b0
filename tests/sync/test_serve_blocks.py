"""Blocks for others: getdata, getblocks, and what is answered with silence or worse."""

import pytest

from ccnode.chain.networks import REGTEST
from ccnode.peers.peer import ConnectionType
from ccnode.peers.permissions import Permission
from ccnode.sync.serve_blocks import HISTORICAL_BLOCK_AGE
from ccnode.wire.blocks import Block
from ccnode.wire.bloom import FilterAdd, FilterClear, FilterLoad
from ccnode.wire.headers import GetBlocks
from ccnode.wire.inventory import GetData, Inv, InvItem, MemPool, NotFound
from ccnode.wire.message import Message
from ccnode.wire.protocol import InvType, ServiceFlags
from tests.support.fakes import FakePeer, HeaderLine, established_peer
from tests.support.serving import INBOUND, OFFERED, Counter

DAY = 86_400
UNKNOWN = b"\1" * 32


@pytest.fixture
def line() -> HeaderLine:
    return HeaderLine().grow(400)


@pytest.fixture
def counter(line: HeaderLine) -> Counter:
    return Counter(line)


def hashes_of(inv: Message) -> list[bytes]:
    assert isinstance(inv, Inv)
    assert set(inv.types()) == {InvType.BLOCK}
    return [item.hash for item in inv.items()]


# -- getdata -----------------------------------------------------------------------------------------------------------


def test_a_block_with_and_without_witness(counter: Counter) -> None:
    block_hash = counter.line.hashes[100]
    whole = counter.block(block_hash)
    bare = Block.build(whole.header, tuple(tx.without_witness() for tx in whole.transactions()))
    assert counter.ask(InvType.WITNESS_BLOCK, block_hash) == [whole]
    assert counter.ask(InvType.BLOCK, block_hash) == [bare]
    assert bare != whole


def test_who_asks_for_a_compact_block_gets_a_whole_one(counter: Counter) -> None:
    assert counter.ask(InvType.CMPCT_BLOCK, counter.line.tip) == [counter.block(counter.line.tip)]


def test_blocks_that_nobody_has_are_met_with_silence(counter: Counter) -> None:
    counter.shelf.missing.add(counter.entry(counter.line.hashes[3]))
    for kind in (InvType.BLOCK, InvType.WITNESS_BLOCK, InvType.CMPCT_BLOCK, InvType.FILTERED_BLOCK):
        assert counter.ask(kind, UNKNOWN, counter.line.hashes[3]) == []
    assert counter.shelf.read == []
    assert not counter.peer.closing


def test_a_block_pruned_between_looking_and_reading_ends_the_connection(counter: Counter) -> None:
    counter.shelf.pruned_meanwhile.add(counter.entry(counter.line.hashes[3]))
    assert counter.ask(InvType.BLOCK, counter.line.hashes[3], counter.line.hashes[4]) == []
    assert counter.peer.closing
    assert len(counter.shelf.read) == 1


def test_transactions_are_not_found_and_other_kinds_are_passed_over(counter: Counter) -> None:
    tip = counter.line.tip
    items = [
        InvItem(InvType.TX, UNKNOWN),
        InvItem(InvType.WTX, UNKNOWN),
        InvItem(InvType.WITNESS_BLOCK, tip),
        InvItem(InvType.WITNESS_TX, tip),
        InvItem(99, UNKNOWN),
        InvItem(0x40000003, tip),
        InvItem(InvType.TX, tip),
    ]
    assert counter.give(GetData.build(items)) == [
        NotFound.build(items[:2]),
        counter.block(tip),
        NotFound.build([items[3]]),
        NotFound.build([items[6]]),
    ]


@pytest.mark.parametrize(
    ("kind", "relay", "services", "told"),
    [
        (INBOUND, True, 0, True),
        (INBOUND, False, 0, False),
        (INBOUND, False, OFFERED, True),
        (ConnectionType.OUTBOUND_FULL_RELAY, True, 0, True),
        (ConnectionType.BLOCK_RELAY_ONLY, True, OFFERED, False),
    ],
)
def test_a_link_without_transactions_is_not_even_told_that(
    line: HeaderLine, kind: ConnectionType, relay: bool, services: int, told: bool
) -> None:
    counter = Counter(line, kind=kind)
    counter.peer.relay, counter.peer.our_services = relay, services
    assert bool(counter.ask(InvType.TX, UNKNOWN)) is told


def test_each_block_waits_until_the_peer_has_taken_what_came_before(
    counter: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    counter.shelf.on_read = lambda: steps.append("read")
    monkeypatch.setattr(FakePeer, "wait_drained", lambda _peer: steps.append("drained"))
    counter.ask(InvType.WITNESS_BLOCK, *counter.line.hashes[1:4])
    assert steps == ["drained", "read"] * 3


def test_who_leaves_meanwhile_is_served_no_more(counter: Counter) -> None:
    counter.shelf.on_read = lambda: counter.peer.disconnect("gone")
    counter.ask(InvType.WITNESS_BLOCK, *counter.line.hashes[1:20])
    assert len(counter.shelf.read) == 1


# -- who may have which block ------------------------------------------------------------------------------------------


def test_a_stale_block_is_shown_if_it_was_valid_and_for_a_month() -> None:
    line = HeaderLine().grow(100)
    counter = Counter(line)
    stale = line.fork(97).grow(2, salt=1)
    counter.chain.accept(stale.headers[98:])
    assert counter.ask(InvType.WITNESS_BLOCK, stale.tip) == [], "it was never found valid"
    counter.valid.add(counter.entry(stale.tip))
    assert len(counter.ask(InvType.WITNESS_BLOCK, stale.tip)) == 1
    assert counter.ask(InvType.WITNESS_BLOCK, stale.hashes[98]) == []
    counter.grow(line.grow(1, start=line.time + 31 * DAY))
    assert counter.ask(InvType.WITNESS_BLOCK, stale.tip) == []
    assert len(counter.ask(InvType.WITNESS_BLOCK, line.hashes[98])) == 1
    assert not counter.peer.closing


def test_a_header_ahead_of_the_tip_is_no_block_to_show(counter: Counter) -> None:
    longer = counter.line.fork(400).grow(3)
    counter.chain.accept(longer.headers[401:])
    assert counter.ask(InvType.WITNESS_BLOCK, longer.tip) == []


def test_old_blocks_end_with_the_upload_target() -> None:
    line = HeaderLine().grow(20, spacing=DAY)
    old, recent = line.hashes[12], line.hashes[13]
    counter = Counter(line)
    assert line.time - counter.chain.index.time(counter.entry(recent)) == HISTORICAL_BLOCK_AGE
    assert len(counter.ask(InvType.WITNESS_BLOCK, old, recent)) == 2
    counter.spent_upload = True
    assert len(counter.ask(InvType.WITNESS_BLOCK, recent)) == 1
    counter.peer.permissions = Permission.DOWNLOAD
    assert len(counter.ask(InvType.WITNESS_BLOCK, old)) == 1
    counter.peer.permissions = Permission.NONE
    assert counter.ask(InvType.WITNESS_BLOCK, old, recent) == []
    assert counter.peer.disconnect_reason == "historical block serving limit reached"


def test_filtered_blocks_end_with_the_upload_target(counter: Counter) -> None:
    counter.spent_upload = True
    assert counter.ask(InvType.FILTERED_BLOCK, counter.line.tip) == []
    assert counter.peer.closing


def test_a_pruned_node_serves_290_blocks_below_the_tip(line: HeaderLine) -> None:
    for depth, served in ((0, True), (290, True), (291, False)):
        counter = Counter(line, pruned=True)
        assert bool(counter.ask(InvType.WITNESS_BLOCK, line.hashes[400 - depth])) is served
        assert counter.peer.closing is not served
    counter.peer = established_peer(8, INBOUND)
    counter.peer.permissions = Permission.NO_BAN
    assert len(counter.ask(InvType.WITNESS_BLOCK, line.hashes[5])) == 1


# -- getblocks ---------------------------------------------------------------------------------------------------------


def test_blocks_after_the_fork_point_up_to_the_stop_hash(counter: Counter) -> None:
    line = counter.line
    [inv] = counter.give(GetBlocks((UNKNOWN, line.hashes[390])))
    assert hashes_of(inv) == line.hashes[391:]
    [inv] = counter.give(GetBlocks((line.hashes[10],), line.hashes[20]))
    assert hashes_of(inv) == line.hashes[11:20], "the stop hash is left out"
    [inv] = counter.give(GetBlocks((UNKNOWN,)))
    assert hashes_of(inv) == line.hashes[1:]
    assert counter.give(GetBlocks((line.tip,))) == []


def test_the_last_of_500_leads_to_the_tip() -> None:
    line = HeaderLine().grow(700)
    counter = Counter(line)
    [inv] = counter.give(GetBlocks((line.hashes[0],)))
    assert hashes_of(inv) == line.hashes[1:501]
    assert len(counter.ask(InvType.WITNESS_BLOCK, line.hashes[499])) == 1
    block, inv = counter.ask(InvType.WITNESS_BLOCK, line.hashes[500])
    assert isinstance(block, Block)
    assert hashes_of(inv) == [line.tip]
    assert len(counter.ask(InvType.WITNESS_BLOCK, line.hashes[500])) == 1, "it is told once"
    [inv] = counter.give(GetBlocks((line.hashes[500],)))
    assert hashes_of(inv) == line.hashes[501:]
    assert len(counter.ask(InvType.WITNESS_BLOCK, line.tip)) == 1


def test_a_pruned_node_tells_of_what_it_will_have_for_an_hour(line: HeaderLine) -> None:
    counter = Counter(line, pruned=True)
    kept = 288 - 3600 // REGTEST.spacing
    assert counter.give(GetBlocks((line.hashes[400 - kept - 1],))) == []
    [inv] = counter.give(GetBlocks((line.hashes[400 - kept],)))
    assert hashes_of(inv) == line.hashes[401 - kept :]
    counter.shelf.missing.add(counter.entry(line.hashes[399]))
    [inv] = counter.give(GetBlocks((line.hashes[397],)))
    assert hashes_of(inv) == [line.hashes[398]]


def test_nothing_remains_of_a_peer_that_left() -> None:
    line = HeaderLine().grow(700)
    counter = Counter(line)
    counter.give(GetBlocks((line.hashes[0],)))
    counter.give(FilterLoad(b"", 1, 0, 0))
    counter.serving.left(counter.peer)
    assert len(counter.ask(InvType.WITNESS_BLOCK, line.hashes[500])) == 1
    assert counter.ask(InvType.FILTERED_BLOCK, line.tip) == []


# -- bloom filters -----------------------------------------------------------------------------------------------------


def load(counter: Counter, *elements: bytes) -> None:
    counter.give(FilterLoad(bytes(600), 10, 0, 1))
    for element in elements:
        counter.give(FilterAdd(element))


def test_a_filtered_block_brings_what_matches(counter: Counter) -> None:
    tip = counter.line.tip
    assert counter.ask(InvType.FILTERED_BLOCK, tip) == [], "no filter, no answer"
    load(counter, b"mine0")
    proof, tx = counter.ask(InvType.FILTERED_BLOCK, tip)
    _, mine = counter.block(tip).transactions()
    assert (proof.command, tx.command) == ("merkleblock", "tx")
    assert proof.encode()[:80] == counter.line.headers[-1]
    assert tx.encode() == mine.encode(with_witness=False)
    [proof] = counter.ask(InvType.FILTERED_BLOCK, counter.line.hashes[-2])
    assert proof.command == "merkleblock"
    counter.give(FilterClear())
    assert counter.ask(InvType.FILTERED_BLOCK, tip) == []


def test_a_filter_grows_by_what_matches(counter: Counter) -> None:
    load(counter, b"mine0")
    counter.ask(InvType.FILTERED_BLOCK, counter.line.tip)
    outpoint = counter.block(counter.line.tip).transactions()[1].txid + bytes(4)
    grown = counter.serving._bloom.filter_of(counter.peer)
    assert grown is not None
    assert outpoint in grown


def test_adding_to_no_filter_is_misbehaviour(counter: Counter) -> None:
    counter.give(FilterAdd(b"x"))
    assert counter.peer.closing
    assert counter.peer.address in counter.discouragement


def test_a_filter_turns_transactions_on(counter: Counter) -> None:
    counter.peer.relay = False
    load(counter)
    assert counter.peer.relay


@pytest.mark.parametrize("message", [FilterLoad(b"", 1, 0, 0), FilterAdd(b"x"), FilterClear(), MemPool()])
def test_without_the_service_bit_filters_end_the_connection(counter: Counter, message: Message) -> None:
    counter.peer.our_services &= ~ServiceFlags.BLOOM
    counter.give(message)
    assert (counter.peer.disconnect_reason or "").startswith(f"{message.command}, but ")


def test_a_link_without_transactions_has_no_filter(line: HeaderLine) -> None:
    counter = Counter(line, kind=ConnectionType.BLOCK_RELAY_ONLY)
    load(counter, b"mine0")
    assert counter.ask(InvType.FILTERED_BLOCK, line.tip) == []
    assert not counter.peer.closing


@pytest.mark.parametrize(
    ("permissions", "ends"), [(Permission.NONE, True), (Permission.MEMPOOL, False), (Permission.NO_BAN, False)]
)
def test_mempool_ends_with_the_upload_target(counter: Counter, permissions: Permission, ends: bool) -> None:
    counter.peer.permissions = permissions
    assert counter.give(MemPool()) == []
    assert not counter.peer.closing
    counter.spent_upload = True
    counter.give(MemPool())
    assert counter.peer.closing is ends

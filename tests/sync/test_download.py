"""Who is asked for which block (Core: p2p_ibd_stalling.py, p2p_node_network_limited.py, rpc_getblockfrompeer.py)."""

from dataclasses import replace
from math import inf

import pytest

from ccnode.chain.networks import REGTEST
from ccnode.peers.peer import ConnectionType
from ccnode.sync.download import IMPORT_LOOK
from ccnode.sync.download_peer import BLOCK_DOWNLOAD_WINDOW, MAX_WITHHELD
from ccnode.wire.inventory import InvItem, NotFound
from ccnode.wire.protocol import InvType, ServiceFlags
from tests.support.blocks import INVALID, BlockRoom, room_at
from tests.support.fakes import HeaderLine
from tests.support.sync import DAY, SyncRoom, params_with

INBOUND = ConnectionType.INBOUND
FULL = ConnectionType.OUTBOUND_FULL_RELAY
LIMITED = int(ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS)
NO_WITNESS = int(ServiceFlags.NETWORK)


def upto(last: int, first: int = 1) -> list[int]:
    return list(range(first, last + 1))


# -- in the initial download -----------------------------------------------------------------------------------------


def test_sixteen_at_a_time_lowest_first_and_more_as_they_come(long_line: HeaderLine) -> None:
    room = BlockRoom()
    peer = room.join_with(long_line)
    assert room.requested(peer, long_line) == upto(16)
    room.send_blocks(peer, long_line, upto(3))
    assert not room.requested(peer, long_line)
    room.send_blocks(peer, long_line, [4])
    assert room.requested(peer, long_line) == upto(20, first=17)
    assert room.owed(peer) == upto(20, first=5)
    assert room.sync.peer_info(peer.id).synced_blocks == 4


def test_blocks_are_shared_out_and_never_asked_of_two(long_line: HeaderLine) -> None:
    room = BlockRoom()
    peers = [room.join_with(long_line) for _ in range(4)]
    asked = [room.requested(peer, long_line) for peer in peers]
    assert asked == [upto(16 * number + 16, first=16 * number + 1) for number in range(4)]


def test_what_a_peer_owed_is_asked_of_others_when_it_leaves(long_line: HeaderLine) -> None:
    room = BlockRoom()
    leaver, other = room.join_with(long_line), room.join_with(long_line)
    room.requested(other, long_line)
    room.send_blocks(other, long_line, upto(32, first=17))
    assert room.requested(other, long_line) == upto(48, first=33)
    room.leave(leaver)
    assert not room.requested(other, long_line), "it owes enough already"
    room.send_blocks(other, long_line, upto(36, first=33))
    assert room.requested(other, long_line) == upto(4)


def test_blocks_come_in_any_order_and_the_window_ends_1024_beyond_the_first_gap(long_line: HeaderLine) -> None:
    room = BlockRoom()
    slow, quick = room.join_with(long_line), room.join_with(long_line)
    asked = room.requested(quick, long_line)
    while asked:
        room.send_blocks(quick, long_line, asked[::-1])
        asked = room.requested(quick, long_line)
    assert max(map(room.index.height, room.blocks.bodies)) == BLOCK_DOWNLOAD_WINDOW
    assert room.height == 0
    room.send_blocks(slow, long_line, [1])
    assert room.requested(quick, long_line) == [BLOCK_DOWNLOAD_WINDOW + 1]
    room.send_blocks(slow, long_line, upto(16, first=2))
    assert room.height == BLOCK_DOWNLOAD_WINDOW


def test_peers_that_we_did_not_choose_are_asked_if_there_is_nobody_else(long_line: HeaderLine) -> None:
    room = BlockRoom()
    stranger = room.join_with(long_line, INBOUND)
    assert room.requested(stranger, long_line) == upto(16)
    room = BlockRoom()
    chosen, stranger = room.join_with(long_line), room.join_with(long_line, INBOUND)
    assert room.requested(chosen, long_line) == upto(16)
    assert not room.requested(stranger, long_line)
    room.leave(chosen)
    assert room.requested(stranger, long_line) == upto(16)


def test_if_the_chosen_ones_owe_nothing_a_stranger_may_be_asked(long_line: HeaderLine) -> None:
    room = BlockRoom()
    behind = room.join_with(long_line.fork(20))
    stranger = room.join_with(long_line, INBOUND)
    assert room.requested(behind, long_line) == upto(16)
    assert not room.requested(stranger, long_line)
    room.send_blocks(behind, long_line, upto(20))
    assert room.requested(stranger, long_line) == upto(36, first=21)


def test_peers_of_recent_blocks_are_not_asked_in_the_initial_download(long_line: HeaderLine) -> None:
    room = BlockRoom()
    limited = room.join_with(long_line, services=LIMITED)
    assert not room.requested(limited, long_line)


def test_nothing_is_asked_while_blocks_are_imported(long_line: HeaderLine) -> None:
    room = BlockRoom()
    room.blocks.importing = True
    peer = room.join_with(long_line)
    assert not room.requested(peer, long_line)
    assert room.sync.request_block(peer.id, 1) == "Loading blocks ..."
    room.send_block(peer, long_line.headers[1])
    assert not room.blocks.submitted
    wall, _steady = room.run_pass(peer)
    assert wall == room.clock.now() + IMPORT_LOOK
    room.blocks.importing = False
    room.run_all()
    assert room.requested(peer, long_line) == upto(16)


def test_a_chain_below_the_minimum_work_is_not_downloaded(long_line: HeaderLine) -> None:
    room = BlockRoom(params_with(100))
    room.chain.accept(long_line.headers[1:51])  # as if they were known from before
    peer = room.join()
    room.state(peer).best_known = 50
    room.run_all()
    assert not room.requested(peer, long_line)
    room.chain.accept(long_line.headers[51:101])
    room.state(peer).best_known = 100
    room.run_all()
    assert room.requested(peer, long_line) == upto(16)


# -- which blocks ----------------------------------------------------------------------------------------------------


def test_witnesses_are_asked_for_where_they_are_offered() -> None:
    line = HeaderLine().grow(5)
    room = BlockRoom()
    assert room.request_types(room.join_with(line)) == {InvType.WITNESS_BLOCK}


def test_without_witnesses_a_peer_is_asked_up_to_segwit_only() -> None:
    params = replace(REGTEST, soft_forks=replace(REGTEST.soft_forks, segwit=4))
    line = HeaderLine().grow(8)
    room = BlockRoom(params)
    peer = room.join_with(line, services=NO_WITNESS)
    assert room.owed(peer) == upto(3)
    assert room.request_types(peer) == {InvType.BLOCK}
    room.send_blocks(peer, line, upto(3))
    assert not room.owed(peer)
    other = room.join_with(line)
    assert room.requested(other, line) == upto(8, first=4)


def test_a_limited_peer_is_asked_for_its_last_286_blocks() -> None:
    base = HeaderLine().grow(1)
    room = room_at(base)
    assert not room.chain.is_ibd()
    line = base.fork(1).grow(400, spacing=1)
    limited = room.join_with(line, services=LIMITED)
    assert room.requested(limited, line) == upto(401 - 286 + 16, first=401 - 286 + 1)
    whole = room.join_with(line)
    assert room.requested(whole, line) == upto(17, first=2)


def test_each_peer_is_asked_along_its_own_chain() -> None:
    room = room_at(HeaderLine().grow(10))
    trunk = HeaderLine().grow(10)
    left, right = trunk.fork(8).grow(4, salt=1), trunk.fork(9).grow(3, salt=2)
    first, second = room.join_with(left), room.join_with(right)
    assert room.requested(first, left) == upto(12, first=9)
    assert room.requested(second, right) == upto(12, first=10)


def test_a_chain_with_less_work_than_ours_is_left_alone() -> None:
    line = HeaderLine().grow(10)
    room = room_at(line)
    shorter = line.fork(5).grow(4, salt=1)
    peer = room.join_with(shorter)
    assert not room.requested(peer, shorter)
    same = line.fork(5).grow(5, salt=1)
    room.give(peer, same.headers[-2:])
    assert room.requested(peer, same) == upto(10, first=6)


def test_a_branch_longer_than_the_window_is_followed_to_its_end(long_line: HeaderLine) -> None:
    ours = HeaderLine().grow(1500, salt=7)
    room = room_at(ours)
    room.clock.set_wall(long_line.time)
    peer = room.join_with(long_line.fork(1600))
    asked = room.requested(peer, long_line)
    while asked:
        room.send_blocks(peer, long_line, asked)
        asked = room.requested(peer, long_line)
    assert room.tip == long_line.hashes[1600]


def test_nothing_is_asked_for_behind_an_invalid_block() -> None:
    line = HeaderLine().grow(12)
    room = BlockRoom()
    peer = room.join()
    room.serve(peer, line.fork(6))
    room.requested(peer, line)
    room.send_blocks(peer, line, upto(4))
    room.send_block(peer, line.headers[5], INVALID)
    other = room.join()
    room.state(other).best_known = room.index.find(line.hashes[6])
    room.leave(peer)
    room.run_all()
    assert not room.requested(other, line)
    assert room.height == 4


def test_an_invalidated_block_is_not_asked_for_and_a_reconsidered_one_is() -> None:
    line = HeaderLine().grow(10)
    room = BlockRoom()
    room.load(line)
    entry = room.index.find(line.hashes[4])
    assert entry is not None
    room.chain.invalidate(entry)
    peer = room.join()
    room.state(peer).best_known = room.index.find(line.tip)
    room.run_all()
    assert room.requested(peer, line) == upto(3)
    room.chain.reconsider(entry)
    room.run_all()
    assert room.requested(peer, line) == upto(10, first=4)


def test_pruned_blocks_of_our_chain_are_not_asked_for_again() -> None:
    line = HeaderLine().grow(20)
    room = room_at(line)
    for entry in range(1, 11):
        del room.blocks.bodies[entry]
    ahead = line.fork(20).grow(1)
    peer = room.join_with(ahead)
    assert room.requested(peer, ahead) == [21]


# -- near the present ------------------------------------------------------------------------------------------------


def test_a_new_block_is_asked_of_whoever_announces_it_and_of_nobody_else() -> None:
    line = HeaderLine().grow(10)
    room = room_at(line)
    peers = [room.join_with(line, kind) for kind in (FULL, INBOUND, FULL)]
    longer = line.fork(10).grow(1)
    room.clock.advance(600)
    room.give(peers[1], longer.headers[-1:])
    room.give(peers[0], longer.headers[-1:])
    assert room.requested(peers[1], longer) == [11]
    assert not room.requested(peers[0], longer)
    assert not room.requested(peers[2], longer)


def test_after_the_initial_download_even_a_limited_stranger_gives_what_it_announces() -> None:
    line = HeaderLine().grow(10)
    room = room_at(line)
    stranger = room.join(INBOUND, services=LIMITED)
    longer = line.fork(10).grow(3)
    room.give(stranger, longer.headers[-3:])
    assert room.requested(stranger, longer) == [11, 12, 13]


def test_an_announcement_by_inv_leads_to_headers_and_then_to_the_block() -> None:
    line = HeaderLine().grow(10)
    room = room_at(line)
    peer = room.join_with(line)
    longer = line.fork(10).grow(1)
    room.announce(peer, longer.tip)
    assert not room.requested(peer, longer)
    assert room.answer(peer, longer)
    assert room.requested(peer, longer) == [11]


def test_who_announced_a_block_whose_header_another_gave_is_asked_when_that_one_leaves() -> None:
    line = HeaderLine().grow(10)
    room = room_at(line)
    first, second = room.join_with(line), room.join_with(line)
    longer = line.fork(10).grow(1)
    room.announce(second, longer.tip)
    room.give(first, longer.headers[-1:])
    assert room.requested(first, longer) == [11]
    room.leave(first)
    assert room.requested(second, longer) == [11]


def test_a_reorganisation_is_fetched_at_once_up_to_sixteen_blocks() -> None:
    line = HeaderLine().grow(30)
    room = room_at(line)
    branch = line.fork(18).grow(13, salt=1)
    room.chain.accept(branch.headers[1:-1])
    peer = room.join(INBOUND)
    room.give(peer, branch.headers[-1:])
    assert room.requested(peer, branch) == upto(31, first=19)


def test_direct_fetch_is_for_recent_tips_and_enough_work(monkeypatch: pytest.MonkeyPatch) -> None:
    line = HeaderLine().grow(10)
    room = room_at(line)
    peer = room.join_with(line)
    monkeypatch.setattr(room.download, "fill", lambda _state, _now: inf)
    shorter = line.fork(8).grow(1, salt=1)
    room.give(peer, shorter.headers[-1:])
    assert not room.requested(peer, shorter), "less work"
    longer = line.fork(10).grow(2)
    room.clock.set_wall(line.time + 20 * 600)
    room.give(peer, longer.headers[-2:-1])
    assert not room.requested(peer, longer), "an old tip"
    room.clock.set_wall(line.time + 20 * 600 - 1)
    room.give(peer, longer.headers[-1:])
    assert room.requested(peer, longer) == [11, 12]


def test_the_end_of_the_initial_download_lets_everybody_give() -> None:
    line = HeaderLine().grow(40)
    room = BlockRoom(now=line.time + DAY - 600 * 39)
    chosen = room.join_with(line)
    limited = room.join_with(line, services=LIMITED)
    assert room.chain.is_ibd()
    assert not room.requested(limited, line)
    room.send_blocks(chosen, line, [1])
    assert not room.chain.is_ibd()
    assert room.requested(limited, line) == upto(32, first=17)


# -- requests that fail ----------------------------------------------------------------------------------------------


def test_a_peer_that_says_it_has_not_the_block_is_not_asked_again_and_others_are() -> None:
    line = HeaderLine().grow(6)
    room = BlockRoom()
    poor, rich = room.join_with(line), room.join_with(line)
    assert room.requested(poor, line) == upto(6)
    items = [InvItem(InvType.WITNESS_BLOCK, line.hashes[height]) for height in (2, 3)]
    room.deliver(poor, NotFound.build(items))
    assert room.requested(rich, line) == [2, 3]
    assert not room.requested(poor, line)
    assert not poor.closing
    room.leave(rich)
    assert not room.requested(poor, line)


def test_notfound_of_what_was_not_asked_for_changes_nothing() -> None:
    line = HeaderLine().grow(6)
    room = BlockRoom()
    peer = room.join_with(line)
    items = [InvItem(InvType.TX, line.hashes[1]), InvItem(InvType.BLOCK, bytes(32)), InvItem(InvType.BLOCK, line.tip)]
    room.deliver(peer, NotFound.build(items[:2]))
    assert room.owed(peer) == upto(6)
    room.deliver(peer, NotFound.build(items[2:] + items[:1] * 5016))
    assert room.owed(peer) == upto(6)


def test_who_gives_nothing_of_what_it_announced_goes(long_line: HeaderLine) -> None:
    room = BlockRoom()
    peer = room.join_with(long_line)
    while not peer.closing:
        (height, *_) = room.owed(peer)
        room.deliver(peer, NotFound.build([InvItem(InvType.WITNESS_BLOCK, long_line.hashes[height])]))
    assert len(room.download.peers[peer.id].withheld) == MAX_WITHHELD + 1


# -- getblockfrompeer ------------------------------------------------------------------------------------------------


def test_a_person_may_have_one_block_fetched() -> None:
    line = HeaderLine().grow(10)
    room = room_at(line)
    stale = line.fork(8).grow(1, salt=1)
    room.load(stale)
    peer = room.join_with(line)
    old = room.join(services=NO_WITNESS)
    entry = room.index.find(stale.tip)
    assert entry is not None
    assert room.sync.request_block(99, entry) == "Peer does not exist"
    assert room.sync.request_block(old.id, entry) == "Pre-SegWit peer"
    assert room.sync.request_block(peer.id, entry) is None
    assert room.requested(peer, stale) == [9]
    assert room.sync.request_block(peer.id, entry) == "Already requested from this peer"
    other = room.join_with(line)
    assert room.sync.request_block(other.id, entry) is None
    assert (room.owed(peer), room.owed(other)) == ([], [9])
    room.send_block(other, stale.headers[9])
    assert room.blocks.have_data(entry)


def test_a_node_of_headers_downloads_nothing() -> None:
    line = HeaderLine().grow(5)
    room = SyncRoom(now=line.time)
    peer = room.join()
    room.serve(peer, line)
    assert "getdata" not in peer.commands()
    assert room.sync.request_block(peer.id, 1) == "Block download is off"
    assert not room.sync.downloading()

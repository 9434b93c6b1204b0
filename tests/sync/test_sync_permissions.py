"""What the permissions of a peer change in header synchronisation."""

import pytest

from ccnode.peers.peer import ConnectionType
from ccnode.peers.permissions import Permission
from ccnode.sync.state import HEADERS_TIMEOUT_BASE
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.inventory import Inv, InvItem
from ccnode.wire.protocol import InvType
from tests.support.fakes import FakePeer, HeaderLine, established_peer
from tests.support.sync import DAY, SyncRoom, params_with

INBOUND, OUTBOUND = ConnectionType.INBOUND, ConnectionType.OUTBOUND_FULL_RELAY


def join(room: SyncRoom, permissions: Permission, kind: ConnectionType = INBOUND) -> FakePeer:
    peer = established_peer(len(room.peers), kind)
    peer.permissions = permissions
    room.peers.append(peer)
    room.sync.joined(peer)
    room.run_passes()
    return peer


@pytest.mark.parametrize(
    ("permissions", "stored"), [(Permission.NONE, 0), (Permission.DOWNLOAD, 0), (Permission.NO_BAN, 50)]
)
def test_noban_may_send_a_chain_of_little_work(permissions: Permission, stored: int) -> None:
    line = HeaderLine().grow(50)
    room = SyncRoom(params_with(minimum_headers=100), now=line.time + DAY)
    peer = join(room, permissions)
    room.deliver(peer, Headers.build(line.headers[1:]))
    assert room.index.height(room.index.best_header) == stored


@pytest.mark.parametrize(
    ("permissions", "count"),
    [(Permission.NONE, 0), (Permission.RELAY, 0), (Permission.DOWNLOAD, 50), (Permission.NO_BAN, 50)],
)
def test_download_gets_headers_of_a_chain_of_little_work(permissions: Permission, count: int) -> None:
    line = HeaderLine().grow(50)
    room = SyncRoom(params_with(minimum_headers=100), now=line.time + DAY)
    room.load(line)
    peer = join(room, permissions)
    room.deliver(peer, GetHeaders((line.hashes[0],), bytes(32)))
    [answer] = peer.take(Headers)
    assert len(answer.split()) == count


@pytest.mark.parametrize(("permissions", "leads"), [(Permission.NONE, False), (Permission.NO_BAN, True)])
def test_an_inbound_noban_peer_is_preferred(permissions: Permission, leads: bool) -> None:
    room = SyncRoom()
    peer = join(room, permissions)
    assert room.state(peer).preferred is leads


def test_a_slow_noban_peer_loses_the_lead_and_stays() -> None:
    line = HeaderLine().grow(10)
    room = SyncRoom(now=line.time + 60 * DAY)
    peer = join(room, Permission.NO_BAN)
    other = join(room, Permission.NONE, OUTBOUND)
    assert room.state(peer).leading
    room.clock.set_wall(room.clock.now() + HEADERS_TIMEOUT_BASE + 60 * DAY)
    room.run_all()
    assert not peer.closing
    assert not room.state(peer).leading
    assert room.state(other).leading


@pytest.mark.parametrize(
    ("permissions", "ends"), [(Permission.NONE, True), (Permission.NO_BAN, True), (Permission.RELAY, False)]
)
def test_relay_may_announce_transactions(permissions: Permission, ends: bool) -> None:
    room = SyncRoom()
    peer = join(room, permissions)
    room.deliver(peer, Inv.build([InvItem(InvType.TX, b"\1" * 32)]))
    assert peer.closing is ends

"""Who may connect to us: bans, discouragement, limits per place, permissions, and who makes room."""

import pytest

from ccnode.peers.bans import BanList
from ccnode.peers.inbound import Admission, Entrance, InboundLimits, InboundPolicy
from ccnode.peers.misbehaviour import Discouragement
from ccnode.peers.netgroup import NetGroupManager
from ccnode.peers.peer import ConnectionType
from ccnode.peers.permissions import Permission, Whitelist, implicit, parse_whitelist
from ccnode.peers.subnet import Subnet
from ccnode.wire.address import NetworkAddress
from tests.support.clock import ManualClock
from tests.support.fakes import FakePeer, seeded_rng

INBOUND = ConnectionType.INBOUND
ENTRANCE = Entrance(address=NetworkAddress.parse("0.0.0.0:8333"))
ONION = Entrance(address=NetworkAddress.parse("127.0.0.1:8334"), onion=True)
YES = Admission(None)


class Store:
    def put(self, ban) -> None: ...

    def remove(self, subnets) -> None: ...


class Door:
    def __init__(self, *whitelisted: str, total: int = 100, **limits: int) -> None:
        self.bans = BanList(Store(), ManualClock())
        self.discouragement = Discouragement()
        self.peers: list[FakePeer] = []
        self.policy = InboundPolicy(
            InboundLimits(total=total, **limits),
            bans=self.bans,
            discouragement=self.discouragement,
            whitelist=Whitelist(map(parse_whitelist, whitelisted), implicit(relay=True, force_relay=False)),
            netgroup=NetGroupManager().group,
            is_desirable=lambda services: services == 9,
            rng=seeded_rng(),
        )

    def fill(self, *addresses: str, kind: ConnectionType = INBOUND) -> None:
        for address in addresses:
            self.peers.append(FakePeer(len(self.peers), kind, address=f"{address}:1", connected_at=len(self.peers)))
            if kind is INBOUND:
                self.policy.joined(self.peers[-1])

    def empty(self, peer: FakePeer) -> None:
        peer.disconnect("on its way out")
        self.policy.left(peer)

    def knock(self, address: str, entrance: Entrance = ENTRANCE) -> Admission:
        for peer in self.peers:
            self.policy.update(peer)
        return self.policy.admit(NetworkAddress.parse(f"{address}:9"), entrance)


def crowd(count: int) -> list[str]:
    return [f"{20 + i}.1.1.1" for i in range(count)]


def test_a_banned_address_is_refused_unless_it_has_noban() -> None:
    door = Door("noban@9.9.0.0/16", "relay@9.8.0.0/16")
    door.bans.ban(Subnet.parse("9.0.0.0/8"))
    assert door.knock("9.1.1.1").refusal == "banned"
    assert door.knock("9.8.1.1").refusal == "banned"
    assert door.knock("9.9.1.1") == Admission(None, Permission.NO_BAN)
    assert door.knock("8.8.8.8") == YES


@pytest.mark.parametrize(("others", "refused"), [(0, False), (1, False), (2, True), (3, True)])
def test_a_discouraged_address_comes_in_while_there_is_room(others: int, refused: bool) -> None:
    door = Door("noban@9.9.9.9", total=3)
    for address in ("8.8.8.8", "9.9.9.9"):
        door.discouragement.add(NetworkAddress.parse(address))
    door.fill(*crowd(others))
    admission = door.knock("8.8.8.8")
    assert admission == (Admission("discouraged") if refused else Admission(None, prefer_evict=True))
    spared = door.knock("9.9.9.9")
    if others < 3:
        assert spared == Admission(None, Permission.NO_BAN, prefer_evict=True)
    else:
        assert spared.refusal == "all slots are taken, and nobody can make room"


def test_connections_from_one_address() -> None:
    door = Door("noban@10.0.0.1", per_address=2)
    door.fill("8.8.8.8", "8.8.8.8", "10.0.0.1", "10.0.0.1")
    assert door.knock("8.8.8.8").refusal == "maxinboundperip connections from its address"
    assert door.knock("8.8.8.9") == YES
    assert door.knock("10.0.0.1").refusal is None
    door.empty(door.peers[0])
    assert door.knock("8.8.8.8") == YES


def test_connections_from_one_netgroup() -> None:
    door = Door(per_netgroup=2)
    door.fill("8.8.1.1")
    door.fill("8.8.2.2", "8.8.5.5", kind=ConnectionType.MANUAL)
    assert door.knock("8.8.3.3") == YES
    door.fill("8.8.3.3")
    assert door.knock("8.8.4.4").refusal == "maxinboundpernetgroup connections from its netgroup"
    assert door.knock("8.9.4.4") == YES


def test_tors_peers_are_not_known_by_address() -> None:
    door = Door("noban@127.0.0.1", per_address=1, per_netgroup=1)
    door.fill("127.0.0.1", "127.0.0.1")
    for peer in door.peers:
        peer.inbound_onion = True
    assert door.knock("127.0.0.1", ONION) == YES
    assert door.knock("127.0.0.1") == Admission(None, Permission.NO_BAN)
    assert Door(per_address=1).knock("127.0.0.1") == YES


def test_permissions_of_address_and_entrance_add_up() -> None:
    door = Door("addr@8.8.8.8")
    bare = Entrance(address=ENTRANCE.address, permissions=Permission.IMPLICIT)
    whitebind = Entrance(address=ENTRANCE.address, permissions=Permission.MEMPOOL)
    assert door.knock("8.8.8.8", whitebind).permissions == Permission.ADDR | Permission.MEMPOOL
    assert door.knock("8.8.8.9", bare).permissions == implicit(relay=True, force_relay=False)
    onion = Entrance(address=ENTRANCE.address, permissions=Permission.RELAY, onion=True)
    assert door.knock("8.8.8.8", onion).permissions == Permission.RELAY


def test_somebody_makes_room_when_all_slots_are_taken() -> None:
    door = Door(total=60)
    door.fill(*crowd(60))
    door.fill("9.9.9.9", kind=ConnectionType.OUTBOUND_FULL_RELAY)
    admission = door.knock("8.8.8.8")
    assert admission.refusal is None
    assert admission.victim in range(60)
    door.empty(door.peers[admission.victim])
    assert door.knock("8.8.8.8") == YES


def test_nobody_makes_room_where_all_are_protected() -> None:
    door = Door(total=60)
    door.fill(*crowd(60))
    for peer in door.peers:
        peer.permissions = Permission.NO_BAN
    assert door.knock("8.8.8.8").refusal == "all slots are taken, and nobody can make room"
    assert Door(total=0).knock("8.8.8.8").refusal is not None


def test_facts_about_peers_reach_the_choice() -> None:
    """Forty equal peers of one netgroup, and one quality each for some of the newest."""
    door = Door(total=100)
    door.fill(*crowd(60), *[f"8.8.{i}.1" for i in range(40)])
    for peer in door.peers:
        peer.version, peer.services, peer.min_ping = 70016, 9, 0.001 if peer.id < 7 else 1.0
    door.peers[99].min_ping = 0.001
    door.peers[98].last_transaction = 1e9
    door.peers[97].last_block = 1e9
    door.peers[96].last_header = 1e9
    assert door.knock("7.7.7.7").victim == 95
    door.peers[70].prefer_evict = True
    assert door.knock("7.7.7.7").victim == 70
    door.peers[70].permissions = Permission.NO_BAN
    assert door.knock("7.7.7.7").victim == 95


def test_the_secret_decides_who_is_protected_by_netgroup() -> None:
    def protected(seed: int) -> int | None:
        door = Door(total=30)
        door.policy._secret = seed.to_bytes(16, "little")
        door.fill(*crowd(30))
        return door.knock("8.8.8.8").victim

    assert len({protected(seed) for seed in range(50)}) > 1

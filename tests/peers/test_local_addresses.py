"""Our own addresses: who is believed about them, and what each peer is told."""

from collections import Counter

import pytest

from ccnode.peers.local_addresses import (
    LOCAL_BIND,
    LOCAL_INTERFACE,
    LOCAL_MANUAL,
    LOCAL_MAPPED,
    MAX_DISCOVERED,
    LocalAddresses,
    Reachability,
    reachability,
)
from ccnode.peers.peer import ConnectionType
from ccnode.wire.address import Network, NetworkAddress
from tests.support.fakes import FakePeer, seeded_rng

INBOUND = ConnectionType.INBOUND
OUTBOUND = ConnectionType.OUTBOUND_FULL_RELAY
V4 = NetworkAddress.parse("9.9.9.9:8333")
V6 = NetworkAddress.parse("[2a00:1450:4001::1]:8333")
TEREDO = NetworkAddress.parse("[2001::9]:8333")
SIX_TO_FOUR = NetworkAddress.parse("[2002:909:909::9]:8333")
NAT64 = NetworkAddress.parse("[64:ff9b::909:909]:8333")
SIIT = NetworkAddress.parse("[::ffff:0:909:909]:8333")
ONION = NetworkAddress(Network.ONION, bytes(range(32)), 8333)
I2P = NetworkAddress(Network.I2P, bytes(range(32)), 0)
CJDNS = NetworkAddress.parse("[fc00::9]:8333", cjdns=True)
PRIVATE = NetworkAddress.parse("127.0.0.1:8333")


def ours(
    *addresses: tuple[NetworkAddress | str, int],
    networks: frozenset[Network] = frozenset(Network),
    discover: bool = True,
) -> LocalAddresses:
    local = LocalAddresses(seeded_rng(), port=8444, networks=networks, discover=discover)
    for address, score in addresses:
        local.add(NetworkAddress.parse(address) if isinstance(address, str) else address, score)
    return local


def table(local: LocalAddresses) -> dict[str, int]:
    return {str(address): score for address, score in local.scores()}


def a_peer(
    address: NetworkAddress | str = "8.8.8.8:1", kind: ConnectionType = INBOUND, says: str | None = None
) -> FakePeer:
    peer = FakePeer(0, kind)
    peer.address = NetworkAddress.parse(address) if isinstance(address, str) else address
    peer.address_local = None if says is None else NetworkAddress.parse(says)
    return peer


def told(local: LocalAddresses, peer: FakePeer, times: int = 1) -> Counter[str]:
    return Counter(str(local.for_peer(peer)) for _ in range(times))


# -- who is believed -----------------------------------------------------------------------------------------------


def test_scores_rise_with_the_source() -> None:
    assert LOCAL_INTERFACE < LOCAL_BIND < LOCAL_MAPPED < LOCAL_MANUAL
    local = ours(("1.1.1.1:1", LOCAL_INTERFACE), ("2.2.2.2:2", LOCAL_MAPPED))
    assert table(local) == {"1.1.1.1:1": 1, "2.2.2.2:2": 3}


@pytest.mark.parametrize(
    ("first", "again", "score", "port"),
    [
        (LOCAL_INTERFACE, LOCAL_INTERFACE, 2, 2),
        (LOCAL_INTERFACE, LOCAL_MANUAL, 5, 2),
        (LOCAL_MANUAL, LOCAL_BIND, 4, 1),
    ],
)
def test_a_source_as_good_or_better_adds_a_point_and_sets_the_port(
    first: int, again: int, score: int, port: int
) -> None:
    local = ours(("1.1.1.1:1", first), ("1.1.1.1:2", again))
    assert table(local) == {f"1.1.1.1:{port}": score}


def test_every_inbound_peer_that_dialed_an_address_adds_a_point() -> None:
    local = ours(("1.1.1.1:1", LOCAL_INTERFACE))
    for says in ("1.1.1.1:1", "1.1.1.1:7", "2.2.2.2:1", None):
        local.seen_by(a_peer(says=says))
    assert table(local) == {"1.1.1.1:1": 3}


@pytest.mark.parametrize("address", ["10.0.0.1:1", "127.0.0.1:1", "0.0.0.0:1", "[fe80::1]:1", "[fd00::1]:1"])
def test_an_address_that_strangers_cannot_reach_is_left_out(address: str) -> None:
    local = ours()
    assert not local.add(NetworkAddress.parse(address), LOCAL_MANUAL)
    assert local.scores() == []


def test_an_address_of_a_network_we_are_not_on_is_left_out() -> None:
    local = ours((V4, LOCAL_MANUAL), (V6, LOCAL_MANUAL), networks=frozenset({Network.IPV6}))
    assert table(local) == {str(V6): 4}


def test_an_address_under_fc_is_of_cjdns_where_we_are_on_it() -> None:
    given = NetworkAddress.parse("[fc00::9]:8333")
    assert [address for address, _ in ours((given, LOCAL_INTERFACE)).scores()] == [CJDNS]
    assert ours((given, LOCAL_INTERFACE), networks=frozenset({Network.IPV6})).scores() == []


def test_without_discover_only_a_person_is_believed() -> None:
    local = ours((V6, LOCAL_INTERFACE), (V6, LOCAL_BIND), (V6, LOCAL_MAPPED), (V4, LOCAL_MANUAL), discover=False)
    assert table(local) == {str(V4): 4}
    assert told(local, a_peer(says="7.7.7.7:1"), 50) == {str(V4): 50}
    assert ours(discover=False).for_peer(a_peer(says="7.7.7.7:1")) is None


def test_the_table_is_bounded() -> None:
    local = ours(*((f"1.1.{i}.1:1", LOCAL_BIND) for i in range(2 * MAX_DISCOVERED)))
    assert len(local.scores()) == MAX_DISCOVERED
    assert local.add(V4, LOCAL_MANUAL)
    assert local.add(NetworkAddress.parse("1.1.0.1:2"), LOCAL_BIND)
    assert len(local.scores()) == MAX_DISCOVERED + 1


def test_what_its_source_takes_back_is_gone() -> None:
    local = ours((V4, LOCAL_MAPPED))
    local.seen_by(a_peer(says=str(V4)))
    assert NetworkAddress.parse("9.9.9.9:1") in local
    local.remove(V4, LOCAL_MAPPED)
    local.remove(V4, LOCAL_MAPPED)
    assert V4 not in local
    assert local.scores() == []


def test_what_a_better_source_gave_as_well_remains() -> None:
    local = ours((V4, LOCAL_MAPPED), (V4, LOCAL_MANUAL))
    local.remove(V4, LOCAL_MAPPED)
    assert table(local) == {str(V4): 5}


# -- which of them a peer is told ----------------------------------------------------------------------------------

D, T, W, F, S, P = Reachability


@pytest.mark.parametrize(
    ("theirs", "expected"),
    [
        # ours:  IPv4 IPv6 Teredo 6to4 NAT64 SIIT onion I2P CJDNS
        ("8.8.8.8:1", (F, D, D, D, D, D, D, D, D)),
        ("[2a00::1]:1", (F, S, T, W, W, W, D, D, D)),
        ("[2001::1]:1", (F, W, T, W, W, W, D, D, D)),
        ("127.0.0.1:1", (F, W, T, W, W, W, P, D, D)),
        ("[fd00::1]:1", (F, W, T, W, W, W, P, D, D)),
        (ONION, (F, D, D, D, D, D, P, D, D)),
        (I2P, (D, D, D, D, D, D, D, P, D)),
        (CJDNS, (D, D, D, D, D, D, D, D, P)),
    ],
    ids=["IPv4", "IPv6", "Teredo", "private IPv4", "private IPv6", "onion", "I2P", "CJDNS"],
)
def test_how_well_each_address_suits_each_peer(
    theirs: NetworkAddress | str, expected: tuple[Reachability, ...]
) -> None:
    peer = a_peer(theirs).address
    addresses = (V4, V6, TEREDO, SIX_TO_FOUR, NAT64, SIIT, ONION, I2P, CJDNS)
    assert tuple(reachability(address, peer) for address in addresses) == expected


def test_reachability_counts_before_the_score() -> None:
    local = ours((V4, LOCAL_MANUAL), (V6, LOCAL_INTERFACE), (SIX_TO_FOUR, LOCAL_MANUAL), (CJDNS, LOCAL_BIND))
    assert local.for_peer(a_peer("8.8.8.8:1")) == V4
    assert local.for_peer(a_peer("[2a00::1]:1")) == V6
    assert local.for_peer(a_peer("127.0.0.1:1")) == V4
    assert local.for_peer(a_peer(CJDNS)) == CJDNS
    assert ours((V6, LOCAL_BIND)).for_peer(a_peer("8.8.8.8:1")) == V6


def test_of_equally_reachable_addresses_the_higher_score_counts() -> None:
    local = ours(("1.1.1.1:1", LOCAL_BIND), ("2.2.2.2:2", LOCAL_MAPPED), ("3.3.3.3:3", LOCAL_INTERFACE))
    assert told(local, a_peer()) == {"2.2.2.2:2": 1}
    for _ in range(3):
        local.seen_by(a_peer(says="3.3.3.3:3"))
    assert told(local, a_peer()) == {"3.3.3.3:3": 1}


def test_onion_and_clearnet_addresses_are_never_linked() -> None:
    inbound_onion = a_peer(PRIVATE, says="9.9.9.9:8333")
    inbound_onion.inbound_onion = True
    everything = ours((V4, LOCAL_MANUAL), (V6, LOCAL_MANUAL), (ONION, LOCAL_MANUAL), (I2P, LOCAL_MANUAL))
    assert everything.for_peer(inbound_onion) == ONION
    assert everything.for_peer(a_peer(ONION, OUTBOUND, says="7.7.7.7:1")) == ONION
    assert everything.for_peer(a_peer(I2P, OUTBOUND)) == I2P
    clearnet = ours((V4, LOCAL_MANUAL), (CJDNS, LOCAL_MANUAL))
    hidden = ours((ONION, LOCAL_MANUAL), (I2P, LOCAL_MANUAL))
    for peer in (inbound_onion, a_peer(ONION, OUTBOUND, says="7.7.7.7:1"), a_peer(I2P)):
        assert clearnet.for_peer(peer) is None
    for peer in (a_peer("8.8.8.8:1"), a_peer("[2a00::1]:1"), a_peer(CJDNS), a_peer(PRIVATE)):
        assert hidden.for_peer(peer) is None
    assert ours((ONION, LOCAL_MANUAL)).for_peer(a_peer(I2P)) is None


# -- what peers say of us ------------------------------------------------------------------------------------------


def test_who_knows_nothing_tells_a_peer_what_it_said() -> None:
    said = "7.7.7.7:999"
    assert told(ours(), a_peer(says=said), 20) == {said: 20}


def test_of_what_an_outbound_peer_said_only_the_address_counts() -> None:
    assert told(ours(), a_peer(kind=OUTBOUND, says="7.7.7.7:999"), 20) == {"7.7.7.7:8444": 20}
    known = ours(("9.9.9.9:18333", LOCAL_BIND))
    assert set(told(known, a_peer(kind=OUTBOUND, says="7.7.7.7:999"), 100)) == {"9.9.9.9:18333", "7.7.7.7:18333"}


@pytest.mark.parametrize("kind", [INBOUND, OUTBOUND])
def test_who_knows_an_address_tells_what_the_peer_said_every_other_time(kind: ConnectionType) -> None:
    counts = told(ours((V4, LOCAL_MANUAL)), a_peer(kind=kind, says="7.7.7.7:8333"), 1000)
    assert set(counts) == {"9.9.9.9:8333", "7.7.7.7:8333"}
    assert 430 < counts["7.7.7.7:8333"] < 570


def test_who_is_sure_tells_what_the_peer_said_one_time_in_eight() -> None:
    local = ours((V4, LOCAL_MANUAL))
    local.seen_by(a_peer(says=str(V4)))
    counts = told(local, a_peer(says="7.7.7.7:8333"), 1000)
    assert 80 < counts["7.7.7.7:8333"] < 170


@pytest.mark.parametrize(
    ("address", "says"),
    [("8.8.8.8:1", "10.0.0.1:1"), ("127.0.0.1:1", "7.7.7.7:1"), ("8.8.8.8:1", None), ("8.8.8.8:1", str(V6))],
    ids=["private", "said by a private address", "nothing", "of a network we are not on"],
)
def test_what_is_not_believed_about_us(address: str, says: str | None) -> None:
    assert ours(networks=frozenset({Network.IPV4})).for_peer(a_peer(address, says=says)) is None

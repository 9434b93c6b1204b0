"""Nodes that know nobody find enough peers, in different netgroups; a node that was there before finds them again."""

import pytest

from ccnode.peers.peer import ConnectionType
from tests.support.sim_worlds import DAY, HOUR, MINUTE, components, is_diverse, network, settle


def check_full_and_diverse(seed: int, nodes: int, seed_knows: int, limit: float) -> None:
    net, everyone = network(seed, nodes, seed_knows=seed_knows)
    assert settle(net, everyone, limit) is not None, [node for node in everyone if not node.is_full()]
    assert all(is_diverse(node) for node in everyone)
    assert components(everyone) == 1


@pytest.mark.parametrize("seed", range(2))
def test_nodes_that_know_three_seeds_find_enough_peers(seed: int) -> None:
    """100 nodes, three seeds that know ten of them: two minutes after the last start everyone has 8 + 2 peers.

    What the seeds know is not enough: with 30 addresses, some of them of one group, for all. The rest has to come out
    of gossip. Seen: 20 to 30 seconds.
    """
    check_full_and_diverse(seed, nodes=100, seed_knows=10, limit=2 * MINUTE)


@pytest.mark.long
def test_five_hundred_nodes_find_enough_peers() -> None:
    """The same with 500 nodes and three seeds that know 32 each, which is all that a DNS answer holds.

    Seen: 5 seconds after the last start, at 18 dials for each node.
    """
    check_full_and_diverse(1, nodes=500, seed_knows=32, limit=MINUTE)


@pytest.mark.parametrize("seed", range(2))
def test_dead_addresses_do_not_stop_convergence(seed: int) -> None:
    """Nine of ten addresses that anybody has ever heard of are dead, those of the seeds too: ten minutes are enough.

    A dial that nobody answers takes 5 seconds and four are under way at once, so ten peers take 100 dials, at least
    125 seconds; in the small world an address is also dialed twice. Seen: 160 to 175 seconds.
    """
    net, nodes = network(seed, 30, dead=270)
    assert settle(net, nodes, 10 * MINUTE) is not None, [len(node.outbound()) for node in nodes]
    assert all(is_diverse(node) for node in nodes)
    assert components(nodes) == 1
    assert sum(node.dials for node in nodes) / len(nodes) > 50  # most were indeed dead


def test_nodes_behind_nat_are_part_of_the_network() -> None:
    """Half of the nodes cannot be dialed and announce themselves all the same."""
    net, nodes = network(3, 120, behind_nat=0.5)
    assert settle(net, nodes, 10 * MINUTE) is not None
    assert components(nodes) == 1
    assert all(end.other.owner.reachable for node in nodes for end in node.outbound())


def test_a_restarted_node_comes_back_through_its_anchors() -> None:
    """Its two block-relay-only peers are among the first it dials, and the next start does not know them any more.

    Its seeds are gone meanwhile, but it has its addresses, so that it is complete within a minute.
    """
    net, nodes = network(4, 80)
    assert settle(net, nodes, 5 * MINUTE) is not None
    node = nodes[7]
    before = {end.address for end in node.outbound() if end.connection_type is ConnectionType.BLOCK_RELAY_ONLY}
    node.stop()
    net.run(10)
    assert not node.ends
    net.seeds.clear()
    began = net.clock.wall
    node.start()
    assert {anchor.address for anchor in node.anchors} == before
    assert node.kept_anchors == []
    assert settle(net, [node], MINUTE) is not None
    block_relay = [end for end in node.outbound() if end.connection_type is ConnectionType.BLOCK_RELAY_ONLY]
    assert {end.address for end in block_relay} == before
    assert all(end.connected_at - began < 2 for end in block_relay)


def test_an_anchor_that_is_gone_is_replaced() -> None:
    net, nodes = network(5, 80)
    assert settle(net, nodes, 5 * MINUTE) is not None
    node = nodes[3]
    node.stop()
    gone = [net.hosts[anchor.address] for anchor in node.kept_anchors]
    for host in gone:
        host.stop()
    net.run(10)
    node.start()
    assert settle(net, [node], 2 * MINUTE) is not None
    assert not {end.other.owner for end in node.outbound()} & set(gone)


@pytest.mark.long
def test_two_hundred_nodes_keep_their_peers_for_a_day() -> None:
    """Connections break every six hours or so: at every full hour all but one node in 50 have all their peers."""
    net, nodes = network(1, 200, lost_dials=0.02, lifetime=6 * HOUR)
    assert settle(net, nodes, 5 * MINUTE) is not None
    for _ in range(24):
        net.run(DAY / 24)
        assert sum(node.is_full() for node in nodes) >= len(nodes) - 4
        assert all(is_diverse(node) for node in nodes)
        assert components(nodes) == 1

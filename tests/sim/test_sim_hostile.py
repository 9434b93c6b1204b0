"""Slow peers, liars about services, and Sybils of one netgroup do not take the places of honest peers."""

from ccnode.peers.peer import ConnectionType
from ccnode.wire.address import NetworkAddress
from tests.support.sim_hosts import Attacker, Teller, crowd, seen
from tests.support.sim_net import End, Host, Net
from tests.support.sim_node import Node
from tests.support.sim_places import crawler, places
from tests.support.sim_worlds import HOUR, MINUTE, is_diverse, settle


def keep_connected(net: Net, host: Host, target: Host) -> None:
    """``host`` connects to ``target``, again ten seconds after each time it was thrown out."""

    def done(end: End | None) -> None:
        if end is not None:
            host.begin(end)
            watch(end)

    def watch(end: End) -> None:
        if end.closing:
            net.dial(host, target.address, ConnectionType.MANUAL, done)
        else:
            net.after(10.0, watch, end)

    net.dial(host, target.address, ConnectionType.MANUAL, done)


def test_sybils_of_one_netgroup_do_not_take_honest_inbound_peers() -> None:
    """A node with 40 inbound slots, 30 honest peers; then 60 addresses of one /16 connect for 20 minutes, all the time.

    Each time the node is full somebody goes, and of the peers that nothing protects the newest of the largest netgroup
    does. The honest are of 30 groups, so as soon as two Sybils are among those it is one of them: the attacker gets
    the ten free slots and fights itself for them. Not one honest peer goes.
    """
    net = Net(1)
    target = Node(net, NetworkAddress.parse("8.8.8.8:8333"), max_connections=51)
    target.start()
    honest = crowd(net, 30)
    for host in honest:
        keep_connected(net, host, target)
    net.run(10 * MINUTE)
    before = {end.id for end in target.ends.values()}
    assert len(before) == 30
    attacker = Attacker(net, addresses=60, groups=1)
    for host in attacker.hosts:
        net.after(net.rng.random() * MINUTE, keep_connected, net, host, target)
    net.run(20 * MINUTE)
    assert before <= target.ends.keys()
    assert len(target.ends) == 40


def newcomers(net: Net, number: int, known: list[Teller]) -> list[Node]:
    """Nodes that start now, with three seeds that know these hosts."""
    net.seeds = {f"seed{each}.example": crawler(net.rng, [host.address for host in known]) for each in range(3)}
    free = [address for address in places(net.rng, len(net.hosts) + number) if address not in net.hosts]
    nodes = [Node(net, address) for address in free[:number]]
    for node in nodes:
        node.start()
    return nodes


def test_liars_about_services_take_no_outbound_slots() -> None:
    """Half of the hosts that the seeds know are said to serve blocks; in their version they offer nothing.

    Each node finds each of them out when it dials it, and remembers what it really offers.
    """
    net = Net(2)
    honest = crowd(net, 80)
    liars = crowd(net, 80, services=0)
    nodes = newcomers(net, 10, honest + liars)
    assert settle(net, nodes, 10 * MINUTE) is not None
    found_out = 0
    for node in nodes:
        assert not any(end.other.owner in liars for end in node.outbound())
        assert is_diverse(node)
        known = [info for liar in liars if (info := node.addrman.info(liar.address)) is not None]
        found_out += sum(info.last_try > 0 and not info.services for info in known)
    assert found_out > 20


def test_slow_peers_do_not_keep_outbound_slots_empty() -> None:
    """Half of the hosts need 40 seconds for a message: a handshake with one takes more than a minute, and is ended."""
    net = Net(3)
    honest = crowd(net, 60)
    slow = crowd(net, 60, delay=40.0)
    nodes = newcomers(net, 10, honest + slow)
    assert settle(net, nodes, 15 * MINUTE) is not None
    assert not any(end.other.owner in slow for node in nodes for end in node.outbound())
    assert sum(node.dials for node in nodes) > 15 * len(nodes)


def test_a_silent_peer_is_replaced() -> None:
    """One that stops answering is given up after 20 minutes without a pong, and another one takes its place."""
    net = Net(4)
    nodes = newcomers(net, 6, crowd(net, 60))
    assert settle(net, nodes, 5 * MINUTE) is not None
    silent = nodes[0].outbound()[0].other.owner
    net.partition([silent])
    net.run(10 * MINUTE)
    assert any(end.other.owner is silent for end in nodes[0].outbound())
    net.run(15 * MINUTE)
    assert not any(end.other.owner is silent for node in nodes for end in node.ends.values())
    assert settle(net, nodes, 5 * MINUTE) is not None


def test_an_address_that_is_only_told_about_does_not_reach_the_tried_table() -> None:
    """Told of 400 addresses at which nobody is, a node dials some of them and keeps none as tried."""
    net = Net(5)
    node = newcomers(net, 1, crowd(net, 60))[0]
    ghosts = [address for address in places(net.rng, 500) if address not in net.hosts][:400]
    node.addrman.add([seen(net, address) for address in ghosts], ghosts[0])
    net.run(2 * HOUR)
    tried = {info.address for _bucket, _slot, info in node.addrman.positions(True)}
    assert len(tried) > 8
    assert not tried & set(ghosts)
    assert sum(info.last_try > 0 for address in ghosts if (info := node.addrman.info(address))) > 10

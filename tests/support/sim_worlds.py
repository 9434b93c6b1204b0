"""Networks that several simulations begin with, and what is asked of them."""

from collections.abc import Iterable, Sequence

from ccnode.wire.address import NetworkAddress
from tests.support.sim_net import Net
from tests.support.sim_node import Node
from tests.support.sim_places import crawler, places

MINUTE = 60.0
HOUR = 3600.0
DAY = 86_400.0

START_SPREAD = 60.0
"""Seconds over which the nodes of a network start."""


def network(
    seed: int,
    nodes: int,
    *,
    seeds: int = 3,
    seed_knows: int | None = None,
    behind_nat: float = 0.0,
    dead: Sequence[NetworkAddress] | int = 0,
    with_chain: bool = False,
    max_connections: int = 125,
    lost_dials: float = 0.0,
    lifetime: float | None = None,
) -> tuple[Net, list[Node]]:
    """Nodes that know nobody, and honest DNS seeds; they start within `START_SPREAD`.

    :param seed_knows: how many nodes each seed knows, always the same ones; None for all.
    :param behind_nat: part of the nodes that cannot be dialed. The seeds do not give those.
    :param dead: addresses of nobody, or how many of them, which the seeds give as readily as others.
    """
    net = Net(seed, lost_dials=lost_dials, lifetime=lifetime)
    where = places(net.rng, nodes + (dead if isinstance(dead, int) else 0))
    hidden = int(nodes * behind_nat)
    everyone = [
        Node(net, address, reachable=number >= hidden, with_chain=with_chain, max_connections=max_connections)
        for number, address in enumerate(where[:nodes])
    ]
    known = where[hidden:] if isinstance(dead, int) else where[hidden:] + list(dead)
    for number in range(seeds):
        its_own = known if seed_knows is None else net.rng.sample(known, seed_knows)
        net.seeds[f"seed{number}.example"] = crawler(net.rng, its_own)
    for node in everyone:
        net.after(net.rng.random() * START_SPREAD, node.start)
    net.run(START_SPREAD)
    return net, everyone


def settle(net: Net, nodes: Iterable[Node], limit: float) -> float | None:
    """Run until all ``nodes`` have all outbound connections; the seconds it took, None if more than ``limit``."""
    nodes = list(nodes)
    return net.wait(lambda: all(node.is_full() for node in nodes), limit)


def is_diverse(node: Node) -> bool:
    """Whether its outbound peers are in pairwise different netgroups."""
    groups = node.outbound_groups()
    return len(set(groups)) == len(groups)


def components(nodes: Iterable[Node]) -> int:
    """Parts into which the network falls, by all connections whose handshake is complete."""
    left = {node.address: node for node in nodes}
    parts = 0
    while left:
        parts += 1
        reached = [left.popitem()[1]]
        while reached:
            for end in reached.pop().ends.values():
                neighbour = end.other.owner
                if end.handshake_complete and neighbour.address in left:
                    reached.append(left.pop(neighbour.address))
    return parts

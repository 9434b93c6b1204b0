"""A network that falls apart becomes one again, and agrees on the chain."""

import pytest

from tests.support.sim_node import Node
from tests.support.sim_worlds import MINUTE, components, network


def across(nodes: list[Node], side: set[Node]) -> int:
    """Connections between the two halves."""
    return sum((end.other.owner in side) != (node in side) for node in nodes for end in node.outbound())


def mine(nodes: list[Node], blocks: int) -> None:
    """Find blocks, ten minutes apart, here and there among ``nodes``."""
    net = nodes[0].net
    for _ in range(blocks):
        net.rng.choice(nodes).find_block()
        net.run(10 * MINUTE)


def check_partition(seed: int, nodes: int, blocks: int) -> None:
    """:param blocks: found meanwhile; odd, so that one half has more work."""
    net, everyone = network(seed, nodes, with_chain=True)
    net.run(3 * MINUTE)
    mine(everyone, 1)
    assert len({node.tip for node in everyone}) == 1
    half = everyone[::2]
    assert across(everyone, set(half)) > nodes
    net.partition(half)
    mine(half, blocks // 2)
    mine(everyone[1::2], blocks - blocks // 2)
    assert across(everyone, set(half)) == 0
    assert len({node.tip for node in everyone}) == components(everyone) == 2
    net.heal()
    healed = net.wait(
        lambda: across(everyone, set(half)) > 0 and len({node.tip for node in everyone}) == 1, 30 * MINUTE
    )
    assert healed is not None, (across(everyone, set(half)), [node.tip.hex()[-8:] for node in everyone])
    net.run(20 * MINUTE)
    assert components(everyone) == 1
    assert across(everyone, set(half)) > 0


def test_a_partition_heals() -> None:
    """Cut in two for half an hour, 20 nodes are one network again half an hour later, with one tip.

    A connection across falls silent and is given up when a ping has waited for 20 minutes, at most 22 after the cut, so
    in the end there is none. Nothing tells a node that the other half is back: every five minutes on average it opens
    one block-relay-only connection more than it needs, to anybody, and that brings the headers of the other half.
    Among 20 nodes one such connection falls due every 15 seconds, and nodes that lack peers dial anyway; the headers
    then run along the connections of the half. Seen: 5 seconds with all of five seeds of the simulation.
    """
    check_partition(7, nodes=20, blocks=3)


@pytest.mark.long
def test_a_long_partition_of_many_nodes_heals() -> None:
    """The same with 60 nodes, which have all the peers they want, and four hours to forget the other half.

    They keep their peers: what connects the halves from then on are the extra connections, one in ten nodes having one
    across at a time, of which those stay that bring the tip. Seen: 5 seconds.
    """
    check_partition(8, nodes=60, blocks=25)

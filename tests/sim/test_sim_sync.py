"""Whatever the seed: all honest nodes reach the chain with the most work, in bounded time.

A world has honest nodes, connected so that the honest ones alone are connected too, and others that are silent,
fickle or lying. Some honest nodes begin with the chain, the rest with nothing. Blocks are found meanwhile, the chain
splits and one side wins.
"""

from collections.abc import Iterator

import pytest

from ccnode.wire.address import NetworkAddress
from tests.support import sim
from tests.support.fakes import HeaderLine
from tests.support.sim import FickleNode, LyingNode, SilentNode, SimNode, World, agreed, honest
from tests.support.sync import DAY, params_with, work_of

MINUTES = 60.0
LINE = HeaderLine().grow(2600)
SHORT = HeaderLine().grow(300)


def build(
    seed: int,
    *,
    honest_nodes: int,
    others: tuple[type[SimNode], ...],
    line: HeaderLine,
    behind: float,
    minimum: int = 0,
) -> World:
    """A world whose first two nodes, and all dishonest ones, have the chain; ``behind`` is its age in seconds."""
    params = params_with(minimum, presync_period=50, presync_buffer=200)
    world = World(seed, params, line.time + behind)
    for _ in range(honest_nodes):
        world.add(SimNode(world))
    for kind in others:
        world.add(kind(world))
    for node in world.nodes:
        if node.number < 2 or not node.honest:
            node.chain.accept(line.headers[1:])
    everyone = world.nodes[:]
    for node in honest(world):
        world.connect(node, world.nodes[(node.number + 1) % honest_nodes])
        for target in world.rng.sample(everyone, 3):
            if target is not node:
                world.connect(node, target)
    return world


def everyone_has(world: World, work: int) -> Iterator[bool]:
    return (node.work >= work for node in honest(world))


def assert_agreed(world: World) -> None:
    assert agreed(world), [(node.number, node.height, len(node.peers)) for node in honest(world)]


def check_synchronisation(seed: int) -> None:
    """Far behind, among silent and lying peers: everyone has the chain within an hour."""
    world = build(
        seed, honest_nodes=6, others=(SilentNode, SilentNode, FickleNode, LyingNode), line=LINE, behind=60 * DAY
    )
    done = world.run(60 * MINUTES, lambda: all(everyone_has(world, work_of(LINE.height))))
    assert done, [(node.number, node.height, len(node.peers)) for node in honest(world)]


def check_low_work(seed: int) -> None:
    """The same through the low-work synchronisation."""
    world = build(
        seed, honest_nodes=4, others=(SilentNode, LyingNode), line=LINE, behind=60 * DAY, minimum=LINE.height - 100
    )
    done = world.run(60 * MINUTES, lambda: all(everyone_has(world, work_of(LINE.height))))
    assert done, [(node.number, node.height, len(node.peers)) for node in honest(world)]


def check_blocks_and_reorganisations(seed: int) -> None:
    """At the tip: blocks here and there, ties and splits; an hour after the last one everyone agrees."""
    world = build(seed, honest_nodes=6, others=(FickleNode, LyingNode, SilentNode), line=SHORT, behind=600)
    world.run(20 * MINUTES)
    assert_agreed(world)
    nodes = list(honest(world))
    for _ in range(12):
        finder = world.rng.choice(nodes)
        if world.rng.random() < 0.4:  # a branch that wins by one
            index = finder.chain.index
            depth = world.rng.randrange(1, 6)
            fork = index.ancestor(index.tip, finder.height - depth)
            finder.find_blocks(depth + 1, on=fork, spacing=1)
        else:
            finder.find_blocks(world.rng.randrange(1, 11), spacing=1)
        world.run(world.rng.expovariate(1 / 300))
    nodes[0].find_blocks(1, spacing=1)
    world.run(60 * MINUTES)
    assert_agreed(world)


CHECKS = (check_synchronisation, check_low_work, check_blocks_and_reorganisations)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("seed", range(3))
def test_honest_nodes_agree(check, seed: int) -> None:
    check(seed)


@pytest.mark.long
@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("seed", range(1000, 1100))
def test_honest_nodes_agree_whatever_the_seed(check, seed: int) -> None:
    check(seed)


def test_only_the_liar_is_discouraged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sim, "LIES", [sim._gap])
    world = build(7, honest_nodes=5, others=(LyingNode,), line=SHORT, behind=600)
    world.run(30 * MINUTES)
    addresses = {node.number: NetworkAddress.parse(f"8.0.0.{node.number + 1}:8333") for node in world.nodes}
    discouraged = {number for node in honest(world) for number in addresses if addresses[number] in node.discouraged}
    assert discouraged == {5}


def test_a_simulation_is_its_seed() -> None:
    """The same seed gives the same history, and another one another."""

    def history(seed: int) -> list[tuple[int, int]]:
        world = build(seed, honest_nodes=4, others=(FickleNode, LyingNode), line=SHORT, behind=600)
        seen = []
        for _ in range(10):
            world.run(MINUTES)
            seen += [(node.height, len(node.peers)) for node in world.nodes]
        return seen

    assert history(3) == history(3)

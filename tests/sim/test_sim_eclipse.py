"""What an attacker with 2,000 addresses in 16 netgroups, and all DNS seeds but one, gets of our outbound connections.

By its number of addresses it would be most of the network: 2,000 of 2,440 here. Core's rules count groups instead.

- New table: addresses of one netgroup told by one source group share one bucket. So each source gives the attacker at
  most 16 buckets, and its 24 sources (16 groups, 8 seeds) at most 384 of the 1,024, in expectation 320 different ones.
  What honest peers pass on adds little: an address with n slots wins another at odds of 2^-n.
- Tried table: 8 buckets for each netgroup, 128 of the 256, in expectation 101 different ones.
- An address is drawn from either table by a random bucket among those that hold something. So even if the attacker won
  every bucket it shares with others, its part of the draws is at most
  (A / (A + H - A H / N) of the new table + the same of the tried one) / 2,
  with its A buckets of N and H with honest entries, which are independent. In full tables that is 35 percent.
- One connection for each netgroup: what it draws a second time from a group it is in is no use to it.

A victim that starts under attack has no tried table and hardly any new one: the eight bad seeds give it 8 x 32
addresses in 108 buckets, the honest one 32 in 25, so that the attacker has at most 81 percent of its first draws. From
there on feelers and the gossip of honest peers bring it to the same equilibrium as everybody.
"""

from dataclasses import dataclass

import pytest

from ccnode.peers.addrman_tables import NEW_BUCKETS, TRIED_BUCKETS
from tests.support.sim_hosts import Attacker, crowd
from tests.support.sim_net import Net
from tests.support.sim_node import Node
from tests.support.sim_places import crawler, places
from tests.support.sim_worlds import DAY, HOUR, MINUTE, is_diverse

ADDRESSES, GROUPS = 2000, 16
SEEDS = 9
SOURCES = GROUPS + SEEDS - 1
FIRST_SHARE = 0.81
DEVIATIONS = 3.0
"""By how many standard deviations of a binomial a measured share may be above the expected one."""


@dataclass
class Siege:
    """The world of this module: nodes from before the attack, nodes that start under it, the attacker."""

    net: Net
    attacker: Attacker
    settled: list[Node]
    victims: list[Node]


def siege(seed: int, *, settled: int, victims: int, others: int, flood: float) -> Siege:
    """After an hour in peace the attacker comes, takes the seeds, and connects to everybody every ``flood`` seconds."""
    net = Net(seed, lifetime=6 * HOUR)
    honest = crowd(net, others)
    free = [address for address in places(net.rng, 2 * others + settled + victims) if address not in net.hosts]
    before = [Node(net, address) for address in free[:settled]]
    known = [host.address for host in honest] + [node.address for node in before]
    net.seeds = {f"seed{number}.example": crawler(net.rng, known) for number in range(SEEDS)}
    for node in before:
        net.after(net.rng.random() * MINUTE, node.start)
    net.run(HOUR)
    attacker = Attacker(net, addresses=ADDRESSES, groups=GROUPS)
    for name in list(net.seeds)[1:]:
        net.seeds[name] = attacker.seed
    under_attack = [Node(net, address) for address in free[settled : settled + victims]]
    for node in under_attack:
        node.start()
    for node in before + under_attack:
        net.after(net.rng.random() * flood, attacker.flood, node, flood)
    return Siege(net, attacker, before, under_attack)


def taken(attacker: Attacker, nodes: list[Node]) -> tuple[int, int]:
    """Outbound connections to the attacker, and all."""
    ends = [end for node in nodes for end in node.outbound()]
    return sum(end.address in attacker for end in ends), len(ends)


def bound(attacker: Attacker, node: Node) -> float:
    """The attacker's largest part of the draws of ``node``, by the argument above."""
    parts = []
    for tried, buckets, most in ((False, NEW_BUCKETS, GROUPS * SOURCES), (True, TRIED_BUCKETS, GROUPS * 8)):
        entries = [(bucket, info.address in attacker) for bucket, _slot, info in node.addrman.positions(tried)]
        honest = len({bucket for bucket, is_bad in entries if not is_bad})
        bad = buckets * (1 - (1 - 1 / buckets) ** most)
        parts.append(bad / (bad + honest - bad * honest / buckets))
    return sum(parts) / 2


def tried_buckets(attacker: Attacker, node: Node) -> int:
    return len({bucket for bucket, _slot, info in node.addrman.positions(True) if info.address in attacker})


def assert_bounded(attacker: Attacker, nodes: list[Node], share: float) -> None:
    bad, total = taken(attacker, nodes)
    assert total >= 9 * len(nodes)
    assert bad <= share * total + DEVIATIONS * (share * (1 - share) * total) ** 0.5, (bad, total, share)
    assert all(is_diverse(node) for node in nodes)
    assert all(tried_buckets(attacker, node) <= 8 * GROUPS for node in nodes)


def test_poisoned_seeds_do_not_surround_a_newcomer() -> None:
    """Five minutes after twelve victims started: at most 81 percent of their connections, nearly none of the others'.

    Seen: 52 and 60 percent. One of 24 victims had the attacker at all ten ends: no rule prevents that, at 81 percent it
    happens to one in eight. What remains is that the seeds of a network are not all in one hand.
    """
    world = siege(1, settled=6, victims=12, others=440, flood=10 * MINUTE)
    world.net.run(5 * MINUTE)
    assert_bounded(world.attacker, world.victims, FIRST_SHARE)
    for node in world.settled:
        assert taken(world.attacker, [node])[0] <= 1


@pytest.mark.long
def test_an_attacker_in_sixteen_groups_has_its_share_after_two_days() -> None:
    """The nodes from before, and the victims, hold no more of its addresses than the tables leave it."""
    world = siege(2, settled=12, victims=12, others=440, flood=5 * MINUTE)
    for _ in range(4):
        world.net.run(DAY / 2)
        for nodes in (world.settled, world.victims):
            share = sum(bound(world.attacker, node) for node in nodes) / len(nodes)
            bad, total = taken(world.attacker, nodes)
            print(f"the attacker has {bad} of {total} connections, {share:.2f} would be its share of the draws")
            assert_bounded(world.attacker, nodes, share)

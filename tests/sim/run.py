"""Simulate a network and print, hour by hour, how its nodes are connected and what they know.

``python -m tests.sim.run --nodes 200 --days 1 --seed 1``; the last line says how many seconds of one core a simulated
node-day took.
"""

import argparse
import gc
import time
from statistics import mean

from tests.support.sim_node import Node
from tests.support.sim_worlds import HOUR, components, network

COLUMNS = "hour  full  outbound  groups  inbound max  parts      new   tried  dials/h"


def row(hour: int, nodes: list[Node], dials: int) -> str:
    """The state of the network in one line; means over the nodes but for ``full``, ``max`` and ``parts``."""
    outbound = [len(node.outbound()) for node in nodes]
    groups = [len(set(node.outbound_groups())) for node in nodes]
    inbound = [sum(end.inbound for end in node.ends.values()) for node in nodes]
    new = mean(node.addrman.size(in_new=True) for node in nodes)
    tried = mean(node.addrman.size(in_new=False) for node in nodes)
    full = sum(node.is_full() for node in nodes)
    return (
        f"{hour:4}  {full:4}  {mean(outbound):8.2f}  {mean(groups):6.2f}  {mean(inbound):7.2f} {max(inbound):3}  "
        f"{components(nodes):5}  {new:7.1f} {tried:7.1f}  {dials / len(nodes):7.1f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Simulate a network of ccnode's deciding code.")
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dead", type=int, default=0, help="addresses that nobody is at")
    parser.add_argument("--nat", type=float, default=0.0, help="part of the nodes that cannot be dialed")
    options = parser.parse_args()
    began = time.process_time()
    net, nodes = network(
        options.seed, options.nodes, dead=options.dead, behind_nat=options.nat, lost_dials=0.02, lifetime=6 * HOUR
    )
    gc.freeze()
    print(COLUMNS)
    dialed = 0
    for hour in range(1, round(options.days * 24) + 1):
        net.run(HOUR)
        total = sum(node.dials for node in nodes)
        print(row(hour, nodes, total - dialed), flush=True)
        dialed = total
    spent = time.process_time() - began
    days = options.days * options.nodes
    print(f"{spent:.0f} s of one core, {spent / days:.2f} for a node-day; {net.happened:,} events")


if __name__ == "__main__":
    main()

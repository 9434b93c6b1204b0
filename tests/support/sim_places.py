"""Where simulated nodes are: real IPv4 addresses of nodes where the test data has them, else ones distributed alike."""

import json
import random
from collections.abc import Sequence
from functools import lru_cache

from ccnode.wire.address import NetworkAddress
from tests.support.data import DATA_DIR, read_xz
from tests.support.sim_net import SeedAnswer
from tests.support.sim_node import MAX_SEED_ANSWER, P2P_PORT

SNAPSHOT = DATA_DIR / "addrs/bitnodes_1663113591.json.xz"
"""All reachable nodes of September 2022: 5,880 IPv4 addresses in 3,347 groups, of which the largest has 51."""

CROWDED_GROUPS = 60
CROWDED_PART = 0.25
"""Where there is no snapshot: this part of the nodes is at so many hosters, the k-th largest weighs 1 / (k + 10)."""


def places(rng: random.Random, number: int) -> list[NetworkAddress]:
    """Addresses of so many nodes, all different."""
    if SNAPSHOT.exists() and number <= len(_snapshot()):
        return rng.sample(_snapshot(), number)
    weights = [1 / (rank + 10) for rank in range(CROWDED_GROUPS)]
    crowded = [any_group(rng) for _ in weights]
    found: dict[NetworkAddress, None] = {}
    while len(found) < number:
        prefix = rng.choices(crowded, weights)[0] if rng.random() < CROWDED_PART else any_group(rng)
        found[in_group(rng, prefix)] = None
    return list(found)


def in_group(rng: random.Random, prefix: tuple[int, int]) -> NetworkAddress:
    """An address in the /16 of these two bytes."""
    return NetworkAddress.parse(f"{prefix[0]}.{prefix[1]}.{rng.randrange(256)}.{rng.randrange(1, 255)}:{P2P_PORT}")


def crawler(rng: random.Random, known: Sequence[NetworkAddress]) -> SeedAnswer:
    """An honest seed, which answers with 32 of those it knows to be up."""
    return lambda: rng.sample(known, min(MAX_SEED_ANSWER, len(known)))


@lru_cache(1)
def _snapshot() -> list[NetworkAddress]:
    hosts = [entry[0] for entry in json.loads(read_xz(SNAPSHOT)) if entry[0].count(".") == 3]
    found = (NetworkAddress.parse(f"{host}:{P2P_PORT}") for host in hosts)
    return sorted({address for address in found if address.is_routable()}, key=lambda address: address.addr)


def any_group(rng: random.Random) -> tuple[int, int]:
    """The first two bytes of a routable /16."""
    while True:
        prefix = rng.randrange(1, 224), rng.randrange(256)
        if NetworkAddress.parse(f"{prefix[0]}.{prefix[1]}.0.1:{P2P_PORT}").is_routable():
            return prefix

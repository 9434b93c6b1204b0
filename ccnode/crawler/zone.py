"""``export zone``: good nodes as records of a DNS zone, for whoever serves a seed from a plain name server.

The text has a time to live and records of the name ``@``, and no SOA: it is meant for ``$INCLUDE`` in the zone of a
seed, whose name it takes. An answer carries no port, so only nodes at the chain's default port are in it. Those at
the name ``x9`` offer all that a new node looks for; Bitcoin Core asks for that name first (``peers/bootstrap.py``).

Who is good? The round reached it, it offers blocks, and if its headers were verified, they are of our chain and fresh.
Of these, the most reliable over a week come first, and each IPv4 /16 and IPv6 /32 has one: a list must not be the work
of one provider. An answer of `MOST` fits into one packet of the size that resolvers use.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from ccnode.crawler.archive import NodeVisit
from ccnode.crawler.summary import netgroup
from ccnode.peers.bootstrap import SEED_SERVICES
from ccnode.wire.address import Network
from ccnode.wire.protocol import ServiceFlags

TTL: Final = 3600
"""Seconds."""

MOST: Final = 25
"""Records of a name and a type."""

MAX_BEHIND: Final = 144
"""Headers behind ours, a day of them, from which a node is not good any more."""

TYPES: Final = {Network.IPV4: "A", Network.IPV6: "AAAA"}
NAMES: Final = {"@": ServiceFlags.NETWORK, f"x{int(SEED_SERVICES):x}": SEED_SERVICES}
"""Names below the seed's, and what their nodes offer."""


def records(nodes: Iterable[tuple[float, NodeVisit]], port: int) -> Iterator[str]:
    """The records, for nodes that a round reached, each with its reliability."""
    ranked = sorted(nodes, key=lambda item: -item[0])
    good = [one for _, one in ranked if one.visit.address.port == port and _is_good(one)]
    for name, services in NAMES.items():
        for network, kind in TYPES.items():
            groups: set[str | None] = set()
            for one in good:
                address = one.visit.address
                group = netgroup(address)
                fits = address.network is network and (one.visit.services or 0) & services == services
                if fits and group not in groups and len(groups) < MOST:
                    groups.add(group)
                    yield f"{name:<4} IN {kind:<4} {address.host}"


def _is_good(one: NodeVisit) -> bool:
    return one.visit.chain_ok is not False and (one.visit.headers_behind or 0) <= MAX_BEHIND

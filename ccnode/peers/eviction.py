"""Which inbound peer goes when all slots are taken and another one comes (Core: ``node/eviction.cpp``).

Whoever wants to surround a node must take its inbound slots, and only new connections can do that. So a new one is let
in, at the cost of an old one that is hard to recognise as an attacker's: peers are protected for qualities
that an attacker cannot have all at once. In this order, and each step takes its peers out of the game:

1. those with the noban permission, and outbound ones;
2. `PROTECTED_NETGROUPS` by a hash of their netgroup under a secret key: nobody can choose to be among these;
3. `PROTECTED_PINGS` with the lowest ping: distance cannot be faked downwards;
4. `PROTECTED_TXS` who gave us new transactions last;
5. of `PROTECTED_BLOCK_RELAYERS` who relay no transactions, those with the newest block and the services we want;
6. `PROTECTED_BLOCKS` who gave us new blocks last: that costs work or a good connection;
7. half of the rest by time connected, of which half the places are kept for networks that have a hard time
   otherwise: CJDNS, I2P, Tor, and this machine.

Of what remains the netgroup with the most peers loses its newest one; peers that had misbehaved before they came go
first. Where Core's order leaves a tie, the misbehaviour score breaks it; between two who came in the same second, the
one who came first is the older. If nobody remains, the new connection is refused.

It does not protect against an attacker with addresses in many netgroups and patience: uptime is bought with time.

A node may have thousands of slots, and once they are taken each new connection is an eviction. So peers are compared
by one plain number after the other (`_best`): it takes 10 ms among 9,000, a third of what sorting them by tuples takes.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from heapq import nlargest
from math import inf
from operator import attrgetter
from typing import Any, Final, NamedTuple

from ccnode.wire.address import Network

PROTECTED_NETGROUPS: Final = 4
PROTECTED_PINGS: Final = 8
PROTECTED_TXS: Final = 4
PROTECTED_BLOCK_RELAYERS: Final = 8
PROTECTED_BLOCKS: Final = 4

FEW: Final = 8
"""Up to so many are found without sorting."""


class Candidate(NamedTuple):
    """What eviction goes by. Times are whole Unix seconds, 0 for never.

    A tuple, because a node with thousands of peers makes thousands of them at once: 0.9 us each instead of 4.4.
    """

    id: int
    connected: int
    keyed_netgroup: int
    min_ping: float = inf
    """Seconds."""
    last_block: int = 0
    last_transaction: int = 0
    relevant_services: bool = False
    """It has all services that we want of a peer."""
    relays_transactions: bool = False
    bloom_filter: bool = False
    prefer_evict: bool = False
    """It was discouraged when it was accepted."""
    is_local: bool = False
    network: Network = Network.IPV4
    """Through which it reached us."""
    no_ban: bool = False
    inbound: bool = True
    score: int = 0
    """Of misbehaviour."""


Quality = Callable[[Candidate], Any]
"""What speaks for a peer, the more the greater it is. Of several, the first that differs decides."""

Test = Callable[[Candidate], bool]


def select_to_evict(candidates: Iterable[Candidate]) -> int | None:
    """The id of the peer that makes room; None if all are protected."""
    left = [peer for peer in candidates if peer.inbound and not peer.no_ban]
    left = _protect(left, PROTECTED_NETGROUPS, _NETGROUP)
    left = _protect(left, PROTECTED_PINGS, _PING)
    left = _protect(left, PROTECTED_TXS, _TRANSACTIONS)
    left = _protect(left, PROTECTED_BLOCK_RELAYERS, _BLOCK_RELAY, _is_useful_block_relayer)
    left = _protect(left, PROTECTED_BLOCKS, _BLOCKS)
    left = protect_by_ratio(left)
    preferred = [peer for peer in left if peer.prefer_evict]
    return _newest_of_largest_group(preferred or left)


def protect_by_ratio(left: list[Candidate]) -> list[Candidate]:
    """Step 7: the peers that neither their time nor their network protects.

    Networks with fewer candidates have the first go at places that others leave over; a network's share of a round is
    its part of the places still to be given, at least one. A peer that is local and came through Tor is counted twice
    and protected once; a round that protects nobody because of that is the last, as in Core.
    """
    places = len(left) // 2
    reserved = places // 2
    special = [peer for peer in left if peer.is_local or peer.network not in _ORDINARY]
    counts = {name: sum(map(member, special)) for name, member in _DISADVANTAGED.items()}
    networks = sorted(counts, key=counts.__getitem__)  # stable: among equals, the order of the table
    given, before_round = 0, -1
    while before_round < given < reserved and any(counts.values()):
        before_round = given
        share = max((reserved - given) // sum(map(bool, counts.values())), 1)
        for name in filter(counts.__getitem__, networks):
            before = len(left)
            member = _DISADVANTAGED[name]
            left = _protect(left, share, (member, *_UPTIME), member)
            counts[name] -= before - len(left)
            given += before - len(left)
            if given >= reserved:
                break
    return _protect(left, places - given, _UPTIME)


def _protect(
    left: list[Candidate], count: int, qualities: Iterable[Quality], only: Test | None = None
) -> list[Candidate]:
    """``left`` without its ``count`` best, or those of them that ``only`` holds for."""
    protected = {peer.id for peer in _best(left, count, qualities) if only is None or only(peer)}
    return [peer for peer in left if peer.id not in protected]


def _best(peers: list[Candidate], count: int, qualities: Iterable[Quality]) -> list[Candidate]:
    """The ``count`` best; of equals, those that came last.

    Whoever exceeds the least value that is still among the best is in; whoever equals it is judged by the next quality.
    """
    best: list[Candidate] = []
    for quality in qualities:
        if not 0 < count < len(peers):
            break
        values = list(map(quality, peers))
        least = nlargest(count, values)[-1] if count <= FEW else sorted(values)[-count]
        if values.count(least) == len(values):
            continue
        above = [peer for peer, value in zip(peers, values, strict=True) if value > least]
        peers = [peer for peer, value in zip(peers, values, strict=True) if value == least]
        best += above
        count -= len(above)
    return best + peers[max(0, len(peers) - count) :]


def _newest_of_largest_group(left: list[Candidate]) -> int | None:
    sizes = Counter(peer.keyed_netgroup for peer in left)
    largest = max(sizes.values(), default=0)
    candidates = [peer for peer in left if sizes[peer.keyed_netgroup] == largest]
    return max(candidates, key=lambda peer: (peer.connected, peer.score, peer.id)).id if candidates else None


_UPTIME: Final[tuple[Quality, ...]] = (lambda peer: -peer.connected, lambda peer: -peer.id)
_NETGROUP: Final[tuple[Quality, ...]] = (attrgetter("keyed_netgroup"),)
_PING: Final[tuple[Quality, ...]] = (lambda peer: -peer.min_ping, *_NETGROUP)
_TRANSACTIONS: Final[tuple[Quality, ...]] = (
    attrgetter("last_transaction"),
    attrgetter("relays_transactions"),
    lambda peer: not peer.bloom_filter,
    *_UPTIME,
)
_BLOCKS: Final[tuple[Quality, ...]] = (attrgetter("last_block"), attrgetter("relevant_services"), *_UPTIME)
_BLOCK_RELAY: Final[tuple[Quality, ...]] = (lambda peer: not peer.relays_transactions, *_BLOCKS)


def _is_useful_block_relayer(peer: Candidate) -> bool:
    return not peer.relays_transactions and peer.relevant_services


_ORDINARY: Final = (Network.IPV4, Network.IPV6)
_DISADVANTAGED: Final[dict[str, Test]] = {
    "cjdns": lambda peer: peer.network is Network.CJDNS,
    "i2p": lambda peer: peer.network is Network.I2P,
    "localhost": lambda peer: peer.is_local,
    "onion": lambda peer: peer.network is Network.ONION,
}

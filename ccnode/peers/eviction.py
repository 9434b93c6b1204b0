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
first. Where Core's order leaves a tie, the misbehaviour score breaks it. If nobody remains, the new connection is
refused.

It does not protect against an attacker with addresses in many netgroups and patience: uptime is bought with time.
"""

from collections.abc import Callable, Iterable
from math import inf
from typing import Any, Final, NamedTuple

from ccnode.wire.address import Network

PROTECTED_NETGROUPS: Final = 4
PROTECTED_PINGS: Final = 8
PROTECTED_TXS: Final = 4
PROTECTED_BLOCK_RELAYERS: Final = 8
PROTECTED_BLOCKS: Final = 4


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


Order = Callable[[Candidate], tuple[Any, ...]]
Test = Callable[[Candidate], bool]


def select_to_evict(candidates: Iterable[Candidate]) -> int | None:
    """The id of the peer that makes room; None if all are protected."""
    left = [peer for peer in candidates if peer.inbound and not peer.no_ban]
    left = _protect(left, PROTECTED_NETGROUPS, lambda peer: (peer.keyed_netgroup,))
    left = _protect(left, PROTECTED_PINGS, lambda peer: (-peer.min_ping,))
    left = _protect(left, PROTECTED_TXS, _transaction_usefulness)
    left = _protect(left, PROTECTED_BLOCK_RELAYERS, _block_relay_usefulness, _is_useful_block_relayer)
    left = _protect(left, PROTECTED_BLOCKS, _block_usefulness)
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
    counts = {name: sum(map(member, left)) for name, member in _DISADVANTAGED.items()}
    networks = sorted(counts, key=counts.__getitem__)  # stable: among equals, the order of the table
    given, before_round = 0, -1
    while before_round < given < reserved and any(counts.values()):
        before_round = given
        share = max((reserved - given) // sum(map(bool, counts.values())), 1)
        for name in filter(counts.__getitem__, networks):
            before = len(left)
            left = _protect_network(left, share, _DISADVANTAGED[name])
            counts[name] -= before - len(left)
            given += before - len(left)
            if given >= reserved:
                break
    return _protect(left, places - given, lambda peer: (-peer.connected,))


def _protect_network(left: list[Candidate], count: int, member: Test) -> list[Candidate]:
    return _protect(left, count, lambda peer: (member(peer), -peer.connected), member)


def _protect(left: list[Candidate], count: int, order: Order, only: Test = lambda _peer: True) -> list[Candidate]:
    """``left`` in ``order``, without those of the last ``count`` that ``only`` holds for."""
    ranked = sorted(left, key=order)
    start = max(0, len(ranked) - count)
    return ranked[:start] + [peer for peer in ranked[start:] if not only(peer)]


def _newest_of_largest_group(left: list[Candidate]) -> int | None:
    groups: dict[int, list[Candidate]] = {}
    for peer in left:
        groups.setdefault(peer.keyed_netgroup, []).append(peer)
    if not groups:
        return None
    largest = max(groups.values(), key=lambda group: (len(group), max(map(_evict_first, group))))
    return max(largest, key=_evict_first).id


def _evict_first(peer: Candidate) -> tuple[int, int, int]:
    return peer.connected, peer.score, peer.id


# What is protected stands last.


def _transaction_usefulness(peer: Candidate) -> tuple[Any, ...]:
    return peer.last_transaction, peer.relays_transactions, not peer.bloom_filter, -peer.connected


def _block_usefulness(peer: Candidate) -> tuple[Any, ...]:
    return peer.last_block, peer.relevant_services, -peer.connected


def _block_relay_usefulness(peer: Candidate) -> tuple[Any, ...]:
    return not peer.relays_transactions, *_block_usefulness(peer)


def _is_useful_block_relayer(peer: Candidate) -> bool:
    return not peer.relays_transactions and peer.relevant_services


_DISADVANTAGED: Final[dict[str, Test]] = {
    "cjdns": lambda peer: peer.network is Network.CJDNS,
    "i2p": lambda peer: peer.network is Network.I2P,
    "localhost": lambda peer: peer.is_local,
    "onion": lambda peer: peer.network is Network.ONION,
}

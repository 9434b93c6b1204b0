"""Which inbound peer goes when all slots are taken and another one comes (Core: ``node/eviction.cpp``).

Whoever wants to surround a node must take its inbound slots, and only new connections can do that. So a new one is let
in, at the cost of an old one that is hard to recognise as an attacker's: peers are protected for qualities
that an attacker cannot have all at once. In this order, and each step takes its peers out of the game:

1. those with the noban permission (outbound peers are no candidates at all);
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

A node may have thousands of slots, and once they are taken each new connection is an eviction. So the candidates are
kept in all the orders that matter: to choose among 9,000 takes 2 ms, where sorting takes 80.
"""

from bisect import bisect_left, insort
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from itertools import islice
from math import inf
from typing import Any, Final, NamedTuple

from ccnode.wire.address import Network

PROTECTED_NETGROUPS: Final = 4
PROTECTED_PINGS: Final = 8
PROTECTED_TXS: Final = 4
PROTECTED_BLOCK_RELAYERS: Final = 8
PROTECTED_BLOCKS: Final = 4


class Candidate(NamedTuple):
    """What eviction goes by, of an inbound peer. Times are whole Unix seconds, 0 for never."""

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
    score: int = 0
    """Of misbehaviour."""


Order = Callable[[Candidate], tuple[Any, ...]]
"""The greater, the better for the peer. Where it is the same, who came first is better."""

Test = Callable[[Candidate], bool]


class Candidates:
    """The inbound peers of a node, as eviction sees them."""

    def __init__(self, candidates: Iterable[Candidate] = ()) -> None:
        self._candidates: dict[int, Candidate] = {}
        self._uptime = _Ranking(_uptime)
        self._steps: list[tuple[_Ranking, int, Test]] = [
            (_Ranking(_netgroup), PROTECTED_NETGROUPS, _everybody),
            (_Ranking(_ping), PROTECTED_PINGS, _everybody),
            (_Ranking(_transactions), PROTECTED_TXS, _everybody),
            (_Ranking(_block_relay), PROTECTED_BLOCK_RELAYERS, _is_useful_block_relayer),
            (_Ranking(_blocks), PROTECTED_BLOCKS, _everybody),
        ]
        self._disadvantaged = {name: _Ranking(_uptime, test) for name, test in _DISADVANTAGED.items()}
        self._rankings = [self._uptime, *(step[0] for step in self._steps), *self._disadvantaged.values()]
        for candidate in candidates:
            self.put(candidate)

    def put(self, candidate: Candidate) -> None:
        """Add a peer, or replace what is known of it."""
        known = self._candidates.get(candidate.id)
        if candidate.no_ban:
            self.remove(candidate.id)
        elif known != candidate:
            self._candidates[candidate.id] = candidate
            for ranking in self._rankings:
                ranking.replace(known, candidate)

    def remove(self, peer_id: int) -> None:
        """Forget a peer, if it is known."""
        candidate = self._candidates.pop(peer_id, None)
        if candidate is not None:
            for ranking in self._rankings:
                ranking.replace(candidate, None)

    def select_to_evict(self) -> int | None:
        """The id of the peer that makes room; None if all are protected."""
        protected: set[int] = set()
        for ranking, count, only in self._steps:
            best = ranking.best(count, protected)
            protected.update(peer_id for peer_id in best if only(self._candidates[peer_id]))
        protected |= self.protected_by_ratio(protected)
        left = [peer for peer in self._candidates.values() if peer.id not in protected]
        preferred = [peer for peer in left if peer.prefer_evict]
        return _newest_of_largest_group(preferred or left)

    def protected_by_ratio(self, protected: Collection[int]) -> set[int]:
        """Step 7: whom of those that are not ``protected`` yet their time or their network protects.

        Networks with fewer candidates have the first go at places that others leave over; a network's share of a round
        is its part of the places still to be given, at least one. A peer that is local and came through Tor is counted
        twice and protected once; a round that protects nobody because of that is the last, as in Core.
        """
        places = (len(self._candidates) - len(protected)) // 2
        reserved = places // 2
        out = set(protected)
        counts = {
            name: len(ranking) - sum(ranking.has(self._candidates[peer_id]) for peer_id in protected)
            for name, ranking in self._disadvantaged.items()
        }
        networks = sorted(counts, key=counts.__getitem__)  # stable: among equals, the order of the table
        given, before_round = 0, -1
        while before_round < given < reserved and any(counts.values()):
            before_round = given
            share = max((reserved - given) // sum(map(bool, counts.values())), 1)
            for name in filter(counts.__getitem__, networks):
                best = self._disadvantaged[name].best(share, out)
                out.update(best)
                counts[name] -= len(best)
                given += len(best)
                if given >= reserved:
                    break
        out.update(self._uptime.best(places - given, out))
        return out.difference(protected)


class _Ranking:
    """Those candidates that a test holds for, in one order, the best last."""

    def __init__(self, order: Order, test: Test | None = None) -> None:
        self.has = test or _everybody
        self._order = order
        self._entries: list[tuple[Any, ...]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def replace(self, old: Candidate | None, new: Candidate | None) -> None:
        """Take out ``old`` and put in ``new``, where the test holds for them."""
        before, after = self._entry(old), self._entry(new)
        if before == after:
            return
        if before is not None:
            del self._entries[bisect_left(self._entries, before)]
        if after is not None:
            insort(self._entries, after)

    def _entry(self, candidate: Candidate | None) -> tuple[Any, ...] | None:
        if candidate is None or not self.has(candidate):
            return None
        return (*self._order(candidate), -candidate.id)

    def best(self, count: int, without: Collection[int]) -> list[int]:
        """The ids of the best ``count`` that are not among ``without``."""
        ids = (-entry[-1] for entry in reversed(self._entries))
        return list(islice((peer_id for peer_id in ids if peer_id not in without), count))


def _newest_of_largest_group(left: list[Candidate]) -> int | None:
    sizes = Counter(peer.keyed_netgroup for peer in left)
    largest = max(sizes.values(), default=0)
    members = [peer for peer in left if sizes[peer.keyed_netgroup] == largest]
    return max(members, key=lambda peer: (peer.connected, peer.score, peer.id)).id if members else None


def _uptime(peer: Candidate) -> tuple[Any, ...]:
    return (-peer.connected,)


def _netgroup(peer: Candidate) -> tuple[Any, ...]:
    return (peer.keyed_netgroup,)


def _ping(peer: Candidate) -> tuple[Any, ...]:
    return -peer.min_ping, peer.keyed_netgroup


def _transactions(peer: Candidate) -> tuple[Any, ...]:
    return peer.last_transaction, peer.relays_transactions, not peer.bloom_filter, -peer.connected


def _blocks(peer: Candidate) -> tuple[Any, ...]:
    return peer.last_block, peer.relevant_services, -peer.connected


def _block_relay(peer: Candidate) -> tuple[Any, ...]:
    return not peer.relays_transactions, *_blocks(peer)


def _everybody(_peer: Candidate) -> bool:
    return True


def _is_useful_block_relayer(peer: Candidate) -> bool:
    return not peer.relays_transactions and peer.relevant_services


_DISADVANTAGED: Final[dict[str, Test]] = {
    "cjdns": lambda peer: peer.network is Network.CJDNS,
    "i2p": lambda peer: peer.network is Network.I2P,
    "localhost": lambda peer: peer.is_local,
    "onion": lambda peer: peer.network is Network.ONION,
}

"""A made-up internet of nodes, and the truth about each: what a crawl of it has to find out.

A `Universe` is made of a seed, so that whoever plays it (``internet.py``) and whoever judges a crawl of it agree
without a word. Each address has a `Kind`: how it behaves when it is dialed, and the outcome that an exact crawler
gives it. The *realm* says where addresses lie, for that decides what the system does with a dial: some reach the one
listener that plays all nodes, others nobody, a closed port, or a router that says no.

Nodes answer ``getaddr`` with messages of up to a thousand entries, made beforehand: every address is in `COPIES` of
them, as on the internet, where a peer's thousand are a sample of what it knows.
"""

import ipaddress
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, unique
from functools import cached_property
from random import Random
from typing import Final, Protocol

from ccnode.crawler.outcome import Collected, Outcome
from ccnode.wire.address import IPV4_IN_IPV6, Network, NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, TimedAddress, pack_address, unpack_address
from ccnode.wire.protocol import MAX_ADDR_TO_SEND
from ccnode.wire.serialize import compact_size

COPIES: Final = 14
"""Messages that an address is in."""

DAY: Final = 86_400
NETWORK_AND_WITNESS: Final = 0x409
SEEDS: Final = 3


@unique
class Place(Enum):
    """What a dial meets."""

    LISTENER = "somebody who takes the connection"
    HOLE = "nothing at all"
    CLOSED = "a host without a listener"
    NO_ROUTE = "a router that knows no way"
    ONION = "Tor"
    PRIVATE = "an address that must not be dialed"
    ELSEWHERE = "a network without a way to it"


@unique
class Kind(Enum):
    """How an address behaves, and what is to be said of it."""

    outcome: Outcome
    place: Place
    collected: frozenset[Collected]
    """Why the collection of its addresses may end; empty where that is not told apart."""

    def __new__(cls, value: str, outcome: Outcome, place: Place = Place.LISTENER, *collected: Collected) -> "Kind":
        kind = object.__new__(cls)
        kind._value_ = value
        kind.outcome = outcome
        kind.place = place
        kind.collected = frozenset(collected)
        return kind

    __hash__ = object.__hash__

    GOOD = "good", Outcome.REACHABLE, Place.LISTENER, Collected.COMPLETE
    OLD = "announces itself, answers late", Outcome.REACHABLE, Place.LISTENER, Collected.COMPLETE, Collected.SELF_ONLY
    MUTE = "never answers getaddr", Outcome.REACHABLE, Place.LISTENER, Collected.DEADLINE
    ONION = "good, behind Tor", Outcome.REACHABLE, Place.ONION, Collected.COMPLETE

    HOLE = "black hole", Outcome.TIMEOUT, Place.HOLE
    REFUSED = "refused", Outcome.REFUSED, Place.CLOSED
    NO_ROUTE = "no route", Outcome.NO_ROUTE, Place.NO_ROUTE
    ONION_GONE = "unknown to Tor", Outcome.PROXY_FAILED, Place.ONION
    PRIVATE = "not routable", Outcome.UNROUTABLE, Place.PRIVATE
    I2P = "on I2P", Outcome.NO_LANE, Place.ELSEWHERE

    FULL = "closes at once", Outcome.SLOTS_FULL
    SILENT = "says nothing", Outcome.SILENT
    DRIP = "a byte at a time", Outcome.TARPIT
    GARBAGE = "random bytes", Outcome.NOT_BITCOIN
    FOREIGN = "of another network", Outcome.WRONG_MAGIC
    VAST = "announces 20 MB", Outcome.OVERSIZE
    DAMAGED = "wrong checksum", Outcome.MALFORMED
    OBSOLETE = "ancient version", Outcome.OBSOLETE
    NO_VERACK = "no verack", Outcome.NO_VERACK
    LEAVING = "closes after its version", Outcome.CLOSED
    MIRROR = "sends back what it gets", Outcome.SELF

    CROWDED = "over 1000 entries", Outcome.REACHABLE, Place.LISTENER, Collected.CLOSED
    TRUNCATED = "entries cut short", Outcome.REACHABLE, Place.LISTENER, Collected.CLOSED
    STRANGE = "networks yet to be invented", Outcome.REACHABLE, Place.LISTENER, Collected.COMPLETE
    POISONER = "invents addresses", Outcome.REACHABLE, Place.LISTENER, Collected.COMPLETE
    PINGER = "pings without end", Outcome.REACHABLE
    FLOODER = "floods with inv", Outcome.REACHABLE


ANSWERING: Final = frozenset({Kind.GOOD, Kind.ONION})
"""Kinds whose lists a crawler surely gets, whole."""

STANDARD: Final[Mapping[Kind, float]] = {
    Kind.HOLE: 50, Kind.REFUSED: 20, Kind.NO_ROUTE: 5, Kind.GOOD: 17, Kind.OLD: 2, Kind.MUTE: 1,
    Kind.SILENT: 1, Kind.FULL: 1, Kind.GARBAGE: 1, Kind.FOREIGN: 1, Kind.DRIP: 1,
}  # fmt: skip
"""A fifth can be reached, half are black holes."""

HARSH: Final[Mapping[Kind, float]] = {
    Kind.HOLE: 70, Kind.REFUSED: 14, Kind.NO_ROUTE: 4, Kind.GOOD: 5.5, Kind.OLD: 1, Kind.MUTE: 0.5,
    Kind.SILENT: 1, Kind.FULL: 2, Kind.GARBAGE: 0.7, Kind.FOREIGN: 0.7, Kind.DRIP: 0.6,
}  # fmt: skip
"""As operators report it of the internet: one in fourteen can be reached."""

_OF_EACH: Final = 1.0
HOSTILE: Final[Mapping[Kind, float]] = {
    **dict.fromkeys(Kind, _OF_EACH), Kind.HOLE: 33, Kind.REFUSED: 14, Kind.NO_ROUTE: 4, Kind.GOOD: 18, Kind.OLD: 2,
    Kind.POISONER: 2, Kind.ONION: 2,
}  # fmt: skip
"""Every behaviour there is. Of 50,000 addresses a thousand invent as many others each."""

QUICK: Final[Mapping[Kind, float]] = {Kind.HOLE: 40, Kind.REFUSED: 35, Kind.GOOD: 20, Kind.OLD: 2, Kind.FULL: 3}
"""Nobody who is waited for until a limit of the conversation is reached."""

PEACEFUL: Final[Mapping[Kind, float]] = {Kind.GOOD: 100}

MIXES: Final = {"peaceful": PEACEFUL, "quick": QUICK, "standard": STANDARD, "harsh": HARSH, "hostile": HOSTILE}


class Realm(Protocol):
    """Where the addresses of a universe lie."""

    listening: int
    """The port of whoever plays the nodes."""
    socks: int
    """The port of the proxy that plays Tor, on 127.0.0.1."""
    places: frozenset[Place]
    """Those that exist in this realm."""

    def address(self, rng: Random, place: Place) -> NetworkAddress:
        """Some address there."""
        ...

    def invented(self, rng: Random) -> NetworkAddress:
        """One that nobody has, and that costs a crawler a dial."""
        ...


def _onion(rng: Random) -> NetworkAddress:
    return NetworkAddress(Network.ONION, rng.randbytes(32), 8333)


def _i2p(rng: Random) -> NetworkAddress:
    return NetworkAddress(Network.I2P, rng.randbytes(32), 0)


@dataclass(frozen=True)
class Loopback:
    """127.0.0.0/8, where the port decides. Needs no privilege; a crawler must be told to dial local addresses."""

    listening: int
    hole: int
    closed: int
    socks: int
    places = frozenset(Place) - {Place.NO_ROUTE}

    def address(self, rng: Random, place: Place) -> NetworkAddress:
        if place is Place.ONION:
            return _onion(rng)
        if place is Place.ELSEWHERE:
            return _i2p(rng)
        ports = {Place.LISTENER: self.listening, Place.HOLE: self.hole, Place.CLOSED: self.closed, Place.PRIVATE: 0}
        return NetworkAddress(Network.IPV4, bytes([127, rng.randrange(1, 255)]) + rng.randbytes(2), ports[place])

    def invented(self, rng: Random) -> NetworkAddress:
        return self.address(rng, Place.CLOSED)


PORT: Final = 8333
CLOSED_PORT: Final = 8334
SOCKS_PORT: Final = 9050
HERE_4, HOLE_4, NO_WAY_4 = "32.0.0.0/3", "64.0.0.0/3", "128.0.0.0/3"
HERE_6, HOLE_6, NO_WAY_6 = "2400::/8", "2a00::/8", "2c00::/8"
IPV6_SHARE: Final = 0.15


@dataclass(frozen=True)
class Internet:
    """Addresses like those of the internet, in a network namespace of its own (``namespace.py``)."""

    listening: int = PORT
    socks: int = SOCKS_PORT
    places = frozenset(Place)

    def address(self, rng: Random, place: Place) -> NetworkAddress:
        if place is Place.ONION:
            return _onion(rng)
        if place is Place.ELSEWHERE:
            return _i2p(rng)
        if place is Place.PRIVATE:
            return NetworkAddress(Network.IPV4, bytes([192, 168]) + rng.randbytes(2), PORT)
        ranges = {Place.HOLE: (HOLE_4, HOLE_6), Place.NO_ROUTE: (NO_WAY_4, NO_WAY_6)}.get(place, (HERE_4, HERE_6))
        net = ipaddress.ip_network(ranges[rng.random() < IPV6_SHARE])
        number = int(net.network_address) + rng.getrandbits(net.max_prefixlen - net.prefixlen)
        packed = number.to_bytes(net.max_prefixlen // 8, "big")
        network = Network.IPV6 if net.version == 6 else Network.IPV4
        address = NetworkAddress(network, packed, CLOSED_PORT if place is Place.CLOSED else PORT)
        return address if address.is_routable() else self.address(rng, place)

    def invented(self, rng: Random) -> NetworkAddress:
        return self.address(rng, Place.HOLE)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A crawl against the truth."""

    advertised: int
    """Reachable addresses that a node told which surely answers."""
    found: int
    missing: tuple[str, ...]
    """Of those, the ones not found."""
    wrong: tuple[str, ...]
    """Addresses with another outcome than theirs."""
    false_positives: int
    """Said to be reachable, and not so."""
    invented: int
    """Addresses that nobody has, and the crawler heard of."""

    @property
    def is_exact(self) -> bool:
        return not self.missing and not self.wrong and not self.false_positives


@dataclass
class Universe:
    """``count`` addresses of a mix in a realm."""

    seed: int
    count: int
    mix: str
    realm: Realm
    neighbours: tuple[str, ...] = ()
    """Real nodes, which the answers name as well."""
    now: int = 0
    """Unix time about which addresses were seen."""
    kinds: dict[bytes, Kind] = field(init=False, repr=False)
    """By packed address."""

    def __post_init__(self) -> None:
        rng = Random(self.seed)
        self.kinds = {}
        for kind, number in self._numbers():
            found = 0
            while found < number:
                key = pack_address(self.realm.address(rng, kind.place))
                if key not in self.kinds:
                    self.kinds[key] = kind
                    found += 1

    def _numbers(self) -> Iterator[tuple[Kind, int]]:
        """How many of each kind; at least one."""
        mix = {kind: share for kind, share in MIXES[self.mix].items() if kind.place in self.realm.places}
        whole = sum(mix.values())
        numbers = {kind: max(1, int(self.count * share / whole)) for kind, share in mix.items()}
        numbers[Kind.GOOD] += self.count - sum(numbers.values())
        yield from numbers.items()

    def keys(self, *kinds: Kind) -> list[bytes]:
        """The addresses of these kinds, always in the same order."""
        return [key for key, kind in self.kinds.items() if kind in kinds]

    @property
    def seeds(self) -> list[str]:
        """Where a crawl begins."""
        return [str(unpack_address(key)) for key in self.keys(Kind.GOOD)[:SEEDS]]

    # -- what nodes tell -----------------------------------------------------------------------------------------

    @cached_property
    def lists(self) -> list[list[bytes]]:
        """The addresses of each answer. Those at the front hold every address once."""
        rng = Random(self.seed + 1)
        everybody = [*self.kinds, *(pack_address(NetworkAddress.parse(text)) for text in self.neighbours)]
        size = min(MAX_ADDR_TO_SEND, max(20, len(everybody) // 4))
        lists: list[list[bytes]] = []
        for _ in range(COPIES):
            rng.shuffle(everybody)
            lists += [everybody[at : at + size] for at in range(0, len(everybody), size)]
        return lists[: max(1, len(self.keys(*ANSWERING)))]

    @cached_property
    def _answer_of(self) -> dict[bytes, int]:
        ordered = sorted(self.kinds, key=lambda key: self.kinds[key] not in ANSWERING)
        return {key: i % len(self.lists) for i, key in enumerate(ordered)}

    def answer_of(self, key: bytes) -> int:
        """Which of `lists` the node tells."""
        return self._answer_of[key]

    def payloads(self, *, v2: bool) -> list[bytes]:
        """`lists` as the payloads of ``addrv2`` or ``addr``; that has no room for Tor and I2P."""
        rng = Random(self.seed + 2)
        names = {key: self._entry(key, rng, v2=v2) for entries in self.lists for key in entries}
        chosen = ([names[key] for key in entries if names[key]] for entries in self.lists)
        return [compact_size(len(entries)) + b"".join(entries) for entries in chosen]

    def _entry(self, key: bytes, rng: Random, *, v2: bool) -> bytes:
        return encoded_entry(unpack_address(key), self.now - rng.randrange(3 * DAY), v2=v2)

    # -- the truth -----------------------------------------------------------------------------------------------

    @cached_property
    def advertised(self) -> frozenset[bytes]:
        """What a crawl from the seeds must hear of: the lists of all who answer, followed to the end."""
        known = set(self.keys(Kind.GOOD)[:SEEDS])
        waiting = list(known)
        while waiting:
            key = waiting.pop()
            if self.kinds.get(key) in ANSWERING:
                fresh = set(self.lists[self.answer_of(key)]) - known
                known |= fresh
                waiting += fresh
        return frozenset(known & self.kinds.keys())

    def judge(self, outcomes: Mapping[bytes, Outcome]) -> Judgement:
        """Compare a crawl's outcomes, by packed address, with the truth."""
        real = [key for key in self.advertised if self.kinds[key].outcome is Outcome.REACHABLE]
        missing = [key for key in real if outcomes.get(key) is not Outcome.REACHABLE]
        known = outcomes.keys() & self.kinds.keys()
        unheard = [key for key in self.advertised if key not in outcomes]
        wrong = [key for key in known if outcomes[key] is not self.kinds[key].outcome]
        strangers = outcomes.keys() - self.kinds.keys() - set(self._neighbour_keys)
        false = [key for key in (*wrong, *strangers) if outcomes[key] is Outcome.REACHABLE]
        return Judgement(
            advertised=len(real),
            found=len(real) - len(missing),
            missing=tuple(map(self._describe, missing)),
            wrong=tuple(
                f"{self._describe(key)}: {outcomes[key].value if key in outcomes else 'unheard of'}"
                for key in (*wrong, *unheard)
            ),
            false_positives=len(false),
            invented=len(strangers),
        )

    @property
    def _neighbour_keys(self) -> Sequence[bytes]:
        return [pack_address(NetworkAddress.parse(text)) for text in self.neighbours]

    def _describe(self, key: bytes) -> str:
        return f"{unpack_address(key)} ({self.kinds[key].value})"


def encoded_entry(address: NetworkAddress, time: int, *, v2: bool) -> bytes:
    """One entry of ``addrv2`` or ``addr``; empty if that cannot hold the address."""
    if not v2 and not address.is_v1_compatible():
        return b""
    entries = (TimedAddress(time, NETWORK_AND_WITNESS, address),)
    return (AddrV2(entries) if v2 else Addr(entries)).encode()[1:]


def key_of_socket(host: str, port: int) -> bytes:
    """The packed address of a socket's own end."""
    ip = ipaddress.ip_address(host.partition("%")[0])
    return (ip.packed if ip.version == 6 else IPV4_IN_IPV6 + ip.packed) + port.to_bytes(2, "big")


def by_kind(universe: Universe, keys: Iterable[bytes]) -> dict[Kind, int]:
    """How many of each kind there are among ``keys``."""
    counts: dict[Kind, int] = {}
    for key in keys:
        kind = universe.kinds[key]
        counts[kind] = counts.get(kind, 0) + 1
    return counts

"""How the nodes of a simulated internet behave: one class for each `Kind` that takes connections.

A `Link` is one connection. It knows the manners of a good node; the others differ from that in a method or two. All
that they say passes through `Link.say`, which waits for the node's latency first. The simulator must stay cheap
beside the crawler that it measures, so the messages that all nodes send alike are made once (`Phrases`).
"""

import time
from base64 import b32decode
from collections.abc import Callable
from random import Random
from struct import Struct
from typing import Final, Protocol

from ccnode.wire.addresses import unpack_address
from ccnode.wire.framing import V1Transport
from ccnode.wire.handshake import ServiceAddress, Version
from ccnode.wire.protocol import MAX_ADDR_TO_SEND
from ccnode.wire.serialize import compact_size
from tools.bench.universe import NETWORK_AND_WITNESS, Kind, Place, Universe, encoded_entry

HEADER: Final = Struct("<4s12sI4s")

LITECOIN: Final = bytes.fromhex("fbc0b6db")
VAST_BYTES: Final = 20_000_000
DRIP_SECONDS: Final = 2.0
PING_SECONDS: Final = 0.02
FLOOD_SECONDS: Final = 0.05
FLOOD_ITEMS: Final = 1000
OLD_MEAN_SECONDS: Final = 30.0
"""Bitcoin Core before version 23 answers ``getaddr`` after an exponential time with this mean."""

STRANGE_NETWORK: Final = 200
STRANGE_ENTRIES: Final = 10
"""An id that BIP155 has not given away, and how many entries have it."""

TOR_SECONDS: Final = (4.0, 29.0)
MEDIAN_LATENCY: Final = 0.09
LATENCY_SPREAD: Final = 0.6
"""Of the logarithm."""

NEW_AGENTS: Final = (b"/Satoshi:25.1.0/", b"/Satoshi:26.0.0/", b"/Satoshi:27.0.0/", b"/Satoshi:28.1.0/Knots:20250305/")
OLD_AGENT: Final = b"/Satoshi:0.20.1/"
HEIGHT: Final = 850_000


class Net(Protocol):
    """What a link needs of whoever holds its socket."""

    def later(self, seconds: float, action: Callable[[], None]) -> None: ...

    def write(self, link: "Link", data: bytes) -> None: ...

    def close(self, link: "Link") -> None: ...

    def become(self, link: "Link", successor: "Link") -> None: ...


class Phrases:
    """What the nodes of a universe say."""

    def __init__(self, universe: Universe, magic: bytes, pace: float) -> None:
        """:param pace: latencies and delays are multiplied by it."""
        self.universe = universe
        self.pace = pace
        self.rng = Random(universe.seed + 3)
        self._transport = V1Transport(magic)
        self.answers = [self.frame("addr", payload) for payload in universe.payloads(v2=False)]
        self.answers_v2 = [self.frame("addrv2", payload) for payload in universe.payloads(v2=True)]
        self.verack = self.frame("verack")
        self.features = self.frame("wtxidrelay") + self.frame("sendaddrv2")
        self.ping = self.frame("ping", bytes(8))
        item = b"\1\0\0\0" + bytes(32)
        self.flood = self.frame("inv", compact_size(FLOOD_ITEMS) + item * FLOOD_ITEMS)
        self._versions: dict[tuple[int, bytes], bytes] = {}
        self._second = 0

    def frame(self, command: str, payload: bytes = b"") -> bytes:
        return self._transport.frame(command, payload)

    def version(self, number: int, agent: bytes) -> bytes:
        """With the right time in it, so it is made anew each second."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._versions.clear()
        known = self._versions.get((number, agent))
        if known is None:
            us = ServiceAddress(NETWORK_AND_WITNESS)
            message = Version(number, NETWORK_AND_WITNESS, now, ServiceAddress(), us, 1, agent, HEIGHT, relay=True)
            known = self._versions[number, agent] = self.frame("version", message.encode())
        return known

    def agent(self, key: bytes) -> bytes:
        """The program that a good node is."""
        return NEW_AGENTS[sum(key) % len(NEW_AGENTS)]

    def latency(self) -> float:
        return self.rng.lognormvariate(0, LATENCY_SPREAD) * MEDIAN_LATENCY * self.pace


class Link:
    """A connection to a good node."""

    __slots__ = ("_rest", "asked", "is_open", "key", "latency", "net", "phrases", "speaks_v2")

    number = 70016

    def __init__(self, net: Net, phrases: Phrases, key: bytes) -> None:
        self.net = net
        self.phrases = phrases
        self.key = key
        self.latency = phrases.latency()
        self.is_open = True
        self.speaks_v2 = False
        self.asked = 0
        """``getaddr`` received."""
        self._rest = b""

    def opened(self) -> None:
        """The connection is there."""

    def received(self, data: bytes) -> None:
        """Cut messages out of what came."""
        data, at = self._rest + data, 0
        while len(data) - at >= HEADER.size:
            _magic, padded, size, _checksum = HEADER.unpack_from(data, at)
            end = at + HEADER.size + size
            if len(data) < end:
                break
            self.heard(padded.rstrip(b"\0"), data[at + HEADER.size : end])
            at = end
        self._rest = data[at:]

    def heard(self, command: bytes, payload: bytes) -> None:
        if command == b"ping":
            self.say(self.phrases.frame("pong", payload))
        elif command == b"version":
            self.greet()
        elif command == b"sendaddrv2":
            self.speaks_v2 = True
        elif command == b"getaddr":
            self.asked += 1
            self.answer()
        elif command == b"verack":
            self.shaken()

    def greet(self) -> None:
        self.say(self.my_version() + self.phrases.features + self.phrases.verack)

    def my_version(self) -> bytes:
        return self.phrases.version(self.number, self.phrases.agent(self.key))

    def shaken(self) -> None:
        """The handshake is complete."""

    def answer(self) -> None:
        """A ``getaddr`` came."""
        self.say(self.list_message())

    def list_message(self) -> bytes:
        answers = self.phrases.answers_v2 if self.speaks_v2 else self.phrases.answers
        return answers[self.phrases.universe.answer_of(self.key)]

    def say(self, data: bytes, after: float = 0.0) -> None:
        """Send ``data`` when the latency, and ``after`` seconds of simulated time, have passed."""
        self.net.later(self.latency + after * self.phrases.pace, lambda: self.net.write(self, data))


class Old(Link):
    __slots__ = ()
    number = 70015

    def greet(self) -> None:
        self.say(self.my_version() + self.phrases.verack)

    def my_version(self) -> bytes:
        return self.phrases.version(self.number, OLD_AGENT)

    def answer(self) -> None:
        phrases = self.phrases
        ourselves = unpack_address(self.key)
        entry = encoded_entry(ourselves, phrases.universe.now, v2=False)
        self.say(phrases.frame("addr", compact_size(1) + entry))
        self.say(self.list_message(), after=phrases.rng.expovariate(1 / OLD_MEAN_SECONDS))


class Mute(Link):
    __slots__ = ()

    def answer(self) -> None:
        pass


class Full(Link):
    __slots__ = ()

    def opened(self) -> None:
        self.net.close(self)


class Silent(Link):
    __slots__ = ()

    def received(self, data: bytes) -> None:
        pass


class Drip(Silent):
    __slots__ = ()

    def opened(self) -> None:
        self._drip(0)

    def _drip(self, at: int) -> None:
        version = self.my_version()
        if self.is_open and at < len(version):
            self.net.write(self, version[at : at + 1])
            self.net.later(DRIP_SECONDS, lambda: self._drip(at + 1))


class Garbage(Silent):
    __slots__ = ()

    def opened(self) -> None:
        self.say(self.phrases.rng.randbytes(200))


class Foreign(Silent):
    __slots__ = ()

    def opened(self) -> None:
        self.say(LITECOIN + self.my_version()[4:])


class Vast(Silent):
    __slots__ = ()

    def opened(self) -> None:
        self.say(self.my_version()[:16] + VAST_BYTES.to_bytes(4, "little") + bytes(1000))


class Damaged(Link):
    __slots__ = ()

    def greet(self) -> None:
        version = self.my_version()
        self.say(version[:-1] + bytes([version[-1] ^ 1]))


class Obsolete(Link):
    __slots__ = ()
    number = 31_799


class NoVerack(Link):
    __slots__ = ()

    def greet(self) -> None:
        self.say(self.my_version())


class Leaving(Link):
    __slots__ = ()

    def greet(self) -> None:
        self.say(self.my_version())
        self.net.later(2 * self.latency, lambda: self.net.close(self))


class Mirror(Silent):
    __slots__ = ()

    def received(self, data: bytes) -> None:
        self.say(data)


class Crowded(Link):
    __slots__ = ()

    def list_message(self) -> bytes:
        phrases = self.phrases
        entry = encoded_entry(unpack_address(self.key), phrases.universe.now, v2=self.speaks_v2)
        count = MAX_ADDR_TO_SEND + 1
        return phrases.frame("addrv2" if self.speaks_v2 else "addr", compact_size(count) + entry * count)


class Truncated(Link):
    __slots__ = ()

    def list_message(self) -> bytes:
        whole = super().list_message()
        return self.phrases.frame("addrv2" if self.speaks_v2 else "addr", whole[HEADER.size : -5])


class Strange(Link):
    """Its list begins with entries of networks that nobody knows, in the place of its last ones."""

    __slots__ = ()

    def list_message(self) -> bytes:
        if not self.speaks_v2:
            return super().list_message()
        strange = bytes(4) + compact_size(1) + bytes([STRANGE_NETWORK]) + compact_size(7) + bytes(7) + bytes(2)
        universe = self.phrases.universe
        keys = universe.lists[universe.answer_of(self.key)][:-STRANGE_ENTRIES]
        known = b"".join(encoded_entry(unpack_address(key), universe.now, v2=True) for key in keys)
        return self.phrases.frame(
            "addrv2", compact_size(len(keys) + STRANGE_ENTRIES) + strange * STRANGE_ENTRIES + known
        )


class Poisoner(Link):
    """Invents as many addresses as fit, other ones each time, all of them seen just now."""

    __slots__ = ()

    def list_message(self) -> bytes:
        universe, rng = self.phrases.universe, self.phrases.rng
        now, v2 = universe.now, self.speaks_v2
        entries = [encoded_entry(universe.realm.invented(rng), now, v2=v2) for _ in range(MAX_ADDR_TO_SEND)]
        return self.phrases.frame("addrv2" if v2 else "addr", compact_size(len(entries)) + b"".join(entries))


class Pinger(Link):
    __slots__ = ()

    def shaken(self) -> None:
        if self.is_open:
            self.say(self.phrases.ping)
            self.net.later(PING_SECONDS, self.shaken)


class Flooder(Link):
    __slots__ = ()

    def shaken(self) -> None:
        if self.is_open:
            self.say(self.phrases.flood)
            self.net.later(FLOOD_SECONDS, self.shaken)


class Tor(Link):
    """A connection to the SOCKS5 port: once the proxy has agreed, it is one to the node that was asked for."""

    __slots__ = ("_step",)

    def __init__(self, net: Net, phrases: Phrases, key: bytes) -> None:
        super().__init__(net, phrases, key)
        self._step = self._greeted

    def received(self, data: bytes) -> None:
        self._rest += data
        self._step()

    def _greeted(self) -> None:
        if len(self._rest) >= 2 and len(self._rest) >= 2 + self._rest[1]:
            methods, self._rest = self._rest[2 : 2 + self._rest[1]], self._rest[2 + self._rest[1] :]
            wants_password = 2 in methods
            self.net.write(self, bytes([5, 2 if wants_password else 0]))
            self._step = self._authenticated if wants_password else self._requested
            self._step()

    def _authenticated(self) -> None:
        rest = self._rest
        if len(rest) >= 2 and len(rest) > 2 + rest[1] and len(rest) >= 3 + rest[1] + rest[2 + rest[1]]:
            self._rest = rest[3 + rest[1] + rest[2 + rest[1]] :]
            self.net.write(self, b"\1\0")
            self._step = self._requested
            self._step()

    def _requested(self) -> None:
        rest = self._rest
        if len(rest) >= 5 and len(rest) >= 7 + rest[4]:
            name, port = rest[5 : 5 + rest[4]], rest[5 + rest[4] : 7 + rest[4]]
            key = b"\4" + b32decode(name.removesuffix(b".onion").upper())[:32] + port
            delay = self.phrases.rng.uniform(*TOR_SECONDS) * self.phrases.pace
            self.net.later(delay, lambda: self._connected(key))

    def _connected(self, key: bytes) -> None:
        kind = self.phrases.universe.kinds.get(key)
        if kind is not Kind.ONION:
            self.net.write(self, b"\5\xf0\0\1" + bytes(6))
            self.net.close(self)
            return
        self.net.write(self, b"\5\0\0\1" + bytes(6))
        self.net.become(self, Link(self.net, self.phrases, key))


BEHAVIOURS: Final[dict[Kind, type[Link]]] = {
    Kind.GOOD: Link, Kind.OLD: Old, Kind.MUTE: Mute, Kind.FULL: Full, Kind.SILENT: Silent, Kind.DRIP: Drip,
    Kind.GARBAGE: Garbage, Kind.FOREIGN: Foreign, Kind.VAST: Vast, Kind.DAMAGED: Damaged, Kind.OBSOLETE: Obsolete,
    Kind.NO_VERACK: NoVerack, Kind.LEAVING: Leaving, Kind.MIRROR: Mirror, Kind.CROWDED: Crowded,
    Kind.TRUNCATED: Truncated, Kind.STRANGE: Strange, Kind.POISONER: Poisoner, Kind.PINGER: Pinger,
    Kind.FLOODER: Flooder,
}  # fmt: skip
"""Who plays what."""

assert {kind for kind in Kind if kind.place is Place.LISTENER} == BEHAVIOURS.keys()

"""Hosts that only answer: the crowd of honest nodes beyond the simulated ones, and several kinds of hostile ones."""

import random
from collections.abc import Callable, Sequence

from ccnode.peers.gossip import MAX_NEWS
from ccnode.peers.peer import ConnectionType
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import Addr, GetAddr, TimedAddress
from ccnode.wire.message import Message
from ccnode.wire.protocol import MAX_ADDR_TO_SEND
from tests.support.fakes import NETWORK_AND_WITNESS
from tests.support.sim_net import End, Host, Net
from tests.support.sim_places import any_group, in_group, places

ANSWER_LIFETIME = 3 * 3600.0
"""Seconds."""

Entries = Callable[[], Sequence[TimedAddress]]


class Teller(Host):
    """Answers every ``getaddr`` with what ``entries`` gives, the same for `ANSWER_LIFETIME`."""

    def __init__(self, net: Net, address: NetworkAddress, entries: Entries, **options) -> None:
        super().__init__(net, address, **options)
        self.entries = entries
        self._answer = Addr(())
        self._answer_ends = 0.0

    def answer(self, end: End, message: Message) -> None:
        if isinstance(message, GetAddr):
            if self.net.clock.monotonic >= self._answer_ends:
                self._answer = Addr(tuple(self.entries()[:MAX_ADDR_TO_SEND]))
                self._answer_ends = self.net.clock.monotonic + ANSWER_LIFETIME
            end.send(self._answer)


def crowd(net: Net, number: int, **options) -> list[Teller]:
    """Nodes that are dialed and asked but do nothing themselves. Each knows a quarter of the others.

    :param options: of `Host`, for those that are less than honest.
    """
    members: list[Teller] = []

    def tell() -> list[TimedAddress]:
        told = net.rng.sample(members, len(members) // 4)
        return [seen(net, member.address, net.rng.randrange(7 * 86_400)) for member in told]

    free = (address for address in places(net.rng, number + len(net.hosts)) if address not in net.hosts)
    members += [Teller(net, address, tell, **options) for address, _ in zip(free, range(number), strict=False)]
    return members


def seen(net: Net, address: NetworkAddress, ago: float = 0) -> TimedAddress:
    """Gossip: ``address`` was seen so many seconds ago, and serves blocks."""
    return TimedAddress(int(net.clock.wall - ago), NETWORK_AND_WITNESS, address)


class Attacker:
    """Many addresses in few netgroups, all of one mind: they answer, and tell of nobody but themselves."""

    def __init__(self, net: Net, *, addresses: int, groups: int) -> None:
        self.net = net
        self.rng = random.Random(net.rng.getrandbits(64))
        taken = {tuple(address.addr[:2]) for address in net.hosts}
        prefixes: dict[tuple[int, int], None] = {}
        while len(prefixes) < groups:
            prefix = any_group(self.rng)
            if prefix not in taken:
                prefixes[prefix] = None
        found: dict[NetworkAddress, None] = {}
        while len(found) < addresses:
            found[in_group(self.rng, list(prefixes)[len(found) % groups])] = None
        self.addresses = list(found)
        self.hosts = [Teller(net, address, self.tell) for address in found]
        self.groups = {net.groups.group(address) for address in found}

    def tell(self) -> list[TimedAddress]:
        """A full answer to ``getaddr``, as fresh as can be."""
        return [seen(self.net, address) for address in self.rng.sample(self.addresses, MAX_ADDR_TO_SEND)]

    def seed(self) -> list[NetworkAddress]:
        """A poisoned answer of a DNS seed."""
        return self.rng.sample(self.addresses, 32)

    def flood(self, target: Host, interval: float) -> None:
        """From now on connect to ``target`` again and again, and push news of its own addresses."""
        host = self.rng.choice(self.hosts)

        def done(end: End | None) -> None:
            if end is not None:
                host.begin(end)
                self.net.after(5.0, push, end)
                self.net.after(interval, end.disconnect, "on to the next")
            self.net.after(interval, self.flood, target, interval)

        def push(end: End) -> None:
            end.send(Addr(tuple(seen(self.net, address) for address in self.rng.sample(self.addresses, MAX_NEWS))))

        self.net.dial(host, target.address, ConnectionType.MANUAL, done)

    def __contains__(self, address: NetworkAddress) -> bool:
        return self.net.groups.group(address) in self.groups


def unreachable(net: Net, number: int) -> list[NetworkAddress]:
    """Addresses at which nobody answers."""
    free = (address for address in places(net.rng, number + len(net.hosts)) if address not in net.hosts)
    return [address for address, _ in zip(free, range(number), strict=False)]

"""A network in memory: hosts at addresses, connections between them, and what goes wrong with those.

What `ccnode.network` does with sockets is done here with events, as thinly as possible: a host dials an address, both
get an `End`, messages travel for as long as the places of the hosts are apart and arrive in order. They are handed
over as they are, since messages never change; encoding them is tested elsewhere. `sim_node.Node` puts the deciding
code of ccnode on it, `sim_hosts` has those that only answer.

Hosts behind a NAT dial, but do not answer; hosts on different sides of a partition hear nothing of one another;
connections break at random.
"""

from collections.abc import Callable, Iterable, Sequence
from itertools import count

from ccnode.peers.handshake import Handshake
from ccnode.peers.netgroup import NetGroupManager
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.wire.address import NetworkAddress
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message
from tests.support.fakes import NETWORK_AND_WITNESS
from tests.support.sim_events import Events

START = 1_760_000_000.0
"""Unix seconds at which a network begins."""

CONNECT_TIMEOUT = 5.0
"""Seconds after which a dial without an answer is given up (``timeout``)."""

EARTH = 0.1
"""Seconds from one end of the world to the other, one way."""

LAST_MILE = 0.004
"""Seconds that every connection takes on top, on average."""

Dialed = Callable[["End | None"], None]


SeedAnswer = Callable[[], Sequence[NetworkAddress]]
"""What a DNS seed answers to a question."""


class Net(Events):
    """All hosts and their connections."""

    def __init__(self, seed: int, *, lost_dials: float = 0.0, lifetime: float | None = None) -> None:
        """
        :param lost_dials: part of the dials that fail although the host is up.
        :param lifetime: mean seconds until a connection breaks by itself; None for never.
        """
        super().__init__(seed, START)
        self.groups = NetGroupManager()
        self.hosts: dict[NetworkAddress, Host] = {}
        self.seeds: dict[str, SeedAnswer] = {}
        self._lost_dials = lost_dials
        self._lifetime = lifetime
        self._end_ids = count()

    def add(self, host: "Host") -> None:
        assert host.address not in self.hosts, host.address
        self.hosts[host.address] = host

    def dial(self, dialer: "Host", address: NetworkAddress, kind: ConnectionType, done: Dialed) -> None:
        """Connect, and call ``done`` with our end, or with None where nobody answered in time."""
        host = self.hosts.get(address)
        if host is None or not host.reachable or not self.hear_each_other(dialer, host) or self._is_lost():
            self.after(CONNECT_TIMEOUT, done, None)
        else:
            latency = self.latency(dialer, host)
            self.after(2 * latency, self._connect, dialer, host, kind, latency + dialer.delay + host.delay, done)

    def _is_lost(self) -> bool:
        return self._lost_dials > 0 and self.rng.random() < self._lost_dials

    def hear_each_other(self, one: "Host", other: "Host") -> bool:
        return one.up and other.up and one.side == other.side

    def latency(self, one: "Host", other: "Host") -> float:
        """Seconds a message travels between two hosts: their distance on a ring, and what their networks add."""
        apart = abs(one.place - other.place)
        return EARTH * 2 * min(apart, 1 - apart) + self.rng.expovariate(1 / LAST_MILE)

    def _connect(self, dialer: "Host", host: "Host", kind: ConnectionType, latency: float, done: Dialed) -> None:
        if not self.hear_each_other(dialer, host):
            done(None)
            return
        seen_as = NetworkAddress(dialer.address.network, dialer.address.addr, self.rng.randrange(32_768, 61_000))
        near = End(self, next(self._end_ids), host.address, kind, dialer, latency)
        far = End(self, next(self._end_ids), seen_as, ConnectionType.INBOUND, host, latency)
        near.other, far.other = far, near
        host.accept(far)
        done(near)
        if self._lifetime is not None:
            self.after(self.rng.expovariate(1 / self._lifetime), near.break_down)

    def partition(self, side: Iterable["Host"]) -> None:
        """From now on these hosts and the rest do not hear each other; connections across fall silent."""
        for host in side:
            host.side = 1

    def heal(self) -> None:
        """Undo the partition. What was sent meanwhile stays lost."""
        for host in self.hosts.values():
            host.side = 0


class End(Peer):
    """One end of a connection: what ``owner`` knows of the host at the other one."""

    __slots__ = ("_sent_at", "_under_way", "alarm", "latency", "net", "other", "owner")

    def __init__(
        self,
        net: Net,
        end_id: int,
        address: NetworkAddress,
        kind: ConnectionType,
        owner: "Host",
        latency: float,
    ) -> None:
        super().__init__(end_id, address, kind, net.clock.wall)
        self.net = net
        self.owner = owner
        self.latency = latency
        self.other = self
        self.alarm = float("inf")
        """When its pass is due."""
        self._under_way: list[Message] = []
        self._sent_at = -1.0

    def send(self, message: Message) -> None:
        if self.disconnect_reason is not None:
            return
        net = self.net
        self.last_send = now = net.clock.wall
        if now == self._sent_at:  # one event for what goes out together
            self._under_way.append(message)
            return
        self._sent_at, self._under_way = now, [message]
        net.after(self.latency, self.other.arrive, self._under_way)

    def arrive(self, messages: list[Message]) -> None:
        owner = self.owner
        for message in messages:
            if self.disconnect_reason is not None or owner.side != self.other.owner.side:
                return
            self.last_recv = self.net.clock.wall
            owner.receive(self, message)

    def mark_dirty(self) -> None:
        if not self.dirty:
            self.dirty = True
            if self.owner.handling is not self:  # else its pass follows anyway
                self.net.after(0.0, self.owner.run_pass, self)

    def disconnect(self, reason: str) -> None:
        if self.disconnect_reason is None:
            self.disconnect_reason = reason
            self.net.after(0.0, self.owner.left, self)
            self.net.after(self.latency, self.other.hear_of_end)

    def hear_of_end(self) -> None:
        if self.owner.side == self.other.owner.side:
            self.disconnect("the peer closed the connection")

    def break_down(self) -> None:
        self.disconnect("connection reset")
        self.other.disconnect("connection reset")


class Host:
    """Something at an address: it accepts everybody, completes handshakes and answers pings."""

    def __init__(
        self,
        net: Net,
        address: NetworkAddress,
        *,
        services: int = NETWORK_AND_WITNESS,
        reachable: bool = True,
        delay: float = 0.0,
    ) -> None:
        """
        :param services: what its version offers.
        :param reachable: whether it can be dialed.
        :param delay: seconds that each message from or to it takes on top; its machine accepts without any.
        """
        self.net = net
        self.address = address
        self.reachable = reachable
        self.delay = delay
        self.up = True
        self.side = 0
        self.place = net.rng.random()
        self.ends: dict[int, End] = {}
        self.handling: End | None = None
        """Whose message is being handled."""
        self.handshake = Handshake(
            services=services,
            user_agent="/simulated:1/",
            clock=net.clock,
            rng=net.rng,
            our_height=lambda: 0,
            limited_peers_suffice=lambda: True,
        )
        net.add(self)

    def accept(self, end: End) -> None:
        """Somebody connected."""
        self.begin(end)

    def begin(self, end: End) -> None:
        """A connection is up, in either direction."""
        self.ends[end.id] = end
        self.handshake.start(end)

    def receive(self, end: End, message: Message) -> None:
        if self.handshake.expects(end, message.command):
            self.handshake.handle(end, message)
        elif isinstance(message, Ping) and message.nonce is not None:
            end.send(Pong(message.nonce))
        else:
            self.answer(end, message)

    def answer(self, end: End, message: Message) -> None:
        """What else it does about a message: nothing."""

    def run_pass(self, end: End) -> None:
        """It owes nobody anything."""

    def left(self, end: End) -> None:
        """A connection has ended."""
        self.ends.pop(end.id, None)
        self.handshake.gone(end)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.address}>"

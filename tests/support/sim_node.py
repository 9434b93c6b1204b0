"""A node of ccnode's real deciding code on the simulated network.

What decides is ccnode's own: address manager, outbound and inbound policy, gossip, handshake, keepalive, misbehaviour,
extra peers, and header synchronisation where a test wants it. What is written anew here is only what `ccnode.network`
does around it, in sections named after what they stand for: `ConnectionManager`, `AutomaticOutbound`, `DnsSeeding`.

Nodes do not look twice a second whether something is to be opened, but when something is due. In one thing this is
coarser: a node that found nobody to dial waits for `BARREN_PAUSE`.
"""

import random
from collections.abc import Callable, Iterable, Iterator
from math import inf
from types import SimpleNamespace
from typing import Any

from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import REGTEST
from ccnode.peers.addrman import AddrMan
from ccnode.peers.addrman_entry import AddrRecord
from ccnode.peers.bans import Ban, BanList
from ccnode.peers.bootstrap import DnsSeeds, Pause
from ccnode.peers.gossip import AddressGossip
from ccnode.peers.handshake import Handshake
from ccnode.peers.inbound import Entrance, InboundLimits, InboundPolicy
from ccnode.peers.keepalive import Keepalive
from ccnode.peers.local_addresses import LOCAL_INTERFACE, LocalAddresses
from ccnode.peers.misbehaviour import Discouragement, Misbehaviour, Unwanted, out_of_turn, spared
from ccnode.peers.outbound import Anchor, Candidate, Opening, OutboundPolicy, outbound_slots
from ccnode.peers.peer import ConnectionType, HandshakeStage, Peer
from ccnode.peers.permissions import Whitelist
from ccnode.peers.subnet import Subnet
from ccnode.sync.extra import CHECK_SECONDS, ExtraPeers, OutboundPeer
from ccnode.sync.synchronizer import Synchronizer
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, GetAddr
from ccnode.wire.handshake import SendHeaders
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Message
from tests.support.fakes import NETWORK_AND_WITNESS, MemoryHeaderStore, mined
from tests.support.sim_net import End, Host, Net

DIALS_AT_ONCE = 4
LOOP_PAUSE = 0.5
FEELER_JITTER = 1.0
"""As in ``ccnode/network/outbound.py``."""

BARREN_PAUSE = 10.0
"""Seconds."""

TICK = 0.001
"""Seconds: a time is over when the clock is past it."""

MAX_SEED_ANSWER = 32
"""As in ``ccnode/network/dns.py``."""

DNS_DELAY = 0.2
"""Seconds that an answer of a seed takes."""

SHOWN_TO_OTHERS = (ConnectionType.OUTBOUND_FULL_RELAY, ConnectionType.MANUAL, ConnectionType.ADDR_FETCH)
"""As in ``ccnode/network/manager.py``."""

LASTING = (ConnectionType.OUTBOUND_FULL_RELAY, ConnectionType.BLOCK_RELAY_ONLY)
NETWORKS = frozenset({Network.IPV4})
P2P_PORT = 8333
LIMITED_PEER_BLOCKS = 144


class Node(Host):
    """One node; `start` brings it up, `stop` takes it down and keeps what a data directory would."""

    def __init__(
        self,
        net: Net,
        address: NetworkAddress,
        *,
        reachable: bool = True,
        delay: float = 0.0,
        max_connections: int = 125,
        with_chain: bool = False,
    ) -> None:
        super().__init__(net, address, reachable=reachable, delay=delay)
        self.up = False
        self.rng = random.Random(net.rng.getrandbits(64))
        self.max_connections = max_connections
        self.with_chain = with_chain
        self.store = MemoryHeaderStore()
        self.runs = 0
        self.kept: list[AddrRecord] = []
        self.key: bytes | None = None
        self.kept_anchors: list[Anchor] = []
        self.dials = 0

    def start(self) -> None:
        """Come up as a new process would."""
        self.up = True
        self.runs += 1
        self._build()
        self.dialing: dict[NetworkAddress, ConnectionType] = {}
        self._look_due = inf
        self.anchors, self.kept_anchors = self.kept_anchors, []
        self.policy.anchors = self.anchors[:]
        self._seed_steps = self.seeds.steps() if self.net.seeds else iter(())
        self._seed(self.runs)
        self._arm_look(LOOP_PAUSE * self.rng.random())
        self.net.after(CHECK_SECONDS * self.rng.random(), self._check_extra, self.runs)

    def stop(self) -> None:
        """Go down in good order."""
        self.kept_anchors = [
            Anchor(end.address, end.services)
            for end in self.ends.values()
            if end.handshake_complete and end.connection_type is ConnectionType.BLOCK_RELAY_ONLY
        ][: self.policy.block_relay]
        tried = [info for _bucket, _slot, info in self.addrman.positions(True)]
        new = dict.fromkeys(info for _bucket, _slot, info in self.addrman.positions(False))
        self.kept = [AddrRecord.of(info) for info in [*tried, *new]]
        self.key = self.addrman.key
        for end in list(self.ends.values()):
            end.disconnect("the node stops")
        self.up = False

    def _build(self) -> None:
        """As ``ccnode/node.py``."""
        net, clock, rng = self.net, self.net.clock, self.rng
        self.addrman = AddrMan(net.groups, clock, rng, key=self.key)
        self.addrman.restore(self.kept)
        discouragement = Discouragement()
        bans = BanList(NoBanStore(), clock)
        self.misbehaviour = Misbehaviour(discouragement)
        discouragement.on_add(self._drop)
        unwanted = Unwanted(discouragement, bans)
        self.chain: HeaderChain | None = None
        self.sync: Synchronizer | None = None
        if self.with_chain:
            self.chain = HeaderChain(REGTEST, self.store, clock)
            self.chain.load()
            self.sync = Synchronizer(self.chain, self.misbehaviour, clock, rng, announces=True)
        local = LocalAddresses(rng, port=P2P_PORT, networks=NETWORKS)
        if self.reachable:
            local.add(self.address, LOCAL_INTERFACE)
        self.extra = ExtraPeers(self.chain or SimpleNamespace(subscribe=lambda _listener: None), clock)
        self.gossip = AddressGossip(
            self.addrman,
            clock,
            rng,
            networks=NETWORKS,
            unwanted=unwanted,
            local=local,
            services=NETWORK_AND_WITNESS,
            listens=True,
            is_ibd=self.chain.is_ibd if self.chain else lambda: False,
        )
        self.handshake = Handshake(
            services=NETWORK_AND_WITNESS,
            user_agent="/ccnode:simulated/",
            clock=clock,
            rng=rng,
            our_height=lambda: 0,
            limited_peers_suffice=self._tip_is_younger(LIMITED_PEER_BLOCKS),
        )
        self.handshake.notifies(self._services_known, self._version_known, self._handshaked)
        self.keepalive = Keepalive(clock, rng)
        self.policy = OutboundPolicy(
            self.addrman,
            clock,
            rng,
            max_connections=self.max_connections,
            networks=NETWORKS,
            limited_peers_suffice=self._tip_is_younger(LIMITED_PEER_BLOCKS),
            refuses=unwanted.__contains__,
            is_ours=local.__contains__,
        )
        self.seeds = DnsSeeds(
            list(net.seeds),
            self.addrman,
            clock,
            rng,
            force=False,
            after_seednodes=False,
            full_relay_peers=lambda: self.count(ConnectionType.OUTBOUND_FULL_RELAY),
            network_active=lambda: True,
        )
        self.inbound = InboundPolicy(
            InboundLimits(total=self.max_connections - outbound_slots(self.max_connections)),
            bans=bans,
            discouragement=discouragement,
            whitelist=Whitelist(),
            netgroup=self.addrman.groups.group,
            is_desirable=self.handshake.is_desirable,
            rng=rng,
        )
        self.handlers: dict[type[Message], Callable[[Peer, Any], object]] = {
            Ping: self.keepalive.on_ping,
            Pong: self.keepalive.on_pong,
            Addr: _whole(self.gossip.on_addresses),
            AddrV2: _whole(self.gossip.on_addresses),
            GetAddr: _whole(self.gossip.on_getaddr),
            **(self.sync.handlers if self.sync else {}),
        }

    def _tip_is_younger(self, blocks: int) -> Callable[[], bool]:
        chain = self.chain
        if chain is None:
            return lambda: True
        return lambda: chain.index.time(chain.index.tip) > self.net.clock.wall - blocks * chain.params.spacing

    # -- ConnectionManager ---------------------------------------------------------------------------------------

    def accept(self, end: End) -> None:
        admission = self.inbound.admit(end.address, ENTRANCE)
        if admission.refusal is not None:
            end.disconnect(admission.refusal)
            return
        if admission.victim is not None:
            victim = self.ends[admission.victim]
            victim.disconnect("evicted for another inbound peer")
            self.inbound.left(victim)
        end.prefer_evict = admission.prefer_evict
        self.begin(end)

    def begin(self, end: End) -> None:
        super().begin(end)
        if end.inbound:
            self.inbound.joined(end)
        self.run_pass(end)

    def receive(self, end: End, message: Message) -> None:
        """As ``_deliver``."""
        handler = self.handlers.get(type(message)) if end.stage is HandshakeStage.ESTABLISHED else None
        self.handling = end
        if handler is not None:
            handler(end, message)
        elif self.handshake.expects(end, message.command):
            self.handshake.handle(end, message)
        else:
            violation = out_of_turn(end, message.command)
            if violation is not None:
                self.misbehaviour.report(end, violation)
        self.handling = None
        if end.dirty:
            self.run_pass(end)

    def run_pass(self, end: End) -> None:
        if end.disconnect_reason is not None:
            return
        end.dirty = False
        self.inbound.update(end)
        now = self.net.clock.wall
        due = self.keepalive.send_pass(end, now)
        if end.stage is HandshakeStage.ESTABLISHED and end.disconnect_reason is None:
            due = min(due, self.gossip.send_pass(end, now))
            if self.sync is not None:
                sync_wall, steady = self.sync.send_pass(end, now)
                due = min(due, sync_wall, steady - self.net.clock.monotonic + now)
        if due < end.alarm:
            end.alarm = due
            self.net.after(max(0.0, due - now) + TICK, self._timed_pass, end, due)

    def _timed_pass(self, end: End, due: float) -> None:
        if end.alarm == due:
            end.alarm = inf
            self.run_pass(end)

    def left(self, end: End) -> None:
        super().left(end)
        self.inbound.left(end)
        self.gossip.left(end)
        if end.handshake_complete and end.connection_type in SHOWN_TO_OTHERS:
            self.addrman.connected(end.address)
        if self.sync is not None:
            self.sync.left(end)
        if not end.inbound and self.up:
            self._arm_look(LOOP_PAUSE)

    def _services_known(self, peer: Peer) -> None:
        if not peer.inbound:
            self.addrman.set_services(peer.address, peer.services)

    def _version_known(self, peer: Peer) -> None:
        self.gossip.asked(peer)
        if not peer.inbound:
            self.addrman.good(peer.address)
        if peer.connection_type is ConnectionType.FEELER:
            peer.disconnect("feeler: the address answers")

    def _handshaked(self, peer: Peer) -> None:
        if self.sync is not None:
            self.sync.joined(peer)
            peer.send(SendHeaders())

    def _drop(self, address: NetworkAddress) -> None:
        for end in self.ends.values():
            if end.address in Subnet.single(address) and not spared(end):
                end.disconnect("discouraged")

    # -- AutomaticOutbound ---------------------------------------------------------------------------------------

    def _arm_look(self, seconds: float) -> None:
        due = self.net.clock.monotonic + seconds
        if due < self._look_due:
            self._look_due = due
            self.net.after(seconds, self._look, due)

    def _look(self, due: float) -> None:
        if due != self._look_due or not self.up:
            return
        self._look_due = inf
        pause = LOOP_PAUSE
        while len(self.dialing) < DIALS_AT_ONCE:
            ends = list(self.ends.values())
            opening = self.policy.next_opening(ends, self.dialing)
            if opening is None:
                wait = self._next_extra() - self.net.clock.wall
                pause = wait + TICK if wait >= 0 else inf  # overdue: there is no free slot until somebody leaves
                break
            candidate = self.policy.candidate(opening, ends, self.dialing)
            if candidate is not None:
                self._dial(opening, candidate)
            elif opening.anchor is None:
                pause = BARREN_PAUSE
                break
        if pause < inf:
            self._arm_look(max(LOOP_PAUSE, pause))

    def _next_extra(self) -> float:
        """When the policy wants a connection beyond its targets; stale tips and lost peers arm a look themselves."""
        return min(self.policy._next_feeler, self.policy._next_extra_block_relay)

    def _dial(self, opening: Opening, candidate: Candidate) -> None:
        self.dialing[candidate.address] = opening.kind
        wait = self.rng.random() * FEELER_JITTER if opening.kind is ConnectionType.FEELER else 0.0
        self.net.after(wait, self._dial_now, opening, candidate, self.runs)

    def _dial_now(self, opening: Opening, candidate: Candidate, run: int) -> None:
        def done(end: End | None) -> None:
            if run != self.runs or not self.up:
                if end is not None:
                    end.disconnect("the node stops")
                return
            del self.dialing[candidate.address]
            if end is not None:
                self.begin(end)
            self.addrman.attempt(candidate.address, candidate.count_failure)
            self._arm_look(LOOP_PAUSE)

        self.dials += 1
        self.net.dial(self, candidate.address, opening.kind, done)

    def _check_extra(self, run: int) -> None:
        if run != self.runs or not self.up:
            return
        for peer in self.extra.one_too_many(self._outbound_peers(), self.policy.full_relay, self.policy.block_relay):
            if peer.connection_type is ConnectionType.OUTBOUND_FULL_RELAY:
                self.extra.extra_peer_went()
            peer.disconnect("one outbound peer more than needed")
        if self.chain is not None:
            self.policy.stale_tip = self.extra.check_tip()
            if self.policy.stale_tip:
                self._arm_look(LOOP_PAUSE)
        if self.chain is None or self.extra.tip_is_near_present():
            self.policy.tip_is_fresh()
            if self._next_extra() > self.net.clock.wall:
                self._arm_look(self._next_extra() - self.net.clock.wall + TICK)
        self.net.after(CHECK_SECONDS, self._check_extra, run)

    def _outbound_peers(self) -> list[OutboundPeer]:
        if self.sync is not None:
            return self.sync.outbound_peers()
        return [
            OutboundPeer(end, 0.0, last_useful=0.0, protected=False, in_flight=0)
            for end in self.ends.values()
            if not end.inbound
        ]

    # -- DnsSeeding ----------------------------------------------------------------------------------------------

    def _seed(self, run: int) -> None:
        if run != self.runs or not self.up:
            return
        step = next(self._seed_steps, None)
        if isinstance(step, Pause):
            self.net.after(step.seconds, self._seed, run)
        elif step is not None:
            for name in step.seeds:
                self.seeds.answered(name, self.net.seeds[name]()[:MAX_SEED_ANSWER])
            self.net.after(DNS_DELAY, self._seed, run)

    # -- what tests ask ------------------------------------------------------------------------------------------

    def count(self, kind: ConnectionType) -> int:
        return sum(end.connection_type is kind for end in self.ends.values())

    def outbound(self) -> list[End]:
        """The full-relay and block-relay-only peers whose handshake is complete."""
        return [end for end in self.ends.values() if end.connection_type in LASTING and end.handshake_complete]

    def is_full(self) -> bool:
        """Whether it has all the lasting outbound connections it wants."""
        return len(self.outbound()) >= self.policy.full_relay + self.policy.block_relay

    def outbound_groups(self) -> list[bytes]:
        """The netgroups of `outbound`."""
        return [self.net.groups.group(end.address) for end in self.outbound()]

    def find_block(self) -> None:
        """Mine a header on the tip."""
        assert self.chain is not None
        index = self.chain.index
        time = max(int(self.net.clock.wall), index.median_time_past(index.tip) + 1)
        result = self.chain.accept(mined(index.hash(index.tip), time, 1, salt=self.rng.getrandbits(64)))
        assert result.verdict is None, result.verdict

    @property
    def tip(self) -> bytes:
        assert self.chain is not None
        return self.chain.index.hash(self.chain.index.tip)


ENTRANCE = Entrance(address=NetworkAddress.parse("0.0.0.0:8333"))


class NoBanStore:
    """Bans are not kept."""

    def put(self, ban: Ban) -> None:
        pass

    def remove(self, subnets: Iterable[Subnet]) -> None:
        pass


def _whole(handler: Callable[[Peer, Any], Iterator[None]]) -> Callable[[Peer, Any], None]:
    """``handler`` in one go: nobody waits."""

    def run(peer: Peer, message: Any) -> None:
        for _ in handler(peer, message):
            pass

    return run

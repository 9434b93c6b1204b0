"""Gossip: nodes telling each other about nodes (Core: ``ProcessAddrs``, ``RelayAddress``, ``MaybeSendAddr``).

Addresses come as answers to our ``getaddr`` and, a few at a time, as news. What they claim is stored in the address
manager, and news is passed on to one or two peers, so that the address of a new node wanders through the network.
Anybody can push anything here, hence:

- Who takes part: outbound peers, but for block-relay-only ones, whose links are to stay unseen; inbound ones from
  their first ``addr``, ``addrv2`` or ``getaddr`` on.
- What is taken: one address in ten seconds from each peer, and the thousand of one answer for each ``getaddr`` we
  send (a token bucket). Which of too many is left to chance. Only nodes that serve blocks, with a plausible time;
  stored only if we could connect to them, and never if they are banned or discouraged.
- What is passed on: routable addresses that were seen in the last ten minutes, from messages of at most ten, which
  answers to getaddr are not. Receivers are drawn by a secret hash that stays the same for a day: telling us again
  does not make an address go further. They are also told addresses of networks that we cannot reach ourselves.
- When: at random moments, 30 seconds apart on average for each peer, so that the way of an address through the
  network cannot be timed.
- ``getaddr`` is answered for inbound peers only, once per connection (``getaddr.py`` says what with): outbound peers
  could plant addresses in us and look for them elsewhere.
- Our own address is told to each peer first thing and then about daily, if we accept connections, serve blocks and
  are synchronised. Otherwise nobody would want it.

None of it proves that an address exists. That is for the connections to find out.
"""

from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from heapq import nlargest
from math import inf
from typing import Final

from ccnode.clock import Clock
from ccnode.peers.addrman import GOSSIP_PENALTY, AddrMan
from ccnode.peers.getaddr import GetAddrAnswers
from ccnode.peers.gossip_peer import GossipPeer, address_key
from ccnode.peers.local_addresses import LocalAddresses
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.peers.permissions import Permission
from ccnode.peers.rolling_bloom import RollingBloom
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, GetAddr, TimedAddress
from ccnode.wire.protocol import MAX_ADDR_TO_SEND, ServiceFlags

STALE_CLAIM: Final = 5 * 86_400
"""Seconds before now that stand in for an impossible "last seen" (Core's rule)."""

OLDEST_CLAIM: Final = 100_000_000
"""Unix seconds; a "last seen" up to then is nonsense."""

FUTURE_CLAIM: Final = 600
"""Seconds ahead of us that a "last seen" may be."""

FRESH: Final = 600
"""Seconds since an address was seen in which it is passed on."""

MAX_NEWS: Final = 10
"""Addresses in a message that are still news."""

RELAY_PEERS: Final = 2
"""Peers that an address is passed on to, if we can reach it ourselves; otherwise as many or one less."""

ROTATION: Final = 24 * 3600
"""Seconds for which an address goes to the same peers (Core: ``ROTATE_ADDR_RELAY_DEST_INTERVAL``)."""

LOT_BITS: Final = 64
LOT_MASK: Final = 2**LOT_BITS - 1

SEND_INTERVAL: Final = 30.0
"""Mean seconds between two messages to a peer (Core: ``AVG_ADDRESS_BROADCAST_INTERVAL``)."""

SELF_INTERVAL: Final = 24 * 3600.0
"""Mean seconds between two announcements of ourselves (Core: ``AVG_LOCAL_ADDRESS_BROADCAST_INTERVAL``)."""

SYNC_CHECK: Final = 30.0
"""Seconds after which a node that synchronises looks again whether it may announce itself."""

TAKEN_AT_ONCE: Final = 250
"""Addresses after which others may go on: they take some 3 milliseconds."""

SERVING: Final = int(ServiceFlags.NETWORK | ServiceFlags.NETWORK_LIMITED)
"""Services of which a node must offer one to be worth an entry."""


@dataclass(frozen=True, slots=True)
class PeerGossipInfo:
    """What ``getpeerinfo`` tells of a peer."""

    relay_enabled: bool
    processed: int
    rate_limited: int


_OUTSIDE: Final = PeerGossipInfo(False, 0, 0)


class AddressGossip:
    """The gossip with all peers."""

    def __init__(
        self,
        addrman: AddrMan,
        clock: Clock,
        rng: Rng,
        *,
        networks: Container[Network],
        unwanted: Container[NetworkAddress],
        local: LocalAddresses,
        services: int,
        listens: bool,
        is_ibd: Callable[[], bool],
    ) -> None:
        """
        :param networks: those we can connect to.
        :param unwanted: addresses that are neither stored nor told.
        :param services: what we announce that we offer.
        :param listens: whether connections are accepted.
        :param is_ibd: whether the chain is still being synchronised.
        """
        self.local = local
        self._addrman = addrman
        self._clock = clock
        self._rng = rng
        self._networks = networks
        self._unwanted = unwanted
        self._services = services
        self._announces = listens and bool(services & SERVING)
        self._is_ibd = is_ibd
        self._answers = GetAddrAnswers(addrman, clock, rng, unwanted)
        self._secret = rng.getrandbits(128).to_bytes(16, "little")
        self._peers: dict[int, GossipPeer] = {}

    # -- comings and goings --------------------------------------------------------------------------------------

    def asked(self, peer: Peer) -> None:
        """``peer`` said who it is; if it is one to be asked for addresses, the handshake just did that.

        An inbound one said instead which address of ours it dialed.
        """
        if peer.inbound:
            self.local.seen_by(peer)
            return
        state = self._take_part(peer)
        if state is not None:
            state.getaddr_outstanding = True
            state.tokens += MAX_ADDR_TO_SEND

    def left(self, peer: Peer) -> None:
        """``peer`` is gone."""
        self._peers.pop(peer.id, None)

    def peer_info(self, peer_id: int) -> PeerGossipInfo:
        state = self._peers.get(peer_id)
        return _OUTSIDE if state is None else PeerGossipInfo(True, state.processed, state.rate_limited)

    def _take_part(self, peer: Peer) -> GossipPeer | None:
        """The state of ``peer``, which takes part from now on; None if it never does."""
        if peer.connection_type is ConnectionType.BLOCK_RELAY_ONLY:
            return None
        state = self._peers.get(peer.id)
        if state is None:
            lot = self._rng.getrandbits(LOT_BITS)
            state = self._peers[peer.id] = GossipPeer(peer, RollingBloom(self._rng), lot, tokens_at=peer.connected_at)
            peer.mark_dirty()
        return state

    # -- what peers tell -----------------------------------------------------------------------------------------

    def on_addresses(self, peer: Peer, message: Addr | AddrV2) -> Iterator[None]:
        """Store what ``peer`` tells, and pass on news. A peer that was only to give addresses is done.

        Works while it is iterated over, and yields where other peers may be looked after.
        """
        state = self._take_part(peer)
        if state is None:
            return
        now = self._clock.now()
        is_news = not state.getaddr_outstanding and len(message) <= MAX_NEWS
        entries = self._within_rate(state, message.entries, now)
        for start in range(0, len(entries), TAKEN_AT_ONCE):
            if start:
                yield
            self._take(state, entries[start : start + TAKEN_AT_ONCE], now, is_news)
        if len(message) < MAX_ADDR_TO_SEND:
            state.getaddr_outstanding = False
        if peer.connection_type is ConnectionType.ADDR_FETCH and len(message) > 1:
            peer.disconnect("gave us addresses")

    def _take(self, state: GossipPeer, entries: Sequence[TimedAddress], now: float, is_news: bool) -> None:
        storable = []
        for entry in entries:
            if not entry.services & SERVING:
                continue
            state.known.add(address_key(entry.address))
            if entry.address in self._unwanted:
                continue
            state.processed += 1
            entry = _with_plausible_time(entry, int(now))
            if is_news and entry.time > now - FRESH and entry.address.is_routable():
                self._pass_on(entry, state, now)
            if entry.address.network in self._networks:
                storable.append(entry)
        self._addrman.add(storable, state.peer.address, GOSSIP_PENALTY)

    def _within_rate(self, state: GossipPeer, entries: Sequence[TimedAddress], now: float) -> Sequence[TimedAddress]:
        """As many of ``entries`` as the peer has tokens for, drawn by chance."""
        paid = state.take_tokens(len(entries), now)
        if paid == len(entries) or Permission.ADDR in state.peer.permissions:
            return entries
        state.rate_limited += len(entries) - paid
        drawn = list(entries)
        self._rng.shuffle(drawn)
        return drawn[:paid]

    def _pass_on(self, entry: TimedAddress, source: GossipPeer, now: float) -> None:
        """Queue ``entry`` for its receivers: those whose lots, multiplied by its number of today, are highest."""
        key = address_key(entry.address)
        # The hash in the sum gives each address its own moment of change.
        window = (int(now) + self._keyed_hash(key)) // ROTATION
        number = self._keyed_hash(key + window.to_bytes(8, "little"))
        reachable = entry.address.network in self._networks
        count = RELAY_PEERS if reachable or number & 2 else RELAY_PEERS - 1
        factor = number | 1  # odd: then no two lots come to the same
        for_all = entry.address.is_v1_compatible()
        scores = {  # with thousands of peers a hash for each would take 14 ms
            state.lot * factor & LOT_MASK: state for state in self._peers.values() if for_all or state.peer.wants_addrv2
        }
        drawn = [scores[score] for score in nlargest(count + 1, scores)]
        for receiver in [state for state in drawn if state is not source][:count]:
            self._push(receiver, entry, now)

    def _keyed_hash(self, data: bytes) -> int:
        """64 bits that nobody without the secret can foresee."""
        return int.from_bytes(blake2b(data, digest_size=8, key=self._secret).digest(), "little")

    # -- what peers ask ------------------------------------------------------------------------------------------

    def on_getaddr(self, peer: Peer, _message: GetAddr) -> Iterator[None]:
        """Answer an inbound peer, the first time. Works while it is iterated over, like `on_addresses`."""
        state = self._peers.get(peer.id)
        if not peer.inbound or (state is not None and state.getaddr_received):
            return
        answer = self._answers.for_peer(peer)
        yield  # a new answer takes some 8 milliseconds, to queue and send it takes as many
        state = self._take_part(peer)
        assert state is not None, "an inbound peer may always take part"
        state.getaddr_received = True
        state.queue.clear()
        now = self._clock.now()
        for entry in answer:
            self._push(state, entry, now)

    # -- what peers are told -------------------------------------------------------------------------------------

    def send_pass(self, peer: Peer, now: float) -> float:
        """Send a handshaked peer what it is owed; returns the wall time after which to look again."""
        state = self._peers.get(peer.id)
        if state is None:
            return inf
        due = self._announce_ourselves(state, now)
        if now > state.next_send:
            self._draw_next_send(state, now)
            _send(peer, state.take_queue())
        return min(due, state.next_send) if state.queue else due

    def _push(self, state: GossipPeer, entry: TimedAddress, now: float) -> None:
        """Queue ``entry``, and see to it that it is sent at some time."""
        was_idle = not state.queue
        if state.push(entry, self._rng) and was_idle:
            if 0.0 < state.next_send <= now:  # nothing watched the moments that went by: the next one is as random
                self._draw_next_send(state, now)
            state.peer.mark_dirty()

    def _draw_next_send(self, state: GossipPeer, now: float) -> None:
        state.next_send = now + self._rng.expovariate(1 / SEND_INTERVAL)

    def _announce_ourselves(self, state: GossipPeer, now: float) -> float:
        """Tell the peer our address if it is time; returns when to look again."""
        if not self._announces:
            return inf
        if now <= state.next_self_announcement:
            return state.next_self_announcement
        if self._is_ibd():
            return now + SYNC_CHECK
        is_first = not state.next_self_announcement
        state.next_self_announcement = now + self._rng.expovariate(1 / SELF_INTERVAL)
        if not is_first:
            state.known.clear()  # or it would not go out again
        address = self.local.for_peer(state.peer)
        if address is not None and state.can_be_told(address):
            entry = TimedAddress(int(now), self._services, address)
            if is_first:  # alone, because a newcomer's tokens are good for one address
                _send(state.peer, [entry])
            else:
                self._push(state, entry, now)
        return state.next_self_announcement


def _send(peer: Peer, entries: Sequence[TimedAddress]) -> None:
    if entries:
        peer.send(AddrV2(tuple(entries)) if peer.wants_addrv2 else Addr(tuple(entries)))


def _with_plausible_time(entry: TimedAddress, now: int) -> TimedAddress:
    if OLDEST_CLAIM < entry.time <= now + FUTURE_CLAIM:
        return entry
    return TimedAddress(now - STALE_CLAIM, entry.services, entry.address)

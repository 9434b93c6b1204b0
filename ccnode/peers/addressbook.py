"""What is taken from peers that tell us about others.

Only what an outbound peer sends in answer to our ``getaddr`` is stored. Everything else is gossip that anybody can
push, and an eclipse attack's raw material.
"""

from collections.abc import Container

from ccnode.clock import Clock
from ccnode.peers.addrman import GOSSIP_PENALTY, AddrMan
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import Addr, AddrV2, TimedAddress
from ccnode.wire.protocol import MAX_ADDR_TO_SEND, ServiceFlags

STALE_CLAIM = 5 * 86_400
"""Seconds before now that stand in for an impossible "last seen" (Core's rule)."""

OLDEST_CLAIM = 100_000_000
"""Unix seconds; an earlier "last seen" is nonsense."""

FUTURE_CLAIM = 600
"""Seconds ahead of us that a "last seen" may be."""


class AddressIntake:
    """Takes ``addr`` and ``addrv2`` from peers that were asked."""

    def __init__(self, addrman: AddrMan, clock: Clock, unwanted: Container[NetworkAddress] = ()) -> None:
        """:param unwanted: addresses that are not stored."""
        self._addrman = addrman
        self._unwanted = unwanted
        self._clock = clock
        self._asked: dict[int, int] = {}

    def expect_from(self, peer: Peer) -> None:
        """``peer`` was sent a getaddr: as many addresses as one answer may hold are welcome."""
        if peer.connection_type not in (ConnectionType.INBOUND, ConnectionType.BLOCK_RELAY_ONLY):
            self._asked[peer.id] = MAX_ADDR_TO_SEND

    def left(self, peer: Peer) -> None:
        self._asked.pop(peer.id, None)

    def on_addresses(self, peer: Peer, message: Addr | AddrV2) -> None:
        """Store what was asked for, with its time made plausible. A peer that was only to give addresses is done."""
        room = self._asked.get(peer.id, 0)
        if not room:
            return
        self._asked[peer.id] = room - min(room, len(message.entries))
        now = int(self._clock.now())
        useful = ServiceFlags.NETWORK | ServiceFlags.NETWORK_LIMITED
        entries = [
            TimedAddress(_plausible(entry.time, now), entry.services, entry.address)
            for entry in message.entries[:room]
            if entry.services & useful and entry.address not in self._unwanted
        ]
        self._addrman.add(entries, peer.address, GOSSIP_PENALTY)
        if peer.connection_type is ConnectionType.ADDR_FETCH and len(message) > 1:
            peer.disconnect("gave us addresses")


def _plausible(time: int, now: int) -> int:
    return time if OLDEST_CLAIM < time <= now + FUTURE_CLAIM else now - STALE_CLAIM

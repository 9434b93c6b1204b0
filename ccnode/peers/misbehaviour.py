"""What follows when a peer breaks the rules (Core: ``MaybeDiscourageAndDisconnect``; there is no score).

One offence is enough. Manual peers are only warned about, because a person chose them. Local addresses are
disconnected but never discouraged: they are shared by everything on the machine, Tor's inbound peers included.
Everyone else is disconnected and *discouraged*: not dialed again while the process lives. Discouragement protects
against waste, not against an attacker with many addresses.
"""

import logging

from ccnode.peers.peer import ConnectionType, Peer
from ccnode.wire.address import NetworkAddress

log = logging.getLogger("ccnode.net")

MAX_DISCOURAGED = 50_000
"""Addresses remembered; the oldest are forgotten first (Core's filter holds as many)."""


class Discouragement:
    """The addresses we would rather not see again. In memory only."""

    def __init__(self) -> None:
        self._addresses: dict[bytes, None] = {}

    def add(self, address: NetworkAddress) -> None:
        self._addresses.pop(address.addr, None)
        self._addresses[address.addr] = None
        if len(self._addresses) > MAX_DISCOURAGED:
            del self._addresses[next(iter(self._addresses))]

    def __contains__(self, address: NetworkAddress) -> bool:
        return address.addr in self._addresses

    def __len__(self) -> int:
        return len(self._addresses)


class Misbehaviour:
    """Judges offences; every room that finds one calls `report`."""

    def __init__(self, discouragement: Discouragement) -> None:
        self._discouragement = discouragement

    def report(self, peer: Peer, offence: str) -> None:
        """``peer`` did something no honest node does."""
        if peer.connection_type is ConnectionType.MANUAL:
            log.warning("peer=%d misbehaving: %s; it stays, because it was added by hand", peer.id, offence)
            return
        log.info("peer=%d misbehaving: %s", peer.id, offence)
        if not peer.address.is_local():
            self._discouragement.add(peer.address)
        peer.disconnect(f"misbehaving: {offence}")

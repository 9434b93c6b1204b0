"""The version handshake (Core: ``net_processing.cpp``, ``node/protocol_version.h``).

::

    we dial                                    they dial
    -> version                                 <- version
    <- version                                 -> version
    -> wtxidrelay, sendaddrv2, verack, getaddr -> wtxidrelay, sendaddrv2, verack
    <- (features), verack                      <- (features), verack

What may happen when is `TABLE`: a stage and a command name an action, anything absent is ignored before the
handshake is complete and passed on to the other rooms after it. Core punishes nothing here but features that arrive
after ``verack``; the classic model of misbehaviour counts what comes out of turn. The order of the checks on
``version`` is Core's: services, version, own nonce, and only then do we answer, so a connection to ourselves reveals
nothing.

A headers-only node says relay=false and sends no ``sendcmpct``: it has no blocks to reconstruct or to serve.
"""

import logging
from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType

from ccnode.clock import Clock
from ccnode.peers.peer import AUTOMATIC_OUTBOUND, ConnectionType, HandshakeStage, Peer
from ccnode.peers.permissions import Permission
from ccnode.peers.time_offsets import TimeOffsets
from ccnode.rng import Rng
from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import GetAddr
from ccnode.wire.handshake import SendAddrV2, SendCmpct, ServiceAddress, Verack, Version, WtxidRelay
from ccnode.wire.message import Message
from ccnode.wire.protocol import (
    MIN_PEER_PROTO_VERSION,
    PROTOCOL_VERSION,
    WTXID_RELAY_VERSION,
    ServiceFlags,
)

log = logging.getLogger("ccnode.net")

COMPACT_BLOCKS_VERSION = 2
"""The only version of ``sendcmpct`` that counts (BIP152 with witness)."""

_VERSION, _VERACK, _DONE = HandshakeStage.AWAITING_VERSION, HandshakeStage.AWAITING_VERACK, HandshakeStage.ESTABLISHED

TABLE: Mapping[tuple[HandshakeStage, str], str] = MappingProxyType(
    {
        (_VERSION, "version"): "accept_version",
        (_VERACK, "verack"): "complete",
        (_VERACK, "wtxidrelay"): "note_wtxidrelay",
        (_VERACK, "sendaddrv2"): "note_sendaddrv2",
        (_VERACK, "sendheaders"): "note_sendheaders",
        (_VERACK, "sendcmpct"): "note_sendcmpct",
        (_DONE, "verack"): "ignore",
        (_DONE, "wtxidrelay"): "refuse_late_feature",
        (_DONE, "sendaddrv2"): "refuse_late_feature",
        (_DONE, "sendtxrcncl"): "ignore",
        (_DONE, "sendheaders"): "note_sendheaders",
        (_DONE, "sendcmpct"): "note_sendcmpct",
    }
)
"""(stage, command) -> action. ``sendtxrcncl`` is unexpected from everyone, since we never send it."""


class Handshake:
    """Runs the handshake of every connection; holds what we say about ourselves."""

    def __init__(
        self,
        *,
        services: int,
        user_agent: str,
        clock: Clock,
        rng: Rng,
        our_height: Callable[[], int],
        limited_peers_suffice: Callable[[], bool],
        is_proxy: Callable[[NetworkAddress], bool] = lambda _address: False,
    ) -> None:
        """
        :param limited_peers_suffice: whether our tip is recent enough (under 144 blocks of time) for peers that
            keep only recent blocks.
        :param is_proxy: whether an address is that of a proxy of ours, and not that of who comes from it.
        """
        self.services = services
        self.user_agent = user_agent
        self.time_offsets = TimeOffsets()
        self._clock = clock
        self._rng = rng
        self._our_height = our_height
        self._limited_peers_suffice = limited_peers_suffice
        self._is_proxy = is_proxy
        self._on_services: Callable[[Peer], None] = _nobody
        self._on_version: Callable[[Peer], None] = _nobody
        self._on_complete: Callable[[Peer], None] = _nobody
        self._open_nonces: set[int] = set()
        self._actions: dict[tuple[HandshakeStage, str], Callable[[Peer, Message], None]] = {
            key: getattr(self, "_" + action) for key, action in TABLE.items()
        }

    def notifies(
        self,
        on_services: Callable[[Peer], None],
        on_version: Callable[[Peer], None],
        on_complete: Callable[[Peer], None],
    ) -> None:
        """Set who hears what a peer offers, enough or not, that its version was accepted, and that its verack came.

        After the last anything may be sent.
        """
        self._on_services = on_services
        self._on_version = on_version
        self._on_complete = on_complete

    def start(self, peer: Peer) -> None:
        """A connection is up: the side that dialed speaks first."""
        peer.local_nonce = self._rng.getrandbits(64) or 1
        peer.our_services = self._services_for(peer)
        if not peer.inbound:
            self._open_nonces.add(peer.local_nonce)
            peer.send(self._our_version(peer))

    def expects(self, peer: Peer, command: str) -> bool:
        """Whether ``command`` means something to the handshake at the stage ``peer`` is in."""
        return (peer.stage, command) in self._actions

    def handle(self, peer: Peer, message: Message) -> bool:
        """Take the message if it is the handshake's; False means: it is for somebody else."""
        action = self._actions.get((peer.stage, message.command))
        if action is not None:
            action(peer, message)
            return True
        if peer.stage is _DONE:
            return False
        log.debug("peer=%d %s before the handshake was complete, ignored", peer.id, message.command)
        return True

    def is_desirable(self, services: int) -> bool:
        """Whether they are all the services that we want of a peer."""
        return not int(desirable_services(services, self._limited_peers_suffice())) & ~services

    def gone(self, peer: Peer) -> None:
        """The connection ended."""
        self._open_nonces.discard(peer.local_nonce)

    # -- actions of the table ------------------------------------------------------------------------------------

    def _accept_version(self, peer: Peer, message: Message) -> None:
        assert isinstance(message, Version)
        peer.services = message.services
        self._on_services(peer)
        missing = self._missing_services(peer, message.services)
        if missing:
            peer.disconnect(f"does not offer the services we need ({missing!r} missing)")
            return
        if message.version < MIN_PEER_PROTO_VERSION:
            peer.disconnect(f"obsolete protocol version {message.version}")
            return
        if peer.inbound and message.nonce in self._open_nonces:
            peer.disconnect("connected to ourselves")
            return
        self._note_version(peer, message)
        if peer.inbound:
            peer.send(self._our_version(peer))
        if peer.common_version >= WTXID_RELAY_VERSION:
            peer.send(WtxidRelay())
            peer.send(SendAddrV2())
        peer.send(Verack())
        peer.stage = _VERACK
        if not peer.inbound and peer.connection_type is not ConnectionType.BLOCK_RELAY_ONLY:
            peer.send(GetAddr())
        self._on_version(peer)

    def _note_version(self, peer: Peer, message: Version) -> None:
        peer.version = message.version
        peer.common_version = min(PROTOCOL_VERSION, message.version)
        peer.user_agent = message.clean_user_agent
        peer.start_height = -1 if message.start_height is None else message.start_height
        peer.relay = message.relays_transactions
        peer.time_offset = message.timestamp - int(self._clock.now())
        if not peer.inbound:
            self.time_offsets.add(peer.time_offset)
        if message.addr_recv.address.is_valid():
            peer.address_local = message.addr_recv.address

    def _complete(self, peer: Peer, _message: Message) -> None:
        peer.stage = _DONE
        peer.mark_dirty()
        self._open_nonces.discard(peer.local_nonce)
        self._on_complete(peer)

    def _note_wtxidrelay(self, peer: Peer, _message: Message) -> None:
        if peer.common_version >= WTXID_RELAY_VERSION:
            peer.wtxid_relay = True

    def _note_sendaddrv2(self, peer: Peer, _message: Message) -> None:
        peer.wants_addrv2 = True

    def _note_sendheaders(self, peer: Peer, _message: Message) -> None:
        peer.prefers_headers = True

    def _note_sendcmpct(self, peer: Peer, message: Message) -> None:
        assert isinstance(message, SendCmpct)
        if message.version == COMPACT_BLOCKS_VERSION:
            peer.offers_compact_blocks = True
            peer.compact_blocks_high_bandwidth = message.high_bandwidth

    def _refuse_late_feature(self, peer: Peer, message: Message) -> None:
        peer.disconnect(f"{message.command} after verack")

    def _ignore(self, peer: Peer, message: Message) -> None:
        log.debug("peer=%d redundant %s ignored", peer.id, message.command)

    # -- rules ---------------------------------------------------------------------------------------------------

    def _missing_services(self, peer: Peer, offered: int) -> ServiceFlags:
        """The needed services that an automatic outbound peer lacks; nothing is asked of the others."""
        if peer.connection_type not in AUTOMATIC_OUTBOUND:
            return ServiceFlags(0)
        return desirable_services(offered, self._limited_peers_suffice()) & ~ServiceFlags(offered)

    def _services_for(self, peer: Peer) -> int:
        """What the peer is offered: bloom filters, if we have blocks, by permission too."""
        by_permission = peer.inbound and Permission.BLOOM_FILTER in peer.permissions
        return self.services | (ServiceFlags.BLOOM if by_permission and self.services & ServiceFlags.WITNESS else 0)

    def _our_version(self, peer: Peer) -> Version:
        """Tells the peer its own address, where that means anything, and nothing about ours (Core: PushNodeVersion)."""
        address = peer.address
        tellable = address.is_routable() and address.is_v1_compatible() and not self._is_proxy(address)
        return Version(
            version=PROTOCOL_VERSION,
            services=peer.our_services,
            timestamp=int(self._clock.now()),
            addr_recv=ServiceAddress(0, address) if tellable else ServiceAddress(),
            addr_from=ServiceAddress(peer.our_services),
            nonce=peer.local_nonce,
            user_agent=self.user_agent.encode("ascii"),
            start_height=self._our_height(),
            relay=False,
        )


def _nobody(_peer: Peer) -> None:
    """Nobody listens yet."""


@lru_cache(maxsize=256)
def desirable_services(offered: int, limited_suffices: bool) -> ServiceFlags:
    """What we want of a peer: NETWORK and WITNESS, or NETWORK_LIMITED in place of NETWORK near the tip."""
    if limited_suffices and offered & ServiceFlags.NETWORK_LIMITED:
        return ServiceFlags.NETWORK_LIMITED | ServiceFlags.WITNESS
    return ServiceFlags.NETWORK | ServiceFlags.WITNESS

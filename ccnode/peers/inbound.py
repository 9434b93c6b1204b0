"""Who may connect to us (Core: ``CConnman::CreateNodeFromAcceptedSocket``).

The questions in their order:

1. is the address banned? Then no, unless it has the noban permission;
2. is it discouraged, and are we about to be full? Then no, with the same exception. While there is room it comes in,
   marked as the first to go;
3. are there as many connections from its address, or its netgroup, as we want at most? (Limits of our own, off by
   default: Tor's users share this machine's address, and a household or a company may share one.) Then no, with the
   same exception;
4. are all slots taken? Then an older peer makes room (``eviction.py``), or if none can, no.

Connections that come from Tor's daemon show its address, not the peer's: permissions of that address and the limits
of question 3 are not for them. Who bans it means all of them; misbehaviour neither bans nor discourages this machine.
"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import NamedTuple

from ccnode.peers.bans import BanList
from ccnode.peers.eviction import Candidate, Candidates
from ccnode.peers.misbehaviour import Discouragement
from ccnode.peers.peer import Peer
from ccnode.peers.permissions import Direction, Permission, Whitelist
from ccnode.rng import Rng
from ccnode.wire.address import Network, NetworkAddress


@dataclass(frozen=True, slots=True, kw_only=True)
class Entrance:
    """An address that we listen on."""

    address: NetworkAddress
    permissions: Permission = Permission.NONE
    """For everyone who connects to it (``whitebind``)."""
    onion: bool = False
    """Only Tor's daemon connects to it (``bind=ADDR:PORT=onion``)."""
    optional: bool = False
    """The node starts without it if need be."""

    @property
    def is_public(self) -> bool:
        """Whether strangers may be told to connect here."""
        return not self.onion and Permission.NO_BAN not in self.permissions


@dataclass(frozen=True, slots=True, kw_only=True)
class InboundLimits:
    """Most inbound connections at once; 0 of the latter two is no limit."""

    total: int
    per_address: int = 0
    per_netgroup: int = 0


@dataclass(frozen=True, slots=True)
class Admission:
    """The answer to one connection."""

    refusal: str | None
    """Why it must go at once, None if it may stay."""
    permissions: Permission = Permission.NONE
    prefer_evict: bool = False
    victim: int | None = None
    """The id of the peer that makes room for it."""


class _Inbound(NamedTuple):
    """A peer that was let in, and what eviction wants to know of its address."""

    peer: Peer
    keyed_netgroup: int
    is_local: bool


class InboundPolicy:
    """Decides about inbound connections; what the node knows about addresses comes in as its parts."""

    def __init__(
        self,
        limits: InboundLimits,
        *,
        bans: BanList,
        discouragement: Discouragement,
        whitelist: Whitelist,
        netgroup: Callable[[NetworkAddress], bytes],
        is_desirable: Callable[[int], bool],
        rng: Rng,
    ) -> None:
        """:param is_desirable: whether services are all that we want of a peer."""
        self._limits = limits
        self._bans = bans
        self._discouragement = discouragement
        self._whitelist = whitelist
        self._netgroup = netgroup
        self._is_desirable = is_desirable
        self._secret = rng.getrandbits(128).to_bytes(16, "little")
        self._inbound: dict[int, _Inbound] = {}
        self._candidates = Candidates()

    def joined(self, peer: Peer) -> None:
        """An inbound peer was let in."""
        self._inbound[peer.id] = _Inbound(peer, self._keyed_netgroup(peer.address), peer.address.is_local())
        self.update(peer)

    def update(self, peer: Peer) -> None:
        """What is known of a peer may have changed. One that was not let in here is passed over."""
        entry = self._inbound.get(peer.id)
        if entry is not None:
            self._candidates.put(self._candidate(entry))

    def left(self, peer: Peer) -> None:
        """A peer is going, or gone."""
        self._inbound.pop(peer.id, None)
        self._candidates.remove(peer.id)

    def admit(self, address: NetworkAddress, entrance: Entrance) -> Admission:
        """Decide about a connection from ``address`` that came in through ``entrance``."""
        permissions = self._whitelist.resolve(entrance.permissions)
        if not entrance.onion:
            permissions |= self._whitelist.permissions(address, Direction.INBOUND)
        discouraged = address in self._discouragement
        if Permission.NO_BAN not in permissions:
            if self._bans.is_banned(address):
                return Admission("banned")
            if discouraged and len(self._inbound) + 1 >= self._limits.total:
                return Admission("discouraged")
            crowd = None if entrance.onion else self._crowd(address)
            if crowd is not None:
                return Admission(crowd)
        if len(self._inbound) < self._limits.total:
            return Admission(None, permissions, discouraged)
        victim = self._candidates.select_to_evict()
        if victim is None:
            return Admission("all slots are taken, and nobody can make room")
        return Admission(None, permissions, discouraged, victim)

    def _crowd(self, address: NetworkAddress) -> str | None:
        """Which limit on connections from one place another one from ``address`` would break."""
        limits = self._limits
        if not (limits.per_address or limits.per_netgroup):
            return None
        shown = [entry for entry in self._inbound.values() if not entry.peer.inbound_onion]
        limit = limits.per_address
        if limit and sum(entry.peer.address.addr == address.addr for entry in shown) >= limit:
            return "maxinboundperip connections from its address"
        limit = limits.per_netgroup
        if limit:
            group = self._keyed_netgroup(address)
            if sum(entry.keyed_netgroup == group for entry in shown) >= limit:
                return "maxinboundpernetgroup connections from its netgroup"
        return None

    def _candidate(self, entry: _Inbound) -> Candidate:
        peer = entry.peer
        return Candidate(
            id=peer.id,
            connected=int(peer.connected_at),
            keyed_netgroup=entry.keyed_netgroup,
            min_ping=inf if peer.min_ping is None else peer.min_ping,
            # To us a new header is what a new block is to a node that has blocks: it cannot be had for nothing.
            last_block=int(max(peer.last_block, peer.last_header)),
            last_transaction=int(peer.last_transaction),
            relevant_services=self._is_desirable(peer.services),
            relays_transactions=bool(peer.version) and peer.relay,
            prefer_evict=peer.prefer_evict,
            is_local=entry.is_local,
            network=Network.ONION if peer.inbound_onion else peer.address.network,
            no_ban=Permission.NO_BAN in peer.permissions,
            score=peer.misbehaviour_score,
        )

    def _keyed_netgroup(self, address: NetworkAddress) -> int:
        """A number for the group that nobody without the secret can foresee."""
        digest = blake2b(self._netgroup(address), digest_size=8, key=self._secret).digest()
        return int.from_bytes(digest, "little")

"""What follows when a peer breaks the rules: one list of violations, two ways to answer them.

``core`` is what Bitcoin Core does today (``MaybeDiscourageAndDisconnect``): there is no threshold, one offence that no
honest node commits is enough, and what can be an accident costs nothing. The peer is disconnected and its address
*discouraged*: not dialed again while the process lives, let in only while there is room, first to go after that.

``classic`` is what it did for its first decade: every violation has points, and at `BAN_SCORE` the address is banned.

In both, the points add up per peer, for people to see and as the last thing that inbound eviction looks at. Peers with
the noban permission and manual ones are only warned about, because a person chose them. A local address is
disconnected and nothing more: everything on the machine shares it, Tor's inbound peers included. So is a peer whose
name a proxy looked up: we do not know its address.

Neither protects against an attacker with many addresses; both save the work of meeting the same fault again.
"""

import logging
from collections import Counter
from collections.abc import Callable
from enum import Enum
from typing import Final

from ccnode.peers.bans import BanList
from ccnode.peers.peer import ConnectionType, HandshakeStage, Peer
from ccnode.peers.permissions import Permission
from ccnode.peers.subnet import Subnet
from ccnode.wire.address import Network, NetworkAddress

log = logging.getLogger("ccnode.net")

MAX_DISCOURAGED = 50_000
"""Addresses remembered; the oldest are forgotten first (Core's filter holds as many)."""

BAN_SCORE: Final = 100
"""Points at which the classic model bans (Core: ``-banscore``)."""


class Violation(Enum):
    """All that a peer can do wrong: its name, the points of the classic model, whether Core punishes it today."""

    DUPLICATE_VERSION = ("duplicate-version", 1, False)
    BEFORE_VERSION = ("before-version", 1, False)
    BEFORE_VERACK = ("before-verack", 1, False)
    BLOOM_NOT_OFFERED = ("bloom-not-offered", 100, False)
    BAD_BLOOM_FILTER = ("bad-bloom-filter", 100, True)
    """Over its limits, or added to where there is none."""
    OVERSIZE_LIST = ("oversize-list", 20, True)
    """More than 1000 addresses, 50,000 inventory items or 2000 headers in one message."""
    UNCONNECTING_HEADERS = ("unconnecting-headers", 20, False)
    """Every tenth message of them in a row."""
    NON_CONTINUOUS_HEADERS = ("non-continuous-headers", 20, True)
    HIGH_HASH = ("high-hash", 50, True)
    TIME_TOO_OLD = ("time-too-old", 0, True)
    INVALID_HEADER = ("invalid-header", 100, True)
    """Breaks a rule of its place in the chain, other than `TIME_TOO_OLD`."""
    INVALID_PARENT = ("invalid-parent", 100, True)
    MISSING_PARENT = ("missing-parent", 10, True)
    """A block whose parent's header is unknown."""
    MUTATED_BLOCK = ("mutated-block", 100, True)
    """Transactions or witnesses that the header does not commit to."""
    INVALID_BLOCK = ("invalid-block", 100, True)

    def __init__(self, label: str, points: int, punished: bool) -> None:
        self.label = label
        self.points = points
        self.punished = punished


class Discouragement:
    """The addresses we would rather not see again. In memory only."""

    def __init__(self) -> None:
        self._addresses: dict[bytes, None] = {}
        self._listeners: list[Callable[[NetworkAddress], None]] = []

    def on_add(self, listener: Callable[[NetworkAddress], None]) -> None:
        """Call ``listener`` with every address discouraged from now on."""
        self._listeners.append(listener)

    def add(self, address: NetworkAddress) -> None:
        self._addresses.pop(address.addr, None)
        self._addresses[address.addr] = None
        if len(self._addresses) > MAX_DISCOURAGED:
            del self._addresses[next(iter(self._addresses))]
        for listener in self._listeners:
            listener(address)

    def __contains__(self, address: NetworkAddress) -> bool:
        return address.addr in self._addresses

    def __len__(self) -> int:
        return len(self._addresses)


class Unwanted:
    """The addresses that are discouraged or banned: neither dialed on our own account nor stored."""

    def __init__(self, discouragement: Discouragement, bans: BanList) -> None:
        self._discouragement = discouragement
        self._bans = bans

    def __contains__(self, address: object) -> bool:
        if not isinstance(address, NetworkAddress):
            return False
        return address in self._discouragement or self._bans.is_banned(address)


class Misbehaviour:
    """Judges violations; every room that finds one calls `report`."""

    def __init__(self, discouragement: Discouragement, bans: BanList | None = None) -> None:
        """:param bans: where the classic model bans; None for Core's model."""
        self._discouragement = discouragement
        self._bans = bans
        self.reported: Counter[Violation] = Counter()
        """How often which since the start, by all peers together."""

    def report(self, peer: Peer, violation: Violation, detail: str = "") -> None:
        """``peer`` did something wrong; ``detail`` says what in particular."""
        self.reported[violation] += 1
        before = peer.misbehaviour_score
        peer.misbehaviour_score += violation.points
        peer.violations[violation.label] = peer.violations.get(violation.label, 0) + 1
        if self._bans is None:
            due = violation.punished
        else:
            due = before < BAN_SCORE <= peer.misbehaviour_score
        reason = f"misbehaving: {detail or violation.label}"
        if due and spared(peer):
            why = "was added by hand" if peer.connection_type is ConnectionType.MANUAL else "has the noban permission"
            log.warning("peer=%d %s; it stays, because it %s", peer.id, reason, why)
            return
        log.log(logging.INFO if due else logging.DEBUG, "peer=%d %s", peer.id, reason)
        if not due:
            return
        peer.disconnect(reason)
        if peer.address.network is not Network.INTERNAL and not peer.address.is_local():
            self._condemn(peer.address, reason)

    def _condemn(self, address: NetworkAddress, reason: str) -> None:
        if self._bans is None:
            self._discouragement.add(address)
        else:
            self._bans.ban(Subnet.single(address), reason=reason)


def spared(peer: Peer) -> bool:
    """Whether misbehaviour, its own or that of its address, does not end this connection."""
    return peer.connection_type is ConnectionType.MANUAL or Permission.NO_BAN in peer.permissions


def out_of_turn(peer: Peer, command: str) -> Violation | None:
    """What is wrong with a message that the handshake does not want at the stage ``peer`` is in."""
    if command == "version" and peer.stage is not HandshakeStage.AWAITING_VERSION:
        return Violation.DUPLICATE_VERSION
    return _EARLY.get(peer.stage)


_EARLY: Final = {
    HandshakeStage.AWAITING_VERSION: Violation.BEFORE_VERSION,
    HandshakeStage.AWAITING_VERACK: Violation.BEFORE_VERACK,
}

"""What a person allows certain peers (Core: ``net_permissions.cpp``).

``whitelist=[PERMISSIONS@]RANGE`` gives permissions to peers by their address, ``whitebind=[PERMISSIONS@]ADDR:PORT`` to
everyone who connects to one of our addresses. Permissions are words with commas between them; without any, the peer
gets what `implicit` says. A range counts for inbound peers, with the word ``out`` for manual ones, with ``in,out`` for
both.

An address is no identity: whoever can send from it has its permissions. Tor's connections all come from this machine,
so no permission is given to them by address, only by ``whitebind``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Flag
from typing import Final

from ccnode.peers.subnet import Subnet
from ccnode.wire.address import NetworkAddress, split_host_port


class Permission(Flag):
    """What a peer may do, or is spared. The bits are Core's, ``NO_BAN`` and ``FORCE_RELAY`` contain another."""

    NONE = 0
    BLOOM_FILTER = 1 << 1
    RELAY = 1 << 3
    FORCE_RELAY = 1 << 2 | 1 << 3
    DOWNLOAD = 1 << 6
    NO_BAN = 1 << 4 | 1 << 6
    MEMPOOL = 1 << 5
    ADDR = 1 << 7
    ALL = 0xFE
    IMPLICIT = 1 << 31
    """No words were given: a stand-in until `implicit` has been asked."""


NAMES: Final = {
    "bloomfilter": Permission.BLOOM_FILTER,
    "noban": Permission.NO_BAN,
    "forcerelay": Permission.FORCE_RELAY,
    "relay": Permission.RELAY,
    "mempool": Permission.MEMPOOL,
    "download": Permission.DOWNLOAD,
    "addr": Permission.ADDR,
}
"""In the order in which ``getpeerinfo`` lists them."""

_WORDS: Final = {**NAMES, "bloom": Permission.BLOOM_FILTER, "all": Permission.ALL, "": Permission.NONE}


class Direction(Flag):
    """Which connections a whitelisted range is about."""

    INBOUND = 1
    MANUAL = 2


@dataclass(frozen=True, slots=True)
class WhitelistEntry:
    """One ``whitelist``."""

    subnet: Subnet
    permissions: Permission
    directions: Direction


@dataclass(frozen=True, slots=True)
class WhitebindEntry:
    """One ``whitebind``."""

    address: NetworkAddress
    permissions: Permission


def parse_whitelist(text: str) -> WhitelistEntry:
    """Read one ``whitelist``. `ValueError` with Core's sentence."""
    permissions, directions, rest = _parse_words(text, may_dial=True)
    try:
        subnet = Subnet.parse(rest)
    except ValueError:
        raise ValueError(f"Invalid netmask specified in -whitelist: '{rest}'") from None
    return WhitelistEntry(subnet, permissions, directions)


def parse_whitebind(text: str) -> WhitebindEntry:
    """Read one ``whitebind``, which needs a port. `ValueError` with Core's sentence."""
    permissions, _, rest = _parse_words(text, may_dial=False)
    try:
        port = split_host_port(rest)[1]
        address = NetworkAddress.parse(rest)
    except ValueError:
        raise ValueError(f"Cannot resolve -whitebind address: '{rest}'") from None
    if port is None:
        raise ValueError(f"Need to specify a port with -whitebind: '{rest}'")
    return WhitebindEntry(address, permissions)


def _parse_words(text: str, *, may_dial: bool) -> tuple[Permission, Direction, str]:
    """The permissions and directions before the ``@``, and what follows it."""
    words, at, rest = text.partition("@")
    if not at:
        return Permission.IMPLICIT, Direction.INBOUND, text
    permissions, directions = Permission.NONE, Direction(0)
    for word in words.split(","):
        if word == "out" and not may_dial:
            raise ValueError('whitebind may only be used for incoming connections ("out" was passed)')
        if word in ("in", "out"):
            directions |= Direction.INBOUND if word == "in" else Direction.MANUAL
        elif word in _WORDS:
            permissions |= _WORDS[word]
        else:
            raise ValueError(f"Invalid P2P permission: '{word}'")
    if directions and not permissions:
        raise ValueError(f"Only direction was set, no permissions: '{text}'")
    return permissions, directions or Direction.INBOUND, rest


def implicit(*, relay: bool, force_relay: bool) -> Permission:
    """What an entry without words gives (``whitelistrelay``, ``whitelistforcerelay``)."""
    permissions = Permission.NO_BAN | Permission.MEMPOOL
    if relay:
        permissions |= Permission.RELAY
    return permissions | Permission.FORCE_RELAY if force_relay else permissions


class Whitelist:
    """All ``whitelist`` entries: who has which permissions by address."""

    def __init__(self, entries: Iterable[WhitelistEntry] = (), without_words: Permission = Permission.NONE) -> None:
        """:param without_words: what `Permission.IMPLICIT` stands for."""
        self._entries: Sequence[WhitelistEntry] = tuple(entries)
        self._without_words = without_words

    def resolve(self, permissions: Permission) -> Permission:
        """``permissions`` with the stand-in replaced."""
        if Permission.IMPLICIT not in permissions:
            return permissions
        return permissions & ~Permission.IMPLICIT | self._without_words

    def permissions(self, address: NetworkAddress, direction: Direction) -> Permission:
        """Those that all entries together give to ``address`` on a connection of that direction."""
        granted = Permission.NONE
        for entry in self._entries:
            if direction in entry.directions and address in entry.subnet:
                granted |= entry.permissions
        return self.resolve(granted)


def names(permissions: Permission) -> list[str]:
    """As ``getpeerinfo`` shows them."""
    return [name for name, permission in NAMES.items() if permission in permissions]

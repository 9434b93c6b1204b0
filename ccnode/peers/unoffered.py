"""Messages that ask for what we do not offer, or send what we did not ask for.

A headers-only node serves no blocks, transactions, filters or mempool, and one with blocks serves filters only if told
to. Core's answer to each is kept: requests for services whose bit we do not set end the connection, requests for data
that is not there are met with silence, but not if they ask for more than the protocol allows. Who was given the
permission to ask is met with silence as well. What the node does serve has handlers that come before those here.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from ccnode.peers.misbehaviour import Misbehaviour, Violation
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.peers.permissions import Permission
from ccnode.wire.headers import GetBlocks
from ccnode.wire.inventory import GetData
from ccnode.wire.message import Message
from ccnode.wire.protocol import NO_BLOOM_VERSION, ServiceFlags
from ccnode.wire.serialize import OversizeError

REFUSED: Mapping[str, str] = MappingProxyType(
    {
        "filterload": "bloom filters are not offered",
        "filteradd": "bloom filters are not offered",
        "filterclear": "bloom filters are not offered",
        "mempool": "the mempool is not offered",
        "getcfilters": "compact filters are not offered",
        "getcfheaders": "compact filters are not offered",
        "getcfcheckpt": "compact filters are not offered",
        "tx": "we said relay=false",
    }
)
"""Command -> why it ends the connection, whatever it carries: these are not decoded."""

_SERVICES: Mapping[str, ServiceFlags] = MappingProxyType(
    {
        **dict.fromkeys(("filterload", "filteradd", "filterclear", "mempool"), ServiceFlags.BLOOM),
        **dict.fromkeys(("getcfilters", "getcfheaders", "getcfcheckpt"), ServiceFlags.COMPACT_FILTERS),
    }
)
"""Command -> the service that it makes use of."""

_TOLERATED: Mapping[str, tuple[Permission, ...]] = MappingProxyType(
    {"mempool": (Permission.MEMPOOL, Permission.NO_BAN), "tx": (Permission.RELAY,)}
)
"""Command -> permissions, with any of which it does not end the connection."""

_BLOOM = frozenset({"filterload", "filteradd", "filterclear"})

_DISCONNECTING = frozenset({"getheaders", "getblocks"})
"""Commands whose excess costs the connection only; any other list over its limit is misbehaviour."""

_ADDRESSES = frozenset({"addr", "addrv2"})


def offered(peer: Peer, command: str) -> bool:
    """Whether ``peer`` was told of the service that a command of `REFUSED` makes use of."""
    return bool(peer.our_services & _SERVICES.get(command, ServiceFlags.NONE))


def refuse(peer: Peer, command: str, misbehaviour: Misbehaviour) -> None:
    """``peer`` sent a command of `REFUSED`."""
    if any(permission in peer.permissions for permission in _TOLERATED.get(command, ())):
        return
    if command in _BLOOM and peer.common_version >= NO_BLOOM_VERSION:
        misbehaviour.report(peer, Violation.BLOOM_NOT_OFFERED, command)
    peer.disconnect(f"{command}, but {REFUSED[command]}")


def _silence(_peer: Peer, _message: Message) -> None:
    """The request was within its limits, which is all that was to be found out."""


HANDLERS: Mapping[type[Message], Callable[[Peer, Any], None]] = MappingProxyType(
    {GetData: _silence, GetBlocks: _silence}
)


def oversize(peer: Peer, error: OversizeError, misbehaviour: Misbehaviour) -> None:
    """A list was longer than the protocol allows."""
    if error.command in REFUSED and not offered(peer, error.command):
        refuse(peer, error.command, misbehaviour)
    elif error.command in _BLOOM:
        misbehaviour.report(peer, Violation.BAD_BLOOM_FILTER, str(error))
    elif error.command in _DISCONNECTING:
        peer.disconnect(str(error))
    elif error.command in _ADDRESSES and peer.connection_type is ConnectionType.BLOCK_RELAY_ONLY:
        return  # no addresses are taken from it, however many
    else:
        misbehaviour.report(peer, Violation.OVERSIZE_LIST, str(error))

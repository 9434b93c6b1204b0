"""Messages that ask for what we do not offer, or send what we did not ask for.

A headers-only node serves no blocks, transactions, filters or mempool. Core's answer to each is kept: requests for
services whose bit we do not set end the connection, requests for data that is not there are met with silence.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from ccnode.peers.misbehaviour import Misbehaviour
from ccnode.peers.peer import Peer
from ccnode.wire.bloom import FilterAdd, FilterClear, FilterLoad
from ccnode.wire.filters import GetCFCheckpt, GetCFHeaders, GetCFilters
from ccnode.wire.inventory import MemPool
from ccnode.wire.message import Message
from ccnode.wire.serialize import OversizeError
from ccnode.wire.transaction import Tx

log = logging.getLogger("ccnode.net")

_DISCONNECTING = frozenset({"getheaders", "getblocks", "getcfilters", "getcfheaders"})
"""Commands whose excess costs the connection only; any other list over its limit is misbehaviour."""


def _refuse(what: str) -> Callable[[Peer, Message], None]:
    def handler(peer: Peer, message: Message) -> None:
        peer.disconnect(f"{message.command}, but {what}")

    return handler


HANDLERS: Mapping[type[Message], Callable[[Peer, Any], None]] = {
    FilterLoad: _refuse("bloom filters are not offered"),
    FilterAdd: _refuse("bloom filters are not offered"),
    FilterClear: _refuse("bloom filters are not offered"),
    MemPool: _refuse("the mempool is not offered"),
    GetCFilters: _refuse("compact filters are not offered"),
    GetCFHeaders: _refuse("compact filters are not offered"),
    GetCFCheckpt: _refuse("compact filters are not offered"),
    Tx: _refuse("we said relay=false"),
}


def oversize(peer: Peer, error: OversizeError, misbehaviour: Misbehaviour) -> None:
    """A list was longer than the protocol allows."""
    if error.command in _DISCONNECTING:
        peer.disconnect(str(error))
    else:
        misbehaviour.report(peer, str(error))

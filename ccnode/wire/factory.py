"""From a command and a payload to a message.

`MESSAGE_TYPES` names every message there is. A `MessageFactory` binds them to a network's header: where headers have
another size, the same messages are read with that size.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from ccnode.errors import DecodeError
from ccnode.wire.addresses import Addr, AddrV2, GetAddr
from ccnode.wire.blocks import Block, MerkleBlock
from ccnode.wire.bloom import FilterAdd, FilterClear, FilterLoad
from ccnode.wire.compact import BlockTxn, CmpctBlock, GetBlockTxn
from ccnode.wire.filters import CFCheckpt, CFHeaders, CFilter, GetCFCheckpt, GetCFHeaders, GetCFilters
from ccnode.wire.handshake import SendAddrV2, SendCmpct, SendHeaders, SendTxRcncl, Verack, Version, WtxidRelay
from ccnode.wire.headers import GetBlocks, GetHeaders, Headers
from ccnode.wire.inventory import GetData, Inv, MemPool, NotFound
from ccnode.wire.keepalive import FeeFilter, Ping, Pong
from ccnode.wire.legacy import Alert, Reject
from ccnode.wire.message import Message, MessageType, Unknown
from ccnode.wire.protocol import BLOCK_HEADER_SIZE
from ccnode.wire.transaction import Tx

_ALL: Final[tuple[MessageType, ...]] = (
    *(Version, Verack, WtxidRelay, SendAddrV2, SendTxRcncl, SendHeaders, SendCmpct),
    *(Ping, Pong, FeeFilter),
    *(Addr, AddrV2, GetAddr),
    *(Inv, GetData, NotFound, MemPool),
    *(GetHeaders, Headers, GetBlocks),
    *(Tx, Block, MerkleBlock),
    *(FilterLoad, FilterAdd, FilterClear),
    *(CmpctBlock, GetBlockTxn, BlockTxn),
    *(GetCFilters, CFilter, GetCFHeaders, CFHeaders, GetCFCheckpt, CFCheckpt),
    *(Reject, Alert),
)

MESSAGE_TYPES: Final[dict[str, MessageType]] = {kind.command: kind for kind in _ALL}
"""Every message by its command."""


class MessageFactory:
    """Decodes the messages of one network.

    ``header_size`` is in bytes; ``headers_carry_tx_count`` says whether a transaction count follows each header in
    ``headers``.
    """

    def __init__(self, header_size: int = BLOCK_HEADER_SIZE, headers_carry_tx_count: bool = True) -> None:
        # One lookup per message gives the limit and the decoder.
        self._decoders: dict[str, tuple[int, Callable[[bytes], Message]]] = {
            command: (kind.max_payload, kind.decode) for command, kind in MESSAGE_TYPES.items()
        }
        shaped: dict[str, Callable[[bytes], Message]] = {
            Headers.command: partial(Headers.decode, header_size=header_size, tx_counts=headers_carry_tx_count),
            Block.command: partial(Block.decode, header_size=header_size),
            MerkleBlock.command: partial(MerkleBlock.decode, header_size=header_size),
            CmpctBlock.command: partial(CmpctBlock.decode, header_size=header_size),
        }
        for command, decode in shaped.items():
            self._decoders[command] = (MESSAGE_TYPES[command].max_payload, decode)

    def decode(self, command: str, payload: bytes) -> Message:
        """The message, `Unknown` for a command without an entry. Raises `DecodeError`, see `ccnode.wire.message`."""
        known = self._decoders.get(command)
        if known is None:
            return Unknown(command, payload)
        limit, decode = known
        if len(payload) > limit:
            raise DecodeError(f"{command}: payload of {len(payload)} bytes, at most {limit} allowed")
        return decode(payload)

    def limit(self, command: str) -> int:
        """The most bytes of payload ``command`` may have."""
        known = self._decoders.get(command)
        return Unknown.max_payload if known is None else known[0]

"""Which blocks and transactions a message announces: for whoever watches how news spreads.

A block is announced by ``inv``, by ``headers`` where the receiver asked for that (BIP130), or by ``cmpctblock``
(BIP152) before it was even checked. An answer to ``getheaders`` looks like an announcement; but answers are long, or
for somebody who asked.
"""

from typing import Final

from ccnode.chain.formats import HeaderFormat
from ccnode.wire.compact import CmpctBlock
from ccnode.wire.factory import MessageFactory
from ccnode.wire.headers import Headers
from ccnode.wire.inventory import Inv
from ccnode.wire.protocol import MSG_WITNESS_FLAG, InvType

COMMANDS: Final = (Inv.command, Headers.command, CmpctBlock.command)

MAX_BLOCKS_TO_ANNOUNCE: Final = 8
"""Headers that Core announces at a time at most; more are an answer (``MAX_BLOCKS_TO_ANNOUNCE``)."""

_BLOCKS: Final = frozenset({InvType.BLOCK, InvType.CMPCT_BLOCK, InvType.BLOCK | MSG_WITNESS_FLAG})
_TRANSACTIONS: Final = frozenset({InvType.TX, InvType.WTX, InvType.WITNESS_TX})


def announced_blocks(header_format: HeaderFormat, factory: MessageFactory, command: str, payload: bytes) -> list[bytes]:
    """The hashes of the blocks that a message announces. Raises `DecodeError`."""
    if command == Inv.command:
        return announced_items(factory, payload)[0]
    if command == CmpctBlock.command:
        size = header_format.size
        return [header_format.hash(payload[:size])] if len(payload) > size else []
    if command == Headers.command:
        headers = factory.decode(command, payload)
        assert isinstance(headers, Headers)
        if len(headers) <= MAX_BLOCKS_TO_ANNOUNCE:
            return header_format.hashes(headers.split())
    return []


def announced_items(factory: MessageFactory, payload: bytes) -> tuple[list[bytes], list[bytes]]:
    """Blocks and transactions in the payload of an ``inv``. Raises `DecodeError`."""
    inv = factory.decode(Inv.command, payload)
    assert isinstance(inv, Inv)
    blocks: list[bytes] = []
    transactions: list[bytes] = []
    for kind, item in inv.items():
        if kind in _TRANSACTIONS:
            transactions.append(item)
        elif kind in _BLOCKS:
            blocks.append(item)
    return blocks, transactions

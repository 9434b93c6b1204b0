"""``inv``, ``getdata``, ``notfound`` and ``mempool``: talking about things by their hash.

All three lists have one form, up to 50,000 items of 36 bytes: a type and a hash. Types that we do not know are kept,
for the reader to pass over. ``notfound`` only ever lists transactions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from struct import Struct
from typing import ClassVar, Final, NamedTuple, TypeVar

from ccnode.wire.message import Empty
from ccnode.wire.protocol import MAX_INV_SZ, MAX_PROTOCOL_MESSAGE_LENGTH
from ccnode.wire.serialize import Reader, compact_size

_ITEM: Final = Struct("<I32s")

L = TypeVar("L", bound="_InventoryList")


class InvItem(NamedTuple):
    """One item (Core: CInv). A tuple, because a message may hold 50,000."""

    type: int
    """Usually one of `InvType`."""
    hash: bytes
    """32 bytes: txid, wtxid or block hash, as ``type`` says."""


# Straight to the constructor of tuple: half the time of InvItem._make, 9 ms for 50,000 items.
_make_item: Final[Callable[[tuple[int, bytes]], InvItem]] = partial(tuple.__new__, InvItem)


@dataclass(frozen=True, slots=True)
class _InventoryList:
    items: tuple[InvItem, ...]

    command: ClassVar[str]
    max_payload: ClassVar[int] = MAX_PROTOCOL_MESSAGE_LENGTH

    def __len__(self) -> int:
        return len(self.items)

    def encode(self) -> bytes:
        pack = _ITEM.pack
        return compact_size(len(self.items)) + b"".join([pack(kind, hash_) for kind, hash_ in self.items])

    @classmethod
    def decode(cls: type[L], payload: bytes) -> L:
        # The short list is the commonest message of all: 0.7 us instead of 1.4 us through the reader.
        if payload and (count := payload[0]) < 0xFD and len(payload) == 1 + count * _ITEM.size:
            return cls(tuple(map(_make_item, _ITEM.iter_unpack(payload[1:]))))
        reader = Reader(payload)
        count = reader.limited_count(_ITEM.size, cls.command, MAX_INV_SZ)
        return cls(tuple(map(_make_item, _ITEM.iter_unpack(reader.take(count * _ITEM.size)))))


@dataclass(frozen=True, slots=True)
class Inv(_InventoryList):
    """I have these."""

    command: ClassVar[str] = "inv"


@dataclass(frozen=True, slots=True)
class GetData(_InventoryList):
    """Send me these."""

    command: ClassVar[str] = "getdata"


@dataclass(frozen=True, slots=True)
class NotFound(_InventoryList):
    """I do not have these (any more)."""

    command: ClassVar[str] = "notfound"


@dataclass(frozen=True, slots=True)
class MemPool(Empty):
    """Announce your whole mempool (BIP35)."""

    command: ClassVar[str] = "mempool"

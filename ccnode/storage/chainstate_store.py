"""The chain state on disk: the coins, and everything that has to agree with them, in one key-value store.

======  ================  ==========================================
key     followed by       value
======  ================  ==========================================
``B``                     hash of the block up to which the coins are
``F``   a name            a flag of the node
``N``                     the network's magic and this layout's version
``b``   a block's hash    its record of the block table
``c``   an outpoint       the coin
``f``   a file's number   what is known of the block file
======  ================  ==========================================

`ChainstateStore.commit` is one flush: it forces blocks and undo data onto the disk first, and then writes coins, best
block, block table and file infos in one transaction. So whenever the process or the machine dies, what the store says
is in the files is there, and the coins are exactly those at the best block; what came after it is found again in the
block files and connected once more.

Everything here blocks; it belongs on the worker.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from types import MappingProxyType

from ccnode.chain.coins import CoinChanges
from ccnode.errors import ExitStatus, StartupError
from ccnode.storage.block_files import BlockFiles
from ccnode.storage.file_info import FileInfo
from ccnode.storage.key_value import Batch, KeyValueStore

LAYOUT_VERSION = 1

_BEST_BLOCK = b"B"
_FLAG = b"F"
_NETWORK = b"N"
_ENTRY = b"b"
_COIN = b"c"
_FILE = b"f"

_WIPED_AT_A_TIME = 100_000  # coins
_NO_ENTRIES: Mapping[bytes, bytes] = MappingProxyType({})


class ChainstateStore:
    """A `ccnode.chain.ports.CoinStore`."""

    def __init__(self, store: KeyValueStore, magic: bytes) -> None:
        """Raises StartupError if the store is another network's."""
        self.files: BlockFiles | None = None
        """The files that each flush syncs, and whose infos it stores. They are opened with `file_infos`."""
        self._store = store
        kind = magic + bytes([LAYOUT_VERSION])
        found = store.get_many([_NETWORK]).get(_NETWORK)
        if found is None:
            store.write_batch([(_NETWORK, kind)])
        elif found[:4] != magic:
            raise StartupError("the chain state is another network's; choose another datadir", ExitStatus.DATADIR)
        elif found != kind:
            raise StartupError("another version wrote the chain state; start once with --reindex", ExitStatus.DAMAGED)

    def get_many(self, outpoints: Sequence[bytes]) -> dict[bytes, bytes]:
        """The coins among ``outpoints`` that exist. Raises StorageError."""
        found = self._store.get_many([_COIN + outpoint for outpoint in sorted(outpoints)])
        return {key[1:]: coin for key, coin in found.items()}

    def best_block(self) -> bytes | None:
        """Hash of the block up to which the coins are; None for a new store. Raises StorageError."""
        return self._store.get_many([_BEST_BLOCK]).get(_BEST_BLOCK)

    def commit(self, coins: CoinChanges, best_block: bytes, entries: Mapping[bytes, bytes] = _NO_ENTRIES) -> None:
        """One flush. ``entries``: records of the block table by block hash.

        Raises StorageError, and the store is as it was.
        """
        files = self.files
        if files is not None:
            files.sync()
        infos = files.changed_infos() if files is not None else {}

        def batches() -> Iterator[Batch]:
            yield [(_BEST_BLOCK, best_block)], ()
            yield [(_ENTRY + block_hash, entries[block_hash]) for block_hash in sorted(entries)], ()
            for puts, deletes in coins.batches():
                yield [(_COIN + outpoint, coin) for outpoint, coin in puts], [_COIN + outpoint for outpoint in deletes]
            yield [(_file_key(number), infos[number].encode()) for number in sorted(infos)], ()

        self._store.write(batches)
        if files is not None:
            files.infos_stored()

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        """Records of the block table with their blocks' hashes. Raises StorageError."""
        for key, record in self._store.iterate(_ENTRY):
            yield key[1:], record

    def file_infos(self) -> dict[int, FileInfo]:
        """What the last flush knew of each block file. Raises StorageError."""
        infos = {}
        for key, record in self._store.iterate(_FILE):
            infos[int.from_bytes(key[1:], "big")] = FileInfo.decode(record)
        return infos

    def coins(self, start: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """All coins from the outpoint ``start`` on, in the order of their outpoints: those of the last flush."""
        for key, coin in self._store.iterate(_COIN, _COIN + start):
            yield key[1:], coin

    def flags(self) -> dict[str, bytes]:
        """All flags. Raises StorageError."""
        return {key[1:].decode(): value for key, value in self._store.iterate(_FLAG)}

    def set_flag(self, name: str, value: bytes | None) -> None:
        """Set a flag, or with None remove it; it is on disk on return. Raises StorageError."""
        key = _FLAG + name.encode()
        if value is None:
            self._store.write_batch([], [key])
        else:
            self._store.write_batch([(key, value)])

    def wipe_coins(self) -> None:
        """Remove all coins and the best block, to build them again from the blocks. Raises StorageError.

        Killed in the middle it can be run again: the best block goes first. It takes 3 seconds per million coins.
        """
        self._store.write_batch([], [_BEST_BLOCK])
        keys = (key for key, _ in self._store.iterate(_COIN))
        while some := list(islice(keys, _WIPED_AT_A_TIME)):
            self._store.write_batch([], some)

    def close(self) -> None:
        """Close the store; a second call does nothing."""
        self._store.close()


def _file_key(number: int) -> bytes:
    return _FILE + number.to_bytes(4, "big")

"""What the chain state asks of the world: threads, files, a store of coins, scripts.

The chain state decides, and everything that takes long is done for it through these. There is one kind of switch
point: a method whose name begins with ``wait_``. Stores are plain blocking code that knows nothing of greenlets; the
chain state never calls one of them itself, it hands their methods to the `Worker`::

    raw = self._worker.wait_run(self._files.read, position)

In the node the worker is one thread, so stores need no lock; in tests it calls at once, and nothing ever switches.
What goes in and out of such a call is never changed afterwards.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from ccnode.chain.coins import CoinChanges
    from ccnode.wire.parsing import ParsedBlock

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

SMALL_BLOCK: Final = 10_000
"""Bytes below which a block is not handed to a thread: taking it apart and checking it takes less than a millisecond,
as much as to hand it to a busy one."""


@dataclass(frozen=True, slots=True)
class FilePosition:
    """Where a record is: in which file of its kind, and the offset of its first byte after its frame."""

    file: int
    offset: int


@dataclass(frozen=True, slots=True)
class ScriptFailure:
    """The first script found that does not verify; with several threads not always the first in the block."""

    transaction: int  # position in the block
    input: int

    def __str__(self) -> str:
        return f"input {self.input} of transaction {self.transaction}"


class Task(Protocol[T_co]):
    """Work that was handed in."""

    def wait(self) -> T_co:
        """What the function returned; only the calling greenlet waits. What it raised is raised here."""
        ...


class Worker(Protocol):
    """Where long work is done: functions run one after another, in the order handed in."""

    def wait_run(self, function: Callable[..., T], *args: Any) -> T:
        """``function(*args)``; only the calling greenlet waits. What it raises is raised here."""
        ...

    def start(self, function: Callable[..., T], *args: Any) -> Task[T]:
        """The same, but others go on; what is never waited for is lost, errors included."""
        ...


class BlockStore(Protocol):
    """Blocks and undo data in files. Blocking: called on the worker. StorageError if anything fails.

    `gather` and `gather_undo` only put small things aside in memory, and are called at once while nothing is under way.
    """

    def append(self, raw: bytes, height: int, time: int) -> FilePosition:
        """Add a block; it survives the death of the process, and after `sync` a power loss."""
        ...

    def gather(self, raw: bytes, height: int, time: int) -> FilePosition | None:
        """The same, but it survives nothing before `write_out`; None if there is no room for it."""
        ...

    def gather_undo(self, file: int, block_hash: bytes, undo: bytes) -> FilePosition | None:
        """The same of undo data."""
        ...

    @property
    def has_gathered(self) -> bool:
        """Whether there is something to write out."""
        ...

    def write_out(self) -> None:
        """Write what has gathered."""
        ...

    def adopt(self, position: FilePosition, size: int, height: int, time: int) -> None:
        """Take in a block of ``size`` bytes that is in a file already."""
        ...

    def read(self, position: FilePosition) -> bytes:
        """The block at ``position``."""
        ...

    def append_undo(self, file: int, block_hash: bytes, undo: bytes) -> FilePosition:
        """Add the undo data of a block that is in block file ``file``."""
        ...

    def read_undo(self, position: FilePosition, block_hash: bytes) -> bytes:
        """The undo data at ``position``, which must be that of ``block_hash``."""
        ...

    def sync(self) -> None:
        """Force all that was appended onto the disk, blocks first."""
        ...


class CoinStore(Protocol):
    """The coins on disk and all that has to agree with them. Blocking: called on the worker."""

    def get_many(self, outpoints: Sequence[bytes]) -> dict[bytes, bytes]:
        """The coins among ``outpoints`` that exist."""
        ...

    def best_block(self) -> bytes | None:
        """The hash of the block up to which the coins are; None where there are none yet."""
        ...

    def commit(self, coins: "CoinChanges", best_block: bytes, entries: Mapping[bytes, bytes]) -> None:
        """One transaction: coins, the block they are at, and records of the block table by block hash."""
        ...


class ScriptVerifier(Protocol):
    """Verifies scripts, on as many threads as it likes."""

    def passes(self, block: "ParsedBlock") -> bool:
        """Whether the block is sure to pass `check_block`, proof of work aside. Blocking: called on the worker.

        No means that our own rules have to look.
        """
        ...

    def wait_verify(
        self, block: "ParsedBlock", spent: Sequence[Sequence[bytes]], flags: int, script_cache_ok: bool = True
    ) -> ScriptFailure | None:
        """Verify all inputs; ``spent`` has the coins of each transaction after the coinbase, in input order."""
        ...

    def wait_verify_transaction(
        self, raw: bytes, spent_outputs: Sequence[bytes], flags: int, script_cache_ok: bool = True
    ) -> ScriptFailure | None:
        """The same of one serialized transaction, whose inputs spend these coins."""
        ...

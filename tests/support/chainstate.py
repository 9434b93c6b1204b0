"""A chain state in memory that never waits: its worker calls at once, its files are a temporary directory's.

`ChainRoom.submit` is what a node does with a block, from bytes to the tip. `ChainRoom.crash` is what a killed process
does: whatever was not flushed is gone, and the rest is opened anew.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from ccnode.chain.chainstate import BlockResult, Chainstate
from ccnode.chain.headers import HeaderChain
from ccnode.chain.networks import REGTEST
from ccnode.chain.params import ChainParams
from ccnode.chain.ports import ScriptFailure, ScriptVerifier
from ccnode.chain.verdict import BlockVerdict
from ccnode.engine.recovery import wait_load_chainstate
from ccnode.storage.block_files import BlockFiles
from ccnode.storage.chainstate_store import ChainstateStore
from ccnode.storage.key_value import KeyValueStore, MemoryStore
from ccnode.wire.parsing import ParsedBlock
from tests.support.clock import ManualClock
from tests.support.fakes import MemoryHeaderStore

T = TypeVar("T")


class DoneTask:
    """A `ccnode.chain.ports.Task` that is over."""

    def __init__(self, function: Callable[..., Any], args: Sequence[Any]) -> None:
        self._function, self._args = function, args

    def wait(self) -> Any:
        return self._function(*self._args)


class ImmediateWorker:
    """A `ccnode.chain.ports.Worker` that calls at once."""

    def wait_run(self, function: Callable[..., T], *args: Any) -> T:
        return function(*args)

    def start(self, function: Callable[..., T], *args: Any) -> DoneTask:
        return DoneTask(function, args)


class TrustingScripts:
    """A `ccnode.chain.ports.ScriptVerifier` for which every script is fine but those of ``bad`` transactions."""

    def __init__(self) -> None:
        self.bad: set[bytes] = set()
        self.verified: list[bytes] = []
        """Hashes of the blocks, in order."""

    def passes(self, block: ParsedBlock) -> bool:
        return False

    def wait_verify(
        self, block: ParsedBlock, spent: Sequence[Sequence[bytes]], flags: int, script_cache_ok: bool = True
    ) -> ScriptFailure | None:
        self.verified.append(block.hash)
        return next((ScriptFailure(i, 0) for i, txid in enumerate(block.txids) if txid in self.bad), None)

    def wait_verify_transaction(
        self, raw: bytes, spent_outputs: Sequence[bytes], flags: int, script_cache_ok: bool = True
    ) -> ScriptFailure | None:
        return None


@dataclass(frozen=True, slots=True)
class Submitted:
    """What one block did. ``verdict`` is of the block itself, whether it came from storing or from connecting."""

    result: BlockResult
    verdict: BlockVerdict | None


class ChainRoom:
    """A chain state, its stores, and what it told."""

    def __init__(
        self,
        directory: Path,
        params: ChainParams = REGTEST,
        *,
        scripts: ScriptVerifier | None = None,
        clock: ManualClock | None = None,
        store: KeyValueStore | None = None,
        cache_bytes: int = 10_000_000,
        max_file_size: int = 1 << 20,
    ) -> None:
        self.directory = directory
        self.params = params
        self.scripts = scripts if scripts is not None else TrustingScripts()
        self.clock = clock or ManualClock()
        self.headers = MemoryHeaderStore()
        self.key_value = store or MemoryStore()
        self.cache_bytes = cache_bytes
        self.max_file_size = max_file_size
        self.checked: list[tuple[bytes, BlockVerdict | None]] = []
        self.published: list[bytes] = []
        """Every tip that others saw."""
        self.moves: list[tuple[str, int]] = []
        """What was connected and disconnected, by height."""
        self.open()

    def open(self, marks: Sequence[bytes] = ()) -> None:
        self.chain = HeaderChain(self.params, self.headers, self.clock)
        self.chain.load(marks)
        self.store = ChainstateStore(self.key_value, self.params.magic)
        self.files = BlockFiles(
            self.directory, self.params.magic, infos=self.store.file_infos(), max_file_size=self.max_file_size
        )
        self.state: Chainstate = wait_load_chainstate(
            self.chain, self.store, self.files, ImmediateWorker(), self.scripts, cache_bytes=self.cache_bytes
        )
        index = self.chain.index
        self.state.on_block_checked(lambda block_hash, verdict, _source: self.checked.append((block_hash, verdict)))
        self.state.on_connected(lambda n, _block, _spent: self.moves.append(("up", index.height(n))))
        self.state.on_disconnected(lambda n, _block, _spent: self.moves.append(("down", index.height(n))))
        self.chain.subscribe(lambda change: self.published.append(index.hash(change.new_tip)))

    def crash(self, *, quiet: bool = True) -> None:
        """What was not flushed is lost; marks on headers are kept elsewhere, and are not.

        :param quiet: there was time to write small blocks to their files.
        """
        if quiet:
            self.state.bodies.wait_write_out()
        marks = self.chain.invalid_marks()
        self.files.close()
        self.open(marks)
        self.state.wait_activate()

    @property
    def tip(self) -> bytes:
        return self.chain.index.hash(self.chain.index.tip)

    @property
    def height(self) -> int:
        return self.chain.index.height(self.chain.index.tip)

    def entry(self, block_hash: bytes) -> int:
        n = self.chain.index.find(block_hash)
        assert n is not None
        return n

    def submit(self, raw: bytes, *, requested: bool = True) -> Submitted:
        """Store a block and activate."""
        self.checked.clear()
        result = self.state.wait_accept(raw, requested=requested)
        self.state.wait_activate()
        block_hash = self.params.header_format.hash(raw[: self.params.header_format.size])
        return Submitted(result, result.verdict or dict(self.checked).get(block_hash))

    def coins(self) -> dict[bytes, bytes]:
        """The whole UTXO set, after a flush."""
        self.state.wait_flush()
        return dict(self.store.coins())

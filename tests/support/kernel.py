"""Bitcoin Core's own validation as an oracle: same block in, same verdict out.

`KernelChain` is libbitcoinkernel's chainstate manager on one of Bitcoin's networks, with its databases in memory and
its block files in a directory of the test. A test module that imports this one is skipped where the package is absent.

The library says why a block is refused in two places: the class of the refusal by a callback, the reason only in its
log, which is one for the whole process. It reads the machine's clock, and there is no way to move that; `invalidate`
and `reconsider` it does not offer. Its regtest has BIP34 from height 1, so the recorded steps of ``feature_block.py``
(whose first block has no height) cannot be replayed on it.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pbk = pytest.importorskip("pbk", reason="py-bitcoinkernel is not installed: pip install ccnode[blocks]")

from pbk import log as kernel_log
from pbk.capi import bindings

CHAIN_TYPES = {
    "mainnet": pbk.ChainType.MAINNET,
    "testnet3": pbk.ChainType.TESTNET,
    "testnet4": pbk.ChainType.TESTNET_4,
    "signet": pbk.ChainType.SIGNET,
    "regtest": pbk.ChainType.REGTEST,
}
"""By our names of the networks."""

CHECK_POW, CHECK_MERKLE = 1, 2
"""What `check_block` looks at beside the rest."""

_CHECKED = re.compile(r"BlockChecked: block hash=([0-9a-f]{64}) state=(.*)")


@dataclass(frozen=True, slots=True)
class KernelVerdict:
    """A block is refused. ``result`` is the name in Core's ``BlockValidationResult``, ``reason`` its reject reason."""

    result: str
    reason: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Processed:
    """What one block did. ``verdict`` is None for a block that is valid as far as it was looked at."""

    accepted: bool  # process_block succeeded: true also of a block that was stored and then did not connect
    new: bool
    verdict: KernelVerdict | None
    tip: bytes  # hash of the active tip afterwards, internal order
    height: int


@dataclass(frozen=True, slots=True)
class KernelCoin:
    """A coin that a block spent, from the kernel's undo data."""

    value: int
    script: bytes
    height: int
    is_coinbase: bool


class _Log:
    """The library's one log, kept to the lines about checked blocks."""

    def __init__(self) -> None:
        self.reasons: dict[bytes, str] = {}
        kernel_log.set_log_level_category(kernel_log.LogCategory.ALL, kernel_log.LogLevel.DEBUG)
        kernel_log.enable_log_category(kernel_log.LogCategory.VALIDATION)
        self._connection = kernel_log.LoggingConnection(self._on_line)

    def _on_line(self, line: str) -> None:
        if found := _CHECKED.search(line):
            self.reasons[bytes.fromhex(found[1])[::-1]] = found[2].strip()


_log: _Log | None = None


def _reasons() -> dict[bytes, str]:
    global _log
    if _log is None:
        _log = _Log()
    return _log.reasons


def kernel_block(raw: bytes) -> Any:
    """A `pbk.Block`, by the quick way. Raises `ValueError` for bytes that are no block; more bytes may follow it."""
    return pbk.Block._from_handle(bindings.btck_block_create(raw, len(raw)))


def check_block(raw: bytes, chain: str = "mainnet", flags: int = CHECK_POW | CHECK_MERKLE) -> str | None:
    """Core's ``CheckBlock``: None, or the name of the result class. There is no reason to be had."""
    params = pbk.ChainParameters(CHAIN_TYPES[chain])
    state = pbk.BlockValidationState()
    block = kernel_block(raw)
    consensus = bindings.btck_chain_parameters_get_consensus_params(params)
    if bindings.btck_block_check(block, consensus, flags, state):
        return None
    return str(state.block_validation_result.name)


class KernelChain:
    """A chain of Bitcoin Core's in memory; ``directory`` is where its block files go (a test's ``tmp_path``)."""

    def __init__(self, directory: Path, chain: str = "regtest", worker_threads: int = 0) -> None:
        self._reasons = _reasons()
        self._checked: dict[bytes, KernelVerdict | None] = {}
        options = pbk.ContextOptions()
        options.set_chainparams(pbk.ChainParameters(CHAIN_TYPES[chain]))
        options.set_validation_interface(pbk.ValidationInterfaceCallbacks(block_checked=self._on_block_checked))
        self._context = pbk.Context(options)
        settings = pbk.ChainstateManagerOptions(self._context, str(directory), str(directory / "blocks"))
        settings.update_block_tree_db_in_memory(True)
        settings.update_chainstate_db_in_memory(True)
        settings.set_worker_threads_num(worker_threads)
        self._manager = pbk.ChainstateManager(settings)

    def __enter__(self) -> KernelChain:
        return self

    def __exit__(self, *_: object) -> None:
        del self._manager, self._context

    def _on_block_checked(self, user_data: object, block: Any, state: Any) -> None:
        block_hash = bytes(block.block_hash)
        verdict = None
        if state.validation_mode != pbk.ValidationMode.VALID:
            reason, _, detail = self._reasons.pop(block_hash, "").partition(", ")
            verdict = KernelVerdict(state.block_validation_result.name, reason, detail)
        self._checked[block_hash] = verdict

    def process(self, raw: bytes) -> Processed:
        """Give the chain a block. Raises `ValueError` for bytes that are no block."""
        self._checked.clear()
        block = kernel_block(raw)
        new = ctypes.c_int()
        failed = bindings.btck_chainstate_manager_process_block(self._manager, block, ctypes.pointer(new))
        return Processed(not failed, bool(new.value), self._checked.get(bytes(block.block_hash)), self.tip, self.height)

    def process_header(self, raw: bytes) -> str | None:
        """Give the chain a header of 80 bytes: None, or the name of the result class."""
        header = pbk.BlockHeader._from_handle(bindings.btck_block_header_create(raw, len(raw)))
        state = pbk.BlockValidationState()
        if bindings.btck_chainstate_manager_process_block_header(self._manager, header, state) == 0:
            return None
        return str(state.block_validation_result.name)

    @property
    def checked(self) -> dict[bytes, KernelVerdict | None]:
        """By hash, what was said of every block that the last `process` looked at (a reorganisation checks several)."""
        return dict(self._checked)

    @property
    def height(self) -> int:
        return int(self._manager.get_active_chain().height)

    @property
    def tip(self) -> bytes:
        return self.hash_at(self.height)

    def hash_at(self, height: int) -> bytes:
        """The hash of the active chain's block at ``height``."""
        return bytes(self._entry(height).block_hash)

    def spent(self, height: int) -> list[list[KernelCoin]]:
        """The coins that the active chain's block at ``height`` spent: per transaction after the coinbase, in order."""
        return [list(self._coins(transaction)) for transaction in self._spent_outputs(height).transactions]

    def _entry(self, height: int) -> Any:
        return self._manager.get_active_chain().block_tree_entries[height]

    def _spent_outputs(self, height: int) -> Any:
        return self._manager.block_spent_outputs[self._entry(height)]

    @staticmethod
    def _coins(transaction: Any) -> Iterator[KernelCoin]:
        for coin in transaction.coins:
            output = coin.output
            yield KernelCoin(output.amount, bytes(output.script_pubkey), coin.confirmation_height, coin.is_coinbase)

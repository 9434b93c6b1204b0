"""Scripts of some inputs, verified on a worker thread.

A block is handed to the library once (`Loaded`), and any thread then verifies a `Span` of it: some inputs of one
transaction. Nothing is made per input but the script it satisfies.

What a signature commits to is hashed once per transaction and not once per input, which would be quadratic: that is
the *precomputed data*. Spends of taproot outputs commit to all outputs that their transaction spends, so these have to
be in it; for all others they do not, and making them costs more than hashing a transaction with one input again.
Without any, the library would refuse to judge a spend by taproot's rules, so it is not asked to: where no output
spent is a taproot output, the flag changes nothing.

A transaction that is cut into several spans has its data made beforehand, and shared: the library only reads them.
"""

import ctypes
from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from ccnode.chain.script_flags import ALL_SCRIPT_FLAGS, ScriptFlag
from ccnode.kernel.library import Kernel
from ccnode.wire.parsing import ParsedBlock
from ccnode.wire.protocol import BLOCK_HEADER_SIZE

SCRIPT_OFFSET: Final = 12
_VALUE: Final = Struct("<4xq")
"""A coin: what is not needed here, the value in satoshi, the script (`ccnode.chain.coins`)."""

_P2TR_SIZE: Final = SCRIPT_OFFSET + 34
_P2TR_START: Final = b"\x51\x20"
_TAPROOT: Final = int(ScriptFlag.TAPROOT)


def bitcoin_form(block: ParsedBlock) -> bytes:
    """The block with a header of Bitcoin's size, of which only the merkle root is sure to be right."""
    if block.header_size == BLOCK_HEADER_SIZE:
        return block.raw
    return bytes(36) + block.merkle_root + bytes(12) + block.raw[block.header_size :]


class Span(NamedTuple):
    """Inputs ``first`` to ``end`` (excluded) of the transaction at ``position``, and all coins that it spends."""

    position: int
    coins: Sequence[bytes]
    first: int
    end: int


Place = tuple[int, int]
"""A transaction's position, and an input of it."""


class Prepared(NamedTuple):
    """What the inputs of a transaction have in common: the precomputed data, and the flags that matter to it."""

    data: int | None
    flags: int


class Loaded:
    """A block, or a transaction alone, as the library holds it. To be closed when no thread uses it any more."""

    def __init__(self, kernel: Kernel, raw: bytes, *, is_block: bool) -> None:
        self.kernel = kernel
        self._is_block = is_block
        self.handle = (kernel.block_create if is_block else kernel.transaction_create)(raw, len(raw))
        if self.handle is None:
            raise ValueError("the library cannot read what we could")
        self._shared: dict[int, Prepared] = {}

    def close(self) -> None:
        """Give all memory back. Once."""
        for prepared in self._shared.values():
            self.kernel.precomputed_destroy(prepared.data)
        (self.kernel.block_destroy if self._is_block else self.kernel.transaction_destroy)(self.handle)

    def transaction(self, position: int, inputs: int) -> int:
        """The handle of a transaction that has ``inputs``; 0 is the only position of one alone."""
        handle: int = self.handle
        if self._is_block:
            handle = self.kernel.block_get_transaction_at(handle, position)
        if self.kernel.transaction_count_inputs(handle) != inputs:
            raise ValueError(f"{inputs} coins for the inputs of transaction {position}")
        return handle

    def share(self, position: int, coins: Sequence[bytes], flags: int) -> Prepared:
        """Prepare a transaction now, because several spans will need it."""
        prepared = prepare(self.kernel, self.transaction(position, len(coins)), coins, flags)
        self._shared[position] = prepared
        return prepared

    def shared(self, position: int) -> Prepared | None:
        return self._shared.get(position)


def prepare(kernel: Kernel, transaction: int, coins: Sequence[bytes], flags: int) -> Prepared:
    """What verifies the inputs of ``transaction`` under ``flags``. The caller destroys the data."""
    flags &= ALL_SCRIPT_FLAGS
    if (
        flags & _TAPROOT
        and _P2TR_SIZE in map(len, coins)
        and any(len(coin) == _P2TR_SIZE and coin.startswith(_P2TR_START, SCRIPT_OFFSET) for coin in coins)
    ):
        return Prepared(_precompute_with_outputs(kernel, transaction, coins), flags)
    data = kernel.precomputed_create(transaction, None, 0) if len(coins) > 1 else None
    return Prepared(data, flags & ~_TAPROOT)


def _precompute_with_outputs(kernel: Kernel, transaction: int, coins: Sequence[bytes]) -> int:
    outputs = (ctypes.c_void_p * len(coins))()
    for index, coin in enumerate(coins):
        script = coin[SCRIPT_OFFSET:]
        handle = kernel.script_pubkey_create(script, len(script))
        outputs[index] = kernel.transaction_output_create(handle, *_VALUE.unpack_from(coin))
        kernel.script_pubkey_destroy(handle)
    data: int = kernel.precomputed_create(transaction, outputs, len(coins))
    for output in outputs:
        kernel.transaction_output_destroy(output)
    return data


def verify_spans(loaded: Loaded, spans: Sequence[Span], flags: int) -> Place | None:
    """Where the first script stands that fails, or None. Runs on any thread."""
    for span in spans:
        failed = _verify_span(loaded, span, flags)
        if failed is not None:
            return span.position, failed
    return None


def _verify_span(loaded: Loaded, span: Span, flags: int) -> int | None:
    transaction = loaded.transaction(span.position, len(span.coins))
    if shared := loaded.shared(span.position):
        return _verify_inputs(loaded.kernel, transaction, shared, span)
    prepared = prepare(loaded.kernel, transaction, span.coins, flags)
    failed = _verify_inputs(loaded.kernel, transaction, prepared, span)
    if prepared.data is not None:
        loaded.kernel.precomputed_destroy(prepared.data)
    return failed


def _verify_inputs(kernel: Kernel, transaction: int, prepared: Prepared, span: Span) -> int | None:
    data, flags = prepared
    create, verify, destroy = kernel.script_pubkey_create, kernel.script_pubkey_verify, kernel.script_pubkey_destroy
    coins, value_of = span.coins, _VALUE.unpack_from
    status = ctypes.c_ubyte()
    where = ctypes.addressof(status)
    script = handle = None
    failed = None
    for index in range(span.first, span.end):
        coin = coins[index]
        if coin[SCRIPT_OFFSET:] != script:  # many transactions spend several coins of one script
            if handle is not None:
                destroy(handle)
            script = coin[SCRIPT_OFFSET:]
            handle = create(script, len(script))
        if not verify(handle, *value_of(coin), transaction, data, index, flags, where):
            failed = index
            break
    if handle is not None:
        destroy(handle)
    if status.value:
        raise ValueError(f"the library refuses to judge by script flags {flags:#x}: status {status.value}")
    return failed

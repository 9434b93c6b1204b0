"""Our chain state and Bitcoin Core's, fed with the same bytes in the same order. Any difference is ours to explain.

`Twins.give` hands both a block or a header and compares what they make of it: whether the bytes can be read, the
verdict on every block that was looked at, whether the block is new, and the tip. `Twins.compare_coins` compares what
the blocks of the active chain spent, and the whole UTXO set with one computed from their bytes alone, for the library
shows none.

`shrink` makes a list of deliveries as short as it can while the two still disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from ccnode.chain.networks import REGTEST
from ccnode.chain.ports import ScriptVerifier
from ccnode.errors import DecodeError
from ccnode.wire.blocks import Block
from tests.support.chainstate import ChainRoom
from tests.support.clock import ManualClock
from tests.support.kernel import KernelChain, KernelCoin

NOW = 1_790_000_000
"""Our clock. The library's is the machine's: times of blocks stay away from both, by years."""

HEADER_SIZE = 80
UNREADABLE = "unreadable"
FINE = ""

_OUR_NAMES = {"MISSING_PREV": "MISSING_PARENT", "INVALID_PREV": "INVALID_PARENT"}
_SCRIPTS = "block-script-verify-flag-failed"

Verdicts = dict[bytes, tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Delivery:
    """Bytes, and where they come from. A header is its 80 bytes; all else is a block."""

    raw: bytes
    note: str
    is_header: bool = False


class Disagreement(AssertionError):
    """The two differ."""


class Twins:
    """Both on regtest, with everything in memory but block files below ``directory``."""

    def __init__(self, directory: Path, scripts: ScriptVerifier, cache_bytes: int = 10_000_000) -> None:
        """``cache_bytes``: of coins that we keep in memory; with 1 they go through the store at every step."""
        self.reasons: Counter[str] = Counter()
        """Verdicts by reason; `FINE` for the blocks that were connected, `UNREADABLE` for bytes that are none."""
        self.deepest = 0
        """Blocks that one delivery disconnected."""
        self._room = ChainRoom(
            directory / "ours", REGTEST, scripts=scripts, clock=ManualClock(NOW), cache_bytes=cache_bytes
        )
        # With no thread of its own the library verifies scripts before it looks at the next transaction. A node has
        # threads, and so do we.
        self._kernel = KernelChain(directory / "kernel", "regtest", worker_threads=1)

    def __enter__(self) -> Twins:
        return self

    def __exit__(self, *_: object) -> None:
        self._kernel.__exit__()
        self._room.files.close()

    @property
    def tip(self) -> bytes:
        return self._room.tip

    def give(self, delivery: Delivery) -> str:
        """What both say of it: a reject reason, `UNREADABLE`, or `FINE`. Raises `Disagreement`."""
        reason = self._give_header(delivery.raw) if delivery.is_header else self._give_block(delivery.raw)
        self._same("tip", self._room.tip, self._kernel.tip)
        return reason

    def _give_header(self, raw: bytes) -> str:
        ours = self._room.chain.accept([raw]).verdict
        theirs = self._kernel.process_header(raw)
        self._same("header", ours and ours.result.name, theirs and _OUR_NAMES.get(theirs, theirs))
        return ours.reason if ours else FINE

    def _give_block(self, raw: bytes) -> str:
        room, kernel = self._room, self._kernel
        room.moves.clear()
        try:
            theirs = kernel.process(raw)
        except ValueError:
            theirs = None
        try:
            ours = room.submit(raw)
        except DecodeError:
            ours = None
        self._same("readable", ours is not None, theirs is not None)
        if ours is None or theirs is None:
            self.reasons[UNREADABLE] += 1
            return UNREADABLE
        self._same("new", ours.result.new, theirs.new)
        our_verdicts: Verdicts = {
            block_hash: (verdict.result.name, verdict.reason) if verdict else (FINE, FINE)
            for block_hash, verdict in room.checked
        }
        if ours.verdict is not None:
            block_hash = REGTEST.header_format.hash(raw[:HEADER_SIZE])
            our_verdicts[block_hash] = (ours.verdict.result.name, ours.verdict.reason)
        self._same("verdicts", our_verdicts, _verdicts(kernel))
        self.reasons.update(reason for _result, reason in our_verdicts.values())
        self.deepest = max(self.deepest, sum(way == "down" for way, _height in room.moves))
        return ours.verdict.reason if ours.verdict else FINE

    def restart(self) -> None:
        """Ours only: closed, and opened again from what it wrote."""
        self._room.state.wait_flush()
        self._room.crash()
        self._same("tip after a restart", self._room.tip, self._kernel.tip)

    def compare_coins(self, heights: range) -> None:
        """What the active blocks at ``heights`` spent, as far as there are such; and all coins."""
        room = self._room
        coins: dict[bytes, bytes] = {}
        for height in range(1, room.height + 1):
            n = room.chain.index.active_at(height)
            assert n is not None
            _apply(coins, room.state.bodies.wait_block(n).block.raw, height)
            if height in heights:
                ours = [[_kernel_coin(coin) for coin in spent] for spent in room.state.bodies.wait_undo(n)]
                self._same(f"spent at {height}", ours, self._kernel.spent(height))
        self._same("coins", room.coins(), coins)

    @staticmethod
    def _same(what: str, ours: object, theirs: object) -> None:
        if ours != theirs:
            raise Disagreement(f"{what}: ours {ours!r}, Core's {theirs!r}")


def _verdicts(kernel: KernelChain) -> Verdicts:
    found: Verdicts = {}
    for block_hash, verdict in kernel.checked.items():
        if verdict is None:
            found[block_hash] = (FINE, FINE)
        else:
            reason = _SCRIPTS if verdict.reason.startswith(_SCRIPTS) else verdict.reason
            found[block_hash] = (_OUR_NAMES.get(verdict.result, verdict.result), reason)
    return found


def _kernel_coin(coin: bytes) -> KernelCoin:
    code = int.from_bytes(coin[:4], "little")
    return KernelCoin(int.from_bytes(coin[4:12], "little", signed=True), coin[12:], code >> 1, bool(code & 1))


def _apply(coins: dict[bytes, bytes], raw: bytes, height: int) -> None:
    """What a valid block does to the coins, in the plainest way."""
    for i, transaction in enumerate(Block(raw, HEADER_SIZE).transactions()):
        if i:
            for txin in transaction.vin:
                del coins[txin.prevout.encode()]
        txid = transaction.txid
        for j, txout in enumerate(transaction.vout):
            script = txout.script_pubkey
            if not script.startswith(b"\x6a") and len(script) <= 10_000:
                head = (height << 1 | (not i)).to_bytes(4, "little") + txout.value.to_bytes(8, "little")
                coins[txid + j.to_bytes(4, "little")] = head + script


def disagreement(deliveries: Sequence[Delivery], scripts: ScriptVerifier) -> Disagreement | None:
    """What a fresh pair says to ``deliveries``; None if they agree to the end."""
    with TemporaryDirectory() as directory, Twins(Path(directory), scripts) as twins:
        try:
            for delivery in deliveries:
                twins.give(delivery)
            twins.compare_coins(range(1, 1 << 30))
        except Disagreement as found:
            return found
    return None


def shrink(base: Sequence[Delivery], deliveries: Sequence[Delivery], scripts: ScriptVerifier) -> list[Delivery]:
    """A shorter list, after ``base``, on which the two still disagree, by leaving out ever smaller pieces."""
    left = list(deliveries)
    size = len(left) // 2
    while size:
        begin = 0
        while begin < len(left):
            without = left[:begin] + left[begin + size :]
            if disagreement([*base, *without], scripts) is not None:
                left = without
            else:
                begin += size
        size //= 2
    return left

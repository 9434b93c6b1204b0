"""Low-work header synchronisation: learn whether a peer's chain has enough work before giving it memory.

**The attack.** A header costs its maker what its own bits ask for, and at the start of the chain that is next to
nothing: one machine of 200 TH/s mints 46,000 headers of difficulty 1 per second. Stored on arrival, each would take
80 bytes of disk and some 200 of memory for good: 9 MB of memory for every second of one such machine. Refusing chains
with little work is no answer by itself, since the real chain, fetched from its beginning, looks just like that for
most of the way. So the chain is downloaded twice from the same peer (Core: ``headerssync.{h,cpp}``):

1. PRESYNC: each header must continue the one before it, with bits that are a permitted transition. Nothing is stored
   but the running work, the last header, and one salted bit of the hash of every ``period``-th header, at a secret
   offset: the *commitments*. When the work reaches the minimum, the second phase begins.
2. REDOWNLOAD: the same chain again, from the start. The checks are repeated and the commitments compared. Headers wait
   in a queue, without their previous hash, until more than ``buffer`` of them wait: then the oldest is released to be
   validated and stored. When the work reaches the minimum again, all are released.

A peer that gave a chain with work first and then another one without must guess the bits: on mainnet a header is
released after at least 15,218 / 641 = 23 of them were right, which one try in eight million achieves, and each try
costs a whole chain of the minimum work. The bits past the minimum are not compared, as the peer's chain may have grown
or been reorganised at its end meanwhile.

**What one synchronisation holds at most**, on mainnet:

- commitments: time's median rule allows six headers per second, so the chain cannot be longer than
  6 * (now - median time of the start + 2 h), and there is one bit for every 641 of these: in 2026, from the
  genesis, 650 kB (and the eighth more that a growing bytearray sets aside), to fill which a peer must send 270 GB.
  The real chain takes under 200 bytes;
- the queue: 15,218 headers of 48 bytes between calls, 730 kB, and one message more within a call.

What this does not protect against: the traffic and the hashing; many peers at a time, each with its own two buffers
(whoever opens these objects bounds their number); a peer that does have the minimum work. Nor does anything here
validate a header: a released one is only known to lie on a chain that cost something.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from hashlib import blake2b
from itertools import accumulate

from ccnode.chain.difficulty import DifficultyRule
from ccnode.chain.formats import Columns, HeaderFormat
from ccnode.chain.params import ChainParams
from ccnode.chain.pow import block_proof
from ccnode.rng import Rng

MAX_FUTURE_BLOCK_TIME = 7200
"""Seconds that a header may be dated ahead of our clock (Core: ``chain.h``)."""

HEADERS_PER_SECOND = 6
"""The fastest that a chain can grow for long: a header must be later than the median of eleven (Core)."""

_SALT_BYTES = 16
_PREV_BYTES = 32


class LowWorkPhase(Enum):
    """How far a low-work synchronisation has come."""

    PRESYNC = "presync"
    REDOWNLOAD = "redownload"
    FINAL = "final"  # over, well or badly; everything is freed


@dataclass(frozen=True, slots=True)
class LowWorkResult:
    """What became of one batch."""

    success: bool
    """False: the batch does not belong to this synchronisation, which is over; it may still be good for another use.

    True with nothing `ready` and nothing to request: the peer's chain ended without having the work.
    """
    request_more: bool = False
    """Send getheaders with `LowWorkSync.locator`."""
    ready: list[bytes] = field(default_factory=list)
    """Headers to validate and store, oldest first; each call's continue those of the call before."""
    ready_hashes: list[bytes] = field(default_factory=list)


class LowWorkSync:
    """The low-work synchronisation of one peer, from a start header that we have.

    ``start_work`` is the start's chain work and ``start_mtp`` its median time past; ``minimum_work`` is the chain work
    that is worth storing; ``now`` is wall time in seconds. Hashes are in internal byte order.
    """

    def __init__(
        self,
        params: ChainParams,
        rng: Rng,
        *,
        start_hash: bytes,
        start_height: int,
        start_bits: int,
        start_work: int,
        start_mtp: int,
        start_locator: list[bytes],
        minimum_work: int,
        now: float,
    ) -> None:
        self.phase = LowWorkPhase.PRESYNC
        self.abort_reason = ""
        """Why the synchronisation ended early, for the log; empty otherwise."""
        self.presync_time = 0
        """Time of the last header of the first phase, Unix seconds; 0 before there is one."""

        self._format = params.header_format
        self._difficulty = params.difficulty
        self._buffer = params.presync_buffer
        self._start_locator = start_locator
        self._minimum_work = minimum_work
        self._presync = _Walk(start_hash, start_height, start_bits, start_work)
        self._redownload = _Walk(start_hash, start_height, start_bits, start_work)
        seconds = int(now) - start_mtp + MAX_FUTURE_BLOCK_TIME
        self._commitments = _Commitments(
            rng, params.presync_period, limit=max(0, HEADERS_PER_SECOND * seconds // params.presync_period)
        )
        self._queue = _HeaderQueue(self._format, start_hash)

    @property
    def presync_height(self) -> int:
        """Height of the last header of the first phase."""
        return self._presync.height

    @property
    def redownload_height(self) -> int:
        """Height of the last header of the second phase, released or not."""
        return self._redownload.height

    @property
    def work(self) -> int:
        """Chain work of the last header of the first phase."""
        return self._presync.work

    def locator(self) -> list[bytes]:
        """The locator of the next getheaders: where the phase has got to, then the way back from the start."""
        if self.phase is LowWorkPhase.FINAL:
            return []
        walk = self._presync if self.phase is LowWorkPhase.PRESYNC else self._redownload
        return [walk.last_hash, *self._start_locator]

    def process(self, headers: Sequence[bytes], hashes: Sequence[bytes], full_batch: bool) -> LowWorkResult:
        """Take the next headers of this peer: not empty, contiguous, each with proof of work for its own bits.

        ``hashes`` are theirs, and ``full_batch`` says that the message held as many as it may. ValueError after the
        synchronisation is over, or for an empty batch. 2000 headers take about 0.4 ms in the first phase and 3 ms in
        the second; its last batch, which releases the whole queue, 18 ms on mainnet.
        """
        if self.phase is LowWorkPhase.FINAL or not headers:
            raise ValueError("a low-work synchronisation takes batches that are not empty, until it is over")
        if self.phase is LowWorkPhase.PRESYNC:
            result = self._process_presync(headers, hashes, full_batch)
        else:
            result = self._process_redownload(headers, hashes, full_batch)
        if not (result.success and result.request_more):
            self._finalize()
        return result

    # -- the two phases ------------------------------------------------------------------------------------------

    def _process_presync(self, headers: Sequence[bytes], hashes: Sequence[bytes], full_batch: bool) -> LowWorkResult:
        walk = self._presync
        columns = self._following(walk, headers)
        if columns is None:
            return LowWorkResult(success=False)
        for i in self._commitments.due(walk.height + 1, len(headers)):
            if not self._commitments.add(hashes[i]):
                return self._fail("exceeded max commitments", walk.height + 1 + i)
        walk.advance(hashes, columns.bits)
        self.presync_time = columns.times[-1]
        if walk.work >= self._minimum_work:
            self.phase = LowWorkPhase.REDOWNLOAD
            return LowWorkResult(success=True, request_more=True)
        if not full_batch:
            self._note("incomplete headers message", walk.height)
        return LowWorkResult(success=True, request_more=full_batch)

    def _process_redownload(self, headers: Sequence[bytes], hashes: Sequence[bytes], full_batch: bool) -> LowWorkResult:
        walk = self._redownload
        columns = self._following(walk, headers)
        if columns is None:
            return LowWorkResult(success=False)
        for i in self._commitments.due(walk.height + 1, self._first_with_enough_work(walk.work, columns.bits)):
            reason = self._commitments.compare_next(hashes[i])
            if reason:
                return self._fail(reason, walk.height + 1 + i)
        walk.advance(hashes, columns.bits)
        if walk.work >= self._minimum_work:
            ready, ready_hashes = self._queue.release(len(self._queue))
            return LowWorkResult(success=True, ready=[*ready, *headers], ready_hashes=[*ready_hashes, *hashes])
        self._queue.push(headers)
        ready, ready_hashes = self._queue.release(len(self._queue) - self._buffer)
        if not full_batch:  # the peer no longer serves what it had; what is released all the same has proved itself
            self._note("incomplete headers message", walk.height)
        return LowWorkResult(success=True, request_more=full_batch, ready=ready, ready_hashes=ready_hashes)

    def _following(self, walk: "_Walk", headers: Sequence[bytes]) -> Columns | None:
        """The columns of headers that may follow where ``walk`` stands; None, and the reason noted, if they may not."""
        columns = self._format.columns(headers)
        if columns.prevs[0] != walk.last_hash:
            self._note("non-continuous headers", walk.height)
            return None
        height = _forbidden_transition(self._difficulty, walk, columns.bits)
        if height is not None:
            self._note("invalid difficulty transition", height)
            return None
        return columns

    def _first_with_enough_work(self, work: int, bits: Sequence[int]) -> int:
        """Index of the first header at which ``work`` has grown to the minimum; their number if it never does."""
        sums = list(accumulate(map(block_proof, bits), initial=work))
        return bisect_left(sums, self._minimum_work, lo=1) - 1

    # -- the end -------------------------------------------------------------------------------------------------

    def _fail(self, reason: str, height: int) -> LowWorkResult:
        self._note(reason, height)
        return LowWorkResult(success=False)

    def _note(self, reason: str, height: int) -> None:
        self.abort_reason = f"{reason} at height={height} ({self.phase.value} phase)"

    def _finalize(self) -> None:
        self.phase = LowWorkPhase.FINAL
        self._commitments.clear()
        self._queue.clear()


@dataclass(slots=True)
class _Walk:
    """Where one phase has got to."""

    last_hash: bytes
    height: int
    bits: int
    work: int

    def advance(self, hashes: Sequence[bytes], bits: Sequence[int]) -> None:
        self.last_hash = hashes[-1]
        self.height += len(hashes)
        self.bits = bits[-1]
        self.work += sum(map(block_proof, bits))


def _forbidden_transition(rule: DifficultyRule, walk: _Walk, bits: list[int]) -> int | None:
    """Height of the first header whose bits cannot follow its parent's; None if all can.

    Every rule permits bits that stay the same, which nearly all do: only changes are put to it.
    """
    old = walk.bits
    if bits.count(old) == len(bits):
        return None
    for height, new in enumerate(bits, walk.height + 1):
        if new != old and not rule.permitted_transition(height, old, new):
            return height
        old = new
    return None


class _Commitments:
    """A queue of salted bits, eight to the byte: what the first phase tells the second about a chain.

    The salt keeps a peer from making headers whose bit it knows; the offset, from knowing which ones count. Bits that
    were compared stay until `clear`: the queue only ever grew to the `limit`.
    """

    __slots__ = ("_added", "_bits", "_compared", "_limit", "_offset", "_period", "_salt")

    def __init__(self, rng: Rng, period: int, limit: int) -> None:
        self._salt = rng.getrandbits(8 * _SALT_BYTES).to_bytes(_SALT_BYTES, "little")
        self._offset = rng.randrange(0, period)
        self._period = period
        self._limit = limit
        self._bits = bytearray()
        self._added = 0
        self._compared = 0

    def due(self, first_height: int, count: int) -> range:
        """Which of ``count`` headers that start at ``first_height`` are committed to, as indices."""
        return range((self._offset - first_height) % self._period, count, self._period)

    def add(self, block_hash: bytes) -> bool:
        """Remember the bit of ``block_hash``; False if the chain has more headers than time allows."""
        if self._added == self._limit:
            return False
        if self._added % 8 == 0:
            self._bits.append(0)
        self._bits[-1] |= self._bit(block_hash) << self._added % 8
        self._added += 1
        return True

    def compare_next(self, block_hash: bytes) -> str:
        """Compare the next bit with that of ``block_hash``; returns what is wrong, empty if nothing is."""
        if self._compared == self._added:
            return "commitment overrun"
        expected = self._bits[self._compared // 8] >> self._compared % 8 & 1
        self._compared += 1
        return "" if self._bit(block_hash) == expected else "commitment mismatch"

    def clear(self) -> None:
        self._bits = bytearray()
        self._added = self._compared = 0

    def _bit(self, block_hash: bytes) -> int:
        return blake2b(block_hash, digest_size=1, key=self._salt).digest()[0] & 1


class _HeaderQueue:
    """Consecutive headers, a batch in one piece, without the hash of their parent: the release computes it again.

    That saves two fifths of the memory of a Bitcoin header and costs one more hash of it.
    """

    __slots__ = ("_before", "_format", "_length", "_pieces", "_size")

    def __init__(self, header_format: HeaderFormat, first_prev: bytes) -> None:
        self._format = header_format
        self._size = header_format.size - _PREV_BYTES
        self._pieces: deque[bytes] = deque()
        self._length = 0  # headers
        self._before = first_prev  # hash of the parent of the oldest

    def __len__(self) -> int:
        return self._length

    def push(self, headers: Sequence[bytes]) -> None:
        start = self._format.prev_offset
        end = start + _PREV_BYTES
        self._pieces.append(b"".join([raw[:start] + raw[end:] for raw in headers]))
        self._length += len(headers)

    def release(self, count: int) -> tuple[list[bytes], list[bytes]]:
        """Take out the ``count`` oldest headers, none if it is negative; returns them whole, and their hashes."""
        split, size, hash_of = self._format.prev_offset, self._size, self._format.hash
        headers: list[bytes] = []
        hashes: list[bytes] = []
        before = self._before
        while len(headers) < count:
            piece = self._pieces.popleft()
            stop = min(len(piece), (count - len(headers)) * size)
            for i in range(0, stop, size):
                raw = piece[i : i + split] + before + piece[i + split : i + size]
                before = hash_of(raw)
                headers.append(raw)
                hashes.append(before)
            if stop < len(piece):
                self._pieces.appendleft(piece[stop:])
        self._before = before
        self._length -= len(headers)
        return headers, hashes

    def clear(self) -> None:
        self._pieces.clear()
        self._length = 0

"""A batch of headers with everything about it that needs no context: hashes, columns, proof of work, continuity.

This is the cheap test that a peer's ``headers`` message meets first (Core: ``CheckHeadersPoW``,
``CheckHeadersAreContinuous``); failing it costs the peer. The result carries the hashes, so that nothing is hashed
twice on its way into the chain.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from ccnode.chain.formats import Columns, HeaderFormat
from ccnode.chain.pow import block_proof
from ccnode.chain.verdict import HeaderVerdict, ValidationResult

HIGH_HASH = "high-hash"
NON_CONTINUOUS = "non-continuous headers sequence"


@dataclass(frozen=True, slots=True)
class HeaderBatch:
    """Headers, taken apart. ``fault`` is the first header without proof of work or without link to the one before."""

    headers: Sequence[bytes]
    hashes: list[bytes]
    columns: Columns
    fault: HeaderVerdict | None

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def work(self) -> int:
        """Expected number of hashes behind the whole batch, as claimed by its bits."""
        return sum(count * block_proof(bits) for bits, count in Counter(self.columns.bits).items())

    def after(self, count: int) -> "HeaderBatch":
        """The batch without its first ``count`` headers, which must be before its fault."""
        if count == 0:
            return self
        versions, prevs, times, bits = self.columns
        fault = self.fault
        if fault is not None:
            fault = HeaderVerdict(fault.result, fault.reason, fault.index - count, fault.hash)
        columns = Columns(versions[count:], prevs[count:], times[count:], bits[count:])
        return HeaderBatch(self.headers[count:], self.hashes[count:], columns, fault)


def check_batch(header_format: HeaderFormat, pow_limit: int, headers: Sequence[bytes]) -> HeaderBatch:
    """Take ``headers`` apart, check proof of work against their own bits, and that each extends the one before."""
    hashes = header_format.hashes(headers)
    columns = header_format.columns(headers)
    fault = None
    bad = header_format.check_pow(headers, hashes, columns.bits, pow_limit)
    if bad is not None:
        fault = HeaderVerdict(ValidationResult.INVALID_HEADER, HIGH_HASH, bad, hashes[bad])
    if columns.prevs[1:] != hashes[:-1]:
        end = len(hashes) if bad is None else bad
        broken = next((i for i in range(1, end) if columns.prevs[i] != hashes[i - 1]), None)
        if broken is not None:
            fault = HeaderVerdict(ValidationResult.INVALID_HEADER, NON_CONTINUOUS, broken, hashes[broken])
    return HeaderBatch(headers, hashes, columns, fault)

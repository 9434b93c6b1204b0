"""A batch of headers with everything about it that needs no context: hashes, columns, proof of work, continuity.

This is the cheap test that a peer's ``headers`` message meets first (Core: ``CheckHeadersPoW``,
``CheckHeadersAreContinuous``); failing it costs the peer. The result carries the hashes, so that nothing is hashed
twice on its way into the chain.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from ccnode.chain.formats import Columns, HeaderFormat
from ccnode.chain.pow import block_proof
from ccnode.chain.verdict import HeaderVerdict, ValidationResult

HIGH_HASH = "high-hash"
NON_CONTINUOUS = "non-continuous headers sequence"


@dataclass(frozen=True, slots=True)
class HeaderBatch:
    """Headers, taken apart. ``verdict`` is on the first one without proof of work or link to the one before, if any."""

    headers: Sequence[bytes]
    hashes: list[bytes]
    columns: Columns
    verdict: HeaderVerdict | None

    def __len__(self) -> int:
        return len(self.hashes)

    @property
    def work(self) -> int:
        """Expected number of hashes behind the whole batch, as claimed by its bits."""
        return sum(len(list(group)) * block_proof(bits) for bits, group in groupby(self.columns.bits))

    def after(self, count: int) -> "HeaderBatch":
        """The batch without its first ``count`` headers, which must be before the faulty one."""
        if count == 0:
            return self
        versions, prevs, times, bits = self.columns
        verdict = self.verdict
        if verdict is not None:
            verdict = replace(verdict, index=verdict.index - count)
        columns = Columns(versions[count:], prevs[count:], times[count:], bits[count:])
        return HeaderBatch(self.headers[count:], self.hashes[count:], columns, verdict)


def check_batch(
    header_format: HeaderFormat, pow_limit: int, headers: Sequence[bytes], hashes: Sequence[bytes] | None = None
) -> HeaderBatch:
    """Take ``headers`` apart, check proof of work against their own bits, and that each extends the one before.

    ``hashes`` saves hashing where the caller has hashed these very headers already.
    """
    known_hashes = header_format.hashes(headers) if hashes is None else list(hashes)
    columns = header_format.columns(headers)
    verdict = None
    bad = header_format.check_pow(headers, known_hashes, columns.bits, pow_limit)
    if bad is not None:
        verdict = HeaderVerdict(ValidationResult.INVALID_HEADER, HIGH_HASH, bad, known_hashes[bad])
    if columns.prevs[1:] != known_hashes[:-1]:
        end = len(known_hashes) if bad is None else bad
        broken = next((i for i in range(1, end) if columns.prevs[i] != known_hashes[i - 1]), None)
        if broken is not None:
            verdict = HeaderVerdict(ValidationResult.INVALID_HEADER, NON_CONTINUOUS, broken, known_hashes[broken])
    return HeaderBatch(headers, known_hashes, columns, verdict)

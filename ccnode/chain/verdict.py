"""What can be said of a header or a block: fine, or why not.

A verdict is a value. The reject reasons are the identifiers that Core logs and returns by RPC; the result class decides
what happens to the peer that sent it, and whether the block is marked invalid for good. (Core:
``consensus/validation.h``.)
"""

from dataclasses import dataclass
from enum import Enum, auto


class ValidationResult(Enum):
    """Why a header or a block is refused (Core: ``BlockValidationResult``)."""

    CONSENSUS = auto()  # the block breaks a rule that its header does not show
    MUTATED = auto()  # these are not the transactions or witnesses that the header commits to: the block may be fine
    INVALID_HEADER = auto()  # breaks a rule by itself or in its place
    CACHED_INVALID = auto()  # known, and marked invalid before
    MISSING_PARENT = auto()
    INVALID_PARENT = auto()
    TIME_FUTURE = auto()  # over two hours ahead of our clock: not a fault, may be fine later
    HEADER_LOW_WORK = auto()  # not enough work behind it to be worth memory


@dataclass(frozen=True, slots=True)
class HeaderVerdict:
    """A header is refused."""

    result: ValidationResult
    reason: str  # Core's reject reason
    index: int  # position in the batch
    hash: bytes


@dataclass(frozen=True, slots=True)
class BlockVerdict:
    """A block is refused."""

    result: ValidationResult
    reason: str  # Core's reject reason
    detail: str = ""  # for people, in Core's words where they are fixed

    def __str__(self) -> str:
        return f"{self.reason}, {self.detail}" if self.detail else self.reason

"""Randomness comes in as an `Rng`, so that deciding code never imports ``random``.

Production uses the operating system's generator: much of it is a defence (nonces, salts, offsets) that a peer must
not be able to predict. Tests bring a seeded `random.Random`, which has the same methods.
"""

import random
from collections.abc import MutableSequence, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Rng(Protocol):
    """The part of `random.Random` that ccnode uses."""

    def random(self) -> float: ...

    def getrandbits(self, k: int, /) -> int: ...

    def randrange(self, start: int, stop: int) -> int: ...

    def choice(self, seq: Sequence[T]) -> T: ...

    def shuffle(self, x: MutableSequence[Any]) -> None: ...

    def expovariate(self, lambd: float) -> float: ...


def system_rng() -> Rng:
    """The operating system's generator."""
    return random.SystemRandom()

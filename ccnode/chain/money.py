"""Amounts: what there can be, and what a block may create. (Core: ``consensus/amount.h``, ``GetBlockSubsidy``.)

Everything is counted in satoshi. The limit on amounts is not the supply, which follows from the subsidies: it keeps
every sum within what 64 bits hold.
"""

from typing import Final

COIN: Final = 100_000_000
"""Satoshi."""
MAX_MONEY: Final = 21_000_000 * COIN
"""No amount and no sum of amounts is higher."""
_FIRST_SUBSIDY: Final = 50 * COIN
_MAX_HALVINGS: Final = 64


def money_range(value: int) -> bool:
    """Whether ``value`` can be an amount."""
    return 0 <= value <= MAX_MONEY


def subsidy(height: int, interval: int) -> int:
    """What the block at ``height`` may create, satoshi; halved every ``interval`` blocks."""
    halvings = height // interval
    return 0 if halvings >= _MAX_HALVINGS else _FIRST_SUBSIDY >> halvings

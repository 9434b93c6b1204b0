"""Amounts and subsidies."""

from ccnode.chain.money import COIN, MAX_MONEY, money_range, subsidy


def test_money_range():
    assert [money_range(value) for value in (-1, 0, MAX_MONEY, MAX_MONEY + 1)] == [False, True, True, False]


def test_subsidy_is_halved():
    assert subsidy(0, 210_000) == subsidy(209_999, 210_000) == 50 * COIN
    assert subsidy(210_000, 210_000) == 25 * COIN
    assert subsidy(840_000, 210_000) == 312_500_000
    assert subsidy(150, 150) == 25 * COIN
    assert subsidy(33 * 210_000 - 1, 210_000) == 1
    assert [subsidy(n * 210_000, 210_000) for n in (33, 63, 64, 65, 1000)] == [0] * 5


def test_the_supply_stays_below_the_limit():
    supply = sum(210_000 * subsidy(n * 210_000, 210_000) for n in range(64))
    assert supply == 2_099_999_997_690_000 < MAX_MONEY

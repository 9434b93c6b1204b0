"""Pictures made of characters."""

from math import sin

import pytest

from ccnode.admin.shell.plot import bars, plot, sparkline, stretched


def test_bars_fill_from_zero() -> None:
    assert bars([0, 1, 2, 4], width=4, height=1) == [" ▂▄█"]
    assert bars([0, 1, 2, 4], width=6, height=2) == ["     █", "   ▄██"]


def test_bars_keep_the_newest_and_show_the_least() -> None:
    assert bars([9, 9, 0.001, 8], width=2, height=1) == ["▁█"]
    assert bars([1], width=1, height=1, top=2) == ["▄"]
    assert bars([], width=3, height=2) == ["   ", "   "]


def test_sparkline() -> None:
    assert sparkline([1, 2, 3, 4, 5, 6, 7, 8], 20) == "▁▂▃▄▅▆▇█"
    assert sparkline([4, 4, 8, 8], 2) == "▄█"
    assert sparkline([0, 0], 9) == "  "
    assert sparkline([], 9) == ""


@pytest.mark.parametrize(
    ("values", "count", "expected"),
    [([1, 3, 5, 7], 2, [2, 6]), ([1, 2], 4, [1, 1, 2, 2]), ([1, 2, 3], 3, [1, 2, 3]), ([1, 2, 3, 4, 5], 2, [1.5, 4])],
)
def test_stretched(values: list[float], count: int, expected: list[float]) -> None:
    assert stretched(values, count) == expected


def test_plot_of_a_straight_line() -> None:
    assert plot(range(80), width=14, height=3, label=lambda value: f"{value:.0f}").split("\n") == [
        "79 ┤       ⡠⠔⠊",
        "   │   ⣀⠤⠒⠉",
        " 0 ┤⡠⠔⠊",
    ]


def test_plot_of_steps_is_connected() -> None:
    assert plot([0, 100, 0, 50], width=17, height=3, label=str).split("\n") == [
        "100.0 ┤  ⢸⠉⠉⡆",
        "      │  ⢸  ⡇ ⢠⠤⠤",
        "  0.0 ┤⣀⣀⡸  ⣇⣀⡸",
    ]


def test_plot_fits_and_has_no_gaps() -> None:
    text = plot([sin(x / 9) for x in range(300)], width=60, height=8, label="{:+.2f}".format)
    lines = text.split("\n")
    assert len(lines) == 8
    assert max(map(len, lines)) == 60
    assert lines[0].startswith("+1.00 ┤")
    assert lines[-1].startswith("-1.00 ┤")
    picture = [line[7:].ljust(53) for line in lines]
    assert all(any(row[x] != " " for row in picture) for x in range(53))


def test_plot_of_what_does_not_change() -> None:
    lines = plot([5.0] * 3, width=20, height=4, label=str).split("\n")
    assert lines == ["    │", "    │", "5.0 ┤⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒⠒", "    │"]


def test_the_ends_of_the_scale_are_the_values() -> None:
    lines = plot([0.0, 0.1 + 0.2 + 138_518.4], width=30, height=6, label="{:.1f}".format).split("\n")
    assert (lines[0].split()[0], lines[-1].split()[0]) == ("138518.7", "0.0")
    assert plot([0.0, 0.7], width=20, height=6, label=repr).split("\n")[-1].split()[0] == "0.0"


def test_plot_of_nothing() -> None:
    assert plot([], width=20, height=4, label=str) == ""

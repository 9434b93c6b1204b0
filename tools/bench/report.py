"""Tables of results, and the arithmetic behind them."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """One line: what was measured, the figure with its unit, how it compares, and what it should be."""

    name: str
    figure: str
    ratio: str = ""
    goal: str = ""


def show(title: str, rows: Sequence[Row]) -> None:
    """Print a table."""
    cells = [(row.name, row.figure, row.ratio, row.goal) for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(4)]
    print(f"\n{title}")
    for name, figure, ratio, goal in cells:
        line = f"  {name:<{widths[0]}}  {figure:>{widths[1]}}  {ratio:>{widths[2]}}  {goal:<{widths[3]}}"
        print(line.rstrip())
    print(end="", flush=True)


def times(values: Sequence[float]) -> str:
    """The median ratio, and how far apart the turns were."""
    return f"{statistics.median(values):.2f}x ({min(values):.2f} to {max(values):.2f})"


def milliseconds(seconds: float) -> str:
    return f"{seconds * 1e3:,.1f} ms"


def megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"

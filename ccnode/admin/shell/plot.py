"""Numbers as pictures made of characters: a line with its scale, bars, a sparkline.

A cell of the terminal is coarse, so the characters that divide it are used: the eighths of a block for what is filled
from zero, and braille, with two by four dots in a cell, for lines. Of more values than there is room for, those that
fall together are drawn as their mean; fewer are stretched.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil
from typing import Final

BLOCKS: Final = " ▁▂▃▄▅▆▇█"
"""A cell filled from the bottom by so many eighths."""

MIN_WIDTH: Final = 10
"""Cells for the line itself, however wide the labels are."""

_DOTS_ACROSS: Final = 2
_DOTS_DOWN: Final = 4
_BRAILLE: Final = 0x2800
_DOT_BITS: Final = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""The bit of each dot of a braille character: left and right column, from above."""

_ROWS_BETWEEN_LABELS: Final = 3


def plot(values: Sequence[float], *, width: int, height: int, label: Callable[[float], str]) -> str:
    """A line with a scale on its left, ``height`` lines of at most ``width`` cells; empty without values.

    The scale goes from the smallest value to the largest, not from zero, and ``label`` writes its numbers. Values are
    finite; ``height`` is at least 2.
    """
    if not values:
        return ""
    low, high = min(values), max(values)
    labels = _labels(low, high, height, label)
    wide = max(map(len, labels))
    cells = max(MIN_WIDTH, width - wide - 2)
    picture = _line(stretched(values, cells * _DOTS_ACROSS), low, high, height)
    rows = [
        f"{text:>{wide}} {'┤' if text else '│'}{''.join(row).rstrip()}"
        for text, row in zip(labels, picture, strict=True)
    ]
    return "\n".join(rows)


def bars(values: Sequence[float], *, width: int, height: int, top: float = 0.0) -> list[str]:
    """Bars from zero, a cell for each of the last ``width`` values, the newest at the right edge; ``height`` lines.

    The highest bar, or ``top`` if that is more, reaches the upper edge. What is not zero is seen.
    """
    shown = list(values)[-width:]
    scale = max([top, *shown])
    eighths = [_eighths(value, scale, height) for value in shown]
    lines = []
    for row in range(height - 1, -1, -1):
        line = "".join(BLOCKS[min(8, max(0, each - 8 * row))] for each in eighths)
        lines.append(line.rjust(width))
    return lines


def sparkline(values: Sequence[float], width: int) -> str:
    """Values from zero up in one line, of ``width`` cells or as many as there are values."""
    if not values:
        return ""
    return bars(stretched(values, min(width, len(values))), width=min(width, len(values)), height=1)[0]


def stretched(values: Sequence[float], count: int) -> list[float]:
    """The values as ``count`` many, each the mean of those that fall on it."""
    means = []
    for at in range(count):
        start = at * len(values) // count
        group = values[start : max(start + 1, (at + 1) * len(values) // count)]
        means.append(sum(group) / len(group))
    return means


def _eighths(value: float, scale: float, height: int) -> int:
    return ceil(value / scale * height * 8) if value > 0 else 0


def _labels(low: float, high: float, height: int, label: Callable[[float], str]) -> list[str]:
    """One for each row; most are empty."""
    if low == high:
        return ["" if row != height // 2 else label(low) for row in range(height)]
    gaps = max(1, (height - 1) // _ROWS_BETWEEN_LABELS)
    rows = {round(gap * (height - 1) / gaps) for gap in range(gaps + 1)}
    step = (high - low) / (height - 1)
    return [label(low + step * (height - 1 - row)) if row in rows else "" for row in range(height)]


def _line(values: Sequence[float], low: float, high: float, height: int) -> list[list[str]]:
    """The cells of a line through the values, which come two to a cell."""
    dots_high = height * _DOTS_DOWN - 1
    if low == high:
        ys = [height // 2 * _DOTS_DOWN + 1] * len(values)
    else:
        ys = [round((high - value) / (high - low) * dots_high) for value in values]
    cells = [[0] * (len(values) // _DOTS_ACROSS) for _ in range(height)]
    for x, (before, y) in enumerate(pairwise([ys[0], *ys])):
        step = 1 if y >= before else -1
        for dot in range(before + step if y != before else y, y + step, step):  # no gaps where it is steep
            cells[dot // _DOTS_DOWN][x // _DOTS_ACROSS] |= _DOT_BITS[x % _DOTS_ACROSS][dot % _DOTS_DOWN]
    return [[chr(_BRAILLE + bits) if bits else " " for bits in row] for row in cells]

"""Charts as inline SVG: bars, columns, lines.

A page with a library of charts in it weighs megabytes, or asks the internet for them. Three kinds of chart are a
hundred lines, have no script, follow the page's colours (dark, light, print), and are read out by a screen reader:
each has a title and a description, and the same numbers stand in a table below it. Whatever text comes from a peer is
escaped here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, log10
from typing import Final

from ccnode.crawler.words import plural

WIDTH: Final = 640
"""Units of a drawing across; it is scaled to its place."""
COLOURS: Final = 6
"""Classes ``c0`` .. ``c5`` of the style sheet; a seventh series begins again."""

_ROW: Final = 26
_LABEL: Final = 190
_PLOT_HEIGHT: Final = 190
_LEFT: Final = 56
_TOP: Final = 14
_FOOT: Final = 26
_WIDEST_LABEL: Final = 27
_WIDEST_COLUMN: Final = 72
_CHARACTER: Final = 7.5
"""Width of one, in the font that the page has."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What every chart has."""

    name: str
    """Unique in the page."""
    title: str
    text: str
    """The description: what a person would say of the picture."""


def number(value: float) -> str:
    """A count as people read it."""
    return f"{value:,.0f}"


def counted(value: int, what: str) -> str:
    """``1 node``, ``2 nodes``."""
    return f"{number(value)} {plural(value, what)}"


def share(part: float, whole: float) -> str:
    """A part in per cent; small ones with a digit more."""
    percent = 100 * part / whole if whole else 0.0
    return f"{percent:.1f}\N{NO-BREAK SPACE}%" if 0 < percent < 10 else f"{percent:.0f}\N{NO-BREAK SPACE}%"


def bars(figure: Figure, rows: Sequence[tuple[str, float]], whole: float, rest: tuple[str, float] | None = None) -> str:
    """One horizontal bar for each label.

    :param whole: what the shares beside the numbers are of.
    :param rest: what the other labels have together: told, not drawn, for it would dwarf the others.
    """
    most = max((value for _, value in rows), default=0) or 1
    room = WIDTH - _LABEL - 130
    parts = []
    for i, (label, value) in enumerate(rows):
        middle, length = i * _ROW + 17, max(room * value / most, 1 if value else 0)
        said = f"{number(value)} · {share(value, whole)}"
        parts.append(
            f'<text x="{_LABEL - 8}" y="{middle}" class="end">{escape(_short(label))}</text>'
            f'<rect x="{_LABEL}" y="{middle - 13}" width="{length:.1f}" height="18" rx="3" class="c0">'
            f"<title>{escape(label)}: {said}</title></rect>"
            f'<text x="{_LABEL + length + 8:.1f}" y="{middle}" class="soft">{said}</text>'
        )
    everything = list(rows)
    if rest is not None:
        everything.append(rest)
        y = len(rows) * _ROW + 17
        parts.append(
            f'<text x="{_LABEL - 8}" y="{y}" class="end soft">{escape(rest[0])}</text>'
            f'<text x="{_LABEL}" y="{y}" class="soft">{number(rest[1])} · {share(rest[1], whole)}</text>'
        )
    numbers = _table(("", "count"), [(label, number(value)) for label, value in everything])
    return _figure(figure, len(everything) * _ROW + 4, parts, numbers)


def columns(figure: Figure, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """A column for each label, the series on top of each other."""
    totals = [sum(values) for values in zip(*series.values(), strict=True)] or [0.0] * len(labels)
    scale, parts = _scale(max(totals, default=0))
    step = min((WIDTH - _LEFT) / max(len(labels), 1), _WIDEST_COLUMN)
    for i, label in enumerate(labels):
        top = 0.0
        for colour, (name, values) in enumerate(series.items()):
            if values[i]:
                low, top = top, top + values[i]
                parts.append(
                    f'<rect x="{_LEFT + i * step + 2:.1f}" y="{scale(top):.1f}" width="{max(step - 4, 1):.1f}" '
                    f'height="{scale(low) - scale(top):.1f}" class="c{colour % COLOURS}">'
                    f"<title>{escape(label)}, {escape(name)}: {number(values[i])}</title></rect>"
                )
    parts += _labels(labels, step, step / 2)
    rows = [(label, *(number(values[i]) for values in series.values())) for i, label in enumerate(labels)]
    return _figure(figure, _TOP + _PLOT_HEIGHT + _FOOT, parts, _table(("", *series), rows), _legend(series))


def lines(figure: Figure, labels: Sequence[str], series: Mapping[str, Sequence[float]]) -> str:
    """A line for each series through the points at the labels."""
    scale, parts = _scale(max((max(values, default=0) for values in series.values()), default=0))
    step = (WIDTH - _LEFT - 12) / max(len(labels) - 1, 1)
    for colour, (name, values) in enumerate(series.items()):
        points = [(_LEFT + i * step, scale(value)) for i, value in enumerate(values)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" class="line s{colour % COLOURS}"/>')
        for (x, y), label, value in zip(points, labels, values, strict=True):
            parts.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" class="c{colour % COLOURS}">'
                f"<title>{escape(label)}, {escape(name)}: {number(value)}</title></circle>"
            )
    parts += _labels(labels, step, 0)
    rows = [(label, *(number(values[i]) for values in series.values())) for i, label in enumerate(labels)]
    return _figure(figure, _TOP + _PLOT_HEIGHT + _FOOT, parts, _table(("", *series), rows), _legend(series))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table that is always seen. All but the first column are numbers or short words."""
    return f'<div class="wide">{_table(head, rows)}</div>'


# -- parts of a chart ------------------------------------------------------------------------------------------------


def _figure(figure: Figure, height: float, parts: Sequence[str], numbers: str, legend: str = "") -> str:
    name = escape(figure.name)
    return (
        f'<figure><svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(figure.title)}</title><desc id="{name}-d">{escape(figure.text)}</desc>'
        f"{''.join(parts)}</svg>{legend}"
        f"<details><summary>The numbers</summary>{numbers}</details></figure>"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    body = "".join(
        f'<tr><th scope="row">{escape(row[0])}</th>{"".join(f"<td>{escape(cell)}</td>" for cell in row[1:])}</tr>'
        for row in rows
    )
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _legend(series: Mapping[str, object]) -> str:
    if len(series) < 2:
        return ""
    items = (f'<li><i class="b{i % COLOURS}"></i>{escape(name)}</li>' for i, name in enumerate(series))
    return f'<ul class="legend" aria-hidden="true">{"".join(items)}</ul>'


def _scale(most: float) -> tuple[Callable[[float], float], list[str]]:
    """From a value to its height in the drawing, and the lines that show it."""
    tick = _tick(most)
    top = max(tick * ceil(most / tick), tick)

    def at(value: float) -> float:
        return _TOP + _PLOT_HEIGHT * (1 - value / top)

    grid = []
    for i in range(round(top / tick) + 1):
        y = at(i * tick)
        grid.append(
            f'<line x1="{_LEFT}" x2="{WIDTH}" y1="{y:.1f}" y2="{y:.1f}" class="grid"/>'
            f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" class="end soft">{number(i * tick)}</text>'
        )
    return at, grid


def _tick(most: float) -> float:
    """A round number, two to five of which reach ``most``; at least 1, for counts are whole."""
    if most <= 3:
        return 1
    power = 10.0 ** int(log10(most))
    return next((power * part for part in (0.2, 0.5, 1, 2) if most / (power * part) <= 5 and power * part >= 1), power)


def _labels(labels: Sequence[str], step: float, shift: float) -> list[str]:
    """Under the drawing; not more of them than can be read."""
    widest = max(map(len, labels), default=0) + 1
    every = max(1, ceil(widest * _CHARACTER / step))
    y = _TOP + _PLOT_HEIGHT + 18
    last = len(labels) - 1
    parts = []
    for i in range(0, len(labels), every):
        at_edge = " end" if not shift and i == last and i else "" if not shift and i == 0 else " middle"
        parts.append(
            f'<text x="{_LEFT + i * step + shift:.1f}" y="{y}" class="soft{at_edge}">{escape(labels[i])}</text>'
        )
    return parts


def _short(label: str) -> str:
    return label if len(label) <= _WIDEST_LABEL else label[: _WIDEST_LABEL - 1] + "…"

"""Tables that fit the terminal.

A table is declared as columns; a column knows its header, what stands in a cell, by what it sorts and how much it
matters. Where the terminal is too narrow, columns go one by one, the least important first, and a line below says
which: nothing is cut off in silence. To a file or a program all columns go.

The lines are laid out here and not by rich's tables, which take a third of a second for a hundred peers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Generic, TypeVar

from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ccnode.admin.shell.views import UsageError

Row = TypeVar("Row")

_GAP: Final = "  "
"""Between two columns."""


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column of a table."""

    name: str
    """Its header, and the word after ``--sort``."""
    cell: Callable[[Row], str]
    key: Callable[[Row], Any] | None = None
    """What it sorts by; None sorts by the text. A key of None goes last."""
    right: bool = False
    importance: int = 1
    """Where there is no room, the column with the least goes first; of equal ones the last. Empty ones go before."""
    descending: bool = False
    """Whether people want the largest first."""
    style: Callable[[Row], str] | None = None
    """A style of rich's for the cell."""


def sort_rows(rows: Sequence[Row], columns: Sequence[Column[Row]], name: str) -> list[Row]:
    """The rows by the column called ``name``; ``-name`` the other way round. UsageError if there is none."""
    wanted = name.removeprefix("-").lower()
    found = next((column for column in columns if column.name.lower() == wanted), None)
    if found is None:
        names = [column.name.lower() for column in columns]
        near = get_close_matches(wanted, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise UsageError(f"there is no column {wanted}; {hint}")
    key = found.key or found.cell
    present = [row for row in rows if key(row) is not None]
    absent = [row for row in rows if key(row) is None]
    return sorted(present, key=key, reverse=found.descending != name.startswith("-")) + absent


def render(
    columns: Sequence[Column[Row]], rows: Sequence[Row], *, width: int, empty: str = "nothing to show"
) -> RenderableType:
    """The table, with as many columns as ``width`` has room for."""
    if not rows:
        return Text(empty, style="dim")
    cells = [[column.cell(row) for row in rows] for column in columns]
    widths = [max(cell_len(column.name), *map(cell_len, texts)) for column, texts in zip(columns, cells, strict=True)]
    weights = [column.importance if any(texts) else 0 for column, texts in zip(columns, cells, strict=True)]
    shown = _fitting(weights, widths, width)
    text = Text(no_wrap=True, overflow="crop")
    text.append(_GAP.join(_padded(columns[at].name, columns[at], widths[at]) for at in shown).rstrip(), "bold")
    text.append("\n" + _GAP.join("─" * widths[at] for at in shown), "dim")
    for number, row in enumerate(rows):
        for place, at in enumerate(shown):
            column = columns[at]
            text.append(_GAP if place else "\n")
            text.append(_padded(cells[at][number], column, widths[at]), column.style(row) if column.style else None)
    if len(shown) < len(columns):
        names = ", ".join(column.name for at, column in enumerate(columns) if at not in shown)
        return Group(text, Text(f"no room for: {names}", style="dim", no_wrap=True, overflow="ellipsis"))
    return text


def _padded(text: str, column: Column[Row], width: int) -> str:
    space = " " * (width - cell_len(text))
    return space + text if column.right else text + space


def _fitting(weights: Sequence[int], widths: Sequence[int], width: int) -> list[int]:
    """The columns that fit, in their order; those of least weight have gone."""
    shown = list(range(len(widths)))
    while len(shown) > 1 and sum(widths[at] + len(_GAP) for at in shown) - len(_GAP) > width:
        shown.remove(min(shown, key=lambda at: (weights[at], -at)))
    return shown


def facts(pairs: Sequence[tuple[str, str]], *, title: str = "") -> RenderableType:
    """Names and values in two columns."""
    table = Table(box=None, show_header=False, title=title or None, title_justify="left", pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, Text(value))
    return table

"""Tables that fit the terminal.

A table is declared as columns; a column knows its header, what stands in a cell, by what it sorts and how much it
matters. Where the terminal is too narrow, columns go one by one, the least important first, and a line below says
which: nothing is cut off in silence. To a file or a program all columns go.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, Generic, TypeVar

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from ccnode.admin.shell.views import UsageError

Row = TypeVar("Row")

_GAP: Final = 2
"""Columns of the terminal between two columns of a table."""


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
    """Of two columns the one with less goes first where there is no room; equal ones from the right."""
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
    columns: Sequence[Column[Row]], rows: Sequence[Row], *, width: int, title: str = "", empty: str = "nothing to show"
) -> RenderableType:
    """The table, with as many columns as ``width`` has room for."""
    if not rows:
        return Text(empty, style="dim")
    cells = [[column.cell(row) for row in rows] for column in columns]
    shown, left_out = _fitting(columns, cells, width)
    table = Table(box=SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False, show_edge=False)
    for at in shown:
        column = columns[at]
        table.add_column(column.name, justify="right" if column.right else "left", no_wrap=True)
    for number, row in enumerate(rows):
        table.add_row(*(_styled(columns[at], row, cells[at][number]) for at in shown))
    if not left_out:
        return table
    names = ", ".join(columns[at].name for at in left_out)
    return Group(table, Text(f"no room for: {names} (a wider terminal, or --json)", style="dim"))


def _fitting(columns: Sequence[Column[Row]], cells: Sequence[Sequence[str]], width: int) -> tuple[list[int], list[int]]:
    """The columns that fit, in their order, and those that do not."""
    widths = [
        max(cell_len(column.name), *map(cell_len, texts)) + _GAP for column, texts in zip(columns, cells, strict=True)
    ]
    shown = list(range(len(columns)))
    while len(shown) > 1 and sum(widths[at] for at in shown) > width:
        shown.remove(min(shown, key=lambda at: (columns[at].importance, -at)))
    return shown, [at for at in range(len(columns)) if at not in shown]


def _styled(column: Column[Row], row: Row, text: str) -> Text:
    return Text(text, style=column.style(row) if column.style else "")


def facts(pairs: Sequence[tuple[str, str]], *, title: str = "") -> RenderableType:
    """Names and values in two columns."""
    table = Table(box=None, show_header=False, title=title or None, title_justify="left", pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(name, Text(value))
    return table

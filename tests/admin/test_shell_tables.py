"""Tables: what is shown where there is little room, and in which order."""

from collections.abc import Sequence

import pytest

from ccnode.admin.shell.line import Line
from ccnode.admin.shell.output import Output
from ccnode.admin.shell.tables import Column, render, sort_rows
from ccnode.admin.shell.views import UsageError

Row = tuple[str, int | None]

COLUMNS: Sequence[Column[Row]] = (
    Column("name", lambda row: row[0], importance=9),
    Column("size", lambda row: str(row[1] or ""), lambda row: row[1], right=True, importance=3, descending=True),
    Column("double", lambda row: str((row[1] or 0) * 2), right=True, importance=2),
    Column("empty", lambda row: "", importance=5),
)
ROWS: list[Row] = [("b", 20), ("aa", None), ("日本", 3)]


def shown(width: int, rows: Sequence[Row] = ROWS) -> list[str]:
    return Output(Line(()), paged=False).render(render(COLUMNS, rows, width=width)).split("\n")


def test_all_columns_where_there_is_room() -> None:
    assert shown(100) == [
        "name  size  double  empty",
        "────  ────  ──────  ─────",
        "b       20      40",
        "aa               0",
        "日本     3       6",
    ]


def test_columns_go_the_empty_ones_first_then_by_importance() -> None:
    assert shown(24)[0] == "name  size  double"
    assert shown(24)[-1] == "no room for: empty"
    assert shown(17)[0] == "name  size"
    assert shown(17)[-1] == "no room for: double, empty"
    assert shown(1)[0] == "name"


@pytest.mark.parametrize("width", range(1, 40))
def test_nothing_is_wider_than_the_room(width: int) -> None:
    lines = shown(width)[: len(ROWS) + 2]
    assert len(lines[0]) <= max(width, len("name"))


def test_no_rows() -> None:
    assert shown(100, []) == ["nothing to show"]


@pytest.mark.parametrize(
    ("name", "order"), [("name", "aa b 日本"), ("-NAME", "日本 b aa"), ("size", "b 日本 aa"), ("-size", "日本 b aa")]
)
def test_order(name: str, order: str) -> None:
    assert [row[0] for row in sort_rows(ROWS, COLUMNS, name)] == order.split()


@pytest.mark.parametrize(
    ("name", "hint"), [("sise", "did you mean size?"), ("x", "there are name, size, double, empty")]
)
def test_an_unknown_column(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        sort_rows(ROWS, COLUMNS, name)

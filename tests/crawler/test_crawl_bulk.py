"""Rows that are written many at a time."""

import sqlite3

import pytest

from ccnode.crawler.bulk import write_rows


@pytest.mark.parametrize("count", [0, 1, 2, 3, 255, 256, 257, 1000])
@pytest.mark.parametrize("width", [1, 4, 30])
def test_every_row_is_written_once_and_in_order(count: int, width: int) -> None:
    connection = sqlite3.connect(":memory:")
    names = [f"c{i}" for i in range(width)]
    connection.execute(f"CREATE TABLE t (id INTEGER PRIMARY KEY, {', '.join(names)})")
    rows = [tuple(range(n, n + width)) for n in range(count)]
    write_rows(connection, f"INSERT INTO t ({', '.join(names)}) VALUES {{rows}}", rows)
    assert connection.execute(f"SELECT {', '.join(names)} FROM t ORDER BY id").fetchall() == rows
    connection.close()


def test_a_thousand_rows_are_a_few_statements_of_few_kinds() -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE t (a, b)")
    statements: list[str] = []
    for count in range(1, 1001):
        connection.set_trace_callback(statements.append)
        before = len(statements)
        write_rows(
            connection, "INSERT INTO t SELECT ?, r.column1 FROM (VALUES {rows}) r", [(n,) for n in range(count)], [7]
        )
        connection.set_trace_callback(None)
        assert len([one for one in statements[before:] if one.startswith("INSERT")]) <= 11
    assert connection.execute("SELECT count(*), sum(a), sum(b) FROM t").fetchone() == (500_500, 3_503_500, 166_666_500)
    connection.close()

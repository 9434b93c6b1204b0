"""Many rows in one SQL statement.

Each statement lets go of the interpreter's lock, and has to win it back from a crawler that is busy: half a millisecond
at worst, in which the row itself would have been written a hundred times. So a message of a thousand addresses is
written by eight statements and not by a thousand.
"""

from collections.abc import Sequence
from itertools import chain
from sqlite3 import Connection
from typing import Any, Final

MOST_VALUES: Final = 900
"""In a statement: SQLite before 3.32 takes no more than 999."""


def write_rows(
    connection: Connection, statement: str, rows: Sequence[Sequence[Any]], first: Sequence[Any] = ()
) -> None:
    """Run ``statement``, in which ``{rows}`` stands for a list of rows, for all of ``rows``, which are equally long.

    They are taken by powers of two, so that the statements of a kind are few and stay prepared.

    :param first: values of the statement before its rows.
    """
    at = 0
    while at < len(rows):
        width = len(rows[at])
        count = _power_of_two(min(len(rows) - at, MOST_VALUES // width))
        row = f"({', '.join('?' * width)})"
        values = chain(first, *rows[at : at + count])
        connection.execute(statement.format(rows=", ".join([row] * count)), list(values))
        at += count


def _power_of_two(number: int) -> int:
    """The greatest that is not above ``number``."""
    return 1 << (number.bit_length() - 1)

"""Messages counted by type, for one peer or for the whole node."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rich.console import RenderableType

from ccnode.admin.shell import units
from ccnode.admin.shell.tables import Column, render


class Tally(NamedTuple):
    """One type of messages."""

    command: str
    received: int
    bytes_received: int
    sent: int
    bytes_sent: int


COLUMNS: Final[Sequence[Column[Tally]]] = (
    Column("message", lambda row: row.command, importance=9),
    Column("received", lambda row: units.number(row.received), right=True),
    Column("size", lambda row: units.size(row.bytes_received), right=True),
    Column("sent", lambda row: units.number(row.sent), right=True),
    Column("size", lambda row: units.size(row.bytes_sent), right=True),
)


def table(
    received: Mapping[str, int],
    bytes_received: Mapping[str, int],
    sent: Mapping[str, int],
    bytes_sent: Mapping[str, int],
    *,
    width: int,
) -> RenderableType:
    """Counts and bytes by message type, as RPC has them; the type with the most bytes first."""
    rows = [
        Tally(
            command,
            received.get(command, 0),
            bytes_received.get(command, 0),
            sent.get(command, 0),
            bytes_sent.get(command, 0),
        )
        for command in {**received, **sent}
    ]
    rows.sort(key=lambda row: (-row.bytes_received - row.bytes_sent, row.command))
    return render(COLUMNS, rows, width=width, empty="no messages yet")

"""Words about bans."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ccnode.admin.shell import units
from ccnode.admin.shell.tables import Column, render
from ccnode.admin.shell.views import Argument, Given, Option, Result, Session, UsageError, passed, view

COLUMNS: Final[Sequence[Column[Mapping[str, Any]]]] = (
    Column("subnet", lambda ban: ban["address"], importance=9),
    Column("lasts", lambda ban: units.span(ban["ban_duration"]), lambda ban: ban["ban_duration"], right=True),
    Column("left", lambda ban: units.span(ban["time_remaining"]), lambda ban: ban["time_remaining"], right=True),
)


@view("bans", "Bans", help="Lists the bans.", uses=("listbanned",), examples=("bans", "bans --json"))
def bans(shell: Session, given: Given) -> Result:
    answer = shell.remote.call("listbanned")
    return Result(answer, lambda: render(COLUMNS, answer, width=shell.width, empty="nobody is banned"))


@view(
    "ban",
    "Bans",
    help="Bans an address or a subnet, and disconnects whoever is there.",
    uses=("setban",),
    examples=("ban 1.2.3.4", "ban 1.2.3.0/24 --for 2h"),
    arguments=[Argument("subnet", "address or subnet", completion="peer_host")],
    options=[Option("for", "how long: 90s, 15m, 2h, 1d (the node's bantime without it)", "TIME")],
)
def ban(shell: Session, given: Given) -> Result:
    subnet, duration = given.arguments["subnet"], given.get("for")
    try:
        seconds = units.parse_span(duration) if duration is not None else 0
    except ValueError as error:
        raise UsageError(str(error)) from None
    answer = shell.remote.call("setban", subnet, "add", seconds)
    return passed(answer, f"banned {subnet}" + (f" for {units.span(seconds)}" if seconds else ""))


@view(
    "unban",
    "Bans",
    help="Lifts a ban.",
    uses=("setban", "listbanned"),
    examples=("unban 1.2.3.0/24",),
    arguments=[Argument("subnet", "as the list of bans shows it", completion="banned")],
)
def unban(shell: Session, given: Given) -> Result:
    subnet = given.arguments["subnet"]
    return passed(shell.remote.call("setban", subnet, "remove"), f"the ban of {subnet} is lifted")

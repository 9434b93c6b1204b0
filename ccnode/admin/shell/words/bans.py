"""Words about bans."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ccnode.admin.shell import units
from ccnode.admin.shell.tables import Column, render
from ccnode.admin.shell.views import Argument, Given, Option, Result, Session, UsageError, passed, view

SPANS: Final = ("15m", "2h", "1d", "1w")
"""Durations that completion offers."""

BY_HAND: Final = "manually added"
"""How the reason of a ban that a person made begins; what they said follows after a colon."""

COLUMNS: Final[Sequence[Column[Mapping[str, Any]]]] = (
    Column("subnet", lambda ban: ban["address"], importance=9),
    Column("lasts", lambda ban: units.span(ban["ban_duration"]), lambda ban: ban["ban_duration"], right=True),
    Column("left", lambda ban: units.span(ban["time_remaining"]), lambda ban: ban["time_remaining"], right=True),
    Column("reason", lambda ban: _reason(ban["ban_reason"]), importance=8),
)


def _reason(reason: str) -> str:
    return reason.removeprefix(f"{BY_HAND}: ").replace(BY_HAND, "by hand")


@view("bans", "Bans", help="Lists the bans.", uses=("listbanned",), examples=("bans", "bans --json"))
def bans(shell: Session, given: Given) -> Result:
    answer = shell.remote.call("listbanned")
    return Result(answer, lambda: render(COLUMNS, answer, width=shell.width, empty="nobody is banned"))


@view(
    "ban",
    "Bans",
    help="Bans an address or a subnet, and disconnects whoever is there.",
    uses=("setban",),
    examples=("ban 203.0.113.7", "ban 203.0.113.0/24 --for 2h --reason spam"),
    arguments=[Argument("subnet", "address or subnet", completion="peer_host")],
    options=[
        Option("for", "how long: 90s, 15m, 2h, 1d (the node's bantime without it)", "TIME", SPANS),
        Option("reason", "for the list of bans", "TEXT"),
    ],
)
def ban(shell: Session, given: Given) -> Result:
    subnet, duration = given.arguments["subnet"], given.get("for")
    try:
        seconds = units.parse_span(duration) if duration is not None else 0
    except ValueError as error:
        raise UsageError(str(error)) from None
    answer = shell.remote.call("setban", subnet, "add", seconds, False, given.get("reason") or "")
    return passed(answer, f"banned {subnet}" + (f" for {units.span(seconds)}" if seconds else ""))


@view(
    "unban",
    "Bans",
    help="Lifts a ban.",
    uses=("setban",),
    examples=("unban 203.0.113.0/24",),
    arguments=[Argument("subnet", "as the list of bans shows it", completion="banned")],
)
def unban(shell: Session, given: Given) -> Result:
    subnet = given.arguments["subnet"]
    return passed(shell.remote.call("setban", subnet, "remove"), f"the ban of {subnet} is lifted")

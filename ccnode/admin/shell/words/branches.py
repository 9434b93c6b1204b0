"""Words about the branches of the header tree, and changes between them."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from ccnode.admin.shell import units
from ccnode.admin.shell.tables import Column, render
from ccnode.admin.shell.views import Argument, Given, Option, Result, Session, UsageError, view

Tip = Mapping[str, Any]
"""One end of the header tree."""

STYLES: Final = {"active": "green", "invalid": "red"}

SHORT_HASH: Final = 12
"""Digits of a hash where there is no room for all; the last ones, since the first are zeros."""

REORGS: Final = 20
"""Reorganisations that ``reorgs`` shows."""


@view(
    "tips",
    "Chain",
    help="Lists the ends of all branches of headers; the tip of the active chain comes first.\n"
    "A branch is headers-only, or invalid where somebody said so. With --tree they are drawn as a tree, each with the "
    "height at which it left the branch above it.",
    uses=("getblockchaininfo", "getorphanbranches"),
    examples=("tips", "tips --tree"),
    options=[Option("tree", "draw the tree of branches")],
)
def tips(shell: Session, given: Given) -> Result:
    info = shell.remote.call("getblockchaininfo")
    active = {
        "height": info["blocks"],
        "hash": info["bestblockhash"],
        "length": 0,
        "time": info["time"],
        "status": "active",
    }
    found: list[Tip] = [active, *shell.remote.call("getorphanbranches")["branches"]]
    now = time.time()
    if given.has("tree"):
        return Result(found, lambda: _tree(found, now, shell.width))
    return Result(found, lambda: render(_columns(now), found, width=shell.width))


def _columns(now: float) -> list[Column[Tip]]:
    return [
        Column("height", lambda tip: units.number(tip["height"]), right=True, importance=9),
        Column("status", lambda tip: tip["status"], importance=8, style=_style),
        Column("headers", lambda tip: str(tip["length"] or ""), right=True, importance=7),
        Column(
            "left at", lambda tip: units.number(tip["fork_height"]) if tip["length"] else "", right=True, importance=6
        ),
        Column("age", lambda tip: units.age(tip["time"], now), right=True, importance=5),
        Column("hash", lambda tip: tip["hash"], importance=4),
    ]


def _style(tip: Tip) -> str:
    return STYLES.get(tip["status"], "")


def _tree(found: Sequence[Tip], now: float, width: int) -> RenderableType:
    """A line for each end, below the branch that it grew from and the highest fork first."""
    children: dict[str, list[Tip]] = {}
    for tip in found[1:]:
        children.setdefault(tip["grew_from"], []).append(tip)
    text = Text(no_wrap=True, overflow="ellipsis")

    def draw(tip: Tip, lead: str, below: str) -> None:
        left = f"at {tip['grew_at']:,}  " if "grew_at" in tip else ""
        length = tip["height"] - tip["grew_at"] if left else 0
        headers = f", {length:,} header{'s' if length > 1 else ''}" if left else ""
        text.append(lead, "dim")
        text.append(f"{left}up to {tip['height']:,}{headers}, ")
        text.append(tip["status"], _style(tip))
        text.append(f", {units.age(tip['time'], now)} old  ")
        room = width - len(text.plain.rpartition("\n")[2])
        text.append(tip["hash"] if room >= len(tip["hash"]) else f"..{tip['hash'][-SHORT_HASH:]}", "dim")
        text.append("\n")
        offshoots = sorted(children.get(tip["hash"], ()), key=lambda each: each["grew_at"], reverse=True)
        for number, each in enumerate(offshoots, 1):
            last = number == len(offshoots)
            draw(each, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))

    draw(found[0], "", "")
    text.rstrip()
    return text


@view(
    "reorgs",
    "Chain",
    help="Lists the last reorganisations since the node's start: when the active chain lost headers, and got others.",
    uses=("getreorgs",),
    examples=("reorgs", "reorgs 3 --json"),
    arguments=[Argument("count", f"how many at most, {REORGS} without it", optional=True)],
)
def reorgs(shell: Session, given: Given) -> Result:
    count = given.get("count") or str(REORGS)
    if not count.isdecimal():
        raise UsageError(f"reorgs wants a number, not '{count}'")
    found, now = shell.remote.call("getreorgs", int(count)), time.time()
    columns: list[Column[Mapping[str, Any]]] = [
        Column("ago", lambda each: units.age(each["time"], now), right=True, importance=7),
        Column("time (UTC)", lambda each: units.moment(each["time"]), importance=4),
        Column("fork at", lambda each: units.number(each["fork_height"]), right=True, importance=9),
        Column("lost", lambda each: units.number(each["disconnected"]), right=True, importance=8),
        Column("new", lambda each: units.number(each["connected"]), right=True, importance=8),
        Column("old tip", lambda each: each["old_tip"], importance=2),
        Column("new tip", lambda each: each["new_tip"], importance=3),
    ]
    return Result(found, lambda: render(columns, found, width=shell.width, empty="none since the start"))

"""Words about the addresses that the node knows."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from ccnode.admin.shell import units
from ccnode.admin.shell.tables import Column, render
from ccnode.admin.shell.views import Given, Option, Result, Session, UsageError, view

SHOWN: Final = 20
"""Addresses that are shown when nobody says how many."""

_TABLES: Final[Sequence[Column[tuple[str, Mapping[str, int]]]]] = (
    Column("network", lambda row: row[0], importance=9),
    Column("new", lambda row: units.number(row[1]["new"]), right=True),
    Column("tried", lambda row: units.number(row[1]["tried"]), right=True),
    Column("total", lambda row: units.number(row[1]["total"]), right=True, importance=8),
)


@view(
    "addrman",
    "Addresses",
    help="Counts the known addresses by network, and shows how full the tables are: new ones were heard of, tried ones "
    "connected to.",
    uses=("getaddrmaninfo", "getnodestats"),
    examples=("addrman",),
)
def addrman(shell: Session, given: Given) -> Result:
    counts, stats = shell.remote.call_all("getaddrmaninfo", "getnodestats")
    tables = stats["addrman"]

    def show() -> RenderableType:
        rows = [("total" if name == "all_networks" else name, count) for name, count in counts.items()]
        filled = [f"{name:<5}  {_filled(table)}" for name, table in tables.items()]
        return Group(render(_TABLES, rows, width=shell.width), Text(), Text("\n".join(filled)))

    return Result({"networks": counts, "tables": tables}, show)


def _filled(table: Mapping[str, int]) -> str:
    slots = f"{units.number(table['slots_taken'])} of {units.number(table['slots'])} slots taken"
    buckets = f"{table['buckets_begun']} of {units.number(table['buckets'])} buckets begun"
    return f"{slots} ({units.share(table['slots_taken'], table['slots'])}), {buckets}, {table['buckets_full']} full"


@view(
    "addresses",
    "Addresses",
    help="Shows known addresses, drawn at random.",
    uses=("getnodeaddresses",),
    examples=("addresses", "addresses --network onion", "addresses --count 0 > all.txt"),
    options=[
        Option("network", "of this network only", "NETWORK", completion="network"),
        Option("count", f"so many, 0 for all ({SHOWN} without it)", "N"),
    ],
)
def addresses(shell: Session, given: Given) -> Result:
    count = given.get("count") or str(SHOWN)
    if not count.isdecimal():
        raise UsageError(f"--count wants a number, not '{count}'")
    network = given.get("network")
    answer = shell.remote.call("getnodeaddresses", int(count), *([network] if network else []))

    def show() -> RenderableType:
        return render(_columns(time.time()), answer, width=shell.width, empty="no such address is known")

    return Result(answer, show)


def _columns(now: float) -> Sequence[Column[Mapping[str, Any]]]:
    return (
        Column("address", _host_and_port, importance=9),
        Column("network", lambda row: row["network"], importance=7),
        Column("last heard of", lambda row: units.age(row["time"], now), right=True, importance=8),
        Column("services", lambda row: f"{row['services']:x}", right=True),
    )


def _host_and_port(row: Mapping[str, Any]) -> str:
    host = f"[{row['address']}]" if ":" in row["address"] else row["address"]
    return f"{host}:{row['port']}"


_ANCHORS: Final[Sequence[Column[tuple[str, str]]]] = (
    Column("address", lambda row: row[0], importance=9),
    Column("state", lambda row: row[1], importance=8),
)


@view(
    "anchors",
    "Addresses",
    help="Lists the anchors: block-relay-only peers that one run leaves to the next, which dials them first.",
    uses=("getanchors",),
    examples=("anchors",),
)
def anchors(shell: Session, given: Given) -> Result:
    answer = shell.remote.call("getanchors")
    rows = [
        *((each["address"], f"of the last run: {each['outcome']}") for each in answer["loaded"]),
        *((each["address"], "would be left to the next run") for each in answer["to_save"]),
    ]
    return Result(answer, lambda: render(_ANCHORS, rows, width=shell.width, empty="no anchors"))

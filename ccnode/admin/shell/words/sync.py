"""Words about the synchronisation of headers and blocks, and how far each peer is."""

import time
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from ccnode.admin.shell import units
from ccnode.admin.shell.tables import Column, facts, render, sort_rows
from ccnode.admin.shell.views import Given, Option, Result, Session, view

Row = Mapping[str, Any]
"""A peer: its entry of getheadersyncinfo, with ``addr`` and ``subver`` of getpeerinfo."""

BAR_WIDTH: Final = 40

STYLES: Final = {"with us": "green", "fork": "red", "ahead": "yellow"}


@view(
    "sync",
    "Chain",
    help="Shows how the synchronisation of headers and blocks is going, as a whole and with each peer.\n"
    "The leader is the peer that the headers come from while there are many to get.",
    uses=("getheadersyncinfo", "getpeerinfo"),
    examples=("sync", "watch sync"),
)
def sync(shell: Session, given: Given) -> Result:
    info = shell.remote.call("getheadersyncinfo")
    rows = _rows(shell, info)
    columns: list[Column[Row]] = [
        Column("peer", lambda row: str(row["id"]), right=True, importance=9),
        Column("leads", lambda row: "leader" if row["leading"] else "", importance=7, style=lambda _row: "green"),
        Column("height", lambda row: _height(row["synced_headers"]), right=True, importance=8),
        Column("looked at", lambda row: _height(row["presynced_headers"]), right=True, importance=5),
        Column("blocks", lambda row: _height(row["synced_blocks"]), right=True, importance=7),
        Column("owes", lambda row: str(len(row["inflight"]) or ""), right=True, importance=7),
        Column("headers/s", lambda row: _rate(row.get("rate")), right=True, importance=6),
        Column("asked", lambda row: units.span(row.get("asked_seconds_ago")), right=True, importance=4),
        Column("waiting", lambda row: str(row["waiting_batches"] or ""), right=True, importance=3),
        Column("address", lambda row: row["addr"], importance=6),
    ]

    def show() -> RenderableType:
        table = render(columns, rows, width=shell.width, empty="no peers")
        return Group(facts(_progress(info)), Text(), table)

    return Result({**info, "peers": rows}, show)


def _progress(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    done = int(BAR_WIDTH * info["percent"] / 100)
    pairs = [
        ("phase", info["phase"]),
        ("progress", f"{'█' * done}{'░' * (BAR_WIDTH - done)} {info['percent']:.2f} %"),
        ("height", units.number(info["height"])),
        ("time of it", f"{units.moment(info['best_time'])} UTC, {units.age(info['best_time'], time.time())} ago"),
        ("rate", rate_text(info) + (f", {units.span(info['eta'])} left" if "eta" in info else "")),
    ]
    if "presync_height" in info:
        pairs.append(("looked at", f"up to {info['presync_height']:,}, before anything is stored"))
    if info["low_work"]:
        pairs.append(("warning", "the peers' chain has less work than this network's minimum"))
    return pairs


def rate_text(info: Mapping[str, Any]) -> str:
    """The speed of getheadersyncinfo, in what is counted at present."""
    return f"{info['rate']:,.0f} {'blocks' if 'blocks' in info['phase'] else 'headers'}/s"


def _rate(value: float | None) -> str:
    return units.NOTHING if value is None else f"{value:,.0f}"


def _height(value: int) -> str:
    return units.NOTHING if value < 0 else units.number(value)


STANDING: Final[list[Column[Row]]] = [
    Column("peer", lambda row: str(row["id"]), lambda row: row["id"], right=True, importance=9),
    Column("standing", lambda row: row["standing"], importance=8, style=lambda row: STYLES.get(row["standing"], "")),
    Column("headers", lambda row: units.number(row["headers"]), lambda row: row["headers"], True, 7, True),
    Column("left at", lambda row: units.number(row["left_at"]), lambda row: row["left_at"], True, 6),
    Column("height", lambda row: _height(row["synced_headers"]), lambda row: row["synced_headers"], True, 5, True),
    Column("work", lambda row: _signed(row["work"]), lambda row: row["work"], True, 4),
    Column("address", lambda row: row["addr"], importance=3),
    Column("version", lambda row: row["subver"].strip("/"), importance=2),
]


@view(
    "standing",
    "Chain",
    help="Shows where each peer stands relative to our tip, by what it has shown us.\n"
    "  with us   it has our tip\n"
    "  behind    its best header is on our chain, so many headers below the tip\n"
    "  fork      its best header ends a branch of so many headers, which left our chain at that height\n"
    "  ahead     it showed or announced something that we have not taken in, at least not yet\n"
    "  unknown   it has shown no header that we know\n"
    "Work is what its chain has more or less than ours, in blocks of the difficulty that our tip has.",
    uses=("getheadersyncinfo", "getblockchaininfo", "getpeerinfo"),
    examples=("standing", "standing --sort headers"),
    options=[
        Option(
            "sort",
            "by this column; -COLUMN the other way round",
            "COLUMN",
            completion=tuple(column.name for column in STANDING),
        )
    ],
)
def standing(shell: Session, given: Given) -> Result:
    sync, chain = shell.remote.call("getheadersyncinfo"), shell.remote.call("getblockchaininfo")
    found: list[Row] = [{**row, **_stand(row, sync["height"], chain)} for row in _rows(shell, sync)]
    rows = sort_rows(found, STANDING, given.get("sort") or "peer")
    return Result(rows, lambda: render(STANDING, rows, width=shell.width, empty="no peers"))


def _stand(row: Row, tip: int, chain: Mapping[str, Any]) -> dict[str, Any]:
    """``standing`` and its figures; None for what has no meaning."""
    height, fork = row["synced_headers"], row["fork_height"]
    if height < 0:
        return {"standing": "ahead" if row["ahead"] else "unknown", "headers": None, "left_at": None, "work": None}
    block_work = 2**256 / (int(chain["target"], 16) + 1)
    work = round((int(row["chainwork"], 16) - int(chain["chainwork"], 16)) / block_work, 2)
    if height > fork:
        return {"standing": "fork", "headers": height - fork, "left_at": fork, "work": work}
    if row["ahead"]:
        return {"standing": "ahead", "headers": None, "left_at": None, "work": None}
    if height < tip:
        return {"standing": "behind", "headers": tip - height, "left_at": None, "work": work}
    return {"standing": "with us", "headers": None, "left_at": None, "work": work}


def _signed(value: float | None) -> str:
    return units.NOTHING if value is None else f"{value:+,.2f}" if value else "0"


def _rows(shell: Session, info: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The peers that still are there, with what they are called."""
    peers = {peer["id"]: peer for peer in shell.remote.call("getpeerinfo")}
    return [
        {**each, **{name: peers[each["id"]][name] for name in ("addr", "subver", "synced_blocks", "inflight")}}
        for each in info["peers"]
        if each["id"] in peers
    ]

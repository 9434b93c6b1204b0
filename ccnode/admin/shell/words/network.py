"""Words about the network side as a whole."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from ccnode.admin.shell import tallies, units
from ccnode.admin.shell.tables import Column, facts, render
from ccnode.admin.shell.views import Given, Result, Session, view
from ccnode.admin.shell.words.peers import NETWORKS, Peer, kind, network

Direction = tuple[str, Counter[str]]
"""A name, and connections by network, type and ``total``."""


@view(
    "network",
    "Network",
    help="Counts the connections by network and direction, and shows our own side.",
    uses=("getnetworkinfo", "getpeerinfo"),
    examples=("network",),
)
def network_(shell: Session, given: Given) -> Result:
    info, peers = shell.remote.call_all("getnetworkinfo", "getpeerinfo")

    def show() -> RenderableType:
        columns, rows = count(info, peers)
        own = facts(_own_side(info))
        return Group(render(columns, rows, width=shell.width), Text(), own)

    return Result({"network": info, "connections": _as_json(*count(info, peers))}, show)


def count(info: Mapping[str, Any], peers: Iterable[Peer]) -> tuple[Sequence[Column[Direction]], Sequence[Direction]]:
    """The table of connections by direction: columns and rows. Networks that are reachable, or have somebody."""
    inbound: Counter[str] = Counter()
    outbound: Counter[str] = Counter()
    for peer in peers:
        (inbound if peer["inbound"] else outbound).update((network(peer), f"type {kind(peer)}", "total"))
    total = inbound + outbound
    reachable = {each["name"] for each in info["networks"] if each["reachable"]}
    names = [name for name in NETWORKS if name in reachable or total[name]]
    keys = [*((name, name) for name in names), ("total", "total"), ("block", "type block"), ("manual", "type manual")]
    columns: list[Column[Direction]] = [Column("", lambda row: row[0], importance=9)]
    columns += [_counted(name, key) for name, key in keys]
    return columns, [("in", inbound), ("out", outbound), ("total", total)]


def _counted(name: str, key: str) -> Column[Direction]:
    return Column(name, lambda row: str(row[1][key]), right=True)


def _as_json(columns: Sequence[Column[Direction]], rows: Sequence[Direction]) -> dict[str, dict[str, int]]:
    return {row[0]: {column.name: int(column.cell(row)) for column in columns[1:]} for row in rows}


def _own_side(info: Mapping[str, Any]) -> list[tuple[str, str]]:
    local = [f"{each['address']} port {each['port']} score {each['score']}" for each in info["localaddresses"]]
    proxies = [f"{each['name']} through {each['proxy']}" for each in info["networks"] if each["proxy"]]
    return [
        ("program", info["subversion"]),
        ("protocol", str(info["protocolversion"])),
        ("services", ", ".join(info["localservicesnames"]) or "none"),
        ("connections", "on" if info["networkactive"] else "switched off (net on)"),
        ("addresses", "\n".join(local) or "none known"),
        ("proxies", "\n".join(proxies) or "none"),
        ("our clock", f"{info['timeoffset']:+d} s by the peers' median"),
        *(("warning", text) for text in info["warnings"]),
    ]


@view(
    "traffic",
    "Network",
    help="Shows what went over all connections since the start: rates over a second, a minute and an hour, and the "
    "messages by type.",
    uses=("getnettotals", "getnodestats"),
    examples=("traffic", "watch traffic"),
)
def traffic(shell: Session, given: Given) -> Result:
    totals, stats = shell.remote.call_all("getnettotals", "getnodestats")
    flows = stats["traffic"]
    received, sent = flows["received"], flows["sent"]

    def show() -> RenderableType:
        return Group(
            render(_FLOW, [("received", received), ("sent", sent)], width=shell.width),
            *([Text(_upload_target(totals["uploadtarget"]))] if totals["uploadtarget"]["target"] else []),
            Text(),
            tallies.table(
                received["messages_per_msg"],
                received["bytes_per_msg"],
                sent["messages_per_msg"],
                sent["bytes_per_msg"],
                width=shell.width,
            ),
        )

    return Result({**totals, **flows}, show)


def _rate(window: str, name: str) -> Column[tuple[str, Any]]:
    return Column(name, lambda row: units.rate(row[1]["bytes_per_second"][window]), right=True)


_FLOW: Sequence[Column[tuple[str, Any]]] = (
    Column("", lambda row: row[0], importance=9),
    Column("total", lambda row: units.size(row[1]["bytes"]), right=True, importance=8),
    Column("messages", lambda row: units.number(row[1]["messages"]), right=True),
    _rate("1s", "last second"),
    _rate("1m", "minute"),
    _rate("1h", "hour"),
)


def _upload_target(target: Mapping[str, Any]) -> str:
    left = f"{units.size(target['bytes_left_in_cycle'])} left for {units.span(target['time_left_in_cycle'])}"
    return f"upload target {units.size(target['target'])} in {units.span(target['timeframe'])}: {left}"

"""Words about connections."""

import time
from collections.abc import Mapping
from typing import Any, Final

from rich.console import RenderableType

from ccnode.admin.shell import units
from ccnode.admin.shell.tables import Column, render, sort_rows
from ccnode.admin.shell.views import Argument, Given, Option, Result, Session, view

Peer = Mapping[str, Any]
"""One entry of getpeerinfo."""

TYPES: Final = {
    "outbound-full-relay": "full",
    "block-relay-only": "block",
    "addr-fetch": "addr",
}
"""Kinds of connection in short; the others have short names."""


def columns(now: float) -> list[Column[Peer]]:
    """The columns of the list of peers, in their order."""
    return [
        Column("id", lambda p: str(p["id"]), lambda p: p["id"], right=True, importance=9),
        Column("dir", lambda p: "in" if p["inbound"] else "out", importance=8),
        Column("type", lambda p: TYPES.get(p["connection_type"]) or p["connection_type"], importance=6),
        Column("net", lambda p: p["network"], importance=4),
        Column("address", lambda p: p["addr"], importance=9),
        Column("version", lambda p: p["subver"].strip("/"), importance=5),
        Column("ping", lambda p: units.milliseconds(p.get("pingtime")), lambda p: p.get("pingtime"), True, 7),
        Column("age", lambda p: units.age(p["conntime"], now), lambda p: p["conntime"], True, 7),
        Column("height", lambda p: units.number(p["synced_headers"]), lambda p: p["synced_headers"], True, 7, True),
    ]


@view(
    "peers",
    "Peers",
    help="Lists the connections.",
    uses=("getpeerinfo",),
    examples=("peers", "peers --in --sort ping", "peers | grep onion"),
    options=[
        Option("in", "inbound ones only"),
        Option("out", "outbound ones only"),
        Option("sort", "by this column; -COLUMN the other way round", "COLUMN", completion="peer_column"),
    ],
)
def peers(shell: Session, given: Given) -> Result:
    answer = [
        peer
        for peer in shell.remote.call("getpeerinfo")
        if not (given.has("in") or given.has("out")) or given.has("in" if peer["inbound"] else "out")
    ]

    def show() -> RenderableType:
        every = columns(time.time())
        rows = sort_rows(answer, every, given.get("sort") or "id")
        return render(every, rows, width=shell.width, empty="no peers")

    return Result(answer, show)


@view(
    "disconnect",
    "Peers",
    help="Ends a connection.",
    uses=("disconnectnode",),
    examples=("disconnect 12",),
    arguments=[Argument("peer", "number of the connection, or its address", completion="peer_id")],
)
def disconnect(shell: Session, given: Given) -> Result:
    peer = given.arguments["peer"]
    answer = shell.remote.call("disconnectnode", *(("", int(peer)) if peer.isdecimal() else (peer,)))
    return Result(answer, lambda: f"disconnected {peer}")

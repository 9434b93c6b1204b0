"""``peers``: the connections in a table."""

import time
from collections.abc import Iterable, Mapping
from typing import Any, Final

from ccnode.admin.shell import units
from ccnode.admin.shell.output import PLAIN_WIDTH
from ccnode.admin.shell.tables import Column, render, sort_rows
from ccnode.admin.shell.views import Given, Option, Result, Session, view

Peer = Mapping[str, Any]
"""One entry of getpeerinfo."""

TYPES: Final = {
    "outbound-full-relay": "full",
    "block-relay-only": "block",
    "addr-fetch": "addr",
}
"""Kinds of connection in short; the others have short names."""

UNROUTABLE: Final = "not_publicly_routable"

NETWORKS: Final = ("ipv4", "ipv6", "onion", "i2p", "cjdns", "npr")


def network(peer: Peer) -> str:
    """The network, in short."""
    return "npr" if peer["network"] == UNROUTABLE else str(peer["network"])


def kind(peer: Peer) -> str:
    """The kind of connection, in short."""
    return TYPES.get(peer["connection_type"]) or str(peer["connection_type"])


def service_letters(names: Iterable[str]) -> str:
    """Services in short, as ``bitcoin-cli -netinfo`` has them: n, b, w, c, l, 2, u."""
    letters = {"P2P_V2": "2", "NETWORK_LIMITED": "l"}
    return "".join(letters.get(name) or name[:1].lower() for name in names)


def columns(now: float) -> list[Column[Peer]]:
    """The columns of the list of peers, in their order."""
    return [
        Column("id", lambda p: str(p["id"]), lambda p: p["id"], True, 20),
        Column("dir", lambda p: "in" if p["inbound"] else "out", importance=19, style=_direction_style),
        Column("type", kind, importance=17),
        Column("net", network, importance=12),
        Column("serv", lambda p: service_letters(p["servicesnames"]), importance=8),
        Column("v", lambda p: p["transport_protocol_type"].removeprefix("v"), importance=1),
        Column("mping", lambda p: units.milliseconds(p.get("minping")), lambda p: p.get("minping"), True, 7),
        Column("ping", lambda p: units.milliseconds(p.get("pingtime")), lambda p: p.get("pingtime"), True, 16),
        Column("send", lambda p: units.age(p["lastsend"], now), lambda p: -p["lastsend"], True, 6),
        Column("recv", lambda p: units.age(p["lastrecv"], now), lambda p: -p["lastrecv"], True, 6),
        Column("txn", lambda p: _last_transaction(p, now), lambda p: -p["last_transaction"], True, 2),
        Column("blk", lambda p: _since(p["last_block"], now), lambda p: -p["last_block"], True, 2),
        Column("hb", lambda p: "." * p["bip152_hb_to"] + "*" * p["bip152_hb_from"], importance=2),
        Column("addrp", _addresses_processed, lambda p: p["addr_processed"], True, 4, True),
        Column("addrl", lambda p: str(p["addr_rate_limited"] or ""), lambda p: p["addr_rate_limited"], True, 4, True),
        Column("age", lambda p: units.age(p["conntime"], now), lambda p: -p["conntime"], True, 15, True),
        Column("asmap", lambda p: str(p.get("mapped_as", "")), lambda p: p.get("mapped_as"), True, 3),
        Column("height", height, lambda p: p["synced_headers"], True, 14, True),
        Column("score", _score, lambda p: p["misbehavior"]["score"], True, 11, True, style=lambda _p: "yellow"),
        Column("sent", lambda p: units.size(p["bytessent"]), lambda p: p["bytessent"], True, 9, True),
        Column("received", lambda p: units.size(p["bytesrecv"]), lambda p: p["bytesrecv"], True, 10, True),
        Column("address", lambda p: p["addr"], importance=18),
        Column("proto", lambda p: str(p["version"]), lambda p: p["version"], True, 5),
        Column("version", lambda p: p["subver"].strip("/"), importance=13),
    ]


def _direction_style(peer: Peer) -> str:
    return "cyan" if peer["inbound"] else "green"


def _last_transaction(peer: Peer, now: float) -> str:
    return _since(peer["last_transaction"], now) or ("" if peer["relaytxes"] else "*")


def _since(then: int, now: float) -> str:
    return units.age(then, now) if then else ""


def _addresses_processed(peer: Peer) -> str:
    return str(peer["addr_processed"]) if peer["addr_processed"] else "" if peer["addr_relay_enabled"] else "."


def height(peer: Peer) -> str:
    """The last header that we have in common."""
    return units.NOTHING if peer["synced_headers"] < 0 else units.number(peer["synced_headers"])


def _score(peer: Peer) -> str:
    return str(peer["misbehavior"]["score"] or "")


@view(
    "peers",
    "Peers",
    help="Lists the connections.\n"
    "Columns are those of bitcoin-cli -netinfo 4 and some more:\n"
    "  dir, type, net   in or out; full, block, manual, feeler, addr; npr is no public network\n"
    "  serv, v          services: n network, l limited, w witness, b bloom, c filters, 2 BIP324; transport version\n"
    "  mping, ping      shortest and last answer time\n"
    "  send, recv       time since something was sent to the peer, and received\n"
    "  txn, blk         time since its last transaction (*: it wants none) and block\n"
    "  hb               announces blocks at once: . to the peer, * from it\n"
    "  addrp, addrl     addresses taken from it (.: none are exchanged), and dropped for being too many\n"
    "  height, score    last header in common; points for misbehaviour\n"
    "  sent, received   bytes\n"
    "Where the terminal is narrow the less important ones are left out.",
    uses=("getpeerinfo",),
    examples=("peers", "peers --in --sort ping", "peers --net onion --wide", "peers | grep Satoshi"),
    options=[
        Option("in", "inbound ones only"),
        Option("out", "outbound ones only"),
        Option("net", "of this network only", "NETWORK", completion=NETWORKS),
        Option("type", "of this type only", "TYPE", completion="connection_type"),
        Option("sort", "by this column; -COLUMN the other way round", "COLUMN", completion="peer_column"),
        Option("wide", "all columns, whatever the width of the terminal"),
    ],
)
def peers(shell: Session, given: Given) -> Result:
    every = columns(time.time())
    wanted = [peer for peer in shell.remote.call("getpeerinfo") if _is_wanted(peer, given)]
    rows = sort_rows(wanted, every, given.get("sort") or "id")
    wide = given.has("wide")
    width = PLAIN_WIDTH if wide else shell.width
    return Result(rows, lambda: render(every, rows, width=width, empty="no peers"), wide=wide)


def _is_wanted(peer: Peer, given: Given) -> bool:
    """Whether the peer is of the direction, network and type that the options name."""
    if (given.has("in") or given.has("out")) and not given.has("in" if peer["inbound"] else "out"):
        return False
    if given.get("net") not in (None, network(peer), peer["network"]):
        return False
    return given.get("type") in (None, kind(peer), peer["connection_type"])

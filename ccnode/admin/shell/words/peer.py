"""``peer``: one connection, whole."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Group, RenderableType
from rich.text import Text

from ccnode.admin.shell import tallies, units
from ccnode.admin.shell.tables import Column, facts, render
from ccnode.admin.shell.views import Argument, Given, Option, Result, Session, UsageError, view
from ccnode.admin.shell.words.peers import Peer, height
from ccnode.errors import CcnodeError

LAST_MESSAGES: Final = 10
"""Messages that are shown when nobody says how many."""


@view(
    "peer",
    "Peers",
    help="Shows all that is known of one connection, its messages by type, and the last of them.",
    uses=("getpeerinfo", "getpeermessages"),
    examples=("peer 12", "peer 203.0.113.7 --last 50", "peer 12 --json"),
    arguments=[Argument("peer", "number of the connection, or its address", completion="peer_id")],
    options=[Option("last", f"so many of the last messages ({LAST_MESSAGES} without it)", "N")],
)
def peer_(shell: Session, given: Given) -> Result:
    count = given.get("last") or str(LAST_MESSAGES)
    if not count.isdecimal():
        raise UsageError(f"--last wants a number, not '{count}'")
    peer = find_peer(shell, given.arguments["peer"])
    messages = shell.remote.call("getpeermessages", peer["id"], int(count))

    def show() -> RenderableType:
        now = time.time()
        return Group(
            facts(peer_facts(peer, now)),
            Text(),
            tallies.table(
                peer["msgsrecv_per_msg"],
                peer["bytesrecv_per_msg"],
                peer["msgssent_per_msg"],
                peer["bytessent_per_msg"],
                width=shell.width,
            ),
            Text(),
            render(_message_columns(now), messages, width=shell.width, empty="no messages yet"),
        )

    return Result({**peer, "last_messages": messages}, show)


def find_peer(shell: Session, text: str) -> Peer:
    """The connection of this number, or of this address with its port or without. CcnodeError."""
    found = [peer for peer in shell.remote.call("getpeerinfo") if _is_meant(peer, text)]
    if not found:
        raise CcnodeError(f"there is no peer {text}; peers lists them")
    if len(found) > 1:
        raise CcnodeError(f"{text} has several connections: {', '.join(str(each['id']) for each in found)}; which?")
    return dict(found[0])


def _is_meant(peer: Peer, text: str) -> bool:
    if text.isdecimal():
        return bool(peer["id"] == int(text))
    return text in (peer["addr"], peer["addr"].rpartition(":")[0].strip("[]"))


def peer_facts(peer: Peer, now: float) -> list[tuple[str, str]]:
    """All that is known of a connection, but for what passed over it."""
    return [
        ("peer", str(peer["id"])),
        ("address", peer["addr"]),
        ("direction", "inbound" if peer["inbound"] else f"outbound, {peer['connection_type']}"),
        ("network", peer["network"] + (f", AS{peer['mapped_as']}" if "mapped_as" in peer else "")),
        ("transport", peer["transport_protocol_type"]),
        ("our end", peer.get("addrbind", units.NOTHING)),
        ("sees us as", peer.get("addrlocal", units.NOTHING)),
        ("connected for", units.age(peer["conntime"], now)),
        ("program", f"{peer['subver'] or units.NOTHING}, protocol {peer['version']}"),
        ("services", ", ".join(peer["servicesnames"]) or "none"),
        ("its clock", f"{peer['timeoffset']:+d} s"),
        ("ping", _ping(peer)),
        ("height", _common_headers(peer)),
        ("addresses", _addresses(peer)),
        ("permissions", ", ".join(peer["permissions"]) or "none"),
        ("score", _conduct(peer["misbehavior"])),
        ("sent", f"{units.size(peer['bytessent'])}, the last {units.age(peer['lastsend'], now)} ago"),
        ("received", f"{units.size(peer['bytesrecv'])}, the last {units.age(peer['lastrecv'], now)} ago"),
    ]


def _ping(peer: Peer) -> str:
    answered = f"{units.milliseconds(peer.get('pingtime'))}, best {units.milliseconds(peer.get('minping'))}"
    return answered + (f", waiting for {units.milliseconds(peer['pingwait'])}" if "pingwait" in peer else "")


def _common_headers(peer: Peer) -> str:
    looked_at = peer["presynced_headers"]
    return height(peer) + ("" if looked_at < 0 else f", {units.number(looked_at)} looked at")


def _addresses(peer: Peer) -> str:
    if not peer["addr_relay_enabled"]:
        return "not exchanged"
    return f"{units.number(peer['addr_processed'])} taken, {units.number(peer['addr_rate_limited'])} too many"


def _conduct(misbehavior: Mapping[str, Any]) -> str:
    violations = [f"{name} {count}x" for name, count in misbehavior["violations"].items()]
    return f"{misbehavior['score']}" + (f" ({', '.join(violations)})" if violations else "")


def _message_columns(now: float) -> Sequence[Column[Mapping[str, Any]]]:
    return (
        Column("ago", lambda row: units.span(now - row["time"]), right=True),
        Column("", lambda row: "->" if row["direction"] == "out" else "<-", importance=8),
        Column("message", lambda row: row["command"], importance=9),
        Column("size", lambda row: units.size(row["bytes"]), right=True),
    )

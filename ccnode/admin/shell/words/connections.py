"""Words that make connections and end them."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from ccnode.admin.shell.tables import Column, render
from ccnode.admin.shell.views import Argument, Given, Option, Result, Session, UsageError, passed, view
from ccnode.admin.shell.words.peer import find_peer
from ccnode.errors import CcnodeError


@view(
    "connect",
    "Peers",
    help="Connects to a node, once, and waits for the outcome. With --keep the node goes on to connect whenever there "
    "is no connection, until forget.",
    uses=("addnode", "getpeerinfo"),
    examples=("connect 203.0.113.7", "connect node.example:8333 --keep"),
    arguments=[Argument("host", "address or name, with port or without", completion="node_address")],
    options=[Option("keep", "and again, whenever the connection ends")],
)
def connect(shell: Session, given: Given) -> Result:
    host = given.arguments["host"]
    if given.has("keep"):
        return passed(shell.remote.call("addnode", host, "add"), f"{host} is kept connected; forget {host} ends that")
    before = {peer["id"] for peer in shell.remote.call("getpeerinfo")}
    shell.remote.call("addnode", host, "onetry")
    made = [
        peer
        for peer in shell.remote.call("getpeerinfo")
        if peer["connection_type"] == "manual" and peer["id"] not in before
    ]
    if not made:
        raise CcnodeError(f"no connection to {host}: it did not answer, or there is one already")
    peer = max(made, key=lambda peer: peer["id"])
    return passed(peer, f"connected to {peer['addr']}: peer {peer['id']}")


@view(
    "disconnect",
    "Peers",
    help="Ends a connection. A node that is kept connected comes back: see forget.",
    uses=("disconnectnode", "getpeerinfo"),
    examples=("disconnect 12", "disconnect 203.0.113.7"),
    arguments=[Argument("peer", "number of the connection, or its address", completion="peer_id")],
)
def disconnect(shell: Session, given: Given) -> Result:
    peer = find_peer(shell, given.arguments["peer"])
    answer = shell.remote.call("disconnectnode", "", peer["id"])
    return passed(answer, f"disconnected peer {peer['id']}, {peer['addr']}")


_KEPT: Final[Sequence[Column[Mapping[str, Any]]]] = (
    Column("node", lambda node: node["addednode"], importance=9),
    Column("connected", lambda node: "yes" if node["connected"] else "no"),
)


@view(
    "kept",
    "Peers",
    help="Lists the nodes that are kept connected.",
    uses=("getaddednodeinfo",),
    examples=("kept",),
)
def kept(shell: Session, given: Given) -> Result:
    answer = shell.remote.call("getaddednodeinfo")
    return Result(answer, lambda: render(_KEPT, answer, width=shell.width, empty="no node is kept connected"))


@view(
    "forget",
    "Peers",
    help="No longer keeps a node connected. A connection that is there stays.",
    uses=("addnode",),
    examples=("forget node.example:8333",),
    arguments=[Argument("host", "as it was given to connect --keep", completion="kept_node")],
)
def forget(shell: Session, given: Given) -> Result:
    host = given.arguments["host"]
    return passed(shell.remote.call("addnode", host, "remove"), f"{host} is no longer kept connected")


@view(
    "net",
    "Network",
    help="Switches all connections on or off.",
    uses=("setnetworkactive",),
    examples=("net off", "net on"),
    arguments=[Argument("state", "on or off", completion=("on", "off"))],
)
def net(shell: Session, given: Given) -> Result:
    state = given.arguments["state"]
    if state not in ("on", "off"):
        raise UsageError(f"on or off, not '{state}'")
    active = shell.remote.call("setnetworkactive", state == "on")
    return passed(active, "connections are made again" if active else "all connections are ended, and none is made")

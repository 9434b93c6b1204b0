"""Commands about connections of a certain type: the anchors, and what tests do by hand."""

from typing import Final

from ccnode.admin import rpc_errors
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import HIDDEN, Arg, ArgType, command
from ccnode.errors import RpcError
from ccnode.peers.outbound import has_room
from ccnode.peers.peer import ConnectionType
from ccnode.wire.address import NetworkAddress
from ccnode.wire.framing import COMMAND_SIZE, padded_command
from ccnode.wire.message import Unknown

_OPENABLE: Final = (
    ConnectionType.OUTBOUND_FULL_RELAY,
    ConnectionType.BLOCK_RELAY_ONLY,
    ConnectionType.ADDR_FETCH,
    ConnectionType.FEELER,
)


@command(
    "getanchors",
    "network",
    help="Returns the anchors: block-relay-only peers that one run leaves to the next, which dials them first.",
    result="""{
  "loaded": [{                       those of the last run
    "address": "ip:port",
    "outcome": "str"                 waiting, connected, did not answer or not usable
  }, ...],
  "to_save": [{                      those that a stop at this moment would save
    "address": "ip:port"
  }, ...]
}""",
)
def get_anchors(context: AdminContext) -> dict[str, object]:
    return {
        "loaded": [{"address": str(address), "outcome": outcome} for address, outcome in context.net.anchors],
        "to_save": [{"address": str(address)} for address in context.net.anchors_to_save],
    }


@command(
    "addconnection",
    HIDDEN,
    changes=True,
    args=[
        Arg("address", ArgType.STRING, "IP address and port"),
        Arg("connection_type", ArgType.STRING, "outbound-full-relay, block-relay-only, addr-fetch or feeler"),
        Arg("v2transport", ArgType.BOOLEAN, "Use the encrypted transport, which is not there yet", default=False),
    ],
    help="Opens a connection of a given type. Test networks only.",
    result="""{
  "address": "ip:port",
  "connection_type": "str"
}""",
    example="127.0.0.1:18444 outbound-full-relay false",
)
def add_connection(context: AdminContext, address: str, connection_type: str, v2transport: bool) -> dict[str, object]:
    if not context.chain.params.mockable:
        raise RpcError(rpc_errors.MISC_ERROR, "addconnection is for regression testing (-regtest mode) only.")
    kind = next((kind for kind in _OPENABLE if kind.value == connection_type), None)
    if kind is None:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"Invalid connection type: {connection_type}")
    if v2transport:
        raise RpcError(
            rpc_errors.INVALID_PARAMETER, "Error: Adding v2transport connections requires -v2transport init flag"
        )
    try:
        target = context.net.routes.locate(NetworkAddress.parse(address, context.chain.params.default_port))
    except ValueError as error:
        raise RpcError(rpc_errors.INVALID_PARAMETER, str(error)) from error
    room = has_room(kind, context.net.peers.values(), context.config.maxconnections)
    if not (room and context.net.open_connection(target, kind)):
        raise RpcError(
            rpc_errors.CLIENT_NODE_CAPACITY_REACHED, "Error: Already at capacity for specified connection type."
        )
    return {"address": address, "connection_type": connection_type}


@command(
    "sendmsgtopeer",
    HIDDEN,
    changes=True,
    args=[
        Arg("peer_id", ArgType.INTEGER, "Number of the connection", completion="peer_id"),
        Arg("msg_type", ArgType.STRING, f"Message type, at most {COMMAND_SIZE} characters"),
        Arg("msg", ArgType.STRING, "The payload in hex, without a header"),
    ],
    help="Sends a peer a message of any type and content. For tests.",
    result="{}",
    example="0 addr ffffff",
)
def send_msg_to_peer(context: AdminContext, peer_id: int, msg_type: str, msg: str) -> dict[str, object]:
    if len(msg_type) > COMMAND_SIZE:
        text = f"Error: msg_type too long, max length is {COMMAND_SIZE}"
        raise RpcError(rpc_errors.INVALID_PARAMETER, text)
    try:
        padded_command(msg_type)
    except ValueError as error:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Error: msg_type is not printable ASCII") from error
    try:
        payload = bytes.fromhex(msg)
    except ValueError as error:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Error parsing input for msg") from error
    peer = context.net.peers.get(peer_id)
    if peer is None or peer.closing or not peer.handshake_complete:
        raise RpcError(rpc_errors.MISC_ERROR, "Error: Could not send message to peer")
    peer.send(Unknown(msg_type, payload))
    return {}

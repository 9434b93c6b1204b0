"""Commands about peers and the network (Core: ``rpc/net.cpp``).

A field of Core's that belongs to blocks or transactions keeps the value it has in Core before the first one comes.
"""

import ccnode
from ccnode.admin import rpc_errors
from ccnode.admin.commands.common import NO_COINS, warnings
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import Arg, ArgType, WrongUsage, command
from ccnode.errors import RpcError
from ccnode.network.hub import breathing
from ccnode.peers.peer import ConnectionType, Peer
from ccnode.peers.permissions import names
from ccnode.peers.traffic import tally_bytes, tally_messages
from ccnode.peers.upload_target import TIMEFRAME
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.protocol import PROTOCOL_VERSION, service_names

_NETWORKS = (Network.IPV4, Network.IPV6, Network.ONION, Network.I2P, Network.CJDNS)

_WITHOUT_TRANSACTIONS = (ConnectionType.BLOCK_RELAY_ONLY, ConnectionType.FEELER)

_NODE = Arg("node", ArgType.STRING, "Address or name of the node, with or without port", completion="peer_address")


@command(
    "getconnectioncount",
    "network",
    help="Returns the number of connections to other nodes.",
    result="n    (numeric) the number",
)
def get_connection_count(context: AdminContext) -> int:
    return len(context.net.peers)


@command(
    "ping",
    "network",
    changes=True,
    help="Has every peer pinged. The answer times are in getpeerinfo: pingtime, and pingwait of pings without answer.",
    result="null",
)
def ping(context: AdminContext) -> None:
    context.net.ping_all()


@command(
    "getpeerinfo",
    "network",
    help="Returns what is known of each connected peer, those in their handshake included.",
    result="""[{
  "id": n,                           number of the connection, from 0
  "addr": "str",                     address as dialed, or as the connection came
  "addrbind": "ip:port",             our end of the connection
  "addrlocal": "ip:port",            our address as the peer sees it
  "network": "str",                  ipv4, ipv6, onion, i2p, cjdns or not_publicly_routable
  "mapped_as": n,                    autonomous system, only with an asmap
  "services": "hex",
  "servicesnames": ["str", ...],
  "relaytxes": true|false,           whether the peer wants transactions
  "last_inv_sequence": n,
  "inv_to_send": n,
  "lastsend": n,                     Unix seconds, as all times
  "lastrecv": n,
  "last_transaction": n,
  "last_block": n,
  "bytessent": n,
  "bytesrecv": n,
  "conntime": n,
  "timeoffset": n,                   the peer's clock minus ours when it connected, seconds
  "pingtime": n,                     last answer time, seconds
  "minping": n,                      shortest answer time, seconds
  "pingwait": n,                     seconds that a ping has been without answer
  "version": n,
  "subver": "str",
  "inbound": true|false,
  "bip152_hb_to": true|false,
  "bip152_hb_from": true|false,
  "presynced_headers": n,            height of headers looked at but not stored, -1 if that is not going on
  "synced_headers": n,               height of the last header we have in common, -1 if unknown
  "synced_blocks": n,                height up to which we have all blocks of its chain, -1 if unknown
  "inflight": [n, ...],              heights of the blocks it was asked for and has not sent yet
  "addr_relay_enabled": true|false,  whether addresses go to the peer
  "addr_processed": n,               addresses taken from it
  "addr_rate_limited": n,            addresses dropped because they were too many
  "permissions": ["str", ...],       bloomfilter, noban, forcerelay, relay, mempool, download, addr
  "misbehavior": {
    "score": n,                      points of the classic model
    "violations": {"str": n, ...}    how often which
  },
  "minfeefilter": n,
  "bytessent_per_msg": {"msg": n, ...},
  "bytesrecv_per_msg": {"msg": n, ...},
  "msgssent_per_msg": {"msg": n, ...},
  "msgsrecv_per_msg": {"msg": n, ...},
  "connection_type": "str",          outbound-full-relay, block-relay-only, inbound, manual, addr-fetch or feeler
  "transport_protocol_type": "str",  v1
  "session_id": "str"
}, ...]""",
)
def get_peer_info(context: AdminContext) -> list[dict[str, object]]:
    now = context.clock.now()
    peers = sorted(context.net.peers.values(), key=lambda peer: peer.id)
    return [_peer_info(context, peer, now) for peer in breathing(peers)]


def _peer_info(context: AdminContext, peer: Peer, now: float) -> dict[str, object]:
    sync = context.sync.peer_info(peer.id)
    gossip = context.gossip.peer_info(peer.id)
    waiting = 0.0 if peer.ping_sent_at is None else now - peer.ping_sent_at
    pings = {"pingtime": peer.ping_time or None, "minping": peer.min_ping, "pingwait": waiting if waiting > 0 else None}
    mapped_as = context.addrman.groups.mapped_as(peer.address)
    addresses = {"addrbind": peer.bind, "addrlocal": peer.address_local}
    return {
        "id": peer.id,
        "addr": peer.name,
        **{name: str(address) for name, address in addresses.items() if address is not None},
        "network": peer.network.value,
        **({"mapped_as": mapped_as} if mapped_as else {}),
        "services": f"{peer.services:016x}",
        "servicesnames": service_names(peer.services),
        "relaytxes": bool(peer.version) and peer.relay and peer.connection_type not in _WITHOUT_TRANSACTIONS,
        "last_inv_sequence": 0,
        "inv_to_send": 0,
        "lastsend": int(peer.last_send),
        "lastrecv": int(peer.last_recv),
        "last_transaction": int(peer.last_transaction),
        "last_block": int(peer.last_block),
        "bytessent": peer.bytes_sent,
        "bytesrecv": peer.bytes_received,
        "conntime": int(peer.connected_at),
        "timeoffset": peer.time_offset,
        **{name: seconds for name, seconds in pings.items() if seconds is not None},
        "version": peer.version,
        "subver": peer.user_agent,
        "inbound": peer.inbound,
        "bip152_hb_to": False,
        "bip152_hb_from": peer.compact_blocks_high_bandwidth,
        "presynced_headers": sync.presynced_headers,
        "synced_headers": sync.synced_headers,
        "synced_blocks": sync.synced_blocks,
        "inflight": list(sync.in_flight),
        "addr_relay_enabled": gossip.relay_enabled,
        "addr_processed": gossip.processed,
        "addr_rate_limited": gossip.rate_limited,
        "permissions": names(peer.permissions),
        "misbehavior": {"score": peer.misbehaviour_score, "violations": dict(sorted(peer.violations.items()))},
        "minfeefilter": NO_COINS,
        "bytessent_per_msg": tally_bytes(peer.sent_per_message),
        "bytesrecv_per_msg": tally_bytes(peer.received_per_message),
        "msgssent_per_msg": tally_messages(peer.sent_per_message),
        "msgsrecv_per_msg": tally_messages(peer.received_per_message),
        "connection_type": peer.connection_type.value,
        "transport_protocol_type": peer.transport_name,
        "session_id": peer.session_id,
    }


@command(
    "addnode",
    "network",
    changes=True,
    args=[
        _NODE,
        Arg(
            "command",
            ArgType.STRING,
            "'add' to keep a link to the node, 'remove' to end that, 'onetry' to try once",
            completion=("add", "remove", "onetry"),
        ),
        Arg("v2transport", ArgType.BOOLEAN, "Try the encrypted transport", default=False),
    ],
    help="Keeps a link to a node, beyond the automatic ones, or tries to connect to one once.",
    result="null",
    example="192.168.0.6:8333 onetry",
)
def add_node(context: AdminContext, node: str, command: str, v2transport: bool) -> None:
    if v2transport:
        text = "Error: v2transport requested but not enabled (see -v2transport)"
        raise RpcError(rpc_errors.INVALID_PARAMETER, text)
    if command == "onetry":
        context.net.try_once(node)
    elif command == "add":
        if not context.net.add_node(node):
            raise RpcError(rpc_errors.CLIENT_NODE_ALREADY_ADDED, "Error: Node already added")
    elif command == "remove":
        if not context.net.remove_node(node):
            text = "Error: Node could not be removed. It has not been added previously."
            raise RpcError(rpc_errors.CLIENT_NODE_NOT_ADDED, text)
    else:
        raise WrongUsage


@command(
    "disconnectnode",
    "network",
    changes=True,
    args=[
        Arg("address", ArgType.STRING, "Address of the peer, as getpeerinfo has it", None, completion="peer_address"),
        Arg("nodeid", ArgType.INTEGER, "Number of the connection", default=None, completion="peer_id"),
    ],
    help="Disconnects a peer at once. Give its address or its number; with the number the address must be empty.",
    result="null",
    example='"" 1',
)
def disconnect_node(context: AdminContext, address: str | None, nodeid: int | None) -> None:
    if nodeid is not None and not address:
        found = context.net.disconnect_by_id(nodeid)
    elif nodeid is None and address is not None:
        found = context.net.disconnect_by_address(address)
    else:
        raise RpcError(rpc_errors.INVALID_PARAMS, "Only one of address and nodeid should be provided.")
    if not found:
        raise RpcError(rpc_errors.CLIENT_NODE_NOT_CONNECTED, "Node not found in connected nodes")


@command(
    "getaddednodeinfo",
    "network",
    args=[Arg("node", ArgType.STRING, "One node only", default=None, completion="peer_address")],
    help="Returns the nodes that addnode added, or the one given. Those of onetry are not listed.",
    result="""[{
  "addednode": "str",                as it was added
  "connected": true|false,
  "addresses": [{
    "address": "ip:port",
    "connected": "str"               inbound or outbound
  }, ...]
}, ...]""",
    example="192.168.0.201",
)
def get_added_node_info(context: AdminContext, node: str | None) -> list[dict[str, object]]:
    added = [target for target in context.net.added_nodes if node in (None, target)]
    if node is not None and not added:
        raise RpcError(rpc_errors.CLIENT_NODE_NOT_ADDED, "Error: Node has not been added.")
    return [_added_node(context, target) for target in added]


def _added_node(context: AdminContext, target: str) -> dict[str, object]:
    try:
        address = context.net.routes.locate(NetworkAddress.parse(target, context.chain.params.default_port))
    except ValueError:  # a name: then the peer that was dialed by it
        address = None
    peers = [peer for peer in context.net.peers.values() if target == peer.name or address == peer.address]
    shown = [{"address": _address(peer), "connected": "inbound" if peer.inbound else "outbound"} for peer in peers[:1]]
    return {"addednode": target, "connected": bool(peers), "addresses": shown}


def _address(peer: Peer) -> str:
    """The address, or the name where only a proxy knows the address."""
    return peer.name if peer.address.network is Network.INTERNAL else str(peer.address)


@command(
    "getnettotals",
    "network",
    help="Returns the bytes sent and received, and the state of the upload limit.",
    result="""{
  "totalbytesrecv": n,
  "totalbytessent": n,
  "timemillis": n,                   Unix milliseconds
  "uploadtarget": {
    "timeframe": n,                  seconds
    "target": n,                     bytes in that time, 0 for no limit
    "target_reached": true|false,
    "serve_historical_blocks": true|false,
    "bytes_left_in_cycle": n,
    "time_left_in_cycle": n          seconds
  }
}""",
)
def get_net_totals(context: AdminContext) -> dict[str, object]:
    traffic = context.net.traffic
    upload = traffic.upload_target
    return {
        "totalbytesrecv": traffic.received.total,
        "totalbytessent": traffic.sent.total,
        "timemillis": int(context.clock.now() * 1000),
        "uploadtarget": {
            "timeframe": TIMEFRAME,
            "target": upload.target,
            "target_reached": upload.reached(historical=False),
            "serve_historical_blocks": not upload.reached(historical=True),
            "bytes_left_in_cycle": upload.bytes_left(),
            "time_left_in_cycle": upload.time_left(),
        },
    }


@command(
    "getnetworkinfo",
    "network",
    help="Returns the state of the network side of the node.",
    result="""{
  "version": n,                      of this program: 10000 * major + 100 * minor + patch
  "subversion": "str",               the user agent
  "protocolversion": n,
  "localservices": "hex",
  "localservicesnames": ["str", ...],
  "localrelay": false,               the node asks peers for no transactions
  "timeoffset": n,                   median of what outbound peers' clocks say minus ours, seconds; 0 for too few
  "connections": n,
  "connections_in": n,
  "connections_out": n,
  "networkactive": true|false,
  "networks": [{
    "name": "str",                   ipv4, ipv6, onion, i2p or cjdns
    "limited": true|false,           not used
    "reachable": true|false,         used
    "proxy": "str",                  ADDR:PORT or unix:PATH, empty for none
    "proxy_randomize_credentials": true|false
  }, ...],
  "relayfee": 0.0,                   no transactions are relayed
  "incrementalfee": 0.0,
  "localaddresses": [{"address": "str", "port": n, "score": n}, ...],
  "warnings": ["str", ...]
}""",
)
def get_network_info(context: AdminContext) -> dict[str, object]:
    net = context.net
    inbound = sum(peer.inbound for peer in net.peers.values())
    return {
        "version": _version_number(ccnode.__version__),
        "subversion": net.user_agent,
        "protocolversion": PROTOCOL_VERSION,
        "localservices": f"{net.local_services:016x}",
        "localservicesnames": service_names(net.local_services),
        "localrelay": False,
        "timeoffset": net.time_offsets.median(),
        "connections": len(net.peers),
        "connections_in": inbound,
        "connections_out": len(net.peers) - inbound,
        "networkactive": net.network_active,
        "networks": [_network(context, network) for network in _NETWORKS],
        "relayfee": NO_COINS,
        "incrementalfee": NO_COINS,
        "localaddresses": [
            {"address": address.host, "port": address.port, "score": score}
            for address, score in context.gossip.local.scores()
        ],
        "warnings": warnings(context),
    }


def _version_number(version: str) -> int:
    major, minor, patch = (int(part) for part in version.split(".")[:3])
    return 10_000 * major + 100 * minor + patch


def _network(context: AdminContext, network: Network) -> dict[str, object]:
    routes = context.net.routes
    reachable, proxy = network in routes.reachable, routes.proxies.get(network)
    return {
        "name": network.value,
        "limited": not reachable,
        "reachable": reachable,
        "proxy": "" if proxy is None else str(proxy),
        "proxy_randomize_credentials": proxy is not None and proxy.isolate,
    }


@command(
    "setnetworkactive",
    "network",
    changes=True,
    args=[Arg("state", ArgType.BOOLEAN, "true to make and take connections, false to end them all")],
    help="Switches the whole network side on or off.",
    result="true|false    (boolean) the new state",
    example="false",
)
def set_network_active(context: AdminContext, state: bool) -> bool:
    context.net.set_network_active(state)
    return context.net.network_active

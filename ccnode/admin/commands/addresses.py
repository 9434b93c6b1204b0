"""Commands about the addresses that the node knows (Core: ``rpc/net.cpp``), and two that move them between nodes.

A full address manager has 80,000 entries, so every loop over them lets others run.
"""

from pathlib import Path

from ccnode.admin import rpc_errors
from ccnode.admin.context import AdminContext
from ccnode.admin.registry import HIDDEN, Arg, ArgType, command
from ccnode.errors import RpcError
from ccnode.network.hub import breathing
from ccnode.peers.addrman_entry import AddrInfo
from ccnode.storage.peers_dat import MAX_FILE_SIZE, read_peers_dat
from ccnode.wire.address import ADDRESS_SIZES, NetworkAddress
from ccnode.wire.addresses import TimedAddress
from ccnode.wire.protocol import ServiceFlags

_NETWORKS = {network.value: network for network in ADDRESS_SIZES}
_PATH = "where; a relative path starts at the network's data directory"


@command(
    "getnodeaddresses",
    "network",
    args=[
        Arg("count", ArgType.INTEGER, "How many at most; 0 for all", default=1),
        Arg(
            "network",
            ArgType.STRING,
            "Only of this network: ipv4, ipv6, onion, i2p or cjdns",
            default=None,
            completion=tuple(_NETWORKS),
        ),
    ],
    help="Returns addresses that the node has heard of, at random.",
    result="""[{
  "time": n,                         when the node was last heard of, Unix seconds
  "services": n,
  "address": "str",
  "port": n,
  "network": "str"
}, ...]""",
    example="8 ipv4",
)
def get_node_addresses(context: AdminContext, count: int, network: str | None) -> list[dict[str, object]]:
    if count < 0:
        raise RpcError(rpc_errors.INVALID_PARAMETER, "Address count out of range")
    if network is not None and network not in _NETWORKS:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"Network not recognized: {network}")
    found: list[dict[str, object]] = []
    wanted = None if network is None else _NETWORKS[network]
    for info in breathing(context.addrman.shuffled()):  # all of them, so that there are pauses however few are wanted
        if wanted not in (None, info.address.network):
            continue
        found.append(
            {
                "time": info.time,
                "services": info.services,
                "address": info.address.host,
                "port": info.address.port,
                "network": info.address.network.value,
            }
        )
        if len(found) == count:
            break
    return found


@command(
    "getaddrmaninfo",
    "network",
    help="Returns how many addresses the node knows, by network.",
    result="""{
  "network": {                       ipv4, ipv6, onion, i2p, cjdns, all_networks
    "new": n,                        never connected to
    "tried": n,                      connected to before
    "total": n
  }, ...
}""",
)
def get_addrman_info(context: AdminContext) -> dict[str, dict[str, int]]:
    size = context.addrman.size
    return {
        name: {"new": size(network, True), "tried": size(network, False), "total": size(network)}
        for name, network in {**_NETWORKS, "all_networks": None}.items()
    }


@command(
    "getrawaddrman",
    HIDDEN,
    help="Returns both tables of the address manager, slot by slot.",
    result="""{
  "new" and "tried": {
    "bucket/position": {
      "address": "str",
      "mapped_as": n,                only with an asmap
      "port": n,
      "network": "str",
      "services": n,
      "time": n,                     when the node was last heard of, Unix seconds
      "source": "str",               who told us first
      "source_network": "str",
      "source_mapped_as": n
    }, ...
  }
}""",
)
def get_raw_addrman(context: AdminContext) -> dict[str, dict[str, object]]:
    return {
        name: {
            f"{bucket}/{position}": _raw_entry(context, info)
            for bucket, position, info in breathing(context.addrman.positions(tried))
        }
        for name, tried in (("new", False), ("tried", True))
    }


def _raw_entry(context: AdminContext, info: AddrInfo) -> dict[str, object]:
    address, source, mapped_as = info.address, info.source, context.addrman.groups.mapped_as
    return {
        "address": address.host,
        **_known_as("mapped_as", mapped_as(address)),
        "port": address.port,
        "network": address.reported_network().value,
        "services": info.services,
        "time": info.time,
        "source": source.host,
        "source_network": source.reported_network().value,
        **_known_as("source_mapped_as", mapped_as(source)),
    }


def _known_as(name: str, asn: int) -> dict[str, object]:
    return {name: asn} if asn else {}


@command(
    "addpeeraddress",
    HIDDEN,
    changes=True,
    args=[
        Arg("address", ArgType.STRING, "IP, onion, i2p or cjdns address of a node"),
        Arg("port", ArgType.INTEGER, "Its port"),
        Arg("tried", ArgType.BOOLEAN, "Put it into the table of those connected to before", default=False),
    ],
    help="Adds an address to the address manager, as if the node itself had told us.",
    result="""{
  "success": true|false,
  "error": "str"                     failed-adding-to-new or failed-adding-to-tried
}""",
    example="1.2.3.4 8333",
)
def add_peer_address(context: AdminContext, address: str, port: int, tried: bool) -> dict[str, object]:
    if not 0 <= port <= 0xFFFF:
        raise RpcError(rpc_errors.MISC_ERROR, "JSON integer out of range")
    try:
        host = NetworkAddress.parse(f"[{address}]" if address.count(":") > 1 else address, cjdns=True)
    except ValueError:
        raise RpcError(rpc_errors.CLIENT_INVALID_IP_OR_SUBNET, "Invalid IP address") from None
    peer = NetworkAddress(host.network, host.addr, port)
    timed = TimedAddress(int(context.clock.now()), int(ServiceFlags.NETWORK | ServiceFlags.WITNESS), peer)
    if not context.addrman.add([timed], peer):
        return {"error": "failed-adding-to-new", "success": False}
    if tried and not context.addrman.good(peer):
        return {"error": "failed-adding-to-tried", "success": False}
    return {"success": True}


@command(
    "importaddrman",
    "network",
    changes=True,
    args=[Arg("path", ArgType.STRING, f"A peers.dat of Bitcoin Core; {_PATH}")],
    help="Takes over the addresses that a Bitcoin Core node knew, and its experience of them, where there is room.",
    result="""{
  "path": "str",
  "read": n,                         addresses in the file
  "added": n                         those that were unknown and found room
}""",
    example="/home/user/.bitcoin/peers.dat",
)
def import_addrman(context: AdminContext, path: str) -> dict[str, object]:
    file = context.config.folder / path
    read = added = 0
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_SIZE + 1)
        for record in breathing(read_peers_dat(data, context.chain.params.magic)):
            read += 1
            added += context.addrman.merge(record)
    except (OSError, ValueError) as error:
        raise RpcError(rpc_errors.INVALID_PARAMETER, _problem(file, error)) from error
    return {"path": str(file), "read": read, "added": added}


@command(
    "exportaddrman",
    "network",
    changes=True,
    args=[Arg("path", ArgType.STRING, f"A file that does not exist yet; {_PATH}")],
    help="Writes all addresses worth a try to a text file, one HOST:PORT in a line.",
    result="""{
  "path": "str",
  "written": n                       addresses
}""",
    example="addresses.txt",
)
def export_addrman(context: AdminContext, path: str) -> dict[str, object]:
    file = context.config.folder / path
    lines = sorted(f"{info.address}\n" for info in breathing(context.addrman.shuffled()))
    try:
        with file.open("x", encoding="ascii") as stream:
            stream.writelines(lines)
    except (OSError, ValueError) as error:  # the latter for a path that is none
        raise RpcError(rpc_errors.INVALID_PARAMETER, _problem(file, error)) from error
    return {"path": str(file), "written": len(lines)}


@command(
    "exportasmap",
    "network",
    changes=True,
    args=[Arg("path", ArgType.STRING, f"The file to write or replace; {_PATH}")],
    help="Writes the map from addresses to autonomous systems that is in use (asmap) to a file.",
    result="""{
  "path": "str",
  "bytes_written": n,
  "file_hash": "hex"                 SHA-256 of the file
}""",
    example="ip_asn.map",
)
def export_asmap(context: AdminContext, path: str) -> dict[str, object]:
    asmap = context.addrman.groups.asmap
    if asmap is None:
        raise RpcError(rpc_errors.MISC_ERROR, "No ASMap data available: the node runs without asmap")
    file = context.config.folder / path
    try:
        written = file.write_bytes(asmap.data)
    except (OSError, ValueError) as error:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"Failed to open asmap file: {_problem(file, error)}") from error
    return {"path": str(file), "bytes_written": written, "file_hash": asmap.checksum.hex()}


def _problem(file: Path, error: OSError | ValueError) -> str:
    return f"{file}: {error.strerror if isinstance(error, OSError) else error}"

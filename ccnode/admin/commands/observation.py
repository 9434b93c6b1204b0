"""Commands for those who watch the node, none of them Core's: a look at once, and the stream of events."""

import os
import time
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

import ccnode
from ccnode import log
from ccnode.admin import rpc_errors
from ccnode.admin.commands.common import display_hash, hex64
from ccnode.admin.context import AdminContext
from ccnode.admin.events import Subscription, parse_wishes
from ccnode.admin.jsonrpc import encode
from ccnode.admin.registry import REGISTRY, Arg, ArgType, command
from ccnode.config import config_values
from ccnode.errors import RpcError
from ccnode.log import CATEGORIES, LEVELS
from ccnode.network.hub import breathing
from ccnode.peers.messages import RECENT, PassedMessage

SNAPSHOTS: Final = "snapshots"
"""The folder of snapshots below the network's data directory; made with the first one."""

IN_A_SNAPSHOT: Final = (
    "getnodestats",
    "getnetworkinfo",
    "getpeerinfo",
    "getscores",
    "listbanned",
    "getanchors",
    "getaddrmaninfo",
    "getblockchaininfo",
    "getheadersyncinfo",
    "getchaintips",
    "getorphanbranches",
)
"""The commands whose results a snapshot has."""


@command(
    "status",
    "watch",
    help="Returns the state of the node in a few figures that cost it nothing, for those who ask every second.",
    result="""{
  "chain": "str",
  "phase": "str",                    what the synchronisation of headers is doing, in words
  "percent": n,                      0 to 100, estimated from the time left
  "height": n,                       of the tip
  "tip_time": n,                     in the header of the tip, Unix seconds
  "connections_in": n,
  "connections_out": n,
  "received_per_second": n,          bytes in the last second
  "sent_per_second": n,
  "network_active": true|false
}""",
)
def status(context: AdminContext) -> dict[str, object]:
    index, traffic, progress = context.chain.index, context.net.traffic, context.sync.progress()
    return {
        "chain": context.chain.params.core_name,
        "phase": progress.phase.value,
        "percent": round(progress.percent, 4),
        "height": index.height(index.tip),
        "tip_time": index.time(index.tip),
        "connections_in": context.net.count(inbound=True),
        "connections_out": context.net.count(inbound=False),
        "received_per_second": traffic.received.rate(1),
        "sent_per_second": traffic.sent.rate(1),
        "network_active": context.net.network_active,
    }


@command(
    "getpeermessages",
    "watch",
    args=[
        Arg("peer_id", ArgType.INTEGER, "Number of the connection", completion="peer_id"),
        Arg("count", ArgType.INTEGER, f"How many, {RECENT} at most", default=20),
    ],
    help="Returns the last messages to and from a peer, the newest last.",
    result="""[{
  "time": n,                         Unix seconds
  "direction": "str",                in or out
  "command": "str",                  the type of the message, empty if the bytes were no name
  "bytes": n                         on the wire, header included
}, ...]""",
    example="12",
)
def get_peer_messages(context: AdminContext, peer_id: int, count: int) -> list[dict[str, object]]:
    peer = context.net.peers.get(peer_id)
    if peer is None:
        raise RpcError(rpc_errors.CLIENT_NODE_NOT_CONNECTED, "Node not found in connected nodes")
    if not 1 <= count <= RECENT:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"count must be from 1 to {RECENT}")
    found = [PassedMessage(*each) for each in peer.recent_messages][-count:]
    return [
        {
            "time": each.time,
            "direction": "out" if each.sent else "in",
            "command": each.command,
            "bytes": each.size,
        }
        for each in found
    ]


@command(
    "getscores",
    "watch",
    help="Returns what peers did wrong: those connected, and the last hundred that are gone. Others are not listed.",
    result="""{
  "peers": [{
    "id": n,
    "addr": "str",
    "score": n,                      points of the classic model
    "violations": {"str": n, ...}    how often which
  }, ...],
  "gone": [{
    "id": n,
    "addr": "str",
    "score": n,
    "violations": {"str": n, ...},
    "time": n,                       of the end, Unix seconds
    "reason": "str"
  }, ...]
}""",
)
def get_scores(context: AdminContext) -> dict[str, object]:
    peers = sorted(context.net.peers.values(), key=lambda peer: peer.id)
    return {
        "peers": [
            {
                "id": peer.id,
                "addr": peer.name,
                "score": peer.misbehaviour_score,
                "violations": dict(sorted(peer.violations.items())),
            }
            for peer in breathing(peers)
            if peer.violations
        ],
        "gone": [
            {
                "id": each.peer_id,
                "addr": each.address,
                "score": each.score,
                "violations": dict(sorted(each.violations.items())),
                "time": each.gone,
                "reason": each.reason,
            }
            for each in context.offenders.gone
        ],
    }


@command(
    "getorphanbranches",
    "watch",
    help="Returns the headers that are not part of the active chain: its branches, and headers that peers sent and "
    "whose parent is not known.",
    result="""{
  "branches": [{                     the one with most work first
    "height": n,                     of its last header
    "hash": "hex",
    "fork_height": n,                of the last header that it has in common with the active chain
    "fork_hash": "hex",
    "length": n,                     headers
    "grew_from": "hex",              end of the chain it left, the active one or a branch earlier in the list
    "grew_at": n,                    height of the last header that it has in common with that
    "time": n,                       in its last header, Unix seconds
    "work": "hex",                   of its own headers
    "work_missing": "hex",           what it lacks to be the active chain; 0 for one that came later, or is invalid
    "status": "str"                  headers-only, or invalid
  }, ...],
  "waiting": [{
    "peer": n,
    "parent": "hex",                 the unknown one
    "first": "hex",
    "headers": n,
    "seconds_left": n                until they are forgotten
  }, ...]
}""",
)
def get_orphan_branches(context: AdminContext) -> dict[str, object]:
    index = context.chain.index
    tips = sorted(set(index.tips()) - {index.tip}, key=index.chain_work, reverse=True)
    by_fork: dict[int, list[int]] = {}  # only branches that left the active chain at one place can have more in common
    return {
        "branches": [_branch(context, entry, by_fork) for entry in breathing(tips) if not index.in_active(entry)],
        "waiting": [
            {
                "peer": each.peer_id,
                "parent": display_hash(each.parent),
                "first": display_hash(each.first),
                "headers": each.count,
                "seconds_left": round(max(0.0, each.seconds_left), 1),
            }
            for each in context.sync.waiting()
        ],
    }


def _branch(context: AdminContext, entry: int, by_fork: dict[int, list[int]]) -> dict[str, object]:
    index = context.chain.index
    fork = index.fork_point(entry, index.tip)
    work = index.chain_work(entry)
    siblings = by_fork.setdefault(fork, [])
    base = max(siblings, key=lambda other: index.fork_point(entry, other), default=index.tip)
    grew_at = index.fork_point(entry, base)
    siblings.append(entry)
    return {
        "height": index.height(entry),
        "hash": display_hash(index.hash(entry)),
        "fork_height": index.height(fork),
        "fork_hash": display_hash(index.hash(fork)),
        "length": index.height(entry) - index.height(fork),
        "grew_from": display_hash(index.hash(index.tip if grew_at == fork else base)),
        "grew_at": index.height(grew_at),
        "time": index.time(entry),
        "work": hex64(work - index.chain_work(fork)),
        "work_missing": hex64(max(0, index.chain_work(index.tip) - work)),
        "status": "invalid" if index.is_invalid(entry) else "headers-only",
    }


@command(
    "loglevel",
    "watch",
    changes=True,
    args=[
        Arg("category", ArgType.STRING, "What to change; a level alone is for all", None, completion="category"),
        Arg("level", ArgType.STRING, ", ".join(LEVELS), default=None, completion=tuple(LEVELS)),
    ],
    help="Returns the level of detail at which each category is logged, after changing that of one, or of all.",
    result='{"category": "level", ...}',
    example="net debug",
)
def log_level(context: AdminContext, category: str | None, level: str | None) -> dict[str, str]:
    if level is None and category in LEVELS:
        category, level = "all", category
    try:
        names = log.find_categories(category if category is not None else "all")
        if level is not None:
            log.set_category(category or "all", level)
    except ValueError as error:
        raise RpcError(rpc_errors.INVALID_PARAMETER, str(error)) from None
    shown = names if level is None else CATEGORIES
    return {name: text for name, text in log.current_levels().items() if name in shown}


@command(
    "snapshot",
    "watch",
    changes=True,
    help=f"Writes the node's state into a JSON file in the folder `{SNAPSHOTS}` of the data directory.\n\n"
    "In it are the settings, but for passwords, and the results of\n"
    f"  {', '.join(IN_A_SNAPSHOT[:6])},\n  {', '.join(IN_A_SNAPSHOT[6:])}.",
    result="""{
  "filename": "str",
  "bytes": n
}""",
)
def snapshot(context: AdminContext) -> dict[str, object]:
    state: dict[str, object] = {
        "version": ccnode.__version__,
        "time": context.clock.now(),
        "config": config_values(context.config),
        **{name: REGISTRY.call(context, name, []) for name in IN_A_SNAPSHOT},
    }
    folder = context.config.folder / SNAPSHOTS
    path = folder / f"{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime(context.clock.now()))}.json"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        return {"filename": str(path), "bytes": _write(path, state)}
    except OSError as error:
        raise RpcError(rpc_errors.MISC_ERROR, f"cannot write {path}: {error.strerror}") from error


def _write(path: Path, state: dict[str, object]) -> int:
    """The file is there whole or not at all, for its owner only."""
    size = 0
    with NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, suffix=".unfinished", delete=False) as file:
        try:
            for piece in breathing(encode(state)):
                size += file.write(piece)
            size += file.write("\n")
            file.flush()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
    return size


@command(
    "subscribe",
    "watch",
    args=[
        Arg("topics", ArgType.ARRAY, "What to hear of: peer, tip, reorg, ban, log, message"),
        Arg("options", ArgType.OBJECT, "What of it, see above; null for everything", default=None),
    ],
    help="""Sends what happens as it happens, for as long as the connection to the admin socket stands.

The connection carries nothing else from then on. A client that does not read loses events, the oldest first, and gets
one of the topic "dropped" with their count. Options:
  level        of log: trace, debug, info (default), warning or error. It shows what is logged; loglevel changes that
  categories   of log: the categories, all by default
  peer         of message: the number of one connection, all by default
  commands     of message: the types of messages, all by default.""",
    result="""{"topics": ["str", ...]}
and then, a line each:
{
  "jsonrpc": "2.0",
  "method": "event",
  "params": {
    "topic": "str",
    "time": n,                       Unix seconds
    ...                              peer: event (connected, handshaked or disconnected), id, addr, connection_type,
                                       network, inbound; subver if it is known; reason of a disconnection
                                     tip: hash, height, header_time
                                     reorg: fork_height, disconnected, connected (headers), old_tip, new_tip
                                     ban: event (banned or unbanned), subnet, until; reason of a ban
                                     log: level, category, message
                                     message: peer, direction (in or out), command, bytes; summary and blocks (the
                                     hashes it announces) if there are any
                                     dropped: count
  }
}""",
    example='\'["peer", "tip"]\'',
)
def subscribe(context: AdminContext, topics: list[object], options: dict[str, object] | None) -> Subscription:
    return context.events.subscribe(parse_wishes(topics, options or {}))

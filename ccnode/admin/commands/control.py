"""Commands about the running program (Core: ``rpc/server.cpp``, ``rpc/node.cpp``) and its own figures.

``setmocktime`` and ``mockscheduler`` move the node's clocks, for tests; only networks made for tests allow it.
"""

from typing import Final

import gevent

from ccnode import log
from ccnode.admin import rpc_errors
from ccnode.admin.context import AdminContext
from ccnode.admin.memory import memory_use
from ccnode.admin.registry import HIDDEN, REGISTRY, Arg, ArgType, command
from ccnode.errors import RpcError

_MAX_MOCK_TIME: Final = 9_223_372_036  # Unix seconds: 64 bits of nanoseconds
_MAX_SKIP: Final = 3600  # seconds
_MAX_STOP_WAIT: Final = 60_000  # milliseconds


@command(
    "help",
    "control",
    args=[Arg("command", ArgType.STRING, "The command to explain", default=None, completion="command")],
    help="Lists all commands, or explains one.",
    result='"str"    (string) the text',
    example="getblockheader",
)
def help_(context: AdminContext, command: str | None) -> str:
    if command is None:
        return REGISTRY.overview()
    found = REGISTRY.find(command)
    return found.help_text() if found is not None else f"help: unknown command: {command}"


@command(
    "stop",
    "control",
    changes=True,
    args=[Arg("wait", ArgType.INTEGER, "Milliseconds to wait before", default=0)],
    help="Asks the node to stop.",
    result='"ccnode stopping"    (string)',
)
def stop(context: AdminContext, wait: int) -> str:
    if wait > 0:
        gevent.sleep(min(wait, _MAX_STOP_WAIT) / 1000)
    context.stop()
    return "ccnode stopping"


@command(
    "uptime",
    "control",
    help="Returns how long the node has been running.",
    result="n    (numeric) seconds",
)
def uptime(context: AdminContext) -> int:
    return int(context.clock.steady() - context.started)


_CATEGORIES = Arg("include", ArgType.ARRAY, "Categories to log in detail", default=None, completion="category")


@command(
    "logging",
    "control",
    changes=True,
    args=[
        _CATEGORIES,
        Arg("exclude", ArgType.ARRAY, "Categories not to log in detail", default=None, completion="category"),
    ],
    help='Changes and returns what is logged in detail. "all" and "1" are every category, "none" and "0" none.',
    result='{"category": true|false, ...}    (json object) whether each is logged in detail',
    example='\'["net", "sync"]\' \'["storage"]\'',
)
def logging(context: AdminContext, include: list[object] | None, exclude: list[object] | None) -> dict[str, bool]:
    # All names are looked at before anything is changed.
    levels = dict.fromkeys(_categories(include), "debug") | dict.fromkeys(_categories(exclude), "info")
    for category, level in levels.items():
        log.set_category(category, level)
    return {category: level in ("trace", "debug") for category, level in log.current_levels().items()}


def _categories(names: list[object] | None) -> list[str]:
    found: list[str] = []
    for name in names or ():
        try:
            found += log.find_categories(str(name))
        except ValueError:
            raise RpcError(rpc_errors.INVALID_PARAMETER, f"unknown logging category {name}") from None
    return found


@command(
    "getrpcinfo",
    "control",
    help="Returns what the admin side is doing.",
    result="""{
  "active_commands": [{
    "method": "str",
    "duration": n                    microseconds so far
  }, ...],
  "logpath": "str"                   the log file
}""",
)
def get_rpc_info(context: AdminContext) -> dict[str, object]:
    now = context.clock.steady()
    active = [{"method": each.method, "duration": int((now - each.started) * 1e6)} for each in context.active_commands]
    return {"active_commands": active, "logpath": str(context.debug_log)}


@command(
    "getmemoryinfo",
    "control",
    args=[Arg("mode", ArgType.STRING, "stats is the only one", default="stats", completion=("stats",))],
    help="Returns how much memory the node uses. It locks none, so Core's figures about locked memory are 0.",
    result="""{
  "locked": {"used": 0, "free": 0, "total": 0, "locked": 0, "chunks_used": 0, "chunks_free": 0},
  "rss": n,                          bytes in memory now
  "peak_rss": n                      the most since the start
}""",
)
def get_memory_info(context: AdminContext, mode: str) -> dict[str, object]:
    if mode == "mallocinfo":
        raise RpcError(rpc_errors.INVALID_PARAMETER, "mallocinfo mode not available")
    if mode != "stats":
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"unknown mode {mode}")
    now, peak = memory_use()
    locked = dict.fromkeys(("used", "free", "total", "locked", "chunks_used", "chunks_free"), 0)
    return {"locked": locked, "rss": now, "peak_rss": peak}


@command(
    "getnodestats",
    "control",
    help="Returns the node's own figures. Times are in seconds, sizes in bytes; what is counted begins with the start.",
    result="""{
  "version": "str",
  "hub_lag": {"p50": n, "p99": n, "max": n, "worst": n},  how late the event loop runs what is due
  "greenlets": n,
  "memory": {"resident": n, "peak": n},
  "listening": ["ip:port", ...],
  "send_queue_bytes": n,             waiting to be sent, over all peers
  "receive_budget_used": n,          of large messages under way
  "timers": n,
  "peers": n,
  "addresses": n,
  "headers": n,
  "blocks": {                        of a node with blocks
    "connected": n,                  blocks that joined the active chain
    "disconnected": n,               and that left it
    "refused": n,                    invalid when they were to be connected
    "pending_bytes": n,              of blocks that are stored and wait to be connected
    "coins_cache_bytes": n,          of changed coins in memory only
    "blocks_disk_bytes": n,          with undo data
    "coins_disk_bytes": n
  },
  "traffic": {
    "received" and "sent": {
      "bytes": n,
      "messages": n,
      "bytes_per_second": {"1s": n, "1m": n, "1h": n},
      "bytes_per_msg": {"msg": n, ...},
      "messages_per_msg": {"msg": n, ...}
    }
  },
  "connections": {
    "attempts": {"type": n, ...},    dials
    "failures": [{"type": "str", "reason": "str", "count": n}, ...],
    "accepted": n,                   inbound connections let in
    "refused": {"reason": n, ...},   and not
    "evicted": n                     inbound peers that made room for another
  },
  "bans": {
    "listed": n,
    "made": {"why": n, ...},
    "discouraged": n,
    "discouraged_since_start": n,
    "violations": {"violation": n, ...}
  },
  "addrman": {
    "new" and "tried": {
      "addresses": {"network": n, ...},
      "slots": n,
      "slots_taken": n,
      "buckets": n,
      "buckets_begun": n,
      "buckets_full": n
    }
  }
}""",
)
def get_node_stats(context: AdminContext) -> dict[str, object]:
    return dict(context.stats())


@command(
    "echo",
    HIDDEN,
    args=[Arg(f"arg{n}", ArgType.ANY, "Anything", default=None) for n in range(10)],
    help="Returns what it is given, to test clients.",
    result="[...]    (json array) the arguments",
    example="hello",
)
def echo(context: AdminContext, **given: object) -> list[object]:
    values = list(given.values())
    while values and values[-1] is None:
        values.pop()
    return values


@command(
    "getindexinfo",
    "util",
    args=[Arg("index_name", ArgType.STRING, "One index only", default=None)],
    help="Returns the state of the indexes that the node keeps.",
    result="""{
  "name": {
    "synced": true|false,
    "best_block_height": n
  }, ...
}""",
)
def get_index_info(context: AdminContext, index_name: str | None) -> dict[str, object]:
    found = {} if context.blocks is None else context.blocks.indexes()
    return {
        name: {"synced": state.synced, "best_block_height": state.height}
        for name, state in found.items()
        if index_name in (None, "", name)
    }


@command(
    "syncwithvalidationinterfacequeue",
    HIDDEN,
    help="Waits until all who want to know of a new tip do. Here they know it before anybody else, so nobody waits.",
    result="null",
)
def sync_with_validation_interface_queue(context: AdminContext) -> None:
    return None


@command(
    "setmocktime",
    HIDDEN,
    changes=True,
    args=[Arg("timestamp", ArgType.INTEGER, "Unix seconds at which the clock stands still; 0 lets it run again")],
    help="Sets the node's clock. Everything that is due by the new time happens at once. Test networks only.",
    result="null",
    example="1700000000",
)
def set_mock_time(context: AdminContext, timestamp: int) -> None:
    _require_mockable(context, "setmocktime")
    if not 0 <= timestamp <= _MAX_MOCK_TIME:
        text = f"Mocktime must be in the range [0, {_MAX_MOCK_TIME}], not {timestamp}."
        raise RpcError(rpc_errors.INVALID_PARAMETER, text)
    context.clock.set_mock_time(timestamp or None)
    context.wake_timers()


@command(
    "mockscheduler",
    HIDDEN,
    changes=True,
    args=[Arg("delta_time", ArgType.INTEGER, "Seconds, 1 to 3600")],
    help="Moves the node's scheduler forward. Test networks only.",
    result="null",
    example="60",
)
def mock_scheduler(context: AdminContext, delta_time: int) -> None:
    _require_mockable(context, "mockscheduler")
    if not 1 <= delta_time <= _MAX_SKIP:
        raise RpcError(rpc_errors.MISC_ERROR, "delta_time must be between 1 and 3600 seconds (1 hr)")
    context.clock.skip(delta_time)
    context.wake_timers()


def _require_mockable(context: AdminContext, name: str) -> None:
    if not context.chain.params.mockable:
        text = f"{name} is for regression testing (-regtest mode) only"
        raise RpcError(rpc_errors.MISC_ERROR, text)

"""Words about the node as a program."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import RenderableType

from ccnode.admin.shell import units
from ccnode.admin.shell.tables import facts
from ccnode.admin.shell.views import Argument, Given, Result, Session, passed, view


@view(
    "status",
    "Node",
    help="Shows how the node is: chain, connections, traffic, memory, and how late it is with its work.",
    uses=("status", "uptime", "getnodestats"),
    examples=("status", "watch status"),
)
def status(shell: Session, given: Given) -> Result:
    state, stats, uptime = shell.remote.call_all("status", "getnodestats", "uptime")

    def show() -> RenderableType:
        return facts(_facts(state, stats, uptime))

    return Result({**state, "uptime": uptime, "stats": stats}, show)


def _facts(state: Mapping[str, Any], stats: Mapping[str, Any], uptime: int) -> list[tuple[str, str]]:
    lag, memory = stats["hub_lag"], stats["memory"]
    received, sent = state["received_per_second"], state["sent_per_second"]
    return [
        ("node", f"ccnode {stats['version']}, running for {units.span(uptime)}"),
        ("chain", f"{state['chain']}, {state['phase']}, {state['percent']:.1f} %"),
        ("height", f"{units.number(state['height'])}, the tip is {units.age(state['tip_time'], time.time())} old"),
        ("network", "on" if state["network_active"] else "switched off (net on)"),
        ("peers", f"{state['connections_out']} outbound, {state['connections_in']} inbound"),
        ("listening", ", ".join(stats["listening"]) or "no"),
        ("traffic", f"{units.rate(received)} received, {units.rate(sent)} sent"),
        ("addresses", units.number(stats["addresses"])),
        *_stored(stats.get("blocks")),
        ("memory", f"{units.size(memory['resident'])}, at most {units.size(memory['peak'])}"),
        ("lateness", f"{units.milliseconds(lag['p99'])} (99 of 100), {units.milliseconds(lag['worst'])} at worst"),
    ]


def _stored(blocks: Mapping[str, int] | None) -> list[tuple[str, str]]:
    """What a node with blocks keeps."""
    if blocks is None:
        return []
    stored, coins, changed = (blocks[f"{what}_bytes"] for what in ("blocks_disk", "coins_disk", "coins_cache"))
    waiting = blocks["pending_bytes"]
    return [
        ("blocks", units.size(stored) + (f", {units.size(waiting)} to be connected" if waiting else "")),
        ("coins", f"{units.size(coins)}, changes of {units.size(changed)} in memory"),
    ]


@view(
    "log",
    "Node",
    help="Shows how much detail is logged of each category, or changes it: of one, or of all.",
    uses=("loglevel",),
    examples=("log", "log net debug", "log info"),
    arguments=[
        Argument("category", "the category; a level alone is for all of them", True, completion="category"),
        Argument("level", "trace, debug, info, warning or error", True, completion="log_level"),
    ],
)
def log(shell: Session, given: Given) -> Result:
    words = [word for word in (given.get("category"), given.get("level")) if word is not None]
    answer = shell.remote.call("loglevel", *words)
    return Result(answer, lambda: facts(list(answer.items())))


@view(
    "stop",
    "Node",
    help="Stops the node. At a prompt it asks whether that is meant.",
    uses=("stop",),
    examples=("stop",),
)
def stop(shell: Session, given: Given) -> Result:
    if not shell.confirm("stop the node?"):
        return passed(None, "the node goes on")
    answer = shell.remote.call("stop")
    return passed(answer, answer)

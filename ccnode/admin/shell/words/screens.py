"""Words that show the node at work: on a screen of their own, or line by line as things happen."""

import json
import sys
import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from math import ceil
from typing import Any, Final

from rich.console import RenderableType
from rich.text import Text

from ccnode.admin.shell import units
from ccnode.admin.shell.remote import Remote
from ccnode.admin.shell.views import Answer, Argument, Given, Option, Result, Screen, Session, Stream, UsageError, view
from ccnode.admin.shell.words.peer import find_peer

TOPICS: Final = ("peer", "tip", "reorg", "ban", "log")
"""What ``events`` knows how to say; messages are ``tap``'s."""

LEVELS: Final = ("trace", "debug", "info", "warning", "error")


@view(
    "top",
    "Watching",
    help="Shows the node at work on the whole screen: chain, connections, traffic, log. Its key h lists the keys.\n\n"
    "One moves through the connections, sorts and filters them, looks into one, disconnects or bans it. The node may "
    "be restarted meanwhile.",
    uses=("getblockchaininfo", "getheadersyncinfo", "getnodestats", "getpeerinfo", "uptime", "subscribe"),
    examples=("top",),
)
def top(shell: Session, given: Given) -> Answer:
    from ccnode.admin.shell.screens.looks import look

    if given.has("json"):
        answer = asdict(look(shell.remote))
        return Result(answer, lambda: json.dumps(answer))
    if not (shell.terminal and sys.stdin.isatty()):
        raise UsageError("top wants a terminal; without one there is top --json: all that it would show, once")
    from ccnode.admin.shell.screens.top import Screen as Top

    return Screen(Top(shell.remote).run)


@view(
    "tap",
    "Watching",
    help="Shows the messages of a connection as they pass, until Ctrl-C or until it ends.\n\n"
    "-> is sent, <- is received. Sizes are those on the wire. With --json every line is a JSON object.",
    uses=("getpeerinfo", "subscribe"),
    examples=("tap 12", "tap 12 inv,headers", "tap 12 | grep ping"),
    arguments=[
        Argument("peer", "number of the connection, or its address", completion="peer_id"),
        Argument("commands", "the types of messages, all without", True, many=True, completion="message_type"),
    ],
)
def tap(shell: Session, given: Given) -> Answer:
    peer = find_peer(shell, given.arguments["peer"])["id"]
    commands = [name for word in given.rest for name in word.split(",") if name]
    options: dict[str, object] = {"peer": peer, **({"commands": commands} if commands else {})}
    return Stream(_tapped(shell.remote, peer, options, exact=given.has("json")))


def _tapped(
    remote: Remote, peer: int, options: Mapping[str, object], *, exact: bool
) -> Generator[RenderableType, None, None]:
    with closing(remote.subscribe(["message", "peer"], options)) as events:
        for event in events:
            if event["topic"] != "peer":
                yield event_line(event, exact=exact)
            elif event["id"] == peer and event["event"] == "disconnected":
                yield event_line(event, exact=exact)
                return


@view(
    "events",
    "Watching",
    help="Shows what happens in the node, as it happens, until Ctrl-C.\n\n"
    "With --json every line is a JSON object, as the node sent it.",
    uses=("subscribe",),
    examples=("events", "events peer,ban", "events log --level debug", "events --json | jq .topic"),
    arguments=[Argument("topics", f"{', '.join(TOPICS)}; all but log without", True, many=True, completion=TOPICS)],
    options=[Option("level", "of log: this and what is graver", "LEVEL", completion=LEVELS)],
)
def events(shell: Session, given: Given) -> Answer:
    topics = [name for word in given.rest for name in word.split(",") if name]
    unknown = [name for name in topics if name not in TOPICS]
    if unknown:
        raise UsageError(f"there is no topic {unknown[0]}; there are {', '.join(TOPICS)}")
    level = given.get("level")
    if level is not None and "log" not in topics:
        topics.append("log")
    return Stream(
        _happening(
            shell.remote,
            topics or [name for name in TOPICS if name != "log"],
            {} if level is None else {"level": level},
            exact=given.has("json"),
        )
    )


def _happening(
    remote: Remote, topics: Sequence[str], options: Mapping[str, object], *, exact: bool
) -> Generator[RenderableType, None, None]:
    with closing(remote.subscribe(topics, options)) as events:
        for event in events:
            yield event_line(event, exact=exact)


# -- one event in a line ---------------------------------------------------------------------------------------------


def event_line(event: Mapping[str, Any], *, exact: bool) -> RenderableType:
    if exact:
        return json.dumps(event, ensure_ascii=False)
    clock = time.strftime("%H:%M:%S", time.localtime(event["time"])) + f"{event['time'] % 1:.3f}"[1:]
    says, style = _WORDS[event["topic"]](event)
    return Text.assemble((f"{clock} ", "dim"), (says, style), no_wrap=True, overflow="ignore")


Said = tuple[str, str]
"""What a line says, and in which style."""


def _message(event: Mapping[str, Any]) -> Said:
    inbound = event["direction"] == "in"
    line = f"{'<-' if inbound else '->'} {event['command']:<12} {units.size(event['bytes']):>8}"
    return f"{line}  {event.get('summary', '')}".rstrip(), "cyan" if inbound else "green"


def _peer(event: Mapping[str, Any]) -> Said:
    said = [f"peer {event['id']} {event['event']}", event["addr"]]
    said += [event["connection_type"], event["network"], event.get("subver", ""), event.get("reason", "")]
    return "  ".join(filter(None, said)), {"disconnected": "yellow"}.get(event["event"], "")


def _tip(event: Mapping[str, Any]) -> Said:
    return f"tip {event['height']:,}  {event['hash']}", ""


def _reorg(event: Mapping[str, Any]) -> Said:
    counts = f"{event['disconnected']} headers replaced by {event['connected']} after height {event['fork_height']:,}"
    return f"reorg {counts}  {event['old_tip']} -> {event['new_tip']}", "bold yellow"


def _ban(event: Mapping[str, Any]) -> Said:
    if event["event"] == "unbanned":
        return f"unbanned {event['subnet']}", ""
    left = units.span(ceil(event["until"] - event["time"]))
    return f"banned {event['subnet']} for {left}  {event.get('reason', '')}".rstrip(), "yellow"


def _log(event: Mapping[str, Any]) -> Said:
    category = f"[{event['category']}] " if event["category"] else ""
    return f"{category}{event['message']}", {"warning": "yellow", "error": "red"}.get(event["level"], "")


def _dropped(event: Mapping[str, Any]) -> Said:
    return f"({event['count']} events left out: they came faster than they were read)", "yellow"


_WORDS: Final = {
    "message": _message,
    "peer": _peer,
    "tip": _tip,
    "reorg": _reorg,
    "ban": _ban,
    "log": _log,
    "dropped": _dropped,
}

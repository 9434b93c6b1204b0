"""Commands for those who watch the node: the stream of events."""

from ccnode.admin.context import AdminContext
from ccnode.admin.events import Subscription, parse_wishes
from ccnode.admin.registry import Arg, ArgType, command


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
                                     message: peer, direction (in or out), command, bytes; summary if there is one
                                     dropped: count
  }
}""",
    example='\'["peer", "tip"]\'',
)
def subscribe(context: AdminContext, topics: list[object], options: dict[str, object] | None) -> Subscription:
    return context.events.subscribe(parse_wishes(topics, options or {}))

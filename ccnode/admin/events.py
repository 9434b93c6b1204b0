"""Events for clients that watch: who listens to what, and a queue for each.

::

    -> {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": [["peer", "tip"], {}]}
    <- {"jsonrpc": "2.0", "result": {"topics": ["peer", "tip"]}, "id": 1}
    <- {"jsonrpc": "2.0", "method": "event", "params": {"topic": "tip", "time": 1760000000.1, "hash": "...", ...}}

``sources.py`` makes the events, and makes only those that somebody listens to.

Whoever makes an event never waits. It goes into the queue of each client that wants it, and the client's own greenlet
sends it. A client that does not read loses events, the oldest first; instead of them it gets one of the topic
``dropped`` with their number. So a client costs `MAX_WAITING` events at most, and those are the same objects in every
queue.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from gevent.event import Event

from ccnode.admin import rpc_errors
from ccnode.clock import Clock
from ccnode.errors import RpcError
from ccnode.log import LEVELS, find_categories

TOPICS: Final = ("peer", "tip", "reorg", "ban", "log", "message")

DROPPED: Final = "dropped"
"""The topic of the event that stands for lost ones."""

MAX_WAITING: Final = 1000
"""Events in a client's queue; each has a kilobyte or two at most."""

MAX_COMMANDS: Final = 100
"""Message types in the option ``commands``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What one client asked for. None means all of them."""

    topics: tuple[str, ...]
    level: int = LEVELS["info"]
    """Of ``log``: the least level, a number of the standard library."""
    categories: frozenset[str] | None = None
    """Of ``log``."""
    peer: int | None = None
    """Of ``message``: the number of the one peer to look at."""
    commands: frozenset[str] | None = None
    """Of ``message``: the types of messages."""

    def want_record(self, category: str, level: int) -> bool:
        """Whether an event of ``log`` is wanted."""
        return level >= self.level and (self.categories is None or category in self.categories)

    def want_message(self, peer: int, command: str) -> bool:
        """Whether an event of ``message`` is wanted."""
        return self.peer in (None, peer) and (self.commands is None or command in self.commands)


def parse_wishes(topics: Sequence[object], options: Mapping[str, object]) -> Wishes:
    """The arguments of ``subscribe``. Raises `RpcError` -8 for what does not exist, -3 for a value of a wrong type."""
    names = tuple(dict.fromkeys(str(topic) for topic in topics))
    unknown = [name for name in names if name not in TOPICS]
    if unknown or not names:
        found = f"unknown topic {unknown[0]}" if unknown else "no topic given"
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"{found}; there are {', '.join(TOPICS)}")
    readers: Mapping[str, Callable[[object], object]] = {
        "level": _level,
        "categories": _categories,
        "peer": _peer,
        "commands": _commands,
    }
    wishes = {}
    for name, value in options.items():
        if name not in readers:
            raise RpcError(rpc_errors.INVALID_PARAMETER, f"unknown option {name}; there are {', '.join(readers)}")
        wishes[name] = readers[name](value)
    return Wishes(topics=names, **wishes)  # type: ignore[arg-type]


def _level(value: object) -> int:
    if not isinstance(value, str) or value not in LEVELS:
        raise RpcError(rpc_errors.INVALID_PARAMETER, f"unknown log level {value}; there are {', '.join(LEVELS)}")
    return LEVELS[value]


def _categories(value: object) -> frozenset[str]:
    found: set[str] = set()
    for name in _texts("categories", value):
        try:
            found.update(find_categories(name))
        except ValueError:
            raise RpcError(rpc_errors.INVALID_PARAMETER, f"unknown logging category {name}") from None
    return frozenset(found)


def _peer(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise RpcError(rpc_errors.TYPE_ERROR, "the option peer is the number of a connection")
    return value


def _commands(value: object) -> frozenset[str]:
    return frozenset(_texts("commands", value))


def _texts(name: str, value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value) or len(value) > MAX_COMMANDS:
        raise RpcError(rpc_errors.TYPE_ERROR, f"the option {name} is a list of at most {MAX_COMMANDS} strings")
    return value


class Subscription:
    """One client's queue. Made by `EventStream.subscribe`; whoever has it calls `close` in the end."""

    def __init__(self, wishes: Wishes, clock: Clock, left: Callable[["Subscription"], None]) -> None:
        self.wishes = wishes
        self._clock = clock
        self._left = left
        self._waiting: deque[Mapping[str, object]] = deque(maxlen=MAX_WAITING)
        self._dropped = 0
        self._wake = Event()
        self.closed = False

    def put(self, event: Mapping[str, object]) -> None:
        """Queue an event; never waits."""
        self._dropped += len(self._waiting) == MAX_WAITING
        self._waiting.append(event)
        self._wake.set()

    def take(self) -> Mapping[str, object] | None:
        """Wait for the next event and take it; None when closed."""
        while not self._waiting and not self.closed:
            self._wake.clear()
            self._wake.wait()
        if self.closed:
            return None
        if self._dropped:
            dropped, self._dropped = self._dropped, 0
            return {"topic": DROPPED, "time": self._clock.now(), "count": dropped}
        return self._waiting.popleft()

    @property
    def idle(self) -> bool:
        """Whether `take` would wait."""
        return not self._waiting and not self.closed

    def close(self) -> None:
        """No more events; whoever waits for one goes on."""
        if not self.closed:
            self.closed = True
            self._left(self)
            self._wake.set()


class EventStream:
    """All subscriptions."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._listeners: dict[str, list[Subscription]] = {topic: [] for topic in TOPICS}
        self._switches: dict[str, Callable[[bool], None]] = {}

    def on_demand(self, topic: str, switch: Callable[[bool], None]) -> None:
        """Call ``switch(True)`` when somebody begins to listen to ``topic``, ``switch(False)`` when nobody does."""
        self._switches[topic] = switch

    def subscribe(self, wishes: Wishes) -> Subscription:
        """A queue that is filled from now on."""
        subscription = Subscription(wishes, self._clock, self._left)
        for topic in wishes.topics:
            self._listeners[topic].append(subscription)
            if len(self._listeners[topic]) == 1 and topic in self._switches:
                self._switches[topic](True)
        return subscription

    def _left(self, subscription: Subscription) -> None:
        for topic in subscription.wishes.topics:
            self._listeners[topic].remove(subscription)
            if not self._listeners[topic] and topic in self._switches:
                self._switches[topic](False)

    def listeners(self, topic: str) -> Sequence[Subscription]:
        """Who listens to ``topic``; whoever makes events looks here first."""
        return self._listeners[topic]

    def publish(self, topic: str, receivers: Sequence[Subscription], **fields: object) -> None:
        """Queue one event for the ``receivers``. Strings in it should be short: a client may leave it lying."""
        event = {"topic": topic, "time": self._clock.now(), **fields}
        for subscription in receivers:
            subscription.put(event)

"""Events: what clients may wish for, queues that lose the oldest, what becomes an event, and the stream on a socket."""

import json
import logging
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from admin_support import GENESIS_TIME, TestNode, make_headers

from ccnode.admin import events as events_module
from ccnode.admin.client import NotRunning, call, subscribe
from ccnode.admin.commands import REGISTRY
from ccnode.admin.events import EventStream, Subscription, parse_wishes
from ccnode.admin.jsonrpc import Dispatcher
from ccnode.admin.sources import LogTap, MessageSource, summarize
from ccnode.chain.formats import BITCOIN_FORMAT
from ccnode.chain.networks import REGTEST
from ccnode.clock import SystemClock
from ccnode.errors import RpcError
from ccnode.peers.messages import MessageTap, PassedMessage
from ccnode.wire.factory import MessageFactory
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.keepalive import Ping, Pong
from ccnode.wire.message import Unknown
from tests.support.process import NodeProcess
from tests.support.scripted import Link


@pytest.fixture
def stream() -> EventStream:
    return EventStream(SystemClock())


def listen(stream: EventStream, *topics: str, **options: object) -> Subscription:
    return stream.subscribe(parse_wishes(topics, options))


def publish(stream: EventStream, topic: str, **fields: object) -> None:
    stream.publish(topic, stream.listeners(topic), **fields)


def taken(subscription: Subscription) -> list[Any]:
    found = []
    while not subscription.idle:
        found.append(subscription.take())
    return found


# -- queues ------------------------------------------------------------------------------------------------------------


def test_everybody_gets_what_he_asked_for(stream: EventStream) -> None:
    tips, both = listen(stream, "tip"), listen(stream, "tip", "ban", "tip")
    publish(stream, "tip", height=1)
    publish(stream, "ban", subnet="x")
    assert [event["topic"] for event in taken(tips)] == ["tip"]
    assert [event["topic"] for event in taken(both)] == ["tip", "ban"]
    tips.close()
    publish(stream, "tip", height=2)
    assert len(stream.listeners("tip")) == 1
    assert tips.take() is None


def test_a_full_queue_loses_the_oldest_and_says_how_many(stream: EventStream) -> None:
    slow = listen(stream, "tip")
    for height in range(events_module.MAX_WAITING + 7):
        publish(stream, "tip", height=height)
    first, *rest = taken(slow)
    assert (first["topic"], first["count"]) == ("dropped", 7)
    assert [event["height"] for event in rest] == list(range(7, events_module.MAX_WAITING + 7))
    publish(stream, "tip", height=0)
    assert [event["topic"] for event in taken(slow)] == ["tip"]


def test_a_source_is_switched_on_for_the_first_listener_and_off_after_the_last(stream: EventStream) -> None:
    switched: list[bool] = []
    stream.on_demand("log", switched.append)
    first, second = listen(stream, "log"), listen(stream, "log", "tip")
    first.close()
    first.close()
    assert switched == [True]
    second.close()
    assert switched == [True, False]


@pytest.mark.parametrize(
    ("topics", "options", "code", "message"),
    [
        ([], {}, -8, "no topic given; there are peer, tip, reorg, ban, log, message"),
        (["tips"], {}, -8, "unknown topic tips; there are peer, tip, reorg, ban, log, message"),
        (["tip"], {"x": 1}, -8, "unknown option x; there are level, categories, peer, commands"),
        (["log"], {"level": "loud"}, -8, "unknown log level loud; there are trace, debug, info, warning, error"),
        (["log"], {"level": []}, -8, "unknown log level []; there are trace, debug, info, warning, error"),
        (["log"], {"categories": ["nett"]}, -8, "unknown logging category nett"),
        (["log"], {"categories": "net"}, -3, "the option categories is a list of at most 100 strings"),
        (["message"], {"commands": ["inv"] * 101}, -3, "the option commands is a list of at most 100 strings"),
        (["message"], {"peer": True}, -3, "the option peer is the number of a connection"),
    ],
)
def test_wishes_that_nobody_can_fulfil(topics: list[str], options: dict[str, object], code: int, message: str) -> None:
    with pytest.raises(RpcError) as error:
        parse_wishes(topics, options)
    assert (error.value.code, str(error.value)) == (code, message)


# -- sources -----------------------------------------------------------------------------------------------------------


def test_log_records_become_events_of_their_level_and_category(stream: EventStream) -> None:
    tap = LogTap(stream)
    warnings, net = listen(stream, "log", level="warning"), listen(stream, "log", level="debug", categories=["net"])
    records = [("ccnode.net", logging.DEBUG, "a\x1b[2J\nb"), ("ccnode.sync", logging.ERROR, "x" * 2000)]
    for name, level, text in records:
        tap.handle(logging.LogRecord(name, level, "", 0, text, None, None))
    (error,) = taken(warnings)
    assert (error["level"], error["category"], len(error["message"])) == ("error", "sync", 1000)
    (detail,) = taken(net)
    assert (detail["level"], detail["message"]) == ("debug", "a\\x1b[2J\\x0ab")


def test_records_are_handed_on_without_a_lock(stream: EventStream) -> None:
    tap, listener = LogTap(stream), stream.subscribe(parse_wishes(["log"], {}))
    assert tap.lock is None
    tap.handle(logging.LogRecord("ccnode.net", logging.INFO, "", 0, "hello", None, None))
    assert listener.take()["message"] == "hello"  # type: ignore[index]
    listener.close()


def test_a_record_of_another_thread_reaches_the_hub(stream: EventStream) -> None:
    import gevent

    tap, seen = LogTap(stream), listen(stream, "log")
    record = logging.LogRecord("ccnode.storage", logging.INFO, "", 0, "from a thread", None, None)
    gevent.get_hub().threadpool.apply(tap.handle, (record,))
    event = seen.take()
    assert event is not None
    assert event["message"] == "from a thread"


def test_messages_are_looked_at_only_while_somebody_listens(stream: EventStream) -> None:
    tap = MessageTap()
    stream.on_demand("message", MessageSource(stream, tap, MessageFactory(), BITCOIN_FORMAT).switch)
    assert tap.listener is None
    one, pings = listen(stream, "message", peer=7), listen(stream, "message", commands=["ping"])
    assert tap.listener is not None
    for peer, command, payload in ((7, "ping", Ping(1).encode()), (7, "verack", b""), (8, "ping", b"")):
        tap.listener(peer, PassedMessage(1.0, False, command, 24 + len(payload)), payload)
    assert [(event["command"], event.get("summary")) for event in taken(one)] == [
        ("ping", "nonce 0000000000000001"),
        ("verack", None),
    ]
    assert [(event["peer"], event["direction"], event["bytes"]) for event in taken(pings)] == [
        (7, "in", 32),
        (8, "in", 24),
    ]
    one.close()
    pings.close()
    assert tap.listener is None


def test_summaries() -> None:
    factory = MessageFactory()
    genesis = bytes(32)
    assert summarize(factory, "headers", Headers.build([bytes(80)] * 3).encode()) == "3 headers"
    assert summarize(factory, "addr", b"\1" + bytes(30)) == "1 address"
    assert summarize(factory, "inv", b"\xfd\x10\x27" + bytes(100)) == "10000 items"
    assert summarize(factory, "inv", b"\xfd") == "malformed: truncated: 2 bytes expected at offset 1, 0 left"
    assert summarize(factory, "getheaders", GetHeaders((genesis,)).encode()) == "after " + "0" * 64
    assert summarize(factory, "ping", b"\0") == "malformed: truncated: a nonce of 8 bytes expected, 1 left"
    assert summarize(factory, "tx", bytes(1_000_000)) == ""
    assert summarize(factory, "weird", b"x") == ""


# -- the stream --------------------------------------------------------------------------------------------------------


def test_a_subscription_wants_a_connection_of_its_own(tmp_path: Path) -> None:
    node = TestNode(tmp_path)
    dispatcher = Dispatcher(REGISTRY, node.context)
    request = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": [["tip"]]}
    silent = {key: value for key, value in request.items() if key != "id"}
    batch = "".join(map(str, dispatcher.answer(json.dumps([request]).encode())))
    assert json.loads(batch)[0]["error"]["code"] == -32600
    assert list(dispatcher.answer(json.dumps(silent).encode())) == []
    assert not node.context.events.listeners("tip")
    *_, subscription = dispatcher.answer(json.dumps(request).encode())
    assert isinstance(subscription, Subscription)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path_factory.mktemp("events") / "node") as process:
        yield process


def until(events: Iterator[dict[str, Any]], **fields: object) -> dict[str, Any]:
    """The first event with these fields."""
    return next(event for event in events if fields.items() <= event.items())


def test_a_peer_comes_and_goes_before_the_eyes_of_a_client(node: NodeProcess) -> None:
    events = subscribe(node.socket, ["peer", "message"], {"commands": ["version", "ping"]})
    link = Link.connect(node.port)
    connected = until(events, topic="peer", event="connected")
    assert (connected["inbound"], connected["connection_type"], connected["network"]) == (
        True,
        "inbound",
        "not_publicly_routable",
    )
    link.handshake()
    assert until(events, topic="message", command="version", direction="in")["peer"] == connected["id"]
    assert until(events, topic="peer", event="handshaked")["id"] == connected["id"]
    assert until(events, topic="message", command="ping", direction="out")["summary"].startswith("nonce")
    link.close()
    gone = until(events, topic="peer", event="disconnected")
    assert gone["id"] == connected["id"]
    assert gone["reason"]
    assert abs(gone["time"] - time.time()) < 60
    events.close()


def test_the_tip_reorganisations_and_bans(node: NodeProcess) -> None:
    events = subscribe(node.socket, ["tip", "reorg", "ban"])
    headers = make_headers(REGTEST.genesis_hash, GENESIS_TIME, 3)
    for raw in headers:
        node.rpc("submitheader", raw.hex())
    first = [REGTEST.header_format.hash(raw)[::-1].hex() for raw in headers]
    assert until(events, topic="tip", height=3)["hash"] == first[2]
    node.rpc("invalidateblock", first[1])
    reorg = until(events, topic="reorg")
    assert (reorg["fork_height"], reorg["disconnected"], reorg["connected"]) == (1, 2, 0)
    assert (reorg["old_tip"], reorg["new_tip"]) == (first[2], first[0])
    assert next(events)["topic"] == "tip"
    node.rpc("setban", "1.2.3.0/24", "add", 100)
    assert until(events, topic="ban")["subnet"] == "1.2.3.0/24"
    node.rpc("setban", "1.2.3.0/24", "remove")
    assert until(events, topic="ban")["event"] == "unbanned"
    events.close()


def test_a_client_that_does_not_read_is_left_behind(node: NodeProcess) -> None:
    lazy = subscribe(node.socket, ["log"], {"level": "debug"})
    node.rpc("logging", ["net"])
    flood(node, 20_000)
    node.rpc("logging", [], ["net"])
    assert until(lazy, topic="dropped")["count"] > 0
    assert next(lazy)["topic"] == "log"
    lazy.close()


def flood(node: NodeProcess, count: int) -> None:
    """Have the node write ``count`` lines into its log."""
    link = Link.connect(node.port)
    link.handshake()
    link.send(*[Unknown("nonsense", b"")] * count, Ping(1))
    link.expect(Pong)
    link.close()


def test_a_mistake_is_an_error_of_subscribe_and_a_dead_node_too(node: NodeProcess, tmp_path: Path) -> None:
    with pytest.raises(RpcError, match="unknown topic"):
        subscribe(node.socket, ["nothing"])
    with pytest.raises(NotRunning):
        subscribe(tmp_path / "none.sock", ["tip"])


def test_another_thread_may_end_the_stream(node: NodeProcess) -> None:
    events = subscribe(node.socket, ["ban"])
    seen: list[dict[str, object]] = []
    reader = threading.Thread(target=lambda: seen.extend(events))
    reader.start()
    events.close()
    reader.join(10)
    assert not reader.is_alive()
    assert seen == list(events) == []


def test_the_stream_ends_with_its_client_or_its_node(node: NodeProcess) -> None:
    before = node.rpc("getnodestats")["greenlets"]
    for _ in range(5):
        subscribe(node.socket, ["tip"]).close()
    silent = socket.socket(socket.AF_UNIX)
    silent.connect(str(node.socket))
    silent.sendall(b'{"jsonrpc":"2.0","id":1,"method":"subscribe","params":[["tip"]]}\n' + b"more\n" * 1000)
    assert b"topics" in silent.recv(1000)
    silent.close()
    end = time.monotonic() + 10
    while node.rpc("getnodestats")["greenlets"] > before:
        assert time.monotonic() < end
    last = subscribe(node.socket, ["tip"])
    call(node.socket, "stop")
    assert list(last) == []
    assert node.stop() == 0
    node.restart()

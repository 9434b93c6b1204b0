"""Headers for others: getheaders, announcements, sendheaders."""

from ccnode.peers.peer import ConnectionType
from ccnode.sync.state import MAX_ANNOUNCED, MAX_HEADERS
from ccnode.wire.handshake import SendHeaders
from ccnode.wire.headers import GetHeaders, Headers
from ccnode.wire.inventory import Inv
from ccnode.wire.protocol import InvType
from tests.support.fakes import FakePeer, HeaderLine
from tests.support.sync import DAY, SyncRoom, params_with

INBOUND = ConnectionType.INBOUND
ZERO = bytes(32)


def ask(room: SyncRoom, peer: FakePeer, *locator: bytes, stop: bytes = ZERO) -> list[bytes] | None:
    """The headers that ``peer`` gets, None if it gets no answer."""
    peer.take(Headers)
    room.deliver(peer, GetHeaders(tuple(locator), stop))
    answers = peer.take(Headers)
    assert len(answers) <= 1
    return answers[0].split() if answers else None


def loaded(line: HeaderLine, **settings) -> tuple[SyncRoom, FakePeer]:
    room = SyncRoom(params_with(**settings), now=line.time + 600)
    room.load(line)
    return room, room.join(INBOUND)


# -- getheaders --------------------------------------------------------------------------------------------------------


def test_up_to_2000_headers_after_the_fork_point(long_line: HeaderLine) -> None:
    room, peer = loaded(long_line)
    assert ask(room, peer, long_line.hashes[10]) == long_line.headers[11 : 11 + MAX_HEADERS]
    assert ask(room, peer, b"\1" * 32, long_line.hashes[6000]) == long_line.headers[6001:]
    assert ask(room, peer, b"\1" * 32) == long_line.headers[1 : 1 + MAX_HEADERS]
    assert ask(room, peer, long_line.tip) == [], "nothing new is an answer too"


def test_the_stop_hash_is_the_last(long_line: HeaderLine) -> None:
    room, peer = loaded(long_line)
    start = long_line.hashes[10]
    assert ask(room, peer, start, stop=long_line.hashes[15]) == long_line.headers[11:16]
    assert ask(room, peer, start, stop=long_line.hashes[5]) == long_line.headers[11:2011]
    assert ask(room, peer, start, stop=b"\1" * 32) == long_line.headers[11:2011]


def test_a_null_locator_asks_for_the_stop_header_alone(long_line: HeaderLine) -> None:
    room, peer = loaded(long_line)
    assert ask(room, peer, stop=long_line.hashes[15]) == [long_line.headers[15]]
    assert ask(room, peer, stop=b"\1" * 32) is None


def test_a_stale_header_is_shown_for_a_month() -> None:
    line = HeaderLine().grow(100)
    stale = line.fork(98).grow(1, salt=1)
    room, peer = loaded(line)
    room.chain.accept(stale.headers[99:])
    assert ask(room, peer, stop=stale.tip) == [stale.headers[99]]
    line.grow(1, start=line.time + 31 * DAY)
    room.clock.set_wall(line.time + 600)
    room.load(line)
    assert ask(room, peer, stop=stale.tip) is None
    assert ask(room, peer, stop=line.hashes[99]) == [line.headers[99]], "the active chain is no secret"


def test_an_invalid_header_is_not_shown() -> None:
    line = HeaderLine().grow(20)
    room, peer = loaded(line)
    mark = room.index.find(line.hashes[20])
    assert mark is not None
    room.chain.invalidate(mark)
    assert ask(room, peer, stop=line.hashes[20]) is None
    assert ask(room, peer, line.hashes[18]) == [line.headers[19]]


def test_below_the_minimum_work_the_answer_is_empty() -> None:
    line = HeaderLine().grow(50)
    room, peer = loaded(line, minimum_headers=51)
    assert ask(room, peer, line.hashes[0]) == []
    assert ask(room, peer, stop=line.hashes[3]) == []
    room, peer = loaded(line, minimum_headers=50)
    assert ask(room, peer, line.hashes[0]) == line.headers[1:]


# -- announcements -----------------------------------------------------------------------------------------------------


def following(line: HeaderLine, *, prefers_headers: bool = True) -> tuple[SyncRoom, FakePeer]:
    """A peer that has the same chain as we, and likes its announcements in this form."""
    room, peer = loaded(line)
    peer.prefers_headers = prefers_headers
    room.serve(peer, line)
    room.give(peer, line.headers[-1:])
    peer.sent.clear()
    return room, peer


def announced(peer: FakePeer) -> list[bytes] | str | None:
    """What was announced: headers, or ``"inv"``."""
    messages = [message for message in peer.sent if isinstance(message, (Headers, Inv))]
    peer.sent.clear()
    if not messages:
        return None
    [message] = messages
    return message.split() if isinstance(message, Headers) else "inv"


def add(room: SyncRoom, headers: list[bytes]) -> None:
    room.chain.accept(headers)
    room.run_passes()


def test_a_new_block_goes_out_as_headers_or_as_an_inv() -> None:
    for prefers in (True, False):
        line = HeaderLine().grow(30)
        room, peer = following(line, prefers_headers=prefers)
        line.grow(1)
        add(room, line.headers[-1:])
        if prefers:
            assert announced(peer) == line.headers[-1:]
        else:
            [inv] = peer.take(Inv)
            assert [tuple(item) for item in inv.items()] == [(InvType.BLOCK, line.tip)]


def test_who_brought_the_block_hears_nothing() -> None:
    line = HeaderLine().grow(30)
    room, peer = following(line)
    line.grow(1)
    room.give(peer, line.headers[-1:])
    assert announced(peer) is None


def test_what_was_sent_is_not_sent_again() -> None:
    line = HeaderLine().grow(30)
    room, peer = following(line)
    line.grow(2)
    add(room, line.headers[-2:-1])
    assert announced(peer) == line.headers[-2:-1]
    add(room, line.headers[-1:])
    assert announced(peer) == line.headers[-1:]


def test_eight_blocks_go_out_as_headers_and_nine_as_an_inv() -> None:
    for count, expected in ((MAX_ANNOUNCED, "headers"), (MAX_ANNOUNCED + 1, "inv")):
        line = HeaderLine().grow(30)
        room, peer = following(line)
        line.grow(count, spacing=1)
        add(room, line.headers[-count:])
        assert announced(peer) == (line.headers[-count:] if expected == "headers" else "inv")


def test_a_peer_that_lacks_the_parent_gets_an_inv() -> None:
    line = HeaderLine().grow(30)
    room, peer = loaded(line)
    peer.prefers_headers = True
    peer.sent.clear()
    line.grow(1)
    add(room, line.headers[-1:])
    assert announced(peer) == "inv"


def test_a_reorganisation_is_announced_from_the_fork_on() -> None:
    line = HeaderLine().grow(30)
    room, peer = following(line)
    other = line.fork(28).grow(3, salt=1)
    add(room, other.headers[29:])
    assert announced(peer) == other.headers[29:]


def test_a_queue_that_was_reorganised_away_becomes_an_inv_of_the_tip() -> None:
    line = HeaderLine().grow(30)
    room, peer = following(line)
    other = line.fork(30).grow(2, salt=1)
    line.grow(1)
    room.chain.accept(line.headers[-1:])
    add(room, other.headers[31:])
    [inv] = peer.take(Inv)
    assert inv.items()[0].hash == other.tip
    assert peer.take(Headers) == []


def test_nothing_is_announced_in_the_initial_download_or_by_a_node_that_serves_no_blocks() -> None:
    line = HeaderLine().grow(30)
    silent = SyncRoom(now=line.time + 600, announces=False)
    behind = SyncRoom(now=line.time + 30 * DAY)
    for room in (silent, behind):
        peer = room.join(INBOUND)
        room.load(line)
        assert announced(peer) is None


# -- sendheaders -------------------------------------------------------------------------------------------------------


def test_sendheaders_goes_out_once_when_the_peer_has_shown_more_than_the_minimum_work() -> None:
    line = HeaderLine().grow(60)
    room, peer = loaded(line, minimum_headers=50)
    room.give(peer, line.headers[49:51])
    assert peer.take(SendHeaders) == []
    room.give(peer, line.headers[51:52])
    assert len(peer.take(SendHeaders)) == 1
    room.give(peer, line.headers[52:53])
    room.run_all()
    assert peer.take(SendHeaders) == []


def test_old_peers_are_not_asked_for_headers_announcements() -> None:
    line = HeaderLine().grow(10)
    for version, expected in ((70011, 0), (70012, 1)):
        room, _ = loaded(line)
        peer = room.join(INBOUND, version=version)
        room.give(peer, line.headers[1:])
        assert len(peer.take(SendHeaders)) == expected

"""Every violation that a peer can commit, and exactly what it costs: a live node, real sockets, all kinds of peers.

`VIOLATIONS` has a row for each way to break the rules of the framing, of a message, or of the header chain, with what
Bitcoin Core does about it, and the points that its older model counts. Each is committed by a stranger, by a peer on
this machine, by one with the noban permission, and by one that a person added. A *witness* from the same address shows
whether the address was punished, or the connection alone.
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import pytest

from ccnode.wire.address import NetworkAddress
from ccnode.wire.addresses import AddrV2, TimedAddress
from ccnode.wire.compact import GetBlockTxn
from ccnode.wire.filters import GetCFCheckpt, GetCFHeaders, GetCFilters
from ccnode.wire.handshake import SendCmpct, SendTxRcncl, Verack
from ccnode.wire.headers import Headers
from ccnode.wire.inventory import Inv, InvItem
from ccnode.wire.keepalive import FeeFilter, Ping, Pong
from ccnode.wire.message import Message
from ccnode.wire.protocol import InvType
from ccnode.wire.serialize import compact_size
from tests.support.fakes import HeaderLine
from tests.support.hostile import faulty_headers, frame
from tests.support.process import NodeProcess
from tests.support.scripted import REGTEST_MAGIC, Closed, Link, version_message, wait_until

FRIEND = "127.0.0.9"
"""Has the noban permission."""


class Cost(Enum):
    """What an offence costs a peer that nobody chose."""

    NOTHING = "the message is dropped, the peer stays"
    CONNECTION = "the connection ends, and nothing more"
    ADDRESS = "misbehaviour: the connection ends, and the address is discouraged"


NOTHING, CONNECTION, ADDRESS = Cost


@dataclass(frozen=True)
class Violation:
    data: bytes
    cost: Cost
    points: int = 0
    """Of the classic model."""
    spares_noban: bool = field(default=False, kw_only=True)
    """A peer with the noban permission pays nothing, although the offence is no misbehaviour."""


def message(*messages: Message) -> bytes:
    return b"".join(frame(each.command, each.encode()) for each in messages)


def too_many(command: str, count: int, item: bytes, head: bytes = b"", tail: bytes = b"") -> bytes:
    return frame(command, head + compact_size(count) + item * count + tail)


def bad_headers(fault: str, at: int = 0) -> bytes:
    return message(Headers.build(faulty_headers(HeaderLine(), 3, at, fault)))


def addrv2_entry(network: int, size: int) -> bytes:
    return bytes(4) + b"\x09" + bytes((network,)) + compact_size(size) + b"\x20" * size + b"\x20\x8d"


def inv_of(kind: int) -> bytes:
    return message(Inv.build([InvItem(kind, b"\7" * 32)]))


FRAMING = {
    "another magic": Violation(frame("ping", bytes(8), magic=b"\xf9\xbe\xb4\xd9"), CONNECTION),
    "4,000,001 bytes announced": Violation(
        frame("junk", b"")[:16] + (4_000_001).to_bytes(4, "little") + bytes(4), CONNECTION
    ),
    "a bad checksum": Violation(frame("ping", bytes(8), checksum=b"\1\2\3\4"), NOTHING),
    "a name with a byte after its end": Violation(frame("ping", bytes(8)).replace(b"ping\0", b"pi\0ng"), NOTHING),
    "a name outside of ASCII": Violation(frame("ping", bytes(8)).replace(b"ping", b"p\xffng"), NOTHING),
    "an unknown command": Violation(frame("asdf", bytes(1000)), NOTHING),
    "an unknown command of 4 MB": Violation(frame("asdf", bytes(4_000_000)), NOTHING),
    "a payload that is too short": Violation(frame("headers", b"\1" + bytes(79)), NOTHING),
    "no payload": Violation(frame("inv", b""), NOTHING),
    "a count in too many bytes": Violation(frame("inv", b"\xfd\x01\x00" + bytes(36)), NOTHING),
    "a count over 32 MiB": Violation(frame("inv", b"\xfe\x01\x00\x00\x02" + bytes(36)), NOTHING),
    "bytes after the last field": Violation(frame("ping", bytes(9)), NOTHING),
}

HANDSHAKE = {
    "a second version": Violation(message(version_message()), NOTHING, 1),
    "a second verack": Violation(message(Verack()), NOTHING),
    "wtxidrelay after verack": Violation(frame("wtxidrelay", b""), CONNECTION),
    "sendaddrv2 after verack": Violation(frame("sendaddrv2", b""), CONNECTION),
    "sendtxrcncl after verack": Violation(message(SendTxRcncl(1, 7)), NOTHING),
    "sendcmpct of another version": Violation(message(SendCmpct(True, 3)), NOTHING),
    "a feefilter out of range": Violation(message(FeeFilter(-1), FeeFilter(2**63 - 1)), NOTHING),
}

ADDRESSES = {
    "a ping cut short": Violation(frame("ping", bytes(7)), NOTHING),
    "a pong nobody asked for": Violation(message(Pong(4711)), NOTHING),
    "1001 addresses": Violation(too_many("addr", 1001, bytes(30)), ADDRESS, 20),
    "1001 addresses of addrv2": Violation(too_many("addrv2", 1001, addrv2_entry(1, 4)), ADDRESS, 20),
    "1001 addresses cut short": Violation(frame("addr", compact_size(1001) + bytes(30_000)), NOTHING),
    "an address of 513 bytes": Violation(too_many("addrv2", 1, addrv2_entry(99, 513)), NOTHING),
    **{
        f"network {network} with {size} bytes": Violation(too_many("addrv2", 1, addrv2_entry(network, size)), NOTHING)
        for network, size in ((1, 5), (2, 4), (4, 10), (5, 31), (6, 17))
    },
    "an unknown network": Violation(too_many("addrv2", 1, addrv2_entry(99, 512)), NOTHING),
    "a second getaddr": Violation(frame("getaddr", b"") * 2, NOTHING),
}

DATA = {
    "50,001 items announced": Violation(too_many("inv", 50_001, bytes(36)), ADDRESS, 20),
    "50,001 items asked for": Violation(too_many("getdata", 50_001, bytes(36)), ADDRESS, 20),
    "50,001 items not found": Violation(too_many("notfound", 50_001, bytes(36)), NOTHING),
    "an unknown type": Violation(inv_of(77), NOTHING),
    "a transaction announced": Violation(inv_of(InvType.WITNESS_TX), CONNECTION),
    "a transaction": Violation(frame("tx", bytes(60)), CONNECTION),
    "mempool": Violation(frame("mempool", b""), CONNECTION, spares_noban=True),
    "102 hashes in getheaders": Violation(too_many("getheaders", 102, bytes(32), bytes(4), bytes(32)), CONNECTION),
    "102 hashes in getblocks": Violation(too_many("getblocks", 102, bytes(32), bytes(4), bytes(32)), CONNECTION),
    "filterload": Violation(frame("filterload", b"\0" + bytes(9)), CONNECTION, 100),
    "filteradd": Violation(frame("filteradd", b"\0"), CONNECTION, 100),
    "filterclear": Violation(frame("filterclear", b""), CONNECTION, 100),
    "getcfilters": Violation(message(GetCFilters(0, 0, bytes(32))), CONNECTION),
    "getcfheaders": Violation(message(GetCFHeaders(0, 0, bytes(32))), CONNECTION),
    "getcfcheckpt": Violation(message(GetCFCheckpt(0, bytes(32))), CONNECTION),
    "transactions of an unknown block": Violation(message(GetBlockTxn(bytes(32), (0,))), NOTHING),
    "blocktxn nobody asked for": Violation(frame("blocktxn", bytes(33)), NOTHING),
    "merkleblock, reject and alert": Violation(
        frame("merkleblock", bytes(86)) + frame("reject", b"\0\1\0") + frame("alert", bytes(168)), NOTHING
    ),
}

HEADERS = {
    "2001 headers": Violation(too_many("headers", 2001, bytes(81)), ADDRESS, 20),
    "2001 headers cut short": Violation(frame("headers", compact_size(2001)), ADDRESS, 20),
    "a header without work": Violation(bad_headers("high-hash"), ADDRESS, 50),
    "headers that do not follow one another": Violation(bad_headers("non-continuous", 1), ADDRESS, 20),
    "a header with other bits": Violation(bad_headers("bad-diffbits"), ADDRESS, 100),
    "a header from before its time": Violation(bad_headers("time-too-old"), ADDRESS, 0),
    "a header from the future": Violation(bad_headers("time-too-new"), NOTHING),
    "headers without a parent": Violation(bad_headers("non-continuous"), NOTHING),
}

VIOLATIONS = FRAMING | HANDSHAKE | ADDRESSES | DATA | HEADERS


def own_address() -> str | None:
    """An address of this machine that is not 127.0.0.1; what goes there never leaves the machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.77", 9))  # sends nothing: it only chooses a source
        except OSError:
            return None
        name: str = probe.getsockname()[0]
    return None if name.startswith(("127.", "0.")) else name


class Room:
    """A node, and peers of every kind that can be connected to it."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        self.ports = dict(text.rsplit(":", 1) for text in node.rpc("getnodestats")["listening"])

    def connect(self, source: str, *, handshakes: bool = True) -> Link:
        host = source if source in self.ports else "127.0.0.1"
        sock = socket.create_connection((host, int(self.ports[host])), timeout=20, source_address=(source, 0))
        link = Link(sock, REGTEST_MAGIC)
        if handshakes:
            link.handshake()
        return link

    def dialed(self) -> Link:
        """A peer that a person had the node connect to."""
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.node.rpc("addnode", f"127.0.0.1:{server.getsockname()[1]}", "onetry")
            link = Link(server.accept()[0], REGTEST_MAGIC)
        link.handshake()
        return link

    def score(self) -> int:
        """Of the newest peer."""
        peers = self.node.rpc("getpeerinfo")
        return max(peers, key=lambda peer: peer["id"])["misbehavior"]["score"]

    def banned(self) -> set[str]:
        return {ban["address"] for ban in self.node.rpc("listbanned")}


def running(folder: Path, *options: str) -> Iterator[Room]:
    binds = ["--bind=127.0.0.1:0", *(f"--bind={own}:0" for own in [own_address()] if own)]
    with NodeProcess(folder, f"--whitelist=noban@{FRIEND}", *binds, *options) as node:
        yield Room(node)
        assert node.stop() == 0
        assert "Traceback" not in node.text(), node.text()


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    yield from running(tmp_path_factory.mktemp("core"))


@pytest.fixture(scope="module")
def classic(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    yield from running(tmp_path_factory.mktemp("classic"), "--misbehavior=classic")


@pytest.fixture
def stranger() -> str:
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but 127.0.0.1")
    return address


def stays(link: Link) -> bool:
    try:
        link.send(Ping(4711))
        while link.expect(Pong, seconds=20).nonce != 4711:
            pass
    except (Closed, OSError):
        return False
    return True


def commit(link: Link, violation: Violation) -> bool:
    """Whether the peer is still there afterwards."""
    with suppress(OSError):  # it may be closed while we still send
        link.send_raw(violation.data)
    return stays(link)


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_it_costs_a_stranger(core: Room, stranger: str, name: str) -> None:
    cost = VIOLATIONS[name].cost
    with closing(core.connect(stranger)) as witness, closing(core.connect(stranger)) as link:
        assert commit(link, VIOLATIONS[name]) is (cost is NOTHING)
        assert stays(witness) is (cost is not ADDRESS)
    assert core.banned() == set()


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_it_costs_a_peer_on_this_machine(core: Room, name: str) -> None:
    with closing(core.connect("127.0.0.1")) as witness, closing(core.connect("127.0.0.1")) as link:
        assert commit(link, VIOLATIONS[name]) is (VIOLATIONS[name].cost is NOTHING)
        assert stays(witness)


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_it_costs_a_peer_with_the_noban_permission(core: Room, name: str) -> None:
    violation = VIOLATIONS[name]
    with closing(core.connect(FRIEND)) as link:
        assert commit(link, violation) is (violation.spares_noban or violation.cost is not CONNECTION)


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_it_costs_a_peer_added_by_hand(core: Room, name: str) -> None:
    with closing(core.dialed()) as link:
        assert commit(link, VIOLATIONS[name]) is (VIOLATIONS[name].cost is not CONNECTION)


@pytest.mark.parametrize("name", VIOLATIONS)
def test_what_it_costs_in_the_classic_model(classic: Room, stranger: str, name: str) -> None:
    violation = VIOLATIONS[name]
    with closing(classic.connect(stranger)) as link:
        still_there = commit(link, violation)
        if still_there:
            assert classic.score() == violation.points
        assert still_there is (violation.cost is not CONNECTION and violation.points < 100)
    assert classic.banned() == ({f"{stranger}/32"} if violation.points >= 100 else set())
    classic.node.rpc("clearbanned")


def test_a_hundred_points_ban_a_stranger_for_a_day(classic: Room, stranger: str) -> None:
    offence = HEADERS["a header without work"]
    with closing(classic.connect(stranger)) as witness, closing(classic.connect(stranger)) as link:
        assert commit(link, offence)
        assert not commit(link, offence)
        assert not stays(witness)
    [ban] = classic.node.rpc("listbanned")
    assert (ban["address"], ban["ban_duration"]) == (f"{stranger}/32", 86_400)
    with pytest.raises((Closed, OSError)), closing(classic.connect(stranger)):
        pass
    classic.node.rpc("clearbanned")


def test_a_hundred_points_spare_those_a_person_chose_and_this_machine(classic: Room) -> None:
    offence = HEADERS["a header with other bits"]
    with closing(classic.connect(FRIEND)) as friend, closing(classic.dialed()) as manual:
        assert commit(friend, offence)
        assert commit(manual, offence)
    with closing(classic.connect("127.0.0.1")) as witness, closing(classic.connect("127.0.0.1")) as link:
        assert not commit(link, offence)
        assert stays(witness)
    assert classic.banned() == set()


@pytest.mark.parametrize("has_version", [False, True])
def test_what_comes_before_the_handshake_is_ignored_and_counted(classic: Room, has_version: bool) -> None:
    with closing(classic.connect("127.0.0.1", handshakes=False)) as link:
        if has_version:
            link.send(version_message())
            link.expect(Verack)
        link.send(Ping(1), Pong(2))
        link.send_raw(HEADERS["2001 headers cut short"].data + ADDRESSES["1001 addresses cut short"].data)
        if not has_version:
            link.send(version_message())
            link.expect(Verack)
        link.send(Verack())
        assert stays(link)
        assert classic.score() == 4


def test_headers_on_an_invalid_parent_are_misbehaviour(core: Room) -> None:
    line = HeaderLine().grow(2, salt=99)
    core.node.rpc("submitheader", line.headers[1].hex())
    core.node.rpc("invalidateblock", line.hashes[1][::-1].hex())
    with closing(core.connect("127.0.0.1")) as link:
        link.send(Headers.build(line.headers[2:]))
        assert not stays(link)


# -- more than one message ---------------------------------------------------------------------------------------------


def test_a_discouraged_address_comes_back_only_while_there_is_room(tmp_path: Path, stranger: str) -> None:
    """Of two inbound slots it may have one; another peer gets the second."""
    options = ["--maxconnections=13", f"--bind={stranger}:0", "--bind=127.0.0.1:0"]
    with NodeProcess(tmp_path, *options) as node, ExitStack() as links:
        room = Room(node)

        def connect(source: str) -> Link:
            return links.enter_context(closing(room.connect(source)))

        assert not commit(connect(stranger), HEADERS["2001 headers"])
        wait_until(lambda: node.rpc("getconnectioncount") == 0)
        assert stays(connect(stranger))
        with pytest.raises((Closed, OSError)):
            connect(stranger)
        assert stays(connect("127.0.0.1"))


def test_eighty_messages_of_4_mb_of_junk_leave_memory_as_it_was(core: Room) -> None:
    junk = frame("asdf", b"\xee" * 4_000_000)
    with closing(core.connect("127.0.0.1")) as link:
        link.send_raw(junk)
        assert stays(link)
        before = core.node.rpc("getnodestats")["memory"]["resident"]
        for _ in range(79):
            link.send_raw(junk)
        assert stays(link)
        peer = core.node.rpc("getpeerinfo")[-1]
        assert peer["bytesrecv_per_msg"]["*other*"] == 80 * len(junk)
        assert core.node.rpc("getnodestats")["memory"]["resident"] - before < 8_000_000


@pytest.mark.parametrize("cut", [1, 4, 23, 24, 25, 31])
def test_a_message_may_come_in_two_parts(core: Room, cut: int) -> None:
    """Cut within the header, between header and payload, within the payload (Core's ``test_buffer``)."""
    ping = message(Ping(4712))
    with closing(core.connect("127.0.0.1")) as link:

        def received() -> int:
            number: int = core.node.rpc("getpeerinfo")[-1]["bytesrecv"]
            return number

        assert stays(link)
        before = received()
        link.send_raw(ping[:cut])
        wait_until(lambda: received() == before + cut)
        link.send_raw(ping[cut:])
        while link.expect(Pong).nonce != 4712:
            pass


def test_what_follows_an_unknown_network_is_read(tmp_path: Path) -> None:
    """Entries of unknown networks, of Tor v2 and of IPv6 that hides another network are skipped, the others taken."""
    good = TimedAddress(int(time.time()) - 3600, 9, NetworkAddress.parse("9.9.9.9:8333"))
    onioncat = bytes(4) + b"\x09\x02\x10" + bytes.fromhex("fd87d87eeb43") + bytes(10) + b"\x20\x8d"
    mapped = bytes(4) + b"\x09\x02\x10" + bytes(10) + b"\xff\xff\x08\x08\x08\x08\x20\x8d"
    strange = [addrv2_entry(99, 512), addrv2_entry(99, 0), addrv2_entry(3, 10), onioncat, mapped]
    payload = compact_size(len(strange) + 1) + b"".join(strange) + AddrV2((good,)).encode()[1:]
    with NodeProcess(tmp_path) as node, closing(Link.connect(node.port)) as link:
        link.handshake()
        link.send_raw(frame("addrv2", payload))
        assert stays(link)
        assert [entry["address"] for entry in node.rpc("getnodeaddresses", 0)] == ["9.9.9.9"]


def received(node: NodeProcess, command: str) -> int:
    """Bytes in messages of a kind from the node's only peer."""
    [peer] = node.rpc("getpeerinfo") or [{"bytesrecv_per_msg": {}}]
    size: int = peer["bytesrecv_per_msg"].get(command, 0)
    return size


def test_two_nodes_that_send_each_other_megabytes_do_not_wait_for_ever(tmp_path: Path) -> None:
    """Each has more to send than either would hold, and goes on reading (Core's ``p2p_net_deadlock``)."""
    junk, count = "ee" * 450_000, 16

    def flood(node: NodeProcess) -> None:
        for _ in range(count):
            node.rpc("sendmsgtopeer", 0, "unknown", junk)

    with (
        NodeProcess(tmp_path / "first") as first,
        NodeProcess(tmp_path / "second", f"--connect=127.0.0.1:{first.port}") as second,
    ):
        for node in (first, second):
            wait_until(lambda node=node: received(node, "pong"))
        threads = [threading.Thread(target=flood, args=(node,)) for node in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for node in (first, second):
            everything = count * len(frame("unknown", bytes.fromhex(junk)))
            wait_until(lambda node=node, size=everything: received(node, "*other*") == size)
            pongs = received(node, "pong")
            node.rpc("ping")
            wait_until(lambda node=node, pongs=pongs: received(node, "pong") > pongs)

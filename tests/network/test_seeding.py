"""DNS seeds asked of a real name server on loopback, however it behaves, and what becomes of the answers."""

import logging
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import gevent
import pytest

from ccnode.network import dns as dns_module
from ccnode.network import seeding as seeding_module
from ccnode.network.dns import MAX_PER_SEED, MAX_RECORDS, SeedResolver
from ccnode.network.seeding import Seeding
from ccnode.peers.addrman import AddrMan
from ccnode.peers.bootstrap import DnsSeeds, FixedSeeds, SeedNodes
from ccnode.peers.netgroup import NetGroupManager
from ccnode.peers.peer import ConnectionType
from ccnode.wire.address import Network, NetworkAddress
from tests.support.clock import ManualClock
from tests.support.dns_server import Answer, DnsServer
from tests.support.fakes import seeded_rng
from tests.support.network import eventually
from tests.support.scripted import wait_until

NAME = "x9.seed.example"


@pytest.fixture
def server() -> Iterator[DnsServer]:
    with DnsServer() as server:
        yield server


def resolver(server: DnsServer, **options: object) -> SeedResolver:
    return SeedResolver(8333, [NetworkAddress.parse(server.target)], **options)  # type: ignore[arg-type]


def ask(server: DnsServer, name: str = NAME, **options: object) -> list[str]:
    return [str(address) for address in resolver(server, **options).addresses(name)]


# -- one question ------------------------------------------------------------------------------------------------------


def test_both_kinds_of_addresses_are_asked_for_and_get_the_networks_port(server: DnsServer) -> None:
    server.add(NAME, "8.8.8.8", "9.9.9.9", "8.8.8.8", "2a00::1")
    assert sorted(ask(server)) == ["8.8.8.8:8333", "9.9.9.9:8333", "[2a00::1]:8333"]
    assert server.asked == [(NAME, "A", "udp"), (NAME, "AAAA", "udp")]


@pytest.mark.parametrize(
    ("network", "found", "asked"),
    [(Network.IPV4, ["8.8.8.8:8333"], [("A", "udp")]), (Network.IPV6, ["[2a00::1]:8333"], [("AAAA", "udp")])],
)
def test_nothing_is_asked_about_a_network_that_is_not_used(
    server: DnsServer, network: Network, found: list[str], asked: list[tuple[str, str]]
) -> None:
    server.add(NAME, "8.8.8.8", "2a00::1")
    assert ask(server, networks=(network, Network.ONION)) == found
    assert server.questions(NAME) == asked


def test_thirty_two_addresses_are_taken_from_a_seed(server: DnsServer) -> None:
    server.add(NAME, *(f"8.1.1.{number}" for number in range(40)), *(f"2a00::{number}" for number in range(1, 40)))
    assert len(ask(server)) == MAX_PER_SEED


def test_a_truncated_answer_is_asked_for_again_over_tcp(server: DnsServer) -> None:
    server.zone[NAME, "A"] = Answer(["8.8.8.8"], truncated=True)
    assert ask(server) == ["8.8.8.8:8333"]
    assert server.questions(NAME)[:2] == [("A", "udp"), ("A", "tcp")]


def test_the_beginning_of_a_huge_answer_is_taken(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.zone[NAME, "A"] = Answer([f"8.{number // 250}.1.{number % 250 + 1}" for number in range(4000)])
    decoded: list[int] = []
    from_wire = dns.message.from_wire

    def note(wire: bytes, **options: object) -> dns.message.Message:
        message = from_wire(wire, **options)  # type: ignore[arg-type]
        if message.answer:
            decoded.append(len(message.answer[0]))
        return message

    monkeypatch.setattr(dns_module.dns.message, "from_wire", note)
    assert len(ask(server, networks=[Network.IPV4])) == MAX_PER_SEED
    assert decoded[-1] == MAX_RECORDS
    assert server.questions(NAME) == [("A", "udp"), ("A", "tcp")]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "there is no such name"),
        (Answer(), "it names no node"),
        (Answer(rcode=dns.rcode.SERVFAIL), "the name server could not answer"),
        (Answer(rcode=dns.rcode.REFUSED), "the name server could not answer"),
        (Answer(silent=True), "no answer"),
        (Answer(garbage=b"\xff" * 100), "no answer"),
        (Answer(garbage=b"x"), "no answer"),
        (Answer(["8.8.8.8"], wrong_id=True), "no answer"),
        (Answer(["8.8.8.8"], truncated=True, silent_over_tcp=True), "no answer|could not answer"),
        (Answer(["192.168.1.1", "127.0.0.1", "0.0.0.0", "10.0.0.1"]), "only addresses that cannot be reached"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_answer_has_a_short_reason(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch, answer: Answer | None, reason: str
) -> None:
    monkeypatch.setattr(dns_module, "QUERY_LIFETIME", 0.3)
    if answer is not None:
        server.zone[NAME, "A"] = answer
    with pytest.raises(OSError, match=reason) as caught:
        ask(server)
    assert len(str(caught.value)) < 60


def test_garbage_over_tcp_is_no_answer(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dns_module, "QUERY_LIFETIME", 0.3)
    reply = DnsServer._reply

    def garble(self: DnsServer, data: bytes, transport: str) -> bytes | None:
        answer = reply(self, data, transport)
        return answer if transport == "udp" else b"\0" * 7

    monkeypatch.setattr(DnsServer, "_reply", garble)
    server.zone[NAME, "A"] = Answer(["8.8.8.8"], truncated=True)
    with pytest.raises(OSError, match="could not answer"):
        ask(server)


def test_aliases_are_followed_as_far_as_the_answer_goes(server: DnsServer) -> None:
    server.zone[NAME, "A"] = Answer(["8.8.8.8"], alias_of="elsewhere.example")
    assert ask(server) == ["8.8.8.8:8333"]
    server.zone[NAME, "A"] = Answer(alias_of="elsewhere.example")
    with pytest.raises(OSError, match="it names no node"):
        ask(server)
    server.zone[NAME, "A"] = Answer(alias_of=NAME)  # to itself
    with pytest.raises(OSError, match=r"could not answer|it names no node"):
        ask(server)


def test_addresses_nobody_could_reach_are_left_out(server: DnsServer) -> None:
    server.add(NAME, "127.0.0.1", "8.8.8.8", "192.168.0.1", "fd87:d87e:eb43::1", "::ffff:9.9.9.9", "2a00::1")
    assert sorted(ask(server)) == ["8.8.8.8:8333", "[2a00::1]:8333"]
    assert "127.0.0.1:8333" in ask(server, allow_unroutable=True)


def test_a_kind_without_an_answer_does_not_lose_the_other(server: DnsServer) -> None:
    server.zone[NAME, "A"] = Answer(["8.8.8.8"])
    server.zone[NAME, "AAAA"] = Answer(rcode=dns.rcode.SERVFAIL)
    assert ask(server) == ["8.8.8.8:8333"]


# -- seeding -----------------------------------------------------------------------------------------------------------


class FakeDialer:
    """Notes whom it was to fetch addresses from."""

    def __init__(self) -> None:
        self.named: list[str] = []
        self.dialed: list[tuple[str, str | None]] = []
        self.answers = False

    def try_once(self, text: str, kind: ConnectionType) -> object | None:
        assert kind is ConnectionType.ADDR_FETCH
        self.named.append(text)
        return None

    def dial(self, address: NetworkAddress, kind: ConnectionType, name: str | None = None) -> object | None:
        assert kind is ConnectionType.ADDR_FETCH
        self.dialed.append((str(address), name))
        return self if self.answers else None


class Room:
    """A `Seeding` with its surroundings."""

    def __init__(
        self,
        server: DnsServer,
        *seeds: str,
        seednodes: tuple[str, ...] = (),
        fixed: tuple[str, ...] = (),
        slot_free: Callable[[int], bool] = lambda _pending: True,
        name_proxy: bool = False,
    ) -> None:
        self.clock = ManualClock()
        rng = seeded_rng()
        self.addrman = AddrMan(NetGroupManager(), self.clock, rng)
        self.dialer = FakeDialer()
        around = (self.addrman, self.clock, rng)
        self.seeding = Seeding(
            resolver(server),
            self.dialer,  # type: ignore[arg-type]
            dns_seeds=DnsSeeds(
                seeds,
                *around,
                force=False,
                after_seednodes=False,
                full_relay_peers=lambda: 0,
                network_active=lambda: True,
            )
            if seeds
            else None,
            seed_nodes=SeedNodes(seednodes, *around, full_relay_peers=lambda: 0),
            fixed_seeds=FixedSeeds(
                [NetworkAddress.parse(text, 8333) for text in fixed],
                *around,
                networks=[Network.IPV4],
                others_may_help=lambda: True,
            ),
            slot_free=slot_free,
            name_proxy=name_proxy,
        )
        self.seeding.start()

    def __enter__(self) -> "Room":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.seeding.close()


def test_answers_go_to_the_address_manager_under_the_name_that_was_asked(server: DnsServer) -> None:
    server.add(NAME, "8.8.8.8", "2a00::1")
    with Room(server, "seed.example", "unknown.example") as room:
        eventually(lambda: len(room.addrman) == 2 and room.seeding.failures)
        assert room.seeding.asked == {"seed.example": 2, "unknown.example": 0}
        assert room.seeding.failures == {"unknown.example": "there is no such name"}
        info = room.addrman.info(NetworkAddress.parse("8.8.8.8:8333"))
        assert info is not None
        assert info.source == NetworkAddress.internal(NAME)
        assert room.dialer.dialed == []


def test_a_seed_without_an_answer_is_connected_to_under_its_plain_name(server: DnsServer) -> None:
    server.add("seed.example", "8.8.8.8", "9.9.9.9", "7.7.7.7")
    with Room(server, "seed.example") as room:
        eventually(lambda: len(room.dialer.dialed) == 3)
        assert {name for _, name in room.dialer.dialed} == {"seed.example"}
        assert server.questions(NAME) == [("A", "udp")]
        assert len(room.addrman) == 0, "it is asked, its own address is not one to keep"


def test_one_connection_to_a_seed_is_enough(server: DnsServer) -> None:
    server.add("seed.example", "8.8.8.8", "9.9.9.9", "7.7.7.7")
    with Room(server, "seed.example") as room:
        room.dialer.answers = True
        eventually(lambda: room.dialer.dialed)
        gevent.sleep(0.01)
        assert len(room.dialer.dialed) == 1


def test_with_a_proxy_for_names_no_name_server_is_asked(server: DnsServer) -> None:
    server.add(NAME, "8.8.8.8")
    with Room(server, "seed.example", name_proxy=True) as room:
        eventually(lambda: room.dialer.named == ["seed.example"])
        assert server.asked == []


@pytest.mark.parametrize(
    "seed", ["8.8.8.8", "8.8.8.8:38333", "seed.example:38333", "[2a00::1]:38333", "seed.example:x"]
)
def test_a_seed_that_is_no_plain_name_is_connected_to(server: DnsServer, seed: str) -> None:
    with Room(server, seed) as room:
        eventually(lambda: room.dialer.named == [seed])
        assert server.asked == []


def test_without_a_free_slot_no_addresses_are_fetched(server: DnsServer) -> None:
    slots: list[int] = []

    def slot_free(pending: int) -> bool:
        slots.append(pending)
        return False

    with Room(server, "seed.example", slot_free=slot_free) as room:
        eventually(lambda: slots)
        gevent.sleep(0.01)
        assert (room.dialer.named, room.dialer.dialed) == ([], [])


def test_seed_nodes_and_fixed_seeds_go_by_the_wall_clock(server: DnsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeding_module, "LOOP_PAUSE", 0.005)
    with Room(server, seednodes=("a.example", "b.example"), fixed=("8.8.8.8",)) as room:
        eventually(lambda: len(room.dialer.named) == 1)
        gevent.sleep(0.05)
        assert len(room.dialer.named) == 1
        room.clock.set_wall(room.clock.now() + 10)
        eventually(lambda: sorted(room.dialer.named) == ["a.example", "b.example"])
        assert len(room.addrman) == 0
        room.clock.set_wall(room.clock.now() + 51)
        eventually(lambda: len(room.addrman) == 1)


def test_a_defect_is_logged_and_the_seeds_are_asked_again(
    server: DnsServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("ccnode.network.hub.Supervisor.FIRST_PAUSE", 0.01)
    server.add(NAME, "8.8.8.8")
    failures = iter([RuntimeError("a defect")])
    addresses = SeedResolver.addresses

    def fail_once(self: SeedResolver, name: str) -> list[NetworkAddress]:
        for failure in failures:
            raise failure
        return addresses(self, name)

    monkeypatch.setattr(SeedResolver, "addresses", fail_once)
    with Room(server, "seed.example") as room:
        eventually(lambda: len(room.addrman) == 1)
    assert "dns-seeds failed; it starts again in 0.01 s" in caplog.text


def test_failures_are_summed_up_in_the_log(server: DnsServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ccnode.addrman")
    with Room(server, "a.example", "b.example"):
        eventually(lambda: "2 of 2 DNS seeds: there is no such name" in caplog.text)
    assert "Loading addresses from DNS seed a.example" in caplog.text


# -- a name server that others wrote -----------------------------------------------------------------------------------


@pytest.fixture
def dnsmasq(tmp_path: Path) -> Iterator[NetworkAddress]:
    """Debian's dnsmasq on loopback, with 100 addresses for one name."""
    program = shutil.which("dnsmasq", path="/usr/sbin:/usr/local/sbin:/usr/bin")
    if program is None:
        pytest.skip("dnsmasq is not installed (Debian: dnsmasq-base)")
    hosts = tmp_path / "hosts"
    hosts.write_text("".join(f"8.1.1.{number} x9.many.example\n" for number in range(1, 101)) + f"8.8.8.8 {NAME}\n")
    with DnsServer() as free:
        port = free.port
    command = [
        program,
        "--keep-in-foreground",
        "--conf-file=/dev/null",
        "--no-resolv",
        "--no-hosts",
        "--local=/example/",
    ]
    command += [f"--addn-hosts={hosts}", "--listen-address=127.0.0.1", "--bind-interfaces", f"--port={port}"]
    command += ["--user=", "--group=", f"--pid-file={tmp_path / 'pid'}", "--edns-packet-max=1232"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    address = NetworkAddress.parse(f"127.0.0.1:{port}")
    try:
        wait_until(lambda: _listens(port) or process.poll() is not None, seconds=10)
        assert process.poll() is None, process.stderr and process.stderr.read()
        yield address
    finally:
        process.terminate()
        process.wait(5)
        if process.stderr is not None:
            process.stderr.close()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def test_dnsmasq_is_understood(dnsmasq: NetworkAddress) -> None:
    seeds = SeedResolver(8333, [dnsmasq])
    assert [str(address) for address in seeds.addresses(NAME)] == ["8.8.8.8:8333"]
    many = seeds.addresses("x9.many.example")
    assert len(many) == MAX_PER_SEED, "more than fit in a datagram: they came over TCP"
    with pytest.raises(OSError, match="there is no such name"):
        seeds.addresses("x9.unknown.example")

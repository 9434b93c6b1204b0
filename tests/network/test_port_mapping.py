"""Port mapping against a gateway on loopback that a test scripts, and what the machine says about its gateway."""

import errno
import logging
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import gevent
import psutil
import pytest

from ccnode.network import interfaces as interfaces_module
from ccnode.network import port_mapping as port_mapping_module
from ccnode.network.interfaces import (
    behind_wildcards,
    default_gateway,
    gateway_in_table,
    gateway_shown,
    interface_addresses,
)
from ccnode.network.pcp import NatPmpMap, PcpMap
from ccnode.network.port_mapping import ANNOUNCE_SECONDS, LIFETIME, RETRY_SECONDS, TRIES, PortMapping, port_to_map
from ccnode.peers.local_addresses import LOCAL_MANUAL, LOCAL_MAPPED, LocalAddresses
from ccnode.wire.address import Network, NetworkAddress
from tests.support.clock import ManualClock
from tests.support.fakes import seeded_rng
from tests.support.network import eventually

PORT = 18444
OUTER = "9.9.9.9"
Answers = list[bytes]
Script = Callable[[bytes], Answers]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(port_mapping_module, "TRY_SECONDS", 0.1)


class Gateway:
    """A gateway in a thread of its own; ``script`` gives the packets that answer each request."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.requests: list[bytes] = []
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._sock.getsockname()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            request, client = self._sock.recvfrom(2000)
            if request == b"stop":
                return
            self.requests.append(request)
            for answer in self.script(request):
                self._sock.sendto(answer, client)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(b"stop", self.address)
        self._thread.join(5)
        self._sock.close()


def v4(text: str) -> bytes:
    return bytes(10) + b"\xff\xff" + socket.inet_aton(text)


def pcp(
    request: bytes, *, outer: str = OUTER, port: int | None = None, result: int = 0, lifetime: int | None = None
) -> bytes:
    """PCP's answer to a request for a mapping, as RFC 6887 draws it."""
    asked, inner, wish = struct.unpack(">I", request[4:8])[0], request[40:42], request[42:44]
    head = struct.pack(">BBBBII12x", 2, 0x81, 0, result, asked if lifetime is None else lifetime, 1000)
    outer_port = wish if port is None else struct.pack(">H", port)
    return head + request[24:36] + b"\x06\0\0\0" + inner + outer_port + v4(outer)


def nat_pmp(
    request: bytes, *, outer: str = OUTER, port: int | None = None, result: int = 0, lifetime: int | None = None
) -> bytes:
    """NAT-PMP's answer to anything, as RFC 6886 draws it."""
    if request[0] == 2:
        return struct.pack(">BBHI", 0, 0x81, 1, 1000)
    head = struct.pack(">BBHI", 0, 0x80 | request[1], result, 1000)
    if request[1] == 0:
        return head + socket.inet_aton(outer)
    inner, wish, asked = struct.unpack(">HHI", request[4:])
    return head + struct.pack(">HHI", inner, wish if port is None else port, asked if lifetime is None else lifetime)


class Home:
    """A node behind a gateway."""

    def __init__(self, script: Script) -> None:
        self.gateway = Gateway(script)
        self.clock = ManualClock()
        self.local = LocalAddresses(seeded_rng(), port=PORT, networks={Network.IPV4})
        self.mapping = PortMapping(
            PORT, self.local, self.clock, seeded_rng(), find_gateway=lambda: self.gateway.address
        )

    def announce(self) -> float:
        """The node asks; seconds until it does again."""
        pause = self.mapping.announce()
        self.clock.advance_steady(pause)
        return pause

    @property
    def known(self) -> dict[str, int]:
        return {str(address): score for address, score in self.local.scores()}


@pytest.fixture
def at_home() -> Iterator[Callable[[Script], Home]]:
    homes: list[Home] = []

    def build(script: Script) -> Home:
        homes.append(Home(script))
        return homes[-1]

    yield build
    for home in homes:
        home.gateway.close()


AtHome = Callable[[Script], Home]


# -- what is said ------------------------------------------------------------------------------------------------------


def test_packets_are_those_of_the_rfcs() -> None:
    client = NetworkAddress.parse("192.168.1.2")
    request = PcpMap(client, 0x208D, 2400, bytes(range(12)), NetworkAddress.parse("9.9.9.9:4660"))
    assert request.encode().hex() == (
        "02010000" "00000960" "00000000000000000000ffffc0a80102"
        "000102030405060708090a0b" "06000000" "208d1234" "00000000000000000000ffff09090909"
    )  # fmt: skip
    assert PcpMap(client, 1, 0, bytes(12)).encode()[42:] == b"\0\1" + v4("0.0.0.0")
    assert NatPmpMap(0x208D, 2400, 0x1234).encode().hex() == "0002" "0000" "208d" "1234" "00000960"  # fmt: skip


# -- what a gateway may do ---------------------------------------------------------------------------------------------


def test_what_the_gateway_grants_is_an_address_of_ours(at_home: AtHome) -> None:
    home = at_home(lambda request: [pcp(request)])
    assert home.announce() == ANNOUNCE_SECONDS
    assert home.known == {f"{OUTER}:{PORT}": LOCAL_MAPPED}
    [request] = home.gateway.requests
    assert struct.unpack(">I", request[4:8]) == (LIFETIME,)
    assert LIFETIME == 2 * ANNOUNCE_SECONDS == 2400


def test_a_gateway_that_speaks_nat_pmp_only_is_asked_that_way(at_home: AtHome) -> None:
    home = at_home(lambda request: [nat_pmp(request, port=4000)])
    assert home.announce() == ANNOUNCE_SECONDS
    assert home.known == {f"{OUTER}:4000": LOCAL_MAPPED}
    assert [request[:2] for request in home.gateway.requests] == [b"\2\1", b"\0\0", b"\0\2"]
    home.announce()
    assert home.gateway.requests[-1][6:8] == struct.pack(">H", 4000)  # the same port again, please


def test_a_renewal_asks_for_the_same_and_adds_a_point(at_home: AtHome) -> None:
    home = at_home(lambda request: [pcp(request, port=4000)])
    home.announce()
    home.announce()
    first, second = home.gateway.requests
    assert first[24:36] == second[24:36]
    assert first[42:] == struct.pack(">H", PORT) + v4("0.0.0.0")
    assert second[42:] == struct.pack(">H", 4000) + v4(OUTER)
    assert home.known == {f"{OUTER}:4000": LOCAL_MAPPED + 1}


def test_a_gateway_that_lost_its_state_grants_another_address(at_home: AtHome) -> None:
    home = at_home(lambda request: [pcp(request, outer="8.8.8.8", port=1)])
    home.announce()
    home.gateway.script = lambda request: [pcp(request, outer="9.9.9.9", port=2)]
    home.announce()
    assert home.known == {"9.9.9.9:2": LOCAL_MAPPED}


@pytest.mark.parametrize("answer", [pcp, nat_pmp])
def test_a_short_lifetime_is_renewed_at_its_half(at_home: AtHome, answer: Callable[..., bytes]) -> None:
    home = at_home(lambda request: [answer(request, lifetime=100)])
    assert home.announce() == 50


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (lambda _: [], "the gateway does not answer"),
        (lambda r: [pcp(r, result=2)], "it does not let us"),
        (lambda r: [pcp(r, result=8)], "it has no room for a mapping"),
        (lambda r: [pcp(r, result=200)], "PCP result 200"),
        (lambda r: [nat_pmp(r, result=2)], "it does not let us"),
        (lambda r: [nat_pmp(r, result=3)[:8]], "it has no connection"),
        (lambda r: [struct.pack(">BBHI", 0, 0x80 | r[1], 1, 0)], "NAT-PMP result 1"),
        (lambda r: [pcp(r, lifetime=29)], "the gateway grants no more than 29 s"),
        (lambda r: [pcp(r, lifetime=0)], "the gateway grants no more than 0 s"),
        (lambda r: [pcp(r, port=0)], f"the gateway mapped {OUTER}:0, which makes no sense"),
    ],
    ids=["silence", "refused", "full", "odd", "refused (NAT-PMP)", "offline", "no version", "29 s", "0 s", "port 0"],
)
def test_no_mapping(at_home: AtHome, caplog: pytest.LogCaptureFixture, script: Script, complaint: str) -> None:
    caplog.set_level(logging.INFO, "ccnode.net")
    home = at_home(script)
    assert [home.announce(), home.announce()] == [RETRY_SECONDS, RETRY_SECONDS]
    assert home.known == {}
    assert [record.getMessage() for record in caplog.records] == [f"no port mapping: {complaint}"]


def changed(answer: bytes, at: int, to: int) -> bytes:
    return answer[:at] + bytes((to,)) + answer[at + 1 :]


@pytest.mark.parametrize(
    "garbage",
    [
        lambda r, _: b"",
        lambda r, _: b"\xff" * 60,
        lambda r, _: bytes(1100),
        lambda r, _: r,
        lambda r, right: right[:-1],
        lambda r, right: changed(right, 0, 3),
        lambda r, right: changed(right, 1, right[1] ^ 0x80),
        lambda r, right: changed(right, 1, 0x85),
    ],
    ids=["nothing", "ones", "zeros", "the request itself", "too short", "version", "not an answer", "operation"],
)
@pytest.mark.parametrize("answer", [pcp, nat_pmp])
def test_what_is_no_answer_is_passed_over(
    at_home: AtHome, answer: Callable[..., bytes], garbage: Callable[[bytes, bytes], bytes]
) -> None:
    def script(request: bytes) -> Answers:
        right = answer(request, port=4000)
        return [right] if answer is nat_pmp and request[0] == 2 else [garbage(request, right), right]

    home = at_home(script)
    assert home.announce() == ANNOUNCE_SECONDS
    assert home.known == {f"{OUTER}:4000": LOCAL_MAPPED}


@pytest.mark.parametrize("at", [24, 35, 36, 40, 41], ids=["nonce", "end of nonce", "protocol", "port", "port's end"])
def test_an_answer_about_another_mapping_is_passed_over(at_home: AtHome, at: int) -> None:
    home = at_home(lambda request: [changed(pcp(request, port=1), at, pcp(request)[at] ^ 1), pcp(request, port=2)])
    home.announce()
    assert home.known == {f"{OUTER}:2": LOCAL_MAPPED}


def test_a_lost_packet_is_sent_again(at_home: AtHome) -> None:
    home = at_home(lambda request: [pcp(request)] if len(home.gateway.requests) == TRIES else [])
    assert home.announce() == ANNOUNCE_SECONDS
    assert len(home.gateway.requests) == TRIES == 3


def test_garbage_does_not_hold_us_up(at_home: AtHome) -> None:
    home = at_home(lambda _: [b"?" * 60] * 200)
    with gevent.Timeout(5):
        assert home.announce() == RETRY_SECONDS
    assert len(home.gateway.requests) == TRIES


def test_an_address_stays_until_its_lifetime_is_over(at_home: AtHome) -> None:
    home = at_home(lambda request: [pcp(request, lifetime=10**9)])
    home.announce()
    home.gateway.script = lambda request: [pcp(request, result=8)]
    for minutes in (20, 25, 30, 35):
        assert home.known, minutes
        home.announce()
    assert home.known
    home.announce()  # after 40 minutes, whatever the gateway had granted
    assert home.known == {}
    home.gateway.script = lambda request: [pcp(request)]
    assert home.announce() == ANNOUNCE_SECONDS
    assert home.known


def test_an_address_that_strangers_cannot_reach_is_not_ours(at_home: AtHome, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ccnode.net")
    home = at_home(lambda request: [pcp(request, outer="100.64.0.9")])
    assert home.announce() == ANNOUNCE_SECONDS
    assert home.known == {}
    assert f"the gateway mapped 100.64.0.9:{PORT} to us, which is told to nobody" in caplog.text


def test_without_a_gateway_it_is_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    def nowhere() -> tuple[str, int]:
        raise OSError("this machine has no IPv4 gateway")

    local = LocalAddresses(seeded_rng(), port=PORT, networks={Network.IPV4})
    mapping = PortMapping(PORT, local, ManualClock(), seeded_rng(), find_gateway=nowhere)
    assert mapping.announce() == RETRY_SECONDS
    assert "no port mapping: this machine has no IPv4 gateway" in caplog.text
    mapping.close()


def test_only_ipv4_is_mapped() -> None:
    assert port_to_map(map(NetworkAddress.parse, ["[::]:1", "0.0.0.0:2", "9.9.9.9:3"])) == 2
    assert port_to_map([NetworkAddress.parse("[::]:1")]) is None


# -- its life ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("answer", [pcp, nat_pmp])
def test_the_mapping_ends_with_the_node(at_home: AtHome, answer: Callable[..., bytes]) -> None:
    home = at_home(lambda request: [answer(request, port=4000)])
    home.mapping.start()
    eventually(lambda: home.known)
    asked = len(home.gateway.requests)
    home.mapping.close()
    assert home.known == {}
    last = eventually(lambda: home.gateway.requests[asked:])[0]
    if answer is pcp:
        assert last == PcpMap(NetworkAddress.parse("127.0.0.1"), PORT, 0, last[24:36]).encode()
        assert last[24:36] == home.gateway.requests[0][24:36]
    else:
        assert last == NatPmpMap(PORT, 0).encode()


def test_a_stop_does_not_take_away_what_a_person_gave(at_home: AtHome) -> None:
    home = at_home(lambda request: [pcp(request)])
    home.local.add(NetworkAddress.parse(f"{OUTER}:{PORT}"), LOCAL_MANUAL)
    home.announce()
    home.mapping.close()
    assert home.known == {f"{OUTER}:{PORT}": LOCAL_MANUAL}


def test_a_defect_starts_it_again(
    at_home: AtHome, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(port_mapping_module.Supervisor, "FIRST_PAUSE", 0.01)
    failures = iter([ValueError("a defect")])

    def find_gateway() -> tuple[str, int]:
        for failure in failures:
            raise failure
        return home.gateway.address

    home = at_home(lambda request: [pcp(request)])
    mapping = PortMapping(PORT, home.local, home.clock, seeded_rng(), find_gateway=find_gateway)
    mapping.start()
    eventually(lambda: home.known)
    mapping.close()
    assert "port mapping failed; it starts again in 0.01 s" in caplog.text


# -- interfaces and gateway --------------------------------------------------------------------------------------------


def test_addresses_of_interfaces_that_are_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def interface(*addresses: str) -> list[SimpleNamespace]:
        entries = [SimpleNamespace(family=psutil.AF_LINK, address="02:fc:00:00:00:01")]
        for text in addresses:
            family = socket.AF_INET6 if ":" in text else socket.AF_INET
            entries.append(SimpleNamespace(family=family, address=text))
        return entries

    states = {"eth0": (True, "up,running"), "eth1": (False, ""), "lo": (True, "up,loopback,running")}
    found = {
        "lo": interface("127.0.0.1", "1.2.3.4"),
        "eth0": interface("9.9.9.9", "fe80::1%eth0", "2a00::1", "fd87:d87e:eb43::1"),
        "eth1": interface("8.8.8.8"),
        "gone": interface("7.7.7.7"),
    }
    stats = {name: SimpleNamespace(isup=up, flags=flags) for name, (up, flags) in states.items()}
    monkeypatch.setattr(psutil, "net_if_addrs", lambda: found)
    monkeypatch.setattr(psutil, "net_if_stats", lambda: stats)
    assert [str(address) for address in interface_addresses()] == ["9.9.9.9:0", "[fe80::1]:0", "[2a00::1]:0"]


def test_a_machine_that_does_not_tell_has_no_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden() -> None:
        raise PermissionError(errno.EPERM, "not permitted")

    monkeypatch.setattr(psutil, "net_if_stats", forbidden)
    assert list(interface_addresses()) == []


def test_this_machine_has_no_loopback_address_among_them() -> None:
    assert not any(address.is_local() for address in interface_addresses())


def test_interfaces_count_where_all_addresses_of_their_kind_are_bound() -> None:
    interfaces = [NetworkAddress.parse(text) for text in ("9.9.9.9", "2a00::1")]

    def found(*listening: str) -> list[str]:
        bound = map(NetworkAddress.parse, listening)
        return [str(address) for address in behind_wildcards(bound, interfaces)]

    assert found("0.0.0.0:1", "[::]:2") == ["9.9.9.9:1", "[2a00::1]:2"]
    assert found("0.0.0.0:1") == ["9.9.9.9:1"]
    assert found("9.9.9.9:1", "[::1]:2") == []
    assert found() == []


def linux_route(address: str, flags: str = "0003", metric: int = 0, destination: str = "00000000") -> str:
    number = int.from_bytes(socket.inet_aton(address), sys.byteorder)
    return f"eth0\t{destination}\t{number:08X}\t{flags}\t0\t0\t{metric}\t00000000\t0\t0\t0"


@pytest.mark.parametrize(
    ("routes", "gateway"),
    [
        ([linux_route("192.0.2.1")], "192.0.2.1"),
        ([linux_route("10.0.0.1", metric=600), linux_route("192.0.2.1", metric=100)], "192.0.2.1"),
        ([linux_route("192.0.2.1", flags="0002")], None),
        ([linux_route("0.0.0.0", flags="0001")], None),
        ([linux_route("192.0.2.1", destination="000200C0")], None),
        ([], None),
    ],
    ids=["one", "two", "down", "no gateway", "not the default", "none"],
)
def test_the_gateway_in_a_table_of_routes(routes: list[str], gateway: str | None) -> None:
    head = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT"
    assert gateway_in_table("\n".join([head, *routes, ""])) == gateway


def test_the_gateway_that_route_shows() -> None:
    shown = (
        "   route to: default\ndestination: default\n       mask: default\n    gateway: 192.0.2.1\n  interface: en0\n"
    )
    assert gateway_shown(shown) == "192.0.2.1"
    assert gateway_shown(shown.replace("192.0.2.1", "link#12")) is None
    assert gateway_shown("") is None


def test_a_machine_without_a_gateway_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(interfaces_module, "gateway_in_table", lambda _table: None)
    with pytest.raises(OSError, match="this machine has no IPv4 gateway"):
        default_gateway()

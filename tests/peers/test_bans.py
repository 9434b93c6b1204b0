"""Bans: how long they last, what they cover, what the store is told. Checked against a plain list as well."""

import random
from collections.abc import Iterable

import pytest

from ccnode.peers import bans as module
from ccnode.peers.bans import FOREVER, MANUAL, Ban, BanList
from ccnode.peers.subnet import Subnet, masked
from ccnode.wire.address import Network, NetworkAddress
from tests.support.clock import ManualClock

NOW = 1_700_000_000
DAY = 86_400


class Store:
    """Keeps what a store is told."""

    def __init__(self) -> None:
        self.bans: dict[Subnet, Ban] = {}

    def put(self, ban: Ban) -> None:
        self.bans[ban.subnet] = ban

    def remove(self, subnets: Iterable[Subnet]) -> None:
        for subnet in subnets:
            del self.bans[subnet]


class Desk:
    def __init__(self, **options) -> None:
        self.clock = ManualClock(NOW)
        self.store = Store()
        self.list = BanList(self.store, self.clock, **options)

    def ban(self, text: str, seconds: int = 0, **more) -> None:
        self.list.ban(Subnet.parse(text), seconds, **more)

    def banned(self, text: str) -> bool:
        return self.list.is_banned(NetworkAddress.parse(text))

    def until(self, text: str) -> int:
        return {str(ban.subnet): ban.until for ban in self.list.bans()}[text]


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.mark.parametrize(
    ("seconds", "absolute", "until"),
    [
        (0, False, NOW + DAY),
        (-5, False, NOW + DAY),
        (0, True, NOW + DAY),
        (60, False, NOW + 60),
        (NOW + 5, True, NOW + 5),
        (2**63 - 1, False, FOREVER),
        (2**63 - 1, True, FOREVER),
    ],
)
def test_how_long(desk: Desk, seconds: int, absolute: bool, until: int) -> None:
    desk.ban("8.8.8.8", seconds, absolute=absolute)
    assert desk.until("8.8.8.8/32") == until


def test_the_default_duration_can_be_set() -> None:
    desk = Desk(default_seconds=1234)
    desk.ban("8.8.8.8")
    assert desk.until("8.8.8.8/32") == NOW + 1234


def test_it_ends_at_the_very_second(desk: Desk) -> None:
    desk.ban("8.8.0.0/16", 10)
    desk.clock.advance(9)
    assert desk.banned("8.8.8.8")
    assert desk.list.is_subnet_banned(Subnet.parse("8.8.0.0/16"))
    desk.clock.advance(1)
    assert not desk.banned("8.8.8.8")
    assert not desk.list.is_subnet_banned(Subnet.parse("8.8.0.0/16"))


def test_ended_bans_are_swept_here_and_in_the_store(desk: Desk) -> None:
    desk.ban("8.8.8.8", 10)
    desk.ban("9.9.9.9", 20)
    desk.clock.advance(10)
    desk.list.sweep()
    assert len(desk.list) == 1
    assert list(desk.store.bans) == [Subnet.parse("9.9.9.9")]
    desk.clock.advance(10)
    assert desk.list.bans() == []
    assert not desk.store.bans


def test_a_second_ban_prolongs_and_never_shortens(desk: Desk) -> None:
    desk.ban("8.8.8.8", 100)
    desk.ban("8.8.8.8", 50)
    assert desk.until("8.8.8.8/32") == NOW + 100
    desk.ban("8.8.8.8", 200)
    assert desk.until("8.8.8.8/32") == NOW + 200
    assert desk.store.bans[Subnet.parse("8.8.8.8")].until == NOW + 200


def test_a_second_ban_of_the_same_length_changes_nothing(desk: Desk) -> None:
    desk.ban("8.8.8.8", 100)
    desk.ban("8.8.8.8", 100, reason="misbehaving")
    assert [ban.reason for ban in desk.list.bans()] == [MANUAL]


def test_only_exactly_this_subnet_can_be_lifted(desk: Desk) -> None:
    desk.ban("127.0.0.0/24")
    desk.ban("127.0.0.0/32")
    assert not desk.list.unban(Subnet.parse("127.0.0.1"))
    assert desk.list.unban(Subnet.parse("127.0.0.0/24"))
    assert desk.banned("127.0.0.0")
    assert not desk.banned("127.0.0.1")
    desk.list.clear()
    assert not desk.list.bans()
    assert not desk.store.bans


def test_an_ended_ban_counts_as_none_to_lift(desk: Desk) -> None:
    desk.ban("8.8.8.8", 10)
    desk.clock.advance(10)
    assert not desk.list.unban(Subnet.parse("8.8.8.8"))


def test_listeners_hear_of_every_ban(desk: Desk) -> None:
    heard: list[Ban] = []
    desk.list.on_ban(heard.append)
    desk.ban("8.8.8.8", 100)
    desk.ban("8.8.8.8", 50)
    assert [str(ban.subnet) for ban in heard] == ["8.8.8.8/32"] * 2
    assert all(ban.manual for ban in heard)


def test_what_was_stored_is_in_force_again() -> None:
    desk = Desk()
    desk.ban("8.8.0.0/16", 100)
    again = BanList(desk.store, desk.clock, bans=desk.store.bans.values())
    assert again.is_banned(NetworkAddress.parse("8.8.1.1"))
    assert again.bans() == [Ban(Subnet.parse("8.8.0.0/16"), NOW, NOW + 100, MANUAL)]


def test_automatic_bans_are_bounded_and_manual_ones_stay(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_AUTOMATIC_BANS", 3)
    desk.ban("9.9.9.9")
    for i in range(5):
        desk.ban(f"8.8.8.{i}", reason="misbehaving")
    desk.ban("8.8.8.3", 2 * DAY)  # by hand now
    desk.ban("8.8.8.5", reason="misbehaving")
    assert [str(ban.subnet) for ban in desk.list.bans()] == [
        *("8.8.8.2/32", "8.8.8.3/32", "8.8.8.4/32", "8.8.8.5/32", "9.9.9.9/32")
    ]
    assert set(desk.store.bans) == {ban.subnet for ban in desk.list.bans()}


@pytest.mark.parametrize("text", ["fc00:1::7", "fc00:1::/32", "fc00::/8"])
def test_a_ban_within_fc00_is_one_of_cjdns_addresses_too(desk: Desk, text: str) -> None:
    address = NetworkAddress.parse("fc00:1::7", cjdns=True)
    desk.ban("::/0", 60)
    assert not desk.list.is_banned(address)
    desk.ban(text, 60)
    assert desk.list.is_banned(address)
    assert not desk.list.is_banned(NetworkAddress.parse("fc01::7", cjdns=True)) or text == "fc00::/8"


def test_the_ban_of_a_cjdns_peer_is_in_force(desk: Desk) -> None:
    address = NetworkAddress.parse("fc00:1::7", 8333, cjdns=True)
    desk.list.ban(Subnet.single(address), 60)
    assert desk.list.is_banned(address)


def test_it_agrees_with_a_plain_list() -> None:
    rng = random.Random(7)
    desk = Desk()
    plain: dict[Subnet, int] = {}
    for _ in range(3000):
        addr, prefix = bytes(rng.randrange(4) for _ in range(4)), rng.randrange(33)
        subnet = Subnet(Network.IPV4, masked(addr, prefix), prefix)
        choice = rng.random()
        now = int(desk.clock.now())
        if choice < 0.02 and prefix > 12:
            seconds = rng.randrange(1, 300)
            desk.list.ban(subnet, seconds)
            plain[subnet] = max(plain.get(subnet, 0), now + seconds)
        elif choice < 0.04:
            assert desk.list.unban(subnet) is (plain.pop(subnet, 0) > now)
        elif choice < 0.06:
            desk.clock.advance(rng.randrange(60))
        elif choice < 0.07:
            desk.list.sweep()
        else:
            address = NetworkAddress(Network.IPV4, addr, 1)
            expected = any(address in known and until > now for known, until in plain.items())
            assert desk.list.is_banned(address) is expected

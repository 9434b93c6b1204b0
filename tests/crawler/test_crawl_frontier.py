"""The address table and the frontier: what is dialed, what is not, and that nothing is lost between."""

from collections.abc import Iterable
from random import Random

import pytest

from ccnode.crawler.frontier import DIALS_AT_ONCE, FIRST_CREDIT, QUOTAS, REWARD, Frontier, Quota
from ccnode.crawler.guard import Guard, OptOuts, network_of
from ccnode.crawler.outcome import Outcome
from ccnode.crawler.table import ACTIVE, BY_DNS, HELD, QUEUED, AddressTable
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import PackedEntry, pack_address

NOW = 1_700_000_000


def key(text: str) -> bytes:
    return pack_address(NetworkAddress.parse(text, 8333, cjdns=True))


def host(number: int) -> bytes:
    """An address in a range of its own."""
    return key(f"1.{number // 250 + 1}.{number % 250}.1")


def named(keys: Iterable[bytes], seen: int = NOW) -> list[PackedEntry]:
    return [(seen, 9, one) for one in keys]


def frontier(
    lanes: dict[Network, int] | None = None,
    *,
    capacity: int = 100_000,
    opt_outs: OptOuts | None = None,
    allow_unroutable: bool = False,
    quotas: dict[Network, tuple[Quota, ...]] | None = None,
) -> Frontier:
    lanes = {Network.IPV4: 1000, Network.IPV6: 1000} if lanes is None else lanes
    guard = Guard(lanes, opt_outs, allow_unroutable=allow_unroutable)
    table = AddressTable(capacity)
    return Frontier(table, guard, Random(5), lambda: NOW, lanes=lanes, quotas=QUOTAS if quotas is None else quotas)


def a_peer(room: Frontier, text: str = "9.9.9.9") -> int:
    """The row of a peer that is being visited."""
    room.seed([key(text)])
    row = room.table.find(key(text))
    while (found := room.next()) != row:
        assert found is not None
    return found


def finish(room: Frontier, row: int, outcome: Outcome) -> None:
    room.dialed(row)
    room.done(row, outcome)


def outcome_of(room: Frontier, one: bytes) -> Outcome | None:
    row = room.table.find(one)
    assert row is not None
    return room.table.outcome(row)


def test_every_address_comes_once_and_ends_in_one_outcome() -> None:
    room, rng = frontier(), Random(1)
    keys = [host(i) for i in range(300)]
    room.seed(keys[:10])
    active: list[int] = []
    dialed: list[bytes] = []
    while room.outstanding:
        row = room.next() if rng.random() < 0.6 or not active else None
        if row is not None:
            active.append(row)
            dialed.append(room.table.keys[row])
        elif active:
            done = active.pop(rng.randrange(0, len(active)))
            room.vouch(done, named(rng.sample(keys, 20)))
            finish(room, done, rng.choice([Outcome.REACHABLE, Outcome.TIMEOUT]))
    assert sorted(dialed) == sorted(keys)
    assert sum(room.table.outcomes().values()) == len(room.table) == 300
    assert list(room.close()) == []


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("10.1.2.3", Outcome.UNROUTABLE),
        ("127.0.0.1", Outcome.UNROUTABLE),
        ("224.0.0.1", Outcome.UNROUTABLE),
        ("255.255.255.255", Outcome.UNROUTABLE),
        ("192.0.2.1", Outcome.UNROUTABLE),
        ("8.8.8.8:0", Outcome.UNROUTABLE),
        ("[fe80::1]", Outcome.UNROUTABLE),
        ("[ff02::1]", Outcome.UNROUTABLE),
        ("[2001:db8::1]", Outcome.UNROUTABLE),
        ("[fc00::1]", Outcome.NO_LANE),
        ("2zvqdmnlo5rbwg3tl5x7vdyqxklzkxzxxcyd7xxmrq5kzhsvlpxq.b32.i2p", Outcome.NO_LANE),
        ("8.8.8.8", None),
        ("192.1.1.1", None),
        ("[2a00::1]", None),
        ("[2001:470::1]", None),
    ],
)
def test_the_guard_lets_through_what_strangers_can_reach(text: str, outcome: Outcome | None) -> None:
    assert Guard({Network.IPV4, Network.IPV6}).refusal(key(text)) is outcome


def test_fc00_is_cjdns_where_there_is_a_way_to_it_and_private_otherwise() -> None:
    private = NetworkAddress.from_v1(bytes.fromhex("fc" + "01" * 15), 8333)
    assert Guard({Network.IPV6}).refusal(pack_address(private)) is Outcome.UNROUTABLE
    on_cjdns = Guard({Network.CJDNS})
    located = on_cjdns.locate(pack_address(private))
    assert network_of(located) is Network.CJDNS
    assert on_cjdns.refusal(located) is None


def test_test_networks_may_be_private_but_not_multicast() -> None:
    guard = Guard({Network.IPV4}, allow_unroutable=True)
    assert guard.refusal(key("127.0.0.1")) is None
    assert guard.refusal(key("10.0.0.1")) is None
    assert guard.refusal(key("224.0.0.1")) is Outcome.UNROUTABLE
    assert guard.refusal(key("127.0.0.1:0")) is Outcome.UNROUTABLE


def test_who_opted_out_is_left_alone_by_address_range_or_port() -> None:
    lines = ["# them", "8.8.8.0/24  # asked on a day", "9.9.9.9:8333", "2a00::/32", ""]
    room = frontier(opt_outs=OptOuts(lines))
    for text in ("8.8.8.1", "9.9.9.9", "[2a00:0:1::1]"):
        room.seed([key(text)])
        assert outcome_of(room, key(text)) is Outcome.OPTED_OUT
    room.seed([key("9.9.9.9:8334")])
    assert outcome_of(room, key("9.9.9.9:8334")) is None


def test_a_bad_line_of_the_opt_out_list_is_named() -> None:
    with pytest.raises(ValueError, match="line 2"):
        OptOuts(["1.2.3.4", "1.2.3.4/33"])


def test_a_peers_word_is_good_for_so_many_addresses() -> None:
    room = frontier()
    liar = a_peer(room)
    room.vouch(liar, named(host(i) for i in range(1000)))
    assert room.outstanding == 1 + FIRST_CREDIT
    assert room.table.count(HELD) == 1000 - FIRST_CREDIT
    finish(room, liar, Outcome.REACHABLE)
    while (row := room.next()) is not None:
        finish(room, row, Outcome.TIMEOUT)
    assert not room.outstanding
    assert len(list(room.close())) == 1000 - FIRST_CREDIT
    assert room.table.outcomes()[Outcome.CAPPED] == 1000 - FIRST_CREDIT


def test_every_node_found_is_worth_more_of_them() -> None:
    room = frontier()
    peer = a_peer(room)
    room.vouch(peer, named(host(i) for i in range(1000)))
    row = room.next()
    assert row is not None
    finish(room, row, Outcome.REACHABLE)
    assert room.table.count(HELD) == 1000 - FIRST_CREDIT - REWARD


def test_an_honest_peers_addresses_are_all_visited() -> None:
    room, rng = frontier(), Random(2)
    peer = a_peer(room)
    room.vouch(peer, named(host(i) for i in range(1000)))
    finish(room, peer, Outcome.REACHABLE)
    while (row := room.next()) is not None:
        finish(room, row, Outcome.REACHABLE if rng.random() < 1 / 12 else Outcome.TIMEOUT)
    assert not room.table.count(HELD)


def test_somebody_elses_word_frees_a_held_address() -> None:
    room = frontier()
    liar, other = a_peer(room), a_peer(room, "5.5.5.5")
    room.vouch(liar, named(host(i) for i in range(200)))
    assert outcome_of(room, host(150)) is None
    before = room.outstanding
    room.vouch(other, named([host(150)]))
    assert room.outstanding == before + 1
    row = room.table.find(host(150))
    assert row is not None
    assert room.table.source(row) == other


def test_a_peer_does_not_vouch_for_itself() -> None:
    room = frontier()
    peer = a_peer(room)
    room.vouch(peer, named([key("9.9.9.9")]))
    assert room.table.vouchers[peer] == 0


def test_a_range_has_its_quota() -> None:
    room = frontier()
    ports = [key(f"8.8.8.8:{port}") for port in range(1000, 1040)]
    room.seed(ports)
    assert room.outstanding == 16
    assert room.table.outcomes() == {Outcome.CAPPED: 24}
    room.seed(key(f"[2a00:1:2:3::{i:x}]") for i in range(1, 100))
    assert room.outstanding == 16 + 64


def test_few_of_a_range_are_dialed_at_a_time_and_all_of_them_in_the_end() -> None:
    room = frontier()
    keys = [key(f"8.8.8.{i}") for i in range(1, 201)]
    room.seed(keys)
    active = []
    while (row := room.next()) is not None:
        active.append(row)
    assert len(active) == DIALS_AT_ONCE
    dialed = 0
    while active:
        finish(room, active.pop(), Outcome.TIMEOUT)
        dialed += 1
        while (row := room.next()) is not None:
            active.append(row)
    assert dialed == 200
    assert not room.outstanding


def test_a_lane_has_its_limit_and_a_visit_leaves_it_after_the_dial() -> None:
    room = frontier({Network.IPV4: 3})
    room.seed(host(i) for i in range(10))
    rows = [room.next() for _ in range(4)]
    assert rows[3] is None
    assert rows[0] is not None
    room.dialed(rows[0])
    assert room.next() is not None
    assert room.table.count(ACTIVE) == 4


def test_the_better_vouched_for_comes_first() -> None:
    room = frontier()
    peers = [a_peer(room, f"7.{i}.1.1") for i in range(8)]
    room.vouch(peers[0], named((host(i) for i in range(50)), NOW - 30 * 86_400))
    for peer in peers:
        room.vouch(peer, named([host(60)], NOW - 60))
    assert room.next() == room.table.find(host(60))


def test_a_full_table_forgets_and_counts() -> None:
    room = frontier(capacity=11)
    peer = a_peer(room)
    assert len(room.vouch(peer, named(host(i) for i in range(30)))) == 10
    assert room.table.overflow == 20


def test_a_restored_round_goes_on_where_it_was() -> None:
    room = frontier()
    seed = key("9.9.9.9")
    room.restore(seed, None, 0, Outcome.REACHABLE)
    room.restore(host(1), seed, NOW, Outcome.TIMEOUT)
    room.restore(host(2), seed, NOW, None)
    room.restore(key("10.0.0.1"), seed, NOW, None)
    room.resume()
    assert room.outstanding == 1
    row = room.next()
    assert row == room.table.find(host(2))
    assert room.table.source_key(room.table.find(host(2)) or 0) == seed
    assert outcome_of(room, host(1)) is Outcome.TIMEOUT
    assert outcome_of(room, key("10.0.0.1")) is Outcome.UNROUTABLE


def test_who_pays_for_an_address_is_told_and_restored() -> None:
    room = frontier()
    inventor, honest = a_peer(room, "9.9.9.9"), a_peer(room, "9.9.9.8")
    room.vouch(inventor, named(host(i) for i in range(FIRST_CREDIT + 1)))
    wanted = host(FIRST_CREDIT)
    assert room.table.states[room.table.find(wanted) or 0] == HELD
    assert room.take_moved() == []
    room.vouch(honest, named([wanted]))
    assert room.take_moved() == [room.table.find(wanted)]
    assert room.take_moved() == []
    again = restored(room)
    assert again.table.source_key(again.table.find(wanted) or 0) == key("9.9.9.8")
    assert again.table.states[again.table.find(wanted) or 0] == QUEUED


@pytest.mark.parametrize("seed", range(8))
def test_a_restored_round_has_the_same_work_left(seed: int) -> None:
    quotas = {Network.IPV4: (Quota(14, 6),)}
    rng, room = Random(seed), frontier(quotas=quotas)
    active = [a_peer(room, f"9.{i}.9.9") for i in range(4)]
    outcomes = [Outcome.TIMEOUT] * 13 + [Outcome.REACHABLE, Outcome.SLOTS_FULL]
    for peer in active:
        room.vouch(peer, named(host(rng.randrange(40_000)) for _ in range(150)))
    for _ in range(300):
        if rng.random() < 0.2 and active:
            room.vouch(rng.choice(active), named(host(rng.randrange(40_000)) for _ in range(150)))
        elif active and rng.random() < 0.5:
            finish(room, active.pop(rng.randrange(len(active))), rng.choice(outcomes))
        elif (row := room.next()) is not None:
            active.append(row)
    again = restored(room, quotas)
    assert room.table.count(HELD) > 0
    assert again.outstanding == room.outstanding
    assert again.table.count(HELD) == room.table.count(HELD)
    assert again.table.outcomes() == room.table.outcomes()
    for one in active:
        named_by_all = named(host(rng.randrange(40_000, 60_000)) for _ in range(200))
        assert len(again.vouch(again.table.find(room.table.keys[one]) or 0, named_by_all)) == len(
            room.vouch(one, named_by_all)
        )
        assert again.outstanding == room.outstanding


def restored(room: Frontier, quotas: dict[Network, tuple[Quota, ...]] | None = None) -> Frontier:
    """What becomes of a round whose crawler is killed now. The file has who pays; outcomes without a dial come last."""
    again = frontier(quotas=quotas)
    table = room.table
    for row in range(len(table)):
        source, outcome = table.source_key(row), table.outcome(row)
        decided = outcome if outcome is not None and outcome.dialed else None
        again.restore(table.keys[row], source if isinstance(source, bytes) else None, table.seen[row], decided)
    again.resume()
    return again


def test_a_round_cut_short_leaves_the_rest_unvisited() -> None:
    room = frontier()
    room.seed(host(i) for i in range(5))
    row = room.next()
    assert row is not None
    room.dialed(row)
    room.put_back(row)
    assert len(list(room.close())) == 5
    assert room.table.outcomes() == {Outcome.UNVISITED: 5}
    assert room.table.count(QUEUED) == 0


def test_who_vouched_is_told_as_the_visit_has_it() -> None:
    room = frontier()
    room.seed([key("4.4.4.4")], BY_DNS)
    row = room.table.find(key("4.4.4.4"))
    assert row is not None
    assert (room.table.via(row), room.table.source_key(row)) == ("dns", "seed")
    peer = a_peer(room)
    room.vouch(peer, named([host(1)]))
    row = room.table.find(host(1))
    assert row is not None
    assert (room.table.via(row), room.table.source_key(row)) == ("gossip", key("9.9.9.9"))

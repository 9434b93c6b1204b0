"""The asmap program: against a bit-by-bit reading of Core's rules, and on real maps."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccnode.peers import asmap as module
from ccnode.peers.asmap import Asmap
from ccnode.peers.netgroup import NetGroupManager
from ccnode.wire.address import NetworkAddress
from tests.support.data import read_xz

BITS = 128


# A writer and a slow reader of such programs


def operand(value: int, least: int, low: int, high: int) -> str:
    """Its length in unary, then the number, most significant bit first."""
    value -= least
    ones = 0
    while value >= 1 << (low + ones):
        value -= 1 << (low + ones)
        ones += 1
    assert low + ones <= high
    return "1" * ones + ("" if low + ones == high else "0") + format(value, f"0{low + ones}b")


def asn_bits(asn: int) -> str:
    return operand(asn, 1, 15, 24)


def returns(asn: int) -> str:
    return "0" + asn_bits(asn)


def jump(distance: int) -> str:
    return "10" + operand(distance, 17, 5, 30)


def match(bits: str) -> str:
    return "110" + operand(int("1" + bits, 2), 2, 1, 8)


def default(asn: int) -> str:
    return "111" + asn_bits(asn)


def pack(program: str) -> bytes:
    program += "0" * (-len(program) % 8)
    return bytes(int(program[i : i + 8][::-1], 2) for i in range(0, len(program), 8))


def compiled(tree: object) -> str:
    """The program of a tree: an AS number, a fork on the next bit, or ("match", bits, rest, default or 0)."""
    if isinstance(tree, int):
        return returns(tree)
    assert isinstance(tree, tuple)
    if tree[0] == "match":
        _, bits, rest, other = tree
        return (default(other) if other else "") + match(bits) + compiled(rest)
    zero = compiled(tree[0])
    return jump(len(zero)) + zero + compiled(tree[1])


def looked_up(tree: object, bits: Iterator[str]) -> int:
    """What the tree says, without any program."""
    fallback = 0
    while not isinstance(tree, int):
        assert isinstance(tree, tuple)
        if tree[0] == "match":
            _, wanted, rest, other = tree
            fallback = other or fallback
            if any(next(bits) != bit for bit in wanted):
                return fallback
            tree = rest
        else:
            tree = tree[int(next(bits))]
    return tree


asns = st.integers(1, 2**24 + 2**15)
trees = st.recursive(
    asns,
    lambda deeper: st.one_of(
        st.tuples(deeper, deeper),
        st.tuples(st.just("match"), st.text("01", min_size=8, max_size=8), deeper, st.one_of(st.just(0), asns)),
    ),
    max_leaves=12,
)


def depth(tree: object) -> int:
    if isinstance(tree, int):
        return 0
    assert isinstance(tree, tuple)
    if tree[0] == "match":
        return 8 + depth(tree[2])
    return 1 + max(depth(tree[0]), depth(tree[1]))


@given(
    trees.filter(lambda tree: depth(tree) <= BITS),
    st.lists(st.binary(min_size=16, max_size=16), max_size=20),
    st.data(),
)
def test_programs_say_what_their_tree_says(tree: object, addresses: list[bytes], data: st.DataObject) -> None:
    asmap = Asmap(pack(compiled(tree)))
    for address in addresses:
        bits = format(int.from_bytes(address, "big"), f"0{BITS}b")
        assert asmap.lookup(address) == looked_up(tree, iter(bits))
        flipped = int(bits, 2) ^ 1 << data.draw(st.integers(0, BITS - 1))
        assert asmap.lookup(flipped.to_bytes(16, "big")) == looked_up(tree, iter(format(flipped, f"0{BITS}b")))


@given(st.binary(max_size=60))
def test_whatever_is_accepted_answers(data: bytes) -> None:
    try:
        asmap = Asmap(data)
    except ValueError:
        return
    for address in (bytes(16), b"\xff" * 16, bytes(range(16))):
        assert 0 <= asmap.lookup(address) < 2**25


def test_lookup_remembers_ways_only_as_many_as_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    asmap = Asmap(pack(compiled((1, (("match", "00000000", 2, 3), 4)))))
    monkeypatch.setattr(module, "MAX_ENTRANCES", 3)
    for first in range(256):
        bits = format(first, "08b") + "0" * 120
        wanted = looked_up((1, (("match", "00000000", 2, 3), 4)), iter(bits))
        assert asmap.lookup(bytes((first,)) + bytes(15)) == wanted
        assert len(asmap._entrances) <= 3


@pytest.mark.parametrize(
    ("program", "problem"),
    [
        ("", "no end"),
        (match("1" * 8) * 4, "no end"),
        (returns(1)[:-9], "cut off"),
        ("1" * 40, "cut off"),
        (returns(1) + "0" * 8, "bytes after the end"),
        (returns(1) + "1", "bits after the end"),
        (jump(17) + returns(1) + returns(2) + returns(3), "bytes after the end"),
        (jump(18) + returns(1) + returns(2), "never reached"),
        (jump(500) + returns(1) + returns(2), "too far"),
        (jump(45) + jump(60) + returns(1) + returns(2) + returns(3), "too far"),
        (default(5) + returns(1), "without use"),
        (default(5) + default(6) + match("1") + returns(1), "two defaults"),
        (match("1") + match("0") + returns(1), "could be one"),
        (match("1" * 8) * 16 + match("1") + returns(1), "more bits"),
    ],
)
def test_unsound_programs_are_refused(program: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Asmap(pack(program))


def test_too_large_a_file_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ASMAP_BYTES", 10)
    with pytest.raises(ValueError, match="too many"):
        Asmap(bytes(11))


def test_core_test_map(data_dir: Path) -> None:
    """The map of Core's address manager tests: 101.1.0.0/16 is AS 1 and so on, 250.0.0.0/8 AS 1000."""
    groups = NetGroupManager(Asmap((data_dir / "vectors/core/asmap.raw").read_bytes()))
    for number in range(1, 9):
        assert groups.mapped_as(NetworkAddress.parse(f"101.{number}.1.1")) == number
    assert groups.mapped_as(NetworkAddress.parse("250.1.2.3")) == 1000
    assert groups.mapped_as(NetworkAddress.parse("1.2.3.4")) == 0


def test_real_map_agrees_with_the_seed_list(data_dir: Path) -> None:
    """The list names the AS of each node; it was made some weeks from the map, so a few have moved."""
    groups = NetGroupManager(Asmap(read_xz(data_dir / "addrs/core_ip_asn.dat.xz")))
    same = total = 0
    for line in read_xz(data_dir / "addrs/core_nodes_main_2026-02.txt.xz").decode().splitlines():
        text, _, asn = line.partition(" # AS")
        if asn:
            total += 1
            same += groups.mapped_as(NetworkAddress.parse(text)) == int(asn)
    assert total > 1000
    assert same / total > 0.98

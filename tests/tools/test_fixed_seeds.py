"""The tool that draws fixed seeds."""

from pathlib import Path

import pytest

from ccnode.chain import seeds
from ccnode.wire.address import Network
from tests.support.data import read_xz
from tools.fixed_seeds import QUOTAS, draw, lines, read

LIST = """
1.2.3.4:8333 # AS1
1.2.9.9:8333 # AS2
5.6.7.8:1234 # AS1
9.9.9.9:8333 # AS3
10.0.0.1:8333 # AS4

[2a00::1]:8333 # AS1
[fc11::1]:8333
"""


def test_one_address_in_a_netgroup_and_in_a_system() -> None:
    drawn = draw(read(LIST))
    assert list(map(str, drawn[Network.IPV4])) == ["1.2.3.4:8333", "9.9.9.9:8333"]
    assert list(map(str, drawn[Network.IPV6])) == ["[2a00::1]:8333"]
    assert list(map(str, drawn[Network.CJDNS])) == ["[fc11::1]:8333"]


def test_quotas_are_spread_over_the_list() -> None:
    drawn = draw(read("".join(f"{number}.1.1.1:8333 # AS{number}\n" for number in range(20, 100))))[Network.IPV4]
    assert [address.addr[0] for address in drawn] == list(range(20, 100, 2))
    assert len(drawn) == QUOTAS[Network.IPV4]


def test_usual_ports_are_left_out() -> None:
    drawn = draw(read("1.2.3.4:8333\n5.6.7.8:1234\n[2a00::1]:1\n"))
    assert list(lines(drawn[Network.IPV4] + drawn[Network.IPV6], 8333)) == ["1.2.3.4 5.6.7.8:1234 [2a00::1]:1"]


@pytest.mark.parametrize(
    ("name", "port", "drawn"),
    [("main", 8333, seeds.MAINNET), ("test", 18333, seeds.TESTNET3), ("signet", 38333, seeds.SIGNET)],
)
def test_the_seeds_are_what_is_drawn_from_the_lists(
    data_dir: Path, name: str, port: int, drawn: tuple[str, ...]
) -> None:
    text = read_xz(data_dir / f"addrs/core_nodes_{name}_2026-02.txt.xz").decode("ascii")
    again = [word for found in draw(read(text)).values() for line in lines(found, port) for word in line.split()]
    assert tuple(again) == drawn

"""What the configuration means to the parts that use it."""

import pytest

from ccnode.chain.networks import MAINNET
from ccnode.config import load_config
from ccnode.errors import ExitStatus, StartupError
from ccnode.settings import dns_servers, entrances, fixed_seed_addresses, listening_port


@pytest.mark.parametrize(
    ("arguments", "port"),
    [
        ([], 8333),
        (["--port=5"], 5),
        (["--port=0"], 8333),
        (["--port=5", "--bind=127.0.0.1"], 5),
        (["--port=5", "--bind=127.0.0.1:0", "--bind=127.0.0.1:6", "--bind=127.0.0.1:7"], 6),
        (["--port=5", "--bind=127.0.0.1:6=onion"], 5),
        (["--port=5", "--whitebind=noban@127.0.0.1:6"], 5),
        (["--port=5", "--whitebind=relay@127.0.0.1:6", "--bind=127.0.0.1:7"], 7),
        (["--port=5", "--whitebind=relay@127.0.0.1:6"], 6),
        (["--port=5", "--nolisten"], 5),
    ],
)
def test_the_port_that_others_are_told(arguments: list[str], port: int) -> None:
    assert listening_port(load_config(arguments), 8333) == port


def test_which_entrances_are_public() -> None:
    options = ["--bind=127.0.0.1:1", "--bind=127.0.0.1:2=onion"]
    options += ["--whitebind=relay@127.0.0.1:3", "--whitebind=127.0.0.1:4", "--whitebind=noban@127.0.0.1:5"]
    bound = entrances(load_config(options), 8333)
    assert {entrance.address.port for entrance in bound if entrance.is_public} == {1, 3, 4}


def test_name_servers_are_numeric() -> None:
    options = ["--dnsserver=192.0.2.53", "--dnsserver=[2001:db8::53]:5353"]
    assert list(map(str, dns_servers(load_config(options)))) == ["192.0.2.53:53", "[2001:db8::53]:5353"]
    with pytest.raises(StartupError, match=r"dnsserver: 'dns\.example' is no IPv4, IPv6") as caught:
        dns_servers(load_config(["--dnsserver=dns.example"]))
    assert caught.value.exit_status is ExitStatus.CONFIG


@pytest.mark.parametrize("option", ["--nofixedseeds", "--connect=192.0.2.1", "--noconnect"])
def test_fixed_seeds_are_for_a_node_that_chooses_its_peers(option: str) -> None:
    assert len(fixed_seed_addresses(load_config([]), MAINNET)) == len(MAINNET.fixed_seeds)
    assert fixed_seed_addresses(load_config([option]), MAINNET) == []

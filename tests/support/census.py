"""An invented census: rounds of visits drawn by a seed, written through the real store.

Shares are those of the network of 2025 in rough strokes: a quarter of the nodes on Tor, a few providers that hold many,
old releases that never go away. So a page made of it looks like one of the real network.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ccnode.crawler.outcome import Collected, Outcome, Visit
from ccnode.crawler.store import Store
from ccnode.wire.address import IPV4_IN_IPV6, Network, NetworkAddress
from ccnode.wire.addresses import pack_address
from tests.support.clock import ManualClock

HEIGHT = 905_000
TIP_HASH = bytes(range(32))
ROUND_SECONDS = 55.0
DAY = 86_400.0

NETWORKS = (
    (Network.IPV4, 0.5),
    (Network.ONION, 0.33),
    (Network.IPV6, 0.15),
    (Network.I2P, 0.015),
    (Network.CJDNS, 0.005),
)
AGENTS = (
    ("/Satoshi:29.0.0/", 0.30),
    ("/Satoshi:28.1.0/", 0.17),
    ("/Satoshi:27.1.0/", 0.10),
    ("/Satoshi:27.1.0/Knots:20240801/", 0.14),
    ("/Satoshi:26.0.0/", 0.07),
    ("/Satoshi:25.0.0/", 0.06),
    ("/Satoshi:24.0.1/", 0.04),
    ("/Satoshi:0.21.1/", 0.03),
    ("/Satoshi:22.0.0/", 0.03),
    ("/btcwire:0.5.0/btcd:0.24.2/", 0.02),
    ("/bcoin:2.2.0/", 0.01),
    ("/ccnode:0.1.0/", 0.02),
    ("/<script src=x>:1.0/", 0.01),
)
DOWN = (
    (Outcome.TIMEOUT, 0.66),
    (Outcome.REFUSED, 0.2),
    (Outcome.NO_ROUTE, 0.06),
    (Outcome.SLOTS_FULL, 0.04),
    (Outcome.SILENT, 0.015),
    (Outcome.WRONG_MAGIC, 0.01),
    (Outcome.CLOSED, 0.008),
    (Outcome.MALFORMED, 0.004),
    (Outcome.LOCAL_ERROR, 0.003),
)
SYSTEMS = ((24940, 0.12), (16276, 0.08), (14061, 0.06), (7922, 0.05), (3320, 0.04), (396982, 0.04), (51167, 0.03))


def pick(rng: random.Random, choices: Sequence[tuple]) -> object:
    """One of (choice, weight)."""
    return rng.choices([choice for choice, _ in choices], [weight for _, weight in choices])[0]


@dataclass(slots=True)
class Host:
    """An address, and who would answer."""

    address: NetworkAddress
    is_node: bool
    agent: str
    latency: float
    behind: int
    filters: bool


def invent_host(rng: random.Random, reachable: float) -> Host:
    network = pick(rng, NETWORKS)
    assert isinstance(network, Network)
    if network is Network.IPV4:
        addr = bytes((rng.choice((5, 23, 45, 78, 88, 91, 135, 144, 185)), rng.randrange(256), *rng.randbytes(2)))
    elif network is Network.IPV6:
        addr = b"\x2a" + rng.randbytes(15)
    elif network is Network.CJDNS:
        addr = b"\xfc" + rng.randbytes(15)
    else:
        addr = rng.randbytes(32)
    slow = network is Network.ONION
    latency = min(rng.lognormvariate(-0.4 if slow else -2.3, 0.5 if slow else 0.8), 9.0)
    behind = 0 if rng.random() < 0.97 else rng.choice((1, 2, 40, 3_000))
    address = NetworkAddress(network, addr, 0 if network is Network.I2P else 8333)
    return Host(address, rng.random() < reachable, str(pick(rng, AGENTS)), latency, behind, rng.random() < 0.3)


def invented_as(key: bytes) -> int:
    """The AS of an address: a large one or one of a thousand small ones. None for what is no IP address."""
    if len(key) != 18 or (key[0] == 0xFC and not key.startswith(IPV4_IN_IPV6)):
        return 0
    rng = random.Random(key[:14])
    return int(pick(rng, (*SYSTEMS, (60_000 + rng.randrange(1000), 0.58))))  # type: ignore[call-overload]


def invent_visit(rng: random.Random, host: Host, now: float, source: bytes | str, verified: bool) -> Visit:
    common = {"address": host.address, "source": source}
    if host.address.network is Network.I2P:
        return Visit(outcome=Outcome.NO_LANE, **common)
    common |= {"started": now, "attempts": 1}
    if not host.is_node or rng.random() < 0.06:
        outcome = pick(rng, DOWN)
        assert isinstance(outcome, Outcome)
        return Visit(outcome=outcome, detail="litecoin" if outcome is Outcome.WRONG_MAGIC else "", **common)
    core = host.agent.removeprefix("/Satoshi:").split(".")[0]
    recent = core.isdigit() and int(core) >= 26
    return Visit(
        outcome=Outcome.REACHABLE,
        **common,
        connect_time=host.latency * 1.1,
        handshake_time=host.latency * 2.2,
        ping_times=tuple(host.latency * rng.uniform(1.0, 1.4) for _ in range(3)),
        version=70016 if recent else 70015,
        services=0x409 | (0x800 if recent else 0) | (0x40 if host.filters else 0),
        user_agent=host.agent,
        start_height=HEIGHT - host.behind,
        relay=True,
        time_offset=round(rng.gauss(0, 2)),
        features=frozenset(
            {"sendheaders", "sendcmpct(2,low)", "wtxidrelay", "feefilter"} | ({"sendaddrv2"} if recent else set())
        ),
        tip_height=HEIGHT - host.behind if verified else None,
        tip_hash=TIP_HASH if verified else None,
        chain_ok=host.behind < 1000 if verified else None,
        headers_behind=host.behind if verified else None,
        collected=Collected.COMPLETE,
        adverts_count=1000,
        addr_messages=1,
        bytes_received=31_000,
        bytes_sent=400,
    )


def write_census(
    path: Path,
    *,
    addresses: int = 2000,
    rounds: int = 3,
    reachable: float = 0.2,
    systems: bool = True,
    verified: bool = True,
    seed: int = 1,
) -> None:
    """Write a file with ``rounds`` complete rounds a day apart."""
    rng = random.Random(seed)
    clock = ManualClock()
    as_of = invented_as if systems else lambda _key: 0
    store = Store(path, "main", clock, autonomous_system=as_of)
    hosts = [invent_host(rng, reachable) for _ in range(addresses)]
    for _ in range(rounds):
        store.begin_round({"rate": 1500})
        sources: list[bytes | str] = ["seed"]
        for begin in range(0, len(hosts), 5000):
            batch = hosts[begin : begin + 5000]
            source = rng.choice(sources)
            entries = [
                (int(clock.now() - rng.lognormvariate(11, 1.8)), 1033, pack_address(host.address)) for host in batch
            ]
            store.learned(source, entries, "seed" if source == "seed" else "gossip")
            visits = [invent_visit(rng, host, clock.now(), source, verified) for host in batch]
            store.record(visits)
            sources += [pack_address(v.address) for v in visits[:50] if v.outcome is Outcome.REACHABLE]
        clock.advance(ROUND_SECONDS)
        store.finish_round()
        clock.advance(DAY - ROUND_SECONDS)
        _pass_a_day(rng, hosts, reachable)
    store.close()


def _pass_a_day(rng: random.Random, hosts: list[Host], reachable: float) -> None:
    """Some come, some go, some upgrade."""
    for _ in range(len(hosts) // 20):
        hosts[rng.randrange(len(hosts))] = invent_host(rng, reachable)
    for host in hosts:
        if host.agent != AGENTS[0][0] and rng.random() < 0.02:
            host.agent = AGENTS[0][0]

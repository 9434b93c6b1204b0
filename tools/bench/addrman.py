"""The address manager under 100,000 addresses: the real ones of a crawl and of seed lists, and others made from them.

The made-up addresses lie in the real ones' net groups, as often as those occur, so that buckets fill as they do on
the public network. The sources are 500 of the real addresses. The floor is what no placement can do without: the three
double hashes of one address.
"""

import json
import lzma
import os
import random
import time
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from pathlib import Path
from statistics import median

from ccnode.clock import SystemClock
from ccnode.peers.addrman import GOSSIP_PENALTY, AddrMan
from ccnode.peers.asmap import Asmap
from ccnode.peers.netgroup import NetGroupManager
from ccnode.rng import system_rng
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import TimedAddress
from tools.bench.report import Row, show

DATA = Path(os.environ.get("CCNODE_TEST_DATA", Path(__file__).resolve().parents[2] / "../shared/data"))
ADDRESSES = 100_000
SOURCES = 500
GOAL = "under 20 us"
_OWN_BYTES = {Network.IPV4: 2, Network.IPV6: 12, Network.ONION: 31, Network.I2P: 31, Network.CJDNS: 15}
"""Bytes of an address that are not its group's, counted from the end."""


def unpacked(path: Path) -> bytes:
    return lzma.decompress(path.read_bytes())


def real_addresses(data: Path) -> list[NetworkAddress]:
    """Those of the shared lists; a handful of each network where there are no lists."""
    if not data.is_dir():
        return [NetworkAddress(Network.IPV4, bytes((8 + i % 60, i % 251, 3, 4)), 8333) for i in range(2000)]
    nodes = json.loads(unpacked(data / "addrs/bitnodes_1663113591.json.xz"))
    lines = unpacked(data / "addrs/core_nodes_main_2026-02.txt.xz").decode().splitlines()
    found = [NetworkAddress.parse(line.split()[0], 8333, cjdns=True) for line in lines if line]
    for host, port, *_rest in nodes:
        found.append(NetworkAddress.parse(host, 8333) if ":" not in host else NetworkAddress.parse(f"[{host}]"))
        found[-1] = NetworkAddress(found[-1].network, found[-1].addr, port)
    return list(dict.fromkeys(address for address in found if address.is_routable()))


def neighbours(real: Sequence[NetworkAddress], count: int, rng: random.Random) -> list[NetworkAddress]:
    """``count`` distinct routable addresses, the real ones first, the others in the same groups."""
    addresses = dict.fromkeys(real[:count])
    while len(addresses) < count:
        model = rng.choice(real)
        own = _OWN_BYTES[model.network]
        made = NetworkAddress(model.network, model.addr[:-own] + rng.randbytes(own), model.port)
        if made.is_routable():
            addresses[made] = None
    return list(addresses)


def each(
    name: str,
    work: Callable[[NetworkAddress], object],
    addresses: Iterable[NetworkAddress],
    *,
    floor: float = 0.0,
    goal: str = "",
) -> Row:
    """Median and 99th percentile of the time for one, in microseconds, and the median as a multiple of ``floor``."""
    taken = []
    for address in addresses:
        begun = time.perf_counter_ns()
        work(address)
        taken.append(time.perf_counter_ns() - begun)
    taken.sort()
    figure = f"{median(taken) / 1e3:.1f} us (99 %: {taken[len(taken) * 99 // 100] / 1e3:.1f})"
    return Row(name, figure, f"{median(taken) / 1e3 / floor:.1f}x" if floor else "", goal)


def three_hashes(address: NetworkAddress) -> None:
    for _ in range(3):
        sha256(sha256(address.addr).digest()).digest()


def fill(groups: NetGroupManager, addresses: Sequence[NetworkAddress], sources: Sequence[NetworkAddress]) -> list[Row]:
    """The floor is measured right before: the machine's speed drifts."""
    lowest = each("floor: three double hashes", three_hashes, addresses)
    floor = float(lowest.figure.split()[0])
    rng, clock = random.Random(1), SystemClock()
    addrman = AddrMan(groups, clock, system_rng())
    addrman.on_many_changes(lambda: addrman.take_changes() and None)
    now = int(clock.now())
    told = {address: rng.choice(sources) for address in addresses}
    entries = {address: [TimedAddress(now - rng.randrange(20 * 86_400), 9, address)] for address in addresses}
    add = each("add", lambda a: addrman.add(entries[a], told[a], GOSSIP_PENALTY), addresses, floor=floor, goal=GOAL)
    kept = [address for address in addresses if addrman.info(address)]
    some = rng.sample(kept, len(kept) // 3)
    rare = (Network.I2P, Network.CJDNS)
    rows = [
        *(lowest, add),
        each("attempt", addrman.attempt, some, floor=floor, goal=GOAL),
        each("good", addrman.good, some, floor=floor, goal=GOAL),
        each("select", lambda _: addrman.select(), some, floor=floor, goal=GOAL),
        each("select of the rarest networks", lambda _: addrman.select(networks=rare), some, floor=floor),
    ]
    begun = time.perf_counter()
    answer = addrman.get_addresses(1000, 23)
    rows.append(Row(f"get_addresses, {len(answer)}", f"{(time.perf_counter() - begun) * 1e3:.1f} ms"))
    rows.append(Row("kept: new, tried", f"{addrman.size(in_new=True):,}, {addrman.size(in_new=False):,}"))
    return rows


def run(quick: bool) -> None:
    rng = random.Random(2)
    real = real_addresses(DATA)
    addresses = neighbours(real, 2_000 if quick else ADDRESSES, rng)
    rng.shuffle(addresses)
    sources = rng.sample(real, SOURCES)
    rows = fill(NetGroupManager(), addresses, sources)
    if (DATA / "addrs").is_dir() and not quick:
        asmap = Asmap(unpacked(DATA / "addrs/core_ip_asn.dat.xz"))
        rows += [Row("with an asmap", ""), *fill(NetGroupManager(asmap), addresses, sources)[:5]]
    show(f"The address manager, {len(addresses):,} addresses of {len(real):,} real ones' groups", rows)

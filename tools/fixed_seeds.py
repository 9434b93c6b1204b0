#!/usr/bin/env python3
"""Draws the fixed seeds of one network from a list of long-running nodes and prints them for ``ccnode/chain/seeds.py``.

::

    python tools/fixed_seeds.py nodes_main.txt 8333

The list has one ``HOST:PORT`` in a line, with ``# AS64496`` behind it where the autonomous system is known, as in
Bitcoin Core's ``contrib/seeds``. No more than `QUOTAS` are drawn of each network, evenly spread over the list; of IPv4
and IPv6 one in an autonomous system and one in a netgroup, so that nobody runs many of them.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from ccnode.peers.netgroup import NetGroupManager
from ccnode.wire.address import I2P_SAM31_PORT, Network, NetworkAddress

QUOTAS = {Network.IPV4: 40, Network.IPV6: 25, Network.ONION: 25, Network.I2P: 15, Network.CJDNS: 10}
WIDTH = 118


def read(text: str) -> Iterator[tuple[NetworkAddress, str]]:
    """The addresses of a list, each with its autonomous system, empty if unknown."""
    for line in text.splitlines():
        entry, _, system = line.partition("#")
        if entry.strip():
            address = NetworkAddress.parse(entry.strip(), cjdns=True)
            if address.is_routable():
                yield address, system.strip()


def draw(entries: Iterable[tuple[NetworkAddress, str]]) -> dict[Network, list[NetworkAddress]]:
    """A diverse few of ``entries``."""
    groups = NetGroupManager()
    candidates: dict[Network, list[NetworkAddress]] = {network: [] for network in QUOTAS}
    taken: set[object] = set()
    for address, system in entries:
        marks = {(address.network, system), groups.group(address)} if system else {address}
        if not marks & taken:
            taken |= marks
            candidates[address.network].append(address)
    return {
        network: [found[i * len(found) // quota] for i in range(quota)] if len(found) > quota else found
        for network, quota in QUOTAS.items()
        for found in [candidates[network]]
    }


def lines(addresses: Iterable[NetworkAddress], default_port: int) -> Iterator[str]:
    """The addresses as text, ports left out where they go without saying, as many in a line as fit."""
    line = ""
    for address in addresses:
        usual = I2P_SAM31_PORT if address.network is Network.I2P else default_port
        text = address.host if address.port == usual else str(address)
        if line and len(line) + 1 + len(text) > WIDTH:
            yield line
            line = ""
        line += f" {text}" if line else text
    if line:
        yield line


def main() -> None:
    path, port = sys.argv[1:]
    for addresses in draw(read(Path(path).read_text(encoding="ascii"))).values():
        for line in lines(addresses, int(port)):
            print(line)


if __name__ == "__main__":
    main()

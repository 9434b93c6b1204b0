"""A crawl, and a probe, of live nodes of three kinds: what is said of them is what they say of themselves.

ccnode and bcoin are asked over RPC; the simulated nodes say what their universe tells.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from sqlite3 import Row, connect
from typing import Any

import pytest

from ccnode.wire.addresses import unpack_address
from ccnode.wire.protocol import service_names
from tests.support.bcoin import Bcoin, find_modules
from tests.support.crawling import CRAWL, CrawlProcess
from tests.support.process import NodeProcess
from tests.support.scripted import wait_until
from tools.bench.behaviours import HEIGHT, NEW_AGENTS, Link
from tools.bench.crawl import crawler_arguments
from tools.bench.internet import InternetProcess
from tools.bench.universe import NETWORK_AND_WITNESS, Kind, Universe

MODULES = find_modules()
BLOCKS = 7
SYNC_SECONDS = 30.0
PROBE_SECONDS = 60.0

Truth = tuple[int, int, str, int]
"""Protocol version, services, user agent, height."""


@dataclass
class Neighbourhood:
    """Live nodes, the truth about each by its address, and what was found out: all at once, for it takes a while."""

    truth: dict[str, Truth]
    census: dict[str, Truth]
    cards: list[dict[str, Any]]
    """Of all nodes, as JSON."""
    text: str
    """The card of the first, as people see it."""


def truth_by_rpc(node: NodeProcess | Bcoin) -> Truth:
    info = node.rpc("getnetworkinfo")
    services = int(info["localservices"], 16)
    return info["protocolversion"], services, info["subversion"], node.rpc("getblockcount")


def open_nodes(stack: ExitStack, folder: Path, ccnodes: int, bcoins: int) -> dict[str, Truth]:
    """Every bcoin has a chain of its own; the ccnodes have one of those, or none."""
    peers = [stack.enter_context(Bcoin(MODULES, mine=BLOCKS + n)) for n in range(bcoins)]
    nodes = []
    for n in range(ccnodes):
        leader = (*peers, None)[n % (bcoins + 1)]
        connect_to = f"--connect={leader.target if leader else 0}"
        nodes.append((stack.enter_context(NodeProcess(folder / f"node{n}", connect_to, wait=False)), leader))
    truth = {peer.target: truth_by_rpc(peer) for peer in peers}
    for node, leader in nodes:
        node.wait_ready()
        height = leader.rpc("getblockcount") if leader else 0
        wait_until(lambda node=node, height=height: node.rpc("getblockcount") == height, SYNC_SECONDS)
        truth[f"127.0.0.1:{node.port}"] = truth_by_rpc(node)
    return truth


def simulated_nodes(universe: Universe) -> dict[str, Truth]:
    truth = {}
    for key in universe.keys(Kind.GOOD):
        agent = NEW_AGENTS[sum(key) % len(NEW_AGENTS)].decode()
        truth[str(unpack_address(key))] = Link.number, NETWORK_AND_WITNESS, agent, HEIGHT
    return truth


@pytest.fixture(
    scope="module",
    params=[(3, 1, 6), pytest.param((10, 4, 16), marks=pytest.mark.long)],
    ids=["ten nodes", "thirty nodes"],
)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Neighbourhood]:
    ccnodes, bcoins, simulated = request.param
    folder = tmp_path_factory.mktemp("live")
    with ExitStack() as stack:
        truth = open_nodes(stack, folder, ccnodes, bcoins)
        internet = InternetProcess(simulated, "peaceful", pace=0.05, chain="regtest", neighbours=tuple(truth))
        universe = stack.enter_context(internet).universe
        truth |= simulated_nodes(universe)
        arguments = [*crawler_arguments(universe), f"--datadir={folder / 'none'}"]
        crawler = stack.enter_context(CrawlProcess(folder / "out", *arguments, chain="regtest"))
        probes = [stack.enter_context(start_probe(*words)) for words in (("--json", *truth), (next(iter(truth)),))]
        cards, text = (finish(probe) for probe in probes)
        assert crawler.wait() == 0, crawler.output.read_text()
        yield Neighbourhood(truth, read_census(crawler.file), [json.loads(line) for line in cards.splitlines()], text)


def read_census(file: Path) -> dict[str, Truth]:
    with closing(connect(file)) as database:
        database.row_factory = Row
        query = "SELECT n.key, v.* FROM visits v JOIN nodes n ON n.id = v.node WHERE v.outcome = 'reachable'"
        rows = database.execute(query)  # bcoin also announces a port on which it does not listen
        return {
            str(unpack_address(row["key"])): (row["version"], row["services"], row["user_agent"], row["start_height"])
            for row in rows
        }


def start_probe(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, CRAWL, "probe", "--chain=regtest", "--allow-unroutable", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def finish(probe: "subprocess.Popen[str]") -> str:
    output, _ = probe.communicate(timeout=PROBE_SECONDS)
    assert probe.returncode == 0, output
    return output


def test_the_census_has_every_node_as_it_is(found: Neighbourhood) -> None:
    assert found.census == found.truth


def test_a_probe_says_of_each_what_a_person_wants_to_know(found: Neighbourhood) -> None:
    assert {card["address"]: claims(card) for card in found.cards} == {
        host: (version, service_names(services), agent, height)
        for host, (version, services, agent, height) in found.truth.items()
    }
    for card in found.cards:
        assert card["outcome"] == "reachable"
        assert len(card["ping_times"]) == 3
        assert card["connect_time"] > 0
        assert card["handshake_time"] > 0
        assert abs(card["time_offset"]) <= 60
    assert any("wtxidrelay" in card["features"] for card in found.cards)


def claims(card: dict[str, Any]) -> tuple[int, list[str], str, int]:
    return card["version"], card["services"], card["user_agent"], card["start_height"]


def test_a_probe_tells_people(found: Neighbourhood) -> None:
    host, (version, _, agent, height) = next(iter(found.truth.items()))
    for words in (host, "reachable: both sides completed the handshake", f"{agent}, protocol {version}", "pings",
                  f"{height} claimed, not verified"):  # fmt: skip
        assert words in found.text

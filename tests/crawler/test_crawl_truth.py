"""The crawler says of every address of a simulated internet what is true of it, and meets each node but once."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from ccnode.crawler.frontier import FIRST_CREDIT
from ccnode.crawler.outcome import Outcome
from ccnode.wire.addresses import unpack_address
from tests.support.crawling import Findings, crawl_in_haste
from tests.support.data import ROOT
from tools.bench.crawl import crawler_arguments
from tools.bench.internet import InternetProcess, Report
from tools.bench.namespace import inside, is_possible
from tools.bench.universe import Kind, Universe

ADDRESSES = 300
PACE = 0.05
ENTRIES = 1000
"""That a poisoner invents."""


class Round:
    """A crawl of a universe with every behaviour in it; two of its good nodes wish not to be visited."""

    def __init__(self, universe: Universe, left_alone: list[bytes], findings: Findings, report: Report) -> None:
        self.universe = universe
        self.left_alone = left_alone
        self.findings = findings
        self.report = report


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Round]:
    folder = tmp_path_factory.mktemp("crawl")
    with InternetProcess(ADDRESSES, "hostile", pace=PACE) as internet:
        universe = internet.universe
        left_alone = universe.keys(Kind.GOOD)[-2:]
        opt_outs = folder / "opt-outs.txt"
        opt_outs.write_text("".join(f"{unpack_address(key)}  # asked by mail\n" for key in left_alone))
        arguments = [*crawler_arguments(universe), f"--opt-out={opt_outs}", f"--datadir={folder / 'node'}"]
        findings = crawl_in_haste(arguments)
        yield Round(universe, left_alone, findings, internet.report())


def test_every_address_has_its_true_outcome(crawl: Round) -> None:
    expected = {key: kind.outcome for key, kind in crawl.universe.kinds.items()}
    expected |= dict.fromkeys(crawl.left_alone, Outcome.OPTED_OUT)
    wrong = {
        f"{unpack_address(key)} ({crawl.universe.kinds[key].value})": crawl.findings.get(key)
        for key, outcome in expected.items()
        if crawl.findings.get(key, (None, None))[0] is not outcome
    }
    assert not wrong


def test_every_outcome_that_a_visit_may_have_occurred(crawl: Round) -> None:
    seen = {outcome for outcome, _ in crawl.findings.values()}
    assert set(Outcome) - seen == {Outcome.NO_ROUTE, Outcome.LOCAL_ERROR, Outcome.UNVISITED}


def test_why_a_collection_ended_is_told(crawl: Round) -> None:
    ends = {key: why for key, (_, why) in crawl.findings.items() if key in crawl.universe.kinds}
    told = {key: kind for key, kind in crawl.universe.kinds.items() if kind.collected and key not in crawl.left_alone}
    wrong = {f"{unpack_address(key)} ({kind.value})": ends[key] for key, kind in told.items()
             if ends[key] not in kind.collected}  # fmt: skip
    assert not wrong


def test_invented_addresses_are_not_nodes_and_cost_each_inventor_a_hundred_dials(crawl: Round) -> None:
    invented = [key for key in crawl.findings if key not in crawl.universe.kinds]
    outcomes = Counter(crawl.findings[key][0] for key in invented)
    inventors = len(crawl.universe.keys(Kind.POISONER))
    assert len(invented) > 0.99 * inventors * ENTRIES
    assert outcomes.keys() == {Outcome.REFUSED, Outcome.CAPPED}
    assert 0 < outcomes[Outcome.REFUSED] <= inventors * FIRST_CREDIT


def test_each_node_is_connected_to_and_asked_once(crawl: Round) -> None:
    assert crawl.report.most_of_one == 1
    assert crawl.report.most_asked == 1


def test_who_opted_out_is_not_connected_to(crawl: Round) -> None:
    places = Counter(kind for key, kind in crawl.universe.kinds.items() if key not in crawl.left_alone)
    absent = {Kind.HOLE, Kind.REFUSED, Kind.ONION_GONE, Kind.PRIVATE, Kind.I2P}
    assert crawl.report.nodes == sum(count for kind, count in places.items() if kind not in absent)


@pytest.mark.long
@pytest.mark.parametrize(("mix", "count"), [("standard", 5_000), ("harsh", 5_000), ("hostile", 5_000)])
def test_the_real_crawler_is_exact_on_every_mix(mix: str, count: int) -> None:
    result = run_bench(mix, count)
    assert result["judgement"]["missing"] == []
    assert result["judgement"]["wrong"] == []
    assert result["judgement"]["false_positives"] == 0
    assert result["report"]["most_of_one"] == 1


@pytest.mark.long
def test_a_million_invented_addresses_fit_into_300_megabytes() -> None:
    result = run_bench("hostile", 50_000)
    assert result["judgement"]["invented"] > 1_000_000
    assert result["judgement"]["missing"] == []
    assert result["judgement"]["false_positives"] == 0
    assert result["round"]["memory"] < 300e6


def run_bench(mix: str, count: int) -> dict:
    """A round in a network namespace, as ``tools/bench.py crawl`` measures it."""
    if not is_possible():
        pytest.skip("this machine allows no network namespaces")
    command = [sys.executable, "-m", "tools.bench.crawl", "--namespace", f"--mix={mix}", f"--addresses={count}"]
    result = subprocess.run(inside(command), cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)

"""A crawler killed in the middle of a round: ``--resume`` ends with the census of an undisturbed one."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.crawling import CrawlProcess
from tools.bench.crawl import crawler_arguments, read_outcomes
from tools.bench.internet import InternetProcess

PACE = 0.05


def crawl_with_deaths(internet: InternetProcess, folder: Path, deaths: Sequence[int]) -> int:
    """A round whose crawler is killed whenever so many addresses are decided, and resumed; how often it died."""
    arguments = [*crawler_arguments(internet.universe), f"--datadir={folder / 'node'}"]
    died = 0
    for visited in deaths:
        with CrawlProcess(folder / "out", *arguments, *["--resume"] * bool(died)) as crawler:
            died += crawler.kill_after(visited)
    with CrawlProcess(folder / "out", *arguments, "--resume") as crawler:
        assert crawler.wait() == 0, crawler.output.read_text()
    return died


def check(internet: InternetProcess, folder: Path, died: int) -> None:
    """The truth is what an undisturbed round finds (``test_crawl_truth.py``)."""
    judgement = internet.universe.judge(read_outcomes(folder / "out" / "mainnet.sqlite"))
    assert judgement.missing == ()
    assert judgement.wrong == ()
    assert judgement.false_positives == 0
    assert internet.report().most_of_one <= died + 1


def test_a_killed_round_is_finished_as_if_undisturbed(tmp_path: Path) -> None:
    with InternetProcess(300, "quick", pace=PACE) as internet:
        died = crawl_with_deaths(internet, tmp_path, [20, 120])
        assert died == 2
        check(internet, tmp_path, died)


@pytest.mark.long
def test_many_deaths_among_hostile_nodes(tmp_path: Path) -> None:
    with InternetProcess(1_000, "hostile", pace=PACE, seed=2) as internet:
        died = crawl_with_deaths(internet, tmp_path, [1, 5, 50, 200, 400, 600, 800, 900])
        assert died >= 6
        check(internet, tmp_path, died)

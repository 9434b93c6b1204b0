"""The commands of ``tools/crawl.py`` that visit nodes, as a user runs them, on a small internet on loopback."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from sqlite3 import connect

import pytest

from ccnode.crawler.options import parse
from ccnode.errors import ConfigError
from ccnode.wire.addresses import unpack_address
from tests.support.census import write_census
from tests.support.data import ROOT
from tools.bench.crawl import crawler_arguments
from tools.bench.internet import InternetProcess
from tools.bench.universe import Kind

CRAWL = [sys.executable, str(ROOT / "tools/crawl.py")]
SECONDS = 30.0


@pytest.fixture(scope="module")
def internet() -> Iterator[InternetProcess]:
    with InternetProcess(200, "quick", pace=0.05) as internet:
        yield internet


def run(*arguments: str, expected: int = 0) -> subprocess.CompletedProcess[str]:
    result = subprocess.run([*CRAWL, *arguments], capture_output=True, text=True, timeout=SECONDS)
    assert result.returncode == expected, result.stderr + result.stdout
    return result


def test_a_probe_tells_of_a_node_and_visits_no_other(internet: InternetProcess, tmp_path: Path) -> None:
    node = str(unpack_address(internet.universe.keys(Kind.GOOD)[0]))
    datadir = f"--datadir={tmp_path}"
    visit = json.loads(run("probe", "--json", datadir, node).stdout)
    assert (visit["address"], visit["outcome"], visit["collected"]) == (node, "reachable", "complete")
    assert visit["services"] == ["NETWORK", "WITNESS", "NETWORK_LIMITED"][: len(visit["services"])]
    assert visit["adverts_count"] > 1
    assert len(visit["ping_times"]) == 3
    card = run("probe", datadir, node).stdout
    assert visit["user_agent"] in card
    assert "not verified" in card


def test_a_probe_of_nobody_fails(tmp_path: Path) -> None:
    result = run("probe", "--json", f"--datadir={tmp_path}", "127.0.0.1:1", expected=1)
    assert json.loads(result.stdout)["outcome"] == "refused"


def test_a_dry_run_tells_whether_a_round_can_run(tmp_path: Path) -> None:
    nothing = ["--dnsseed=0", "--fixedseeds=0", f"--datadir={tmp_path}", f"--out={tmp_path / 'out'}"]
    assert "directly" in run("crawl", "--dry-run", "--seed=1.2.3.4", *nothing).stdout
    assert "name a node by --seed" in run("crawl", "--dry-run", *nothing, expected=2).stdout
    assert not (tmp_path / "out").exists()


def test_unknown_words_and_bad_options_are_told() -> None:
    assert "did you mean probe?" in run("prob", expected=2).stderr
    assert "contact" in run("crawl", "--dry-run", "--contact=a/b", expected=2).stderr


@pytest.mark.parametrize(
    "option", ["--rate=0", "--rate=nan", "--max-time=-1", "--max-bandwidth=0", "--concurrency=0", "--every=nan"]
)
def test_a_limit_is_above_zero(option: str) -> None:
    with pytest.raises(ConfigError, match="must be above 0"):
        parse("watch", [option], "")


def test_connections_that_stay_are_no_negative_number() -> None:
    with pytest.raises(ConfigError, match="listen"):
        parse("watch", ["--listen=-1"], "")


def outcomes(file: Path) -> dict[str, int]:
    with closing(connect(f"file:{file}?mode=ro", uri=True)) as database:
        return dict(database.execute("SELECT coalesce(outcome, ''), sum(addresses) FROM census GROUP BY outcome"))


def test_ctrl_c_keeps_what_was_learned_and_the_round_can_be_resumed(internet: InternetProcess, tmp_path: Path) -> None:
    arguments = [*crawler_arguments(internet.universe), f"--datadir={tmp_path}", f"--out={tmp_path}", "--json"]
    process = subprocess.Popen([*CRAWL, "crawl", *arguments, "--rate=30"], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if json.loads(line).get("visited", 0) > 20:
            break
    process.send_signal(signal.SIGINT)
    began = time.monotonic()
    *events, last = map(json.loads, process.stdout.readlines())
    assert process.wait(SECONDS) == 0
    assert [event["ending"] for event in events][-1] == "stopped"  # told at once, for it takes a moment
    assert time.monotonic() - began < 10
    assert (last["event"], last["why"]) == ("end", "stopped")
    kept = outcomes(tmp_path / "mainnet.sqlite")
    assert kept["unvisited"] > 0
    assert kept.get("", 0) == 0
    assert kept == last["outcomes"]
    process = subprocess.Popen(
        [*CRAWL, "crawl", *arguments, "--resume", "--max-time=5"], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    end = json.loads(process.stdout.readlines()[-1])
    assert process.wait(SECONDS) == 0
    assert end["known"] >= last["known"]
    assert end["outcomes"]["reachable"] > last["outcomes"].get("reachable", 0)


def test_nobody_who_reads_on_is_no_error(tmp_path: Path) -> None:
    write_census(tmp_path / "main.sqlite", addresses=200, rounds=2)
    command = [sys.executable, str(ROOT / "tools/crawl.py"), "diff", "--all", f"--out={tmp_path}"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    assert process.wait(30) == 1

"""A census of a simulated internet: how long it takes, what it costs, and whether it tells the truth.

The crawler is the real one, ``tools/crawl.py crawl`` with its census file, in a namespace of its own
(``namespace.py``), or on loopback where this machine allows none. The simulated nodes share the machine with it, so
the processor time, in which they are not counted, says more than the wall clock. *Decided* is the moment at which
every address had its outcome, and nothing was left but to wait for the late lists of old nodes.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from sqlite3 import connect
from time import perf_counter, sleep
from typing import Any, Final

from ccnode.crawler.outcome import Collected, Outcome
from tests.support.data import ROOT
from tools.bench.internet import InternetProcess, Report
from tools.bench.namespace import inside, is_possible
from tools.bench.process import resident_bytes, scratch
from tools.bench.report import Row, megabytes, milliseconds, show
from tools.bench.universe import MIXES, Kind, Loopback, Universe

COUNT: Final = 50_000
QUICK_COUNT: Final = 200
QUICK_PACE: Final = 0.05
SAMPLE_SECONDS: Final = 0.25

GOALS: Final = {
    "decided": "under 60 s",
    "rate": "at least 1,000/s",
    "processor": "at most 1 ms an address",
    "memory": "under 150 MB, 300 with a million invented",
    "recall": "all",
    "false": "0",
    "each": "1",
}


@dataclass(frozen=True, slots=True)
class Round:
    """What a crawl was like."""

    wall: float
    """Seconds of the process's life."""
    processor: float
    """Seconds of it and of its children."""
    memory: int
    """Bytes at most."""
    files: int
    """Open at most."""
    end: Mapping[str, Any]
    """The crawler's last event."""


def run_crawler(arguments: Sequence[str], out: Path) -> Round:
    """Run it, and watch it."""
    command = [sys.executable, str(ROOT / "tools/crawl.py"), "crawl", "--json", f"--out={out}", *arguments]
    events, words = out.with_suffix(".events"), out.with_suffix(".words")
    memory = files = 0
    began = perf_counter()
    with events.open("w") as output, words.open("w") as errors:
        process = subprocess.Popen(command, cwd=out.parent, stdout=output, stderr=errors)
    while os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        with suppress(OSError, KeyError, ValueError):  # it may be gone by now
            memory = max(memory, resident_bytes(process.pid)[1])
            files = max(files, len(os.listdir(f"/proc/{process.pid}/fd")))
        sleep(SAMPLE_SECONDS)
    wall = perf_counter() - began
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"the crawler ended with {process.returncode}: {words.read_text()}")
    last = json.loads(events.read_text().splitlines()[-1])
    return Round(wall, usage.ru_utime + usage.ru_stime, memory, files, last)


def crawler_arguments(universe: Universe) -> list[str]:
    """What leads a crawler into a universe and nowhere else."""
    arguments = [f"--seed={seed}" for seed in universe.seeds]
    arguments += ["--dnsseed=0", "--fixedseeds=0", f"--onion=127.0.0.1:{universe.realm.socks}"]
    return [*arguments, *["--allow-unroutable"] * isinstance(universe.realm, Loopback)]


def read_outcomes(file: Path) -> dict[bytes, Outcome]:
    """Of the last round in a census file, by packed address."""
    query = """
        SELECT n.key, a.outcome FROM addresses a JOIN nodes n ON n.id = a.node
        WHERE a.round = (SELECT max(id) FROM rounds)
    """
    outcomes = {outcome.value: outcome for outcome in Outcome}
    with closing(connect(f"file:{file}?mode=ro", uri=True)) as database:
        return {key: outcomes[value] for key, value in database.execute(query)}


def measure(count: int, mix: str, pace: float, *, namespace: bool) -> dict[str, Any]:
    """One round in this namespace, as plain JSON."""
    with scratch() as folder, InternetProcess(count, mix, pace=pace, namespace=namespace) as internet:
        universe = internet.universe
        own = [f"--datadir={folder / 'node'}"]
        crawl = run_crawler([*crawler_arguments(universe), *own], folder / "out")
        judgement = universe.judge(read_outcomes(folder / "out" / "mainnet.sqlite"))
        size = (folder / "out" / "mainnet.sqlite").stat().st_size
        old = len(universe.keys(Kind.OLD))
        return {
            "round": asdict(crawl),
            "judgement": asdict(judgement),
            "report": asdict(internet.report()),
            "file": size,
            "old": old,
        }


def rows(result: Mapping[str, Any]) -> list[Row]:
    """What `measure` found, for people."""
    crawl, report = Round(**result["round"]), Report(**result["report"])
    judgement, end = result["judgement"], crawl.end
    known, decided = end["known"], end["decided"]
    dialed = sum(count for name, count in end["outcomes"].items() if Outcome(name).dialed)
    collected = end["collected"].get(Collected.COMPLETE.value, 0)
    return [
        Row("every address decided", f"{decided:.1f} s", "", GOALS["decided"]),
        Row("the late lists as well", f"{end['elapsed']:.1f} s", f"{crawl.wall:.1f} s with start and end"),
        Row("addresses dialed", f"{dialed:,}", f"{dialed / decided:,.0f}/s", GOALS["rate"]),
        Row("known", f"{known:,}", f"{judgement['invented']:,} invented"),
        Row("processor time", f"{crawl.processor:.1f} s", _each(crawl.processor, known), GOALS["processor"]),
        Row("memory at most", megabytes(crawl.memory), "", GOALS["memory"]),
        Row("files open at most", f"{crawl.files:,}", f"{report.most_open:,} at the nodes"),
        Row("reachable found", f"{judgement['found']:,} of {judgement['advertised']:,}", "", GOALS["recall"]),
        Row("wrongly said to be reachable", str(judgement["false_positives"]), "", GOALS["false"]),
        Row("other wrong outcomes", str(len(judgement["wrong"])), "", GOALS["false"]),
        Row("lists received", f"{collected:,}", f"of {result['old']:,} old nodes a part"),
        Row("connections to one node", str(report.most_of_one), f"getaddr: {report.most_asked}", GOALS["each"]),
        Row("received and sent", f"{report.sent / 1e6:,.0f} MB", f"{report.received / 1e6:,.1f} MB"),
        Row("census file", megabytes(result["file"]), _bytes(result["file"], known)),
        Row("worst lag", milliseconds(end["worst_lag"]), f"{end['redialed']} dialed again"),
    ]


def _each(seconds: float, count: int) -> str:
    return f"{milliseconds(seconds / count)} each"


def _bytes(size: int, count: int) -> str:
    return f"{size / count:,.0f} bytes an address"


def run(quick: bool, count: int = COUNT, mix: str = "standard") -> None:
    namespace = is_possible()
    count, mix, pace = (QUICK_COUNT, "quick", QUICK_PACE) if quick else (count, mix, 1.0)
    command = [sys.executable, "-m", "tools.bench.crawl", f"--addresses={count}", f"--mix={mix}", f"--pace={pace}"]
    command = inside([*command, "--namespace"]) if namespace else command
    output = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    where = "" if namespace else ", on loopback"
    result = json.loads(output)
    show(f"A crawl of {count:,} addresses, {mix} mix{where}", rows(result))
    for text in [*result["judgement"]["missing"], *result["judgement"]["wrong"]][:20]:
        print(f"  wrong: {text}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="tools.bench.crawl", description="One round, told as JSON.")
    parser.add_argument("--addresses", type=int, default=COUNT)
    parser.add_argument("--mix", choices=MIXES, default="standard")
    parser.add_argument("--pace", type=float, default=1.0)
    parser.add_argument("--namespace", action="store_true", help="in a namespace that has been prepared")
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.addresses, arguments.mix, arguments.pace, namespace=arguments.namespace)))


if __name__ == "__main__":
    main()

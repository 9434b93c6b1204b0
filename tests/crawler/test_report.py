"""The report: ten questions, each answered by one element, whatever the census has in it."""

import re
import shutil
import sqlite3
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ccnode.crawler.archive import Archive
from ccnode.crawler.page.charts import Figure, bars, columns, lines, share
from ccnode.crawler.page.findings import read_findings
from ccnode.crawler.page.programs import program
from ccnode.crawler.report import page, report
from ccnode.crawler.rows import REVISIT
from ccnode.crawler.store import Store
from ccnode.errors import StartupError
from tests.support.census import write_census
from tests.support.clock import ManualClock

QUESTIONS = {
    *("reachable", "versions", "changes", "lacking", "systems"),
    *("tor", "latency", "ages", "synced", "not-counted"),
}
VOID = {"meta", "link", "img", "br"}


class Outline(HTMLParser):
    """The elements of a page: questions with their text, ids, and whatever was opened and not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: set[str] = set()
        self.words: dict[str, str] = {}
        self.links: list[str] = []
        self._question: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        found = dict(attrs)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.links += [value for name, value in attrs if name in ("src", "href", "action", "data") and value]
        if tag not in VOID:
            self.open.append(tag)
        if "data-question" in found:
            self._question = [found["data-question"] or ""]
            assert self._question[0] not in self.words
            self.words[self._question[0]] = ""

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        if tag == "section":
            self._question = []

    def handle_data(self, data: str) -> None:
        if self._question:
            self.words[self._question[0]] += data


def outline(path: Path, number: int | None = None) -> Outline:
    with Archive(path) as archive:
        return Outline(page(read_findings(archive, number)))


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("census") / "main.sqlite"
    write_census(path, addresses=1200, rounds=3)
    return path


def ask(path: Path, query: str) -> int:
    return sqlite3.connect(path).execute(query).fetchone()[0]


def test_each_of_ten_questions_has_one_element(census: Path) -> None:
    found = outline(census)
    assert found.words.keys() == QUESTIONS
    assert not found.open
    assert len(found.ids) == len(set(found.ids))


@pytest.mark.parametrize(
    ("addresses", "rounds", "reachable"), [(1, 1, 0.0), (3, 1, 1.0), (8, 2, 0.5), (300, 1, 0.2), (300, 9, 0.2)]
)
def test_every_census_has_a_page(tmp_path: Path, addresses: int, rounds: int, reachable: float) -> None:
    path = tmp_path / "main.sqlite"
    write_census(
        path, addresses=addresses, rounds=rounds, reachable=reachable, systems=False, verified=False, seed=addresses
    )
    found = outline(path)
    assert found.words.keys() == QUESTIONS
    assert not found.open
    assert not re.search(r"\bnan\b|\binf\b|None", " ".join(found.words.values()))


def test_figures_are_those_of_the_census(census: Path) -> None:
    words = outline(census).words
    reached = ask(census, "SELECT count(*) FROM visits WHERE round = 3 AND outcome = 'reachable'")
    joined = ask(
        census,
        "SELECT count(*) FROM (SELECT node FROM visits WHERE round = 3 AND outcome = 'reachable' "
        "EXCEPT SELECT node FROM visits WHERE round = 2 AND outcome = 'reachable')",
    )
    tor = ask(
        census,
        "SELECT count(*) FROM visits v JOIN nodes n ON n.id = v.node "
        "WHERE v.round = 3 AND v.outcome = 'reachable' AND n.network = 'onion'",
    )
    missed = ask(census, "SELECT count(*) FROM addresses WHERE round = 3 AND outcome != 'reachable'")
    encrypted = ask(
        census, "SELECT count(*) FROM visits WHERE round = 3 AND outcome = 'reachable' AND services & 2048 = 0"
    )
    assert f"{reached} of 1,200 known addresses" in words["reachable"]
    assert f"{joined} node" in words["changes"]
    assert f"{tor} reachable nodes have an onion address" in words["tor"]
    assert f"{missed} addresses were not counted" in words["not-counted"]
    assert f"{encrypted} nodes" in words["lacking"]
    assert "AS24940 holds" in words["systems"]
    assert "checked against our own chain" in words["synced"]
    assert "(95 %)" in words["reachable"]


def test_an_earlier_round_can_be_chosen(census: Path) -> None:
    first = ask(census, "SELECT count(*) FROM visits WHERE round = 1 AND outcome = 'reachable'")
    words = outline(census, 1).words
    assert f"{first} of 1,200" in words["reachable"]
    assert "first round from here" in words["changes"]


def test_what_listening_heard_is_told(tmp_path: Path) -> None:
    path = tmp_path / "main.sqlite"
    write_census(path, addresses=50, rounds=1)
    with Archive(path) as archive:
        started = archive.round().started
    store = Store(path, "main", ManualClock(started + 3600))
    store.begin_round({"listened_at": 4, "announced": 900, "announced_unreachable": 777}, status=REVISIT)
    store.finish_round(REVISIT)
    store.close()
    found = outline(path)
    assert "777 addresses more were announced" in found.words["reachable"]
    assert "first round from here" in found.words["changes"]


def test_what_peers_say_is_only_text(census: Path) -> None:
    found = outline(census)
    assert "<script src=x> 1" in found.words["versions"]
    assert not found.tags & {"script", "link", "img", "iframe", "object"}
    assert all(link.startswith("#") for link in found.links)


def test_who_was_counted_last_time_has_a_reason(census: Path) -> None:
    lost = sqlite3.connect(census).execute(
        "SELECT n.address, a.outcome FROM addresses old JOIN addresses a ON a.node = old.node AND a.round = 3 "
        "JOIN nodes n ON n.id = a.node WHERE old.round = 2 AND old.outcome = 'reachable' AND a.outcome != 'reachable'"
    )
    words = outline(census).words["not-counted"]
    found = lost.fetchall()
    assert found
    for address, outcome in found:
        assert re.search(re.escape(address) + r"\]?:\d+" + re.escape(outcome), words)


def test_no_round_yet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = Store(tmp_path / "main.sqlite", "main", ManualClock())
    store.begin_round({})
    store.close()
    report(["--out", str(tmp_path)])
    target = tmp_path / "main.html"
    assert capsys.readouterr().out.strip() == str(target)
    assert "No round has ended yet" in target.read_text()


def test_a_round_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = tmp_path / "main.sqlite"
    write_census(path, addresses=50, rounds=1)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE rounds SET ended = NULL, status = 'running'")
    with Archive(path) as archive:
        assert "it was cut off" in page(read_findings(archive, 1))


def test_a_round_is_not_compared_with_one_that_was_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "main.sqlite"
    write_census(path, addresses=100, rounds=3)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE rounds SET status = 'stopped' WHERE id = 2")
        (first,) = db.execute("SELECT strftime('%H:%M', started, 'unixepoch') FROM rounds WHERE id = 1").fetchone()
    with Archive(path) as archive:
        findings = read_findings(archive)
    assert findings.previous is not None
    assert findings.previous.number == 1
    assert first in outline(path).words["changes"]


def test_the_command_wants_to_know_which_chain(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="no census in"):
        report(["--out", str(tmp_path)])
    for chain in ("main", "signet"):
        Store(tmp_path / f"{chain}.sqlite", chain, ManualClock()).close()
    with pytest.raises(StartupError, match="choose one by --chain"):
        report(["--out", str(tmp_path)])
    with pytest.raises(StartupError, match="no round 7"):
        report(["--out", str(tmp_path), "--chain", "signet", "--round", "7"])
    assert report(["--out", str(tmp_path), "--chain", "signet"]) == 0


@pytest.mark.parametrize(
    ("user_agent", "name"),
    [
        ("/Satoshi:27.1.0/", "Bitcoin Core 27"),
        ("/Satoshi:0.21.1/", "Bitcoin Core 0.21"),
        ("/Satoshi:27.1.0(my node)/", "Bitcoin Core 27"),
        ("/Satoshi:27.1.0/Knots:20240801/", "Bitcoin Knots 20240801"),
        ("/btcwire:0.5.0/btcd:0.24.2/", "btcd 0.24"),
        ("x" * 100, "x" * 24),
    ],
)
def test_programs(user_agent: str, name: str) -> None:
    assert program(user_agent) == name


@pytest.mark.parametrize(("label", "written"), [("22 Nov", 4), ("22 Nov 13:49", 2)])
def test_labels_leave_room_for_each_other(label: str, written: int) -> None:
    chart = columns(Figure("name", "", ""), [label] * 4, {"a": [1] * 4})
    assert len(re.findall(f"<text[^>]*>{label}</text>", chart)) == written


def test_charts_have_words_and_numbers() -> None:
    figure = Figure("name", "A <title>", "It says & shows")
    for chart in (
        bars(figure, [("one", 1), ("two & more", 2000)], 2001),
        columns(figure, ["one", "two & more"], {"a": [1, 2000], "b": [0, 0]}),
        lines(figure, ["one", "two & more"], {"a": [1, 2000]}),
    ):
        assert "A &lt;title&gt;" in chart
        assert "It says &amp; shows" in chart
        assert "<td>2,000</td>" in chart
        assert "two &amp; more" in chart


def test_small_shares_are_not_nothing() -> None:
    shares = [
        share(part, whole).replace("\N{NO-BREAK SPACE}", " ")
        for part, whole in ((1, 300), (0, 300), (299, 300), (5, 0))
    ]
    assert shares == ["0.3 %", "0 %", "100 %", "0 %"]


def test_a_browser_shows_every_question(census: Path, tmp_path: Path) -> None:
    """Laid out by Chromium: each answer takes up room, and nothing is wider than the window."""
    chromium = shutil.which("chromium") or shutil.which("chromium-headless-shell")
    if chromium is None:
        pytest.skip("no Chromium (Debian: apt install chromium)")
    target = tmp_path / "page.html"
    report(["--out", str(census.parent), "--page", str(target)])
    # The page itself allows no script, so the measuring one goes into a copy without the policy.
    script = (
        "<script>addEventListener('load',()=>{const wide=document.documentElement.scrollWidth>innerWidth;"
        "const n=[...document.querySelectorAll('[data-question]')].filter(e=>e.offsetHeight>80&&e.offsetWidth>200);"
        "document.title=`${n.length} ${wide}`})</script>"
    )
    copy = tmp_path / "copy.html"
    copy.write_text(re.sub(r"<meta http-equiv[^>]*>", script, target.read_text()))
    for width in (1280, 480):
        command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
        command += [f"--window-size={width},900", "--virtual-time-budget=2000", "--dump-dom", copy.as_uri()]
        dom = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert "<title>10 false</title>" in dom, width

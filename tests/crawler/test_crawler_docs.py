"""What docs/crawler.md says is true of the code."""

import re
import shlex
import sqlite3
from pathlib import Path

import pytest

from ccnode.crawler.archive import Archive
from ccnode.crawler.export import export_round
from ccnode.crawler.formats import FORMATS
from ccnode.crawler.main import COMMANDS
from ccnode.crawler.outcome import Outcome
from ccnode.crawler.store import Store
from tests.support.census import write_census
from tests.support.clock import ManualClock
from tests.support.data import ROOT

PAGE = (ROOT / "docs/crawler.md").read_text()
QUERIES = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def census(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("census") / "main.sqlite"
    write_census(path, addresses=1500, rounds=2)
    return path


@pytest.mark.parametrize("query", QUERIES, ids=[query.split("\n")[0] for query in QUERIES])
def test_queries_of_the_page_find_something(census: Path, query: str) -> None:
    with sqlite3.connect(f"{census.as_uri()}?mode=ro", uri=True) as connection:
        rows = connection.execute(query).fetchall()
    connection.close()
    assert rows or "advertisers" in query  # nobody invents addresses there


@pytest.mark.parametrize("query", re.findall(r"```duckdb\n(.*?)```", PAGE, re.DOTALL))
def test_duckdb_reads_an_export(census: Path, monkeypatch: pytest.MonkeyPatch, query: str) -> None:
    duckdb = pytest.importorskip("duckdb", reason="duckdb is not installed: pip install duckdb")
    folder = census.parent / "census"
    folder.mkdir()
    with Archive(census) as archive:
        export_round(archive, folder / "mainnet-export", ["ndjson"])
    monkeypatch.chdir(census.parent)
    rows = duckdb.sql(query).fetchall()
    assert 1 < len(rows) <= 10
    assert all(isinstance(agent, str) and nodes >= 1 for agent, nodes, _ in rows)
    assert any(ping is not None and 0 < ping < 10 for _, _, ping in rows)


def test_every_outcome_is_explained_in_its_own_words() -> None:
    explained = dict(re.findall(r"^\| `([\w-]+)` \| (.*) \|$", PAGE, re.MULTILINE))
    assert {outcome.value: outcome.sentence for outcome in Outcome}.items() <= explained.items()


def test_every_table_and_format_is_on_the_page(tmp_path: Path) -> None:
    Store(tmp_path / "x.sqlite", "main", ManualClock()).close()
    with sqlite3.connect(tmp_path / "x.sqlite") as connection:
        found = connection.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')").fetchall()
    connection.close()
    for (name,) in found:
        assert name.startswith(("sqlite_", "_sqlite")) or f"`{name}`" in PAGE, name
    for name, form in FORMATS.items():
        assert f"`{name}`" in PAGE
        assert f"`{form.file}`" in PAGE


def test_commands_of_the_page_exist() -> None:
    calls = [shlex.split(line, comments=True) for line in re.findall(r"^tools/crawl.py .*$", PAGE, re.MULTILINE)]
    assert len(calls) >= 8
    assert {words[1] for words in calls} <= set(COMMANDS)

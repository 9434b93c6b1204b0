"""diff, show and merge on small censuses."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import sqlite_utils

from ccnode.crawler.archive import Archive, Filter
from ccnode.crawler.compare import diff, show
from ccnode.crawler.merge import merge, merge_files
from ccnode.crawler.outcome import SEED_SOURCE, Outcome, Visit
from ccnode.crawler.store import Store
from ccnode.crawler.words import addresses, counted
from ccnode.errors import ConfigError, ExitStatus, StartupError
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import pack_address
from tests.support.clock import ManualClock

NOW = 1_700_000_000.0
A, B, C, D = (NetworkAddress.parse(f"9.0.0.{n}:8333") for n in range(1, 5))
ONION = NetworkAddress(Network.ONION, bytes(range(32)), 8333)
NETWORK = "main f9beb4d9"


def up(address: NetworkAddress, started: float, agent: str = "/Satoshi:27.0.0/", services: int = 9) -> Visit:
    claims = {"version": 70016, "services": services, "user_agent": agent, "start_height": 100}
    return Visit(
        address=address,
        outcome=Outcome.REACHABLE,
        started=started,
        attempts=1,
        ping_times=(0.012, 0.02),
        **claims,  # type: ignore[arg-type]
    )


def gone(address: NetworkAddress, outcome: Outcome, started: float, detail: str = "") -> Visit:
    return Visit(address=address, outcome=outcome, started=started, attempts=1, detail=detail)


def write(path: Path, rounds: Sequence[Sequence[Visit]], vantage: str = "", start: float = NOW) -> None:
    """A file with these rounds, a day apart, in each of which the seed ``A`` names everybody else."""
    clock = ManualClock(start)
    store = Store(path, NETWORK, clock)
    for visits in rounds:
        store.begin_round({}, vantage)
        store.learned(SEED_SOURCE, [(0, 0, pack_address(A))], "seed")
        entries = [(int(start), 9, pack_address(visit.address)) for visit in visits if visit.address != A]
        store.learned(pack_address(A), entries)
        store.named(pack_address(A), entries)
        source = pack_address(A)
        store.record([replace(v, source=source) if v.address != A else replace(v, via="seed") for v in visits])
        clock.advance(60)
        store.finish_round()
        clock.advance(86_340)
    store.close()


ROUNDS = (
    [up(A, NOW), up(B, NOW), up(C, NOW), gone(D, Outcome.TIMEOUT, NOW)],
    [
        up(A, NOW + 86_400, "/Satoshi:28.0.0/", 9 + 64),
        gone(B, Outcome.SLOTS_FULL, NOW + 86_400),
        up(ONION, NOW + 86_400),
        gone(D, Outcome.WRONG_MAGIC, NOW + 86_400, "litecoin"),
    ],
)


@pytest.fixture
def census(tmp_path: Path) -> Path:
    write(tmp_path / "main.sqlite", ROUNDS)
    return tmp_path


def test_diff_tells_who_joined_left_and_changed(census: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(["--out", str(census)]) == ExitStatus.OK
    out = capsys.readouterr().out
    assert "From round 1, 2023-11-14 22:13:20, to round 2, 2023-11-15 22:13:20" in out
    assert "reachable  3 -> 2   stayed 1" in out
    for line in ("1  onion", "1  slots-full", "1  not heard of", "1  Satoshi:27.0.0 -> Satoshi:28.0.0"):
        assert f"       {line}\n" in out
    assert "+COMPACT_FILTERS" in out
    assert f"  {B}  /Satoshi:27.0.0/  slots-full" in out
    assert f"  {ONION}  /Satoshi:27.0.0/\n" in out


def test_diff_as_json(census: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert diff(["--json", "--file", str(census / "main.sqlite"), "1", "2"]) == ExitStatus.OK
    found = json.loads(capsys.readouterr().out)
    assert found["stayed"] == 1
    assert found["joined"] == [{"node": str(ONION), "user_agent": "/Satoshi:27.0.0/"}]
    assert [(one["node"], one["outcome"]) for one in found["left"]] == [
        (str(B), "slots-full"),
        (str(C), "not heard of"),
    ]
    assert found["upgraded"] == [{"node": str(A), "from": "/Satoshi:27.0.0/", "to": "/Satoshi:28.0.0/"}]
    assert found["services"] == [{"node": str(A), "from": 9, "to": 73}]


def test_diff_of_two_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, visits in zip("ab", ROUNDS, strict=True):
        write(tmp_path / f"{name}.sqlite", [visits], name)
    assert diff([str(tmp_path / "a.sqlite"), str(tmp_path / "b.sqlite")]) == ExitStatus.OK
    assert "reachable  3 -> 2   stayed 1" in capsys.readouterr().out


def test_diff_needs_two_rounds(tmp_path: Path) -> None:
    write(tmp_path / "main.sqlite", ROUNDS[:1])
    with pytest.raises(StartupError, match="fewer than two finished rounds"):
        diff(["--out", str(tmp_path)])
    with pytest.raises(ConfigError, match="name both, or none"):
        diff(["1", "--out", str(tmp_path)])
    with pytest.raises(StartupError, match="no round 7"):
        diff(["1", "7", "--out", str(tmp_path)])
    write(tmp_path / "signet.sqlite", ROUNDS[:1])
    with pytest.raises(ConfigError, match="choose one by --chain: main, signet"):
        diff(["--out", str(tmp_path)])
    with pytest.raises(ConfigError, match="there is no census in"):
        diff(["--out", str(tmp_path / "none")])


def test_show_explains_reliability(census: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show([str(A), "--file", str(census / "main.sqlite")])
    lines = capsys.readouterr().out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("reliability"))
    assert "2 h 100% of 100%, 8 h 95% of 95%, 1 d 64% of 64%, 7 d 13% of 13%, 30 d 3% of 3%" in lines[at]
    assert "share of that time for which visits got a handshake" in lines[at + 1]


def test_numbers_have_the_right_noun() -> None:
    assert [addresses(n) for n in (0, 1, 2)] == ["0 addresses", "1 address", "2 addresses"]
    assert counted(1, "node") == "1 node"


@pytest.mark.parametrize(
    ("node", "expected"),
    [
        (A, "counted: both sides completed the handshake"),
        (B, "not counted: the connection was taken and closed before one byte: no slot was free"),
        (C, "not counted: nobody named it"),
        (D, "not counted: a node of another network (litecoin)"),
    ],
)
def test_show_tells_why_a_node_was_not_counted(
    census: Path, capsys: pytest.CaptureFixture[str], node: NetworkAddress, expected: str
) -> None:
    assert show([str(node), "--out", str(census)]) == ExitStatus.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split("  ", 1) == ["in the latest round", expected]


def test_show_tells_the_whole_story(census: Path, capsys: pytest.CaptureFixture[str]) -> None:
    show([str(A), "--out", str(census)])
    out = capsys.readouterr().out
    for text in (
        "/Satoshi:28.0.0/",
        "NETWORK WITNESS COMPACT_FILTERS",
        "first 2023-11-14 22:13:20, last 2023-11-15 22:13:20",
        "12 ms",
        "100 claimed",
        "up from 2023-11-14 22:13:20 to 2023-11-15 22:13:20, 1 d, so far",
        "user_agent: /Satoshi:27.0.0/ -> /Satoshi:28.0.0/",
    ):
        assert text in out


def test_show_without_a_port_finds_all_nodes_of_the_address(census: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(["9.0.0.2", "--out", str(census)]) == ExitStatus.OK
    assert f"node                 {B}\n" in capsys.readouterr().out
    (census / "main-monitor.sqlite").touch()  # is no census
    assert show([ONION.host, "--out", str(census)]) == ExitStatus.OK
    assert str(ONION) in capsys.readouterr().out


def test_show_of_a_stranger(census: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert show(["8.8.8.8:8333", "--out", str(census)]) == ExitStatus.FAULT
    assert "no round in" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="is no IPv4"):
        show(["nonsense", "--out", str(census)])


def content(path: Path) -> list[object]:
    """Everything, without the numbers of nodes and rounds."""
    db = sqlite_utils.Database(path)
    names = {row["id"]: bytes(row["key"]) for row in db["nodes"].rows}
    starts = {row["id"]: (row["vantage"], row["started"]) for row in db["rounds"].rows}
    found: list[object] = []
    for table in ("rounds", "nodes", "addresses", "visits", "adverts", "sessions", "reliability", "changes"):
        for row in db[table].rows:
            row.pop("id", None)
            row["node"] = names.get(row.get("node"))
            row["source"] = names.get(row.get("source"))
            row["round"] = starts.get(row.get("round"))
            found.append((table, *sorted(row.items(), key=lambda item: item[0])))
    return sorted(found, key=repr)


def test_merged_parts_are_what_one_crawler_would_have_written(tmp_path: Path) -> None:
    write(tmp_path / "both.sqlite", ROUNDS)
    write(tmp_path / "first.sqlite", ROUNDS[:1])
    write(tmp_path / "second.sqlite", ROUNDS[1:], start=NOW + 86_400)
    parts = [tmp_path / "second.sqlite", tmp_path / "first.sqlite"]
    assert merge_files(tmp_path / "merged.sqlite", parts) == 2
    fix = "UPDATE addresses SET claimed_time = 0"  # the invented claims differ
    for name in ("both", "merged"):
        db = sqlite_utils.Database(tmp_path / f"{name}.sqlite")
        db.execute(fix)
        db.execute("UPDATE adverts SET claimed_time = 0")
        db.conn.commit()
        db.close()
    assert content(tmp_path / "merged.sqlite") == content(tmp_path / "both.sqlite")
    assert merge_files(tmp_path / "merged.sqlite", parts) == 0
    assert content(tmp_path / "merged.sqlite") == content(tmp_path / "both.sqlite")


def test_vantage_points_are_kept_apart(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "a.sqlite", ROUNDS[:1], "berlin")
    write(tmp_path / "b.sqlite", ROUNDS[:1], "tokyo")
    target = tmp_path / "all" / "main.sqlite"
    target.parent.mkdir()
    files = [str(tmp_path / "a.sqlite"), str(tmp_path / "b.sqlite")]
    assert merge([*files, "--into", str(target)]) == ExitStatus.OK
    assert capsys.readouterr().out == f"2 rounds added to {target}\n"
    with Archive(target) as archive:
        assert [one.vantage for one in archive.rounds()] == ["berlin", "tokyo"]
        for one in archive.rounds():
            assert len(list(archive.visits(one.number, Filter(outcome=None)))) == 4
            assert len(archive.reached(one.number)) == 3


def test_files_of_different_chains_are_not_merged(tmp_path: Path) -> None:
    write(tmp_path / "a.sqlite", ROUNDS[:1])
    Store(tmp_path / "b.sqlite", "signet 0a03cf40", ManualClock()).close()
    with pytest.raises(ConfigError, match="of different chains: main f9beb4d9, signet 0a03cf40"):
        merge_files(tmp_path / "c.sqlite", [tmp_path / "a.sqlite", tmp_path / "b.sqlite"])
    with pytest.raises(ConfigError, match="into itself"):
        merge([str(tmp_path / "a.sqlite"), "--into", str(tmp_path / "a.sqlite")])
    with pytest.raises(StartupError, match="belongs to network signet"):
        merge_files(tmp_path / "b.sqlite", [tmp_path / "a.sqlite"])

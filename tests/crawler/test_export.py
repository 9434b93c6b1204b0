"""Exports: that other programs can read them, that they are whole, and that they say what the file says."""

import csv
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from xml.etree import ElementTree

import dns.rdatatype
import dns.zone
import pytest
from prometheus_client.parser import text_string_to_metric_families

from ccnode.crawler.archive import Archive, Filter
from ccnode.crawler.export import MANIFEST, export, export_round
from ccnode.crawler.files import published
from ccnode.crawler.formats import FORMATS, record
from ccnode.crawler.outcome import SEED_SOURCE, Outcome, Visit
from ccnode.crawler.store import Store
from ccnode.errors import ConfigError, ExitStatus, StartupError
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import pack_address
from tests.support.census import write_census
from tests.support.clock import ManualClock

NOW = 1_700_000_000.0
A, B = NetworkAddress.parse("9.0.0.1:8333"), NetworkAddress.parse("[2a00::1]:8334")
AGENT = '/<b>"x" & y, z\'s:1.0/'
UP = Visit(
    address=A,
    outcome=Outcome.REACHABLE,
    started=NOW,
    attempts=1,
    version=70016,
    services=9,
    user_agent=AGENT,
    start_height=800_000,
    ping_times=(0.25, 0.125),
    features=frozenset({"wtxidrelay", "feefilter"}),
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "main.sqlite"
    store = Store(path, "main f9beb4d9", ManualClock(NOW), autonomous_system=lambda key: 24940)
    store.begin_round({"rate": 1})
    store.learned(SEED_SOURCE, [(0, 0, pack_address(A))], "seed")
    store.learned(pack_address(A), [(int(NOW), 9, pack_address(B))])
    store.named(pack_address(A), [(int(NOW), 9, pack_address(B))])
    store.record([replace(UP, via="seed")])
    store.record([Visit(address=B, outcome=Outcome.TIMEOUT, started=NOW, attempts=1, source=pack_address(A))])
    store.finish_round()
    store.close()
    return path


def exported(path: Path, *formats: str, wanted: Filter | None = None) -> Path:
    with Archive(path) as archive:
        export_round(archive, path.parent / "out", formats, wanted=wanted)
    return path.parent / "out"


def test_manifest_tells_what_the_files_are(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export(["--file", str(path)]) == ExitStatus.OK
    target = path.parent / "main-export"
    assert capsys.readouterr().out.splitlines()[-1] == str(target / MANIFEST)
    manifest = json.loads((target / MANIFEST).read_text())
    assert manifest["outcomes"] == {"reachable": 1, "timeout": 1}
    assert (manifest["chain"], manifest["round"], manifest["status"]) == ("main", 1, "complete")
    assert manifest["schema_version"] == 1
    assert {file["format"] for file in manifest["files"]} == set(FORMATS)
    for file in manifest["files"]:
        content = (target / file["file"]).read_bytes()
        assert (file["bytes"], file["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert {one.name for one in target.iterdir()} == {MANIFEST, *(file["file"] for file in manifest["files"])}


def test_every_field_of_a_visit_is_exported(path: Path) -> None:
    with Archive(path) as archive:
        (one,) = archive.visits(1)
    assert {field.name for field in fields(Visit)} <= set(record(one))


def test_ndjson_and_csv_say_the_same(path: Path) -> None:
    target = exported(path, "ndjson", "csv", wanted=Filter(outcome=None))
    rows = [json.loads(line) for line in (target / "nodes.ndjson").read_text().splitlines()]
    assert [(row["node"], row["outcome"], row["source"]) for row in rows] == [
        (str(A), "reachable", None),
        (str(B), "timeout", str(A)),
    ]
    assert rows[0]["ping_times"] == [0.25, 0.125]
    assert rows[0]["asn"] == 24940
    assert rows[0]["service_names"] == ["NETWORK", "WITNESS"]
    with (target / "nodes.csv").open(newline="") as file:
        columns = list(csv.DictReader(file))
    for row, cells in zip(rows, columns, strict=True):
        assert list(row) == list(cells)
        for name, value in row.items():
            expected = " ".join(map(str, value)) if isinstance(value, list) else "" if value is None else str(value)
            assert cells[name] == expected


@pytest.mark.parametrize("start", "=+-@\t\r")
def test_a_user_agent_is_no_formula(tmp_path: Path, start: str) -> None:
    path, agent = tmp_path / "main.sqlite", f"{start}cmd|' /C calc'!A0"
    store = Store(path, "main", ManualClock(NOW))
    store.begin_round({})
    store.record([replace(UP, user_agent=agent, time_offset=-3)])
    store.finish_round()
    store.close()
    target = exported(path, "csv", "ndjson")
    with (target / "nodes.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["user_agent"], row["time_offset"]) == ("'" + agent, "-3")
    assert json.loads((target / "nodes.ndjson").read_text())["user_agent"] == agent


def test_a_zone_has_good_nodes_that_dns_can_name(tmp_path: Path) -> None:
    path, port = tmp_path / "main.sqlite", 18444
    texts = {
        f"9.0.0.1:{port}": {},
        f"9.0.0.2:{port}": {},  # of the same /16
        f"9.1.0.1:{port}": {"services": 1},
        f"9.2.0.1:{port}": {"services": 8},
        "9.3.0.1:8333": {},
        f"9.4.0.1:{port}": {"chain_ok": False},
        f"9.5.0.1:{port}": {"headers_behind": 145},
        f"[2a00::1]:{port}": {},
    }
    visits = [
        replace(UP, address=NetworkAddress.parse(text), **{"services": 9, **facts}) for text, facts in texts.items()
    ]
    onion = replace(UP, address=NetworkAddress(Network.ONION, bytes(range(32)), port))
    store = Store(path, "main", ManualClock(NOW))
    store.begin_round({"default_port": port})
    store.record([*visits, onion, Visit(address=B, outcome=Outcome.TIMEOUT, started=NOW, attempts=1)])
    store.finish_round()
    store.close()
    text = (exported(path, "zone") / "seeds.zone").read_text()
    zone = dns.zone.from_text(text, "seed.example.org", check_origin=False)
    found = {
        (str(name), dns.rdatatype.to_text(rdata.rdtype)): {str(one) for one in rdata}
        for name, node in zone.nodes.items()
        for rdata in node.rdatasets
    }
    assert found == {
        ("@", "A"): {"9.0.0.1", "9.1.0.1"},
        ("@", "AAAA"): {"2a00::1"},
        ("x9", "A"): {"9.0.0.1"},
        ("x9", "AAAA"): {"2a00::1"},
    }
    assert {rdata.ttl for node in zone.nodes.values() for rdata in node.rdatasets} == {3600}


def test_a_zone_is_short_and_the_reliable_come_first(tmp_path: Path) -> None:
    path, clock = tmp_path / "main.sqlite", ManualClock(NOW)
    store = Store(path, "main", clock)
    hosts = [NetworkAddress(Network.IPV4, bytes((11 + n, 1, 1, 1)), 8333) for n in range(60)]
    for first in (0, 40):
        store.begin_round({"default_port": 8333})
        store.record([replace(UP, address=host, started=clock.now()) for host in hosts[: 60 - first]])
        clock.advance(86_400)
        store.finish_round()
    store.begin_round({"default_port": 8333})
    store.record([replace(UP, address=host, started=clock.now()) for host in hosts])
    store.finish_round()
    store.close()
    lines = (exported(path, "zone") / "seeds.zone").read_text().splitlines()
    listed = [line.split()[-1] for line in lines if line.startswith("@")]
    assert len(listed) == 25
    assert {host.host for host in hosts[:20]} <= set(listed)


def test_bitnodes_rows_have_their_fifteen_fields(path: Path) -> None:
    (row,) = json.loads((exported(path, "bitnodes") / "bitnodes.json").read_text())
    place = [None, None, None, None, None, None, "AS24940", None]
    assert row == ["9.0.0.1", 8333, 70016, AGENT, int(NOW), 9, 800_000, *place]


def parse_seeder_line(line: str) -> tuple[str, int, int, float, int, int, int, str]:
    """As ``makeseeds.py`` takes a line apart."""
    words = line.split()
    agent = re.sub(r'^"|"$', "", " ".join(words[11:]))
    return (
        words[0],
        int(words[1]),
        int(words[2]),
        float(words[7].removesuffix("%")),
        int(words[8]),
        int(words[9], 16),
        int(words[10]),
        agent,
    )


def test_seeder_text_is_what_makeseeds_reads(path: Path) -> None:
    header, line = (exported(path, "seeder") / "seeder.txt").read_text().splitlines()
    assert header.startswith("# address ")
    address, good, last, percent, blocks, services, version, agent = parse_seeder_line(line)
    assert (address, good, last, blocks, services, version) == (str(A), 1, int(NOW), 800_000, 9, 70016)
    assert agent == AGENT.replace('"', "")
    assert 0 < percent < 1


def test_graphml_has_every_advert(path: Path) -> None:
    root = ElementTree.parse(exported(path, "graphml") / "advertised.graphml").getroot()
    name = "{http://graphml.graphdrawing.org/xmlns}"
    nodes = {node.get("id"): node for node in root.iter(f"{name}node")}
    described = {key: (node.findtext(f"{name}desc"), node[1].text) for key, node in nodes.items()}
    (edge,) = root.iter(f"{name}edge")
    assert described[edge.get("source")] == (str(A), "ipv4")
    assert described[edge.get("target")] == (str(B), "ipv6")
    assert edge[0].text == str(int(NOW))
    assert AGENT in [data.text for data in root.iter(f"{name}data")]


def test_metrics_are_prometheus_text(path: Path) -> None:
    text = (exported(path, "prometheus") / "metrics.prom").read_text()
    samples = {
        (sample.name.removeprefix("ccnode_census_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["addresses", "ipv4", "reachable"] == 1
    assert samples["addresses", "ipv6", "timeout"] == 1
    assert samples["services", "WITNESS"] == 1
    assert samples["latency_seconds", "ipv4", "0.5"] == 0.125
    assert samples["systems_holding_half",] == 1
    assert samples["complete",] == 1
    assert any(key[0] == "clients" and value == 1 for key, value in samples.items())


def test_statistics_of_several_rounds(tmp_path: Path) -> None:
    path = tmp_path / "main.sqlite"
    write_census(path, addresses=1500, rounds=3)
    figures = json.loads((exported(path, "statistics") / "statistics.json").read_text())
    with Archive(path) as archive:
        sets = [archive.reached(one.number) for one in archive.rounds()]
        visits = [one.visit for one in archive.visits(archive.round().number)]
    assert figures["reachable"] == figures["clients"]["total"] == len(visits) == len(sets[-1])
    assert sum(counts.get("reachable", 0) for counts in figures["outcomes"].values()) == len(visits)
    assert figures["estimate"]["low"] >= len(sets[-1] | sets[-2])
    assert [step["reached"] for step in figures["growth"]] == [len(nodes) for nodes in sets]
    assert figures["growth"][-1]["union"] == len(sets[0] | sets[1] | sets[2])
    assert figures["services"]["WITNESS"] == len(visits)
    assert figures["heights"]["verified"] + figures["heights"]["other_chain"] == len(visits)
    assert figures["nodes"] is None
    assert list(figures["latency_seconds"]["ipv4"].values()) == sorted(figures["latency_seconds"]["ipv4"].values())
    assert figures["netgroups"]["total"] == sum(visit.address.network.value in ("ipv4", "ipv6") for visit in visits)
    assert list(figures["survival"].values()) == sorted(figures["survival"].values(), reverse=True)


def test_who_invents_addresses(tmp_path: Path) -> None:
    path = tmp_path / "main.sqlite"
    store = Store(path, "main", ManualClock(NOW))
    store.begin_round({})
    hosts = [NetworkAddress(A.network, bytes((11, 0, n >> 8, n & 255)), 8333) for n in range(400)]
    for source, named, there in ((A, hosts[:200], 3), (B, hosts[200:], 100)):
        key = pack_address(source)
        store.learned(key, [(0, 0, pack_address(host)) for host in named])
        outcomes = [Outcome.REACHABLE if n < there else Outcome.TIMEOUT for n in range(len(named))]
        visits = zip(named, outcomes, strict=True)
        store.record([Visit(address=a, outcome=o, started=NOW, attempts=1, source=key) for a, o in visits])
    store.finish_round()
    store.close()
    figures = json.loads((exported(path, "statistics") / "statistics.json").read_text())
    assert figures["inventors"] == [{"node": str(A), "named": 200, "dialed": 200, "found": 3}]


def test_statistics_of_one_round(path: Path) -> None:
    figures = json.loads((exported(path, "statistics") / "statistics.json").read_text())
    assert figures["estimate"] is None
    assert figures["nodes"] == 1.0
    assert figures["netgroups"]["top"] == [{"name": "9.0.0.0/16", "count": 1, "share": 1.0}]
    assert figures["systems"]["top"][0]["name"] == "AS24940"
    assert figures["advert_age_seconds"]["50"] == 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], 1),
        (["--network", "ipv6"], 0),
        (["--outcome", "any"], 2),
        (["--outcome", "timeout", "--network", "ipv6"], 1),
        (["--services", "network,witness"], 1),
        (["--services", "COMPACT_FILTERS"], 0),
        (["--asn", "1"], 0),
        (["--user-agent", "& Y"], 1),
    ],
)
def test_filters_of_the_command(path: Path, arguments: Sequence[str], expected: int) -> None:
    assert export(["ndjson", "csv", "bitnodes", "--file", str(path), *arguments]) == ExitStatus.OK
    manifest = json.loads((path.parent / "main-export" / MANIFEST).read_text())
    assert [file["rows"] for file in manifest["files"]] == [expected] * 3


def test_names_that_there_are_not(path: Path) -> None:
    for arguments, message in (
        (["excel"], "there is no format excel; there are ndjson"),
        (["--outcome", "bad"], "there is no outcome bad"),
        (["--services", "BEER"], "there is no service BEER"),
    ):
        with pytest.raises(ConfigError, match=message):
            export([*arguments, "--file", str(path)])
    with pytest.raises(StartupError, match="no round 9"):
        export(["--round", "9", "--file", str(path)])
    with pytest.raises(StartupError, match="cannot write to"):
        export(["--to", str(path / "below-a-file"), "--file", str(path)])


def test_what_failed_half_way_is_not_published(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with published(path) as out:
            out.write("half")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert path.read_text() == "old"
    assert [one.name for one in tmp_path.iterdir()] == ["file"]
    with published(path) as out:
        out.write("new")
    assert path.read_text() == "new"


def test_a_larger_census_in_all_formats(tmp_path: Path) -> None:
    path = tmp_path / "main.sqlite"
    write_census(path, addresses=800, rounds=2)
    with Archive(path) as archive:
        manifest = export_round(archive, tmp_path / "out", tuple(FORMATS))
        reached = len(archive.reached(archive.round().number))
    rows = {file["format"]: file["rows"] for file in manifest["files"]}
    assert rows["ndjson"] == rows["csv"] == rows["bitnodes"] == reached > 50
    assert rows["seeder"] >= reached
    lines = (tmp_path / "out" / "seeder.txt").read_text().splitlines()[1:]
    assert sum(parse_seeder_line(line)[1] for line in lines) == reached

"""The forms in which a round leaves the house: each a function that writes one file and counts its rows.

``nodes.ndjson`` and ``nodes.csv`` hold the visits with all their fields (`record`). The others are for programs that
exist: ``bitnodes.json`` are the rows of bitnodes' exports, with null for what only a geographic database knows;
``seeder.txt`` is the dump of the DNS seeders, which Bitcoin Core's ``makeseeds.py`` reads; ``advertised.graphml`` says
who named whom, which is not who is connected to whom; ``metrics.prom`` is for the text file collector of Prometheus;
``seeds.zone`` are records for a name server; ``statistics.json`` has the figures that the report draws.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, TextIO
from xml.sax.saxutils import escape

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ccnode.chain.networks import get_params
from ccnode.crawler.archive import REACHED, Archive, Filter, NodeVisit, Round
from ccnode.crawler.history import DAY, Standing
from ccnode.crawler.rows import hash_text
from ccnode.crawler.statistics import breakdown, client_of, percentiles
from ccnode.crawler.summary import summarize
from ccnode.crawler.zone import TTL, records
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.addresses import unpack_address
from ccnode.wire.protocol import service_names

DEFAULT_PORT: Final = get_params("mainnet").default_port
"""Where a round of an early file does not say which one it is."""

TOP_CLIENTS: Final = 20
"""Programs that have a metric of their own: peers choose the names."""

LATENCY_PERCENTS: Final = (50, 90, 99)

FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r")
"""What makes spreadsheets compute a cell instead of showing it."""


@dataclass(frozen=True, slots=True)
class Source:
    """What is exported."""

    archive: Archive
    round: Round
    wanted: Filter
    """Which visits; the forms that are about the whole network heed it not."""

    def visits(self) -> Iterator[NodeVisit]:
        return self.archive.visits(self.round.number, self.wanted)


Writer = Callable[[Source, TextIO], int]
"""Returns how many rows it wrote."""

Values = Mapping[tuple[str, ...], float]
"""Values of labels, and the figure."""


def record(one: NodeVisit) -> dict[str, Any]:
    """A visit as plain values. Names are never taken back; new ones may come."""
    visit = one.visit
    source = visit.source
    return {
        "round": one.round,
        "node": str(visit.address),
        "network": visit.address.network.value,
        "address": visit.address.host,
        "port": visit.address.port,
        "asn": one.asn,
        "first_reached": one.first_reached,
        "outcome": visit.outcome.value,
        "detail": visit.detail,
        "via": visit.via,
        "source": None if isinstance(source, str) else str(unpack_address(source)),
        "started": visit.started,
        "attempts": visit.attempts,
        "lag": visit.lag,
        "connect_time": visit.connect_time,
        "handshake_time": visit.handshake_time,
        "ping_times": list(visit.ping_times),
        "tcp_rtt": visit.tcp_rtt,
        "transport": visit.transport,
        "version": visit.version,
        "services": visit.services,
        "service_names": service_names(visit.services or 0),
        "user_agent": visit.user_agent,
        "start_height": visit.start_height,
        "relay": visit.relay,
        "time_offset": visit.time_offset,
        "address_local": None if visit.address_local is None else str(visit.address_local),
        "features": sorted(visit.features),
        "tip_height": visit.tip_height,
        "tip_hash": hash_text(visit.tip_hash),
        "chain_ok": visit.chain_ok,
        "headers_behind": visit.headers_behind,
        "collected": visit.collected.value,
        "adverts_count": visit.adverts_count,
        "addr_messages": visit.addr_messages,
        "bytes_received": visit.bytes_received,
        "bytes_sent": visit.bytes_sent,
    }


def _write(out: TextIO, rows: Iterable[str]) -> int:
    count = 0
    for row in rows:
        out.write(row)
        count += 1
    return count


def write_ndjson(source: Source, out: TextIO) -> int:
    """A JSON object in a line for each visit."""
    return _write(out, (json.dumps(record(one)) + "\n" for one in source.visits()))


def write_csv(source: Source, out: TextIO) -> int:
    """The same in columns; lists are joined by blanks, and what is not known is empty.

    A text that a spreadsheet would take for a formula gets an apostrophe in front: peers choose their user agents.
    """
    rows = map(record, source.visits())
    first = next(rows, None)
    if first is None:
        return 0
    writer = csv.DictWriter(out, first)
    writer.writeheader()
    count = 0
    for row in chain((first,), rows):
        writer.writerow({name: _cell(value) for name, value in row.items()})
        count += 1
    return count


def _cell(value: Any) -> Any:
    text = " ".join(map(str, value)) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text.startswith(FORMULA_STARTS) else text


def write_bitnodes(source: Source, out: TextIO) -> int:
    """A list of rows: address, port, version, user agent, connected since, services, height, and where it is."""
    up_since = source.archive.up_since()
    count = 0
    out.write("[")
    for count, one in enumerate(source.visits(), 1):
        visit = one.visit
        place = (None, None, None, None, None, None, None if one.asn is None else f"AS{one.asn}", None)
        since = int(up_since.get(one.node, visit.started))
        claims = (visit.version, visit.user_agent, since, visit.services, visit.start_height)
        row = (visit.address.host, visit.address.port, *claims, *place)
        out.write(("\n" if count == 1 else ",\n") + json.dumps(row))
    out.write("\n]\n")
    return count


_SEEDER_HEADER: Final = (
    "# address                                        good  lastSuccess    %(2h)   %(8h)   %(1d)   %(7d)  %(30d)  "
    "blocks      svcs  version\n"
)


def write_seeder(source: Source, out: TextIO) -> int:
    """A line for each node that was ever reached; it is good if this round reached it."""
    reached = {one.visit.address for one in source.archive.visits(source.round.number, REACHED)}
    out.write(_SEEDER_HEADER)
    return _write(out, (_seeder_line(*one, one[0] in reached) for one in source.archive.standings()))


def _seeder_line(address: NetworkAddress, standing: Standing, good: bool) -> str:
    shares = " ".join(f"{window.reliability * 100:6.2f}%" for window in standing.windows)
    agent = (standing.user_agent or "").replace('"', "")
    times = f"{good:4d}  {int(standing.last_reached or 0):11d}  {shares}"
    claims = f"{standing.height or 0:6d}  {standing.services or 0:08x}  {standing.version or 0:5d}"
    return f'{address!s:<47}  {times}  {claims} "{agent}"\n'


_GRAPH_HEAD: Final = """<?xml version="1.0" encoding="UTF-8"?>
<graphml xmlns="http://graphml.graphdrawing.org/xmlns">
<desc>{}</desc>
<key id="network" for="node" attr.name="network" attr.type="string"/>
<key id="outcome" for="node" attr.name="outcome" attr.type="string"/>
<key id="user_agent" for="node" attr.name="user_agent" attr.type="string"/>
<key id="time" for="edge" attr.name="time" attr.type="long"/>
<graph edgedefault="directed">
"""
_GRAPH_TEXT: Final = "Who named whom: advertised addresses, not connections. Times are the claims of who named."


def write_graphml(source: Source, out: TextIO) -> int:
    """The graph of adverts, if they were kept: those who named somebody, and whom they named. Counts the edges."""
    archive, number = source.archive, source.round.number
    agents = {one.node: one.visit.user_agent for one in archive.visits(number, REACHED)}
    out.write(_GRAPH_HEAD.format(_GRAPH_TEXT))
    for node, address, outcome in archive.advert_nodes(number):
        facts = {
            "network": address.network.value,
            "outcome": "undecided" if outcome is None else outcome.value,
            "user_agent": agents.get(node) or "",
        }
        data = "".join(f'<data key="{key}">{escape(value)}</data>' for key, value in facts.items())
        out.write(f'<node id="n{node}"><desc>{escape(str(address))}</desc>{data}</node>\n')
    edges = (
        f'<edge source="n{who}" target="n{whom}"><data key="time">{time}</data></edge>\n'
        for who, whom, time in archive.adverts(number)
    )
    count = _write(out, edges)
    out.write("</graph>\n</graphml>\n")
    return count


class CensusCollector(Collector):
    """A round as Prometheus's metrics."""

    def __init__(self, source: Source) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        source, this = self._source, self._source.round
        visits = list(source.archive.visits(this.number, REACHED))
        yield _gauge("started_seconds", "when the round began, Unix time", {(): this.started})
        yield _gauge("duration_seconds", "how long it took", {(): (this.ended or this.started) - this.started})
        yield _gauge("complete", "1 if every address was visited", {(): float(this.status == "complete")})
        outcomes: Values = {
            (network.value, outcome.value): float(count)
            for network, counts in source.archive.outcomes(this.number).items()
            for outcome, count in counts.items()
        }
        yield _gauge("addresses", "addresses by what became of them", outcomes, "network", "outcome")
        services = Counter(name for one in visits for name in service_names(one.visit.services or 0))
        yield _gauge("services", "reachable nodes that offer a service", _by_name(services), "service")
        clients = breakdown((client_of(one.visit.user_agent or "") for one in visits), TOP_CLIENTS)
        programs: Values = {(share.name,): float(share.count) for share in clients.top}
        yield _gauge("clients", "reachable nodes of the most frequent programs", programs, "client")
        systems = breakdown(str(one.asn) for one in visits if one.asn is not None)
        yield _gauge("systems_holding_half", "fewest AS with half the nodes", {(): float(systems.holding_half)})
        yield _gauge("latency_seconds", "quickest pong of each node", _latency(visits), "network", "quantile")


def _gauge(name: str, text: str, values: Values, *labels: str) -> Metric:
    family = GaugeMetricFamily(f"ccnode_census_{name}", text, labels=labels)
    for label_values, value in values.items():
        family.add_metric(label_values, value)
    return family


def _by_name(counts: Mapping[str, int]) -> Values:
    return {(name,): float(count) for name, count in counts.items()}


def _latency(visits: list[NodeVisit]) -> Values:
    pings: dict[Network, list[float]] = {}
    for one in visits:
        if one.visit.ping_times:
            pings.setdefault(one.visit.address.network, []).append(min(one.visit.ping_times))
    return {
        (network.value, str(percent / 100)): value
        for network, values in pings.items()
        for percent, value in zip(LATENCY_PERCENTS, percentiles(values, LATENCY_PERCENTS), strict=True)
    }


def write_metrics(source: Source, out: TextIO) -> int:
    """Prometheus's text. Counts the lines with values."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(CensusCollector(source))
    text = generate_latest(registry).decode()
    out.write(text)
    return sum(not line.startswith("#") for line in text.splitlines())


def write_zone(source: Source, out: TextIO) -> int:
    """Records of good nodes for the zone of a DNS seed (``ccnode.crawler.zone``)."""
    archive, this = source.archive, source.round
    out.write(f"; {archive.chain}, round {this.number} of {this.started:.0f}\n$TTL {TTL}\n")
    nodes = ((archive.standing(one.node).share(7 * DAY), one) for one in archive.visits(this.number, REACHED))
    lines = records(nodes, this.config.get("default_port", DEFAULT_PORT))
    return _write(out, (f"{line}\n" for line in lines))


def write_statistics(source: Source, out: TextIO) -> int:
    """All figures as one JSON object (``ccnode.crawler.summary``). Counts those at its top."""
    figures = summarize(source.archive, source.round)
    json.dump(figures, out, indent=1)
    out.write("\n")
    return len(figures)


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file."""

    file: str
    write: Writer


FORMATS: Final[Mapping[str, Format]] = {
    "ndjson": Format("nodes.ndjson", write_ndjson),
    "csv": Format("nodes.csv", write_csv),
    "bitnodes": Format("bitnodes.json", write_bitnodes),
    "seeder": Format("seeder.txt", write_seeder),
    "zone": Format("seeds.zone", write_zone),
    "graphml": Format("advertised.graphml", write_graphml),
    "prometheus": Format("metrics.prom", write_metrics),
    "statistics": Format("statistics.json", write_statistics),
}

"""The node's figures as Prometheus's metrics, read off the node when somebody asks (``metrics.py`` serves them).

All labels come from fixed sets (types, directions, networks, reasons), so that no peer can make the answer grow.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from ccnode import __version__
from ccnode.admin.figures import BlockFigures, NodeFigures, rates
from ccnode.admin.memory import memory_use
from ccnode.network.hub import breathing, count_greenlets
from ccnode.peers.traffic import tally_bytes, tally_messages
from ccnode.wire.address import ADDRESS_SIZES

Values = Iterable[tuple[Sequence[str], float]]
"""Values of labels, and the figure."""


class NodeCollector(Collector):
    """The figures as Prometheus's metrics."""

    def __init__(self, figures: NodeFigures, chain: str) -> None:
        """:param chain: the network's name."""
        self._figures = figures
        self._chain = chain

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily("ccnode", "the node", {"version": __version__, "chain": self._chain})
        yield from self._collect_chain()
        if self._figures.blocks is not None:
            yield from self._collect_blocks(self._figures.blocks)
        yield from self._collect_traffic()
        yield from self._collect_connections()
        yield from self._collect_bans()
        yield from self._collect_addresses()
        yield from self._collect_process()

    def _collect_chain(self) -> Iterator[Metric]:
        index = self._figures.chain.index
        yield _gauge("ccnode_height", "height of the tip", index.height(index.tip))
        yield _gauge("ccnode_tip_timestamp_seconds", "time in the header of the tip", index.time(index.tip))
        yield _gauge("ccnode_headers", "headers in the index, forks included", len(index))

    def _collect_blocks(self, blocks: BlockFigures) -> Iterator[Metric]:
        index, disk = self._figures.chain.index, {"blocks": blocks.blocks_disk_bytes, "coins": blocks.coins_disk_bytes}
        yield _gauge("ccnode_best_header_height", "height of the best header", index.height(index.best_header))
        yield _counter("ccnode_blocks_connected", "blocks that joined the active chain", blocks.connected)
        yield _counter("ccnode_blocks_disconnected", "blocks that left it", blocks.disconnected)
        yield _counter("ccnode_blocks_refused", "blocks invalid when they were to be connected", blocks.refused)
        yield _gauge("ccnode_blocks_pending_bytes", "blocks stored and not yet connected", blocks.pending_bytes())
        yield _gauge("ccnode_coins_cache_bytes", "changed coins in memory only", blocks.coins_cache_bytes())
        sizes = [([what], size()) for what, size in disk.items()]
        yield _gauges("ccnode_disk_bytes", "what is stored", ["what"], sizes)

    def _collect_traffic(self) -> Iterator[Metric]:
        manager = self._figures.network.manager
        traffic = manager.traffic
        flows = {"in": traffic.received, "out": traffic.sent}
        tallies = {side: manager.message_tallies(received=side == "in") for side in flows}
        totals = [([side], flow.total) for side, flow in flows.items()]
        bandwidth = [([side, window], rate) for side, flow in flows.items() for window, rate in rates(flow).items()]
        sizes = [([side, kind], size) for side in flows for kind, size in tally_bytes(tallies[side]).items()]
        counts = [([side, kind], count) for side in flows for kind, count in tally_messages(tallies[side]).items()]
        yield _counters("ccnode_bytes", "bytes through sockets", ["direction"], totals)
        yield _gauges("ccnode_bytes_per_second", "bandwidth, mean of a window", ["direction", "window"], bandwidth)
        yield _counters("ccnode_message_bytes", "bytes of messages", ["direction", "type"], sizes)
        yield _counters("ccnode_messages", "messages", ["direction", "type"], counts)
        upload = traffic.upload_target
        yield _gauge("ccnode_upload_target_bytes", "bytes to upload a day, 0 for any", upload.target)
        yield _gauge("ccnode_upload_target_left_bytes", "bytes left of it in this cycle", upload.bytes_left())

    def _collect_connections(self) -> Iterator[Metric]:
        manager = self._figures.network.manager
        peers: Counter[tuple[str, str]] = Counter()
        for peer in breathing(list(manager.peers.values())):
            peers[peer.connection_type.value, peer.network.value] += 1
        yield _gauges("ccnode_peers", "connections", ["type", "network"], peers.items())
        counted = manager.statistics
        attempts = [([kind.value], count) for kind, count in counted.attempts.items()]
        failures = [([kind.value, reason], count) for (kind, reason), count in counted.failures.items()]
        refused = [([reason], count) for reason, count in counted.refused.items()]
        yield _counters("ccnode_connection_attempts", "outbound dials", ["type"], attempts)
        yield _counters("ccnode_connection_failures", "dials that came to nothing", ["type", "reason"], failures)
        yield _counter("ccnode_inbound_accepted", "inbound connections let in", counted.accepted)
        yield _counters("ccnode_inbound_refused", "inbound connections not let in", ["reason"], refused)
        yield _counter("ccnode_inbound_evicted", "inbound peers that made room for others", counted.evicted)

    def _collect_bans(self) -> Iterator[Metric]:
        figures = self._figures
        made = [([why], count) for why, count in figures.condemned.bans.items()]
        violations = [([violation.label], count) for violation, count in figures.misbehaviour.reported.items()]
        yield _gauge("ccnode_bans", "bans on the list", len(figures.bans))
        yield _counters("ccnode_bans_made", "bans made since the start", ["why"], made)
        yield _gauge("ccnode_discouraged", "discouraged addresses", len(figures.discouragement))
        yield _counter("ccnode_discouragements", "addresses discouraged since the start", figures.condemned.discouraged)
        yield _counters("ccnode_violations", "what peers did wrong", ["violation"], violations)

    def _collect_addresses(self) -> Iterator[Metric]:
        addrman = self._figures.addrman
        for table, tried in (("new", False), ("tried", True)):
            occupancy = addrman.occupancy(tried)
            sizes = [([network.value], addrman.size(network, not tried)) for network in ADDRESS_SIZES]
            yield _gauges(f"ccnode_addresses_{table}", f"addresses in the {table} table", ["network"], sizes)
            yield _gauge(f"ccnode_addresses_{table}_slots", f"slots of the {table} table in use", occupancy.taken)
            yield _gauge(f"ccnode_addresses_{table}_buckets", "its buckets with an entry", occupancy.begun)

    def _collect_process(self) -> Iterator[Metric]:
        manager = self._figures.network.manager
        resident, peak = memory_use()
        lag = [([which], value) for which, value in self._figures.lag.percentiles().items()]
        yield _gauges("ccnode_hub_lag_seconds", "how late the event loop runs what is due", ["which"], lag)
        yield _gauge("ccnode_greenlets", "greenlets", count_greenlets())
        yield _gauge("ccnode_memory_resident_bytes", "memory in use", resident)
        yield _gauge("ccnode_memory_peak_bytes", "the most so far", peak)
        yield _gauge("ccnode_send_queue_bytes", "bytes waiting to be sent", manager.send_queue_bytes)
        yield _gauge("ccnode_receive_budget_bytes", "bytes of large messages under way", manager.receive_budget_used)
        yield _gauge("ccnode_timers", "timers armed", len(self._figures.timers))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)


def _gauges(name: str, text: str, labels: list[str], values: Values) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family


def _counters(name: str, text: str, labels: list[str], values: Values) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values:
        family.add_metric(key, value)
    return family

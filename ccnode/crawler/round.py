"""``crawl``: one round, from the command line to the summary.

Before anything is dialed the preflight table says which networks are reached and how, what verifies heights, and what
limits the round. ``--dry-run`` ends there; its exit status tells whether the round could run.
"""

import gc
import sys
from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from ccnode.crawler.census import Census, End, Limits, Sink
from ccnode.crawler.frontier import Frontier
from ccnode.crawler.live import Live
from ccnode.crawler.options import Options, parse
from ccnode.crawler.outcome import SEED_SOURCE, Outcome
from ccnode.crawler.parts import Parts
from ccnode.crawler.rows import COMPLETE
from ccnode.crawler.store import Store
from ccnode.crawler.table import BY_DNS, BY_SEED, BY_STORE, VIA
from ccnode.crawler.words import addresses, counted
from ccnode.errors import ExitStatus, StartupError
from ccnode.peers.netgroup import NetGroupManager
from ccnode.runner import SWITCH_INTERVAL, raise_file_limit, stop_on_signals
from ccnode.wire.address import Network
from ccnode.wire.addresses import unpack_address

RESERVED_FILES: Final = 100
"""File descriptors beside the connections: the store, name servers, and room to spare."""

COLLECT_AT: Final = 50_000
"""New objects between two searches for cycles: a message of addresses makes a thousand objects and no cycle."""

KNOWN_SECONDS: Final = 30 * 24 * 3600
KNOWN_NODES: Final = 50_000
"""A round begins also at the nodes that earlier ones reached in so many seconds; the most of them."""


def prepare_process() -> None:
    """Settings of the interpreter for work with many small objects and a worker thread."""
    sys.setswitchinterval(SWITCH_INTERVAL)
    gc.collect()
    gc.freeze()
    gc.set_threshold(COLLECT_AT)


def round_limits(options: Options, lanes: int) -> Limits:
    """What the options and the system's limit of open files allow. StartupError if that is too little for anything."""
    wanted = lanes + 4 * options.concurrency  # parked connections come on top of dials
    sockets = raise_file_limit(wanted + RESERVED_FILES) - RESERVED_FILES
    if sockets <= 0:
        raise StartupError(f"not enough file descriptors available (ulimit -n {RESERVED_FILES + 100})")
    return Limits(
        rate=options.rate,
        sockets=sockets,
        seconds=options.max_time,
        bytes_per_second=options.max_bandwidth,
    )


def run_round(
    parts: Parts,
    frontier: Frontier,
    sink: Sink,
    *,
    title: str,
    ask_addresses: bool = True,
    stoppable: Callable[[Callable[[], object]], object] = stop_on_signals,
) -> tuple[Census, End]:
    """Run the round of a frontier that knows where to begin, and show it.

    :param stoppable: is given what ends the round in good order; the first Ctrl-C does, as a rule.
    """
    options = parts.options
    limits = round_limits(options, sum(parts.lanes.values()))
    census = Census(
        frontier, parts.visitor(), sink, limits, parts.clock, ask_addresses=ask_addresses, keep_adverts=options.edges
    )
    stoppable(census.stop)
    with Live(census, title, sys.stdout, events=options.json) as live:
        census.on_visit = live.on_visit
        end = census.run()
    live.summarize(end)
    return census, end


def preflight(parts: Parts) -> Table:
    """What a round would do, line by line."""
    options = parts.options
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("chain", parts.params.name)
    for network in (Network.IPV4, Network.IPV6, Network.ONION, Network.I2P, Network.CJDNS):
        table.add_row(network.value, _way(parts, network))
    seeds = [counted(len(parts.dns_seeds), "DNS seed"), counted(len(parts.fixed_seeds()), "fixed seed")]
    table.add_row("begins at", ", ".join([*seeds, *options.seeds]))
    table.add_row("heights verified", parts.audit_note)
    table.add_row("AS numbers", "no asmap" if parts.asmap is None else f"from {parts.config.asmap}")
    table.add_row("left alone", f"{counted(len(parts.opt_outs), 'entry', 'entries')} of the opt-out list")
    table.add_row("user agent", parts.user_agent)
    table.add_row("limits", f"{options.rate:g} dials/s, {addresses(options.max_addresses)}")
    table.add_row("kept in", str(options.out / f"{parts.params.name}.sqlite"))
    return table


def _way(parts: Parts, network: Network) -> str:
    if network not in parts.lanes:
        return "not reached"
    proxy = parts.routes.proxies.get(network)
    way = "directly" if proxy is None else f"through {proxy}"
    return f"{way}, {counted(parts.lanes[network], 'dial')} at a time"


def begin(parts: Parts, frontier: Frontier, store: Store) -> dict[str, str]:
    """Put into frontier and store where a round begins; by DNS seed, why one was of no use."""
    known = store.reached_since(parts.clock.now() - KNOWN_SECONDS, KNOWN_NODES)
    found, failures = parts.ask_dns()
    beginnings = (
        (BY_SEED, parts.resolve(parts.options.seeds)),
        (BY_DNS, found),
        (BY_STORE, known),
        (BY_SEED, parts.fixed_seeds()),
    )
    for source, keys in beginnings:
        new = frontier.seed(keys, source)
        store.learned(SEED_SOURCE, [(0, 0, key) for key in new], VIA[source])
    return failures


def resume(frontier: Frontier, store: Store, number: int) -> None:
    """Go on where a round was interrupted."""
    for known in store.resume(number):
        frontier.restore(known.key, known.source, known.claimed_time, known.outcome)
    frontier.resume()


def open_store(parts: Parts) -> Store:
    """The census file of the chain; StartupError if it cannot be used."""
    options, groups = parts.options, NetGroupManager(parts.asmap)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"cannot make {options.out}: {error.strerror}", ExitStatus.DATADIR) from error
    return Store(
        options.out / f"{parts.params.name}.sqlite",
        f"{parts.params.name} {parts.params.magic.hex()}",
        parts.clock,
        autonomous_system=lambda key: groups.mapped_as(unpack_address(key)),
    )


def crawl(arguments: Sequence[str]) -> int:
    """The command."""
    prepare_process()
    options, config = parse("crawl", arguments, "Takes a census: visits every node that can be found, once.")
    parts = Parts(options, config)
    console = Console(stderr=options.json)
    console.print(preflight(parts))
    if options.dry_run:
        possible = bool(parts.lanes) and bool(options.seeds or parts.dns_seeds or parts.fixed_seeds())
        if not possible:
            console.print("There is nothing to begin with: name a node by --seed.")
        return ExitStatus.OK if possible else ExitStatus.CONFIG
    with closing(open_store(parts)) as store:
        census, _ = take_census(parts, store, console)
    if census.progress.outcomes.get(Outcome.REACHABLE):
        return ExitStatus.OK
    console.print("No node was reached; try --dry-run, and name one that is up by --seed.")
    return ExitStatus.FAULT


def take_census(
    parts: Parts,
    store: Store,
    console: Console,
    stoppable: Callable[[Callable[[], object]], object] = stop_on_signals,
) -> tuple[Census, End]:
    """One complete round into ``store``, or the rest of one that was interrupted."""
    frontier = parts.frontier()
    unfinished = store.unfinished() if parts.options.resume else None
    if unfinished is not None:
        resume(frontier, store, unfinished)
        console.print(f"going on with round {unfinished}: {addresses(len(frontier.table))} known")
    else:
        number = store.begin_round(describe(parts), parts.options.vantage)
        for seed, reason in begin(parts, frontier, store).items():
            console.print(f"DNS seed {seed}: {reason}")
        console.print(f"round {number} begins at {addresses(frontier.outstanding)}")
    census, end = run_round(parts, frontier, store, title=f"census of {parts.params.name}", stoppable=stoppable)
    store.finish_round(COMPLETE if end is End.COMPLETE else end.value)
    return census, end


def describe(parts: Parts) -> dict[str, Any]:
    """What a round is run with, for its row in the census file."""
    options = parts.options
    return {
        "default_port": parts.params.default_port,
        "networks": sorted(network.value for network in parts.lanes),
        "seeds": list(options.seeds),
        "rate": options.rate,
        "concurrency": options.concurrency,
        "max_addresses": options.max_addresses,
        "user_agent": parts.user_agent,
        "verified_height": None if parts.audit is None else parts.audit.height,
        "asmap": None if parts.asmap is None else parts.asmap.checksum.hex(),
        "opt_outs": len(parts.opt_outs),
    }

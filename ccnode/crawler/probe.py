"""``probe``: everything that a visit can tell of the nodes that a person names, and of no others.

A name may stand for several addresses; each is visited. Since a person asked for these nodes, no guard stands before
them. Nothing is kept.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timezone
from typing import Any

import gevent
from rich.console import Console
from rich.table import Table

from ccnode.crawler.conversation import Events
from ccnode.crawler.live import PIPED_WIDTH
from ccnode.crawler.options import parse
from ccnode.crawler.outcome import Collected, Outcome, Visit
from ccnode.crawler.parts import Parts
from ccnode.crawler.words import counted
from ccnode.errors import ExitStatus
from ccnode.network.hub import spawn
from ccnode.peers.netgroup import NetGroupManager
from ccnode.wire.addresses import PackedEntry, unpack_address
from ccnode.wire.protocol import service_names


def probe(arguments: Sequence[str]) -> int:
    """The command; the exit status tells whether all of them were reached."""
    options, config = parse("probe", arguments, "Looks closely at the nodes that you name, and at no others.")
    parts = Parts(options, config)
    visitor = parts.visitor()

    def nothing() -> None:
        pass

    def unheard(_entries: list[PackedEntry]) -> None:
        pass

    addresses = [unpack_address(key) for key in parts.resolve(options.hosts)]
    events = Events(nothing, nothing, unheard)
    tasks = [spawn(f"probe {address}", visitor.visit, address, events) for address in addresses]
    console = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    reached = True
    for task in gevent.iwait(tasks):
        visit: Visit = task.get()
        reached = reached and visit.outcome is Outcome.REACHABLE
        if options.json:
            print(json.dumps(plain(visit)), flush=True)
        else:
            console.print(card(visit, parts))
    return ExitStatus.OK if reached else ExitStatus.FAULT


def plain(visit: Visit) -> dict[str, Any]:
    """A visit as JSON has it."""
    fields = asdict(visit)
    fields["address"] = str(visit.address)
    fields["network"] = visit.address.network.value
    fields["outcome"] = visit.outcome.value
    fields["collected"] = visit.collected.value
    fields["features"] = sorted(visit.features)
    fields["services"] = None if visit.services is None else service_names(visit.services)
    fields["address_local"] = None if visit.address_local is None else str(visit.address_local)
    fields["tip_hash"] = None if visit.tip_hash is None else visit.tip_hash[::-1].hex()
    del fields["source"], fields["via"]
    return fields


def card(visit: Visit, parts: Parts) -> Table:
    """A visit for a person."""
    table = Table(title=str(visit.address), title_justify="left", title_style="bold", box=None, show_header=False)
    detail = f" ({visit.detail})" if visit.detail else ""
    table.add_row("outcome", f"{visit.outcome.value}: {visit.outcome.sentence}{detail}")
    asn = NetGroupManager(parts.asmap).mapped_as(visit.address)
    if asn:
        table.add_row("operator", f"AS{asn}")
    if visit.connect_time is not None:
        table.add_row("times", _times(visit))
    if visit.version is not None:
        table.add_row("program", f"{visit.user_agent}, protocol {visit.version}, transport {visit.transport}")
        table.add_row("services", ", ".join(service_names(visit.services or 0)) or "none")
        table.add_row("features", ", ".join(sorted(visit.features)) or "none")
        table.add_row("transactions", "wanted" if visit.relay else "not wanted")
        table.add_row("clock", _clock(visit))
        table.add_row("height", _height(visit, parts))
    if visit.address_local is not None:
        table.add_row("sees us as", str(visit.address_local))
    if visit.outcome is Outcome.REACHABLE:
        table.add_row("addresses", _addresses(visit))
    return table


def _times(visit: Visit) -> str:
    spans = [("connected after", visit.connect_time), ("handshake", visit.handshake_time), ("network", visit.tcp_rtt)]
    words = [f"{name} {1000 * span:.1f} ms" for name, span in spans if span is not None]
    if visit.ping_times:
        words.append("pings " + ", ".join(f"{1000 * span:.1f}" for span in visit.ping_times) + " ms")
    return ", ".join(words)


def _clock(visit: Visit) -> str:
    moment = datetime.fromtimestamp(visit.started + (visit.time_offset or 0), timezone.utc)
    return f"{visit.time_offset:+d} s from ours ({moment:%Y-%m-%d %H:%M:%S} UTC)"


def _height(visit: Visit, parts: Parts) -> str:
    claimed = f"{visit.start_height} claimed"
    if visit.tip_height is None:
        why = parts.audit_note.removeprefix("no: ") if parts.audit is None else "it sent no headers"
        return f"{claimed}, not verified: {why}"
    chain = "our chain" if visit.chain_ok else "a chain that is not ours"
    behind = visit.headers_behind or 0
    place = f"{behind} behind us" if behind > 0 else f"{-behind} ahead of us" if behind else "as high as ours"
    return f"{claimed}, {visit.tip_height} verified on {chain}, {place}"


def _addresses(visit: Visit) -> str:
    ends = {
        Collected.COMPLETE: "answered",
        Collected.SELF_ONLY: "only its own came in time",
        Collected.DEADLINE: "no answer in time",
        Collected.CLOSED: "it closed the connection first, or broke the protocol",
        Collected.LIMIT: "cut short by our limits",
        Collected.NOT_ASKED: "not asked",
    }
    return f"{visit.adverts_count} named in {counted(visit.addr_messages, 'message')}; {ends[visit.collected]}"

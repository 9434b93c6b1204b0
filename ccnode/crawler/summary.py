"""All figures of a round in one plain structure: what the report draws, for programs.

Each figure is about the nodes reached, unless its name says otherwise, and counts addresses: a node on two networks
counts twice, but in ``nodes``. What there is no data for is null or empty, never 0.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from ipaddress import ip_network
from typing import Any, Final

from ccnode.crawler.archive import Archive, NodeVisit, Round
from ccnode.crawler.history import DAY, HOUR
from ccnode.crawler.statistics import (
    breakdown,
    chapman,
    client_of,
    growth,
    nodes_estimate,
    percentiles,
    software_of,
    survival,
)
from ccnode.wire.address import Network, NetworkAddress
from ccnode.wire.protocol import service_names

PERCENTS: Final = (1, 10, 25, 50, 75, 90, 99)
WINDOW: Final = 7
"""Rounds whose union is counted next to each round."""
MOST_ROUNDS: Final = 100
"""Rounds of growth and churn, the latest."""
SURVIVAL_AGES: Final = (HOUR, 6 * HOUR, DAY, 3 * DAY, 7 * DAY, 14 * DAY, 30 * DAY, 90 * DAY)
"""Seconds."""

INVENTED_LEAST: Final = 100
INVENTED_SHARE: Final = 0.02
"""Whoever named so many addresses, of which a smaller share was there, invents them or keeps very old ones."""
MOST_INVENTORS: Final = 50

_GROUP_BITS: Final = {Network.IPV4: 16, Network.IPV6: 32}


def summarize(archive: Archive, this: Round) -> dict[str, Any]:
    """The figures of a round, ready for JSON."""
    visits = list(archive.visits(this.number))
    past = [one for one in archive.rounds() if one.is_census and one.vantage == this.vantage]
    past = [one for one in past if one.started <= this.started][-MOST_ROUNDS:]
    return {
        "outcomes": {
            network.value: {outcome.value: count for outcome, count in counts.items()}
            for network, counts in archive.outcomes(this.number).items()
        },
        "reachable": len(visits),
        "estimate": _estimate(archive, past),
        "nodes": _nodes(archive, this, visits),
        "clients": asdict(breakdown((client_of(one.visit.user_agent or "") for one in visits), 50)),
        "software": asdict(breakdown(software_of(one.visit.user_agent or "") for one in visits)),
        "protocol_versions": _counts(str(one.visit.version) for one in visits),
        "services": _counts(name for one in visits for name in service_names(one.visit.services or 0)),
        "features": _counts(name for one in visits for name in one.visit.features),
        "transports": _counts(one.visit.transport for one in visits),
        "systems": asdict(breakdown((f"AS{one.asn}" for one in visits if one.asn is not None), 50)),
        "netgroups": asdict(breakdown(filter(None, (netgroup(one.visit.address) for one in visits)), 50)),
        "latency_seconds": _latencies(visits),
        "clock_offset_seconds": _spread(one.visit.time_offset for one in visits),
        "heights": _heights(visits),
        "advert_age_seconds": _spread(archive.advert_ages(this.number)),
        "inventors": _inventors(archive, this),
        "collected": _counts(one.visit.collected.value for one in visits),
        "growth": _growth(archive, past),
        "survival": _survival(archive),
    }


def netgroup(address: NetworkAddress) -> str | None:
    """The range that an address counts for: its /16, or /32 of IPv6; None where ranges mean nothing."""
    bits = _GROUP_BITS.get(address.network)
    return None if bits is None else str(ip_network((address.addr, bits), strict=False))


def _counts(names: Iterable[str]) -> dict[str, int]:
    """The most frequent first."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _spread(values: Iterable[float | None]) -> dict[str, float]:
    """By percent."""
    found = percentiles((value for value in values if value is not None), PERCENTS)
    return {str(percent): value for percent, value in zip(PERCENTS, found, strict=False)}


def _estimate(archive: Archive, past: Sequence[Round]) -> dict[str, float] | None:
    """What this round and the one before it say together."""
    if len(past) < 2:
        return None
    before, now = (archive.reached(one.number) for one in past[-2:])
    return asdict(chapman(len(before), len(now), len(before & now))) if before & now else None


def _nodes(archive: Archive, this: Round, visits: Sequence[NodeVisit]) -> float | None:
    """Addresses weighed by the networks of their nodes; None if it was not kept who named whom."""
    networks = archive.networks_advertised(this.number)
    return nodes_estimate(networks.get(one.node, 1) for one in visits) if networks else None


def _latencies(visits: Sequence[NodeVisit]) -> dict[str, dict[str, float]]:
    pings: dict[str, list[float]] = {}
    for one in visits:
        if one.visit.ping_times:
            pings.setdefault(one.visit.address.network.value, []).append(min(one.visit.ping_times))
    return {network: _spread(values) for network, values in pings.items()}


def _heights(visits: Sequence[NodeVisit]) -> dict[str, Any]:
    """Verified ones apart from claims; how far behind ours the verified tips are."""
    behind = [one.visit.headers_behind for one in visits if one.visit.chain_ok]
    return {
        "claimed": _spread(one.visit.start_height for one in visits),
        "verified": len(behind),
        "within_one_block": sum(abs(blocks) <= 1 for blocks in behind if blocks is not None),
        "behind": _spread(behind),
        "other_chain": sum(one.visit.chain_ok is False for one in visits),
    }


def _inventors(archive: Archive, this: Round) -> list[dict[str, Any]]:
    """Who was the first to name many addresses of which next to none was there."""
    found = archive.advertisers(this.number, INVENTED_LEAST)
    return [
        {"node": str(one.address), "named": one.named, "dialed": one.dialed, "found": one.found}
        for one in found
        if one.found < INVENTED_SHARE * one.dialed
    ][:MOST_INVENTORS]


def _growth(archive: Archive, past: Sequence[Round]) -> list[dict[str, Any]]:
    steps = growth([archive.reached(one.number) for one in past], WINDOW)
    return [
        {"round": one.number, "started": one.started, "churn": step.churn, **asdict(step)}
        for one, step in zip(past, steps, strict=True)
    ]


def _survival(archive: Archive) -> dict[str, float]:
    """The share of sessions that last at least so many seconds."""
    curve = survival(archive.sessions(), SURVIVAL_AGES)
    return {str(age): share for age, share in zip(SURVIVAL_AGES, curve, strict=True)}

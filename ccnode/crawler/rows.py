"""Visits as rows of the table ``visits``, and back."""

import json
from typing import Any, Final

from ccnode.crawler.outcome import SEED_SOURCE, Collected, Outcome, Visit
from ccnode.wire.address import NetworkAddress

Row = tuple[Any, ...]

RUNNING: Final = "running"
COMPLETE: Final = "complete"
REVISIT: Final = "revisit"
"""States of a round: one under way, a whole census, and a round of the nodes that were due and of no others. Anything
else is in words why a census ended early."""

VISIT_COLUMNS: Final = (
    "outcome", "detail", "started", "attempts", "lag", "connect_time", "handshake_time", "ping_times", "tcp_rtt",
    "transport", "version", "services", "user_agent", "start_height", "relay", "time_offset", "address_local",
    "features", "tip_height", "tip_hash", "chain_ok", "headers_behind", "collected", "adverts_count",
    "addr_messages", "bytes_received", "bytes_sent",
)  # fmt: skip
"""Columns that are fields of `Visit`, in the order of `visit_row`."""

_U64: Final = 2**64 - 1


def signed(number: int | None) -> int | None:
    """64 bits as SQLite keeps them: with a sign."""
    return number - 2**64 if number is not None and number >> 63 else number


def unsigned(number: int | None) -> int | None:
    """The opposite of `signed`."""
    return None if number is None else number & _U64


def hash_text(block_hash: bytes | None) -> str | None:
    """A hash as people write it."""
    return None if block_hash is None else block_hash[::-1].hex()


def visit_row(visit: Visit) -> Row:
    """Values for `VISIT_COLUMNS`."""
    return (
        visit.outcome.value,
        visit.detail,
        visit.started,
        visit.attempts,
        visit.lag,
        visit.connect_time,
        visit.handshake_time,
        json.dumps(visit.ping_times) if visit.ping_times else None,
        visit.tcp_rtt,
        visit.transport,
        visit.version,
        signed(visit.services),
        visit.user_agent,
        visit.start_height,
        visit.relay,
        visit.time_offset,
        None if visit.address_local is None else str(visit.address_local),
        json.dumps(sorted(visit.features)) if visit.features else None,
        visit.tip_height,
        hash_text(visit.tip_hash),
        visit.chain_ok,
        visit.headers_behind,
        visit.collected.value,
        visit.adverts_count,
        visit.addr_messages,
        visit.bytes_received,
        visit.bytes_sent,
    )


def read_visit(address: NetworkAddress, row: Row, source: bytes | str = SEED_SOURCE, via: str = "gossip") -> Visit:
    """The visit to ``address`` that `visit_row` made ``row`` of."""
    fields = dict(zip(VISIT_COLUMNS, row, strict=True))
    local, tip_hash, pings, features = (
        fields.pop(name) for name in ("address_local", "tip_hash", "ping_times", "features")
    )
    for name in ("relay", "chain_ok"):
        fields[name] = None if fields[name] is None else bool(fields[name])
    fields["outcome"] = Outcome(fields["outcome"])
    fields["collected"] = Collected(fields["collected"])
    fields["services"] = unsigned(fields["services"])
    return Visit(
        address=address,
        source=source,
        via=via,
        address_local=None if local is None else NetworkAddress.parse(local),
        tip_hash=None if tip_hash is None else bytes.fromhex(tip_hash)[::-1],
        ping_times=() if pings is None else tuple(json.loads(pings)),
        features=frozenset() if features is None else frozenset(json.loads(features)),
        **fields,
    )
